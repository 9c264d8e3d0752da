"""Particulars to Microsoft Graph's event resource and back. Pure: no I/O, no clock.

Owns: which properties an event of ours has (DIVERGENCES.md says why), the queries that find it, and the comparison of
a stored event with what was approved. The one participant's identifier is `USER/CALENDAR`. One extended property holds
two keys, `BOOKING/LATEST`: the appointment is found by the first, the latest write is known by the second.
Refuses: several participants (one request writes one calendar) and fractions of a second.

The version of an event is made from its content. Exchange changes an event's changeKey without anybody's doing, so an
approval that named one would soon be for a version that is gone; the entity tag goes into `If-Match` all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import quote

from pydantic import Field, NaiveDatetime, StringConstraints

from gateway.contracts.adapter import Request, TargetState
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from gateway.kit.paths import segment
from gateway.kit.reading import Said

KEY_LENGTH: Final = 32
"""Hexadecimal digits, as in the GUIDs that Graph's documents show; values are compared without regard to case."""
PROPERTY: Final = "String {6ea99f19-2018-45fe-a79f-1139b07bda98} Name gateway"
SUBJECT: Final = "Appointment"
CANCELLED_SUBJECT: Final = "Canceled: Appointment"
PREFER: Final[Mapping[str, str]] = {"Prefer": 'IdType="ImmutableId", outlook.timezone="UTC"'}
_MAX_EVENTS: Final = 100

Etag = Annotated[str, StringConstraints(pattern=r'^(W/)?"[!#-~]{1,256}"$')]


class Moment(Said):
    """dateTimeTimeZone. Anything but UTC is no instant that could equal an approved one."""

    wall: NaiveDatetime = Field(alias="dateTime")
    zone: str = Field(alias="timeZone")

    @property
    def instant(self) -> datetime | None:
        return self.wall.replace(tzinfo=UTC) if self.zone == "UTC" else None


class Extended(Said):
    id: str
    value: str


class Event(Said):
    """What is read of one event. `extended` is shown only where it is asked for."""

    id: str
    etag: Etag | None = Field(alias="@odata.etag", default=None)
    start: Moment
    end: Moment
    shown_as: str = Field(alias="showAs")
    is_all_day: bool = Field(alias="isAllDay", default=False)
    is_cancelled: bool = Field(alias="isCancelled", default=False)
    kind: str = Field(alias="type", default="singleInstance")
    attendees: tuple[Any, ...] = ()
    transaction: str | None = Field(alias="transactionId", default=None)
    extended: tuple[Extended, ...] = Field(alias="singleValueExtendedProperties", default=())

    @property
    def keys(self) -> str | None:
        """`BOOKING/LATEST`, of an event of ours."""
        return next((each.value for each in self.extended if each.id.casefold() == PROPERTY.casefold()), None)

    @property
    def is_plain(self) -> bool:
        """Invites nobody (a write would send mail), does not recur, has not been cancelled as a meeting."""
        return self.kind == "singleInstance" and not (self.attendees or self.is_cancelled or self.is_all_day)


class Page(Said):
    """A collection of events, or as much of it as came at once."""

    value: tuple[Event, ...]
    more: str | None = Field(alias="@odata.nextLink", default=None)


class Calendar(Said):
    can_edit: bool = Field(alias="canEdit")
    can_view_private: bool = Field(alias="canViewPrivateItems")


@dataclass(frozen=True, slots=True)
class Target:
    """The event that a change starts from: where it is, and the version that readiness saw."""

    id: str = field(repr=False)
    etag: str = field(repr=False)
    version: str = field(repr=False)


def is_expressible(request: Request) -> bool:
    """One participant, named as `USER/CALENDAR`, and whole seconds. Raises KeyError where nothing is bound to it."""
    what = request.particulars
    named = [request.identifiers[each.participant] for each in what.participants]
    whole = all(instant.microsecond == 0 for instant in (what.start, what.end))
    return len(named) == 1 and whole and all(named[0].split("/")) and named[0].count("/") == 1


def user_path(request: Request) -> str:
    return f"users/{segment(_place(request)[0])}"


def calendar_path(request: Request) -> str:
    return f"{user_path(request)}/calendars/{segment(_place(request)[1])}"


def event_path(request: Request, identifier: str) -> str:
    """By way of the approved calendar: an event of another one is not the approved participant's."""
    return f"{calendar_path(request)}/events/{segment(identifier)}"


def _place(request: Request) -> list[str]:
    return request.identifiers[request.particulars.participants[0].participant].split("/")


def with_key(request: Request) -> str:
    """The query for events that this appointment's booking made, with their keys shown."""
    of_ours = f"ep/id eq '{PROPERTY}' and startswith(ep/value, '{booking_key(request)}')"
    return _query(
        {
            "$filter": f"singleValueExtendedProperties/Any(ep: {of_ours})",
            "$expand": f"singleValueExtendedProperties($filter=id eq '{PROPERTY}')",
        }
    )


def in_slot(request: Request) -> str:
    """The query for what stands in the approved time, or touches it; no more of it than is needed."""
    what = request.particulars
    return _query(
        {
            "startDateTime": f"{what.start:%Y-%m-%dT%H:%M:%SZ}",
            "endDateTime": f"{what.end:%Y-%m-%dT%H:%M:%SZ}",
            "$select": "id,start,end,showAs,isAllDay,isCancelled",
            "$top": str(_MAX_EVENTS),
        }
    )


def _query(options: Mapping[str, str]) -> str:
    """Spaces as %20: a plus sign is one in OData."""
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items())


def booking_key(request: Request) -> str:
    """The appointment's name for its whole life: the key of the booking that made it."""
    if request.operation is Operation.BOOK:
        return request.native_key(max_length=KEY_LENGTH)
    return request.target_key(max_length=KEY_LENGTH)


def keys_after(request: Request) -> str:
    """What the extended property holds once this request is in force."""
    return f"{booking_key(request)}/{request.native_key(max_length=KEY_LENGTH)}"


def new_event(request: Request) -> dict[str, Any]:
    """The body of a creation. Nothing in it is about a person."""
    return {
        "subject": SUBJECT,
        "showAs": "busy",
        "sensitivity": "private",
        "transactionId": booking_key(request),
        **_times(request),
        **_keys(request),
    }


def change(request: Request) -> dict[str, Any]:
    """The body of an update: only what changes, and the keys. A cancelled appointment looks as Outlook shows a meeting
    that its organizer cancelled: free time, and a subject that says so."""
    cancels = request.operation is Operation.CANCEL
    what = {"subject": CANCELLED_SUBJECT, "showAs": "free", "isReminderOn": False} if cancels else _times(request)
    return {**what, **_keys(request)}


def _times(request: Request) -> dict[str, Any]:
    what = request.particulars
    return {
        name: {"dateTime": f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%S}", "timeZone": "UTC"}
        for name, instant in (("start", what.start), ("end", what.end))
    }


def _keys(request: Request) -> dict[str, Any]:
    return {"singleValueExtendedProperties": [{"id": PROPERTY, "value": keys_after(request)}]}


def version_of(event: Event, keys: str) -> str:
    """The version of an event with these keys: what an approval was shown, and whose write it was."""
    times = (f"{each.wall.isoformat(timespec='seconds')} {each.zone}" for each in (event.start, event.end))
    return " ".join((keys, *times, event.shown_as))


def shows_approved(event: Event, request: Request) -> bool:
    """Whether times and status are what this request was to make them, keys aside: replies to writes show none."""
    times, what = (event.start.instant, event.end.instant), request.particulars
    status = "free" if request.operation is Operation.CANCEL else "busy"
    ours = event.transaction == booking_key(request)
    ours = ours or (event.transaction is None and request.operation is not Operation.BOOK)
    return ours and event.is_plain and times == (what.start, what.end) and event.shown_as == status


def target_state(request: Request, events: tuple[Event, ...], slot: Page) -> TargetState:
    """Of the slot and of the target. `events` are those of this appointment (of a booking, wherever they stand),
    `slot` is what touches the time.

    A booking whose own key is there already is not sent: how long Graph remembers a transactionId is not documented.
    """
    if request.operation is Operation.BOOK:
        if events:
            return TargetState.TAKEN
    elif not events:
        return TargetState.ABSENT
    elif len(events) > 1 or events[0].etag is None:
        return TargetState.UNVERIFIABLE
    elif not _is_approved(request, events[0]):
        return TargetState.CHANGED
    if request.operation is Operation.CANCEL:
        return TargetState.OPEN
    own = {each.id for each in events}
    if any(each.id not in own and _takes(each, request) for each in slot.value):
        return TargetState.TAKEN
    return TargetState.OPEN if slot.more is None else TargetState.UNVERIFIABLE


def _is_approved(request: Request, event: Event) -> bool:
    """The approved version, booked and plain; for a cancellation the reviewer saw its times as well."""
    times, what = (event.start.instant, event.end.instant), request.particulars
    as_shown = times == (what.start, what.end) or request.operation is not Operation.CANCEL
    return as_shown and event.is_plain and event.shown_as == "busy" and is_unchanged(event, request)


def is_unchanged(event: Event, request: Request) -> bool:
    """Whether the event's content is still the approved version's, whatever its entity tag."""
    return request.is_approved_version(version_of(event, event.keys or ""))


def _takes(event: Event, request: Request) -> bool:
    """Whether an event takes any of the approved time; one whose times are not understood does."""
    if event.is_cancelled or event.shown_as == "free":
        return False
    start, end = event.start.instant, event.end.instant
    if event.is_all_day or start is None or end is None:
        return True
    return start < request.particulars.end and end > request.particulars.start


def finding(request: Request, events: tuple[Event, ...], elsewhere: tuple[Event, ...]) -> ObservationFinding:
    """Did the commit with this key happen? `events` are those of this appointment in its calendar, with their keys,
    and `elsewhere` are a booking's that somebody moved out of it.

    A change is proven not to have happened only while the event is still at the approved version.
    """
    if elsewhere:
        return ObservationFinding.DIFFERENT
    if not events:
        return ObservationFinding.ABSENT if request.operation is Operation.BOOK else ObservationFinding.INDETERMINATE
    (event, *others), keys = events, events[0].keys or ""
    if others:
        return ObservationFinding.DIFFERENT  # one booking, several events: somebody must look
    if request.operation is Operation.BOOK or keys == keys_after(request):
        done = keys == keys_after(request) and shows_approved(event, request)
        return ObservationFinding.PRESENT if done else ObservationFinding.DIFFERENT
    return ObservationFinding.ABSENT if is_unchanged(event, request) else ObservationFinding.INDETERMINATE
