"""What other people do while an attempt is on its way, and what two callers do to each other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from adapters.sandbox.faults import Action, Fault
from gateway.config import Bounds
from gateway.contracts.failures import Code
from gateway.contracts.outcome import Outcome
from gateway.contracts.statements import Choice, Verdict
from gateway.contracts.words import Effect, Severity, Standing, State
from gateway.errors import JournalFailed, JournalUnavailable
from gateway.gateway import Gateway
from gateway.journal import Append
from gateway.journal._sqlite import SqliteJournal
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


class TestSeveralWhoProceed:
    """Several people answer one pause at once, all with PROCEED: one intent is admitted, and the others wait."""

    async def resumed(self, world: Any, *gateways: Gateway, milliseconds: int) -> list[asyncio.Task[Outcome]]:
        """A call into each gateway; the first intent that comes is admitted once all have come. The system takes so
        long to answer."""
        rehearsal, surface, operator = world.rehearsal, world.local.surface(OPERATOR), world.local.desk.operator
        proposal = await rehearsal.propose(gateways[0], rehearsal.enrol())
        approval = await rehearsal.decide(gateways[0], proposal)
        paused = await gateways[0].commit(rehearsal.trigger(proposal, approval))
        everybody, admitted = asyncio.Event(), asyncio.Event()
        come: list[Append] = []

        async def before(entry: Append) -> None:
            if entry.intent is not None:
                come.append(entry)
                if len(come) == len(gateways):
                    everybody.set()
                await (everybody if entry is come[0] else admitted).wait()

        async def after(entry: Append) -> None:
            if entry.intent is not None:
                admitted.set()

        for gateway in {id(each): each for each in gateways}.values():
            watched = world.watch(gateway)
            watched.before, watched.after = before, after
        world.arm(Fault.DELAY_AFTER, Action.BOOK, milliseconds=milliseconds)
        given = {"operator": operator, "approval": approval, "paused": paused, "choice": Choice.PROCEED}
        answers = [surface.resume(proposal, **given).token for _ in gateways]
        return [asyncio.create_task(gateway.resume(answer)) for gateway, answer in zip(gateways, answers, strict=True)]

    @pytest.mark.requirement("IDEM-05")
    @pytest.mark.parametrize("calls", [(2, 0), (3, 0), (1, 1)], ids=["two", "three", "at two gateways"])
    async def test_each_hears_of_the_end_as_soon_as_there_is_one(self, make_world: Any, calls: tuple[int, int]) -> None:
        world = await make_world(risk=Severity.HIGH, bounds=Bounds(replay_wait_seconds=40))
        async with world.gateway() as one, world.gateway() as other, asyncio.timeout(20):
            gateways = [one] * calls[0] + [other] * calls[1]
            answers = await asyncio.gather(*await self.resumed(world, *gateways, milliseconds=100))
        assert {(each.state, each.attempt) for each in answers} == {(State.SUCCEEDED, answers[0].attempt)}
        assert sorted(each.replayed for each in answers) == [False] + [True] * (len(gateways) - 1)
        assert await world.sent() == 1

    @pytest.mark.requirement("IDEM-05")
    async def test_one_who_waits_no_longer_does_not_let_the_journal_close_on_the_first(self, make_world: Any) -> None:
        world = await make_world(risk=Severity.HIGH, bounds=Bounds(replay_wait_seconds=0))
        async with world.gateway() as gateway:
            calls = await self.resumed(world, gateway, gateway, milliseconds=400)
            done, under_way = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        (second,), (first,) = [each.result() for each in done], [await each for each in under_way]
        assert (second.code, second.attempt) == (Code.IN_FLIGHT, first.attempt)
        assert (first.state, first.effect, first.recorded) == (State.SUCCEEDED, Effect.APPLIED, True)
        assert await world.sent() == 1


class TestWhileTheGatewayCloses:
    @pytest.mark.requirement("FAIL-10")
    async def test_an_attempt_still_at_its_gates_reserves_and_sends_nothing(
        self, world: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked, closing = asyncio.Event(), asyncio.Event()
        close, calls = SqliteJournal.aclose, []

        async def aclose(journal: SqliteJournal) -> None:
            closing.set()
            while not (await world.sent() or calls[0].done()):
                await asyncio.sleep(0.01)
            await close(journal)

        monkeypatch.setattr(SqliteJournal, "aclose", aclose)
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            trigger = world.rehearsal.trigger(proposal, await world.rehearsal.decide(gateway, proposal))
            world.arm(Fault.DELAY_AFTER, Action.BOOK, milliseconds=300)
            journal = gateway.ports.journal

            class Slow:
                def __getattr__(self, name: str) -> Any:
                    return getattr(journal, name)

                async def proposal(self, *args: Any) -> Any:
                    looked.set()
                    await closing.wait()
                    return await journal.proposal(*args)

            gateway.ports.journal = Slow()  # type: ignore[assignment]  # a stand-in
            calls.append(asyncio.create_task(gateway.commit(trigger)))
            await looked.wait()
        outcome = await calls[0]
        assert (outcome.state, outcome.code, outcome.effect) == (State.BLOCKED, Code.AUDIT_UNAVAILABLE, None)
        assert await world.sent() == 0
        async with world.gateway() as gateway:
            assert gateway.recovered == ()
            assert (await gateway.commit(trigger)).attempt == outcome.attempt

    @pytest.mark.requirement("FAIL-10")
    async def test_an_intent_that_was_not_sent_yet_is_not_sent_any_more(self, world: Any) -> None:
        intended, calls = asyncio.Event(), []
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())

            async def tell() -> None:
                intended.set()
                for _ in range(10):
                    await asyncio.sleep(0)

            world.after_intent(gateway, tell)
            calls.append(asyncio.create_task(world.rehearsal.commit(gateway, proposal)))
            await intended.wait()
        outcome = await calls[0]
        assert (outcome.state, outcome.code, outcome.effect) == (
            State.BLOCKED,
            Code.AUDIT_UNAVAILABLE,
            Effect.NOT_SENT,
        )
        assert outcome.recorded
        assert await world.sent() == 0


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
