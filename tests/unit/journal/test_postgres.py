"""What is PostgreSQL's own: one session that owns, one statement for an append, locks that wait, and strangers."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from gateway.contracts.chain import RecordKind
from gateway.contracts.references import ConnectionId
from gateway.contracts.words import End
from gateway.errors import ConfigurationError, InvariantViolation, JournalUnavailable
from gateway.journal import Admission
from gateway.journal._postgres import PostgresJournal
from gateway.journal._postgres_connection import Connection, Lost

KEY = bytes(range(32))


async def opened(url: str) -> PostgresJournal:
    return await PostgresJournal.open(url, key=KEY, lock_seconds=0.5, answer_seconds=5.0)


def backend(journal: PostgresJournal) -> int:
    """The server's process behind the owner's session."""
    return journal._writer._session.connection._raw.info.backend_pid


def through(wire: Any, url: str) -> str:
    """The same schema, over the wire that tests can cut."""
    return (
        f"postgresql://gateway@127.0.0.1:{wire.port}/postgres?sslmode=disable&gssencmode=disable&"
        + url.rpartition("&")[2]
    )


async def test_another_key_a_newer_schema_and_a_strangers_tables_are_refused(postgres: Any, postgres_url: str) -> None:
    await (await opened(postgres_url)).aclose()
    with pytest.raises(ConfigurationError, match="another key"):
        await PostgresJournal.open(postgres_url, key=bytes(32))
    with pytest.raises(ConfigurationError, match="32 random bytes"):
        await PostgresJournal.open(postgres_url, key=b"short")
    with psycopg.connect(postgres_url) as client:
        client.execute("INSERT INTO version (number) VALUES (99)")
    with pytest.raises(ConfigurationError, match="newer gateway"):
        await opened(postgres_url)
    postgres.psql("CREATE SCHEMA theirs; CREATE TABLE theirs.ledger (x int)")
    with pytest.raises(ConfigurationError, match="something else"):
        await opened(postgres.url(options="-csearch_path=theirs"))
    assert postgres.psql("SELECT count(*) FROM pg_class WHERE relnamespace = 'theirs'::regnamespace") == "1"


async def test_processes_that_open_a_new_journal_at_once_make_one(postgres_url: str) -> None:
    journals = await asyncio.gather(*(opened(postgres_url) for _ in range(4)))
    with psycopg.connect(postgres_url) as client:
        assert client.execute("SELECT count(*), max(number) FROM version").fetchone() == (5, 5)
        assert client.execute("SELECT count(*) FROM meta").fetchone() == (2,)
    assert len({journal.owner for journal in journals}) == 4
    for journal in journals:
        await journal.aclose()


async def test_a_role_without_rights_is_told_what_it_lacks(postgres: Any, postgres_url: str) -> None:
    schema = postgres_url.rpartition("%3D")[2]
    postgres.psql(f"CREATE ROLE {schema} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {schema}")
    with pytest.raises(ConfigurationError, match="must own the schema"):
        await opened(postgres_url.replace("gateway@", f"{schema}@"))
    postgres.psql(f"ALTER SCHEMA {schema} OWNER TO {schema}")
    await (await opened(postgres_url.replace("gateway@", f"{schema}@"))).aclose()


async def test_an_append_is_one_round_trip_and_those_that_wait_share_one(
    postgres_wire: Any, postgres_url: str, tell: Any
) -> None:
    journal = await opened(through(postgres_wire, postgres_url))
    stories = [tell.intended(case.header(), case=case) for case in (tell.case() for _ in range(64))]
    postgres_wire.statements.clear()
    for entry in stories[:4]:
        await journal.append(entry)
    assert len(postgres_wire.statements) == postgres_wire.sent(b"journal_write") == 4
    answers = await asyncio.gather(*(journal.append(entry) for entry in stories[4:]))
    assert [answer.admission for answer in answers] == [Admission.ADMITTED] * 60
    assert len(postgres_wire.statements) <= 6
    await journal.aclose()


async def test_a_refused_entry_leaves_its_neighbours_in_the_batch_alone(postgres_url: str, tell: Any) -> None:
    journal = await opened(postgres_url)
    cases = [await tell.case().recorded(journal) for _ in range(3)]
    entries = [tell.intended(case.header(), case=case) for case in cases]
    twin = replace(entries[0], header=cases[2].header())  # another trigger, but an attempt id that is taken
    odd = json.dumps({"do": "suspend", "connection": None, "suspended": True})
    answers = await asyncio.gather(
        journal.append(entries[0]),
        journal._writer.submit(odd),
        journal._writer.submit("no JSON \ud800 at all".encode("utf-8", "replace").decode()),
        journal.append(twin),
        journal.append(entries[1]),
        return_exceptions=True,
    )
    admissions = [getattr(answer, "admission", type(answer)) for answer in answers]
    violation = InvariantViolation
    assert admissions == [Admission.ADMITTED, violation, violation, Admission.LOST, Admission.ADMITTED]
    assert len(await journal.attempts()) == 2
    assert len(await journal.proposals()) == 3
    await journal.aclose()


async def test_an_append_goes_through_although_its_caller_was_cancelled(postgres_url: str, tell: Any) -> None:
    journal = await opened(postgres_url)
    case = tell.case()
    entry = tell.intended(case.header(), case=case)
    call = asyncio.create_task(journal.append(entry))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await journal.aclose()
    again = await opened(postgres_url)
    assert await again.attempt(entry.attempt.identity.attempt) is not None
    await again.aclose()
    with pytest.raises(JournalUnavailable):
        await again.append(entry)


async def test_a_read_that_its_caller_gives_up_disturbs_nobody(postgres_url: str, tell: Any) -> None:
    journal = await opened(postgres_url)
    case = await tell.case().recorded(journal)
    calls = [asyncio.create_task(journal.proposal(case.practice, case.proposal_id)) for _ in range(20)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in found[::2])
    assert all(each == found[1] is not None for each in found[1::2])
    await journal.aclose()


async def test_another_writer_is_waited_for_and_then_unavailable(postgres_url: str, tell: Any) -> None:
    journal, case = await opened(postgres_url), tell.case()
    with psycopg.connect(postgres_url) as holder:
        holder.execute("SELECT journal_lock()")
        with pytest.raises(JournalUnavailable, match="55P03"):
            await journal.append(tell.intended(case.header(), case=case))
        waiting = asyncio.create_task(journal.append(tell.intended(case.header(), case=case)))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        holder.rollback()
    assert (await waiting).admission is Admission.ADMITTED
    assert len(await journal.attempts()) == 1
    await journal.aclose()


async def test_what_fails_at_the_commit_itself_is_not_recorded(postgres_url: str, tell: Any) -> None:
    """The rows are answered before the commit is; an error of the commit outweighs them."""
    journal, case = await opened(postgres_url), tell.case()
    with psycopg.connect(postgres_url) as client:
        client.execute(
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON attempts DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION refuse('too late')"
        )
    with pytest.raises(JournalUnavailable, match="23000"):
        await journal.append(tell.intended(case.header(), case=case))
    assert await journal.attempts() == []
    await journal.aclose()


async def test_a_name_is_written_under_from_its_own_backend_only(postgres_url: str, tell: Any) -> None:
    """Behind a pooler that hands out backends by transaction, a lock says nothing about who writes."""
    journal = await opened(postgres_url)
    with psycopg.connect(postgres_url) as stranger, pytest.raises(psycopg.Error) as caught:
        stranger.execute("SELECT journal_write(%s, ARRAY['{}'])", (journal.owner,))
    assert caught.value.sqlstate == "GW004"
    await journal.aclose()


async def test_locks_that_keep_nobody_out_are_refused(postgres_url: str) -> None:
    """As engines have them that take the function for compatibility's sake, and poolers that share a backend."""
    await (await opened(postgres_url)).aclose()
    with psycopg.connect(postgres_url) as client:
        client.execute(
            "CREATE FUNCTION in_name_only() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_advisory_unlock_all(); RETURN NEW; END'"
        )
        client.execute("CREATE TRIGGER none AFTER INSERT ON owners FOR EACH ROW EXECUTE FUNCTION in_name_only()")
    with pytest.raises(ConfigurationError, match="keep nobody out"):
        await opened(postgres_url)


async def test_a_session_that_ended_makes_a_new_owner_and_an_orphan_of_what_was_in_flight(
    postgres: Any, postgres_url: str, tell: Any
) -> None:
    mine, theirs = await opened(postgres_url), await opened(postgres_url)
    case = await tell.case().recorded(mine)
    entry = tell.intended(case.header(), case=case)
    await mine.append(entry)
    look = (case.practice, case.proposal_id, case.proposal().proposal_digest)
    before = mine.owner
    postgres.psql(f"SELECT pg_terminate_backend({backend(mine)}, 5000)")
    with pytest.raises(JournalUnavailable):  # the lock is gone, whether or not anybody has noticed
        await mine.stopped(*look, dispatching=entry.attempt.identity.attempt)
    (orphan,) = await theirs.orphans()
    assert orphan.attempt == entry.attempt.identity.attempt
    await mine.ready()
    assert mine.owner != before
    with pytest.raises(JournalUnavailable):
        await mine.stopped(*look, dispatching=entry.attempt.identity.attempt)
    assert (await theirs.append(tell.ended(entry, End.UNKNOWN))).admission is Admission.ADMITTED
    assert (await mine.append(tell.ended(entry, End.APPLIED))).admission is Admission.LOST
    for journal in (mine, theirs):
        await journal.aclose()


async def test_what_needs_no_barrier_waits_for_none(postgres: Any, postgres_url: str, tell: Any) -> None:
    """With a synchronous standby named that is not there, no commit is acknowledged that waits for one."""
    journal, case = await opened(postgres_url), tell.case()
    with postgres.setting("synchronous_standby_names", "nobody"):
        append = asyncio.create_task(journal.append(tell.intended(case.header(), case=case)))
        async with asyncio.timeout(10):
            await journal.ready()
            assert await journal.reserve(ConnectionId.random(), 1, 10, tell.now) is None
            await journal.orphans()
        assert not append.done()
    assert (await append).admission is Admission.ADMITTED
    await journal.aclose()


@pytest.mark.requirement("PHI-04")
async def test_a_siblings_digest_is_the_same_on_both_databases(postgres_url: str, tmp_path: Any) -> None:
    from gateway.journal._sqlite import SqliteJournal

    one, other = await opened(postgres_url), SqliteJournal.open(tmp_path / "journal.db", key=KEY)
    assert one.sibling_digest("slot", "10:00") == other.sibling_digest("slot", "10:00")
    for journal in (one, other):
        await journal.aclose()


async def test_records_are_numbered_and_chained_under_contention(postgres_url: str, tell: Any) -> None:
    journals = [await opened(postgres_url) for _ in range(3)]
    case = await tell.case().recorded(journals[0])
    await asyncio.gather(*(case.say(journals[number % 3], RecordKind.DECISION) for number in range(30)))
    file = await journals[0].proposal(case.practice, case.proposal_id)
    assert file is not None
    assert [record.seq for record in file.records] == list(range(1, 32))
    assert all(after.previous == before.hash for before, after in zip(file.records, file.records[1:], strict=False))
    for journal in journals:
        await journal.aclose()


async def test_an_idle_connection_that_died_is_seen_before_anything_is_sent(postgres: Any, postgres_url: str) -> None:
    connection, proof = await Connection.open(postgres_url)
    assert connection.alive()
    postgres.psql(f"SELECT pg_terminate_backend({proof.backend}, 5000)")
    assert not connection.alive()
    with pytest.raises(Lost):
        await connection.call("SELECT 1")
    await connection.close()


async def test_a_table_cannot_be_emptied(postgres_url: str, tell: Any) -> None:
    journal = await opened(postgres_url)
    await tell.run(journal, await replace(tell.case(), siblings=("s",)).recorded(journal), End.UNKNOWN)
    with psycopg.connect(postgres_url, autocommit=True) as client:
        for table in ("attempts", "events", "records", "triggers", "holds", "siblings", "volumes"):
            for words in ("", " CASCADE"):
                with pytest.raises((psycopg.errors.IntegrityError, psycopg.errors.FeatureNotSupported)):
                    client.execute(f"TRUNCATE {table}{words}")
    assert len(await journal.attempts()) == 1
    await journal.aclose()


async def test_another_journal_in_the_old_ones_place_is_not_written_to(
    postgres: Any, postgres_url: str, tell: Any
) -> None:
    """A server restored from somewhere else, under the same URL and the same key."""
    journal = await opened(postgres_url)
    schema = postgres_url.rpartition("%3D")[2]
    postgres.psql(f"DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}")
    await (await opened(postgres_url)).aclose()
    postgres.psql(f"SELECT pg_terminate_backend({backend(journal)}, 5000)")
    case = tell.case()
    with pytest.raises(JournalUnavailable, match="held before"):
        await journal.append(tell.intended(case.header(), case=case))
    assert await journal.attempts() == []
    await journal.aclose()
