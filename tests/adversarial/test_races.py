"""What other people do while an attempt is on its way, and what two callers do to each other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from adapters.sandbox.faults import Action, Fault
from gateway.contracts.failures import Code
from gateway.contracts.outcome import Outcome
from gateway.contracts.statements import Choice, Verdict
from gateway.contracts.words import Effect, Severity, Standing, State
from gateway.errors import JournalFailed, JournalUnavailable
from gateway.gateway import Gateway
from gateway.journal import Append
from gateway.surfaces.local import OPERATOR


async def revise(world: Any, gateway: Gateway, proposal: Any) -> Any:
    """The next revision of the proposal, recorded."""
    revision = proposal.model_copy(update={"revision": proposal.revision + 1})
    await gateway.propose(revision.canonical())
    return revision


async def stop(world: Any, gateway: Gateway, proposal: Any) -> None:
    operator = world.local.desk.operator
    await gateway.stop(world.local.surface(OPERATOR).stop(proposal, operator=operator).token)


async def withdraw(world: Any, gateway: Gateway, proposal: Any) -> None:
    operator = world.local.desk.operator
    await gateway.withdraw(world.local.surface(OPERATOR).withdraw(proposal, operator=operator).token)


class TestBetweenJudgementAndIntent:
    """The gates have passed; the intent is not recorded yet."""

    async def outcome(self, world: Any, act: Any) -> Any:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            world.before_intent(gateway, lambda: act(gateway, proposal))
            outcome = await world.rehearsal.commit(gateway, proposal)
        assert await world.sent() == 0
        assert outcome.state is State.BLOCKED
        return outcome

    @pytest.mark.requirement("GATE-15")
    async def test_a_withdrawal_is_seen(self, world: Any) -> None:
        outcome = await self.outcome(world, lambda gateway, proposal: withdraw(world, gateway, proposal))
        assert outcome.code is Code.PROPOSAL_WITHDRAWN

    @pytest.mark.requirement("GATE-21")
    @pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.REQUEST_MODIFICATION])
    async def test_a_reviewer_who_changes_their_mind_is_heard(self, world: Any, verdict: Verdict) -> None:
        outcome = await self.outcome(
            world, lambda gateway, proposal: world.rehearsal.decide(gateway, proposal, verdict=verdict)
        )
        assert outcome.code is Code.APPROVAL_SUPERSEDED

    @pytest.mark.requirement("GATE-15")
    async def test_a_revision_is_seen(self, world: Any) -> None:
        outcome = await self.outcome(world, lambda gateway, proposal: revise(world, gateway, proposal))
        assert outcome.code is Code.PROPOSAL_REVISED

    @pytest.mark.requirement("AUTH-10")
    async def test_a_stop_is_seen_even_if_a_revision_follows_it(self, world: Any) -> None:
        async def act(gateway: Gateway, proposal: Any) -> None:
            await stop(world, gateway, proposal)
            await revise(world, gateway, proposal)

        outcome = await self.outcome(world, act)
        assert outcome.code in (Code.OPERATOR_STOP, Code.PROPOSAL_REVISED)

    async def test_an_observation_of_an_earlier_attempt_does_not_disturb(self, world: Any) -> None:
        rehearsal = world.rehearsal
        async with world.gateway() as gateway:
            proposal = await rehearsal.propose(gateway, rehearsal.enrol())
            world.arm(Fault.FORBIDDEN, Action.BOOK)
            earlier = await rehearsal.commit(gateway, proposal)
            assert earlier.effect is Effect.REFUSED
            world.before_intent(gateway, lambda: rehearsal.observe(gateway, proposal, earlier))
            outcome = await rehearsal.commit(gateway, proposal)
        assert outcome.state is State.SUCCEEDED


@pytest.mark.requirement("STATE-20", "OPS-02")
async def test_a_stop_between_intent_and_dispatch_is_not_lifted_by_a_revision(world: Any) -> None:
    async with world.gateway() as gateway:
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())

        async def act() -> None:
            await stop(world, gateway, proposal)
            await revise(world, gateway, proposal)

        world.after_intent(gateway, act)
        outcome = await world.rehearsal.commit(gateway, proposal)
    assert (outcome.state, outcome.code) == (State.CANCELLED, Code.OPERATOR_STOP)
    assert await world.sent() == 0


class TestOneKeyTwoCallers:
    @pytest.mark.requirement("IDEM-05")
    async def test_the_slower_caller_waits_for_the_answer_and_is_not_told_that_nothing_happened(
        self, world: Any
    ) -> None:
        """B, with A's own trigger, meets A's hold at its gates: it must not say BLOCKED of A's commit."""
        rehearsal = world.rehearsal
        async with world.gateway() as first, world.gateway() as second:
            proposal = await rehearsal.propose(first, rehearsal.enrol())
            trigger = rehearsal.trigger(proposal, await rehearsal.decide(first, proposal))
            looked, intended = asyncio.Event(), asyncio.Event()
            slow = second.ports.journal

            class Slow:
                def __getattr__(self, name: str) -> Any:
                    return getattr(slow, name)

                async def proposal(self, *args: Any) -> Any:
                    looked.set()
                    await intended.wait()
                    return await slow.proposal(*args)

            second.ports.journal = Slow()  # type: ignore[assignment]  # a stand-in
            waiting = asyncio.create_task(second.commit(trigger))
            await looked.wait()
            world.arm(Fault.DELAY_AFTER, Action.BOOK, milliseconds=200)

            async def tell() -> None:
                intended.set()

            world.after_intent(first, tell)
            done = await first.commit(trigger)
            answer = await waiting
        assert (done.state, answer.state, answer.attempt) == (State.SUCCEEDED, State.SUCCEEDED, done.attempt)
        assert answer.replayed
        assert await world.sent() == 1

    async def test_two_answers_to_one_pause_the_blocked_one_does_not_speak_for_the_other(self, make_world: Any) -> None:
        world = await make_world(risk=Severity.HIGH)
        rehearsal = world.rehearsal
        async with world.gateway() as gateway:
            proposal = await rehearsal.propose(gateway, rehearsal.enrol())
            approval = await rehearsal.decide(gateway, proposal)
            paused = await gateway.commit(rehearsal.trigger(proposal, approval))
            tokens = [
                world.local.surface(OPERATOR)
                .resume(
                    proposal,
                    operator=world.local.desk.operator,
                    approval=approval,
                    paused=paused,
                    choice=choice,
                )
                .token
                for choice in (Choice.PROCEED, Choice.DECLINE)
            ]
            watched = world.watch(gateway)
            declined_at_append, let_go = asyncio.Event(), asyncio.Event()

            async def before(entry: Append) -> None:
                if entry.outcome is not None and entry.outcome.code is Code.DECISION_DECLINED:
                    declined_at_append.set()
                    await let_go.wait()

            async def after(entry: Append) -> None:
                if entry.intent is not None:
                    let_go.set()

            watched.before, watched.after = before, after
            world.arm(Fault.DELAY_AFTER, Action.BOOK, milliseconds=100)
            declining = asyncio.create_task(gateway.resume(tokens[1]))
            await declined_at_append.wait()
            proceeded = await gateway.resume(tokens[0])
            declined = await declining
        assert proceeded.state is State.SUCCEEDED
        assert (declined.state, declined.attempt) == (State.SUCCEEDED, proceeded.attempt)
        assert await world.sent() == 1

    @pytest.mark.requirement("CARD-11")
    async def test_an_answer_that_cannot_be_recorded_says_nothing_of_an_attempt_that_another_may_carry_out(
        self, make_world: Any
    ) -> None:
        """Found by the random simulation: the one whose append failed was told that the attempt was not made."""
        world = await make_world(risk=Severity.HIGH)
        rehearsal, surface, operator = world.rehearsal, world.local.surface(OPERATOR), world.local.desk.operator
        async with world.gateway() as gateway:
            proposal = await rehearsal.propose(gateway, rehearsal.enrol())
            approval = await rehearsal.decide(gateway, proposal)
            paused = await gateway.commit(rehearsal.trigger(proposal, approval))
            declining, proceeding = (
                surface.resume(proposal, operator=operator, approval=approval, paused=paused, choice=choice).token
                for choice in (Choice.DECLINE, Choice.PROCEED)
            )
            carried_out: list[Outcome] = []

            async def before(entry: Append) -> None:
                if entry.outcome is not None and entry.outcome.code is Code.DECISION_DECLINED:
                    carried_out.append(await gateway.resume(proceeding))
                    raise JournalUnavailable("busy")

            world.watch(gateway).before = before
            declined = await gateway.resume(declining)
        assert carried_out[0].state is State.SUCCEEDED
        assert carried_out[0].attempt == paused.attempt
        assert (declined.attempt, declined.recorded, declined.code) == (None, False, Code.AUDIT_UNAVAILABLE)
        assert declined.standing is Standing.UNRESOLVED

    @pytest.mark.requirement("CARD-11")
    async def test_a_pause_in_doubt_says_nothing_of_an_attempt_that_an_answer_may_carry_out(
        self, make_world: Any
    ) -> None:
        """Found by the random simulation: told that the attempt was blocked, which was recorded as paused after all."""
        world = await make_world(risk=Severity.HIGH)
        rehearsal, surface, operator = world.rehearsal, world.local.surface(OPERATOR), world.local.desk.operator
        async with world.gateway() as gateway:
            proposal = await rehearsal.propose(gateway, rehearsal.enrol())
            approval = await rehearsal.decide(gateway, proposal)
            trigger = rehearsal.trigger(proposal, approval)

            async def after(entry: Append) -> None:
                if entry.outcome is not None and entry.outcome.state is State.PAUSED:
                    raise JournalFailed("recorded, and nobody can tell")

            world.watch(gateway).after = after
            doubtful = await gateway.commit(trigger)
        async with world.gateway() as gateway:
            paused = await gateway.commit(trigger)
            proceeding = surface.resume(
                proposal, operator=operator, approval=approval, paused=paused, choice=Choice.PROCEED
            )
            done = await gateway.resume(proceeding.token)
        assert (doubtful.attempt, doubtful.recorded, doubtful.standing) == (None, False, Standing.UNRESOLVED)
        assert (paused.state, done.state, done.attempt) == (State.PAUSED, State.SUCCEEDED, paused.attempt)
        assert await world.sent() == 1


class TestUnderAStop:
    @pytest.mark.requirement("AUTH-10")
    @pytest.mark.parametrize("risk", [Severity.LOW, Severity.HIGH])
    async def test_nothing_is_asked_paused_or_found_passable(self, make_world: Any, risk: Severity) -> None:
        """A stop answers at once: no evidence, no request to the system, no pause that waits for an answer."""
        world = await make_world(risk=risk)
        rehearsal, operator = world.rehearsal, world.local.desk.operator
        async with world.gateway() as gateway:
            proposal = await rehearsal.propose(gateway, rehearsal.enrol())
            approval = await rehearsal.decide(gateway, proposal)
            await stop(world, gateway, proposal)
            gateway.ports.boundary._credentials = ()  # whoever goes to the system fails differently
            check = world.local.surface(OPERATOR).check(proposal, operator=operator, approval=approval)
            outcomes = [
                await gateway.check(check.token),
                await gateway.commit(rehearsal.trigger(proposal, approval)),
            ]
        assert [(each.state, each.code) for each in outcomes] == [(State.BLOCKED, Code.OPERATOR_STOP)] * 2
