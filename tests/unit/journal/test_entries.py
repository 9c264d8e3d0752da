"""What both databases agree on, without one: which entries are coherent, and how rows become files again."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.contracts.adapter import Basis
from gateway.contracts.chain import GENESIS, Record, RecordKind
from gateway.contracts.outcome import ObservationRecord
from gateway.contracts.references import AttemptId, ObservationId, OwnerId, PracticeId, ProposalId, TriggerId
from gateway.contracts.signals import Signal
from gateway.contracts.statements import Finding, Purpose
from gateway.contracts.words import Actor, Effect, End, Hold, Next, ObservationFinding, State
from gateway.errors import Conflict, InvariantViolation
from gateway.journal import AttemptFile, Header
from gateway.journal._entries import (
    Statement,
    attempt_file,
    check,
    header_of,
    proposal_file,
    records_of,
    row_of,
    trigger_key,
)

SIBLINGS = ("b" * 64, "a" * 64)
AT = datetime(2030, 1, 7, 9, 5, tzinfo=UTC)
LOOKED_AT = AttemptId.random()


@pytest.fixture
def case(tell: Any) -> Any:
    return replace(tell.case(), siblings=SIBLINGS)


@pytest.fixture
def intent(tell: Any, case: Any) -> Any:
    return tell.intended(case.header(), case=case)


def event_rows(entry: Any) -> list[dict[str, Any]]:
    return [{"body": link.body.decode(), "hash": link.hash} for link in entry.attempt.pending]


# -- rows -----------------------------------------------------------------------------------------------


def test_an_intents_row_says_everything_that_the_entry_says(intent: Any) -> None:
    header, attempt = intent.header, intent.attempt
    assert row_of(intent) == {
        "attempt": attempt.identity.attempt,
        "state": State.AUDITING,
        "seq": attempt.seq,
        "stored": 0,
        "head": attempt.head,
        "attempt_key": intent.intent.attempt_key,
        "siblings": "a" * 64 + " " + "b" * 64,
        "deadline": intent.intent.deadline.isoformat(),
        "effect": None,
        "code": None,
        "outcome": None,
        "purpose": Purpose.COMMIT,
        "trigger_id": header.trigger,
        "practice": header.practice,
        "proposal": header.proposal,
        "proposal_digest": header.proposal_digest,
        "connection": header.connection,
        "operation": header.operation,
        "approval": header.approval,
        "release": False,
    }


@pytest.mark.parametrize(
    ("end", "release"),
    [(End.APPLIED, False), (End.REFUSED, False), (End.NOT_DISPATCHED, True), (End.STOPPED, True), (End.UNKNOWN, False)],
)
def test_a_closing_row_holds_the_outcome_with_its_closing_hash(tell: Any, intent: Any, end: End, release: bool) -> None:
    entry = tell.ended(intent, end)
    row = row_of(entry)
    outcome = entry.outcome
    assert outcome.closing_hash == entry.attempt.head
    assert (row["attempt_key"], row["siblings"], row["deadline"]) == (None, None, None)
    assert (row["effect"], row["code"]) == (outcome.effect, outcome.code)
    assert row["outcome"] == outcome.canonical().decode()
    assert (row["stored"], row["seq"]) == (intent.attempt.seq, entry.attempt.seq)
    assert row["release"] is release


def test_a_pause_has_no_closing_hash(tell: Any, case: Any) -> None:
    header = case.header()
    pause = tell.concluded(tell.gated(header), header, End.PAUSED)
    assert pause.outcome.closing_hash is None
    assert row_of(pause)["release"] is False


def test_an_attempt_is_read_back_as_it_was_written(intent: Any) -> None:
    owner = OwnerId.random()
    row = row_of(intent) | {"owner": owner, "volume": None}
    digest = intent.header.trigger_digest
    assert attempt_file(row, digest, event_rows(intent), None, None, None) == AttemptFile(
        attempt=intent.attempt.identity.attempt,
        header=intent.header,
        state=State.AUDITING,
        links=intent.attempt.pending,
        outcome=None,
        owner=owner,
        deadline=intent.intent.deadline,
        resolution=None,
    )


def test_an_archived_attempt_is_read_back_without_its_events(tell: Any, intent: Any) -> None:
    entry = tell.ended(intent, End.APPLIED)
    row = row_of(entry) | {"owner": None, "volume": 3}
    file = attempt_file(row, None, [], None, None, AT.isoformat())
    assert (file.links, file.volume, file.ended_before, file.ended_by) == ((), 3, AT, AT)
    assert (file.outcome, file.owner, file.deadline) == (entry.outcome, None, None)
    assert file.header == replace(intent.header, trigger_digest=None)


def test_a_header_that_says_little_is_read_back_so() -> None:
    names = ("trigger_id", "practice", "proposal", "proposal_digest", "connection", "operation", "approval")
    row = dict.fromkeys(names) | {"purpose": "observe"}
    assert header_of(row, None) == Header(purpose=Purpose.OBSERVE)


@pytest.mark.parametrize(
    ("end", "finding", "next_", "actor"),
    [
        (End.UNKNOWN, Finding.ABSENT, Next.NEW_APPROVAL, Actor.REVIEWER),
        (End.UNKNOWN, Finding.APPLIED, Next.NONE, Actor.NOBODY),
        (End.UNKNOWN, Finding.HANDLED_BY_HAND, Next.NONE, Actor.NOBODY),
        (End.APPLIED_UNAUDITED, Finding.APPLIED, None, None),
    ],
)
@pytest.mark.parametrize("looked", [True, False])
def test_what_was_found_out_later_stands_beside_the_outcome(
    tell: Any, intent: Any, end: End, finding: Finding, next_: Next | None, actor: Actor | None, looked: bool
) -> None:
    entry = tell.ended(intent, end)
    seen = ObservationRecord(
        observation_id=ObservationId.random(),
        attempt=entry.attempt.identity.attempt,
        closing_hash=entry.attempt.head,
        finding=ObservationFinding.PRESENT,
        basis=Basis.BY_KEY,
        at=AT,
    )
    row = row_of(entry) | {"owner": None, "volume": None}
    file = attempt_file(row, None, [], finding, seen.canonical().decode() if looked else None, None)
    stored = entry.outcome
    assert stored is not None
    assert file.resolution is finding
    assert file.outcome == stored.model_copy(
        update={
            "resolution": finding,
            "observation": seen.observed if looked else None,
            "next": next_ or stored.next,
            "actor": actor or stored.actor,
        }
    )


# -- records --------------------------------------------------------------------------------------------


def record_rows(case: Any, *kinds: RecordKind) -> list[dict[str, Any]]:
    """Records of these kinds in a chain; each proposal is the next revision."""
    rows, head, revision = list[dict[str, Any]](), GENESIS, 0
    for number, kind in enumerate(kinds, start=1):
        revision += kind is RecordKind.PROPOSAL
        proposal = case.proposal(max(revision, 1))
        whole = kind is RecordKind.PROPOSAL
        reference, body = (proposal.proposal_digest, proposal.canonical().decode()) if whole else (f"r{number}", "b")
        head = Record.after(head, number, kind, reference, body).hash
        rows.append({"seq": number, "kind": str(kind), "reference": reference, "body": body, "hash": head})
    return rows


def test_records_are_chained_from_the_beginning(case: Any) -> None:
    rows = record_rows(case, RecordKind.PROPOSAL, RecordKind.STOP)
    first, second = records_of(rows)
    assert first == Record(1, RecordKind.PROPOSAL, rows[0]["reference"], rows[0]["body"], GENESIS, rows[0]["hash"])
    assert second == Record(2, RecordKind.STOP, "r2", "b", rows[0]["hash"], rows[1]["hash"])


@pytest.mark.parametrize(
    ("kinds", "stopped", "withdrawn", "revision"),
    [
        ([RecordKind.PROPOSAL], False, False, 1),
        ([RecordKind.PROPOSAL, RecordKind.STOP], True, False, 1),
        ([RecordKind.PROPOSAL, RecordKind.WITHDRAWAL], False, True, 1),
        ([RecordKind.PROPOSAL, RecordKind.STOP, RecordKind.PROPOSAL], False, False, 2),
        ([RecordKind.PROPOSAL, RecordKind.WITHDRAWAL, RecordKind.PROPOSAL, RecordKind.STOP], True, False, 2),
    ],
)
def test_what_was_said_counts_against_the_latest_revision(
    case: Any, kinds: list[RecordKind], stopped: bool, withdrawn: bool, revision: int
) -> None:
    file = proposal_file(record_rows(case, *kinds), None, None, None)
    assert (file.stopped, file.withdrawn, file.proposal) == (stopped, withdrawn, case.proposal(revision))
    assert (file.held_by, file.hold_effect, file.hold_resolution) == (None, None, None)
    assert len(file.records) == len(kinds)


def test_who_holds_a_proposal_is_read_with_effect_and_resolution(case: Any) -> None:
    attempt = AttemptId.random()
    file = proposal_file(record_rows(case, RecordKind.PROPOSAL), attempt, "UNKNOWN", "ABSENT")
    assert (file.held_by, file.hold_effect, file.hold_resolution) == (attempt, Effect.UNKNOWN, Finding.ABSENT)


# -- statements -----------------------------------------------------------------------------------------


def statement(case: Any, kind: RecordKind, **changes: Any) -> Statement:
    proposal = case.proposal()
    whole = kind is RecordKind.PROPOSAL
    made: dict[str, Any] = {
        "practice": case.practice,
        "proposal": case.proposal_id,
        "kind": kind,
        "reference": proposal.proposal_digest if whole else "stm_x",
        "body": proposal.canonical().decode() if whole else "signed",
        "attempt": LOOKED_AT if kind is RecordKind.OBSERVATION else None,
        "expected_head": None,
    } | changes
    return Statement.of(**made)


@pytest.mark.parametrize("kind", [kind for kind in RecordKind if kind is not RecordKind.RESOLUTION])
def test_a_statement_holds_what_was_asked_for(case: Any, kind: RecordKind) -> None:
    made = statement(case, kind, expected_head="f" * 64)
    whole = kind is RecordKind.PROPOSAL
    assert made == Statement(
        practice=case.practice,
        proposal=case.proposal_id,
        kind=kind,
        reference=case.proposal().proposal_digest if whole else "stm_x",
        body=case.proposal().canonical().decode() if whole else "signed",
        attempt=made.attempt,
        expected_head="f" * 64,
        revision=case.proposal() if whole else None,
    )
    assert made.attempt == (LOOKED_AT if kind is RecordKind.OBSERVATION else None)


def test_an_observation_names_its_attempt_and_nothing_else_does(case: Any) -> None:
    for kind in set(RecordKind) - {RecordKind.RESOLUTION}:
        wrong = None if kind is RecordKind.OBSERVATION else AttemptId.random()
        with pytest.raises(InvariantViolation, match="names its attempt"):
            statement(case, kind, attempt=wrong)
    for attempt in (None, AttemptId.random()):
        with pytest.raises(InvariantViolation, match="recorded by `resolve`"):
            statement(case, RecordKind.RESOLUTION, attempt=attempt)


def test_a_revision_is_recorded_as_itself_alone(case: Any) -> None:
    for change in ({"practice": PracticeId.random()}, {"proposal": ProposalId.random()}):
        with pytest.raises(Conflict, match="under whose reference"):
            statement(case, RecordKind.PROPOSAL, **change)
    with pytest.raises(InvariantViolation, match="its own digest"):
        statement(case, RecordKind.PROPOSAL, reference="f" * 64)


# -- coherence ------------------------------------------------------------------------------------------


def test_every_story_that_is_told_is_coherent(tell: Any, case: Any, intent: Any) -> None:
    check(intent)
    for end in (End.APPLIED, End.REFUSED, End.UNKNOWN, End.NOT_SENT, End.NOT_DISPATCHED, End.STOPPED):
        check(tell.ended(intent, end))
    header = case.header()
    for end in (End.PAUSED, End.BLOCKED):
        check(tell.concluded(tell.gated(header), header, end))
    resumed = tell.concluded(tell.gated(header), header, End.PAUSED).attempt.flushed().to(State.GATED, tell.now)
    check(tell.intended(header, attempt=resumed, case=case))


def with_header(entry: Any, **changes: Any) -> Any:
    return replace(entry, header=replace(entry.header, **changes))


def with_attempt(entry: Any, **changes: Any) -> Any:
    return replace(entry, attempt=replace(entry.attempt, **changes))


def with_outcome(entry: Any, **changes: Any) -> Any:
    return replace(entry, outcome=entry.outcome.model_copy(update=changes))


def with_link(entry: Any, number: int, **changes: Any) -> Any:
    links = list(entry.attempt.pending)
    links[number] = replace(links[number], **changes)
    return with_attempt(entry, pending=tuple(links))


CHAIN = "its events do not chain"
IDENTITY = "outcome and attempt differ in identity"
CLOSING = "a finished attempt's outcome carries the chain's last hash, and no other does"
COMPLETED = "a finished attempt ends with the AttemptCompleted that carries its outcome's digest"
RELEASE = "a hold is released on NOT_SENT or REFUSED only"
ENDING = "a finished or paused attempt, and no other, has an outcome"

INTENTS: list[tuple[str, Callable[[Any], Any]]] = [
    ("it carries no event", lambda entry: with_attempt(entry, pending=())),
    (CHAIN, lambda entry: with_attempt(entry, pending=entry.attempt.pending[1:])),
    (CHAIN, lambda entry: with_attempt(entry, pending=entry.attempt.pending[:-1])),
    (CHAIN, lambda entry: with_attempt(entry, head="f" * 64)),
    (CHAIN, lambda entry: with_attempt(entry, seq=entry.attempt.seq + 1)),
    (CHAIN, lambda entry: with_attempt(entry, stored=1)),
    (CHAIN, lambda entry: with_link(entry, 0, previous="f" * 64)),
    (CHAIN, lambda entry: with_link(entry, 2, previous="f" * 64)),
    (CHAIN, lambda entry: with_link(entry, 2, hash="f" * 64)),
    ("intent and IntentRecorded go together", lambda entry: replace(entry, intent=None)),
    ("an intent names its practice and proposal", lambda entry: with_header(entry, practice=None)),
    ("an intent names its practice and proposal", lambda entry: with_header(entry, proposal=None)),
    (RELEASE, lambda entry: replace(entry, hold=Hold.RELEASED)),
]
CLOSINGS: list[tuple[End, str, Callable[[Any], Any]]] = [
    (End.APPLIED, ENDING, lambda entry: replace(entry, outcome=None)),
    (End.PAUSED, ENDING, lambda entry: replace(entry, outcome=None)),
    (End.APPLIED, "outcome and attempt differ in state", lambda entry: with_outcome(entry, state=State.ERROR)),
    (End.PAUSED, "outcome and attempt differ in state", lambda entry: with_outcome(entry, state=State.ERROR)),
    (End.APPLIED, IDENTITY, lambda entry: with_outcome(entry, attempt=AttemptId.random())),
    (End.PAUSED, IDENTITY, lambda entry: with_outcome(entry, attempt=None)),
    (End.APPLIED, COMPLETED, lambda entry: with_outcome(entry, notice_outstanding=True)),
    (End.APPLIED, CLOSING, lambda entry: with_outcome(entry, closing_hash="f" * 64)),
    (End.APPLIED, CLOSING, lambda entry: with_outcome(entry, closing_hash=None)),
    (End.PAUSED, CLOSING, lambda entry: with_outcome(entry, closing_hash="f" * 64)),
    (End.APPLIED, RELEASE, lambda entry: replace(entry, hold=Hold.RELEASED)),
    (End.UNKNOWN, RELEASE, lambda entry: replace(entry, hold=Hold.RELEASED)),
]


def test_an_attempt_may_go_on_after_its_first_event(tell: Any, case: Any) -> None:
    header = case.header()
    check(tell.concluded(tell.fresh(header).flushed().to(State.VALIDATING, AT), header, End.BLOCKED))


@pytest.mark.parametrize(("fault", "change"), INTENTS)
def test_an_intent_that_contradicts_itself_is_refused(intent: Any, fault: str, change: Callable[[Any], Any]) -> None:
    with pytest.raises(InvariantViolation, match=f"^this append is incoherent: {re.escape(fault)}$"):
        check(change(intent))


@pytest.mark.parametrize(("end", "fault", "change"), CLOSINGS)
def test_an_end_that_contradicts_itself_is_refused(
    tell: Any, case: Any, intent: Any, end: End, fault: str, change: Callable[[Any], Any]
) -> None:
    header = case.header()
    paused = end is End.PAUSED
    entry = tell.concluded(tell.gated(header), header, end) if paused else tell.ended(intent, end)
    with pytest.raises(InvariantViolation, match=f"^this append is incoherent: {re.escape(fault)}$"):
        check(change(entry))


def test_an_outcome_of_an_attempt_that_goes_on_is_refused(tell: Any, intent: Any) -> None:
    outcome = tell.ended(intent, End.APPLIED).outcome
    with pytest.raises(InvariantViolation, match=ENDING):
        check(replace(intent, outcome=outcome))


def test_an_intent_that_no_event_announces_is_refused(tell: Any, case: Any, intent: Any) -> None:
    header = case.header()
    silent = tell.concluded(tell.gated(header), header, End.BLOCKED)
    with pytest.raises(InvariantViolation, match="go together"):
        check(replace(silent, intent=intent.intent))


def test_an_end_without_its_last_event_is_refused(tell: Any, intent: Any) -> None:
    entry = tell.ended(intent, End.APPLIED)
    links = entry.attempt.pending
    assert links[-1].event.signal is Signal.ATTEMPT_COMPLETED
    cut = with_attempt(entry, pending=links[:-1], head=links[-2].hash, seq=entry.attempt.seq - 1)
    with pytest.raises(InvariantViolation, match=re.escape(COMPLETED)):
        check(cut)


# -- keys -----------------------------------------------------------------------------------------------


def test_the_callers_key_is_the_first_appends_or_the_resumes(tell: Any, case: Any, intent: Any) -> None:
    header = intent.header
    assert trigger_key(intent) == (header.trigger, header.trigger_digest)
    assert trigger_key(tell.ended(intent, End.APPLIED)) is None
    assert trigger_key(with_header(intent, trigger=None)) is None
    assert trigger_key(with_header(intent, trigger_digest=None)) is None
    resume = (TriggerId.random(), "e" * 64)
    assert trigger_key(replace(tell.ended(intent, End.APPLIED), resume=resume)) == resume
