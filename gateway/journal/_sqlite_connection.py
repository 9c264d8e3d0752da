"""One SQLite file opened so that a commit means what it says.

Owns: the pragmas, read back; the migrations, in order; which file may be taken for a journal at all.
Refuses: with `ConfigurationError`, a file that is none, a newer schema, and a SQLite that will not give
WAL with synchronous FULL: DELETE with FULL and WAL with NORMAL both lose acknowledged commits in a power
cut (RELIABILITY fact 2).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from importlib.resources import files
from pathlib import Path
from typing import Final

from gateway.errors import ConfigurationError

APPLICATION_ID: Final = 0x47574A31  # "GWJ1"
VOLUMES_SINCE: Final = 2
"""The first schema whose events can be archived."""


class Synchronous(IntEnum):
    """SQLite's `synchronous` in WAL mode: FULL syncs each commit, NORMAL syncs checkpoints only."""

    NORMAL = 1
    FULL = 2


def connect(
    path: Path, synchronous: Synchronous, busy_seconds: float, *, read_only: bool = False
) -> sqlite3.Connection:
    """A connection with explicit transactions and proven pragmas; raises `ConfigurationError`."""
    mode = "ro" if read_only else "rw"
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=busy_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise ConfigurationError(f"cannot open {path.name}: {error.sqlite_errorname}; check path and owner") from None
    connection.row_factory = sqlite3.Row
    try:
        _set_pragmas(connection, path, synchronous, read_only=read_only)
    except sqlite3.Error as error:
        connection.close()
        raise ConfigurationError(f"{path.name} is no usable SQLite journal: {error.sqlite_errorname}") from None
    except ConfigurationError:
        connection.close()
        raise
    return connection


def _set_pragmas(connection: sqlite3.Connection, path: Path, synchronous: Synchronous, *, read_only: bool) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (application or objects or read_only):
        raise ConfigurationError(f"{path.name} is not a gateway journal; name another file")
    # wal_autocheckpoint is off because its errors are swallowed by SQLite, and a failed fsync is fatal
    # (RELIABILITY fact 3): the writer checkpoints by itself, after it has answered.
    wanted: dict[str, int | str] = {
        "synchronous": int(synchronous),
        "fullfsync": 1,
        "checkpoint_fullfsync": 1,
        "foreign_keys": 1,
        "wal_autocheckpoint": 0,
        "temp_store": 2,
        "trusted_schema": 0,
        "cell_size_check": 1,
    }
    if not read_only:
        wanted = {"journal_mode": "wal", **wanted}
    for name, value in wanted.items():
        connection.execute(f"PRAGMA {name} = {value}").fetchall()
        (found,) = connection.execute(f"PRAGMA {name}").fetchone()
        if found != value:
            raise ConfigurationError(
                f"{path.name}: SQLite answers {name} = {found} where {value} is needed; "
                "keep the journal on a local disk with a file system that supports WAL"
            )


def create(path: Path) -> None:
    """Make an empty, owner-only file where there is none; raises `ConfigurationError` naming what to do."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise ConfigurationError(f"cannot open {path.name}: {os.strerror(error.errno or 0)}") from None
    keep_names(path)


def keep_names(path: Path) -> None:
    """Sync the directory in which the database and its WAL have their names; raises `ConfigurationError`.

    SQLite does so for a WAL that it makes, never for the database, and does not look whether it succeeded.
    """
    try:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise ConfigurationError(f"cannot open {path.name}: {os.strerror(error.errno or 0)}") from None


def migrate(connection: sqlite3.Connection, name: str) -> None:
    """Bring the schema up to date; raises `ConfigurationError` for a schema of the future."""
    migrations = _migrations()
    with _transaction(connection):  # one for all: of several processes that open a new file, one migrates it
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(migrations):
            raise ConfigurationError(f"{name} was written by a newer gateway; upgrade this one")
        for migration in migrations[version:]:
            for statement in _statements(migration):
                connection.execute(statement)
        if version < len(migrations):
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(migrations)}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def check_version(connection: sqlite3.Connection, name: str) -> int:
    """For readers, who may not migrate: the schema's number; raises `ConfigurationError` for none or a newer one."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not 1 <= version <= len(_migrations()):
        raise ConfigurationError(f"{name} has schema {version}, which this gateway does not know; upgrade it")
    return int(version)


def compact(path: Path, busy_seconds: float) -> None:
    """Rewrite the file without its free pages, as one transaction: after a crash it is the old file or the new.

    Nobody else can write meanwhile, and the WAL grows by the size of what is kept. Raises sqlite3.Error.
    """
    connection = connect(path, Synchronous.FULL, busy_seconds)
    try:
        connection.execute("PRAGMA temp_store = 1")  # the copy of a large journal belongs on the disk
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.close()


def _migrations() -> list[str]:
    folder = files("gateway.journal") / "schema"
    scripts = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return [script.read_text(encoding="utf-8") for script in scripts]


def _statements(script: str) -> Iterator[str]:
    """Statements one by one: `executescript` would commit first and could not be undone as a whole."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
