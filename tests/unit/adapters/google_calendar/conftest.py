"""Google's own discovery document as a judge of requests and replies; a twin; requests to map."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import httpx
import pytest

from adapters.google_calendar import mapping, testing
from gateway.contracts.adapter import Request, native_key, version_digest
from gateway.contracts.connection import CredentialUse, Scheme
from gateway.contracts.proposal import Operation, Target
from gateway.testing import VENDOR, make_connection, make_request
from tests.unit.adapters.stage import Stage, staged

GOOGLE = "https://www.googleapis.com/calendar/v3/"
CALENDAR = "practice@group.calendar.google.com"
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str, "boolean": bool, "integer": int, "array": list, "object": dict,
}  # fmt: skip


class Discovery:
    """Holds a request or a reply against calendar.v3.excerpt.json; raises AssertionError naming what is wrong."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document

    def method(self, request: httpx.Request) -> Mapping[str, Any]:
        path = request.url.raw_path.partition(b"?")[0].decode()
        for method in self.document["methods"].values():
            pattern = re.sub(r"\\{\w+\\}", "([^/]+)", re.escape("/" + self.document["servicePath"] + method["path"]))
            if method["httpMethod"] == request.method and re.fullmatch(pattern, path):
                return dict(method)
        raise AssertionError(f"no method {request.method} {path}")

    def request(self, request: httpx.Request) -> str:
        """The id of the method that the request calls, all of it as documented."""
        method = self.method(request)
        for name, values in parse_qs(request.url.query.decode(), keep_blank_values=True).items():
            self._parameter(method, name, values)
        if "request" in method:
            assert request.headers["Content-Type"] == "application/json"
            body = json.loads(request.content)
            schema = self.document["schemas"][method["request"]["$ref"]]
            for name, described in schema["properties"].items():
                assert name in body or method["id"] not in described.get("annotations", {}).get("required", ()), name
            self.value(schema, body)
        else:
            assert request.content == b""
        return str(method["id"])

    def value(self, schema: Mapping[str, Any], value: Any, place: str = "") -> None:
        """Whether JSON is of a schema of the document; names that it does not know are wrong."""
        schema = self.document["schemas"][schema["$ref"]] if "$ref" in schema else schema
        assert isinstance(value, TYPES[schema["type"]]), f"{place}: {schema['type']}"
        if schema.get("format") == "date-time":
            assert RFC_3339.fullmatch(value), place
        if schema["type"] == "array":
            for each in value:
                self.value(schema["items"], each, place)
        if schema["type"] == "object" and ("properties" in schema or "additionalProperties" in schema):
            for name, each in value.items():
                inner = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
                assert inner is not None, f"{place}.{name} is unknown"
                self.value(inner, each, f"{place}.{name}")

    def _parameter(self, method: Mapping[str, Any], name: str, values: Sequence[str]) -> None:
        described = method["parameters"].get(name) or self.document["parameters"].get(name)
        assert described is not None and described["location"] == "query", f"parameter {name} is unknown"
        assert len(values) == 1 or described.get("repeated"), name
        for value in values:
            if "enum" in described:
                assert value in described["enum"], name
            if described["type"] == "boolean":
                assert value in ("true", "false"), name
            if described.get("format") == "date-time":
                assert RFC_3339.fullmatch(value), name
        if name == "fields":
            self._mask(self.document["schemas"][method["response"]["$ref"]], values[0])

    def _mask(self, schema: Mapping[str, Any], mask: str) -> None:
        """A selector of fields names fields that are there."""
        for name, inner, below in re.findall(r"(\w+)(?:\(([^)]*)\))?(?:/(\w+))?", mask):
            described = schema["properties"].get(name)
            assert described is not None, f"field {name} is unknown"
            if inner:
                self._mask(self.document["schemas"][described["items"]["$ref"]], inner)
            assert not below or below in described["properties"], below


def asked(operation: Operation = Operation.BOOK, base: str = GOOGLE, **details: Any) -> Request:
    """A request; `version` is the etag that was approved, `booked` the booking to change, `settings` the connection's,
    the rest is `make_request`'s."""
    settings = details.pop("settings", {"access-declared": True})
    version, booked = details.pop("version", '"1"'), details.pop("booked", None)
    credential = details.pop("credential", CredentialUse(scheme=Scheme.BEARER, name="vendor"))
    connection = make_connection(base, credential=credential, settings=settings)
    if operation is not Operation.BOOK:
        key = booked.key if booked else native_key(connection.practice, "0" * 64, Operation.BOOK)
        details["target"] = Target(appointment=key, version=version_digest(version))
    request = make_request(connection, operation, vendor={**VENDOR, "practitioner": CALENDAR}, **details)
    return replace(request, key=native_key(connection.practice, operation.value * 8, operation))


def stored(request: Request, **changes: Any) -> dict[str, Any]:
    """The event that a request leaves behind, as Google shows it."""
    event = {**mapping.new_event(request), "kind": "calendar#event", "etag": '"2"'}
    if request.operation is Operation.CANCEL:
        event["status"] = "cancelled"
    return {name: value for name, value in {**event, **changes}.items() if value is not None}


def problem(status: int, reason: str) -> httpx.Response:
    """An error as the guide "Handle API errors" shows it."""
    error = {"domain": "global", "reason": reason, "message": "-"}
    return httpx.Response(status, json={"error": {"errors": [error], "code": status, "message": "-"}})


def page(*items: Mapping[str, Any], role: str = "owner", **more: Any) -> httpx.Response:
    return httpx.Response(200, json={"kind": "calendar#events", "accessRole": role, "items": list(items), **more})


def client() -> httpx.AsyncClient:
    """At Google's address, where respx answers; nobody is trusted, which saves reading who is."""
    return httpx.AsyncClient(base_url=GOOGLE, trust_env=False, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def path_of(request: httpx.Request) -> str:
    return unquote(request.url.path)


@pytest.fixture(scope="session")
def discovery() -> Discovery:
    return Discovery(json.loads(Path(__file__).with_name("calendar.v3.excerpt.json").read_text(encoding="utf-8")))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(testing.twin(), tmp_path / "twin.db") as started:
        yield started
