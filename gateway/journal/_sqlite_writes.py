"""What one entry does to the tables, inside the writer's transaction.

Owns: the conditions under which an append is admitted, in the contract's order, each checked before the
first write; the schema's unique keys say the same once more.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from gateway.contracts.chain import GENESIS, Record, RecordKind
from gateway.contracts.proposal import Proposal
from gateway.contracts.references import AttemptId, ConnectionId, OwnerId
from gateway.contracts.statements import Finding
from gateway.contracts.words import TERMINAL, Effect, Hold, State
from gateway.errors import Conflict, InvariantViolation, NotFound
from gateway.journal import Admission, Append, Appended, Intent, StoredAttempt, StoredVolume
from gateway.journal._entries import Statement, row_of, trigger_key
from gateway.journal._sqlite_reads import intent as intent_of
from gateway.journal._sqlite_reads import sibling_holder, standing, stop_latched

_SECONDS_PER_MINUTE = 60
LEAD_MINUTES: Final = 5
"""How far ahead of a clock a minute may lie, in which requests are counted, and still be believed."""


def append(connection: sqlite3.Connection, entry: Append, owner: OwnerId) -> Appended:
    """Admit and write, or say why not and write nothing."""
    refused = _key_taken(connection, entry) or _lost(connection, entry)
    if refused is None and entry.intent is not None:
        refused = _intent_refused(connection, entry, entry.intent)
    if refused is not None:
        return refused
    _write_row(connection, entry, owner)
    identity = entry.attempt.identity.attempt
    connection.executemany(
        "INSERT INTO events (attempt, seq, body, hash) VALUES (?, ?, ?, ?)",
        [(identity, link.event.seq, link.body.decode(), link.hash) for link in entry.attempt.pending],
    )
    key = trigger_key(entry)
    if key is not None:
        connection.execute("INSERT INTO triggers (trigger_id, digest, attempt) VALUES (?, ?, ?)", (*key, identity))
    if entry.intent is not None:
        connection.execute(
            "INSERT INTO holds (practice, proposal, attempt) VALUES (?, ?, ?)",
            (entry.header.practice, entry.header.proposal, identity),
        )
        connection.executemany(
            "INSERT INTO siblings (sibling, attempt) VALUES (?, ?)",
            [(sibling, identity) for sibling in sorted(set(entry.intent.siblings))],
        )
    if entry.hold is Hold.RELEASED:
        connection.execute("DELETE FROM holds WHERE attempt = ?", (identity,))
    if entry.hold in (Hold.RELEASED, Hold.FOR_EVER):
        connection.execute("DELETE FROM siblings WHERE attempt = ?", (identity,))
    return Appended(Admission.ADMITTED)


def _key_taken(connection: sqlite3.Connection, entry: Append) -> Appended | None:
    key = trigger_key(entry)
    if key is None:
        return None
    trigger, digest = key
    row = connection.execute("SELECT digest, attempt FROM triggers WHERE trigger_id = ?", (trigger,)).fetchone()
    if row is None:
        return None
    admission = Admission.KEY_TAKEN if row["digest"] == digest else Admission.KEY_COLLISION
    return Appended(admission, AttemptId(row["attempt"]))


def _lost(connection: sqlite3.Connection, entry: Append) -> Appended | None:
    attempt = entry.attempt
    row = connection.execute(
        "SELECT seq, head, state FROM attempts WHERE attempt = ?", (attempt.identity.attempt,)
    ).fetchone()
    if attempt.stored == 0:
        return None if row is None else Appended(Admission.LOST)
    if row is None or row["seq"] != attempt.stored or State(row["state"]) in TERMINAL:
        return Appended(Admission.LOST)
    if row["head"] != attempt.pending[0].previous:
        raise InvariantViolation("this append does not continue the recorded chain")
    return None


def _intent_refused(connection: sqlite3.Connection, entry: Append, intent: Intent) -> Appended | None:
    header = entry.header
    subject = str(header.practice), str(header.proposal)
    if stop_latched(connection, *subject, header.proposal_digest):
        return Appended(Admission.STOPPED)
    holder = intent_of(connection, intent.attempt_key)
    if holder is not None:
        return Appended(Admission.KEY_TAKEN, holder)
    row = connection.execute(
        "SELECT h.attempt, a.effect, r.finding FROM holds h JOIN attempts a ON a.attempt = h.attempt "
        "LEFT JOIN records r ON r.attempt = h.attempt AND r.kind = 'resolution' "
        "WHERE h.practice = ? AND h.proposal = ?",
        (header.practice, header.proposal),
    ).fetchone()
    if row is not None:
        executed = row["effect"] == Effect.APPLIED or row["finding"] in (Finding.APPLIED, Finding.HANDLED_BY_HAND)
        return Appended(Admission.EXECUTED if executed else Admission.FROZEN, AttemptId(row["attempt"]))
    if intent.judged is not None and intent.judged != standing(connection, *subject):
        return Appended(Admission.MOVED)
    holder = sibling_holder(connection, intent.siblings)
    return None if holder is None else Appended(Admission.RELATED, holder)


def _write_row(connection: sqlite3.Connection, entry: Append, owner: OwnerId) -> None:
    values = row_of(entry) | {"owner": None if entry.intent is None else owner}
    if entry.attempt.stored == 0:
        connection.execute(_INSERT, values)
        return
    if connection.execute(_UPDATE, values).rowcount != 1:
        raise InvariantViolation("the attempt's row moved within one transaction")


_INSERT = (
    "INSERT INTO attempts (attempt, purpose, trigger_id, practice, proposal, proposal_digest, connection, operation, "
    "approval, state, seq, head, attempt_key, siblings, deadline, owner, effect, code, outcome) VALUES (:attempt, "
    ":purpose, :trigger_id, :practice, :proposal, :proposal_digest, :connection, :operation, :approval, :state, :seq, "
    ":head, :attempt_key, :siblings, :deadline, :owner, :effect, :code, :outcome)"
)
# The condition is the transition (I10): nobody else's append came in between, and the attempt had not ended.
_UPDATE = (
    "UPDATE attempts SET state = :state, seq = :seq, head = :head, "
    "attempt_key = CASE WHEN :release THEN NULL ELSE coalesce(:attempt_key, attempt_key) END, "
    "siblings = coalesce(:siblings, siblings), deadline = coalesce(:deadline, deadline), "
    "owner = coalesce(:owner, owner), effect = :effect, code = :code, outcome = :outcome "
    "WHERE attempt = :attempt AND seq = :stored "
    "AND state NOT IN ('SUCCEEDED', 'REJECTED', 'CANCELLED', 'ERROR', 'BLOCKED')"
)


def record(connection: sqlite3.Connection, statement: Statement) -> Record:
    """Chain it, or return the record that already says exactly this."""
    existing = _existing(connection, statement)
    if existing is not None:
        return existing
    last = connection.execute(
        "SELECT seq, hash FROM records WHERE practice = ? AND proposal = ? ORDER BY seq DESC LIMIT 1",
        (statement.practice, statement.proposal),
    ).fetchone()
    if last is None and statement.revision is None:
        raise NotFound("no proposal is recorded under that reference; record its first revision first")
    head = GENESIS if last is None else str(last["hash"])
    if statement.expected_head is not None and statement.expected_head != head:
        raise Conflict("something was recorded about this proposal in the meantime; look again")
    if statement.revision is not None and last is not None:
        _check_revision(connection, statement.revision)
    if statement.kind is RecordKind.OBSERVATION:
        _check_attempt(connection, statement)
    chained = Record.after(
        head, 1 if last is None else last["seq"] + 1, statement.kind, statement.reference, statement.body
    )
    connection.execute(
        "INSERT INTO records (practice, proposal, seq, kind, reference, body, hash, attempt, finding) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            statement.practice,
            statement.proposal,
            chained.seq,
            chained.kind,
            chained.reference,
            chained.body,
            chained.hash,
            statement.attempt,
            statement.finding,
        ),
    )
    return chained


def _existing(connection: sqlite3.Connection, statement: Statement) -> Record | None:
    """For a revision the same bytes are the same record; for anything else, the same reference is."""
    if statement.revision is not None:
        row = connection.execute(
            "SELECT * FROM records WHERE practice = ? AND proposal = ? AND kind = 'proposal' AND body = ?",
            (statement.practice, statement.proposal, statement.body),
        ).fetchone()
    else:
        row = connection.execute(
            "SELECT * FROM records WHERE practice = ? AND kind = ? AND reference = ? AND kind <> 'proposal'",
            (statement.practice, statement.kind, statement.reference),
        ).fetchone()
    if row is None:
        return None
    same = ("proposal", "reference", "body", "attempt", "finding")
    if any(row[name] != getattr(statement, name) for name in same):
        raise Conflict("something else is already recorded under that reference")
    before = connection.execute(
        "SELECT hash FROM records WHERE practice = ? AND proposal = ? AND seq = ?",
        (row["practice"], row["proposal"], row["seq"] - 1),
    ).fetchone()
    previous = GENESIS if before is None else before["hash"]
    return Record(row["seq"], statement.kind, row["reference"], row["body"], previous, row["hash"])


def _check_revision(connection: sqlite3.Connection, revision: Proposal) -> None:
    (latest,) = connection.execute(
        "SELECT max(json_extract(body, '$.revision')) FROM records "
        "WHERE practice = ? AND proposal = ? AND kind = 'proposal'",
        (revision.practice, revision.proposal_id),
    ).fetchone()
    if revision.revision <= latest:
        raise Conflict("a revision with that number, or a later one, is already recorded; number it anew")


def _check_attempt(connection: sqlite3.Connection, statement: Statement) -> None:
    row = connection.execute(
        "SELECT practice, proposal FROM attempts WHERE attempt = ?", (statement.attempt,)
    ).fetchone()
    if row is None or (row["practice"], row["proposal"]) != (statement.practice, statement.proposal):
        raise NotFound("this proposal has no such attempt")


def resolve(
    connection: sqlite3.Connection,
    attempt: AttemptId,
    reference: str,
    body: str,
    finding: Finding,
    looks: int | None = None,
) -> Record:
    """Chain the resolution, then change the holds of an attempt whose effect was unknown."""
    row = connection.execute(
        "SELECT practice, proposal, state, effect FROM attempts WHERE attempt = ?", (attempt,)
    ).fetchone()
    if row is None:
        raise NotFound("no such attempt is recorded")
    statement = Statement(
        practice=row["practice"],
        proposal=row["proposal"],
        kind=RecordKind.RESOLUTION,
        reference=reference,
        body=body,
        attempt=attempt,
        finding=finding,
    )
    unknown = row["effect"] == Effect.UNKNOWN
    if not unknown and (row["state"], row["effect"]) != (State.ERROR, Effect.APPLIED):
        raise Conflict("this attempt's outcome is known, or not yet recorded; there is nothing to resolve")
    first = connection.execute(
        "SELECT reference FROM records WHERE attempt = ? AND kind = 'resolution'", (attempt,)
    ).fetchone()
    if first is not None and first["reference"] != reference:
        raise Conflict("this attempt is already resolved; the first resolution stands")
    (seen,) = connection.execute(
        "SELECT count(*) FROM records WHERE attempt = ? AND kind = 'observation'", (attempt,)
    ).fetchone()
    if first is None and looks not in (None, seen):
        raise Conflict("this attempt was looked at since; judge by the latest look")
    chained = record(connection, statement)
    if unknown and first is None:
        if finding is Finding.ABSENT:
            connection.execute("DELETE FROM holds WHERE attempt = ?", (attempt,))
        connection.execute("DELETE FROM siblings WHERE attempt = ?", (attempt,))
    return chained


def archive_events(connection: sqlite3.Connection, volume: StoredVolume, attempts: Sequence[StoredAttempt]) -> None:
    """Volume, marks and deletions, each conditional on what it was told; a refusal takes all of them back."""
    (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM volumes").fetchone()
    if volume.number != last + 1 or volume.attempts != len(attempts):
        raise Conflict("the next volume is another by now; somebody else is archiving, so run this again afterwards")
    connection.execute(
        "INSERT INTO volumes (number, digest, ended_before, attempts) VALUES (?, ?, ?, ?)",
        (volume.number, volume.digest, volume.ended_before, volume.attempts),
    )
    # One statement for all: with one for each, the savepoint around them makes every next one dearer.
    leaving = [
        (stored.attempt, stored.columns["seq"], stored.columns["head"], len(stored.events)) for stored in attempts
    ]
    marked = connection.execute(
        "UPDATE attempts SET volume = ? FROM json_each(?) AS w WHERE attempt = json_extract(w.value, '$[0]') "
        "AND seq = json_extract(w.value, '$[1]') AND head = json_extract(w.value, '$[2]') AND volume IS NULL",
        (volume.number, json.dumps(leaving)),
    ).rowcount
    if marked == len(leaving):
        gone = connection.execute(
            "DELETE FROM events WHERE attempt IN (SELECT json_extract(value, '$[0]') FROM json_each(?))",
            (json.dumps(leaving),),
        ).rowcount
    if marked != len(leaving) or gone != sum(events for _, _, _, events in leaving):
        raise Conflict("an attempt is not as it was when its volume was written; nothing was deleted")


def suspend(connection: sqlite3.Connection, name: ConnectionId, suspended: bool) -> None:
    if suspended:
        connection.execute("INSERT INTO suspensions (connection) VALUES (?) ON CONFLICT DO NOTHING", (name,))
    else:
        connection.execute("DELETE FROM suspensions WHERE connection = ?", (name,))


def reserve(
    connection: sqlite3.Connection, name: ConnectionId, requests: int, per_minute: int, now: datetime
) -> datetime | None:
    """Take the requests from this minute, or say when the next one begins.

    Whoever has the file is on one machine and has its clock, but may come late, or the clock may have been set back:
    a minute that has begun for somebody else counts for all. One that lies further ahead, a wrong clock began.
    """
    minute = int(now.timestamp()) // _SECONDS_PER_MINUTE
    row = connection.execute("SELECT minute, requests FROM budgets WHERE connection = ?", (name,)).fetchone()
    if row is not None and minute < row["minute"] <= minute + LEAD_MINUTES:
        minute = row["minute"]
    used = row["requests"] if row is not None and row["minute"] == minute else 0
    if used + requests > per_minute:
        return datetime.fromtimestamp((minute + 1) * _SECONDS_PER_MINUTE, UTC)
    connection.execute(
        "INSERT INTO budgets (connection, minute, requests) VALUES (?, ?, ?) "
        "ON CONFLICT (connection) DO UPDATE SET minute = excluded.minute, requests = excluded.requests",
        (name, minute, used + requests),
    )
    return None


def touch(connection: sqlite3.Connection, at: datetime) -> None:
    """A write like any other, of nothing that matters: the readiness probe."""
    connection.execute(
        "INSERT INTO probe (row, at) VALUES (1, ?) ON CONFLICT (row) DO UPDATE SET at = excluded.at", (at.isoformat(),)
    )
