"""Access tokens through the real boundary: who fetches one, when, how often, and how long it serves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from gateway.contracts.adapter import Readiness, Request
from gateway.contracts.failures import Code
from gateway.contracts.words import Effect, ObservationFinding
from tests.unit.boundary.conftest import Vault, carried, fetches, issue

Answer = Callable[..., bytes]


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
