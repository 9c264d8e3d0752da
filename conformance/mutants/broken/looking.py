"""A look finds something else than the truth."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx

from adapters.sandbox import mapping
from conformance.mutants.broken.base import BrokenSandbox
from gateway.contracts.adapter import Authorized, Basis, Claim, Observation, Query, Receipt
from gateway.contracts.references import AppointmentId
from gateway.contracts.words import ObservationFinding

_YEAR: Final = timedelta(days=365)


class LooksAtTheSlot(BrokenSandbox):
    name = "looks-at-the-slot"
    flaw = "takes a slot that is no longer free for its own booking"

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        free = await self._is_free(mapping.booking(query.request), None, read)
        finding = ObservationFinding.ABSENT if free else ObservationFinding.PRESENT
        return Observation(finding=finding, basis=Basis.BY_KEY)


class LooksAtTheKeyOnly(BrokenSandbox):
    name = "looks-at-the-key-only"
    flaw = "finds the key, and does not compare what stands under it with what was approved"

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        seen = await super().observe(query, read)
        different = seen.finding is ObservationFinding.DIFFERENT
        return replace(seen, finding=ObservationFinding.PRESENT) if different else seen


class LooksForTheTarget(BrokenSandbox):
    name = "looks-for-the-target"
    flaw = "looks for the appointment that was to be changed, and not for the change"

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        if query.request.particulars.target is None:
            return await super().observe(query, read)
        found = await self._target(query.request, read)
        finding = ObservationFinding.ABSENT if found is None else ObservationFinding.PRESENT
        return Observation(finding=finding, basis=Basis.BY_KEY)


class FailureIsAbsence(BrokenSandbox):
    name = "failure-is-absence"
    flaw = "takes every reply that is no success for 'not here'"

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        reply = await read.get("/appointments", params={"key": query.native_key()})
        if reply.is_success:
            return mapping.observation(reply, query.request)
        return Observation(finding=ObservationFinding.ABSENT, basis=Basis.BY_KEY)


class NotFoundIsAbsence(BrokenSandbox):
    name = "not-found-is-absence"
    flaw = "takes every 404 for 'not here', whoever says it"

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        reply = await read.get("/appointments", params={"key": query.native_key()})
        if reply.status_code != 404:
            return mapping.observation(reply, query.request)
        return Observation(finding=ObservationFinding.ABSENT, basis=Basis.BY_KEY)


class NoiseIsAbsence(BrokenSandbox):
    name = "noise-is-absence"
    flaw = "reads a body that it cannot parse as an empty list"

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        reply = await read.get("/appointments", params={"key": query.native_key()})
        with contextlib.suppress(ValueError):
            reply.json()
            return mapping.observation(reply, query.request)
        return Observation(finding=ObservationFinding.ABSENT, basis=Basis.BY_KEY)


class LooksIntoItsMemory(BrokenSandbox):
    name = "looks-into-its-memory"
    flaw = "finds what it remembers to have been told, and not what the system holds"

    def __init__(self) -> None:
        self._made: set[AppointmentId] = set()

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        receipt = await super().commit(authorized, write)
        if receipt.claim is Claim.APPLIED:
            self._made.add(authorized.request.key)
        return receipt

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        await read.get("/health")
        made = query.request.key in self._made
        finding = ObservationFinding.PRESENT if made else ObservationFinding.ABSENT
        return Observation(finding=finding, basis=Basis.BY_KEY)


class LooksAtACopy(BrokenSandbox):
    name = "looks-at-a-copy"
    flaw = "looks at a copy of last year, and says so"

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        await super().observe(query, read)
        return Observation(finding=ObservationFinding.ABSENT, basis=Basis.BY_KEY, as_of=datetime.now(UTC) - _YEAR)
