"""What is free for what was approved: slots, offers, and times in which nobody takes part in anything.

Owns: which slots fill the approved time, in whose schedules, at which place and for which service. Pure, as `mapping`.
Refuses: slots that could be read in two ways (UNVERIFIABLE), and as `Refusal` more than was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.fhir import mapping
from adapters.fhir.resources import Appointment, Held, Offer, Schedule, Slot, kind_of, local_reference
from gateway.contracts.adapter import Request, TargetState
from gateway.contracts.failures import Code, Refusal


def chosen(
    schedules: Sequence[Schedule], slots: Sequence[Held[Slot]], request: Request, own: frozenset[str]
) -> tuple[TargetState, tuple[Held[Slot], ...]]:
    """The slots that fill the approved time in everybody's schedule: each open, one after the other, without a gap.

    `slots` are those that begin within the approved time; `own` are references of the appointment's own slots, which
    are open to it. Free slots that do not fill the time, or fill it twice, or are for another service, are
    UNVERIFIABLE: a person must choose. A schedule at other places than the approved one offers nothing; who is busy
    there is busy.
    """
    picked: dict[str, Held[Slot]] = {}
    for name in mapping.scheduled(request):
        theirs = [each for each in schedules if each.active and is_of(each, name, request)]
        mine = {f"Schedule/{each.id}": is_at(each, request) for each in theirs}
        if not any(mine.values()):
            return TargetState.UNVERIFIABLE, ()
        kept = [(kept_in(one.content, request), one) for one in slots if one.content.status != "entered-in-error"]
        every = [one for place, one in kept if place in mine]
        row = sorted((one for place, one in kept if mine.get(place)), key=lambda one: one.content.start)
        if not row or any(slot.content.status != "free" and slot.reference not in own for slot in every):
            return TargetState.TAKEN, ()
        ends = [request.particulars.start, *(slot.content.end for slot in row)]
        fills = all(slot.content.start == end for slot, end in zip(row, ends, strict=False))
        fills = fills and all(slot.writable and is_for(slot.content, request) for slot in row)
        if not fills or ends[-1] != request.particulars.end:
            return TargetState.UNVERIFIABLE, ()
        picked |= {slot.reference: slot for slot in row}
    return TargetState.OPEN, tuple(picked.values())


def kept_in(slot: Slot, request: Request) -> str:
    """The slot's schedule, `Schedule/id`."""
    return local_reference(slot.schedule.reference, request.connection.base_url)


def is_for(slot: Slot, request: Request) -> bool:
    """Whether a slot is for the approved service, or states none that could be compared with it."""
    stated = {(each.system, each.code) for concept in slot.service_type for each in concept.coding}
    return not stated or mapping.service_coding(request) in (None, *stated)


def is_of(schedule: Schedule, name: str, request: Request) -> bool:
    return name in _actors(schedule, request)


def is_at(schedule: Schedule, request: Request) -> bool:
    """Whether a schedule is of the approved place, or of none in particular."""
    places = {name for name in _actors(schedule, request) if kind_of(name) == "Location"}
    return not places or mapping.location(request) in places


def only_asked(schedules: Sequence[Schedule], slots: Sequence[Held[Slot]], request: Request) -> None:
    """Raises `Refusal` where a server answered more than it was asked: it ignores a parameter, and may ignore all."""
    asked = {f"Schedule/{each.id}" for each in schedules}
    strange = any(_actors(each, request).isdisjoint(mapping.scheduled(request)) for each in schedules)
    start, end = request.particulars.start, request.particulars.end
    for slot in slots:
        strange = strange or kept_in(slot.content, request) not in asked or not start <= slot.content.start < end
    if strange:
        raise Refusal(Code.REPLY_UNRECOGNISED)


def is_busy(stored: Appointment, request: Request, *, besides: str | None) -> bool:
    """Whether an Appointment takes up some of the approved time; one without times does."""
    if stored.status in ("cancelled", "noshow", "entered-in-error") or stored.id == besides:
        return False
    if stored.start is None or stored.end is None:
        return True
    return stored.start < request.particulars.end and stored.end > request.particulars.start


def is_offered(offer: Offer, request: Request) -> bool:
    """Whether a proposed Appointment is at the approved time, of the approved people and, where it names one, place."""
    actors = mapping.actors(offer, request)
    bound = {name for name in actors if kind_of(name) in ("Location", "Patient")}
    times = (request.particulars.start, request.particulars.end)
    asked = bound <= {mapping.location(request), mapping.patient(request)}
    asked = asked and set(mapping.scheduled(request)) <= actors
    return (offer.start, offer.end) == times and asked


def _actors(schedule: Schedule, request: Request) -> set[str]:
    return {local_reference(actor.reference, request.connection.base_url) for actor in schedule.actor}
