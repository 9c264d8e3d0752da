"""The FHIR adapter: a sealed connection's dialect chooses who speaks.

Owns: the names of the dialects. Refuses: a dialect that it does not know, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import httpx

from adapters.fhir.operation import IheBook, MedplumBook
from adapters.fhir.oracle import Oracle
from adapters.fhir.transaction import Transaction
from gateway.contracts.adapter import Adapter, Authorized, Descriptor, Observation, Query, Readiness, Receipt, Request
from gateway.contracts.connection import Connection

DIALECTS: Final[Mapping[str, Adapter]] = MappingProxyType(
    {
        "standard": Transaction(),
        "transaction": Transaction(),
        "oracle": Oracle(),
        "ihe-book": IheBook(),
        "medplum": MedplumBook(),
    }
)


class FhirAdapter:
    """Implements `Adapter` (CARD-01). Stateless; one serves all connections."""

    def describe(self, connection: Connection) -> Descriptor:
        """Raises ValueError for a dialect that there is not."""
        return _dialect(connection).describe(connection)

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        return await _dialect(request.connection).readiness(request, read)

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        return await _dialect(authorized.request.connection).commit(authorized, write)

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        return await _dialect(query.request.connection).observe(query, read)


def _dialect(connection: Connection) -> Adapter:
    spoken = DIALECTS.get(connection.dialect)
    if spoken is None:
        raise ValueError(f"adapter fhir speaks {', '.join(DIALECTS)}; the connection's dialect is none of them")
    return spoken
