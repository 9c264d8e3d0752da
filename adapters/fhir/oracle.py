"""The dialect of Oracle Health Millennium: POST an Appointment onto a slot, PATCH it to move or cancel it.

Owns: the documented requests (fhir.cerner.com, Millennium R4, Appointment, Slot and Schedule).
Refuses: several practitioners, devices, and services that are no coding: one slot stands for all that takes part, and
is found by appointment type, practitioner, location and time.

There is no field for a native key and no search by one. The booking's key stands in `comment`, a change's in the
extension action-comment; an appointment is looked for among its patient's, a year to either side. Comments are people's
to edit: where one of the approved time and people stands there without our key, nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from adapters.fhir import availability, looking, mapping, replies
from adapters.fhir.capability import Needs
from adapters.fhir.resources import (
    ACCEPT,
    MIME_TYPE,
    Appointment,
    Held,
    Schedule,
    Slot,
    body,
    etag_of,
    found,
    instant,
    local_reference,
)
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
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from gateway.kit.reading import not_ready
from gateway.kit.replies import Table, judge

_PATCH_TYPE: Final = "application/json-patch+json"
_CANCELLATION_REASONS: Final = "http://terminology.hl7.org/CodeSystem/appointment-cancellation-reason"
_LOCATION: Final = "https://fhir-ehr.cerner.com/r4/StructureDefinition/scheduling-location"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The Appointment to change, and the slot for it."""

    target: Held[Appointment] | None = field(default=None, repr=False)
    slot: str | None = field(default=None, repr=False)


class Oracle:
    """Implements `Adapter` for the dialect `oracle`."""

    def describe(self, connection: Connection) -> Descriptor:
        """That a slot holds one appointment is nowhere promised, hence advisory."""
        return Descriptor(
            adapter="fhir",
            operations=tuple(Operation),
            idempotency=Idempotency.LOOKUP,
            exclusivity=Exclusivity.ADVISORY,
            observation=Basis.BY_KEY,
            settling_seconds=looking.settling(connection),
            requests_per_attempt=9,  # readiness 5 (statement, SMART, target, slots, schedule), commit 3, a look
        )

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        """By reads alone. `prepared` is a Plan."""
        if not _is_expressible(request):
            return not_ready(Code.REPLY_UNRECOGNISED)
        try:
            capable = await looking.capability(request, _needs(request), read)
            state, plan = await self._plan(request, read)
        except Refusal as refusal:
            return not_ready(refusal.code)
        return looking.readiness(capable, state, plan)

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        """One POST or PATCH, whose success says nothing but where: the Appointment is read back."""
        request, plan = authorized.request, authorized.prepared
        table: Table
        if request.operation is Operation.BOOK:
            table, headers = replies.ORACLE_CREATE, {**ACCEPT, "Content-Type": MIME_TYPE}
            reply = await write.post("Appointment", content=body(_booking(request, plan)), headers=headers)
        else:
            target: Held[Appointment] | None = plan.target
            if target is None or target.version is None:
                raise ValueError("a change needs the version that readiness read")
            table = replies.ORACLE_PATCH
            headers = {**ACCEPT, "Content-Type": _PATCH_TYPE, "If-Match": etag_of(target.version)}
            reply = await write.patch(target.reference, content=body(_patch(request, plan)), headers=headers)
        try:
            if replies.is_ambiguous(table, reply):
                word = looking.settled(await self._settled(request, plan, write), request.connection)
                return judge(replies.SETTLED, word) if word else judge(table, reply.status_code)
            receipt = judge(table, reply.status_code)
            return await self._made(reply, request, plan, write) if receipt.claim is Claim.APPLIED else receipt
        except Refusal:
            return Receipt.unknown()

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        request = query.request
        try:
            stored, alike = await self._appointment(request, read)
        except Refusal:
            return Observation(finding=ObservationFinding.INDETERMINATE, basis=Basis.BY_KEY)
        if stored is None:
            nothing = request.operation is Operation.BOOK and not alike
            finding = ObservationFinding.ABSENT if nothing else ObservationFinding.INDETERMINATE
            return Observation(finding=finding, basis=Basis.BY_KEY)
        return Observation(
            finding=mapping.finding(stored, request),
            basis=Basis.BY_KEY,
            version=stored.versioned,
            identifier=stored.content.id,
        )

    async def _plan(self, request: Request, read: httpx.AsyncClient) -> tuple[TargetState, Plan | None]:
        target = None
        if request.operation is not Operation.BOOK:
            target, _ = await self._appointment(request, read)
            state = mapping.target_state(target, request)
            if state is not TargetState.OPEN or request.operation is Operation.CANCEL:
                return state, Plan(target=target)
        free = [one for one in await self._slots(request, read) if _is_exactly(one.content, request)]
        if len(free) != 1:  # none is none; of two, which one has the right room is a person's to choose
            return (TargetState.UNVERIFIABLE if free else TargetState.TAKEN), None
        kept_in = availability.kept_in(free[0].content, request)
        asked = {"_id": kept_in.partition("/")[2]}
        schedules = found(Schedule, await read.get("Schedule", params=asked, headers=ACCEPT))
        (practitioner,) = mapping.scheduled(request)
        fits = [
            availability.is_of(each.content, practitioner, request) and availability.is_at(each.content, request)
            for each in schedules
        ]
        if fits != [True]:
            return TargetState.UNVERIFIABLE, None
        return TargetState.OPEN, Plan(target=target, slot=free[0].reference)

    async def _slots(self, request: Request, read: httpx.AsyncClient) -> tuple[Held[Slot], ...]:
        """Slots that may be booked; the search shows no others. Raises `Refusal` for another place's or service's."""
        (practitioner,), location = mapping.scheduled(request), mapping.location(request)
        start, end = request.particulars.start, request.particulars.end
        asked = {
            "service-type": "|".join(mapping.service_coding(request) or ()),
            "schedule.actor": practitioner,
            "-location": location.partition("/")[2],
            "start": [f"ge{instant(start)}", f"lt{instant(end)}"],
        }
        slots = found(Slot, await read.get("Slot", params=asked, headers=ACCEPT))
        places = {
            local_reference(each.value_reference.reference, request.connection.base_url)
            for slot in slots
            for each in slot.content.extension
            if each.url == _LOCATION and each.value_reference is not None
        }
        asked_for = [start <= each.content.start < end and availability.is_for(each.content, request) for each in slots]
        if not places <= {location} or not all(asked_for):
            raise Refusal(Code.REPLY_UNRECOGNISED)
        return slots

    async def _appointment(self, request: Request, read: httpx.AsyncClient) -> tuple[Held[Appointment] | None, bool]:
        """The Appointment that this request makes or changes; and, where it is not found by its key, whether there is
        one that could be it."""
        booking, named = request.operation is Operation.BOOK, request.particulars.target
        key = request.native_key() if booking else request.target_key()
        bound = request.identifiers.get(named.appointment) if named is not None else None
        asked: dict[str, str | list[str]] = {"_id": bound or ""}
        if bound is None:
            asked = {"patient": mapping.patient(request).partition("/")[2], "date": looking.year_around(request)}
        matches = found(Appointment, await read.get("Appointment", params=asked, headers=ACCEPT))
        if bound is None:
            mine = [each for each in matches if mapping.has_key(each.content, key)]
        else:
            mine = [each for each in matches if each.content.id == bound]
        if len(mine) > 1 or (bound is not None and len(mine) != len(matches)):
            raise Refusal(Code.REPLY_UNRECOGNISED)
        return (mine[0] if mine else None), any(mapping.is_alike(each.content, request) for each in matches)

    async def _made(self, reply: httpx.Response, request: Request, plan: Plan, read: httpx.AsyncClient) -> Receipt:
        if plan.target is not None:
            identifier = plan.target.content.id
        else:
            identifier = looking.created(reply.headers.get("Location"))
        stored = await looking.by_id(identifier, read)
        slots = None if plan.slot is None else (plan.slot,)
        return Receipt.unknown(Code.REPLY_DEVIATES) if stored is None else mapping.receipt(stored, request, slots)

    async def _settled(self, request: Request, plan: Plan, read: httpx.AsyncClient) -> str | None:
        """The word of `replies.SETTLED` for what a look finds; the slot first, then the Appointment."""
        slots = await looking.slots_named((plan.slot,), read) if plan.slot is not None else ()
        taken = plan.slot is not None and [slot.content.status for slot in slots] != ["free"]
        stored, alike = await self._appointment(request, read)
        booking = request.operation is Operation.BOOK
        if stored is not None and (booking or mapping.has_key(stored.content, request.native_key())):
            return replies.KEY
        if booking and alike:
            raise Refusal(Code.REPLY_UNRECOGNISED)  # it may be ours, its comment edited
        if not booking and (stored is None or plan.target is None):
            return replies.TARGET_GONE
        if stored is not None and plan.target is not None and stored.versioned != plan.target.versioned:
            return replies.TARGET_MOVED
        return replies.SLOT_MOVED if taken else None


def _booking(request: Request, plan: Plan) -> Mapping[str, Any]:
    """The documented fields of a booked appointment, the key among them; time, people and place are the slot's."""
    content: dict[str, Any] = {
        "resourceType": "Appointment",
        "status": "booked",
        "slot": [{"reference": plan.slot}],
        "participant": [{"actor": {"reference": mapping.patient(request)}, "status": "accepted"}],
        "comment": mapping.comment(request.native_key()),
    }
    if request.particulars.reason is not None:
        content["reasonCode"] = [{"text": request.particulars.reason}]
    return content


def _patch(request: Request, plan: Plan) -> list[Mapping[str, Any]]:
    """JSON Patch of the documented paths (RFC 6902). An action's comment needs a reason beside a cancellation."""
    noted = {"url": mapping.ACTION_COMMENT, "valueString": mapping.comment(request.native_key())}
    note = {"op": "replace", "path": "/extension", "value": [noted]}
    if request.operation is Operation.RESCHEDULE:
        return [{"op": "replace", "path": "/slot", "value": [{"reference": plan.slot}]}, note]
    system = request.settings.get(mapping.REASON_SYSTEM, _CANCELLATION_REASONS)
    reason = {"coding": [{"system": system, "code": request.particulars.reason or "other"}]}
    return [
        {"op": "replace", "path": "/status", "value": "cancelled"},
        {"op": "add", "path": "/cancelationReason", "value": reason},
        note,
    ]


def _is_expressible(request: Request) -> bool:
    one = [name.startswith("Practitioner/") for name in mapping.scheduled(request)] == [True]
    return one and mapping.service_coding(request) is not None and mapping.is_expressible(request)


def _is_exactly(slot: Slot, request: Request) -> bool:
    times = (request.particulars.start, request.particulars.end)
    return slot.status == "free" and (slot.start, slot.end) == times


def _needs(request: Request) -> Needs:
    write = "create" if request.operation is Operation.BOOK else "patch"
    search = frozenset({"search-type"})
    return Needs(
        reads={"Appointment": frozenset({"read", "search-type"}), "Slot": search, "Schedule": search},
        writes={"Appointment": frozenset({write})},
    )
