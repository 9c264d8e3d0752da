"""One run as a value: the figures, the syncs, the targets that were set, and whether they are met.

Owns: the targets (issue "Proof under fire") and how each is judged. Like is compared with the peer at its best: a rate
counts against the faster of a peer's databases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.contestants import CONTESTANTS
from benchmarks.figures import Figures
from benchmarks.syncs import Syncs

Cell = tuple[str, int]
FLOOR: Final = "floor"
BLOCKING: Final = "floor-blocking"
OURS: Final = ("gateway-sqlite", "gateway-postgres")
P50_TO_FLOOR: Final = 1.5
BUSY: Final = 64
RATES: Final[Mapping[str, float]] = {"DBOS": 3.0, "agent-runtime-governance": 5.0}
"""Peer, by how its titles begin, to the ratio of rates at `BUSY` callers that is to be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One ratio: `limit` is at most, or at least, what was set; None where the ratio is shown for information."""

    what: str
    ratio: float
    limit: float | None
    at_most: bool

    @property
    def met(self) -> bool | None:
        if self.limit is None:
            return None
        return self.ratio <= self.limit if self.at_most else self.ratio >= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`syncs` lacks what could not be counted; `rounds` and `counts` say how much was measured."""

    machine: Mapping[str, str]
    figures: Mapping[Cell, Figures]
    syncs: Mapping[Cell, Syncs]
    rounds: int
    counts: Mapping[int, int]

    def targets(self) -> Iterator[Target]:
        for name in OURS:
            yield from self._to_floors(name)
            for peer, limit in RATES.items():
                yield from self._to_peer(name, peer, limit)
        for floor in (FLOOR, BLOCKING):  # what the work alone would reach: no target, and the measure of all targets
            for peer in RATES:
                yield from self._to_peer(floor, peer, None)

    def _to_floors(self, name: str) -> Iterator[Target]:
        mine = self.figures.get((name, 1))
        for floor, limit in ((FLOOR, P50_TO_FLOOR), (BLOCKING, None)):
            least = self.figures.get((floor, 1))
            if mine and least:
                what = f"p50, one at a time: {_title(name)} ÷ {_title(floor)}"
                yield Target(what=what, ratio=mine.p50 / least.p50, limit=limit, at_most=True)

    def _to_peer(self, name: str, peer: str, limit: float | None) -> Iterator[Target]:
        mine = self.figures.get((name, BUSY))
        theirs = [
            (cell.rate, each)
            for (each, at_once), cell in self.figures.items()
            if at_once == BUSY and _title(each).startswith(peer)
        ]
        if mine and theirs:
            rate, best = max(theirs)
            what = f"rate, {BUSY} at once: {_title(name)} ÷ {_title(best)}"
            yield Target(what=what, ratio=mine.rate / rate, limit=limit, at_most=False)

    def plain(self) -> dict[str, Any]:
        """For programs."""
        return {
            "machine": dict(self.machine),
            "rounds": self.rounds,
            "bookings_of_a_share": {str(at_once): count for at_once, count in self.counts.items()},
            "cells": [
                {"name": name, "at_once": at_once, **asdict(cell)}
                | ({"syncs": asdict(self.syncs[name, at_once])} if (name, at_once) in self.syncs else {})
                for (name, at_once), cell in self.figures.items()
            ],
            "ratios": [asdict(target) | {"met": target.met} for target in self.targets()],
        }


def _title(name: str) -> str:
    return CONTESTANTS[name].title
