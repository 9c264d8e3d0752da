"""Particulars to R4 Appointment and Slot, and back. Pure: no I/O, no clock.

Owns: how the practice's identifiers are read, which elements of an Appointment are ours, and the comparison of a
stored one with what was approved.
Refuses: identifiers that cannot be spelled as a reference, or that a search would read as several.

An identifier in the practice's registry is an id (`17`) or a reference (`PractitionerRole/17`). A bare id is of the
type that its reference in the particulars names: Patient, Practitioner, Device, Location, HealthcareService. A service
may also be a coding, `system|code`; it then stands in `serviceType`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from adapters.fhir.resources import (
    ID,
    UNESCAPED,
    Appointment,
    Held,
    Offer,
    Raw,
    Reference,
    Slot,
    instant,
    kind_of,
    local_reference,
)
from gateway.contracts.adapter import Receipt, Request, TargetState
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation, Role
from gateway.contracts.words import ObservationFinding

KEY_SYSTEM: Final = "urn:uuid:e981a825-bf72-448e-860c-b9f6e6da2f88"
"""The namespace of native keys in `Appointment.identifier`: an identifier of ours, of nobody's patient."""

REASON_SYSTEM: Final = "reason-system"
"""Setting: the code system of coded reasons. Without it a reason's code is written as text."""

ACTION_COMMENT: Final = "https://fhir-ehr.cerner.com/r4/StructureDefinition/action-comment"
"""Oracle Health's extension for a comment on the latest action (its Appointment page, Custom Extensions)."""

PENDING: Final = frozenset({"proposed", "pending"})
"""Statuses of an appointment that was accepted and is not yet made (valueset-appointmentstatus.html, C-35)."""

_TYPES: Final[Mapping[Role, str]] = MappingProxyType({Role.PRACTITIONER: "Practitioner", Role.DEVICE: "Device"})
_SCHEDULED: Final = frozenset({"Practitioner", "PractitionerRole", "Device"})
_REFERENCE: Final = re.compile(rf"[A-Z][A-Za-z]{{1,39}}/{ID.pattern}")
_CODING: Final = re.compile(rf"({UNESCAPED}{{1,200}})\|({UNESCAPED}{{1,100}})")


def is_expressible(request: Request) -> bool:
    """Whether identifiers can be spelled as references, and times as instants that a server keeps (milliseconds).

    Raises KeyError for an identifier that the practice did not bind.
    """
    times = (request.particulars.start, request.particulars.end)
    names = (*_references(request), service(request))
    known = all(_REFERENCE.fullmatch(name) or _CODING.fullmatch(name) for name in names)
    return known and all(moment.microsecond % 1000 == 0 and moment.year >= 1000 for moment in times)


def patient(request: Request) -> str:
    return _typed(request.identifiers[request.particulars.patient], "Patient")


def scheduled(request: Request) -> tuple[str, ...]:
    """Whose schedules a slot must be free in: practitioners and devices."""
    return tuple(
        _typed(request.identifiers[each.participant], _TYPES[each.role]) for each in request.particulars.participants
    )


def location(request: Request) -> str:
    return _typed(request.identifiers[request.particulars.location], "Location")


def everyone(request: Request) -> tuple[str, ...]:
    """All that takes part, as `Type/id`, the patient first."""
    what = service(request)
    return (*_references(request), what) if _REFERENCE.fullmatch(what) else _references(request)


def appointment(request: Request, slots: Iterable[str] = ()) -> Raw:
    """The Appointment of a booking, under its native key."""
    content: dict[str, Any] = {
        "resourceType": "Appointment",
        "identifier": [_identifier(request.native_key())],
        "status": "booked",
        **_service_type(request),
        "start": instant(request.particulars.start),
        "end": instant(request.particulars.end),
        "participant": [_participant(name) for name in everyone(request)],
    }
    if request.particulars.reason is not None:
        content["reasonCode"] = [reason(request)]
    if named := [{"reference": name} for name in slots]:
        content["slot"] = named
    return content


def changed(stored: Held[Appointment], request: Request, slots: Iterable[str] = ()) -> Raw:
    """The stored Appointment with the approved change and its native key; everything else as it was."""
    raw: Mapping[str, Any] = _untold(stored.raw)
    changes: dict[str, Any] = {"identifier": [*raw.get("identifier", []), _identifier(request.native_key())]}
    if request.operation is Operation.CANCEL:
        changes["status"] = "cancelled"
        if request.particulars.reason is not None:
            changes["cancelationReason"] = reason(request)
        return {**raw, **changes}
    start, end = request.particulars.start, request.particulars.end
    changes |= {"start": instant(start), "end": instant(end), **_service_type(request)}
    changes |= {"participant": participants(raw["participant"], request)}
    changes |= {"slot": [{"reference": name} for name in slots] or None}
    if "minutesDuration" in raw:
        changes["minutesDuration"] = int((end - start).total_seconds() // 60)
    return {name: value for name, value in {**raw, **changes}.items() if value is not None}


def occupied(slot: Held[Slot], *, free: bool) -> Raw:
    return {**_untold(slot.raw), "status": "free" if free else "busy"}


def reason(request: Request) -> dict[str, Any]:
    code, system = request.particulars.reason, request.settings.get(REASON_SYSTEM)
    return {"coding": [{"system": system, "code": code}]} if isinstance(system, str) else {"text": code}


def has_key(stored: Appointment, key: str) -> bool:
    """Whether a write under this key made the Appointment, or changed it: by an identifier of ours or, where a server
    keeps none, by a comment of ours, to which people may have added."""
    told = [stored.comment, *(each.value_string for each in stored.extension if each.url == ACTION_COMMENT)]
    named = any((each.system, each.value) == (KEY_SYSTEM, key) for each in stored.identifier)
    return named or any(comment(key) in text for text in told if text)


def comment(key: str) -> str:
    return f"Gateway reference {key}"


def holds(stored: Appointment, request: Request) -> bool:
    """Whether times and people are the approved ones; of several patients none is."""
    times = (request.particulars.start, request.particulars.end)
    everybody = set(everyone(request)) <= actors(stored, request)
    return (stored.start, stored.end) == times and everybody and _is_of_patient(stored, request)


def in_force(stored: Appointment, request: Request) -> bool:
    """Whether the Appointment is what this request was to make of it, under this request's key."""
    status = "cancelled" if request.operation is Operation.CANCEL else "booked"
    return stored.status == status and has_key(stored, request.native_key()) and holds(stored, request)


def receipt(stored: Held[Appointment], request: Request, slots: Iterable[str] | None = None) -> Receipt:
    """What a success means, by the Appointment that is in force after it; `slots` where the write named them."""
    kept = slots is None or held_slots(stored.content, request) == set(slots)
    if stored.content.status in PENDING:
        return Receipt.unknown(Code.ACCEPTED_PENDING)
    if not kept or not in_force(stored.content, request):
        return Receipt.unknown(Code.REPLY_DEVIATES)
    return Receipt.applied(identifier=stored.content.id, version=stored.versioned)


def target_state(stored: Held[Appointment] | None, request: Request) -> TargetState:
    """Whether the Appointment to move or cancel is the approved patient's, booked, at the approved version.

    For a cancellation the reviewer saw the appointment itself: time and people must be as they were shown. One that is
    other patients' as well, a group's, is never moved for one of them.
    """
    if stored is None:
        return TargetState.ABSENT
    if stored.versioned is None or not stored.writable:
        return TargetState.UNVERIFIABLE
    same = (holds if request.operation is Operation.CANCEL else _is_of_patient)(stored.content, request)
    current = stored.content.status == "booked" and request.is_approved_version(stored.versioned)
    return TargetState.OPEN if same and current else TargetState.CHANGED


def finding(stored: Held[Appointment] | None, request: Request) -> ObservationFinding:
    """Did the commit with this key happen? `stored` is the booking's Appointment, or the one that was to be changed.

    A change is proven not to have happened only while the Appointment is still at the approved version: whoever wrote
    since may have dropped our identifier. One that is pending under our key may yet be made, or not.
    """
    if stored is not None and has_key(stored.content, request.native_key()):
        if stored.content.status in PENDING:
            return ObservationFinding.INDETERMINATE
        made = in_force(stored.content, request)
        return ObservationFinding.PRESENT if made else ObservationFinding.DIFFERENT
    if request.operation is Operation.BOOK:
        return ObservationFinding.ABSENT if stored is None else ObservationFinding.DIFFERENT
    unchanged = stored is not None and stored.versioned is not None and request.is_approved_version(stored.versioned)
    return ObservationFinding.ABSENT if unchanged else ObservationFinding.INDETERMINATE


def is_alike(stored: Appointment, request: Request) -> bool:
    """Whether this Appointment could be the one that was asked for, its key aside."""
    return stored.status != "cancelled" and holds(stored, request)


def actors(stored: Appointment | Offer, request: Request) -> set[str]:
    return {_local(each.actor, request) for each in stored.participant}


def held_slots(stored: Appointment, request: Request) -> frozenset[str]:
    return frozenset(_local(each, request) for each in stored.slot)


def _local(reference: Reference, request: Request) -> str:
    return local_reference(reference.reference, request.connection.base_url)


def _is_of_patient(stored: Appointment, request: Request) -> bool:
    """And of nobody else, here or at another server."""
    return {name for name in actors(stored, request) if kind_of(name) == "Patient"} == {patient(request)}


def _untold(raw: Raw) -> Raw:
    """Without a narrative that was made from the data, and would tell of them as they were (narrative.html)."""
    text = raw.get("text")
    made = isinstance(text, dict) and text.get("status") in ("generated", "extensions")
    return {name: value for name, value in raw.items() if not (made and name == "text")}


def _references(request: Request) -> tuple[str, ...]:
    return (patient(request), *scheduled(request), location(request))


def _typed(identifier: str, kind: str) -> str:
    return f"{kind}/{identifier}" if ID.fullmatch(identifier) else identifier


def service(request: Request) -> str:
    return _typed(request.identifiers[request.particulars.service], "HealthcareService")


def service_coding(request: Request) -> tuple[str, str] | None:
    """(system, code) of a service that is spelled as a coding."""
    coding = _CODING.fullmatch(service(request))
    return (coding[1], coding[2]) if coding else None


def _service_type(request: Request) -> dict[str, Any]:
    coding = service_coding(request)
    return {"serviceType": [{"coding": [{"system": coding[0], "code": coding[1]}]}]} if coding else {}


def _identifier(key: str) -> dict[str, str]:
    return {"system": KEY_SYSTEM, "value": key}


def _participant(name: str) -> dict[str, Any]:
    return {"actor": {"reference": name}, "required": "required", "status": "accepted"}


def participants(stored: Sequence[Mapping[str, Any]], request: Request) -> list[Mapping[str, Any]]:
    """The approved people and things, as they were stored where they were; whoever else was there, an interpreter or a
    relative, stays, and so does any patient. Practitioners, devices and places that are no longer approved go."""
    names, base = everyone(request), request.connection.base_url
    replaced = (_SCHEDULED | {kind_of(name) for name in names}) - {"Patient"}
    named = [(local_reference(each.get("actor", {}).get("reference"), base), each) for each in stored]
    kept = [each for name, each in named if name not in names and kind_of(name) not in replaced]
    known = dict(named)
    return [*(known.get(name) or _participant(name) for name in names), *kept]
