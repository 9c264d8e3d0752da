"""Two adapters that no suite may let pass: one that does nothing, and one that always claims success."""

from __future__ import annotations

from typing import ClassVar

import httpx

from gateway.contracts.adapter import (
    Authorized,
    Basis,
    Descriptor,
    Exclusivity,
    Idempotency,
    Observation,
    Proof,
    Query,
    Readiness,
    Receipt,
    Request,
    TargetState,
)
from gateway.contracts.connection import Connection
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding


class _Control:
    name: ClassVar[str]
    flaw: ClassVar[str]

    def describe(self, connection: Connection) -> Descriptor:
        return Descriptor(
            adapter="sandbox",
            operations=tuple(Operation),
            idempotency=Idempotency.UNIQUE,
            exclusivity=Exclusivity.ENFORCED,
            observation=Basis.BY_KEY,
        )


class NullAdapter(_Control):
    """Asks nothing, sends nothing, and says that it does not know."""

    name = "null"
    flaw = "does nothing at all"

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        unknown = Proof.UNVERIFIABLE
        return Readiness(available=unknown, credentials=unknown, authorised=unknown, target=TargetState.UNVERIFIABLE)

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        return Receipt.unknown()

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        return Observation(finding=ObservationFinding.INDETERMINATE, basis=Basis.BY_KEY)


class AlwaysSuccess(_Control):
    """Knocks, so that the boundary has a reply, and claims that all went well."""

    name = "always-success"
    flaw = "claims success for everything, and sends nothing"

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.get("")
        return Readiness.proven()

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        return Receipt.applied(identifier="1", version="1")

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        await read.get("")
        return Observation(finding=ObservationFinding.PRESENT, basis=Basis.BY_KEY)
