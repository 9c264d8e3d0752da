"""A journal of any size in minutes: really recorded attempts, copied under fresh references by SQL.

Owns: the copies. Each is a sample's rows (attempt, trigger, hold, records with their signed bodies, events) with new
random references in the columns that are looked up and in the outcome that a replay reads; what only an audit reads
(hashes, signatures) stays the sample's, so such a journal can be measured and proves nothing. The samples themselves
come first, as the oldest attempts, and stay true: their keys can be presented again.
Like a practice that archives, it keeps the events of the most recent attempts only; of the older ones there is what
stays in the journal for ever.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

VOLUME_ATTEMPTS: Final = 500
BATCH: Final = 500_000

_FAST: Final = (
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA foreign_keys = OFF",
)

_SAMPLES: Final = """
CREATE TEMP TABLE samples AS
SELECT row_number() OVER (ORDER BY position) AS number, attempts.* FROM attempts
"""
_COPIES: Final = """
CREATE TEMP TABLE copies AS
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
SELECT n,
    1 + (n % :samples) AS sample,
    'att_' || lower(hex(randomblob(16))) AS attempt,
    'trg_' || lower(hex(randomblob(16))) AS trigger_id,
    'prp_' || lower(hex(randomblob(16))) AS proposal,
    'dec_' || lower(hex(randomblob(16))) AS approval,
    lower(hex(randomblob(32))) AS proposal_digest,
    lower(hex(randomblob(32))) AS attempt_key
FROM numbers
"""
_ROWS: Final = (
    """
    INSERT INTO attempts (position, attempt, purpose, trigger_id, practice, proposal, proposal_digest, connection,
        operation, approval, state, seq, head, attempt_key, siblings, deadline, owner, effect, code, outcome, volume)
    SELECT :base + n, c.attempt, s.purpose, c.trigger_id, s.practice, c.proposal, c.proposal_digest, s.connection,
        s.operation, c.approval, s.state, s.seq, s.head, c.attempt_key, s.siblings, s.deadline, s.owner, s.effect,
        s.code, replace(s.outcome, s.attempt, c.attempt), :volume + (n - 1) / :of_a_volume
    FROM copies c JOIN samples s ON s.number = c.sample ORDER BY n
    """,
    """
    INSERT INTO triggers (trigger_id, digest, attempt)
    SELECT c.trigger_id, t.digest, c.attempt
    FROM copies c JOIN samples s ON s.number = c.sample JOIN triggers t ON t.trigger_id = s.trigger_id
    ORDER BY c.trigger_id
    """,
    """
    INSERT INTO holds (practice, proposal, attempt)
    SELECT s.practice, c.proposal, c.attempt FROM copies c JOIN samples s ON s.number = c.sample
    ORDER BY c.proposal
    """,
    """
    INSERT INTO records (position, practice, proposal, seq, kind, reference, body, hash)
    SELECT 2 * :base + 2 * n - (2 - r.seq), r.practice, c.proposal, r.seq, r.kind,
        iif(r.kind = 'proposal', c.proposal_digest, c.approval), replace(r.body, s.proposal, c.proposal), r.hash
    FROM copies c JOIN samples s ON s.number = c.sample
        JOIN records r ON r.practice = s.practice AND r.proposal = s.proposal
    ORDER BY n, r.seq
    """,
)
_EVENTS: Final = """
INSERT INTO events (attempt, seq, body, hash)
SELECT c.attempt, e.seq, replace(e.body, s.attempt, c.attempt), e.hash
FROM copies c JOIN samples s ON s.number = c.sample JOIN sampled_events e ON e.attempt = s.attempt
ORDER BY c.attempt, e.seq
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """How a journal was filled; sizes in bytes."""

    attempts: int
    with_events: int
    size: int


def fill(path: Path, attempts: int, recent: int, tell: Callable[[str], None]) -> Filled:
    """Bring the journal at `path`, which holds the samples and whose gateway is closed, to `attempts` attempts.

    Each sample is one executed booking: a proposal, a decision, a trigger. Raises ValueError for other content.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for pragma in (*_FAST, f"PRAGMA cache_size = -{_memory_kibibytes() // 4}"):
            database.execute(pragma).fetchall()
        database.set_progress_handler(lambda: 0, 1_000_000)  # so that an interrupt need not wait for a statement's end
        samples = _take_samples(database)
        recent = min(recent, attempts)
        older = max(attempts - recent, samples)
        with _without_indexes(database):
            database.execute("BEGIN")
            _archive_samples(database, samples, volumes=-(-(older - samples) // VOLUME_ATTEMPTS))
            for base, count, with_events in _batches(samples, older, attempts):
                tell(f"{base:,} of {attempts:,} attempts")
                _copy(database, base, count, samples, with_events=with_events)
            database.execute("COMMIT")
            tell("indexes")
        database.execute("PRAGMA journal_mode = WAL").fetchall()
    return Filled(attempts=attempts, with_events=attempts - older, size=path.stat().st_size)


def _memory_kibibytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024


def _take_samples(database: sqlite3.Connection) -> int:
    database.execute(_SAMPLES)
    (count, fit) = database.execute(
        "SELECT count(*), sum(state = 'SUCCEEDED' AND volume IS NULL AND 2 = (SELECT count(*) FROM records r "
        "WHERE r.practice = samples.practice AND r.proposal = samples.proposal)) FROM samples"
    ).fetchone()
    if not count or fit != count:
        raise ValueError("a sample is an executed booking with one proposal and one decision, and nothing else")
    database.execute("CREATE TEMP TABLE sampled_events AS SELECT * FROM events")
    database.execute("CREATE INDEX temp.sampled ON sampled_events (attempt)")
    return int(count)


def _archive_samples(database: sqlite3.Connection, samples: int, volumes: int) -> None:
    """The samples are the oldest, in the first volume; the other volumes are numbered, and hold the copies."""
    _volume(database, 1, samples)
    database.execute("UPDATE attempts SET volume = 1")
    database.execute("DELETE FROM events")
    for number in range(2, 2 + volumes):
        _volume(database, number, VOLUME_ATTEMPTS)


def _volume(database: sqlite3.Connection, number: int, attempts: int) -> None:
    database.execute(
        "INSERT INTO volumes (number, digest, ended_before, attempts) "
        "VALUES (?, lower(hex(randomblob(32))), '2026-01-01T00:00:00Z', ?)",
        (number, attempts),
    )


def _batches(samples: int, older: int, attempts: int) -> Iterator[tuple[int, int, bool]]:
    """(attempts before it, attempts in it, whether with events)."""
    for begin, end, with_events in ((samples, older, False), (older, attempts, True)):
        for base in range(begin, end, BATCH):
            yield base, min(BATCH, end - base), with_events


def _copy(database: sqlite3.Connection, base: int, count: int, samples: int, *, with_events: bool) -> None:
    values = {
        "base": base,
        "count": count,
        "samples": samples,
        "volume": None if with_events else 2 + (base - samples) // VOLUME_ATTEMPTS,
        "of_a_volume": VOLUME_ATTEMPTS,
    }
    database.execute(_COPIES, values)
    for statement in _ROWS:
        database.execute(statement, values)
    if with_events:
        database.execute(_EVENTS)
    database.execute("DROP TABLE copies")


@contextmanager
def _without_indexes(database: sqlite3.Connection) -> Iterator[None]:
    """Indexes that no constraint needs are made anew afterwards: sorting is quicker than inserting."""
    found = database.execute("SELECT name, sql FROM main.sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
    indexes = found.fetchall()
    for name, _ in indexes:
        database.execute(f"DROP INDEX main.{name}")
    yield
    for _, statement in indexes:
        database.execute(statement)
