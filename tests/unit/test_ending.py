"""Closing an attempt: only by a row of the table, with the transition, the completion and one outcome."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from gateway.contracts.failures import FAILURES, Code, caller_next
from gateway.contracts.outcome import AFTER_DISPATCH, ENDS, Observed
from gateway.contracts.references import AttemptId, CorrelationId, ObservationId, SignalId
from gateway.contracts.signals import Signal
from gateway.contracts.statements import Finding
from gateway.contracts.words import Effect, End, Environment, Next, ObservationFinding, State
from gateway.ending import conclude, outcome_digest, unrecorded
from gateway.errors import InvariantViolation
from gateway.lifecycle import EDGES, Attempt, Identity

NOW = datetime(2030, 1, 7, 9, 0, tzinfo=UTC)
KNOWN = [(code, end) for code, row in FAILURES.items() for end in sorted(row.ends)]


def attempt_before(end: End) -> Attempt:
    """An attempt in a state from which the end's edge leaves."""
    identity = Identity(
        attempt=AttemptId.random(),
        correlation=CorrelationId.random(),
        trace="0123456789abcdef" * 2,
        environment=Environment.SANDBOX,
    )
    wanted = ENDS[end].state
    before = next(state for state in reversed(State) if (state, wanted) in EDGES)
    paths = {State.NEW: [], State.VALIDATING: [State.VALIDATING]}
    paths[State.GATED] = [*paths[State.VALIDATING], State.GATED]
    paths[State.RUNNING] = [*paths[State.GATED], State.AUTHORIZED, State.RUNNING]
    paths[State.PAUSED] = [*paths[State.GATED], State.PAUSED]
    paths[State.AUDITING] = [*paths[State.RUNNING], State.AUDITING]
    attempt = Attempt(identity=identity)
    for state in paths[before]:
        attempt = attempt.to(state, NOW)
    return attempt


@pytest.mark.requirement("AUDIT-16", "AUDIT-25", "FLOW-04")
@pytest.mark.parametrize(("code", "end"), KNOWN)
def test_every_known_pair_ends_as_its_row_says(code: Code, end: End) -> None:
    before = attempt_before(end)
    after, outcome = conclude(before, end, code, NOW)
    row = ENDS[end]
    assert (after.state, outcome.state, outcome.effect, outcome.approval) == (
        row.state,
        row.state,
        row.effect,
        row.approval,
    )
    assert (outcome.attempt, outcome.next, outcome.actor) == (before.identity.attempt, *caller_next(code, end))
    new = [link.event for link in after.pending[len(before.pending) :]]
    assert (new[0].signal, new[0].from_state, new[0].to_state, new[0].code) == (
        Signal.STATE_TRANSITION_RECORDED,
        before.state,
        row.state,
        code,
    )
    if end is End.PAUSED:
        assert len(new) == 1
        assert outcome.closing_hash is None
        return
    assert [event.signal for event in new[1:]] == [Signal.ATTEMPT_COMPLETED]
    assert (new[1].to_state, new[1].code, new[1].effect) == (row.state, code, row.effect)
    assert new[1].outcome_digest == outcome_digest(outcome)
    assert outcome.closing_hash == after.head == after.pending[-1].hash
    assert all(later.previous == earlier.hash for earlier, later in pairwise(after.pending))


@pytest.mark.requirement("AUDIT-25", "ADAPT-03")
@pytest.mark.parametrize("end", End)
def test_a_pair_that_the_taxonomy_does_not_know_is_never_improvised(end: End) -> None:
    strangers = [code for code, row in FAILURES.items() if end not in row.ends]
    assert strangers
    for code in strangers:
        with pytest.raises(InvariantViolation):
            conclude(attempt_before(end), end, code, NOW)


@pytest.mark.requirement("AUDIT-30")
@pytest.mark.parametrize("end", [End.PAUSED, End.POLICY_DENIED, End.BLOCKED])
def test_the_transition_names_the_decision_signal(end: End) -> None:
    code = next(code for code, row in FAILURES.items() if end in row.ends)
    signal = SignalId.random()
    after, outcome = conclude(attempt_before(end), end, code, NOW, signal=signal)
    moved = [link.event for link in after.pending if link.event.to_state is ENDS[end].state]
    assert (moved[0].decision_signal, outcome.signal) == (signal, signal)
    without, _ = conclude(attempt_before(end), end, code, NOW)
    assert all(link.event.decision_signal is None for link in without.pending)


@pytest.mark.requirement(
    "STATE-31", "NORETRY-01", "NORETRY-02", "NORETRY-03", "NORETRY-04", "NORETRY-05", "NORETRY-06", "NORETRY-07"
)
@pytest.mark.parametrize(("code", "end"), [(code, end) for code, end in KNOWN if end is not End.PAUSED])
def test_a_finished_attempt_goes_nowhere_again(code: Code, end: End) -> None:
    after, _ = conclude(attempt_before(end), end, code, NOW)
    for state in State:
        with pytest.raises(InvariantViolation):
            after.to(state, NOW)
    for signal in set(Signal) - {Signal.ATTEMPT_COMPLETED}:
        with pytest.raises(InvariantViolation):
            after.record(signal, NOW)
    with pytest.raises(InvariantViolation):
        conclude(after, end, code, NOW)


def test_what_is_learnt_later_does_not_change_the_digest_and_everything_else_does() -> None:
    _, outcome = conclude(attempt_before(End.UNKNOWN), End.UNKNOWN, Code.CONNECTION_LOST, NOW)
    seen = Observed(observation_id=ObservationId.random(), finding=ObservationFinding.PRESENT, at=NOW)
    later: dict[str, Any] = {"resolution": Finding.APPLIED, "observation": seen, "replayed": True, "closing_hash": None}
    assert outcome_digest(outcome.model_copy(update=later)) == outcome_digest(outcome)
    for change in ({"effect": Effect.APPLIED}, {"code": Code.OWNER_DIED}, {"binding_outstanding": True}):
        assert outcome_digest(outcome.model_copy(update=change)) != outcome_digest(outcome)
    # As it was first answered: digests that earlier versions recorded must come out the same for ever.
    assert outcome_digest(outcome) == outcome.model_copy(update={"closing_hash": None}).digest("outcome/v1")


@pytest.mark.requirement("FAIL-12")
@pytest.mark.parametrize(
    ("end", "code"),
    [
        (End.UNKNOWN, Code.OUTCOME_UNRECORDED),
        (End.UNKNOWN, Code.AUDIT_UNAVAILABLE),  # the end outranks what the code alone would advise
        (End.BLOCKED, Code.AUDIT_UNAVAILABLE),
    ],
)
def test_an_end_that_was_not_recorded_says_so_and_claims_no_success(end: End, code: Code) -> None:
    for attempt in (None, attempt_before(end)):
        outcome = unrecorded(attempt, end, code)
        assert (outcome.recorded, outcome.closing_hash) == (False, None)
        assert (outcome.state, outcome.effect) == (ENDS[end].state, ENDS[end].effect)
        assert (outcome.next is Next.RESOLVE) is (end in AFTER_DISPATCH)
        assert outcome.attempt == (attempt.identity.attempt if attempt else None)
