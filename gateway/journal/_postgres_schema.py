"""The journal's tables in one schema of one database: made once, recognised ever after.

Owns: the migrations, in order and under a lock, and which schema may be taken for a journal at all.
Refuses: with `ConfigurationError`, a schema that holds something else, a newer one, another journal than before,
tables that would not survive a crash of the server, and rules that are not in force.
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

RULES: Final = frozenset((
    "attempts_are_archived_once", "attempts_attempt_key", "attempts_attempt_key_key", "attempts_check",
    "attempts_check1", "attempts_check2", "attempts_check3", "attempts_check4", "attempts_effect_check",
    "attempts_end_once", "attempts_keep_their_header", "attempts_pkey", "attempts_seq_check", "attempts_state_check",
    "attempts_stay", "attempts_stay_together", "attempts_volume_fkey", "budgets_pkey", "budgets_requests_check",
    "events_are_written_once", "events_attempt_fkey", "events_leave_for_a_volume_only", "events_pkey",
    "events_seq_check", "events_stay_together", "holds_attempt_fkey", "holds_attempt_key", "holds_do_not_move",
    "holds_fall_on_proof_only", "holds_pkey", "holds_stay_together", "meta_pkey", "owners_lock_key", "owners_pkey",
    "records_are_written_once", "records_attempt_fkey", "records_by_reference", "records_check", "records_check1",
    "records_check2", "records_finding_check", "records_kind_check", "records_pkey",
    "records_practice_proposal_seq_key", "records_resolution", "records_seq_check", "records_stay",
    "records_stay_together", "siblings_attempt_fkey", "siblings_do_not_move", "siblings_fall_with_the_unknown",
    "siblings_pkey", "siblings_stay_together", "suspensions_pkey", "triggers_are_written_once", "triggers_attempt_fkey",
    "triggers_pkey", "triggers_stay", "triggers_stay_together", "version_pkey", "volumes_are_written_once",
    "volumes_attempts_check", "volumes_digest_key", "volumes_follow_one_another", "volumes_number_check",
    "volumes_pkey", "volumes_stay", "volumes_stay_together",
))  # fmt: skip
"""The constraints, unique keys and triggers that the migrations make: the last line of I1, also against the gateway."""
IN_FORCE: Final = """
    WITH tables AS (
        SELECT c.oid FROM pg_class c
        WHERE c.relnamespace = (SELECT v.relnamespace FROM pg_class v WHERE v.oid = 'version'::regclass)
    )
    SELECT t.tgname::text AS name FROM pg_trigger t JOIN tables ON tables.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
    UNION ALL
    SELECT k.conname::text FROM pg_constraint k JOIN tables ON tables.oid = k.conrelid
    WHERE k.contype IN ('c', 'f') AND k.convalidated AND NOT EXISTS (
        SELECT FROM pg_trigger t WHERE t.tgconstraint = k.oid AND t.tgenabled NOT IN ('O', 'A'))
    UNION ALL
    SELECT i.relname::text
    FROM pg_index x JOIN tables ON tables.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
    WHERE x.indisunique AND x.indisvalid AND x.indisready
"""
"""The names of those that the server keeps to: not dropped, disabled, or never validated."""


async def prepare(connection: Connection, key: SiblingKey) -> str:
    """Make or bring up to date what is there and bind it to its key; the journal's name. Raises
    `ConfigurationError` saying what to mend, `JournalUnavailable`."""
    try:
        await _migrate(connection)
        await _check_rules(connection)  # before anything is written without them
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
    await _check_rules(connection)
    meta = {row["name"]: row["value"] for row in await connection.call("SELECT name, value FROM meta")}
    key.check(meta.get("key", ""))
    return str(meta["journal"])


def check_number(number: int | None) -> None:
    """Raises `ConfigurationError` unless the schema is the one that this gateway writes."""
    if number != len(migrations()):
        raise ConfigurationError(f"the journal has schema {number}; open it once with this gateway, or upgrade")


async def _check_rules(connection: Connection) -> None:
    missing = RULES - {found["name"] for found in await connection.call(IN_FORCE)}
    if missing:
        raise ConfigurationError(
            f"rules of the journal's schema are not in force: {', '.join(sorted(missing))}; whoever switched them off "
            "must put them back, and `gateway audit verify` says whether the journal is whole"
        )


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
