"""The results of one module, judged against its justifications; what is kept of them; the page that tells of all.

`found.json` keeps the figures of each module with a digest of the code that they speak of, so that units can be tried
one by one, and the page says of which figures the code has changed since.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from mutation.mutants import Fate, Mutant
from mutation.survivors import Justification, Reason, same_sql, stale
from mutation.units import ROOT, units

FOUND: Final = Path(__file__).parent / "found.json"
PAGE: Final = ROOT / "docs" / "mutation.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What is kept of one module: counts, survivors by reason, and the digest of its code."""

    module: str
    code: str
    mutants: int
    killed: int
    timeouts: int
    why: Mapping[str, int]
    left: int

    @property
    def justified(self) -> int:
        return sum(self.why.values())

    @property
    def score(self) -> str:
        """The part that tests noticed, by failing or by never ending."""
        return share(self.killed + self.timeouts, self.mutants)

    @property
    def is_of_today(self) -> bool:
        """Whether the module's code is still the one that was tried."""
        return self.code == code(self.module)

    @property
    def cells(self) -> list[str]:
        return [f"`{self.module}`", *map(str, self.counts), self.score]

    @property
    def counts(self) -> tuple[int, ...]:
        return self.mutants, self.killed, self.timeouts, self.justified, self.left


def code(module: str) -> str:
    return hashlib.sha256((ROOT / module).read_bytes()).hexdigest()


def kept() -> tuple[str, list[Figures]]:
    """Of which version of mutmut the figures are, and these, in the order of the units."""
    found = json.loads(FOUND.read_text(encoding="utf-8"))
    return found["mutmut"], [Figures(**each) for each in found["modules"]]


def keep(version: str, figures: Iterable[Figures]) -> None:
    """Beside what is kept already of modules that are still tried."""
    _, before = kept()
    known = {each.module: each for each in (*before, *figures)}
    listed = [asdict(known[module]) for module in tried() if module in known]
    FOUND.write_text(json.dumps({"mutmut": version, "modules": listed}, indent=1) + "\n", encoding="utf-8")


def tried() -> list[str]:
    """The modules that any unit mutates."""
    return [module for unit in units() for module in unit.modules]


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """`why` counts the justified survivors by reason or rule; `left` are those without."""

    module: str
    mutants: tuple[Mutant, ...]
    why: Counter[str]
    left: tuple[Mutant, ...]
    stale: tuple[tuple[Justification, str], ...]

    def figures(self) -> Figures:
        return Figures(
            module=self.module,
            code=code(self.module),
            mutants=len(self.mutants),
            killed=sum(mutant.fate is Fate.KILLED for mutant in self.mutants),
            timeouts=sum(mutant.fate is Fate.TIMEOUT for mutant in self.mutants),
            why=dict(self.why),
            left=len(self.left),
        )

    def plain(self) -> dict[str, Any]:
        return {
            **asdict(self.figures()),
            "left": [{"function": mutant.function, "change": mutant.change} for mutant in self.left],
            "stale": [{"function": entry.function, "change": change} for entry, change in self.stale],
        }


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def judge(module: str, mutants: Sequence[Mutant], known: Iterable[Justification]) -> Results:
    ours = [entry for entry in known if entry.module == module]
    why: Counter[str] = Counter()
    left: list[Mutant] = []
    for mutant in mutants:
        if not mutant.alive:
            continue
        named = next((entry.reason for entry in ours if entry.names(mutant)), None)
        if named or same_sql(mutant):
            why[named or Reason.SQL] += 1
        else:
            left.append(mutant)
    outdated = stale(ours, mutants)
    return Results(module=module, mutants=tuple(mutants), why=why, left=tuple(left), stale=tuple(outdated))


_PAGE: Final = """# Mutation testing

`make mutate` changes the code in small ways, one at a time ([mutmut](https://mutmut.readthedocs.io/) {version}), and
runs the tests of the part against each change. A change that no test notices is a survivor. Each survivor is killed by
a further test, or justified in a `survivors.toml` beside its code; a survivor without a justification fails the run,
and so does a justification without a survivor. The figures are kept by `make mutate WRITE=1`, unit by unit, each with a
digest of the code that it speaks of.

| module | mutants | killed | timeouts | justified | left | score |
|---|---:|---:|---:|---:|---:|---:|
{rows}

{outdated}{untried}*Score*: the part that tests noticed, by failing or (*timeouts*) by never ending. *Justified*:
survivors with a reason.

## Why survivors live

| reason | survivors | meaning |
|---|---:|---|
{reasons}

*sql* is found by comparing syntax trees; all others are written down one by one, with a sentence each.

## What is not mutated

Statements outside functions: tables such as the edges of the lifecycle, regular expressions, constants, annotations of
models. Their tests walk them value by value, and planted bugs change some. The texts of exceptions, by which no program
decides, and asserts, on which no refusal rests. Decorated functions are mutated although mutmut leaves them alone: the
copy in which it works spells their decorators as assignments.

Each mutant is tried by the quick tests near its code (`mutation/units.toml`), not by all tests. What no unit names is
not mutated: the phases of an attempt and their order (`attempt.py`, `orchestrator.py`, `observation.py`), which the
explorer, the simulation and the planted bugs watch; the journal on PostgreSQL; policy, surfaces and the command line;
adapters, whose authors have `gateway conformance run --mutate`.
"""

_OUTDATED: Final = """Changed since they were tried:

{modules}

"""
_UNTRIED: Final = """Never tried to the end:

{modules}

"""

_MEANING: Final[dict[str, str]] = {
    Reason.EQUIVALENT: "nothing that can be observed differs",
    Reason.TEXT: "only words for people differ",
    Reason.COST: "only time, memory or the number of calls differ",
    Reason.TWICE: "another guard refuses the same thing",
    Reason.ELSEWHERE: "a test outside the unit notices",
    Reason.MACHINE: "shows only on a machine or file system that tests cannot have",
    Reason.SQL: "only the case of SQL or of a column's name differs, which SQLite does not distinguish",
}


def page(version: str, found: Sequence[Figures], tried: Sequence[str]) -> str:
    """docs/mutation.md: what is kept of the modules that are tried."""
    why = sum((Counter(each.why) for each in found), Counter[str]())
    never = [module for module in tried if module not in {each.module for each in found}]
    return _PAGE.format(
        version=version,
        rows="\n".join(f"| {' | '.join(row)} |" for row in [*(each.cells for each in found), total(found)]),
        outdated=_listed(_OUTDATED, [each.module for each in found if not each.is_of_today]),
        untried=_listed(_UNTRIED, never),
        reasons="\n".join(f"| {reason} | {why[reason]} | {meaning} |" for reason, meaning in _MEANING.items()),
    )


def _listed(text: str, modules: Sequence[str]) -> str:
    return text.format(modules="\n".join(f"- `{module}`" for module in modules)) if modules else ""


def total(figures: Sequence[Figures]) -> list[str]:
    mutants, killed, timeouts, *rest = (sum(column) for column in zip(*(each.counts for each in figures), strict=True))
    return ["all", *map(str, (mutants, killed, timeouts, *rest)), share(killed + timeouts, mutants)]


if __name__ == "__main__":
    PAGE.write_text(page(*kept(), tried()), encoding="utf-8")
