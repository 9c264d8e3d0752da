"""A server lost in mid-write: what is recorded is found out, or nobody claims to know; nothing is sent twice."""

from __future__ import annotations

import asyncio
import resource
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from gateway.contracts.chain import RecordKind
from gateway.contracts.references import ConnectionId
from gateway.contracts.words import End
from gateway.errors import JournalFailed, JournalUnavailable
from gateway.journal import Admission, StoredVolume
from gateway.journal._postgres import PostgresJournal
from gateway.journal._postgres_connection import Connection, Lost
from gateway.journal._postgres_session import Server, Session
from gateway.journal._postgres_writer import MAX_BATCH
from gateway.testing.postgres_wire import Cut

KEY = bytes(range(32))
RECORDED = (Cut.SENT, Cut.AFTER, Cut.UNFINISHED)


async def opened(wire: Any, url: str, answer_seconds: float = 5.0) -> PostgresJournal:
    schema = url.rpartition("&")[2]
    url = f"postgresql://gateway@127.0.0.1:{wire.port}/postgres?sslmode=disable&gssencmode=disable&{schema}"
    return await PostgresJournal.open(url, key=KEY, lock_seconds=5.0, answer_seconds=answer_seconds)


@pytest.mark.requirement("FAIL-20")
@pytest.mark.parametrize("cut", Cut)
async def test_an_append_whose_answer_was_lost_is_looked_up_not_sent_again(
    postgres_wire: Any, postgres_url: str, tell: Any, cut: Cut
) -> None:
    journal = await opened(postgres_wire, postgres_url)
    case = await tell.case().recorded(journal)
    entry = tell.intended(case.header(), case=case)
    before = journal.owner
    postgres_wire.statements.clear()
    postgres_wire.arm(cut)
    if cut in RECORDED:
        assert (await journal.append(entry)).admission is Admission.ADMITTED
    else:
        with pytest.raises(JournalUnavailable):
            await journal.append(entry)
    assert not postgres_wire.armed
    assert postgres_wire.sent(b"journal_write") == 1
    assert journal.owner != before
    file = await journal.attempt(entry.attempt.identity.attempt)
    assert (file is not None) is (cut in RECORDED)
    if file is not None:  # recorded under an owner that is no more: not to be dispatched
        look = (case.practice, case.proposal_id, case.proposal().proposal_digest)
        with pytest.raises(JournalUnavailable):
            await journal.stopped(*look, dispatching=file.attempt)
        assert (await journal.append(tell.ended(entry, End.NOT_DISPATCHED))).admission is Admission.ADMITTED
    await journal.aclose()


@pytest.mark.parametrize("cut", Cut)
async def test_statements_and_suspensions_are_looked_up_as_well(
    postgres_wire: Any, postgres_url: str, tell: Any, cut: Cut
) -> None:
    journal = await opened(postgres_wire, postgres_url)
    case = await tell.case().recorded(journal)
    attempt, _ = await tell.run(journal, case, End.UNKNOWN)
    calls = {
        "revision": lambda: case.recorded(journal, revision=2),
        "decision": lambda: case.say(journal, RecordKind.DECISION),
        "resolution": lambda: journal.resolve(attempt, "stm_one", "signed", "ABSENT"),
        "suspension": lambda: journal.suspend(case.connection, True),
    }
    for number, (name, call) in enumerate(calls.items(), start=2):
        postgres_wire.arm(cut)
        if cut in RECORDED:
            await call()
        else:
            with pytest.raises(JournalUnavailable):
                await call()
        file = await journal.proposal(case.practice, case.proposal_id)
        assert file is not None
        if cut in RECORDED and name != "suspension":
            assert len(file.records) == number
        elif cut not in RECORDED:
            assert len(file.records) == 1
    assert await journal.suspended(case.connection) is (cut in RECORDED)
    if cut in RECORDED:
        record = file.records[-1]
        assert await journal.resolve(attempt, "stm_one", "signed", "ABSENT") == record
    await journal.aclose()


@pytest.mark.parametrize("cut", Cut)
async def test_while_the_server_is_away_nobody_can_tell(
    postgres_wire: Any, postgres_url: str, tell: Any, cut: Cut
) -> None:
    journal = await opened(postgres_wire, postgres_url)
    case = await tell.case().recorded(journal)
    entry, other = (tell.intended(each.header(), case=each) for each in (case, tell.case()))
    postgres_wire.arm(cut)
    postgres_wire.closed = True
    with pytest.raises(JournalFailed):
        await journal.append(entry)
    postgres_wire.sever()
    for call in (journal.append(other), journal.ready(), journal.attempts()):
        with pytest.raises(JournalUnavailable):
            await call
    postgres_wire.closed = False
    assert (await journal.attempt(entry.attempt.identity.attempt) is not None) is (cut in RECORDED)
    assert (await journal.append(other)).admission is Admission.ADMITTED
    await journal.aclose()


@pytest.mark.parametrize("cut", Cut)
async def test_whether_events_left_for_a_volume_is_not_guessed(
    postgres_wire: Any, postgres_url: str, tell: Any, cut: Cut
) -> None:
    journal = await opened(postgres_wire, postgres_url)
    await tell.run(journal, await tell.case().recorded(journal), End.REFUSED)
    found = [each async for each in journal.archivable(tell.now + timedelta(days=1))]
    postgres_wire.arm(cut, b"journal_archive")
    with pytest.raises(JournalFailed):
        await journal.archive_events(StoredVolume(1, "x", "2031-01-01T00:00:00+00:00", 1), found)
    try:
        if cut in RECORDED:  # the statement is on its way still: the server ends it whoever listens
            async with asyncio.timeout(30):
                while [each async for each in journal.archivable(tell.now + timedelta(days=1))]:
                    await asyncio.sleep(0.02)
        else:
            assert [each async for each in journal.archivable(tell.now + timedelta(days=1))] == found
    finally:
        await journal.aclose()


async def test_neighbours_in_a_lost_batch_are_each_told_their_own(
    postgres_wire: Any, postgres_url: str, tell: Any
) -> None:
    journal = await opened(postgres_wire, postgres_url)
    cases = [await tell.case().recorded(journal) for _ in range(6)]
    entries = [tell.intended(case.header(), case=case) for case in cases]
    await journal.append(entries[0])
    postgres_wire.arm(Cut.AFTER)
    batch = [tell.ended(entries[0], End.APPLIED), tell.ended(entries[0], End.UNKNOWN), *entries[1:]]
    answers = await asyncio.gather(*(journal.append(entry) for entry in batch), return_exceptions=True)
    kinds = [getattr(answer, "admission", type(answer)) for answer in answers]
    assert not postgres_wire.armed
    assert kinds[:2] == [Admission.ADMITTED, JournalUnavailable]  # the second would have met LOST: it wrote nothing
    assert kinds[2:] == [Admission.ADMITTED] * 5
    await journal.aclose()


LOOKING = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT journal_settle%' AND wait_event = 'advisory'"


async def test_the_look_waits_until_the_lost_backend_is_over(
    postgres: Any, postgres_wire: Any, postgres_url: str, tell: Any
) -> None:
    """A statement that still waits behind another is not recorded yet, and will be."""
    journal = await opened(postgres_wire, postgres_url)
    case = await tell.case().recorded(journal)
    with psycopg.connect(postgres_url) as holder:
        holder.execute("SELECT journal_lock()")
        postgres_wire.arm(Cut.SENT)
        append = asyncio.create_task(journal.append(tell.intended(case.header(), case=case)))
        while not (append.done() or await asyncio.to_thread(postgres.psql, LOOKING)):
            await asyncio.sleep(0.01)
        holder.rollback()
    assert (await append).admission is Admission.ADMITTED
    await journal.aclose()


async def test_what_is_found_is_made_durable_before_it_is_answered(
    postgres: Any, postgres_wire: Any, postgres_url: str, tell: Any
) -> None:
    """As above, but the lost backend ends before its standby has answered: its entry is at one place only."""
    journal = await opened(postgres_wire, postgres_url, answer_seconds=3.0)
    case = await tell.case().recorded(journal)
    entry = tell.intended(case.header(), case=case)
    with psycopg.connect(postgres_url) as holder:
        holder.execute("SELECT journal_lock()")
        postgres_wire.arm(Cut.SENT)
        append = asyncio.create_task(journal.append(entry))
        while not (append.done() or await asyncio.to_thread(postgres.psql, LOOKING)):
            await asyncio.sleep(0.01)
        with postgres.setting("synchronous_standby_names", "nobody"):
            holder.rollback()
            ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            while not (append.done() or await asyncio.to_thread(postgres.psql, ending)):
                await asyncio.sleep(0.01)
            with pytest.raises(JournalFailed):
                await append
    assert await journal.attempt(entry.attempt.identity.attempt) is not None
    await journal.aclose()


async def test_a_commit_that_waits_for_its_standbys_is_neither_recorded_nor_not(
    postgres: Any, postgres_wire: Any, postgres_url: str, tell: Any
) -> None:
    journal = await opened(postgres_wire, postgres_url, answer_seconds=1.0)
    case = await tell.case().recorded(journal)
    with postgres.setting("synchronous_standby_names", "nobody"), pytest.raises(JournalFailed):
        await journal.append(tell.intended(case.header(), case=case))
    await journal.aclose()


async def test_a_wait_for_the_standbys_that_was_cancelled_acknowledges_nothing(
    postgres: Any, postgres_url: str, tell: Any
) -> None:
    """The server then answers with a success and a warning; the success is none."""
    journal = await PostgresJournal.open(postgres_url, key=KEY, lock_seconds=0.5, answer_seconds=2.0)
    case = await tell.case().recorded(journal)
    entry = tell.intended(case.header(), case=case)
    with postgres.setting("synchronous_standby_names", "nobody"):
        append = asyncio.create_task(journal.append(entry))
        waiting = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        while not await asyncio.to_thread(postgres.psql, waiting):
            await asyncio.sleep(0.01)
        with pytest.raises(JournalFailed):
            await append
    assert await journal.attempt(entry.attempt.identity.attempt) is not None
    await journal.aclose()


async def test_a_warning_is_of_the_call_that_it_came_for(postgres_url: str) -> None:
    """Archiving and questions share a line: a question asked meanwhile takes no warning from it, nor gets one."""
    connection, _ = await Connection.open(postgres_url)
    came = asyncio.Event()
    connection._raw.add_notice_handler(lambda _: came.set())
    warned = "DO $$ BEGIN RAISE WARNING 'canceling wait for synchronous replication'; PERFORM pg_sleep(0.2); END $$"
    archiving = asyncio.create_task(connection.call(warned))
    await came.wait()
    asking = asyncio.create_task(connection.call("SELECT 1 AS one"))
    with pytest.raises(Lost):
        await archiving
    with pytest.raises(Lost):  # the line is given up; the next question gets a new one
        await asking


async def test_what_was_acknowledged_outlives_kill_9_of_the_server(postgres: Any, postgres_url: str, tell: Any) -> None:
    journal = await PostgresJournal.open(postgres_url, key=KEY, lock_seconds=0.5)
    done: list[Any] = []
    doubtful: list[Any] = []
    stop = False

    async def caller() -> None:
        while not stop:
            case = tell.case()
            entry = tell.intended(case.header(), case=case)
            try:
                await journal.append(entry)
            except JournalUnavailable:
                continue
            except JournalFailed:
                doubtful.append(entry)
                return
            done.append(entry)

    callers = [asyncio.create_task(caller()) for _ in range(8)]
    while len(done) < 40:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(postgres.kill)
    stop = True
    await asyncio.gather(*callers)
    await asyncio.to_thread(postgres.start)
    for entry in done:
        file = await journal.attempt(entry.attempt.identity.attempt)
        assert file is not None
        assert file.links[-1].hash == entry.attempt.head
    orphans = {file.attempt for file in await journal.orphans()}
    assert {entry.attempt.identity.attempt for entry in done} <= orphans
    assert orphans <= {entry.attempt.identity.attempt for entry in (*done, *doubtful)}
    with psycopg.connect(postgres_url) as client:
        assert client.execute("SELECT count(*) = max(position) FROM attempts").fetchone() == (True,)
    await journal.aclose()


# -- what nobody foresees --------------------------------------------------------------------------------


async def test_a_failure_that_nobody_foresaw_is_told_to_all_who_wait_and_is_the_last(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await PostgresJournal.open(postgres_url, key=KEY)
    case = ConnectionId.random()

    async def failing(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as failed:
        failed.setattr(Session, "write", failing)
        async with asyncio.timeout(20):
            calls = (journal.suspend(case, True) for _ in range(MAX_BATCH + 5))
            found = await asyncio.gather(*calls, return_exceptions=True)
    assert {(type(each), str(each)) for each in found} == {
        (JournalFailed, "a write to the journal failed (MemoryError); restart and recover")
    }
    assert len(set(map(id, found))) == len(found)
    for call in (journal.suspend(case, True), journal.ready()):
        with pytest.raises(JournalFailed, match="an earlier write"):
            await call
    assert not await journal.suspended(case)
    await journal.aclose()
    with pytest.raises(JournalUnavailable, match="closed"):
        await journal.suspend(case, True)


async def test_a_session_is_given_up_although_no_descriptor_is_left(postgres_url: str) -> None:
    connection, _ = await Connection.open(postgres_url, answer_seconds=0.5)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        async with asyncio.timeout(20):
            with pytest.raises(Lost):
                await connection.call("SELECT pg_sleep(60)")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await connection.close()
    assert not connection.alive()


async def test_all_who_wait_for_a_server_share_one_try(
    postgres_wire: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await opened(postgres_wire, postgres_url)
    postgres_wire.sever()
    await asyncio.sleep(0.05)
    tries = 0
    known = Server.connect

    async def connect(server: Server) -> Connection:
        nonlocal tries
        tries += 1
        await asyncio.sleep(0.05)
        if tries < 3:
            raise JournalUnavailable("nobody is there")
        return await known(server)

    monkeypatch.setattr(Server, "connect", connect)
    for calls, expected in (([journal.proposals() for _ in range(8)], 1), ([journal.ready() for _ in range(8)], 2)):
        assert {type(each) for each in await asyncio.gather(*calls, return_exceptions=True)} == {JournalUnavailable}
        assert tries == expected
    given_up = asyncio.create_task(journal.proposals())
    await asyncio.sleep(0.01)
    asking = [asyncio.create_task(journal.proposals()) for _ in range(3)]
    await asyncio.sleep(0.01)
    given_up.cancel()
    assert await asyncio.gather(*asking) == [[]] * 3
    assert tries == 3
    await journal.ready()
    assert tries == 4
    await journal.aclose()


@pytest.mark.parametrize("asked", ["ready", "proposals"])
async def test_closing_leaves_no_session_behind_that_is_being_opened(
    postgres_wire: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    journal = await opened(postgres_wire, postgres_url)
    postgres_wire.sever()
    await asyncio.sleep(0.05)
    made: list[Connection] = []
    known = Server.connect

    async def connect(server: Server) -> Connection:
        await asyncio.sleep(0.05)
        made.append(await known(server))
        return made[-1]

    monkeypatch.setattr(Server, "connect", connect)
    call = asyncio.create_task(getattr(journal, asked)())
    await asyncio.sleep(0.01)
    await journal.aclose()
    await asyncio.gather(call, return_exceptions=True)
    await asyncio.sleep(0.1)
    assert made
    assert not any(connection.alive() for connection in made)


@pytest.mark.parametrize("silent", ["server", "names"])
async def test_a_server_is_not_looked_for_longer_than_an_answer(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and says nothing; or nobody says where it is."""

    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    heard: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: heard.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    host = "127.0.0.1" if silent == "server" else "nowhere.example"
    if silent == "names":
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    url = f"postgresql://gateway@{host}:{port},{host}:{port}/postgres?sslmode=disable&gssencmode=disable"
    async with asyncio.timeout(4):
        with pytest.raises(JournalUnavailable):
            await Connection.open(url, answer_seconds=0.2)
    assert bool(heard) is (silent == "server")
    for writer in heard:
        writer.close()
    server.close()
    await server.wait_closed()
