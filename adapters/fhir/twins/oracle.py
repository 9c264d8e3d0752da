"""A twin of Oracle Health Millennium R4, after its public pages (fhir.cerner.com, 2024-05): not the vendor.

What the pages leave open is decided here: a slot that is taken is refused with 422, and a write to one slot waits for
another. Appointments stand at one location. The engine of the twin kit is not used: slots have ids here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, RootModel

from adapters.fhir.twins import store as kept
from gateway.testing.engine import RejectedError, Rejection
from gateway.testing.premises import Premises
from gateway.testing.twin import Call, Denial, Twin
from gateway.testing.wire import Reply

LOCATION: Final = "Location/location-1"
_EXTENSIONS: Final = "https://fhir-ehr.cerner.com/r4/StructureDefinition/"
_CAN: Final[dict[str, dict[str, Any]]] = {
    "Appointment": {"can": ["read", "search-type", "create", "patch"]},
    "Slot": {"can": ["read", "search-type"]},
    "Schedule": {"can": ["read", "search-type"]},
}
_REFUSALS: Final = {
    **kept.REFUSALS_IN_FHIR,
    Denial.UNAUTHORISED: Reply(status=401, headers=(("www-authenticate", "Bearer"),)),
    Rejection.STALE_VERSION: kept.outcome(409, "conflict"),
    Rejection.SLOT_TAKEN: kept.outcome(422, "business-rule"),
    Rejection.INVALID: kept.outcome(422, "invalid"),
}


class Actor(BaseModel):
    reference: str


class Accepted(BaseModel):
    actor: Actor
    status: Literal["accepted"]


class NewAppointment(BaseModel):
    status: Literal["booked"]
    slot: tuple[Actor]
    participant: tuple[Accepted]
    comment: str | None = None
    reasonCode: list[dict[str, Any]] = []


class Change(BaseModel):
    op: Literal["add", "replace"]
    path: str
    value: Any


class Changes(RootModel[list[Change]]):
    pass


_PATHS: Final = ({"/slot", "/extension"}, {"/slot"}, {"/status"}, {"/status", "/cancelationReason", "/extension"})


def twin(store: kept.Store) -> Twin:
    """The routes over one store."""
    made = Twin("twin of Oracle Health Millennium R4", refusals=_REFUSALS)
    kept.readable(made, store)

    @made.route("GET", "/metadata")
    def metadata(call: Call) -> Reply:
        return kept.statement(call, _CAN)

    @made.route("GET", "/Slot")
    def slots(call: Call) -> Reply:
        if named := kept.listed(call, "_id"):
            return kept.searchset([_placed(one) for one in store.every("Slot") if one["id"] in named])
        start, end = kept.bounds(call, "start")
        places = [f"Location/{one}" for one in kept.listed(call, "-location")]
        if places != [LOCATION] or not kept.listed(call, "service-type"):
            raise RejectedError(Rejection.INVALID)
        asked = [store.schedule(actor) for actor in kept.listed(call, "schedule.actor")]
        found = [one for each in asked for one in store.slots(f"Schedule/{each['id']}", start, end)]
        return kept.searchset([_placed(one) for one in found if one["status"] == "free"])

    @made.route("GET", "/Schedule")
    def schedules(call: Call) -> Reply:
        return kept.searchset([one for one in store.every("Schedule") if one["id"] in kept.listed(call, "_id")])

    @made.route("GET", "/Appointment")
    def search(call: Call) -> Reply:
        if named := kept.listed(call, "_id"):
            return kept.searchset([one for one in store.every("Appointment") if one["id"] in named])
        (start, end), patients = kept.bounds(call, "date"), {f"Patient/{one}" for one in kept.listed(call, "patient")}
        found = [one for one in store.every("Appointment") if kept.actors(one) & patients]
        return kept.searchset([one for one in found if start <= datetime.fromisoformat(one["start"]) < end])

    @made.route("POST", "/Appointment")
    def book(call: Call) -> Reply:
        asked = call.body(NewAppointment)
        with store.whole():
            seen = _occupied(store, asked.slot[0].reference)
            people = [
                {"actor": {"reference": name}} for name in (*seen["actors"], asked.participant[0].actor.reference)
            ]
            content = {
                "resourceType": "Appointment",
                "status": "booked",
                "slot": [{"reference": asked.slot[0].reference}],
                "start": seen["start"],
                "end": seen["end"],
                "participant": [{**one, "required": "required", "status": "accepted"} for one in people],
                "reasonCode": asked.reasonCode,
                **({"comment": asked.comment} if asked.comment else {}),
            }
            written = store.create(content)
        place = ("location", f"http://{call.header('host')}/{written.location.partition('/_history')[0]}")
        return Reply(status=201, headers=(kept.MIME, place, ("etag", written.etag)))

    @made.route("PATCH", "/Appointment/{id}")
    def change(call: Call) -> Reply:
        if call.header("if-match") is None:
            return kept.outcome(412, "required")
        with store.whole():
            written = _changed(store, call)
        return Reply(status=200, headers=(("content-type", "text/html"), ("etag", written.etag)))

    return made


def _placed(slot: kept.Json) -> kept.Json:
    place = {"url": f"{_EXTENSIONS}scheduling-location", "valueReference": {"reference": LOCATION}}
    return {**slot, "extension": [place]}


def _occupied(store: kept.Store, name: str) -> kept.Json:
    """The slot, now busy, and who takes part with it."""
    slot = store.get(name)
    if slot["status"] != "free":
        raise RejectedError(Rejection.SLOT_TAKEN)
    store.set_slots([name], "busy")
    schedule = store.get(slot["schedule"]["reference"])
    return {**slot, "actors": [LOCATION, *(each["reference"] for each in schedule["actor"])]}


def _changed(store: kept.Store, call: Call) -> kept.Written:
    """The appointment after one of the documented sets of paths; all others are invalid."""
    asked = {one.path: one.value for one in call.body(Changes).root}
    if set(asked) not in _PATHS or call.header("content-type") != "application/json-patch+json":
        raise RejectedError(Rejection.INVALID)
    name, if_match = f"Appointment/{call.path['id']}", call.header("if-match")
    current = store.get(name)
    if kept.Written(200, current).etag != if_match:
        raise RejectedError(Rejection.STALE_VERSION)
    if current["status"] != "booked":
        raise RejectedError(Rejection.NOT_BOOKED)
    old = [each["reference"] for each in current["slot"]]
    if "/slot" in asked:
        (new,) = asked["/slot"]
        seen = _occupied(store, new["reference"])
        current |= {"slot": [new], "start": seen["start"], "end": seen["end"]}
    else:
        current["status"] = asked["/status"]
    store.set_slots(old, "free")
    noted = {"extension": asked.get("/extension"), "cancelationReason": asked.get("/cancelationReason")}
    return store.update(name, {**current, **{key: value for key, value in noted.items() if value}}, if_match)


def keys(appointment: kept.Json) -> tuple[str, ...]:
    """The native keys in comments: their last word, as the adapter's author says it writes them."""
    told = [appointment.get("comment"), *(each.get("valueString") for each in appointment.get("extension", []))]
    return tuple(text.split()[-1] for text in told if text)


@asynccontextmanager
async def premises() -> AsyncIterator[Premises]:
    """A twin over a store of its own."""
    store = kept.Store()
    async with twin(store).premises() as started:
        yield replace(started, observer=kept.StoreObserver(store, keys))
