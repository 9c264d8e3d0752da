"""A twin of Google Calendar v3: the routes that the adapter uses, as strict as the discovery document and the guides.

Owns: Google's paths, parameters, shapes and words of refusal over the scheduling engine. It is no Google: a green run
against it proves the adapter against the documents. A cancelled event shows no times here, as none are promised.
The observer reads the engine's database past every route and shares no code with the adapter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from gateway.contracts.connection import Scheme
from gateway.testing.engine import Appointment, Booking, RejectedError, Rejection, Status
from gateway.testing.issuer import Terms
from gateway.testing.twin import Call, Denial, Twin, document
from gateway.testing.wire import Reply

SERVICE_ACCOUNT: Final = "gateway@practice.iam.gserviceaccount.com"
SCOPE: Final = "https://www.googleapis.com/auth/calendar.events"
_NOBODY: Final = "-"
_EVENT_ID: Final = re.compile(r"[0-9a-v]{5,1024}")
_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def _problem(status: int, domain: str, reason: str) -> Reply:
    """An error as the guide "Handle API errors" shows it."""
    error = {"domain": domain, "reason": reason, "message": reason}
    return document(status, {"error": {"errors": [error], "code": status, "message": reason}})


_REFUSALS: Final[Mapping[Rejection | Denial, Reply]] = {
    Denial.UNAUTHORISED: _problem(401, "global", "authError"),
    Denial.FORBIDDEN: _problem(403, "calendar", "requiredAccessLevel"),
    Denial.NO_ROUTE: _problem(404, "global", "notFound"),
    Rejection.NOT_FOUND: _problem(404, "global", "notFound"),
    Rejection.KEY_REUSED: _problem(409, "global", "duplicate"),
    Rejection.STALE_VERSION: _problem(412, "global", "conditionNotMet"),
    Rejection.NOT_BOOKED: _problem(403, "global", "forbidden"),
    Rejection.INVALID: _problem(400, "global", "invalid"),
}


def _timestamp(value: object) -> object:
    if not isinstance(value, str) or _RFC_3339.fullmatch(value) is None:
        raise ValueError("a time stamp with an offset")
    return value


Timestamp = Annotated[AwareDatetime, BeforeValidator(_timestamp)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class _Moment(_Strict):
    instant: Timestamp = Field(alias="dateTime")


class _Private(_Strict):
    private: dict[Annotated[str, StringConstraints(max_length=44)], Annotated[str, StringConstraints(max_length=1024)]]


class _Patch(_Strict):
    """What a patch may change here. `status` is the only field through which an event is cancelled."""

    summary: str | None = None
    status: Literal["confirmed", "tentative", "cancelled"] | None = None
    transparency: Literal["opaque", "transparent"] | None = None
    visibility: Literal["default", "public", "private", "confidential"] | None = None
    start: _Moment | None = None
    end: _Moment | None = None
    extended: _Private | None = Field(alias="extendedProperties", default=None)


class _New(_Patch):
    id: str
    start: _Moment
    end: _Moment


class _Writing(_Strict):
    updates: Literal["all", "externalOnly", "none"] | None = Field(alias="sendUpdates", default=None)


class _Listing(_Strict):
    after: Timestamp | None = Field(alias="timeMin", default=None)
    before: Timestamp | None = Field(alias="timeMax", default=None)
    single: Literal["true", "false"] = Field(alias="singleEvents", default="false")
    deleted: Literal["true", "false"] = Field(alias="showDeleted", default="false")
    having: str | None = Field(alias="privateExtendedProperty", default=None)
    fields: str | None = None


def _private(event: Appointment) -> Mapping[str, str]:
    """An event's private properties, which the engine keeps as the reason of its latest write."""
    kept: Mapping[str, str] = json.loads(event.booking.reason or "{}")
    return kept


def _shown(event: Appointment) -> dict[str, Any]:
    etag = {"kind": "calendar#event", "etag": f'"{event.version}"', "id": event.keys[0]}
    if event.status is Status.CANCELLED:
        return {**etag, "status": "cancelled", "extendedProperties": {"private": _private(event)}}
    times = {
        name: {"dateTime": instant.astimezone(UTC).isoformat().replace("+00:00", "Z"), "timeZone": "UTC"}
        for name, instant in (("start", event.booking.start), ("end", event.booking.end))
    }
    properties = {"extendedProperties": {"private": _private(event)}}
    return {**etag, "status": "confirmed", "summary": event.booking.service, **times, **properties}


def _found(call: Call) -> Appointment:
    """The event of the path's id in the path's calendar; its id is the key that it was inserted under."""
    for event in call.engine.search(call.path["event"]):
        if event.keys[0] == call.path["event"] and event.booking.participants == (call.path["calendar"],):
            return event
    raise RejectedError(Rejection.NOT_FOUND)


def _key(private: Mapping[str, str]) -> str | None:
    return private.get("gatewayKey")


def insert(call: Call) -> Reply:
    asked = call.body(_New)
    call.query(_Writing)
    if _EVENT_ID.fullmatch(asked.id) is None or asked.end.instant <= asked.start.instant:
        raise RejectedError(Rejection.INVALID)
    if any(each.keys[0] == asked.id for each in call.engine.search(asked.id)):
        raise RejectedError(Rejection.KEY_REUSED)  # a deleted event keeps its id
    booking = Booking(
        patient=_NOBODY,
        participants=(call.path["calendar"],),
        location=_NOBODY,
        service=asked.summary or "",
        reason=json.dumps(asked.extended.private if asked.extended else {}),
        start=asked.start.instant,
        end=asked.end.instant,
    )
    return document(200, _shown(call.engine.book(asked.id, booking).appointment))


def patch(call: Call) -> Reply:
    asked, event = call.body(_Patch), _found(call)
    call.query(_Writing)
    version = str(event.version)
    if call.header("If-Match") not in (None, "*", f'"{version}"'):
        raise RejectedError(Rejection.STALE_VERSION)
    sent = asked.extended.private if asked.extended else {}
    private = {**_private(event), **sent}
    if asked.status == "cancelled":
        written = call.engine.cancel(_key(sent), event.id, version, json.dumps(private))
    else:
        start = asked.start.instant if asked.start else event.booking.start
        end = asked.end.instant if asked.end else event.booking.end
        booking = replace(event.booking, reason=json.dumps(private), start=start, end=end)
        written = call.engine.reschedule(_key(sent), event.id, version, booking)
    return document(200, _shown(written.appointment))


def get(call: Call) -> Reply:
    return document(200, _shown(_found(call)))


def listed(call: Call) -> Reply:
    asked = call.query(_Listing)
    name, _, value = (asked.having or "").partition("=")
    shown = [
        _shown(event)
        for event in call.engine.appointments()
        if event.booking.participants == (call.path["calendar"],)
        and (asked.deleted == "true" or event.status is Status.BOOKED)
        and (asked.after is None or event.booking.end > asked.after)
        and (asked.before is None or event.booking.start < asked.before)
        and (asked.having is None or _private(event).get(name) == value)
    ]
    role = "owner" if call.may_write else "reader"
    return document(200, {"kind": "calendar#events", "accessRole": role, "items": shown})


def twin(scheme: Scheme = Scheme.BEARER) -> Twin:
    """The twin, for callers who show a token that they have, or one that they are granted for a secret of `scheme`."""
    made = Twin(
        "twin of Google Calendar v3",
        scheme=scheme,
        tokens="/token",
        terms=Terms(client_id=SERVICE_ACCOUNT, scope=SCOPE),
        exclusive=False,
        unique_keys=False,
        hides=("subject",),  # no event says whose it is
        refusals=_REFUSALS,
    )
    made.route("POST", "/calendars/{calendar}/events")(insert)
    made.route("PATCH", "/calendars/{calendar}/events/{event}")(patch)
    made.route("GET", "/calendars/{calendar}/events/{event}")(get)
    made.route("GET", "/calendars/{calendar}/events")(listed)
    return made


premises = twin(Scheme.JWT_BEARER).premises
