"""What the audit says of attempts of every kind: E-01 §7.1 and §7.2, F-01 §5.3, row by row (F-05).

Each test walks the stored events of a whole attempt. `TRAILS` are the kinds of attempts walked.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.sandbox.faults import Action, Fault
from gateway.contracts.canonical import digest
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.references import DecisionId
from gateway.contracts.signals import Event, ProposalState, Signal, Step
from gateway.contracts.words import TERMINAL, Effect, Environment, GateName, Severity, State
from gateway.gateway import Gateway
from gateway.journal import AttemptFile
from gateway.surfaces.local import OPERATOR

Trail = Callable[[Any, Gateway], Awaitable[AttemptFile]]


async def succeeded(world: Any, gateway: Gateway) -> AttemptFile:
    outcome = await world.rehearsal.commit(gateway, await world.rehearsal.propose(gateway, world.rehearsal.enrol()))
    return await gateway.attempt(outcome.attempt)


async def refused(world: Any, gateway: Gateway) -> AttemptFile:
    world.arm(Fault.FORBIDDEN, Action.BOOK)
    return await succeeded(world, gateway)


async def unknown(world: Any, gateway: Gateway) -> AttemptFile:
    world.arm(Fault.DROP_AFTER, Action.BOOK)
    return await succeeded(world, gateway)


async def unapproved(world: Any, gateway: Gateway) -> AttemptFile:
    proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
    outcome = await gateway.commit(world.rehearsal.trigger(proposal, DecisionId.random()))
    assert outcome.attempt is not None
    return await gateway.attempt(outcome.attempt)


async def suspended(world: Any, gateway: Gateway) -> AttemptFile:
    await gateway.suspend(world.rehearsal.connection.connection_id, True)
    return await succeeded(world, gateway)


async def unsigned(world: Any, gateway: Gateway) -> AttemptFile:
    outcome = await gateway.commit("not.a.token")
    assert outcome.attempt is not None
    return await gateway.attempt(outcome.attempt)


async def checked(world: Any, gateway: Gateway) -> AttemptFile:
    proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
    approval = await world.rehearsal.decide(gateway, proposal)
    surface, operator = world.local.surface(OPERATOR), world.local.desk.operator
    outcome = await gateway.check(surface.check(proposal, operator=operator, approval=approval).token)
    assert outcome.attempt is not None
    return await gateway.attempt(outcome.attempt)


async def observed(world: Any, gateway: Gateway) -> AttemptFile:
    proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
    booked = await world.rehearsal.commit(gateway, proposal)
    await world.rehearsal.observe(gateway, proposal, booked)
    return (await gateway.ports.journal.attempts())[0]


TRAILS: list[Trail] = [succeeded, refused, unknown, unapproved, suspended, unsigned, checked, observed]


@pytest.fixture(params=TRAILS, ids=lambda trail: trail.__name__)
async def trail(request: pytest.FixtureRequest, world: Any) -> list[Event]:
    """The events of one whole attempt, of each kind in turn."""
    async with world.gateway() as gateway:
        file = await request.param(world, gateway)
    return [link.event for link in file.links]


async def walk(world: Any, kind: Trail) -> list[Event]:
    async with world.gateway() as gateway:
        return [link.event for link in (await kind(world, gateway)).links]


def only(events: list[Event], signal: Signal) -> Event:
    [event] = [event for event in events if event.signal is signal]
    return event


class TestEveryAttempt:
    @pytest.mark.requirement("AUDIT-01", "AUDIT-18")
    async def test_it_begins_with_its_trigger_and_ends_with_its_completion(self, trail: list[Event]) -> None:
        assert trail[0].signal is Signal.TRIGGER_RECEIVED
        assert trail[0].purpose is not None
        assert trail[-1].signal is Signal.ATTEMPT_COMPLETED

    @pytest.mark.requirement("AUDIT-13", "STATE-03", "FLOW-01", "FLOW-02")
    async def test_its_transitions_lead_from_new_to_one_end_without_a_gap(self, trail: list[Event]) -> None:
        moves = [event for event in trail if event.signal is Signal.STATE_TRANSITION_RECORDED]
        states = [State.NEW]
        for move in moves:
            assert move.from_state is states[-1]
            assert move.to_state is not None
            states.append(move.to_state)
        assert states[-1] in TERMINAL
        assert not TERMINAL & set(states[:-1])

    @pytest.mark.requirement("CORR-01", "CORR-02", "CORR-09", "CORR-10", "CORR-11")
    async def test_its_identifiers_are_the_same_on_every_event(self, trail: list[Event]) -> None:
        assert len({(event.attempt, event.correlation, event.trace, event.trigger) for event in trail}) == 1
        assert re.fullmatch(r"[0-9a-f]{32}", trail[0].trace)
        assert [event.seq for event in trail] == list(range(1, len(trail) + 1))

    @pytest.mark.requirement("AUDIT-23", "AUDIT-27")
    async def test_each_event_is_timed_and_names_the_environment(self, trail: list[Event]) -> None:
        assert [event.at for event in trail] == sorted(event.at for event in trail)
        assert {event.environment for event in trail} == {Environment.SANDBOX}

    @pytest.mark.requirement("AUDIT-28", "CORR-12", "PHI-05")
    async def test_no_event_has_a_tenant_an_actor_a_request_or_a_payload(self, trail: list[Event], world: Any) -> None:
        desk, patient_kind = world.local.desk, "pat_"
        for event in trail:
            text = event.canonical().decode()
            assert not {"tenantId", "actorId", "requestId", "payload", "cursor", "patient"} & set(event.plain())
            for forbidden in (desk.practice, desk.operator, desk.reviewer, patient_kind, "psn_", "prc_"):
                assert forbidden not in text

    @pytest.mark.requirement("AUDIT-25", "AUDIT-24")
    async def test_its_end_carries_a_code_of_the_taxonomy(self, trail: list[Event]) -> None:
        assert isinstance(trail[-1].code, Code)
        assert trail[-1].to_state in TERMINAL


class TestCommitted:
    @pytest.mark.requirement("AUDIT-03", "GATE-32")
    async def test_context_is_validated_before_the_gates(self, world: Any) -> None:
        events = await walk(world, succeeded)
        signals = [event.signal for event in events]
        assert signals.index(Signal.CONTEXT_VALIDATED) < signals.index(Signal.GATE_JUDGED)

    @pytest.mark.requirement("FLOW-02", "GATE-01")
    async def test_each_gate_has_a_verdict_of_its_own_in_the_fixed_order(self, world: Any) -> None:
        events = await walk(world, succeeded)
        judged = [(event.gate, event.passed) for event in events if event.signal is Signal.GATE_JUDGED]
        assert judged == [(gate, True) for gate in GateName]

    @pytest.mark.requirement("AUDIT-06", "CORR-03", "CORR-04", "CORR-05", "CORR-06", "CORR-07", "POLICY-04")
    async def test_the_policy_version_its_view_and_its_answer_are_recorded_before_authorization(
        self, world: Any
    ) -> None:
        events = await walk(world, succeeded)
        evaluated = only(events, Signal.POLICY_EVALUATED)
        assert (evaluated.policy, evaluated.policy_version, evaluated.allowed) == ("standard", 1, True)
        assert (evaluated.view, evaluated.view_version) == ("scheduling-commit", 1)
        assert evaluated.policy_evaluation is not None
        authorized = next(event for event in events if event.to_state is State.AUTHORIZED)
        assert evaluated.seq < authorized.seq

    @pytest.mark.requirement("AUDIT-06", "FAIL-03", "STATE-38")
    async def test_a_denial_is_recorded_with_its_reason_and_nothing_follows(self, make_world: Any) -> None:
        from gateway.contracts.statements import Verdict
        from gateway.surfaces.local import REVIEWER

        world = await make_world(policy="two-person")
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            surface, reviewer = world.local.surface(REVIEWER), world.local.desk.reviewer
            review = surface.review(proposal, reviewer=reviewer, verdict=Verdict.APPROVE, commit=True)
            await gateway.decide(review.decision.token)
            assert review.trigger is not None
            outcome = await gateway.commit(review.trigger.token)
            assert outcome.attempt is not None
            events = [link.event for link in (await gateway.attempt(outcome.attempt)).links]
        denied = only(events, Signal.POLICY_EVALUATED)
        assert (denied.allowed, denied.code) == (False, Code.TWO_PERSONS_REQUIRED)
        assert not any(event.step for event in events)

    @pytest.mark.requirement("AUDIT-08", "AUDIT-09", "FAIL-06")
    async def test_the_step_starts_before_the_intent_is_durable_and_completes_with_what_was_sent(
        self, world: Any
    ) -> None:
        events = await walk(world, succeeded)
        started, completed = only(events, Signal.EXECUTION_STEP_STARTED), only(events, Signal.EXECUTION_STEP_COMPLETED)
        assert (started.step, completed.step, completed.mutating_requests) == (Step.COMMIT, Step.COMMIT, 1)
        assert started.seq < only(events, Signal.INTENT_RECORDED).seq < completed.seq

    @pytest.mark.requirement("AUDIT-10", "AUDIT-12")
    async def test_the_mutation_is_requested_and_approved_by_a_bounded_name(self, world: Any) -> None:
        events = await walk(world, succeeded)
        common = {"seq", "at", "signal", "environment", "attempt", "correlation", "trace", "trigger", "operation"}
        requested, approved = only(events, Signal.MUTATION_REQUESTED), only(events, Signal.MUTATION_APPROVED)
        assert requested.operation is approved.operation is Operation.BOOK
        assert set(requested.plain()) == common
        assert set(approved.plain()) == common | {"approval"}

    @pytest.mark.requirement("AUDIT-14", "STATE-23")
    async def test_the_journal_accepts_the_intent_before_the_step_and_the_effect_before_success(
        self, world: Any
    ) -> None:
        events = await walk(world, succeeded)
        moves = [event.seq for event in events if event.to_state in (State.AUDITING, State.SUCCEEDED)]
        accepted = [event.seq for event in events if event.signal is Signal.AUDIT_ACCEPTED]
        assert moves[0] < accepted[0] < moves[1] < accepted[-1] < moves[2]

    @pytest.mark.requirement("AUDIT-20", "AUDIT-21", "AUDIT-22")
    async def test_proposal_and_approval_are_named_and_the_approval_proven_by_digest(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            outcome = await world.rehearsal.commit(gateway, proposal)
            events = [link.event for link in (await gateway.attempt(outcome.attempt)).links]
            decision = (await gateway.proposal(proposal.proposal_id)).records[-1]
        bound, approved = only(events, Signal.PROPOSAL_BOUND), only(events, Signal.APPROVAL_BOUND)
        assert (bound.proposal, bound.proposal_digest) == (proposal.proposal_id, proposal.proposal_digest)
        assert bound.proposal_state is ProposalState.CURRENT
        assert approved.approval == decision.reference
        assert approved.approved_at is not None
        assert approved.approval_digest == digest("approval/v1", decision.body.encode())

    @pytest.mark.requirement("AUDIT-26")
    async def test_the_external_interaction_is_named_by_an_opaque_reference_only(self, world: Any) -> None:
        async with world.gateway() as gateway:
            file = await succeeded(world, gateway)
        effect = only([link.event for link in file.links], Signal.EFFECT_RECORDED)
        assert file.outcome is not None
        assert effect.external_reference == file.outcome.external_reference
        assert effect.effect is Effect.APPLIED
        [appointment] = await world.appointments()
        assert appointment["id"] not in effect.canonical().decode()


class TestNotCommitted:
    @pytest.mark.requirement("AUDIT-02", "FAIL-01")
    async def test_a_refused_trigger_says_why_and_meets_no_policy(self, world: Any) -> None:
        events = await walk(world, unsigned)
        assert only(events, Signal.TRIGGER_REJECTED).code is Code.TRIGGER_UNSIGNED
        assert not any(event.signal is Signal.POLICY_EVALUATED for event in events)

    @pytest.mark.requirement("AUDIT-04", "FAIL-02", "CTX-01")
    async def test_a_context_that_fails_says_why_and_never_reaches_the_gates(self, world: Any) -> None:
        events = await walk(world, suspended)
        assert only(events, Signal.CONTEXT_INVALID).code is Code.CONNECTION_SUSPENDED
        assert not any(event.to_state is State.GATED for event in events)

    @pytest.mark.requirement("AUDIT-05", "AUDIT-17")
    async def test_a_context_that_is_missing_says_so(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            booked = await world.rehearsal.commit(gateway, proposal)
            nobody = booked.model_copy(update={"attempt": type(booked.attempt).random()})
            await world.rehearsal.observe(gateway, proposal, nobody)
            file = (await gateway.ports.journal.attempts())[0]
        events = [link.event for link in file.links]
        assert only(events, Signal.CONTEXT_MISSING).code is Code.CONTEXT_MISSING
        assert file.state is State.BLOCKED

    @pytest.mark.requirement("AUDIT-11", "STATE-39")
    async def test_a_mutation_denied_at_the_intent_is_recorded_by_name_and_code(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            operator, asked = world.local.desk.operator, gateway.ports.gatekeeper.evidence

            async def stop_meanwhile(question: Any) -> Any:
                await gateway.stop(world.local.surface(OPERATOR).stop(proposal, operator=operator).token)
                return await asked.consent(question)

            late = SimpleNamespace(
                identity=asked.identity, tenant=asked.tenant, notice=asked.notice, consent=stop_meanwhile
            )
            object.__setattr__(gateway.ports.gatekeeper, "evidence", late)
            outcome = await world.rehearsal.commit(gateway, proposal)
            events = [link.event for link in (await gateway.attempt(outcome.attempt)).links]
        denied = only(events, Signal.MUTATION_DENIED)
        assert (denied.operation, denied.code) == (Operation.BOOK, Code.OPERATOR_STOP)
        assert await world.sent() == 0

    @pytest.mark.requirement("AUDIT-30", "DECIDE-02", "AUDIT-07")
    async def test_a_decision_signal_carries_severity_and_code_and_nothing_of_anybody(self, make_world: Any) -> None:
        world = await make_world(risk=Severity.HIGH)
        async with world.gateway() as gateway:
            file = await succeeded(world, gateway)
        emitted = only([link.event for link in file.links], Signal.DECISION_REQUIRED_EMITTED)
        assert (file.state, emitted.severity) == (State.PAUSED, Severity.HIGH)
        assert set(emitted.plain()) <= {
            "seq",
            "at",
            "signal",
            "environment",
            "attempt",
            "correlation",
            "trace",
            "trigger",
            "decision_signal",
            "severity",
            "code",
        }


@pytest.mark.requirement("NORETRY-01", "NORETRY-02", "NORETRY-03", "TRIG-06", "STATE-31")
@pytest.mark.parametrize("kind", [unapproved, suspended, refused, unknown], ids=lambda kind: kind.__name__)
async def test_an_ended_attempt_is_never_taken_up_again(world: Any, kind: Trail) -> None:
    async with world.gateway() as gateway:
        file = await kind(world, gateway)
        sent = await world.sent()
        await gateway.recover()
        again = await gateway.attempt(file.attempt)
        assert again == file
        assert len(await gateway.ports.journal.attempts()) == 1
    assert await world.sent() == sent
