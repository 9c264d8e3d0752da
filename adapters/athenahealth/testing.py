"""A twin of athenaOne REST v1, ready for a conformance run: no athenahealth system takes part.

Owns: one practice with one department, one provider whose every half hour is an open slot, one appointment reason and
four patients, over the scheduling engine. Requests are held to athenahealth's reference; replies have the shapes and
words that its Preview environment was recorded to give (DIVERGENCES.md says which, and what is assumed here).
Invariants: a slot's id is an appointment's id while it is booked, and never opens again; whatever is freed opens as a
new slot. The observer reads the engine, past every route, and shares no code with the adapter.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.contracts.connection import Scheme
from gateway.testing.engine import Appointment, Booking, Engine, Rejection, Status
from gateway.testing.issuer import Terms
from gateway.testing.premises import Premises
from gateway.testing.twin import Call, Denial, Twin, document
from gateway.testing.wire import Reply

PRACTICE: Final = "195900"
SCOPE: Final = "athena/service/Athenanet.MDP.*"
DEPARTMENT: Final = "1"
PROVIDER: Final = "71"
REASON: Final = "563"
TYPE: Final = "82"
PATIENTS: Final = ("7315081", "7315082", "7315083", "7315084")
ZONE: Final = ZoneInfo("America/New_York")
_SLOT: Final = timedelta(minutes=30)
_GENERATIONS: Final = 1000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER: Final = re.compile(r"[0-9]{1,12}", re.ASCII)


def problem(status: int, error: str, **more: object) -> Reply:
    """athenaOne's errors begin with two empty lines."""
    reply = document(status, {**more, "error": error})
    return replace(reply, body=b"\n\n" + reply.body)


def _missing(*fields: str) -> Reply:
    return problem(400, "Additional fields are required.", missingfields=fields)


NOT_THERE: Final = problem(404, "The appointment is not available.")
NOT_BOOKED: Final = problem(400, "Appointment ID is not a booked appointment")
TAKEN: Final = problem(
    409,
    "That appointment time was already booked or not available for booking.",
    detailedmessage="The appointment ID is already booked or is not marked as being available to be scheduled via the"
    " API.",
)
UNSCHEDULED: Final = problem(403, "The API user may not schedule appointments.")

TWIN: Final = Twin(
    "twin of athenaOne REST v1 (no athenahealth system)",
    scheme=Scheme.CLIENT_CREDENTIALS,
    tokens="/oauth2/v1/token",
    hides=("keys",),  # none is ever sent
    terms=Terms(scope=SCOPE),
    refusals={
        Rejection.INVALID: problem(400, "The data provided is invalid."),
        Denial.UNAUTHORISED: Reply(
            status=401, headers=(("content-type", "text/xml"),), body=b"<h1>Not Authorized</h1>"
        ),
        Denial.FORBIDDEN: UNSCHEDULED,
        Denial.NO_ROUTE: document(404, "Service not registered with API gateway."),
    },
)

Id = Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,12}$")]
Flag = Annotated[str, StringConstraints(pattern=r"^(true|false)$")]
UsDate = Annotated[str, StringConstraints(pattern=r"^[0-9]{2}/[0-9]{2}/[0-9]{4}$")]


class Asked(BaseModel):
    """What the reference does not list is refused, so that nothing is sent that nobody documented."""

    model_config = ConfigDict(extra="forbid")


class Page(Asked):
    departmentid: Id
    startdate: UsDate
    enddate: UsDate
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000
    offset: Annotated[int, Field(ge=0)] = 0

    @property
    def days(self) -> Sequence[date]:
        first, last = (datetime.strptime(each, "%m/%d/%Y").date() for each in (self.startdate, self.enddate))  # noqa: DTZ007 - a day at the department
        return [first + timedelta(days=number) for number in range((last - first).days + 1)]

    def cut(self, entries: Sequence[dict[str, object]]) -> Reply:
        """One page, with the total, and the way to the next where there is more."""
        shown: dict[str, object] = {
            "totalcount": len(entries),
            "appointments": entries[self.offset : self.offset + self.limit],
        }
        if self.offset + self.limit < len(entries):
            shown["next"] = f"/v1/{PRACTICE}/appointments?limit={self.limit}&offset={self.offset + self.limit}"
        return document(200, shown)


class OpenQuery(Page):
    providerid: Id | None = None
    reasonid: Id | None = None
    appointmenttypeid: Id | None = None
    bypassscheduletimechecks: Flag = "false"
    ignoreschedulablepermission: Flag = "false"
    showfrozenslots: Flag = "false"


class BookedQuery(Page):
    patientid: Id | None = None
    providerid: Id | None = None
    appointmentstatus: str | None = None
    showcancelled: Flag = "false"


class Change(Asked):
    patientid: Id
    ignoreschedulablepermission: Flag = "false"
    nopatientcase: Flag = "false"


class Booked(Change):
    departmentid: Id | None = None
    reasonid: Id | None = None
    appointmenttypeid: Id | None = None
    bookingnote: str | None = None
    donotsendconfirmationemail: Flag = "false"
    urgent: Flag = "false"


class Rescheduled(Change):
    newappointmentid: Id
    reasonid: Id | None = None
    reschedulereason: str | None = None
    appointmentcancelreasonid: Id | None = None


class Cancelled(Change):
    cancellationreason: str | None = None
    appointmentcancelreasonid: Id | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A slot, open (`held` None) or taken once. `moved_to` is the slot that its patient was moved into."""

    id: str
    start: datetime
    held: Appointment | None = None
    moved_to: str | None = None

    @property
    def status(self) -> str:
        if self.held is None:
            return "o"
        return "x" if self.moved_to or self.held.status is Status.CANCELLED else "f"

    def is_held_by(self, patient: str) -> bool:
        return self.held is not None and self.status == "f" and self.held.booking.patient == patient

    def shown(self) -> dict[str, object]:
        local = self.start.astimezone(ZONE)
        content: dict[str, object] = {
            "date": f"{local:%m/%d/%Y}",
            "appointmentid": self.id,
            "starttime": f"{local:%H:%M}",
            "departmentid": DEPARTMENT,
            "appointmentstatus": self.status,
            "duration": int(_SLOT.total_seconds() // 60),
            "appointmenttypeid": TYPE,
            "appointmenttype": "Any 30",
            "providerid": PROVIDER,
            "chargeentrynotrequired": False,
            "patientappointmenttypename": "Established Patient",
        }
        if self.held is not None:
            content["patientid"] = self.held.booking.patient
        return content | ({"rescheduledappointmentid": self.moved_to} if self.moved_to else {})


class Schedule:
    """The provider's slots, as the engine's appointments leave them. An id is the slot's start and its generation: of
    each that was ever booked the engine keeps the id as the key of the write that took it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def entry(self, identifier: str) -> Entry | None:
        """The slot of that id, if it is or was one."""
        minute, generation = divmod(int(identifier), _GENERATIONS)
        start = _EPOCH + timedelta(minutes=minute)
        held = self._engine.find(identifier)
        if held is not None:
            later = held.keys[held.keys.index(identifier) + 1 :]
            return Entry(identifier, start, held, later[0] if later else None)
        found = self.at(start)
        return found[-1] if found and found[-1].id == identifier and generation >= 0 else None

    def at(self, start: datetime) -> Sequence[Entry]:
        """All that are or were at this time; the last is open, unless the provider is occupied."""
        if (start - _EPOCH) % _SLOT:
            return ()
        minute, found = int((start - _EPOCH).total_seconds() // 60), list[Entry]()
        for generation in count():
            identifier = str(minute * _GENERATIONS + generation)
            if self._engine.find(identifier) is None:
                break
            entry = self.entry(identifier)
            assert entry is not None
            found.append(entry)
        if self._engine.is_free((PROVIDER,), start, start + _SLOT):
            found.append(Entry(identifier, start))
        return found

    def on(self, days: Sequence[date]) -> Sequence[Entry]:
        """All slots of those days at the department, each once; an hour that the clocks show twice has one set."""
        times = [time(hour, minute) for hour in range(24) for minute in (0, 30)]
        starts = dict.fromkeys(datetime.combine(day, each, ZONE).astimezone(UTC) for day in days for each in times)
        return [entry for start in starts for entry in self.at(start)]

    def book(self, entry: Entry, patient: str) -> Entry:
        self._engine.book(entry.id, _booking(patient, entry.start))
        return self._now(entry.id)

    def move(self, entry: Entry, into: Entry) -> Entry:
        assert entry.held is not None
        held = entry.held
        self._engine.reschedule(into.id, held.id, str(held.version), _booking(held.booking.patient, into.start))
        return self._now(into.id)

    def cancel(self, entry: Entry, reason: str | None) -> Entry:
        assert entry.held is not None
        self._engine.cancel(None, entry.held.id, str(entry.held.version), reason)
        return self._now(entry.id)

    def _now(self, identifier: str) -> Entry:
        entry = self.entry(identifier)
        assert entry is not None
        return entry


def _booking(patient: str, start: datetime) -> Booking:
    return Booking(
        patient=patient,
        participants=(PROVIDER,),
        location=DEPARTMENT,
        service=REASON,
        reason=None,
        start=start,
        end=start + _SLOT,
    )


def _elsewhere(call: Call) -> Reply | None:
    """The refusal of another practice's path, or None."""
    if call.path["practice"] == PRACTICE:
        return None
    return problem(404, "Invalid practice.", detailedmessage="The practice ID does not exist.")


@TWIN.route("GET", "/v1/{practice}/appointments/open")
def open_slots(call: Call) -> Reply:
    """An account that may not schedule is shown no slots: assumed, as athenahealth documents no other sign of it."""
    if refusal := _elsewhere(call):
        return refusal
    if not call.may_write:
        return UNSCHEDULED
    asked = call.query(OpenQuery)
    known = (asked.departmentid, asked.providerid or PROVIDER) == (DEPARTMENT, PROVIDER)
    wanted = asked.reasonid in (REASON, "-1") or asked.appointmenttypeid == TYPE
    if asked.reasonid not in (None, "-1") and asked.providerid is None:
        wanted = False
    entries = Schedule(call.engine).on(asked.days) if known and wanted else ()
    shown = [entry.shown() for entry in entries if entry.held is None]
    numbers = ("appointmentid", "departmentid", "providerid", "appointmenttypeid")
    for each in shown:  # as recorded: numbers here, texts in every other reply
        each.pop("appointmentstatus")
        each.update({name: int(str(each[name])) for name in numbers})
    return asked.cut(shown)


@TWIN.route("GET", "/v1/{practice}/appointments/booked")
def booked(call: Call) -> Reply:
    if refusal := _elsewhere(call):
        return refusal
    asked = call.query(BookedQuery)
    entries = [] if asked.departmentid != DEPARTMENT else Schedule(call.engine).on(asked.days)
    hidden = {"o", "x"} if asked.showcancelled == "false" else {"o"}
    return asked.cut(
        [
            entry.shown()
            for entry in entries
            if entry.held is not None
            and entry.status not in hidden
            and asked.patientid in (None, entry.held.booking.patient)
            and asked.providerid in (None, PROVIDER)
            and asked.appointmentstatus in (None, entry.status)
        ]
    )


@TWIN.route("GET", "/v1/{practice}/appointments/{appointment}")
def appointment(call: Call) -> Reply:
    refusal, entry = _addressed(call)
    return document(200, [entry.shown()]) if entry else refusal


@TWIN.route("PUT", "/v1/{practice}/appointments/{appointment}")
def book(call: Call) -> Reply:
    refusal, entry = _addressed(call)
    if entry is None:
        return refusal
    asked = call.form(Booked)
    if asked.reasonid is None and asked.appointmenttypeid is None:
        return _missing("reasonid")
    if asked.patientid not in PATIENTS:
        return problem(400, "The specified patient does not exist in that department.")
    if asked.reasonid not in (None, REASON) or asked.appointmenttypeid not in (None, TYPE):
        return problem(400, "The data provided is invalid.", detailedmessage="Appointment type ID is invalid.")
    if entry.held is not None:
        return TAKEN
    return document(200, [Schedule(call.engine).book(entry, asked.patientid).shown()])


@TWIN.route("PUT", "/v1/{practice}/appointments/{appointment}/reschedule")
def reschedule(call: Call) -> Reply:
    refusal, entry = _addressed(call)
    if entry is None:
        return refusal
    asked = call.form(Rescheduled)
    if not entry.is_held_by(asked.patientid):
        return NOT_BOOKED
    into = Schedule(call.engine).entry(asked.newappointmentid)
    if into is None:
        return NOT_THERE
    if into.held is not None:
        return TAKEN
    shown = Schedule(call.engine).move(entry, into).shown()
    told = ("appointmentid", "departmentid", "appointmentstatus", "duration", "patientid", "appointmenttypeid")
    return document(200, [{name: shown[name] for name in told} | {"providerid": ""}])


@TWIN.route("PUT", "/v1/{practice}/appointments/{appointment}/cancel")
def cancel(call: Call) -> Reply:
    refusal, entry = _addressed(call)
    if entry is None:
        return refusal
    asked = call.form(Cancelled)
    if not entry.is_held_by(asked.patientid):
        return NOT_BOOKED
    return document(200, {"status": Schedule(call.engine).cancel(entry, asked.cancellationreason).status})


def _addressed(call: Call) -> tuple[Reply, Entry | None]:
    """What the path names, or else the refusal."""
    if refusal := _elsewhere(call):
        return refusal, None
    identifier = call.path["appointment"]
    number = _NUMBER.fullmatch(identifier)
    return NOT_THERE, Schedule(call.engine).entry(identifier) if number else None


@asynccontextmanager
async def premises() -> AsyncIterator[Premises]:
    """A twin with nobody booked; `vendor` may write, `limited` may only read."""
    async with TWIN.premises() as started:
        yield replace(started, base_url=f"{started.base_url}v1/{PRACTICE}/")
