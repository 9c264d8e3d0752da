"""Booking by an operation: against twins, and against replies that they do not give."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from adapters.fhir import mapping, replies
from adapters.fhir.adapter import FhirAdapter
from adapters.fhir.operation import Plan
from gateway.contracts.adapter import (
    Basis,
    Exclusivity,
    Idempotency,
    Proof,
    Query,
    Readiness,
    Receipt,
    Request,
    TargetState,
)
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding
from gateway.kit.replies import ANY
from gateway.testing import VENDOR
from tests.unit.adapters.fhir.conftest import BASE, versioned

if TYPE_CHECKING:
    from tests.unit.adapters.fhir.conftest import Place, Scripted

MakeRequest = Callable[..., Request]
DIALECTS = {"ihe-book": replies.IHE_BOOK, "medplum": replies.MEDPLUM_BOOK}
FAILED = {"resourceType": "OperationOutcome", "issue": [{"severity": "fatal", "code": "not-found"}]}
HINT = {"resourceType": "OperationOutcome", "issue": [{"severity": "information", "code": "informational"}]}
both = pytest.mark.parametrize("dialect", DIALECTS)


def offer(**more: Any) -> Any:
    people = [{"actor": {"reference": "Practitioner/practitioner-1"}, "status": "needs-action"}]
    raw = {"resourceType": "Appointment", "status": "proposed", "participant": people, "contained": [{"id": "s"}]}
    return raw | {"start": "2031-03-03T09:00:00Z", "end": "2031-03-03T09:30:00Z"} | more


def with_also(name: str) -> Any:
    return offer(participant=[*offer()["participant"], {"actor": {"reference": name}}])


def appointment(request: Request, **more: Any) -> Any:
    return {**mapping.appointment(request), "id": "17", "meta": {"versionId": "1"}} | more


def bundle(*resources: Any, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in resources]} | more


def wrapped(content: Any) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": "return", "resource": content}]}


def offering(server: Scripted, *offers: Any) -> None:
    for method in ("GET", "POST"):
        server.answer(f"{method} /Appointment/$find", 200, bundle(*offers))
    schedule = {"resourceType": "Schedule", "id": "s", "actor": [{"reference": "Practitioner/practitioner-1"}]}
    server.answer("GET /Schedule", 200, bundle(schedule))


@pytest.mark.requirement("ADAPT-09", "CARD-01")
async def test_a_booking_is_one_operation_and_is_found_by_its_key(counter: Place) -> None:
    async with counter.harness() as booking:
        assert await booking.readiness() is None
        made = await booking.commit()
        assert (made.effect, made.mutating_requests, made.requests) == (Effect.APPLIED, 1, 1)
        assert (await booking.observe()).finding is ObservationFinding.PRESENT
    (kept,) = counter.appointments()
    assert kept["identifier"] == [{"system": mapping.KEY_SYSTEM, "value": booking.request.native_key()}]
    assert counter.slots("busy") == ["practitioner-1.203103030900"]


@pytest.mark.requirement("FAIL-17", "CARD-06")
async def test_a_time_taken_meanwhile_is_refused_and_a_key_in_use_is_not(counter: Place) -> None:
    async with counter.harness() as first, counter.harness() as second, first.again() as again:
        for each in (first, second, again):
            assert await each.readiness() is None
        assert (await first.commit()).effect is Effect.APPLIED
        late, repeated = await second.commit(), await again.commit()
        assert (late.effect, late.code) == (Effect.REFUSED, Code.SLOT_TAKEN)
        assert (repeated.effect, repeated.code) == (Effect.UNKNOWN, Code.DUPLICATE_KEY)
    async with counter.harness() as third:
        assert await third.readiness() is Code.SLOT_TAKEN
        assert (await third.observe()).finding is ObservationFinding.ABSENT
    assert len(counter.appointments()) == 1


@pytest.mark.requirement("GATE-25", "GATE-26")
async def test_a_wrong_credential_and_one_that_may_only_read_block(counter: Place) -> None:
    async with counter.harness() as stranger:
        stranger.use_secret("wrong")
        assert await stranger.readiness() is Code.CREDENTIALS_REJECTED
    async with counter.harness(who="limited") as limited:
        assert await limited.readiness() is Code.EXTERNAL_FORBIDDEN


@both
def test_it_claims_to_book_and_no_more(make: MakeRequest, dialect: str) -> None:
    claimed = FhirAdapter().describe(make(dialect=dialect).connection)
    assert claimed.operations == (Operation.BOOK,)
    assert (claimed.idempotency, claimed.exclusivity) == (Idempotency.LOOKUP, Exclusivity.ENFORCED)
    assert (claimed.observation, claimed.safe_posts) == (Basis.BY_KEY, ("/fhir/Appointment/$find",))


@both
@pytest.mark.parametrize("what", [Operation.RESCHEDULE, Operation.CANCEL], ids=lambda one: one.name)
async def test_what_no_version_can_guard_is_neither_ready_nor_sent(
    server: Scripted, make: MakeRequest, dialect: str, what: Operation
) -> None:
    request = make(what, dialect=dialect, bound="17")
    async with server.client() as client:
        readiness = await FhirAdapter().readiness(request, client)
    assert (readiness.available, readiness.target) == (Proof.UNVERIFIABLE, TargetState.UNVERIFIABLE)
    with pytest.raises(ValueError, match="only book"):
        await server.commit(request, Plan(offer()))
    assert server.asked == []


# Rows

ROWS = [(dialect, status, word) for dialect, table in DIALECTS.items() for status, word in sorted(table, key=str)]


@pytest.mark.parametrize(("dialect", "status", "word"), ROWS, ids=str)
async def test_each_reply_means_what_its_row_says(
    server: Scripted, make: MakeRequest, dialect: str, status: int, word: str
) -> None:
    """A look finds the time still offered, and nothing under our key."""
    request = make(dialect=dialect)
    content = {
        replies.APPOINTMENT: bundle(appointment(request), HINT),
        replies.OUTCOME: bundle(FAILED),
        replies.BOTH: bundle(appointment(request), HINT, FAILED),
    }.get(word, FAILED)
    server.answer("POST /Appointment/$book", status, content)
    offering(server, offer())
    server.answer("GET /Appointment", 200, bundle())
    receipt = await server.commit(request, Plan(offer()))
    expected = DIALECTS[dialect][status, word].receipt
    assert (receipt.claim, receipt.code) == (expected.claim, expected.code)
    assert len([one for one in server.written if not one.url.path.endswith("$find")]) == 1


@pytest.mark.requirement("FAIL-15")
@both
@pytest.mark.parametrize("status", [200, *sorted(replies.AMBIGUOUS)])
@pytest.mark.parametrize("word", [replies.KEY, replies.SLOT_MOVED, ""])
async def test_a_failure_is_settled_by_what_a_look_finds(
    server: Scripted, make: MakeRequest, dialect: str, status: int, word: str
) -> None:
    request = make(dialect=dialect)
    server.answer("POST /Appointment/$book", status, bundle(FAILED) if status == 200 else FAILED)
    offering(server, *([offer()] if not word else []))
    server.answer("GET /Appointment", 200, bundle(*([appointment(request)] if word == replies.KEY else [])))
    receipt = await server.commit(request, Plan(offer()))
    table = DIALECTS[dialect]
    nothing = table.get((status, replies.OUTCOME if status == 200 else ANY)) or table.get((status, ANY))
    if nothing is None and status == 200:  # Medplum's success is a 201: this one is nobody's
        assert receipt == Receipt.unknown()
    elif word:
        assert receipt == replies.SETTLED[word, ANY].receipt
    else:
        assert receipt == (nothing.receipt if nothing else Receipt.unknown())


@pytest.mark.requirement("FAIL-16")
@both
@pytest.mark.parametrize(
    "content", [b"<html>", None, {"error": "forbidden"}, HINT], ids=["page", "nothing", "else", "hint"]
)
async def test_a_refusal_that_is_not_in_fhirs_own_words_is_settled_by_a_look(
    server: Scripted, make: MakeRequest, dialect: str, content: Any
) -> None:
    request = make(dialect=dialect)
    server.answer("POST /Appointment/$book", 403, content)
    offering(server)
    server.answer("GET /Appointment", 200, bundle(appointment(request)))
    assert await server.commit(request, Plan(offer())) == Receipt.unknown(Code.DUPLICATE_KEY)


@pytest.mark.requirement("FAIL-15")
@both
@pytest.mark.parametrize(("found", "code"), [(True, Code.DUPLICATE_KEY), (False, Code.REPLY_UNRECOGNISED)])
@pytest.mark.parametrize("free", [True, False])
async def test_a_search_that_lags_settles_nothing_but_our_key(
    server: Scripted, make: MakeRequest, dialect: str, found: bool, code: Code, free: bool
) -> None:
    request = make(dialect=dialect, **{"settling-seconds": 2})
    server.answer("POST /Appointment/$book", 400, FAILED)
    offering(server, *([offer()] if free else []))
    server.answer("GET /Appointment", 200, bundle(*([appointment(request)] if found else [])))
    assert await server.commit(request, Plan(offer())) == Receipt.unknown(code)


@both
@pytest.mark.parametrize(
    "content",
    [
        lambda request: bundle(),
        lambda request: bundle(appointment(request), {"resourceType": "OperationOutcome"}),
        lambda request: bundle(HINT),
        lambda request: bundle(appointment(request), appointment(request)),
        lambda request: bundle(FAILED, {"resourceType": "Slot"}),
        appointment,
        lambda request: {"resourceType": "Parameters", "parameter": []},
        lambda request: [],
    ],
)
async def test_a_success_that_holds_neither_proves_nothing(
    server: Scripted, make: MakeRequest, dialect: str, content: Any
) -> None:
    request = make(dialect=dialect)
    server.answer("POST /Appointment/$book", 200 if dialect == "ihe-book" else 201, content(request))
    assert await server.commit(request, Plan(offer())) == Receipt.unknown()
    assert len(server.asked) == 1


@both
@pytest.mark.parametrize("shape", [lambda content: content, wrapped])
async def test_the_bundle_counts_wrapped_or_not(server: Scripted, make: MakeRequest, dialect: str, shape: Any) -> None:
    request = make(dialect=dialect)
    server.answer("POST /Appointment/$book", 201, shape(bundle(appointment(request))))
    assert await server.commit(request, Plan(offer())) == Receipt.applied(identifier="17", version=versioned())


@both
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": "proposed"}, Code.ACCEPTED_PENDING),
        ({"status": "pending"}, Code.ACCEPTED_PENDING),
        ({"status": "cancelled"}, Code.REPLY_DEVIATES),
        ({"identifier": []}, Code.REPLY_DEVIATES),
        ({"end": "2031-03-03T10:00:00Z"}, Code.REPLY_DEVIATES),
        ({"participant": []}, Code.REPLY_DEVIATES),
    ],
)
async def test_a_success_counts_only_if_what_is_in_force_was_approved(
    server: Scripted, make: MakeRequest, dialect: str, change: dict[str, Any], code: Code
) -> None:
    request = make(dialect=dialect)
    server.answer("POST /Appointment/$book", 201, bundle(appointment(request, **change)))
    assert await server.commit(request, Plan(offer())) == Receipt.unknown(code)


# What is sent


@pytest.mark.requirement("ADAPT-05")
async def test_ihe_is_asked_with_a_pending_appointment(server: Scripted, make: MakeRequest) -> None:
    request = make(dialect="ihe-book")
    await server.commit(request, Plan(offer()))
    (only,) = json.loads(server.asked[0].content)["parameter"]
    asked = only["resource"]
    assert (only["name"], asked["status"], asked["start"]) == (
        "appointment-resource",
        "pending",
        "2031-03-03T09:00:00Z",
    )
    assert asked["requestedPeriod"] == [{"start": "2031-03-03T09:00:00Z", "end": "2031-03-03T09:30:00Z"}]
    assert asked["identifier"] == [{"system": mapping.KEY_SYSTEM, "value": request.native_key()}]


@pytest.mark.requirement("ADAPT-05")
async def test_medplum_gets_its_offer_back_with_patient_and_key(server: Scripted, make: MakeRequest) -> None:
    request = make(dialect="medplum", reason="check-up")
    await server.commit(request, Plan(offer()))
    (only,) = json.loads(server.asked[0].content)["parameter"]
    asked = only["resource"]
    assert (only["name"], asked["status"], asked["contained"]) == ("appointment", "proposed", [{"id": "s"}])
    assert asked["identifier"] == [{"system": mapping.KEY_SYSTEM, "value": request.native_key()}]
    people = {each["actor"]["reference"]: each["status"] for each in asked["participant"]}
    assert (people["Patient/patient-1"], people["Practitioner/practitioner-1"]) == ("accepted", "needs-action")


# Readiness


def statement(dialect: str, **more: Any) -> dict[str, Any]:
    told = {"type": "Appointment", "interaction": [{"code": "read"}, {"code": "search-type"}], **more}
    schedule = {"type": "Schedule", "interaction": [{"code": "search-type"}]}
    rest = [{"mode": "server", "resource": [told, schedule]}]
    return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest}


async def ready(server: Scripted, request: Request) -> Readiness:
    async with server.client() as client:
        return await FhirAdapter().readiness(request, client)


@pytest.mark.requirement("GATE-24", "GATE-26")
@both
@pytest.mark.parametrize(
    ("operations", "declared", "available", "authorised"),
    [
        (["find", "book"], False, Proof.PROVEN, Proof.PROVEN),
        (["$find", "$book"], False, Proof.PROVEN, Proof.PROVEN),
        (["find"], True, Proof.PROVEN, Proof.REFUTED),
        (["book"], False, Proof.UNVERIFIABLE, Proof.PROVEN),
        ([], False, Proof.UNVERIFIABLE, Proof.REFUTED),
        ([], True, Proof.PROVEN, Proof.PROVEN),
    ],
)
async def test_the_operations_must_be_listed_or_declared(
    server: Scripted,
    make: MakeRequest,
    dialect: str,
    operations: list[str],
    declared: bool,
    available: Proof,
    authorised: Proof,
) -> None:
    server.answer("GET /metadata", 200, statement(dialect, operation=[{"name": each} for each in operations]))
    offering(server, offer())
    readiness = await ready(server, make(dialect=dialect, **{"operations-declared": declared}))
    assert (readiness.available, readiness.authorised) == (available, authorised)


@both
@pytest.mark.parametrize(
    ("offers", "target"),
    [
        ([offer()], TargetState.OPEN),
        ([], TargetState.TAKEN),
        ([offer(start="2031-03-03T09:15:00Z")], TargetState.TAKEN),
        ([offer(end="2031-03-03T09:45:00Z")], TargetState.TAKEN),
        ([offer(participant=[{"actor": {"reference": "Practitioner/other"}}])], TargetState.TAKEN),
        ([with_also("Patient/2")], TargetState.TAKEN),
        ([with_also("https://else.where/fhir/Patient/patient-1")], TargetState.TAKEN),
        ([with_also("https://else.where/fhir/Location/location-1")], TargetState.TAKEN),
        ([with_also(f"{BASE}Location/location-1")], TargetState.OPEN),
        (
            [offer(participant=[{"actor": {"reference": "https://else.where/fhir/Practitioner/practitioner-1"}}])],
            TargetState.TAKEN,
        ),
        ([FAILED], TargetState.UNVERIFIABLE),
        ([offer(), offer()], TargetState.UNVERIFIABLE),
        ([offer(start="soon")], TargetState.UNVERIFIABLE),
        ([HINT, offer()], TargetState.OPEN),
    ],
    ids=str,
)
async def test_an_offer_is_of_exactly_what_was_approved(
    server: Scripted, make: MakeRequest, dialect: str, offers: list[Any], target: TargetState
) -> None:
    server.answer("GET /metadata", 200, statement(dialect, operation=[{"name": "find"}, {"name": "book"}]))
    offering(server, *offers)
    assert (await ready(server, make(dialect=dialect))).target is target


@both
@pytest.mark.parametrize("spoil", [{"link": [{"relation": "next"}]}, {"entry": "many"}, {"total": 2}])
async def test_half_an_answer_offers_nothing(server: Scripted, make: MakeRequest, dialect: str, spoil: Any) -> None:
    server.answer("GET /metadata", 200, statement(dialect, operation=[{"name": "find"}, {"name": "book"}]))
    offering(server)
    for method in ("GET", "POST"):
        server.answer(f"{method} /Appointment/$find", 200, bundle(offer()) | spoil)
    assert (await ready(server, make(dialect=dialect))).target is TargetState.UNVERIFIABLE


@pytest.mark.parametrize(
    ("dialect", "wrong"),
    [
        ("ihe-book", {"practitioner": "PractitionerRole/7"}),
        ("medplum", {"service": "http://snomed.info/sct|408443003"}),
        ("medplum", {"patient": "no good"}),
    ],
)
async def test_what_a_dialect_cannot_say_is_not_asked(
    server: Scripted, make: MakeRequest, dialect: str, wrong: dict[str, str]
) -> None:
    assert (await ready(server, make(dialect=dialect, vendor={**VENDOR, **wrong}))).target is TargetState.UNVERIFIABLE
    assert server.asked == []


@pytest.mark.parametrize(
    "schedules",
    [
        {},
        {"a": ["Practitioner/practitioner-1"], "b": ["Practitioner/practitioner-1"]},
        {"a": ["Practitioner/practitioner-1", "Location/location-1"]},
        {"a": ["Practitioner/other"]},
    ],
)
async def test_medplum_needs_one_schedule_of_one_actor(
    server: Scripted, make: MakeRequest, schedules: dict[str, list[str]]
) -> None:
    server.answer("GET /metadata", 200, statement("medplum", operation=[{"name": "find"}, {"name": "book"}]))
    offering(server, offer())
    kept = [
        {"resourceType": "Schedule", "id": name, "actor": [{"reference": each} for each in actors]}
        for name, actors in schedules.items()
    ]
    server.answer("GET /Schedule", 200, bundle(*kept))
    assert (await ready(server, make(dialect="medplum"))).target is TargetState.UNVERIFIABLE


@both
@pytest.mark.parametrize(
    ("status", "found", "finding"),
    [
        (200, lambda request: bundle(appointment(request)), "PRESENT"),
        (200, lambda request: bundle(appointment(request, status="cancelled")), "DIFFERENT"),
        (200, lambda request: bundle(), "ABSENT"),
        (200, lambda request: bundle(appointment(request), appointment(request)), "INDETERMINATE"),
        (404, lambda request: FAILED, "INDETERMINATE"),
    ],
)
async def test_a_look_says_no_more_than_it_sees(
    server: Scripted, make: MakeRequest, dialect: str, status: int, found: Any, finding: str
) -> None:
    request = make(dialect=dialect)
    server.answer("GET /Appointment", status, found(request))
    async with server.client() as client:
        seen = await FhirAdapter().observe(Query(request=request), client)
    assert seen.finding is ObservationFinding(finding)
    sought = server.asked[0].url.params
    assert sought["identifier"] == f"{mapping.KEY_SYSTEM}|{request.native_key()}"
    assert ("patient" in sought) == (dialect == "ihe-book")
