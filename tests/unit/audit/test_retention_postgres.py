"""Archiving a journal on PostgreSQL: the same move, the same volumes, the same verification."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway.audit import FlawCode, checkpoint, verify_file
from gateway.audit.retention import Retention
from gateway.audit.volumes import volumes_at
from gateway.contracts.references import AttemptId
from gateway.errors import Conflict, JournalFailed, JournalUnavailable
from gateway.journal._postgres import PostgresJournal
from gateway.journal.opening import open_archive
from gateway.signatures import Keyring, TrustedKeys
from gateway.surfaces.sign import sign
from gateway.testing.postgres_wire import Cut

NOW = datetime(2030, 1, 7, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
HERE = Path(__file__).parent


@pytest.mark.requirement("IDEM-02", "AUDIT-29")
async def test_archived_and_verified_with_and_without_volumes(
    other_world: Any, postgres_url: str, tmp_path: Path
) -> None:
    world, journal = other_world, await PostgresJournal.open(postgres_url, key=bytes(32))
    booked, _ = await world.attempt(journal, await world.propose(journal), world.ends.APPLIED)
    await world.attempt(journal, await world.propose(journal), world.ends.REFUSED, world.codes.SLOT_TAKEN)
    await world.attempt(journal, await world.propose(journal), world.ends.UNKNOWN, world.codes.CONNECTION_LOST)
    resolved = await world.propose(journal)
    attempt, closing = await world.attempt(journal, resolved, world.ends.UNKNOWN, world.codes.CONNECTION_LOST)
    await world.look_and_resolve(journal, resolved, attempt, closing)
    before = await journal.attempt(booked)
    with journal.archive() as archive:
        statement, heads = checkpoint.draw(archive, world.practice, NOW)
    kept = checkpoint.write(sign(statement, world.key), heads)
    whole = verify_file(postgres_url, [kept], world.keyring)
    run = Retention(journal=journal, vouching=world.sealed(kept), before=LATER, size=2)
    run.check(LATER)
    tally = [tally async for tally in run.run(tmp_path / "archive")][-1]
    after = await journal.attempt(booked)
    await journal.compact()
    await journal.aclose()
    assert (tally.attempts, tally.volumes) == (3, 2)
    assert before is not None and after is not None
    assert after == replace(before, links=(), volume=1, ended_before=LATER)
    found = volumes_at([tmp_path / "archive"])
    report = verify_file(postgres_url, [kept], world.keyring, found)
    assert (report.flaws, report.archived, report.absent, report.events) == ((), 3, 0, whole.events)
    report = verify_file(postgres_url, [kept], world.keyring)
    assert (report.flaws, report.absent) == ((), 3)
    found[1].unlink()
    report = verify_file(postgres_url, [kept], world.keyring, found[:1])
    assert {flaw.code for flaw in report.flaws} == {FlawCode.VOLUME_MISSING}


LOOKING = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT journal_archive%' AND wait_event = 'advisory'"


@pytest.mark.requirement("AUDIT-29")
async def test_a_volume_outlives_the_run_that_comes_while_its_lost_statement_still_waits(
    other_world: Any, postgres: Any, postgres_wire: Any, postgres_url: str, tmp_path: Path
) -> None:
    world = other_world
    schema = postgres_url.rpartition("&")[2]
    cut = f"postgresql://gateway@127.0.0.1:{postgres_wire.port}/postgres?sslmode=disable&gssencmode=disable&{schema}"
    lost, journal = [await PostgresJournal.open(url, key=bytes(32)) for url in (cut, postgres_url)]
    await world.attempt(journal, await world.propose(journal), world.ends.APPLIED)
    with journal.archive() as archive:
        statement, heads = checkpoint.draw(archive, world.practice, NOW)
    kept = checkpoint.write(sign(statement, world.key), heads)

    async def run(through: PostgresJournal, before: datetime) -> None:
        retention = Retention(journal=through, vouching=world.sealed(kept), before=before)
        _ = [tally async for tally in retention.run(tmp_path / "archive")]

    async def waiting(count: int) -> None:
        while len((await asyncio.to_thread(postgres.psql, LOOKING)).split()) < count:
            await asyncio.sleep(0.01)

    lost.archive = journal.archive  # type: ignore[method-assign]  # it blocks the loop in which the wire is served
    with psycopg.connect(postgres_url) as holder:
        holder.execute("SELECT journal_lock()")
        postgres_wire.arm(Cut.SENT, b"journal_archive")
        with pytest.raises(JournalFailed):
            await run(lost, LATER)
        await waiting(1)
        again = asyncio.create_task(run(journal, LATER + timedelta(days=1)))
        await waiting(2)
        holder.rollback()
    with pytest.raises(Conflict):
        await again
    await lost.aclose()
    await journal.aclose()
    report = verify_file(postgres_url, [kept], world.keyring, volumes_at([tmp_path / "archive"]))
    assert (report.flaws, report.archived, report.absent) == ((), 1, 0)


async def test_a_role_that_only_reads_verifies_what_it_could_not_archive(
    postgres: Any, postgres_url: str, other_world: Any
) -> None:
    journal = await PostgresJournal.open(postgres_url, key=bytes(32))
    await other_world.attempt(journal, await other_world.propose(journal), other_world.ends.APPLIED)
    await journal.aclose()
    schema = postgres_url.rpartition("%3D")[2]
    reader = f"r{schema}"
    postgres.psql(f"CREATE ROLE {reader} LOGIN; ALTER ROLE {reader} SET default_transaction_read_only = on")
    postgres.psql(f"GRANT USAGE ON SCHEMA {schema} TO {reader}")
    postgres.psql(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {reader}")
    url = postgres_url.replace("gateway@", f"{reader}@")
    report = verify_file(url, [], other_world.keyring, any_server=True)
    assert (report.flaws, report.attempts) == ((), 1)
    with pytest.raises(JournalUnavailable):
        verify_file(url, [], other_world.keyring)


async def test_a_journal_of_an_earlier_schema_is_brought_up_to_date(
    postgres_url: str, tmp_path: Path, world_at: Any
) -> None:
    folder = files("gateway.journal") / "schema" / "postgres"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for number, name in enumerate(("0001_journal.sql", "0002_writing.sql"), start=1):
            connection.execute((folder / name).read_text())  # type: ignore[arg-type]  # SQL from our own files, not a literal
            connection.execute("INSERT INTO version VALUES (%s)", (number,))
        for line in (HERE / "schema_1.sql").read_text().splitlines():
            if line.startswith("INSERT") and '"probe"' not in line:
                connection.execute(line)  # type: ignore[arg-type]  # SQL from our own files, not a literal
    keys = TrustedKeys.parse((HERE / "schema_1.keys.json").read_bytes())
    kept = (HERE / "schema_1.checkpoint").read_text()
    journal = await PostgresJournal.open(postgres_url, key=bytes(32))
    with journal.archive() as archive:
        assert [each.volume for each in archive.attempts()] == [None] * 5
    vouching = world_at(tmp_path / "none", keys).sealed(kept)
    run = Retention(journal=journal, vouching=vouching, before=LATER)
    assert [tally async for tally in run.run(tmp_path / "archive")][-1].attempts == 2
    with open_archive(postgres_url) as archive:
        name = next(each.attempt for each in archive.attempts() if each.volume is not None)
    file = await journal.attempt(AttemptId(name))
    await journal.aclose()
    assert file is not None and file.volume == 1
    report = verify_file(postgres_url, [kept], Keyring(keys), volumes_at([tmp_path / "archive"]))
    assert (report.flaws, report.archived, report.events) == ((), 2, 54)


@pytest.mark.parametrize("table", ["volumes", "attempts", "events", "records", "triggers", "holds", "siblings"])
async def test_no_table_can_be_emptied_at_once(postgres_url: str, table: str) -> None:
    journal = await PostgresJournal.open(postgres_url, key=bytes(32))
    await journal.aclose()
    with psycopg.connect(postgres_url, autocommit=True) as connection, pytest.raises(psycopg.errors.IntegrityError):
        connection.execute(f"TRUNCATE {table} CASCADE")  # type: ignore[arg-type]  # SQL from our own files, not a literal
