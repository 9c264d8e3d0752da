"""The dialects that book by an operation: `$book` of IHE ITI Scheduling 1.0.0, and of Medplum (beta, 2026).

Owns: what is offered (`$find`), what is asked (`$book`), and that a success can hold a failure.
Refuses: to reschedule and to cancel. IHE's `$book` and Medplum's `$reschedule` and `$cancel` take no version to
compare, so an appointment that changed after it was approved would be changed again; Medplum's two take no key either,
so that nobody could find out whether a lost one was made.

The native key travels in `Appointment.identifier`, which IHE's profile must support and Medplum stores; neither refuses
a second use of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal
from urllib.parse import urlsplit

import httpx
from pydantic import ValidationError

from adapters.fhir import availability, looking, mapping, replies
from adapters.fhir.capability import Needs
from adapters.fhir.resources import (
    ACCEPT,
    MIME_TYPE,
    Appointment,
    Bundle,
    Element,
    Held,
    Offer,
    Raw,
    Whole,
    body,
    held,
    instant,
)
from gateway.contracts.adapter import (
    Authorized,
    Basis,
    Claim,
    Descriptor,
    Exclusivity,
    Idempotency,
    Observation,
    Query,
    Readiness,
    Receipt,
    Request,
    TargetState,
)
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from gateway.kit.reading import READS, not_ready, shaped
from gateway.kit.replies import Table, judge

_HEADERS: Final = {**ACCEPT, "Content-Type": MIME_TYPE}
_FIND: Final = "Appointment/$find"
_BOOK: Final = "Appointment/$book"


@dataclass(frozen=True, slots=True)
class Plan:
    """The Appointment as the server offered it."""

    offer: Raw = field(repr=False)


class Returned(Element):
    name: str
    resource: Raw | None = None


class Parameters(Element):
    resource_type: Literal["Parameters"]
    parameter: tuple[Returned, ...] = ()


class Booking(ABC):
    """Implements `Adapter`; what differs is how availability is asked for, and how a booking is."""

    table: ClassVar[Table]
    reads: ClassVar[Mapping[str, frozenset[str]]]

    def describe(self, connection: Connection) -> Descriptor:
        """Both documents say that the server checks that the time is still available before it books."""
        return Descriptor(
            adapter="fhir",
            operations=(Operation.BOOK,),
            idempotency=Idempotency.LOOKUP,
            exclusivity=Exclusivity.ENFORCED,
            observation=Basis.BY_KEY,
            settling_seconds=looking.settling(connection),
            safe_posts=(f"{urlsplit(connection.base_url).path.rstrip('/')}/{_FIND}",),
            requests_per_attempt=9,  # readiness 4 (statement, SMART, schedules, offers), commit 4, a look
        )

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        """By reads alone. `prepared` is a Plan."""
        if request.operation is not Operation.BOOK or not self.can_say(request):
            return not_ready(Code.REPLY_UNRECOGNISED)
        needs = Needs(reads=self.reads, writes={"Appointment": frozenset({"$book"})})
        try:
            capable = await looking.capability(request, needs, read)
            offers = await self._exactly(request, read)
        except Refusal as refusal:
            return not_ready(refusal.code)
        if len(offers) != 1:
            return looking.readiness(capable, TargetState.UNVERIFIABLE if offers else TargetState.TAKEN)
        return looking.readiness(capable, TargetState.OPEN, Plan(offers[0]))

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        """One `$book`. Refused, or a success without an Appointment in it: a look tells what stands in the way."""
        request = authorized.request
        if request.operation is not Operation.BOOK:
            raise ValueError("this dialect can only book")
        asked = {"resourceType": "Parameters", "parameter": [self.asked(request, authorized.prepared.offer)]}
        reply = await write.post(_BOOK, content=body(asked), headers=_HEADERS)
        try:
            stored, word = _told(reply)
            receipt = judge(self.table, reply.status_code, word)
            if replies.is_ambiguous(self.table, reply) or (receipt.claim is Claim.REFUSED and word == replies.OUTCOME):
                settled = await self._settled(request, write)
                return judge(replies.SETTLED, settled) if settled else receipt
        except Refusal:
            return Receipt.unknown()
        if receipt.claim is not Claim.APPLIED or stored is None:
            return receipt
        return mapping.receipt(stored, request)

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        request = query.request
        try:
            stored = await self._appointment(request, read)
        except Refusal:
            return Observation(finding=ObservationFinding.INDETERMINATE, basis=Basis.BY_KEY)
        return Observation(
            finding=mapping.finding(stored, request),
            basis=Basis.BY_KEY,
            version=stored.versioned if stored else None,
            identifier=stored.content.id if stored else None,
        )

    def can_say(self, request: Request) -> bool:
        return mapping.is_expressible(request)

    @abstractmethod
    async def offers(self, request: Request, read: httpx.AsyncClient) -> httpx.Response:
        """The reply to `$find` for the approved time; raises `Refusal` where it cannot be asked."""

    @abstractmethod
    def asked(self, request: Request, offer: Raw) -> Mapping[str, Any]:
        """The parameter of `$book`."""

    def also(self, request: Request) -> Mapping[str, str | list[str]]:
        """Parameters that a search by key needs besides."""
        return {}

    async def _exactly(self, request: Request, read: httpx.AsyncClient) -> list[Raw]:
        """The offers of exactly what was approved."""
        reply = await self.offers(request, read)
        if reply.status_code != 200:
            raise Refusal(READS.get(reply.status_code, Code.REPLY_UNRECOGNISED))
        offers = _appointments(_returned(reply.content).matches)
        return [raw for raw in offers if availability.is_offered(_offer(raw), request)]

    async def _appointment(self, request: Request, read: httpx.AsyncClient) -> Held[Appointment] | None:
        return await looking.by_key(request.native_key(), read, self.also(request))

    async def _settled(self, request: Request, read: httpx.AsyncClient) -> str | None:
        """The word of `replies.SETTLED` for what a look finds; the offers first, then the Appointment."""
        free = await self._exactly(request, read)
        if await self._appointment(request, read) is not None:
            return replies.KEY
        return looking.settled(None if free else replies.SLOT_MOVED, request.connection)


class IheBook(Booking):
    """ITI-115 and ITI-117. A search needs patient and date beside the identifier (ITI-118)."""

    table = replies.IHE_BOOK
    reads: ClassVar = {"Appointment": frozenset({"read", "search-type", "$find"})}

    def can_say(self, request: Request) -> bool:
        """Several practitioners would be alternatives to `$find`, and it has no devices."""
        one = [name.startswith("Practitioner/") for name in mapping.scheduled(request)] == [True]
        return one and super().can_say(request)

    async def offers(self, request: Request, read: httpx.AsyncClient) -> httpx.Response:
        (practitioner,) = mapping.scheduled(request)
        asked = [
            {"name": "start", "valueDateTime": instant(request.particulars.start)},
            {"name": "end", "valueDateTime": instant(request.particulars.end)},
            {"name": "practitioner", "valueReference": {"reference": practitioner}},
            {"name": "location-reference", "valueReference": {"reference": mapping.location(request)}},
            {"name": "patient-reference", "valueReference": {"reference": mapping.patient(request)}},
        ]
        return await read.post(
            _FIND, content=body({"resourceType": "Parameters", "parameter": asked}), headers=_HEADERS
        )

    def asked(self, request: Request, offer: Raw) -> Mapping[str, Any]:
        """A new Appointment is `pending`; the profile wants the period that was asked for."""
        approved = mapping.appointment(request)
        period = {"start": approved["start"], "end": approved["end"]}
        return {
            "name": "appointment-resource",
            "resource": {**approved, "status": "pending", "requestedPeriod": [period]},
        }

    def also(self, request: Request) -> Mapping[str, str | list[str]]:
        return {"patient": mapping.patient(request), "date": looking.year_around(request)}


class MedplumBook(Booking):
    """An offer goes back as it came, with the patient and the key."""

    table = replies.MEDPLUM_BOOK
    reads: ClassVar = {
        "Appointment": frozenset({"read", "search-type", "$find"}),
        "Schedule": frozenset({"search-type"}),
    }

    def can_say(self, request: Request) -> bool:
        """A service is a HealthcareService, never a coding."""
        return super().can_say(request) and mapping.service_coding(request) is None

    async def offers(self, request: Request, read: httpx.AsyncClient) -> httpx.Response:
        """Everybody who is scheduled has one Schedule, of nobody else."""
        schedules = [each for each in await looking.schedules(request, read) if each.active]
        availability.only_asked(schedules, (), request)
        names = mapping.scheduled(request)
        kept = [[each for each in schedules if availability.is_of(each, name, request)] for name in names]
        if any(len(each) != 1 or len(each[0].actor) != 1 for each in kept):
            raise Refusal(Code.REPLY_UNRECOGNISED)
        asked: dict[str, str | list[str]] = {
            "start": instant(request.particulars.start),
            "end": instant(request.particulars.end),
            "service-type-reference": mapping.service(request),
            "schedule": [f"Schedule/{each[0].id}" for each in kept],
        }
        return await read.get(_FIND, params=asked, headers=ACCEPT)

    def asked(self, request: Request, offer: Raw) -> Mapping[str, Any]:
        approved: Mapping[str, Any] = mapping.appointment(request)
        stored: Any = offer.get("participant", [])
        people = mapping.participants(stored, request)
        ours = {name: approved[name] for name in ("identifier", "reasonCode") if name in approved}
        return {"name": "appointment", "resource": {**offer, **ours, "participant": people}}


def _told(reply: httpx.Response) -> tuple[Held[Appointment] | None, str]:
    """The Appointment in a success, and the word of the tables for what the reply holds; raises `Refusal` where a
    success holds neither one Appointment nor a failure."""
    if not 200 <= reply.status_code <= 299 or reply.status_code == 202:
        return None, ""
    bundle = _returned(reply.content)
    appointments = _appointments(each.resource for each in bundle.entry)
    failed = [each.failed for each in bundle.outcomes]
    if len(appointments) == 1:
        return held(Appointment, appointments[0]), replies.BOTH if any(failed) else replies.APPOINTMENT
    if appointments or not any(failed) or len(failed) != len(bundle.entry):
        raise Refusal(Code.REPLY_UNRECOGNISED)
    return None, replies.OUTCOME


def _returned(content: bytes) -> Bundle:
    """The Bundle that an operation returns: as it is, or as the parameter `return` (operations.html#response). Raises
    `Refusal`."""
    whole = shaped(Whole, content).root
    try:
        if whole.get("resourceType") != "Parameters":
            return Bundle.model_validate(whole)
        (only,) = [each.resource for each in Parameters.model_validate(whole).parameter if each.name == "return"]
        return Bundle.model_validate(only)
    except ValueError:
        raise Refusal(Code.REPLY_UNRECOGNISED) from None


def _appointments(resources: Iterable[Raw | None]) -> list[Raw]:
    return [raw for raw in resources if raw and raw.get("resourceType") == "Appointment"]


def _offer(raw: Raw) -> Offer:
    try:
        return Offer.model_validate(raw)
    except ValidationError:
        raise Refusal(Code.REPLY_UNRECOGNISED) from None
