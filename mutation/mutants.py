"""What a run of mutmut found: one value per mutant, told in words that outlive mutmut's numbering."""

from __future__ import annotations

import difflib
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

_MUTANT: Final = re.compile(r"x(?:_|ǁ(?P<holder>\w+)ǁ)(?P<name>\w+)__mutmut_\d+")


class Fate(StrEnum):
    """How a mutant ended. UNREACHED: no test of its unit runs the function at all."""

    KILLED = "killed"
    TIMEOUT = "timeout"
    SURVIVED = "survived"
    UNREACHED = "unreached"


_FATES: Final = {
    0: Fate.SURVIVED,
    5: Fate.UNREACHED,
    33: Fate.UNREACHED,
    1: Fate.KILLED,
    2: Fate.KILLED,  # a module of the tests could not be loaded
    3: Fate.KILLED,  # pytest itself broke
    36: Fate.TIMEOUT,
    152: Fate.TIMEOUT,
    -9: Fate.TIMEOUT,
    -24: Fate.TIMEOUT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One mutant: `function` as from its module's top (`Attempt.to`), `change` as lines with `- ` and `+ `."""

    key: str
    module: str
    function: str
    change: str
    fate: Fate
    original: str = field(repr=False)
    mutated: str = field(repr=False)

    @property
    def alive(self) -> bool:
        return self.fate in {Fate.SURVIVED, Fate.UNREACHED}


def read(place: Path, module: str) -> Iterator[Mutant]:
    """All mutants of a module in the copy at `place`; raises `SystemExit` where one has no result."""
    results = json.loads((place / "mutants" / f"{module}.meta").read_text(encoding="utf-8"))["exit_code_by_key"]
    texts = _functions(place, module)
    for key, code in results.items():
        mangled = key.rpartition(".")[2]
        if (found := _MUTANT.fullmatch(mangled)) is None or code not in _FATES:
            raise SystemExit(f"{key} ended with {code}, which is no result")
        name, holder = found["name"], found["holder"]
        original = _named(texts[f"{mangled.rpartition('_')[0]}_orig"], name)
        mutated = _named(texts[mangled], name)
        yield Mutant(
            key=key,
            module=module,
            function=f"{holder}.{name}" if holder else name,
            change=change(original, mutated),
            fate=_FATES[code],
            original=original,
            mutated=mutated,
        )


def _functions(place: Path, module: str) -> dict[str, str]:
    """The text of each original and each mutant in the mutated file, by its mangled name."""
    lines = (place / "mutants" / module).read_text(encoding="utf-8").splitlines(keepends=True)
    spans = json.loads((place / "mutants" / f"{module}.spans").read_text(encoding="utf-8"))["spans"]
    return {name: textwrap.dedent("".join(lines[start - 1 : end])) for name, (start, end) in spans.items()}


def _named(text: str, name: str) -> str:
    return re.sub(r"(?<=def )x[_ǁ]\S*?__mutmut_\w+", name, text, count=1)


def change(original: str, mutated: str) -> str:
    """The lines that differ, without their indentation: `- old` before `+ new`."""
    old, new = original.splitlines(), mutated.splitlines()
    told = []
    for kind, first, last, start, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            told += [f"- {line.strip()}" for line in old[first:last]]
            told += [f"+ {line.strip()}" for line in new[start:end]]
    return "\n".join(told)
