"""The reply tables, row by row, written out a second time."""

from __future__ import annotations

import httpx
import pytest

from adapters.athenahealth import replies
from gateway.contracts.adapter import Claim, Receipt
from gateway.contracts.failures import FAILURES, Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import End
from gateway.kit.replies import ANY, judge

TAKEN = "That appointment time was already booked or not available for booking."
WRITES = {
    (200, ANY): Receipt.applied(),
    (400, "Additional fields are required."): Receipt.refused(Code.EXTERNAL_INVALID),
    (400, "The data provided is invalid."): Receipt.refused(Code.EXTERNAL_INVALID),
    (400, "The specified patient does not exist in that department."): Receipt.refused(Code.EXTERNAL_INVALID),
    (401, ANY): Receipt.refused(Code.CREDENTIALS_REJECTED),
    (403, ANY): Receipt.refused(Code.EXTERNAL_FORBIDDEN),
    (404, "Invalid practice."): Receipt.refused(Code.EXTERNAL_FORBIDDEN),
}
CHANGES = WRITES | {
    (400, "Appointment ID is not a booked appointment"): Receipt.unknown(Code.DUPLICATE_KEY),
    (404, "The appointment is not available."): Receipt.unknown(Code.DUPLICATE_KEY),
    (404, "This appointment has already been checked in."): Receipt.refused(Code.TARGET_CHANGED),
}
EXPECTED = {
    Operation.BOOK: WRITES
    | {
        (404, "The appointment is not available."): Receipt.unknown(Code.DUPLICATE_KEY),
        (409, TAKEN): Receipt.unknown(Code.DUPLICATE_KEY),
    },
    Operation.RESCHEDULE: CHANGES | {(409, TAKEN): Receipt.unknown(Code.DUPLICATE_KEY)},
    Operation.CANCEL: CHANGES,
}
SLOT = {
    ("ours", ANY): Receipt.unknown(Code.DUPLICATE_KEY),
    ("another's", ANY): Receipt.refused(Code.SLOT_TAKEN),
}
TARGET = {
    ("given up", ANY): Receipt.unknown(Code.DUPLICATE_KEY),
    ("moved elsewhere", ANY): Receipt.refused(Code.TARGET_CHANGED),
    ("changed", ANY): Receipt.refused(Code.TARGET_CHANGED),
}


@pytest.mark.requirement("ADAPT-03")
@pytest.mark.parametrize(
    ("operation", "status", "word", "expected"),
    [(operation, *key, receipt) for operation, rows in EXPECTED.items() for key, receipt in rows.items()],
)
def test_each_row_has_its_judgement(operation: Operation, status: int, word: str, expected: Receipt) -> None:
    assert judge(replies.BY_OPERATION[operation], status, word) == expected


def test_no_row_goes_untested_and_each_names_its_source() -> None:
    assert {name: set(table) for name, table in replies.BY_OPERATION.items()} == {
        name: set(rows) for name, rows in EXPECTED.items()
    }
    looks = (replies.SLOT_NOW, replies.TARGET_NOW)
    assert [{key: row.receipt for key, row in table.items()} for table in looks] == [SLOT, TARGET]
    assert {id(each) for each in replies.TABLES.values()} == {
        id(each) for each in (*replies.BY_OPERATION.values(), *looks)
    }
    assert all(row.source for table in replies.TABLES.values() for row in table.values())


def test_every_judgement_is_an_end_that_the_taxonomy_allows() -> None:
    for table in replies.TABLES.values():
        for row in table.values():
            assert End(row.receipt.claim.name) in FAILURES[row.receipt.code].ends


@pytest.mark.requirement("FAIL-16")
@pytest.mark.parametrize("operation", Operation, ids=str)
@pytest.mark.parametrize("status", [201, 202, 204, 302, 400, 404, 405, 408, 409, 410, 412, 415, 422, 429, 500, 503])
def test_what_no_row_says_is_unknown(operation: Operation, status: int) -> None:
    receipt = judge(replies.BY_OPERATION[operation], status, "something else")
    assert receipt == Receipt.unknown(Code.EXTERNAL_ERROR if status >= 500 else Code.REPLY_UNRECOGNISED)


def test_a_taken_slot_means_nothing_to_a_cancellation() -> None:
    assert judge(replies.CANCEL, 409, TAKEN).claim is Claim.UNKNOWN


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b'\n\n{"detailedmessage":"more","error":"Invalid practice."}', "Invalid practice."),
        (b'{"success":false,"errormessage":"oops"}', ANY),
        (b'"Invalid PROVIDERID input"', ANY),
        (b"<h1>Not Authorized</h1>", ANY),
        (b'{"error": 5}', ANY),
        (b"\xff", ANY),
        (b"", ANY),
    ],
)
def test_the_word_is_the_error_text_of_athena_itself(content: bytes, word: str) -> None:
    assert replies.word(httpx.Response(404, content=content)) == word


@pytest.mark.parametrize(
    ("status", "content", "absent"),
    [
        (404, b'{"error":"The appointment is not available."}', True),
        (404, b'{"error":"Invalid practice."}', False),
        (404, b"Service not registered with API gateway.", False),
        (400, b'{"error":"The appointment is not available."}', False),
    ],
)
def test_absent_is_what_athena_calls_so(status: int, content: bytes, absent: bool) -> None:
    assert replies.is_absent(httpx.Response(status, content=content)) is absent
