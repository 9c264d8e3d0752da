"""The armed fault: which exchange it is meant for, and the receipt of what it did.

Owns: one fault at a time. A fault belongs to the exchange that takes it; with `once` nobody else gets it, even if it
then could not strike. Invariant: `fired` counts strikes, never intentions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from conformance.faults import Exchange, Fault, Point, Receipt, Which

_MAX_FACTS: Final = 16


@dataclass(slots=True)
class Armed:
    """One armed fault. `released` ends what it holds back."""

    fault: Fault
    receipt: Receipt
    strike: Callable[[], bool] | None = None
    taken: bool = False
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def point(self) -> Point:
        return self.fault.point

    def hit(self, exchange: Exchange | None) -> bool:
        """The point is reached: true where the exchange breaks here, false where a strike wants it to go on."""
        self.receipt.fired += 1
        if exchange is not None:
            exchange.point = self.point
            self.receipt.exchange = self.receipt.exchange or exchange.number
            self.follow(exchange)
        return self.strike is None or self.strike()

    def follow(self, exchange: Exchange) -> None:
        """Note how far the struck exchange has come."""
        if exchange.point is self.point:
            self.receipt.forwarded = exchange.forwarded is not None
            self.receipt.answered = exchange.answered is not None

    def note(self, fact: str) -> None:
        """One fact, once, in the proxy's own words; the first sixteen."""
        if fact not in self.receipt.facts and len(self.receipt.facts) < _MAX_FACTS:
            self.receipt.facts.append(fact)


@dataclass(slots=True)
class Switch:
    """Holds at most one armed fault; with `faults` false it holds none, whatever is armed."""

    faults: bool
    _armed: Armed | None = None

    def arm(self, armed: Armed) -> None:
        self.disarm()
        if self.faults:
            self._armed = armed
        else:
            armed.note("the proxy's faults are switched off")

    def disarm(self) -> Armed | None:
        """Release what the fault holds; returns it."""
        armed, self._armed = self._armed, None
        if armed is not None:
            armed.released.set()
        return armed

    def waiting(self, points: Collection[Point]) -> Armed | None:
        """The armed fault, if it is at one of these points and may still strike. Nobody has taken it by this."""
        armed = self._armed
        if armed is None or armed.point not in points or (armed.fault.once and armed.taken):
            return None
        return armed

    def take(self, points: Collection[Point], *, mutating: bool | None) -> Armed | None:
        """The same, for an exchange of this kind (None: not known yet), which has taken it from now on."""
        armed = self.waiting(points)
        if armed is None or mutating not in (None, armed.fault.which is Which.MUTATION):
            return None
        armed.taken = True
        return armed
