"""Clocks that step, machines that sleep, relays that are slow, and processes that are cut off in mid-commit."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.faults import Action, Fault
from gateway.config import Bounds
from gateway.contracts.adapter import Authorized, Basis, Commitment, Descriptor, Observation, Query, Receipt
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code
from gateway.contracts.statements import Finding
from gateway.contracts.words import Effect, ObservationFinding, State
from gateway.errors import Conflict


class BlindAdapter(SandboxAdapter):
    """Its system answers look-ups from a copy that does not hold the write yet. `seconds` fill the descriptor."""

    def __init__(self, **seconds: int) -> None:
        self.seconds = seconds

    def describe(self, connection: Connection) -> Descriptor:
        details: dict[str, Any] = dict(self.seconds)
        if "relay_seconds" in details:
            details["commitment"] = Commitment.RELAYED
        return super().describe(connection).model_copy(update=details)

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        await read.get("/health")
        return Observation(finding=ObservationFinding.ABSENT, basis=Basis.BY_KEY)


class TestAbsenceTooEarly:
    @pytest.mark.requirement("CARD-13")
    async def test_absence_is_not_believed_while_a_relay_may_still_deliver(self, world: Any) -> None:
        async with world.gateway() as gateway:
            world.adopt(gateway, BlindAdapter(relay_seconds=3600))
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            outcome = await world.rehearsal.commit(gateway, proposal)
            assert (outcome.effect, outcome.code) == (Effect.UNKNOWN, Code.ACCEPTED_PENDING)
            world.clock.wall = timedelta(minutes=5)
            early = await world.rehearsal.observe(gateway, proposal, outcome)
            with pytest.raises(Conflict):
                await world.rehearsal.resolve(gateway, early, Finding.ABSENT)
            world.clock.wall = timedelta(hours=2)
            late = await world.rehearsal.observe(gateway, proposal, outcome)
        assert early.observation.finding is ObservationFinding.INDETERMINATE
        assert late.observation.finding is ObservationFinding.ABSENT

    async def test_a_clock_put_forward_in_mid_commit_does_not_shorten_the_settling_time(self, world: Any) -> None:
        """The deadline was reckoned by the old clock; the effect is as young as the attempt's close."""

        class Stepping(BlindAdapter):
            async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
                world.clock.wall = timedelta(hours=1)
                return await super().commit(authorized, write)

        async with world.gateway() as gateway:
            world.adopt(gateway, Stepping(settling_seconds=30))
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            world.arm(Fault.DROP_AFTER, Action.BOOK)
            outcome = await world.rehearsal.commit(gateway, proposal)
            assert outcome.effect is Effect.UNKNOWN
            early = await world.rehearsal.observe(gateway, proposal, outcome)
            world.clock.wall += timedelta(seconds=31)
            late = await world.rehearsal.observe(gateway, proposal, outcome)
        assert early.observation.finding is ObservationFinding.INDETERMINATE
        assert late.observation.finding is ObservationFinding.ABSENT
        assert len(await world.appointments()) == 1


class TestAnAuthorizationThatOutlivedItself:
    @pytest.mark.requirement("CARD-08")
    async def test_a_machine_that_slept_between_gates_and_dispatch_does_not_dispatch(self, world: Any) -> None:
        """Monotonic time stood still; the wall clock went on."""
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())

            async def sleep() -> None:
                world.clock.wall = timedelta(hours=1)

            world.after_intent(gateway, sleep)
            outcome = await world.rehearsal.commit(gateway, proposal)
        assert (outcome.state, outcome.code) == (State.BLOCKED, Code.AUTHORIZATION_EXPIRED)
        assert outcome.effect is Effect.NOT_SENT
        assert await world.sent() == 0

    @pytest.mark.requirement("CARD-08")
    async def test_leave_to_dispatch_ends_with_what_it_rests_on(self, make_world: Any) -> None:
        """The gates judged approval and proposal as of the attempt's beginning; both have expired since."""
        world = await make_world(bounds=Bounds(authorization_seconds=60))
        async with world.gateway() as gateway:
            expires = world.clock.now() + timedelta(seconds=40)
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol(), expires_at=expires)

            async def dawdle() -> None:
                world.clock.wall = timedelta(seconds=41)

            world.after_intent(gateway, dawdle)
            outcome = await world.rehearsal.commit(gateway, proposal)
        assert (outcome.state, outcome.code) == (State.BLOCKED, Code.AUTHORIZATION_EXPIRED)
        assert outcome.effect is Effect.NOT_SENT
        assert await world.sent() == 0

    @pytest.mark.requirement("CARD-08")
    async def test_a_clock_put_back_does_not_prolong_an_authorization(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())

            async def put_back() -> None:
                world.clock.wall = timedelta(hours=-1)
                world.clock.monotonic_ahead = 3600

            world.after_intent(gateway, put_back)
            outcome = await world.rehearsal.commit(gateway, proposal)
        assert (outcome.state, outcome.code) == (State.BLOCKED, Code.AUTHORIZATION_EXPIRED)
        assert await world.sent() == 0


async def test_a_program_interrupted_in_mid_commit_still_records_the_outcome(world: Any) -> None:
    """Ctrl-C cancels the program's own task; the gateway lets its attempt finish before it lets go of the journal."""
    heard: list[str] = []

    async def program() -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            trigger = world.rehearsal.trigger(proposal, await world.rehearsal.decide(gateway, proposal))
            heard.append(trigger)
            world.arm(Fault.DELAY_AFTER, Action.BOOK, milliseconds=300)
            await gateway.commit(trigger)

    running = asyncio.create_task(program())
    while not await world.sent():
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with world.gateway() as gateway:
        assert gateway.recovered == ()
        outcome = await gateway.commit(heard[0])
    assert (outcome.state, outcome.effect, outcome.replayed) == (State.SUCCEEDED, Effect.APPLIED, True)
    assert await world.sent() == 1
