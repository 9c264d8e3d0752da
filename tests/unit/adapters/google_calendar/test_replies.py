"""The tables of replies, row by row, written out a second time; and the look that an ambiguous refusal needs."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import respx

from adapters.google_calendar import mapping, replies
from adapters.google_calendar.adapter import GoogleCalendarAdapter
from gateway.contracts.adapter import Authorized, Claim, Receipt
from gateway.contracts.failures import FAILURES, Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import End
from gateway.kit.replies import ANY
from tests.unit.adapters.google_calendar.conftest import GOOGLE, asked, client, problem, stored

APPLIED, REFUSED, UNKNOWN = Claim.APPLIED, Claim.REFUSED, Claim.UNKNOWN
COMMON = {
    (400, "invalid"): (REFUSED, Code.EXTERNAL_INVALID), (400, "timeRangeEmpty"): (REFUSED, Code.EXTERNAL_INVALID),
    (401, "authError"): (REFUSED, Code.CREDENTIALS_REJECTED), (401, "other"): (UNKNOWN, Code.REPLY_UNRECOGNISED),
    (403, "userRateLimitExceeded"): (REFUSED, Code.EXTERNAL_THROTTLED),
    (403, "rateLimitExceeded"): (REFUSED, Code.EXTERNAL_THROTTLED),
    (403, "quotaExceeded"): (REFUSED, Code.EXTERNAL_THROTTLED),
    (403, "forbiddenForNonOrganizer"): (REFUSED, Code.EXTERNAL_FORBIDDEN),
    (403, "insufficientPermissions"): (REFUSED, Code.EXTERNAL_FORBIDDEN),
    (403, "requiredAccessLevel"): (REFUSED, Code.EXTERNAL_FORBIDDEN),
    (403, "unheardOf"): (UNKNOWN, Code.REPLY_UNRECOGNISED), (409, "conflict"): (UNKNOWN, Code.REPLY_UNRECOGNISED),
    (418, "teapot"): (UNKNOWN, Code.REPLY_UNRECOGNISED), (429, "rateLimitExceeded"): (REFUSED, Code.EXTERNAL_THROTTLED),
    (500, "backendError"): (UNKNOWN, Code.EXTERNAL_ERROR), (503, "backendError"): (UNKNOWN, Code.EXTERNAL_ERROR),
}  # fmt: skip
BOOK = COMMON | {
    (403, "forbidden"): (REFUSED, Code.EXTERNAL_FORBIDDEN), (404, "notFound"): (REFUSED, Code.EXTERNAL_UNAVAILABLE),
    (409, "duplicate"): (UNKNOWN, Code.DUPLICATE_KEY), (412, "conditionNotMet"): (UNKNOWN, Code.REPLY_UNRECOGNISED),
}  # fmt: skip
CHANGE = COMMON | {
    (404, "notFound"): (REFUSED, Code.TARGET_NOT_FOUND), (409, "duplicate"): (UNKNOWN, Code.REPLY_UNRECOGNISED),
}  # fmt: skip


async def committed(operation: Operation, reply: httpx.Response) -> Receipt:
    """One commit that is answered so; a look after it would find nobody at home, and raise."""
    request = asked(operation)
    prepared = None if operation is Operation.BOOK else '"1"'
    with respx.mock(base_url=GOOGLE) as google:
        write = google.route(method__in=["POST", "PATCH"]).mock(return_value=reply)
        async with client() as to_google:
            receipt = await GoogleCalendarAdapter().commit(Authorized(request=request, prepared=prepared), to_google)
        assert write.call_count == 1
    return receipt


@pytest.mark.requirement("ADAPT-03")
@pytest.mark.parametrize(
    ("operation", "row", "expected"),
    [(Operation.BOOK, *each) for each in BOOK.items()]
    + [(operation, *each) for operation in (Operation.RESCHEDULE, Operation.CANCEL) for each in CHANGE.items()],
)
async def test_each_reply_has_its_row(operation: Operation, row: tuple[int, str], expected: tuple[Claim, Code]) -> None:
    receipt = await committed(operation, problem(*row))
    assert (receipt.claim, receipt.code) == expected


def test_no_row_goes_untested_and_each_names_its_source() -> None:
    assert {key for key in replies.BOOK if key[1] != ANY} <= BOOK.keys()
    assert {key for key in replies.CHANGE if key[1] != ANY} <= CHANGE.keys()
    for table in replies.TABLES.values():
        for row in table.values():
            assert row.source
            assert End(row.receipt.claim.name) in FAILURES[row.receipt.code].ends


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 412, 422, 429])
@pytest.mark.parametrize("operation", [Operation.BOOK, Operation.CANCEL], ids=str)
async def test_a_refusal_in_other_words_than_googles_is_unknown(operation: Operation, status: int) -> None:
    for body in (
        b"",
        b"<html>no</html>",
        b'{"error": "no"}',
        b'{"error": {"errors": []}}',
        b'{"error": {"errors": [{}]}}',
    ):
        receipt = await committed(operation, httpx.Response(status, content=body))
        assert receipt == Receipt.unknown(Code.REPLY_UNRECOGNISED)


@pytest.mark.parametrize("status", [201, 202, 204])
@pytest.mark.parametrize("operation", Operation, ids=str)
async def test_a_success_that_is_not_documented_is_unknown(operation: Operation, status: int) -> None:
    assert (await committed(operation, httpx.Response(status))).claim is UNKNOWN


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id": 1}', b'{"id": "x", "etag": "unquoted"}'])
async def test_a_success_that_shows_no_event_is_unknown(body: bytes) -> None:
    receipt = await committed(Operation.BOOK, httpx.Response(200, content=body))
    assert (receipt.claim, receipt.code) == (UNKNOWN, Code.REPLY_UNRECOGNISED)


AMBIGUOUS = {412: "conditionNotMet", 410: "deleted", 403: "forbidden"}


@pytest.mark.requirement("FAIL-16")
@pytest.mark.parametrize("status", AMBIGUOUS)
@pytest.mark.parametrize(
    ("found", "claim", "code"),
    [
        ("ours", UNKNOWN, Code.DUPLICATE_KEY),
        ("another version", REFUSED, Code.TARGET_CHANGED),
        ("approved version", UNKNOWN, Code.REPLY_UNRECOGNISED),
        ("bare tombstone", UNKNOWN, Code.REPLY_UNRECOGNISED),
        ("somebody's tombstone", REFUSED, Code.TARGET_CHANGED),
        ("nothing", UNKNOWN, Code.REPLY_UNRECOGNISED),
        ("no answer", UNKNOWN, Code.REPLY_UNRECOGNISED),
    ],
)
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=str)
async def test_a_change_that_our_own_repetition_would_also_see_refused_is_looked_at(
    operation: Operation, status: int, found: str, claim: Claim, code: Code
) -> None:
    request = asked(operation)
    event: dict[str, Any] = {"id": mapping.event_id(request)}
    other = {"extendedProperties": {"private": {"gatewayKey": "another"}}}
    looks = {
        "ours": httpx.Response(200, json=stored(request)),
        "another version": httpx.Response(200, json=stored(request, status="confirmed", etag='"9"', **other)),
        "approved version": httpx.Response(200, json=stored(request, status="confirmed", etag='"1"', **other)),
        "bare tombstone": httpx.Response(200, json={**event, "status": "cancelled"}),
        "somebody's tombstone": httpx.Response(200, json={**event, "status": "cancelled", **other}),
        "nothing": problem(404, "notFound"),
        "no answer": httpx.Response(503),
    }
    with respx.mock(base_url=GOOGLE) as google:
        write = google.patch(path__regex=f"/{mapping.event_id(request)}$").mock(
            return_value=problem(status, AMBIGUOUS[status])
        )
        google.get(path__regex=f"/{mapping.event_id(request)}$").mock(return_value=looks[found])
        async with client() as to_google:
            receipt = await GoogleCalendarAdapter().commit(Authorized(request=request, prepared='"1"'), to_google)
        assert write.call_count == 1
    assert (receipt.claim, receipt.code) == (claim, code)
