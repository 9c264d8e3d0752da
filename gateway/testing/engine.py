"""A scheduling engine over one SQLite file: the memory of the embedded sandbox and of twins, without a wire format.

Owns: appointments, their versions, who is occupied when, which key wrote what, and the tally of mutating
requests that an independent observer counts.
Refuses (`RejectedError`): a slot in which any participant is already occupied, a key that wrote something
else, a version that is not current, an appointment that is not there or no longer booked.
Invariants: one write is one immediate transaction; a key writes at most once, for ever; two booked
appointments never share a participant at overlapping times; an appointment's versions count 1, 2, 3 without gaps.
Vendors are laxer: an engine opened with `exclusive=False` lets appointments overlap, and one with
`unique_keys=False` lets one key write many times.

One engine belongs to one thread. Several engines, threads and processes may share the file.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Self

from gateway.clock import Clock, SystemClock

LOCK_WAIT_SECONDS = 10.0

# NORMAL: a killed process loses nothing; a power cut may, and nobody proves anything to a sandbox by one.
_PRAGMAS = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", "PRAGMA foreign_keys = ON")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS appointments (
    id TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('booked', 'cancelled')),
    patient TEXT NOT NULL,
    participants TEXT NOT NULL,
    location TEXT NOT NULL,
    service TEXT NOT NULL,
    reason TEXT,
    start_at TEXT NOT NULL,
    end_at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS occupied (
    participant TEXT NOT NULL,
    start_at TEXT NOT NULL,
    end_at TEXT NOT NULL,
    appointment TEXT NOT NULL REFERENCES appointments,
    PRIMARY KEY (participant, start_at, appointment)
) STRICT;
CREATE TABLE IF NOT EXISTS writes (
    key TEXT,
    content TEXT NOT NULL,
    appointment TEXT NOT NULL REFERENCES appointments,
    version INTEGER NOT NULL,
    PRIMARY KEY (appointment, version)
) STRICT;
CREATE INDEX IF NOT EXISTS writes_by_key ON writes (key);
CREATE TABLE IF NOT EXISTS requests (
    number INTEGER PRIMARY KEY,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    key TEXT,
    at TEXT NOT NULL
) STRICT;
"""


class Status(StrEnum):
    BOOKED = "booked"
    CANCELLED = "cancelled"


class Rejection(StrEnum):
    """Why a write was not made. Nothing changed."""

    INVALID = "invalid"
    KEY_REUSED = "key-reused"
    NOT_BOOKED = "not-booked"
    NOT_FOUND = "not-found"
    SLOT_TAKEN = "slot-taken"
    STALE_VERSION = "stale-version"


class RejectedError(Exception):
    """The engine refused a write; `rejection` says why, and nothing else does."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.value)
        self.rejection = rejection


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """Who meets whom, where, for what, from `start` until `end` (aware instants, end exclusive)."""

    patient: str
    participants: tuple[str, ...]
    location: str
    service: str
    reason: str | None
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointment:
    """One appointment as it stands. `keys` are those that its writes had, oldest first."""

    id: str
    version: int
    status: Status
    booking: Booking
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """`replayed`: this key had already made this very write, and nothing changed now."""

    appointment: Appointment
    replayed: bool


@dataclass(frozen=True, slots=True)
class Received:
    """One mutating request, tallied on arrival whatever became of it."""

    method: str
    path: str
    key: str | None
    at: datetime


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=LOCK_WAIT_SECONDS, isolation_level=None)
    try:
        for pragma in _PRAGMAS:
            database.execute(pragma)
        database.executescript(_SCHEMA)
    except sqlite3.Error:
        database.close()
        raise
    return database


class Engine:
    """See the module's docstring. A write may name the native key under which it can be found."""

    def __init__(
        self, database: sqlite3.Connection, clock: Clock, *, exclusive: bool = True, unique_keys: bool = True
    ) -> None:
        self._database = database
        self._clock = clock
        self._exclusive = exclusive
        self._unique_keys = unique_keys

    @classmethod
    def open(cls, path: Path, clock: Clock | None = None, *, exclusive: bool = True, unique_keys: bool = True) -> Self:
        """Open, or make, the database file; the caller closes. Raises OSError for what cannot be opened as one."""
        try:
            database = _opened(path)
        except sqlite3.Error as error:
            raise OSError(f"{path.name} cannot be opened as a database: {error}") from None
        return cls(database, clock or SystemClock(), exclusive=exclusive, unique_keys=unique_keys)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def book(self, key: str | None, booking: Booking) -> Written:
        """Make an appointment; raises `RejectedError` INVALID, KEY_REUSED or SLOT_TAKEN."""
        content = _content("book", booking)
        with self._transaction():
            if earlier := self._replay(key, content):
                return Written(earlier, replayed=True)
            self._require_free(booking)
            appointment = Appointment(id=self._clock.token(), version=1, status=Status.BOOKED, booking=booking)
            return Written(self._store(key, content, appointment), replayed=False)

    def reschedule(self, key: str | None, identifier: str, version: str, booking: Booking) -> Written:
        """Replace a booked appointment's particulars, the patient excepted; raises `RejectedError`."""
        content = _content("reschedule", booking, identifier)
        with self._transaction():
            if earlier := self._replay(key, content):
                return Written(earlier, replayed=True)
            current = self._require_current(identifier, version)
            if booking.patient != current.booking.patient:
                raise RejectedError(Rejection.INVALID)
            self._require_free(booking, excluding=identifier)
            moved = replace(current, version=current.version + 1, booking=booking)
            return Written(self._store(key, content, moved), replayed=False)

    def cancel(self, key: str | None, identifier: str, version: str, reason: str | None) -> Written:
        """Mark a booked appointment cancelled and free its participants; raises `RejectedError`."""
        content = json.dumps(["cancel", identifier, reason])
        with self._transaction():
            if earlier := self._replay(key, content):
                return Written(earlier, replayed=True)
            current = self._require_current(identifier, version)
            cancelled = replace(
                current,
                version=current.version + 1,
                status=Status.CANCELLED,
                booking=replace(current.booking, reason=reason),
            )
            return Written(self._store(key, content, cancelled), replayed=False)

    def remove(self, identifier: str) -> bool:
        """Take an appointment, its keys and its occupancy away for good, as though it had never been booked.

        For an observer that tidies up: no vendor does this, and a late replay of its key would book again.
        False where it is not there. Requests stay tallied: they did arrive.
        """
        with self._transaction():
            self._database.execute("DELETE FROM occupied WHERE appointment = ?", (identifier,))
            self._database.execute("DELETE FROM writes WHERE appointment = ?", (identifier,))
            gone = self._database.execute("DELETE FROM appointments WHERE id = ?", (identifier,))
        return gone.rowcount == 1

    def appointment(self, identifier: str) -> Appointment | None:
        return next(self._select("WHERE id = ?", identifier), None)

    def find(self, key: str) -> Appointment | None:
        """The appointment that a write with this key made or changed, as it stands now; the oldest, of several."""
        return next(iter(self.search(key)), None)

    def search(self, key: str) -> Sequence[Appointment]:
        """All that a write with this key made or changed, oldest first; more than one without unique keys only."""
        return tuple(self._select("WHERE id IN (SELECT appointment FROM writes WHERE key = ?) ORDER BY rowid", key))

    def appointments(self) -> Sequence[Appointment]:
        """All, cancelled ones included, oldest first."""
        return tuple(self._select("ORDER BY rowid"))

    def is_free(self, participants: Sequence[str], start: datetime, end: datetime, excluding: str = "") -> bool:
        """Whether nobody listed is occupied in [start, end), appointment `excluding` aside."""
        overlap = "SELECT 1 FROM occupied WHERE participant = ? AND start_at < ? AND end_at > ? AND appointment <> ?"
        bounds = (_text(end), _text(start), excluding)
        return not any(self._database.execute(overlap, (each, *bounds)).fetchone() for each in participants)

    def tally(self, method: str, path: str, key: str | None) -> None:
        """Count one mutating request, before anything else is done about it."""
        self._database.execute(
            "INSERT INTO requests (method, path, key, at) VALUES (?, ?, ?, ?)",
            (method, path, key, _text(self._clock.now())),
        )

    def requests(self) -> Sequence[Received]:
        """Every mutating request received, in order of arrival."""
        rows = self._database.execute("SELECT method, path, key, at FROM requests ORDER BY number")
        return tuple(Received(method, path, key, datetime.fromisoformat(at)) for method, path, key, at in rows)

    def effects(self) -> int:
        """How many writes took effect."""
        (count,) = self._database.execute("SELECT count(*) FROM writes").fetchone()
        return int(count)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._database:
            # IMMEDIATE: the look that finds the slot free and the write that takes it hold one lock.
            self._database.execute("BEGIN IMMEDIATE")
            yield

    def _replay(self, key: str | None, content: str) -> Appointment | None:
        if key is None or not self._unique_keys:
            return None
        row = self._database.execute("SELECT content, appointment FROM writes WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        if row[0] != content:
            raise RejectedError(Rejection.KEY_REUSED)
        return self.appointment(row[1])

    def _require_current(self, identifier: str, version: str) -> Appointment:
        current = self.appointment(identifier)
        if current is None:
            raise RejectedError(Rejection.NOT_FOUND)
        if version != str(current.version):
            raise RejectedError(Rejection.STALE_VERSION)
        if current.status is not Status.BOOKED:
            raise RejectedError(Rejection.NOT_BOOKED)
        return current

    def _require_free(self, booking: Booking, excluding: str = "") -> None:
        unique = len(set(booking.participants)) == len(booking.participants) > 0
        if not unique or booking.end <= booking.start:
            raise RejectedError(Rejection.INVALID)
        free = self.is_free(booking.participants, booking.start, booking.end, excluding)
        if self._exclusive and not free:
            raise RejectedError(Rejection.SLOT_TAKEN)

    def _store(self, key: str | None, content: str, appointment: Appointment) -> Appointment:
        booking = appointment.booking
        start, end = _text(booking.start), _text(booking.end)
        self._database.execute(
            "INSERT INTO appointments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " version = excluded.version, status = excluded.status, participants = excluded.participants,"
            " location = excluded.location, service = excluded.service, reason = excluded.reason,"
            " start_at = excluded.start_at, end_at = excluded.end_at",
            (
                appointment.id,
                appointment.version,
                appointment.status,
                booking.patient,
                json.dumps(booking.participants),
                booking.location,
                booking.service,
                booking.reason,
                start,
                end,
            ),
        )
        self._database.execute("DELETE FROM occupied WHERE appointment = ?", (appointment.id,))
        if appointment.status is Status.BOOKED:
            self._database.executemany(
                "INSERT INTO occupied VALUES (?, ?, ?, ?)",
                [(participant, start, end, appointment.id) for participant in booking.participants],
            )
        self._database.execute(
            "INSERT INTO writes VALUES (?, ?, ?, ?)", (key, content, appointment.id, appointment.version)
        )
        return replace(appointment, keys=appointment.keys if key is None else (*appointment.keys, key))

    def _select(self, condition: str, *values: str) -> Iterator[Appointment]:
        # `condition` is one of this module's own literals; values are always bound.
        rows = self._database.execute(f"SELECT * FROM appointments {condition}", values)  # noqa: S608 — conditions are this module's own
        for identifier, version, status, patient, participants, location, service, reason, start, end in rows:
            writes = self._database.execute(
                "SELECT key FROM writes WHERE appointment = ? AND key IS NOT NULL ORDER BY version", (identifier,)
            )
            yield Appointment(
                id=identifier,
                version=version,
                status=Status(status),
                booking=Booking(
                    patient=patient,
                    participants=tuple(json.loads(participants)),
                    location=location,
                    service=service,
                    reason=reason,
                    start=datetime.fromisoformat(start),
                    end=datetime.fromisoformat(end),
                ),
                keys=tuple(key for (key,) in writes),
            )


def _text(instant: datetime) -> str:
    """Fixed-width UTC, so that text order is time order."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds")


def _content(operation: str, booking: Booking, identifier: str | None = None) -> str:
    """What a repeated key must repeat to count as the same write."""
    fields = asdict(booking) | {"start": _text(booking.start), "end": _text(booking.end)}
    return json.dumps([operation, identifier, fields])
