"""The CalDAV adapter: an appointment is one event in one calendar collection (RFC 4791).

Owns: which requests are made, in what order. The connection's `base_url` is the collection; an
appointment lives at `<key>.ics`, where key and UID are the native key of its booking. Every write is one
PUT, conditional on absence or on the approved version; it stores its own native key in the event.
Refuses: to write without a strong entity tag to name, to write an event that would invite anybody, and
to DELETE (a server forgets a deleted key, so a late replay could book again).

What a server does not offer, a sealed connection may declare: setting `access-declared` (true) stands for
credentials and write access where neither principal nor privileges are told (RFC 5397, RFC 3744).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import httpx

from adapters.caldav import dav, mapping, replies
from gateway.clock import Clock, SystemClock
from gateway.contracts.adapter import (
    Authorized,
    Basis,
    Claim,
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
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from gateway.kit.reading import READS
from gateway.kit.relay import relay_seconds

_CALENDAR_TYPE: Final = "text/calendar; charset=utf-8"
_XML_TYPE: Final = "application/xml; charset=utf-8"
_UNREADABLE: Final = (dav.UnreadableReplyError, mapping.MalformedCalendarError)


@dataclass(frozen=True, slots=True)
class Stored:
    """A calendar object as the server holds it. `etag` is None unless strong."""

    etag: str | None = field(repr=False)
    text: str = field(repr=False)
    events: tuple[mapping.Event, ...] = field(repr=False)


class CaldavAdapter:
    """Any CalDAV server (ADAPT-05, ADAPT-09, CARD-01). Stateless; one serves all connections."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def describe(self, connection: Connection) -> Descriptor:
        """Servers keep a URL and a UID unique, and let events overlap. PROPFIND and REPORT are safe methods."""
        return Descriptor(
            adapter="caldav",
            operations=(Operation.BOOK, Operation.RESCHEDULE, Operation.CANCEL),
            idempotency=Idempotency.UNIQUE,
            exclusivity=Exclusivity.NONE,
            relay_seconds=relay_seconds(connection),
            observation=Basis.BY_KEY,
            requests_per_attempt=9,  # readiness 3, commit 3 (PUT, GET, REPORT), observe 3
        )

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        """The collection is there, the credentials are accepted, a write is allowed, the target is open."""
        reply = await self._probe(read)
        if reply.status_code != 207:
            return Readiness.refuted(READS.get(reply.status_code, Code.EXTERNAL_UNAVAILABLE))
        try:
            collection = dav.read_collection(reply.content)
        except dav.UnreadableReplyError:
            return Readiness.refuted(Code.REPLY_UNRECOGNISED)
        if not collection.holds_events:
            return Readiness.refuted(Code.EXTERNAL_UNAVAILABLE)
        try:
            target, stored = await self._target(request, read)
        except _UNREADABLE:
            target, stored = TargetState.UNVERIFIABLE, None
        return Readiness(
            available=Proof.PROVEN,
            credentials=replies.credentials_proof(request, collection),
            authorised=replies.write_proof(request, collection),
            target=target,
            prepared=stored,
        )

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        """One conditional PUT. Reads follow only where its reply leaves a question open.

        A strong entity tag in the reply promises that the object was stored as sent (RFC 4791 §5.3.4),
        so nothing is read back then: each further request is one more way to end UNKNOWN. Servers that
        omit it, or give a weak one, may have altered the event.
        """
        request = authorized.request
        name, now = f"{mapping.uid_of(request)}.ics", self._clock.now()
        stored: Stored | None = authorized.prepared
        if request.operation is Operation.BOOK:
            condition, content = {"If-None-Match": "*"}, mapping.new_event(request, now)
        elif stored is not None and stored.etag is not None and request.is_approved_version(stored.etag):
            condition, content = {"If-Match": stored.etag}, mapping.changed_event(stored.text, request, now)
        else:
            raise ValueError("a change needs the approved version from readiness")
        reply = await write.put(name, content=content, headers={"Content-Type": _CALENDAR_TYPE, **condition})
        try:
            return await self._judge(request, reply, condition.get("If-Match"), write)
        except _UNREADABLE:
            return Receipt.unknown()

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        """Looks at the appointment's address, then for its UID in the collection. That nothing is there counts only for
        a caller whom readiness would let write: a calendar may hide private events from everybody else."""
        request = query.request
        try:
            found = await self._find(request, read)
            seen = found is not None or (request.operation is Operation.BOOK and await self._sees_all(request, read))
        except _UNREADABLE:
            seen = False
        if not seen:
            return Observation(finding=ObservationFinding.INDETERMINATE, basis=Basis.BY_KEY)
        etag = found.etag if found else None
        return Observation(
            finding=mapping.finding(
                request,
                found.events if found else None,
                unchanged=etag is not None and request.is_approved_version(etag),
            ),
            basis=Basis.BY_KEY,
            version=etag,
            identifier=f"{mapping.uid_of(request)}.ics" if found else None,
        )

    async def _probe(self, read: httpx.AsyncClient) -> httpx.Response:
        headers = {"Content-Type": _XML_TYPE, "Depth": "0"}
        return await read.request("PROPFIND", "", content=dav.PROBE, headers=headers)

    async def _sees_all(self, request: Request, read: httpx.AsyncClient) -> bool:
        """Whether the server knows who is asking, and grants the write that would have made the appointment."""
        reply = await self._probe(read)
        collection = dav.read_collection(reply.content) if reply.status_code == 207 else None
        return (
            collection is not None
            and replies.credentials_proof(request, collection) is Proof.PROVEN
            and replies.write_proof(request, collection) is Proof.PROVEN
        )

    async def _judge(
        self, request: Request, reply: httpx.Response, sent_etag: str | None, read: httpx.AsyncClient
    ) -> Receipt:
        if reply.status_code in replies.AMBIGUOUS:
            found = await self._find(request, read)
            return replies.judged_after_look(
                request,
                reply.status_code,
                dav.read_conditions(reply.content),
                events=found.events if found else None,
                unchanged=found is not None and found.etag == sent_etag,
            )
        told = replies.judged(request.operation, reply.status_code)
        if told.claim is not Claim.APPLIED:
            return told
        name = f"{mapping.uid_of(request)}.ics"
        etag = mapping.strong_etag(reply.headers.get("ETag"))
        if etag is None:
            stored = await self._get(name, read)
            event = mapping.sole_event(stored.events) if stored else None
            if stored is None or event is None or not mapping.carries_out(request, event):
                return Receipt.unknown(Code.REPLY_DEVIATES)
            etag = stored.etag
        return Receipt.applied(identifier=name, version=etag)

    async def _target(self, request: Request, read: httpx.AsyncClient) -> tuple[TargetState, Stored | None]:
        """The state of target appointment and slot, and the object that a change starts from."""
        if not mapping.is_expressible(request):
            return TargetState.UNVERIFIABLE, None
        stored: Stored | None = None
        if request.operation is not Operation.BOOK:
            stored = await self._get(f"{request.target_key()}.ics", read)
            state = _appointment_state(request, stored)
            if state is not TargetState.OPEN:
                return state, None
        if request.operation is not Operation.CANCEL:
            besides = None if request.operation is Operation.BOOK else request.target_key()
            hits = await self._query(dav.busy_query(request.particulars.start, request.particulars.end), read)
            if any(mapping.is_busy(hit.data, besides=besides) for hit in hits):
                return TargetState.TAKEN, None
        return TargetState.OPEN, stored

    async def _find(self, request: Request, read: httpx.AsyncClient) -> Stored | None:
        """The appointment at its address or, where a server files it elsewhere, by its UID."""
        uid = mapping.uid_of(request)
        stored = await self._get(f"{uid}.ics", read)
        if stored is not None:
            return stored
        for hit in await self._query(dav.uid_query(uid), read):
            events = mapping.read_events(hit.data or "")
            if any(event.uid == uid for event in events):
                return Stored(mapping.strong_etag(hit.etag), hit.data or "", events)
        return None

    async def _get(self, name: str, read: httpx.AsyncClient) -> Stored | None:
        reply = await read.get(name, headers={"Accept": "text/calendar"})
        if reply.status_code in (404, 410):
            return None
        if reply.status_code != 200:
            raise dav.UnreadableReplyError("neither a calendar object nor its absence")
        try:
            text = reply.content.decode("utf-8")
        except UnicodeDecodeError:
            raise mapping.MalformedCalendarError("not UTF-8") from None
        return Stored(mapping.strong_etag(reply.headers.get("ETag")), text, mapping.read_events(text))

    async def _query(self, body: bytes, read: httpx.AsyncClient) -> tuple[dav.Hit, ...]:
        reply = await read.request("REPORT", "", content=body, headers={"Content-Type": _XML_TYPE, "Depth": "1"})
        if reply.status_code != 207:
            raise dav.UnreadableReplyError("the query was not answered")
        return dav.read_hits(reply.content)


def _appointment_state(request: Request, stored: Stored | None) -> TargetState:
    """The target appointment against what was approved; a cancellation's times must be the stored ones."""
    if stored is None:
        return TargetState.ABSENT
    event = mapping.sole_event(stored.events)
    if event is not None and event.cancelled:
        return TargetState.ABSENT
    if stored.etag is None:
        return TargetState.UNVERIFIABLE
    times = (request.particulars.start, request.particulars.end)
    if (
        not request.is_approved_version(stored.etag)
        or event is None
        or event.uid != request.target_key()
        or event.invites
        or (request.operation is Operation.CANCEL and (event.start, event.end) != times)
    ):
        return TargetState.CHANGED
    return TargetState.OPEN
