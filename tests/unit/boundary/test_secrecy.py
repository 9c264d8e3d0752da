"""Canaries in credentials, identifiers, replies and exceptions: none comes out (I7)."""

from __future__ import annotations

import asyncio
import base64
import logging
import traceback
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import httpx
import pytest

from gateway.boundary.wire import Wire, WireClosedError
from gateway.contracts.adapter import Authorized, Observation, Query, Readiness, Receipt, Request
from gateway.contracts.connection import CredentialUse, Scheme
from gateway.contracts.failures import Code
from gateway.contracts.words import Effect

Answer = Callable[..., bytes]
CANARY = "canary0000"
SECRET = "canary1111:canary2222"
ATTACHED = "Basic " + base64.b64encode(SECRET.encode()).decode()


class Vault:
    async def secret(self, name: str) -> str:
        return SECRET


def sealed(practice: Any) -> None:
    practice.credentials = (Vault(),)
    use = CredentialUse(scheme=Scheme.BASIC, name="clinic-calendar")
    practice.connection = practice.connection.model_copy(update={"credential": use})
    practice.registry.matches = [practice.resolved(identifiers={practice.particulars.patient: CANARY})]


@pytest.mark.requirement("ADAPT-07")
async def test_the_credential_is_attached_below_the_adapter_and_visible_nowhere_above(practice: Any, peer: Any) -> None:
    seen: list[object] = []

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        reply = await write.put("event")
        seen.extend([reply, reply.request, dict(reply.request.headers), reply.request.extensions, reply.extensions])
        seen.extend([dict(reply.headers), dict(write.headers), write.auth, dict(write.cookies), write])
        return Receipt.applied()

    sealed(practice)
    practice.guest.act = act
    assert (await practice.commit()).effect is Effect.APPLIED
    assert [call.headers.get("authorization") for call in peer.calls] == [ATTACHED] * 2
    assert len(seen) == 10
    for text in (ATTACHED.split()[1], "canary1111", "canary2222"):
        assert text not in repr(seen)
    assert "network_stream" not in repr(seen)


async def test_a_cookie_that_the_peer_sets_is_not_carried(practice: Any, peer: Any, answer: Answer) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.get("a")
        await read.get("b")
        return Readiness.proven()

    peer.on["GET"] = answer(200, Set_Cookie=f"session={CANARY}")
    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is None
    assert not any("cookie" in call.headers for call in peer.calls)


REPLIES = [
    f"{CANARY} garbage\r\n\r\n".encode(),
    f"HTTP/1.1 200 X\r\n{CANARY} bad header\r\n\r\n".encode(),
    f"HTTP/1.1 200 X\r\nContent-Length: {CANARY}\r\n\r\n".encode(),
    f"HTTP/1.1 200 {CANARY}\r\nContent-Length: 2\r\nX-Name: {CANARY}\r\nAge: 9\r\n\r\nok".encode(),
    f"HTTP/1.1 200 {CANARY}\r\nContent-Length: 10\r\nSet-Cookie: {CANARY}\r\n\r\n{CANARY}".encode(),
    f"HTTP/1.1 302 X\r\nContent-Length: 0\r\nLocation: https://{CANARY}.test/\r\n\r\n".encode(),
]


@pytest.mark.requirement("ADAPT-04", "PHI-02")
@pytest.mark.parametrize("raw", REPLIES)
async def test_no_data_reaches_an_exception_a_log_or_a_result(
    practice: Any, peer: Any, caplog: pytest.LogCaptureFixture, raw: bytes
) -> None:
    raised: list[str] = []

    async def provoke(client: httpx.AsyncClient, patient: str) -> None:
        for request in (
            client.get(f"patients/{patient}", params={"name": CANARY}),
            client.get("x", headers={"X-Bad": f"{CANARY}\r\n"}),
            client.get(f"https://{CANARY}.test/"),
            client.put("event", content=CANARY),
            client.put("event", content=CANARY),
        ):
            try:
                await request
            except httpx.HTTPError as error:
                raised.append(repr(error) + "".join(traceback.format_exception(error)))

    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.get("fine")
        return Readiness.proven(prepared=CANARY)

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await provoke(write, authorized.request.identifiers[authorized.request.particulars.patient])
        raise RuntimeError(CANARY)

    async def look(query: Query, read: httpx.AsyncClient) -> Observation:
        await provoke(read, CANARY)
        raise RuntimeError(CANARY)

    caplog.set_level(logging.DEBUG)
    sealed(practice)
    practice.guest.ready, practice.guest.act, practice.guest.look = ready, act, look
    engagement = await practice.engage()
    assert await engagement.readiness() is None
    peer.on |= {"GET": raw, "PUT": raw}
    result = await engagement.commit(practice.authorization())
    seen = await engagement.observe()
    assert (result.effect, result.code) == (Effect.UNKNOWN, Code.ADAPTER_FAULT)
    assert len(raised) >= 6
    said = "".join(raised) + caplog.text + repr([engagement, vars(engagement), result, seen])
    said += "".join(str(record.__dict__) for record in caplog.records)
    for canary in (CANARY, "canary1111", "canary2222", ATTACHED):
        assert canary not in said
    assert CANARY in repr(peer.calls)


@pytest.mark.requirement("ADAPT-07")
async def test_a_credential_source_that_fails_says_nothing(practice: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        async def secret(self, name: str) -> str:
            raise RuntimeError(SECRET)

    caplog.set_level(logging.DEBUG)
    sealed(practice)
    practice.credentials = (Broken(),)
    assert await (await practice.engage()).readiness() is Code.CREDENTIALS_REJECTED
    assert "canary" not in caplog.text


async def test_a_name_that_does_not_resolve_is_not_repeated(practice: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    name = f"{CANARY}{'a' * 70}.invalid:80"
    practice.admits = lambda host, port: True
    practice.connection = practice.connection.model_copy(update={"base_url": f"http://{name}/", "hosts": (name,)})
    assert await (await practice.engage()).readiness() is Code.EXTERNAL_UNAVAILABLE
    assert CANARY not in caplog.text


def test_what_httpx_would_log_goes_nowhere_once_there_is_a_boundary(
    practice: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (None, "httpx"):
        monkeypatch.setattr(logging.getLogger(name), "filters", [])
    practice.boundary()
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("httpx").warning("canary")
        logging.getLogger().warning("others' words")
    assert caplog.messages == ["others' words"]


async def test_nothing_is_written_once_the_session_is_closed(peer: Any) -> None:
    closed: list[bool] = []
    wire = Wire(lambda: bool(closed))
    await wire.connect((ip_address("127.0.0.1"),), peer.port, tls=None, host="127.0.0.1")
    closed.append(True)
    with pytest.raises(WireClosedError):
        await wire.write(b"PUT / HTTP/1.1\r\n\r\n")
    assert wire.writes == 0
    await asyncio.sleep(0)
    assert peer.calls == []
