"""What is mutated, and by which tests each part is tried: `units.toml`."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parent.parent
UNTRIED = "gateway/journal/_postgres*"
"""It has a server beside it, and tests that kill that server."""
UNITS = Path(__file__).with_name("units.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Modules that one selection of tests tries; paths from the root, with forward slashes.

    `tests` try every mutant, `wider` those that survive them.
    """

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    wider: tuple[str, ...]

    def digest(self, root: Path = ROOT) -> str:
        """Which code a result speaks of."""
        digest = hashlib.sha256()
        for module in self.modules:
            digest.update((root / module).read_bytes())
        return digest.hexdigest()


def units(root: Path = ROOT) -> tuple[Unit, ...]:
    """All units. A pattern stands for the modules that have functions and that no unit names by itself."""
    listed = tomllib.loads(UNITS.read_text(encoding="utf-8"))["unit"]
    named = {module for one in listed for module in one["modules"]}
    return tuple(
        Unit(
            name=one["name"],
            modules=tuple(module for pattern in one["modules"] for module in _matching(root, pattern, named)),
            tests=tuple(one["tests"]),
            wider=tuple(one.get("wider", ())),
        )
        for one in listed
    )


def _matching(root: Path, pattern: str, named: set[str]) -> list[str]:
    if "*" not in pattern:
        return [pattern]
    modules = (path.relative_to(root).as_posix() for path in sorted(root.glob(pattern)))
    own = (module for module in modules if module not in named and not fnmatch(module, UNTRIED))
    return [module for module in own if "def " in (root / module).read_text(encoding="utf-8")]


def chosen(names: Sequence[str], known: Iterable[Unit]) -> tuple[Unit, ...]:
    """The units of these names, all without any; raises `SystemExit` for a name that is none."""
    by_name = {unit.name: unit for unit in known}
    if strangers := sorted(set(names) - set(by_name)):
        raise SystemExit(f"no unit {', '.join(strangers)}; there are {', '.join(by_name)}")
    return tuple(by_name[name] for name in names or by_name)
