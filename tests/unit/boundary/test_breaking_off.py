"""An exchange that breaks off: which of two causes counts, and what the adapter's client hears."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway.config import Bounds
from gateway.contracts.adapter import Authorized, Readiness, Receipt, Request
from gateway.contracts.connection import Limits
from gateway.contracts.failures import Code
from gateway.contracts.words import Effect
from gateway.errors import InvariantViolation


async def reset(call: Any) -> None:
    call.reset()


async def never(call: Any) -> None:
    await asyncio.Event().wait()


def brief(practice: Any, **seconds: float) -> None:
    short = Limits.model_construct(**(Limits().model_dump() | seconds))
    practice.connection = practice.connection.model_copy(update={"limits": short})


async def test_a_read_that_fails_after_the_write_was_answered_says_why_the_adapter_broke_off(
    practice: Any, peer: Any
) -> None:
    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await write.put("event")
        await write.get("event")
        return Receipt.applied()

    peer.on["GET /event"] = reset
    practice.guest.act = act
    result = await practice.commit()
    assert (result.effect, result.code, peer.mutations) == (Effect.UNKNOWN, Code.CONNECTION_LOST, 1)


async def test_a_read_that_failed_before_is_not_why_the_write_has_no_reply(
    practice: Any, peer: Any, answer: Callable[..., bytes]
) -> None:
    arrived = asyncio.Event()

    async def hold(call: Any) -> None:
        arrived.set()
        await never(call)

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        with contextlib.suppress(httpx.HTTPError):
            await write.get("event")
        writing = asyncio.create_task(write.put("event"))
        writing.add_done_callback(lambda done: done.exception())
        await arrived.wait()
        return Receipt.applied()

    peer.on |= {"GET /event": answer(200, Age="9"), "PUT": hold}
    practice.guest.act = act
    result = await practice.commit()
    assert (result.effect, result.code, peer.mutations) == (Effect.UNKNOWN, Code.CONNECTION_LOST, 1)


async def test_an_adapters_own_error_is_its_fault_whatever_the_wire_did_before(practice: Any, peer: Any) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        with contextlib.suppress(httpx.HTTPError):
            await read.get("ready")
        raise ValueError

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        with contextlib.suppress(httpx.HTTPError):
            await write.get("event")
        raise ValueError

    peer.on["GET /event"] = reset
    practice.guest.act = act
    result = await practice.commit()
    assert (result.effect, result.code) == (Effect.NOT_SENT, Code.ADAPTER_FAULT)
    peer.on["GET /ready"] = reset
    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is Code.ADAPTER_FAULT


async def test_a_system_that_the_adapter_calls_unavailable_is_so_for_the_reason_that_the_wire_had(
    practice: Any, peer: Any
) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        with contextlib.suppress(httpx.TransportError):
            await read.get("ready")
        return Readiness.refuted(Code.EXTERNAL_UNAVAILABLE)

    peer.on["GET /ready"] = reset
    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is Code.CONNECTION_LOST


async def test_a_transport_error_of_the_adapters_own_making_is_its_fault(practice: Any) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.get("ready")
        raise httpx.ConnectError("made up")

    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is Code.ADAPTER_FAULT


async def test_a_request_that_http_cannot_carry_is_a_fault_that_no_receipt_covers_up(practice: Any, peer: Any) -> None:
    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        with contextlib.suppress(httpx.HTTPError):
            await write.put("event", headers={"X-Broken": "a\r\nInjected: b"})
        return Receipt.refused(Code.SLOT_TAKEN)

    practice.guest.act = act
    result = await practice.commit()
    assert (result.effect, result.code, peer.mutations) == (Effect.NOT_SENT, Code.ADAPTER_FAULT, 0)


@pytest.mark.parametrize("answering", [True, False])
async def test_a_client_hears_whether_time_ran_out_before_or_after_its_request_left(
    practice_at: Callable[..., Any], peer: Any, monkeypatch: pytest.MonkeyPatch, answering: bool
) -> None:
    practice = practice_at(f"http://localhost:{peer.port}/", (f"localhost:{peer.port}",))
    heard: list[type[Exception]] = []
    over = threading.Event()

    def unanswered(*asked: Any) -> Any:
        over.wait()
        raise OSError

    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        try:
            await read.get("ready")
        except httpx.HTTPError as error:
            heard.append(type(error))
            raise
        return Readiness.proven()

    peer.on["GET"] = never
    if not answering:
        monkeypatch.setattr(socket, "getaddrinfo", unanswered)
    practice.guest.ready = ready
    brief(practice, request_seconds=1.0 if answering else 0.1)
    try:
        assert await (await practice.engage()).readiness() is Code.EXTERNAL_TIMEOUT
    finally:
        over.set()
    assert heard == [httpx.ReadTimeout if answering else httpx.ConnectTimeout]
    assert len(peer.calls) == int(answering)


async def test_an_engagement_counts_its_requests_over_all_phases(practice: Any) -> None:
    engagement = await practice.engage()
    assert engagement.requests == 0
    assert await engagement.readiness() is None
    assert engagement.requests == 1
    await engagement.commit(practice.authorization())
    assert engagement.requests == 2


async def test_a_closed_engagement_commits_nothing_any_more(practice: Any, peer: Any) -> None:
    engagement = await practice.engage()
    assert await engagement.readiness() is None
    await engagement.aclose()
    with pytest.raises(InvariantViolation):
        await engagement.commit(practice.authorization())
    assert peer.mutations == 0


async def test_a_readiness_that_is_late_is_a_timeout_however_ready_it_would_have_been(
    practice: Any, hurried: Bounds
) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await asyncio.Event().wait()
        return Readiness.proven()

    practice.bounds, practice.guest.ready = hurried, ready
    async with asyncio.timeout(30):
        assert await (await practice.engage()).readiness() is Code.EXTERNAL_TIMEOUT
