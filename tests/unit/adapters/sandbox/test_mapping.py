"""Every row of the adapter's tables, and the replies that no row names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from adapters.sandbox import mapping, replies
from adapters.sandbox.answers import problem
from gateway.contracts.adapter import Claim, Receipt, Request
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.references import AppointmentId
from gateway.contracts.words import ObservationFinding
from gateway.kit.replies import ANY

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.adapters.sandbox.conftest import Practice

BOOKED_KEY = AppointmentId("apt_" + "0123456789abcdef" * 2)
OPERATIONS = tuple(Operation)
ROWS: Mapping[tuple[int, str], tuple[Claim, Code]] = MappingProxyType(
    {
        (401, "unauthorised"): (Claim.REFUSED, Code.CREDENTIALS_REJECTED),
        (403, "forbidden"): (Claim.REFUSED, Code.EXTERNAL_FORBIDDEN),
        (404, "not-found"): (Claim.REFUSED, Code.TARGET_NOT_FOUND),
        (409, "slot-taken"): (Claim.REFUSED, Code.SLOT_TAKEN),
        (409, "not-booked"): (Claim.REFUSED, Code.TARGET_CHANGED),
        (409, "key-reused"): (Claim.UNKNOWN, Code.DUPLICATE_KEY),
        (412, "stale-version"): (Claim.REFUSED, Code.TARGET_CHANGED),
        (422, "invalid"): (Claim.REFUSED, Code.EXTERNAL_INVALID),
        (428, "precondition-required"): (Claim.REFUSED, Code.EXTERNAL_INVALID),
        (429, "throttled"): (Claim.REFUSED, Code.EXTERNAL_THROTTLED),
        (500, "unavailable"): (Claim.UNKNOWN, Code.EXTERNAL_ERROR),
        (503, "unavailable"): (Claim.UNKNOWN, Code.EXTERNAL_ERROR),
    }
)


@pytest.fixture(params=OPERATIONS, ids=str)
def request_made(request: pytest.FixtureRequest, practice: Practice) -> Request:
    operation: Operation = request.param
    return practice.request(operation, target=None if operation is Operation.BOOK else (BOOKED_KEY, "1"))


def record(request: Request, **changes: Any) -> dict[str, Any]:
    """The sandbox's record as this request should leave it."""
    cancelled = request.operation is Operation.CANCEL
    status = {"id": "a1", "version": "2", "status": "cancelled" if cancelled else "booked"}
    return mapping.content(mapping.booking(request)) | status | {"keys": ["earlier", request.native_key()]} | changes


def reply(status: int, body: Any) -> httpx.Response:
    return httpx.Response(status, content=body if isinstance(body, bytes) else json.dumps(body).encode())


def refusal(status: int, name: str) -> httpx.Response:
    said = problem(name, status=status)
    return httpx.Response(said.status, headers=said.headers, content=said.body)


@pytest.mark.requirement("FAIL-17")
@pytest.mark.parametrize(("row", "meaning"), ROWS.items(), ids=str)
def test_each_refusal_has_its_own_bounded_meaning(
    request_made: Request, row: tuple[int, str], meaning: tuple[Claim, Code]
) -> None:
    receipt = mapping.receipt(refusal(*row), request_made)
    assert (receipt.claim, receipt.code) == meaning
    assert (receipt.identifier, receipt.version) == (None, None)


def test_the_rows_above_are_all_rows_but_those_of_success() -> None:
    successes = {(200, ANY), (201, ANY)}
    assert replies.BOOKING.keys() - ROWS.keys() == successes
    assert replies.CHANGE.keys() - ROWS.keys() == {(200, ANY)}


@pytest.mark.parametrize("status", [200, 201, 204, 302, 307, 400, 401, 404, 408, 409, 412, 500, 502, 503, 504])
@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[]", b"\xff", b'{"type": "about:blank"}'], ids=str)
def test_a_reply_that_is_not_the_sandbox_speaking_is_unknown(request_made: Request, status: int, body: bytes) -> None:
    code = Code.EXTERNAL_ERROR if status >= 500 else Code.REPLY_UNRECOGNISED
    assert mapping.receipt(reply(status, body), request_made) == Receipt.unknown(code)


@pytest.mark.parametrize("status", [400, 408, 502])
def test_a_known_problem_under_an_unknown_status_is_unknown(request_made: Request, status: int) -> None:
    code = Code.EXTERNAL_ERROR if status >= 500 else Code.REPLY_UNRECOGNISED
    assert mapping.receipt(refusal(status, "slot-taken"), request_made) == Receipt.unknown(code)


def test_success_is_the_record_as_approved_with_its_identifier_and_version(request_made: Request) -> None:
    for status in (200, 201) if request_made.operation is Operation.BOOK else (200,):
        receipt = mapping.receipt(reply(status, record(request_made)), request_made)
        assert receipt == Receipt.applied(identifier="a1", version="2")


@pytest.mark.parametrize("member", ["id", "version"])
def test_a_record_whose_name_no_sandbox_gives_is_unrecognised(request_made: Request, member: str) -> None:
    assert (
        mapping.receipt(reply(200, record(request_made, **{member: "x" * 70_000})), request_made) == Receipt.unknown()
    )


@pytest.mark.parametrize("status", [202, 203, 204, 206, 300, 304])
def test_no_other_status_is_a_success(request_made: Request, status: int) -> None:
    assert mapping.receipt(reply(status, record(request_made)), request_made) == Receipt.unknown()


def test_only_a_booking_is_created(practice: Practice) -> None:
    moved = practice.request(Operation.RESCHEDULE, target=(BOOKED_KEY, "1"))
    assert mapping.receipt(reply(201, record(moved)), moved) == Receipt.unknown()


DEVIATIONS: tuple[dict[str, Any], ...] = (
    {"patient": "patient-2"},
    {"participants": ["practitioner-1"]},
    {"participants": ["device-1", "practitioner-1", "x"]},
    {"location": "location-2"},
    {"service": "service-2"},
    {"reason": None},
    {"start": "2031-05-06T08:59:00Z"},
    {"start": "2031-05-06T09:00:00+01:00"},
    {"end": "2031-05-06T09:31:00Z"},
    {"keys": []},
    {"keys": ["another"]},
)


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=str)
def test_a_record_that_differs_from_what_was_approved_is_unknown(
    request_made: Request, deviation: dict[str, Any]
) -> None:
    receipt = mapping.receipt(reply(200, record(request_made, **deviation)), request_made)
    assert receipt == Receipt.unknown(Code.REPLY_DEVIATES)


def test_a_record_in_the_other_status_deviates(request_made: Request) -> None:
    other = "booked" if request_made.operation is Operation.CANCEL else "cancelled"
    receipt = mapping.receipt(reply(200, record(request_made, status=other)), request_made)
    assert receipt == Receipt.unknown(Code.REPLY_DEVIATES)


def test_the_same_instant_in_another_offset_does_not_deviate(request_made: Request) -> None:
    written = record(request_made, start="2031-05-06T11:00:00+02:00")
    assert mapping.receipt(reply(200, written), request_made).claim is Claim.APPLIED


def test_a_naive_time_or_an_unknown_status_cannot_be_read(request_made: Request) -> None:
    for change in ({"start": "2031-05-06T09:00:00"}, {"status": "waitlisted"}, {"version": None}):
        assert mapping.receipt(reply(200, record(request_made, **change)), request_made) == Receipt.unknown()


@pytest.mark.parametrize(
    ("items", "finding"),
    [
        (lambda request: [record(request)], ObservationFinding.PRESENT),
        (lambda request: [], ObservationFinding.ABSENT),
        (lambda request: [record(request, start="2031-05-06T08:00:00Z")], ObservationFinding.DIFFERENT),
        (lambda request: [record(request, keys=["another"])], ObservationFinding.INDETERMINATE),
        (lambda request: [record(request), record(request)], ObservationFinding.INDETERMINATE),
        (lambda request: [{}], ObservationFinding.INDETERMINATE),
    ],
    ids=["as-approved", "none", "moved", "not-ours", "several", "unreadable"],
)
def test_a_look_finds_by_key_or_proves_nothing(
    request_made: Request, items: Callable[[Request], list[Any]], finding: ObservationFinding
) -> None:
    assert mapping.observation(reply(200, {"items": items(request_made)}), request_made).finding is finding


@pytest.mark.parametrize("status", [202, 204, 302, 401, 403, 404, 429, 500, 503])
def test_a_look_that_fails_is_indeterminate(request_made: Request, status: int) -> None:
    seen = mapping.observation(reply(status, {"items": []}), request_made)
    assert seen.finding is ObservationFinding.INDETERMINATE
