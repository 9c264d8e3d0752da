"""The journal's tables in one schema of one database: made once, recognised ever after.

Owns: the migrations, in order and under a lock, and which schema may be taken for a journal at all.
Refuses: with `ConfigurationError`, a schema that holds something else, a newer one, another journal than before,
and tables that would not survive a crash of the server.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

from gateway.errors import ConfigurationError, JournalUnavailable
from gateway.journal import JournalId
from gateway.journal._key import SiblingKey
from gateway.journal._postgres_connection import Connection, Lost, Refused

_STATE: Final = """
    SELECT to_regclass(quote_ident(current_schema()) || '.version') IS NOT NULL AS versioned,
        (SELECT count(*) FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r')
            AS tables,
        (SELECT count(*) FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
            AND c.relpersistence <> 'p') AS volatile
"""


async def prepare(connection: Connection, key: SiblingKey) -> str:
    """Make or bring up to date what is there and bind it to its key; the journal's name. Raises
    `ConfigurationError` saying what to mend, `JournalUnavailable`."""
    try:
        await _migrate(connection)
        await connection.call(
            "INSERT INTO meta (name, value) VALUES ('journal', %(journal)s), ('key', %(key)s) ON CONFLICT DO NOTHING",
            {"journal": JournalId.random(), "key": key.fingerprint},
        )
        return await recognise(connection, key)
    except Refused as refusal:
        if refusal.sqlstate[:2] != "42":  # what is wrong with the statement itself: a right that is missing
            raise JournalUnavailable(f"the journal's schema cannot be prepared now ({refusal.sqlstate})") from None
        raise ConfigurationError(
            f"the journal's schema cannot be prepared ({refusal.sqlstate}); its role must own the schema"
        ) from None
    except Lost:
        raise JournalUnavailable("the journal's server was lost while its schema was prepared") from None


async def recognise(connection: Connection, key: SiblingKey) -> str:
    """The name of the journal that is there; raises `ConfigurationError`, and `Lost` or `Refused`."""
    [state] = await connection.call(_STATE)
    if not state["versioned"]:
        raise ConfigurationError("there is no journal in this schema; open it once with `gateway doctor`")
    if state["volatile"]:
        raise ConfigurationError("a table of the journal is UNLOGGED and would be emptied by a crash; set it LOGGED")
    [row] = await connection.call("SELECT max(number) AS number FROM version")
    check_number(row["number"])
    meta = {row["name"]: row["value"] for row in await connection.call("SELECT name, value FROM meta")}
    key.check(meta.get("key", ""))
    return str(meta["journal"])


def check_number(number: int | None) -> None:
    """Raises `ConfigurationError` unless the schema is the one that this gateway writes."""
    if number != len(migrations()):
        raise ConfigurationError(f"the journal has schema {number}; open it once with this gateway, or upgrade")


async def _migrate(connection: Connection) -> None:
    """Of several processes that open a new journal, one makes it: everything is one transaction under one lock."""
    scripts = migrations()
    done = await _number(connection)
    if done == len(scripts):
        return
    await connection.call("BEGIN")
    try:
        await connection.call("SET LOCAL lock_timeout = 0")  # another process may be at it; each statement is bounded
        await connection.call("SELECT pg_advisory_xact_lock(1196902961, 0)")
        done = await _number(connection)
        for script in scripts[done:]:
            await connection.call(script)
        for number in range(done + 1, len(scripts) + 1):
            await connection.call("INSERT INTO version (number) VALUES (%s)", (number,))
    except BaseException:
        if connection.alive():
            await connection.call("ROLLBACK")
        raise
    await connection.call("COMMIT")


async def _number(connection: Connection) -> int:
    """How many migrations have been made here; raises `ConfigurationError` where this is no journal, or a newer one."""
    [state] = await connection.call(_STATE)
    if not state["versioned"]:
        if state["tables"]:
            raise ConfigurationError("the schema holds something else than a journal; name an empty one of its own")
        return 0
    rows: list[dict[str, Any]] = await connection.call("SELECT coalesce(max(number), 0) AS number FROM version")
    number = int(rows[0]["number"])
    if number > len(migrations()):
        raise ConfigurationError("the journal was written by a newer gateway; upgrade this one")
    return number


def migrations() -> list[str]:
    folder = files("gateway.journal") / "schema" / "postgres"
    scripts = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return [script.read_text(encoding="utf-8") for script in scripts]
