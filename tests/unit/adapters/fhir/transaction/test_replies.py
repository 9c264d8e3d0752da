"""What a server's reply to a transaction means, and what a look makes of one that leaves it open."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from adapters.fhir import replies
from gateway.contracts.adapter import Claim, Receipt, Request
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.kit.replies import ANY
from tests.unit.adapters.fhir.conftest import versioned
from tests.unit.adapters.fhir.transaction.conftest import (
    ABSENT,
    DELETED,
    ELSEWHERE_BASE,
    SLOT,
    appointment,
    issue,
    plan_of,
    searchset,
    slot,
    stored,
    told,
)

if TYPE_CHECKING:
    from tests.unit.adapters.fhir.conftest import Scripted

MakeRequest = Callable[..., Request]
DEVIATES = Code.REPLY_DEVIATES


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
