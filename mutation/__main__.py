"""`python -m mutation [UNIT …]`: run, judge and tell. Exit status 1 where a survivor is not justified, or a
justification has no survivor."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mutation import tree
from mutation.mutants import Fate, Mutant, read
from mutation.report import PAGE, Results, judge, keep, kept, page, total, tried
from mutation.survivors import justifications
from mutation.units import ROOT, Unit, chosen, units

PLACE = ROOT / "build" / "mutation"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument("unit", nargs="*", help="only these units of units.toml")
    parser.add_argument("--children", type=int, default=2, help="how many mutants are tried at a time")
    parser.add_argument(
        "--again",
        action="store_true",
        help="keep what is known of functions that have not changed, but for what was left",
    )
    parser.add_argument("--told", action="store_true", help="run nothing: judge what the last runs found")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as one JSON document")
    parser.add_argument(
        "--write", action="store_true", help="keep the figures, and make docs/mutation.md of all that are kept"
    )
    given = parser.parse_args(arguments)
    taken = chosen(given.unit, units())
    for unit in taken:
        if not given.told:
            _try(unit, again=given.again, children=given.children)
    untried = [unit for unit in taken if not _is_tried(unit)]
    results = [one for unit in taken if unit not in untried for one in _judged(unit)]
    _tell(results)
    if given.json:
        given.json.write_text(json.dumps([one.plain() for one in results], indent=1) + "\n", encoding="utf-8")
    if given.write:
        keep(version("mutmut"), (one.figures() for one in results))
        PAGE.write_text(page(*kept(), tried()), encoding="utf-8")
    for unit in untried:
        print(f"{unit.name}: not tried to the end on today's code", file=sys.stderr)  # noqa: T201 (the command's answer)
    return 1 if untried or any(one.left or one.stale for one in results) else 0


def _try(unit: Unit, *, again: bool, children: int) -> None:
    place = PLACE / unit.name
    print(f"{unit.name}: {len(unit.modules)} modules", file=sys.stderr, flush=True)  # noqa: T201 (a command's progress)
    again = again and (place / "mutants").is_dir()
    (place / "tried").unlink(missing_ok=True)
    tree.renew(unit, place) if again else tree.make(unit, place)
    tree.try_all(unit, place, unit.tests, children=children)
    if again:
        _try_left(unit, unit.tests, children)
    late = [one.key for module in unit.modules for one in _mutants(unit, module) if one.fate is Fate.TIMEOUT]
    tree.try_these(unit, place, unit.tests, late, children=children)  # a busy machine is no proof: once more
    if unit.wider:
        _try_left(unit, unit.wider, children)
    (place / "tried").write_text(unit.digest(), encoding="utf-8")


def _try_left(unit: Unit, tests: Sequence[str], children: int) -> None:
    """Those that are alive without a reason, on these tests."""
    left = [mutant.key for one in _judged(unit) for mutant in one.left]
    tree.try_these(unit, PLACE / unit.name, tests, left, children=children)


def _judged(unit: Unit) -> list[Results]:
    known = justifications(ROOT)
    return [judge(module, _mutants(unit, module), known) for module in unit.modules]


def _mutants(unit: Unit, module: str) -> list[Mutant]:
    return list(read(PLACE / unit.name, module))


def _is_tried(unit: Unit) -> bool:
    """Whether a run on today's code of these modules came to its end."""
    tried = PLACE / unit.name / "tried"
    return tried.is_file() and tried.read_text(encoding="utf-8") == unit.digest()


def _tell(results: Sequence[Results]) -> None:
    console = Console(width=120)
    table = Table("module", *("mutants", "killed", "timeouts", "justified", "left", "score"))
    figures = [one.figures() for one in results]
    for each in figures:
        table.add_row(*each.cells)
    if figures:
        table.add_row(*total(figures))
    console.print(table)
    for one in results:
        for mutant in one.left:
            heading = f"\n{mutant.fate}: {one.module} {mutant.function}"
            console.print(f"{heading}\n{mutant.change}", markup=False, highlight=False)
        for entry, change in one.stale:
            heading = f"\njustified, but no survivor: {one.module} {entry.function}"
            console.print(f"{heading}\n{change}", markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
