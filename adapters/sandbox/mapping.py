"""What the sandbox's words mean in the gateway's: the only place where the two vocabularies meet.

Owns: the shapes that travel, and what counts as success or as a finding; which refusal a reply is stands in `replies`.
Refuses: to guess. A reply that no row names is unrecognised, hence UNKNOWN or INDETERMINATE (I3).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

import httpx
from pydantic import AwareDatetime, StringConstraints

from adapters.sandbox.replies import BOOKING, CHANGE
from gateway.contracts.adapter import Basis, Claim, Observation, Receipt, Request, TargetState
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from gateway.kit.reading import Said, said, shaped
from gateway.kit.replies import ANY, judge

PROBLEM_PREFIX: Final = "urn:sandbox-problem:"


Short = Annotated[str, StringConstraints(max_length=200)]
"""An identifier or a version as the sandbox makes them; anything longer is none of its."""


class Health(Said):
    status: Literal["ok"]


class Capabilities(Said):
    permissions: tuple[str, ...]


class Slots(Said):
    free: bool


class Booking(Said):
    """The content of a write, in the sandbox's identifiers. `reason` belongs to the latest write."""

    patient: str
    participants: tuple[str, ...]
    location: str
    service: str
    reason: str | None
    start: AwareDatetime
    end: AwareDatetime


class Status(StrEnum):
    BOOKED = "booked"
    CANCELLED = "cancelled"


class Appointment(Booking):
    """The sandbox's record. `keys` are the native keys of all its writes."""

    id: Short
    version: Short
    status: Status
    keys: tuple[str, ...]

    def holds(self, booking: Booking, *, ignoring: str = "") -> bool:
        return all(getattr(self, name) == value for name, value in booking if name != ignoring)


class Found(Said):
    items: tuple[Appointment, ...]


class Problem(Said):
    type: str


def booking(request: Request) -> Booking:
    """What was approved, in vendor identifiers.

    A reference that the practice bound to nothing raises the look-up's own KeyError, which the boundary
    knows for the practice's gap (PARTICULARS_MISSING); catching it here would make it this adapter's fault.
    """
    particulars = request.particulars
    return Booking(
        patient=request.identifiers[particulars.patient],
        participants=tuple(request.identifiers[each.participant] for each in particulars.participants),
        location=request.identifiers[particulars.location],
        service=request.identifiers[particulars.service],
        reason=particulars.reason,
        start=particulars.start,
        end=particulars.end,
    )


def in_force(appointment: Appointment, request: Request) -> bool:
    """Whether the record is what this request was to make of it, under this request's key."""
    status = Status.CANCELLED if request.operation is Operation.CANCEL else Status.BOOKED
    return (
        appointment.status is status
        and request.native_key() in appointment.keys
        and appointment.holds(booking(request))
    )


def target_state(appointment: Appointment, request: Request) -> TargetState:
    """Whether the appointment to move or cancel is the approved patient's, booked, at the approved version.

    For a cancellation the reviewer saw the appointment itself: all of it must be as it was shown, its
    reason aside, which is the cancellation's own.
    """
    approved = booking(request)
    same = (
        appointment.holds(approved, ignoring="reason")
        if request.operation is Operation.CANCEL
        else appointment.patient == approved.patient
    )
    current = appointment.status is Status.BOOKED and request.is_approved_version(appointment.version)
    return TargetState.OPEN if same and current else TargetState.CHANGED


def receipt(reply: httpx.Response, request: Request) -> Receipt:
    """What a complete reply to the commit means."""
    table = BOOKING if request.operation is Operation.BOOK else CHANGE
    told = judge(table, reply.status_code, _problem(reply))
    if told.claim is not Claim.APPLIED:
        return told
    try:
        appointment = shaped(Appointment, reply.content)
    except Refusal:
        return Receipt.unknown()
    if not in_force(appointment, request):
        return Receipt.unknown(Code.REPLY_DEVIATES)
    return Receipt.applied(identifier=appointment.id, version=appointment.version)


def observation(reply: httpx.Response, request: Request) -> Observation:
    """What a look by the commit's key shows; a reply that proves nothing is INDETERMINATE."""
    try:
        held = found(reply, request.native_key())
    except Refusal:
        return Observation(finding=ObservationFinding.INDETERMINATE, basis=Basis.BY_KEY)
    if held is None:
        return Observation(finding=ObservationFinding.ABSENT, basis=Basis.BY_KEY)
    finding = ObservationFinding.PRESENT if in_force(held, request) else ObservationFinding.DIFFERENT
    return Observation(finding=finding, basis=Basis.BY_KEY, version=held.version, identifier=held.id)


def found(reply: httpx.Response, key: str) -> Appointment | None:
    """The appointment that a look-up by key gave, or none; raises `Refusal` as `said` does.

    A server that ignores the parameter answers something, but not what was asked.
    """
    items = said(Found, reply).items
    if len(items) > 1 or any(key not in each.keys for each in items):
        raise Refusal(Code.REPLY_UNRECOGNISED)
    return items[0] if items else None


def shown(reply: httpx.Response, identifier: str, key: str) -> Appointment | None:
    """The appointment of this identifier, if its booking had this key; raises `Refusal` as `said` does, and for a reply
    about another one than was asked for."""
    appointment = said(Appointment, reply)
    if appointment.id != identifier:
        raise Refusal(Code.REPLY_UNRECOGNISED)
    return appointment if key in appointment.keys else None


def is_absent(reply: httpx.Response) -> bool:
    """Whether the sandbox itself, rather than something in its way, says that an appointment is not there."""
    return (reply.status_code, _problem(reply)) == (404, "not-found")


def content(body: Said) -> dict[str, Any]:
    """JSON-ready, with UTC instants as RFC 3339 `Z`."""
    return body.model_dump(mode="json")


def _problem(reply: httpx.Response) -> str:
    try:
        return shaped(Problem, reply.content).type.removeprefix(PROBLEM_PREFIX)
    except Refusal:
        return ANY
