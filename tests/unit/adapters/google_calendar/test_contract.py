"""Every request that the adapter sends, and every reply that these tests make up, against Google's discovery document.

No Google answers here: respx stands at its address, and the document (see calendar.v3.excerpt.json for its revision)
says what may be sent there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import respx

from adapters.google_calendar import mapping
from adapters.google_calendar.adapter import GoogleCalendarAdapter
from gateway.contracts.adapter import Authorized, Claim, Query, TargetState
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from tests.unit.adapters.google_calendar.conftest import CALENDAR, GOOGLE, asked, client, page, path_of, problem, stored

if TYPE_CHECKING:
    from tests.unit.adapters.google_calendar.conftest import Discovery


async def attempt(operation: Operation) -> tuple[list[httpx.Request], list[httpx.Response]]:
    """One attempt at Google's address, from readiness to a look; what was sent, and what was made up."""
    request = asked(operation)
    before = stored(asked(booked=None), id=mapping.event_id(request), etag='"1"')
    kept = {"event": None if operation is Operation.BOOK else before}

    def answer(sent: httpx.Request) -> httpx.Response:
        if sent.method in ("POST", "PATCH"):
            kept["event"] = stored(request)
            return httpx.Response(200, json=kept["event"])
        if path_of(sent).endswith("/events"):
            return page()
        return httpx.Response(200, json=kept["event"]) if kept["event"] else problem(404, "notFound")

    adapter = GoogleCalendarAdapter()
    with respx.mock(base_url=GOOGLE) as google:
        google.route().mock(side_effect=answer)
        async with client() as to_google:
            unmade = await adapter.observe(Query(request=request), to_google)
            assert unmade.finding is ObservationFinding.ABSENT
            readiness = await adapter.readiness(request, to_google)
            assert readiness.target is TargetState.OPEN
            receipt = await adapter.commit(Authorized(request=request, prepared=readiness.prepared), to_google)
            assert receipt.claim is Claim.APPLIED
            assert (await adapter.observe(Query(request=request), to_google)).finding is ObservationFinding.PRESENT
        return [call.request for call in google.calls], [call.response for call in google.calls]


@pytest.mark.requirement("ADAPT-09")
@pytest.mark.parametrize("operation", Operation, ids=str)
async def test_every_request_is_one_that_google_documents(operation: Operation, discovery: Discovery) -> None:
    sent, answered = await attempt(operation)
    called = [discovery.request(each) for each in sent]
    write = "calendar.events.insert" if operation is Operation.BOOK else "calendar.events.patch"
    assert called.count(write) == 1
    assert set(called) - {write} <= {"calendar.events.list", "calendar.events.get"}
    for request, response in zip(sent, answered, strict=True):
        if response.is_success:
            discovery.value(discovery.method(request)["response"], response.json())


@pytest.mark.parametrize("operation", Operation, ids=str)
async def test_a_write_is_quiet_and_says_nothing_about_a_person(operation: Operation) -> None:
    (write,) = (each for each in (await attempt(operation))[0] if each.method != "GET")
    assert dict(write.url.params) == {"sendUpdates": "none"}
    assert CALENDAR in path_of(write)
    body = json.loads(write.content)
    known = {"id", "summary", "status", "transparency", "visibility", "start", "end", "extendedProperties"}
    assert body.keys() <= known
    if operation is Operation.BOOK:
        assert (body["summary"], body["visibility"], body["transparency"]) == ("Appointment", "private", "opaque")
    else:
        assert body.keys() <= {"status", "start", "end", "extendedProperties"}
    assert list(body["extendedProperties"]["private"]) == ["gatewayKey"]
    for name in ("patient-1", "location-1", "service-1", CALENDAR):
        assert name not in write.content.decode()
    assert ("If-Match" in write.headers) == (operation is not Operation.BOOK)
    assert write.headers.get("If-Match", '"1"') == '"1"'


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "calendars/c/events/e", {}),
        ("POST", "calendars/c/events?sendUpdates=nobody", {"start": {}, "end": {}}),
        ("POST", "calendars/c/events?notify=none", {"start": {}, "end": {}}),
        ("POST", "calendars/c/events", {"start": {}}),
        ("POST", "calendars/c/events", {"start": {"dateTime": "2031-03-03"}, "end": {}}),
        ("POST", "calendars/c/events", {"start": {"when": "now"}, "end": {}}),
        ("PATCH", "calendars/c/events/e", {"title": "x"}),
        ("PATCH", "calendars/c/events/e", {"extendedProperties": {"private": {"gatewayKey": 1}}}),
        ("GET", "calendars/c/events?singleEvents=yes", None),
        ("GET", "calendars/c/events?timeMin=today", None),
        ("GET", "calendars/c/events?fields=items(name)", None),
        ("GET", "calendars/c/events?timeMin=2031-01-01T00:00:00Z&timeMin=2031-01-01T00:00:00Z", None),
    ],
)
def test_a_request_that_google_does_not_document_is_noticed(
    method: str, path: str, body: Any, discovery: Discovery
) -> None:
    with pytest.raises(AssertionError):
        discovery.request(httpx.Request(method, GOOGLE + path, json=body))
