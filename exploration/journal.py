"""The journal in memory: the real SQL, contract and batch logic, on a SQLite whose disk can fail.

Owns: the database that outlives every process, and the ports before each of the journal's methods. An append is one
transaction at one instant; its faults strike below the production code, at BEGIN or at COMMIT, so that what a fault
means is decided by the code that decides it in production. Each process has its own `SqliteJournal`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from exploration.oracle import Touches
from exploration.ports import GOOD, Port, Process, Turnstile, acting
from gateway.contracts.chain import Record, RecordKind
from gateway.contracts.outcome import ObservationRecord
from gateway.contracts.references import AttemptId, ConnectionId, OwnerId, PracticeId, ProposalId, TriggerId
from gateway.contracts.statements import Finding
from gateway.errors import JournalUnavailable
from gateway.journal import Admission, Append, Appended, Archive, AttemptFile, ProposalFile
from gateway.journal._key import SiblingKey
from gateway.journal._owners import Liveness
from gateway.journal._sqlite import SqliteJournal, _check_key
from gateway.journal._sqlite_archive import SqliteArchive
from gateway.journal._sqlite_connection import migrate
from gateway.journal._sqlite_writer import Transactions, Work

Answer = TypeVar("Answer")

KEY: Final = SiblingKey(bytes(range(32)))
_READ_FAULTS: Final = ("unavailable",)
_WRITE_FAULTS: Final = ("unavailable", "failed-unrecorded", "failed-recorded")


class Database(sqlite3.Connection):
    """A connection whose next transaction can be made to fail: `failing` names a fault of `_WRITE_FAULTS`."""

    failing = GOOD

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if self.failing != GOOD and sql in ("BEGIN IMMEDIATE", "COMMIT"):
            self._fail(sql)
        return super().execute(sql, *parameters)

    def _fail(self, sql: str) -> None:
        fault = self.failing
        if sql == "BEGIN IMMEDIATE":
            if fault == "unavailable":
                self.failing = GOOD
                raise sqlite3.OperationalError("database is locked")
            return
        self.failing = GOOD
        super().execute("COMMIT" if fault == "failed-recorded" else "ROLLBACK")
        raise sqlite3.OperationalError("disk I/O error")

    @classmethod
    def open(cls) -> Database:
        database = sqlite3.connect(":memory:", isolation_level=None, factory=cls)
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA foreign_keys = 1")
        migrate(database, "memory")
        _check_key(database, KEY)
        return database


class InlineWriter:
    """`Writes` without a thread: one entry, one transaction, at the caller's own turn."""

    def __init__(self, database: Database) -> None:
        self._transactions = Transactions(database, database)

    async def submit(self, work: Work[Answer], *, durable: bool = True) -> Answer:
        (result,) = self._transactions.run([work], durable=durable)
        if result.error is not None:
            raise result.error
        answer: Answer = result.answer  # type: ignore[assignment]  # work answers what it says, or fails
        return answer

    def close(self) -> None:
        """The database outlives every process."""


class Owners(Liveness):
    """Whose process lives, by name."""

    def __init__(self, process: Process, owner: OwnerId, processes: dict[OwnerId, Process]) -> None:
        self.owner = owner
        self._processes = processes
        processes[owner] = process

    def dead(self, owner: str) -> bool:
        process = self._processes.get(OwnerId(owner))
        return process is None or not process.alive

    def others(self) -> bool:
        return any(each.alive for owner, each in self._processes.items() if owner != self.owner)

    def sweep(self, referred: Collection[str]) -> None:
        """There are no files to remove."""

    def release(self, *, referred: bool) -> None:
        """A process gives its lock back by ending."""


def _read(name: str) -> Port:
    return Port(f"journal.{name}", _READ_FAULTS, _READ_FAULTS, Touches.READS, inline=name in ("intent", "proposal"))


def _write(name: str) -> Port:
    return Port(f"journal.{name}", _WRITE_FAULTS, _WRITE_FAULTS, Touches.WRITES)


READS: Final = {name: _read(name) for name in (
    "proposal", "proposals", "stopped", "trigger", "intent", "related", "attempt", "paused",
)} | {
    # Whoever asks for orphans asks who lives.
    "orphans": Port("journal.orphans", _READ_FAULTS, _READ_FAULTS, Touches.ALL),
    # Nobody suspends a connection while others commit here: when it was looked up makes no difference to anyone.
    "suspended": Port("journal.suspended", _READ_FAULTS, _READ_FAULTS),
}  # fmt: skip
APPEND: Final = _write("append")
RECORD: Final = _write("record")
RESOLVE: Final = _write("resolve")
SUSPEND: Final = _write("suspend")
READY: Final = Port("journal.ready", _READ_FAULTS, _READ_FAULTS)  # writes nothing that anybody reads
RESERVE: Final = Port("journal.reserve", _READ_FAULTS, _READ_FAULTS, Touches.WRITES)


class Witness(Protocol):
    """Told of the instants at which something must still hold."""

    def intended(self, entry: Append) -> None:
        """An intent has just been recorded."""
        ...

    def looked(self, attempt: str) -> None:
        """The last look before this attempt's dispatch has just found no stop."""
        ...

    def seen(self, seen: ObservationRecord) -> None:
        """What a look has shown has just been recorded."""
        ...


class PortedJournal(SqliteJournal):
    """`Journal`, each of whose methods is a port."""

    def __init__(self, database: Database, turnstile: Turnstile, owners: Owners, witness: Witness) -> None:
        super().__init__(Path("memory.db"), KEY, database, InlineWriter(database), owners)
        self._database = database
        self._turnstile = turnstile
        self._witness = witness

    async def _look(self, name: str) -> None:
        if await self._turnstile.pass_through(READS[name]) != GOOD:
            raise JournalUnavailable("the journal cannot be read (SQLITE_BUSY)")

    async def _strike(self, port: Port) -> None:
        self._database.failing = await self._turnstile.pass_through(port)

    async def ready(self) -> None:
        await self._strike(READY)
        await super().ready()

    async def append(self, entry: Append) -> Appended:
        await self._strike(APPEND)
        appended = await super().append(entry)
        acting().learn(appended.admission, appended.holder)
        if entry.intent is not None and appended.admission is Admission.ADMITTED:
            acting().intended = True
            self._witness.intended(entry)
        return appended

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
        await self._strike(RECORD)
        record = await super().record(
            practice, proposal, kind, reference, body, attempt=attempt, expected_head=expected_head
        )
        if kind is RecordKind.OBSERVATION:
            self._witness.seen(ObservationRecord.parse(body))
        return record

    async def resolve(
        self, attempt: AttemptId, reference: str, body: str, finding: Finding, *, looks: int | None = None
    ) -> Record:
        await self._strike(RESOLVE)
        return await super().resolve(attempt, reference, body, finding, looks=looks)

    async def suspend(self, connection: ConnectionId, suspended: bool) -> None:
        await self._strike(SUSPEND)
        await super().suspend(connection, suspended)

    async def reserve(self, connection: ConnectionId, requests: int, per_minute: int, now: datetime) -> datetime | None:
        await self._strike(RESERVE)
        not_before = await super().reserve(connection, requests, per_minute, now)
        acting().learn(not_before)
        return not_before

    async def proposal(self, practice: PracticeId, proposal: ProposalId) -> ProposalFile | None:
        await self._look("proposal")
        file = await super().proposal(practice, proposal)
        acting().learn(file and (file.records[-1].hash, file.held_by, file.hold_effect, file.hold_resolution))
        return file

    async def proposals(self, limit: int = 100) -> Sequence[ProposalFile]:
        await self._look("proposals")
        return await super().proposals(limit)

    async def stopped(
        self,
        practice: PracticeId,
        proposal: ProposalId,
        revision: str | None = None,
        *,
        dispatching: AttemptId | None = None,
    ) -> bool:
        await self._look("stopped")
        stopped = self._told(await super().stopped(practice, proposal, revision, dispatching=dispatching))
        if dispatching is not None and not stopped:
            self._witness.looked(dispatching)
        return stopped

    async def trigger(self, trigger: TriggerId) -> tuple[str, AttemptId] | None:
        await self._look("trigger")
        return self._told(await super().trigger(trigger))

    async def intent(self, attempt_key: str) -> AttemptId | None:
        await self._look("intent")
        return self._told(await super().intent(attempt_key))

    async def related(self, siblings: Sequence[str]) -> bool:
        await self._look("related")
        return self._told(await super().related(siblings))

    async def attempt(self, attempt: AttemptId) -> AttemptFile | None:
        await self._look("attempt")
        file = await super().attempt(attempt)
        acting().learn(file and (file.links[-1].hash, file.resolution))
        return file

    async def paused(self, practice: PracticeId, proposal: ProposalId) -> Sequence[AttemptFile]:
        await self._look("paused")
        files = await super().paused(practice, proposal)
        acting().learn(tuple(file.links[-1].hash for file in files))
        return files

    async def orphans(self) -> Sequence[AttemptFile]:
        await self._look("orphans")
        files = await super().orphans()
        acting().learn(tuple(file.attempt for file in files))
        return files

    async def suspended(self, connection: ConnectionId) -> bool:
        await self._look("suspended")
        return self._told(await super().suspended(connection))

    @contextmanager
    def archive(self) -> Iterator[Archive]:
        yield read_whole(self._database)

    def _told(self, answer: Answer) -> Answer:
        acting().learn(answer)
        return answer


def read_whole(database: Database) -> SqliteArchive:
    """Everything in it, as verification reads a file."""
    (schema,) = database.execute("PRAGMA user_version").fetchone()
    return SqliteArchive(database, schema)


TABLES: Final = (
    "attempts", "events", "records", "triggers", "holds", "siblings", "suspensions", "budgets",
)  # fmt: skip


def content(database: Database) -> int:
    """A hash of everything that the database holds, row by row: pages may differ where the rows do not."""
    return hash(tuple(tuple(map(tuple, database.execute(f"SELECT * FROM {table}"))) for table in TABLES))  # noqa: S608 — this module's own names
