"""A small FHIR store in memory: what every FHIR twin stands upon.

Owns: versions, searches, and transactions that are made whole or not at all (https://hl7.org/fhir/R4/http.html).
Every practitioner or device that somebody asks for has one Schedule, with a free Slot at each half hour.
Refuses, as `RejectedError`: what is not there, a version that is not current, a create whose condition is met.
Shares no code with the adapter: an error that both made would cancel out.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gateway.testing.engine import RejectedError, Rejection
from gateway.testing.premises import Seen
from gateway.testing.twin import REFUSALS, Call, Denial, Twin, document
from gateway.testing.wire import Reply

MIME: Final = ("content-type", "application/fhir+json")
HALF_HOUR: Final = timedelta(minutes=30)

Json = dict[str, Any]


def fhir(status: int, content: Mapping[str, Any], *headers: tuple[str, str]) -> Reply:
    """A reply as a FHIR server sends it."""
    plain = document(status, content)
    return Reply(status=status, headers=(MIME, *headers), body=plain.body)


def outcome(status: int, code: str, severity: str = "error") -> Reply:
    return fhir(status, {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code}]})


REFUSALS_IN_FHIR: Final[Mapping[Rejection | Denial, Reply]] = {
    **REFUSALS,
    Denial.UNAUTHORISED: outcome(401, "login"),
    Denial.FORBIDDEN: outcome(403, "forbidden"),
    Denial.NO_ROUTE: outcome(404, "not-supported"),
    Rejection.NOT_FOUND: outcome(404, "not-found"),
    Rejection.KEY_REUSED: outcome(412, "duplicate"),
    Rejection.STALE_VERSION: outcome(412, "conflict"),
    Rejection.SLOT_TAKEN: outcome(409, "conflict"),
    Rejection.INVALID: outcome(400, "invalid"),
    Rejection.NOT_BOOKED: outcome(422, "business-rule"),
}


@dataclass(frozen=True, slots=True)
class Written:
    """One resource after a write, and the status that tells what became of it."""

    status: int
    resource: Json

    @property
    def location(self) -> str:
        return f"{self.resource['resourceType']}/{self.resource['id']}/_history/{self.resource['meta']['versionId']}"

    @property
    def etag(self) -> str:
        return f'W/"{self.resource["meta"]["versionId"]}"'


class Store:
    """Resources by `Type/id`. One store is one server's memory."""

    def __init__(self) -> None:
        self._resources: dict[str, Json] = {}
        self._numbers = itertools.count(1)

    def get(self, name: str) -> Json:
        """Raises `RejectedError` (NOT_FOUND)."""
        found = self._resources.get(name)
        if found is None:
            raise RejectedError(Rejection.NOT_FOUND)
        return copy.deepcopy(found)

    def every(self, kind: str) -> list[Json]:
        return [copy.deepcopy(one) for name, one in self._resources.items() if name.startswith(f"{kind}/")]

    def create(self, resource: Mapping[str, Any]) -> Written:
        identifier = f"{next(self._numbers)}-{str(resource['resourceType']).lower()}"
        return self._keep({**resource, "id": identifier}, 1, 201)

    def update(self, name: str, resource: Mapping[str, Any], if_match: str | None) -> Written:
        """Raises `RejectedError` NOT_FOUND or STALE_VERSION; `if_match` is an entity tag."""
        current = int(self.get(name)["meta"]["versionId"])
        if if_match != f'W/"{current}"':
            raise RejectedError(Rejection.STALE_VERSION)
        return self._keep({**resource, "id": name.partition("/")[2]}, current + 1, 200)

    def put_new(self, name: str, resource: Mapping[str, Any]) -> Written:
        """`PUT` with `If-None-Match: *`; raises `RejectedError` (KEY_REUSED)."""
        if name in self._resources:
            raise RejectedError(Rejection.KEY_REUSED)
        return self._keep({**resource, "id": name.partition("/")[2]}, 1, 201)

    def remove(self, name: str) -> bool:
        return self._resources.pop(name, None) is not None

    def by_identifier(self, token: str) -> list[Json]:
        """Appointments by `system|value`."""
        system, _, value = token.partition("|")
        return [
            one
            for one in self.every("Appointment")
            if any((each.get("system"), each.get("value")) == (system, value) for each in one.get("identifier", []))
        ]

    def schedule(self, actor: str) -> Json:
        """The Schedule of an actor, `Type/id`; made where there is none."""
        name = f"Schedule/{actor.partition('/')[2]}"
        if name not in self._resources:
            resource = {"resourceType": "Schedule", "id": name.partition("/")[2], "actor": [{"reference": actor}]}
            self._keep(resource, 1, 201)
        return self.get(name)

    def slots(self, schedule: str, start: datetime, end: datetime) -> list[Json]:
        """Slots of a Schedule that begin in [start, end); made where there are none."""
        first = datetime.fromtimestamp(-(-start.timestamp() // 1800) * 1800, tz=UTC)
        found: list[Json] = []
        while first < end and len(found) < 200:
            name = f"Slot/{schedule.partition('/')[2]}.{first:%Y%m%d%H%M}"
            if name not in self._resources:
                slot = {"resourceType": "Slot", "id": name.partition("/")[2], "schedule": {"reference": schedule}}
                self._keep({**slot, "status": "free", "start": text(first), "end": text(first + HALF_HOUR)}, 1, 201)
            found.append(self.get(name))
            first += HALF_HOUR
        return found

    @contextmanager
    def whole(self) -> Iterator[None]:
        """All of it, or, where `RejectedError` leaves, nothing."""
        before = dict(self._resources)
        try:
            yield
        except RejectedError:
            self._resources = before
            raise

    def set_slots(self, names: Sequence[str], status: str) -> None:
        for name in names:
            slot = self.get(name)
            self.update(name, {**slot, "status": status}, f'W/"{slot["meta"]["versionId"]}"')

    def _keep(self, resource: Json, version: int, status: int) -> Written:
        kept = {**copy.deepcopy(resource), "meta": {"versionId": str(version)}}
        self._resources[f"{kept['resourceType']}/{kept['id']}"] = kept
        return Written(status, copy.deepcopy(kept))


def text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def bounds(call: Call, name: str) -> tuple[datetime, datetime]:
    """A search's `ge…` and `lt…` of one parameter; raises `RejectedError` (INVALID)."""
    given = {value[:2]: value[2:] for value in call.request.query.get(name, [])}
    if given.keys() != {"ge", "lt"}:
        raise RejectedError(Rejection.INVALID)
    return datetime.fromisoformat(given["ge"]), datetime.fromisoformat(given["lt"])


def listed(call: Call, name: str) -> list[str]:
    """The alternatives of one search parameter, given once."""
    (value,) = call.request.query.get(name, [""])
    return [each for each in value.split(",") if each]


def readable(made: Twin, store: Store) -> None:
    """`GET Appointment/[id]`, as every server has it."""

    @made.route("GET", "/Appointment/{id}")
    def look(call: Call) -> Reply:
        found = store.get(f"Appointment/{call.path['id']}")
        return fhir(200, found, ("etag", Written(200, found).etag))


def searchset(resources: Sequence[Json]) -> Reply:
    entries = [{"resource": one, "search": {"mode": "match"}} for one in resources]
    return fhir(200, {"resourceType": "Bundle", "type": "searchset", "total": len(entries), "entry": entries})


def statement(call: Call, types: Mapping[str, Mapping[str, Any]], interaction: Sequence[str] = ()) -> Reply:
    """A CapabilityStatement for whoever asks: writes are left out for one who may only read. `types` are elements
    beside the interactions, which stand under `can`."""
    writes = {"create", "update", "patch"}
    resources = [
        {
            "type": kind,
            **{name: value for name, value in told.items() if name != "can"},
            "interaction": [{"code": code} for code in told["can"] if call.may_write or code not in writes],
        }
        for kind, told in types.items()
    ]
    rest = {"mode": "server", "resource": resources, "interaction": [{"code": code} for code in interaction]}
    content = {"resourceType": "CapabilityStatement", "status": "active", "kind": "instance", "fhirVersion": "4.0.1"}
    return fhir(200, {**content, "format": ["json"], "rest": [rest]})


def actors(appointment: Mapping[str, Any]) -> set[str]:
    return {each.get("actor", {}).get("reference", "") for each in appointment.get("participant", [])}


@dataclass(frozen=True, slots=True)
class StoreObserver:
    """An observer that reads the store's memory, past every route (`Observer`). `keys` says where keys are."""

    store: Store
    keys: Callable[[Json], tuple[str, ...]]

    async def appointments(self, start: datetime, end: datetime) -> Sequence[Seen]:
        seen = [
            Seen(
                identifier=one["id"],
                start=datetime.fromisoformat(one["start"]),
                end=datetime.fromisoformat(one["end"]),
                cancelled=one["status"] == "cancelled",
                keys=self.keys(one),
                subject=next((name[8:] for name in actors(one) if name.startswith("Patient/")), None),
            )
            for one in self.store.every("Appointment")
        ]
        return [each for each in seen if each.start < end and each.end > start]

    async def remove(self, identifier: str) -> bool:
        name = f"Appointment/{identifier}"
        for one in self.store.every("Appointment"):
            if one["id"] == identifier and one["status"] != "cancelled":
                self.store.set_slots([each["reference"] for each in one.get("slot", [])], "free")
        return self.store.remove(name)


def identifiers(appointment: Json) -> tuple[str, ...]:
    return tuple(each["value"] for each in appointment.get("identifier", []))
