"""A Tryton in a page, behind a real socket, and the boundary before it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.gnuhealth import mapping
from adapters.gnuhealth.adapter import GnuHealthAdapter
from gateway.contracts.proposal import Operation
from gateway.testing import START, AdapterHarness, make_connection, make_request
from tests.peers.peer import Call, Peer, reply

VENDOR = {"patient": "3", "practitioner": "5", "location": "7", "service": "9"}
SETTINGS: dict[str, Any] = {"appointment-minutes": 30}
WRITES = ("create", "write")
JSON = {"Content-Type": "application/json"}
CHANGES = (Operation.RESCHEDULE, Operation.CANCEL)
HALF_HOUR = timedelta(minutes=30)


def stamp(number: int) -> str:
    return f"{1_800_000_000 + number}.{number:06d}"


def _moment(value: dict[str, Any]) -> datetime:
    return datetime(**{name: part for name, part in value.items() if name != "__class__"}, tzinfo=UTC)


def _plain(value: Any) -> Any:
    return _moment(value) if isinstance(value, dict) else value


def _matches(clause: Any, record: dict[str, Any]) -> bool:
    """As Tryton reads a domain: clauses that all hold, or `OR` and clauses of which one does."""
    if clause and clause[0] == "OR":
        return any(_matches(each, record) for each in clause[1:])
    if not clause or isinstance(clause[0], list):
        return all(_matches(each, record) for each in clause)
    name, operator, value = clause
    found, sought = _plain(record[name]), _plain(value)
    if operator == "like":
        assert sought.endswith("%") and "%" not in sought[:-1] and "_" not in sought
        return bool(found and found.startswith(sought[:-1]))
    if found is None:
        return False
    return bool({"=": found == sought, ">": found > sought, "<": found < sought, ">=": found >= sought}[operator])


@dataclass
class FakeTryton:
    """Answers as trytond 7.0 does, as far as this adapter asks. `says` is an answer to the next write in the place of
    the true one, `error` in the place of one after it took effect; `spoil` changes what a write stores."""

    records: list[dict[str, Any]] = field(default_factory=list)
    rights: dict[str, int] = field(default_factory=lambda: {"read": 1, "write": 1, "create": 1, "delete": 1})
    calls: list[tuple[str, list[Any]]] = field(default_factory=list)
    says: bytes | None = None
    error: list[Any] | None = None
    reads: bytes | None = None
    spoil: dict[str, Any] = field(default_factory=dict)
    coarse: bool = False
    before_write: Callable[[], None] = lambda: None
    _writes: int = 0

    @property
    def writes(self) -> int:
        return sum(method.rpartition(".")[2] in WRITES for method, _ in self.calls)

    def book(self, **content: Any) -> dict[str, Any]:
        """Somebody's own appointment."""
        known = {"name": f"APP 2031/{len(self.records)}", "patient": 4, "healthprof": 5, "institution": 7}
        return self._add({**known, "speciality": 9, "state": "confirmed", **content})

    def touch(self, record: dict[str, Any], **content: Any) -> None:
        self._writes += 1
        record.update({**content, "_timestamp": stamp(self._writes)})

    def _add(self, content: dict[str, Any]) -> dict[str, Any]:
        record = {"id": len(self.records) + 1, "_write": True, "create_date": START, **content}
        self.touch(record)
        self.records.append(record)
        return record

    def answer(self, call: Call) -> bytes:
        asked = json.loads(call.body)
        method, parameters = asked["method"].rpartition(".")[2], asked["params"]
        self.calls.append((asked["method"], parameters))
        if method in WRITES:
            return self._written(method, parameters)
        if self.reads is not None:
            return self.reads
        if method == "get_access":
            return result({"gnuhealth.appointment": self.rights})
        domain, _, limit, _, fields, _ = parameters
        found = [each for each in self.records if _matches(domain, each)]
        return result([self._shown(each, fields) for each in found[:limit]])

    def _shown(self, record: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
        shown = {name: record.get(name) for name in ("id", *fields)}
        if self.coarse:
            shown["_timestamp"] = shown["_timestamp"].partition(".")[0]
        return shown

    def _written(self, method: str, parameters: list[Any]) -> bytes:
        self.before_write()
        if self.says is not None:
            return self.says
        if method == "create":
            ((values,), _) = parameters
            made: Any = [self._add(values)["id"]]
        else:
            ((number,), values, context) = parameters
            record = next((each for each in self.records if each["id"] == number), None)
            if record is None:
                return error("UserError", ["You are trying to write to records that don't exist.", "", None])
            if context["_timestamp"][f"gnuhealth.appointment,{number}"] != record["_timestamp"]:
                return error("ConcurrencyException", "Records were modified in the meanwhile")
            self.touch(record, **values)
            made = None
        self.records[-1].update(self.spoil)
        return result(made) if self.error is None else error(*self.error)


def result(content: Any, status: int = 200) -> bytes:
    return reply(status, json.dumps({"id": 1, "result": content}).encode(), **JSON)


def error(*content: Any) -> bytes:
    return reply(200, json.dumps({"id": 1, "error": content}).encode(), **JSON)


@dataclass
class Office:
    """One server, and attempts at it through the boundary."""

    tryton: FakeTryton
    url: str
    vendor: dict[str, str] = field(default_factory=lambda: dict(VENDOR))

    def booking(self, *, vendor: dict[str, str] | None = None, minutes: int = 30, **settings: Any) -> AdapterHarness:
        connection = make_connection(self.url, settings={**SETTINGS, **settings})
        request = make_request(connection, vendor={**VENDOR, **(vendor or {})}, minutes=minutes)
        return AdapterHarness(GnuHealthAdapter(), request)

    async def booked(self) -> AdapterHarness:
        """A booking that was made."""
        async with self.booking() as harness:
            assert await harness.readiness() is None
            await harness.commit()
        assert harness.binding is not None
        return harness

    async def change(self, operation: Operation, booked: AdapterHarness | None = None) -> AdapterHarness:
        """To three hours later, or away."""
        booked = booked or await self.booked()
        start = booked.request.particulars.start
        moved = operation is Operation.RESCHEDULE
        return booked.following(operation, start.replace(hour=start.hour + 3) if moved else start)


def spelt(harness: Any, shift: timedelta = timedelta()) -> dict[str, Any]:
    return mapping.spelt(harness.request.particulars.start + shift)


@pytest.fixture
def tryton() -> FakeTryton:
    return FakeTryton()


@pytest.fixture
async def office(tryton: FakeTryton) -> AsyncIterator[Office]:
    async with Peer(system=tryton.answer).listening() as peer:
        yield Office(tryton, f"http://127.0.0.1:{peer.port}/clinic/")


@pytest.fixture
def spell() -> Callable[..., bytes]:
    """A reply of HTTP's own."""
    return reply


@pytest.fixture
def said_result() -> Callable[..., bytes]:
    return result


@pytest.fixture
def said_error() -> Callable[..., bytes]:
    return error


@pytest.fixture
def altered() -> Callable[..., AdapterHarness]:
    """The same attempt with other particulars."""

    def changed(harness: AdapterHarness, **particulars: Any) -> AdapterHarness:
        request = harness.request
        other = request.particulars.model_copy(update=particulars)
        return AdapterHarness(GnuHealthAdapter(), replace(request, particulars=other))

    return changed
