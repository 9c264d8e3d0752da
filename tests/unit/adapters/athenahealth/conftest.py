"""Requests to athenaOne's twin and to scripted replies, and the practice's side of both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import httpx
import pytest

from adapters.athenahealth import mapping, testing
from adapters.athenahealth.adapter import AthenahealthAdapter
from gateway.contracts.adapter import Identifiers, Request, native_key, version_digest
from gateway.contracts.connection import CredentialUse, Scheme, TokenEndpoint
from gateway.contracts.proposal import Operation, Participant, Particulars, Role, Target
from gateway.contracts.references import (
    AppointmentId,
    LocationId,
    ParticipantId,
    PatientId,
    ServiceId,
)
from gateway.testing import AdapterHarness, Premises, make_connection

MORNING = datetime(2031, 5, 6, 13, 0, tzinfo=UTC)  # 09:00 in New York
VENDOR = MappingProxyType(
    {
        "patient": testing.PATIENTS[0],
        "practitioner": testing.PROVIDER,
        "location": testing.DEPARTMENT,
        "service": testing.REASON,
    }
)
SLOT = "1205967"
DAY, SLOTS = "GET appointments/booked", "GET appointments/open"


def make_request(
    operation: Operation = Operation.BOOK,
    *,
    base_url: str = "http://127.0.0.1:1/v1/195900/",
    token_url: str | None = None,
    scope: str | None = testing.SCOPE,
    start: datetime = MORNING,
    length: timedelta = timedelta(minutes=30),
    vendor: Mapping[str, str] = VENDOR,
    roles: tuple[Role, ...] = (Role.PRACTITIONER,),
    reason: str | None = None,
    target: tuple[str | None, str] | None = None,
    **settings: Any,
) -> Request:
    """`target` is the bound identifier (None: unbound) and the approved version. Settings are spelled with `_`."""
    settings.setdefault("access_declared", True)
    token = None if token_url is None else TokenEndpoint(url=token_url, scope=scope)
    scheme = Scheme.BEARER if token is None else Scheme.CLIENT_CREDENTIALS
    connection = make_connection(
        base_url,
        zone="America/New_York",
        credential=CredentialUse(scheme=scheme, name="vendor", token=token),
        settings={name.replace("_", "-"): value for name, value in settings.items()},
    )
    appointment = AppointmentId.random()
    version = None if target is None else version_digest(target[1])
    particulars = Particulars(
        patient=PatientId.random(),
        participants=tuple(Participant(role=role, participant=ParticipantId.random()) for role in roles),
        location=LocationId.random(),
        service=ServiceId.random(),
        reason=reason,
        start=start,
        end=start + length,
        zone="America/New_York",
        target=None if version is None else Target(appointment=appointment, version=version),
    )
    places = (particulars.patient, particulars.participants[0].participant, particulars.location, particulars.service)
    known = dict(zip(("patient", "practitioner", "location", "service"), places, strict=True))
    identifiers = Identifiers({known[name]: identifier for name, identifier in vendor.items()})
    if target is not None and target[0] is not None:
        identifiers[appointment] = target[0]
    return Request(
        operation=operation,
        particulars=particulars,
        identifiers=identifiers,
        key=native_key(connection.practice, "0" * 64, operation),
        connection=connection,
    )


def record(**changes: Any) -> dict[str, Any]:
    """The appointment of the first patient at `MORNING`, as athenaOne shows it."""
    content = {
        "date": "05/06/2031",
        "appointmentid": "1205967",
        "starttime": "09:00",
        "departmentid": "1",
        "appointmentstatus": "f",
        "patientid": testing.PATIENTS[0],
        "duration": 30,
        "appointmenttypeid": "82",
        "appointmenttype": "Any 30",
        "providerid": "71",
    } | changes
    return {name: value for name, value in content.items() if value is not None}


def listing(*records: dict[str, Any], **more: Any) -> httpx.Response:
    return httpx.Response(200, json={"totalcount": len(records), "appointments": list(records)} | more)


@dataclass
class Script:
    """athenaOne's replies, by method and path below the practice; what has none is a 404 of something in between."""

    replies: dict[str, httpx.Response | Callable[[], httpx.Response]] = field(default_factory=dict)
    asked: list[httpx.Request] = field(default_factory=list)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        line = f"{request.method} {request.url.path.removeprefix('/v1/195900/')}"
        reply = self.replies.get(line, httpx.Response(404, text="Service not registered with API gateway."))
        return reply() if callable(reply) else reply

    @property
    def lines(self) -> list[str]:
        return [f"{each.method} {each.url.path.removeprefix('/v1/195900/')}" for each in self.asked]


OPEN = record(patientid=None, appointmentstatus=None, appointmentid=int(SLOT), duration="30")


def read(**changes: Any) -> mapping.Record:
    return mapping.Record.model_validate(record(**changes))


TARGET = read(appointmentid="5", starttime="08:00")


def change(operation: Operation = Operation.RESCHEDULE, target: mapping.Record = TARGET, **details: Any) -> Request:
    return make_request(operation, target=(target.appointmentid, target.version), **details)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def client(script: Script) -> AsyncIterator[httpx.AsyncClient]:
    base_url = "http://127.0.0.1:1/v1/195900/"
    async with httpx.AsyncClient(base_url=base_url, transport=httpx.MockTransport(script.answer)) as scripted:
        yield scripted


@pytest.fixture
async def premises() -> AsyncIterator[Premises]:
    async with testing.premises() as started:
        yield started


def harness(premises: Premises, operation: Operation = Operation.BOOK, **details: Any) -> AdapterHarness:
    """Through the real boundary, against the twin."""
    secret = premises.secrets[details.pop("known_as", "vendor")]
    request = make_request(operation, base_url=premises.base_url, token_url=premises.token_url, **details)
    return AdapterHarness(AthenahealthAdapter(), request, secret=secret)


@pytest.fixture
def adapter() -> AthenahealthAdapter:
    return AthenahealthAdapter()
