"""What an adapter may send at all: to which hosts, how often, and with which bodies and headers (I12)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from gateway.boundary.rules import MAX_BODY_BYTES
from gateway.contracts.adapter import Authorized, Readiness, Receipt, Request
from gateway.contracts.failures import Code
from gateway.contracts.words import Effect

Start = Callable[..., Awaitable[Any]]
Answer = Callable[..., bytes]


async def test_a_redirect_to_another_host_is_not_followed(
    practice: Any, peer: Any, start: Start, answer: Answer
) -> None:
    other = await start()
    peer.on["GET /ready"] = answer(302, Location=f"http://127.0.0.1:{other.port}/")

    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        reply = await read.get("ready", follow_redirects=True)
        assert reply.status_code == 302
        await read.get(f"http://127.0.0.1:{other.port}/")
        return Readiness.proven()

    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is Code.HOST_FORBIDDEN
    assert other.connections == 0


@pytest.mark.requirement("MUT-09")
async def test_an_undeclared_host_is_not_reached(practice: Any, peer: Any, start: Start) -> None:
    other = await start()

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        with contextlib.suppress(httpx.HTTPError):
            await write.put(f"http://127.0.0.1:{other.port}/event")
        return Receipt.applied()

    practice.guest.act = act
    result = await practice.commit()
    assert (result.effect, result.code) == (Effect.NOT_SENT, Code.HOST_FORBIDDEN)
    assert (other.connections, peer.mutations) == (0, 0)


async def test_a_declared_safe_post_is_a_read_and_its_redirect_is_withheld(
    practice: Any, peer: Any, answer: Answer
) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.post("token", content=b"grant", follow_redirects=True)
        return Readiness.proven()

    practice.guest.claims = {"safe_posts": ("/token",)}
    practice.guest.ready = ready
    peer.safe_posts = ("/token",)
    peer.on["POST /token"] = answer(307, Location="/events")
    assert (await practice.commit()).effect is Effect.APPLIED
    assert [call.target for call in peer.calls if call.method == "POST"] == ["/token"]


async def test_more_requests_than_declared_are_refused(practice: Any, peer: Any) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        for _ in range(9):
            await read.get("ready")
        return Readiness.proven()

    practice.guest.claims = {"requests_per_attempt": 4}
    practice.guest.ready = ready
    engagement = await practice.engage()
    assert await engagement.readiness() is Code.ADAPTER_FAULT
    assert len(peer.calls) == engagement.requests == 4


async def test_megabytes_in_a_body_send_nothing(practice: Any, peer: Any) -> None:
    async def flood() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await write.put("event", content=flood())
        return Receipt.applied()

    practice.guest.act = act
    result = await practice.commit()
    assert (result.effect, result.code, peer.mutations) == (Effect.NOT_SENT, Code.ADAPTER_FAULT, 0)


async def flooding(client: httpx.AsyncClient) -> None:
    await client.request("REPORT", "ready", content=b"x" * (MAX_BODY_BYTES + 1))


async def hiding_a_body(client: httpx.AsyncClient) -> None:
    await client.request("GET", "ready", content=b"PUT /event HTTP/1.1\r\n\r\n")


async def going_around_the_client(client: httpx.AsyncClient) -> None:
    request = httpx.Request("REPORT", client.base_url.join("ready"), content=iter([b"synchronous"]))
    await client._transport.handle_async_request(request)


@pytest.mark.parametrize("wrong", [flooding, hiding_a_body, going_around_the_client])
async def test_a_body_that_is_refused_is_a_fault_that_no_readiness_covers_up(
    practice: Any, peer: Any, wrong: Callable[[httpx.AsyncClient], Awaitable[None]]
) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.get("ready")
        with pytest.raises(httpx.LocalProtocolError):
            await wrong(read)
        return Readiness.proven()

    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is Code.ADAPTER_FAULT
    assert [call.method for call in peer.calls] == ["GET"]


async def test_a_body_may_fill_its_bound(practice: Any, peer: Any) -> None:
    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await write.put("event", content=b"x" * MAX_BODY_BYTES)
        return Receipt.applied()

    practice.guest.act = act
    assert (await practice.commit()).effect is Effect.APPLIED
    assert [len(call.body) for call in peer.calls] == [0, MAX_BODY_BYTES]


async def test_a_redirect_that_the_adapter_did_not_ask_to_follow_is_not_followed(
    practice: Any, peer: Any, answer: Answer
) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        moved = (await read.get("ready")).status_code == 302
        return Readiness.refuted(Code.EXTERNAL_FORBIDDEN) if moved else Readiness.proven()

    peer.on["GET /ready"] = answer(302, Location="/elsewhere")
    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is Code.EXTERNAL_FORBIDDEN
    assert [call.target for call in peer.calls] == ["/ready"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer other"},
        {"Cookie": "a=b"},
        {"X-HTTP-Method-Override": "DELETE"},
        {"X-Broken": "a\r\nInjected: b"},
        {"Bad Name": "x"},
    ],
)
async def test_headers_that_an_adapter_may_not_set_send_nothing(
    practice: Any, peer: Any, headers: dict[str, str]
) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.get("ready", headers=headers)
        return Readiness.proven()

    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is Code.ADAPTER_FAULT
    assert peer.calls == []
