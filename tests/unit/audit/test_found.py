"""Each contradiction is found where it is and named for what it is: the journal in memory, one thing in it changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.audit import FlawCode, checkpoint, verify_archive
from gateway.audit._attempts import check_attempt
from gateway.audit._records import Said, check_chain
from gateway.audit.checkpoint import chains, draw, read, write
from gateway.audit.report import Findings, place
from gateway.contracts.chain import GENESIS, Link, Record, RecordKind
from gateway.contracts.failures import Code
from gateway.contracts.outcome import ObservationRecord, Outcome
from gateway.contracts.proposal import Proposal
from gateway.contracts.references import AttemptId, PersonId, ProposalId, StatementId, TriggerId
from gateway.contracts.signals import Event, ProposalState, Signal
from gateway.contracts.statements import Finding
from gateway.contracts.words import End, Environment, State
from gateway.errors import AuditTampered, MalformedInput
from gateway.journal import StoredAttempt, StoredEvent, StoredRecord
from gateway.journal._sqlite_archive import open_archive
from gateway.surfaces.sign import sign

LATER = datetime(2030, 1, 7, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="session")
def said(held: Any, told: Any) -> Said:
    known = Said()
    for _, chain in chains(held.records()):
        check_chain(chain, told.keyring, known, Findings())
    return known


def flaws(archive: Any, world: Any, *kept: str) -> list[tuple[FlawCode, str]]:
    return [(flaw.code, flaw.where) for flaw in verify_archive(archive, kept, world.keyring).flaws]


def checked(stored: StoredAttempt, said: Said) -> list[tuple[FlawCode, str]]:
    findings = Findings()
    check_attempt(stored, said, findings)
    return [(flaw.code, flaw.where) for flaw in findings.report().flaws]


def row(stored: StoredAttempt, **columns: Any) -> StoredAttempt:
    return replace(stored, columns={**stored.columns, **columns})


def event(stored: StoredAttempt, number: int, **changes: Any) -> StoredAttempt:
    events = list(stored.events)
    events[number - 1] = replace(events[number - 1], **changes)
    return replace(stored, events=tuple(events))


def refitted(stored: StoredAttempt, change: Callable[[Event], dict[str, Any] | None]) -> StoredAttempt:
    """The chain with changed events (None drops one), its numbers, hashes, head and closing hash fitted again."""
    head, links = GENESIS, list[Link]()
    for old in stored.events:
        told = Event.model_validate_json(old.body)
        update = change(told)
        if update is not None:
            links.append(Link.after(head, told.model_copy(update={**update, "seq": len(links) + 1})))
            head = links[-1].hash
    events = tuple(StoredEvent(link.event.seq, link.body.decode(), link.hash) for link in links)
    columns: dict[str, Any] = {"seq": len(links), "head": head}
    if stored.columns["outcome"] is not None:
        outcome = Outcome.model_validate_json(str(stored.columns["outcome"]))
        closing = head if outcome.closing_hash is not None else None
        columns["outcome"] = outcome.model_copy(update={"closing_hash": closing}).canonical().decode()
    return replace(row(stored, **columns), events=events)


def on(at: Signal, /, **update: Any) -> Callable[[Event], dict[str, Any] | None]:
    return lambda told: update if told.signal is at else {}


def without(signal: Signal) -> Callable[[Event], dict[str, Any] | None]:
    return lambda told: None if told.signal is signal else {}


# -- attempts -------------------------------------------------------------------------------------------


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


def test_a_text_that_is_no_utf_8_breaks_what_it_is_in(held: Any, told: Any, said: Said) -> None:
    stored = held.ended(End.APPLIED)
    assert checked(event(stored, 3, body='{"a":"\udcff"}'), said) == [
        (FlawCode.CHAIN_BROKEN, f"event {stored.attempt} 3"),
        (FlawCode.EVENT_INVALID, f"event {stored.attempt} 3"),
    ]
    text = str(stored.columns["outcome"]).replace("COMMITTED", "COMMITTE\udcff")
    assert checked(row(stored, outcome=text), said) == [(FlawCode.OUTCOME_DIFFERS, f"attempt {stored.attempt}")]
    chain = chain_of(held, RecordKind.STOP)
    proposal, last = chain[0].proposal, len(chain)
    for unread in ({"body": "\udcff"}, {"kind": "another"}):
        assert spoken(with_record(chain, last, **unread), told)[0] == (
            FlawCode.CHAIN_BROKEN,
            f"record {proposal} {last}",
        )


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


@pytest.mark.requirement("IDEM-04")
def test_an_attempt_key_is_kept_exactly_where_the_approval_is_spent(held: Any, said: Said) -> None:
    """And is the one of its proposal and approval: a freed or altered key would let a spent approval dispatch again."""
    for stored in held.found:
        kept = stored.columns["attempt_key"] is not None
        for other in (None, "0" * 64) if kept else ("0" * 64,):
            assert checked(row(stored, attempt_key=other), said) == [
                (FlawCode.RESERVATION_DIFFERS, f"attempt {stored.attempt}")
            ]


async def test_an_approval_that_was_left_usable_after_the_intent_keeps_no_key(world: Any) -> None:
    journal = world.open()
    await world.attempt(journal, await world.propose(journal), End.NOT_DISPATCHED, Code.AUDIT_UNAVAILABLE)
    await journal.aclose()
    with open_archive(world.path) as archive:
        assert flaws(archive, world) == []
        *_, stored = archive.attempts()
    assert (stored.columns["deadline"] is None, stored.columns["attempt_key"]) == (False, None)


@pytest.mark.requirement("IDEM-01")
@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("change", ["freed", "renamed", "another's"])
def test_an_attempt_keeps_the_trigger_that_it_used_up(held: Any, said: Said, change: str, archived: bool) -> None:
    """Without a checkpoint, too, since a freed trigger would be carried out again."""
    stored = held.ended(End.APPLIED)
    if archived:
        stored = replace(row(stored, volume=1), events=())
    [(own, text)] = stored.triggers
    used = {"freed": (), "renamed": ((TriggerId.random(), text),), "another's": ((own, text), ("trg", text))}[change]
    found = checked(replace(stored, triggers=used), said)
    # How many answers there were to its pauses, only its events tell.
    unseen = change == "another's" and archived
    assert found == ([] if unseen else [(FlawCode.RESERVATION_DIFFERS, f"attempt {stored.attempt}")])


def test_each_answer_to_a_pause_has_used_up_a_trigger(held: Any, said: Said) -> None:
    stored = held.ended(End.BLOCKED)
    answered = refitted(stored, on(Signal.APPROVAL_BOUND, signal=Signal.DECISION_ANSWERED))
    missing = (FlawCode.RESERVATION_DIFFERS, f"attempt {stored.attempt}")
    assert missing in checked(answered, said)
    answer = (TriggerId.random(), "0" * 64)
    assert missing not in checked(replace(answered, triggers=(*stored.triggers, answer)), said)


def test_a_trigger_that_collided_is_anothers(held: Any, said: Said) -> None:
    """Its id is in the events of two attempts; the one that used it up keeps it."""
    stored = row(held.ended(End.BLOCKED), code="IDEMPOTENCY_COLLISION")
    flaw = (FlawCode.RESERVATION_DIFFERS, f"attempt {stored.attempt}")
    assert flaw in checked(stored, said)
    assert flaw not in checked(replace(stored, triggers=()), said)


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


def replace_said(said: Said, resolutions: dict[str, Any]) -> Said:
    return Said(
        approvals=said.approvals, revisions=said.revisions, observations=said.observations, resolutions=resolutions
    )


# -- records --------------------------------------------------------------------------------------------


def chain_of(held: Any, kind: RecordKind) -> tuple[StoredRecord, ...]:
    """The records of a proposal of which something of this kind was said."""
    wanted = next(record.proposal for record in held.told if record.kind == kind)
    return tuple(record for record in held.told if record.proposal == wanted)


def spoken(chain: tuple[StoredRecord, ...], world: Any) -> list[tuple[FlawCode, str]]:
    findings = Findings()
    check_chain(chain, world.keyring, Said(), findings)
    assert findings.records == len(chain)
    return [(flaw.code, flaw.where) for flaw in findings.report().flaws]


def with_record(chain: tuple[StoredRecord, ...], number: int, **changes: Any) -> tuple[StoredRecord, ...]:
    changed = replace(chain[number - 1], **changes)
    return (*chain[: number - 1], changed, *chain[number:])


def resaid(chain: tuple[StoredRecord, ...]) -> tuple[StoredRecord, ...]:
    """Numbers, positions and hashes fitted again by a forger who knows the format."""
    head, fitted = GENESIS, list[StoredRecord]()
    for number, record in enumerate(chain, start=1):
        head = Record.after(head, number, RecordKind(record.kind), record.reference, record.body).hash
        fitted.append(replace(record, seq=number, position=number, hash=head))
    return tuple(fitted)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"seq": 9}, FlawCode.CHAIN_BROKEN),
        ({"hash": "0" * 64}, FlawCode.CHAIN_BROKEN),
        ({"position": 0}, FlawCode.POSITION_GAP),
        ({"attempt": "att_x"}, FlawCode.RECORD_INVALID),
        ({"finding": "ABSENT"}, FlawCode.RECORD_INVALID),
        ({"practice": "prc_x"}, FlawCode.RECORD_INVALID),
        ({"proposal": "prp_x"}, FlawCode.RECORD_INVALID),
        ({"reference": "x"}, FlawCode.RECORD_INVALID),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", RecordKind)
def test_a_record_that_differs_from_what_it_says_is_found_there(
    held: Any, told: Any, kind: RecordKind, changes: dict[str, Any], code: FlawCode
) -> None:
    chain = chain_of(held, kind)
    number = next(number for number, record in enumerate(chain, start=1) if record.kind == kind)
    if kind in (RecordKind.OBSERVATION, RecordKind.RESOLUTION) and "proposal" in changes:
        return  # these name their attempt; that it is the proposal's is checked with the attempt
    if kind is RecordKind.OBSERVATION and "practice" in changes:
        return
    found = spoken(with_record(chain, number, **changes), told)
    named = place("record", changes.get("proposal", chain[0].proposal), number)
    assert (code, named) in found


def test_a_body_that_nobody_signed_is_found_there(held: Any, told: Any) -> None:
    chain = chain_of(held, RecordKind.STOP)
    for number, record in enumerate(chain, start=1):
        forged = resaid(with_record(chain, number, body=record.body[:-8] + "AAAAAAAA"))
        code = FlawCode.RECORD_INVALID if record.kind == RecordKind.PROPOSAL else FlawCode.SIGNATURE_INVALID
        assert (code, f"record {record.proposal} {number}") in spoken(forged, told)


def test_a_body_that_is_no_proposal_is_found_there_and_does_not_count_as_a_revision(held: Any, told: Any) -> None:
    chain = chain_of(held, RecordKind.STOP)
    forged = resaid((replace(chain[0], body="{}"), *chain))
    assert spoken(forged, told) == [(FlawCode.RECORD_INVALID, f"record {chain[0].proposal} 1")]


def test_a_chain_must_begin_with_a_proposal_and_number_its_revisions_upwards(held: Any, told: Any) -> None:
    chain = chain_of(held, RecordKind.STOP)
    proposal = chain[0].proposal
    assert spoken(resaid(chain), told) == []
    assert spoken(resaid(chain[1:]), told) == [(FlawCode.RECORD_INVALID, f"record {proposal} 1")]
    assert spoken(resaid((*chain, chain[0])), told) == [
        (FlawCode.RECORD_INVALID, f"record {proposal} {len(chain) + 1}")
    ]
    second = Proposal.parse(chain[0].body).model_copy(update={"revision": 2})
    revised = replace(chain[0], body=second.canonical().decode(), reference=second.proposal_digest)
    assert spoken(resaid((*chain, revised)), told) == []
    assert spoken(resaid((revised, *chain[1:], chain[0])), told) == [
        (FlawCode.RECORD_INVALID, f"record {proposal} {len(chain) + 1}")
    ]


def test_a_resolution_relies_only_on_an_observation_that_is_recorded(held: Any, told: Any) -> None:
    chain = chain_of(held, RecordKind.RESOLUTION)
    assert spoken(resaid(chain), told) == []
    blind = tuple(record for record in chain if record.kind != RecordKind.OBSERVATION)
    assert spoken(resaid(blind), told) == [(FlawCode.RECORD_INVALID, f"record {chain[0].proposal} {len(blind)}")]


def test_what_an_observation_says_of_another_attempt_is_found_there(held: Any, told: Any) -> None:
    chain = chain_of(held, RecordKind.OBSERVATION)
    number = next(n for n, record in enumerate(chain, start=1) if record.kind == RecordKind.OBSERVATION)
    seen = ObservationRecord.parse(chain[number - 1].body)
    other = seen.model_copy(update={"attempt": AttemptId.random()})
    forged = resaid(with_record(chain, number, body=other.canonical().decode()))
    assert spoken(forged, told) == [(FlawCode.RECORD_INVALID, f"record {chain[0].proposal} {number}")]


# -- the whole, and its checkpoints ---------------------------------------------------------------------


def test_damage_is_told_once_whatever_it_is(held: Any, told: Any) -> None:
    assert flaws(replace(held, broken=("a page", "an index")), told) == [(FlawCode.UNREADABLE, "journal")]


def test_rows_that_are_gone_leave_a_gap_in_their_numbers(held: Any, told: Any) -> None:
    paused = held.ended(End.PAUSED)
    found = flaws(replace(held, found=tuple(one for one in held.found if one is not paused)), told)
    assert found == [(FlawCode.POSITION_GAP, "attempt")]
    first = held.ended(End.APPLIED)
    assert flaws(held.changed(first, row(first, position=None)), told) == [(FlawCode.POSITION_GAP, "attempt")]
    stop = next(record for record in held.told if record.kind == RecordKind.WITHDRAWAL)
    assert flaws(held.said(stop), told) == [(FlawCode.POSITION_GAP, "record")]


def test_a_reservation_too_many_or_too_few_is_found(held: Any, told: Any) -> None:
    hold, sibling = held.holding[0], held.reserving[0]
    assert flaws(replace(held, holding=held.holding[1:]), told) == [(FlawCode.RESERVATION_DIFFERS, f"hold {hold[2]}")]
    refused = held.ended(End.REFUSED)
    extra = (str(refused.columns["practice"]), str(refused.columns["proposal"]), refused.attempt)
    assert flaws(replace(held, holding=(*held.holding, extra)), told) == [
        (FlawCode.RESERVATION_DIFFERS, f"hold {refused.attempt}")
    ]
    assert flaws(replace(held, reserving=held.reserving[1:]), told) == [
        (FlawCode.RESERVATION_DIFFERS, f"siblings {sibling[1]}")
    ]
    assert flaws(replace(held, reserving=(*held.reserving, ("0" * 64, refused.attempt))), told) == [
        (FlawCode.RESERVATION_DIFFERS, f"siblings {refused.attempt}")
    ]


def test_what_is_held_follows_from_what_is_known(held: Any) -> None:
    holding = {attempt for _, _, attempt in held.holding}
    reserving = {attempt for _, attempt in held.reserving}
    unknown, in_flight = held.ended(End.UNKNOWN).attempt, held.ended(None).attempt
    assert holding == {held.ended(End.APPLIED).attempt, unknown, held.resolved.attempt, in_flight}
    assert reserving == {unknown, in_flight}


def test_only_an_unknown_effect_is_freed_by_its_resolution(held: Any, said: Said) -> None:
    found = said.resolutions[held.resolved.attempt].model_copy(update={"finding": Finding.ABSENT})
    for stored, free in ((held.ended(End.APPLIED), False), (held.ended(End.UNKNOWN), True)):
        reserved = check_attempt(stored, replace_said(said, {stored.attempt: found}), Findings())
        assert (reserved.hold is None) is free


def test_an_attempt_without_siblings_reserves_none(held: Any, said: Said) -> None:
    assert check_attempt(row(held.ended(None), siblings=None), said, Findings()).siblings == frozenset()


def test_a_resolution_or_an_observation_of_an_attempt_that_is_gone_is_found(held: Any, told: Any) -> None:
    gone = held.resolved
    found = flaws(replace(held, found=tuple(one for one in held.found if one is not gone)), told)
    assert (FlawCode.RECORD_INVALID, f"attempt {gone.attempt}") in found


def test_a_checkpoint_finds_what_is_gone_shortened_or_changed(held: Any, world: Any) -> None:
    kept = world.checkpoint()
    applied, withdrawal = held.ended(End.APPLIED), next(r for r in held.told if r.kind == RecordKind.WITHDRAWAL)
    assert flaws(held, world, kept) == []
    gone = replace(held, found=tuple(one for one in held.found if one is not applied))
    assert (FlawCode.COVERED_MISSING, f"attempt {applied.attempt}") in flaws(gone, world, kept)
    shortened = replace(applied, events=applied.events[:-1])
    found = flaws(held.changed(applied, shortened), world, kept)
    assert (FlawCode.COVERED_SHORTENED, f"attempt {applied.attempt}") in found
    assert (FlawCode.COVERED_DIFFERS, f"attempt {applied.attempt}") not in found
    for changed in (row(applied, owner="own_x"), replace(applied, triggers=((applied.triggers[0][0], "0" * 64),))):
        assert flaws(held.changed(applied, changed), world, kept) == [
            (FlawCode.COVERED_DIFFERS, f"attempt {applied.attempt}")
        ]
    refit = refitted(applied, on(Signal.TRIGGER_RECEIVED, at=LATER))
    assert (FlawCode.COVERED_DIFFERS, f"attempt {applied.attempt}") in flaws(held.changed(applied, refit), world, kept)
    proposal = withdrawal.proposal
    assert (FlawCode.COVERED_SHORTENED, f"proposal {proposal}") in flaws(held.said(withdrawal), world, kept)
    silent = replace(held, told=tuple(record for record in held.told if record.proposal != proposal))
    assert (FlawCode.COVERED_MISSING, f"proposal {proposal}") in flaws(silent, world, kept)
    moved = held.said(withdrawal, replace(withdrawal, position=withdrawal.position + 100))
    assert (FlawCode.COVERED_DIFFERS, f"proposal {proposal}") in flaws(moved, world, kept)


def test_an_attempt_that_went_on_since_is_covered_as_far_as_it_was(held: Any, world: Any) -> None:
    """Its row has gone on, too; its chain must still hold what it held."""
    kept, stored = world.checkpoint(), held.ended(None)
    head = stored.events[-1].hash
    told = Event.model_validate_json(stored.events[-1].body)
    more = Link.after(head, told.model_copy(update={"seq": told.seq + 1, "from_state": State.AUDITING}))
    longer = replace(
        row(stored, seq=more.event.seq, head=more.hash),
        events=(*stored.events, StoredEvent(more.event.seq, more.body.decode(), more.hash)),
    )
    assert (FlawCode.COVERED_DIFFERS, f"attempt {stored.attempt}") not in flaws(
        held.changed(stored, longer), world, kept
    )
    refit = refitted(longer, on(Signal.TRIGGER_RECEIVED, at=LATER))
    assert (FlawCode.COVERED_DIFFERS, f"attempt {stored.attempt}") in flaws(held.changed(stored, refit), world, kept)


def test_a_checkpoint_of_another_journal_differs(held: Any, world: Any) -> None:
    kept = world.checkpoint()
    for name in held.meta:
        other = replace(held, meta={**held.meta, name: "jnl_" + "0" * 32})
        assert flaws(other, world, kept) == [(FlawCode.COVERED_DIFFERS, "checkpoint 1")]


def test_checkpoints_are_counted_and_named_by_their_place(held: Any, world: Any) -> None:
    first = world.checkpoint()
    second = world.checkpoint(first)
    report = verify_archive(held, [second, "nothing", first], world.keyring)
    assert [(flaw.code, flaw.where) for flaw in report.flaws] == [(FlawCode.CHECKPOINT_INVALID, "checkpoint 2")]
    assert (report.checkpoints, report.covered) == (2, 14)


def test_two_lines_of_checkpoints_are_a_fork(held: Any, world: Any) -> None:
    first = world.checkpoint()
    with_other_instant = sign(world.sealed(first).checkpoint.model_copy(update={"issued_at": LATER}), world.key)
    twin = write(with_other_instant, world.sealed(first).heads)
    assert flaws(held, world, first, twin) == [(FlawCode.CHECKPOINT_INVALID, "checkpoint 1")]
    assert flaws(held, world, world.checkpoint(first), twin) == [(FlawCode.CHECKPOINT_INVALID, "checkpoint 2")]


def test_a_checkpoint_counts_and_numbers_what_it_lists(held: Any, world: Any) -> None:
    statement, heads = draw(held, world.practice, LATER)
    assert (statement.number, statement.previous, statement.issued_at) == (1, GENESIS, LATER)
    assert (statement.attempts, statement.proposals) == (7, 7) == (len(heads.attempts), len(heads.proposals))
    first = held.ended(End.APPLIED)
    assert heads.attempts[AttemptId(first.attempt)][:2] == (len(first.events), first.events[-1].hash)
    sealed = world.sealed(write(sign(statement, world.key), heads))
    following, _ = draw(held, world.practice, LATER, sealed)
    assert (following.number, following.previous) == (2, sealed.digest)


@pytest.mark.parametrize("count", ["attempts", "proposals"])
def test_a_checkpoint_that_counts_wrongly_is_refused(held: Any, world: Any, count: str) -> None:
    statement, heads = draw(held, world.practice, LATER)
    wrong = statement.model_copy(update={count: 3})
    with pytest.raises(MalformedInput):
        read(write(sign(wrong, world.key), heads), world.keyring)


def test_a_list_with_a_name_twice_is_refused(held: Any, world: Any) -> None:
    token, listed, _ = world.checkpoint().split("\n")
    twice = listed.replace('{"attempts":{', '{"attempts":{},"attempts":{', 1)
    with pytest.raises(MalformedInput):
        read(f"{token}\n{twice}\n", world.keyring)


def test_a_list_is_read_to_its_greatest_length(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = world.checkpoint()
    _, _, listed = text.partition("\n")
    monkeypatch.setattr(checkpoint, "MAX_HEADS_BYTES", len(listed))
    assert read(text, world.keyring).heads.attempts
    monkeypatch.setattr(checkpoint, "MAX_HEADS_BYTES", len(listed) - 1)
    with pytest.raises(MalformedInput, match="over"):
        read(text, world.keyring)


def test_records_are_grouped_by_proposal_even_where_there_is_one_of_each(held: Any) -> None:
    alone = [record for record in held.told if record.kind == RecordKind.PROPOSAL]
    assert [(name, list(chain)) for name, chain in chains(alone)] == [
        (f"{record.practice}/{record.proposal}", [record]) for record in alone
    ]


@pytest.mark.parametrize("missing", ["journal", "events"])
def test_a_journal_that_cannot_be_read_as_one_is_not_vouched_for(held: Any, world: Any, missing: str) -> None:
    bare = held.ended(End.BLOCKED)
    broken = {
        "journal": replace(held, meta={}),
        "events": held.changed(bare, replace(bare, events=())),
    }[missing]
    with pytest.raises(AuditTampered):
        draw(broken, world.practice, LATER)


def test_places_repeat_references_and_nothing_else() -> None:
    reference = StatementId.random()
    assert place("record", reference, 3) == f"record {reference} 3"
    assert place("record", "Jane Canary", None, PersonId.random()[:-1]) == "record ? ? ?"
    assert place("journal") == "journal"
