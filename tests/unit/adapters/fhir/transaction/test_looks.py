"""A look says no more than it sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from adapters.fhir.adapter import FhirAdapter
from gateway.contracts.adapter import Basis, Query, Request
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from tests.unit.adapters.fhir.conftest import versioned
from tests.unit.adapters.fhir.transaction.conftest import ABSENT, DELETED, appointment, beside, issue, searchset

if TYPE_CHECKING:
    from tests.unit.adapters.fhir.conftest import Scripted

MakeRequest = Callable[..., Request]


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
