"""What went through the proxy: every exchange in order, the budget of writes, and requests held to overlap.

Owns: the proxy's account. Invariant: a mutating request is counted against the budget in the same step in which it
is handed to the system, so that no two can share the last place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from conformance.faults import Exchange


class NotForwardedError(Exception):
    """A mutating request beyond what the run may write."""


@dataclass(slots=True)
class Overlap:
    """Mutating requests, complete and about to be forwarded, held until `parties` are there.

    The time begins with the first. `reached` counts those that were there when the hold ended; later ones pass.
    """

    parties: int
    seconds: float
    reached: int = 0
    _open: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    async def hold(self) -> None:
        """Wait for the others. All waiting tasks go on in one turn of the loop: each hands over its request
        before any reply is read."""
        if self._open.is_set():
            return
        self.reached += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.seconds, self._open.set)
        if self.reached >= self.parties:
            self.release()
        await self._open.wait()

    def release(self) -> None:
        """End the hold now."""
        self._open.set()
        if self._timer is not None:
            self._timer.cancel()


@dataclass(slots=True)
class Traffic:
    """`budget` mutating requests may be forwarded; none where `read_only`. `before` is told of each first."""

    budget: int
    read_only: bool
    before: Callable[[Exchange], None] = field(default=lambda exchange: None, repr=False)
    exchanges: list[Exchange] = field(default_factory=list)
    refused: list[Exchange] = field(default_factory=list)
    writes: int = 0
    overlap: Overlap | None = None
    still: asyncio.Event = field(default_factory=asyncio.Event)
    _under_way: int = 0

    def __post_init__(self) -> None:
        self.still.set()

    def begin(self, method: str, target: str, *, mutating: bool, arrived: float) -> Exchange:
        """A request whose kind is known has arrived."""
        exchange = Exchange(len(self.exchanges) + 1, method, target, mutating, arrived=arrived)
        self.exchanges.append(exchange)
        return exchange

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """From a request's first byte until nothing more happens at either end."""
        self._under_way += 1
        self.still.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if self._under_way == 0:
                self.still.set()

    async def admit(self, exchange: Exchange) -> None:
        """Called just before the request is handed to the system. Raises `NotForwardedError`."""
        if not exchange.mutating:
            return
        if self.overlap is not None:
            await self.overlap.hold()
        if self.read_only or self.writes >= self.budget:
            self.refused.append(exchange)
            raise NotForwardedError
        self.writes += 1
        self.before(exchange)
