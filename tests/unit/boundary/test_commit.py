"""A commit: once, after readiness, under an authorization that nobody spent; and what of it comes home."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway.config import Bounds
from gateway.contracts.adapter import Authorized, Commitment, Receipt, version_digest
from gateway.contracts.failures import Code
from gateway.contracts.words import Effect
from gateway.errors import InvariantViolation

Answer = Callable[..., bytes]


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
