"""What the sandbox's words mean in the gateway's: the only place where the two vocabularies meet.

Owns: the shapes that travel, which refusal each reply is, and what counts as success or as a finding.
Refuses: to guess. A reply that no row names is unrecognised, hence UNKNOWN or INDETERMINATE (I3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar

import httpx
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from gateway.contracts.adapter import Basis, Observation, Proof, Readiness, Receipt, Request, TargetState
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding

SUCCESS: Final[Mapping[Operation, frozenset[int]]] = MappingProxyType(
    {
        Operation.BOOK: frozenset({200, 201}),  # 200: the very same booking, already made under this key
        Operation.RESCHEDULE: frozenset({200}),
        Operation.CANCEL: frozenset({200}),
    }
)
"""Statuses that, with a body equal to what was approved, mean that the write is in force."""

REPLIES: Final[Mapping[tuple[int, str], Receipt]] = MappingProxyType(
    {
        (401, "unauthorised"): Receipt.refused(Code.CREDENTIALS_REJECTED),
        (403, "forbidden"): Receipt.refused(Code.EXTERNAL_FORBIDDEN),
        (404, "not-found"): Receipt.refused(Code.TARGET_NOT_FOUND),
        (409, "slot-taken"): Receipt.refused(Code.SLOT_TAKEN),
        (409, "not-booked"): Receipt.refused(Code.TARGET_CHANGED),
        (409, "key-reused"): Receipt.unknown(Code.DUPLICATE_KEY),
        (412, "stale-version"): Receipt.refused(Code.TARGET_CHANGED),
        (422, "invalid"): Receipt.refused(Code.EXTERNAL_INVALID),
        (428, "precondition-required"): Receipt.refused(Code.EXTERNAL_INVALID),
        (429, "throttled"): Receipt.refused(Code.EXTERNAL_THROTTLED),
        (500, "unavailable"): Receipt.unknown(Code.EXTERNAL_ERROR),
        (503, "unavailable"): Receipt.unknown(Code.EXTERNAL_ERROR),
    }
)
"""Every reply to a write that is no success: (status, problem) → receipt."""

READS: Final[Mapping[int, Code]] = MappingProxyType(
    {
        401: Code.CREDENTIALS_REJECTED,
        403: Code.EXTERNAL_FORBIDDEN,
        429: Code.EXTERNAL_THROTTLED,
        500: Code.EXTERNAL_UNAVAILABLE,
        503: Code.EXTERNAL_UNAVAILABLE,
    }
)
"""Every reply to a read that refutes readiness; others leave it unverifiable."""

PROBLEM_PREFIX: Final = "urn:sandbox-problem:"


class Body(BaseModel):
    """Something the sandbox says or is told. What else a reply holds is none of our business."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    def __repr_args__(self) -> Sequence[tuple[str | None, Any]]:
        """Vendor identifiers are never printed, whoever prints (I7)."""
        return ()


Said = TypeVar("Said", bound=Body)


class Health(Body):
    status: Literal["ok"]


class Capabilities(Body):
    permissions: tuple[str, ...]


class Slots(Body):
    free: bool


class Booking(Body):
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

    id: str
    version: str
    status: Status
    keys: tuple[str, ...]

    def holds(self, booking: Booking, *, ignoring: str = "") -> bool:
        return all(getattr(self, name) == value for name, value in booking if name != ignoring)


class Found(Body):
    items: tuple[Appointment, ...]


class Problem(Body):
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
    if reply.status_code not in SUCCESS[request.operation]:
        return REPLIES.get((reply.status_code, _problem(reply)), Receipt.unknown())
    try:
        appointment = Appointment.model_validate_json(reply.content)
    except ValidationError:
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


def said(body: type[Said], reply: httpx.Response) -> Said:
    """What a reply to a read says; raises `Refusal` with the code of `READS`, else REPLY_UNRECOGNISED."""
    if reply.status_code != 200:
        raise Refusal(READS.get(reply.status_code, Code.REPLY_UNRECOGNISED))
    try:
        return body.model_validate_json(reply.content)
    except ValidationError:
        raise Refusal(Code.REPLY_UNRECOGNISED) from None


def found(reply: httpx.Response, key: str) -> Appointment | None:
    """The appointment that a look-up by key gave, or none; raises `Refusal` as `said` does.

    A server that ignores the parameter answers something, but not what was asked.
    """
    items = said(Found, reply).items
    if len(items) > 1 or any(key not in each.keys for each in items):
        raise Refusal(Code.REPLY_UNRECOGNISED)
    return items[0] if items else None


def not_ready(code: Code) -> Readiness:
    """Readiness after a read that `said` refused: refuted by a known reply, unverifiable by any other."""
    if code is not Code.REPLY_UNRECOGNISED:
        return Readiness.refuted(code)
    return Readiness(
        available=Proof.UNVERIFIABLE,
        credentials=Proof.UNVERIFIABLE,
        authorised=Proof.UNVERIFIABLE,
        target=TargetState.UNVERIFIABLE,
    )


def is_absent(reply: httpx.Response) -> bool:
    """Whether the sandbox itself, rather than something in its way, says that an appointment is not there."""
    return (reply.status_code, _problem(reply)) == (404, "not-found")


def content(body: Body) -> dict[str, Any]:
    """JSON-ready, with UTC instants as RFC 3339 `Z`."""
    return body.model_dump(mode="json")


def _problem(reply: httpx.Response) -> str:
    try:
        return Problem.model_validate_json(reply.content).type.removeprefix(PROBLEM_PREFIX)
    except ValidationError:
        return ""
