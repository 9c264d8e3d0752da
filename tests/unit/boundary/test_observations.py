"""What an observation may say, and what is made of one that is none."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from gateway.boundary.engagement import MAX_TEXT_BYTES, Look
from gateway.config import Bounds
from gateway.contracts.adapter import Basis, Idempotency, Observation, Query, version_digest
from gateway.contracts.words import ObservationFinding

AT = datetime(2031, 3, 4, 10, 0, tzinfo=timezone(timedelta(hours=1)))
NOTHING = {"finding": ObservationFinding.INDETERMINATE, "basis": Basis.NONE, "as_of": None, "version": None}


def seen(**changes: Any) -> Observation:
    known: dict[str, Any] = {"finding": ObservationFinding.ABSENT, "basis": Basis.BY_KEY}
    return Observation(**(known | changes))


async def looked(practice: Any, observation: Any) -> Look:
    async def look(query: Query, read: httpx.AsyncClient) -> Any:
        await read.get("event")
        return observation

    practice.guest.look = look
    look_taken: Look = await (await practice.engage()).observe()
    return look_taken


@pytest.mark.parametrize("version", [None, '"7"', "x" * MAX_TEXT_BYTES])
async def test_a_sound_observation_keeps_its_finding_and_its_age_in_utc(practice: Any, version: str | None) -> None:
    look = await looked(practice, seen(as_of=AT, version=version))
    digest = None if version is None else version_digest(version)
    assert look == Look(finding=ObservationFinding.ABSENT, basis=Basis.BY_KEY, as_of=AT, version=digest, requests=1)
    assert look.as_of is not None
    assert look.as_of.tzinfo is UTC


@pytest.mark.requirement("FAIL-16")
async def test_a_look_is_told_since_when_it_can_find_anything(practice: Any) -> None:
    """What is older than the proposal is not the commit's; what is not may be, whatever it is called by now."""
    told: list[Query] = []

    async def look(query: Query, read: httpx.AsyncClient) -> Observation:
        told.append(query)
        await read.get("event")
        return seen()

    practice.guest.look = look
    await (await practice.engage()).observe()
    assert [query.since for query in told] == [practice.proposal.created_at]


class Subclassed(datetime):
    pass


class Told(Observation):
    pass


@pytest.mark.parametrize(
    "observation",
    [
        None,
        "ABSENT",
        object.__new__(Observation),
        Told(finding=ObservationFinding.ABSENT, basis=Basis.BY_KEY),
        seen(finding="ABSENT"),
        seen(basis="by-key"),
        seen(version=7),
        seen(version="\ud800"),
        seen(version="x" * (MAX_TEXT_BYTES + 1)),
        seen(as_of="2031-03-04T09:00:00Z"),
        seen(as_of=AT.replace(tzinfo=None)),
        seen(as_of=Subclassed(2031, 3, 4, 9, tzinfo=UTC)),
    ],
)
async def test_an_observation_that_is_none_is_indeterminate(practice: Any, observation: Any) -> None:
    assert await looked(practice, observation) == Look(**NOTHING, requests=1)


async def test_a_system_that_cannot_be_observed_is_not_asked(practice: Any, peer: Any) -> None:
    practice.guest.claims = {"observation": Basis.NONE, "idempotency": Idempotency.LOOKUP}
    assert await looked(practice, seen()) == Look(**NOTHING)
    assert peer.calls == []


async def test_a_look_that_is_late_is_indeterminate(practice: Any, hurried: Bounds) -> None:
    async def look(query: Query, read: httpx.AsyncClient) -> Observation:
        await asyncio.Event().wait()
        return seen()

    practice.bounds, practice.guest.look = hurried, look
    async with asyncio.timeout(30):
        assert await (await practice.engage()).observe() == Look(**NOTHING)


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
