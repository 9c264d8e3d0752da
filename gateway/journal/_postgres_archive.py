"""A journal on PostgreSQL read whole, by anybody who may read its tables: no key, no owner, nothing written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.rows import RowFactory, TupleRow, dict_row, tuple_row

from gateway.errors import AuditTampered, ConfigurationError, JournalUnavailable
from gateway.journal import StoredAttempt, StoredRecord, StoredVolume
from gateway.journal._postgres_connection import UNREACHABLE, check_privacy, parameters
from gateway.journal._postgres_reads import STORED, stored
from gateway.journal._postgres_schema import IN_FORCE, RULES, check_number

_ROWS_AT_ONCE: Final = 500
_REFERRING: Final = ("events", "records", "triggers", "holds", "siblings")


@contextmanager
def open_archive(url: str, *, any_server: bool = False) -> Iterator[PostgresArchive]:
    """One consistent look: a snapshot that the server keeps until the context ends, read a few rows at a time.

    It is the server that writes, whatever else the URL asks for: what is decided by this look must not be decided by
    what a standby has not heard of yet. With `any_server`, whichever answers first.

    Raises `ConfigurationError` where there is no journal of this schema, `JournalUnavailable` where there is no
    server, `AuditTampered` where what is stored cannot be read.
    """
    try:
        attributes = {"target_session_attrs": "any" if any_server else "read-write"}
        connection = psycopg.connect(url, **(parameters(url) | attributes))
    except psycopg.Error:
        raise JournalUnavailable(UNREACHABLE) from None
    try:
        check_privacy(connection.pgconn)
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        _check_version(connection)
        yield PostgresArchive(connection)
    except psycopg.Error as error:
        raise AuditTampered(f"the journal's tables cannot be read ({error.sqlstate or 'connection lost'})") from None
    finally:
        connection.close()


def _check_version(connection: psycopg.Connection[TupleRow]) -> None:
    try:
        row = connection.execute("SELECT max(number) FROM version").fetchone()
    except psycopg.errors.UndefinedTable:
        raise ConfigurationError("there is no journal in this schema; open it once with `gateway doctor`") from None
    check_number(None if row is None else row[0])


class PostgresArchive:
    """`Archive` over one read-only transaction."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self._connection = connection
        self._cursors = 0

    @property
    def meta(self) -> Mapping[str, str]:
        return dict(self._connection.execute("SELECT name, value FROM meta").fetchall())

    def damage(self) -> Sequence[str]:
        """References that lead nowhere, and constraints, keys or triggers of the schema that are not in force.

        Whether pages are whole is for the server to say: its checksums, and `pg_amcheck`."""
        in_force = {name for (name,) in self._connection.execute(IN_FORCE)}
        found = [f"{name} is not in force" for name in sorted(RULES - in_force)]
        for table in _REFERRING:
            broken = self._connection.execute(
                f"SELECT count(*) FROM {table} c WHERE c.attempt IS NOT NULL AND NOT EXISTS "  # noqa: S608 — a constant
                "(SELECT FROM attempts a WHERE a.attempt = c.attempt)"
            ).fetchone()
            if broken is not None and broken[0]:
                found.append(f"{table} refers to a missing attempts")
        return found

    def attempts(self) -> Iterator[StoredAttempt]:
        return (stored(row) for row in self._rows(f"{STORED} ORDER BY a.position", dict_row))

    def attempt(self, attempt: str) -> StoredAttempt | None:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(f"{STORED} WHERE a.attempt = %s", (attempt,)).fetchone()
        return None if row is None else stored(row)

    def volumes(self) -> Iterator[StoredVolume]:
        rows = self._rows("SELECT number, digest, ended_before, attempts FROM volumes ORDER BY number")
        return (StoredVolume(*row) for row in rows)

    def records(self) -> Iterator[StoredRecord]:
        return (
            StoredRecord(*row)
            for row in self._rows(
                "SELECT position, practice, proposal, seq, kind, reference, body, hash, attempt, finding "
                "FROM records ORDER BY practice, proposal, seq"
            )
        )

    def holds(self) -> Iterator[tuple[str, str, str]]:
        return self._rows("SELECT practice, proposal, attempt FROM holds ORDER BY practice, proposal")

    def siblings(self) -> Iterator[tuple[str, str]]:
        return self._rows("SELECT sibling, attempt FROM siblings ORDER BY sibling")

    def triggers(self) -> Iterator[tuple[str, str, str]]:
        return self._rows("SELECT trigger_id, digest, attempt FROM triggers ORDER BY trigger_id")

    def _rows(self, query: str, factory: RowFactory[Any] = tuple_row) -> Iterator[Any]:
        """Through a cursor that the server keeps: a journal of millions of attempts does not fit in memory."""
        self._cursors += 1
        with self._connection.cursor(f"archive_{self._cursors}", row_factory=factory) as cursor:
            cursor.itersize = _ROWS_AT_ONCE
            cursor.execute(query)
            yield from cursor
