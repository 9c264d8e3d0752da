"""The sandbox's adapter, and the model for others: what to ask, in which order, and nothing else.

Owns: the requests that readiness, commit and observe make.
Refuses: to send anything while an identifier is missing, to send twice, and to read meaning into a reply:
every word of the sandbox's that is understood stands in `mapping.py` and `replies.py`.
"""

from __future__ import annotations

import httpx

from adapters.sandbox import mapping
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
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation
from gateway.kit.paths import segment
from gateway.kit.reading import not_ready, said


class SandboxAdapter:
    """Implements `gateway.contracts.adapter.Adapter`, without state of its own (CARD-01)."""

    def describe(self, connection: Connection) -> Descriptor:
        return Descriptor(
            adapter="sandbox",
            operations=tuple(Operation),
            idempotency=Idempotency.UNIQUE,
            exclusivity=Exclusivity.ENFORCED,
            observation=Basis.BY_KEY,
            requests_per_attempt=6,  # health, capabilities, target, slots; the commit; one observation
        )

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        """Prove by reads alone that the commit can be made as approved (GATE-24 to GATE-27).

        `prepared` is the target appointment, for its version. Raises KeyError for a missing identifier.
        """
        approved = mapping.booking(request)
        try:
            said(mapping.Health, await read.get("/health"))
            granted = said(mapping.Capabilities, await read.get("/capabilities"))
            if "write" not in granted.permissions:
                return Readiness.refuted(Code.EXTERNAL_FORBIDDEN)
            target = await self._target(request, read)
            if request.operation is not Operation.BOOK:
                state = TargetState.ABSENT if target is None else mapping.target_state(target, request)
                if state is not TargetState.OPEN:
                    return Readiness.proven(state)
            if request.operation is not Operation.CANCEL and not await self._is_free(approved, target, read):
                return Readiness.proven(TargetState.TAKEN)
            return Readiness.proven(prepared=target)
        except Refusal as refusal:
            return not_ready(refusal.code)

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        """Send the one mutating request, with the native key that makes it findable (ADAPT-05).

        A change names the approved version. Raises ValueError where readiness found no such target.
        """
        request = authorized.request
        approved = mapping.content(mapping.booking(request))
        headers = {"Idempotency-Key": authorized.native_key()}
        if request.operation is Operation.BOOK:
            reply = await write.post("/appointments", json=approved, headers=headers)
        else:
            target = authorized.prepared
            if not isinstance(target, mapping.Appointment) or not request.is_approved_version(target.version):
                raise ValueError("a change needs the approved version from readiness")
            headers["If-Match"] = f'"{target.version}"'
            if request.operation is Operation.RESCHEDULE:
                reply = await write.put(_path(target.id), json=approved, headers=headers)
            else:
                reason = {"reason": approved["reason"]}
                reply = await write.post(f"{_path(target.id)}/cancel", json=reason, headers=headers)
        return mapping.receipt(reply, request)

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        """Look for the write by its own key; never by likeness."""
        mapping.booking(query.request)
        reply = await read.get("/appointments", params={"key": query.native_key()})
        return mapping.observation(reply, query.request)

    async def _target(self, request: Request, read: httpx.AsyncClient) -> mapping.Appointment | None:
        """The appointment that the request names: by the bound identifier, or by the key that booked it.

        What stands under a bound identifier without that key is another appointment, and none of ours to change.
        """
        named = request.particulars.target
        if named is None:
            return None
        key, identifier = request.target_key(), request.identifiers.get(named.appointment)
        if identifier is None:
            return mapping.found(await read.get("/appointments", params={"key": key}), key)
        reply = await read.get(_path(identifier))
        return None if mapping.is_absent(reply) else mapping.shown(reply, identifier, key)

    async def _is_free(
        self, approved: mapping.Booking, target: mapping.Appointment | None, read: httpx.AsyncClient
    ) -> bool:
        times = mapping.content(approved)
        query = {"participant": approved.participants, "start": times["start"], "end": times["end"]}
        if target is not None:
            query["excluding"] = target.id
        return said(mapping.Slots, await read.get("/slots", params=query)).free


def _path(identifier: str) -> str:
    return f"/appointments/{segment(identifier)}"
