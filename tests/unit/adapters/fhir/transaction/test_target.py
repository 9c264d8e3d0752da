"""Readiness of a change: the appointment that was approved, or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from adapters.fhir import mapping
from adapters.fhir.adapter import FhirAdapter
from gateway.contracts.adapter import Query, Request, TargetState
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from tests.unit.adapters.fhir.conftest import BASE, versioned
from tests.unit.adapters.fhir.transaction.conftest import (
    ABSENT,
    DELETED,
    ELSEWHERE_BASE,
    SLOT,
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


@pytest.mark.parametrize("bound", ["../Patient/1", "a b", "x" * 65, ".", ".."])
async def test_an_identifier_that_no_server_could_have_given_is_not_asked_for(
    server: Scripted, make: MakeRequest, bound: str
) -> None:
    ready(server)
    assert await target_of(server, make(Operation.CANCEL, bound=bound)) is TargetState.UNVERIFIABLE
    assert [one.url.path for one in server.asked] == ["/fhir/metadata"]
