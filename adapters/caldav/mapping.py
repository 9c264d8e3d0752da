"""Particulars to iCalendar (RFC 5545) and back. Pure: no I/O, no clock.

Owns: which properties an event of ours has, and the comparison of a stored event with what was approved.
Refuses: calendars that it cannot read without guessing (`MalformedCalendarError`).

Content lines are split by the icalendar library but not interpreted by it: a hostile VTIMEZONE or RRULE
is never evaluated, and a rewrite keeps every line that is not ours to change exactly as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import icalendar
from icalendar.parser import Contentline, Contentlines

from gateway.contracts.adapter import Request
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding

SUMMARY: Final = "Appointment"
KEY_PROPERTY: Final = "X-GATEWAY-KEY"
_PRODUCT: Final = "-//scheduling-gateway//caldav//EN"
_MAX_CALENDAR_BYTES: Final = 256 * 1024
_MAX_DEPTH: Final = 8
_MAX_SEQUENCE: Final = 2**31 - 2  # RFC 5545 §3.3.8: an INTEGER is signed and of 32 bits
_ONCE: Final = frozenset({"UID", "DTSTART", "DTEND", "SEQUENCE", "STATUS", "TRANSP", KEY_PROPERTY})
_RECURS: Final = frozenset({"RRULE", "RDATE", "RECURRENCE-ID"})
_SCHEDULES: Final = frozenset({"ATTENDEE", "ORGANIZER"})
_DATE_TIME: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z?")
_STRONG_ETAG: Final = re.compile(r'"[!#-~]{1,256}"')


class MalformedCalendarError(Exception):
    """Not an iCalendar object that can be read without guessing. Carries nothing of its text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What is read of one VEVENT. An instant is None where it is floating, a date or not understood.

    `invites` says that the event has an organizer or attendees: writing it may make the server send
    mail (RFC 6638), which nobody approved.
    """

    uid: str | None = field(repr=False)
    key: str | None
    start: datetime | None = field(repr=False)
    end: datetime | None = field(repr=False)
    sequence: int
    cancelled: bool
    transparent: bool
    recurs: bool
    invites: bool


@dataclass(frozen=True, slots=True)
class _Line:
    component: tuple[str, ...]
    name: str
    parameters: Mapping[str, object]
    value: str
    text: Contentline


def strong_etag(value: str | None) -> str | None:
    """The entity tag where it can be sent in If-Match: strong and printable (RFC 9110 §8.8.3, §13.1.1)."""
    return value if value is not None and _STRONG_ETAG.fullmatch(value) else None


def uid_of(request: Request) -> str:
    """The appointment's UID: the key of the booking that made it, for its whole life."""
    return request.native_key() if request.operation is Operation.BOOK else request.target_key()


def is_expressible(request: Request) -> bool:
    """iCalendar has whole seconds and four-digit years; a time that would be rounded is not the approved one."""
    instants = (request.particulars.start, request.particulars.end)
    return all(instant.microsecond == 0 and instant.year >= 1000 for instant in instants)


def new_event(request: Request, written_at: datetime) -> bytes:
    """The event of a booking. Nothing in it is about a person; see DIVERGENCES.md for each property.

    Times are UTC: an approved appointment is an instant, and a TZID would tie it to a rule set that
    the server may read differently, or that may change.
    """
    event = icalendar.Event()
    event.add("uid", request.native_key())
    event.add("dtstamp", written_at.replace(microsecond=0))
    event.add("dtstart", request.particulars.start)
    event.add("dtend", request.particulars.end)
    event.add("sequence", 0)
    event.add("status", "CONFIRMED")
    event.add("transp", "OPAQUE")
    event.add("class", "PRIVATE")
    event.add("summary", SUMMARY)
    event.add(KEY_PROPERTY, request.native_key())
    calendar = icalendar.Calendar()
    calendar.add("version", "2.0")
    calendar.add("prodid", _PRODUCT)
    calendar.add_component(event)
    return bytes(calendar.to_ical())


def changed_event(stored: str, request: Request, written_at: datetime) -> bytes:
    """The stored calendar object with the approved change, every other line kept (RFC 5545 §3.8.8).

    A cancelled event is also TRANSPARENT: it takes up no time, whichever property a reader looks at.
    Raises `MalformedCalendarError` unless it holds exactly one event.
    """
    event = sole_event(read_events(stored))
    if event is None or event.sequence >= _MAX_SEQUENCE:
        raise MalformedCalendarError("not exactly one plain event")
    changes = {
        "DTSTAMP": f"{written_at:%Y%m%dT%H%M%SZ}",
        "SEQUENCE": str(event.sequence + 1),
        KEY_PROPERTY: request.native_key(),
    }
    if request.operation is Operation.CANCEL:
        changes |= {"STATUS": "CANCELLED", "TRANSP": "TRANSPARENT"}
    else:
        start, end = request.particulars.start, request.particulars.end
        changes |= {"DTSTART": f"{start:%Y%m%dT%H%M%SZ}", "DTEND": f"{end:%Y%m%dT%H%M%SZ}"}
    dropped = changes.keys() | ({"DURATION"} if "DTEND" in changes else set())
    lines = Contentlines()
    for line in _lines(stored):
        in_event = line.component == ("VCALENDAR", "VEVENT")
        if in_event and line.name == "END":
            lines.extend(Contentline(f"{name}:{value}") for name, value in changes.items())  # type: ignore[no-untyped-call]  # icalendar has no types
        if not (in_event and line.name in dropped):
            lines.append(line.text)
    return bytes(lines.to_ical())  # type: ignore[no-untyped-call]  # icalendar has no types


def _split(text: str) -> Iterator[tuple[str, Mapping[str, object], str, Contentline]]:
    try:
        for line in Contentlines.from_ical(text):  # type: ignore[no-untyped-call]  # icalendar has no types
            if line:
                name, parameters, value = line.parts()
                yield name.upper(), parameters, value, line
    except Exception:  # noqa: BLE001 - the library documents no error type for lines that it cannot split
        raise MalformedCalendarError("a content line cannot be read") from None


def _lines(text: str) -> list[_Line]:
    """Each content line with the components it stands in (BEGIN and END count as inside)."""
    if len(text) > _MAX_CALENDAR_BYTES:
        raise MalformedCalendarError("larger than an appointment can be")
    lines: list[_Line] = []
    inside: tuple[str, ...] = ()
    for name, parameters, value, line in _split(text):
        if name == "BEGIN":
            inside = (*inside, value.upper())
        outside = not inside or inside[0] != "VCALENDAR" or (len(inside) == 1 and name == "BEGIN" and lines)
        if outside or len(inside) > _MAX_DEPTH:
            raise MalformedCalendarError("not one calendar object")
        lines.append(_Line(inside, name, parameters, value, line))
        if name == "END":
            if value.upper() != inside[-1]:
                raise MalformedCalendarError("components are not nested")
            inside = inside[:-1]
    if inside or not lines:
        raise MalformedCalendarError("the calendar object is not complete")
    return lines


def read_events(text: str) -> tuple[Event, ...]:
    """The VEVENTs of one calendar object, in order; raises `MalformedCalendarError`."""
    events: list[Event] = []
    properties: dict[str, _Line] = {}
    for line in _lines(text):
        if line.component != ("VCALENDAR", "VEVENT"):
            continue  # an alarm's or a time zone's own properties are not the event's
        if line.name == "BEGIN":
            properties = {}
        elif line.name == "END":
            events.append(_event(properties))
        elif line.name in _ONCE and line.name in properties:
            raise MalformedCalendarError("a property that may occur once occurs twice")
        else:
            properties[line.name] = line
    return tuple(events)


def _event(properties: Mapping[str, _Line]) -> Event:
    def value(name: str) -> str | None:
        line = properties.get(name)
        return None if line is None else line.value

    sequence = value("SEQUENCE") or "0"
    if not re.fullmatch(r"[0-9]{1,10}", sequence):
        raise MalformedCalendarError("SEQUENCE is not a number")
    return Event(
        uid=value("UID"),
        key=value(KEY_PROPERTY),
        start=_instant(properties.get("DTSTART")),
        end=_instant(properties.get("DTEND")),
        sequence=int(sequence),
        cancelled=(value("STATUS") or "").upper() == "CANCELLED",
        transparent=(value("TRANSP") or "").upper() == "TRANSPARENT",
        recurs=not _RECURS.isdisjoint(properties),
        invites=not _SCHEDULES.isdisjoint(properties),
    )


def _instant(line: _Line | None) -> datetime | None:
    """A date-time in UTC, or in an IANA zone: some servers rewrite the one as the other."""
    if line is None or not _DATE_TIME.fullmatch(line.value):
        return None
    try:
        zone = UTC if line.value.endswith("Z") else ZoneInfo(str(line.parameters["TZID"]))
        return datetime.strptime(line.value[:15], "%Y%m%dT%H%M%S").replace(tzinfo=zone).astimezone(UTC)
    except (KeyError, ValueError, OSError, OverflowError):
        return None  # no instant that could equal an approved one


def sole_event(events: tuple[Event, ...]) -> Event | None:
    """The one event of an object that holds nothing else and does not recur."""
    return events[0] if len(events) == 1 and not events[0].recurs else None


def is_busy(data: str | None, *, besides: str | None) -> bool:
    """Whether a hit of the busy query takes up its time; what cannot be read does.

    `besides` is the UID of the appointment that is about to move away.
    """
    try:
        events = read_events(data or "")
    except MalformedCalendarError:
        return True
    return not events or not all(
        event.cancelled or event.transparent or (besides is not None and event.uid == besides) for event in events
    )


def carries_out(request: Request, event: Event) -> bool:
    """Whether the stored event is what was approved. A booking is known by its UID, a change by its own key."""
    return (
        event.uid == uid_of(request)
        and (request.operation is Operation.BOOK or event.key == request.native_key())
        and (event.start, event.end) == (request.particulars.start, request.particulars.end)
        and event.cancelled == (request.operation is Operation.CANCEL)
    )


def finding(request: Request, events: tuple[Event, ...] | None, *, unchanged: bool) -> ObservationFinding:
    """Did the commit with this key happen? `events` is None where nothing has the appointment's UID.

    A change is proven not to have happened only while the event is still at the approved version
    (`unchanged`): once others have written, or nothing is left, ours may have come before.
    """
    books = request.operation is Operation.BOOK
    if events is None:
        return ObservationFinding.ABSENT if books else ObservationFinding.INDETERMINATE
    named = [event for event in events if event.uid == uid_of(request)]
    if any(books or event.key == request.native_key() for event in named):
        sole = sole_event(events)
        done = sole is not None and carries_out(request, sole)
        return ObservationFinding.PRESENT if done else ObservationFinding.DIFFERENT
    return ObservationFinding.ABSENT if named and unchanged else ObservationFinding.INDETERMINATE
