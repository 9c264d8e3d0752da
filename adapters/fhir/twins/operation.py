"""Twins of servers that book by an operation: after IHE ITI Scheduling 1.0.0, and after Medplum's pages (beta, 2026).

Neither is anybody's server. Availability is the store's grid of half hours; a booking takes its slots, or is refused.
IHE's says no with 200 and an OperationOutcome in a Bundle, Medplum's with 400.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel

from adapters.fhir.twins import store as kept
from gateway.testing.engine import RejectedError, Rejection
from gateway.testing.premises import Premises
from gateway.testing.twin import Call, Twin
from gateway.testing.wire import Reply

_APPOINTMENT: Final = {"can": ["read", "search-type"]}
_SCHEDULED: Final = ("Practitioner/", "Device/")


class Parameter(BaseModel):
    name: str
    resource: dict[str, Any] | None = None
    valueDateTime: str | None = None
    valueReference: dict[str, str] | None = None


class Parameters(BaseModel):
    parameter: list[Parameter]

    def resource(self, name: str) -> dict[str, Any]:
        """Raises `RejectedError` (INVALID)."""
        found = next((each.resource for each in self.parameter if each.name == name), None)
        if found is None:
            raise RejectedError(Rejection.INVALID)
        return found

    def text(self, name: str) -> str:
        for each in self.parameter:
            if each.name == name:
                return each.valueDateTime or (each.valueReference or {}).get("reference", "")
        raise RejectedError(Rejection.INVALID)


def ihe(store: kept.Store) -> Twin:
    made = Twin("twin of an IHE scheduling server", refusals=kept.REFUSALS_IN_FHIR)

    @made.route("GET", "/metadata")
    def metadata(call: Call) -> Reply:
        return kept.statement(call, {"Appointment": {**_APPOINTMENT, "operation": _operations(call, "find", "book")}})

    @made.route("POST", "/Appointment/$find", writes=False)
    def find(call: Call) -> Reply:
        asked = call.body(Parameters)
        times = datetime.fromisoformat(asked.text("start")), datetime.fromisoformat(asked.text("end"))
        actors = [asked.text("practitioner"), asked.text("location-reference"), asked.text("patient-reference")]
        offers = [
            {"resourceType": "Appointment", "status": "proposed", "start": slot["start"], "end": slot["end"]}
            | {"participant": [{"actor": {"reference": name}, "status": "needs-action"} for name in actors]}
            for slot in _free(store, actors[:1], times)
        ]
        return kept.searchset(offers)

    @made.route("POST", "/Appointment/$book")
    def book(call: Call) -> Reply:
        asked = call.body(Parameters).resource("appointment-resource")
        if asked.get("status") != "pending" or not asked.get("requestedPeriod"):
            raise RejectedError(Rejection.INVALID)
        people = [name for name in kept.actors(asked) if name.startswith(_SCHEDULED)]
        try:
            with store.whole():
                written = _booked(store, asked, people)
        except RejectedError:
            issue = {"severity": "error", "code": "conflict"}
            return kept.searchset([{"resourceType": "OperationOutcome", "issue": [issue]}])
        return kept.searchset([written.resource])

    _searchable(made, store, needs=("patient", "date"))
    return made


def medplum(store: kept.Store) -> Twin:
    made = Twin("twin of Medplum's scheduling", refusals=kept.REFUSALS_IN_FHIR)

    @made.route("GET", "/metadata")
    def metadata(call: Call) -> Reply:
        booking = {**_APPOINTMENT, "operation": _operations(call, "find", "book")}
        return kept.statement(call, {"Schedule": {"can": ["search-type"]}, "Appointment": booking})

    @made.route("GET", "/Schedule")
    def schedules(call: Call) -> Reply:
        return kept.searchset([store.schedule(actor) for actor in kept.listed(call, "actor")])

    @made.route("GET", "/Appointment/$find")
    def find(call: Call) -> Reply:
        query = call.request.query
        times = datetime.fromisoformat(query["start"][0]), datetime.fromisoformat(query["end"][0])
        actors = [each["actor"][0]["reference"] for each in map(store.get, query["schedule"])]
        service = {"valueReference": {"reference": query["service-type-reference"][0]}}
        offers = [
            {"resourceType": "Appointment", "status": "proposed", "start": slot["start"], "end": slot["end"]}
            | {"participant": [{"actor": {"reference": one}, "status": "needs-action"} for one in actors]}
            | {"serviceType": [{"extension": [{"url": "https://medplum.com/fhir/service-type-reference", **service}]}]}
            | {
                "contained": [
                    {"resourceType": "Slot", "status": "busy", "schedule": {"reference": each}}
                    | {"start": slot["start"], "end": slot["end"]}
                    for each in query["schedule"]
                ]
            }
            for slot in _free(store, actors, times)
        ]
        found = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in offers]}
        return kept.fhir(200, {"resourceType": "Parameters", "parameter": [{"name": "return", "resource": found}]})

    @made.route("POST", "/Appointment/$book")
    def book(call: Call) -> Reply:
        asked = dict(call.body(Parameters).resource("appointment"))
        contained = asked.pop("contained", [])
        if asked.get("status") != "proposed" or not contained or not asked.get("serviceType"):
            raise RejectedError(Rejection.INVALID)
        people = [store.get(each["schedule"]["reference"])["actor"][0]["reference"] for each in contained]
        with store.whole():
            written = _booked(store, asked, people)
        slots = [store.get(each["reference"]) for each in written.resource["slot"]]
        entries = [{"resource": one} for one in (written.resource, *slots)]
        return kept.fhir(201, {"resourceType": "Bundle", "type": "transaction-response", "entry": entries})

    _searchable(made, store, needs=())
    return made


def _operations(call: Call, *names: str) -> list[dict[str, str]]:
    """Those that whoever asks may use: `book` writes."""
    return [{"name": name, "definition": f"urn:twin:{name}"} for name in names if call.may_write or name != "book"]


def _searchable(made: Twin, store: kept.Store, needs: Sequence[str]) -> None:
    @made.route("GET", "/Appointment")
    def search(call: Call) -> Reply:
        if not set(needs) <= call.request.query.keys():
            raise RejectedError(Rejection.INVALID)
        return kept.searchset(store.by_identifier(kept.listed(call, "identifier")[0]))

    kept.readable(made, store)


def _free(store: kept.Store, people: Sequence[str], times: tuple[datetime, datetime]) -> Iterator[kept.Json]:
    """Half hours in which everybody is free, by the slots of the first."""
    rows = [store.slots(f"Schedule/{store.schedule(name)['id']}", *times) for name in people]
    for together in zip(*rows, strict=True):
        if all(slot["status"] == "free" for slot in together):
            yield together[0]


def _booked(store: kept.Store, asked: Mapping[str, Any], people: Sequence[str]) -> kept.Written:
    """The appointment, booked, and everybody's slot taken; raises `RejectedError` (INVALID)."""
    start, end = (datetime.fromisoformat(str(asked[name])) for name in ("start", "end"))
    slots = [slot for name in people for slot in store.slots(f"Schedule/{store.schedule(name)['id']}", start, end)]
    if not slots or any(slot["status"] != "free" for slot in slots):
        raise RejectedError(Rejection.INVALID)
    names = [f"Slot/{slot['id']}" for slot in slots]
    store.set_slots(names, "busy")
    return store.create({**asked, "status": "booked", "slot": [{"reference": name} for name in names]})


@asynccontextmanager
async def ihe_premises() -> AsyncIterator[Premises]:
    """A twin over a store of its own."""
    store = kept.Store()
    async with ihe(store).premises() as started:
        yield replace(started, observer=kept.StoreObserver(store, kept.identifiers))


@asynccontextmanager
async def medplum_premises() -> AsyncIterator[Premises]:
    """A twin over a store of its own."""
    store = kept.Store()
    async with medplum(store).premises() as started:
        yield replace(started, observer=kept.StoreObserver(store, kept.identifiers))
