"""JSON-RPC: reads and writes are POSTs to one address, and an adapter may try to pass the one for the other."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.contracts.adapter import Authorized, Basis, Observation, Query, Readiness, Receipt, Request
from gateway.contracts.calls import SafeCalls
from gateway.contracts.failures import Code
from gateway.contracts.words import Effect, ObservationFinding

CALLS = SafeCalls(address="/rpc/", methods=("list.read",))
READ = {"id": 1, "method": "list.read", "params": []}
WRITE = {"id": 2, "method": "list.create", "params": []}
BOTH = b'{"method":"list.create","method":"list.read"}'
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def clinic(practice: Any) -> Any:
    practice.guest.claims = {"safe_calls": CALLS}
    return practice


def bodies(peer: Any) -> list[bytes]:
    return [call.body for call in peer.calls if call.method == "POST"]


async def test_a_declared_call_is_a_read_in_every_phase_and_one_other_call_is_the_commit(
    clinic: Any, peer: Any
) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.post("rpc/", json=READ)
        return Readiness.proven()

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await write.post("rpc/", json=READ)
        await write.post("rpc/", json=WRITE)
        await write.post("rpc/", json=READ)
        return Receipt.applied()

    clinic.guest.ready, clinic.guest.act = ready, act
    result = await clinic.commit()
    assert (result.effect, result.mutating_requests, result.requests) == (Effect.APPLIED, 1, 3)
    assert [b"create" in body for body in bodies(peer)] == [False, False, True, False]


@pytest.mark.requirement("CARD-03")
async def test_another_call_is_refused_in_readiness_before_a_byte_leaves(clinic: Any, peer: Any) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.post("rpc/", json=READ)
        with contextlib.suppress(httpx.HTTPError):
            await read.post("rpc/", json=WRITE)
        return Readiness.proven()

    clinic.guest.ready = ready
    assert await (await clinic.engage()).readiness() is Code.ADAPTER_FAULT
    assert len(bodies(peer)) == 1


@pytest.mark.requirement("CARD-03")
async def test_another_call_is_refused_in_a_look(clinic: Any, peer: Any) -> None:
    async def look(query: Query, read: httpx.AsyncClient) -> Observation:
        await read.post("rpc/", json=READ)
        with contextlib.suppress(httpx.HTTPError):
            await read.post("rpc/", json=WRITE)
        return Observation(finding=ObservationFinding.ABSENT, basis=Basis.BY_KEY)

    clinic.guest.look = look
    assert (await (await clinic.engage()).observe()).finding is ObservationFinding.INDETERMINATE
    assert len(bodies(peer)) == 1


@pytest.mark.requirement("CARD-02", "CARD-03")
@pytest.mark.parametrize(
    ("address", "body", "headers"),
    [
        ("rpc/", BOTH, JSON),
        ("rpc/", b'[{"method":"list.read"},{"method":"list.create"}]', JSON),
        ("rpc/", b'{"method":"list.read","Method":"list.create"}', JSON),
        ("rpc/", b'{"method":"list.read"}', {"Content-Type": "text/xml"}),
        ("rpc/", b'{"method":"list.read"}', {}),
        ("rpc/", b'{"method":"list.read"}', JSON | {"Content-Encoding": "gzip"}),
        ("rpc/?method=list.create", b'{"method":"list.read"}', JSON),
        ("rpc", b'{"method":"list.read"}', JSON),
        ("events/", b'{"method":"list.read"}', JSON),
    ],
    ids=range(9),
)
async def test_no_spelling_gets_a_second_mutation_out(
    clinic: Any, peer: Any, address: str, body: bytes, headers: dict[str, str]
) -> None:
    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await write.post("rpc/", json=WRITE)
        with contextlib.suppress(httpx.HTTPError):
            await write.post(address, content=body, headers=headers)
        return Receipt.applied()

    clinic.guest.act = act
    result = await clinic.commit()
    assert (result.effect, result.code) == (Effect.UNKNOWN, Code.ADAPTER_FAULT)
    assert len(bodies(peer)) == 1


@pytest.mark.requirement("CARD-02", "CARD-03")
async def test_a_body_that_is_made_while_it_is_read_is_judged_as_it_leaves(clinic: Any, peer: Any) -> None:
    """Neither its length nor its beginning is believed, and the request around it stays what was asked for."""

    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        async def body() -> AsyncIterator[bytes]:
            yield b'{"method":"list.read",'
            disguised.headers["Content-Type"] = "application/json"
            yield b'"method":"list.create"}'

        disguised = read.build_request("POST", "rpc/", content=body(), headers=JSON)
        with contextlib.suppress(httpx.HTTPError):
            await read.send(disguised)
        late = read.build_request("POST", "rpc/", content=renamed())
        with contextlib.suppress(httpx.HTTPError):
            await read.send(late)
        return Readiness.proven()

    async def renamed() -> AsyncIterator[bytes]:
        yield b'{"method":"list.read"}'

    clinic.guest.ready = ready
    assert await (await clinic.engage()).readiness() is Code.ADAPTER_FAULT
    assert bodies(peer) == []


@pytest.mark.requirement("CARD-02", "CARD-03")
async def test_headers_that_change_while_the_body_is_read_are_those_that_were_judged(clinic: Any, peer: Any) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        async def body() -> AsyncIterator[bytes]:
            changing.headers["Content-Type"] = "text/xml"
            changing.headers["Content-Encoding"] = "gzip"
            yield b'{"method":"list.read"}'

        changing = read.build_request("POST", "rpc/", content=body(), headers=JSON)
        await read.send(changing)
        return Readiness.proven()

    clinic.guest.ready = ready
    assert await (await clinic.engage()).readiness() is None
    (call,) = [call for call in peer.calls if call.method == "POST"]
    assert (call.headers["content-type"], "content-encoding" in call.headers) == ("application/json", False)


async def test_a_redirect_of_a_call_is_withheld(clinic: Any, peer: Any, answer: Any) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        reply = await read.post("rpc/", json=READ, follow_redirects=True)
        assert "location" not in reply.headers
        return Readiness.proven()

    clinic.guest.ready = ready
    peer.on["POST /rpc/"] = answer(307, Location="/events")
    assert await (await clinic.engage()).readiness() is None
    assert [call.target for call in peer.calls if call.method == "POST"] == ["/rpc/"]


async def test_where_nothing_is_declared_every_call_is_mutating(practice: Any, peer: Any) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.post("rpc/", json=READ)
        return Readiness.proven()

    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is Code.ADAPTER_FAULT
    assert peer.calls == []
