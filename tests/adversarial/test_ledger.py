"""At most once against people who try twice: other keys, other proposals, other processes, to and fro (I1)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.faults import Action, Fault
from conformance.rehearsal import target_of
from gateway.contracts.adapter import Authorized, Receipt
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.references import ConnectionId, ParticipantId, PersonId
from gateway.contracts.signals import Signal
from gateway.contracts.statements import Decision, Trigger, Verdict
from gateway.contracts.words import Effect, State
from gateway.errors import SignatureRefused
from gateway.signatures import Keyring, PublicJwk, TrustedKey, TrustedKeys
from gateway.surfaces.local import OPERATOR, REVIEWER

ORDER_OF_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class TestTwice:
    @pytest.mark.requirement("CARD-10")
    @pytest.mark.parametrize("same", ["slot", "patient and hour"])
    async def test_the_same_wish_under_another_proposal_waits_while_the_first_is_unresolved(
        self, world: Any, same: str
    ) -> None:
        rehearsal = world.rehearsal
        async with world.gateway() as gateway:
            patient, start = rehearsal.enrol(), rehearsal.next_slot()
            first = await rehearsal.propose(gateway, patient, start=start)
            if same == "slot":
                patient = rehearsal.enrol()
            else:
                rehearsal.participant = ParticipantId.random()
                connection = rehearsal.connection.connection_id
                rehearsal.local.registry.map_identifier(connection, rehearsal.participant, "other")
            second = await rehearsal.propose(gateway, patient, start=start)
            world.arm(Fault.DROP_AFTER, Action.BOOK)
            unknown = await rehearsal.commit(gateway, first)
            outcome = await rehearsal.commit(gateway, second)
        assert unknown.effect is Effect.UNKNOWN
        assert (outcome.state, outcome.code) == (State.BLOCKED, Code.RELATED_UNRESOLVED)
        assert await world.sent() == 1

    @pytest.mark.requirement("CARD-10")
    async def test_an_appointment_whose_move_is_unresolved_is_not_cancelled_meanwhile(self, world: Any) -> None:
        rehearsal = world.rehearsal
        async with world.gateway() as gateway:
            patient, start = rehearsal.enrol(), rehearsal.next_slot()
            booked = await rehearsal.commit(gateway, await rehearsal.propose(gateway, patient, start=start))
            target = target_of(booked)
            later = rehearsal.next_slot()
            moving = await rehearsal.propose(gateway, patient, Operation.RESCHEDULE, start=later, target=target)
            world.arm(Fault.DROP_BEFORE, Action.RESCHEDULE)
            unknown = await rehearsal.commit(gateway, moving)
            cancelling = await rehearsal.propose(gateway, patient, Operation.CANCEL, start=start, target=target)
            outcome = await rehearsal.commit(gateway, cancelling)
        assert unknown.effect is Effect.UNKNOWN
        assert (outcome.state, outcome.code) == (State.BLOCKED, Code.RELATED_UNRESOLVED)

    async def test_there_and_back_again_are_three_commits_of_one_appointment(self, world: Any) -> None:
        """Rescheduling to the old hour has the first booking's particulars, but not its native key."""
        rehearsal = world.rehearsal
        async with world.gateway() as gateway:
            patient, old, new = rehearsal.enrol(), rehearsal.next_slot(), rehearsal.next_slot()
            booked = await rehearsal.commit(gateway, await rehearsal.propose(gateway, patient, start=old))
            outcomes = [booked]
            for start in (new, old, new):
                target = target_of(outcomes[-1])
                moving = await rehearsal.propose(gateway, patient, Operation.RESCHEDULE, start=start, target=target)
                outcomes.append(await rehearsal.commit(gateway, moving))
            target = target_of(outcomes[-1])
            cancelling = await rehearsal.propose(gateway, patient, Operation.CANCEL, start=new, target=target)
            outcomes.append(await rehearsal.commit(gateway, cancelling))
            outcomes.append(await rehearsal.commit(gateway, await rehearsal.propose(gateway, patient, start=new)))
        assert [outcome.code for outcome in outcomes] == [Code.COMMITTED] * 6
        assert [each["status"] for each in await world.appointments()] == ["cancelled", "booked"]
        assert await world.sent() == 6

    @pytest.mark.requirement("IDEM-02")
    async def test_the_trigger_of_an_undispatched_attempt_repeats_its_answer_while_a_new_one_commits(
        self, world: Any
    ) -> None:
        rehearsal = world.rehearsal
        async with world.gateway() as gateway:
            proposal = await rehearsal.propose(gateway, rehearsal.enrol())
            approval = await rehearsal.decide(gateway, proposal)
            old = rehearsal.trigger(proposal, approval)

            async def sleep() -> None:
                world.clock.wall += timedelta(minutes=1)

            world.after_intent(gateway, sleep)
            first = await gateway.commit(old)
            second = await gateway.commit(rehearsal.trigger(proposal, approval))
            again = await gateway.commit(old)
            third = await gateway.commit(rehearsal.trigger(proposal, approval))
        assert (first.code, second.code) == (Code.AUTHORIZATION_EXPIRED, Code.COMMITTED)
        assert again == first.model_copy(update={"replayed": True})
        assert third == second.model_copy(update={"replayed": True})
        assert await world.sent() == 1


class TestProcesses:
    async def test_a_gateway_that_opens_while_another_commits_takes_nobody_for_dead(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            opened: list[Any] = []

            async def open_another() -> None:
                async with world.gateway() as other:
                    opened.append(other.recovered)

            world.after_intent(gateway, open_another)
            outcome = await world.rehearsal.commit(gateway, proposal)
        assert (outcome.state, opened) == (State.SUCCEEDED, [()])

    @pytest.mark.requirement("CARD-05")
    async def test_an_attempt_closed_over_its_living_owners_head_stays_closed_and_frozen(self, world: Any) -> None:
        """Somebody removed the lock files: a second gateway takes the first for dead before it dispatches."""
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            recovered: list[Any] = []

            async def bury_alive() -> None:
                for lock in (world.local.home / "journal.db.owners").iterdir():
                    lock.unlink()
                async with world.gateway() as other:
                    recovered.extend(other.recovered)

            world.after_intent(gateway, bury_alive)
            outcome = await world.rehearsal.commit(gateway, proposal)
            again = await world.rehearsal.commit(gateway, proposal)
        assert [each.code for each in recovered] == [Code.OWNER_DIED]
        assert (outcome.attempt, outcome.effect) == (recovered[0].attempt, Effect.UNKNOWN)
        assert again.code is Code.PROPOSAL_FROZEN
        assert await world.sent() == 0  # an attempt that was closed in the meantime is not dispatched

    @pytest.mark.requirement("OPS-02")
    async def test_a_stop_during_the_request_lets_it_finish_its_audit(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())

            class Stopping(SandboxAdapter):
                async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
                    operator = world.local.desk.operator
                    await gateway.stop(world.local.surface(OPERATOR).stop(proposal, operator=operator).token)
                    return await super().commit(authorized, write)

            world.adopt(gateway, Stopping())
            outcome = await world.rehearsal.commit(gateway, proposal)
            signals = [link.event.signal for link in (await gateway.attempt(outcome.attempt)).links]
        assert (outcome.state, outcome.effect) == (State.SUCCEEDED, Effect.APPLIED)
        assert signals[-1] is Signal.ATTEMPT_COMPLETED


class TestSignatures:
    async def test_a_trigger_whose_signature_was_turned_over_is_no_second_trigger(self, world: Any) -> None:
        """(r, s) and (r, n - s) both verify under ES256: the same statement, other bytes."""
        rehearsal, key = world.rehearsal, ECKey.generate_key("P-256")
        public = key.as_dict(private=False)
        jwk = PublicJwk(kty="EC", crv="P-256", x=public["x"], y=public["y"])
        practice = world.local.desk.practice
        async with world.gateway() as gateway:
            trusted = TrustedKey(kid="es", jwk=jwk, types=(Trigger.typ,), practice=practice)
            configured = gateway.ports.configuration.keys.keys
            gateway.ports.keyring = Keyring(TrustedKeys(keys=(*configured, trusted)))
            proposal = await rehearsal.propose(gateway, rehearsal.enrol())
            surface = world.local.surface(OPERATOR)
            statement = surface.commit(
                proposal,
                operator=world.local.desk.operator,
                approval=await rehearsal.decide(gateway, proposal),
            ).statement
            header = {"alg": "ES256", "kid": "es", "typ": Trigger.typ}
            token = jws.serialize_compact(header, statement.canonical(), key, algorithms=["ES256"])
            turned = turn_over(token)
            assert gateway.ports.keyring.verify(turned, Trigger).statement == statement
            first = await gateway.commit(token)
            second = await gateway.commit(turned)
        assert (first.code, second.code) == (Code.COMMITTED, Code.IDEMPOTENCY_COLLISION)
        assert await world.sent() == 1

    @pytest.mark.requirement("AUTH-06")
    async def test_a_reviewers_own_key_speaks_for_nobody_else(self, world: Any) -> None:
        """A reviewer who is the initiator signs as a colleague."""
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            surface = world.local.surface(REVIEWER)
            mine, colleague = PersonId.random(), PersonId.random()
            keys = gateway.ports.configuration.keys.keys
            bound = [key.model_copy(update={"person": mine}) if key.kid == "reviewer" else key for key in keys]
            keyring = Keyring(TrustedKeys(keys=tuple(bound)))
            own = surface.review(proposal, reviewer=mine, verdict=Verdict.APPROVE).decision
            forged = surface.review(proposal, reviewer=colleague, verdict=Verdict.APPROVE).decision
            triggering = surface.commit(proposal, operator=colleague, approval=own.statement.decision_id)
        assert keyring.verify(own.token, Decision).statement == own.statement
        for token, model in ((forged.token, Decision), (triggering.token, Trigger)):
            with pytest.raises(SignatureRefused, match="person"):
                keyring.verify(token, model)


def turn_over(token: str) -> str:
    from base64 import urlsafe_b64decode, urlsafe_b64encode

    head, payload, signature = token.split(".")
    raw = urlsafe_b64decode(signature + "==")
    other = ORDER_OF_P256 - int.from_bytes(raw[32:], "big")
    turned = urlsafe_b64encode(raw[:32] + other.to_bytes(32, "big")).rstrip(b"=").decode()
    return f"{head}.{payload}.{turned}"


class TestBudget:
    @pytest.mark.requirement("CARD-14")
    async def test_a_late_comer_from_the_last_minute_does_not_empty_the_new_minutes_count(self, world: Any) -> None:
        """Two processes around the turn of a minute: the later write carries the earlier instant."""
        async with world.gateway() as gateway:
            journal, connection = gateway.ports.journal, ConnectionId.random()
            turn = world.clock.now().replace(second=0, microsecond=0)
            before = turn - timedelta(milliseconds=1)
            assert await journal.reserve(connection, 10, 10, turn) is None
            late = await journal.reserve(connection, 10, 10, before)
            after = await journal.reserve(connection, 10, 10, turn)
        assert (late, after) == (turn + timedelta(minutes=1),) * 2

    async def test_credentials_are_fetched_once_per_session(self, world: Any) -> None:
        fetched: list[str] = []

        class Counting:
            async def secret(self, name: str) -> str:
                fetched.append(name)
                return "sandbox-token"

        async with world.gateway() as gateway:
            gateway.ports.boundary._credentials = (Counting(),)
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            outcome = await world.rehearsal.commit(gateway, proposal)
        assert outcome.state is State.SUCCEEDED
        assert fetched == ["sandbox"] * 2  # readiness and commit
