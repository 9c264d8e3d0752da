"""The failure taxonomy: closed, total, and coherent with the table of ends."""

from __future__ import annotations

import pytest

from gateway.contracts.failures import FAILURES, Code, Refusal, caller_next
from gateway.contracts.outcome import AFTER_DISPATCH, ENDS
from gateway.contracts.words import Actor, End, Next, State


@pytest.mark.requirement("ADAPT-03", "AUDIT-25")
def test_every_code_has_exactly_one_row_and_its_value_is_its_name() -> None:
    assert set(FAILURES) == set(Code)
    assert all(code.value == code.name for code in Code)


def test_every_meaning_is_a_sentence_of_its_own() -> None:
    meanings = [row.meaning for row in FAILURES.values()]
    assert all(10 < len(meaning) < 100 and not meaning.endswith(".") for meaning in meanings)
    assert len(set(meanings)) == len(meanings)


def test_every_end_of_every_code_is_a_row_of_the_table() -> None:
    for code, row in FAILURES.items():
        assert row.ends <= set(ENDS), code
        assert row.ends or code is Code.IN_FLIGHT, "only a call that was no attempt ends nowhere"


def test_every_end_is_taken_by_some_code() -> None:
    assert set().union(*(row.ends for row in FAILURES.values())) == set(End)


@pytest.mark.requirement("NOTIFY-04")
def test_only_one_code_says_that_the_change_was_made() -> None:
    assert [code for code, row in FAILURES.items() if End.APPLIED in row.ends] == [Code.COMMITTED]
    assert FAILURES[Code.COMMITTED].ends == {End.APPLIED}


@pytest.mark.requirement("FAIL-17", "FAIL-18", "FAIL-19")
@pytest.mark.parametrize("code", ["SLOT_TAKEN", "EXTERNAL_ERROR", "EXTERNAL_TIMEOUT"])
def test_the_three_failures_that_the_specification_names_have_codes_of_their_own(code: str) -> None:
    assert Code(code) in FAILURES
    assert [other for other in Code if FAILURES[other].meaning == FAILURES[Code(code)].meaning] == [code]


@pytest.mark.requirement("CARD-04")
@pytest.mark.parametrize("code", [code for code in Code if End.UNKNOWN in FAILURES[code].ends])
def test_an_unknown_effect_is_always_for_a_human_to_resolve(code: Code) -> None:
    assert caller_next(code, End.UNKNOWN) == (Next.RESOLVE, Actor.OPERATOR)


@pytest.mark.requirement("FAIL-21")
@pytest.mark.parametrize(
    ("code", "end"),
    [(code, end) for code in Code for end in (End.NOT_SENT, End.REFUSED) if end in FAILURES[code].ends],
)
def test_after_dispatch_without_effect_a_new_approval_or_a_new_proposal_is_needed(code: Code, end: End) -> None:
    assert caller_next(code, end)[0] in (Next.NEW_APPROVAL, Next.NEW_PROPOSAL)


@pytest.mark.requirement("FAIL-04")
@pytest.mark.parametrize("code", list(Code))
def test_a_human_is_asked_to_decide_exactly_where_the_attempt_pauses(code: Code) -> None:
    for end in FAILURES[code].ends:
        told, _ = caller_next(code, end)
        assert (told is Next.DECIDE) is (end is End.PAUSED) is (ENDS[end].state is State.PAUSED)


@pytest.mark.requirement("FAIL-16")
def test_a_reply_that_proves_nothing_never_ends_as_refused() -> None:
    proves_nothing = {
        "EXTERNAL_ERROR",
        "CONNECTION_LOST",
        "REPLY_UNRECOGNISED",
        "REPLY_DEVIATES",
        "REPLY_CACHED",
        "DUPLICATE_KEY",
        "ACCEPTED_PENDING",
        "ADAPTER_FAULT",
        "HOST_FORBIDDEN",
        "OWNER_DIED",
        "OUTCOME_UNRECORDED",
        "INVARIANT_VIOLATION",
    }
    for name in proves_nothing:
        assert End.UNKNOWN in FAILURES[Code(name)].ends
        assert End.REFUSED not in FAILURES[Code(name)].ends


@pytest.mark.requirement("FAIL-06")
def test_what_blocks_before_the_intent_never_ends_a_dispatched_attempt() -> None:
    gates = [
        code for code in Code if code.startswith(("APPROVAL", "CONSENT", "PROPOSAL", "REVIEWER", "EVIDENCE", "TENANT"))
    ]
    assert len(gates) > 15
    for code in gates:
        assert FAILURES[code].ends == {End.BLOCKED}
        assert not FAILURES[code].ends & AFTER_DISPATCH


@pytest.mark.requirement("AUDIT-25")
@pytest.mark.parametrize("code", list(Code))
def test_a_refusal_says_its_code_and_meaning_and_nothing_else(code: Code) -> None:
    assert str(Refusal(code)) == f"{code}: {FAILURES[code].meaning}"
    assert Refusal(code).code is code
