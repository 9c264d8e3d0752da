"""Wrappers that say something else about a commit than a look found."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import httpx

from conformance.mutants.wrapper import Wrapper
from gateway.contracts.adapter import Adapter, Basis, Descriptor, Observation, Query
from gateway.contracts.references import AppointmentId
from gateway.contracts.words import ObservationFinding


class _Observing(Wrapper):
    """Wrappers around a look; none where observation is declared impossible."""

    @classmethod
    def applies(cls, claims: Descriptor) -> bool:
        return claims.observation is not Basis.NONE


class _Finding(_Observing):
    """Looks, and says one thing."""

    finding: ObservationFinding

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        return replace(await self._adapter.observe(query, read), finding=self.finding)


class AlwaysPresent(_Finding):
    name = "always-present"
    flaw = "looks, and always says PRESENT"
    finding = ObservationFinding.PRESENT


class AlwaysAbsent(_Finding):
    name = "always-absent"
    flaw = "looks, and always says ABSENT"
    finding = ObservationFinding.ABSENT


class AlwaysDifferent(_Finding):
    name = "always-different"
    flaw = "looks, and always says DIFFERENT"
    finding = ObservationFinding.DIFFERENT


class NeverFinds(_Finding):
    name = "never-finds"
    flaw = "looks, and always says INDETERMINATE"
    finding = ObservationFinding.INDETERMINATE


class UnclearIsAbsent(_Observing):
    name = "unclear-is-absent"
    flaw = "says ABSENT where a look brought nothing that it understands"

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        with contextlib.suppress(Exception):
            seen = await self._adapter.observe(query, read)
            if seen.finding is not ObservationFinding.INDETERMINATE:
                return seen
        return Observation(finding=ObservationFinding.ABSENT, basis=Basis.BY_KEY)


class LookRemembered(_Observing):
    name = "look-remembered"
    flaw = "knocks at the system, and says what an earlier look for the same key found"

    def __init__(self, adapter: Adapter) -> None:
        super().__init__(adapter)
        self._seen: dict[AppointmentId, Observation] = {}

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        if (remembered := self._seen.get(query.request.key)) is not None:
            await read.get("")
            return remembered
        seen = self._seen[query.request.key] = await self._adapter.observe(query, read)
        return seen


class BasisUnderstated(_Observing):
    name = "basis-understated"
    flaw = "declares to look by key, and then says that it merely found something alike"

    @classmethod
    def applies(cls, claims: Descriptor) -> bool:
        return claims.observation is Basis.BY_KEY

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        return replace(await self._adapter.observe(query, read), basis=Basis.MATCHING)
