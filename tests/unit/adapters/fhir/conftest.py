"""A FHIR store on loopback with the adapter before it, and replies of servers that no store gives."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import httpx
import pytest

from adapters.fhir.adapter import FhirAdapter
from adapters.fhir.twins import operation, oracle, transaction
from adapters.fhir.twins.store import Store
from gateway.contracts.adapter import Authorized, Receipt, Request, version_digest
from gateway.contracts.connection import CredentialUse, Scheme
from gateway.contracts.proposal import Operation, Target
from gateway.contracts.references import AppointmentId
from gateway.testing import START, VENDOR, AdapterHarness, make_connection, make_request
from gateway.testing.premises import Premises

BASE = "http://127.0.0.1:9/fhir/"
DECLARED = {"access-declared": True}
MIME = {"Content-Type": "application/fhir+json"}


@dataclass(frozen=True)
class Place:
    """A twin that runs, and what is in its memory."""

    store: Store
    premises: Premises
    dialect: str

    def harness(self, **more: Any) -> AdapterHarness:
        """An attempt at a booking; `settings` and the fields of `make_request` may be given."""
        settings = DECLARED | more.pop("settings", {})
        connection = make_connection(
            self.premises.base_url,
            adapter="fhir",
            dialect=self.dialect,
            settings=settings,
            credential=CredentialUse(scheme=Scheme.BEARER, name="vendor"),
        )
        secret = self.premises.secrets[more.pop("who", "vendor")]
        return AdapterHarness(FhirAdapter(), make_request(connection, **more), secret=secret)

    def appointments(self) -> list[dict[str, Any]]:
        return self.store.every("Appointment")

    def slots(self, status: str) -> list[str]:
        return [one["id"] for one in self.store.every("Slot") if one["status"] == status]


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    store = Store()
    async with transaction.twin(store).premises() as premises:
        yield Place(store, premises, "transaction")


@pytest.fixture
async def millennium() -> AsyncIterator[Place]:
    store = Store()
    async with oracle.twin(store).premises() as premises:
        yield Place(store, premises, "oracle")


@pytest.fixture(params=["ihe-book", "medplum"])
async def counter(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """A server that books by an operation."""
    store = Store()
    made = operation.ihe(store) if request.param == "ihe-book" else operation.medplum(store)
    async with made.premises() as premises:
        yield Place(store, premises, request.param)


@dataclass
class Scripted:
    """A server of a few lines: what it answers to a request's method and path, and what it was asked."""

    answers: dict[str, httpx.Response] = field(default_factory=dict)
    asked: list[httpx.Request] = field(default_factory=list)

    def answer(self, name: str, status: int, content: Any = None, **headers: str) -> None:
        """`name` is `POST /`, or `GET /Appointment`, below the base."""
        body = content if isinstance(content, bytes) else b"" if content is None else json.dumps(content).encode()
        shown = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[name] = httpx.Response(status, content=body, headers=MIME | shown)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=BASE, transport=httpx.MockTransport(self._respond), trust_env=False)

    def _respond(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        name = f"{request.method} /{request.url.path.removeprefix('/fhir').lstrip('/')}"
        told = self.answers.get(name, httpx.Response(500))
        return httpx.Response(told.status_code, content=told.content, headers=told.headers)

    @property
    def written(self) -> list[httpx.Request]:
        return [one for one in self.asked if one.method not in ("GET", "HEAD")]

    async def commit(self, request: Request, prepared: Any = None) -> Receipt:
        async with self.client() as client:
            return await FhirAdapter().commit(Authorized(request=request, prepared=prepared), client)


@pytest.fixture
def server() -> Scripted:
    return Scripted()


def versioned(version: str = "1", identifier: str = "17") -> str:
    """What goes home as the version of an Appointment."""
    return f"Appointment/{identifier}/_history/{version}"


def asked(
    what: Operation = Operation.BOOK,
    *,
    dialect: str = "transaction",
    version: str = "1",
    vendor: Mapping[str, str] = VENDOR,
    start: datetime = START,
    minutes: int = 30,
    reason: str | None = None,
    bound: str | None = None,
    **settings: Any,
) -> Request:
    """A request of that operation; a change is of Appointment/17 at `version`, known by `bound`."""
    connection = make_connection(BASE, adapter="fhir", dialect=dialect, settings=DECLARED | settings)
    target = None
    if what is not Operation.BOOK:
        target = Target(appointment=AppointmentId.random(), version=version_digest(versioned(version)))
    request = make_request(connection, what, start=start, minutes=minutes, vendor=vendor, target=target)
    particulars = request.particulars.model_copy(update={"reason": reason})
    known = {**request.identifiers, **({str(target.appointment): bound} if target and bound else {})}
    return replace(request, particulars=particulars, identifiers=type(request.identifiers)(known))


@pytest.fixture
def make() -> Callable[..., Request]:
    return asked
