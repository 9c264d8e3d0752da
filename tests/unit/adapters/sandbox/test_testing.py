"""The sandbox's premises, its two observers and its target file, as a conformance run uses them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.sandbox import testing
from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.server import SandboxServer
from conformance.registry import REQUIREMENTS
from conformance.target.safety import load, load_object
from gateway.contracts.connection import Connection, Limits
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect
from gateway.testing import START, VENDOR, AdapterHarness, Observer, Premises, make_connection, make_request

END = START + timedelta(minutes=30)
TARGET = load(Path(testing.__file__).parent / "conformance.toml")


@pytest.fixture
async def premises() -> AsyncIterator[Premises]:
    async with testing.premises() as started:
        yield started


def connection(base_url: str, **settings: Any) -> Connection:
    stated = TARGET.connection
    return make_connection(base_url, credential=stated.credential, limits=stated.limits, settings=settings)


def harness(premises: Premises, known_as: str = "vendor", **details: Any) -> AdapterHarness:
    request = make_request(connection(premises.base_url, **premises.settings), **details)
    return AdapterHarness(SandboxAdapter(), request, secret=premises.secrets[known_as])


async def book(premises: Premises) -> AdapterHarness:
    async with harness(premises) as booking:
        assert await booking.readiness() is None
        assert (await booking.commit()).effect is Effect.APPLIED
    return booking


async def cancel(booking: AdapterHarness) -> AdapterHarness:
    async with booking.following(Operation.CANCEL) as cancelling:
        assert await cancelling.readiness() is None
        assert (await cancelling.commit()).effect is Effect.APPLIED
    return cancelling


async def sees_each_write_and_takes_it_away(observer: Observer, premises: Premises) -> None:
    """What any observer of the sandbox must do, whichever way it looks."""
    assert list(await observer.appointments(START, END)) == []
    booking = await book(premises)
    (seen,) = await observer.appointments(START, END)
    assert (seen.start, seen.end, seen.subject) == (START, END, VENDOR["patient"])
    assert (seen.keys, seen.cancelled) == ((booking.request.native_key(),), False)
    cancelling = await cancel(booking)
    (left,) = await observer.appointments(START, END)
    assert (left.identifier, left.cancelled) == (seen.identifier, True)
    assert left.keys == (booking.request.native_key(), cancelling.request.native_key())
    half = timedelta(minutes=15)
    assert len(await observer.appointments(START + half, START + 2 * half)) == 1
    assert list(await observer.appointments(START - half, START)) == []
    assert list(await observer.appointments(END, END + half)) == []
    assert await observer.remove(seen.identifier) is True
    assert await observer.remove(seen.identifier) is False
    assert list(await observer.appointments(START, END)) == []


async def test_the_observer_that_premises_bring_sees_each_write_and_takes_it_away(premises: Premises) -> None:
    await sees_each_write_and_takes_it_away(premises.observer, premises)
    await book(premises)  # as before: the slot is free, and no key is known


async def test_the_observer_of_a_running_sandbox_does_so_through_the_control_plane(database: Path) -> None:
    async with SandboxServer.start(database, credentials="a-token", control=True) as server:
        at_work = Premises(
            base_url=f"{server.url}/",
            label="a sandbox that ran before",
            observer=testing.observer(f"{server.url}/", {}),
            secrets={"vendor": "a-token"},
        )
        await sees_each_write_and_takes_it_away(at_work.observer, at_work)
        await book(at_work)


async def test_a_sandbox_without_a_control_plane_cannot_be_observed(premises: Premises) -> None:
    observer = testing.observer(premises.base_url, premises.secrets)
    with pytest.raises(RuntimeError, match="--control"):
        await observer.appointments(START, END)
    assert await observer.remove("anything") is False


async def test_the_limited_credential_reads_and_cannot_write(premises: Premises) -> None:
    async with harness(premises, "limited") as booking:
        assert await booking.readiness() is Code.EXTERNAL_FORBIDDEN
    headers = {"Authorization": f"Bearer {premises.secrets['limited']}", "Idempotency-Key": "a-key"}
    async with httpx.AsyncClient(base_url=premises.base_url, headers=headers, trust_env=False) as limited:
        assert (await limited.get("appointments", params={"key": "a-key"})).status_code == 200
        assert (await limited.post("appointments", json={})).status_code == 403


async def test_each_start_has_its_own_data_and_secrets_and_ends_with_its_context() -> None:
    async with testing.premises() as first, testing.premises() as second:
        assert set(first.secrets.values()).isdisjoint(second.secrets.values())
        await book(first)
        assert list(await second.observer.appointments(START, END)) == []
    async with httpx.AsyncClient(base_url=first.base_url, trust_env=False) as late:
        with pytest.raises(httpx.ConnectError):
            await late.get("health")


def test_the_target_file_starts_these_premises_and_has_room_for_every_requirement() -> None:
    assert TARGET.sandbox and TARGET.launch is not None
    assert load_object(TARGET.launch) is testing.premises
    assert TARGET.connection.credential.name == "vendor"
    assert TARGET.connection.limits == Limits(request_seconds=1, commit_seconds=3)
    assert sum(each.writes for each in REQUIREMENTS.values()) <= TARGET.writes
    assert sum(each.slots for each in REQUIREMENTS.values()) <= TARGET.pool.slots
    assert TARGET.pool.first.year == 2031


async def test_what_the_premises_say_names_no_secret(premises: Premises) -> None:
    shown = f"{premises!r} {premises.observer!r}"
    assert not any(secret in shown for secret in premises.secrets.values())
