"""Microsoft's own metadata as a judge of requests and replies; a twin; requests to map."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import httpx
import pytest

from adapters.msgraph import mapping, testing
from gateway.contracts.adapter import Request, native_key, version_digest
from gateway.contracts.connection import CredentialUse, Scheme
from gateway.contracts.proposal import Operation, Target
from gateway.testing import VENDOR, make_connection, make_request
from tests.unit.adapters.stage import Stage, staged

GRAPH = "https://graph.microsoft.com/v1.0/"
USER, CALENDAR = "room-1@practice.example", "AAMkAGViNDU7zAAAAAGtlAAA="
EVENT = "AAkALgAAAAAAHYQDEapmEc2byACqAC-EWg0A=="
EDM = "{http://docs.oasis-open.org/odata/ns/edm}"
UPDATABLE = frozenset({
    "attendees", "body", "categories", "end", "hideAttendees", "importance", "isAllDay", "isOnlineMeeting",
    "isReminderOn", "location", "locations", "onlineMeetingProvider", "recurrence", "reminderMinutesBeforeStart",
    "responseRequested", "sensitivity", "showAs", "start", "subject", "singleValueExtendedProperties",
})  # fmt: skip
"""What the pages "Update event" and "Create single-value extended property" list for PATCH."""
DOCUMENTED: Mapping[tuple[str, str], frozenset[str]] = {
    ("POST", "users/{}/calendars/{}/events"): frozenset(),
    ("PATCH", "users/{}/calendars/{}/events/{}"): frozenset(),
    ("GET", "users/{}/calendars/{}"): frozenset({"$select"}),
    ("GET", "users/{}/events"): frozenset({"$filter", "$expand"}),
    ("GET", "users/{}/calendars/{}/events"): frozenset({"$filter", "$expand"}),
    ("GET", "users/{}/calendars/{}/calendarView"): frozenset({"startDateTime", "endDateTime", "$select", "$top"}),
}
"""Methods, paths and query options, by the pages "Create event", "Update event", "Get calendar", "List events", "Get
singleValueLegacyExtendedProperty" and "List calendarView" of microsoft-graph-docs-contrib (v1.0)."""
NAMED = r"String \{[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\} Name \w+"
FILTER = re.compile(rf"singleValueExtendedProperties/Any\(ep: ep/id eq '{NAMED}' and startswith\(ep/value, '[^']+'\)\)")
EXPAND = re.compile(rf"singleValueExtendedProperties\(\$filter=id eq '{NAMED}'\)")
PRIMITIVES: Mapping[str, type | tuple[type, ...]] = {"Edm.String": str, "Edm.Boolean": bool, "Edm.Int32": int}


class Metadata:
    """Holds a request or a reply against graph.excerpt.csdl; raises AssertionError naming what is wrong."""

    def __init__(self, document: str) -> None:
        root = ElementTree.fromstring(document)  # noqa: S314 - the excerpt beside this file
        kinds = {f"{EDM}{each}" for each in ("EntityType", "ComplexType", "EnumType", "EntitySet")}
        self._types = {str(each.get("Name")): each for each in root.iter() if each.tag in kinds}

    def request(self, request: httpx.Request) -> str:
        """`METHOD template` of the documented operation that the request calls."""
        path, _, query = request.url.raw_path.decode().partition("?")
        segments = path.removeprefix("/v1.0/").split("/")
        template = "/".join("{}" if index % 2 else each for index, each in enumerate(segments))
        assert (request.method, template) in DOCUMENTED, f"{request.method} {template}"
        addressed = self._walk(segments)
        assert "+" not in query, "a space is %20"
        for option in filter(None, query.split("&")):
            name, _, value = option.partition("=")
            assert name in DOCUMENTED[request.method, template], name
            self._option(addressed, name, unquote(value))
        if request.method in ("POST", "PATCH"):
            assert request.headers["Content-Type"] == "application/json"
            body = json.loads(request.content)
            assert request.method == "POST" or body.keys() <= UPDATABLE
            self.value(addressed, body)
        else:
            assert request.content == b""
        return f"{request.method} {template}"

    def value(self, kind: str, value: Any, place: str = "") -> None:
        """Whether JSON is of a type of the metadata; names that it does not know are wrong."""
        if value is None:
            return
        if kind.startswith("Collection("):
            assert isinstance(value, list), place
            for each in value:
                self.value(kind[len("Collection(") : -1], each, place)
            return
        if kind.startswith("Edm."):
            assert isinstance(value, PRIMITIVES.get(kind, str)), f"{place}: {kind}"
            return
        declared = self._types.get(kind.rpartition(".")[2])
        assert declared is not None, f"{place}: {kind} is not in the excerpt"
        if declared.tag == f"{EDM}EnumType":
            assert value in [member.get("Name") for member in declared], f"{place}: {value}"
            return
        assert isinstance(value, dict), place
        known = self._properties(declared)
        for name, each in value.items():
            if not name.startswith("@odata."):
                assert name in known, f"{place}.{name} is unknown"
                self.value(known[name], each, f"{place}.{name}")

    def _properties(self, declared: ElementTree.Element) -> dict[str, str]:
        found = {str(each.get("Name")): str(each.get("Type")) for each in declared if each.get("Type")}
        base = self._types.get((declared.get("BaseType") or "").rpartition(".")[2])
        return found if base is None else {**self._properties(base), **found}

    def _walk(self, segments: list[str]) -> str:
        """The type at the end of a path of names and keys: of one, or of one in a collection."""
        kind = str(self._types[segments[0]].get("EntityType"))
        for index, name in enumerate(segments[1:], start=1):
            if index % 2 == 0:  # a name; the keys between them address one of a collection
                kind = self._properties(self._types[kind.rpartition(".")[2]])[name]
                kind = kind.removeprefix("Collection(").rstrip(")")
        return kind

    def _option(self, kind: str, name: str, value: str) -> None:
        if name == "$select":
            assert set(value.split(",")) <= self._properties(self._types[kind.rpartition(".")[2]]).keys()
        patterns = {"$filter": FILTER, "$expand": EXPAND, "$top": re.compile(r"[1-9]\d{0,2}|1000")}
        pattern = patterns.get(name, re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ") if name.endswith("Time") else None)
        assert pattern is None or pattern.fullmatch(value), f"{name}: {value}"


def asked(operation: Operation = Operation.BOOK, base: str = GRAPH, **details: Any) -> Request:
    """A request; `settings` are the connection's, the rest is `make_request`'s. A change was approved for `before`."""
    settings = details.pop("settings", {"access-declared": True})
    place = details.pop("place", f"{USER}/{CALENDAR}")
    credential = details.pop("credential", CredentialUse(scheme=Scheme.BEARER, name="vendor"))
    connection = make_connection(base, credential=credential, settings=settings)
    if operation is not Operation.BOOK:
        key = native_key(connection.practice, "0" * 64, Operation.BOOK)
        details["target"] = Target(appointment=key, version=version_digest("to be set"))
    request = make_request(connection, operation, vendor={**VENDOR, "practitioner": place}, **details)
    request = replace(request, key=native_key(connection.practice, operation.value * 8, operation))
    if request.particulars.target is None:
        return request
    version = mapping.version_of(mapping.Event.model_validate(before(request)), before_keys(request))
    target = request.particulars.target.model_copy(update={"version": version_digest(version)})
    return replace(request, particulars=request.particulars.model_copy(update={"target": target}))


def before_keys(request: Request) -> str:
    return f"{mapping.booking_key(request)}/{mapping.booking_key(request)}"


def before(request: Request, **changes: Any) -> dict[str, Any]:
    """The event that a change starts from, with its property shown; None in `changes` takes one away."""
    return event(request, before_keys(request), **{"showAs": "busy", "@odata.etag": 'W/"1"', **changes})


def stored(request: Request, **changes: Any) -> dict[str, Any]:
    """The event that a request leaves behind, with its property shown."""
    shown = "free" if request.operation is Operation.CANCEL else "busy"
    return event(request, mapping.keys_after(request), **{"showAs": shown, **changes})


def event(request: Request, keys: str | None, **changes: Any) -> dict[str, Any]:
    what = request.particulars
    shown = {
        "@odata.etag": 'W/"2"',
        "id": EVENT,
        "subject": "Appointment",
        "start": {"dateTime": f"{what.start:%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": "UTC"},
        "end": {"dateTime": f"{what.end:%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": "UTC"},
        "isCancelled": False,
        "isAllDay": False,
        "type": "singleInstance",
        "attendees": [],
        "transactionId": mapping.booking_key(request),
        "singleValueExtendedProperties": keys and [{"id": mapping.PROPERTY, "value": keys}],
        **changes,
    }
    return {name: value for name, value in shown.items() if value is not None}


def replied(request: Request, **changes: Any) -> dict[str, Any]:
    """What a reply to the write shows: the event without its extended property."""
    return stored(request, **{"singleValueExtendedProperties": None, **changes})


def problem(status: int, code: str) -> httpx.Response:
    """An error as the page "Microsoft Graph error responses and resource types" shows it."""
    return httpx.Response(status, json={"error": {"code": code, "message": "-", "innerError": {}}})


def page(*events: Mapping[str, Any], **more: Any) -> httpx.Response:
    return httpx.Response(200, json={"value": list(events), **more})


def calendar(**changes: Any) -> httpx.Response:
    return httpx.Response(200, json={"canEdit": True, "canViewPrivateItems": True, **changes})


def client() -> httpx.AsyncClient:
    """At Graph's address, where respx answers; nobody is trusted, which saves reading who is."""
    return httpx.AsyncClient(base_url=GRAPH, trust_env=False, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


@pytest.fixture(scope="session")
def metadata() -> Metadata:
    return Metadata(Path(__file__).with_name("graph.excerpt.csdl").read_text(encoding="utf-8"))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(testing.twin(), tmp_path / "twin.db") as started:
        yield started
