"""A journal file read whole, by anybody: no key, no owner, nothing written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.errors import AuditTampered
from gateway.journal import StoredAttempt, StoredRecord, StoredVolume
from gateway.journal._sqlite_connection import VOLUMES_SINCE, Synchronous, check_version, connect
from gateway.journal._sqlite_reads import stored

_BUSY_SECONDS = 5.0


@contextmanager
def open_archive(path: Path) -> Iterator[SqliteArchive]:
    """One consistent look at a journal file, of this schema or an earlier one: a copy kept elsewhere is not migrated.

    Raises `ConfigurationError` where there is no such journal, `AuditTampered` where the file is one but broken.
    """
    connection = connect(path, Synchronous.FULL, _BUSY_SECONDS, read_only=True)
    # Bytes that are no UTF-8 must reach verification as what they are, not as an exception of the driver.
    connection.text_factory = _text
    try:
        schema = check_version(connection, path.name)
        connection.execute("BEGIN")
        yield SqliteArchive(connection, schema)
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise AuditTampered(f"the journal file cannot be read as a database ({name})") from None
    finally:
        connection.close()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


class SqliteArchive:
    """`Archive` over one read transaction."""

    def __init__(self, connection: sqlite3.Connection, schema: int) -> None:
        self._connection = connection
        self._schema = schema

    @property
    def meta(self) -> Mapping[str, str]:
        return {row["name"]: row["value"] for row in self._connection.execute("SELECT name, value FROM meta")}

    def damage(self) -> Sequence[str]:
        found = [row[0] for row in self._connection.execute("PRAGMA integrity_check(20)") if row[0] != "ok"]
        broken = self._connection.execute("PRAGMA foreign_key_check").fetchmany(20)
        return [*found, *(f"{row[0]} refers to a missing {row[2]}" for row in broken)]

    def attempts(self) -> Iterator[StoredAttempt]:
        for row in self._connection.execute("SELECT * FROM attempts NOT INDEXED ORDER BY position"):
            yield stored(self._connection, row)

    def attempt(self, attempt: str) -> StoredAttempt | None:
        row = self._connection.execute("SELECT * FROM attempts WHERE attempt = ?", (attempt,)).fetchone()
        return None if row is None else stored(self._connection, row)

    def volumes(self) -> Iterator[StoredVolume]:
        if self._schema < VOLUMES_SINCE:
            return iter(())
        rows = self._rows("SELECT number, digest, ended_before, attempts FROM volumes ORDER BY number")
        return (StoredVolume(*row) for row in rows)

    def records(self) -> Iterator[StoredRecord]:
        return (
            StoredRecord(*row)
            for row in self._connection.execute(
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

    def _rows(self, query: str) -> Iterator[Any]:
        return (tuple(row) for row in self._connection.execute(query))
