"""The attempt as a pure value: E-01 §4's states, edges and stages, and the events each move leaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.contracts.chain import GENESIS, Link
from gateway.contracts.references import AttemptId, CorrelationId, TriggerId
from gateway.contracts.signals import Signal, Step
from gateway.contracts.words import TERMINAL, Environment, State
from gateway.errors import InvariantViolation
from gateway.lifecycle import EDGES, STAGES, Attempt, Identity, Stage

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
requirement = pytest.mark.requirement

# E-01 §4.3 and C-09, written out once more by hand: the code must say the same.
ALLOWED = {
    ("NEW", "VALIDATING"): "STATE-05",
    ("NEW", "REJECTED"): "STATE-06",
    ("VALIDATING", "GATED"): "STATE-07",
    ("VALIDATING", "ERROR"): "STATE-08",
    ("VALIDATING", "BLOCKED"): "STATE-09",
    ("GATED", "AUTHORIZED"): "STATE-10",
    ("GATED", "REJECTED"): "STATE-11",
    ("GATED", "PAUSED"): "STATE-12",
    ("GATED", "BLOCKED"): "STATE-13",
    ("GATED", "ERROR"): "STATE-14",
    ("AUTHORIZED", "RUNNING"): "STATE-15",
    ("AUTHORIZED", "ERROR"): "STATE-16",
    ("AUTHORIZED", "BLOCKED"): "STATE-17",
    ("RUNNING", "PAUSED"): "STATE-18",
    ("RUNNING", "AUDITING"): "STATE-19",
    ("RUNNING", "CANCELLED"): "STATE-20",
    ("RUNNING", "ERROR"): "STATE-21",
    ("RUNNING", "BLOCKED"): "STATE-22",
    ("AUDITING", "RUNNING"): None,
    ("AUDITING", "SUCCEEDED"): "STATE-24",
    ("AUDITING", "ERROR"): "STATE-25",
    ("AUDITING", "BLOCKED"): "STATE-26",
    ("PAUSED", "GATED"): None,
    ("PAUSED", "CANCELLED"): "STATE-28",
    ("PAUSED", "ERROR"): "STATE-29",
    ("PAUSED", "BLOCKED"): "STATE-30",
}
FORBIDDEN = {
    ("NEW", "AUTHORIZED"): "STATE-32",
    ("NEW", "RUNNING"): "STATE-32",
    ("NEW", "PAUSED"): "STATE-32",
    ("NEW", "AUDITING"): "STATE-32",
    ("VALIDATING", "RUNNING"): "STATE-33",
    ("GATED", "RUNNING"): "STATE-34",
    ("PAUSED", "RUNNING"): "STATE-35",
}
# E-01 §5.7: what ended so may not go on in the same attempt.
AGAIN = {
    "REJECTED": {"STATE-38", "NORETRY-01", "NORETRY-06"},
    "BLOCKED": {"STATE-39", "NORETRY-02", "NORETRY-05", "NORETRY-07"},
    "ERROR": {"NORETRY-03", "NORETRY-04"},
}
ENDS = ("SUCCEEDED", "REJECTED", "CANCELLED", "ERROR", "BLOCKED")
PAIRS = [(source, target) for source in State for target in State]


def attempt(state: State = State.NEW) -> Attempt:
    identity = Identity(
        attempt=AttemptId.random(),
        correlation=CorrelationId.random(),
        trace="0123456789abcdef" * 2,
        environment=Environment.SANDBOX,
        trigger=TriggerId.random(),
    )
    return Attempt(identity=identity, state=state)


def marked(pair: tuple[State, State]) -> pytest.ParameterSet:
    """One pair of states, carrying the row of the catalogue that is about this very pair."""
    source, target = pair
    rows = {"STATE-03"} if (source, target) in ALLOWED else {"STATE-03", "STATE-40", "FLOW-01"}
    rows.add(ALLOWED.get((source, target)) or FORBIDDEN.get((source, target)) or "STATE-03")
    if source in ENDS:
        rows |= {"STATE-31", "FLOW-06"}
    if target == "SUCCEEDED" and source != "AUDITING":
        rows.add("STATE-36")
    if source in AGAIN:
        rows |= AGAIN[source]
    return pytest.param(source, target, id=f"{source}-{target}", marks=requirement(*sorted(rows)))


@requirement("STATE-01")
def test_there_are_exactly_the_twelve_states_of_the_specification() -> None:
    working = ["NEW", "VALIDATING", "GATED", "AUTHORIZED", "RUNNING", "PAUSED", "AUDITING"]
    assert [str(state) for state in State] == [*working, *ENDS]


@requirement("STATE-02")
def test_exactly_five_states_are_terminal() -> None:
    assert {str(state) for state in TERMINAL} == set(ENDS)
    assert {state for state in State if attempt(state).terminal} == TERMINAL


@pytest.mark.parametrize(("source", "target"), [marked(pair) for pair in PAIRS])
def test_a_move_is_taken_if_and_only_if_the_specification_lists_its_edge(source: State, target: State) -> None:
    before = attempt(source)
    if (source, target) in ALLOWED:
        try:
            after = before.to(target, NOW)
        except InvariantViolation:
            pytest.fail(f"{source} → {target} is listed and was refused")
        assert after.state is target
        assert before.state is source, "the earlier value must not change"
    else:
        with pytest.raises(InvariantViolation):
            before.to(target, NOW)


@requirement("STATE-03", "STATE-31", "FLOW-06")
def test_the_edges_are_exactly_those_of_the_specification() -> None:
    assert {(str(source), str(target)) for source, target in EDGES} == set(ALLOWED)


@requirement("FLOW-06", "STATE-31")
def test_every_state_that_is_not_an_end_can_still_reach_one_and_no_end_is_left() -> None:
    def reachable(state: State, seen: frozenset[State] = frozenset()) -> frozenset[State]:
        onward = {target for source, target in EDGES if source is state} - seen
        return onward.union(*(reachable(target, seen | onward) for target in onward)) if onward else frozenset()

    for state in State:
        assert bool(reachable(state) & TERMINAL) is (state not in TERMINAL)


@requirement("LIFE-01")
def test_every_state_belongs_to_one_lifecycle_stage() -> None:
    assert {str(state): str(stage) for state, stage in STAGES.items()} == {
        "NEW": "spawn",
        "VALIDATING": "spawn",
        "GATED": "spawn",
        "AUTHORIZED": "run",
        "RUNNING": "run",
        "AUDITING": "run",
        "PAUSED": "pause",
        "SUCCEEDED": "terminate",
        "REJECTED": "terminate",
        "CANCELLED": "terminate",
        "ERROR": "terminate",
        "BLOCKED": "terminate",
    }


@requirement("LIFE-02", "STATE-34", "STATE-37")
@pytest.mark.parametrize("state", [state for state in State if state is not State.RUNNING])
@pytest.mark.parametrize("step", list(Step))
def test_no_step_begins_outside_running(state: State, step: Step) -> None:
    with pytest.raises(InvariantViolation):
        attempt(state).begin(step, NOW)


@requirement("LIFE-02")
def test_no_stage_but_run_holds_the_state_in_which_steps_begin() -> None:
    begins = set()
    for state in State:
        try:
            attempt(state).begin(Step.COMMIT, NOW)
        except InvariantViolation:
            continue
        begins.add(STAGES[state])
    assert begins == {Stage.RUN}


@requirement("STATE-31")
@pytest.mark.parametrize(
    "state",
    [pytest.param(State(end), marks=[requirement(*sorted(AGAIN[end]))] if end in AGAIN else []) for end in ENDS],
)
@pytest.mark.parametrize("signal", [signal for signal in Signal if signal is not Signal.ATTEMPT_COMPLETED])
def test_a_finished_attempt_records_nothing_more(state: State, signal: Signal) -> None:
    with pytest.raises(InvariantViolation):
        attempt(state).record(signal, NOW)


@requirement("AUDIT-16")
@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_finished_attempt_still_records_its_completion(state: State) -> None:
    assert [link.event.signal for link in attempt(state).record(Signal.ATTEMPT_COMPLETED, NOW).pending] == [
        "AttemptCompleted"
    ]


@requirement("AUDIT-13", "AUDIT-23", "AUDIT-27")
@pytest.mark.parametrize(("source", "target"), sorted(ALLOWED), ids=str)
def test_each_move_leaves_one_event_with_both_states_its_instant_and_its_environment(source: str, target: str) -> None:
    moved = attempt(State(source)).to(State(target), NOW)
    (event,) = [link.event for link in moved.pending]
    assert event.signal == "StateTransitionRecorded"
    assert (event.from_state, event.to_state) == (source, target)
    assert event.at == NOW
    assert event.environment == "sandbox"


@requirement("AUDIT-08")
def test_beginning_a_step_leaves_the_event_that_announces_it() -> None:
    (link,) = attempt(State.RUNNING).begin(Step.COMMIT, NOW).pending
    assert (link.event.signal, link.event.step) == ("ExecutionStepStarted", "commit")


@requirement("CORR-01", "CORR-02", "CORR-09", "CORR-10", "CORR-11")
def test_every_event_of_an_attempt_carries_the_same_correlation_identifiers() -> None:
    started = attempt()
    walked = (
        started.record(Signal.TRIGGER_RECEIVED, NOW)
        .to(State.VALIDATING, NOW)
        .to(State.GATED, NOW)
        .to(State.AUTHORIZED, NOW)
        .to(State.RUNNING, NOW)
        .begin(Step.COMMIT, NOW)
    )
    identity = started.identity
    assert len(walked.pending) == 6
    for link in walked.pending:
        event = link.event
        assert event.attempt == identity.attempt
        assert event.correlation == identity.correlation
        assert event.trace == identity.trace
        assert event.trigger == identity.trigger


def test_what_was_flushed_is_no_longer_pending_and_the_chain_goes_on_from_it() -> None:
    first = attempt().to(State.VALIDATING, NOW)
    flushed = first.flushed()
    assert (flushed.stored, flushed.pending, flushed.head) == (1, (), first.head)
    (link,) = flushed.to(State.GATED, NOW).pending
    assert (link.event.seq, link.previous) == (2, first.head)


class Walk(RuleBasedStateMachine):
    """Any sequence of moves, steps and records, held against a model made of the literal table."""

    def __init__(self) -> None:
        super().__init__()
        self.attempt = attempt()
        self.expected_state = "NEW"
        self.expected_events = 0
        self.instant = NOW

    @rule(state=st.sampled_from(State))
    def move(self, state: State) -> None:
        self.instant += timedelta(microseconds=1)
        if (self.expected_state, state) in ALLOWED:
            self.attempt = self.attempt.to(state, self.instant)
            self.expected_state = str(state)
            self.expected_events += 1
        else:
            with pytest.raises(InvariantViolation):
                self.attempt.to(state, self.instant)

    @rule(step=st.sampled_from(Step))
    def begin(self, step: Step) -> None:
        if self.expected_state == "RUNNING":
            self.attempt = self.attempt.begin(step, self.instant)
            self.expected_events += 1
        else:
            with pytest.raises(InvariantViolation):
                self.attempt.begin(step, self.instant)

    @precondition(lambda self: self.expected_state not in ENDS)
    @rule(signal=st.sampled_from(Signal))
    def record(self, signal: Signal) -> None:
        self.attempt = self.attempt.record(signal, self.instant)
        self.expected_events += 1

    @invariant()
    def the_state_is_the_models(self) -> None:
        assert self.attempt.state == self.expected_state

    @invariant()
    def the_chain_is_whole(self) -> None:
        assert self.attempt.seq == self.expected_events == len(self.attempt.pending)
        previous = GENESIS
        for number, link in enumerate(self.attempt.pending, start=1):
            assert link.event.seq == number
            assert link == Link.after(previous, link.event)
            previous = link.hash
        assert self.attempt.head == previous


TestWalk = pytest.mark.requirement("STATE-03", "STATE-40", "AUDIT-13")(Walk.TestCase)
