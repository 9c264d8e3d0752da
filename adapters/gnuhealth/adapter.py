"""The GNU Health adapter: an appointment is one record of `gnuhealth.appointment`, over Tryton's JSON-RPC.

Owns: which calls are made, in what order. The connection's `base_url` is the database (`https://host/database/`), its
credential HTTP Basic. Two calls only read, and are declared so; a commit is one `create`, or one `write` that names the
approved version, and stores its own key in the record's `name`.
Refuses: to change what it could not name by version, and to believe an hour free that it could not see whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx

from adapters.gnuhealth import mapping, replies
from adapters.gnuhealth.replies import Access, Found, Record, Rights
from gateway.contracts.adapter import (
    Authorized,
    Basis,
    Claim,
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
from gateway.contracts.calls import SafeCalls
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from gateway.kit.reading import not_ready, said
from gateway.kit.relay import relay_seconds

ACCESS: Final = "model.ir.model.access.get_access"
SEARCH: Final = f"model.{mapping.MODEL}.search_read"
CREATE: Final = f"model.{mapping.MODEL}.create"
WRITE: Final = f"model.{mapping.MODEL}.write"
_MOST_RECORDS: Final = 50
"""More in one hour of one professional cannot be seen whole."""


class GnuHealthAdapter:
    """A GNU Health 5 server (ADAPT-05, ADAPT-09, CARD-01). Stateless; one serves all connections."""

    def describe(self, connection: Connection) -> Descriptor:
        """Tryton keeps no name unique and lets appointments overlap; it publishes both safe calls as read-only."""
        address = httpx.URL(connection.base_url).path.rstrip("/") + "/"
        return Descriptor(
            adapter="gnuhealth",
            operations=(Operation.BOOK, Operation.RESCHEDULE, Operation.CANCEL),
            idempotency=Idempotency.LOOKUP,
            exclusivity=Exclusivity.NONE,
            relay_seconds=relay_seconds(connection),
            observation=Basis.BY_KEY,
            safe_calls=SafeCalls(address=address, methods=(ACCESS, SEARCH)),
            requests_per_attempt=6,  # readiness 2, commit 3 (write, look, rights), observe 1
        )

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        """The credential may do this, the appointment is at the approved version, the professional's hour is free."""
        books, cancels = request.operation is Operation.BOOK, request.operation is Operation.CANCEL
        try:
            if not _allow(request, await _rights(read)):
                return Readiness.refuted(Code.EXTERNAL_FORBIDDEN)
            if not mapping.is_expressible(request):
                return Readiness.proven(TargetState.UNVERIFIABLE)
            busy = [] if cancels else [mapping.overlapping(request)]
            records = await _search(["OR", mapping.named(request), *busy], read)
        except Refusal as refusal:
            return not_ready(refusal.code)
        ours = [each for each in records if mapping.is_ours(request, each)]
        state = TargetState.OPEN
        if books and ours:
            state = TargetState.TAKEN  # by ourselves: this very proposal was carried out
        elif not books:
            state = mapping.target_state(request, records)
        if state is TargetState.OPEN and not cancels:
            state = mapping.slot_state(request, records)
        if ours and not all(each.writable for each in ours):
            return Readiness.refuted(Code.EXTERNAL_FORBIDDEN)
        return Readiness.proven(state, prepared=ours[0] if ours else None)

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        """One create or write, and then a look: Tryton says which record it made, not what stands in it."""
        request, target = authorized.request, authorized.prepared
        values = mapping.values(request)
        if request.operation is Operation.BOOK:
            reply = await _call(CREATE, [[values], {}], write)
        elif isinstance(target, Record):
            condition = {"_timestamp": {f"{mapping.MODEL},{target.id}": target.stamp}}
            reply = await _call(WRITE, [[target.id], values, condition], write)
        else:
            raise ValueError("a change needs the approved version from readiness")
        receipt, made = replies.written(reply)
        try:
            if receipt.claim is Claim.APPLIED:
                expected = made if target is None else (target.id,)
                return _as_approved(request, expected, await _named(request, write))
            if receipt.claim is Claim.REFUSED and receipt.code in _TOLD_BY_TRYTON:
                return await _why(request, receipt, target, write)
        except Refusal:
            return Receipt.unknown()
        return receipt

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        """Looks by key. Who confirms an appointment again gives it another name, so that a booking is looked for by
        likeness, too; then nobody can tell."""
        request = query.request
        alike = [mapping.alike(request, query.since)] if request.operation is Operation.BOOK else []
        try:
            records = await _search(["OR", mapping.named(request), *alike], read)
        except Refusal:
            return Observation(finding=ObservationFinding.INDETERMINATE, basis=Basis.BY_KEY)
        ours = next((each for each in records if mapping.is_ours(request, each)), None)
        return Observation(
            finding=mapping.finding(request, records),
            basis=Basis.BY_KEY,
            version=ours.version if ours else None,
            identifier=str(ours.id) if ours else None,
        )


_TOLD_BY_TRYTON: Final = frozenset({Code.EXTERNAL_INVALID, Code.TARGET_CHANGED})
"""Refusals in which Tryton does not say what was wrong, or not in words that a program may rest on."""


def _as_approved(request: Request, expected: tuple[int, ...] | None, found: Sequence[Record]) -> Receipt:
    """What stands there against what was approved."""
    if len(found) != 1 or expected != (found[0].id,) or not mapping.in_force(request, found[0]):
        return Receipt.unknown(Code.REPLY_DEVIATES)
    return Receipt.applied(identifier=str(found[0].id), version=found[0].version)


async def _why(request: Request, receipt: Receipt, target: Record | None, read: httpx.AsyncClient) -> Receipt:
    """A refusal after a look. Our own key there means that something sent this commit before."""
    found = await _named(request, read)
    if any(each.name == mapping.name_of(request) for each in found):
        return Receipt.unknown(Code.DUPLICATE_KEY)
    if target is not None and not found:
        return Receipt.refused(Code.TARGET_NOT_FOUND)
    if receipt.code is Code.TARGET_CHANGED or (target is not None and found[0].stamp != target.stamp):
        return Receipt.refused(Code.TARGET_CHANGED)
    return receipt if _allow(request, await _rights(read)) else Receipt.refused(Code.EXTERNAL_FORBIDDEN)


def _allow(request: Request, rights: Rights) -> bool:
    return rights.read and (rights.create if request.operation is Operation.BOOK else rights.write)


async def _rights(read: httpx.AsyncClient) -> Rights:
    access = said(Access, await _call(ACCESS, [[mapping.MODEL], {}], read)).result
    if mapping.MODEL not in access:
        raise Refusal(Code.REPLY_UNRECOGNISED)
    return access[mapping.MODEL]


async def _named(request: Request, read: httpx.AsyncClient) -> Sequence[Record]:
    """This appointment's record: one, unless it is not there, or a key that was to be ours alone is there twice."""
    return [each for each in await _search([mapping.named(request)], read) if mapping.is_ours(request, each)]


async def _search(domain: Sequence[Any], read: httpx.AsyncClient) -> Sequence[Record]:
    """Records by id; raises `Refusal` for a reply that is none, or that may not be all."""
    parameters = [domain, 0, _MOST_RECORDS, [["id", "ASC"]], replies.FIELDS, {}]
    found = said(Found, await _call(SEARCH, parameters, read)).result
    if len(found) >= _MOST_RECORDS:
        raise Refusal(Code.REPLY_UNRECOGNISED)
    return found


async def _call(method: str, parameters: Sequence[Any], client: httpx.AsyncClient) -> httpx.Response:
    call: Mapping[str, Any] = {"id": replies.CALL_ID, "method": method, "params": parameters}
    return await client.post("", json=call)
