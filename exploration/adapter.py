"""The adapter through which a world's gateway reaches its external system, and how it may misbehave.

Owns: three requests, one for each phase; each fault is something that an adapter's author could write. Refuses
nothing: what an adapter must not do is the boundary's to prevent.
"""

from __future__ import annotations

from typing import Any, Final

import httpx

from exploration.ports import GOOD, Port, Turnstile
from exploration.practice import CANARY
from gateway.contracts.adapter import (
    Authorized,
    Basis,
    Descriptor,
    Exclusivity,
    Idempotency,
    Observation,
    Query,
    Readiness,
    Receipt,
    Request,
    TargetState,
)
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from gateway.kit.relay import relay_seconds

SETTLING_SECONDS: Final = 30
SYSTEM: Final = "system"
"""The setting that names which of the vendor's systems a connection leads to."""

READINESS: Final = Port("adapter.readiness", ("raises", "nonsense"))
COMMIT: Final = Port(
    "adapter.commit",
    ("raises-first", "raises-after", "sends-twice", "sends-nothing", "claims-unsent", "nonsense", "hangs-after"),
    ("raises-first", "sends-twice"),
)
OBSERVE: Final = Port("adapter.observe", ("raises",))

_REFUSALS: Final = {
    409: Receipt.refused(Code.SLOT_TAKEN),
    410: Receipt.refused(Code.DUPLICATE_KEY),
    412: Receipt.refused(Code.TARGET_CHANGED),
    422: Receipt.refused(Code.EXTERNAL_INVALID),
    429: Receipt.refused(Code.EXTERNAL_THROTTLED),
    503: Receipt.refused(Code.EXTERNAL_UNAVAILABLE),
}
_READS: Final = {
    401: Code.CREDENTIALS_REJECTED,
    403: Code.EXTERNAL_FORBIDDEN,
    503: Code.EXTERNAL_UNAVAILABLE,
}


def system_of(connection: Connection) -> str:
    """Which system this connection leads to."""
    return str(connection.settings.get(SYSTEM, "first"))


class VendorError(Exception):
    """What an adapter's own library raises, vendor's words included."""

    def __init__(self) -> None:
        super().__init__(f"{CANARY}: the appointment of a patient")


class ExploredAdapter:
    """Implements `gateway.contracts.adapter.Adapter` for the world's peer."""

    def __init__(self, turnstile: Turnstile) -> None:
        self._turnstile = turnstile

    def describe(self, connection: Connection) -> Descriptor:
        return Descriptor(
            adapter="explored",
            operations=tuple(Operation),
            idempotency=Idempotency.LOOKUP,
            exclusivity=Exclusivity.NONE,
            observation=Basis.BY_KEY,
            relay_seconds=relay_seconds(connection),
            settling_seconds=SETTLING_SECONDS,
            requests_per_attempt=4,
        )

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        chosen = await self._turnstile.pass_through(READINESS)
        if chosen == "raises":
            raise VendorError
        if chosen == "nonsense":
            answer: Any = CANARY
            return answer  # type: ignore[no-any-return]  # the point
        named = {"system": system_of(request.connection)}
        if request.operation is not Operation.BOOK:
            named["key"] = request.target_key()
        reply = await read.get("/ready", params=named)
        if reply.status_code != 200:
            return Readiness.refuted(_READS.get(reply.status_code, Code.EXTERNAL_UNAVAILABLE))
        said = reply.json()
        if request.operation is not Operation.BOOK and not request.is_approved_version(said["version"]):
            return Readiness.proven(TargetState.CHANGED)
        return Readiness.proven(TargetState.OPEN if said["open"] else TargetState.TAKEN)

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        chosen = await self._turnstile.pass_through(COMMIT)
        if chosen == "raises-first":
            raise VendorError
        if chosen == "sends-nothing":
            return Receipt.unknown()
        if chosen == "claims-unsent":
            return Receipt.applied(identifier=CANARY, version="1")
        reply = await self._send(authorized, write)
        if chosen == "sends-twice":
            reply = await self._send(authorized, write)
        if chosen == "raises-after":
            raise VendorError
        if chosen == "hangs-after":
            await self._turnstile.for_ever()
        answer: Any = CANARY if chosen == "nonsense" else self._receipt(reply)
        return answer  # type: ignore[no-any-return]  # the point of one fault

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        if await self._turnstile.pass_through(OBSERVE) != GOOD:
            raise VendorError
        named = {"key": query.native_key(), "system": system_of(query.request.connection)}
        reply = await read.get("/appointments", params=named)
        said = reply.json() if reply.status_code == 200 else {}
        if "found" not in said:
            return Observation(finding=ObservationFinding.INDETERMINATE, basis=Basis.BY_KEY)
        finding = ObservationFinding.PRESENT if said["found"] else ObservationFinding.ABSENT
        return Observation(finding=finding, basis=Basis.BY_KEY, version=said.get("version"))

    async def _send(self, authorized: Authorized, write: httpx.AsyncClient) -> httpx.Response:
        request = authorized.request
        content = {
            "key": authorized.native_key(),
            "patient": request.identifiers[request.particulars.patient],
            "start": request.particulars.start.isoformat(),
        }
        headers = {
            "X-Native-Key": authorized.native_key(),
            "X-System": system_of(request.connection),
            "X-Relay-Seconds": str(relay_seconds(request.connection)),
        }
        if request.operation is Operation.BOOK:
            return await write.post("/appointments", json=content, headers=headers)
        path = f"/appointments/{request.target_key()}"
        if request.operation is Operation.RESCHEDULE:
            return await write.put(path, json=content, headers=headers)
        return await write.post(f"{path}/cancel", json=content, headers=headers)

    @staticmethod
    def _receipt(reply: httpx.Response) -> Receipt:
        if reply.status_code in (200, 201, 202):
            try:
                version = reply.json()["version"]
            except (ValueError, KeyError, TypeError):
                return Receipt.unknown()
            return Receipt.applied(identifier=f"{CANARY}-{version}", version=version)
        return _REFUSALS.get(reply.status_code, Receipt.unknown(Code.EXTERNAL_ERROR))
