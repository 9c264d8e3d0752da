"""What is SQLite's own: pragmas, the file, group commit, other processes, sudden death and failing disks."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import resource
import sqlite3
import stat
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.contracts.references import AttemptId, ConnectionId, PracticeId, ProposalId, TriggerId
from gateway.contracts.words import End, Unfinished
from gateway.errors import (
    ConfigurationError,
    Conflict,
    InvariantViolation,
    JournalFailed,
    JournalUnavailable,
)
from gateway.journal import Admission, Durability, StoredVolume, _sqlite_writer
from gateway.journal._sqlite import SqliteJournal
from gateway.journal._sqlite_connection import Synchronous, connect
from gateway.journal._sqlite_reads import look

KEY = bytes(range(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def open_at(path: Path) -> SqliteJournal:
    return SqliteJournal.open(path, key=KEY, busy_seconds=0.2)


async def test_durability_is_set_and_the_file_is_the_owners_only(path: Path) -> None:
    journal = open_at(path)
    assert journal.durability == Durability("WAL, synchronous FULL and foreign keys, read back at opening")
    await journal.aclose()
    with sqlite3.connect(path) as plain:
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    plain.close()
    connection = connect(path, Synchronous.FULL, 1.0)
    names = ("synchronous", "fullfsync", "checkpoint_fullfsync", "foreign_keys", "trusted_schema", "cell_size_check")
    assert connection.execute("PRAGMA busy_timeout").fetchone()[0] == 1000
    pragmas = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    connection.close()
    assert pragmas == [2, 1, 1, 1, 0, 1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_database_that_will_not_do_wal_is_refused(path: Path) -> None:
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")  # SQLite then cannot change the journal mode
    with pytest.raises(ConfigurationError):
        open_at(path)
    holder.close()


@pytest.mark.parametrize("content", [b"not a database at all" * 100, None])
async def test_a_file_that_is_something_else_is_refused_and_untouched(path: Path, content: bytes | None) -> None:
    if content is None:
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE theirs (x)")
        other.commit()
        other.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError):
        open_at(path)
    assert path.read_bytes() == before
    with pytest.raises(ConfigurationError):
        open_at(path / "no-such-folder" / "journal.db")


async def test_another_key_and_a_newer_schema_are_refused(path: Path) -> None:
    await open_at(path).aclose()
    with pytest.raises(ConfigurationError, match="another key"):
        SqliteJournal.open(path, key=bytes(32))
    with pytest.raises(ConfigurationError, match="32 random bytes"):
        SqliteJournal.open(path, key=b"short")
    with sqlite3.connect(path) as plain:
        plain.execute("PRAGMA user_version = 99")
    plain.close()
    with pytest.raises(ConfigurationError, match=r"^journal\.db was written by a newer gateway"):
        open_at(path)


def test_a_fault_of_sqlites_is_told_by_its_name(path: Path) -> None:
    connection = sqlite3.connect(path)
    with pytest.raises(JournalUnavailable, match=r"\(SQLITE_ERROR\)$"), look(connection):
        connection.execute("SELECT * FROM nothing")
    connection.close()


@pytest.mark.requirement("PHI-04")
def test_a_siblings_digest_cannot_be_guessed_without_the_journals_key(tmp_path: Path) -> None:
    one = SqliteJournal.open(tmp_path / "one.db", key=bytes(32))
    two = SqliteJournal.open(tmp_path / "two.db", key=bytes([1]) * 32)
    same = SqliteJournal.open(tmp_path / "three.db", key=bytes(32))
    assert one.sibling_digest("slot", "10:00") == same.sibling_digest("slot", "10:00")
    assert one.sibling_digest("slot", "10:00") != two.sibling_digest("slot", "10:00")
    assert one.sibling_digest("ab", "c") != one.sibling_digest("a", "bc")
    for journal in (one, two, same):
        asyncio.run(journal.aclose())


async def test_concurrent_appends_share_a_commit_and_sequential_ones_take_one_each(path: Path, tell: Any) -> None:
    journal = open_at(path)
    statements: list[str] = []
    journal._writer._transactions._durable.set_trace_callback(statements.append)
    journal._writer._transactions._light.set_trace_callback(statements.append)
    stories = [tell.intended(case.header(), case=case) for case in (tell.case() for _ in range(64))]
    for entry in stories[:4]:
        await journal.append(entry)
    assert statements.count("COMMIT") == 4
    statements.clear()
    answers = await asyncio.gather(*(journal.append(entry) for entry in stories[4:]))
    assert [answer.admission for answer in answers] == [Admission.ADMITTED] * 60
    assert statements.count("COMMIT") <= 10
    await journal.aclose()


async def test_a_refused_entry_leaves_its_neighbours_in_the_batch_alone(path: Path, tell: Any) -> None:
    journal = open_at(path)
    cases = [await tell.case().recorded(journal) for _ in range(3)]
    entries = [tell.intended(case.header(), case=case) for case in cases]
    forgery = journal._writer.submit(lambda connection: connection.execute("DELETE FROM records"))
    twin = replace(entries[0], header=cases[2].header())  # another trigger, but an attempt id that is taken
    answers = await asyncio.gather(
        journal.append(entries[0]), forgery, journal.append(twin), journal.append(entries[1]), return_exceptions=True
    )
    admissions = [getattr(answer, "admission", type(answer)) for answer in answers]
    assert admissions == [Admission.ADMITTED, InvariantViolation, Admission.LOST, Admission.ADMITTED]
    assert len(await journal.attempts()) == 2
    assert len(await journal.proposals()) == 3
    await journal.aclose()


async def test_an_append_goes_through_although_its_caller_was_cancelled(path: Path, tell: Any) -> None:
    journal = open_at(path)
    case = tell.case()
    entry = tell.intended(case.header(), case=case)
    call = asyncio.create_task(journal.append(entry))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await journal.aclose()
    again = open_at(path)
    assert await again.attempt(entry.attempt.identity.attempt) is not None
    await again.aclose()
    with pytest.raises(JournalUnavailable):
        await again.append(entry)


async def test_another_processs_transaction_is_waited_for_and_then_unavailable(path: Path, tell: Any) -> None:
    journal, case = open_at(path), tell.case()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalUnavailable):
        await journal.append(tell.intended(case.header(), case=case))
    with pytest.raises(JournalUnavailable):
        await journal.ready()
    holder.execute("ROLLBACK")
    holder.close()
    assert await journal.attempts() == []
    await journal.ready()
    assert (await journal.append(tell.intended(case.header(), case=case))).admission is Admission.ADMITTED
    await journal.aclose()


@contextmanager
def no_file_grows_beyond(size: int) -> Iterator[None]:
    """A disk that is full, as the kernel tells it (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.requirement("DEP-03")
async def test_after_a_commit_that_failed_nothing_is_promised_any_more(path: Path, tell: Any) -> None:
    journal = open_at(path)
    case, other = tell.case(), tell.case()
    wal = path.with_name(path.name + "-wal")
    with no_file_grows_beyond(wal.stat().st_size + 100), pytest.raises(JournalFailed):
        await journal.append(tell.intended(case.header(), case=case))
    for call in (journal.append(tell.intended(other.header(), case=other)), journal.ready()):
        with pytest.raises(JournalFailed):
            await call
    assert await journal.attempts() == []  # reading goes on
    await journal.aclose()
    again = open_at(path)
    assert (await again.append(tell.intended(case.header(), case=case))).admission is Admission.ADMITTED
    await again.aclose()


@pytest.mark.requirement("GATE-28")
async def test_a_full_disk_is_seen_before_an_intent_is_tried(path: Path, tell: Any) -> None:
    journal = open_at(path)
    await journal.ready()
    wal = path.with_name(path.name + "-wal")
    with no_file_grows_beyond(wal.stat().st_size + 100):
        with pytest.raises(JournalUnavailable):
            await journal.ready()
        with pytest.raises(JournalUnavailable):
            await journal.reserve(ConnectionId.random(), 1, 10, tell.now)
    await journal.ready()
    case = tell.case()
    assert (await journal.append(tell.intended(case.header(), case=case))).admission is Admission.ADMITTED
    await journal.aclose()


async def test_a_wal_whose_name_cannot_be_made_durable_is_not_written_to(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite syncs the directory of a new WAL and does not look whether it succeeded."""
    real = os.fsync

    def failing(descriptor: int) -> None:
        if path.with_name(path.name + "-wal").exists():
            raise OSError(errno.EIO, "")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(ConfigurationError, match="Input/output error"):
        open_at(path)


async def test_a_transaction_that_can_be_neither_ended_nor_undone_is_the_last_and_keeps_nobody_waiting(
    path: Path, tell: Any
) -> None:
    journal, case = open_at(path), tell.case()

    def forbid(action: int, word: str | None, *_: str | None) -> int:
        ending = action == sqlite3.SQLITE_TRANSACTION and word in ("COMMIT", "ROLLBACK")
        return sqlite3.SQLITE_DENY if ending else sqlite3.SQLITE_OK

    journal._writer._transactions._light.set_authorizer(forbid)
    for call in (journal.ready, journal.ready, lambda: journal.append(tell.intended(case.header(), case=case))):
        with pytest.raises(JournalFailed):
            await asyncio.wait_for(call(), 5)
    await journal.aclose()
    again = open_at(path)
    assert await again.attempts() == []
    await again.aclose()


async def test_a_journal_closes_although_every_thread_that_is_shared_hangs(path: Path, tell: Any) -> None:
    journal, case = open_at(path), tell.case()
    hanging = threading.Event()
    with ThreadPoolExecutor(1) as shared:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(shared)
        loop.run_in_executor(None, hanging.wait)
        try:
            await asyncio.wait_for(journal.append(tell.intended(case.header(), case=case)), 10)
            await asyncio.wait_for(journal.aclose(), 10)
        finally:
            hanging.set()
    again = open_at(path)
    assert len(await again.attempts()) == 1
    await again.aclose()


@pytest.mark.skipif(not Path("/usr/bin/strace").exists(), reason="strace counts the kernel's syncs")
@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_a_commit_costs_two_syncs_and_budget_and_readiness_none(place: Any) -> None:
    """Counted by the kernel; `reserve` and `ready` are called once for each pair, as an attempt does."""
    body = """
async def one():
    case = stories.Case()
    await journal.ready()
    await journal.reserve(case.connection, 1, 10, stories.NOW)
    await stories.run(journal, case, End.APPLIED)
await one()
os.fsync(journal._owners._descriptor)
for _ in range(20): await one()
os.fsync(journal._owners._descriptor)
os._exit(0)
"""
    log = place.home / "strace"
    command = ["/usr/bin/strace", "-f", "-e", "trace=fsync,fdatasync", "-o", str(log)]
    subprocess.run([*command, *place.script(body)], check=True)
    calls = [line.split()[1] for line in log.read_text().splitlines() if "sync(" in line]
    marks = [number for number, call in enumerate(calls) if call.startswith("fsync(")]
    assert marks[-1] - marks[-2] - 1 == 40


async def test_a_journal_that_others_have_open_is_not_compacted(path: Path, tell: Any) -> None:
    one, other = open_at(path), open_at(path)
    with pytest.raises(Conflict, match="stop them first"):
        await one.compact()
    await other.aclose()
    await one.compact()
    await one.aclose()


async def test_compacting_gives_the_space_of_archived_events_back(
    path: Path, tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sqlite_writer, "CHECKPOINT_EVERY", 1)  # the size of the file is then what it holds
    journal = open_at(path)
    for _ in range(20):
        await tell.run(journal, await tell.case().recorded(journal), End.APPLIED)
    found = [each async for each in journal.archivable(tell.now + timedelta(days=1))]
    await journal.archive_events(StoredVolume(1, "1", "2031-01-01T00:00:00+00:00", 20), found)
    await journal.ready()  # the writer's next work comes after its checkpoint
    before = path.stat().st_size
    await journal.compact()
    after = path.stat().st_size
    await journal.aclose()
    assert after < before / 1.5
    assert not path.with_name(path.name + "-wal").exists() or not path.with_name(path.name + "-wal").stat().st_size


async def test_after_a_large_move_the_wal_is_carried_over_at_once(
    path: Path, tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sqlite_writer, "CHECKPOINT_EVERY", 5)
    journal = open_at(path)
    await tell.run(journal, await tell.case().recorded(journal), End.APPLIED)
    found = [each async for each in journal.archivable(tell.now + timedelta(days=1))]
    monkeypatch.setattr(_sqlite_writer, "ENTRY_ROWS", 2)
    before = path.stat().st_size
    await journal.archive_events(StoredVolume(1, "1", "2031-01-01T00:00:00+00:00", 1), found)
    await journal.ready()  # the writer's next work comes after its checkpoint
    after = path.stat().st_size
    await journal.aclose()
    assert after > before


async def test_nobody_commits_while_the_wal_is_carried_over(
    path: Path, tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite before 3.51.3 may damage the file if another process starts the WAL anew during a checkpoint."""
    monkeypatch.setattr(_sqlite_writer, "CHECKPOINT_EVERY", 1)
    journal = open_at(path)
    stranger = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    refused: list[str] = []

    def try_to_write(statement: str) -> None:
        if "wal_checkpoint" in statement:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                stranger.execute("BEGIN IMMEDIATE")
            refused.append(statement)

    journal._writer._transactions._durable.set_trace_callback(try_to_write)
    await tell.run(journal, await tell.case().recorded(journal), End.APPLIED)
    await journal.ready()  # the writer's next work comes after its checkpoint
    assert refused
    stranger.execute("BEGIN IMMEDIATE")  # and afterwards somebody may
    stranger.close()
    await journal.aclose()


async def test_no_question_of_a_commit_or_of_a_start_reads_a_whole_table(path: Path) -> None:
    journal, asked = open_at(path), []
    journal._reader.set_trace_callback(asked.append)
    practice, proposal = PracticeId.random(), ProposalId.random()
    await journal.orphans()
    await journal.trigger(TriggerId.random())
    await journal.intent("0" * 64)
    await journal.related(["0" * 64])
    await journal.attempt(AttemptId.random())
    await journal.attempts(standing=Unfinished.UNRESOLVED)
    await journal.paused(practice, proposal)
    await journal.proposal(practice, proposal)
    await journal.stopped(practice, proposal)
    await journal.suspended(ConnectionId.random())
    journal._reader.set_trace_callback(None)
    questions = [each for each in asked if each.lstrip().startswith("SELECT")]
    assert len(questions) >= 10
    for question in questions:
        plan = [row[3] for row in journal._reader.execute(f"EXPLAIN QUERY PLAN {question}")]
        assert not [step for step in plan if step.startswith("SCAN") and not re.search("INDEX|CONSTANT", step)], (
            question
        )
    await journal.aclose()
