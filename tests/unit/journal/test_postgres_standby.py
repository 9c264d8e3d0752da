"""A synchronous standby takes over: whatever was acknowledged is there, and whatever was in flight is seen to be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from gateway.contracts.words import End
from gateway.errors import ConfigurationError, JournalFailed, JournalUnavailable
from gateway.journal import Admission, StoredVolume
from gateway.journal._postgres import PostgresJournal
from gateway.journal.opening import open_archive
from gateway.testing.postgres import PostgresServer, launched

KEY = bytes(range(32))


@pytest.fixture
def pair() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    with launched() as primary, launched(follows=primary) as standby:
        primary.set("synchronous_standby_names", standby.directory.name)
        yield primary, standby


def both(primary: PostgresServer, standby: PostgresServer) -> str:
    hosts = ",".join(quote(str(server.directory), safe="") for server in (primary, standby))
    return f"postgresql://gateway@/postgres?host={hosts}&port={primary.port},{standby.port}"


async def test_what_was_acknowledged_is_at_the_standby_when_the_primary_dies(pair: Any, tell: Any) -> None:
    primary, standby = pair
    url = both(primary, standby)
    journal = await PostgresJournal.open(url, key=KEY, answer_seconds=5.0)
    assert journal.durability.caution == ""
    with pytest.raises(JournalUnavailable):  # a standby is no place to write to
        await PostgresJournal.open(standby.url(), key=KEY)
    with pytest.raises(ConfigurationError, match="primary"):
        await PostgresJournal.open(standby.url(target_session_attrs="any"), key=KEY)
    done, doubtful = [], []

    async def caller() -> None:
        while primary.is_running:
            case = tell.case()
            entry = tell.intended(case.header(), case=case)
            try:
                await journal.append(entry)
            except JournalFailed:
                doubtful.append(entry)
                return
            except JournalUnavailable:
                return
            done.append(entry)

    callers = [asyncio.create_task(caller()) for _ in range(4)]
    while len(done) < 20:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(primary.kill)
    await asyncio.gather(*callers)
    with open_archive(standby.url(), any_server=True) as archive:  # a standby may be read before it takes over
        assert {entry.attempt.identity.attempt for entry in done} <= {row.attempt for row in archive.attempts()}
    await asyncio.to_thread(standby.psql, "SELECT pg_promote()")
    for entry in done:
        file = await journal.attempt(entry.attempt.identity.attempt)
        assert file is not None
        assert file.links[-1].hash == entry.attempt.head
    known = {entry.attempt.identity.attempt for entry in (*done, *doubtful)}
    assert {file.attempt for file in await journal.orphans()} <= known
    assert (await journal.append(tell.ended(done[0], End.UNKNOWN))).admission is Admission.ADMITTED
    await journal.aclose()


@pytest.mark.requirement("AUDIT-29")
async def test_what_is_decided_by_a_look_is_looked_up_where_it_is_written(pair: Any, tell: Any) -> None:
    """A standby acknowledges what it has not replayed yet; volumes, checkpoints and deletions must not rest on it."""
    primary, standby = pair
    url = both(standby, primary)
    journal = await PostgresJournal.open(url, key=KEY)
    while not standby.psql("SELECT to_regclass('volumes')"):
        await asyncio.sleep(0.02)
    standby.psql("SELECT pg_wal_replay_pause()")
    attempt, _ = await tell.run(journal, await tell.case().recorded(journal), End.REFUSED)
    found = [each async for each in journal.archivable(tell.now + timedelta(days=1))]
    await journal.archive_events(StoredVolume(1, "x", "2031-01-01T00:00:00+00:00", 1), found)
    for look in (journal.archive(), open_archive(url), open_archive(f"{url}&target_session_attrs=any")):
        with look as archive:
            assert [volume.number for volume in archive.volumes()] == [1]
            assert [(row.attempt, row.events) for row in archive.attempts()] == [(attempt, ())]
    with open_archive(url, any_server=True) as archive:
        assert list(archive.volumes()) == []
    with pytest.raises(JournalUnavailable), open_archive(standby.url()):
        pass
    standby.psql("SELECT pg_wal_replay_resume()")
    await journal.aclose()
