"""The athenahealth adapter: an appointment is an open slot that a patient was put into (athenaOne REST v1).

Owns: which requests are made, in what order. The connection's `base_url` is the practice (`…/v1/{practiceid}/`). The
slot's id becomes the appointment's; a reschedule moves the patient into another slot, hence under another id, which
goes home with the receipt. A change finds its appointment by the identifier that the practice bound, and no other way.
Refuses: to write without having found the one open slot of the approved place, or the target at the approved version.

athenaOne holds no key of ours: a booking is found again by patient and place (`MATCHING`), and a patient who already
has the approved place is told SLOT_TAKEN before anything is sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import httpx

from adapters.athenahealth import mapping, replies
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
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from gateway.kit.paths import segment
from gateway.kit.reading import not_ready, said, shaped
from gateway.kit.relay import relay_seconds
from gateway.kit.replies import judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What readiness found: the open slot to take (booking, reschedule), the appointment to change."""

    slot: mapping.Record | None = field(default=None, repr=False)
    target: mapping.Record | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """The path that the write addresses: what is to change, else the slot to take."""
        addressed = self.target or self.slot
        assert addressed is not None, "readiness found one of them"
        return _path(addressed.appointmentid)

    def cancelled(self, status: str) -> Receipt:
        """The reply names the status alone; for the rest the appointment is what readiness read."""
        if self.target is None or status != mapping.CANCELLED:
            return Receipt.unknown(Code.REPLY_DEVIATES)
        cancelled = self.target.model_copy(update={"appointmentstatus": status})
        return Receipt.applied(identifier=cancelled.appointmentid, version=cancelled.version)


SLOWEST: Final = 120
"""Seconds after which athenaOne is believed to be done with a write: in Preview a reschedule took up to 45."""
_STEP: Final = MappingProxyType({Operation.BOOK: "", Operation.RESCHEDULE: "/reschedule", Operation.CANCEL: "/cancel"})


class AthenahealthAdapter:
    """Implements `gateway.contracts.adapter.Adapter`, without state of its own (CARD-01)."""

    def describe(self, connection: Connection) -> Descriptor:
        """athenaOne books a slot id once. Raises ValueError for a setting that is not on the closed list."""
        mapping.Settings.of(connection)
        return Descriptor(
            adapter="athenahealth",
            operations=tuple(Operation),
            idempotency=Idempotency.NONE,
            exclusivity=Exclusivity.ENFORCED,
            relay_seconds=relay_seconds(connection, max(0, SLOWEST - connection.limits.commit_seconds)),
            observation=Basis.MATCHING,
            requests_per_attempt=7,  # target, the patient's day, open slots; the commit, one look; two to observe
        )

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        """Prove by reads that the slot is open and the target as approved (GATE-24 to GATE-27). What an account may
        write, athenaOne does not tell: the sealed setting `access-declared` stands for it."""
        settings, wanted = mapping.Settings.of(request.connection), mapping.approved(request)
        if wanted is None:
            return not_ready(Code.REPLY_UNRECOGNISED)
        try:
            state, prepared = await self._look(request, settings, wanted, read)
        except Refusal as refusal:
            return not_ready(refusal.code)
        authorised = Proof.PROVEN if settings.access_declared else Proof.UNVERIFIABLE
        return Readiness(
            available=Proof.PROVEN, credentials=Proof.PROVEN, authorised=authorised, target=state, prepared=prepared
        )

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        """The one PUT. A look follows where its reply does not say all that was approved, or is a refusal that our own
        request would get if it were delivered twice."""
        request, prepared = authorized.request, authorized.prepared
        settings, wanted = mapping.Settings.of(request.connection), mapping.approved(request)
        if wanted is None or not isinstance(prepared, Prepared):
            raise ValueError("a write needs what readiness found")
        slot, body = prepared.slot, mapping.form(request, settings, wanted, prepared.slot)
        reply = await write.put(prepared.place + _STEP[request.operation], data=body)
        receipt = replies.judged(request.operation, reply)
        try:
            if receipt.code is Code.DUPLICATE_KEY:
                return await self._settled(reply.status_code, request, prepared, wanted, write)
            if receipt.claim is not Claim.APPLIED:
                return receipt
            if slot is None:
                return prepared.cancelled(shaped(mapping.Status, reply.content).status)
            return await self._booked(shaped(mapping.Records, reply.content).sole, slot, wanted, write)
        except Refusal:
            return Receipt.unknown()

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        """Look at what the patient holds at the approved place, and at the appointment that was to change."""
        request, wanted = query.request, mapping.approved(query.request)
        unclear = Observation(finding=ObservationFinding.INDETERMINATE, basis=Basis.MATCHING)
        if wanted is None:
            return unclear
        try:
            if request.operation is Operation.BOOK:
                return mapping.booking_seen(await self._held(wanted, read))
            target = await self._record(_target(request), read)
            if request.operation is Operation.CANCEL:
                return mapping.cancellation_seen(target, request, wanted)
            return mapping.move_seen(await self._held(wanted, read), target, request, wanted)
        except Refusal:
            return unclear

    async def _look(
        self, request: Request, settings: mapping.Settings, wanted: mapping.Approved, read: httpx.AsyncClient
    ) -> tuple[TargetState, Prepared]:
        target: mapping.Record | None = None
        if request.operation is not Operation.BOOK:
            target = await self._record(_target(request), read)
            state = TargetState.ABSENT if target is None else mapping.target_state(target, request, wanted)
            if state is not TargetState.OPEN or request.operation is Operation.CANCEL:
                return state, Prepared(target=target)
        if any(each.appointmentstatus != mapping.CANCELLED for each in await self._held(wanted, read)):
            return TargetState.TAKEN, Prepared()
        reply = await read.get("appointments/open", params=mapping.slots_query(wanted, settings))
        slot = mapping.chosen(said(mapping.Listing, reply).matching(wanted.place))
        if isinstance(slot, TargetState):
            return slot, Prepared()
        return TargetState.OPEN, Prepared(slot=slot, target=target)

    async def _booked(
        self, record: mapping.Record, slot: mapping.Record, wanted: mapping.Approved, read: httpx.AsyncClient
    ) -> Receipt:
        """A success, if the appointment is the approved one. A reply that leaves something out is read up on, once."""
        expected = {"appointmentid": slot.appointmentid, "appointmentstatus": mapping.BOOKED, **wanted.appointment}
        shown, found = record.shows(expected), record
        if shown is None:
            found = await self._record(slot.appointmentid, read) or record
            shown = found.shows(expected)
        if not shown:
            return Receipt.unknown(Code.REPLY_DEVIATES)
        return Receipt.applied(identifier=found.appointmentid, version=found.version)

    async def _settled(
        self, status: int, request: Request, prepared: Prepared, wanted: mapping.Approved, read: httpx.AsyncClient
    ) -> Receipt:
        """What a refusal means that our own request may have caused: by one look at what it is about. 409 is about the
        slot, whatever the operation; 400 and 404 are about what the write addressed."""
        slot, target = prepared.slot, prepared.target
        if slot is not None and (target is None or status == 409):
            seen = await self._record(slot.appointmentid, read)
            return judge(replies.SLOT_NOW, mapping.slot_now(seen, wanted))
        assert target is not None, "a change has its target from readiness"
        seen = await self._record(target.appointmentid, read)
        return judge(replies.TARGET_NOW, mapping.target_now(seen, slot, request, wanted))

    async def _held(self, wanted: mapping.Approved, read: httpx.AsyncClient) -> list[mapping.Record]:
        """The patient's appointments at the approved place."""
        reply = await read.get("appointments/booked", params=mapping.held_query(wanted))
        return list(said(mapping.Listing, reply).matching(wanted.appointment))

    async def _record(self, identifier: str, read: httpx.AsyncClient) -> mapping.Record | None:
        reply = await read.get(_path(identifier))
        if replies.is_absent(reply):
            return None
        record = said(mapping.Records, reply).sole
        if record.appointmentid != identifier:
            raise Refusal(Code.REPLY_UNRECOGNISED)
        return record


def _target(request: Request) -> str:
    """The bound identifier of the appointment to change. Raises the look-up's KeyError where there is none."""
    target = request.particulars.target
    assert target is not None, "a change names its target"
    return request.identifiers[target.appointment]


def _path(identifier: str) -> str:
    return f"appointments/{segment(identifier)}"
