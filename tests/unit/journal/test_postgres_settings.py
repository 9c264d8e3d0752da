"""Servers that would lose what they acknowledge are refused, at opening and while the gateway runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from gateway.errors import ConfigurationError, JournalUnavailable
from gateway.journal._postgres import PostgresJournal
from gateway.journal._postgres_archive import open_archive
from gateway.journal._postgres_connection import check_privacy, check_settings
from gateway.journal._postgres_schema import IN_FORCE, RULES

KEY = bytes(range(32))


@pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
async def test_a_server_that_does_not_write_out_is_refused_at_opening_and_afterwards(
    postgres: Any, postgres_url: str, name: str
) -> None:
    journal = await PostgresJournal.open(postgres_url, key=KEY)
    await journal.ready()
    with postgres.setting(name, "off"):
        with pytest.raises(JournalUnavailable):
            await journal.ready()
        with pytest.raises(ConfigurationError, match=f"{name} is off"):
            await PostgresJournal.open(postgres_url, key=KEY)
    await journal.ready()
    await journal.aclose()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("synchronous_commit=off", "synchronous_commit is off"),
        ("synchronous_commit=local", "synchronous_commit is local"),
        ("synchronous_commit=remote_write", "synchronous_commit is remote_write"),
        ("standard_conforming_strings=off", "standard_conforming_strings"),
        ("session_replication_role=replica", "session_replication_role"),
        ("search_path=nowhere", "no schema"),
    ],
)
async def test_a_session_that_would_weaken_the_journal_is_refused(postgres: Any, option: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        await PostgresJournal.open(postgres.url(options=f"-c{option}"), key=KEY)


async def test_what_was_proven_outlives_a_change_of_the_servers_configuration(postgres: Any, postgres_url: str) -> None:
    journal = await PostgresJournal.open(postgres_url, key=KEY)
    session = journal._writer._session.connection
    with postgres.setting("synchronous_commit", "off"), postgres.setting("fsync", "off"):
        await session.call("SELECT 1")  # a session takes up a new configuration between statements
        [row] = await session.call(
            "SELECT current_setting('synchronous_commit') AS ours, current_setting('fsync') AS theirs"
        )
    assert row == {"ours": "on", "theirs": "off"}  # the second cannot be pinned: `ready` looks at it
    await journal.aclose()


async def test_remote_apply_is_more_than_enough(postgres: Any, postgres_url: str) -> None:
    schema = postgres_url.rpartition("-csearch_path%3D")[2]
    url = postgres.url(options=f"-csearch_path={schema} -csynchronous_commit=remote_apply")
    await (await PostgresJournal.open(url, key=KEY)).aclose()


def test_every_refusal_names_what_to_mend() -> None:
    good = {
        "version": 180004, "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "standbys": "",
        "strings": "on", "encoding": "UTF8", "role": "origin", "standby": False, "backend": 1, "schema": "public",
    }  # fmt: skip
    assert check_settings(good).schema == "public"
    for change, said in (
        ({"version": 130020}, "PostgreSQL 14"),
        ({"standby": True}, "primary"),
        ({"encoding": "LATIN1"}, "UTF8"),
        ({"encoding": "SQL_ASCII"}, "UTF8"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            check_settings(good | change)


async def test_a_table_that_a_crash_would_empty_is_refused(postgres_url: str) -> None:
    await (await PostgresJournal.open(postgres_url, key=KEY)).aclose()
    with psycopg.connect(postgres_url) as client:
        client.execute("ALTER TABLE budgets SET UNLOGGED")
    with pytest.raises(ConfigurationError, match="UNLOGGED"):
        await PostgresJournal.open(postgres_url, key=KEY)


async def test_the_rules_that_the_schema_makes_are_the_ones_looked_for(postgres_url: str) -> None:
    await (await PostgresJournal.open(postgres_url, key=KEY)).aclose()
    with psycopg.connect(postgres_url) as client:
        assert {name for (name,) in client.execute(IN_FORCE)} == RULES


SWITCHED_OFF = {
    "holds_fall_on_proof_only": "ALTER TABLE holds DISABLE TRIGGER holds_fall_on_proof_only",
    "events_are_written_once": "ALTER TABLE events ENABLE REPLICA TRIGGER events_are_written_once",
    "events_attempt_fkey": "ALTER TABLE events DISABLE TRIGGER ALL; ALTER TABLE events ENABLE TRIGGER USER",
    "siblings_do_not_move": "DROP TRIGGER siblings_do_not_move ON siblings",
    "attempts_attempt_key_key": "ALTER TABLE attempts DROP CONSTRAINT attempts_attempt_key_key",
    "holds_pkey": "ALTER TABLE holds DROP CONSTRAINT holds_pkey",
    "records_resolution": "DROP INDEX records_resolution; CREATE INDEX records_resolution ON records (attempt)",
    "attempts_effect_check": "ALTER TABLE attempts DROP CONSTRAINT attempts_effect_check; "
    "ALTER TABLE attempts ADD CONSTRAINT attempts_effect_check CHECK (effect <> '') NOT VALID",
}


@pytest.mark.requirement("AUDIT-29")
@pytest.mark.parametrize("rule", SWITCHED_OFF)
async def test_a_schema_whose_rules_are_switched_off_is_refused_and_reported(postgres_url: str, rule: str) -> None:
    """The last line of I1: the gateway neither opens nor goes back to a journal without it."""
    journal = await PostgresJournal.open(postgres_url, key=KEY)
    with psycopg.connect(postgres_url, autocommit=True) as client:
        for statement in SWITCHED_OFF[rule].split("; "):
            client.execute(statement.encode())
    with pytest.raises(ConfigurationError, match=rf"not in force: {rule};"):
        await PostgresJournal.open(postgres_url, key=KEY)
    await journal._line._connection.close()
    with pytest.raises(JournalUnavailable):
        await journal.proposals()
    with open_archive(postgres_url) as archive:
        assert archive.damage() == [f"{rule} is not in force"]
    await journal.aclose()


async def test_a_server_that_is_away_or_refuses_is_unavailable_and_no_name_is_repeated(
    postgres: Any, postgres_wire: Any
) -> None:
    postgres_wire.closed = True
    away = f"postgresql://gateway@127.0.0.1:{postgres_wire.port}/canary"
    for url in (away, postgres.url("canary"), postgres.url().replace("gateway@", "canary@")):
        with pytest.raises(JournalUnavailable) as caught:
            await PostgresJournal.open(url, key=KEY)
        assert "canary" not in str(caught.value)
        with pytest.raises(JournalUnavailable), open_archive(url):
            pass
    with pytest.raises(ConfigurationError, match="libpq"):
        await PostgresJournal.open(postgres.url(strange="1"), key=KEY)
    with pytest.raises(ConfigurationError, match="no journal"), open_archive(postgres.url()):
        pass


@pytest.mark.parametrize(
    ("address", "mode", "encrypted", "trusted"),
    [
        ("127.0.0.1", "prefer", False, True),
        ("::1", "disable", False, True),
        ("", "disable", False, True),
        ("192.0.2.7", "prefer", True, False),
        ("192.0.2.7", "require", True, False),
        ("192.0.2.7", "verify-full", False, False),
        ("192.0.2.7", "verify-ca", True, True),
        ("2001:db8::7", "verify-full", True, True),
    ],
)
def test_a_server_elsewhere_must_prove_who_it_is(address: str, mode: str, encrypted: bool, trusted: bool) -> None:
    """What libpq says of a connection; no test may connect beyond this machine."""
    said: Any = SimpleNamespace(
        host=b"/run/postgresql" if not address else b"journal.example",
        hostaddr=address.encode(),
        ssl_in_use=encrypted,
        info=[SimpleNamespace(keyword=b"sslmode", val=mode.encode())],
    )
    if trusted:
        check_privacy(said)
    else:
        with pytest.raises(ConfigurationError, match="verify-full"):
            check_privacy(said)


async def test_a_single_copy_is_said_to_be_one(postgres_url: str) -> None:
    journal = await PostgresJournal.open(postgres_url, key=KEY)
    assert "only copy" in journal.durability.caution
    await journal.aclose()
