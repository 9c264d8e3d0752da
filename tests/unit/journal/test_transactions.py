"""What a failure of one transaction means, and to whom answers go: on connections that fail where they are told to."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import InvariantViolation, JournalFailed, JournalUnavailable
from gateway.journal._sqlite_writer import CHECKPOINT_EVERY, Result, Transactions, Writer, _deliver_all, _Job

CHECKPOINT = "PRAGMA wal_checkpoint"
Work = Callable[[sqlite3.Connection], Any]


class Faulty(sqlite3.Connection):
    """Raises instead of executing what begins so; `said` is everything that it was asked to execute."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, isolation_level=None, check_same_thread=False)
        self.failing: dict[str, Exception] = {}
        self.said: list[str] = []

    def execute(self, sql: str, *given: Any) -> sqlite3.Cursor:
        self.said.append(sql)
        for beginning, error in self.failing.items():
            if sql.startswith(beginning):
                raise error
        return super().execute(sql, *given)


def fault(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("canary")
    error.sqlite_errorname, error.sqlite_errorcode = name, getattr(sqlite3, name)
    return error


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Faulty, Faulty]]:
    path = tmp_path / "one.db"
    durable, light = Faulty(path), Faulty(path)
    durable.execute("PRAGMA journal_mode = WAL")
    durable.execute("CREATE TABLE rows (row INTEGER UNIQUE)")
    yield durable, light
    durable.close()
    light.close()


@pytest.fixture
def transactions(both: tuple[Faulty, Faulty]) -> Transactions:
    return Transactions(*both)


def writing(rows: int = 1) -> Work:
    def work(connection: sqlite3.Connection) -> sqlite3.Connection:
        for _ in range(rows):
            connection.execute("INSERT INTO rows VALUES (NULL)")
        return connection

    return work


def raising(error: Exception) -> Work:
    def work(connection: sqlite3.Connection) -> None:
        writing()(connection)
        raise error

    return work


def told(result: Result[Any]) -> tuple[type, str]:
    return type(result.error), str(result.error)


@pytest.mark.parametrize("durable", [True, False])
def test_each_kind_of_work_has_its_own_connection(
    transactions: Transactions, both: tuple[Faulty, Faulty], durable: bool
) -> None:
    [result] = transactions.run([writing()], durable=durable)
    assert result.answer is both[not durable]


@pytest.mark.parametrize(
    ("durable", "at", "error", "ends"),
    [
        (True, "BEGIN", fault("SQLITE_BUSY"), None),
        (True, "COMMIT", fault("SQLITE_BUSY"), "SQLITE_BUSY"),
        (True, "BEGIN", fault("SQLITE_IOERR_WRITE"), "SQLITE_IOERR_WRITE"),
        (True, "BEGIN", fault("SQLITE_FULL"), "SQLITE_FULL"),
        (False, "COMMIT", fault("SQLITE_IOERR_WRITE"), None),
        (True, "work", KeyError("canary"), None),
        (True, "work", fault("SQLITE_IOERR_FSYNC"), "SQLITE_IOERR_FSYNC"),
        (True, "COMMIT", KeyError("canary"), "KeyError"),
    ],
    ids=lambda value: getattr(value, "sqlite_errorname", None),
)
def test_a_failure_is_the_last_where_it_leaves_doubt_and_nothing_recorded_elsewhere(
    transactions: Transactions, both: tuple[Faulty, Faulty], durable: bool, at: str, error: Exception, ends: str | None
) -> None:
    connection = both[not durable]
    if at != "work":
        connection.failing = {at: error}
    found = transactions.run([raising(error) if at == "work" else writing(), writing()], durable=durable)
    connection.failing = {}
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if ends is None:
        assert [told(each) for each in found] == [(JournalUnavailable, f"nothing was recorded ({name})")] * 2
        assert both[0].execute("SELECT count(*) FROM rows").fetchone() == (0,)
        assert transactions.run([writing()], durable=True)[0].error is None
        return
    failed = f"a write to the journal failed ({ends}); restart and recover"
    assert [told(each) for each in found] == [(JournalFailed, failed)] * 2
    assert found[0].error is not found[1].error
    earlier = "an earlier write to the journal's disk failed; restart and recover"
    assert [told(each) for each in transactions.run([writing()], durable=durable)] == [(JournalFailed, earlier)]


def test_what_the_schema_refuses_is_that_entrys_alone(transactions: Transactions) -> None:
    def twice(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO rows VALUES (7), (7)")

    refused, done = transactions.run([twice, writing()], durable=True)
    kind, said = told(refused)
    assert kind is InvariantViolation
    assert said.startswith("the journal's own rules refuse this: UNIQUE constraint failed")
    assert done.error is None


# -- carrying the WAL over ------------------------------------------------------------------------------


def checkpoints(connection: Faulty) -> int:
    return sum(statement.startswith(CHECKPOINT) for statement in connection.said)


def test_the_wal_is_carried_over_after_so_many_entries(transactions: Transactions, both: tuple[Faulty, Faulty]) -> None:
    transactions.run([writing()] * (CHECKPOINT_EVERY - 1), durable=True)
    transactions.run([writing()] * CHECKPOINT_EVERY, durable=False)
    transactions.checkpoint()
    assert checkpoints(both[0]) == 0
    transactions.run([writing()], durable=True)
    transactions.checkpoint()
    transactions.checkpoint()
    assert checkpoints(both[0]) == 1


def test_entries_are_counted_by_what_they_changed_themselves(
    transactions: Transactions, both: tuple[Faulty, Faulty]
) -> None:
    transactions.run([writing(60)] * (CHECKPOINT_EVERY // 2), durable=True)
    transactions.run([writing()], durable=True)
    transactions.checkpoint()
    assert checkpoints(both[0]) == 0


@pytest.mark.parametrize(("name", "last"), [("SQLITE_BUSY", False), ("SQLITE_IOERR_FSYNC", True)])
def test_a_wal_that_cannot_be_carried_over_is_tried_again_unless_the_disk_fails(
    transactions: Transactions, both: tuple[Faulty, Faulty], name: str, last: bool
) -> None:
    transactions.run([writing()] * CHECKPOINT_EVERY, durable=True)
    both[0].failing = {CHECKPOINT: fault(name)}
    transactions.checkpoint()
    both[0].failing = {}
    [result] = transactions.run([writing()], durable=True)
    assert (type(result.error) is JournalFailed) is last
    transactions.checkpoint()
    assert checkpoints(both[0]) == (1 if last else 2)


# -- whom the answers reach -----------------------------------------------------------------------------


async def test_a_loop_that_is_closed_keeps_no_answer_from_another(transactions: Transactions) -> None:
    closed, here = asyncio.new_event_loop(), asyncio.get_running_loop()
    gone, waiting = closed.create_future(), here.create_future()
    closed.close()
    jobs = (_Job(writing(), True, closed, gone), _Job(writing(), True, here, waiting))
    Writer._deliver([(job, Result(answer=7)) for job in jobs])
    assert await waiting == 7


async def test_a_caller_that_is_gone_keeps_no_answer_from_the_next() -> None:
    loop = asyncio.get_running_loop()
    gone, waiting = loop.create_future(), loop.create_future()
    gone.cancel()
    _deliver_all([(_Job(writing(), True, loop, each), Result(answer=7)) for each in (gone, waiting)])
    assert await waiting == 7


# -- what nobody foresees --------------------------------------------------------------------------------


async def assert_over(writer: Writer) -> None:
    """Every later entry is answered, and that no disk can be trusted any more."""
    try:
        async with asyncio.timeout(10):
            with pytest.raises(JournalFailed, match="an earlier write"):
                await writer.submit(writing())
    finally:
        writer.close()


@pytest.mark.parametrize("durable", [True, False])
async def test_a_batch_that_fails_as_nobody_foresaw_is_answered_and_the_last(
    transactions: Transactions, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    carried = transactions.run

    def run(works: Any, *, durable: bool) -> Any:
        if failing.is_set():
            failing.clear()
            raise MemoryError
        return carried(works, durable=durable)

    failing = threading.Event()
    failing.set()
    monkeypatch.setattr(transactions, "run", run)
    writer = Writer(transactions)
    async with asyncio.timeout(10):
        found = await asyncio.gather(
            *(writer.submit(writing(), durable=durable) for _ in range(3)), return_exceptions=True
        )
    said = "a write to the journal failed (MemoryError); restart and recover"
    assert (type(found[0]), str(found[0])) == (JournalFailed, said)
    assert {type(each) for each in found} == {JournalFailed}
    await assert_over(writer)


async def test_a_wal_that_cannot_be_carried_over_for_no_known_reason_takes_no_answer_back(
    transactions: Transactions, both: tuple[Faulty, Faulty]
) -> None:
    transactions.run([writing()] * CHECKPOINT_EVERY, durable=True)
    both[0].failing = {CHECKPOINT: MemoryError()}
    writer = Writer(transactions)
    async with asyncio.timeout(10):
        await writer.submit(writing())
    await assert_over(writer)


async def test_an_entry_that_comes_while_the_journal_is_closed_is_answered(transactions: Transactions) -> None:
    """The thread ends at a word in its queue: nothing may be put behind it."""
    writer = Writer(transactions)
    put = writer._queue.put
    closing = threading.Thread(target=writer.close)

    class Slow:
        """Between the look whether the journal is open and the queue, another thread closes it."""

        get = staticmethod(writer._queue.get)
        get_nowait = staticmethod(writer._queue.get_nowait)

        @staticmethod
        def put(job: _Job | None) -> None:
            if job is not None:
                closing.start()
                closing.join(0.5)
            put(job)

    writer._queue = Slow  # type: ignore[assignment]  # of a queue, what the writer uses
    async with asyncio.timeout(10):
        await writer.submit(writing())
    closing.join()
    with pytest.raises(JournalUnavailable, match="closed"):
        await writer.submit(writing())


def test_the_writers_thread_is_known_by_its_name_and_holds_no_program_up(transactions: Transactions) -> None:
    writer = Writer(transactions)
    assert [each.daemon for each in threading.enumerate() if each.name == "journal-writer"] == [True]
    writer.close()
