"""Adapters that write where they may not, or again: at most one request leaves, whatever they try (I1)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from gateway.contracts.adapter import Authorized, Basis, Observation, Query, Readiness, Receipt, Request
from gateway.contracts.failures import Code
from gateway.contracts.words import Effect, ObservationFinding
from gateway.errors import InvariantViolation

Answer = Callable[..., bytes]


@pytest.mark.requirement("CARD-03", "MUT-09")
@pytest.mark.parametrize("swallowing", [True, False])
@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "MKCALENDAR", "CONNECT"])
async def test_writing_during_readiness_is_refused_before_a_byte_leaves(
    practice: Any, peer: Any, method: str, swallowing: bool
) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.get("ready")
        with contextlib.suppress(httpx.HTTPError if swallowing else ZeroDivisionError):
            await read.request(method, "event")
        return Readiness.proven()

    practice.guest.ready = ready
    engagement = await practice.engage()
    assert await engagement.readiness() is Code.ADAPTER_FAULT
    with pytest.raises(InvariantViolation):
        await engagement.commit(practice.authorization())
    assert peer.mutations == 0


@pytest.mark.requirement("CARD-03")
async def test_a_request_that_changes_its_method_once_admitted_stays_what_was_admitted(
    practice: Any, peer: Any
) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        async def body() -> AsyncIterator[bytes]:
            disguised.method = "PUT"
            disguised.url = httpx.URL(str(disguised.url).replace("ready", "event"))
            yield b"event"

        disguised = read.build_request("REPORT", "ready", content=body())
        await read.send(disguised)
        return Readiness.proven()

    practice.guest.ready = ready
    await (await practice.engage()).readiness()
    assert [(call.method, call.target) for call in peer.calls] == [("REPORT", "/ready")]


@pytest.mark.requirement("CARD-03")
async def test_writing_while_observing_is_refused_before_a_byte_leaves(practice: Any, peer: Any) -> None:
    async def look(query: Query, read: httpx.AsyncClient) -> Observation:
        await read.get("event")
        with contextlib.suppress(httpx.HTTPError):
            await read.delete("event")
        return Observation(finding=ObservationFinding.ABSENT, basis=Basis.BY_KEY)

    practice.guest.look = look
    seen = await (await practice.engage()).observe()
    assert seen.finding is ObservationFinding.INDETERMINATE
    assert peer.mutations == 0


@pytest.mark.requirement("CARD-02", "FAIL-20")
async def test_a_retry_after_a_lost_reply_is_refused(practice: Any, peer: Any) -> None:
    async def reset(call: Any) -> None:
        call.reset()

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        for _ in range(5):
            with contextlib.suppress(httpx.HTTPError):
                await write.put("event")
        return Receipt.applied()

    peer.on["PUT"] = reset
    practice.guest.act = act
    result = await practice.commit()
    assert (result.effect, result.code, result.mutating_requests) == (Effect.UNKNOWN, Code.ADAPTER_FAULT, 1)
    assert peer.mutations == 1


@pytest.mark.requirement("CARD-02")
async def test_a_second_write_is_refused_and_the_first_is_no_longer_believed(practice: Any, peer: Any) -> None:
    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await write.put("one")
        with contextlib.suppress(httpx.HTTPError):
            await write.put("two")
        return Receipt.applied()

    practice.guest.act = act
    result = await practice.commit()
    assert (result.effect, result.code, peer.mutations) == (Effect.UNKNOWN, Code.ADAPTER_FAULT, 1)


@pytest.mark.requirement("CARD-02")
async def test_concurrent_writes_let_one_request_out(practice: Any, peer: Any) -> None:
    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await asyncio.gather(*(write.put(f"event-{number}") for number in range(7)), return_exceptions=True)
        return Receipt.applied()

    practice.guest.act = act
    assert (await practice.commit()).code is Code.ADAPTER_FAULT
    assert peer.mutations == 1


async def test_a_second_write_after_a_failed_connection_is_refused_too(practice: Any, peer: Any) -> None:
    """The first was admitted and is gone: asking again would be a retry, although nothing left."""

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        with pytest.raises(httpx.ReadError, match="broke"):
            await write.put("event", content=failing())
        with contextlib.suppress(httpx.HTTPError):
            await write.put("event")
        return Receipt.refused(Code.SLOT_TAKEN)

    practice.guest.act = act
    result = await practice.commit()
    assert (result.effect, result.code, peer.mutations) == (Effect.NOT_SENT, Code.ADAPTER_FAULT, 0)


async def failing() -> AsyncIterator[bytes]:
    yield b"half"
    raise httpx.ReadError("the source of the body broke")


async def test_a_read_whose_body_fails_does_not_use_up_the_write(practice: Any, peer: Any) -> None:
    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        for method, target in (("REPORT", "events"), ("POST", "search?a=1?b=2")):
            with pytest.raises(httpx.ReadError, match="broke"):
                await write.request(method, target, content=failing())
        await write.put("event")
        return Receipt.applied()

    practice.guest.claims, practice.guest.act = {"safe_posts": ("/search",)}, act
    assert (await practice.commit()).effect is Effect.APPLIED
    assert [call.method for call in peer.calls] == ["GET", "PUT"]


@pytest.mark.requirement("CARD-02", "FAIL-20")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirected_write_is_not_followed(practice: Any, peer: Any, answer: Answer, status: int) -> None:
    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        reply = await write.put("event", follow_redirects=True)
        assert "location" not in reply.headers
        return Receipt.refused(Code.SLOT_TAKEN)

    peer.on["PUT"] = answer(status, Location="/elsewhere")
    practice.guest.act = act
    result = await practice.commit()
    assert (result.effect, result.code) == (Effect.UNKNOWN, Code.REPLY_UNRECOGNISED)
    assert [call.target for call in peer.calls] == ["/ready", "/event"]


@pytest.mark.parametrize("auth", [httpx.DigestAuth("user", "word"), ("user", "word")])
async def test_an_authentication_flow_cannot_send_twice(practice: Any, peer: Any, answer: Answer, auth: Any) -> None:
    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await write.put("event", auth=auth)
        return Receipt.applied()

    peer.on["PUT"] = answer(401, WWW_Authenticate='Digest realm="r", nonce="n", qop="auth"')
    practice.guest.act = act
    result = await practice.commit()
    assert result.code is Code.ADAPTER_FAULT
    assert peer.mutations <= 1
