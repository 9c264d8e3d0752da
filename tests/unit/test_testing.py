"""The harness for adapter authors, with the sandbox's adapter against a running sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.faults import Action, Fault, Switch
from adapters.sandbox.server import SandboxServer
from gateway.contracts.adapter import Descriptor, version_digest
from gateway.contracts.connection import CredentialUse, Limits, Scheme
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation, Target
from gateway.contracts.references import AppointmentId
from gateway.contracts.words import Effect, ObservationFinding
from gateway.errors import InvariantViolation
from gateway.testing import START, VENDOR, AdapterHarness, make_connection, make_request

TOKEN = "a-token"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[SandboxServer]:
    async with SandboxServer.start(tmp_path / "sandbox.db", credentials=TOKEN, control=True) as running:
        yield running


def harness(server: SandboxServer, *, secret: str = TOKEN, **details: Any) -> AdapterHarness:
    credential = CredentialUse(scheme=Scheme.BEARER, name="sandbox")
    connection = make_connection(server.url, credential=credential, limits=Limits(request_seconds=1))
    return AdapterHarness(SandboxAdapter(), make_request(connection, **details), secret=secret)


async def arrived(server: SandboxServer) -> int:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        return len((await client.get("/_control/journal")).json()["requests"])


async def test_a_booking_is_made_found_moved_and_cancelled(server: SandboxServer) -> None:
    async with harness(server) as booking:
        assert await booking.readiness() is None
        result = await booking.commit()
        assert (result.effect, result.code, result.mutating_requests) == (Effect.APPLIED, Code.COMMITTED, 1)
        assert (await booking.observe()).finding is ObservationFinding.PRESENT
        assert booking.requests == 5
        assert booking.binding is not None and booking.binding.version
    async with booking.following(Operation.RESCHEDULE, START + timedelta(hours=1)) as moving:
        assert await moving.readiness() is None
        assert (await moving.commit()).effect is Effect.APPLIED
    async with moving.following(Operation.CANCEL) as cancelling:
        assert await cancelling.readiness() is None
        assert (await cancelling.commit()).effect is Effect.APPLIED
    assert await arrived(server) == 3


async def test_the_key_of_the_request_is_the_key_at_the_vendor(server: SandboxServer) -> None:
    async with harness(server) as booking:
        await booking.readiness()
        await booking.commit()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, trust_env=False) as client:
        found = (await client.get("/appointments", params={"key": booking.request.native_key()})).json()
    assert len(found["items"]) == 1


async def test_a_second_attempt_has_the_same_key_and_finds_what_the_first_one_did(server: SandboxServer) -> None:
    async with harness(server) as first:
        await first.readiness()
        await first.commit()
    async with first.again() as second:
        assert second.request.native_key() == first.request.native_key()
        assert (await second.observe()).finding is ObservationFinding.PRESENT
    async with harness(server) as other:
        assert other.request.native_key() != first.request.native_key()
        assert (await other.observe()).finding is ObservationFinding.ABSENT


async def test_a_lost_reply_is_unknown_and_nothing_is_sent_again(server: SandboxServer) -> None:
    server.faults.arm(Switch(fault=Fault.DROP_AFTER, action=Action.BOOK))
    async with harness(server) as booking:
        await booking.readiness()
        result = await booking.commit()
        assert (result.effect, result.code) == (Effect.UNKNOWN, Code.CONNECTION_LOST)
        assert (await booking.observe()).finding is ObservationFinding.PRESENT
    assert await arrived(server) == 1


async def test_one_harness_commits_once_and_not_before_readiness(server: SandboxServer) -> None:
    async with harness(server) as booking:
        with pytest.raises(InvariantViolation):
            await booking.commit()
        await booking.readiness()
        await booking.commit()
        with pytest.raises(InvariantViolation):
            await booking.commit()
    assert await arrived(server) == 1


async def test_what_blocks_an_attempt_is_its_code(server: SandboxServer) -> None:
    async with harness(server, secret="another-token") as stranger:
        assert await stranger.readiness() is Code.CREDENTIALS_REJECTED
    unbound = {name: identifier for name, identifier in VENDOR.items() if name != "location"}
    async with harness(server, vendor=unbound) as gap:
        assert await gap.readiness() is Code.PARTICULARS_MISSING
    assert await arrived(server) == 0


async def test_nothing_but_loopback_is_reached() -> None:
    async with AdapterHarness(SandboxAdapter(), "https://pms.test/") as booking:
        assert await booking.readiness() is Code.HOST_FORBIDDEN


async def test_an_undeclared_operation_is_refused_on_entering(server: SandboxServer) -> None:
    class OnlyBooks(SandboxAdapter):
        def describe(self, connection: Any) -> Descriptor:
            return super().describe(connection).model_copy(update={"operations": (Operation.BOOK,)})

    async with AdapterHarness(OnlyBooks(), server.url) as booking:
        await booking.readiness()
        with pytest.raises(InvariantViolation):
            booking.following(Operation.CANCEL)
    target = Target(appointment=AppointmentId.random(), version=version_digest("1"))
    with pytest.raises(Refusal) as refused:
        async with AdapterHarness(OnlyBooks(), make_request(server.url, Operation.RESCHEDULE, target=target)):
            pass
    assert refused.value.code is Code.OPERATION_UNSUPPORTED
