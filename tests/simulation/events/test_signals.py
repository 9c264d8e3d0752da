"""What attempts of every end leave in the audit: signal by signal, as E-01 §7.2 and F-01 §5.3 ask."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from gateway.contracts.canonical import digest
from gateway.contracts.failures import FAILURES, Code
from gateway.contracts.outcome import AFTER_DISPATCH
from gateway.contracts.signals import Signal, Step
from gateway.contracts.words import Effect, End, GateName, State
from gateway.ending import outcome_digest
from gateway.lifecycle import EDGES
from gateway.signatures import SIGNATURE_DOMAIN

S = Signal

BASE = {"seq", "at", "signal", "environment", "attempt", "correlation", "trace", "trigger"}

EXPECTED: dict[str, tuple[State, Code, Effect | None]] = {
    "applied": (State.SUCCEEDED, Code.COMMITTED, Effect.APPLIED),
    "refused": (State.ERROR, Code.EXTERNAL_FORBIDDEN, Effect.REFUSED),
    "unknown": (State.ERROR, Code.CONNECTION_LOST, Effect.UNKNOWN),
    "not sent": (State.ERROR, Code.ADAPTER_FAULT, Effect.NOT_SENT),
    "recovered": (State.ERROR, Code.OWNER_DIED, Effect.UNKNOWN),
    "intent unaudited": (State.BLOCKED, Code.AUDIT_UNAVAILABLE, Effect.NOT_SENT),
    "effect unaudited": (State.ERROR, Code.AUDIT_INCOMPLETE, Effect.APPLIED),
    "stopped before the intent": (State.BLOCKED, Code.OPERATOR_STOP, None),
    "stopped after the intent": (State.CANCELLED, Code.OPERATOR_STOP, Effect.NOT_SENT),
    "unsigned": (State.REJECTED, Code.TRIGGER_UNSIGNED, None),
    "time-based": (State.REJECTED, Code.TRIGGER_FORBIDDEN, None),
    "expired": (State.REJECTED, Code.TRIGGER_EXPIRED, None),
    "consent withdrawn": (State.BLOCKED, Code.CONSENT_ABSENT, None),
    "unavailable": (State.BLOCKED, Code.EXTERNAL_UNAVAILABLE, None),
    "suspended": (State.BLOCKED, Code.CONNECTION_SUSPENDED, None),
    "other bytes": (State.BLOCKED, Code.PROPOSAL_UNKNOWN, None),
    "checked": (State.SUCCEEDED, Code.CHECK_PASSED, None),
    "observed": (State.SUCCEEDED, Code.OBSERVED, None),
    "observed nothing": (State.BLOCKED, Code.CONTEXT_MISSING, None),
    "paused": (State.PAUSED, Code.DECISION_REQUIRED, None),
    "resumed": (State.SUCCEEDED, Code.COMMITTED, Effect.APPLIED),
    "declined": (State.REJECTED, Code.DECISION_DECLINED, None),
    "cancelled": (State.CANCELLED, Code.OPERATOR_STOP, None),
    "policy denied": (State.REJECTED, Code.TWO_PERSONS_REQUIRED, None),
}
DISPATCHED = ("applied", "refused", "unknown", "not sent", "effect unaudited", "resumed")
GATED = (*DISPATCHED, "consent withdrawn", "unavailable", "checked", "paused", "declined", "policy denied")


@pytest.mark.parametrize("name", EXPECTED)
def test_these_attempts_ended_as_they_were_meant_to(told: Any, name: str) -> None:
    outcome = told.files[name].outcome
    assert outcome is not None
    assert (outcome.state, outcome.code, outcome.effect) == EXPECTED[name]


@pytest.mark.requirement("AUDIT-01", "TRIG-05")
@pytest.mark.parametrize("name", EXPECTED)
def test_every_attempt_begins_with_the_trigger_received(told: Any, name: str) -> None:
    first, *others = told.events(name)
    assert first.signal is S.TRIGGER_RECEIVED
    assert first.purpose is not None
    assert (first.trigger_kind is None) is (name == "unsigned")
    assert S.TRIGGER_RECEIVED not in {event.signal for event in others}


@pytest.mark.requirement("AUDIT-02", "FAIL-01")
@pytest.mark.parametrize("name", ["unsigned", "time-based", "expired"])
def test_a_refused_trigger_is_rejected_before_anything_else_is_looked_at(told: Any, name: str) -> None:
    signals = [event.signal for event in told.events(name)]
    assert signals[:2] == [S.TRIGGER_RECEIVED, S.TRIGGER_REJECTED]
    assert not {S.CONTEXT_VALIDATED, S.GATE_JUDGED, S.POLICY_EVALUATED} & set(signals)
    assert told.events(name)[1].code is EXPECTED[name][1]


@pytest.mark.requirement("AUDIT-03", "CTX-01", "GATE-32")
@pytest.mark.parametrize("name", GATED)
def test_the_context_is_validated_before_the_gates_are_judged(told: Any, name: str) -> None:
    signals = [event.signal for event in told.events(name)]
    assert signals.index(S.CONTEXT_VALIDATED) < signals.index(S.GATE_JUDGED)


@pytest.mark.requirement("AUDIT-04", "FAIL-02")
def test_an_invalid_context_says_why_and_reaches_no_policy(told: Any) -> None:
    (invalid,) = told.of(S.CONTEXT_INVALID, "suspended")
    assert invalid.code is Code.CONNECTION_SUSPENDED
    signals = {event.signal for event in told.events("suspended")}
    assert not {S.CONTEXT_VALIDATED, S.POLICY_EVALUATED, S.GATE_JUDGED} & signals


@pytest.mark.requirement("AUDIT-05", "FAIL-02")
def test_a_missing_context_is_told_as_missing(told: Any) -> None:
    (missing,) = told.of(S.CONTEXT_MISSING, "observed nothing")
    assert missing.code is Code.CONTEXT_MISSING
    assert S.POLICY_EVALUATED not in {event.signal for event in told.events("observed nothing")}


@pytest.mark.requirement("AUDIT-06", "CORR-04", "CORR-05", "CORR-06", "CORR-07")
@pytest.mark.parametrize(
    ("name", "rulings"),
    [
        ("applied", [(True, None)]),
        ("paused", [(False, Code.DECISION_REQUIRED)]),
        ("resumed", [(False, Code.DECISION_REQUIRED), (True, None)]),
        ("declined", [(False, Code.DECISION_REQUIRED), (False, Code.DECISION_DECLINED)]),
        ("policy denied", [(False, Code.TWO_PERSONS_REQUIRED)]),
        ("checked", [(True, None)]),
        ("observed", [(True, None)]),
    ],
)
def test_every_evaluation_says_which_version_ruled_and_what(told: Any, name: str, rulings: list[Any]) -> None:
    seen = told.of(S.POLICY_EVALUATED, name)
    assert [(event.allowed, event.code) for event in seen] == rulings
    policy = "two-person" if name == "policy denied" else "standard"
    for event in seen:
        assert (event.policy, event.policy_version) == (policy, 1)
        assert (event.view, event.view_version) == ("scheduling-commit", 1)


@pytest.mark.requirement("AUDIT-07", "CORR-08")
@pytest.mark.parametrize("name", ["paused", "resumed", "declined", "cancelled"])
def test_every_pause_is_announced_with_its_signal(told: Any, name: str) -> None:
    for earlier, later in pairwise(told.events(name)):
        if later.to_state is State.PAUSED and later.signal is S.STATE_TRANSITION_RECORDED:
            announced = [event for event in told.events(name)[: later.seq] if event.decision_signal]
            assert announced[0].signal is S.DECISION_REQUIRED_EMITTED
            assert announced[0].severity is not None
            assert earlier.seq < later.seq
            return
    pytest.fail("no pause")


@pytest.mark.requirement("AUDIT-08", "STATE-36")
@pytest.mark.parametrize("name", DISPATCHED)
def test_a_step_is_announced_before_anything_comes_of_it(told: Any, name: str) -> None:
    (started,) = [event for event in told.of(S.EXECUTION_STEP_STARTED, name) if event.step is Step.COMMIT]
    (intent,) = told.of(S.INTENT_RECORDED, name)
    (effect,) = told.of(S.EFFECT_RECORDED, name)
    assert started.seq < intent.seq < effect.seq
    assert started.model_fields_set <= {*BASE, "step"}


@pytest.mark.requirement("AUDIT-09", "FAIL-06")
@pytest.mark.parametrize("name", [*DISPATCHED, "observed"])
def test_each_step_is_completed_once_and_says_what_left(told: Any, name: str) -> None:
    started = [event.step for event in told.of(S.EXECUTION_STEP_STARTED, name)]
    completed = told.of(S.EXECUTION_STEP_COMPLETED, name)
    assert [event.step for event in completed] == started
    if name in DISPATCHED:
        commit = completed[0]
        assert (commit.step, commit.mutating_requests) == (Step.COMMIT, int(name != "not sent"))


@pytest.mark.requirement("AUDIT-09")
@pytest.mark.parametrize("name", ["recovered", "intent unaudited", "stopped after the intent"])
def test_a_step_that_was_not_seen_to_end_is_not_told_as_ended(told: Any, name: str) -> None:
    assert told.of(S.EXECUTION_STEP_STARTED, name)
    assert told.of(S.EXECUTION_STEP_COMPLETED, name) == []


@pytest.mark.requirement("AUDIT-10", "AUDIT-12")
@pytest.mark.parametrize("name", [*DISPATCHED, "recovered"])
def test_a_mutation_is_requested_and_approved_by_its_tools_name_alone(told: Any, name: str) -> None:
    (requested,) = told.of(S.MUTATION_REQUESTED, name)
    (approved,) = told.of(S.MUTATION_APPROVED, name)
    assert requested.model_fields_set - BASE == {"operation"}
    assert approved.model_fields_set - BASE == {"operation", "approval"}
    assert requested.operation == approved.operation == "schedule.book@v1"
    assert approved.approval == told.decisions[name].reference


@pytest.mark.requirement("AUDIT-11", "ABORT-03")
def test_a_denied_mutation_is_told_by_its_tools_name_and_code_alone(told: Any) -> None:
    (denied,) = told.of(S.MUTATION_DENIED, "stopped before the intent")
    assert denied.model_fields_set - BASE == {"operation", "code"}
    assert (denied.operation, denied.code) == ("schedule.book@v1", Code.OPERATOR_STOP)
    signals = [event.signal for event in told.events("stopped before the intent")]
    assert not {S.MUTATION_APPROVED, S.INTENT_RECORDED, S.EXECUTION_STEP_STARTED} & set(signals)


@pytest.mark.requirement("AUDIT-13", "AUDIT-18", "ABORT-06")
@pytest.mark.parametrize("name", EXPECTED)
def test_the_transitions_walk_from_new_to_the_end_along_edges_only(told: Any, name: str) -> None:
    moves = [(event.from_state, event.to_state) for event in told.of(S.STATE_TRANSITION_RECORDED, name)]
    assert moves[0][0] is State.NEW
    assert moves[-1][1] is EXPECTED[name][0]
    assert set(moves) <= EDGES
    assert all(earlier[1] is later[0] for earlier, later in pairwise(moves))


@pytest.mark.requirement("AUDIT-14", "GATE-29")
@pytest.mark.parametrize("name", [*DISPATCHED, "recovered", "checked", "policy denied", "declined", "cancelled"])
def test_journal_and_sink_acknowledge_before_the_end_is_claimed(told: Any, name: str) -> None:
    events = told.events(name)
    end = events[-2].seq
    sinks = {event.sink for event in events if event.signal is S.AUDIT_ACCEPTED and event.seq < end}
    assert sinks >= {"journal", "file"}


@pytest.mark.requirement("AUDIT-15", "FAIL-13")
@pytest.mark.parametrize("name", ["intent unaudited", "effect unaudited"])
def test_a_sink_that_did_not_acknowledge_is_named(told: Any, name: str) -> None:
    (failed,) = told.of(S.AUDIT_FAILED, name)[:1]
    assert (failed.sink, failed.code) == ("file", Code.AUDIT_UNAVAILABLE)


@pytest.mark.requirement("AUDIT-16", "AUDIT-24", "AUDIT-25")
@pytest.mark.parametrize("name", [name for name in EXPECTED if name != "paused"])
def test_the_last_event_carries_the_bounded_outcome(told: Any, name: str) -> None:
    last, outcome = told.events(name)[-1], told.files[name].outcome
    assert outcome is not None
    assert last.signal is S.ATTEMPT_COMPLETED
    assert (last.to_state, last.code, last.effect) == EXPECTED[name]
    assert last.outcome_digest == outcome_digest(outcome)
    ends = {end for end in End if end in FAILURES[last.code].ends}
    assert (outcome.outcome_class == "failure") <= bool(ends & AFTER_DISPATCH)


@pytest.mark.requirement("AUDIT-17", "FAIL-05")
def test_a_dependency_that_is_down_is_told_as_such(told: Any) -> None:
    (down,) = told.of(S.DEPENDENCY_UNAVAILABLE, "unavailable")
    assert down.code is Code.EXTERNAL_UNAVAILABLE
    assert down.model_fields_set - BASE == {"code"}
    assert S.POLICY_EVALUATED not in {event.signal for event in told.events("unavailable")}


@pytest.mark.requirement("AUDIT-20")
@pytest.mark.parametrize(
    ("name", "state"), [("applied", "current"), ("other bytes", "unknown"), ("unavailable", "current")]
)
def test_the_proposal_and_its_state_are_recorded(told: Any, name: str, state: str) -> None:
    (bound,) = told.of(S.PROPOSAL_BOUND, name)
    header = told.files[name].header
    assert (bound.proposal, bound.proposal_digest) == (header.proposal, header.proposal_digest)
    assert bound.proposal_state == state


@pytest.mark.requirement("AUDIT-21", "AUDIT-22")
@pytest.mark.parametrize("name", [name for name in GATED if name in EXPECTED])
def test_the_approval_is_recorded_by_reference_instant_and_digest_of_what_was_signed(told: Any, name: str) -> None:
    record = told.decisions[name]
    for bound in told.of(S.APPROVAL_BOUND, name):
        assert bound.approval == record.reference
        assert bound.approval_digest == digest(SIGNATURE_DOMAIN, record.body.encode())
        assert told.began is not None and bound.approved_at is not None
        assert told.began <= bound.approved_at <= bound.at
    assert told.of(S.APPROVAL_BOUND, name)


@pytest.mark.requirement("AUDIT-18", "GATE-01", "GATE-31")
@pytest.mark.parametrize("name", GATED)
def test_all_seven_verdicts_are_recorded_in_order(told: Any, name: str) -> None:
    verdicts = told.of(S.GATE_JUDGED, name)
    rounds = 2 if name in ("resumed", "declined") else 1
    assert [event.gate for event in verdicts] == list(GateName) * rounds
    refused = [event.code for event in verdicts if not event.passed]
    blocked = EXPECTED[name][0] is State.BLOCKED
    assert refused == ([EXPECTED[name][1]] if blocked else [])


@pytest.mark.requirement("AUDIT-30")
@pytest.mark.parametrize("name", ["paused", "resumed", "declined", "cancelled"])
def test_the_transition_into_a_pause_names_its_decision_signal(told: Any, name: str) -> None:
    moves = told.of(S.STATE_TRANSITION_RECORDED, name)
    (into,) = [event for event in moves if event.to_state is State.PAUSED]
    announced = told.of(S.DECISION_REQUIRED_EMITTED, name)[0]
    assert into.decision_signal == announced.decision_signal is not None


@pytest.mark.requirement("DECIDE-11")
@pytest.mark.parametrize("name", ["consent withdrawn", "unavailable", "suspended", "other bytes"])
def test_every_block_raises_a_decision_signal(told: Any, name: str) -> None:
    (raised,) = told.of(S.DECISION_REQUIRED_EMITTED, name)
    outcome = told.files[name].outcome
    assert outcome is not None
    assert (raised.decision_signal, raised.code) == (outcome.signal, EXPECTED[name][1])
