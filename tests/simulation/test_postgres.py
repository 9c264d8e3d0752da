"""The whole gateway over PostgreSQL: the same ends, and what a lost server means before and after dispatch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox.faults import Action, Fault
from gateway import config
from gateway.audit import verify_file
from gateway.config import PluginUse
from gateway.contracts.failures import Code
from gateway.contracts.signals import Event, Signal
from gateway.contracts.words import ApprovalUse, Effect, State
from gateway.gateway import Gateway
from gateway.hookspecs import hookimpl
from gateway.surfaces.local import OPERATOR
from gateway.testing.postgres_wire import Cut

INTENT, EFFECT = (signal.value.encode() for signal in (Signal.INTENT_RECORDED, Signal.EFFECT_RECORDED))
RECORDED = (Cut.SENT, Cut.AFTER, Cut.UNFINISHED)


class Between:
    """A sink that acts between the intent and its dispatch, or wherever it is asked."""

    def __init__(self, *, anywhere: bool = False) -> None:
        self.act: Callable[[], Awaitable[Any]] | None = None
        self.anywhere = anywhere

    async def ready(self) -> None:
        return None

    async def accept(self, events: Sequence[tuple[str, Event]]) -> None:
        if self.act is not None and (
            self.anywhere or any(event.signal is Signal.INTENT_RECORDED for _, event in events)
        ):
            await self.act()

    @hookimpl
    def gateway_audit_sinks(self, name: str, options: Mapping[str, str], home: Path) -> Mapping[str, Any]:
        return {"between": self}


@pytest.fixture
def through(postgres_wire: Any, postgres_url: str) -> str:
    """The test's own schema, over the wire that can be cut."""
    options = postgres_url.rpartition("&")[2]
    return f"postgresql://gateway@127.0.0.1:{postgres_wire.port}/postgres?sslmode=disable&gssencmode=disable&{options}"


async def approved(world: Any, gateway: Gateway) -> tuple[Any, str]:
    proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
    return proposal, world.rehearsal.trigger(proposal, await world.rehearsal.decide(gateway, proposal))


def of(outcome: Any) -> tuple[State, Code, Effect | None]:
    return outcome.state, outcome.code, outcome.effect


def backend(gateway: Gateway) -> int:
    """The server's process behind the owner's session."""
    journal: Any = gateway.ports.journal
    number: int = journal._writer._session.connection._raw.info.backend_pid
    return number


def intact(world: Any, url: str) -> bool:
    """Asked of the server itself: verification blocks the loop on which the wire lives."""
    return verify_file(url, [], config.load(world.local.home).keys).intact


async def test_each_effect_is_recorded_replayed_and_verified(make_world: Any, postgres_url: str) -> None:
    world = await make_world(journal=postgres_url)
    ends = {
        None: (State.SUCCEEDED, Code.COMMITTED, Effect.APPLIED),
        Fault.FORBIDDEN: (State.ERROR, Code.EXTERNAL_FORBIDDEN, Effect.REFUSED),
        Fault.DROP_AFTER: (State.ERROR, Code.CONNECTION_LOST, Effect.UNKNOWN),
    }
    given = []
    async with world.gateway() as gateway:
        for fault, end in ends.items():
            if fault is not None:
                world.arm(fault, Action.BOOK)
            _, trigger = await approved(world, gateway)
            outcome = await gateway.commit(trigger)
            assert of(outcome) == end
            given.append((trigger, outcome))
    async with world.gateway() as gateway:
        assert gateway.recovered == ()
        for trigger, outcome in given:
            assert (await gateway.commit(trigger)).model_copy(update={"replayed": False}) == outcome
    assert await world.sent() == 3
    assert intact(world, postgres_url)


@pytest.mark.requirement("DEP-03", "CARD-04")
@pytest.mark.parametrize("cut", Cut)
async def test_a_server_lost_at_the_intent_blocks_and_the_approval_stays_usable(
    make_world: Any, postgres_wire: Any, postgres_url: str, through: str, cut: Cut
) -> None:
    world = await make_world(journal=through)
    async with world.gateway() as gateway:
        proposal, trigger = await approved(world, gateway)
        postgres_wire.arm(cut, INTENT)
        outcome = await gateway.commit(trigger)
        assert not postgres_wire.armed
        assert await world.sent() == 0
        assert outcome.recorded
        assert (outcome.state, outcome.code, outcome.approval) == (
            State.BLOCKED,
            Code.AUDIT_UNAVAILABLE,
            ApprovalUse.USABLE,
        )
        assert outcome.effect is (Effect.NOT_SENT if cut in RECORDED else None)
        approval = (await gateway.attempt(outcome.attempt)).header.approval
        again = await gateway.commit(world.rehearsal.trigger(proposal, approval))
    assert of(again) == (State.SUCCEEDED, Code.COMMITTED, Effect.APPLIED)
    assert await world.sent() == 1
    assert intact(world, postgres_url)


@pytest.mark.requirement("DEP-03")
@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
async def test_an_intent_in_doubt_while_the_server_is_away_dispatches_nothing_and_nothing_after_it(
    make_world: Any, postgres_wire: Any, postgres_url: str, through: str, cut: Cut
) -> None:
    world = await make_world(journal=through)
    async with world.gateway() as gateway:
        (_, trigger), (_, other) = await approved(world, gateway), await approved(world, gateway)
        postgres_wire.arm(cut, INTENT)
        postgres_wire.closed = True
        outcome = await gateway.commit(trigger)
        assert of(outcome)[:2] == (State.BLOCKED, Code.AUDIT_UNAVAILABLE)
        assert not outcome.recorded
        postgres_wire.closed = False
        assert of(await gateway.commit(other))[:2] == (State.BLOCKED, Code.AUDIT_UNAVAILABLE)
    async with world.gateway() as gateway:
        assert [of(each) for each in gateway.recovered] == (
            [(State.ERROR, Code.OWNER_DIED, Effect.UNKNOWN)] if cut in RECORDED else []
        )
    assert await world.sent() == 0
    assert intact(world, postgres_url)


@pytest.mark.requirement("DEP-03")
@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
async def test_an_intent_in_doubt_is_blocked_once_the_server_is_back(
    make_world: Any, postgres_wire: Any, postgres_url: str, through: str, cut: Cut
) -> None:
    """The server is away when it is asked what is recorded, and back when the end is."""
    between = Between(anywhere=True)
    world = await make_world(journal=through, sinks=(PluginUse(name="between"),))
    async with world.gateway(plugins=[between]) as gateway:
        proposal, trigger = await approved(world, gateway)
        postgres_wire.arm(cut, INTENT)
        postgres_wire.closed = True

        async def back() -> None:
            postgres_wire.closed = False

        between.act = back
        outcome = await gateway.commit(trigger)
        assert outcome.recorded
        assert of(outcome) == (State.BLOCKED, Code.AUDIT_UNAVAILABLE, Effect.NOT_SENT if cut in RECORDED else None)
        assert outcome.approval is ApprovalUse.USABLE
        approval = (await gateway.attempt(outcome.attempt)).header.approval
    async with world.gateway(plugins=[Between()]) as gateway:
        assert gateway.recovered == ()
        again = await gateway.commit(world.rehearsal.trigger(proposal, approval))
        assert of(again) == (State.SUCCEEDED, Code.COMMITTED, Effect.APPLIED)
    assert await world.sent() == 1
    assert intact(world, postgres_url)


@pytest.mark.requirement("CARD-04")
@pytest.mark.parametrize(("cut", "away"), [*((cut, False) for cut in Cut), (Cut.BEFORE, True), (Cut.AFTER, True)])
async def test_a_server_lost_at_the_outcome_is_unknown_unless_it_is_found_recorded(
    make_world: Any, postgres_wire: Any, postgres_url: str, through: str, cut: Cut, away: bool
) -> None:
    world = await make_world(journal=through)
    async with world.gateway() as gateway:
        (_, trigger), (_, other) = await approved(world, gateway), await approved(world, gateway)
        postgres_wire.arm(cut, EFFECT)
        postgres_wire.closed = away
        outcome = await gateway.commit(trigger)
        postgres_wire.closed = False
        if cut in RECORDED and not away:
            assert of(outcome) == (State.SUCCEEDED, Code.COMMITTED, Effect.APPLIED)
            assert of(await gateway.commit(other)) == of(outcome)
        else:
            assert of(outcome) == (State.ERROR, Code.OUTCOME_UNRECORDED, Effect.UNKNOWN)
            assert not outcome.recorded
            assert of(await gateway.commit(other))[:2] == (State.BLOCKED, Code.AUDIT_UNAVAILABLE)
    async with world.gateway() as gateway:
        again = await gateway.commit(trigger)
    known = (State.SUCCEEDED, Code.COMMITTED, Effect.APPLIED)
    assert of(again) == (known if cut in RECORDED else (State.ERROR, Code.OWNER_DIED, Effect.UNKNOWN))
    assert await world.sent() == (2 if cut in RECORDED and not away else 1)
    assert intact(world, postgres_url)


@pytest.mark.requirement("STATE-31")
@pytest.mark.parametrize("recovered", [False, True])
async def test_a_session_lost_between_intent_and_dispatch_dispatches_nothing(
    make_world: Any, postgres: Any, postgres_url: str, recovered: bool
) -> None:
    between = Between()
    world = await make_world(journal=postgres_url, sinks=(PluginUse(name="between"),))
    async with world.gateway(plugins=[between]) as gateway, world.gateway(plugins=[Between()]) as other:
        _, trigger = await approved(world, gateway)

        async def lose() -> None:
            between.act = None
            await asyncio.to_thread(postgres.psql, f"SELECT pg_terminate_backend({backend(gateway)}, 5000)")
            if recovered:
                [outcome] = await other.recover()
                assert of(outcome) == (State.ERROR, Code.OWNER_DIED, Effect.UNKNOWN)

        between.act = lose
        outcome = await gateway.commit(trigger)
        if recovered:  # whoever recovers cannot know that it was never dispatched
            assert of(outcome) == (State.ERROR, Code.OWNER_DIED, Effect.UNKNOWN)
        else:
            assert of(outcome) == (State.BLOCKED, Code.AUDIT_UNAVAILABLE, Effect.NOT_SENT)
    assert await world.sent() == 0
    assert intact(world, postgres_url)


@pytest.mark.requirement("CARD-04", "CARD-05")
async def test_a_session_lost_while_the_system_answers_leaves_one_request_and_one_answer(
    make_world: Any, postgres: Any, postgres_url: str
) -> None:
    world = await make_world(journal=postgres_url)
    async with world.gateway() as gateway, world.gateway() as other:
        proposal, trigger = await approved(world, gateway)
        world.arm(Fault.DELAY_AFTER, Action.BOOK, milliseconds=700)
        commit = asyncio.create_task(gateway.commit(trigger))
        while not await world.sent():
            await asyncio.sleep(0.01)
        await asyncio.to_thread(postgres.psql, f"SELECT pg_terminate_backend({backend(gateway)}, 5000)")
        [recovered] = await other.recover()
        outcome = await commit
        assert of(outcome) == of(recovered) == (State.ERROR, Code.OWNER_DIED, Effect.UNKNOWN)
        assert outcome.attempt == recovered.attempt
        again = await world.rehearsal.commit(other, proposal)
    assert again.code is Code.PROPOSAL_FROZEN
    assert await world.sent() == 1
    assert intact(world, postgres_url)


@pytest.mark.requirement("IDEM-04", "CARD-02")
async def test_two_gateways_and_many_callers_of_one_key_send_one_request(make_world: Any, postgres_url: str) -> None:
    world = await make_world(journal=postgres_url)
    async with world.gateway() as one, world.gateway() as two:
        _, trigger = await approved(world, one)
        calls = [gateway.commit(trigger) for gateway in (one, two) for _ in range(10)]
        outcomes = await asyncio.gather(*calls)
    assert {(outcome.attempt, *of(outcome)) for outcome in outcomes} == {
        (outcomes[0].attempt, State.SUCCEEDED, Code.COMMITTED, Effect.APPLIED)
    }
    assert sum(not outcome.replayed for outcome in outcomes) == 1
    assert await world.sent() == 1


async def test_a_stop_said_at_another_gateway_is_seen_at_the_last_look(make_world: Any, postgres_url: str) -> None:
    between = Between()
    world = await make_world(journal=postgres_url, sinks=(PluginUse(name="between"),))
    async with world.gateway(plugins=[between]) as gateway, world.gateway(plugins=[Between()]) as other:
        proposal, trigger = await approved(world, gateway)
        stop = world.local.surface(OPERATOR).stop(proposal, operator=world.local.desk.operator)

        async def say() -> None:
            await other.stop(stop.token)

        between.act = say
        outcome = await gateway.commit(trigger)
    assert of(outcome) == (State.CANCELLED, Code.OPERATOR_STOP, Effect.NOT_SENT)
    assert await world.sent() == 0


async def test_an_executed_attempt_is_two_durable_statements_and_a_few_questions(
    make_world: Any, postgres_wire: Any, through: str
) -> None:
    world = await make_world(journal=through, limits={"requests_per_minute": 100})
    async with world.gateway() as gateway:
        _, trigger = await approved(world, gateway)
        postgres_wire.statements.clear()
        assert (await gateway.commit(trigger)).state is State.SUCCEEDED
        assert postgres_wire.sent(b"journal_write") == 2
        assert len(postgres_wire.statements) <= 10
