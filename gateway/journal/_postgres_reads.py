"""What is asked of the journal's tables, each answer one statement and so one consistent look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final

from gateway.contracts.words import Unfinished
from gateway.errors import AuditTampered
from gateway.journal import AttemptFile, ProposalFile, StoredAttempt, StoredEvent
from gateway.journal._entries import attempt_file, proposal_file

_FILES: Final = """
    SELECT a.*, t.digest AS trigger_digest,
        (SELECT json_agg(json_build_object('body', e.body, 'hash', e.hash) ORDER BY e.seq)
            FROM events e WHERE e.attempt = a.attempt) AS events,
        (SELECT r.finding FROM records r WHERE r.attempt = a.attempt AND r.kind = 'resolution') AS resolution,
        (SELECT r.body FROM records r WHERE r.attempt = a.attempt AND r.kind = 'observation'
            ORDER BY r.seq DESC LIMIT 1) AS observation,
        (SELECT v.ended_before FROM volumes v WHERE v.number = a.volume) AS ended_before
    FROM attempts a LEFT JOIN triggers t ON t.trigger_id = a.trigger_id AND t.attempt = a.attempt
"""

_SAID: Final = """
    SELECT said.records, h.attempt AS held_by, a.effect, r.finding
    FROM {subjects}
        CROSS JOIN LATERAL (
            SELECT json_agg(json_build_object('seq', s.seq, 'kind', s.kind, 'reference', s.reference, 'body', s.body,
                'hash', s.hash) ORDER BY s.seq) AS records
            FROM records s WHERE s.practice = p.practice AND s.proposal = p.proposal) said
        LEFT JOIN holds h ON h.practice = p.practice AND h.proposal = p.proposal
        LEFT JOIN attempts a ON a.attempt = h.attempt
        LEFT JOIN records r ON r.attempt = h.attempt AND r.kind = 'resolution'
"""

PROPOSAL: Final = _SAID.format(subjects="(VALUES (%(practice)s::text, %(proposal)s::text)) AS p (practice, proposal)")
_LATEST: Final = """(
        SELECT f.position, f.practice, f.proposal FROM records f WHERE f.seq = 1
        ORDER BY f.position DESC LIMIT %(limit)s) AS p"""
PROPOSALS: Final = _SAID.format(subjects=_LATEST) + " ORDER BY p.position DESC"
ATTEMPT: Final = _FILES + " WHERE a.attempt = %s"
ATTEMPTS: Final[Mapping[Unfinished | None, str]] = MappingProxyType(
    {
        standing: f"{_FILES} WHERE (%(proposal)s::text IS NULL OR a.proposal = %(proposal)s) {condition} "
        "ORDER BY a.position DESC LIMIT %(limit)s"
        for standing, condition in {
            None: "",
            Unfinished.IN_FLIGHT: "AND a.deadline IS NOT NULL AND a.outcome IS NULL",
            Unfinished.UNRESOLVED: "AND a.effect = 'UNKNOWN' AND NOT EXISTS "
            "(SELECT FROM records r WHERE r.attempt = a.attempt AND r.kind = 'resolution')",
        }.items()
    }
)
PAUSED: Final = _FILES + " WHERE a.practice = %s AND a.proposal = %s AND a.state = 'PAUSED' ORDER BY a.position"
# A lock that can be shared is held by nobody: its owner's session is over. Shared, so that two who ask at once do not
# take one another for the owner. Asked on the line, so that a process finds its own lock held by its own session, or
# else is told of what it left behind with one that is over.
ORPHANS: Final = f"""
    WITH flying AS MATERIALIZED (
        SELECT DISTINCT a.owner FROM attempts a WHERE a.deadline IS NOT NULL AND a.outcome IS NULL),
    dead AS MATERIALIZED (
        SELECT f.owner FROM flying f LEFT JOIN owners o ON o.owner = f.owner
        WHERE coalesce(pg_try_advisory_xact_lock_shared(o.lock), true))
    {_FILES} JOIN dead d ON d.owner = a.owner
    WHERE a.deadline IS NOT NULL AND a.outcome IS NULL ORDER BY a.position
"""  # noqa: S608 — put together from this module's constants
# Whether a session's lock is a lock: asked of another session.
HELD: Final = "SELECT NOT pg_try_advisory_xact_lock_shared(o.lock) AS held FROM owners o WHERE o.owner = %s"
STOPPED: Final = "SELECT journal_stopped(%s, %s, %s) AS stopped"
# What stands between an intent and its dispatch: still in flight, still ours, and our lock still held.
DISPATCHING: Final = """
    SELECT journal_stopped(%(practice)s, %(proposal)s, %(revision)s) AS stopped,
        EXISTS (
            SELECT FROM attempts a JOIN owners o ON o.owner = a.owner
            WHERE a.attempt = %(attempt)s AND a.deadline IS NOT NULL AND a.outcome IS NULL AND a.owner = %(owner)s
                AND NOT pg_try_advisory_xact_lock_shared(o.lock)) AS ours
"""
TRIGGER: Final = "SELECT digest, attempt FROM triggers WHERE trigger_id = %s"
INTENT: Final = "SELECT attempt FROM attempts WHERE attempt_key = %s"
RELATED: Final = "SELECT EXISTS (SELECT FROM siblings WHERE sibling = ANY(%s)) AS related"
COLUMNS: Final = (
    "position", "attempt", "purpose", "trigger_id", "practice", "proposal", "proposal_digest", "connection",
    "operation", "approval", "state", "seq", "head", "attempt_key", "siblings", "deadline", "owner", "effect", "code",
    "outcome", "volume",
)  # fmt: skip
STORED: Final = f"""
    SELECT {", ".join(f"a.{name}" for name in COLUMNS)},
        (SELECT array_agg(e.seq ORDER BY e.seq) FROM events e WHERE e.attempt = a.attempt) AS seqs,
        (SELECT array_agg(e.body ORDER BY e.seq) FROM events e WHERE e.attempt = a.attempt) AS bodies,
        (SELECT array_agg(e.hash ORDER BY e.seq) FROM events e WHERE e.attempt = a.attempt) AS hashes,
        (SELECT array_agg(ARRAY[t.trigger_id, t.digest] ORDER BY t.trigger_id COLLATE "C")
            FROM triggers t WHERE t.attempt = a.attempt) AS used
    FROM attempts a
"""  # noqa: S608 — the columns are this module's own
LAST_POSITION: Final = "SELECT coalesce(max(position), 0) AS last FROM attempts"
# Instants are compared by their first 19 characters: to whole seconds, text sorts as time.
ARCHIVABLE: Final = f"""
    {STORED} WHERE a.position > %(after)s AND a.position <= %(upto)s AND a.volume IS NULL
        AND a.state IN ('SUCCEEDED', 'REJECTED', 'CANCELLED', 'ERROR', 'BLOCKED')
        AND (a.effect IS DISTINCT FROM 'UNKNOWN' OR EXISTS (
            SELECT FROM records r WHERE r.attempt = a.attempt AND r.kind = 'resolution'))
        AND (SELECT left(e.body::json->>'at', 19) COLLATE "C" FROM events e
            WHERE e.attempt = a.attempt AND e.seq = a.seq) < %(before)s
    ORDER BY a.position
"""  # noqa: S608 — put together from this module's constants
SUSPENDED: Final = "SELECT EXISTS (SELECT FROM suspensions WHERE connection = %s) AS suspended"


@contextmanager
def intact() -> Iterator[None]:
    """Content that no journal has written is `AuditTampered`, without the content."""
    try:
        yield
    except (ValueError, TypeError):
        raise AuditTampered("a stored row is not what was written; run `gateway audit verify`") from None


def files(rows: Sequence[Mapping[str, Any]]) -> list[AttemptFile]:
    with intact():
        return [
            attempt_file(
                row,
                row["trigger_digest"],
                row["events"] or (),
                row["resolution"],
                row["observation"],
                row["ended_before"],
            )
            for row in rows
        ]


def stored(row: Mapping[str, Any]) -> StoredAttempt:
    """The attempt in a row of `STORED` as it is found, unjudged."""
    events = zip(row["seqs"] or (), row["bodies"] or (), row["hashes"] or (), strict=True)
    return StoredAttempt(
        columns={name: row[name] for name in COLUMNS},
        triggers=tuple((trigger, digest) for trigger, digest in row["used"] or ()),
        events=tuple(StoredEvent(*event) for event in events),
    )


def proposal_files(rows: Sequence[Mapping[str, Any]]) -> list[ProposalFile]:
    with intact():
        return [
            proposal_file(row["records"], row["held_by"], row["effect"], row["finding"])
            for row in rows
            if row["records"]
        ]
