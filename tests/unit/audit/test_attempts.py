"""Each contradiction in an attempt is found where it is and named for what it is: its chain, its row, its outcome."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.audit import FlawCode
from gateway.audit._attempts import check_attempt
from gateway.audit._records import Said
from gateway.audit.report import Findings
from gateway.contracts.chain import Link
from gateway.contracts.outcome import Outcome
from gateway.contracts.references import AttemptId, ProposalId
from gateway.contracts.signals import Event, ProposalState, Signal
from gateway.contracts.words import End, Environment, State
from gateway.journal import StoredAttempt, StoredEvent
from tests.unit.audit.held import LATER, checked, event, flaws, on, refitted, replace_said, row, without


def test_nothing_is_found_where_nothing_was_changed(held: Any, told: Any, said: Said) -> None:
    assert flaws(held, told) == []
    findings = Findings()
    for stored in held.found:
        check_attempt(refitted(stored, lambda told: {}), said, findings)
    assert (findings.flaws, findings.attempts) == ([], 7)
    assert findings.events == sum(len(stored.events) for stored in held.found)


def test_a_body_that_its_hash_does_not_cover_breaks_the_chain_there(held: Any, said: Said) -> None:
    stored = held.ended(End.APPLIED)
    told = Event.model_validate_json(stored.events[2].body)
    body = told.model_copy(update={"at": LATER}).canonical().decode()
    assert checked(event(stored, 3, body=body), said) == [
        (FlawCode.CHAIN_BROKEN, f"event {stored.attempt} 3"),
    ]


def test_a_hash_that_is_not_the_bodys_breaks_the_chain_there_and_at_the_next(held: Any, said: Said) -> None:
    stored = held.ended(End.APPLIED)
    assert checked(event(stored, 3, hash="0" * 64), said) == [
        (FlawCode.CHAIN_BROKEN, f"event {stored.attempt} 3"),
        (FlawCode.CHAIN_BROKEN, f"event {stored.attempt} 4"),
    ]


def test_a_number_that_is_not_the_events_breaks_the_chain_there(held: Any, said: Said) -> None:
    stored = held.ended(End.APPLIED)
    assert checked(event(stored, 3, seq=7), said) == [(FlawCode.CHAIN_BROKEN, f"event {stored.attempt} 3")]


def test_a_body_that_is_no_event_ends_the_reading_there(held: Any, said: Said) -> None:
    stored = held.ended(End.APPLIED)
    assert checked(event(stored, 3, body="{}"), said) == [
        (FlawCode.CHAIN_BROKEN, f"event {stored.attempt} 3"),
        (FlawCode.EVENT_INVALID, f"event {stored.attempt} 3"),
    ]


def test_a_body_that_is_not_canonical_or_says_another_number_is_no_event(held: Any, said: Said) -> None:
    stored = held.ended(End.UNKNOWN)

    def rewritten(write: Callable[[Event], str]) -> StoredAttempt:
        last = stored.events[-1]
        text = write(Event.model_validate_json(last.body))
        digest = Link.after(stored.events[-2].hash, Event.model_validate_json(last.body)).hash
        assert digest == last.hash
        return event(stored, last.seq, body=text)

    where = f"event {stored.attempt} {len(stored.events)}"
    spaced = rewritten(lambda told: json.dumps(told.plain(), sort_keys=True))
    renumbered = rewritten(lambda told: told.model_copy(update={"seq": 99}).canonical().decode())
    for forged in (spaced, renumbered):
        assert (FlawCode.EVENT_INVALID, where) in checked(forged, said)


def test_a_tombstone_whose_outcome_is_not_its_end_differs(held: Any, said: Said) -> None:
    """Archived: only the row is here."""
    stored = held.ended(End.APPLIED)
    bare = replace(row(stored, volume=1), events=())
    assert checked(bare, said) == []
    for columns in ({"head": "0" * 64}, {"outcome": None}):
        assert checked(row(bare, **columns), said) == [(FlawCode.ROW_DIFFERS, f"attempt {stored.attempt}")]


def test_an_attempt_without_events_has_no_chain(held: Any, said: Said) -> None:
    stored = held.ended(End.BLOCKED)
    assert checked(replace(stored, events=()), said) == [(FlawCode.CHAIN_BROKEN, f"attempt {stored.attempt}")]


@pytest.mark.parametrize("outcome", ["{}", "not JSON", None])
def test_an_outcome_that_is_none_or_gone_differs(held: Any, said: Said, outcome: str | None) -> None:
    for stored in (held.ended(End.APPLIED), held.ended(End.PAUSED)):
        assert checked(row(stored, outcome=outcome), said) == [(FlawCode.OUTCOME_DIFFERS, f"attempt {stored.attempt}")]


def test_an_outcome_that_is_not_canonical_differs(held: Any, said: Said) -> None:
    stored = held.ended(End.APPLIED)
    text = json.dumps(json.loads(str(stored.columns["outcome"])), sort_keys=True)
    assert checked(row(stored, outcome=text), said) == [(FlawCode.OUTCOME_DIFFERS, f"attempt {stored.attempt}")]


OUTCOMES: list[dict[str, Any]] = [
    {"attempt": AttemptId.random()},
    {"state": State.SUCCEEDED},
    {"state": State.ERROR},
    {"replayed": True},
    {"closing_hash": "0" * 64},
    {"closing_hash": None},
    {"notice_outstanding": True},
]


@pytest.mark.parametrize("change", OUTCOMES, ids=",".join)
def test_an_outcome_that_says_something_else_differs(held: Any, said: Said, change: dict[str, Any]) -> None:
    for stored in held.found[:6]:
        outcome = Outcome.model_validate_json(str(stored.columns["outcome"]))
        changed = outcome.model_copy(update=change)
        if changed == outcome or (stored is held.ended(End.PAUSED) and "notice_outstanding" in change):
            continue  # a pause has no AttemptCompleted to hold its outcome's digest
        found = checked(row(stored, outcome=changed.canonical().decode()), said)
        assert found == [(FlawCode.OUTCOME_DIFFERS, f"attempt {stored.attempt}")] or (
            stored is held.ended(End.PAUSED) and "closing_hash" in change
        )


TOLD_BY_EVENTS = ("state", "seq", "head", "purpose", "proposal", "proposal_digest", "approval", "deadline")
TOLD_BY_THE_PROPOSAL = ("practice", "connection", "operation")


@pytest.mark.parametrize("name", [*TOLD_BY_EVENTS, *TOLD_BY_THE_PROPOSAL, "code", "effect", "owner", "trigger_id"])
def test_a_column_that_says_something_else_than_the_rest_differs(held: Any, said: Said, name: str) -> None:
    for stored in held.found:
        value = stored.columns[name]
        for other in ("another", None, *((value + 1,) if isinstance(value, int) else ())):
            if other == value or (name == "owner" and other is not None and value is not None):
                continue  # which process it was is told by nothing else
            found = checked(row(stored, **{name: other}), said)
            assert found, (stored.columns["state"], name, other)
            assert {where for _, where in found} == {f"attempt {stored.attempt}"}


@pytest.mark.parametrize(
    "change",
    [
        on(Signal.APPROVAL_BOUND, approval_digest="0" * 64),
        on(Signal.APPROVAL_BOUND, approved_at=LATER),
        on(Signal.APPROVAL_BOUND, approval=None),
    ],
)
def test_an_approval_that_is_not_the_retained_one_differs(
    held: Any, said: Said, change: Callable[[Event], dict[str, Any] | None]
) -> None:
    stored = refitted(held.ended(End.REFUSED), change)
    assert (FlawCode.APPROVAL_DIFFERS, f"attempt {stored.attempt}") in checked(stored, said)


@pytest.mark.parametrize(
    "update",
    [{"trace": "ab" * 16}, {"environment": Environment.STAGING}, {"trigger": None}, {"attempt": AttemptId.random()}],
    ids=",".join,
)
def test_one_event_of_another_identity_is_found(held: Any, said: Said, update: dict[str, Any]) -> None:
    stored = refitted(held.ended(End.REFUSED), on(Signal.PROPOSAL_BOUND, **update))
    assert checked(stored, said) == [(FlawCode.EVENT_INVALID, f"attempt {stored.attempt}")]


@pytest.mark.parametrize("update", [{"trigger": None}, {"attempt": AttemptId.random()}], ids=",".join)
def test_events_that_are_all_another_attempts_are_found(held: Any, said: Said, update: dict[str, Any]) -> None:
    stored = refitted(held.ended(End.REFUSED), lambda told: update)
    assert checked(stored, said) == [(FlawCode.EVENT_INVALID, f"attempt {stored.attempt}")]


def test_an_attempt_of_one_event_is_judged_by_it(held: Any, said: Said) -> None:
    stored = refitted(held.ended(End.BLOCKED), lambda told: {} if told.signal is Signal.TRIGGER_RECEIVED else None)
    found = checked(stored, said)
    assert (FlawCode.ROW_DIFFERS, f"attempt {stored.attempt}") in found
    assert (FlawCode.EVENT_INVALID, f"attempt {stored.attempt}") not in found


def through(other: State) -> Callable[[Event], dict[str, Any] | None]:
    """The same walk, by way of another state than GATED."""

    def change(told: Event) -> dict[str, Any] | None:
        if told.to_state is State.GATED:
            return {"to_state": other}
        return {"from_state": other} if told.from_state is State.GATED else {}

    return change


@pytest.mark.parametrize(
    ("end", "change"),
    [
        (End.BLOCKED, through(State.RUNNING)),
        (End.APPLIED, without(Signal.ATTEMPT_COMPLETED)),
        (End.APPLIED, lambda told: None if told.to_state is State.GATED else {}),
        (End.APPLIED, lambda told: None if told.to_state is State.SUCCEEDED and told.from_state else {}),
        (End.APPLIED, lambda told: {"from_state": State.RUNNING} if told.to_state is State.GATED else {}),
        (End.APPLIED, lambda told: {"to_state": None} if told.to_state is State.GATED else {}),
        (End.BLOCKED, lambda told: {"to_state": State.PAUSED} if told.to_state is State.GATED else {}),
        (End.BLOCKED, on(Signal.APPROVAL_BOUND, signal=Signal.ATTEMPT_COMPLETED)),
        (End.PAUSED, on(Signal.APPROVAL_BOUND, signal=Signal.ATTEMPT_COMPLETED)),
    ],
)
def test_a_walk_that_leaves_the_edges_or_goes_on_after_its_end_is_illegal(
    held: Any, said: Said, end: End, change: Callable[[Event], dict[str, Any] | None]
) -> None:
    stored = refitted(held.ended(end), change)
    assert (FlawCode.TRANSITION_ILLEGAL, f"attempt {stored.attempt}") in checked(stored, said)


def test_an_event_twice_after_the_end_is_illegal(held: Any, said: Said) -> None:
    stored = held.ended(End.BLOCKED)
    head, last = stored.events[-1].hash, Event.model_validate_json(stored.events[-1].body)
    again = Link.after(head, last.model_copy(update={"seq": last.seq + 1}))
    twice = replace(stored, events=(*stored.events, StoredEvent(last.seq + 1, again.body.decode(), again.hash)))
    assert (FlawCode.TRANSITION_ILLEGAL, f"attempt {stored.attempt}") in checked(twice, said)


def test_what_no_event_tells_is_the_rows_alone(held: Any, said: Said) -> None:
    stored = refitted(held.ended(End.BLOCKED), without(Signal.APPROVAL_BOUND))
    assert stored.columns["approval"] is not None
    assert checked(stored, said) == []


@pytest.mark.parametrize(
    ("end", "change", "kept"),
    [
        (End.BLOCKED, without(Signal.PROPOSAL_BOUND), True),
        (End.BLOCKED, on(Signal.PROPOSAL_BOUND, proposal=None, proposal_state=ProposalState.UNKNOWN), True),
        (End.BLOCKED, on(Signal.PROPOSAL_BOUND, proposal=None, proposal_state=ProposalState.CURRENT), False),
        (None, without(Signal.PROPOSAL_BOUND), False),
    ],
    ids=["not looked for", "not found", "found", "intended"],
)
def test_a_trigger_that_names_one_proposal_and_anothers_bytes_gets_no_further(
    held: Any, said: Said, end: End | None, change: Callable[[Event], dict[str, Any] | None], kept: bool
) -> None:
    stored = row(refitted(held.ended(end), change), proposal=ProposalId.random())
    assert checked(stored, said) == ([] if kept else [(FlawCode.ROW_DIFFERS, f"attempt {stored.attempt}")])


def test_an_intent_that_only_the_row_or_only_the_events_know_differs(held: Any, said: Said) -> None:
    for stored in (held.ended(End.APPLIED), held.ended(None)):
        unsaid = refitted(stored, without(Signal.INTENT_RECORDED))
        assert (FlawCode.ROW_DIFFERS, f"attempt {stored.attempt}") in checked(unsaid, said)
    stored = held.ended(End.BLOCKED)
    for columns in ({"deadline": LATER.isoformat()}, {"owner": "own_x"}, {"deadline": "x", "owner": "own_x"}):
        assert (FlawCode.ROW_DIFFERS, f"attempt {stored.attempt}") in checked(row(stored, **columns), said)


def test_an_intent_on_a_proposal_that_nobody_recorded_differs(held: Any, said: Said) -> None:
    bare = Said(approvals=said.approvals, resolutions=said.resolutions, observations=said.observations)
    for stored in held.found:
        found = checked(stored, bare)
        dispatched = stored.columns["deadline"] is not None
        assert found == ([(FlawCode.ROW_DIFFERS, f"attempt {stored.attempt}")] if dispatched else [])


def test_a_resolution_of_another_end_or_of_an_attempt_that_did_not_end_is_invalid(held: Any, said: Said) -> None:
    resolution = said.resolutions[held.resolved.attempt]
    for stored in (held.ended(End.UNKNOWN), held.ended(None)):
        for change in ({"closing_hash": "0" * 64}, {"closing_hash": stored.events[-1].hash}):
            known = {stored.attempt: resolution.model_copy(update={"attempt": stored.attempt, **change})}
            found = checked(stored, replace_said(said, known))
            right = stored is held.ended(End.UNKNOWN) and change["closing_hash"] == stored.events[-1].hash
            assert found == ([] if right else [(FlawCode.RECORD_INVALID, f"attempt {stored.attempt}")])
    stored = held.resolved
    elsewhere = resolution.model_copy(update={"practice": "prc_" + "0" * 32})
    assert checked(stored, replace_said(said, {stored.attempt: elsewhere})) == [
        (FlawCode.RECORD_INVALID, f"attempt {stored.attempt}")
    ]
