"""Every request that the adapter sends, and every reply that these tests make up, against Microsoft's metadata.

No Graph answers here: respx stands at its address, and the metadata (see graph.excerpt.csdl for its commit) with the
documented operations says what may be sent there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import respx

from adapters.msgraph import mapping
from adapters.msgraph.adapter import GraphAdapter
from gateway.contracts.adapter import Authorized, Claim, Query, TargetState
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from tests.unit.adapters.msgraph.conftest import (
    CALENDAR,
    GRAPH,
    USER,
    asked,
    before,
    calendar,
    client,
    page,
    replied,
    stored,
)

if TYPE_CHECKING:
    from tests.unit.adapters.msgraph.conftest import Metadata

Exchanges = list[tuple[httpx.Request, httpx.Response]]


async def attempt(operation: Operation) -> Exchanges:
    """One attempt at Graph's address, from readiness to a look; what was sent, and what was made up."""
    request, kept = asked(operation), list[dict[str, Any]]()
    if operation is not Operation.BOOK:
        kept.append(before(request))

    def answer(sent: httpx.Request) -> httpx.Response:
        if sent.method in ("POST", "PATCH"):
            kept[:] = [stored(request)]
            return httpx.Response(201 if sent.method == "POST" else 200, json=replied(request))
        if sent.url.path.endswith("/calendarView"):
            return page()
        if sent.url.path.endswith("/events"):
            return page(*kept) if "/calendars/" in sent.url.path else page()
        return calendar()

    adapter = GraphAdapter()
    with respx.mock(base_url=GRAPH) as graph:
        graph.route().mock(side_effect=answer)
        async with client() as to_graph:
            unmade = await adapter.observe(Query(request=request), to_graph)
            assert unmade.finding is ObservationFinding.ABSENT
            readiness = await adapter.readiness(request, to_graph)
            assert readiness.target is TargetState.OPEN
            receipt = await adapter.commit(Authorized(request=request, prepared=readiness.prepared), to_graph)
            assert receipt.claim is Claim.APPLIED
            seen = await adapter.observe(Query(request=request), to_graph)
            assert (seen.finding, seen.version) == (ObservationFinding.PRESENT, receipt.version)
        return [(call.request, call.response) for call in graph.calls]


@pytest.mark.requirement("ADAPT-09")
@pytest.mark.parametrize("operation", Operation, ids=str)
async def test_every_request_is_one_that_microsoft_documents(operation: Operation, metadata: Metadata) -> None:
    exchanges = await attempt(operation)
    called = [metadata.request(sent) for sent, _ in exchanges]
    book = operation is Operation.BOOK
    write = "POST users/{}/calendars/{}/events" if book else "PATCH users/{}/calendars/{}/events/{}"
    assert called.count(write) == 1
    assert all(each.startswith("GET ") for each in called if each != write)
    for sent, response in exchanges:
        kind = "graph.calendar" if sent.url.path.endswith(CALENDAR) else "graph.event"
        for each in response.json().get("value", [response.json()]):
            metadata.value(kind, each)


@pytest.mark.parametrize("operation", Operation, ids=str)
async def test_every_request_asks_for_identifiers_that_last_and_for_utc(operation: Operation) -> None:
    for sent, _ in await attempt(operation):
        assert sent.headers["Prefer"] == 'IdType="ImmutableId", outlook.timezone="UTC"'


@pytest.mark.parametrize("operation", Operation, ids=str)
async def test_a_write_says_nothing_about_a_person(operation: Operation) -> None:
    (write,) = (sent for sent, _ in await attempt(operation) if sent.method != "GET")
    body = json.loads(write.content)
    known = {"subject", "showAs", "sensitivity", "isReminderOn", "transactionId", "start", "end"}
    assert body.keys() <= known | {"singleValueExtendedProperties"}
    shown = {
        Operation.BOOK: ("Appointment", "busy", "private"),
        Operation.RESCHEDULE: (None, None, None),
        Operation.CANCEL: ("Canceled: Appointment", "free", None),
    }
    assert tuple(body.get(name) for name in ("subject", "showAs", "sensitivity")) == shown[operation]
    for name in ("patient-1", "location-1", "service-1", USER, CALENDAR):
        assert name not in write.content.decode()
    for moment in (body[name] for name in ("start", "end") if name in body):
        assert moment["timeZone"] == "UTC"
    (extended,) = body["singleValueExtendedProperties"]
    assert extended["value"].count("/") == 1
    assert write.headers.get("If-Match") == (None if operation is Operation.BOOK else 'W/"1"')
    assert ("transactionId" in body) == (operation is Operation.BOOK)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "users/u/events/e", {}),
        ("DELETE", "users/u/events/e", None),
        ("POST", "users/u/events/e/cancel", {}),
        ("POST", "users/u/calendars/c/appointments", {}),
        ("POST", "users/u/calendars/c/events", {"title": "x"}),
        ("POST", "users/u/calendars/c/events", {"showAs": "booked"}),
        ("POST", "users/u/calendars/c/events", {"start": "2031-03-03T09:00:00"}),
        ("POST", "users/u/calendars/c/events", {"start": {"dateTime": 1}}),
        ("PATCH", "users/u/calendars/c/events/e", {"isCancelled": True}),
        ("PATCH", "users/u/calendars/c/events/e", {"transactionId": "x"}),
        ("GET", "users/u/events?$filter=transactionId%20eq%20'x'", None),
        ("GET", "users/u/events?$filter=singleValueExtendedProperties/Any(ep:+ep/id+eq+'x')", None),
        ("GET", "users/u/calendars/c?$select=mayEdit", None),
        ("GET", "users/u/calendars/c/calendarView?startDateTime=today", None),
        ("GET", "users/u/calendars/c/calendarView?$top=1001", None),
        ("GET", "users/u/calendars/c/calendarView?$orderby=start", None),
    ],
)
def test_a_request_that_microsoft_does_not_document_is_noticed(
    method: str, path: str, body: Any, metadata: Metadata
) -> None:
    with pytest.raises(AssertionError):
        metadata.request(httpx.Request(method, GRAPH + path, json=body))


def test_the_key_has_the_form_that_extended_properties_have(metadata: Metadata) -> None:
    metadata.value("graph.singleValueLegacyExtendedProperty", {"id": mapping.PROPERTY, "value": "x"})
    assert mapping.PROPERTY.startswith("String {")
