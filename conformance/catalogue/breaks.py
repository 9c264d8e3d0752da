"""`make breaks`: replay every recorded break of the code and see the named tests notice it.

Each worker has a copy of the tree, in which one break at a time replaces its `old` text by `new`; only
the named tests run there, importing the copy (the plugin refuses any other tree). A break is noticed
when each named test fails by assertion, or by the exception that the entry names: a broken import, a
collection error or a passing test is no evidence. First all named tests must pass in the unbroken copy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from conformance.catalogue import Row, read_toml, rows
from conformance.catalogue.copies import copies, run_tests
from conformance.catalogue.plugin import ASSERTION

WORKERS: Final = 2
TIMEOUT_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Break:
    """One recorded break; breaks.toml documents the fields."""

    requirements: tuple[str, ...]
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    exception: str = ASSERTION


@dataclass(frozen=True, slots=True)
class Result:
    """`complaint` is None where every named test noticed the break."""

    entry: Break
    complaint: str | None


def recorded() -> tuple[Break, ...]:
    return tuple(
        Break(
            requirements=tuple(entry["requirements"]),
            file=entry["file"],
            old=entry["old"],
            new=entry["new"],
            tests=tuple(entry["tests"]),
            exception=entry.get("exception", ASSERTION),
        )
        for entry in read_toml("breaks.toml")["break"]
    )


def apply(entry: Break, tree: Path) -> str | None:
    """Write the break into the copy; returns a complaint where its old text is not there exactly once."""
    path = tree / entry.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if (times := text.count(entry.old)) != 1:
        return f"old text found {times} times in {entry.file}"
    path.write_text(text.replace(entry.old, entry.new), encoding="utf-8")
    return None


def judge(entry: Break, tree: Path) -> Result:
    """Apply the break, run its tests, restore the copy."""
    path = tree / entry.file
    original = path.read_bytes() if path.is_file() else None
    try:
        if complaint := apply(entry, tree):
            return Result(entry, complaint)
        record, output = run_tests(tree, entry.tests, timeout_seconds=TIMEOUT_SECONDS)
    finally:
        if original is not None:
            path.write_bytes(original)
    if record is None:
        return Result(entry, f"the tests did not run: {output.strip().splitlines()[-1] if output.strip() else '?'}")
    return Result(entry, _unnoticed(entry, record["tests"]))


def _unnoticed(entry: Break, tests: Sequence[dict[str, Any]]) -> str | None:
    for named in entry.tests:
        ran = [test for test in tests if test["node"] == named or test["node"].startswith((named + "[", named + "::"))]
        failed = [test for test in ran if test["outcome"] == "failed"]
        if not failed:
            return f"survived: {named} ({len(ran)} ran)"
        if wrong := {test["exception"] for test in failed} - {entry.exception}:
            return f"{named} failed by {', '.join(sorted(map(str, wrong)))}, not {entry.exception}"
        carried = {row for test in ran for row in test["requirements"]}
        if not carried & set(entry.requirements):
            return f"{named} is not marked with any of {', '.join(entry.requirements)}"
    return None


def replay(entries: Sequence[Break], root: Path) -> list[Result]:
    """Judge every break, two at a time, each in a copy of its own; the order is the registry's."""
    with copies(root, WORKERS) as trees, ThreadPoolExecutor(WORKERS) as pool:
        named = sorted({test for entry in entries for test in entry.tests})
        with trees.one() as tree:
            record, output = run_tests(tree, named, timeout_seconds=TIMEOUT_SECONDS)
        if record is None or record["exit"] != 0:
            raise SystemExit(f"the named tests must pass before anything is broken:\n{output}")

        def one(entry: Break) -> Result:
            with trees.one() as copy:
                return judge(entry, copy)

        return list(pool.map(one, entries))


def unknown_rows(entries: Sequence[Break], known: Sequence[Row]) -> list[str]:
    ids = {row.id for row in known}
    return sorted({row for entry in entries for row in entry.requirements} - ids)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance.catalogue.breaks", description=__doc__)
    parser.add_argument("requirements", nargs="*", help="only breaks of these rows")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    chosen = parser.parse_args(arguments)
    entries = [e for e in recorded() if not chosen.requirements or set(e.requirements) & set(chosen.requirements)]
    if unknown := unknown_rows(entries, rows()):
        raise SystemExit(f"breaks.toml names rows that the catalogue does not have: {', '.join(unknown)}")
    if not entries:
        raise SystemExit("no recorded break for these rows")
    results = replay(entries, Path.cwd())
    survived = [result for result in results if result.complaint]
    broken_rows = {row for result in results if not result.complaint for row in result.entry.requirements}
    console = Console(soft_wrap=True)
    if chosen.json:
        listed = [
            {"requirements": r.entry.requirements, "file": r.entry.file, "noticed": not r.complaint, "why": r.complaint}
            for r in results
        ]
        console.print_json(data={"ok": not survived, "rows": len(broken_rows), "breaks": listed})
    else:
        table = Table("rows", "file", "noticed")
        for result in results:
            noticed = "NO" if result.complaint else "yes"
            table.add_row(", ".join(result.entry.requirements), result.entry.file, noticed)
        console.print(table)
        for result in survived:
            console.print(f"{result.complaint}\n    new text: {result.entry.new!r}", markup=False, highlight=False)
        console.print(f"{len(results) - len(survived)} of {len(results)} breaks noticed; {len(broken_rows)} rows")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
