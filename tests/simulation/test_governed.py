"""Governance around an attempt: one closure, escalation that does nothing, policy at the moment of the attempt."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.faults import Action, Fault
from gateway import config, documents, home
from gateway.contracts.adapter import Authorized, Readiness, Receipt, Request
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.references import DecisionId
from gateway.contracts.signals import Event, Signal
from gateway.contracts.statements import Choice, Verdict
from gateway.contracts.words import ApprovalUse, Effect, ObservationFinding, Severity, Standing, State
from gateway.gateway import Gateway
from gateway.surfaces.local import OPERATOR, REVIEWER

TOKEN = {"Authorization": "Bearer sandbox-token"}


async def events(gateway: Gateway, outcome: Any) -> list[Event]:
    return [link.event for link in (await gateway.attempt(outcome.attempt)).links]


@pytest.mark.requirement("FLOW-04", "AUDIT-16", "AUDIT-24", "FLOW-06")
@pytest.mark.parametrize(
    ("fault", "state"),
    [(None, State.SUCCEEDED), (Fault.FORBIDDEN, State.ERROR), (Fault.DROP_AFTER, State.ERROR)],
)
async def test_a_finished_attempt_has_one_closure_and_it_is_the_last_word(
    world: Any, fault: Fault | None, state: State
) -> None:
    if fault is not None:
        world.arm(fault, Action.BOOK)
    async with world.gateway() as gateway:
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        outcome = await world.rehearsal.commit(gateway, proposal)
        seen = await events(gateway, outcome)
    closures = [event for event in seen if event.signal is Signal.ATTEMPT_COMPLETED]
    assert closures == seen[-1:]
    assert (closures[0].to_state, closures[0].code, closures[0].effect) == (state, outcome.code, outcome.effect)
    assert set(closures[0].plain()) <= {
        "seq",
        "at",
        "signal",
        "environment",
        "attempt",
        "correlation",
        "trace",
        "trigger",
        "to_state",
        "code",
        "effect",
        "outcome_digest",
    }


class TestPaused:
    async def paused(self, world: Any, gateway: Gateway) -> tuple[Any, DecisionId, str, Any]:
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        approval = await world.rehearsal.decide(gateway, proposal)
        trigger = world.rehearsal.trigger(proposal, approval)
        return proposal, approval, trigger, await gateway.commit(trigger)

    @pytest.mark.requirement("STATE-04", "ARCH-03")
    async def test_neither_restart_nor_recovery_nor_the_same_trigger_resumes(self, make_world: Any) -> None:
        world = await make_world(risk=Severity.HIGH)
        async with world.gateway() as gateway:
            _, _, trigger, paused = await self.paused(world, gateway)
        async with world.gateway() as gateway:
            await gateway.recover()
            other = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            await world.rehearsal.commit(gateway, other)
            again = await gateway.commit(trigger)
            file = await gateway.attempt(paused.attempt)
        assert (file.state, again.state, again.replayed) == (State.PAUSED, State.PAUSED, True)
        assert await world.sent() == 0

    @pytest.mark.requirement("FLOW-07", "POLICY-01", "STATE-35")
    async def test_a_resume_executes_only_after_a_second_policy_evaluation(self, make_world: Any) -> None:
        world = await make_world(risk=Severity.HIGH)
        async with world.gateway() as gateway:
            proposal, approval, _, paused = await self.paused(world, gateway)
            surface, operator = world.local.surface(OPERATOR), world.local.desk.operator
            answer = surface.resume(
                proposal, operator=operator, approval=approval, paused=paused, choice=Choice.PROCEED
            )
            resumed = await gateway.resume(answer.token)
            seen = [event.signal for event in await events(gateway, resumed)]
        second = len(seen) - 1 - seen[::-1].index(Signal.POLICY_EVALUATED)
        assert seen.count(Signal.POLICY_EVALUATED) == 2
        assert seen.index(Signal.DECISION_ANSWERED) < second < seen.index(Signal.EXECUTION_STEP_STARTED)


@pytest.mark.requirement("POLICY-02", "POLICY-10")
async def test_the_policy_that_counts_is_the_one_sealed_when_the_attempt_runs(world: Any) -> None:
    async with world.gateway() as gateway:
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        surface, reviewer = world.local.surface(REVIEWER), world.local.desk.reviewer
        review = surface.review(proposal, reviewer=reviewer, verdict=Verdict.APPROVE, commit=True)
        await gateway.decide(review.decision.token)
    settings = config.load(world.local.home).settings
    stricter = settings.model_copy(update={"policies": home.selections("two-person")})
    documents.write(world.local.home / config.SETTINGS, documents.spell(stricter), config.SETTINGS)
    home.seal(world.local.home)
    async with world.gateway() as gateway:
        assert review.trigger is not None
        outcome = await gateway.commit(review.trigger.token)
    assert (outcome.state, outcome.code) == (State.REJECTED, Code.TWO_PERSONS_REQUIRED)
    assert await world.sent() == 0


class TestEscalation:
    """C-11: terminate, with a decision signal attached. The signal does nothing by itself."""

    async def signal(self, gateway: Gateway, outcome: Any) -> Event:
        [raised] = [
            event for event in await events(gateway, outcome) if event.signal is Signal.DECISION_REQUIRED_EMITTED
        ]
        assert raised.decision_signal == outcome.signal
        return raised

    @pytest.mark.requirement("DECIDE-06", "DECIDE-11", "AUDIT-30")
    async def test_a_write_without_approval_evidence_escalates(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            outcome = await gateway.commit(world.rehearsal.trigger(proposal, DecisionId.random()))
            raised = await self.signal(gateway, outcome)
        assert (outcome.state, raised.code, raised.severity) == (State.BLOCKED, Code.APPROVAL_MISSING, Severity.HIGH)

    @pytest.mark.requirement("DECIDE-05", "ABORT-02", "DEP-02")
    async def test_a_policy_that_cannot_be_evaluated_escalates(self, world: Any) -> None:
        class Misconfigured:
            def select(self, *_: Any) -> None:
                raise Refusal(Code.POLICY_UNAVAILABLE)

        async with world.gateway() as gateway:
            gateway.ports.policies = Misconfigured()
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            outcome = await world.rehearsal.commit(gateway, proposal)
            raised = await self.signal(gateway, outcome)
        assert (outcome.state, raised.severity) == (State.BLOCKED, Severity.HIGH)
        assert await world.sent() == 0

    @pytest.mark.requirement("DECIDE-01", "DECIDE-09", "DECIDE-10")
    async def test_an_escalation_changes_nothing_and_tries_nothing_else(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            approval = await world.rehearsal.decide(gateway, proposal, Verdict.REJECT)
            before = await gateway.proposal(proposal.proposal_id)
            outcome = await gateway.commit(world.rehearsal.trigger(proposal, approval))
            after = await gateway.proposal(proposal.proposal_id)
            seen = [event.signal for event in await events(gateway, outcome)]
            attempts = await gateway.ports.journal.attempts()
        assert outcome.signal is not None
        assert after == before
        assert Signal.POLICY_EVALUATED not in seen
        assert Signal.EXECUTION_STEP_STARTED not in seen
        assert len(attempts) == 1
        assert await world.sent() == 0


class NotingAdapter(SandboxAdapter):
    """Keeps what it was asked, as an adapter for any system might."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        self.asked.append(request)
        return await super().readiness(request, read)


class TestAfterADenial:
    @pytest.mark.requirement("STATE-38", "FAIL-03")
    async def test_nothing_follows_a_denial_by_policy(self, make_world: Any) -> None:
        world = await make_world(policy="two-person")
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            surface, reviewer = world.local.surface(REVIEWER), world.local.desk.reviewer
            review = surface.review(proposal, reviewer=reviewer, verdict=Verdict.APPROVE, commit=True)
            await gateway.decide(review.decision.token)
            assert review.trigger is not None
            outcome = await gateway.commit(review.trigger.token)
            seen = await events(gateway, outcome)
        assert (outcome.state, outcome.code) == (State.REJECTED, Code.TWO_PERSONS_REQUIRED)
        assert not any(event.step for event in seen)
        assert await world.sent() == 0

    @pytest.mark.requirement("STATE-39")
    async def test_nothing_follows_a_block(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            operator = world.local.desk.operator
            await gateway.stop(world.local.surface(OPERATOR).stop(proposal, operator=operator).token)
            outcome = await world.rehearsal.commit(gateway, proposal)
            seen = await events(gateway, outcome)
        assert (outcome.state, outcome.code) == (State.BLOCKED, Code.OPERATOR_STOP)
        assert seen[-1].signal is Signal.ATTEMPT_COMPLETED
        assert not any(event.step for event in seen)
        assert await world.sent() == 0


@pytest.mark.requirement("ADAPT-01")
async def test_an_adapter_is_asked_in_the_gateways_words_alone(world: Any) -> None:
    adapter = NotingAdapter()
    async with world.gateway() as gateway:
        gateway.ports.boundary._adapters = {"sandbox": adapter}
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        await world.rehearsal.commit(gateway, proposal)
    [request] = adapter.asked
    assert type(request).__module__ == "gateway.contracts.adapter"
    for name in ("operation", "particulars", "key", "connection"):
        assert type(getattr(request, name)).__module__.startswith("gateway.contracts.")
    assert request.particulars.patient == proposal.patient
    assert request.operation is proposal.operation


class RetryingAdapter(SandboxAdapter):
    """Sends its write again when the reply is not to its liking."""

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        try:
            return await super().commit(authorized, write)
        except httpx.TransportError:
            return await super().commit(authorized, write)


class EagerAdapter(SandboxAdapter):
    """Writes while it is only asked whether it could."""

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        await super().commit(Authorized(request=request), read)
        return Readiness.proven()


class RememberingAdapter(SandboxAdapter):
    """Asks nobody, and says what an earlier readiness found."""

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        return Readiness.proven()


class SparingAdapter(SandboxAdapter):
    """Sends nothing."""

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        return Receipt.unknown(Code.EXTERNAL_UNAVAILABLE)


class TestForbiddenWrites:
    """Whatever an adapter attempts beyond its one request ends the attempt and does not leave (I12)."""

    async def outcome(self, world: Any, adapter: SandboxAdapter) -> Any:
        async with world.gateway() as gateway:
            gateway.ports.boundary._adapters = {"sandbox": adapter}
            return await world.rehearsal.commit(
                gateway, await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            )

    @pytest.mark.requirement("ABORT-06", "FAIL-20", "FAIL-26", "CARD-02")
    async def test_a_hidden_retry_ends_the_attempt_unknown_after_one_request(self, world: Any) -> None:
        world.arm(Fault.DROP_AFTER, Action.BOOK)
        outcome = await self.outcome(world, RetryingAdapter())
        assert (outcome.state, outcome.code, outcome.effect) == (State.ERROR, Code.ADAPTER_FAULT, Effect.UNKNOWN)
        assert await world.sent() == 1

    @pytest.mark.requirement("ABORT-03", "CARD-03", "MUT-02")
    async def test_a_write_outside_the_commit_blocks_and_does_not_leave(self, world: Any) -> None:
        outcome = await self.outcome(world, EagerAdapter())
        assert (outcome.state, outcome.code, outcome.effect) == (State.BLOCKED, Code.ADAPTER_FAULT, None)
        assert await world.sent() == 0

    @pytest.mark.requirement("GATE-24", "GATE-27")
    async def test_readiness_that_asked_nobody_proves_nothing(self, world: Any) -> None:
        outcome = await self.outcome(world, RememberingAdapter())
        assert (outcome.state, outcome.code, outcome.effect) == (State.BLOCKED, Code.READINESS_UNVERIFIABLE, None)
        assert await world.sent() == 0

    @pytest.mark.requirement("IDEM-04", "CARD-04")
    async def test_what_was_never_sent_is_known_as_that_and_spends_its_approval(self, world: Any) -> None:
        rehearsal = world.rehearsal
        async with world.gateway() as gateway:
            adapters = gateway.ports.boundary._adapters
            proposal = await rehearsal.propose(gateway, rehearsal.enrol())
            approval = await rehearsal.decide(gateway, proposal)
            gateway.ports.boundary._adapters = {"sandbox": SparingAdapter()}
            first = await gateway.commit(rehearsal.trigger(proposal, approval))
            gateway.ports.boundary._adapters = adapters
            second = await gateway.commit(rehearsal.trigger(proposal, approval))
        assert (first.state, first.effect, first.approval) == (State.ERROR, Effect.NOT_SENT, ApprovalUse.SPENT)
        assert (second.attempt, second.replayed) == (first.attempt, True)
        assert await world.sent() == 0


@pytest.mark.requirement("FAIL-23", "FAIL-22")
async def test_a_discrepancy_is_recorded_and_left_to_a_human(world: Any) -> None:
    async with world.gateway() as gateway:
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        booked = await world.rehearsal.commit(gateway, proposal)
        [appointment] = await world.appointments()
        async with httpx.AsyncClient(base_url=world.server.url, headers=TOKEN, trust_env=False) as stranger:
            headers = {"If-Match": f'"{appointment["version"]}"', "Idempotency-Key": "a-stranger"}
            reply = await stranger.post(f"/appointments/{appointment['id']}/cancel", json={}, headers=headers)
            assert reply.status_code == 200
        before = await world.sent()
        seen = await world.rehearsal.observe(gateway, proposal, booked)
        looked = (await gateway.ports.journal.attempts())[0]
        signals = [link.event.signal for link in looked.links]
    assert seen.observation is not None
    assert seen.observation.finding is ObservationFinding.DIFFERENT
    assert Signal.DISCREPANCY_RECORDED in signals
    assert (seen.state, seen.effect, seen.standing) == (State.SUCCEEDED, Effect.APPLIED, Standing.CONFIRMED)
    assert await world.sent() == before
