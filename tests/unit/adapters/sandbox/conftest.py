"""A running sandbox, and requests to it as the boundary would make them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from adapters.sandbox.server import SandboxServer
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

TOKEN = "full-access"
OBSERVER = "may-only-read"
MORNING = datetime(2031, 5, 6, 9, 0, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)


@dataclass(frozen=True)
class Practice:
    """One practice's references and what they are at the vendor."""

    patient: PatientId = field(default_factory=PatientId.random)
    practitioner: ParticipantId = field(default_factory=ParticipantId.random)
    device: ParticipantId = field(default_factory=ParticipantId.random)
    location: LocationId = field(default_factory=LocationId.random)
    service: ServiceId = field(default_factory=ServiceId.random)
    practice: PracticeId = field(default_factory=PracticeId.random)

    @property
    def identifiers(self) -> dict[str, str]:
        return {
            self.patient: "patient-1",
            self.practitioner: "practitioner-1",
            self.device: "device-1",
            self.location: "location-1",
            self.service: "service-1",
        }

    def request(
        self,
        operation: Operation = Operation.BOOK,
        *,
        proposal: str = "0",
        start: datetime = MORNING,
        target: tuple[AppointmentId, str] | None = None,
        bound: str | None = None,
        reason: str | None = "check-up",
    ) -> Request:
        """`target` is the booking's key and approved version; `bound` the vendor's identifier for it."""
        identifiers = self.identifiers
        if target is not None and bound is not None:
            identifiers[target[0]] = bound
        return Request(
            operation=operation,
            particulars=Particulars(
                patient=self.patient,
                participants=(
                    Participant(role=Role.PRACTITIONER, participant=self.practitioner),
                    Participant(role=Role.DEVICE, participant=self.device),
                ),
                location=self.location,
                service=self.service,
                reason=reason,
                start=start,
                end=start + HALF_HOUR,
                zone="Europe/Berlin",
                target=None if target is None else Target(appointment=target[0], version=version_digest(target[1])),
            ),
            identifiers=identifiers,
            key=native_key(self.practice, proposal * 64, operation),
            connection=Connection(
                connection_id=ConnectionId.random(),
                practice=self.practice,
                adapter="sandbox",
                base_url="http://127.0.0.1:1",
                hosts=("127.0.0.1:1",),
                zone="Europe/Berlin",
                credential=CredentialUse(scheme=Scheme.BEARER, name="sandbox"),
            ),
        )


@pytest.fixture
def practice() -> Practice:
    return Practice()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "sandbox.db"


@pytest.fixture
async def server(database: Path) -> AsyncIterator[SandboxServer]:
    async with SandboxServer.start(database, credentials=TOKEN, observer=OBSERVER, control=True) as running:
        yield running


@pytest.fixture
async def api(server: SandboxServer) -> AsyncIterator[httpx.AsyncClient]:
    """The adapter's client: the practice's token, nothing followed."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, trust_env=False, timeout=5) as client:
        yield client


@pytest.fixture
async def control(server: SandboxServer) -> AsyncIterator[httpx.AsyncClient]:
    """The observer's client: its own connection, the control plane only."""
    async with httpx.AsyncClient(base_url=f"{server.url}/_control", trust_env=False, timeout=5) as client:
        yield client
