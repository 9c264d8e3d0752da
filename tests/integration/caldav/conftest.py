"""One Radicale for all tests here, one calendar of its own for each, and requests about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from adapters.caldav.testing import RadicaleServer
from gateway.contracts.adapter import Request, native_key, version_digest
from gateway.contracts.connection import Connection, CredentialUse, Scheme
from gateway.contracts.proposal import Operation, Participant, Particulars, Role, Target
from gateway.contracts.references import (
    AppointmentId,
    ConnectionId,
    LocationId,
    ParticipantId,
    PatientId,
    PracticeId,
    ServiceId,
)

NINE = datetime(2031, 3, 3, 9, 0, tzinfo=UTC)
CANARIES = ("Wilhelmina-Canary", "MRN-CANARY-4711", "Room-Canary-12")


@pytest.fixture(scope="session")
def radicale() -> Iterator[RadicaleServer]:
    with RadicaleServer() as server:
        yield server


@pytest.fixture
def calendar_url(radicale: RadicaleServer) -> str:
    url = f"{radicale.url}/owner/{uuid4().hex}/"
    radicale.make_calendar(url)
    return url


@pytest.fixture
def make_request(calendar_url: str) -> Callable[..., Request]:
    """`make_request(operation, start=…, booked=…, version=…)`; everything else is fresh."""

    def make(
        operation: Operation = Operation.BOOK,
        *,
        start: datetime = NINE,
        booked: AppointmentId | None = None,
        version: str = "",
        base_url: str = calendar_url,
        **settings: Any,
    ) -> Request:
        patient, participant, location = PatientId.random(), ParticipantId.random(), LocationId.random()
        target = Target(appointment=booked, version=version_digest(version)) if booked else None
        practice = PracticeId.random()
        return Request(
            operation=operation,
            particulars=Particulars(
                patient=patient,
                participants=(Participant(role=Role.PRACTITIONER, participant=participant),),
                location=location,
                service=ServiceId.random(),
                start=start,
                end=start + timedelta(minutes=30),
                zone="Europe/Vienna",
                target=target,
            ),
            identifiers=dict(zip((patient, participant, location), CANARIES, strict=True)),
            key=native_key(practice, uuid4().hex, operation),
            connection=Connection(
                connection_id=ConnectionId.random(),
                practice=practice,
                adapter="caldav",
                base_url=base_url,
                hosts=(base_url.split("/")[2],),
                zone="Europe/Vienna",
                credential=CredentialUse(scheme=Scheme.BASIC, name="calendar"),
                settings=settings,
            ),
        )

    return make
