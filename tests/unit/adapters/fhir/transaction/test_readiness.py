"""Readiness: what the server says that it can do, and the slots that it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from adapters.fhir.adapter import FhirAdapter
from adapters.fhir.transaction import Plan
from gateway.contracts.adapter import Authorized, Proof, Request, TargetState
from gateway.contracts.proposal import Operation
from gateway.testing import VENDOR
from tests.unit.adapters.fhir.transaction.conftest import (
    ELSEWHERE,
    ELSEWHERE_BASE,
    SCHEDULE,
    STATEMENT,
    beside,
    issue,
    ready,
    searchset,
    slot,
    stored,
    target_of,
)

if TYPE_CHECKING:
    from tests.unit.adapters.fhir.conftest import Scripted

MakeRequest = Callable[..., Request]
HERE = SCHEDULE | {"actor": [*SCHEDULE["actor"], ELSEWHERE, {"reference": "Location/location-1"}]}
THERE = SCHEDULE | {"actor": [*SCHEDULE["actor"], ELSEWHERE]}
AT_ANOTHER_SERVER = SCHEDULE | {"actor": [*SCHEDULE["actor"], {"reference": f"{ELSEWHERE_BASE}Location/location-1"}]}
AT_THERE = slot("Slot/there") | {"schedule": {"reference": "Schedule/there"}}
SUBSETTED = {
    "versionId": "1",
    "tag": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}],
}


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
