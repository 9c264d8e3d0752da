"""A running sandbox, and attempts of any adapter at it through the real boundary."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.sandbox.faults import Action, Fault, Switch
from adapters.sandbox.server import SandboxServer
from gateway.boundary import CommitResult
from gateway.config import Bounds
from gateway.contracts.adapter import Adapter
from gateway.contracts.connection import CredentialUse, Limits, Scheme
from gateway.contracts.proposal import Operation, Target
from gateway.testing import START, VENDOR, AdapterHarness, make_connection, make_request
from gateway.testing.engine import Appointment, Engine

TOKEN, READER = "full-access", "may-only-read"


@dataclass(frozen=True)
class Yard:
    """One sandbox: its server, and its engine to look at what really happened."""

    server: SandboxServer
    engine: Engine

    def attempt(
        self,
        adapter: Adapter,
        operation: Operation = Operation.BOOK,
        *,
        hours: int = 0,
        patient: str = "patient-1",
        target: Target | None = None,
        secret: str = TOKEN,
        leave_out: str = "",
    ) -> AdapterHarness:
        credential = CredentialUse(scheme=Scheme.BEARER, name="vendor")
        limits = Limits(request_seconds=1, commit_seconds=2)
        connection = make_connection(self.server.url, credential=credential, limits=limits, adapter="sandbox")
        vendor = {name: known for name, known in (VENDOR | {"patient": patient}).items() if name != leave_out}
        start = START + timedelta(hours=hours)
        request = make_request(connection, operation, start=start, vendor=vendor, target=target)
        return AdapterHarness(adapter, request, secret=secret, bounds=Bounds(readiness_seconds=2))

    async def book(self, adapter: Adapter, *, hours: int = 0, patient: str = "patient-1") -> AdapterHarness:
        """A booking that was made; it can be observed and followed."""
        async with self.attempt(adapter, hours=hours, patient=patient) as harness:
            assert await harness.readiness() is None
            await harness.commit()
        return harness

    async def commit(self, adapter: Adapter, *, hours: int = 0) -> CommitResult:
        async with self.attempt(adapter, hours=hours) as harness:
            assert await harness.readiness() is None
            return await harness.commit()

    async def change(
        self, earlier: AdapterHarness, adapter: Adapter, operation: Operation, *, hours: int = 0
    ) -> CommitResult:
        async with self.following(earlier, adapter, operation, hours=hours) as harness:
            assert await harness.readiness() is None
            return await harness.commit()

    def following(
        self, earlier: AdapterHarness, adapter: Adapter, operation: Operation, *, hours: int = 0
    ) -> AdapterHarness:
        return earlier.following(operation, START + timedelta(hours=hours), adapter=adapter)

    def arm(self, fault: Fault, action: Action, *, milliseconds: int = 0) -> None:
        self.server.faults.arm(Switch(fault=fault, action=action, status=503, milliseconds=milliseconds))

    @property
    def booked(self) -> list[Appointment]:
        return [each for each in self.engine.appointments() if each.status == "booked"]

    @property
    def writes(self) -> int:
        """Mutating requests that arrived."""
        return len(self.engine.requests())


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    database = tmp_path / "sandbox.db"
    async with SandboxServer.start(database, credentials=TOKEN, observer=READER) as server:
        with Engine.open(database) as engine:
            yield Yard(server, engine)
