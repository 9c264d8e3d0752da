"""The reply tables, row by row, written out a second time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from adapters.caldav import mapping, replies
from adapters.caldav.dav import Collection
from gateway.contracts.adapter import Claim, Proof, Receipt, Request
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.kit.access import ACCESS_DECLARED
from gateway.kit.replies import ANY

MakeRequest = Callable[..., Request]
Judgement = tuple[Claim, Code]
APPLIED, REFUSED, UNKNOWN = Claim.APPLIED, Claim.REFUSED, Claim.UNKNOWN
COMMON = {
    202: (UNKNOWN, Code.ACCEPTED_PENDING), 203: (UNKNOWN, Code.REPLY_UNRECOGNISED),
    301: (UNKNOWN, Code.REPLY_UNRECOGNISED), 304: (UNKNOWN, Code.REPLY_UNRECOGNISED),
    401: (REFUSED, Code.CREDENTIALS_REJECTED), 408: (UNKNOWN, Code.EXTERNAL_TIMEOUT),
    418: (UNKNOWN, Code.REPLY_UNRECOGNISED), 500: (UNKNOWN, Code.EXTERNAL_ERROR),
    503: (UNKNOWN, Code.EXTERNAL_ERROR), 507: (UNKNOWN, Code.EXTERNAL_ERROR), 599: (UNKNOWN, Code.EXTERNAL_ERROR),
}  # fmt: skip
LOOKED_AT = {
    400: (REFUSED, Code.EXTERNAL_INVALID), 403: (REFUSED, Code.EXTERNAL_FORBIDDEN),
    404: (REFUSED, Code.EXTERNAL_UNAVAILABLE), 405: (REFUSED, Code.EXTERNAL_FORBIDDEN),
    410: (REFUSED, Code.EXTERNAL_UNAVAILABLE), 413: (REFUSED, Code.EXTERNAL_INVALID),
    415: (REFUSED, Code.EXTERNAL_INVALID), 422: (REFUSED, Code.EXTERNAL_INVALID),
    423: (REFUSED, Code.EXTERNAL_UNAVAILABLE), 429: (REFUSED, Code.EXTERNAL_THROTTLED),
}  # fmt: skip
BOOK = COMMON | {
    200: (UNKNOWN, Code.REPLY_DEVIATES), 201: (APPLIED, Code.COMMITTED), 204: (UNKNOWN, Code.REPLY_DEVIATES),
}  # fmt: skip
CHANGE = COMMON | {
    200: (APPLIED, Code.COMMITTED), 201: (UNKNOWN, Code.REPLY_DEVIATES), 204: (APPLIED, Code.COMMITTED),
}  # fmt: skip
BOOK_LOOKED_AT = LOOKED_AT | dict.fromkeys((409, 412), (UNKNOWN, Code.REPLY_UNRECOGNISED))
CHANGE_LOOKED_AT = LOOKED_AT | dict.fromkeys((409, 412), (REFUSED, Code.EXTERNAL_INVALID))


def told(receipt: Receipt) -> Judgement:
    return receipt.claim, receipt.code


@pytest.mark.parametrize(
    ("operation", "status", "expected"),
    [(Operation.BOOK, *row) for row in BOOK.items()]
    + [(operation, *row) for operation in (Operation.RESCHEDULE, Operation.CANCEL) for row in CHANGE.items()],
)
def test_each_status_has_its_judgement(operation: Operation, status: int, expected: Judgement) -> None:
    assert told(replies.judged(operation, status)) == expected


def test_no_row_goes_untested_and_every_refusal_but_401_is_looked_at() -> None:
    assert {status for status, word in replies.BOOKING if word is ANY} <= BOOK.keys() | BOOK_LOOKED_AT.keys()
    assert {status for status, word in replies.CHANGE if word is ANY} <= CHANGE.keys() | CHANGE_LOOKED_AT.keys()
    assert replies.AMBIGUOUS == BOOK_LOOKED_AT.keys() == CHANGE_LOOKED_AT.keys()
    for table in (replies.BOOKING, replies.CHANGE):
        refused = {status for (status, _), row in table.items() if row.receipt.claim is REFUSED}
        assert refused - replies.AMBIGUOUS == {401}


@pytest.fixture
def settled(make_request: MakeRequest) -> Callable[..., Judgement]:
    """What a status means after a look that found `found`: our own key, another event, or nothing."""

    def judged(operation: Operation, status: int, found: str | None, unchanged: bool, *conditions: str) -> Judgement:
        request, at = make_request(operation), datetime(2026, 1, 1, tzinfo=UTC)
        events = None
        if found is not None:
            text = mapping.new_event(make_request(), at).decode()
            if found == "own":
                text = mapping.changed_event(text, make_request(Operation.CANCEL), at).decode().replace("\r\n ", "")
                key = mapping.read_events(text)[0].key
                assert key is not None
                text = text.replace(key, request.native_key())
            events = mapping.read_events(text)
        named = frozenset(conditions)
        return told(replies.judged_after_look(request, status, named, events=events, unchanged=unchanged))

    return judged


Settled = Callable[..., Judgement]


@pytest.mark.requirement("FAIL-15", "FAIL-16")
@pytest.mark.parametrize(("status", "expected"), sorted(BOOK_LOOKED_AT.items()))
def test_a_refused_booking_is_refused_only_where_nothing_is_there(
    settled: Settled, status: int, expected: Judgement
) -> None:
    """What reads replies on the way may refuse one by 403, although the event is stored."""
    assert settled(Operation.BOOK, status, None, False) == expected
    assert settled(Operation.BOOK, status, "own", False) == (UNKNOWN, Code.DUPLICATE_KEY)
    assert settled(Operation.BOOK, status, "other", False) == (UNKNOWN, Code.DUPLICATE_KEY)


@pytest.mark.requirement("FAIL-15", "FAIL-16")
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL])
@pytest.mark.parametrize(("status", "expected"), sorted(CHANGE_LOOKED_AT.items()))
def test_a_refused_change_is_refused_only_where_the_named_version_stands_or_the_reply_says_why_not(
    settled: Settled, operation: Operation, status: int, expected: Judgement
) -> None:
    nobody_knows = (UNKNOWN, Code.REPLY_UNRECOGNISED)
    gone = (REFUSED, Code.TARGET_NOT_FOUND) if status in (404, 409, 410, 412) else nobody_knows
    changed = (REFUSED, Code.TARGET_CHANGED) if status in (409, 412) else nobody_knows
    assert settled(operation, status, "other", True) == expected
    assert settled(operation, status, "own", False) == (UNKNOWN, Code.DUPLICATE_KEY)
    assert settled(operation, status, None, False) == gone
    assert settled(operation, status, "other", False) == changed


@pytest.mark.parametrize("status", [403, 409, 412])
@pytest.mark.parametrize("name", sorted(replies.CONDITIONS))
def test_a_refusal_is_judged_by_the_condition_that_it_names(settled: Settled, name: str, status: int) -> None:
    expected = {
        "no-uid-conflict": (UNKNOWN, Code.DUPLICATE_KEY),
        "need-privileges": (REFUSED, Code.EXTERNAL_FORBIDDEN),
    }.get(name, (REFUSED, Code.EXTERNAL_INVALID))
    assert settled(Operation.BOOK, status, None, False, name) == expected
    assert settled(Operation.CANCEL, status, "other", True, name, "unheard-of") == expected
    assert settled(Operation.BOOK, status, "own", False, name) == (UNKNOWN, Code.DUPLICATE_KEY)


@pytest.mark.parametrize("status", [403, 409])
def test_a_refusal_that_names_what_contradicts_itself_is_unrecognised(settled: Settled, status: int) -> None:
    named = ("no-uid-conflict", "valid-calendar-data")
    assert settled(Operation.BOOK, status, None, False, *named) == (UNKNOWN, Code.REPLY_UNRECOGNISED)


@pytest.mark.parametrize(
    ("operation", "privileges", "declared", "expected"),
    [
        (Operation.BOOK, {"all"}, False, Proof.PROVEN),
        (Operation.BOOK, {"write"}, False, Proof.PROVEN),
        (Operation.BOOK, {"bind", "read"}, False, Proof.PROVEN),
        (Operation.BOOK, {"write-content"}, False, Proof.REFUTED),
        (Operation.CANCEL, {"write-content"}, False, Proof.PROVEN),
        (Operation.CANCEL, {"bind"}, False, Proof.REFUTED),
        (Operation.BOOK, {"read"}, True, Proof.REFUTED),
        (Operation.BOOK, set(), False, Proof.REFUTED),
        (Operation.BOOK, None, False, Proof.UNVERIFIABLE),
        (Operation.BOOK, None, True, Proof.PROVEN),
    ],
)
@pytest.mark.requirement("GATE-26", "GATE-27")
def test_the_right_to_write_is_proven_refuted_or_unverifiable(
    make_request: MakeRequest, operation: Operation, privileges: set[str] | None, declared: bool, expected: Proof
) -> None:
    request = make_request(operation, **{ACCESS_DECLARED: declared})
    told = None if privileges is None else frozenset(privileges)
    assert replies.write_proof(request, Collection(holds_events=True, authenticated=True, privileges=told)) is expected


@pytest.mark.parametrize(
    ("authenticated", "declared", "expected"),
    [
        (True, False, Proof.PROVEN),
        (False, True, Proof.REFUTED),
        (None, False, Proof.UNVERIFIABLE),
        (None, True, Proof.PROVEN),
    ],
)
@pytest.mark.requirement("GATE-25", "GATE-27")
def test_credentials_count_only_where_the_server_saw_them(
    make_request: MakeRequest, authenticated: bool | None, declared: bool, expected: Proof
) -> None:
    request = make_request(**{ACCESS_DECLARED: declared})
    told = Collection(holds_events=True, authenticated=authenticated, privileges=None)
    assert replies.credentials_proof(request, told) is expected
