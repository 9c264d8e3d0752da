"""What happens when a part of the gateway's own world fails: sinks, journal, clock, evidence, callers, processes.

Fakes stand in for plugins and the clock, through the production protocols; everything else is real.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.faults import Action, Fault
from gateway.clock import SystemClock
from gateway.config import Bounds, PluginUse
from gateway.contracts.adapter import Authorized, Receipt
from gateway.contracts.evidence import ConsentEvidence, Question
from gateway.contracts.failures import Code
from gateway.contracts.signals import Event, Signal
from gateway.contracts.words import ApprovalUse, Effect, Next, Standing, State
from gateway.errors import JournalFailed, JournalUnavailable
from gateway.gateway import Gateway
from gateway.hookspecs import hookimpl
from gateway.journal import Append, Appended
from gateway.surfaces.local import OPERATOR

WATCHED = PluginUse(name="watched")


@dataclass
class WatchedSink:
    """A sink that a test can break: `refuse` names the signals whose batch it will not take."""

    refuse: set[Signal] = field(default_factory=set)
    is_ready: bool = True
    kept: list[Event] = field(default_factory=list)
    on_accept: Callable[[Sequence[Event]], Any] | None = None

    async def ready(self) -> None:
        if not self.is_ready:
            raise OSError

    async def accept(self, events: Sequence[tuple[str, Event]]) -> None:
        batch = [event for _, event in events]
        if self.on_accept is not None:
            await self.on_accept(batch)
        if self.refuse & {event.signal for event in batch}:
            raise OSError
        self.kept.extend(batch)

    def plugin(self) -> object:
        sink = self

        class Plugin:
            @hookimpl
            def gateway_audit_sinks(self, name: str, options: Mapping[str, str], home: Path) -> Mapping[str, Any]:
                return {"watched": sink}

        return Plugin()


@pytest.fixture
def sink() -> WatchedSink:
    return WatchedSink()


@pytest.fixture
async def watched(make_world: Any, sink: WatchedSink) -> Any:
    world = await make_world(sinks=(WATCHED,))
    world.options["plugins"] = [sink.plugin()]
    return world


def of(outcome: Any) -> tuple[State, Code, Effect | None, ApprovalUse]:
    return outcome.state, outcome.code, outcome.effect, outcome.approval


class TestSinks:
    @pytest.mark.requirement("GATE-28", "FAIL-10", "DEP-05", "GATE-33")
    async def test_a_sink_that_is_not_ready_blocks_before_anything_is_sent(
        self, watched: Any, sink: WatchedSink
    ) -> None:
        sink.is_ready = False
        async with watched.gateway() as gateway:
            proposal = await watched.rehearsal.propose(gateway, watched.rehearsal.enrol())
            outcome = await watched.rehearsal.commit(gateway, proposal)
        assert of(outcome) == (State.BLOCKED, Code.AUDIT_UNAVAILABLE, None, ApprovalUse.USABLE)
        assert await watched.sent() == 0

    @pytest.mark.requirement("GATE-29", "STATE-26", "AUDIT-15", "STATE-37")
    async def test_a_sink_that_refuses_the_intent_releases_everything(self, watched: Any, sink: WatchedSink) -> None:
        sink.refuse = {Signal.INTENT_RECORDED}
        async with watched.gateway() as gateway:
            proposal = await watched.rehearsal.propose(gateway, watched.rehearsal.enrol())
            approval = await watched.rehearsal.decide(gateway, proposal)
            outcome = await gateway.commit(watched.rehearsal.trigger(proposal, approval))
            assert await watched.sent() == 0
            sink.refuse = set()
            second = await gateway.commit(watched.rehearsal.trigger(proposal, approval))
            seen = [link.event.signal for link in (await gateway.attempt(outcome.attempt)).links]
        assert of(outcome) == (State.BLOCKED, Code.AUDIT_UNAVAILABLE, Effect.NOT_SENT, ApprovalUse.USABLE)
        assert Signal.AUDIT_FAILED in seen
        assert second.state is State.SUCCEEDED

    @pytest.mark.requirement("FAIL-11", "FAIL-12", "STATE-25", "FLOW-05")
    async def test_a_sink_that_refuses_the_effect_leaves_an_error_that_says_applied(
        self, watched: Any, sink: WatchedSink
    ) -> None:
        sink.refuse = {Signal.EFFECT_RECORDED}
        async with watched.gateway() as gateway:
            proposal = await watched.rehearsal.propose(gateway, watched.rehearsal.enrol())
            outcome = await watched.rehearsal.commit(gateway, proposal)
            sink.refuse = set()
            again = await watched.rehearsal.commit(gateway, proposal)
        assert of(outcome) == (State.ERROR, Code.AUDIT_INCOMPLETE, Effect.APPLIED, ApprovalUse.SPENT)
        assert outcome.external_reference is not None
        assert again.code is Code.PROPOSAL_EXECUTED
        assert await watched.sent() == 1

    @pytest.mark.requirement("GATE-29")
    async def test_a_sink_that_does_not_answer_in_time_has_not_accepted(
        self, make_world: Any, sink: WatchedSink
    ) -> None:
        world = await make_world(sinks=(WATCHED,), bounds=Bounds(sink_seconds=1))
        world.options["plugins"] = [sink.plugin()]

        async def hang(batch: Sequence[Event]) -> None:
            if Signal.INTENT_RECORDED in {event.signal for event in batch}:
                await asyncio.Event().wait()

        sink.on_accept = hang
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            outcome = await world.rehearsal.commit(gateway, proposal)
        assert of(outcome)[:3] == (State.BLOCKED, Code.AUDIT_UNAVAILABLE, Effect.NOT_SENT)
        assert await world.sent() == 0

    @pytest.mark.requirement("FAIL-12")
    async def test_a_trigger_that_no_sink_can_record_makes_no_attempt(self, watched: Any, sink: WatchedSink) -> None:
        sink.refuse = {Signal.TRIGGER_RECEIVED}
        async with watched.gateway() as gateway:
            outcome = await gateway.commit("not.a.token")
            assert list(await gateway.ports.journal.attempts()) == []
        assert of(outcome)[:2] == (State.BLOCKED, Code.AUDIT_UNAVAILABLE)
        assert (outcome.attempt, outcome.recorded) == (None, False)

    @pytest.mark.requirement("AUDIT-14", "GATE-31", "GATE-32", "POLICY-04", "AUDIT-08", "AUDIT-20", "AUDIT-21")
    async def test_sinks_keep_the_intent_with_all_that_led_to_it_before_the_request_leaves(
        self, watched: Any, sink: WatchedSink
    ) -> None:
        sent_at_intent: list[int] = []

        async def count(batch: Sequence[Event]) -> None:
            if Signal.INTENT_RECORDED in {event.signal for event in batch}:
                sent_at_intent.append(await watched.sent())

        sink.on_accept = count
        async with watched.gateway() as gateway:
            proposal = await watched.rehearsal.propose(gateway, watched.rehearsal.enrol())
            await watched.rehearsal.commit(gateway, proposal)
        assert sent_at_intent == [0]
        intent = [event.signal for event in sink.kept].index(Signal.INTENT_RECORDED)
        before = [event.signal for event in sink.kept[:intent]]
        wanted = [
            Signal.TRIGGER_RECEIVED,
            Signal.CONTEXT_VALIDATED,
            Signal.PROPOSAL_BOUND,
            Signal.APPROVAL_BOUND,
            Signal.GATE_JUDGED,
            Signal.POLICY_EVALUATED,
            Signal.MUTATION_REQUESTED,
            Signal.MUTATION_APPROVED,
            Signal.EXECUTION_STEP_STARTED,
        ]
        assert [signal for signal in dict.fromkeys(before) if signal in wanted] == wanted


class TestStopAndExpiry:
    @pytest.mark.requirement("STATE-20", "OPS-02", "FAIL-12")
    async def test_a_stop_between_intent_and_dispatch_cancels(self, watched: Any, sink: WatchedSink) -> None:
        async with watched.gateway() as gateway:
            proposal = await watched.rehearsal.propose(gateway, watched.rehearsal.enrol())

            async def stop(batch: Sequence[Event]) -> None:
                if Signal.INTENT_RECORDED in {event.signal for event in batch}:
                    operator = watched.local.desk.operator
                    token = watched.local.surface(OPERATOR).stop(proposal, operator=operator).token
                    await gateway.stop(token)

            sink.on_accept = stop
            outcome = await watched.rehearsal.commit(gateway, proposal)
        assert of(outcome) == (State.CANCELLED, Code.OPERATOR_STOP, Effect.NOT_SENT, ApprovalUse.USABLE)
        assert outcome.next is Next.NONE
        assert await watched.sent() == 0

    @pytest.mark.requirement("CARD-08", "STATE-22")
    async def test_an_authorization_that_ran_out_is_not_dispatched(self, watched: Any, sink: WatchedSink) -> None:
        clock = SteppingClock()
        watched.options["clock"] = clock

        async def wait(batch: Sequence[Event]) -> None:
            if Signal.INTENT_RECORDED in {event.signal for event in batch}:
                clock.ahead += 11

        sink.on_accept = wait
        async with watched.gateway() as gateway:
            proposal = await watched.rehearsal.propose(gateway, watched.rehearsal.enrol())
            outcome = await watched.rehearsal.commit(gateway, proposal)
        assert of(outcome) == (State.BLOCKED, Code.AUTHORIZATION_EXPIRED, Effect.NOT_SENT, ApprovalUse.USABLE)
        assert await watched.sent() == 0


class SteppingClock(SystemClock):
    """The machine's clock, but monotonic time can be moved on."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@dataclass
class BreakingJournal:
    """The real journal, which fails its `nth` append with `error`."""

    journal: Any
    error: Exception
    nth: int
    appends: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.journal, name)

    async def append(self, entry: Append) -> Appended:
        self.appends += 1
        if self.appends == self.nth:
            raise self.error
        appended: Appended = await self.journal.append(entry)
        return appended


class TestJournal:
    @pytest.mark.requirement("FAIL-10", "ABORT-01")
    async def test_an_intent_that_cannot_be_recorded_is_not_dispatched(self, world: Any) -> None:
        async with world.gateway() as gateway:
            gateway.ports.journal = BreakingJournal(gateway.ports.journal, JournalUnavailable("full"), 1)
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            outcome = await world.rehearsal.commit(gateway, proposal)
        assert of(outcome)[:2] == (State.BLOCKED, Code.AUDIT_UNAVAILABLE)
        assert await world.sent() == 0

    @pytest.mark.requirement("FAIL-11", "STATE-21")
    @pytest.mark.parametrize("error", [JournalFailed("disk"), JournalUnavailable("full")])
    async def test_an_outcome_that_cannot_be_recorded_is_unknown_and_stops_all_dispatching(
        self, world: Any, error: Exception
    ) -> None:
        async with world.gateway() as gateway:
            gateway.ports.journal = BreakingJournal(gateway.ports.journal, error, 2)
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            outcome = await world.rehearsal.commit(gateway, proposal)
            other = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            refused = await world.rehearsal.commit(gateway, other)
        assert of(outcome) == (State.ERROR, Code.OUTCOME_UNRECORDED, Effect.UNKNOWN, ApprovalUse.SPENT)
        assert not outcome.recorded
        assert of(refused)[:2] == (State.BLOCKED, Code.AUDIT_UNAVAILABLE)
        assert refused.standing is Standing.UNRESOLVED
        assert await world.sent() == 1
        async with world.gateway() as gateway:
            recovered = await gateway.attempt(outcome.attempt)
            again = await world.rehearsal.commit(gateway, proposal)
        assert of(recovered.outcome) == (State.ERROR, Code.OWNER_DIED, Effect.UNKNOWN, ApprovalUse.SPENT)
        assert again.code is Code.PROPOSAL_FROZEN
        assert await world.sent() == 1


class LookingAdapter(SandboxAdapter):
    """Reads the journal's file, as another process would, at the moment of its commit."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.seen: list[str] = []

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        reader = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        self.seen = [str(row) for row in reader.execute("SELECT body FROM events ORDER BY seq")]
        reader.close()
        return await super().commit(authorized, write)


@pytest.mark.requirement("GATE-29", "FLOW-01", "FLOW-03", "STATE-23")
async def test_the_intent_is_in_the_journal_before_the_adapter_is_called(world: Any) -> None:
    async with world.gateway() as gateway:
        adapter = LookingAdapter(world.local.home / "journal.db")
        gateway.ports.boundary._adapters = {"sandbox": adapter}
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        outcome = await world.rehearsal.commit(gateway, proposal)
    assert outcome.state is State.SUCCEEDED
    assert any(Signal.INTENT_RECORDED in row for row in adapter.seen)


class TestCallers:
    @pytest.mark.requirement("IDEM-04", "IDEM-05", "FAIL-20")
    async def test_twenty_callers_with_one_trigger_send_one_request_and_hear_one_answer(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            trigger = world.rehearsal.trigger(proposal, await world.rehearsal.decide(gateway, proposal))
            outcomes = await asyncio.gather(*(gateway.commit(trigger) for _ in range(20)))
        assert {outcome.attempt for outcome in outcomes} == {outcomes[0].attempt}
        assert {(outcome.state, outcome.code) for outcome in outcomes} == {(State.SUCCEEDED, Code.COMMITTED)}
        assert [outcome.replayed for outcome in outcomes].count(False) == 1
        assert await world.sent() == 1

    async def test_a_caller_that_goes_away_after_the_intent_cannot_take_the_outcome_with_it(
        self, watched: Any, sink: WatchedSink
    ) -> None:
        intended = asyncio.Event()

        async def tell(batch: Sequence[Event]) -> None:
            if Signal.INTENT_RECORDED in {event.signal for event in batch}:
                intended.set()
                await asyncio.sleep(0.05)

        sink.on_accept = tell
        async with watched.gateway() as gateway:
            proposal = await watched.rehearsal.propose(gateway, watched.rehearsal.enrol())
            trigger = watched.rehearsal.trigger(proposal, await watched.rehearsal.decide(gateway, proposal))
            call = asyncio.create_task(gateway.commit(trigger))
            await intended.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            outcome = await gateway.commit(trigger)
        assert (outcome.state, outcome.replayed) == (State.SUCCEEDED, True)
        assert await watched.sent() == 1

    @pytest.mark.requirement("CARD-10", "CARD-05")
    async def test_two_approvals_of_one_proposal_at_once_send_one_request(self, world: Any) -> None:
        async with world.gateway() as gateway:
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            tokens = []
            for _ in range(2):
                tokens.append(world.rehearsal.trigger(proposal, await world.rehearsal.decide(gateway, proposal)))
            world.arm(Fault.DELAY_AFTER, Action.BOOK, milliseconds=100)
            outcomes = await asyncio.gather(*(gateway.commit(token) for token in tokens))
        assert sorted(outcome.state for outcome in outcomes) == [State.BLOCKED, State.SUCCEEDED]
        assert await world.sent() == 1


class TestEvidence:
    """Evidence that is missing, late, stale or of the wrong kind proves nothing (GATE-06, DEP-06)."""

    async def outcome(self, world: Any, consent: Callable[[Question], Any]) -> Any:
        async with world.gateway() as gateway:
            source = gateway.ports.gatekeeper.evidence

            async def answer(question: Question) -> Any:
                return await consent(question)

            lying = SimpleNamespace(
                identity=source.identity, tenant=source.tenant, notice=source.notice, consent=answer
            )
            object.__setattr__(gateway.ports.gatekeeper, "evidence", lying)
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            outcome = await world.rehearsal.commit(gateway, proposal)
        assert await world.sent() == 0
        return outcome

    @pytest.mark.requirement("DEP-06", "GATE-06")
    async def test_a_source_that_raises_blocks(self, world: Any) -> None:
        async def raising(question: Question) -> Any:
            raise RuntimeError("canary-41c7")

        outcome = await self.outcome(world, raising)
        assert of(outcome)[:2] == (State.BLOCKED, Code.EVIDENCE_UNAVAILABLE)

    @pytest.mark.requirement("GATE-06", "GATE-11")
    async def test_an_answer_made_for_another_attempt_blocks(self, world: Any) -> None:
        async def replaying(question: Question) -> Any:
            return ConsentEvidence(nonce="ab" * 16, as_of=world.local.clock.now(), in_force=True)

        outcome = await self.outcome(world, replaying)
        assert of(outcome)[:2] == (State.BLOCKED, Code.EVIDENCE_STALE)

    async def test_an_answer_of_the_wrong_kind_blocks(self, world: Any) -> None:
        async def confused(question: Question) -> Any:
            return {"in_force": True}

        outcome = await self.outcome(world, confused)
        assert of(outcome)[:2] == (State.BLOCKED, Code.EVIDENCE_UNAVAILABLE)

    async def test_a_source_that_never_answers_blocks_in_bounded_time(self, make_world: Any) -> None:
        world = await make_world(bounds=Bounds(evidence_seconds=1))

        async def silent(question: Question) -> Any:
            await asyncio.sleep(3600)

        outcome = await self.outcome(world, silent)
        assert of(outcome)[:2] == (State.BLOCKED, Code.EVIDENCE_UNAVAILABLE)


@pytest.mark.requirement("ABORT-07", "STATE-40")
async def test_a_defect_of_the_gateway_itself_ends_the_attempt_bounded(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.gateway() as gateway:
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())

        def broken(self: Any, case: Any) -> None:
            raise RuntimeError("canary-41c7")

        monkeypatch.setattr("gateway.gates.Gatekeeper.judge_records", broken)
        outcome = await world.rehearsal.commit(gateway, proposal)
    assert of(outcome)[:2] == (State.ERROR, Code.INVARIANT_VIOLATION)
    assert isinstance(gateway, Gateway)
    assert await world.sent() == 0
