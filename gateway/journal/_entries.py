"""What both databases agree on: which entries are coherent, and how stored rows become the contract's files.

Owns: the checks that need no database. Refuses, as `InvariantViolation`, an append whose state, events,
intent and outcome do not say the same thing: no state is durable without its event (I6).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from gateway.contracts.chain import GENESIS, Link, Record, RecordKind
from gateway.contracts.outcome import ObservationRecord, Outcome
from gateway.contracts.proposal import Operation, Proposal
from gateway.contracts.references import (
    AttemptId,
    ConnectionId,
    DecisionId,
    OwnerId,
    PracticeId,
    ProposalId,
    TriggerId,
)
from gateway.contracts.signals import Event, Signal
from gateway.contracts.statements import Finding, Purpose
from gateway.contracts.words import Actor, ApprovalUse, Effect, Hold, Next, State
from gateway.ending import outcome_digest
from gateway.errors import Conflict, InvariantViolation
from gateway.journal import Append, AttemptFile, Header, ProposalFile

ATTEMPTS_AT_ONCE: Final = 1000
"""How many attempts archiving looks at in one look: at most some 12 MB of events, and some milliseconds."""


class Row(Protocol):
    """A stored row: columns by name (`sqlite3.Row`, or a mapping)."""

    def __getitem__(self, name: str, /) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One record to be chained. `revision` is set for a proposal."""

    practice: PracticeId
    proposal: ProposalId
    kind: RecordKind
    reference: str
    body: str
    attempt: AttemptId | None = None
    finding: Finding | None = None
    expected_head: str | None = None
    revision: Proposal | None = None

    @classmethod
    def of(
        cls,
        practice: PracticeId,
        proposal: ProposalId,
        kind: RecordKind,
        reference: str,
        body: str,
        *,
        attempt: AttemptId | None,
        expected_head: str | None,
    ) -> Statement:
        """What `Journal.record` is asked for, as far as no database is needed to check it.

        Raises `InvariantViolation`, or `Conflict` for a proposal under another's name."""
        if kind is RecordKind.RESOLUTION or (kind is RecordKind.OBSERVATION) != (attempt is not None):
            raise InvariantViolation("an observation names its attempt; a resolution is recorded by `resolve`")
        revision = Proposal.parse(body) if kind is RecordKind.PROPOSAL else None
        if revision is not None and (revision.practice, revision.proposal_id) != (practice, proposal):
            raise Conflict("the proposal is not the one under whose reference it is recorded")
        if revision is not None and reference != revision.proposal_digest:
            raise InvariantViolation("a revision is recorded under its own digest")
        return cls(
            practice=practice,
            proposal=proposal,
            kind=kind,
            reference=reference,
            body=body,
            attempt=attempt,
            expected_head=expected_head,
            revision=revision,
        )


def trigger_key(entry: Append) -> tuple[str, str] | None:
    """The caller's key that this append reserves: the resume's, or that of the attempt's first append."""
    if entry.resume is not None:
        return entry.resume
    header = entry.header
    if entry.attempt.stored or header.trigger is None or header.trigger_digest is None:
        return None
    return header.trigger, header.trigger_digest


def row_of(entry: Append) -> dict[str, Any]:
    """The columns of the attempt's row, but for position and owner; and what the update's condition needs."""
    attempt, header, intent, outcome = entry.attempt, entry.header, entry.intent, entry.outcome
    return {
        "attempt": attempt.identity.attempt,
        "state": attempt.state,
        "seq": attempt.seq,
        "stored": attempt.stored,
        "head": attempt.head,
        "attempt_key": None if intent is None else intent.attempt_key,
        "siblings": None if intent is None else " ".join(sorted(set(intent.siblings))),
        "deadline": None if intent is None else intent.deadline.isoformat(),
        "effect": None if outcome is None else outcome.effect,
        "code": None if outcome is None else outcome.code,
        "outcome": None if outcome is None else outcome.canonical().decode(),
        "purpose": header.purpose,
        "trigger_id": header.trigger,
        "practice": header.practice,
        "proposal": header.proposal,
        "proposal_digest": header.proposal_digest,
        "connection": header.connection,
        "operation": header.operation,
        "approval": header.approval,
        "release": entry.hold is Hold.RELEASED and outcome is not None and outcome.approval is ApprovalUse.USABLE,
    }


def check(entry: Append) -> None:
    """Raises `InvariantViolation` naming the contradiction."""
    attempt, outcome, pending = entry.attempt, entry.outcome, entry.attempt.pending
    faults = {
        "it carries no event": not pending,
        "its events do not chain": bool(pending) and not _chained(entry),
        "intent and IntentRecorded go together": (entry.intent is not None)
        != any(link.event.signal is Signal.INTENT_RECORDED for link in pending),
        "an intent names its practice and proposal": entry.intent is not None
        and (entry.header.practice is None or entry.header.proposal is None),
        "a finished or paused attempt, and no other, has an outcome": (outcome is not None)
        != (attempt.terminal or attempt.state is State.PAUSED),
        "outcome and attempt differ in state": outcome is not None and outcome.state is not attempt.state,
        "outcome and attempt differ in identity": outcome is not None and outcome.attempt != attempt.identity.attempt,
        "a hold is released on NOT_SENT or REFUSED only": entry.hold is Hold.RELEASED
        and (outcome is None or outcome.effect not in (Effect.NOT_SENT, Effect.REFUSED)),
        "a finished attempt ends with the AttemptCompleted that carries its outcome's digest": attempt.terminal
        and bool(pending)
        and outcome is not None
        and not _completed(pending[-1].event, outcome),
        "a finished attempt's outcome carries the chain's last hash, and no other does": outcome is not None
        and outcome.closing_hash != (attempt.head if attempt.terminal else None),
    }
    for fault, found in faults.items():
        if found:
            raise InvariantViolation(f"this append is incoherent: {fault}")


def _chained(entry: Append) -> bool:
    pending = entry.attempt.pending
    seqs = [link.event.seq for link in pending]
    previous = [link.previous for link in pending]
    return (
        seqs == list(range(entry.attempt.stored + 1, entry.attempt.seq + 1))
        and previous[1:] == [link.hash for link in pending[:-1]]
        and pending[-1].hash == entry.attempt.head
        and (entry.attempt.stored > 0 or previous[0] == GENESIS)
    )


def _completed(event: Event, outcome: Outcome) -> bool:
    return event.signal is Signal.ATTEMPT_COMPLETED and event.outcome_digest == outcome_digest(outcome)


def header_of(row: Row, trigger_digest: str | None) -> Header:
    return Header(
        purpose=Purpose(row["purpose"]),
        trigger=None if row["trigger_id"] is None else TriggerId(row["trigger_id"]),
        trigger_digest=trigger_digest,
        practice=None if row["practice"] is None else PracticeId(row["practice"]),
        proposal=None if row["proposal"] is None else ProposalId(row["proposal"]),
        proposal_digest=row["proposal_digest"],
        connection=None if row["connection"] is None else ConnectionId(row["connection"]),
        operation=None if row["operation"] is None else Operation(row["operation"]),
        approval=None if row["approval"] is None else DecisionId(row["approval"]),
    )


def links_of(rows: Iterable[Row]) -> tuple[Link, ...]:
    """Stored events as links; the predecessor's hash is the predecessor's own."""
    links: list[Link] = []
    previous = GENESIS
    for row in rows:
        body: str = row["body"]
        links.append(Link(Event.model_validate_json(body), previous, body.encode(), row["hash"]))
        previous = row["hash"]
    return tuple(links)


def records_of(rows: Iterable[Row]) -> tuple[Record, ...]:
    records: list[Record] = []
    previous = GENESIS
    for row in rows:
        records.append(
            Record(row["seq"], RecordKind(row["kind"]), row["reference"], row["body"], previous, row["hash"])
        )
        previous = row["hash"]
    return tuple(records)


def attempt_file(
    row: Row,
    trigger_digest: str | None,
    events: Iterable[Row],
    finding: str | None,
    observation: str | None,
    ended_before: str | None,
) -> AttemptFile:
    """Raises ValueError for content that no journal has written."""
    resolution = None if finding is None else Finding(finding)
    return AttemptFile(
        attempt=AttemptId(row["attempt"]),
        header=header_of(row, trigger_digest),
        state=State(row["state"]),
        links=links_of(events),
        outcome=None if row["outcome"] is None else _merged(row["outcome"], resolution, observation),
        owner=None if row["owner"] is None else OwnerId(row["owner"]),
        deadline=None if row["deadline"] is None else datetime.fromisoformat(row["deadline"]),
        resolution=resolution,
        volume=row["volume"],
        ended_before=None if ended_before is None else datetime.fromisoformat(ended_before),
    )


def _merged(text: str, resolution: Finding | None, observation: str | None) -> Outcome:
    """The outcome as recorded, with what was found out later beside it (stored once, never rewritten)."""
    outcome = Outcome.model_validate_json(text)
    later: dict[str, Any] = {}
    if observation is not None:
        later["observation"] = ObservationRecord.model_validate_json(observation).observed
    if resolution is not None:
        later["resolution"] = resolution
        if outcome.effect is Effect.UNKNOWN:  # DESIGN "How attempts end", its last two rows
            absent = resolution is Finding.ABSENT
            later["next"] = Next.NEW_APPROVAL if absent else Next.NONE
            later["actor"] = Actor.REVIEWER if absent else Actor.NOBODY
    return outcome.model_copy(update=later)


def proposal_file(rows: Sequence[Row], held_by: str | None, effect: str | None, finding: str | None) -> ProposalFile:
    """`rows` are the proposal's records in order; the rest is about the attempt that holds it.

    Raises ValueError for content that no journal has written.
    """
    records = records_of(rows)
    latest = max((record for record in records if record.kind is RecordKind.PROPOSAL), key=lambda record: record.seq)
    later = {record.kind for record in records if record.seq > latest.seq}
    return ProposalFile(
        proposal=Proposal.model_validate_json(latest.body),
        records=records,
        stopped=RecordKind.STOP in later,
        withdrawn=RecordKind.WITHDRAWAL in later,
        held_by=None if held_by is None else AttemptId(held_by),
        hold_effect=None if effect is None else Effect(effect),
        hold_resolution=None if finding is None else Finding(finding),
    )
