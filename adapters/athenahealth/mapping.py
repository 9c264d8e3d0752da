"""What was approved, in athenaOne's words, and whether a record shows it.

Owns: the sealed settings (a closed list), the form bodies, the shape of what athenaOne says, the version derived from
a record, and the choice of an open slot. Pure.
Refuses: what athenaOne cannot express (a wall time that the clocks show twice, seconds, several participants), any
setting that is not on the list, and to choose between open slots that are not alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, RootModel

from gateway.contracts.adapter import Basis, Observation, Request, TargetState
from gateway.contracts.canonical import canonical, digest
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation, Role
from gateway.contracts.words import ObservationFinding
from gateway.kit.reading import Said
from gateway.kit.wall_time import AmbiguousWallTimeError, to_wall

BOOKED: Final = "f"
"""athenaOne's word for an appointment that is to come ("future")."""
CANCELLED: Final = "x"
OPEN: Final = "o"
STANDING: Final = frozenset({BOOKED, "2", "3", "4"})
"""Statuses in which the patient has the appointment: to come, checked in, checked out, charge entered."""
PAGE: Final = 10_000
"""The most entries that athenaOne puts into one list; a list that is longer is not read in part."""

_VERSION_DOMAIN: Final = "athenahealth/version/v1"
_VERSIONED: Final = ("appointmentid", "appointmentstatus", "patientid", "date", "starttime", "duration")
_VERSIONED_TOO: Final = ("departmentid", "providerid", "appointmenttypeid")


class Settings(BaseModel):
    """The vendor's flags, as a sealed connection states them: this closed list, and what holds where one is left out.

    What would act besides the appointment (a patient case, an e-mail) or overrule the practice's own scheduling rules
    is off. `service_is` says what the practice bound its services to: appointment reasons, or appointment types.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    access_declared: bool = False
    service_is: Literal["reason", "type"] = "reason"
    ignore_schedulable_permission: bool = False
    bypass_schedule_time_checks: bool = False
    patient_case: bool = False
    confirmation_email: bool = False
    cancel_reason: int | None = None
    relay_seconds: int | None = None  # read by `gateway.kit.relay`

    @classmethod
    def of(cls, connection: Connection) -> Settings:
        """Raises ValueError for a setting that is not on the list, or not of its type."""
        return cls.model_validate({name.replace("-", "_"): value for name, value in connection.settings.items()})


def _spelled(value: object) -> object:
    """athenaOne writes the same number as 15 here and as "15" there."""
    return str(value) if type(value) is int else value


Number = Annotated[str, BeforeValidator(_spelled)]


class Record(Said):
    """An appointment, or the open slot that is to become one. Empty where athenaOne did not say."""

    appointmentid: Number
    appointmentstatus: str = ""
    patientid: Number = ""
    date: str = ""
    starttime: str = ""
    duration: Number = ""
    departmentid: Number = ""
    providerid: Number = ""
    appointmenttypeid: Number = ""
    rescheduledappointmentid: Number = ""

    @property
    def version(self) -> str:
        """athenaOne keeps no version: the digest of what a reviewer was shown. Any change of it is another version."""
        shown = [getattr(self, name) for name in (*_VERSIONED, *_VERSIONED_TOO)]
        return digest(_VERSION_DOMAIN, canonical(shown))

    def shows(self, expected: Mapping[str, str]) -> bool | None:
        """Whether it says exactly this; None where it contradicts nothing, but does not say all of it."""
        said = {name: getattr(self, name) for name in expected}
        if any(value and value != expected[name] for name, value in said.items()):
            return False
        return True if all(said.values()) else None


class Records(RootModel[tuple[Record, ...]]):
    """athenaOne answers about one appointment with a list of one."""

    @property
    def sole(self) -> Record:
        """Raises `Refusal` (REPLY_UNRECOGNISED) for none or several."""
        if len(self.root) != 1:
            raise Refusal(Code.REPLY_UNRECOGNISED)
        return self.root[0]


class Listing(Said):
    """A page of appointments or open slots."""

    appointments: tuple[Record, ...]
    totalcount: int
    next: str | None = None

    def matching(self, expected: Mapping[str, str]) -> Sequence[Record]:
        """Those that show this; raises `Refusal` (REPLY_UNRECOGNISED) for a page that is not all, or a silent entry."""
        found = [each.shows(expected) for each in self.appointments]
        if self.next or self.totalcount != len(self.appointments) or None in found:
            raise Refusal(Code.REPLY_UNRECOGNISED)
        return [each for each, shown in zip(self.appointments, found, strict=True) if shown]


class Status(Said):
    """The answer to a cancellation."""

    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """What was approved, spelled as athenaOne spells it. `place` is where and when, the patient aside."""

    patient: str = field(repr=False)
    service: str = field(repr=False)
    place: Mapping[str, str] = field(repr=False)

    @property
    def appointment(self) -> Mapping[str, str]:
        return {"patientid": self.patient, **self.place}


def approved(request: Request) -> Approved | None:
    """None for what athenaOne has no way to say. Raises the look-up's KeyError for a reference that is bound to
    nothing: the boundary knows it for the practice's gap (PARTICULARS_MISSING)."""
    what, names = request.particulars, request.identifiers
    minutes, rest = divmod(what.end - what.start, timedelta(minutes=1))
    patient, service, department = names[what.patient], names[what.service], names[what.location]
    provider = names[what.participants[0].participant]
    try:
        start = to_wall(what.start, what.zone)
    except AmbiguousWallTimeError:
        return None
    alone = len(what.participants) == 1 and what.participants[0].role is Role.PRACTITIONER
    if rest or start.second or start.microsecond or not alone:
        return None
    place = {
        "date": f"{start:%m/%d/%Y}",
        "starttime": f"{start:%H:%M}",
        "duration": str(minutes),
        "departmentid": department,
        "providerid": provider,
    }
    return Approved(patient=patient, service=service, place=MappingProxyType(place))


def slots_query(wanted: Approved, settings: Settings) -> dict[str, str | int]:
    """For the open slots of that day: those only that the practice opened to scheduling through the API."""
    return {
        "departmentid": wanted.place["departmentid"],
        "providerid": wanted.place["providerid"],
        _service(settings): wanted.service,
        "startdate": wanted.place["date"],
        "enddate": wanted.place["date"],
        "ignoreschedulablepermission": _flag(settings.ignore_schedulable_permission),
        "bypassscheduletimechecks": _flag(settings.bypass_schedule_time_checks),
        "limit": PAGE,
    }


def held_query(wanted: Approved) -> dict[str, str | int]:
    """For the patient's own appointments of that day, cancelled ones included."""
    return {
        "departmentid": wanted.place["departmentid"],
        "patientid": wanted.patient,
        "startdate": wanted.place["date"],
        "enddate": wanted.place["date"],
        "showcancelled": "true",
        "limit": PAGE,
    }


def form(request: Request, settings: Settings, wanted: Approved, slot: Record | None) -> dict[str, str]:
    """The one write's fields. `slot` is the open slot to take; a booking names it in the path."""
    fields = {
        "patientid": wanted.patient,
        "ignoreschedulablepermission": _flag(settings.ignore_schedulable_permission),
        "nopatientcase": _flag(not settings.patient_case),
    }
    if request.operation is Operation.BOOK:
        email = {"donotsendconfirmationemail": _flag(not settings.confirmation_email)}
        return fields | email | {"departmentid": wanted.place["departmentid"], _service(settings): wanted.service}
    if settings.cancel_reason is not None:
        fields["appointmentcancelreasonid"] = str(settings.cancel_reason)
    if slot is None:
        return fields | _told("cancellationreason", request)
    if settings.service_is == "reason":
        fields["reasonid"] = wanted.service
    return fields | _told("reschedulereason", request) | {"newappointmentid": slot.appointmentid}


def chosen(slots: Sequence[Record]) -> Record | TargetState:
    """The open slot to take: of several that are alike the first, of several that are not none."""
    if not slots:
        return TargetState.TAKEN
    if len({each.appointmenttypeid for each in slots}) > 1:
        return TargetState.UNVERIFIABLE
    return min(slots, key=lambda each: (len(each.appointmentid), each.appointmentid))


def target_state(target: Record, request: Request, wanted: Approved) -> TargetState:
    """Whether the appointment to move or cancel is the approved patient's, to come, and at the approved version; for a
    cancellation the reviewer saw its place as well."""
    expected = wanted.appointment if request.operation is Operation.CANCEL else {"patientid": wanted.patient}
    shown = target.shows(expected)
    if target.appointmentstatus != BOOKED or shown is False or not request.is_approved_version(target.version):
        return TargetState.CHANGED
    return TargetState.OPEN if shown else TargetState.UNVERIFIABLE


def slot_now(slot: Record | None, wanted: Approved) -> str:
    """Whose the slot is (`replies.SLOT_NOW`); empty for nobody's, and where it does not say."""
    if slot is None or slot.appointmentstatus == OPEN or not slot.patientid:
        return ""
    return "ours" if slot.patientid == wanted.patient else "another's"


def target_now(target: Record | None, into: Record | None, request: Request, wanted: Approved) -> str:
    """What became of the appointment that was to change (`replies.TARGET_NOW`); empty for nothing that decides.

    `into` is the slot of a reschedule. A record that gives no sign of where its patient went may be given up by us.
    """
    if target is None or target.patientid not in ("", wanted.patient):
        return ""
    if target.appointmentstatus in (CANCELLED, OPEN):
        moved = target.rescheduledappointmentid.strip("0")
        ours = "" if into is None else into.appointmentid
        return "moved elsewhere" if moved and moved != ours.strip("0") else "given up"
    stands = target.patientid == wanted.patient and target.appointmentstatus in STANDING
    return "changed" if stands and not request.is_approved_version(target.version) else ""


def booking_seen(held: Sequence[Record]) -> Observation:
    """What the patient has at the approved place tells about a booking. A cancelled one may be ours or older."""
    standing = [each for each in held if each.appointmentstatus in STANDING]
    if len(standing) == 1:
        return _seen(ObservationFinding.PRESENT, standing[0])
    if standing:
        return _seen(ObservationFinding.DIFFERENT)
    return _seen(ObservationFinding.INDETERMINATE if held else ObservationFinding.ABSENT)


def move_seen(held: Sequence[Record], old: Record | None, request: Request, wanted: Approved) -> Observation:
    """A reschedule happened where the patient has the new place and no longer the old appointment."""
    there, unclear = booking_seen(held), _seen(ObservationFinding.INDETERMINATE)
    if old is None or (old.appointmentstatus in (CANCELLED, OPEN) and old.patientid in ("", wanted.patient)):
        return there if there.finding in (ObservationFinding.PRESENT, ObservationFinding.DIFFERENT) else unclear
    if old.appointmentstatus not in STANDING or old.patientid != wanted.patient:
        return unclear
    if there.finding is ObservationFinding.ABSENT:
        return there if request.is_approved_version(old.version) else unclear
    return _seen(ObservationFinding.DIFFERENT) if there.identifier else unclear


def cancellation_seen(target: Record | None, request: Request, wanted: Approved) -> Observation:
    """A cancelled appointment is the cancellation; one that was moved instead is something else."""
    if target is None or not target.shows(wanted.appointment):
        return _seen(ObservationFinding.INDETERMINATE)
    if target.appointmentstatus == CANCELLED:
        moved = target.rescheduledappointmentid.strip("0")
        return _seen(ObservationFinding.DIFFERENT if moved else ObservationFinding.PRESENT, target)
    unchanged = target.appointmentstatus == BOOKED and request.is_approved_version(target.version)
    return _seen(ObservationFinding.ABSENT if unchanged else ObservationFinding.INDETERMINATE)


def _seen(finding: ObservationFinding, record: Record | None = None) -> Observation:
    return Observation(
        finding=finding,
        basis=Basis.MATCHING,
        version=record.version if record else None,
        identifier=record.appointmentid if record else None,
    )


def _service(settings: Settings) -> str:
    return "reasonid" if settings.service_is == "reason" else "appointmenttypeid"


def _told(name: str, request: Request) -> dict[str, str]:
    """The coded reason, where one was approved; free text never."""
    return {} if request.particulars.reason is None else {name: request.particulars.reason}


def _flag(value: bool) -> str:
    return "true" if value else "false"
