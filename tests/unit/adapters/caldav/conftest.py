"""Requests to map; no server here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

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


@pytest.fixture(scope="session")
def make_request() -> Callable[..., Request]:
    """`make_request(operation, start=…, end=…, booked=…, version=…, **settings)`."""

    def make(
        operation: Operation = Operation.BOOK,
        *,
        start: datetime = datetime(2031, 3, 3, 9, tzinfo=UTC),
        end: datetime | None = None,
        booked: AppointmentId | None = None,
        version: str = '"1"',
        **settings: Any,
    ) -> Request:
        practice = PracticeId.random()
        target = None
        if operation is not Operation.BOOK:
            booked = booked or native_key(practice, uuid4().hex, Operation.BOOK)
            target = Target(appointment=booked, version=version_digest(version))
        return Request(
            operation=operation,
            particulars=Particulars(
                patient=PatientId.random(),
                participants=(Participant(role=Role.PRACTITIONER, participant=ParticipantId.random()),),
                location=LocationId.random(),
                service=ServiceId.random(),
                start=start,
                end=end or start + timedelta(minutes=30),
                zone="Europe/Vienna",
                target=target,
            ),
            identifiers={},
            key=native_key(practice, uuid4().hex, operation),
            connection=Connection(
                connection_id=ConnectionId.random(),
                practice=practice,
                adapter="caldav",
                base_url="http://127.0.0.1:5232/owner/appointments/",
                hosts=("127.0.0.1:5232",),
                zone="Europe/Vienna",
                credential=CredentialUse(scheme=Scheme.BASIC, name="calendar"),
                settings=settings,
            ),
        )

    return make
