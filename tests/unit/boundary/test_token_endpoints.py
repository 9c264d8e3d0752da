"""Access tokens through the real boundary: who fetches one, when, how often, and what a hostile endpoint achieves."""

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

from gateway.clock import SystemClock
from gateway.contracts.adapter import Authorized, Observation, Query, Readiness, Receipt, Request
from gateway.contracts.connection import CredentialUse, Limits, Scheme, TokenEndpoint
from gateway.contracts.failures import Code
from gateway.contracts.words import Effect, ObservationFinding

Answer = Callable[..., bytes]
SECRET = "client-1:canary-secret"


class Vault:
    def __init__(self, secret: str = SECRET) -> None:
        self.value = secret
        self.asked = 0

    async def secret(self, name: str) -> str:
        assert name == "ehr"
        self.asked += 1
        return self.value


class Shifted(SystemClock):
    """The machine's clock, and what a test adds to it."""

    seconds = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.seconds


def issue(answer: Answer, life: object = 300, status: int = 200) -> Callable[[Any], Any]:
    """A token endpoint that numbers its tokens."""
    issued = iter(range(1, 100))

    async def handle(call: Any) -> None:
        said = {"access_token": f"canary-token-{next(issued)}", "token_type": "Bearer", "expires_in": life}
        body = json.dumps({name: value for name, value in said.items() if value is not None}).encode()
        await call.answer(answer(status, body))

    return handle


def locked(practice: Any, url: str, scheme: Scheme = Scheme.CLIENT_CREDENTIALS, **token: str) -> Vault:
    use = CredentialUse(scheme=scheme, name="ehr", token=TokenEndpoint(url=url, **token))
    hosts = dict.fromkeys((*practice.connection.hosts, use.token.host if use.token else ""))
    practice.connection = practice.connection.model_copy(update={"credential": use, "hosts": tuple(hosts)})
    practice.clock = Shifted()
    vault = Vault()
    practice.credentials = (vault,)
    return vault


@pytest.fixture
def vault(practice: Any, peer: Any, answer: Answer) -> Vault:
    peer.safe_posts = ("/token",)
    peer.on["POST /token"] = issue(answer)
    return locked(practice, f"http://127.0.0.1:{peer.port}/token", scope="calendar")


def fetches(peer: Any) -> list[Any]:
    return [call for call in peer.calls if call.target == "/token"]


def carried(peer: Any) -> list[str | None]:
    return [call.headers.get("authorization") for call in peer.calls if call.target != "/token"]


@pytest.mark.requirement("ADAPT-07", "GATE-25")
async def test_one_token_is_fetched_before_the_adapter_is_asked_and_serves_all_phases(
    practice: Any, peer: Any, vault: Vault
) -> None:
    engagement = await practice.engage()
    assert await engagement.readiness() is None
    assert (await engagement.commit(practice.authorization())).effect is Effect.APPLIED
    assert (await engagement.observe()).finding is ObservationFinding.PRESENT
    assert [f"{call.method} {call.target}"[:11] for call in peer.calls] == [
        "POST /token",
        "GET /ready",
        "PUT /events",
        "GET /events",
    ]
    assert carried(peer) == ["Bearer canary-token-1"] * 3
    (asked,) = fetches(peer)
    assert parse_qs(asked.body.decode()) == {"grant_type": ["client_credentials"], "scope": ["calendar"]}
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.headers["accept"] == "application/json"
    assert (vault.asked, peer.mutations, engagement.requests) == (1, 1, 4)


async def test_a_token_is_fetched_on_a_connection_of_its_own(practice: Any, peer: Any, vault: Vault) -> None:
    assert await (await practice.engage()).readiness() is None
    token, ready = peer.calls
    assert "connection" not in token.headers  # a server that is to close may end its reply so, unprovably
    assert token.connection != ready.connection


async def test_a_kept_token_serves_the_next_attempts_until_it_ends(practice: Any, peer: Any, vault: Vault) -> None:
    boundary = practice.boundary()
    for seconds, expected in ((0, 1), (100, 1), (249, 1), (251, 2)):
        practice.clock.seconds = seconds
        assert await (await boundary.engage(practice.proposal)).readiness() is None
        assert (len(fetches(peer)), vault.asked) == (expected, expected)
    assert carried(peer) == ["Bearer canary-token-1"] * 3 + ["Bearer canary-token-2"]


async def test_a_new_gateway_begins_without_tokens(practice: Any, peer: Any, vault: Vault) -> None:
    for expected in (1, 2):
        assert await (await practice.engage()).readiness() is None
        assert len(fetches(peer)) == expected


async def test_a_secret_is_read_afresh_for_each_token(practice: Any, peer: Any, vault: Vault) -> None:
    boundary = practice.boundary()
    assert await (await boundary.engage(practice.proposal)).readiness() is None
    vault.value, practice.clock.seconds = "client-1:rotated", 1000
    assert await (await boundary.engage(practice.proposal)).readiness() is None
    first, second = fetches(peer)
    assert first.headers["authorization"] != second.headers["authorization"]


async def test_a_token_of_unsaid_life_serves_the_attempt_that_fetched_it(
    practice: Any, peer: Any, answer: Answer, vault: Vault
) -> None:
    peer.on["POST /token"] = issue(answer, life=None)
    boundary = practice.boundary()
    for _ in range(2):
        engagement = await boundary.engage(practice.proposal)
        assert await engagement.readiness() is None
        assert (await engagement.commit(practice.authorization())).effect is Effect.APPLIED
    assert carried(peer) == ["Bearer canary-token-1"] * 2 + ["Bearer canary-token-2"] * 2


@pytest.mark.requirement("CARD-02")
async def test_a_token_that_ends_before_the_commit_leaves_it_not_sent_and_is_not_renewed(
    practice: Any, peer: Any, answer: Answer, vault: Vault
) -> None:
    peer.on["POST /token"] = issue(answer, life=60)
    engagement = await practice.engage()
    assert await engagement.readiness() is None
    practice.clock.seconds = 40  # what is left is less than a commit may take
    result = await engagement.commit(practice.authorization())
    assert (result.effect, result.code) == (Effect.NOT_SENT, Code.CREDENTIALS_REJECTED)
    assert (result.requests, peer.mutations, len(fetches(peer)), vault.asked) == (0, 0, 1, 1)
    assert practice.guest.called == ["readiness"]


async def test_readiness_renews_a_token_that_would_not_outlive_the_commit(
    practice: Any, peer: Any, answer: Answer, vault: Vault
) -> None:
    peer.on["POST /token"] = issue(answer, life=60)
    boundary = practice.boundary()
    assert await (await boundary.engage(practice.proposal)).readiness() is None
    practice.clock.seconds = 20
    engagement = await boundary.engage(practice.proposal)
    assert await engagement.readiness() is None
    assert (await engagement.commit(practice.authorization())).effect is Effect.APPLIED
    assert carried(peer) == ["Bearer canary-token-1", "Bearer canary-token-2", "Bearer canary-token-2"]


@pytest.mark.requirement("GATE-27")
async def test_a_token_too_short_lived_for_a_commit_blocks(
    practice: Any, peer: Any, answer: Answer, vault: Vault
) -> None:
    peer.on["POST /token"] = issue(answer, life=30)
    assert await (await practice.engage()).readiness() is Code.READINESS_UNVERIFIABLE
    assert practice.guest.called == []


async def test_a_look_is_content_with_a_shorter_life(practice: Any, peer: Any, answer: Answer, vault: Vault) -> None:
    peer.on["POST /token"] = issue(answer, life=30)
    assert (await (await practice.engage()).observe()).finding is ObservationFinding.PRESENT


async def test_a_refused_token_is_dropped_and_the_next_attempt_fetches_another(
    practice: Any, peer: Any, answer: Answer, vault: Vault
) -> None:
    async def refused(call: Any) -> None:
        first = call.headers["authorization"].endswith("-1")
        await call.answer(answer(401 if first else 200))

    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        rejected = (await read.get("ready")).status_code == 401
        return Readiness.refuted(Code.CREDENTIALS_REJECTED) if rejected else Readiness.proven()

    peer.on["GET /ready"], practice.guest.ready = refused, ready
    boundary = practice.boundary()
    assert await (await boundary.engage(practice.proposal)).readiness() is Code.CREDENTIALS_REJECTED
    assert carried(peer) == ["Bearer canary-token-1"]
    assert await (await boundary.engage(practice.proposal)).readiness() is None
    assert carried(peer) == ["Bearer canary-token-1", "Bearer canary-token-2"]


@pytest.mark.requirement("CARD-02", "CARD-04")
async def test_a_commit_that_meets_401_is_sent_once_and_its_look_has_a_fresh_token(
    practice: Any, peer: Any, answer: Answer, vault: Vault
) -> None:
    engagement = await practice.engage()
    assert await engagement.readiness() is None
    peer.on["PUT"] = answer(401)
    result = await engagement.commit(practice.authorization())
    assert (result.effect, result.requests, peer.mutations) == (Effect.UNKNOWN, 1, 1)
    look = await engagement.observe()
    assert (look.finding, look.requests) == (ObservationFinding.PRESENT, 2)
    assert carried(peer)[-1] == "Bearer canary-token-2"
    assert engagement.requests == len(peer.calls) == 5


@pytest.mark.parametrize("declared", [2, 3])
async def test_a_second_token_in_one_attempt_comes_out_of_the_adapters_number(
    practice: Any, peer: Any, answer: Answer, vault: Vault, declared: int
) -> None:
    """Of two, readiness and commit leave none for it; of three, it is the last."""
    practice.guest.claims = {"requests_per_attempt": declared}
    engagement = await practice.engage()
    assert await engagement.readiness() is None
    peer.on["PUT"] = answer(401)
    await engagement.commit(practice.authorization())
    assert (await engagement.observe()).finding is ObservationFinding.INDETERMINATE
    assert engagement.requests == len(peer.calls) == declared + 1
    assert len(fetches(peer)) == declared - 1


@pytest.mark.requirement("CARD-14")
async def test_a_token_request_is_reserved_beside_the_adapters_and_gives_it_none_more(
    practice: Any, peer: Any, vault: Vault
) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.get("ready")
        await read.get("ready")
        return Readiness.proven()

    practice.guest.claims = {"requests_per_attempt": 1}
    boundary = practice.boundary()
    assert boundary.requests_per_attempt(practice.connection.connection_id) == 2
    assert await (await boundary.engage(practice.proposal)).readiness() is None
    assert len(peer.calls) == 2
    practice.guest.ready = ready
    assert await (await boundary.engage(practice.proposal)).readiness() is Code.ADAPTER_FAULT
    assert len(fetches(peer)) == 1
    assert len(peer.calls) == 3


async def test_a_token_another_attempt_dropped_still_serves_the_attempt_that_proved_it(
    practice: Any, peer: Any, answer: Answer, vault: Vault
) -> None:
    boundary = practice.boundary()
    engagement = await boundary.engage(practice.proposal)
    assert await engagement.readiness() is None
    peer.on["GET /ready"] = answer(401)
    await (await boundary.engage(practice.proposal)).readiness()
    assert (await engagement.commit(practice.authorization())).effect is Effect.APPLIED
    assert carried(peer)[-1] == "Bearer canary-token-1"


@pytest.mark.requirement("GATE-24")
async def test_a_token_endpoints_reply_does_not_prove_that_the_system_is_there(
    practice: Any, peer: Any, vault: Vault
) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        return Readiness.proven()

    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is Code.READINESS_UNVERIFIABLE
    assert len(fetches(peer)) == 1


async def test_one_attempt_waits_for_no_other_ones_token(
    practice: Any, peer: Any, answer: Answer, vault: Vault
) -> None:
    hanging, fine = asyncio.Event(), issue(answer)

    async def first_hangs(call: Any) -> None:
        if len(fetches(peer)) == 1:
            hanging.set()
            await asyncio.Event().wait()
        await fine(call)

    peer.on["POST /token"] = first_hangs
    boundary = practice.boundary()
    stuck = asyncio.create_task((await boundary.engage(practice.proposal)).readiness())
    await hanging.wait()
    assert await (await boundary.engage(practice.proposal)).readiness() is None
    assert not stuck.done()
    stuck.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await stuck


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
