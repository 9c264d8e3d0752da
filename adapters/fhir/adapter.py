"""The FHIR adapter: a sealed connection's dialect chooses who speaks.

Owns: the names of the dialects, and that none of them sees an identifier that is still a search.
Refuses: a dialect that it does not know, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

import httpx

from adapters.fhir import references
from adapters.fhir.operation import IheBook, MedplumBook
from adapters.fhir.oracle import Oracle
from adapters.fhir.transaction import Transaction
from gateway.contracts.adapter import (
    Adapter,
    Authorized,
    Basis,
    Descriptor,
    Observation,
    Query,
    Readiness,
    Receipt,
    Request,
)
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Refusal
from gateway.contracts.words import ObservationFinding
from gateway.kit.reading import not_ready
from gateway.kit.relay import relay_seconds

DIALECTS: Final[Mapping[str, Adapter]] = MappingProxyType(
    {
        "standard": Transaction(),
        "transaction": Transaction(),
        "oracle": Oracle(),
        "ihe-book": IheBook(),
        "medplum": MedplumBook(),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedUp:
    """What readiness hands on where it looked identifiers up: the request without searches, and the dialect's own."""

    request: Request = field(repr=False)
    prepared: Any = field(default=None, repr=False)


class FhirAdapter:
    """Implements `Adapter` (CARD-01). Stateless; one serves all connections."""

    def describe(self, connection: Connection) -> Descriptor:
        """Raises ValueError for a dialect that there is not, or types that are not looked up."""
        described, searches = _dialect(connection).describe(connection), references.searches(connection)
        more = 2 * len(searches)  # in readiness and in the look
        return described.model_copy(
            update={
                "relay_seconds": relay_seconds(connection),
                "safe_posts": (*described.safe_posts, *searches),
                "requests_per_attempt": described.requests_per_attempt + more,
            }
        )

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        try:
            literal = await references.literal(request, read)
        except Refusal as refusal:
            return not_ready(refusal.code)
        seen = await _dialect(request.connection).readiness(literal, read)
        return seen if literal is request else replace(seen, prepared=LookedUp(request=literal, prepared=seen.prepared))

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        """Identifiers are those that readiness looked up: between the two phases nobody is asked again."""
        known = authorized.prepared
        if isinstance(known, LookedUp):
            authorized = Authorized(request=known.request, prepared=known.prepared)
        return await _dialect(authorized.request.connection).commit(authorized, write)

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        try:
            literal = await references.literal(query.request, read)
        except Refusal:
            return Observation(finding=ObservationFinding.INDETERMINATE, basis=Basis.BY_KEY)
        return await _dialect(query.request.connection).observe(replace(query, request=literal), read)


def _dialect(connection: Connection) -> Adapter:
    spoken = DIALECTS.get(connection.dialect)
    if spoken is None:
        raise ValueError(f"adapter fhir speaks {', '.join(DIALECTS)}; the connection's dialect is none of them")
    return spoken
