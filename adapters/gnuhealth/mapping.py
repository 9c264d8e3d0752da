"""Particulars to an appointment of GNU Health, and back. Pure: no I/O, no clock.

Owns: what is written, where our keys stand, and the comparison of a record with what was approved.

An appointment of GNU Health has a start and no end: how long each lasts is the practice's own, and the sealed
connection says it (setting `appointment-minutes`). It has one professional. What cannot be said so blocks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from adapters.gnuhealth.replies import Record
from gateway.contracts.adapter import Request, TargetState
from gateway.contracts.proposal import Operation, Role
from gateway.contracts.words import ObservationFinding

MODEL: Final = "gnuhealth.appointment"
MINUTES: Final = "appointment-minutes"
CONFIRMED: Final = "confirmed"
CANCELLED: Final = "user_cancelled"  # only a patient's request is ever committed (TRIG-08)
FREE: Final = "free"
_SHOWN: Final = ("patient", "healthprof", "institution", "speciality", "appointment_date")
_GONE: Final = frozenset({CANCELLED, "center_cancelled"})
_IDENTIFIER: Final = re.compile(r"[1-9][0-9]{0,8}")
_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # none that a person takes for another, none that `like` expands
_KEY_LENGTH: Final = 20  # 100 bits
_KEPT: Final = re.compile(f"[{_LETTERS}]{{{_KEY_LENGTH}}}(?:-[{_LETTERS}]{{{_KEY_LENGTH}}})?")
_SLACK: Final = timedelta(days=1)
"""By how much GNU Health's clock may be behind the practice's, a database in local time included."""


def booking_key(request: Request) -> str:
    """The key under which the appointment was, or is to be, booked. Its record's name begins with it for life."""
    books = request.operation is Operation.BOOK
    return request.native_key(_LETTERS, _KEY_LENGTH) if books else request.target_key(_LETTERS, _KEY_LENGTH)


def name_of(request: Request) -> str:
    """The record's name once this commit is in force: the booking's key and, after a change, the latest change's."""
    key = booking_key(request)
    return key if request.operation is Operation.BOOK else f"{key}-{request.native_key(_LETTERS, _KEY_LENGTH)}"


def is_expressible(request: Request) -> bool:
    """One professional, a length that is the practice's own, whole seconds, and identifiers that are record numbers."""
    what, minutes = request.particulars, request.settings.get(MINUTES)
    return (
        type(minutes) is int
        and what.end - what.start == timedelta(minutes=minutes)
        and what.start.microsecond == 0
        and [each.role for each in what.participants] == [Role.PRACTITIONER]
        and all(_IDENTIFIER.fullmatch(identifier) for identifier in _identifiers(request).values())
    )


def _identifiers(request: Request) -> Mapping[str, str]:
    names, what = request.identifiers, request.particulars
    return {
        "patient": names[what.patient],
        "healthprof": names[what.participants[0].participant],
        "institution": names[what.location],
        "speciality": names[what.service],
    }


def approved(request: Request) -> dict[str, Any]:
    """What must be in force after the commit, as a record shows it."""
    state = CANCELLED if request.operation is Operation.CANCEL else CONFIRMED
    numbers = {name: int(identifier) for name, identifier in _identifiers(request).items()}
    return {**numbers, "appointment_date": request.particulars.start, "state": state, "name": name_of(request)}


def values(request: Request) -> dict[str, Any]:
    """What is sent. A reschedule names no state: Tryton would give a re-confirmed appointment another name."""
    content = approved(request)
    if request.operation is Operation.CANCEL:
        return {"name": content["name"], "state": content["state"]}
    content["appointment_date"] = spelt(request.particulars.start)
    if request.operation is Operation.RESCHEDULE:
        del content["state"], content["patient"]
    return content


def spelt(instant: datetime) -> dict[str, Any]:
    """Naive UTC, as Tryton's JSON has it."""
    parts = ("year", "month", "day", "hour", "minute", "second", "microsecond")
    return {"__class__": "datetime", **{part: getattr(instant, part) for part in parts}}


def named(request: Request) -> list[Any]:
    """The clause for this appointment's record, whatever was written to it since."""
    return ["name", "like", f"{booking_key(request)}%"]


def overlapping(request: Request) -> list[Any]:
    """The clause for whatever the same professional has in hand then; all appointments last equally long."""
    what, professional = request.particulars, int(_identifiers(request)["healthprof"])
    earliest = what.start - (what.end - what.start)
    return [
        ["healthprof", "=", professional],
        ["appointment_date", ">", spelt(earliest)],
        ["appointment_date", "<", spelt(what.end)],
    ]


def alike(request: Request, since: datetime) -> list[Any]:
    """The clause for a booking that could be ours under another name, and at another hour or of another patient by now:
    whatever was made since for this patient, or stands in this hour of this professional."""
    content = approved(request)
    hour = [["healthprof", "=", content["healthprof"]], ["appointment_date", "=", spelt(request.particulars.start)]]
    return [["create_date", ">=", spelt(since - _SLACK)], ["OR", ["patient", "=", content["patient"]], hour]]


def is_ours(request: Request, record: Record) -> bool:
    """Whether the record is this appointment."""
    key, name = booking_key(request), record.name or ""
    return name == key or name.startswith(f"{key}-")


def slot_state(request: Request, records: Sequence[Record]) -> TargetState:
    """Of the hour. A published free slot is unverifiable: whoever fills it later would book the hour twice."""
    others = [each for each in records if not is_ours(request, each) and each.state not in _GONE]
    if any(each.state != FREE for each in others):
        return TargetState.TAKEN
    return TargetState.UNVERIFIABLE if others else TargetState.OPEN


def target_state(request: Request, records: Sequence[Record]) -> TargetState:
    """Of the appointment to change: the approved patient's; for a cancellation, all that the reviewer was shown."""
    ours = [each for each in records if is_ours(request, each)]
    if not ours or all(each.state in _GONE for each in ours):
        return TargetState.ABSENT
    if len(ours) > 1 or ours[0].version is None:
        return TargetState.UNVERIFIABLE
    (record,) = ours
    fields = _SHOWN if request.operation is Operation.CANCEL else ("patient",)
    wanted = approved(request)
    same = record.state == CONFIRMED and all(getattr(record, field) == wanted[field] for field in fields)
    return TargetState.OPEN if same and request.is_approved_version(record.version or "") else TargetState.CHANGED


def in_force(request: Request, record: Record) -> bool:
    """Whether the record is what was approved. A booking that was changed since shows another name."""
    return all(getattr(record, field) == value for field, value in approved(request).items())


def finding(request: Request, records: Sequence[Record]) -> ObservationFinding:
    """Did the commit with this key happen? `records` are those `named`, and for a booking those `alike`.

    A booking is proven not to have happened only where each of these still has another booking's key; a change, only
    while the appointment is still at the approved version.
    """
    ours = [each for each in records if is_ours(request, each)]
    if request.operation is Operation.BOOK:
        if not ours:
            others = all(_KEPT.fullmatch(each.name or "") for each in records)
            return ObservationFinding.ABSENT if others else ObservationFinding.INDETERMINATE
        made = len(ours) == 1 and in_force(request, ours[0])
        return ObservationFinding.PRESENT if made else ObservationFinding.DIFFERENT
    if any(each.name == name_of(request) for each in ours):
        made = len(ours) == 1 and in_force(request, ours[0])
        return ObservationFinding.PRESENT if made else ObservationFinding.DIFFERENT
    version = ours[0].version if len(ours) == 1 else None
    unchanged = version is not None and request.is_approved_version(version)
    return ObservationFinding.ABSENT if unchanged else ObservationFinding.INDETERMINATE
