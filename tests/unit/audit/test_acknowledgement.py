"""Every sink is asked, none is believed beyond what it did, and the attempt says who accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.audit.acknowledgement import Sinks
from gateway.clock import SystemClock
from gateway.contracts.failures import Code
from gateway.contracts.references import AttemptId, CorrelationId
from gateway.contracts.signals import Event, Signal
from gateway.contracts.words import Environment
from gateway.lifecycle import Attempt, Identity

NOW = datetime(2030, 1, 7, 9, 0, tzinfo=UTC)


class StandingClock(SystemClock):
    def now(self) -> datetime:
        return NOW


@dataclass
class Sink:
    """One that does as it is told, and remembers what it was offered."""

    failing: BaseException | None = None
    late: bool = False
    offered: list[tuple[str, Event]] = field(default_factory=list)
    asked: int = 0

    async def _do(self) -> None:
        self.asked += 1
        if self.late:
            await asyncio.sleep(60)
        if self.failing is not None:
            raise self.failing

    async def ready(self) -> None:
        await self._do()

    async def accept(self, events: Sequence[tuple[str, Event]]) -> None:
        self.offered.extend(events)
        await self._do()


def sinks(**named: Any) -> Sinks:
    return Sinks(sinks=named, seconds=0.05, clock=StandingClock())


def attempt() -> Attempt:
    identity = Identity(
        attempt=AttemptId.random(),
        correlation=CorrelationId.random(),
        trace="0123456789abcdef" * 2,
        environment=Environment.SANDBOX,
    )
    return Attempt(identity=identity).record(Signal.TRIGGER_RECEIVED, NOW)


REFUSING = [Sink(failing=OSError()), Sink(failing=SystemExit()), Sink(late=True)]


@pytest.mark.requirement("GATE-29")
async def test_all_sinks_must_be_ready() -> None:
    one, other = Sink(), Sink()
    assert await sinks().ready()
    assert await sinks(one=one, other=other).ready()
    assert (one.asked, other.asked) == (1, 1)


@pytest.mark.requirement("GATE-29")
@pytest.mark.parametrize("refusing", REFUSING, ids=["raises", "exits", "late"])
async def test_one_sink_that_is_not_ready_is_enough(refusing: Sink) -> None:
    assert not await sinks(one=Sink(), refusing=refusing).ready()
    assert not await sinks(refusing=refusing, one=Sink()).ready()


async def test_every_sink_is_offered_the_very_links_and_the_attempt_says_that_it_accepted() -> None:
    before, one, other = attempt(), Sink(), Sink()
    after, accepted = await sinks(one=one, other=other).accept(before, before.pending)
    assert accepted
    assert one.offered == other.offered == [(link.hash, link.event) for link in before.pending]
    new = [link.event for link in after.pending[len(before.pending) :]]
    assert [(event.signal, event.sink, event.at, event.code) for event in new] == [
        (Signal.AUDIT_ACCEPTED, "one", NOW, None),
        (Signal.AUDIT_ACCEPTED, "other", NOW, None),
    ]


@pytest.mark.parametrize("refusing", REFUSING, ids=["raises", "exits", "late"])
async def test_a_refusal_is_told_by_name_and_takes_nothing_from_the_others(refusing: Sink) -> None:
    before, one = attempt(), Sink()
    after, accepted = await sinks(refusing=refusing, one=one).accept(before, before.pending)
    assert not accepted
    assert len(one.offered) == len(before.pending)
    new = [link.event for link in after.pending[len(before.pending) :]]
    assert [(event.signal, event.sink, event.at, event.code) for event in new] == [
        (Signal.AUDIT_FAILED, "refusing", NOW, Code.AUDIT_UNAVAILABLE),
        (Signal.AUDIT_ACCEPTED, "one", NOW, None),
    ]
