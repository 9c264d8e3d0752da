"""DESIGN's table "How attempts end", each row reached through the whole gateway against a real server."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.sandbox.faults import Action, Fault
from conformance.rehearsal import SLOT, target_of
from gateway import documents
from gateway.clock import SystemClock
from gateway.contracts.failures import Code
from gateway.contracts.outcome import Outcome
from gateway.contracts.proposal import Notice, Operation, Origin
from gateway.contracts.references import DecisionId, PersonId
from gateway.contracts.signals import Signal
from gateway.contracts.statements import (
    Authentication,
    AuthenticationMethod,
    Choice,
    Finding,
    ReviewerKind,
    Verdict,
)
from gateway.contracts.words import ApprovalUse, Effect, Next, ObservationFinding, Severity, Standing, State
from gateway.errors import Conflict, SignatureRefused
from gateway.gateway import Gateway
from gateway.practice.records import Registered
from gateway.surfaces.local import OPERATOR, REVIEWER
from gateway.surfaces.sign import sign


class LateClock(SystemClock):
    """The machine's clock, but the gateway may wake up later than everybody else."""

    late = timedelta()

    def now(self) -> datetime:
        return super().now() + self.late


def ended(outcome: Outcome) -> tuple[State, Code, Effect | None, ApprovalUse, Next]:
    return outcome.state, outcome.code, outcome.effect, outcome.approval, outcome.next


def blocked(code: Code, next_: Next) -> tuple[State, Code, Effect | None, ApprovalUse, Next]:
    return State.BLOCKED, code, None, ApprovalUse.USABLE, next_


async def signals(gateway: Gateway, outcome: Outcome) -> list[Signal]:
    assert outcome.attempt is not None
    return [link.event.signal for link in (await gateway.attempt(outcome.attempt)).links]


@pytest.mark.requirement("ADAPT-09", "CARD-11", "FLOW-06", "LIFE-03", "STATE-24")
async def test_an_approved_booking_is_made_once(world: Any) -> None:
    async with world.gateway() as gateway:
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        outcome = await world.rehearsal.commit(gateway, proposal)
    assert ended(outcome) == (State.SUCCEEDED, Code.COMMITTED, Effect.APPLIED, ApprovalUse.SPENT, Next.NONE)
    assert outcome.standing is Standing.CONFIRMED
    assert not outcome.binding_outstanding
    assert await world.sent() == 1
    assert [each["status"] for each in await world.appointments()] == ["booked"]


@pytest.mark.requirement("ADAPT-09", "FAIL-24")
async def test_reschedule_and_cancellation_are_attempts_of_their_own(world: Any) -> None:
    rehearsal = world.rehearsal
    async with world.gateway() as gateway:
        patient = rehearsal.enrol()
        booked = await rehearsal.commit(gateway, await rehearsal.propose(gateway, patient))
        moved_proposal = await rehearsal.propose(
            gateway, patient, Operation.RESCHEDULE, start=rehearsal.next_slot(), target=target_of(booked)
        )
        moved = await rehearsal.commit(gateway, moved_proposal)
        cancelling = await rehearsal.propose(
            gateway,
            patient,
            Operation.CANCEL,
            start=rehearsal.particulars(patient, rehearsal.next_slot() - SLOT).start,
            target=target_of(moved),
        )
        cancelled = await rehearsal.commit(gateway, cancelling)
    assert [each.state for each in (booked, moved, cancelled)] == [State.SUCCEEDED] * 3
    assert moved.external_reference == booked.external_reference
    assert moved.version != booked.version
    assert await world.sent() == 3
    assert [each["status"] for each in await world.appointments()] == ["cancelled"]


@pytest.mark.requirement("STATE-06", "TRIG-02", "FAIL-01", "AUDIT-02")
async def test_an_unsigned_trigger_is_rejected(world: Any) -> None:
    async with world.gateway() as gateway:
        outcome = await gateway.commit("not.a.token")
        assert ended(outcome)[:2] == (State.REJECTED, Code.TRIGGER_UNSIGNED)
        assert Signal.TRIGGER_REJECTED in await signals(gateway, outcome)
        assert Signal.POLICY_EVALUATED not in await signals(gateway, outcome)
    assert await world.sent() == 0


@pytest.mark.requirement("TRIG-03", "TRIG-04", "AUTH-09")
@pytest.mark.parametrize("kind", ["time-based", "external-event"])
async def test_only_an_operator_may_trigger_a_commit(world: Any, kind: str) -> None:
    from gateway.contracts.statements import TriggerKind

    async with world.gateway() as gateway:
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        approval = await world.rehearsal.decide(gateway, proposal)
        surface = world.local.surface(OPERATOR)
        trigger = surface.commit(proposal, operator=world.local.desk.operator, approval=approval).statement
        outcome = await gateway.commit(sign(trigger.model_copy(update={"kind": TriggerKind(kind)}), surface.key))
    assert ended(outcome)[:2] == (State.REJECTED, Code.TRIGGER_FORBIDDEN)
    assert await world.sent() == 0


async def test_an_expired_trigger_is_rejected(world: Any) -> None:
    async with world.gateway() as gateway:
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        approval = await world.rehearsal.decide(gateway, proposal)
        surface = world.local.surface(OPERATOR)
        trigger = surface.commit(proposal, operator=world.local.desk.operator, approval=approval).statement
        past = {"issued_at": trigger.issued_at - timedelta(days=1), "expires_at": trigger.issued_at}
        outcome = await gateway.commit(sign(trigger.model_copy(update=past), surface.key))
    assert ended(outcome)[:2] == (State.REJECTED, Code.TRIGGER_EXPIRED)


@pytest.mark.requirement("IDEM-03")
async def test_a_trigger_id_used_for_something_else_is_a_collision(world: Any) -> None:
    rehearsal = world.rehearsal
    async with world.gateway() as gateway:
        proposal = await rehearsal.propose(gateway, rehearsal.enrol())
        approval = await rehearsal.decide(gateway, proposal)
        surface = world.local.surface(OPERATOR)
        trigger = surface.commit(proposal, operator=world.local.desk.operator, approval=approval)
        first = await gateway.commit(trigger.token)
        other = await rehearsal.propose(gateway, rehearsal.enrol())
        changed = trigger.statement.model_copy(
            update={
                "proposal_id": other.proposal_id,
                "proposal_digest": other.proposal_digest,
                "decision_id": await rehearsal.decide(gateway, other),
            }
        )
        collision = await gateway.commit(sign(changed, surface.key))
        again = await gateway.commit(trigger.token)
    assert ended(collision)[:2] == (State.REJECTED, Code.IDEMPOTENCY_COLLISION)
    assert again == first.model_copy(update={"replayed": True})
    assert await world.sent() == 1


@pytest.mark.requirement("IDEM-02", "IDEM-04", "CACHE-01", "STATE-31")
async def test_the_same_trigger_again_answers_the_recorded_outcome_and_writes_nothing(world: Any) -> None:
    async with world.gateway() as gateway:
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        trigger = world.rehearsal.trigger(proposal, await world.rehearsal.decide(gateway, proposal))
        first = await gateway.commit(trigger)
    async with world.gateway() as gateway:
        second = await gateway.commit(trigger)
        assert len(await gateway.ports.journal.attempts()) == 1
    assert second == first.model_copy(update={"replayed": True})
    assert await world.sent() == 1


@pytest.mark.requirement("IDEM-01", "IDEM-04")
async def test_another_trigger_for_the_same_approval_answers_that_attempts_outcome(world: Any) -> None:
    async with world.gateway() as gateway:
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        approval = await world.rehearsal.decide(gateway, proposal)
        first = await gateway.commit(world.rehearsal.trigger(proposal, approval))
        second = await gateway.commit(world.rehearsal.trigger(proposal, approval))
    assert (second.attempt, second.replayed) == (first.attempt, True)
    assert await world.sent() == 1


@pytest.mark.requirement("GATE-16")
async def test_an_executed_proposal_is_not_executed_under_another_approval(world: Any) -> None:
    async with world.gateway() as gateway:
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        await world.rehearsal.commit(gateway, proposal)
        again = await world.rehearsal.commit(gateway, proposal)
    assert ended(again) == blocked(Code.PROPOSAL_EXECUTED, Next.NEW_PROPOSAL)
    assert await world.sent() == 1


class TestGates:
    """F-01 §4, each precondition refuted in an otherwise perfect attempt: BLOCKED and nothing sent."""

    async def attempt(self, world: Any, gateway: Gateway, **details: Any) -> Outcome:
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        outcome: Outcome = await gateway.commit(
            world.rehearsal.trigger(proposal, await world.rehearsal.decide(gateway, proposal, **details))
        )
        return outcome

    @pytest.mark.requirement("GATE-01", "GATE-03")
    async def test_a_patient_who_is_not_identified_blocks(self, world: Any) -> None:
        async with world.gateway() as gateway:
            patient = world.rehearsal.enrol()
            proposal = await world.rehearsal.propose(gateway, patient)
            world.local.registry.enrol_patient(patient.patient, identified=False)
            outcome = await world.rehearsal.commit(gateway, proposal)
        assert ended(outcome) == blocked(Code.PATIENT_UNIDENTIFIED, Next.NEW_ATTEMPT)
        assert await world.sent() == 0

    @pytest.mark.requirement("GATE-04", "GATE-20", "AUTH-01")
    async def test_a_reviewer_whom_the_practice_does_not_know_blocks(self, world: Any) -> None:
        async with world.gateway() as gateway:
            outcome = await self.attempt(world, gateway, reviewer=PersonId.random())
        assert ended(outcome) == blocked(Code.REVIEWER_UNKNOWN, Next.NEW_APPROVAL)
        assert await world.sent() == 0

    @pytest.mark.requirement("AUTH-06", "GATE-20")
    async def test_a_personal_key_cannot_decide_in_another_persons_name(self, make_world: Any) -> None:
        world = await make_world(personal=True)
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            with pytest.raises(SignatureRefused, match="another person"):
                await world.rehearsal.decide(gateway, proposal, reviewer=world.local.desk.operator)
            own = await world.rehearsal.commit(gateway, proposal)
        assert own.state is State.SUCCEEDED

    @pytest.mark.requirement("GATE-05")
    async def test_a_reviewer_who_may_not_approve_blocks(self, world: Any) -> None:
        async with world.gateway() as gateway:
            outcome = await self.attempt(world, gateway, reviewer=world.local.desk.operator)
        assert ended(outcome)[:2] == (State.BLOCKED, Code.REVIEWER_UNAUTHORIZED)

    @pytest.mark.requirement("GATE-04", "GATE-06")
    async def test_a_reviewer_who_authenticated_long_before_deciding_blocks(self, world: Any) -> None:
        stale = Authentication(method=AuthenticationMethod.PASSKEY, at=world.local.clock.now() - timedelta(seconds=901))
        async with world.gateway() as gateway:
            outcome = await self.attempt(world, gateway, authentication=stale)
        assert ended(outcome)[:2] == (State.BLOCKED, Code.REVIEWER_NOT_AUTHENTICATED)

    @pytest.mark.requirement("GATE-10", "GATE-11", "GATE-12")
    async def test_consent_withdrawn_after_approval_blocks(self, world: Any) -> None:
        async with world.gateway() as gateway:
            patient = world.rehearsal.enrol()
            proposal = await world.rehearsal.propose(gateway, patient)
            approval = await world.rehearsal.decide(gateway, proposal)
            world.local.registry.set_consent(patient.patient, in_force=False)
            outcome = await gateway.commit(world.rehearsal.trigger(proposal, approval))
        assert ended(outcome) == blocked(Code.CONSENT_ABSENT, Next.NEW_PROPOSAL)
        assert await world.sent() == 0

    @pytest.mark.requirement("GATE-12")
    async def test_consent_given_anew_since_the_proposal_blocks(self, world: Any) -> None:
        async with world.gateway() as gateway:
            patient = world.rehearsal.enrol()
            proposal = await world.rehearsal.propose(gateway, patient)
            world.local.registry.set_consent(patient.patient, in_force=True)
            outcome = await world.rehearsal.commit(gateway, proposal)
        assert ended(outcome) == blocked(Code.CONSENT_CHANGED, Next.NEW_PROPOSAL)

    @pytest.mark.requirement("GATE-14")
    async def test_an_expired_proposal_blocks(self, world: Any) -> None:
        clock = LateClock()
        async with world.gateway(clock=clock) as gateway:
            soon = world.local.clock.now() + timedelta(seconds=60)
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol(), expires_at=soon)
            decision = await world.rehearsal.decide(gateway, proposal)
            trigger = world.rehearsal.trigger(proposal, decision)
            clock.late = timedelta(seconds=61)
            outcome = await gateway.commit(trigger)
        assert ended(outcome) == blocked(Code.PROPOSAL_EXPIRED, Next.NEW_PROPOSAL)

    @pytest.mark.requirement("GATE-15", "FAIL-14")
    async def test_a_withdrawn_proposal_blocks(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            operator = world.local.desk.operator
            await gateway.withdraw(world.local.surface(OPERATOR).withdraw(proposal, operator=operator).token)
            outcome = await world.rehearsal.commit(gateway, proposal)
        assert ended(outcome) == blocked(Code.PROPOSAL_WITHDRAWN, Next.NEW_PROPOSAL)

    @pytest.mark.requirement("GATE-13")
    async def test_a_proposal_that_was_never_recorded_blocks(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            approval = await world.rehearsal.decide(gateway, proposal)
            altered = proposal.model_copy(update={"expires_at": proposal.expires_at + timedelta(days=1)})
            outcome = await gateway.commit(world.rehearsal.trigger(altered, approval))
        assert ended(outcome) == blocked(Code.PROPOSAL_UNKNOWN, Next.NEW_PROPOSAL)

    @pytest.mark.requirement("TRIG-08")
    async def test_a_providers_own_request_blocks(self, world: Any) -> None:
        async with world.gateway() as gateway:
            asked = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            proposal = asked.model_copy(update={"origin": Origin.PROVIDER, "revision": 2})
            await gateway.propose(proposal.canonical())
            outcome = await world.rehearsal.commit(gateway, proposal)
        assert ended(outcome) == blocked(Code.ORIGIN_FORBIDDEN, Next.NEW_PROPOSAL)

    @pytest.mark.requirement("GATE-30")
    async def test_a_patient_who_was_not_told_blocks(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol(), told=False)
            outcome = await world.rehearsal.commit(gateway, proposal)
        assert ended(outcome) == blocked(Code.PATIENT_UNINFORMED, Next.NEW_ATTEMPT)

    @pytest.mark.requirement("GATE-18", "GATE-19", "MUT-03", "MUT-04", "AUTH-04")
    async def test_no_decision_is_no_approval(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            outcome = await gateway.commit(world.rehearsal.trigger(proposal, DecisionId.random()))
        assert ended(outcome) == blocked(Code.APPROVAL_MISSING, Next.NEW_APPROVAL)
        assert await world.sent() == 0

    @pytest.mark.requirement("AUTH-03", "GATE-19")
    @pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.REQUEST_MODIFICATION])
    async def test_only_approve_authorizes(self, world: Any, verdict: Verdict) -> None:
        async with world.gateway() as gateway:
            outcome = await self.attempt(world, gateway, verdict=verdict)
        assert ended(outcome) == blocked(Code.APPROVAL_MISSING, Next.NEW_APPROVAL)

    @pytest.mark.requirement("AUTH-06")
    async def test_an_approval_of_another_revision_blocks(self, world: Any) -> None:
        async with world.gateway() as gateway:
            first = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            approval = await world.rehearsal.decide(gateway, first)
            second = first.model_copy(update={"revision": 2, "expires_at": first.expires_at + timedelta(hours=1)})
            await gateway.propose(second.canonical())
            outcome = await gateway.commit(world.rehearsal.trigger(second, approval))
            stale = await gateway.commit(world.rehearsal.trigger(first, approval))
        assert ended(outcome) == blocked(Code.APPROVAL_MISMATCH, Next.NEW_APPROVAL)
        assert ended(stale) == blocked(Code.PROPOSAL_REVISED, Next.NEW_APPROVAL)

    @pytest.mark.requirement("GATE-22")
    async def test_a_superseded_approval_blocks(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            approval = await world.rehearsal.decide(gateway, proposal)
            await world.rehearsal.decide(gateway, proposal, Verdict.REJECT)
            outcome = await gateway.commit(world.rehearsal.trigger(proposal, approval))
        assert ended(outcome) == blocked(Code.APPROVAL_SUPERSEDED, Next.NEW_APPROVAL)

    @pytest.mark.requirement("GATE-23")
    async def test_a_conditional_approval_blocks(self, world: Any) -> None:
        from gateway.contracts.statements import Condition

        async with world.gateway() as gateway:
            outcome = await self.attempt(world, gateway, conditions=[next(iter(Condition))])
        assert ended(outcome) == blocked(Code.APPROVAL_CONDITIONAL, Next.NEW_APPROVAL)

    @pytest.mark.requirement("GATE-21")
    async def test_an_expired_approval_blocks(self, world: Any) -> None:
        """It was good for a minute, and the gateway comes a second late."""
        outcome = await self.signed(
            world, lambda decision: {"expires_at": decision.issued_at + timedelta(seconds=60)}, late=61
        )
        assert ended(outcome) == blocked(Code.APPROVAL_EXPIRED, Next.NEW_APPROVAL)

    @pytest.mark.requirement("AUTH-05")
    async def test_automation_cannot_approve(self, world: Any) -> None:
        outcome = await self.signed(world, lambda decision: {"reviewer_kind": ReviewerKind.AUTOMATION})
        assert ended(outcome) == blocked(Code.APPROVER_NOT_HUMAN, Next.NEW_APPROVAL)

    @pytest.mark.requirement("AUTH-06")
    async def test_an_approval_that_covers_only_a_message_commits_nothing(self, world: Any) -> None:
        outcome = await self.signed(world, lambda decision: {"operations": (Notice.SEND_MESSAGE,)})
        assert ended(outcome) == blocked(Code.APPROVAL_UNCOVERED, Next.NEW_APPROVAL)

    async def signed(self, world: Any, change: Any, late: int = 0) -> Outcome:
        """An attempt on a decision that a trusted surface signed in another form than ours would; made by a gateway
        that is some seconds `late`."""
        clock = LateClock()
        async with world.gateway(clock=clock) as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            surface = world.local.surface(REVIEWER)
            reviewer = world.local.desk.reviewer
            decision = surface.review(proposal, reviewer=reviewer, verdict=Verdict.APPROVE).decision.statement
            await gateway.decide(sign(decision.model_copy(update=change(decision)), surface.key))
            clock.late = timedelta(seconds=late)
            outcome: Outcome = await gateway.commit(world.rehearsal.trigger(proposal, decision.decision_id))
        return outcome

    @pytest.mark.requirement("AUTH-01", "AUTH-07")
    async def test_the_initiator_cannot_approve(self, world: Any) -> None:
        async with world.gateway() as gateway:
            patient = world.rehearsal.enrol()
            proposal = await world.rehearsal.propose(gateway, patient)
            approval = await world.rehearsal.decide(gateway, proposal, reviewer=patient.person)
            outcome = await gateway.commit(world.rehearsal.trigger(proposal, approval))
        assert ended(outcome) == blocked(Code.APPROVER_IS_INITIATOR, Next.NEW_APPROVAL)

    @pytest.mark.requirement("CARD-09")
    async def test_particulars_moved_after_approval_block(self, world: Any) -> None:
        rehearsal = world.rehearsal
        async with world.gateway() as gateway:
            patient = rehearsal.enrol()
            proposal = await rehearsal.propose(gateway, patient)
            approval = await rehearsal.decide(gateway, proposal)
            moved = rehearsal.particulars(patient, rehearsal.next_slot())
            world.local.registry.register_particulars(proposal.proposal_id, 1, moved)
            outcome = await gateway.commit(rehearsal.trigger(proposal, approval))
        assert ended(outcome) == blocked(Code.PARTICULARS_CHANGED, Next.NEW_PROPOSAL)
        assert await world.sent() == 0

    @pytest.mark.requirement("CARD-09")
    @pytest.mark.parametrize("part", ["start", "end"])
    async def test_a_time_moved_under_the_same_salt_blocks(self, world: Any, part: str) -> None:
        rehearsal, registry = world.rehearsal, world.local.registry
        async with world.gateway() as gateway:
            proposal = await rehearsal.propose(gateway, rehearsal.enrol())
            approval = await rehearsal.decide(gateway, proposal)
            [match] = registry.registered(proposal.proposal_id, 1).matches
            time = getattr(match.particulars, part) + (timedelta(minutes=5) if part == "end" else timedelta(minutes=-5))
            moved = match.model_copy(update={"particulars": match.particulars.model_copy(update={part: time})})
            record = Registered(proposal=proposal.proposal_id, revision=1, matches=(moved,))
            name = f"particulars/{proposal.proposal_id}-1.json"
            documents.write(registry.root / name, documents.spell(record), name)
            outcome = await gateway.commit(rehearsal.trigger(proposal, approval))
        assert ended(outcome) == blocked(Code.PARTICULARS_CHANGED, Next.NEW_PROPOSAL)
        assert await world.sent() == 0

    @pytest.mark.requirement("GATE-24", "GATE-27", "FAIL-05", "AUDIT-17")
    async def test_an_unavailable_system_blocks(self, world: Any) -> None:
        world.arm(Fault.ERROR_BEFORE, Action.HEALTH, status=503)
        async with world.gateway() as gateway:
            outcome = await self.attempt(world, gateway)
            assert Signal.DEPENDENCY_UNAVAILABLE in await signals(gateway, outcome)
        assert ended(outcome) == blocked(Code.EXTERNAL_UNAVAILABLE, Next.NEW_ATTEMPT)

    @pytest.mark.requirement("GATE-25")
    async def test_rejected_credentials_block(self, world: Any) -> None:
        world.local.keep_secret("sandbox", "another-token")
        async with world.gateway() as gateway:
            outcome = await self.attempt(world, gateway)
        assert ended(outcome) == blocked(Code.CREDENTIALS_REJECTED, Next.FIX_SETUP)
        assert await world.sent() == 0

    @pytest.mark.requirement("FAIL-17")
    async def test_a_taken_slot_blocks_before_anything_is_sent(self, world: Any) -> None:
        rehearsal = world.rehearsal
        start = rehearsal.next_slot()
        async with world.gateway() as gateway:
            await rehearsal.commit(gateway, await rehearsal.propose(gateway, rehearsal.enrol(), start=start))
            second = await rehearsal.propose(gateway, rehearsal.enrol(), start=start)
            outcome = await rehearsal.commit(gateway, second)
        assert ended(outcome) == blocked(Code.SLOT_TAKEN, Next.NEW_PROPOSAL)
        assert await world.sent() == 1

    @pytest.mark.requirement("FAIL-14")
    async def test_after_a_block_the_same_approval_is_still_good(self, world: Any) -> None:
        world.arm(Fault.ERROR_BEFORE, Action.HEALTH, status=503)
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            approval = await world.rehearsal.decide(gateway, proposal)
            first = await gateway.commit(world.rehearsal.trigger(proposal, approval))
            second = await gateway.commit(world.rehearsal.trigger(proposal, approval))
        assert (first.state, second.state) == (State.BLOCKED, State.SUCCEEDED)
        assert await world.sent() == 1


class TestAfterDispatch:
    """What the reply proves, and what it leaves unknown (I3)."""

    async def attempt(self, world: Any, fault: Fault, **details: Any) -> Outcome:
        world.arm(fault, Action.BOOK, **details)
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            outcome: Outcome = await world.rehearsal.commit(gateway, proposal)
        assert await world.sent() == 1
        return outcome

    @pytest.mark.requirement("FAIL-15", "FAIL-20")
    async def test_a_definitive_refusal_is_refused(self, world: Any) -> None:
        outcome = await self.attempt(world, Fault.FORBIDDEN)
        assert ended(outcome) == (
            State.ERROR,
            Code.EXTERNAL_FORBIDDEN,
            Effect.REFUSED,
            ApprovalUse.SPENT,
            Next.NEW_APPROVAL,
        )
        assert outcome.standing is Standing.NOT_MADE

    @pytest.mark.requirement("CARD-04", "FAIL-16", "FAIL-18", "FAIL-19")
    @pytest.mark.parametrize(
        ("fault", "details", "code"),
        [
            (Fault.DROP_BEFORE, {}, Code.CONNECTION_LOST),
            (Fault.DROP_AFTER, {}, Code.CONNECTION_LOST),
            (Fault.CUT_REPLY, {}, Code.CONNECTION_LOST),
            (Fault.ERROR_BEFORE, {"status": 500}, Code.EXTERNAL_ERROR),
            (Fault.ERROR_AFTER, {"status": 503}, Code.EXTERNAL_ERROR),
            (Fault.GARBAGE, {}, Code.REPLY_UNRECOGNISED),
            (Fault.DEVIATES, {}, Code.REPLY_DEVIATES),
            (Fault.DELAY_AFTER, {"milliseconds": 2500}, Code.EXTERNAL_TIMEOUT),
        ],
    )
    async def test_a_lost_or_strange_reply_is_unknown(
        self, world: Any, fault: Fault, details: dict[str, int], code: Code
    ) -> None:
        outcome = await self.attempt(world, fault, **details)
        assert ended(outcome) == (State.ERROR, code, Effect.UNKNOWN, ApprovalUse.SPENT, Next.RESOLVE)
        assert outcome.standing is Standing.UNRESOLVED


class TestUnknown:
    """While nobody knows, nothing more is sent; a human's signed word ends it (CARD-05, C-38)."""

    async def lose(self, world: Any, gateway: Gateway, fault: Fault = Fault.DROP_AFTER) -> tuple[Any, Outcome]:
        world.arm(fault, Action.BOOK)
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        outcome = await world.rehearsal.commit(gateway, proposal)
        assert outcome.effect is Effect.UNKNOWN
        return proposal, outcome

    @pytest.mark.requirement("CARD-05", "FAIL-21")
    async def test_the_proposal_is_frozen_for_any_approval(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal, _ = await self.lose(world, gateway)
            outcome = await world.rehearsal.commit(gateway, proposal)
        assert ended(outcome) == blocked(Code.PROPOSAL_FROZEN, Next.RESOLVE)
        assert await world.sent() == 1

    @pytest.mark.requirement("CARD-10")
    @pytest.mark.parametrize("fault", [Fault.DROP_BEFORE, Fault.DROP_AFTER])
    async def test_a_sibling_for_the_same_slot_is_blocked_until_resolved(self, world: Any, fault: Fault) -> None:
        rehearsal = world.rehearsal
        async with world.gateway() as gateway:
            start = rehearsal.next_slot()
            world.arm(fault, Action.BOOK)
            lost = await rehearsal.commit(gateway, await rehearsal.propose(gateway, rehearsal.enrol(), start=start))
            sibling = await rehearsal.propose(gateway, rehearsal.enrol(), start=start)
            blocked_sibling = await rehearsal.commit(gateway, sibling)
            await rehearsal.resolve(gateway, lost, Finding.HANDLED_BY_HAND)
            free = await rehearsal.commit(gateway, sibling)
        assert ended(blocked_sibling) == blocked(Code.RELATED_UNRESOLVED, Next.RESOLVE)
        merits = {Fault.DROP_BEFORE: Code.COMMITTED, Fault.DROP_AFTER: Code.SLOT_TAKEN}
        assert free.code is merits[fault]

    @pytest.mark.requirement("CARD-13", "FAIL-22")
    async def test_the_one_look_finds_the_booking_and_changes_nothing_else(self, world: Any) -> None:
        async with world.gateway() as gateway:
            _, outcome = await self.lose(world, gateway)
        assert outcome.observation is not None
        assert outcome.observation.finding is ObservationFinding.PRESENT
        assert (outcome.state, outcome.effect, outcome.next) == (State.ERROR, Effect.UNKNOWN, Next.RESOLVE)

    @pytest.mark.requirement("CARD-13")
    async def test_absence_seen_before_the_deadline_proves_nothing(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal, outcome = await self.lose(world, gateway, Fault.DROP_BEFORE)
            seen = await world.rehearsal.observe(gateway, proposal, outcome)
        assert outcome.observation.finding is ObservationFinding.INDETERMINATE  # the one look, right after the request
        assert seen.observation is not None
        assert seen.observation.finding is ObservationFinding.INDETERMINATE

    @pytest.mark.requirement("CARD-11")
    async def test_resolved_applied_is_confirmed_and_executed(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal, outcome = await self.lose(world, gateway)
            resolved = await world.rehearsal.resolve(gateway, outcome, Finding.APPLIED)
            again = await world.rehearsal.commit(gateway, proposal)
        assert resolved.standing is Standing.CONFIRMED
        assert resolved.state is State.ERROR
        assert ended(again)[:2] == (State.BLOCKED, Code.PROPOSAL_EXECUTED)

    async def test_absence_needs_a_look_that_found_it(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal, outcome = await self.lose(world, gateway, Fault.DROP_BEFORE)
            unseen = outcome.model_copy(update={"observation": None})
            early = await world.rehearsal.observe(gateway, proposal, outcome)
            for supposed in (unseen, early):
                with pytest.raises(Conflict, match="observation"):
                    await world.rehearsal.resolve(gateway, supposed, Finding.ABSENT)
            again = await world.rehearsal.commit(gateway, proposal)
        assert ended(again)[:2] == (State.BLOCKED, Code.PROPOSAL_FROZEN)

    @pytest.mark.requirement("CARD-11")
    async def test_the_first_resolution_stands(self, world: Any) -> None:
        async with world.gateway() as gateway:
            _, outcome = await self.lose(world, gateway)
            await world.rehearsal.resolve(gateway, outcome, Finding.APPLIED)
            with pytest.raises(Conflict, match="already resolved"):
                await world.rehearsal.resolve(gateway, outcome, Finding.HANDLED_BY_HAND)
            standing = (await gateway.attempt(outcome.attempt)).outcome.standing
        assert standing is Standing.CONFIRMED

    @pytest.mark.requirement("FAIL-24")
    async def test_what_was_observed_can_later_be_cancelled_by_a_new_proposal(self, world: Any) -> None:
        rehearsal = world.rehearsal
        async with world.gateway() as gateway:
            patient = rehearsal.enrol()
            start = rehearsal.next_slot()
            world.arm(Fault.DROP_AFTER, Action.BOOK)
            lost = await rehearsal.commit(gateway, await rehearsal.propose(gateway, patient, start=start))
            resolved = await rehearsal.resolve(gateway, lost, Finding.APPLIED)
            cancelling = await rehearsal.propose(
                gateway, patient, Operation.CANCEL, start=start, target=target_of(resolved)
            )
            cancelled = await rehearsal.commit(gateway, cancelling)
        assert cancelled.state is State.SUCCEEDED


class TestPolicyAndStop:
    @pytest.mark.requirement("FAIL-03", "POLICY-10", "STATE-11")
    async def test_two_person_policy_denies_the_reviewers_own_trigger(self, make_world: Any) -> None:
        world = await make_world(policy="two-person")
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            surface, reviewer = world.local.surface(REVIEWER), world.local.desk.reviewer
            review = surface.review(proposal, reviewer=reviewer, verdict=Verdict.APPROVE, commit=True)
            await gateway.decide(review.decision.token)
            assert review.trigger is not None
            alone = await gateway.commit(review.trigger.token)
            together = await gateway.commit(world.rehearsal.trigger(proposal, review.decision.statement.decision_id))
        assert ended(alone)[:2] == (State.REJECTED, Code.TWO_PERSONS_REQUIRED)
        assert together.state is State.SUCCEEDED
        assert await world.sent() == 1

    async def paused(self, world: Any, gateway: Gateway) -> tuple[Any, DecisionId, Outcome]:
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        approval = await world.rehearsal.decide(gateway, proposal)
        return proposal, approval, await gateway.commit(world.rehearsal.trigger(proposal, approval))

    def answer(self, world: Any, proposal: Any, approval: DecisionId, paused: Outcome, choice: Choice) -> str:
        surface, operator = world.local.surface(OPERATOR), world.local.desk.operator
        token: str = surface.resume(proposal, operator=operator, approval=approval, paused=paused, choice=choice).token
        return token

    @pytest.mark.requirement("FAIL-04", "STATE-12", "STATE-27", "AUDIT-07", "CORR-08", "CORR-01")
    async def test_a_required_decision_pauses_and_a_signed_answer_resumes_through_all_gates(
        self, make_world: Any
    ) -> None:
        world = await make_world(risk=Severity.HIGH)
        async with world.gateway() as gateway:
            proposal, approval, paused = await self.paused(world, gateway)
            assert ended(paused)[:2] == (State.PAUSED, Code.DECISION_REQUIRED)
            assert await world.sent() == 0
        async with world.gateway() as gateway:
            resumed = await gateway.resume(self.answer(world, proposal, approval, paused, Choice.PROCEED))
            seen = await signals(gateway, resumed)
        assert (resumed.attempt, resumed.state) == (paused.attempt, State.SUCCEEDED)
        assert seen.count(Signal.POLICY_EVALUATED) == 2
        assert seen.count(Signal.GATE_JUDGED) == 14
        assert await world.sent() == 1

    @pytest.mark.requirement("STATE-35")
    async def test_a_resume_meets_a_gate_that_no_longer_passes(self, make_world: Any) -> None:
        world = await make_world(risk=Severity.HIGH)
        async with world.gateway() as gateway:
            proposal, approval, paused = await self.paused(world, gateway)
            world.local.registry.set_consent(proposal.patient, in_force=False)
            resumed = await gateway.resume(self.answer(world, proposal, approval, paused, Choice.PROCEED))
        assert ended(resumed)[:2] == (State.BLOCKED, Code.CONSENT_ABSENT)
        assert await world.sent() == 0

    async def test_a_declined_decision_is_rejected(self, make_world: Any) -> None:
        world = await make_world(risk=Severity.HIGH)
        async with world.gateway() as gateway:
            proposal, approval, paused = await self.paused(world, gateway)
            resumed = await gateway.resume(self.answer(world, proposal, approval, paused, Choice.DECLINE))
        assert ended(resumed)[:2] == (State.REJECTED, Code.DECISION_DECLINED)

    @pytest.mark.requirement("STATE-28", "OPS-02")
    async def test_a_stop_cancels_a_paused_attempt(self, make_world: Any) -> None:
        world = await make_world(risk=Severity.HIGH)
        async with world.gateway() as gateway:
            proposal, approval, paused = await self.paused(world, gateway)
            operator = world.local.desk.operator
            await gateway.stop(world.local.surface(OPERATOR).stop(proposal, operator=operator).token)
            file = await gateway.attempt(paused.attempt)
            late = await gateway.resume(self.answer(world, proposal, approval, paused, Choice.PROCEED))
        assert file.state is State.CANCELLED
        assert ended(late)[:2] == (State.REJECTED, Code.TRIGGER_FORBIDDEN)

    @pytest.mark.requirement("STATE-28", "OPS-02")
    async def test_a_stop_cancels_a_paused_attempt_however_many_came_after_it(self, make_world: Any) -> None:
        world = await make_world(risk=Severity.HIGH)
        async with world.gateway() as gateway:
            proposal, approval, paused = await self.paused(world, gateway)
            surface, operator = world.local.surface(OPERATOR), world.local.desk.operator
            checks = [surface.check(proposal, operator=operator, approval=approval).token for _ in range(100)]
            denied = await asyncio.gather(*(gateway.commit(check) for check in checks))
            assert {each.code for each in denied} == {Code.TRIGGER_FORBIDDEN}
            await gateway.stop(surface.stop(proposal, operator=operator).token)
            file = await gateway.attempt(paused.attempt)
        assert (file.state, file.outcome.code) == (State.CANCELLED, Code.OPERATOR_STOP)

    @pytest.mark.requirement("AUTH-10")
    async def test_a_stop_latched_before_the_intent_blocks(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            operator = world.local.desk.operator
            await gateway.stop(world.local.surface(OPERATOR).stop(proposal, operator=operator).token)
            outcome = await world.rehearsal.commit(gateway, proposal)
        assert ended(outcome) == blocked(Code.OPERATOR_STOP, Next.NONE)
        assert await world.sent() == 0

    @pytest.mark.requirement("FLOW-08")
    async def test_a_check_judges_everything_and_dispatches_nothing(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            approval = await world.rehearsal.decide(gateway, proposal)
            surface, operator = world.local.surface(OPERATOR), world.local.desk.operator
            checked = await gateway.check(surface.check(proposal, operator=operator, approval=approval).token)
            committed = await gateway.commit(world.rehearsal.trigger(proposal, approval))
        assert (checked.state, checked.code, checked.effect) == (State.SUCCEEDED, Code.CHECK_PASSED, None)
        assert committed.state is State.SUCCEEDED
        assert await world.sent() == 1

    @pytest.mark.requirement("CARD-14")
    async def test_an_exhausted_budget_blocks_and_says_from_when(self, make_world: Any) -> None:
        world = await make_world(limits={"requests_per_minute": 6})
        async with world.gateway() as gateway:
            rehearsal = world.rehearsal
            await rehearsal.commit(gateway, await rehearsal.propose(gateway, rehearsal.enrol()))
            second = await rehearsal.commit(gateway, await rehearsal.propose(gateway, rehearsal.enrol()))
        assert ended(second) == blocked(Code.THROTTLED, Next.NEW_ATTEMPT)
        assert second.not_before is not None
        assert await world.sent() == 1

    async def test_a_suspended_connection_blocks(self, world: Any) -> None:
        async with world.gateway() as gateway:
            await gateway.suspend(world.rehearsal.connection.connection_id, True)
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            outcome = await world.rehearsal.commit(gateway, proposal)
        assert ended(outcome) == blocked(Code.CONNECTION_SUSPENDED, Next.NEW_ATTEMPT)

    @pytest.mark.requirement("GOV-12")
    async def test_outside_the_sandbox_nothing_is_committed_without_a_governance_record(self, make_world: Any) -> None:
        from gateway.contracts.words import Environment

        world = await make_world(environment=Environment.PRODUCTION)
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            outcome = await world.rehearsal.commit(gateway, proposal)
        assert ended(outcome) == blocked(Code.GOVERNANCE_INCOMPLETE, Next.FIX_SETUP)
        assert await world.sent() == 0
