"""Particulars to Google's Event resource and back. Pure: no I/O, no clock.

Owns: which fields an event of ours has (DIVERGENCES.md says why), and the comparison of a stored event with what was
approved. The calendar is the identifier of the one participant; the event's id is the native key of its booking, and
a private extended property carries the key of its latest write.
Refuses: several participants (one request writes one calendar) and fractions of a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, Field, StringConstraints

from gateway.contracts.adapter import Request, TargetState
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from gateway.kit.paths import segment
from gateway.kit.reading import Said

ALPHABET: Final = "0123456789abcdefghijklmnopqrstuv"
"""What Google admits in an event's id: base32hex, lower case (discovery, Event.id)."""
KEY_PROPERTY: Final = "gatewayKey"
SUMMARY: Final = "Appointment"
WRITERS: Final = frozenset({"writer", "owner"})
"""Roles that may write, and see the details of private events, which ours are (discovery, Events.accessRole)."""

Etag = Annotated[str, StringConstraints(pattern=r'^"[!#-~]{1,256}"$')]


class Moment(Said):
    """EventDateTime; `instant` is None for a whole day."""

    instant: AwareDatetime | None = Field(alias="dateTime", default=None)


class Properties(Said):
    private: Mapping[str, str] = {}


class Event(Said):
    """What is read of one event. Of a deleted one only the id is promised."""

    id: str
    status: str | None = None
    etag: Etag | None = None
    start: Moment = Moment()
    end: Moment = Moment()
    transparency: str = "opaque"
    attendees: tuple[Any, ...] = ()
    recurrence: tuple[Any, ...] = ()
    series: str | None = Field(alias="recurringEventId", default=None)
    properties: Properties = Field(alias="extendedProperties", default=Properties())

    @property
    def key(self) -> str | None:
        return self.properties.private.get(KEY_PROPERTY)

    @property
    def is_cancelled(self) -> bool:
        return self.status == "cancelled"

    @property
    def is_plain(self) -> bool:
        """Takes its time, invites nobody (a write could send mail), does not recur."""
        return self.transparency == "opaque" and not (self.attendees or self.recurrence or self.series)


class Page(Said):
    """Events: one page of a list, and what the caller may do on the calendar."""

    role: str = Field(alias="accessRole")
    items: tuple[Event, ...] = ()
    more: str | None = Field(alias="nextPageToken", default=None)


def is_expressible(request: Request) -> bool:
    """One participant, hence one calendar, and whole seconds."""
    instants = (request.particulars.start, request.particulars.end)
    return len(request.particulars.participants) == 1 and all(instant.microsecond == 0 for instant in instants)


def event_id(request: Request) -> str:
    """The appointment's id for its whole life: the key of the booking that made it."""
    return request.native_key(ALPHABET) if request.operation is Operation.BOOK else request.target_key(ALPHABET)


def events_path(request: Request) -> str:
    """Raises `IdentifierMissingError` where the practice bound no calendar to the participant."""
    calendar = request.identifiers[request.particulars.participants[0].participant]
    return f"calendars/{segment(calendar)}/events"


def event_path(request: Request) -> str:
    return f"{events_path(request)}/{event_id(request)}"


def rfc_3339(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def new_event(request: Request) -> dict[str, Any]:
    """The body of events.insert. Nothing in it is about a person."""
    return {
        "id": event_id(request),
        "summary": SUMMARY,
        "status": "confirmed",
        "transparency": "opaque",
        "visibility": "private",
        **_times(request),
        **_key(request),
    }


def change(request: Request) -> dict[str, Any]:
    """The body of events.patch: only what changes, and the key of this write."""
    moved = {"status": "cancelled"} if request.operation is Operation.CANCEL else _times(request)
    return {**moved, **_key(request)}


def _times(request: Request) -> dict[str, Any]:
    what = request.particulars
    return {"start": {"dateTime": rfc_3339(what.start)}, "end": {"dateTime": rfc_3339(what.end)}}


def _key(request: Request) -> dict[str, Any]:
    return {"extendedProperties": {"private": {KEY_PROPERTY: request.native_key(ALPHABET)}}}


def in_force(event: Event, request: Request) -> bool:
    """Whether the event is what this request was to make of it, under this request's key.

    A cancelled event may show its id alone; what it does show must not contradict.
    """
    times, approved = (event.start.instant, event.end.instant), (request.particulars.start, request.particulars.end)
    key = request.native_key(ALPHABET)
    if event.id != event_id(request):
        return False
    if request.operation is Operation.CANCEL:
        return event.is_cancelled and event.key in (None, key) and times in ((None, None), approved)
    return event.status == "confirmed" and event.key == key and times == approved and event.is_plain


def target_state(request: Request, event: Event | None, page: Page) -> TargetState:
    """Of the slot and of the target. `event` stands under the appointment's id, `page` is what touches the slot.

    A booking whose own id is already used, be it by a deleted event, is not sent: Google may not notice the
    collision. Somebody must look; a new proposal has another id.
    """
    if request.operation is Operation.BOOK:
        if event is not None:
            return TargetState.TAKEN
    elif event is None or event.is_cancelled:
        return TargetState.ABSENT
    elif event.etag is None:
        return TargetState.UNVERIFIABLE
    elif not _is_approved(request, event):
        return TargetState.CHANGED
    if request.operation is Operation.CANCEL:
        return TargetState.OPEN
    own = event_id(request)
    if any(each.id != own and not each.is_cancelled and each.transparency != "transparent" for each in page.items):
        return TargetState.TAKEN
    return TargetState.OPEN if page.more is None else TargetState.UNVERIFIABLE


def _is_approved(request: Request, event: Event) -> bool:
    """The approved version, still plain; for a cancellation the reviewer saw its times as well."""
    times = (event.start.instant, event.end.instant)
    as_shown = times == (request.particulars.start, request.particulars.end)
    return (
        event.etag is not None
        and request.is_approved_version(event.etag)
        and event.is_plain
        and (as_shown or request.operation is not Operation.CANCEL)
    )


def finding(request: Request, event: Event) -> ObservationFinding:
    """Did the commit with this key happen? `event` stands under the appointment's id.

    A change is proven not to have happened only while the event is still at the approved version. A cancelled event
    that no longer shows whose write cancelled it proves nothing.
    """
    if request.operation is Operation.BOOK or event.key == request.native_key(ALPHABET):
        return ObservationFinding.PRESENT if in_force(event, request) else ObservationFinding.DIFFERENT
    unchanged = event.etag is not None and request.is_approved_version(event.etag) and not event.is_cancelled
    return ObservationFinding.ABSENT if unchanged else ObservationFinding.INDETERMINATE
