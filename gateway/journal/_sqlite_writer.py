"""The one thread that writes: whatever waits goes into one transaction, under one fsync.

Owns: group commit, and what a failure means. Nothing is answered before its COMMIT returned. Whoever has no
thread runs `Transactions` by itself, as `Writes`.
Refuses: to go on after a COMMIT that failed, or after a disk fault: what is on disk is then unknown, and
every later call fails with `JournalFailed` (RELIABILITY fact 3). Before COMMIT nothing is recorded, and a
busy or read-only file is `JournalUnavailable`. Nothing is tried twice, and no failure leaves a caller waiting.
"""

from __future__ import annotations

import asyncio
import atexit
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from gateway.errors import GatewayError, InvariantViolation, JournalFailed, JournalUnavailable

Answer = TypeVar("Answer")
Work = Callable[[sqlite3.Connection], Answer]

MAX_BATCH: Final = 256
CHECKPOINT_EVERY: Final = 200
"""Durable entries between checkpoints; an entry writes about ten pages, so the WAL stays near 10 MB."""
ENTRY_ROWS: Final = 64
"""What one entry changes at most; archiving changes thousands at once, and counts for as many entries."""

_DISK_FAULTS: Final = frozenset(
    {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOTADB}
)


@dataclass(frozen=True, slots=True)
class _Job:
    work: Work[Any]
    durable: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class Result(Generic[Answer]):
    """What became of one entry: its answer, or the error that its caller gets."""

    answer: Answer | None = None
    error: GatewayError | None = None


class Writes(Protocol):
    """Who carries a journal's entries to its tables, one after the other."""

    async def submit(self, work: Work[Answer], *, durable: bool = True) -> Answer:
        """Do `work` in its own savepoint and answer once its transaction is committed.

        Cancelling the caller does not take the entry back.
        """
        ...

    def close(self) -> None:
        """Let go of the database. Blocks; may be called twice."""
        ...


class Transactions:
    """What one batch is: the transaction around its entries, and what a failure of it means.

    Work that is `durable` runs at synchronous FULL, the rest at NORMAL, which syncs nothing. Both connections
    belong to whoever runs the batches, so that they never wait for one another.
    """

    def __init__(self, durable: sqlite3.Connection, light: sqlite3.Connection) -> None:
        self._durable = durable
        self._light = light
        self._failed = False
        self._since_checkpoint = 0

    def run(self, works: Sequence[Work[Any]], *, durable: bool) -> list[Result[Any]]:
        """Do each work in its own savepoint, all in one transaction; their results, once it is committed."""
        if self._failed:
            return _all(works, JournalFailed("an earlier write to the journal's disk failed; restart and recover"))
        connection = self._durable if durable else self._light
        committing = False
        rows = connection.total_changes
        try:
            connection.execute("BEGIN IMMEDIATE")
            results = [_entry(connection, work) for work in works]
            committing = True
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 — whatever it was, each caller gets a bounded answer
            fault = getattr(error, "sqlite_errorcode", 0) & 0xFF
            # The light connection records nothing that anyone relies on: its failure leaves no doubt behind. A
            # connection that cannot even be rolled back is of no more use to anybody.
            self._failed = not _rolled_back(connection) or (durable and (committing or fault in _DISK_FAULTS))
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            if self._failed:
                return _all(works, JournalFailed(f"a write to the journal failed ({name}); restart and recover"))
            return _all(works, JournalUnavailable(f"nothing was recorded ({name})"))
        if durable:
            self._since_checkpoint += max(len(works), (connection.total_changes - rows) // ENTRY_ROWS)
        return results

    def checkpoint(self) -> None:
        """Move the WAL into the database now and then, after the answers are out (three syncs each time).

        Meanwhile nobody commits, in no process: a SQLite before 3.51.3 can damage the file if one starts the WAL anew
        just then (its "WAL-reset bug").
        """
        if self._failed or self._since_checkpoint < CHECKPOINT_EVERY:
            return
        try:
            self._light.execute("BEGIN IMMEDIATE")
            try:
                self._durable.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            finally:
                self._light.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._failed = error.sqlite_errorcode & 0xFF in _DISK_FAULTS
        else:
            self._since_checkpoint = 0

    def give_up(self) -> None:
        """What happened is not known: nothing is to be written any more."""
        self._failed = True

    def close(self) -> None:
        self._durable.close()
        self._light.close()


class Writer:
    """Runs transactions in a thread of its own, over whatever waits."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._closing = threading.Lock()
        # A daemon, so that an abandoned journal cannot hang the interpreter; `atexit` runs while daemons
        # still do, so what was already handed over when the program was interrupted is written out.
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        atexit.register(self.close)
        self._thread.start()

    async def submit(self, work: Work[Answer], *, durable: bool = True) -> Answer:
        loop = asyncio.get_running_loop()
        job = _Job(work, durable, loop, loop.create_future())
        with self._closing:  # behind the word that ends the thread, nobody would take it
            if self._closed:
                raise JournalUnavailable("the journal is closed")
            self._queue.put(job)
        answer: Answer = await job.future
        return answer

    def close(self) -> None:
        """Write out what waits, then end the thread. Blocks; may be called twice."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
                atexit.unregister(self.close)
        self._thread.join()
        self._transactions.close()

    def _run(self) -> None:
        running = True
        while running:
            waiting = [self._queue.get()]
            while len(waiting) < MAX_BATCH:
                try:
                    waiting.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            running = None not in waiting
            jobs = [job for job in waiting if job is not None]
            try:
                self._carry(jobs)
            except Exception as error:  # noqa: BLE001 — the thread lives on, so that whoever waits is told
                self._transactions.give_up()
                failed = f"a write to the journal failed ({type(error).__name__}); restart and recover"
                self._deliver([(job, Result(error=JournalFailed(failed))) for job in jobs])

    def _carry(self, jobs: Sequence[_Job]) -> None:
        for durable in (False, True):
            batch = [job for job in jobs if job.durable is durable]
            if batch:
                results = self._transactions.run([job.work for job in batch], durable=durable)
                self._deliver(list(zip(batch, results, strict=True)))
        self._transactions.checkpoint()

    @staticmethod
    def _deliver(answers: Sequence[tuple[_Job, Result[Any]]]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Job, Result[Any]]]] = {}
        for job, result in answers:
            by_loop.setdefault(job.loop, []).append((job, result))
        for loop, group in by_loop.items():
            try:
                loop.call_soon_threadsafe(_deliver_all, group)
            except RuntimeError:
                continue  # that loop is closed: nobody waits any more, and what was written stays written


def _deliver_all(answers: Sequence[tuple[_Job, Result[Any]]]) -> None:
    for job, result in answers:
        if job.future.done():  # its caller was cancelled; the entry is recorded all the same
            continue
        if result.error is not None:
            job.future.set_exception(result.error)
        else:
            job.future.set_result(result.answer)


def _all(works: Sequence[Work[Any]], error: GatewayError) -> list[Result[Any]]:
    """One error object per caller: a shared one would collect all their tracebacks."""
    return [Result(error=type(error)(*error.args)) for _ in works]


def _entry(connection: sqlite3.Connection, work: Work[Answer]) -> Result[Answer]:
    """One entry in its savepoint: refused alone, it leaves its neighbours in the batch untouched."""
    connection.execute("SAVEPOINT entry")
    try:
        result = Result(answer=work(connection))
    except GatewayError as error:
        connection.execute("ROLLBACK TO entry")
        result = Result(error=error)
    except sqlite3.IntegrityError as error:
        connection.execute("ROLLBACK TO entry")
        result = Result(error=InvariantViolation(f"the journal's own rules refuse this: {error}"))
    connection.execute("RELEASE entry")
    return result


def _rolled_back(connection: sqlite3.Connection) -> bool:
    """Whether nothing of the transaction is left; else the connection is closed, which discards it."""
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        connection.close()
        return False
    return True
