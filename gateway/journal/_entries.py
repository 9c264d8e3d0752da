"""What both databases agree on: which entries are coherent, and how stored rows become the contract's files.

Owns: the checks that need no database. Refuses, as `InvariantViolation`, an append whose state, events,
intent and outcome do not say the same thing: no state is durable without its event (I6).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

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
from gateway.contracts.words import Actor, Effect, Hold, Next, State
from gateway.ending import outcome_digest
from gateway.errors import InvariantViolation
from gateway.journal import Append, AttemptFile, Header, ProposalFile


class Row(Protocol):
    """A stored row: columns by name (`sqlite3.Row`, or a mapping)."""

    def __getitem__(self, name: str, /) -> Any: ...


def closed(entry: Append) -> Outcome | None:
    """The outcome as it is stored: a finished attempt's closing hash is the head that this append makes."""
    if entry.outcome is None or not entry.attempt.terminal:
        return entry.outcome
    return entry.outcome.model_copy(update={"closing_hash": entry.attempt.head})


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
    row: Row, trigger_digest: str | None, events: Iterable[Row], finding: str | None, observation: str | None
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
