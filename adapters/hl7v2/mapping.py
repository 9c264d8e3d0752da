"""Between particulars and messages: what is asked of a filler, and what its replies show.

Owns: the fields. The placer appointment id (ARQ-1, SCH-1) is the native key of the booking, for the appointment's life;
the placer group number (ARQ-4, SCH-4) is the native key of the latest request; MSH-10 of a request is its native key.
Refuses, as ValueError: what the connection's character set or wall time cannot say. Pure.
Source: HL7 v2.5.1 chapter 10. Settings are those of DIVERGENCES.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from adapters.hl7v2.er7 import (
    MalformedMessageError,
    Message,
    Segment,
    composed,
    escaped,
    instant,
    message,
    segment,
    stamp,
)
from gateway.contracts.adapter import Request
from gateway.contracts.proposal import Operation, Role

EVENTS: Final = MappingProxyType({Operation.BOOK: "S01", Operation.RESCHEDULE: "S02", Operation.CANCEL: "S04"})
_ACTIONS: Final = MappingProxyType({Operation.BOOK: "A", Operation.RESCHEDULE: "U", Operation.CANCEL: "D"})
_KEY_SIGNS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_KEY_LENGTH: Final = 20  # of MSH-10 in v2.5.1; 103 bits
_MINUTES: Final = "min^minute^ISO+"
_RESOURCES: Final = MappingProxyType({"AIS": (4, 7, 10), "AIG": (8, 11, 14), "AIP": (6, 9, 12), "AIL": (6, 9, 12)})
"""Where each kind of resource states its start, its duration (the unit follows) and its filler status."""
Ask = Callable[[Request, str, datetime], bytes]
_MOST_SPANS: Final = 36
_MOST_BYTES: Final = 4096  # of a version
MOST: Final = 100
"""Appointments that one query asks for (QRD-7)."""


def setting(request: Request, name: str, otherwise: str = "") -> str:
    value = request.settings.get(name, otherwise)
    return value if isinstance(value, str) else otherwise


def declared(request: Request, name: str) -> bool:
    return request.settings.get(name) is True


def is_accepted_first(request: Request) -> bool:
    """Whether the partner accepts a message before it processes it (enhanced mode)."""
    return setting(request, "acknowledgement") == "enhanced"


def charset(request: Request) -> str:
    return setting(request, "charset", "UNICODE UTF-8")


def own_key(request: Request) -> str:
    """The native key of this very request."""
    return request.native_key(_KEY_SIGNS, _KEY_LENGTH)


def placer_id(request: Request) -> str:
    """The key under which the appointment was booked."""
    return own_key(request) if request.operation is Operation.BOOK else request.target_key(_KEY_SIGNS, _KEY_LENGTH)


def request_message(request: Request, now: datetime, filler_id: str = "") -> bytes:
    """The one mutating message of a commit; `filler_id` is SCH-2 of the approved version."""
    kind = f"SRM^{EVENTS[request.operation]}^SRM_S01"
    arq = _arq(request, placer_id(request), own_key(request), filler_id)
    return _message(request, kind, own_key(request), now, [arq, _pid(request), *_resources(request)])


def key_query(request: Request, tag: str, now: datetime) -> bytes:
    """What stands under the appointment's placer id; MSH-10 and the query's id are `tag`."""
    names = request.identifiers
    said = [
        _qrd(request, tag, names[request.particulars.patient], now),
        _arq(request, placer_id(request)),
        _pid(request),
        segment("RGS", {1: "1"}),
    ]
    return _message(request, "SQM^S25^SQM_S25", tag, now, said)


def slot_query(request: Request, tag: str, now: datetime) -> bytes:
    """Booked slots of the participants between start and end."""
    names, what = request.identifiers, request.particulars
    who = names[what.participants[0].participant]
    said = [_qrd(request, tag, who, now), _arq(request, tag, timed=True), *_resources(request)]
    return _message(request, "SQM^S25^SQM_S25", tag, now, said)


def probe(request: Request, tag: str, now: datetime) -> bytes:
    """A question for the application's clock (chapter 14), where it answers none about schedules."""
    return _message(request, "NMQ^N01^NMQ_N01", tag, now, [segment("NCK", {1: _stamp(request, now)})])


def is_expressible(request: Request, now: datetime) -> bool:
    """Whether the request can be said at all: whole seconds, minutes long, one wall time, characters of the set."""
    what = request.particulars
    if what.start.microsecond or (what.end - what.start) % timedelta(minutes=1):
        return False
    try:
        request_message(request, now)
    except ValueError:
        return False
    return True


def _message(request: Request, kind: str, control_id: str, now: datetime, said: list[str]) -> bytes:
    enhanced = "AL" if is_accepted_first(request) else ""
    header = {
        3: escaped(setting(request, "sending-application", "GATEWAY")),
        4: escaped(setting(request, "sending-facility")),
        5: escaped(setting(request, "receiving-application")),
        6: escaped(setting(request, "receiving-facility")),
        7: stamp(now.replace(microsecond=0), request.connection.zone, offset=True),
        9: kind,
        10: control_id,
        11: escaped(setting(request, "processing-id", "P")),
        12: escaped(setting(request, "version", "2.5.1")),
        15: enhanced,
        16: enhanced,
        18: charset(request),
    }
    # MSH-1 is the separator itself, so that MSH-2 comes where any other segment has its first field.
    msh = segment("MSH", {1: "^~\\&", **{number - 1: value for number, value in header.items()}})
    return message([msh, *said], charset(request))


def _arq(request: Request, placer: str, group: str = "", filler: str = "", *, timed: bool = False) -> str:
    what = request.particulars
    namespace = escaped(setting(request, "sending-application", "GATEWAY"))
    fields = {
        1: f"{placer}^{namespace}",
        2: filler,
        4: f"{group}^{namespace}" if group else "",
        6: escaped(what.reason or "Routine"),
        15: escaped(setting(request, "contact", "GATEWAY")),
        19: escaped(setting(request, "entered-by", "GATEWAY")),
    }
    if group or timed:
        start = _stamp(request, what.start)
        fields |= {9: _length(request), 10: _MINUTES, 11: f"{start}^{start}"}
    return segment("ARQ", fields)


def _pid(request: Request) -> str:
    patient = escaped(request.identifiers[request.particulars.patient])
    authority, name = setting(request, "patient-authority"), composed(setting(request, "patient-name"))
    return segment("PID", {1: "1", 3: f"{patient}^^^{escaped(authority)}" if authority else patient, 5: name})


def _resources(request: Request) -> Iterator[str]:
    """One group: the service with its time, participants by role, and the place."""
    names, what, action = request.identifiers, request.particulars, _ACTIONS[request.operation]
    start, length = _stamp(request, what.start), _length(request)
    yield segment("RGS", {1: "1", 2: action})
    yield segment("AIS", {1: "1", 2: action, 3: escaped(names[what.service]), 4: start, 7: length, 8: _MINUTES})
    person = setting(request, "personnel-segment", "AIP")
    for number, each in enumerate(what.participants, start=1):
        common = {1: str(number), 2: action, 3: escaped(names[each.participant])}
        name = "AIP" if each.role is Role.PRACTITIONER and person == "AIP" else "AIG"
        kind = {4: escaped(setting(request, "resource-type", each.role))} if name == "AIG" else {}
        begins, lasts, _ = _RESOURCES[name]
        yield segment(name, {**common, **kind, begins: start, lasts: length, lasts + 1: _MINUTES})
    yield segment("AIL", {1: "1", 2: action, 3: escaped(names[what.location]), 6: start, 9: length, 10: _MINUTES})


def _qrd(request: Request, tag: str, who: str, now: datetime) -> str:
    place = escaped(request.identifiers[request.particulars.location])
    what = "SBK^Booked slots^HL70048"
    time = stamp(now.replace(microsecond=0), request.connection.zone, offset=True)
    return segment("QRD", {1: time, 2: "R", 3: "I", 4: tag, 7: f"{MOST}^RD", 8: escaped(who), 9: what, 10: place})


def _stamp(request: Request, moment: datetime) -> str:
    return stamp(moment, request.connection.zone, offset=declared(request, "offsets"))


def _length(request: Request) -> str:
    return str((request.particulars.end - request.particulars.start) // timedelta(minutes=1))


@dataclass(frozen=True, slots=True)
class Entry:
    """One appointment as a reply shows it. `spans` are all the times that it states, which should be one; `patients`
    are each PID's identifiers with their authorities; `statuses` are those that its resources have of their own."""

    placer: str = field(repr=False)
    filler: str = field(repr=False)
    group: str = field(repr=False)
    status: str
    spans: frozenset[tuple[datetime, datetime]] = field(repr=False)
    patients: tuple[frozenset[tuple[str, str]], ...] = field(repr=False)
    resources: frozenset[tuple[str, str]] = field(repr=False)
    statuses: frozenset[str] = frozenset()

    @property
    def is_over(self) -> bool:
        """Of one piece with its resources: one that is cancelled in part is not over."""
        return {self.status, *self.statuses} <= _OVER

    @property
    def version(self) -> str:
        spans = sorted(f"{start.isoformat()}/{end.isoformat()}" for start, end in self.spans)
        resources = sorted(f"{kind} {name}" for kind, name in self.resources)
        return "|".join((self.placer, self.filler, self.group, self.status, *spans, *resources))

    def overlaps(self, request: Request) -> bool:
        """One that states no time counts as there."""
        what = request.particulars
        return not self.spans or any(start < what.end and end > what.start for start, end in self.spans)

    def is_of_patient(self, request: Request) -> bool:
        """Whether it has one patient, the approved one: by the agreed authority, where one was agreed."""
        name, authority = request.identifiers[request.particulars.patient], setting(request, "patient-authority")
        shown = self.patients[0] if len(self.patients) == 1 else ()
        return any(each == name and authority in ("", by) for each, by in shown)

    def is_as_approved(self, request: Request) -> bool:
        """Whether time, service, place, and people with devices are the approved ones. Of these, only what is made or
        moved must show its time."""
        names, what = request.identifiers, request.particulars
        untimed = request.operation is Operation.CANCEL and not self.spans
        people = {names[each.participant] for each in what.participants}
        approved = {("AIS",): {names[what.service]}, ("AIL",): {names[what.location]}, ("AIP", "AIG"): people}
        shown = {kinds: {name for kind, name in self.resources if kind in kinds} for kinds in approved}
        timed = untimed or self.spans == {(what.start, what.end)}
        return timed and all(shown[kinds] in (set(), approved[kinds]) for kinds in approved)

    def carries_out(self, request: Request) -> bool:
        """Whether this is what was approved, and nothing else."""
        whole = self.placer == placer_id(request) and self.statuses <= {self.status}
        return whole and self.is_of_patient(request) and self.is_as_approved(request)


def entries(reply: Message, request: Request) -> tuple[Entry, ...]:
    """Every appointment of an SRR or SQR; raises `MalformedMessageError`."""
    found: list[list[Segment]] = []
    for each in reply.segments:
        if each.name == "SCH":
            found.append([])
        if found:
            found[-1].append(each)
    return tuple(_entry(group, request.connection.zone) for group in found)


def _entry(group: list[Segment], zone: str) -> Entry:
    sch, pids = group[0], [each for each in group if each.name == "PID"]
    resources = [each for each in group if each.name in _RESOURCES]
    starts, ends, lengths = set[datetime](), set[datetime](), set[timedelta]()
    for start, end, length, unit in _times(group):
        begins = {instant(start, zone)} if start else set()
        lasts = {_duration(length, unit)} if length else set()
        starts |= begins
        ends |= {begin + each for begin in begins for each in lasts} | ({instant(end, zone)} if end else set())
        lengths |= set() if start else lasts
    ends |= {start + length for start in starts for length in lengths}
    if bool(starts) is not bool(ends) or len(starts) * len(ends) > _MOST_SPANS:
        raise MalformedMessageError("a start or an end alone, or more times than one appointment can have")
    shown = Entry(
        placer=sch.text(1),
        filler="^".join(escaped(sch.text(2, component)) for component in (1, 2, 3, 4)).rstrip("^"),
        group=sch.text(4),
        status=sch.text(25).upper(),
        spans=frozenset((start, end) for start in starts for end in ends),
        patients=tuple(frozenset(zip(each.texts(3), each.texts(3, 4), strict=True)) for each in pids),
        resources=frozenset((each.name, name) for each in resources for name in each.texts(3)),
        statuses=frozenset(each.text(_RESOURCES[each.name][2]).upper() for each in resources) - {""},
    )
    if len(shown.version.encode()) > _MOST_BYTES:
        raise MalformedMessageError("identifiers that are none")
    return shown


def _times(group: list[Segment]) -> Iterator[tuple[str, str, str, str]]:
    """Start, end, duration and its unit, as far as each place states them: SCH-9, every SCH-11 (a TQ, whose duration
    begins with its unit), TQ1, and the resources. A duration without a start is that of the whole."""
    for each in group:
        if each.name == "SCH":
            yield "", "", each.text(9), each.text(10)
            for start, end, length in zip(each.texts(11, 4), each.texts(11, 5), each.texts(11, 3), strict=True):
                yield start, end, length[1:], length[:1]
        elif each.name == "TQ1":
            yield each.text(7), each.text(8), each.text(6), each.text(6, 2)
        elif each.name in _RESOURCES:
            begins, lasts, _ = _RESOURCES[each.name]
            yield each.text(begins), "", each.text(lasts), each.text(lasts + 1)


def _duration(text: str, unit: str) -> timedelta:
    if not text.isascii() or not text.isdigit() or len(text) > 5 or unit.upper() not in _UNITS:
        raise MalformedMessageError("no duration")
    return int(text) * _UNITS[unit.upper()]


_OVER: Final = frozenset({"CANCELLED", "DELETED", "DC", "NOSHOW"})
_UNITS: Final = MappingProxyType(
    {
        **dict.fromkeys(("", "M", "MIN", "MINUTE", "MINUTES"), timedelta(minutes=1)),
        **dict.fromkeys(("S", "SEC", "SECONDS"), timedelta(seconds=1)),
        **dict.fromkeys(("H", "HR", "HOUR", "HOURS"), timedelta(hours=1)),
    }
)
