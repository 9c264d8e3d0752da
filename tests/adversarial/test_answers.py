"""Whatever breaks inside, a caller hears a bounded answer that claims no more than is known (I3, I8)."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.faults import Action, Fault
from gateway.contracts.adapter import Authorized, Basis, Observation, Query, Receipt
from gateway.contracts.failures import Code
from gateway.contracts.signals import Signal
from gateway.contracts.statements import Choice, Purpose
from gateway.contracts.words import Effect, Next, ObservationFinding, Severity, Standing, State
from gateway.errors import InvariantViolation, JournalUnavailable
from gateway.policy import PolicyDecision
from gateway.surfaces.local import OPERATOR


class BentPolicies:
    """The sealed policies, whose rulings on one purpose a test changes."""

    def __init__(self, policies: Any, purpose: Purpose, **changes: Any) -> None:
        self.policies, self.purpose, self.changes = policies, purpose, changes

    def select(self, *given: Any) -> Any:
        return self.policies.select(*given)

    def evaluate(self, version: Any, inputs: Any) -> Any:
        ruling = self.policies.evaluate(version, inputs)
        return replace(ruling, **self.changes) if inputs.purpose is self.purpose else ruling


class Shifty(datetime):
    """An instant that is something else when looked at twice."""

    def astimezone(self, tz: Any = None) -> Any:
        return "yesterday"


class TestObservation:
    async def test_a_look_whose_connection_is_gone_is_blocked(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            outcome = await world.rehearsal.commit(gateway, proposal)
            gateway.ports.configuration = replace(gateway.ports.configuration, connections={})
            gateway.ports.boundary._connections = {}
            seen = await world.rehearsal.observe(gateway, proposal, outcome)
        assert (seen.state, seen.code) == (State.BLOCKED, Code.CONNECTION_UNKNOWN)

    async def test_the_one_look_that_cannot_be_recorded_leaves_the_recorded_outcome(self, world: Any) -> None:
        async with world.gateway() as gateway:
            gateway.ports.policies = BentPolicies(gateway.ports.policies, Purpose.COMMIT, observe_once=True)
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            trigger = world.rehearsal.trigger(proposal, await world.rehearsal.decide(gateway, proposal))
            world.arm(Fault.DROP_AFTER, Action.BOOK)
            world.watch(gateway).record_error = JournalUnavailable("busy")
            outcome = await gateway.commit(trigger)
            recorded = (await gateway.attempt(outcome.attempt)).outcome
        assert (outcome.state, outcome.effect, outcome.recorded) == (State.ERROR, Effect.UNKNOWN, True)
        assert outcome == recorded

    async def test_a_paused_look_cannot_be_resumed_as_a_commit(self, world: Any) -> None:
        rehearsal, operator = world.rehearsal, world.local.desk.operator
        async with world.gateway() as gateway:
            proposal = await rehearsal.propose(gateway, rehearsal.enrol())
            approval = await rehearsal.decide(gateway, proposal)

            async def sleep() -> None:
                world.clock.wall += timedelta(minutes=1)

            world.after_intent(gateway, sleep)  # ends NOT_SENT, its approval still usable
            blocked = await gateway.commit(rehearsal.trigger(proposal, approval))
            assert blocked.code is Code.AUTHORIZATION_EXPIRED
            gateway.ports.policies = BentPolicies(
                gateway.ports.policies,
                Purpose.OBSERVE,
                decision=PolicyDecision.DECISION_REQUIRED,
                code=Code.DECISION_REQUIRED,
                severity=Severity.HIGH,
            )
            paused = await rehearsal.observe(gateway, proposal, blocked)
            assert paused.state is State.PAUSED
            answer = world.local.surface(OPERATOR).resume(
                proposal, operator=operator, approval=approval, paused=paused, choice=Choice.PROCEED
            )
            outcome = await gateway.resume(answer.token)
        assert (outcome.state, outcome.code) == (State.REJECTED, Code.TRIGGER_FORBIDDEN)
        assert await world.sent() == 0

    @pytest.mark.parametrize(
        "as_of",
        [
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
            Shifty(2030, 1, 1, tzinfo=UTC),
            "yesterday",
            object(),
        ],
    )
    async def test_an_age_that_cannot_be_is_no_finding(self, world: Any, as_of: Any) -> None:
        class Nonsense(SandboxAdapter):
            async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
                await read.get("/health")
                return Observation(finding=ObservationFinding.PRESENT, basis=Basis.BY_KEY, as_of=as_of)

        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            outcome = await world.rehearsal.commit(gateway, proposal)
            world.adopt(gateway, Nonsense())
            seen = await world.rehearsal.observe(gateway, proposal, outcome)
        assert seen.observation.finding is ObservationFinding.INDETERMINATE


class Explosive(str):
    """Text whose every use is the adapter's own code."""

    __slots__ = ()

    def encode(self, *given: Any, **named: Any) -> bytes:
        raise SystemExit

    def __len__(self) -> int:
        raise SystemExit


class Patient(str):
    """Lies the first time, explodes the second."""

    __slots__ = ("uses",)

    def encode(self, *given: Any, **named: Any) -> bytes:
        self.uses = getattr(self, "uses", 0) + 1
        if self.uses > 1:
            raise SystemExit
        return b"1"


@pytest.mark.parametrize("kind", [Explosive, Patient])
async def test_a_receipt_of_live_text_is_unknown_and_kills_nobody(world: Any, kind: type[str]) -> None:
    class Lively(SandboxAdapter):
        async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
            receipt = await super().commit(authorized, write)
            return Receipt.applied(identifier=receipt.identifier, version=kind(receipt.version))

    async with world.gateway() as gateway:
        world.adopt(gateway, Lively())
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        outcome = await world.rehearsal.commit(gateway, proposal)
    assert (outcome.state, outcome.effect, outcome.code) == (State.ERROR, Effect.UNKNOWN, Code.ADAPTER_FAULT)
    assert await world.sent() == 1


class TestJournal:
    @pytest.mark.requirement("ABORT-07")
    async def test_an_intent_that_the_journals_own_rules_refuse_is_no_intent(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())

            async def refuse() -> None:
                raise InvariantViolation("canary-77e1")

            world.before_intent(gateway, refuse)
            outcome = await world.rehearsal.commit(gateway, proposal)
            again = await world.rehearsal.commit(gateway, proposal)
        assert (outcome.state, outcome.code, outcome.effect) == (State.ERROR, Code.INVARIANT_VIOLATION, None)
        assert again.state is State.SUCCEEDED
        assert await world.sent() == 1

    async def test_an_intent_append_that_breaks_in_an_unknown_way_is_unknown_and_stops_dispatching(
        self, world: Any
    ) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            other = await world.rehearsal.propose(gateway, world.rehearsal.enrol())

            async def break_() -> None:
                raise RuntimeError("canary-77e1")

            world.after_intent(gateway, break_)
            outcome = await world.rehearsal.commit(gateway, proposal)
            next_ = await world.rehearsal.commit(gateway, other)
        assert (outcome.state, outcome.effect, outcome.recorded) == (State.ERROR, Effect.UNKNOWN, False)
        assert next_.code is Code.AUDIT_UNAVAILABLE
        assert await world.sent() == 0
        async with world.gateway() as gateway:
            assert [each.effect for each in gateway.recovered] == [Effect.UNKNOWN]

    @pytest.mark.requirement("FAIL-11")
    async def test_a_lost_outcome_stops_the_attempts_that_were_already_past_the_door(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())

            async def lose() -> None:
                gateway.ports.retired = True  # another attempt's outcome could not be recorded just now

            world.before_intent(gateway, lose)
            outcome = await world.rehearsal.commit(gateway, proposal)
            signals = [link.event.signal for link in (await gateway.attempt(outcome.attempt)).links]
        assert (outcome.state, outcome.code) == (State.BLOCKED, Code.AUDIT_UNAVAILABLE)
        assert await world.sent() == 0
        assert Signal.EXECUTION_STEP_COMPLETED not in signals

    async def test_a_recorded_outcome_that_cannot_be_read_any_more_is_not_called_not_made(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            trigger = world.rehearsal.trigger(proposal, await world.rehearsal.decide(gateway, proposal))
            assert (await gateway.commit(trigger)).state is State.SUCCEEDED
            vandal = sqlite3.connect(world.local.home / "journal.db")
            vandal.execute("DROP TRIGGER attempts_end_once")
            vandal.execute("UPDATE attempts SET outcome = '{}' WHERE outcome IS NOT NULL")
            vandal.commit()
            vandal.close()
            answer = await gateway.commit(trigger)
        assert (answer.code, answer.standing) == (Code.IN_FLIGHT, Standing.UNRESOLVED)
        assert answer.next is not Next.NEW_ATTEMPT
