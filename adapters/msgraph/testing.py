"""A twin of Microsoft Graph's events: the routes that the adapter uses, as strict as the metadata and the documents.

Owns: Graph's paths, query options, shapes and error codes over the scheduling engine. It is no Exchange: a green run
against it proves the adapter against the documents. Where they leave a choice, or contradict each other, it takes the
awkward one: a user's events are those of the default calendar alone, an event that only touches a calendar view is in
it, and replies to writes show no extended property (this one is documented).
The observer reads the engine's database past every route and shares no code with the adapter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NaiveDatetime, StringConstraints

from gateway.contracts.connection import Scheme
from gateway.testing.engine import Appointment, Booking, RejectedError, Rejection
from gateway.testing.issuer import Terms
from gateway.testing.twin import Call, Denial, Twin, document
from gateway.testing.wire import Reply

SCOPE: Final = "https://graph.microsoft.com/.default"
DEFAULT_CALENDAR: Final = "default"
"""The id of every user's default calendar here."""
_NOBODY: Final = "-"
_ID: Final = r"(?:String) \{[0-9a-fA-F-]{36}\} Name \w+"
_FILTER: Final = re.compile(
    rf"singleValueExtendedProperties/Any\(ep: ep/id eq '({_ID})' and startswith\(ep/value, '([^']+)'\)\)"
)
_EXPAND: Final = re.compile(rf"singleValueExtendedProperties\(\$filter=id eq '({_ID})'\)")


def _problem(status: int, code: str) -> Reply:
    """An error as the page "Microsoft Graph error responses and resource types" shows it."""
    return document(status, {"error": {"code": code, "message": code, "innerError": {}}})


_REFUSALS: Final[Mapping[Rejection | Denial, Reply]] = {
    Denial.UNAUTHORISED: _problem(401, "InvalidAuthenticationToken"),
    Denial.FORBIDDEN: _problem(403, "ErrorAccessDenied"),
    Denial.NO_ROUTE: _problem(400, "BadRequest"),
    Rejection.NOT_FOUND: _problem(404, "ErrorItemNotFound"),
    Rejection.KEY_REUSED: _problem(400, "ErrorDuplicateTransactionId"),
    Rejection.STALE_VERSION: _problem(412, "ErrorIrresolvableConflict"),
    Rejection.NOT_BOOKED: _problem(400, "ErrorInvalidRequest"),
    Rejection.INVALID: _problem(400, "ErrorInvalidRequest"),
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Moment(_Strict):
    """Graph knows other zones; here only UTC is spoken."""

    wall: NaiveDatetime = Field(alias="dateTime")
    zone: Literal["UTC"] = Field(alias="timeZone")

    @property
    def instant(self) -> datetime:
        return self.wall.replace(tzinfo=UTC)


class _Extended(_Strict):
    id: Annotated[str, StringConstraints(pattern=_ID)]
    value: str


class _Patch(_Strict):
    """Of what "Update event" lists, the properties that anybody here would send."""

    subject: str | None = None
    shown_as: Literal["free", "tentative", "busy", "oof", "workingElsewhere"] | None = Field(
        alias="showAs", default=None
    )
    sensitivity: Literal["normal", "personal", "private", "confidential"] | None = None
    reminds: bool | None = Field(alias="isReminderOn", default=None)
    start: _Moment | None = None
    end: _Moment | None = None
    extended: tuple[_Extended, ...] = Field(alias="singleValueExtendedProperties", default=())


class _New(_Patch):
    subject: str
    start: _Moment
    end: _Moment
    transaction: str | None = Field(alias="transactionId", default=None)


class _Search(_Strict):
    filter: Annotated[str, StringConstraints(pattern=_FILTER.pattern)] = Field(alias="$filter")
    expand: Annotated[str, StringConstraints(pattern=_EXPAND.pattern)] = Field(alias="$expand")


class _Slot(_Strict):
    start: AwareDatetime = Field(alias="startDateTime")
    end: AwareDatetime = Field(alias="endDateTime")
    select: str | None = Field(alias="$select", default=None)
    top: Annotated[int, Field(ge=1, le=1000)] = Field(alias="$top", default=10)


class _Facts(BaseModel):
    """What the engine does not keep of an event; stands in the reason of its latest write."""

    subject: str
    shown_as: str
    transaction: str | None
    extended: dict[str, str]


def _facts(event: Appointment) -> _Facts:
    return _Facts.model_validate_json(event.booking.reason or "")


def _shown(event: Appointment, *properties: str) -> dict[str, Any]:
    facts = _facts(event)
    shown: dict[str, Any] = {
        "@odata.etag": f'W/"{event.version}"',
        "id": event.id,
        "changeKey": str(event.version),
        "transactionId": facts.transaction,
        "subject": facts.subject,
        "showAs": facts.shown_as,
        "isAllDay": False,
        "isCancelled": False,
        "type": "singleInstance",
        "attendees": [],
    }
    for name, instant in (("start", event.booking.start), ("end", event.booking.end)):
        shown[name] = {"dateTime": f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": "UTC"}
    held = [{"id": each, "value": facts.extended[each]} for each in properties if each in facts.extended]
    return shown | ({"singleValueExtendedProperties": held} if held else {})


def _latest(extended: tuple[_Extended, ...]) -> str | None:
    """The gateway's key of this write, which the observer looks for: the second half of its property."""
    for each in extended:
        if each.id.endswith(" Name gateway"):
            return each.value.partition("/")[2] or None
    return None


def _calendar(call: Call) -> str:
    return f"{call.path['user']}/{call.path['calendar']}"


def _of_user(call: Call) -> Sequence[Appointment]:
    prefix = f"{call.path['user']}/"
    return [each for each in call.engine.appointments() if each.booking.participants[0].startswith(prefix)]


def create(call: Call) -> Reply:
    asked = call.body(_New)
    if asked.end.instant <= asked.start.instant:
        raise RejectedError(Rejection.INVALID)
    facts = _Facts(
        subject=asked.subject,
        shown_as=asked.shown_as or "busy",
        transaction=asked.transaction,
        extended={each.id: each.value for each in asked.extended},
    )
    booking = Booking(
        patient=_NOBODY,
        participants=(_calendar(call),),
        location=_NOBODY,
        service=_NOBODY,
        reason=facts.model_dump_json(),
        start=asked.start.instant,
        end=asked.end.instant,
    )
    for event in _of_user(call):
        if asked.transaction is not None and _facts(event).transaction == asked.transaction:
            if event.booking == booking:
                return document(201, _shown(event))  # reported: the same content again makes nothing new
            raise RejectedError(Rejection.KEY_REUSED)
    return document(201, _shown(call.engine.book(_latest(asked.extended), booking).appointment))


def update(call: Call) -> Reply:
    asked, event = call.body(_Patch), call.engine.appointment(call.path["event"])
    if event is None or event.booking.participants != (_calendar(call),):
        raise RejectedError(Rejection.NOT_FOUND)
    version, facts, key = str(event.version), _facts(event), _latest(asked.extended)
    if call.header("If-Match") not in (None, "*", f'W/"{version}"'):
        raise RejectedError(Rejection.STALE_VERSION)
    facts = facts.model_copy(
        update={
            "subject": asked.subject or facts.subject,
            "shown_as": asked.shown_as or facts.shown_as,
            "extended": {**facts.extended, **{each.id: each.value for each in asked.extended}},
        }
    )
    if facts.shown_as == "free":
        return document(200, _shown(call.engine.cancel(key, event.id, version, facts.model_dump_json()).appointment))
    start = asked.start.instant if asked.start else event.booking.start
    end = asked.end.instant if asked.end else event.booking.end
    booking = replace(event.booking, reason=facts.model_dump_json(), start=start, end=end)
    return document(200, _shown(call.engine.reschedule(key, event.id, version, booking).appointment))


def calendar(call: Call) -> Reply:
    return document(200, {"id": call.path["calendar"], "canEdit": call.may_write, "canViewPrivateItems": True})


def search(call: Call) -> Reply:
    """Of a calendar, or of a user's default calendar."""
    asked, place = call.query(_Search), f"{call.path['user']}/{call.path.get('calendar', DEFAULT_CALENDAR)}"
    wanted, expanded = _FILTER.fullmatch(asked.filter), _EXPAND.fullmatch(asked.expand)
    assert wanted is not None and expanded is not None
    name, start = wanted.groups()
    found = [
        each
        for each in call.engine.appointments()
        if each.booking.participants == (place,) and _facts(each).extended.get(name, "").startswith(start)
    ]
    return document(200, {"value": [_shown(each, expanded[1]) for each in found]})


def view(call: Call) -> Reply:
    asked = call.query(_Slot)
    inside = [
        each
        for each in call.engine.appointments()
        if each.booking.participants == (_calendar(call),)
        and each.booking.start <= asked.end
        and each.booking.end >= asked.start
    ]
    names = {"@odata.etag", *asked.select.split(",")} if asked.select else None
    shown = [
        {name: value for name, value in _shown(each).items() if names is None or name in names}
        for each in inside[: asked.top]
    ]
    more = {"@odata.nextLink": "https://graph.microsoft.com/more"} if len(inside) > asked.top else {}
    return document(200, {"value": shown, **more})


def twin(scheme: Scheme = Scheme.BEARER) -> Twin:
    """The twin, for callers who show a token that they have, or one that they are granted for a secret of `scheme`."""
    made = Twin(
        "twin of Microsoft Graph v1.0 events",
        scheme=scheme,
        tokens="/practice/oauth2/v2.0/token",
        terms=Terms(scope=SCOPE),
        exclusive=False,
        unique_keys=False,
        hides=("subject",),  # no event says whose it is
        refusals=_REFUSALS,
    )
    made.route("POST", "/users/{user}/calendars/{calendar}/events")(create)
    made.route("PATCH", "/users/{user}/calendars/{calendar}/events/{event}")(update)
    made.route("GET", "/users/{user}/calendars/{calendar}")(calendar)
    made.route("GET", "/users/{user}/events")(search)
    made.route("GET", "/users/{user}/calendars/{calendar}/events")(search)
    made.route("GET", "/users/{user}/calendars/{calendar}/calendarView")(view)
    return made


premises = twin(Scheme.CLIENT_CREDENTIALS).premises
