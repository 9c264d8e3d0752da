"""The changed sandboxes keep less than the usual one, and an observer sees it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import pytest

from adapters.sandbox.adapter import SandboxAdapter
from conformance.mutants import premises
from conformance.mutants.broken.asking import HoldsTheSlot
from gateway.contracts.connection import CredentialUse, Scheme
from gateway.contracts.failures import Code
from gateway.contracts.words import Effect
from gateway.testing import START, AdapterHarness, Premises, make_connection, make_request

DAY = timedelta(days=1)


def harness(system: Premises, adapter: SandboxAdapter | None = None) -> AdapterHarness:
    credential = CredentialUse(scheme=Scheme.BEARER, name="vendor")
    connection = make_connection(system.base_url, credential=credential, adapter="sandbox")
    return AdapterHarness(adapter or SandboxAdapter(), make_request(connection), secret=system.secrets["vendor"])


async def standing(system: Premises) -> int:
    return len(await system.observer.appointments(START, START + DAY))


@pytest.mark.parametrize(
    ("serving", "ended", "count"),
    [
        (premises.sharing, (Effect.APPLIED, Code.COMMITTED), 2),
        (premises.repeating, (Effect.REFUSED, Code.SLOT_TAKEN), 1),
    ],
)
async def test_a_slot_may_be_shared_where_it_is_said_and_only_there(
    serving: Callable[[], AbstractAsyncContextManager[Premises]], ended: tuple[Effect, Code], count: int
) -> None:
    async with serving() as system, harness(system) as first, harness(system) as second:
        assert await first.readiness() is None and await second.readiness() is None
        await first.commit()
        result = await second.commit()
        assert (result.effect, result.code) == ended
        assert await standing(system) == count


async def test_a_key_may_write_twice_where_it_is_said() -> None:
    async with premises.repeating() as system, harness(system) as first, first.again() as again:
        assert await first.readiness() is None and await again.readiness() is None
        assert (await first.commit()).effect is Effect.APPLIED
        assert (await again.commit()).code is Code.SLOT_TAKEN  # not a replay: the key was forgotten
    async with premises.sharing() as system, harness(system) as first, first.again() as again:
        assert await first.readiness() is None and await again.readiness() is None
        assert (await first.commit()).effect is (await again.commit()).effect is Effect.APPLIED
        assert await standing(system) == 1


async def test_a_read_holds_the_slot_for_whoever_asks_so_and_for_nobody_else() -> None:
    async with premises.holding() as system:
        async with harness(system) as honest:
            assert await honest.readiness() is None
            assert await standing(system) == 0
        async with harness(system, HoldsTheSlot()) as holding:
            assert await holding.readiness() is None
        (held,) = await system.observer.appointments(START, START + DAY)
        assert dataclasses.astuple(held)[1:3] == (START, START + timedelta(minutes=30))
