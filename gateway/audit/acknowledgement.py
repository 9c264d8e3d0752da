"""Asking every configured sink to acknowledge events before the attempt goes on (I6, GATE-29).

The journal is the first keeper and always there (AUDIT-19); these are the further ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from gateway.boundary.containment import contained
from gateway.clock import Clock
from gateway.contracts.chain import Link
from gateway.contracts.failures import Code
from gateway.contracts.signals import Signal
from gateway.hookspecs import AuditSink
from gateway.lifecycle import Attempt

JOURNAL = "journal"
"""The name under which the journal's own acknowledgement is recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sinks:
    """All sinks, asked at once, each bounded in time."""

    sinks: Mapping[str, AuditSink]
    seconds: float
    clock: Clock

    async def ready(self) -> bool:
        """Whether every sink proves now that it can take events."""
        answers = await asyncio.gather(*(self._acknowledged(sink.ready) for sink in self.sinks.values()))
        return all(answers)

    async def accept(self, attempt: Attempt, links: Sequence[Link]) -> tuple[Attempt, bool]:
        """Offer `links`, the attempt's own, to every sink; the attempt then says who accepted."""
        events = [(link.hash, link.event) for link in links]
        offers = [self._acknowledged(partial(sink.accept, events)) for sink in self.sinks.values()]
        answers = await asyncio.gather(*offers)
        for name, accepted in zip(self.sinks, answers, strict=True):
            if accepted:
                attempt = attempt.record(Signal.AUDIT_ACCEPTED, self.clock.now(), sink=name)
            else:
                attempt = attempt.record(Signal.AUDIT_FAILED, self.clock.now(), sink=name, code=Code.AUDIT_UNAVAILABLE)
        return attempt, all(answers)

    async def _acknowledged(self, ask: Callable[[], Awaitable[None]]) -> bool:
        """Whether the sink returned in time; whatever else it does, AuditFailed records the fact."""
        ending = await contained(ask, self.seconds)
        return ending.raised is None and not ending.late
