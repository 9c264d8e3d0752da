"""The Microsoft Graph adapter: an appointment is one event in its practitioner's (or room's) Outlook calendar.

Owns: which requests are made, in what order. A booking is one POST with a transactionId; a reschedule and a
cancellation are one PATCH each, under `If-Match`. Every write stores its own native key in an extended property, by
which the appointment is found again; identifiers are immutable ones.
Refuses: to create an event whose key is already there; to write an event that has attendees or recurs; `cancel`
(answered 202, which commits to nothing) and DELETE (which could not carry its own key).

Graph tells whether the caller may write to a calendar, but not whether the application was granted the permission to.
Setting `access-declared` (true) of a sealed connection vouches for that; without it readiness is unverifiable.
"""

from __future__ import annotations

import httpx

from adapters.msgraph import mapping, replies
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
)
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from gateway.kit.access import declared_access
from gateway.kit.reading import not_ready, said
from gateway.kit.relay import relay_seconds

_Events = tuple[mapping.Event, ...]


class GraphAdapter:
    """Microsoft Graph v1.0, events (ADAPT-05, ADAPT-09, CARD-01). Stateless; one serves all connections."""

    def describe(self, connection: Connection) -> Descriptor:
        """For how long a transactionId is remembered is not documented, so the key is only good for looking."""
        return Descriptor(
            adapter="msgraph",
            operations=tuple(Operation),
            idempotency=Idempotency.LOOKUP,
            exclusivity=Exclusivity.NONE,
            relay_seconds=relay_seconds(connection),
            observation=Basis.BY_KEY,
            settling_seconds=2,  # Microsoft states none; a look may reach another replica than the write did
            requests_per_attempt=7,  # book: calendar, event twice, slot; the write; event twice. A change needs 6
        )

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        """The calendar is there, it may be written, its slot and the target are open."""
        if not mapping.is_expressible(request):
            return not_ready(Code.REPLY_UNRECOGNISED)
        calendar_path = mapping.calendar_path(request)
        try:
            calendar = said(
                mapping.Calendar,
                await read.get(f"{calendar_path}?$select=canEdit,canViewPrivateItems", headers=mapping.PREFER),
                refusals=replies.READS,
            )
            if not (calendar.can_edit and calendar.can_view_private):
                return Readiness.refuted(Code.EXTERNAL_FORBIDDEN)
            events, elsewhere = await self._events(request, read)
            query = f"{calendar_path}/calendarView?{mapping.in_slot(request)}"
            slot = said(mapping.Page, await read.get(query, headers=mapping.PREFER), refusals=replies.READS)
        except Refusal as refusal:
            return not_ready(refusal.code)
        return Readiness(
            available=Proof.PROVEN,
            credentials=Proof.PROVEN,  # nobody may edit a calendar without being known
            authorised=declared_access(request),
            target=mapping.target_state(request, events + elsewhere, slot),
            prepared=_target(events),
        )

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        """One POST, or one PATCH under `If-Match`. A look follows only a 412, which a repetition would also get.

        A success is not read back: the reply is the event as it was stored, its extended property aside.
        """
        request, target = authorized.request, authorized.prepared
        if request.operation is Operation.BOOK:
            path, body = f"{mapping.calendar_path(request)}/events", mapping.new_event(request)
            return replies.receipt(request, await write.post(path, json=body, headers=mapping.PREFER))
        if not isinstance(target, mapping.Target) or not request.is_approved_version(target.version):
            raise ValueError("a change needs the approved version from readiness")
        path, headers = mapping.event_path(request, target.id), {**mapping.PREFER, "If-Match": target.etag}
        reply = await write.patch(path, json=mapping.change(request), headers=headers)
        if reply.status_code != 412 or not replies.word(reply):
            return replies.receipt(request, reply)
        try:
            return replies.settled(request, await self._with_key(request, mapping.calendar_path(request), write))
        except Refusal:
            return Receipt.unknown()

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        """Looks for the appointment's key in its calendar, and for a booking that is not there in the mailbox."""
        request = query.request
        try:
            found = await self._events(request, read) if mapping.is_expressible(request) else None
        except Refusal:
            found = None
        if found is None:
            return Observation(finding=ObservationFinding.INDETERMINATE, basis=Basis.BY_KEY)
        events, elsewhere = found
        target = _target(events)
        return Observation(
            finding=mapping.finding(request, events, elsewhere),
            basis=Basis.BY_KEY,
            version=target.version if target else None,
            identifier=target.id if target else None,
        )

    async def _events(self, request: Request, read: httpx.AsyncClient) -> tuple[_Events, _Events]:
        """The events that carry this appointment's booking key: in its calendar, and elsewhere in the mailbox.

        Elsewhere is asked only for a booking that its calendar does not show: somebody may have moved it, and its
        key is used all the same. A change is of an event in the approved calendar, or of none. Raises `Refusal`.
        """
        events = await self._with_key(request, mapping.calendar_path(request), read)
        if events or request.operation is not Operation.BOOK:
            return events, ()
        return (), await self._with_key(request, mapping.user_path(request), read)

    async def _with_key(self, request: Request, place: str, read: httpx.AsyncClient) -> _Events:
        """The events of one place that carry this appointment's booking key; raises `Refusal`.

        A service that ignored the filter would show events without it; that is no answer.
        """
        path = f"{place}/events?{mapping.with_key(request)}"
        page = said(mapping.Page, await read.get(path, headers=mapping.PREFER), refusals=replies.READS)
        named = (each.keys or "" for each in page.value)
        if page.more is not None or not all(keys.startswith(f"{mapping.booking_key(request)}/") for keys in named):
            raise Refusal(Code.REPLY_UNRECOGNISED)
        return page.value


def _target(events: _Events) -> mapping.Target | None:
    """The one event of an appointment, where it can be named in a conditional request."""
    event = events[0] if len(events) == 1 else None
    if event is None or event.etag is None:
        return None
    return mapping.Target(event.id, event.etag, mapping.version_of(event, event.keys or ""))
