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
    400: (REFUSED, Code.EXTERNAL_INVALID), 401: (REFUSED, Code.CREDENTIALS_REJECTED),
    403: (REFUSED, Code.EXTERNAL_FORBIDDEN), 405: (REFUSED, Code.EXTERNAL_FORBIDDEN),
    408: (UNKNOWN, Code.EXTERNAL_TIMEOUT), 413: (REFUSED, Code.EXTERNAL_INVALID),
    415: (REFUSED, Code.EXTERNAL_INVALID), 418: (UNKNOWN, Code.REPLY_UNRECOGNISED),
    422: (REFUSED, Code.EXTERNAL_INVALID), 423: (REFUSED, Code.EXTERNAL_UNAVAILABLE),
    429: (REFUSED, Code.EXTERNAL_THROTTLED), 500: (UNKNOWN, Code.EXTERNAL_ERROR),
    503: (UNKNOWN, Code.EXTERNAL_ERROR), 507: (UNKNOWN, Code.EXTERNAL_ERROR), 599: (UNKNOWN, Code.EXTERNAL_ERROR),
}  # fmt: skip
BOOK = COMMON | {
    200: (UNKNOWN, Code.REPLY_DEVIATES), 201: (APPLIED, Code.COMMITTED), 204: (UNKNOWN, Code.REPLY_DEVIATES),
    404: (REFUSED, Code.EXTERNAL_UNAVAILABLE), 410: (REFUSED, Code.EXTERNAL_UNAVAILABLE),
}  # fmt: skip
CHANGE = COMMON | {
    200: (APPLIED, Code.COMMITTED), 201: (UNKNOWN, Code.REPLY_DEVIATES), 204: (APPLIED, Code.COMMITTED),
    404: (REFUSED, Code.TARGET_NOT_FOUND), 410: (REFUSED, Code.TARGET_NOT_FOUND),
}  # fmt: skip


def told(receipt: Receipt) -> Judgement:
    return receipt.claim, receipt.code


@pytest.mark.parametrize(
    ("operation", "status", "expected"),
    [(Operation.BOOK, *row) for row in BOOK.items()]
    + [(operation, *row) for operation in (Operation.RESCHEDULE, Operation.CANCEL) for row in CHANGE.items()],
)
def test_each_status_has_its_judgement(operation: Operation, status: int, expected: Judgement) -> None:
    assert told(replies.judged(operation, status)) == expected


def test_no_row_goes_untested() -> None:
    assert {status for status, word in replies.BOOKING if word is ANY} <= set(BOOK)
    assert {status for status, word in replies.CHANGE if word is ANY} <= set(CHANGE)


@pytest.mark.parametrize("name", sorted(name for _, name in replies.CONDITIONS))
def test_a_403_is_judged_by_the_condition_that_it_names(name: str) -> None:
    expected = {
        "no-uid-conflict": (UNKNOWN, Code.DUPLICATE_KEY),
        "need-privileges": (REFUSED, Code.EXTERNAL_FORBIDDEN),
    }.get(name, (REFUSED, Code.EXTERNAL_INVALID))
    assert told(replies.judged(Operation.BOOK, 403, frozenset({name}))) == expected
    assert told(replies.judged(Operation.CANCEL, 403, frozenset({name, "unheard-of"}))) == expected


def test_a_403_that_names_what_contradicts_itself_is_unrecognised() -> None:
    named = frozenset({"no-uid-conflict", "valid-calendar-data"})
    assert replies.judged(Operation.BOOK, 403, named) == Receipt.unknown()


@pytest.mark.parametrize(
    ("operation", "found", "conditions", "unchanged", "expected"),
    [
        (Operation.BOOK, "other", (), False, (UNKNOWN, Code.DUPLICATE_KEY)),
        (Operation.BOOK, "own", ("valid-calendar-data",), False, (UNKNOWN, Code.DUPLICATE_KEY)),
        (Operation.BOOK, None, (), False, (UNKNOWN, Code.REPLY_UNRECOGNISED)),
        (Operation.BOOK, None, ("unheard-of",), False, (UNKNOWN, Code.REPLY_UNRECOGNISED)),
        (Operation.BOOK, None, ("no-uid-conflict",), False, (UNKNOWN, Code.DUPLICATE_KEY)),
        (Operation.BOOK, None, ("valid-calendar-data",), False, (REFUSED, Code.EXTERNAL_INVALID)),
        (Operation.BOOK, None, ("valid-calendar-data", "no-uid-conflict"), False, (UNKNOWN, Code.REPLY_UNRECOGNISED)),
        (Operation.RESCHEDULE, None, (), False, (REFUSED, Code.TARGET_NOT_FOUND)),
        (Operation.RESCHEDULE, "own", (), False, (UNKNOWN, Code.DUPLICATE_KEY)),
        (Operation.RESCHEDULE, "other", (), False, (REFUSED, Code.TARGET_CHANGED)),
        (Operation.RESCHEDULE, "other", (), True, (REFUSED, Code.EXTERNAL_INVALID)),
        (Operation.CANCEL, "other", ("need-privileges",), True, (REFUSED, Code.EXTERNAL_FORBIDDEN)),
    ],
)
def test_an_ambiguous_reply_is_judged_by_what_the_look_found(
    make_request: MakeRequest,
    operation: Operation,
    found: str | None,
    conditions: tuple[str, ...],
    unchanged: bool,
    expected: Judgement,
) -> None:
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
    judged = replies.judged_after_look(request, frozenset(conditions), events=events, unchanged=unchanged)
    assert told(judged) == expected


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
