"""A journal file read whole, by anybody: no key, no owner, nothing written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.errors import AuditTampered
from gateway.journal import StoredAttempt, StoredEvent, StoredRecord
from gateway.journal._sqlite_connection import Synchronous, check_version, connect

_BUSY_SECONDS = 5.0


@contextmanager
def open_archive(path: Path) -> Iterator[SqliteArchive]:
    """One consistent look at a journal file.

    Raises `ConfigurationError` where there is no journal of this schema, `AuditTampered` where the file is
    one but broken.
    """
    connection = connect(path, Synchronous.FULL, _BUSY_SECONDS, read_only=True)
    # Bytes that are no UTF-8 must reach verification as what they are, not as an exception of the driver.
    connection.text_factory = _text
    try:
        check_version(connection, path.name)
        connection.execute("BEGIN")
        yield SqliteArchive(connection)
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise AuditTampered(f"the journal file cannot be read as a database ({name})") from None
    finally:
        connection.close()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


class SqliteArchive:
    """`Archive` over one read transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @property
    def meta(self) -> Mapping[str, str]:
        return {row["name"]: row["value"] for row in self._connection.execute("SELECT name, value FROM meta")}

    def damage(self) -> Sequence[str]:
        found = [row[0] for row in self._connection.execute("PRAGMA integrity_check(20)") if row[0] != "ok"]
        broken = self._connection.execute("PRAGMA foreign_key_check").fetchmany(20)
        return [*found, *(f"{row[0]} refers to a missing {row[2]}" for row in broken)]

    def attempts(self) -> Iterator[StoredAttempt]:
        for row in self._connection.execute("SELECT * FROM attempts NOT INDEXED ORDER BY position"):
            events = self._connection.execute(
                "SELECT seq, body, hash FROM events WHERE attempt = ? ORDER BY seq", (row["attempt"],)
            )
            triggers = self._connection.execute(
                "SELECT trigger_id, digest FROM triggers WHERE attempt = ? ORDER BY trigger_id", (row["attempt"],)
            )
            yield StoredAttempt(
                columns=dict(zip(row.keys(), row, strict=True)),
                triggers=tuple((used["trigger_id"], used["digest"]) for used in triggers),
                events=tuple(StoredEvent(*event) for event in events),
            )

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
