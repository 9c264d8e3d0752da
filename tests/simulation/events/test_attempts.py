"""What holds of the events of any attempt, however it ended: identifiers, instants, order, and what they cannot say."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from gateway.contracts.references import Reference
from gateway.contracts.signals import Event, Signal, Step
from gateway.contracts.words import Effect, Environment, ObservationFinding

S = Signal
NAMES = (
    *("applied", "refused", "unknown", "not sent", "recovered", "intent unaudited", "effect unaudited"),
    *("stopped before the intent", "stopped after the intent", "unsigned", "time-based", "expired"),
    *("consent withdrawn", "unavailable", "suspended", "other bytes", "checked", "observed", "observed nothing"),
    *("paused", "resumed", "declined", "cancelled", "policy denied"),
)
DISPATCHED = ("applied", "refused", "unknown", "not sent", "effect unaudited", "resumed")


def test_these_are_all_attempts_that_were_made(told: Any) -> None:
    assert set(NAMES) == set(told.files)


@pytest.mark.requirement("AUDIT-23")
@pytest.mark.parametrize("name", NAMES)
def test_every_event_has_its_instant_and_its_place(told: Any, name: str) -> None:
    events = told.events(name)
    assert told.began is not None and told.ended is not None
    assert all(told.began <= event.at <= told.ended for event in events)
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


@pytest.mark.requirement("AUDIT-26")
@pytest.mark.parametrize("name", NAMES)
def test_the_appointment_is_named_opaquely_and_only_where_it_is_known_to_be_there(told: Any, name: str) -> None:
    named = [event for event in told.events(name) if event.external_reference or event.version]
    assert bool(named) is (told.files[name].outcome.effect is Effect.APPLIED)
    for event in named:
        assert event.signal is S.EFFECT_RECORDED
        assert isinstance(event.external_reference, Reference)
        assert re.fullmatch("[0-9a-f]{64}", event.version or "")


@pytest.mark.requirement("AUDIT-27", "CORR-01", "CORR-02", "CORR-09", "CORR-10", "CORR-11")
@pytest.mark.parametrize("name", NAMES)
def test_the_identifiers_of_an_attempt_are_the_same_on_all_its_events(told: Any, name: str) -> None:
    events, file = told.events(name), told.files[name]
    assert {event.attempt for event in events} == {file.attempt}
    for field_name in ("correlation", "trace", "environment", "trigger"):
        assert len({getattr(event, field_name) for event in events}) == 1
    first = events[0]
    assert first.environment is Environment.SANDBOX
    assert re.fullmatch("[0-9a-f]{32}", first.trace)
    assert first.trigger == (None if name == "unsigned" else file.header.trigger)
    assert (first.trigger is None) is (name == "unsigned")


@pytest.mark.requirement("CORR-01", "CORR-09", "CORR-10", "CORR-03", "TRIG-06")
def test_no_two_attempts_or_evaluations_share_an_identifier(told: Any) -> None:
    for name in ("attempt", "correlation", "trace", "trigger"):
        of = {key: getattr(told.events(key)[0], name) for key in told.files}
        known = [value for value in of.values() if value is not None]
        assert len(set(known)) == len(known), name
    evaluations = [event.policy_evaluation for _, event in told.everything() if event.signal is S.POLICY_EVALUATED]
    assert None not in evaluations
    assert len(set(evaluations)) == len(evaluations) > 10


@pytest.mark.requirement("AUDIT-28", "CORR-12", "DECIDE-02")
def test_no_event_has_a_field_or_a_value_that_could_name_anybody(told: Any) -> None:
    forbidden = re.compile(
        "tenant|practice|actor|operator|reviewer|patient|request_?id|cursor|payload|raw|row", re.IGNORECASE
    )
    assert not [name for name in Event.model_fields if forbidden.search(name.replace("mutating_requests", ""))]
    word = re.compile(r"[A-Za-z][A-Za-z_.@-]{0,39}|[a-z._]+@v1")
    opaque = re.compile(r"[a-z]{3}_(?:[0-9a-f]{32}|[0-9a-f]{64})|[0-9a-f]{32}|[0-9a-f]{64}")
    instant = re.compile(r"20\d\d-\d\d-\d\dT[0-9:.]+Z")
    people = ("psn_", "pat_", "prc_", "par_", "con_")
    for name, event in told.everything():
        for key, value in event.plain().items():
            if isinstance(value, str):
                assert word.fullmatch(value) or opaque.fullmatch(value) or instant.fullmatch(value), (name, key)
                assert not value.startswith(people), (name, key)
            else:
                assert isinstance(value, int | bool), (name, key)


@pytest.mark.requirement("AUDIT-29", "AUDIT-18")
@pytest.mark.parametrize("name", DISPATCHED)
def test_the_events_alone_tell_how_it_came_about(told: Any, name: str) -> None:
    """Who asked for what, on which approval, what each gate and which policy said, what left, and what is known."""
    story = [event.signal for event in told.events(name)]
    chapters = [
        *(S.TRIGGER_RECEIVED, S.CONTEXT_VALIDATED, S.PROPOSAL_BOUND, S.APPROVAL_BOUND, S.GATE_JUDGED),
        *(S.POLICY_EVALUATED, S.MUTATION_REQUESTED, S.MUTATION_APPROVED, S.EXECUTION_STEP_STARTED, S.INTENT_RECORDED),
        *(S.EXECUTION_STEP_COMPLETED, S.EFFECT_RECORDED, S.ATTEMPT_COMPLETED),
    ]
    assert [signal for signal in dict.fromkeys(story) if signal in chapters] == chapters


@pytest.mark.requirement("CARD-13", "FAIL-22")
def test_looks_are_recorded_by_their_reference_and_finding(told: Any) -> None:
    for name in ("unknown", "observed"):
        (seen,) = told.of(S.OBSERVATION_RECORDED, name)
        assert seen.finding is ObservationFinding.PRESENT
        assert seen.observation is not None


@pytest.mark.requirement("NORETRY-01", "NORETRY-02", "NORETRY-04", "ABORT-06", "FAIL-26")
@pytest.mark.parametrize("name", NAMES)
def test_no_attempt_does_anything_twice(told: Any, name: str) -> None:
    """One round of gates and one ruling, or two where a human resumed it; one commit; nothing after the end."""
    events = told.events(name)
    count = Counter(event.signal for event in events)
    rounds = 2 if name in ("resumed", "declined") else 1
    assert count[S.GATE_JUDGED] <= 7 * rounds
    assert count[S.POLICY_EVALUATED] <= rounds
    assert count[S.INTENT_RECORDED] <= 1
    assert sum(event.step is Step.COMMIT for event in events if event.signal is S.EXECUTION_STEP_STARTED) <= 1
    assert count[S.ATTEMPT_COMPLETED] == int(name != "paused")
    if name != "paused":
        assert events[-1].signal is S.ATTEMPT_COMPLETED
