"""What readiness must prove, afresh, before anything is committed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway.config import Bounds
from gateway.contracts.adapter import (
    IdentifierAmbiguousError,
    IdentifierMissingError,
    Proof,
    Readiness,
    Request,
    TargetState,
)
from gateway.contracts.connection import CredentialUse, Scheme
from gateway.contracts.failures import Code

Answer = Callable[..., bytes]
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
