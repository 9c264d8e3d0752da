"""What a run of many histories came to, told to people, to programs and on the page.

Owns: adding up histories, and which totals make a run fail. A run of full size that missed a reachable cell fails; a
shorter one only says how many it missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rich.table import Table

from conformance.documents.markdown import table
from exploration.cells import NOT_REACHABLE, Cell, Coverage, reachable
from exploration.history import Told

FULL: Final = 1_000_000
"""Attempts from which on every reachable cell must have been hit."""


@dataclass(slots=True)
class Totals:
    """Sums over histories. `failed` are the histories in which a rule was broken; `last` is the highest seed begun."""

    attempts: int = 0
    histories: int = 0
    executed: int = 0
    mutating: int = 0
    last: int = 0
    cpu_seconds: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    met: Counter[Cell] = field(default_factory=Counter)
    failed: list[Told] = field(default_factory=list)

    def add(self, told: Told) -> None:
        self.histories += 1
        self.attempts += told.attempts
        self.executed += told.executed
        self.mutating += told.mutating
        self.cpu_seconds += told.cpu_seconds
        self.last = max(self.last, int(told.seed))
        self.ends += told.ends
        self.codes += told.codes
        self.events += told.events
        self.met += told.met
        if told.violation is not None:
            self.failed.append(told)

    @property
    def coverage(self) -> Coverage:
        return Coverage(self.met)

    @property
    def misfortunes(self) -> dict[str, int]:
        """Faults at ports, and what befell whoever was waiting."""
        counted = Counter("fault" if cell.port != "anywhere" else cell.fault for cell in self.met.elements())
        return dict(counted.most_common())

    @property
    def faults(self) -> list[str]:
        """Why this run fails; empty where it does not."""
        said = [f"seed {told.seed}: {told.violation}" for told in self.failed]
        said += [f"a misfortune in a cell that is not declared: {cell}" for cell in self.coverage.undeclared]
        if self.attempts >= FULL:
            said += [f"never hit: {cell}" for cell in self.coverage.unhit]
        return said

    # -- told -------------------------------------------------------------------------------------------

    def plain(self) -> dict[str, Any]:
        """For JSON; `read` understands it."""
        return {
            "attempts": self.attempts,
            "histories": self.histories,
            "executed": self.executed,
            "mutating_requests": self.mutating,
            "last_seed": self.last,
            "cpu_seconds": round(self.cpu_seconds, 1),
            "ends": dict(self.ends.most_common()),
            "codes": dict(self.codes.most_common()),
            "events": dict(self.events.most_common()),
            "cells": self.coverage.plain(),
            "undeclared": [list(cell) for cell in self.coverage.undeclared],
            "violations": [{"seed": told.seed, "violation": told.violation} for told in self.failed],
        }

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Totals:
        """A run that stopped in good order, to be gone on with. Raises `ValueError` where it had failed."""
        if plain["violations"] or plain["undeclared"]:
            raise ValueError("that run had failed; it cannot be gone on with")
        met = Counter({Cell(one["phase"], one["port"], one["fault"]): one["count"] for one in plain["cells"]})
        return cls(
            attempts=plain["attempts"],
            histories=plain["histories"],
            executed=plain["executed"],
            mutating=plain["mutating_requests"],
            last=plain["last_seed"],
            cpu_seconds=plain["cpu_seconds"],
            ends=Counter(plain["ends"]),
            codes=Counter(plain["codes"]),
            events=Counter(plain["events"]),
            met=+met,
        )

    def summary(self) -> Iterator[tuple[str, str]]:
        """Each total with its name."""
        coverage = self.coverage
        yield "attempts", f"{self.attempts:,} in {self.histories:,} histories"
        yield "executed (an intent was recorded)", f"{self.executed:,}"
        yield "mutating requests that the system received", f"{self.mutating:,}"
        yield "replayed", f"{self.ends['replayed']:,}"
        yield "violations", f"{len(self.failed):,}"
        hit = len(reachable()) - len(coverage.unhit)
        yield "cells hit", f"{hit} of {len(reachable())}, the rarest {coverage.rarest:,} times"
        yield "ends", _counted(self.ends)
        yield "misfortunes", _counted(self.misfortunes)
        yield "what happened", _counted(dict(self.events.most_common()))
        yield "codes", f"{len(self.codes)} different"
        yield "CPU", f"{self.cpu_seconds:,.0f} s, {1000 * self.cpu_seconds / max(1, self.attempts):.2f} ms per attempt"

    def tables(self) -> Iterator[Table]:
        """For people."""
        summary = Table(title="random simulation", show_header=False)
        for name, value in self.summary():
            summary.add_row(name, value)
        yield summary
        cells = Table("phase", "attempt's state", "where", "hits", "of them", title="cells")
        for phase, state, port, hits, faults in self.coverage.rows():
            cells.add_row(phase, state, port, f"{hits:,}", faults)
        yield cells

    def page(self) -> Iterator[str]:
        """The same as Markdown."""
        yield from table(("", ""), self.summary())
        yield ""
        rows = self.coverage.rows()
        head = ("phase", "attempt's state", "where", "hits", "of them")
        yield from table(head, ((a, b, f"`{port}`", f"{hits:,}", faults) for a, b, port, hits, faults in rows))
        yield ""
        yield "Not among the cells:"
        yield ""
        yield from (f"- {reason}" for reason in NOT_REACHABLE)


def _counted(counts: Mapping[str, int]) -> str:
    ordered: Iterable[tuple[str, int]] = sorted(counts.items(), key=lambda each: -each[1])
    return ", ".join(f"{name} {count:,}" for name, count in ordered if count)
