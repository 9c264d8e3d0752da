"""Adapters that hang, swallow cancellation, leave tasks behind, raise nonsense or answer it: each contained (I12)."""

from __future__ import annotations

import asyncio
from dataclasses import fields, replace
from typing import Any

import httpx
import pytest

from gateway.config import Bounds
from gateway.contracts.adapter import Authorized, Claim, Descriptor, Observation, Query, Readiness, Receipt, Request
from gateway.contracts.connection import Limits
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.words import Effect, ObservationFinding

NONSENSE = [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, RecursionError]


def hurry(practice: Any, hurried: Bounds) -> None:
    practice.bounds = hurried
    short = Limits.model_construct(**(Limits().model_dump() | {"commit_seconds": 0.3}))
    practice.connection = practice.connection.model_copy(update={"limits": short})


@pytest.mark.requirement("FAIL-19", "GATE-24")
async def test_hanging_in_readiness_is_a_timeout(practice: Any, hurried: Bounds) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await asyncio.Event().wait()
        return Readiness.proven()

    practice.guest.ready = ready
    hurry(practice, hurried)
    assert await (await practice.engage()).readiness() is Code.EXTERNAL_TIMEOUT


@pytest.mark.requirement("FAIL-19")
@pytest.mark.parametrize("sending", [True, False])
async def test_hanging_in_commit_ends_by_what_left(practice: Any, peer: Any, hurried: Bounds, sending: bool) -> None:
    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        if sending:
            await write.put("event")
        await asyncio.Event().wait()
        return Receipt.applied()

    practice.guest.act = act
    hurry(practice, hurried)
    practice.bounds = Bounds()
    result = await practice.commit()
    expected = Effect.UNKNOWN if sending else Effect.NOT_SENT
    assert (result.effect, result.code, peer.mutations) == (expected, Code.EXTERNAL_TIMEOUT, int(sending))


async def test_swallowing_cancellation_buys_no_further_request(practice: Any, peer: Any, hurried: Bounds) -> None:
    attempts: list[type[BaseException]] = []
    release = asyncio.Event()

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                try:
                    await write.put("event")
                except httpx.LocalProtocolError as error:
                    attempts.append(type(error))
        return Receipt.applied()

    practice.guest.act = act
    hurry(practice, hurried)
    practice.bounds = Bounds()
    result = await practice.commit()
    release.set()
    assert (result.effect, result.code) == (Effect.NOT_SENT, Code.EXTERNAL_TIMEOUT)
    assert attempts == [httpx.LocalProtocolError]
    assert peer.mutations == 0


async def test_a_task_left_behind_cannot_write_after_the_phase(practice: Any, peer: Any) -> None:
    left: list[asyncio.Task[Any]] = []

    async def later(write: httpx.AsyncClient) -> None:
        await asyncio.sleep(0.05)
        await write.put("event")

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        left.append(asyncio.create_task(later(write)))
        return Receipt.applied()

    practice.guest.act = act
    result = await practice.commit()
    with pytest.raises(httpx.LocalProtocolError):
        await left[0]
    assert (result.effect, result.code, peer.mutations) == (Effect.NOT_SENT, Code.ADAPTER_FAULT, 0)


async def test_a_write_still_under_way_when_the_adapter_answers_is_unknown(practice: Any, peer: Any) -> None:
    left: list[asyncio.Task[Any]] = []
    arrived = asyncio.Event()

    async def hold(call: Any) -> None:
        arrived.set()
        await asyncio.Event().wait()

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        left.append(asyncio.create_task(write.put("event")))
        await arrived.wait()
        return Receipt.refused(Code.SLOT_TAKEN)

    peer.on["PUT"] = hold
    practice.guest.act = act
    result = await practice.commit()
    with pytest.raises(httpx.TransportError):
        await left[0]
    assert (result.effect, result.code, peer.mutations) == (Effect.UNKNOWN, Code.CONNECTION_LOST, 1)


async def test_the_read_session_does_not_outlive_readiness(practice: Any, peer: Any) -> None:
    kept: list[httpx.AsyncClient] = []

    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        kept.append(read)
        await read.get("ready")
        return Readiness.proven(prepared=read)

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await authorized.prepared.get("late")
        return Receipt.applied()

    practice.guest.ready, practice.guest.act = ready, act
    result = await practice.commit()
    assert (result.effect, result.code) == (Effect.NOT_SENT, Code.ADAPTER_FAULT)
    assert len(peer.calls) == 1


@pytest.mark.requirement("ADAPT-03", "FAIL-15")
@pytest.mark.parametrize("error", NONSENSE)
@pytest.mark.parametrize("sending", [True, False])
async def test_any_exception_in_commit_ends_by_what_left(
    practice: Any, peer: Any, error: type[BaseException], sending: bool
) -> None:
    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        if sending:
            await write.put("event")
        raise error("canary")

    practice.guest.act = act
    result = await practice.commit()
    expected = Effect.UNKNOWN if sending else Effect.NOT_SENT
    assert (result.effect, result.code, peer.mutations) == (expected, Code.ADAPTER_FAULT, int(sending))


@pytest.mark.requirement("ADAPT-03")
@pytest.mark.parametrize("error", NONSENSE)
async def test_any_exception_elsewhere_is_bounded(practice: Any, error: type[BaseException]) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        raise error("canary")

    async def look(query: Query, read: httpx.AsyncClient) -> Observation:
        raise error("canary")

    practice.guest.ready, practice.guest.look = ready, look
    engagement = await practice.engage()
    assert await engagement.readiness() is Code.ADAPTER_FAULT
    assert (await engagement.observe()).finding is ObservationFinding.INDETERMINATE


class Willing(Readiness):
    """A readiness of the adapter's own class."""


def vars_of(seen: Readiness) -> dict[str, Any]:
    return {each.name: getattr(seen, each.name) for each in fields(seen)}


class Promised(Receipt):
    """A receipt with code of the adapter's own wherever the core reads it."""


@pytest.mark.parametrize(
    "value",
    [
        None,
        "applied",
        Readiness.proven(),
        Effect.APPLIED,
        Receipt(claim="applied", code=Code.COMMITTED),  # type: ignore[arg-type]  # wrong on purpose
        Receipt(claim=Claim.APPLIED, code="COMMITTED"),  # type: ignore[arg-type]  # wrong on purpose
        Receipt(claim="unknown", code=Code.CONNECTION_LOST),  # type: ignore[arg-type]  # wrong on purpose
        Promised(claim=Claim.APPLIED, code=Code.COMMITTED),
        Receipt.applied(version="\ud800"),
        Receipt.applied(identifier="x" * 5000),
        Receipt.applied(identifier=b"x"),  # type: ignore[arg-type]  # wrong on purpose
        object.__new__(Receipt),
    ],
)
async def test_a_receipt_that_is_none_is_not_believed(practice: Any, peer: Any, value: Any) -> None:
    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Any:
        await write.put("event")
        return value

    practice.guest.act = act
    result = await practice.commit()
    assert (result.effect, result.code) == (Effect.UNKNOWN, Code.ADAPTER_FAULT)
    assert practice.registry.bound == []


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        Receipt.applied(),
        object.__new__(Readiness),
        Readiness(available=True, credentials=True, authorised=True, target=True),  # type: ignore[arg-type]  # wrong on purpose
        replace(Readiness.proven(), target="open"),  # type: ignore[type-var]  # wrong on purpose
        replace(Readiness.proven(), credentials="proven"),
        Willing(**vars_of(Readiness.proven())),
    ],
)
async def test_a_readiness_that_is_none_is_not_believed(practice: Any, value: Any) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Any:
        await read.get("ready")
        return value

    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is Code.ADAPTER_FAULT


@pytest.mark.parametrize("error", NONSENSE)
def test_a_descriptor_that_cannot_be_had_is_an_adapter_fault(practice: Any, error: type[BaseException]) -> None:
    def describe(connection: object) -> Descriptor:
        raise error("canary")

    practice.guest.describe = describe
    with pytest.raises(Refusal) as refused:
        practice.boundary().describe(practice.connection.connection_id)
    assert refused.value.code is Code.ADAPTER_FAULT
    assert refused.value.__context__ is None


def test_a_descriptor_made_around_its_own_checks_is_an_adapter_fault(practice: Any) -> None:
    sound = practice.guest.describe(practice.connection)
    for broken in (sound.model_copy(update={"requests_per_attempt": 10_000}), sound.model_dump(), None):
        practice.guest.describe = lambda connection, broken=broken: broken
        with pytest.raises(Refusal) as refused:
            practice.boundary().describe(practice.connection.connection_id)
        assert refused.value.code is Code.ADAPTER_FAULT
