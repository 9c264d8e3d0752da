"""Point reads by index, each in one consistent look."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from gateway.contracts.references import AttemptId
from gateway.contracts.words import Unfinished
from gateway.errors import AuditTampered, JournalUnavailable
from gateway.journal import AttemptFile, ProposalFile, StoredAttempt, StoredEvent
from gateway.journal._entries import attempt_file, proposal_file


@contextmanager
def look(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All reads within see the same committed state.

    Raises `JournalUnavailable` for any fault of SQLite's, `AuditTampered` for content that cannot be read.
    """
    try:
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")
    except (sqlite3.Error, ValueError) as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        # An OperationalError that SQLite has no name for is the driver's own, of bytes that are no text.
        if isinstance(error, ValueError) or name == "OperationalError":
            raise AuditTampered("a stored row is not what was written; run `gateway audit verify`") from None
        raise JournalUnavailable(f"the journal cannot be read ({name})") from None


def stop_latched(connection: sqlite3.Connection, practice: str, proposal: str, revision: str | None) -> bool:
    """Whether a stop is recorded after the proposal's revision with this digest, or the latest (C-18)."""
    (found,) = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM records WHERE practice = :practice AND proposal = :proposal AND kind = 'stop' "
        "AND seq > (SELECT max(seq) FROM records WHERE practice = :practice AND proposal = :proposal "
        "AND kind = 'proposal' AND reference = coalesce(:revision, reference)))",
        {"practice": practice, "proposal": proposal, "revision": revision},
    ).fetchone()
    return bool(found)


def standing(connection: sqlite3.Connection, practice: str, proposal: str) -> str | None:
    """`ProposalFile.standing` as it is now; None where nothing is recorded."""
    row = connection.execute(
        "SELECT hash FROM records WHERE practice = ? AND proposal = ? AND kind <> 'observation' "
        "ORDER BY seq DESC LIMIT 1",
        (practice, proposal),
    ).fetchone()
    return None if row is None else str(row["hash"])


def proposal(connection: sqlite3.Connection, practice: str, reference: str) -> ProposalFile | None:
    rows = connection.execute(
        "SELECT * FROM records WHERE practice = ? AND proposal = ? ORDER BY seq", (practice, reference)
    ).fetchall()
    if not rows:
        return None
    holder = connection.execute(
        "SELECT h.attempt, a.effect, r.finding FROM holds h JOIN attempts a ON a.attempt = h.attempt "
        "LEFT JOIN records r ON r.attempt = h.attempt AND r.kind = 'resolution' "
        "WHERE h.practice = ? AND h.proposal = ?",
        (practice, reference),
    ).fetchone()
    return proposal_file(rows, *(holder or (None, None, None)))


def proposals(connection: sqlite3.Connection, limit: int) -> list[ProposalFile]:
    rows = connection.execute(
        "SELECT practice, proposal FROM records WHERE seq = 1 ORDER BY position DESC LIMIT ?", (limit,)
    ).fetchall()
    found = (proposal(connection, row["practice"], row["proposal"]) for row in rows)
    return [file for file in found if file is not None]


def trigger(connection: sqlite3.Connection, reference: str) -> tuple[str, AttemptId] | None:
    row = connection.execute("SELECT digest, attempt FROM triggers WHERE trigger_id = ?", (reference,)).fetchone()
    return None if row is None else (row["digest"], AttemptId(row["attempt"]))


def intent(connection: sqlite3.Connection, attempt_key: str) -> AttemptId | None:
    row = connection.execute("SELECT attempt FROM attempts WHERE attempt_key = ?", (attempt_key,)).fetchone()
    return None if row is None else AttemptId(row["attempt"])


def sibling_holder(connection: sqlite3.Connection, siblings: Sequence[str]) -> AttemptId | None:
    for sibling in siblings:
        row = connection.execute("SELECT attempt FROM siblings WHERE sibling = ?", (sibling,)).fetchone()
        if row is not None:
            return AttemptId(row["attempt"])
    return None


def attempt(connection: sqlite3.Connection, reference: str) -> AttemptFile | None:
    rows = connection.execute("SELECT * FROM attempts WHERE attempt = ?", (reference,)).fetchall()
    return _files(connection, rows)[0] if rows else None


def attempts(
    connection: sqlite3.Connection, *, proposal: str | None, standing: Unfinished | None, limit: int
) -> list[AttemptFile]:
    conditions = ["1"]
    if proposal is not None:
        conditions.append("proposal = :proposal")
    if standing is Unfinished.IN_FLIGHT:
        conditions.append("deadline IS NOT NULL AND outcome IS NULL")
    if standing is Unfinished.UNRESOLVED:
        conditions.append(
            "effect = 'UNKNOWN' AND NOT EXISTS "
            "(SELECT 1 FROM records r WHERE r.attempt = attempts.attempt AND r.kind = 'resolution')"
        )
    rows = connection.execute(
        f"SELECT * FROM attempts WHERE {' AND '.join(conditions)} ORDER BY position DESC LIMIT :limit",  # noqa: S608 — conditions are this function's own
        {"proposal": proposal, "limit": limit},
    ).fetchall()
    return _files(connection, rows)


def paused(connection: sqlite3.Connection, practice: str, proposal: str) -> list[AttemptFile]:
    rows = connection.execute(
        "SELECT * FROM attempts WHERE practice = ? AND proposal = ? AND state = 'PAUSED' ORDER BY position",
        (practice, proposal),
    ).fetchall()
    return _files(connection, rows)


def in_flight(connection: sqlite3.Connection) -> list[tuple[AttemptFile, str]]:
    """Attempts with an intent and no outcome, and their owners, oldest first."""
    # `+position`, or SQLite reads the whole table in its own order instead of the few rows of the partial index
    rows = connection.execute(
        "SELECT * FROM attempts WHERE deadline IS NOT NULL AND outcome IS NULL ORDER BY +position"
    ).fetchall()
    return [(file, row["owner"]) for file, row in zip(_files(connection, rows), rows, strict=True)]


def in_flight_of(connection: sqlite3.Connection, attempt: str, owner: str) -> bool:
    """Whether this attempt is in flight and this owner's."""
    row = connection.execute(
        "SELECT 1 FROM attempts WHERE attempt = ? AND owner = ? AND outcome IS NULL", (attempt, owner)
    ).fetchone()
    return row is not None


def last_position(connection: sqlite3.Connection) -> int:
    (last,) = connection.execute("SELECT coalesce(max(position), 0) FROM attempts").fetchone()
    return int(last)


def archivable(connection: sqlite3.Connection, before: datetime, after: int, upto: int) -> list[StoredAttempt]:
    """Of the attempts at these positions. Instants are compared by their first 19 characters: to whole seconds, text
    sorts as time."""
    rows = connection.execute(
        "SELECT * FROM attempts a NOT INDEXED WHERE position > :after AND position <= :upto AND volume IS NULL "
        "AND state IN ('SUCCEEDED', 'REJECTED', 'CANCELLED', 'ERROR', 'BLOCKED') "
        "AND (effect IS NOT 'UNKNOWN' OR EXISTS "
        "(SELECT 1 FROM records r WHERE r.attempt = a.attempt AND r.kind = 'resolution')) "
        "AND (SELECT substr(json_extract(body, '$.at'), 1, 19) FROM events e "
        "WHERE e.attempt = a.attempt AND e.seq = a.seq) < :before ORDER BY position",
        {"after": after, "upto": upto, "before": f"{before:%Y-%m-%dT%H:%M:%S}"},
    ).fetchall()
    return [stored(connection, row) for row in rows]


def stored(connection: sqlite3.Connection, row: sqlite3.Row) -> StoredAttempt:
    """The attempt in this row as it is found, unjudged."""
    events = connection.execute("SELECT seq, body, hash FROM events WHERE attempt = ? ORDER BY seq", (row["attempt"],))
    triggers = connection.execute(
        "SELECT trigger_id, digest FROM triggers WHERE attempt = ? ORDER BY trigger_id", (row["attempt"],)
    )
    return StoredAttempt(
        columns=dict(zip(row.keys(), row, strict=True)),
        triggers=tuple((used["trigger_id"], used["digest"]) for used in triggers),
        events=tuple(StoredEvent(*event) for event in events),
    )


def _ended_before(connection: sqlite3.Connection, volume: int) -> str:
    row = connection.execute("SELECT ended_before FROM volumes WHERE number = ?", (volume,)).fetchone()
    if row is None:
        raise ValueError("an attempt is marked as archived in a volume that is not recorded")
    return str(row["ended_before"])


def suspended(connection: sqlite3.Connection, name: str) -> bool:
    row = connection.execute("SELECT 1 FROM suspensions WHERE connection = ?", (name,)).fetchone()
    return row is not None


def _files(connection: sqlite3.Connection, rows: Sequence[sqlite3.Row]) -> list[AttemptFile]:
    files = []
    for row in rows:
        reference = row["attempt"]
        taken = None if row["trigger_id"] is None else trigger(connection, row["trigger_id"])
        events = connection.execute("SELECT body, hash FROM events WHERE attempt = ? ORDER BY seq", (reference,))
        resolution = connection.execute(
            "SELECT finding FROM records WHERE attempt = ? AND kind = 'resolution'", (reference,)
        ).fetchone()
        observation = connection.execute(
            "SELECT body FROM records WHERE attempt = ? AND kind = 'observation' ORDER BY seq DESC LIMIT 1",
            (reference,),
        ).fetchone()
        files.append(
            attempt_file(
                row,
                taken[0] if taken is not None and taken[1] == reference else None,
                events.fetchall(),
                None if resolution is None else resolution["finding"],
                None if observation is None else observation["body"],
                None if row["volume"] is None else _ended_before(connection, row["volume"]),
            )
        )
    return files
