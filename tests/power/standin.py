"""apsw in the shape of Python's own `sqlite3`: what the journal's code needs of it, and no more.

Owns: a module and a connection that quack like `sqlite3` and `sqlite3.Connection` (rows by name and number,
its exceptions with their codes), over an apsw connection on a VFS that records. `imposed` pragmas are set to
another value than was asked for, and reported as though they had not been: that is how a break is planted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import apsw

Parameters = Sequence[Any] | Mapping[str, Any]


class Driver:
    """Stands where a module has imported `sqlite3`."""

    def __init__(self, vfs: str, imposed: Mapping[str, str]) -> None:
        self._vfs = vfs
        self._imposed = imposed

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)

    def connect(self, database: str, *, timeout: float, **_: Any) -> Connection:
        (mode,) = parse_qs(urlsplit(database).query)["mode"]
        access = apsw.SQLITE_OPEN_READONLY if mode == "ro" else apsw.SQLITE_OPEN_READWRITE
        try:
            connection = apsw.Connection(database, flags=access | apsw.SQLITE_OPEN_URI, vfs=self._vfs)
        except apsw.Error as error:
            raise translated(error) from None
        connection.set_busy_timeout(int(timeout * 1000))
        return Connection(connection, self._imposed)


class Row:
    """One row, by name and by number."""

    def __init__(self, names: Sequence[str], values: Sequence[Any]) -> None:
        self._names = names
        self._values = values

    def keys(self) -> list[str]:
        return list(self._names)

    def __getitem__(self, key: str | int) -> Any:
        return self._values[self._names.index(key) if isinstance(key, str) else key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Answer:
    """What a statement gave, read to its end at once."""

    def __init__(self, rows: Sequence[Row], rowcount: int) -> None:
        self._rows = list(rows)
        self.rowcount = rowcount

    def fetchone(self) -> Row | None:
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int) -> list[Row]:
        taken, self._rows = self._rows[:size], self._rows[size:]
        return taken

    def fetchall(self) -> list[Row]:
        return self.fetchmany(len(self._rows))

    def __iter__(self) -> Iterator[Row]:
        return iter(self.fetchall())


class Connection:
    """`sqlite3.Connection` in autocommit, over apsw."""

    row_factory: Any = None
    text_factory: Any = None

    def __init__(self, connection: apsw.Connection, imposed: Mapping[str, str]) -> None:
        self._connection = connection
        self._imposed = imposed
        self._asked: dict[str, Any] = {}

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    @property
    def total_changes(self) -> int:
        return self._connection.total_changes()

    def execute(self, statement: str, parameters: Parameters = ()) -> Answer:
        words = statement.split()
        name = words[1] if words[0] == "PRAGMA" else ""
        if name in self._imposed and words[2:3] == ["="]:
            self._asked[name] = int(words[3]) if words[3].isdigit() else words[3]
            statement = f"PRAGMA {name} = {self._imposed[name]}"
        elif name in self._asked:
            return Answer([Row([name], [self._asked[name]])], -1)
        rows: list[Row] = []
        names: list[str] = []
        try:
            cursor = self._connection.cursor()
            for row in cursor.execute(statement, parameters):
                names = names or [column[0] for column in cursor.get_description()]
                rows.append(Row(names, row))
        except apsw.Error as error:
            raise translated(error) from None
        return Answer(rows, self._connection.changes())

    def executemany(self, statement: str, many: Sequence[Parameters]) -> None:
        for parameters in many:
            self.execute(statement, parameters)

    def close(self) -> None:
        self._connection.close()


def translated(error: apsw.Error) -> sqlite3.Error:
    """The exception that Python's driver raises for it, with the same code and its name."""
    code = getattr(error, "extendedresult", apsw.SQLITE_ERROR)
    corrupt = isinstance(error, apsw.CorruptError | apsw.NotADBError)
    kind: type[sqlite3.Error] = sqlite3.DatabaseError if corrupt else sqlite3.OperationalError
    if isinstance(error, apsw.ConstraintError):
        kind = sqlite3.IntegrityError
    told = kind(str(error))
    told.sqlite_errorcode = code
    names = apsw.mapping_extended_result_codes
    told.sqlite_errorname = str(names.get(code) or apsw.mapping_result_codes.get(code & 0xFF))
    return told
