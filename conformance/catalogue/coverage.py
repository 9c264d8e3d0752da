"""`make requirements`: run the tests, then say per area which rows of the catalogue they hold.

A row is traced when at least one test marked with its id passed and none failed. Rows out of scope are
shown apart. Exit 1 where tests failed, fewer than the threshold are traced, a row is neither traced nor
explained, or an explanation is stale.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from conformance.catalogue import Row, explained, rows

DEFAULT_THRESHOLD_PERCENT: Final = 95.0


@dataclass(frozen=True, slots=True)
class Coverage:
    """What one run of the tests holds."""

    rows: tuple[Row, ...]
    traced: frozenset[str]
    failing: frozenset[str]
    reasons: dict[str, str]
    tests_passed: bool

    @property
    def in_scope(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.in_scope)

    @property
    def percent(self) -> float:
        return _percent(sum(row.id in self.traced for row in self.in_scope), len(self.in_scope))

    @property
    def missing(self) -> tuple[Row, ...]:
        """Rows in scope that are neither traced nor explained."""
        return tuple(row for row in self.in_scope if row.id not in self.traced and row.id not in self.reasons)

    @property
    def stale(self) -> tuple[str, ...]:
        """Explanations of rows that are traced, out of scope or not in the catalogue."""
        scope = {row.id for row in self.in_scope}
        return tuple(sorted(row for row in self.reasons if row in self.traced or row not in scope))

    def holds(self, threshold_percent: float) -> bool:
        return self.tests_passed and self.percent >= threshold_percent and not self.missing and not self.stale

    def areas(self, *, in_scope: bool) -> list[tuple[str, int, int]]:
        """(area, rows, rows traced); CARD rows are counted in their own areas."""
        chosen = [row for row in self.rows if row.in_scope is in_scope]
        total = Counter(row.area for row in chosen)
        traced = Counter(row.area for row in chosen if row.id in self.traced)
        return [(area, count, traced[area]) for area, count in total.items()]

    def plain(self, threshold_percent: float) -> dict[str, Any]:
        return {
            "ok": self.holds(threshold_percent),
            "tests_passed": self.tests_passed,
            "percent": round(self.percent, 1),
            "threshold_percent": threshold_percent,
            "areas": [
                {"area": area, "in_scope": scope, "rows": count, "traced": traced}
                for scope in (True, False)
                for area, count, traced in self.areas(in_scope=scope)
            ],
            "missing": [row.id for row in self.missing],
            "failing": sorted(self.failing),
            "explained": self.reasons,
            "stale_explanations": list(self.stale),
        }


def judge(record: dict[str, Any]) -> Coverage:
    """Coverage from the record that the plugin wrote."""
    passed: set[str] = set()
    failing: set[str] = set()
    for test in record["tests"]:
        if test["outcome"] == "passed":
            passed.update(test["requirements"])
        elif test["outcome"] in ("failed", "error"):
            failing.update(test["requirements"])
    return Coverage(rows(), frozenset(passed - failing), frozenset(failing), explained(), record["exit"] == 0)


def show(coverage: Coverage, threshold_percent: float, console: Console) -> None:
    """For people: a table per scope, then every row that is not traced, by name."""
    for title, scope in (("Rows in scope", True), ("Rows of later issues", False)):
        table = Table("area", *("rows", "traced", "%"), title=title, title_justify="left", min_width=44)
        for area, count, traced in coverage.areas(in_scope=scope):
            table.add_row(area, str(count), str(traced), f"{_percent(traced, count):.0f}")
        console.print(table)
    console.print(f"traced {coverage.percent:.1f}% of the rows in scope; wanted {threshold_percent:g}%")
    for heading, lines in (
        ("no passing test, no explanation:", [f"{row.id} ({row.area}) {row.statement}" for row in coverage.missing]),
        ("a marked test fails:", sorted(coverage.failing)),
        ("explained:", [f"{row}: {reason}" for row, reason in sorted(coverage.reasons.items())]),
        ("explained without need; delete from explained.toml:", list(coverage.stale)),
    ):
        if lines:
            console.print(f"\n{heading}")
            for line in lines:
                console.print(f"  {line}", markup=False, highlight=False)
    if not coverage.tests_passed:
        console.print("\nthe test run itself failed: see make test")


def run_tests(selection: Sequence[str]) -> tuple[dict[str, Any], str]:
    """(the plugin's record, pytest's output) of one run in this interpreter's environment."""
    with tempfile.TemporaryDirectory(prefix="requirements-") as directory:
        path = Path(directory) / "record.json"
        command = [sys.executable, "-m", "pytest", "-q", "--requirements-record", str(path), *selection]
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 (fixed program)
        if not path.exists():
            return {"exit": done.returncode or 1, "tests": []}, done.stdout + done.stderr
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return record, done.stdout


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 100.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance.catalogue.coverage", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    parser.add_argument("--threshold", type=float, default=DEFAULT_THRESHOLD_PERCENT, help="per cent traced, at least")
    parser.add_argument("--record", type=Path, help="judge this record instead of running the tests")
    chosen = parser.parse_args(arguments)
    if chosen.record:
        record, output = json.loads(chosen.record.read_text(encoding="utf-8")), ""
    else:
        record, output = run_tests(())
    coverage = judge(record)
    console = Console(soft_wrap=True)
    if chosen.json:
        console.print_json(data=coverage.plain(chosen.threshold))
    else:
        if not coverage.tests_passed:
            console.print(output, markup=False, highlight=False)
        show(coverage, chosen.threshold, console)
    return 0 if coverage.holds(chosen.threshold) else 1


if __name__ == "__main__":
    sys.exit(main())
