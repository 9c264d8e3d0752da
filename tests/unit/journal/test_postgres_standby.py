"""A synchronous standby takes over: whatever was acknowledged is there, and whatever was in flight is seen to be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from gateway.contracts.words import End
from gateway.errors import ConfigurationError, JournalFailed, JournalUnavailable
from gateway.journal import Admission
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
    with open_archive(standby.url()) as archive:  # a standby may be read before it takes over
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
