"""What is shown: tables for people, and the measured parts of docs/benchmarks.md.

Owns: the page's marks. A measured part stands between two of them and is replaced as a whole; what stands around it is
written by hand and stays.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from rich import box
from rich.table import Table

from benchmarks.contestants import CONTESTANTS
from benchmarks.figures import Figures
from benchmarks.growth import LIMIT, WARM, Growth
from benchmarks.profiling import Profile
from benchmarks.report import Cell, Report, Target

PAGE: Final = Path(__file__).parent.parent / "docs" / "benchmarks.md"
HEADS: Final = (
    "contestant",
    "at once",
    "p50 ms",
    "p99 ms",
    "per s",
    "CPU ms",
    "DB CPU ms",
    "syncs",
)
PROFILE_HEADS: Final = ("", "ms per commit", "share")
RATIO_HEADS: Final = ("ratio", "found", "target", "met")


def tables(report: Report) -> Iterator[Table]:
    """For a terminal."""
    yield _table("one run", HEADS, rows(report))
    yield _table("ratios within it", RATIO_HEADS, [_ratio(target) for target in report.targets()])


def markdown(report: Report) -> str:
    """For the page: machine, figures, ratios."""
    shares = ", ".join(f"{count} at {at_once}" for at_once, count in report.counts.items())
    parts = [
        "; ".join(f"{name} {value}" for name, value in report.machine.items()) + ".",
        f"{report.rounds} counted rounds; bookings of a contestant in each: {shares}.",
        _grid(HEADS, rows(report)),
        _grid(RATIO_HEADS, [_ratio(target) for target in report.targets()]),
    ]
    return "\n\n".join(parts)


def rows(report: Report) -> list[Sequence[str]]:
    """Contestants in the table's order, each by concurrency."""
    order = list(CONTESTANTS)
    cells = sorted(report.figures.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    return [_row(report, cell, found) for cell, found in cells]


def _row(report: Report, cell: Cell, found: Figures) -> Sequence[str]:
    name, at_once = cell
    syncs = report.syncs.get(cell)
    return (
        CONTESTANTS[name].title,
        str(at_once),
        f"{found.p50:.1f}",
        f"{found.p99:.1f}",
        f"{found.rate:.0f}",
        f"{found.cpu:.1f}",
        f"{found.server_cpu:.1f}" if CONTESTANTS[name].database else "",
        f"{syncs.total:.1f}" if syncs else "",
    )


def _ratio(target: Target) -> Sequence[str]:
    if target.limit is None:
        return (target.what, f"{target.ratio:.2f}", "", "")
    bound = "at most" if target.at_most else "at least"
    return (target.what, f"{target.ratio:.2f}", f"{bound} {target.limit:g}", "yes" if target.met else "**no**")


def profile_tables(found: Profile, top: int) -> Iterator[Table]:
    """For a terminal: layers, libraries, and the functions that cost most."""
    samples = found.samples
    for title, counted in (
        (f"{_profile_title(found)}, by layer: the innermost one that asked for the work", samples.layers),
        ("by library: the one at work", samples.libraries),
        ("functions, by themselves", samples.own),
        ("our functions, with all that they call", samples.cumulative),
    ):
        yield _table(title, PROFILE_HEADS, _spent(found, counted, top))


def profile_markdown(found: Profile) -> str:
    """For the page: layers, and libraries."""
    return "\n\n".join(
        (
            f"{_profile_title(found)}.",
            _grid(("layer", *PROFILE_HEADS[1:]), _spent(found, found.samples.layers, 20)),
            _grid(("library at work", *PROFILE_HEADS[1:]), _spent(found, found.samples.libraries, 10)),
        )
    )


def _profile_title(found: Profile) -> str:
    return f"{found.commits} commits one at a time, p50 {found.p50:.2f} ms, mean {found.mean:.2f} ms"


def _spent(found: Profile, counted: Counter[str], top: int) -> list[Sequence[str]]:
    return [(name, f"{spent:.2f}", f"{100 * share:.1f} %") for name, spent, share in found.spent(counted, top)]


def growth_table(found: Growth) -> Table:
    """For a terminal."""
    return _table(_growth_title(found), _growth_heads(found), _growth_rows(found))


def growth_markdown(found: Growth) -> str:
    """For the page."""
    return f"{_growth_title(found)}.\n\n{_grid(_growth_heads(found), _growth_rows(found))}"


def _growth_title(found: Growth) -> str:
    sides = [f"{side.attempts:,} attempts in {side.size / 1e9:.2f} GB" for side in (found.small, found.large)]
    kept = f"events of the latest {found.large.with_events:,}"
    met = "met" if found.met else "**not met**"
    return f'{sides[0]}; {sides[1]}, with the {kept}. Target, p50 of "{WARM}" within {LIMIT:g}: {met}'


def _growth_heads(found: Growth) -> Sequence[str]:
    names = [f"{side.attempts:,}" for side in (found.small, found.large)]
    return ("ms", *(f"{what}, {name}" for name in names for what in ("p50", "p99")), "ratio of p50")


def _growth_rows(found: Growth) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [
        (
            line.what,
            *(f"{side[what]:.1f}" for side in (line.small, line.large) for what in ("p50", "p99")),
            f"{line.ratio:.2f}",
        )
        for line in found.lines
    ]
    one, other = found.opening
    return [*rows, ("opening the gateway, once", f"{one:.0f}", "", f"{other:.0f}", "", f"{other / one:.2f}")]


def replace(part: str, text: str, page: Path = PAGE) -> None:
    """Put `text` between the page's marks of that part; raises ValueError where they are not exactly once there."""
    begin, end = f"<!-- measured: {part} -->", f"<!-- end: {part} -->"
    found = page.read_text(encoding="utf-8")
    made, count = re.subn(
        re.escape(begin) + r".*?" + re.escape(end), lambda _: f"{begin}\n\n{text}\n\n{end}", found, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"{page.name} has no place for what was measured: {part}")
    page.write_text(made, encoding="utf-8")


def _table(title: str, heads: Sequence[str], body: Sequence[Sequence[str]]) -> Table:
    shown = Table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0))
    for number, head in enumerate(heads):
        shown.add_column(head, justify="left" if number == 0 else "right", no_wrap=number > 0)
    for row in body:
        shown.add_row(*(cell.replace("**", "") for cell in row))
    return shown


def _grid(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in heads[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, rule, *body))
