"""A twin of a FHIR store that keeps transactions: versions compared, conditional creates, client-assigned ids."""

from __future__ import annotations

from collections.abc import AsyncIterator
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

_CAN: Final[dict[str, dict[str, Any]]] = {
    "Appointment": {
        "can": ["read", "search-type", "create", "update"],
        "versioning": "versioned-update",
        "conditionalCreate": True,
        "updateCreate": True,
    },
    "Slot": {"can": ["read", "search-type", "update"], "versioning": "versioned-update"},
    "Schedule": {"can": ["read", "search-type"]},
}


class Asked(BaseModel):
    method: str
    url: str
    ifMatch: str | None = None
    ifNoneMatch: str | None = None
    ifNoneExist: str | None = None


class Entry(BaseModel):
    resource: dict[str, Any]
    request: Asked


class Transaction(BaseModel):
    type: str
    entry: list[Entry]


def twin(store: kept.Store) -> Twin:
    """The routes over one store."""
    made = Twin("twin of a FHIR R4 store", refusals=kept.REFUSALS_IN_FHIR)
    kept.readable(made, store)

    @made.route("GET", "/metadata")
    def metadata(call: Call) -> Reply:
        return kept.statement(call, _CAN, ["transaction"])

    @made.route("GET", "/Schedule")
    def schedules(call: Call) -> Reply:
        return kept.searchset([store.schedule(actor) for actor in kept.listed(call, "actor")])

    @made.route("GET", "/Slot")
    def slots(call: Call) -> Reply:
        if named := kept.listed(call, "_id"):
            return kept.searchset([one for one in store.every("Slot") if one["id"] in named])
        start, end = kept.bounds(call, "start")
        asked = kept.listed(call, "schedule")
        return kept.searchset([slot for name in asked for slot in store.slots(name, start, end)])

    @made.route("GET", "/Appointment")
    def search(call: Call) -> Reply:
        if token := kept.listed(call, "identifier"):
            return kept.searchset(store.by_identifier(token[0]))
        (start, end), people = kept.bounds(call, "date"), set(kept.listed(call, "actor"))
        found = [one for one in store.every("Appointment") if kept.actors(one) & people]
        return kept.searchset([one for one in found if start <= datetime.fromisoformat(one["start"]) < end])

    @made.route("POST", "/")
    def transaction(call: Call) -> Reply:
        asked = call.body(Transaction)
        if asked.type != "transaction":
            raise RejectedError(Rejection.INVALID)
        with store.whole():
            written = [_write(store, entry) for entry in asked.entry]
        shows = "return=representation" in (call.header("prefer") or "")
        entries = [
            {
                "response": {"status": f"{one.status} OK", "location": one.location, "etag": one.etag},
                **({"resource": one.resource} if shows else {}),
            }
            for one in written
        ]
        return kept.fhir(200, {"resourceType": "Bundle", "type": "transaction-response", "entry": entries})

    return made


def _write(store: kept.Store, entry: Entry) -> kept.Written:
    asked = entry.request
    if asked.method == "POST":
        known = store.by_identifier(asked.ifNoneExist.partition("=")[2]) if asked.ifNoneExist else []
        if len(known) > 1:
            raise RejectedError(Rejection.STALE_VERSION)
        return kept.Written(200, known[0]) if known else store.create(entry.resource)
    if asked.ifNoneMatch == "*":
        return store.put_new(asked.url, entry.resource)
    return store.update(asked.url, entry.resource, asked.ifMatch)


@asynccontextmanager
async def premises() -> AsyncIterator[Premises]:
    """A twin over a store of its own."""
    store = kept.Store()
    async with twin(store).premises() as started:
        yield replace(started, observer=kept.StoreObserver(store, kept.identifiers))
