"""What is shown: a table for people, and the measured part of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from benchmarks.contestants import CONTESTANTS
from benchmarks.figures import Figures


def console_table(found: Mapping[tuple[str, int], Figures]) -> Table:
    shown = Table("contestant", "at once", "p50 ms", "p99 ms", "per second", "CPU ms", "× floor", title="one run")
    floor = found.get(("floor", 1))
    for (name, concurrency), cell in found.items():
        ratio = f"{cell.p50 / floor.p50:.2f}" if floor and concurrency == 1 else ""
        shown.add_row(
            CONTESTANTS[name].title,
            str(concurrency),
            f"{cell.p50:.2f}",
            f"{cell.p99:.2f}",
            f"{cell.rate:.0f}",
            f"{cell.cpu:.2f}",
            ratio,
        )
    return shown
