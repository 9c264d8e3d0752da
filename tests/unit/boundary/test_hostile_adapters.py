"""Adapters that lie, hang, retry, flood, swallow cancellation or raise nonsense: each contained (I12)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import fields, replace
from typing import Any

import httpx
import pytest

from gateway.boundary.rules import MAX_BODY_BYTES
from gateway.config import Bounds
from gateway.contracts.adapter import (
    Authorized,
    Basis,
    Claim,
    Commitment,
    Descriptor,
    Idempotency,
    IdentifierAmbiguousError,
    IdentifierMissingError,
    Observation,
    Proof,
    Query,
    Readiness,
    Receipt,
    Request,
    TargetState,
    version_digest,
)
from gateway.contracts.connection import CredentialUse, Limits, Scheme
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.words import Effect, ObservationFinding
from gateway.errors import InvariantViolation

Start = Callable[..., Awaitable[Any]]
Answer = Callable[..., bytes]

NONSENSE = [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, RecursionError]


def hurry(practice: Any, hurried: Bounds) -> None:
    practice.bounds = hurried
    short = Limits.model_construct(**(Limits().model_dump() | {"commit_seconds": 0.3}))
    practice.connection = practice.connection.model_copy(update={"limits": short})


# -- writing where it may not ---------------------------------------------------------------------------


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


# -- hanging, cancelling, raising -----------------------------------------------------------------------


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


# -- floods and headers ---------------------------------------------------------------------------------


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


# -- what readiness must prove --------------------------------------------------------------------------

PROVEN, REFUTED, UNVERIFIABLE = Proof.PROVEN, Proof.REFUTED, Proof.UNVERIFIABLE


def seen(
    available: Proof = PROVEN,
    credentials: Proof = PROVEN,
    authorised: Proof = PROVEN,
    target: TargetState = TargetState.OPEN,
) -> Readiness:
    return Readiness(available=available, credentials=credentials, authorised=authorised, target=target)


@pytest.mark.requirement("GATE-24", "GATE-25", "GATE-26", "GATE-27")
@pytest.mark.parametrize(
    ("answered", "code"),
    [
        (seen(), None),
        (seen(available=REFUTED), Code.EXTERNAL_UNAVAILABLE),
        (seen(credentials=REFUTED), Code.CREDENTIALS_REJECTED),
        (seen(authorised=REFUTED), Code.EXTERNAL_FORBIDDEN),
        (seen(target=TargetState.TAKEN), Code.SLOT_TAKEN),
        (seen(target=TargetState.CHANGED), Code.TARGET_CHANGED),
        (seen(target=TargetState.ABSENT), Code.TARGET_NOT_FOUND),
        (seen(available=UNVERIFIABLE), Code.READINESS_UNVERIFIABLE),
        (seen(credentials=UNVERIFIABLE), Code.READINESS_UNVERIFIABLE),
        (seen(authorised=UNVERIFIABLE), Code.READINESS_UNVERIFIABLE),
        (seen(target=TargetState.UNVERIFIABLE), Code.READINESS_UNVERIFIABLE),
        (Readiness.refuted(Code.CREDENTIALS_REJECTED), Code.CREDENTIALS_REJECTED),
        (Readiness.refuted(Code.EXTERNAL_FORBIDDEN), Code.EXTERNAL_FORBIDDEN),
    ],
)
async def test_each_proof_is_proven_or_blocks_with_its_code(
    practice: Any, answered: Readiness, code: Code | None
) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.get("ready")
        return answered

    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is code


@pytest.mark.requirement("CACHE-01", "GATE-24")
async def test_readiness_that_was_remembered_proves_nothing(practice: Any, peer: Any) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        return Readiness.proven()

    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is Code.READINESS_UNVERIFIABLE
    assert peer.calls == []


@pytest.mark.requirement("CACHE-01")
@pytest.mark.parametrize("swallowing", [True, False])
async def test_a_cached_reply_is_no_evidence(practice: Any, peer: Any, answer: Answer, swallowing: bool) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        with contextlib.suppress(httpx.TransportError if swallowing else ZeroDivisionError):
            await read.get("ready")
        return Readiness.proven()

    peer.on["GET"] = answer(200, Age="30")
    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is Code.REPLY_CACHED
    assert peer.calls[0].headers["cache-control"] == "no-cache, no-store"


@pytest.mark.requirement("GATE-24", "FAIL-19")
async def test_a_peer_that_cannot_be_reached_is_not_ready(practice: Any, peer: Any, hurried: Bounds) -> None:
    async def reset(call: Any) -> None:
        call.reset()

    peer.on["GET"] = reset
    assert await (await practice.engage()).readiness() is Code.CONNECTION_LOST


async def test_an_identifier_that_the_practice_never_bound_is_the_practices_gap(practice: Any) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.get(request.identifiers[request.particulars.patient])
        return Readiness.proven()

    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is Code.PARTICULARS_MISSING


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize(
    ("error", "code"),
    [(IdentifierMissingError, Code.PARTICULARS_MISSING), (IdentifierAmbiguousError, Code.PARTICULARS_AMBIGUOUS)],
)
async def test_an_identifier_that_names_nobody_or_several_blocks(
    practice: Any, peer: Any, error: type[Exception], code: Code
) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.get("people")
        raise error

    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is code
    assert peer.mutations == 0


@pytest.mark.requirement("GATE-25")
async def test_a_credential_that_cannot_be_had_blocks_and_sends_nothing(practice: Any, peer: Any) -> None:
    use = CredentialUse(scheme=Scheme.BEARER, name="clinic-calendar")
    practice.connection = practice.connection.model_copy(update={"credential": use})
    assert await (await practice.engage()).readiness() is Code.CREDENTIALS_REJECTED
    assert peer.connections == 0


# -- commit, binding, observation -----------------------------------------------------------------------


async def test_what_readiness_learnt_reaches_commit_and_nothing_else(practice: Any, peer: Any, answer: Answer) -> None:
    learnt: list[object] = []

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        learnt.append(authorized.prepared)
        await write.put("event")
        return Receipt.applied()

    peer.on["GET"] = answer(200, ETag='"7"')
    practice.guest.act = act
    await practice.commit()
    assert learnt == ['"7"']


async def test_a_commit_happens_once_and_only_after_readiness(practice: Any, peer: Any) -> None:
    engagement = await practice.engage()
    with pytest.raises(InvariantViolation):
        await engagement.commit(practice.authorization())
    assert await engagement.readiness() is None
    authorization = practice.authorization()
    assert (await engagement.commit(authorization)).effect is Effect.APPLIED
    assert await engagement.readiness() is None
    with pytest.raises(InvariantViolation):
        await engagement.commit(practice.authorization())
    assert peer.mutations == 1


@pytest.mark.requirement("GATE-01")
async def test_a_spent_authorization_commits_nothing(practice: Any, peer: Any) -> None:
    authorization = practice.authorization()
    authorization.spend(practice.proposal.proposal_digest, practice.clock.monotonic())
    engagement = await practice.engage()
    assert await engagement.readiness() is None
    with pytest.raises(InvariantViolation):
        await engagement.commit(authorization)
    assert (peer.mutations, practice.guest.called) == (0, ["readiness"])


@pytest.mark.requirement("CARD-15")
async def test_vendor_identifiers_go_home_and_nowhere_else(practice: Any, peer: Any, answer: Answer) -> None:
    peer.on["PUT"] = answer(201, ETag='"canary-version"')
    engagement = await practice.engage()
    assert await engagement.readiness() is None
    result = await engagement.commit(practice.authorization())
    (binding,) = practice.registry.bound
    assert (binding.identifier, binding.version) == ("vendor-1", '"canary-version"')
    assert binding.appointment == engagement.reference
    assert (binding.connection, binding.proposal) == (practice.connection, practice.proposal)
    assert result.version == version_digest('"canary-version"')
    assert not result.binding_outstanding
    assert "vendor-1" not in repr(result)
    assert "canary" not in repr(result)


@pytest.mark.requirement("CARD-15")
@pytest.mark.parametrize("error", [RuntimeError, SystemExit, asyncio.CancelledError, None])
async def test_a_binding_that_fails_leaves_the_effect_and_says_so(
    practice: Any, error: type[BaseException] | None
) -> None:
    async def failing() -> None:
        if error is None:
            await asyncio.Event().wait()
        else:
            raise error("canary")

    practice.registry.binding = failing
    practice.bounds = Bounds.model_construct(**(Bounds().model_dump() | {"evidence_seconds": 0.1}))
    result = await practice.commit()
    assert (result.effect, result.binding_outstanding) == (Effect.APPLIED, True)


@pytest.mark.requirement("CARD-15")
async def test_nothing_goes_home_unless_the_commit_is_applied(practice: Any, peer: Any, answer: Answer) -> None:
    peer.on["PUT"] = answer(409)
    await practice.commit()
    assert practice.registry.bound == []


@pytest.mark.requirement("CARD-12")
async def test_a_relays_acceptance_is_not_a_commit(practice: Any) -> None:
    practice.guest.claims = {"commitment": Commitment.RELAYED, "relay_seconds": 60}
    result = await practice.commit()
    assert (result.effect, result.code) == (Effect.UNKNOWN, Code.ACCEPTED_PENDING)
    assert practice.registry.bound == []


async def test_an_observation_is_reduced_to_bounded_words(practice: Any) -> None:
    look = await (await practice.engage()).observe()
    assert (look.finding, look.basis, look.requests) == (ObservationFinding.PRESENT, Basis.BY_KEY, 1)
    assert look.version == version_digest('"1"')


@pytest.mark.parametrize(
    ("declared", "basis"),
    [
        (Basis.NONE, Basis.BY_KEY),
        (Basis.MATCHING, Basis.BY_KEY),
        (Basis.BY_KEY, Basis.NONE),
    ],
)
async def test_an_observation_beyond_the_descriptor_is_indeterminate(
    practice: Any, declared: Basis, basis: Basis
) -> None:
    async def look(query: Query, read: httpx.AsyncClient) -> Observation:
        await read.get("event")
        return Observation(finding=ObservationFinding.ABSENT, basis=basis)

    practice.guest.claims = {"observation": declared, "idempotency": Idempotency.LOOKUP}
    practice.guest.look = look
    assert (await (await practice.engage()).observe()).finding is ObservationFinding.INDETERMINATE


async def test_an_observation_without_a_reply_is_indeterminate(practice: Any) -> None:
    async def look(query: Query, read: httpx.AsyncClient) -> Observation:
        return Observation(finding=ObservationFinding.ABSENT, basis=Basis.BY_KEY)

    practice.guest.look = look
    assert (await (await practice.engage()).observe()).finding is ObservationFinding.INDETERMINATE


async def test_a_cancelled_commit_cuts_the_wire_and_stays_cancelled(practice: Any, peer: Any) -> None:
    arrived = asyncio.Event()

    async def hold(call: Any) -> None:
        arrived.set()
        await asyncio.Event().wait()

    peer.on["PUT"] = hold
    engagement = await practice.engage()
    assert await engagement.readiness() is None
    committing = asyncio.create_task(engagement.commit(practice.authorization()))
    await arrived.wait()
    committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await committing
    assert peer.mutations == 1
