"""The transaction dialect: against a store that keeps the specification, and against servers that do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from adapters.fhir import mapping, replies
from adapters.fhir.adapter import DIALECTS, FhirAdapter
from adapters.fhir.resources import Appointment, Slot, held
from adapters.fhir.transaction import Plan
from gateway.contracts.adapter import (
    Authorized,
    Basis,
    Claim,
    Exclusivity,
    Idempotency,
    Proof,
    Query,
    Receipt,
    Request,
    TargetState,
)
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding
from gateway.kit.replies import ANY
from gateway.testing import START, VENDOR
from tests.unit.adapters.fhir.conftest import BASE, versioned

if TYPE_CHECKING:
    from tests.unit.adapters.fhir.conftest import Place, Scripted

MakeRequest = Callable[..., Request]
HOUR = timedelta(hours=1)
DEVIATES = Code.REPLY_DEVIATES
ELSEWHERE = {"reference": "Location/other"}
ABSENT = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-found"}]}
DELETED = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "deleted"}]}
SLOT = "Slot/practitioner-1.203103030900"
ELSEWHERE_BASE = "https://else.where/fhir/"
WAYS = ("conditional-create", "client-id", "lookup")


def slot(name: str = SLOT, version: str = "1", status: str = "free") -> Any:
    raw = {"resourceType": "Slot", "id": name[5:], "meta": {"versionId": version}, "status": status}
    raw |= {"schedule": {"reference": "Schedule/practitioner-1"}}
    return raw | {"start": "2031-03-03T09:00:00Z", "end": "2031-03-03T09:30:00Z"}


def appointment(request: Request, version: str = "1", **changes: Any) -> Any:
    """What a server shows of the booking or change after it was made."""
    raw = {**mapping.appointment(request, [SLOT]), "id": "17", "meta": {"versionId": version}}
    status = {"status": "cancelled"} if request.operation is Operation.CANCEL else {}
    return raw | status | changes


def stored(request: Request, version: str = "1", **changes: Any) -> Any:
    """The appointment before a change of it: under the key of its booking alone."""
    key = request.native_key() if request.operation is Operation.BOOK else request.target_key()
    known = [{"system": mapping.KEY_SYSTEM, "value": key}]
    return appointment(request, version, **{"status": "booked", "identifier": known, **changes})


def plan_of(request: Request) -> Plan:
    take = (held(Slot, slot()),)
    if request.operation is Operation.BOOK:
        return Plan(take=take, names=(SLOT,))
    target = held(Appointment, stored(request))
    give = (held(Slot, slot("Slot/old", status="busy")),)
    if request.operation is Operation.CANCEL:
        return Plan(target=target, give=give)
    return Plan(target=target, take=take, give=give, names=(SLOT,))


def told(request: Request, status: str, resource: Any = None, others: str = "200 OK") -> dict[str, Any]:
    """A transaction's response; the first entry is the Appointment's."""
    plan = plan_of(request)
    count = len(plan.take) + len(plan.give)
    location = {"status": status, "location": f"{request.connection.base_url}Appointment/17/_history/1"}
    shown = {} if resource is None else {"resource": resource}
    entries = [{"response": location, **shown}, *({"response": {"status": others}} for _ in range(count))]
    return {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}


def searchset(*resources: Any, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in resources], **more}


def issue(code: str, severity: str = "warning", **more: Any) -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code, **more}]}


def beside(bundle: dict[str, Any], outcome: Any) -> dict[str, Any]:
    """The search set with what a server says of it."""
    return bundle | {"entry": [*bundle["entry"], {"resource": outcome, "search": {"mode": "outcome"}}]}


@pytest.mark.requirement("ADAPT-09", "CARD-01")
@pytest.mark.parametrize("way", WAYS)
async def test_each_operation_is_one_transaction_that_moves_appointment_and_slots_together(
    place: Place, way: str
) -> None:
    async with place.harness(settings={"idempotency": way}) as booking:
        assert await booking.readiness() is None
        made = await booking.commit()
        assert (made.effect, made.mutating_requests, made.requests) == (Effect.APPLIED, 1, 1)
        assert (await booking.observe()).finding is ObservationFinding.PRESENT
    assert place.slots("busy") == ["practitioner-1.203103030900"]
    async with booking.following(Operation.RESCHEDULE, START + HOUR) as move:
        assert await move.readiness() is None
        made = await move.commit()
        assert (made.effect, made.mutating_requests) == (Effect.APPLIED, 1)
        assert (await move.observe()).finding is ObservationFinding.PRESENT
    assert place.slots("busy") == ["practitioner-1.203103031000"]
    async with move.following(Operation.CANCEL) as cancellation:
        assert await cancellation.readiness() is None
        assert (await cancellation.commit()).effect is Effect.APPLIED
        assert (await cancellation.observe()).finding is ObservationFinding.PRESENT
    assert place.slots("busy") == []
    (kept,) = place.appointments()
    assert (kept["status"], kept["start"], kept["meta"]["versionId"]) == ("cancelled", "2031-03-03T10:00:00Z", "3")
    keys = [one.request.native_key() for one in (booking, move, cancellation)]
    assert [each["value"] for each in kept["identifier"]] == keys
    assert {each["system"] for each in kept["identifier"]} == {mapping.KEY_SYSTEM}
    if way == "client-id":
        assert kept["id"] == keys[0]


async def test_an_appointment_fills_as_many_slots_as_it_lasts_and_moves_onto_its_own(place: Place) -> None:
    async with place.harness(minutes=60) as booking:
        assert await booking.readiness() is None
        assert (await booking.commit()).effect is Effect.APPLIED
    assert place.slots("busy") == ["practitioner-1.203103030900", "practitioner-1.203103030930"]
    async with booking.following(Operation.RESCHEDULE, START + HOUR / 2) as move:
        assert await move.readiness() is None
        assert (await move.commit()).effect is Effect.APPLIED
    assert place.slots("busy") == ["practitioner-1.203103030930", "practitioner-1.203103031000"]


@pytest.mark.requirement("FAIL-17")
async def test_a_slot_that_is_taken_blocks_and_one_taken_meanwhile_is_refused(place: Place) -> None:
    async with place.harness() as first, place.harness() as second:
        assert await first.readiness() is None
        assert await second.readiness() is None
        assert (await first.commit()).effect is Effect.APPLIED
        late = await second.commit()
        assert (late.effect, late.code, late.mutating_requests) == (Effect.REFUSED, Code.SLOT_TAKEN, 1)
        assert (await second.observe()).finding is ObservationFinding.ABSENT
    async with place.harness() as third:
        assert await third.readiness() is Code.SLOT_TAKEN
    assert len(place.appointments()) == 1


@pytest.mark.requirement("CARD-06", "IDEM-04")
@pytest.mark.parametrize("way", WAYS)
async def test_a_key_in_use_is_never_a_refusal(place: Place, way: str) -> None:
    async with place.harness(settings={"idempotency": way}) as first, first.again() as second:
        assert await first.readiness() is None
        assert await second.readiness() is None
        assert (await first.commit()).effect is Effect.APPLIED
        again = await second.commit()
        assert (again.effect, again.code) == (Effect.UNKNOWN, Code.DUPLICATE_KEY)
    assert len(place.appointments()) == 1


@pytest.mark.parametrize("way", ["conditional-create", "client-id"])
async def test_without_slots_the_key_alone_keeps_a_second_booking_out(place: Place, way: str) -> None:
    async with place.harness(settings={"idempotency": way, "slots": False}) as first, first.again() as second:
        assert await first.readiness() is None
        assert await second.readiness() is None
        assert (await first.commit()).effect is Effect.APPLIED
        assert (await second.commit()).code is Code.DUPLICATE_KEY
    async with place.harness(settings={"slots": False}) as third:
        assert await third.readiness() is Code.SLOT_TAKEN
    assert (len(place.appointments()), place.slots("busy")) == (1, [])


@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=lambda one: one.name)
async def test_a_change_is_of_the_approved_version_or_not_at_all(place: Place, operation: Operation) -> None:
    async with place.harness() as booking:
        assert await booking.readiness() is None
        await booking.commit()
    async with booking.following(operation, START + HOUR) as late, booking.following(Operation.CANCEL) as first:
        if operation is Operation.CANCEL:
            assert await late.readiness() is Code.TARGET_CHANGED  # approved for another time than the stored one
            return
        assert await late.readiness() is None
        assert await first.readiness() is None
        assert (await first.commit()).effect is Effect.APPLIED
        refused = await late.commit()
        assert (refused.effect, refused.code) == (Effect.REFUSED, Code.TARGET_CHANGED)
    async with booking.following(operation, START + HOUR) as later:
        assert await later.readiness() is Code.TARGET_CHANGED


async def test_what_the_appointment_holds_besides_is_kept(place: Place) -> None:
    async with place.harness() as booking:
        await booking.readiness()
        await booking.commit()
    (kept,) = place.appointments()
    interpreter = {"actor": {"reference": "RelatedPerson/9"}, "status": "accepted"}
    rooms = [{"type": [{"text": f"room {each}"}], "status": "accepted"} for each in (1, 2)]
    people = [*kept["participant"], interpreter, *rooms]
    more = {"comment": "by phone", "minutesDuration": 30, "participant": people}
    place.store.update(f"Appointment/{kept['id']}", {**kept, **more}, 'W/"1"')
    version = versioned("2", kept["id"])
    booking.binding = replace(booking.binding, version=version)  # type: ignore[type-var]  # it was applied
    async with booking.following(Operation.RESCHEDULE, START + HOUR) as move:
        assert await move.readiness() is None
        assert (await move.commit()).effect is Effect.APPLIED
    (kept,) = place.appointments()
    assert (kept["comment"], kept["minutesDuration"]) == ("by phone", 30)
    assert all(each in kept["participant"] for each in people)
    assert len(kept["participant"]) == len(people)


async def test_a_slot_of_its_own_that_somebody_set_free_is_taken_again(place: Place) -> None:
    async with place.harness(minutes=60) as booking:
        assert await booking.readiness() is None
        await booking.commit()
    place.store.set_slots(["Slot/practitioner-1.203103030930"], "free")
    async with booking.following(Operation.RESCHEDULE, START + HOUR / 2) as move:
        assert await move.readiness() is None
        assert (await move.commit()).effect is Effect.APPLIED
    assert place.slots("busy") == ["practitioner-1.203103030930", "practitioner-1.203103031000"]


@pytest.mark.requirement("GATE-25", "GATE-26")
async def test_a_wrong_credential_and_one_that_may_only_read_block(place: Place) -> None:
    async with place.harness() as stranger:
        stranger.use_secret("wrong")
        assert await stranger.readiness() is Code.CREDENTIALS_REJECTED
    async with place.harness(who="limited") as limited:
        assert await limited.readiness() is Code.EXTERNAL_FORBIDDEN
    async with place.harness(settings={"access-declared": False}) as undeclared:
        assert await undeclared.readiness() is Code.READINESS_UNVERIFIABLE


async def test_a_target_that_is_not_there_blocks(place: Place, make: MakeRequest) -> None:
    async with place.harness() as booking:
        await booking.readiness()
        await booking.commit()
    place.store.remove(f"Appointment/{place.appointments()[0]['id']}")
    async with booking.following(Operation.CANCEL) as cancellation:
        assert await cancellation.readiness() is Code.TARGET_NOT_FOUND
        assert (await cancellation.observe()).finding is ObservationFinding.INDETERMINATE


@pytest.mark.parametrize(
    ("settings", "idempotency", "exclusivity"),
    [
        ({}, Idempotency.UNIQUE, Exclusivity.ENFORCED),
        ({"idempotency": "client-id"}, Idempotency.UNIQUE, Exclusivity.ENFORCED),
        ({"idempotency": "lookup"}, Idempotency.LOOKUP, Exclusivity.ENFORCED),
        ({"slots": False}, Idempotency.UNIQUE, Exclusivity.NONE),
    ],
)
def test_the_claims_follow_from_the_sealed_settings(
    make: MakeRequest, settings: dict[str, Any], idempotency: Idempotency, exclusivity: Exclusivity
) -> None:
    claimed = FhirAdapter().describe(make(**settings, **{"settling-seconds": 3}).connection)
    assert (claimed.idempotency, claimed.exclusivity) == (idempotency, exclusivity)
    assert (claimed.observation, claimed.settling_seconds) == (Basis.BY_KEY, 3)


@pytest.mark.requirement("CARD-13")
@pytest.mark.parametrize("dialect", DIALECTS)
def test_how_long_a_request_may_still_be_carried_out_is_sealed(make: MakeRequest, dialect: str) -> None:
    assert FhirAdapter().describe(make(dialect=dialect, **{"relay-seconds": 40}).connection).relay_seconds == 40
    assert FhirAdapter().describe(make(dialect=dialect).connection).relay_seconds == 0


@pytest.mark.parametrize("wrong", [{"idempotency": "hope"}, {"dialect": "klingon"}])
def test_a_dialect_or_way_that_there_is_not_is_refused(make: MakeRequest, wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"klingon|hope|none of them"):
        FhirAdapter().describe(make(**wrong).connection)


async def test_an_attempt_needs_no_more_requests_than_declared(place: Place) -> None:
    async with place.harness() as booking:
        await booking.readiness()
        await booking.commit()
    async with booking.following(Operation.RESCHEDULE, START + HOUR) as late:
        assert await late.readiness() is None
        async with booking.following(Operation.CANCEL) as first:
            await first.readiness()
            await first.commit()
        await late.commit()
        await late.observe()
        # one more asks a server of SMART Backend Services for its configuration
        assert late.requests + 1 == FhirAdapter().describe(late.request.connection).requests_per_attempt


# Rows


@pytest.mark.parametrize("operation", Operation, ids=lambda one: one.name)
@pytest.mark.parametrize(("status", "word"), sorted(replies.TRANSACTION), ids=str)
async def test_each_reply_to_a_transaction_means_what_its_row_says(
    server: Scripted, make: MakeRequest, status: int, word: str, operation: Operation
) -> None:
    """A look finds everything as readiness read it."""
    request = make(operation, bound="17")
    server.answer(
        "POST /", status, told(request, "201" if operation is Operation.BOOK else "200", appointment(request))
    )
    server.answer("GET /Slot", 200, searchset(*(one.raw for one in (*plan_of(request).take, *plan_of(request).give))))
    if operation is Operation.BOOK:
        server.answer("GET /Appointment", 200, searchset())
    else:
        server.answer("GET /Appointment/17", 200, stored(request))
    receipt = await server.commit(request, plan_of(request))
    expected = replies.TRANSACTION[status, word].receipt
    assert (receipt.claim, receipt.code) == (expected.claim, expected.code)
    assert len(server.written) == 1


@pytest.mark.parametrize(("status", "name"), sorted(replies.MADE), ids=str)
async def test_each_entry_of_a_transaction_means_what_its_row_says(
    server: Scripted, make: MakeRequest, status: str, name: str
) -> None:
    for operation in [Operation[name]] if name else list(Operation):
        request = make(operation)
        server.answer("POST /", 200, told(request, f"{status} whatever", appointment(request)))
        receipt = await server.commit(request, plan_of(request))
        expected = replies.MADE[status, name].receipt
        assert (receipt.claim, receipt.code) == (expected.claim, expected.code)


@pytest.mark.parametrize("status", [*(status for status, _ in sorted(replies.SLOT_MADE)), "202", "412"], ids=str)
async def test_each_slots_entry_of_a_transaction_means_what_its_row_says(
    server: Scripted, make: MakeRequest, status: str
) -> None:
    request = make()
    server.answer("POST /", 200, told(request, "201 Created", appointment(request), others=f"{status} whatever"))
    row = replies.SLOT_MADE.get((status, ANY))
    receipt = await server.commit(request, plan_of(request))
    assert (receipt.claim, receipt.code) == (
        (row.receipt.claim, row.receipt.code) if row else (Claim.UNKNOWN, Code.REPLY_DEVIATES)
    )


@pytest.mark.requirement("FAIL-15")
@pytest.mark.parametrize(
    ("settings", "found", "receipt"),
    [
        ({}, True, Receipt.unknown(Code.DUPLICATE_KEY)),
        ({}, False, Receipt.unknown()),
        ({"idempotency": "lookup"}, False, Receipt.unknown()),
        ({"idempotency": "client-id"}, True, Receipt.unknown(Code.DUPLICATE_KEY)),
        ({"idempotency": "client-id"}, False, Receipt.refused(Code.SLOT_TAKEN)),
    ],
)
async def test_a_search_that_lags_settles_nothing_but_our_key_and_a_read_does(
    server: Scripted, make: MakeRequest, settings: dict[str, Any], found: bool, receipt: Receipt
) -> None:
    request = make(**settings, **{"settling-seconds": 2})
    server.answer("POST /", 409, issue("conflict", "error"))
    server.answer("GET /Slot", 200, searchset(slot(version="2", status="busy")))
    server.answer("GET /Appointment", 200, searchset(*([appointment(request)] if found else [])))
    by_id = (200, appointment(request, id=request.native_key())) if found else (404, ABSENT)
    server.answer(f"GET /Appointment/{request.native_key()}", *by_id)
    assert await server.commit(request, plan_of(request)) == receipt


@pytest.mark.parametrize("lag", [0, 2])
async def test_a_booking_whose_id_was_deleted_was_made(server: Scripted, make: MakeRequest, lag: int) -> None:
    request = make(idempotency="client-id", **{"settling-seconds": lag})
    server.answer("POST /", 409, issue("conflict", "error"))
    server.answer("GET /Slot", 200, searchset(slot()))
    server.answer(f"GET /Appointment/{request.native_key()}", 410, DELETED)
    assert await server.commit(request, plan_of(request)) == Receipt.unknown(Code.DUPLICATE_KEY)


HTML, PLAIN, REMARK = b"<html>", {"error": "forbidden"}, issue("informational", "information")
REFUSALS = sorted({status for status, _ in replies.REFUSED if isinstance(status, int) and status >= 400})


@pytest.mark.requirement("FAIL-16")
@pytest.mark.parametrize("content", [HTML, None, PLAIN, REMARK], ids=["page", "nothing", "else", "remark"])
@pytest.mark.parametrize("status", REFUSALS)
async def test_a_refusal_that_is_not_in_fhirs_own_words_is_settled_by_a_look(
    server: Scripted, make: MakeRequest, status: int, content: Any
) -> None:
    """What inspects replies on their way may say no after the server has booked. Who asks, and how often, is judged
    before."""
    request = make()
    server.answer("POST /", status, content)
    server.answer("GET /Slot", 200, searchset(slot(version="2", status="busy")))
    server.answer("GET /Appointment", 200, searchset(appointment(request)))
    receipt = await server.commit(request, plan_of(request))
    judged_first = status in (401, 429)
    row = replies.TRANSACTION[status, ANY].receipt
    assert receipt == (row if judged_first else Receipt.unknown(Code.DUPLICATE_KEY))
    assert len(server.asked) == (1 if judged_first else 3)


@pytest.mark.requirement("FAIL-15")
@pytest.mark.parametrize("status", REFUSALS)
async def test_a_refusal_in_fhirs_own_words_needs_no_look(server: Scripted, make: MakeRequest, status: int) -> None:
    request = make()
    server.answer("POST /", status, issue("forbidden", "error"))
    assert await server.commit(request, plan_of(request)) == replies.TRANSACTION[status, ANY].receipt
    assert len(server.asked) == 1


@pytest.mark.requirement("FAIL-16")
async def test_that_a_reply_could_not_be_spelled_refuses_nothing(server: Scripted, make: MakeRequest) -> None:
    """A framework may say 406 after it carried the request out."""
    request = make()
    server.answer("POST /", 406, issue("not-supported", "error"))
    server.answer("GET /Slot", 200, searchset(slot()))
    server.answer("GET /Appointment", 200, searchset())
    assert await server.commit(request, plan_of(request)) == Receipt.unknown()
    assert len(server.asked) == 3


@pytest.mark.requirement("FAIL-15")
@pytest.mark.parametrize("status", sorted(replies.AMBIGUOUS))
@pytest.mark.parametrize("word", [word for word, _ in replies.SETTLED])
@pytest.mark.parametrize("operation", Operation, ids=lambda one: one.name)
async def test_each_ambiguous_reply_is_settled_by_what_a_look_finds(
    server: Scripted, make: MakeRequest, status: int, word: str, operation: Operation
) -> None:
    request = make(operation, bound="17")
    plan, booking = plan_of(request), operation is Operation.BOOK
    took, gave = [one.raw for one in plan.take], [one.raw for one in plan.give]
    found = None if booking else stored(request)
    if word == replies.KEY:
        found = appointment(request, "2")
    elif word == replies.TARGET_GONE:
        found = None
    elif word == replies.TARGET_MOVED:
        found = None if booking else stored(request, "2")
    elif word == replies.SLOT_MOVED:
        took = [{**one, "meta": {"versionId": "2"}, "status": "busy"} for one in took]
    server.answer("POST /", status, {"resourceType": "OperationOutcome", "issue": []})
    server.answer("GET /Slot", 200, searchset(*took, *gave))
    server.answer("GET /Appointment", 200, searchset(*([found] if found else [])))
    server.answer("GET /Appointment/17", *((200, found) if found else (410, DELETED)))
    receipt = await server.commit(request, plan)
    impossible = booking and word in (replies.TARGET_GONE, replies.TARGET_MOVED)
    if impossible or (operation is Operation.CANCEL and word == replies.SLOT_MOVED):
        nothing = replies.TRANSACTION.get((status, ANY))
        assert receipt == (nothing.receipt if nothing else Receipt.unknown())
    else:
        assert receipt == replies.SETTLED[word, ANY].receipt
    assert len(server.written) == 1


async def test_a_slot_to_give_back_that_somebody_touched_counts_as_a_changed_target(
    server: Scripted, make: MakeRequest
) -> None:
    request = make(Operation.CANCEL, bound="17")
    server.answer("POST /", 412, {"resourceType": "OperationOutcome", "issue": []})
    server.answer("GET /Slot", 200, searchset(slot("Slot/old", "9", "busy")))
    server.answer("GET /Appointment/17", 200, stored(request))
    assert await server.commit(request, plan_of(request)) == Receipt.refused(Code.TARGET_CHANGED)


@pytest.mark.requirement("FAIL-16")
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 300, 304, 418])
async def test_a_status_without_a_row_is_unknown_and_nothing_is_looked_at(
    server: Scripted, make: MakeRequest, status: int
) -> None:
    server.answer("POST /", status, b"<html>")
    request = make()
    receipt = await server.commit(request, plan_of(request))
    assert receipt == Receipt.unknown(Code.EXTERNAL_ERROR if status >= 500 else Code.REPLY_UNRECOGNISED)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": "proposed"}, Code.ACCEPTED_PENDING),
        ({"status": "pending"}, Code.ACCEPTED_PENDING),
        ({"status": "waitlist"}, Code.REPLY_DEVIATES),
        ({"status": "cancelled"}, Code.REPLY_DEVIATES),
        ({"start": "2031-03-03T09:15:00Z"}, Code.REPLY_DEVIATES),
        ({"end": "2031-03-03T09:45:00+00:00"}, Code.REPLY_DEVIATES),
        ({"identifier": []}, Code.REPLY_DEVIATES),
        ({"participant": [{"actor": {"reference": "Patient/patient-1"}}]}, Code.REPLY_DEVIATES),
        ({"slot": [{"reference": "Slot/another"}]}, Code.REPLY_DEVIATES),
        ({"slot": []}, Code.REPLY_DEVIATES),
        ({"slot": [{"reference": f"{ELSEWHERE_BASE}{SLOT}"}]}, Code.REPLY_DEVIATES),
        ({"start": 1930381200}, Code.REPLY_UNRECOGNISED),
        ({"resourceType": "Slot"}, Code.REPLY_UNRECOGNISED),
    ],
)
@pytest.mark.parametrize("shown", [True, False])
async def test_a_success_counts_only_if_what_is_in_force_was_approved(
    server: Scripted, make: MakeRequest, change: dict[str, Any], code: Code, shown: bool
) -> None:
    request = make()
    made = appointment(request, **change)
    server.answer("POST /", 200, told(request, "201 Created", made if shown else None))
    server.answer("GET /Appointment/17", 200, made)
    assert await server.commit(request, plan_of(request)) == Receipt.unknown(code)
    assert [one.method for one in server.asked] == (["POST"] if shown else ["POST", "GET"])


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("here", [True, False])
async def test_a_time_in_another_zone_and_absolute_references_of_this_server_are_the_same_appointment(
    server: Scripted, make: MakeRequest, shown: bool, here: bool
) -> None:
    request = make()
    base = request.connection.base_url if here else ELSEWHERE_BASE
    made = appointment(request, "7", start="2031-03-03T10:00:00.000+01:00", end="2031-03-03T04:30:00-05:00")
    for each in made["participant"]:
        each["actor"] = {"reference": f"{base}{each['actor']['reference']}"}
    made["slot"] = [{"reference": f"{request.connection.base_url}{SLOT}/_history/3"}]
    server.answer("POST /", 200, told(request, "201 Created", made if shown else None))
    server.answer("GET /Appointment/17", 200, made)
    expected = Receipt.applied(identifier="17", version=versioned("7")) if here else Receipt.unknown(DEVIATES)
    assert await server.commit(request, plan_of(request)) == expected


@pytest.mark.parametrize("location", ["Appointment/17/_history/1", "https://inside.invalid/r4/Appointment/17"])
async def test_where_a_booking_stands_may_be_told_under_another_name_of_the_server(
    server: Scripted, make: MakeRequest, location: str
) -> None:
    request = make()
    bundle = told(request, "201")
    bundle["entry"][0]["response"]["location"] = location
    server.answer("POST /", 200, bundle)
    server.answer("GET /Appointment/17", 200, appointment(request))
    assert await server.commit(request, plan_of(request)) == Receipt.applied(identifier="17", version=versioned())


@pytest.mark.requirement("ADAPT-05")
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=lambda one: one.name)
@pytest.mark.parametrize("shown", [True, False])
async def test_a_change_that_shows_another_appointment_is_no_success(
    server: Scripted, make: MakeRequest, operation: Operation, shown: bool
) -> None:
    request = make(operation, bound="17")
    other = appointment(request, id="999")
    server.answer("POST /", 200, told(request, "200 OK", other if shown else None))
    server.answer("GET /Appointment/17", 200, other)
    code = DEVIATES if shown else Code.REPLY_UNRECOGNISED
    assert await server.commit(request, plan_of(request)) == Receipt.unknown(code)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda bundle: bundle | {"type": "batch-response"}, Code.REPLY_UNRECOGNISED),
        (lambda bundle: bundle | {"entry": bundle["entry"][:1]}, Code.REPLY_UNRECOGNISED),
        (lambda bundle: bundle | {"entry": []}, Code.REPLY_UNRECOGNISED),
        (lambda bundle: bundle | {"entry": [{"resource": {}}, *bundle["entry"]]}, Code.REPLY_UNRECOGNISED),
        (lambda bundle: {"resourceType": "OperationOutcome", "issue": []}, Code.REPLY_UNRECOGNISED),
        (lambda bundle: [], Code.REPLY_UNRECOGNISED),
    ],
)
async def test_a_reply_that_is_no_transaction_response_proves_nothing(
    server: Scripted, make: MakeRequest, spoil: Callable[[Any], Any], code: Code
) -> None:
    request = make()
    server.answer("POST /", 200, spoil(told(request, "201", appointment(request))))
    assert await server.commit(request, plan_of(request)) == Receipt.unknown(code)


async def test_a_transaction_made_in_part_is_no_success(server: Scripted, make: MakeRequest) -> None:
    request = make()
    server.answer("POST /", 200, told(request, "201", appointment(request), others="412 Precondition Failed"))
    assert await server.commit(request, plan_of(request)) == Receipt.unknown(Code.REPLY_DEVIATES)


@pytest.mark.parametrize(
    "location", [None, "", "17", "Slot/17/_history/1", "Appointment/../Patient", "Appointment/..", "Appointment/."]
)
async def test_a_success_that_does_not_say_where_proves_nothing(
    server: Scripted, make: MakeRequest, location: str | None
) -> None:
    request = make()
    bundle = told(request, "201")
    bundle["entry"][0]["response"]["location"] = location
    server.answer("POST /", 200, bundle)
    assert await server.commit(request, plan_of(request)) == Receipt.unknown()
    assert len(server.asked) == 1


@pytest.mark.parametrize("name", ["GET /Slot", "GET /Appointment"])
async def test_a_look_without_an_answer_leaves_it_unknown(server: Scripted, make: MakeRequest, name: str) -> None:
    request = make()
    server.answer("POST /", 409, {})
    server.answer("GET /Slot", 200, searchset(slot(version="2", status="busy")))
    server.answer("GET /Appointment", 200, searchset())
    server.answer(name, 503)
    assert await server.commit(request, plan_of(request)) == Receipt.unknown()


# What is sent


@pytest.mark.requirement("ADAPT-05")
@pytest.mark.parametrize("way", WAYS)
async def test_the_booking_names_its_key_and_the_version_of_every_slot(
    server: Scripted, make: MakeRequest, way: str
) -> None:
    request = make(idempotency=way, reason="check-up")
    await server.commit(request, plan_of(request))
    (sent,) = server.asked
    assert str(sent.url) == "http://127.0.0.1:9/fhir"
    assert (sent.headers["Content-Type"], sent.headers["Prefer"]) == ("application/fhir+json", "return=representation")
    first, second = json.loads(sent.content)["entry"]
    key = request.native_key()
    assert first["resource"]["identifier"] == [{"system": mapping.KEY_SYSTEM, "value": key}]
    assert first["resource"]["reasonCode"] == [{"text": "check-up"}]
    assert (
        first["request"]
        == {
            "conditional-create": {
                "method": "POST",
                "url": "Appointment",
                "ifNoneExist": f"identifier={mapping.KEY_SYSTEM}|{key}",
            },
            "client-id": {"method": "PUT", "url": f"Appointment/{key}", "ifNoneMatch": "*"},
            "lookup": {"method": "POST", "url": "Appointment"},
        }[way]
    )
    assert second["request"] == {"method": "PUT", "url": SLOT, "ifMatch": 'W/"1"'}
    assert second["resource"] == slot(status="busy")


@pytest.mark.requirement("ADAPT-05")
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=lambda one: one.name)
async def test_a_change_without_what_readiness_read_is_never_sent(
    server: Scripted, make: MakeRequest, operation: Operation
) -> None:
    request = make(operation)
    nameless = held(Appointment, {key: value for key, value in stored(request).items() if key != "meta"})
    for prepared in (Plan(), Plan(target=nameless)):
        with pytest.raises(ValueError, match=r"version|readiness"):
            await server.commit(request, prepared)
    assert server.asked == []


@pytest.mark.parametrize(
    ("status", "kept"), [("generated", False), ("extensions", False), ("additional", True), (None, False)]
)
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=lambda one: one.name)
async def test_a_change_does_not_write_back_a_narrative_of_what_was(
    server: Scripted, make: MakeRequest, operation: Operation, status: str | None, kept: bool
) -> None:
    request = make(operation, bound="17")
    text = {} if status is None else {"text": {"status": status, "div": "<div>booked at nine</div>"}}
    target = held(Appointment, stored(request) | text)
    give = (held(Slot, slot("Slot/old", status="busy") | text),)
    await server.commit(request, replace(plan_of(request), target=target, give=give))
    first, *_, last = json.loads(server.asked[0].content)["entry"]
    assert ("text" in first["resource"], "text" in last["resource"]) == (kept, kept)
    assert (last["resource"]["status"], last["request"]["url"]) == ("free", "Slot/old")


# Readiness

STATEMENT: dict[str, Any] = {
    "resourceType": "CapabilityStatement",
    "fhirVersion": "4.0.1",
    "rest": [
        {
            "mode": "server",
            "interaction": [{"code": "transaction"}],
            "resource": [
                {
                    "type": "Appointment",
                    "interaction": [{"code": each} for each in ("read", "search-type", "create", "update")],
                    "versioning": "versioned-update",
                    "conditionalCreate": True,
                },
                {
                    "type": "Slot",
                    "interaction": [{"code": each} for each in ("search-type", "update")],
                    "versioning": "versioned-update",
                },
                {"type": "Schedule", "interaction": [{"code": "search-type"}]},
            ],
        }
    ],
}
SCHEDULE: dict[str, Any] = {
    "resourceType": "Schedule",
    "id": "practitioner-1",
    "actor": [{"reference": "Practitioner/practitioner-1"}],
}
HERE = SCHEDULE | {"actor": [*SCHEDULE["actor"], ELSEWHERE, {"reference": "Location/location-1"}]}
THERE = SCHEDULE | {"actor": [*SCHEDULE["actor"], ELSEWHERE]}
AT_ANOTHER_SERVER = SCHEDULE | {"actor": [*SCHEDULE["actor"], {"reference": f"{ELSEWHERE_BASE}Location/location-1"}]}
AT_THERE = slot("Slot/there") | {"schedule": {"reference": "Schedule/there"}}
SUBSETTED = {
    "versionId": "1",
    "tag": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}],
}


def ready(server: Scripted) -> None:
    server.answer("GET /metadata", 200, STATEMENT)
    server.answer("GET /Schedule", 200, searchset(SCHEDULE))
    server.answer("GET /Slot", 200, searchset(slot()))


async def target_of(server: Scripted, request: Request) -> TargetState:
    async with server.client() as client:
        return (await FhirAdapter().readiness(request, client)).target


@pytest.mark.requirement("GATE-24", "GATE-27")
@pytest.mark.parametrize(
    ("schedules", "slots", "target"),
    [
        ([SCHEDULE], [slot()], TargetState.OPEN),
        ([], [], TargetState.UNVERIFIABLE),
        ([SCHEDULE | {"active": False}], [slot()], TargetState.UNVERIFIABLE),
        ([SCHEDULE], [], TargetState.TAKEN),
        ([SCHEDULE], [slot(status="busy")], TargetState.TAKEN),
        ([SCHEDULE], [slot(status="busy-tentative")], TargetState.TAKEN),
        ([SCHEDULE], [slot(status="entered-in-error")], TargetState.TAKEN),
        ([SCHEDULE], [slot(), slot("Slot/two", status="busy-unavailable")], TargetState.TAKEN),
        ([SCHEDULE], [slot(), slot("Slot/two")], TargetState.UNVERIFIABLE),
        ([SCHEDULE], [slot() | {"end": "2031-03-03T09:15:00Z"}], TargetState.UNVERIFIABLE),
        ([SCHEDULE], [slot() | {"end": "2031-03-03T10:00:00Z"}], TargetState.UNVERIFIABLE),
        ([SCHEDULE], [slot() | {"start": "2031-03-03T09:10:00Z"}], TargetState.UNVERIFIABLE),
        ([SCHEDULE], [{**slot(), "meta": {}}], TargetState.UNVERIFIABLE),
        ([SCHEDULE], [slot() | {"extension": [{"url": "urn:x", "valueDecimal": 1.10}]}], TargetState.UNVERIFIABLE),
        ([SCHEDULE], [slot() | {"start": "2031-03-03T09:30:00Z"}], TargetState.UNVERIFIABLE),
        ([SCHEDULE], [slot() | {"schedule": {"reference": "Schedule/other"}}], TargetState.UNVERIFIABLE),
        ([SCHEDULE | {"actor": [{"reference": "Practitioner/other"}]}], [slot()], TargetState.UNVERIFIABLE),
        ([HERE], [slot()], TargetState.OPEN),
        ([THERE], [slot()], TargetState.UNVERIFIABLE),
        ([AT_ANOTHER_SERVER], [slot()], TargetState.UNVERIFIABLE),
        ([HERE, THERE | {"id": "there"}], [slot(), AT_THERE], TargetState.OPEN),
        ([HERE, THERE | {"id": "there"}], [slot(), AT_THERE | {"status": "busy"}], TargetState.TAKEN),
        ([HERE, THERE | {"id": "there"}], [AT_THERE], TargetState.TAKEN),
        ([SCHEDULE], [slot() | {"modifierExtension": [{"url": "urn:x"}]}], TargetState.UNVERIFIABLE),
        ([SCHEDULE], [slot() | {"implicitRules": "urn:x"}], TargetState.UNVERIFIABLE),
        ([SCHEDULE], [slot() | {"meta": SUBSETTED}], TargetState.UNVERIFIABLE),
        ([SCHEDULE | {"modifierExtension": [{"url": "urn:x"}]}], [slot()], TargetState.UNVERIFIABLE),
    ],
    ids=str,
)
async def test_the_slots_that_readiness_finds_are_open_taken_or_not_to_be_told(
    server: Scripted, make: MakeRequest, schedules: list[Any], slots: list[Any], target: TargetState
) -> None:
    ready(server)
    server.answer("GET /Schedule", 200, searchset(*schedules))
    server.answer("GET /Slot", 200, searchset(*slots))
    assert await target_of(server, make()) is target
    assert server.written == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda bundle: bundle | {"link": [{"relation": "next"}]},
        lambda bundle: bundle | {"type": "collection"},
        lambda bundle: bundle | {"entry": [{"fullUrl": "urn:x"}]},
        lambda bundle: {"resourceType": "OperationOutcome", "issue": []},
        lambda bundle: bundle | {"total": 2},
        lambda bundle: bundle | {"total": "many"},
        *(
            lambda bundle, said=said: beside(bundle, said)
            for said in (
                issue("processing", "error"),
                issue("processing", "fatal"),
                issue("incomplete"),
                issue("suppressed", "information"),
                issue("throttled"),
                issue("timeout"),
                {"resourceType": "OperationOutcome"},
                None,
            )
        ),
    ],
)
@pytest.mark.parametrize("name", ["GET /Schedule", "GET /Slot"])
async def test_half_an_answer_is_none(server: Scripted, make: MakeRequest, name: str, spoil: Any) -> None:
    ready(server)
    server.answer(name, 200, spoil(searchset(SCHEDULE if name == "GET /Schedule" else slot())))
    assert await target_of(server, make()) is TargetState.UNVERIFIABLE


async def test_an_entry_that_is_no_match_is_no_answer_and_no_obstacle(server: Scripted, make: MakeRequest) -> None:
    ready(server)
    server.answer("GET /Slot", 200, beside(searchset(slot(), total=1), issue("informational")))
    assert await target_of(server, make()) is TargetState.OPEN


@pytest.mark.parametrize(
    ("change", "target"),
    [
        ({}, TargetState.OPEN),
        ({"status": "arrived"}, TargetState.CHANGED),
        ({"status": "cancelled"}, TargetState.CHANGED),
        ({"meta": {"versionId": "2"}}, TargetState.CHANGED),
        ({"meta": {}}, TargetState.UNVERIFIABLE),
        ({"participant": []}, TargetState.CHANGED),
        ({"start": "2031-03-03T09:05:00Z"}, TargetState.CHANGED),
        ({"modifierExtension": [{"url": "urn:x"}]}, TargetState.UNVERIFIABLE),
        ({"participant": [{"modifierExtension": [{"url": "urn:x"}]}]}, TargetState.UNVERIFIABLE),
        ({"implicitRules": "urn:x"}, TargetState.UNVERIFIABLE),
        ({"meta": {"versionId": "1", "tag": [{"code": "SUBSETTED"}]}}, TargetState.UNVERIFIABLE),
        ({"meta": {"versionId": "1", "tag": [{"code": "seen"}, {}]}}, TargetState.OPEN),
    ],
)
async def test_a_cancellation_is_of_the_appointment_that_was_shown(
    server: Scripted, make: MakeRequest, change: dict[str, Any], target: TargetState
) -> None:
    request = make(Operation.CANCEL, bound="17")
    ready(server)
    server.answer("GET /Slot", 200, searchset(slot(status="busy")))
    server.answer("GET /Appointment/17", 200, stored(request) | change)
    assert await target_of(server, request) is target


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize(
    ("patients", "target"),
    [
        (["patient-1"], TargetState.OPEN),
        (["patient-1", "patient-2"], TargetState.CHANGED),
        (["patient-2"], TargetState.CHANGED),
        ([], TargetState.CHANGED),
        (["patient-1", f"{ELSEWHERE_BASE}Patient/2"], TargetState.CHANGED),
        ([f"{ELSEWHERE_BASE}Patient/patient-1"], TargetState.CHANGED),
        ([f"{BASE}Patient/patient-1"], TargetState.OPEN),
    ],
    ids=str,
)
async def test_an_appointment_of_other_patients_as_well_is_not_moved_for_one(
    server: Scripted, make: MakeRequest, patients: list[str], target: TargetState
) -> None:
    request = make(Operation.RESCHEDULE, bound="17")
    ready(server)
    names = [each if "/" in each else f"Patient/{each}" for each in patients]
    people = [{"actor": {"reference": name}, "status": "accepted"} for name in names]
    server.answer("GET /Appointment/17", 200, stored(request) | {"participant": people})
    assert await target_of(server, request) is target


def test_no_patient_is_ever_dropped(make: MakeRequest) -> None:
    other = f"{ELSEWHERE_BASE}Patient/3"
    people = [{"actor": {"reference": name}} for name in ("Patient/2", other, "Patient/patient-1", "Location/2")]
    kept = mapping.participants(people, make())
    assert [each["actor"]["reference"] for each in kept if each in people] == ["Patient/patient-1", "Patient/2", other]


async def test_a_slot_that_holds_several_appointments_is_not_set_free(server: Scripted, make: MakeRequest) -> None:
    request = make(Operation.CANCEL, bound="17")
    ready(server)
    server.answer("GET /Appointment/17", 200, stored(request))
    server.answer("GET /Slot", 200, searchset(slot(status="busy") | {"overbooked": True}))
    assert await target_of(server, request) is TargetState.UNVERIFIABLE


async def test_a_slot_that_is_not_busy_is_left_as_it_is(server: Scripted, make: MakeRequest) -> None:
    request = make(Operation.CANCEL, bound="17")
    ready(server)
    server.answer("GET /Appointment/17", 200, stored(request))
    server.answer("GET /Slot", 200, searchset(slot(status="busy-unavailable")))
    async with server.client() as client:
        readiness = await FhirAdapter().readiness(request, client)
    assert (readiness.target, readiness.prepared.give) == (TargetState.OPEN, ())


@pytest.mark.parametrize(
    ("status", "content", "target"),
    [
        (404, ABSENT, TargetState.ABSENT),
        (404, issue("processing", "error", diagnostics="HAPI-2001: Appointment/17 is not known"), TargetState.ABSENT),
        (404, issue("processing", "error", diagnostics="no such tenant"), TargetState.UNVERIFIABLE),
        (404, issue("forbidden", "error", diagnostics="Appointment/17"), TargetState.UNVERIFIABLE),
        (404, issue("not-supported", "error"), TargetState.UNVERIFIABLE),
        (404, {"resourceType": "OperationOutcome", "issue": []}, TargetState.UNVERIFIABLE),
        (410, DELETED, TargetState.ABSENT),
        (410, {"error": "no such page"}, TargetState.UNVERIFIABLE),
        (404, {"error": "no such page"}, TargetState.UNVERIFIABLE),
        (200, {"resourceType": "Patient", "id": "17"}, TargetState.UNVERIFIABLE),
    ],
)
async def test_absence_needs_the_servers_own_words(
    server: Scripted, make: MakeRequest, status: int, content: Any, target: TargetState
) -> None:
    ready(server)
    server.answer("GET /Appointment/17", status, content)
    assert await target_of(server, make(Operation.CANCEL, bound="17")) is target


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("what", [Operation.RESCHEDULE, Operation.CANCEL], ids=lambda one: one.name)
async def test_a_bound_target_is_the_one_that_was_asked_for_and_booked_under_the_approved_key(
    server: Scripted, make: MakeRequest, what: Operation
) -> None:
    """Every Appointment that was written once is at version 1."""
    request = make(what, bound="17")
    ready(server)
    server.answer("GET /Slot", 200, searchset(slot(status="free" if what is Operation.RESCHEDULE else "busy")))
    for shown, target in (
        (stored(request), TargetState.OPEN),
        (stored(request, id="999"), TargetState.UNVERIFIABLE),
        (stored(request, id="999", identifier=[]), TargetState.UNVERIFIABLE),
        (stored(request, identifier=[]), TargetState.ABSENT),
        (stored(request, identifier=[{"system": "urn:x", "value": request.target_key()}]), TargetState.ABSENT),
    ):
        server.answer("GET /Appointment/17", 200, shown)
        assert await target_of(server, request) is target


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("what", [Operation.RESCHEDULE, Operation.CANCEL], ids=lambda one: one.name)
async def test_the_approved_version_is_that_of_one_appointment(
    server: Scripted, make: MakeRequest, what: Operation
) -> None:
    """Found by key: another one, at a version of the same number."""
    request = make(what)
    ready(server)
    server.answer("GET /Slot", 200, searchset(slot(status="free" if what is Operation.RESCHEDULE else "busy")))
    for identifier, target, finding in (("17", "open", "ABSENT"), ("999", "changed", "INDETERMINATE")):
        server.answer("GET /Appointment", 200, searchset(stored(request, id=identifier)))
        assert await target_of(server, request) is TargetState(target)
        async with server.client() as client:
            seen = await FhirAdapter().observe(Query(request=request), client)
        assert (seen.finding, seen.version) == (ObservationFinding(finding), versioned("1", identifier))


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("reference", [f"{ELSEWHERE_BASE}{SLOT}", "Slot/1,2", "Slot/..", None])
async def test_a_slot_that_no_transaction_here_could_give_back_leaves_the_target_unverifiable(
    server: Scripted, make: MakeRequest, reference: str | None
) -> None:
    request = make(Operation.CANCEL, bound="17")
    ready(server)
    server.answer("GET /Appointment/17", 200, stored(request, slot=[{"reference": reference}]))
    assert await target_of(server, request) is TargetState.UNVERIFIABLE
    assert not any(one.url.path.endswith("/Slot") for one in server.asked)


CODED = "urn:oid:1.2.3|dental"
FOR_IT = [{"coding": [{"system": "urn:x", "code": "7"}, {"system": "urn:oid:1.2.3", "code": "dental"}]}]
FOR_ANOTHER = [{"coding": [{"system": "urn:oid:1.2.3", "code": "surgery"}]}]


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize(
    ("service", "stated", "target"),
    [
        (CODED, FOR_IT, TargetState.OPEN),
        (CODED, [*FOR_ANOTHER, *FOR_IT], TargetState.OPEN),
        (CODED, FOR_ANOTHER, TargetState.UNVERIFIABLE),
        (CODED, [{"coding": [{"system": "urn:other", "code": "dental"}]}], TargetState.UNVERIFIABLE),
        (CODED, [{"text": "dental"}], TargetState.OPEN),
        ("service-1", FOR_ANOTHER, TargetState.OPEN),
    ],
)
async def test_a_free_slot_for_another_service_is_not_taken(
    server: Scripted, make: MakeRequest, service: str, stated: Any, target: TargetState
) -> None:
    ready(server)
    server.answer("GET /Slot", 200, searchset(slot() | {"serviceType": stated}))
    assert await target_of(server, make(vendor={**VENDOR, "service": service})) is target


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("dialect", ["transaction", "oracle", "ihe-book", "medplum"])
@pytest.mark.parametrize(
    "wrong",
    [
        *({"service": f"urn:x|{code}"} for code in ("a,b", "a$b", "a|b", "a\\,b")),
        {"service": "urn:x,urn:y|a"},
        {"patient": "."},
        {"patient": "Patient/.."},
        {"location": ".."},
    ],
    ids=str,
)
async def test_an_identifier_that_reads_as_something_else_is_not_asked_for(
    server: Scripted, make: MakeRequest, dialect: str, wrong: dict[str, str]
) -> None:
    """As several codes in a search, or as another path."""
    ready(server)
    request = make(dialect=dialect, vendor={**VENDOR, "service": CODED, **wrong})
    assert await target_of(server, request) is TargetState.UNVERIFIABLE
    assert server.asked == []


@pytest.mark.parametrize("bound", ["../Patient/1", "a b", "x" * 65, ".", ".."])
async def test_an_identifier_that_no_server_could_have_given_is_not_asked_for(
    server: Scripted, make: MakeRequest, bound: str
) -> None:
    ready(server)
    assert await target_of(server, make(Operation.CANCEL, bound=bound)) is TargetState.UNVERIFIABLE
    assert [one.url.path for one in server.asked] == ["/fhir/metadata"]


@pytest.mark.parametrize("matches", [2, "stranger"])
async def test_a_search_by_key_that_finds_others_finds_nothing(
    server: Scripted, make: MakeRequest, matches: Any
) -> None:
    request = make()
    mine = appointment(request)
    server.answer("GET /Appointment", 200, searchset(*([mine, mine] if matches == 2 else [mine | {"identifier": []}])))
    async with server.client() as client:
        seen = await FhirAdapter().observe(Query(request=request), client)
    assert seen.finding is ObservationFinding.INDETERMINATE


@pytest.mark.parametrize(
    ("operation", "status", "content", "finding"),
    [
        (Operation.BOOK, 404, ABSENT, "ABSENT"),
        (Operation.BOOK, 404, issue("security", "error"), "INDETERMINATE"),
        (Operation.BOOK, 410, DELETED, "DIFFERENT"),
        (Operation.BOOK, 410, {}, "INDETERMINATE"),
        (Operation.CANCEL, 404, ABSENT, "INDETERMINATE"),
        (Operation.CANCEL, 410, DELETED, "INDETERMINATE"),
    ],
)
async def test_a_look_by_id_tells_what_never_was_from_what_was_deleted(
    server: Scripted, make: MakeRequest, operation: Operation, status: int, content: Any, finding: str
) -> None:
    request = make(operation, idempotency="client-id")
    key = request.native_key() if operation is Operation.BOOK else request.target_key()
    server.answer(f"GET /Appointment/{key}", status, content)
    async with server.client() as client:
        seen = await FhirAdapter().observe(Query(request=request), client)
    assert seen.finding is ObservationFinding(finding)


@pytest.mark.parametrize("partial", [searchset(total=1), beside(searchset(), issue("incomplete"))])
async def test_a_search_that_shows_less_than_it_found_proves_no_absence(
    server: Scripted, make: MakeRequest, partial: Any
) -> None:
    for content, finding in ((searchset(total=0), "ABSENT"), (partial, "INDETERMINATE")):
        server.answer("GET /Appointment", 200, content)
        async with server.client() as client:
            seen = await FhirAdapter().observe(Query(request=make()), client)
        assert seen.finding is ObservationFinding(finding)


@pytest.mark.parametrize(
    ("operation", "change", "finding"),
    [
        (Operation.BOOK, {}, "PRESENT"),
        (Operation.BOOK, {"status": "pending"}, "INDETERMINATE"),
        (Operation.BOOK, {"status": "proposed"}, "INDETERMINATE"),
        (Operation.RESCHEDULE, {"status": "pending"}, "INDETERMINATE"),
        (Operation.BOOK, {"status": "cancelled"}, "DIFFERENT"),
        (Operation.BOOK, {"start": "2031-03-03T08:00:00Z"}, "DIFFERENT"),
        (Operation.RESCHEDULE, {}, "PRESENT"),
        (Operation.RESCHEDULE, {"identifier": []}, "ABSENT"),
        (Operation.RESCHEDULE, {"identifier": [], "meta": {"versionId": "2"}}, "INDETERMINATE"),
        (Operation.CANCEL, {}, "PRESENT"),
        (Operation.CANCEL, {"status": "booked"}, "DIFFERENT"),
        (Operation.CANCEL, {"identifier": []}, "ABSENT"),
    ],
)
async def test_a_look_says_no_more_than_it_sees(
    server: Scripted, make: MakeRequest, operation: Operation, change: dict[str, Any], finding: str
) -> None:
    request = make(operation, bound="17")
    server.answer("GET /Appointment", 200, searchset(appointment(request, **change)))
    server.answer("GET /Appointment/17", 200, appointment(request, **change))
    async with server.client() as client:
        seen = await FhirAdapter().observe(Query(request=request), client)
    assert (seen.finding, seen.basis) == (ObservationFinding(finding), Basis.BY_KEY)
    assert seen.version == versioned(change.get("meta", {}).get("versionId", "1"))


async def test_an_unbound_reference_raises_what_the_boundary_knows(server: Scripted, make: MakeRequest) -> None:
    for missing in ("patient", "practitioner", "location", "service"):
        known = {"patient": "1", "practitioner": "2", "location": "3", "service": "4"}
        known.pop(missing)
        request = make(vendor=known)
        async with server.client() as client:
            with pytest.raises(KeyError):
                await FhirAdapter().readiness(request, client)
            with pytest.raises(KeyError):
                await FhirAdapter().commit(Authorized(request=request, prepared=Plan()), client)
    assert server.asked == []


def lacking(kind: str, *codes: str, **elements: Any) -> dict[str, Any]:
    """The statement without these interactions of a type, and with other elements."""
    (rest,) = STATEMENT["rest"]
    resources = [
        {**each, "interaction": [one for one in each["interaction"] if one["code"] not in codes], **elements}
        if each["type"] == kind
        else each
        for each in rest["resource"]
    ]
    system = [one for one in rest["interaction"] if kind or one["code"] not in codes]
    return {**STATEMENT, "rest": [{**rest, "resource": resources, "interaction": system}]}


FINE, GAP, REFUTED = (Proof.PROVEN, Proof.PROVEN), (Proof.UNVERIFIABLE, Proof.PROVEN), (Proof.PROVEN, Proof.REFUTED)


@pytest.mark.requirement("GATE-24", "GATE-26")
@pytest.mark.parametrize(
    ("statement", "settings", "booking", "moving"),
    [
        (STATEMENT, {}, FINE, FINE),
        (lacking("", "transaction"), {}, GAP, GAP),
        (lacking("Appointment", "search-type"), {}, GAP, GAP),
        (lacking("Appointment", "read"), {}, GAP, GAP),
        (lacking("Slot", "search-type"), {}, GAP, GAP),
        (lacking("Schedule", "search-type"), {}, GAP, GAP),
        (lacking("Slot", "update"), {}, REFUTED, REFUTED),
        (lacking("Slot", versioning="versioned"), {}, GAP, GAP),
        (lacking("Slot", "search-type", "update"), {"slots": False}, FINE, FINE),
        (lacking("Appointment", "create"), {}, REFUTED, FINE),
        (lacking("Appointment", "update"), {}, FINE, REFUTED),
        (lacking("Appointment", versioning="versioned"), {}, FINE, GAP),
        (lacking("Appointment", conditionalCreate=False), {}, GAP, FINE),
        (lacking("Appointment", conditionalCreate=False), {"idempotency": "lookup"}, FINE, FINE),
        (STATEMENT, {"idempotency": "client-id"}, GAP, FINE),
        (lacking("Appointment", "create", updateCreate=True), {"idempotency": "client-id"}, FINE, FINE),
    ],
)
async def test_readiness_asks_for_what_its_settings_need(
    server: Scripted, make: MakeRequest, statement: Any, settings: Any, booking: Any, moving: Any
) -> None:
    ready(server)
    server.answer("GET /metadata", 200, statement)
    server.answer("GET /Appointment", 200, searchset())
    for what, expected in ((Operation.BOOK, booking), (Operation.RESCHEDULE, moving)):
        request = make(what, bound="17", **settings)
        server.answer("GET /Appointment/17", 200, stored(request) | {"slot": []})
        async with server.client() as client:
            readiness = await FhirAdapter().readiness(request, client)
        assert (readiness.available, readiness.authorised) == expected
        assert readiness.target is TargetState.OPEN
