"""Every row of every table: what the acknowledgement says, and what the adapter makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from adapters.hl7v2 import replies
from adapters.hl7v2.mapping import EVENTS
from adapters.hl7v2.testing import AGREED
from gateway.contracts.adapter import Claim, Receipt
from gateway.contracts.failures import FAILURES, Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, End
from gateway.kit.replies import ANY, Row, judge

ROWS = [(title, key, row) for title, table in replies.TABLES.items() for key, row in table.items()]


@pytest.mark.requirement("ADAPT-03", "FAIL-15")
@pytest.mark.parametrize(
    ("title", "key", "row"), ROWS, ids=[f"{key[0]} {key[1]} {title[:32]}" for title, key, _ in ROWS]
)
def test_every_row_is_a_pair_of_the_taxonomy_and_names_its_source(title: str, key: Any, row: Row) -> None:
    end = {Claim.APPLIED: End.APPLIED, Claim.REFUSED: End.REFUSED, Claim.UNKNOWN: End.UNKNOWN}[row.receipt.claim]
    assert end in FAILURES[row.receipt.code].ends
    assert "table 0" in row.source or "§" in row.source or "partner" in row.source


EXPECTED = {
    **dict.fromkeys(
        ("100", "101", "102", "103", "104", "200", "201", "202", "203"), ("refused", Code.EXTERNAL_INVALID)
    ),
    "205": ("unknown", Code.DUPLICATE_KEY),
    "206": ("refused", Code.EXTERNAL_THROTTLED),
    "207": ("unknown", Code.EXTERNAL_ERROR),
}
UNKNOWN_KEY = {Operation.BOOK: Code.EXTERNAL_INVALID, Operation.RESCHEDULE: Code.TARGET_NOT_FOUND}


@pytest.mark.requirement("FAIL-15", "FAIL-17")
@pytest.mark.parametrize("said", ["AE", "AR", "CE", "CR"])
@pytest.mark.parametrize("code", [*EXPECTED, "204"])
@pytest.mark.parametrize("operation", [Operation.BOOK, Operation.RESCHEDULE])
def test_a_rejection_means_what_its_code_means(said: str, code: str, operation: Operation) -> None:
    claim, meant = EXPECTED.get(code, ("refused", UNKNOWN_KEY[operation]))
    found = replies.rejected(operation, said, [(code, "")], {})
    assert (found.claim, found.code) == (Claim(claim), meant)


@pytest.mark.parametrize(
    ("said", "errors", "code"),
    [
        ("AA", [], Code.ACCEPTED_PENDING),
        ("AA", [("205", "")], Code.ACCEPTED_PENDING),
        ("CA", [], Code.ACCEPTED_PENDING),
        ("AE", [], Code.REPLY_UNRECOGNISED),
        ("CR", [], Code.REPLY_UNRECOGNISED),
        ("AR", [], Code.EXTERNAL_ERROR),
        ("CE", [], Code.EXTERNAL_ERROR),
        ("AE", [("0", "")], Code.REPLY_UNRECOGNISED),
        ("AE", [("999", "")], Code.REPLY_UNRECOGNISED),
        ("AR", [("999", "")], Code.EXTERNAL_ERROR),
        ("AE", [("101", ""), ("207", "")], Code.REPLY_UNRECOGNISED),
        ("??", [("101", "")], Code.REPLY_UNRECOGNISED),
        ("", [], Code.REPLY_UNRECOGNISED),
    ],
)
def test_what_no_row_says_is_unknown(said: str, errors: list[tuple[str, str]], code: Code) -> None:
    found = replies.rejected(Operation.BOOK, said, errors, AGREED)
    assert (found.claim, found.code) == (Claim.UNKNOWN, code)


def test_errors_that_agree_are_one() -> None:
    assert replies.rejected(Operation.BOOK, "AE", [("101", ""), ("103", "")], {}).code is Code.EXTERNAL_INVALID


@pytest.mark.parametrize(
    ("setting", "code"),
    [
        ("error-slot-taken", Code.SLOT_TAKEN),
        ("error-changed", Code.TARGET_CHANGED),
        ("error-forbidden", Code.EXTERNAL_FORBIDDEN),
    ],
)
@pytest.mark.requirement("FAIL-17")
def test_a_partner_s_own_code_counts_where_a_connection_names_it(setting: str, code: Code) -> None:
    assert replies.rejected(Operation.BOOK, "AE", [("207", "OWN")], {setting: "OWN"}) == Receipt.refused(code)
    for settings in ({}, {setting: "OTHER"}, {setting: True}):
        assert replies.rejected(Operation.BOOK, "AE", [("207", "OWN")], settings).code is Code.EXTERNAL_ERROR
    assert replies.rejected(Operation.BOOK, "AA", [("207", "OWN")], {setting: "OWN"}).claim is Claim.UNKNOWN


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize(
    ("status", "effect"),
    [
        ("Booked", {Operation.BOOK: Effect.APPLIED, Operation.RESCHEDULE: Effect.APPLIED}),
        ("CANCELLED", {Operation.CANCEL: Effect.APPLIED}),
        *((each, {}) for each in ("Pending", "Waitlist", "Overbook", "Blocked", "Deleted", "Noshow", "", "new word")),
    ],
)
async def test_an_srr_applies_only_under_the_status_of_its_operation(
    partner: Any, asking: Callable[..., Any], says: Any, shows: Any, operation: Operation, status: str, effect: Any
) -> None:
    request = asking(operation)
    event, placer = EVENTS[operation], request.native_key if operation is Operation.BOOK else request.target_key
    key = placer("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", 20)
    partner.says[f"/SRM/{event}"] = lambda header: says(header, f"SRR^{event}", "AA", shows(key, status))
    prepared = Entry("F1.1^F") if operation is not Operation.BOOK else None
    receipt = await partner.commit(request, prepared)
    wanted = Claim.APPLIED if effect.get(operation) is Effect.APPLIED else Claim.UNKNOWN
    assert receipt.claim is wanted
    assert receipt.code in (Code.COMMITTED, Code.ACCEPTED_PENDING, Code.REPLY_DEVIATES, Code.REPLY_UNRECOGNISED)


def Entry(filler: str) -> Any:
    from adapters.hl7v2.mapping import Entry as Shown

    nothing = dict.fromkeys(("spans", "resources"), frozenset())
    return Shown(placer="", filler=filler, group="", status="", patients=(), **nothing)


def test_judging_knows_no_status_of_another_operation() -> None:
    assert judge(replies.STATUSES, Operation.CANCEL, "BOOKED").claim is Claim.UNKNOWN
    assert judge(replies.BOOKINGS, "AA", ANY).code is Code.ACCEPTED_PENDING
