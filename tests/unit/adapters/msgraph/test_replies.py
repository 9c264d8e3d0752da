"""The tables of replies, row by row, written out a second time; and the look that a 412 needs."""

from __future__ import annotations

import httpx
import pytest
import respx

from adapters.msgraph import mapping, replies
from adapters.msgraph.adapter import GraphAdapter
from gateway.contracts.adapter import Authorized, Claim, Receipt
from gateway.contracts.failures import FAILURES, Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import End
from gateway.kit.replies import ANY
from tests.unit.adapters.msgraph.conftest import (
    EVENT,
    GRAPH,
    asked,
    before,
    before_keys,
    client,
    event,
    page,
    problem,
    replied,
    stored,
)

APPLIED, REFUSED, UNKNOWN = Claim.APPLIED, Claim.REFUSED, Claim.UNKNOWN
COMMON = {
    (400, "ErrorInvalidRequest"): (REFUSED, Code.EXTERNAL_INVALID),
    (401, "InvalidAuthenticationToken"): (REFUSED, Code.CREDENTIALS_REJECTED),
    (402, "paymentRequired"): (UNKNOWN, Code.REPLY_UNRECOGNISED),
    (403, "ErrorAccessDenied"): (REFUSED, Code.EXTERNAL_FORBIDDEN),
    (405, "notAllowed"): (REFUSED, Code.EXTERNAL_INVALID), (406, "notSupported"): (UNKNOWN, Code.REPLY_UNRECOGNISED),
    (408, "timeout"): (UNKNOWN, Code.REPLY_UNRECOGNISED), (409, "Conflict"): (UNKNOWN, Code.REPLY_UNRECOGNISED),
    (409, "ConcurrentItemSave"): (UNKNOWN, Code.REPLY_UNRECOGNISED),
    (413, "x"): (REFUSED, Code.EXTERNAL_INVALID), (415, "x"): (REFUSED, Code.EXTERNAL_INVALID),
    (422, "x"): (REFUSED, Code.EXTERNAL_INVALID), (423, "x"): (REFUSED, Code.EXTERNAL_UNAVAILABLE),
    (429, "activityLimitReached"): (REFUSED, Code.EXTERNAL_THROTTLED),
    (500, "generalException"): (UNKNOWN, Code.EXTERNAL_ERROR), (501, "x"): (UNKNOWN, Code.EXTERNAL_ERROR),
    (503, "ConcurrentItemSave"): (UNKNOWN, Code.EXTERNAL_ERROR), (504, "x"): (UNKNOWN, Code.EXTERNAL_ERROR),
    (507, "x"): (UNKNOWN, Code.EXTERNAL_ERROR), (509, "x"): (UNKNOWN, Code.EXTERNAL_ERROR),
}  # fmt: skip
BOOK = COMMON | {
    (400, "ErrorDuplicateTransactionId"): (UNKNOWN, Code.DUPLICATE_KEY),
    (409, "ErrorDuplicateTransactionId"): (UNKNOWN, Code.DUPLICATE_KEY),
    (404, "ErrorItemNotFound"): (REFUSED, Code.EXTERNAL_UNAVAILABLE),
    (410, "x"): (UNKNOWN, Code.REPLY_UNRECOGNISED),
    (412, "ErrorIrresolvableConflict"): (UNKNOWN, Code.REPLY_UNRECOGNISED),
}  # fmt: skip
CHANGE = COMMON | {
    (404, "ErrorItemNotFound"): (REFUSED, Code.TARGET_NOT_FOUND), (410, "x"): (REFUSED, Code.TARGET_NOT_FOUND),
}  # fmt: skip
CHANGES = pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=str)


async def committed(
    operation: Operation, reply: httpx.Response, look: httpx.Response | None = None, **details: object
) -> Receipt:
    """One commit that is answered so, and the look after it; one that is not foreseen would raise."""
    request = asked(operation, **details)
    version = mapping.version_of(mapping.Event.model_validate(before(request)), before_keys(request))
    prepared = None if operation is Operation.BOOK else mapping.Target(EVENT, 'W/"1"', version)
    with respx.mock(base_url=GRAPH) as graph:
        write = graph.route(method__in=["POST", "PATCH"]).mock(return_value=reply)
        if look is not None:
            graph.get(path__regex="/events$").mock(return_value=look)
        async with client() as to_graph:
            receipt = await GraphAdapter().commit(Authorized(request=request, prepared=prepared), to_graph)
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
    for table, written in ((replies.BOOK, BOOK), (replies.CHANGE, CHANGE)):
        tried = {status for status, _ in written}
        assert {status for status, word in table if word == ANY} - {200, 201} <= tried
        assert {key for key in table if key[1] != ANY} <= written.keys()
    for table in replies.TABLES.values():
        for row in table.values():
            assert row.source
            assert End(row.receipt.claim.name) in FAILURES[row.receipt.code].ends


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 412, 422, 423, 429])
@pytest.mark.parametrize("operation", [Operation.BOOK, Operation.CANCEL], ids=str)
async def test_a_refusal_in_other_words_than_graphs_is_unknown(operation: Operation, status: int) -> None:
    for body in (b"", b"<html/>", b'{"error": "no"}', b'{"error": {}}', b'{"error": {"code": 1}}'):
        receipt = await committed(operation, httpx.Response(status, content=body))
        assert receipt == Receipt.unknown(Code.REPLY_UNRECOGNISED)


@pytest.mark.requirement("CARD-04")
@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_an_error_without_words_is_one_too(status: int) -> None:
    """Events were created behind a 503 (reported)."""
    assert await committed(Operation.BOOK, httpx.Response(status)) == Receipt.unknown(Code.EXTERNAL_ERROR)


@pytest.mark.parametrize(("operation", "status"), [
    (Operation.BOOK, 200), (Operation.BOOK, 202), (Operation.RESCHEDULE, 201), (Operation.RESCHEDULE, 204),
    (Operation.CANCEL, 202), (Operation.CANCEL, 204),
])  # fmt: skip
async def test_a_success_that_is_not_documented_is_unknown(operation: Operation, status: int) -> None:
    assert (await committed(operation, httpx.Response(status))).claim is UNKNOWN


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id": 1}', b'{"value": []}'])
async def test_a_success_that_shows_no_event_is_unknown(body: bytes) -> None:
    receipt = await committed(Operation.BOOK, httpx.Response(201, content=body))
    assert (receipt.claim, receipt.code) == (UNKNOWN, Code.REPLY_UNRECOGNISED)


@pytest.mark.requirement("FAIL-16")
@CHANGES
@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("ours", Receipt.unknown(Code.DUPLICATE_KEY)),
        ("ours among others", Receipt.unknown(Code.DUPLICATE_KEY)),
        ("another's", Receipt.refused(Code.TARGET_CHANGED)),
        ("the approved version moved by a person", Receipt.refused(Code.TARGET_CHANGED)),
        ("the approved version", Receipt.unknown()),
        ("the approved version at another tag", Receipt.unknown()),
        ("nothing", Receipt.unknown()),
        ("an event without our key", Receipt.unknown()),
        ("no answer", Receipt.unknown()),
    ],
)
async def test_a_precondition_that_failed_is_looked_at(operation: Operation, found: str, expected: Receipt) -> None:
    """The approved version, still there, proves nothing: our request may have been delivered twice, and the look may
    have reached a replica that lags; and Exchange answers 412 at times without a precondition (reported)."""
    request = asked(operation)
    looks = {
        "ours": page(stored(request)),
        "ours among others": page(before(request), stored(request)),
        "another's": page(event(request, f"{mapping.booking_key(request)}/another", showAs="busy")),
        "the approved version moved by a person": page(
            before(request, start={"dateTime": "2031-03-03T08:00:00", "timeZone": "UTC"})
        ),
        "the approved version": page(before(request)),
        "the approved version at another tag": page(before(request, **{"@odata.etag": 'W/"0"'})),
        "nothing": page(),
        "an event without our key": page(event(request, None, showAs="busy")),
        "no answer": httpx.Response(503),
    }
    version = mapping.version_of(mapping.Event.model_validate(before(request)), before_keys(request))
    with respx.mock(base_url=GRAPH) as graph:
        write = graph.patch(path__regex="/events/").mock(return_value=problem(412, "ErrorIrresolvableConflict"))
        graph.get(path__regex="/calendars/[^/]+/events$").mock(return_value=looks[found])
        async with client() as to_graph:
            prepared = mapping.Target(EVENT, 'W/"1"', version)
            receipt = await GraphAdapter().commit(Authorized(request=request, prepared=prepared), to_graph)
        assert write.call_count == 1
    assert receipt == expected


async def test_the_same_creation_answered_again_is_the_same_appointment() -> None:
    """Graph answers 201 to a repetition with the same content, and makes nothing new (reported)."""
    request = asked()
    with respx.mock(base_url=GRAPH) as graph:
        graph.post(path__regex="/events$").respond(201, json=replied(request))
        async with client() as to_graph:
            receipts = [await GraphAdapter().commit(Authorized(request=request), to_graph) for _ in range(2)]
    assert receipts[0] == receipts[1] and receipts[0].claim is APPLIED
