"""The journal on one SQLite file: WAL, synchronous FULL, one writing thread, reads inline.

Owns: `SqliteJournal`. An append returns after its COMMIT's fsync and not before (I6); concurrent appends
share one. A second process on the same file is safe: each transaction begins IMMEDIATE, every condition is
checked inside it, and the schema's unique keys hold regardless (I1).
Refuses: to open with another key than the journal's own, which would make siblings invisible to each other.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gateway.contracts.chain import Record, RecordKind
from gateway.contracts.references import AttemptId, ConnectionId, OwnerId, PracticeId, ProposalId, TriggerId
from gateway.contracts.statements import Finding
from gateway.contracts.words import Unfinished
from gateway.errors import ConfigurationError, Conflict, JournalUnavailable
from gateway.journal import (
    NOT_OURS,
    Append,
    Appended,
    Archive,
    AttemptFile,
    Durability,
    JournalId,
    ProposalFile,
    StoredAttempt,
    StoredVolume,
)
from gateway.journal import _sqlite_reads as reads
from gateway.journal import _sqlite_writes as writes
from gateway.journal._entries import ATTEMPTS_AT_ONCE, Statement, check
from gateway.journal._key import SiblingKey
from gateway.journal._owners import Liveness, Owners
from gateway.journal._sqlite_archive import open_archive
from gateway.journal._sqlite_connection import Synchronous, compact, connect, create, keep_names, migrate
from gateway.journal._sqlite_writer import Transactions, Writer, Writes

BUSY_SECONDS: Final = 5.0


class SqliteJournal:
    """`Journal` over one file. Use from one event loop at a time."""

    def __init__(
        self,
        path: Path,
        key: SiblingKey,
        reader: sqlite3.Connection,
        writer: Writes,
        owners: Liveness,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self._path = path
        self._key = key
        self._busy_seconds = busy_seconds
        self._reader = reader
        self._writer = writer
        self._owners = owners
        self._open = True

    @classmethod
    def open(cls, path: Path, *, key: bytes, busy_seconds: float = BUSY_SECONDS) -> SqliteJournal:
        """Open, or make, the journal at `path`. Blocks shortly.

        `key` (32 random bytes or more) digests siblings; it belongs beside the journal, never in it, and is
        the same for the journal's life. `busy_seconds` bounds the wait for another process's transaction.
        Raises `ConfigurationError` saying what to mend.
        """
        sibling_key = SiblingKey(key)
        create(path)
        with ExitStack() as opened:
            durable = connect(path, Synchronous.FULL, busy_seconds)
            opened.callback(durable.close)
            try:
                migrate(durable, path.name)
                _check_key(durable, sibling_key)
            except sqlite3.Error as error:
                raise ConfigurationError(f"{path.name} cannot be prepared: {error.sqlite_errorname}") from None
            # NORMAL never syncs at commit, so a budget costs no barrier; losing one in a power cut only forgets
            # what was sent in the last minute. (SQLite syncs the WAL's header when it starts the file anew.)
            light = connect(path, Synchronous.NORMAL, busy_seconds)
            opened.callback(light.close)
            reader = connect(path, Synchronous.FULL, busy_seconds)
            opened.callback(reader.close)
            reader.execute("PRAGMA query_only = 1")
            keep_names(path)  # by now the WAL is there, and stays while anybody has the journal open
            owners = Owners(path)
            opened.pop_all()
            return cls(path, sibling_key, reader, Writer(Transactions(durable, light)), owners, busy_seconds)

    @property
    def owner(self) -> OwnerId:
        return self._owners.owner

    @property
    def durability(self) -> Durability:
        return Durability("WAL, synchronous FULL and foreign keys, read back at opening")

    async def ready(self) -> None:
        """A real write through lock, file and disk, short of the sync. Raises `JournalFailed` after a failure."""
        now = datetime.now(UTC)
        await self._writer.submit(lambda connection: writes.touch(connection, now), durable=False)

    async def append(self, entry: Append) -> Appended:
        check(entry)
        return await self._writer.submit(lambda connection: writes.append(connection, entry, self.owner))

    async def record(
        self,
        practice: PracticeId,
        proposal: ProposalId,
        kind: RecordKind,
        reference: str,
        body: str,
        *,
        attempt: AttemptId | None = None,
        expected_head: str | None = None,
    ) -> Record:
        statement = Statement.of(
            practice, proposal, kind, reference, body, attempt=attempt, expected_head=expected_head
        )
        return await self._writer.submit(lambda connection: writes.record(connection, statement))

    async def resolve(
        self, attempt: AttemptId, reference: str, body: str, finding: Finding, *, looks: int | None = None
    ) -> Record:
        return await self._writer.submit(
            lambda connection: writes.resolve(connection, attempt, reference, body, finding, looks)
        )

    async def archive_events(self, volume: StoredVolume, attempts: Sequence[StoredAttempt]) -> None:
        await self._writer.submit(lambda connection: writes.archive_events(connection, volume, attempts))

    async def compact(self) -> None:
        """Needs about as much free space again as the journal keeps."""
        if self._owners.others():
            raise Conflict("other processes have this journal open and would wait too long; stop them first")
        try:
            await asyncio.to_thread(compact, self._path, self._busy_seconds)
        except sqlite3.Error as error:
            raise JournalUnavailable(f"the journal was not compacted ({error.sqlite_errorname})") from None

    async def suspend(self, connection: ConnectionId, suspended: bool) -> None:
        await self._writer.submit(lambda database: writes.suspend(database, connection, suspended))

    async def reserve(self, connection: ConnectionId, requests: int, per_minute: int, now: datetime) -> datetime | None:
        return await self._writer.submit(
            lambda database: writes.reserve(database, connection, requests, per_minute, now), durable=False
        )

    # Reads are point look-ups of microseconds: inline, they cost less than a thread's hand-over.

    async def proposal(self, practice: PracticeId, proposal: ProposalId) -> ProposalFile | None:
        with reads.look(self._reader) as connection:
            return reads.proposal(connection, practice, proposal)

    async def proposals(self, limit: int = 100) -> Sequence[ProposalFile]:
        with reads.look(self._reader) as connection:
            return reads.proposals(connection, limit)

    async def stopped(
        self,
        practice: PracticeId,
        proposal: ProposalId,
        revision: str | None = None,
        *,
        dispatching: AttemptId | None = None,
    ) -> bool:
        with reads.look(self._reader) as connection:
            if dispatching is not None and not reads.in_flight_of(connection, dispatching, self.owner):
                raise JournalUnavailable(NOT_OURS)
            return reads.stop_latched(connection, practice, proposal, revision)

    async def trigger(self, trigger: TriggerId) -> tuple[str, AttemptId] | None:
        with reads.look(self._reader) as connection:
            return reads.trigger(connection, trigger)

    async def intent(self, attempt_key: str) -> AttemptId | None:
        with reads.look(self._reader) as connection:
            return reads.intent(connection, attempt_key)

    async def related(self, siblings: Sequence[str]) -> bool:
        with reads.look(self._reader) as connection:
            return reads.sibling_holder(connection, siblings) is not None

    async def attempt(self, attempt: AttemptId) -> AttemptFile | None:
        with reads.look(self._reader) as connection:
            return reads.attempt(connection, attempt)

    async def attempts(
        self, *, proposal: ProposalId | None = None, standing: Unfinished | None = None, limit: int = 100
    ) -> Sequence[AttemptFile]:
        with reads.look(self._reader) as connection:
            return reads.attempts(connection, proposal=proposal, standing=standing, limit=limit)

    async def paused(self, practice: PracticeId, proposal: ProposalId) -> Sequence[AttemptFile]:
        with reads.look(self._reader) as connection:
            return reads.paused(connection, practice, proposal)

    async def orphans(self) -> Sequence[AttemptFile]:
        """Also removes the lock files of dead owners to whom no attempt in flight refers."""
        with reads.look(self._reader) as connection:
            in_flight = reads.in_flight(connection)
        dead = {owner for owner in {owner for _, owner in in_flight} if self._owners.dead(owner)}
        self._owners.sweep({owner for _, owner in in_flight})
        return [file for file, owner in in_flight if owner in dead]

    async def archivable(self, before: datetime) -> AsyncIterator[StoredAttempt]:
        with reads.look(self._reader) as connection:
            last = reads.last_position(connection)
        for after in range(0, last, ATTEMPTS_AT_ONCE):
            with reads.look(self._reader) as connection:
                found = reads.archivable(connection, before, after, after + ATTEMPTS_AT_ONCE)
            for stored in found:
                yield stored

    async def suspended(self, connection: ConnectionId) -> bool:
        with reads.look(self._reader) as database:
            return reads.suspended(database, connection)

    def sibling_digest(self, *parts: str) -> str:
        return self._key.digest(parts)

    def archive(self) -> AbstractContextManager[Archive]:
        return open_archive(self._path)

    async def aclose(self) -> None:
        """Write out what waits, then let go of file and lock. May be called twice."""
        if not self._open:
            return
        self._open = False
        # in a thread of its own: a guest may have let all that are shared hang
        await asyncio.get_running_loop().run_in_executor(ThreadPoolExecutor(), self._writer.close)
        referred = True
        try:
            with reads.look(self._reader) as connection:
                referred = any(owner == self.owner for _, owner in reads.in_flight(connection))
        finally:
            self._reader.close()
            self._owners.release(referred=referred)


def _check_key(connection: sqlite3.Connection, key: SiblingKey) -> None:
    """Bind a new journal to its key; refuse another one."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [("journal", JournalId.random()), ("key", key.fingerprint)],
    )
    (stored,) = connection.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()
    connection.execute("COMMIT")
    key.check(stored)
