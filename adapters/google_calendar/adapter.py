"""The Google Calendar adapter: an appointment is one event in its practitioner's (or room's) calendar.

Owns: which requests are made, in what order. A booking is one events.insert with an id of ours; a change is one
events.patch under `If-Match`. Every write says `sendUpdates=none` and stores its own native key.
Refuses: to insert under an id that is already there; to write an event that has guests or recurs; to delete (an
event can be cancelled by a patch, which keeps the key of the cancellation); a participant without a calendar.

Google tells a caller its role on a calendar, but not whether the token's scopes admit a write. Setting
`access-declared` (true) of a sealed connection vouches for the scopes; without it readiness is unverifiable.
"""

from __future__ import annotations

from typing import Final

import httpx

from adapters.google_calendar import mapping, replies
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
from gateway.kit.reading import not_ready
from gateway.kit.relay import relay_seconds

_QUIET: Final = {"sendUpdates": "none"}
_FIELDS: Final = "accessRole,nextPageToken,items(id,status,transparency,extendedProperties/private)"
"""Of other people's events no more than this travels."""


class GoogleCalendarAdapter:
    """Google Calendar API v3 (ADAPT-05, ADAPT-09, CARD-01). Stateless; one serves all connections."""

    def describe(self, connection: Connection) -> Descriptor:
        """Google does not promise to notice that an id is used twice, so the key is only good for looking."""
        return Descriptor(
            adapter="google_calendar",
            operations=tuple(Operation),
            idempotency=Idempotency.LOOKUP,
            exclusivity=Exclusivity.NONE,
            relay_seconds=relay_seconds(connection),
            observation=Basis.BY_KEY,
            settling_seconds=2,  # Google states none; a look may reach another replica than the write did
            requests_per_attempt=6,  # calendar and event; the write and a look; event and list
        )

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        """The calendar is there, it may be written, its slot and the target are open."""
        path, what = mapping.events_path(request), request.particulars
        if not mapping.is_expressible(request):
            return not_ready(Code.REPLY_UNRECOGNISED)
        slot = {"timeMin": mapping.rfc_3339(what.start), "timeMax": mapping.rfc_3339(what.end), "singleEvents": "true"}
        try:
            page = replies.read(mapping.Page, await read.get(path, params={**slot, "fields": _FIELDS}))
            if page.role not in mapping.WRITERS:
                return Readiness.refuted(Code.EXTERNAL_FORBIDDEN)
            event = await self._event(request, read)
        except Refusal as refusal:
            return not_ready(refusal.code)
        return Readiness(
            available=Proof.PROVEN,
            credentials=Proof.PROVEN,  # nobody has a role that writes without being known
            authorised=declared_access(request),
            target=mapping.target_state(request, event, page),
            prepared=event.etag if event else None,
        )

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        """One insert, or one conditional patch. A look follows only a refusal that a repetition of it would also get.

        A success is not read back: the reply is the event as it was stored.
        """
        request, version = authorized.request, authorized.prepared
        if request.operation is Operation.BOOK:
            reply = await write.post(mapping.events_path(request), params=_QUIET, json=mapping.new_event(request))
            return replies.receipt(request, reply)
        if not isinstance(version, str) or not request.is_approved_version(version):
            raise ValueError("a change needs the approved version from readiness")
        path, headers = mapping.event_path(request), {"If-Match": version}
        reply = await write.patch(path, params=_QUIET, json=mapping.change(request), headers=headers)
        if (reply.status_code, replies.word(reply)) not in replies.AMBIGUOUS:
            return replies.receipt(request, reply)
        try:
            event = await self._event(request, write)
        except Refusal:
            return Receipt.unknown()
        return replies.settled(request, reply.status_code, event, version) if event else Receipt.unknown()

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        """Looks under the appointment's id. That nothing is there counts only on a calendar that we provably see."""
        request = query.request
        try:
            event = await self._event(request, read)
            if event is not None:
                finding = mapping.finding(request, event)
                return Observation(finding=finding, basis=Basis.BY_KEY, version=event.etag, identifier=event.id)
            absent = request.operation is Operation.BOOK and await self._is_unused(request, read)
        except Refusal:
            absent = False
        return Observation(
            finding=ObservationFinding.ABSENT if absent else ObservationFinding.INDETERMINATE, basis=Basis.BY_KEY
        )

    async def _event(self, request: Request, read: httpx.AsyncClient) -> mapping.Event | None:
        """What stands under the appointment's id, deleted or not; None where Google says that nothing does."""
        reply = await read.get(mapping.event_path(request))
        if (reply.status_code, replies.word(reply)) == (404, "notFound"):
            return None
        return replies.read(mapping.Event, reply)

    async def _is_unused(self, request: Request, read: httpx.AsyncClient) -> bool:
        """Whether no event, deleted or not, carries this key on a calendar whose private events we may see.

        Google's 404 also means "a calendar that you may not see" (errors guide), so it does not prove absence.
        """
        key = f"{mapping.KEY_PROPERTY}={request.native_key(mapping.ALPHABET)}"
        params = {"privateExtendedProperty": key, "showDeleted": "true", "fields": _FIELDS}
        page = replies.read(mapping.Page, await read.get(mapping.events_path(request), params=params))
        return page.role in mapping.WRITERS and not page.items and page.more is None
