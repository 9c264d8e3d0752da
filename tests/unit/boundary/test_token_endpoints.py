"""Token endpoints through the real boundary: what a hostile or broken one achieves, and what it is told."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import ssl
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from joserfc.jwk import ECKey

from gateway.contracts.adapter import Authorized, Observation, Query, Readiness, Receipt, Request
from gateway.contracts.connection import CredentialUse, Limits, Scheme, TokenEndpoint
from gateway.contracts.failures import Code
from gateway.contracts.words import Effect, ObservationFinding
from tests.unit.boundary.conftest import Vault, carried, fetches, issue, locked

Answer = Callable[..., bytes]


async def never(call: Any) -> None:
    await asyncio.Event().wait()


async def reset(call: Any) -> None:
    call.reset()


async def half(call: Any) -> None:
    await call.answer(b'HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n{"access_token":')
    call.close()


async def flood(call: Any) -> None:
    await call.answer(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
    while call.open:
        await call.answer(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


async def unending_head(call: Any) -> None:
    await call.answer(b"HTTP/1.1 200 X\r\n")
    while call.open:
        await call.answer(b"X-More: " + b"x" * 1000 + b"\r\n")


def raw(status: int, body: bytes = b"", **headers: str) -> Callable[[Any], Any]:
    async def handle(call: Any) -> None:
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        await call.answer(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body)

    return handle


GOOD = b'{"access_token":"canary-token","token_type":"Bearer","expires_in":300}'
HOSTILE = {
    "hangs": (never, Code.EXTERNAL_TIMEOUT),
    "resets": (reset, Code.CONNECTION_LOST),
    "stops half-way": (half, Code.CONNECTION_LOST),
    "floods": (flood, Code.REPLY_UNRECOGNISED),
    "never ends its head": (unending_head, Code.REPLY_UNRECOGNISED),
    "leads elsewhere": (raw(307, Location="/elsewhere"), Code.REPLY_UNRECOGNISED),
    "leads elsewhere with a token": (raw(302, GOOD, Location="/elsewhere"), Code.REPLY_UNRECOGNISED),
    "shows a page": (raw(200, b"<html>Sign in</html>", Content_Type="text/html"), Code.REPLY_UNRECOGNISED),
    "says nothing": (raw(200), Code.REPLY_UNRECOGNISED),
    "says 204": (raw(204), Code.REPLY_UNRECOGNISED),
    "grants another type": (raw(200, GOOD.replace(b"Bearer", b"DPoP")), Code.REPLY_UNRECOGNISED),
    "grants a header of its own": (raw(200, GOOD.replace(b"canary", b"a\\r\\nX: b")), Code.REPLY_UNRECOGNISED),
    "answers from a cache": (raw(200, GOOD, Age="9"), Code.REPLY_CACHED),
    "compresses": (raw(200, GOOD, Content_Encoding="gzip"), Code.REPLY_UNRECOGNISED),
    "grants a huge one": (raw(200, GOOD.replace(b"canary", b"x" * 70_000)), Code.REPLY_UNRECOGNISED),
    "knows no client": (raw(401, b'{"error":"invalid_client"}'), Code.CREDENTIALS_REJECTED),
    "refuses the grant": (raw(400, b'{"error":"invalid_grant"}'), Code.CREDENTIALS_REJECTED),
    "is throttled": (raw(429, Retry_After="1"), Code.EXTERNAL_THROTTLED),
    "is down": (raw(503), Code.EXTERNAL_UNAVAILABLE),
}


@pytest.mark.requirement("ADAPT-03", "ADAPT-04", "CARD-03", "GATE-27")
@pytest.mark.parametrize("phase", ["readiness", "observe"])
@pytest.mark.parametrize("name", list(HOSTILE))
async def test_a_hostile_token_endpoint_achieves_a_bounded_code_and_nothing_else(
    practice: Any, peer: Any, vault: Vault, caplog: pytest.LogCaptureFixture, name: str, phase: str
) -> None:
    caplog.set_level(logging.DEBUG)
    peer.on["POST /token"], code = HOSTILE[name]
    if name == "hangs":
        limits = Limits.model_construct(**(practice.connection.limits.model_dump() | {"request_seconds": 0.2}))
        practice.connection = practice.connection.model_copy(update={"limits": limits})
    engagement = await practice.engage()
    if phase == "readiness":
        assert await engagement.readiness() is code
    else:
        assert (await engagement.observe()).finding is ObservationFinding.INDETERMINATE
    assert practice.guest.called == []
    assert [call.target for call in peer.calls] == ["/token"]
    assert engagement.requests == 1
    assert "canary" not in caplog.text + repr(vars(engagement))


async def test_a_secret_of_the_wrong_shape_sends_nothing(practice: Any, peer: Any, vault: Vault) -> None:
    vault.value = "no-colon"
    assert await (await practice.engage()).readiness() is Code.CREDENTIALS_REJECTED
    assert peer.calls == []
    practice.credentials = ()
    assert await (await practice.engage()).readiness() is Code.CREDENTIALS_REJECTED
    assert peer.calls == []


async def test_an_unreachable_token_endpoint_is_unavailable(
    practice: Any, peer: Any, start: Callable[..., Any], answer: Answer
) -> None:
    gone = await start()
    locked(practice, f"http://127.0.0.1:{gone.port}/token")
    gone.leave()
    assert await (await practice.engage()).readiness() is Code.EXTERNAL_UNAVAILABLE
    assert peer.calls == []


@pytest.mark.parametrize("forbidden", ["not admitted", "plain off loopback"])
async def test_a_token_endpoint_passes_the_same_checks_as_any_host(
    practice: Any, peer: Any, monkeypatch: pytest.MonkeyPatch, forbidden: str
) -> None:
    locked(practice, "http://192.0.2.1/token" if forbidden == "not admitted" else "http://93.184.215.14/token")
    if forbidden != "not admitted":
        practice.admits = lambda host, port: True
    assert await (await practice.engage()).readiness() is Code.HOST_FORBIDDEN
    assert peer.calls == []


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_token_endpoint_speaks_tls_that_the_gateway_trusts(
    practice: Any, peer: Any, start: Callable[..., Any], answer: Answer, authority: Any, trusted: bool
) -> None:
    issuer = await start(tls=authority.server)
    issuer.on["POST /token"] = issue(answer)
    vault = locked(practice, f"https://localhost:{issuer.port}/token")
    practice.tls = authority.client if trusted else ssl.create_default_context()
    assert await (await practice.engage()).readiness() is (None if trusted else Code.EXTERNAL_UNAVAILABLE)
    assert (len(issuer.calls), len(peer.calls), vault.asked) == ((1, 1, 1) if trusted else (0, 0, 1))


@pytest.mark.requirement("CARD-02")
async def test_no_adapter_can_have_a_token_fetched_in_a_write_phase(practice: Any, peer: Any, vault: Vault) -> None:
    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        for _ in range(2):
            with contextlib.suppress(httpx.HTTPError):
                await write.post(f"http://127.0.0.1:{peer.port}/token", data={"grant_type": "client_credentials"})
        return Receipt.applied()

    practice.guest.act = act
    result = await practice.commit()
    # To the boundary it is a mutating request like any other: one leaves, without the client's secret.
    assert (result.effect, result.code) == (Effect.UNKNOWN, Code.ADAPTER_FAULT)
    own, adapters = fetches(peer)
    assert own.headers["authorization"].startswith("Basic ")
    assert adapters.headers["authorization"] == "Bearer canary-token-1"


@pytest.fixture
def assertions(practice: Any, peer: Any, vault: Vault) -> str:
    """The same connection, unlocked by a private key; its `d` is the canary."""
    use = CredentialUse(
        scheme=Scheme.PRIVATE_KEY_JWT,
        name="ehr",
        token=TokenEndpoint(url=f"http://127.0.0.1:{peer.port}/token", issuer="client-1"),
    )
    practice.connection = practice.connection.model_copy(update={"credential": use})
    key = ECKey.generate_key("P-384").as_dict(private=True)
    vault.value = json.dumps(key)
    return str(key["d"])


async def test_each_assertion_is_unlike_every_other(practice: Any, peer: Any, assertions: str) -> None:
    for _ in range(2):
        assert await (await practice.engage()).readiness() is None
    claims = []
    for asked in fetches(peer):
        payload = parse_qs(asked.body.decode())["client_assertion"][0].split(".")[1]
        claims.append(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))
    assert claims[0]["jti"] != claims[1]["jti"]


@pytest.mark.requirement("GATE-26")
@pytest.mark.parametrize(
    ("scheme", "code"),
    [(Scheme.PRIVATE_KEY_JWT, Code.EXTERNAL_FORBIDDEN), (Scheme.CLIENT_CREDENTIALS, None)],
)
async def test_a_grant_of_less_than_was_asked_for_is_refused_where_its_issuer_spells_as_we_do(
    practice: Any, peer: Any, scheme: Scheme, code: Code | None
) -> None:
    issuer = {"issuer": "client-1"} if scheme is Scheme.PRIVATE_KEY_JWT else {}
    vault = locked(practice, f"http://127.0.0.1:{peer.port}/token", scheme, scope="a b", **issuer)
    if issuer:
        vault.value = json.dumps(ECKey.generate_key("P-384").as_dict(private=True))
    said = {"access_token": "canary-token-1", "token_type": "Bearer", "expires_in": 300, "scope": "a"}
    peer.on["POST /token"] = raw(200, json.dumps(said).encode())
    assert await (await practice.engage()).readiness() is code


@pytest.mark.requirement("ADAPT-04", "ADAPT-07", "PHI-02")
async def test_neither_key_nor_assertion_nor_token_comes_out(
    practice: Any, peer: Any, assertions: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[object] = []
    raised: list[str] = []

    async def break_off(client: httpx.AsyncClient) -> None:
        reply = await client.get("fine")
        seen.extend([reply, reply.request, dict(reply.request.headers), reply.extensions, vars(client), client])
        for url in ("broken", "http://elsewhere.test/"):
            try:
                await client.get(url)
            except httpx.HTTPError as error:
                raised.append(repr(error) + "".join(traceback.format_exception(error)))

    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        seen.append(dict(read.headers))
        await read.get("fine")
        return Readiness.proven()

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await break_off(write)
        return Receipt.applied()

    async def look(query: Query, read: httpx.AsyncClient) -> Observation:
        await break_off(read)
        raise RuntimeError

    caplog.set_level(logging.DEBUG)
    peer.on["GET /broken"] = reset
    practice.guest.ready, practice.guest.act, practice.guest.look = ready, act, look
    boundary = practice.boundary()
    engagement = await boundary.engage(practice.proposal)
    assert await engagement.readiness() is None
    result = await engagement.commit(practice.authorization())
    found = await engagement.observe()
    peer.on["POST /token"] = raw(200, b"<html>canary-token</html>")
    practice.clock.seconds = 1000
    again = await boundary.engage(practice.proposal)
    assert await again.readiness() is Code.REPLY_UNRECOGNISED
    assertion = parse_qs(fetches(peer)[0].body.decode())["client_assertion"][0]
    assert len(raised) == 4
    said = "".join(raised) + caplog.text + repr([seen, engagement, vars(engagement), again, vars(again)])
    said += repr([boundary, vars(boundary), result, found]) + "".join(str(record.__dict__) for record in caplog.records)
    for canary in ("canary", assertions, assertion, assertion.split(".")[2]):
        assert canary not in said
    assert set(carried(peer)) == {"Bearer canary-token-1"}
