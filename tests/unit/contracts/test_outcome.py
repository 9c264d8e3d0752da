"""DESIGN's table "How attempts end", row by row, and what is derived from an outcome."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import pytest

from gateway.contracts.failures import FAILURES, Code, caller_next
from gateway.contracts.outcome import AFTER_DISPATCH, ENDS, Outcome, OutcomeClass, standing
from gateway.contracts.references import AttemptId
from gateway.contracts.statements import Finding
from gateway.contracts.words import Actor, ApprovalUse, Effect, End, Next, Standing, State
from gateway.lifecycle import EDGES


class Row(NamedTuple):
    """One line of the table, as words. `next` is per code where the table says "by code"."""

    end: str
    state: str
    effect: str | None
    hold: str
    approval: str
    next: dict[str, str]


TABLE = (
    Row(
        "TRIGGER_DENIED", "REJECTED", None, "none", "usable",
        {
            "TRIGGER_UNSIGNED": "NEW_ATTEMPT",
            "TRIGGER_UNKNOWN": "NEW_ATTEMPT",
            "TRIGGER_FORBIDDEN": "NEW_ATTEMPT",
            "TRIGGER_EXPIRED": "NEW_ATTEMPT",
            "IDEMPOTENCY_COLLISION": "NEW_ATTEMPT",
        },
    ),
    Row(
        "POLICY_DENIED", "REJECTED", None, "none", "usable",
        {
            "POLICY_DENIED": "NEW_PROPOSAL",
            "POLICY_UNKNOWN": "FIX_SETUP",
            "DECISION_DECLINED": "NEW_PROPOSAL",
            "TOOL_FORBIDDEN": "NEW_PROPOSAL",
        },
    ),
    Row(
        "BLOCKED", "BLOCKED", None, "none", "usable",
        {
            "CONTEXT_MISSING": "NEW_ATTEMPT",
            "CONTEXT_INVALID": "NEW_ATTEMPT",
            "PARTICULARS_CHANGED": "NEW_PROPOSAL",
            "RELATED_UNRESOLVED": "RESOLVE",
            "PROPOSAL_FROZEN": "RESOLVE",
            "PROPOSAL_EXECUTED": "NEW_PROPOSAL",
            "THROTTLED": "NEW_ATTEMPT",
            "GOVERNANCE_INCOMPLETE": "FIX_SETUP",
            "AUDIT_UNAVAILABLE": "FIX_SETUP",
            "APPROVAL_EXPIRED": "NEW_APPROVAL",
            "READINESS_UNVERIFIABLE": "NEW_ATTEMPT",
            "OPERATOR_STOP": "NONE",
        },
    ),
    Row("PAUSED", "PAUSED", None, "none", "usable", {"DECISION_REQUIRED": "DECIDE"}),
    Row("STOPPED_PAUSED", "CANCELLED", None, "none", "usable", {"OPERATOR_STOP": "NONE"}),
    Row("STOPPED", "CANCELLED", "NOT_SENT", "released", "usable", {"OPERATOR_STOP": "NONE"}),
    Row("NOT_DISPATCHED", "BLOCKED", "NOT_SENT", "released", "usable", {"AUTHORIZATION_EXPIRED": "NEW_ATTEMPT"}),
    Row(
        "NOT_SENT", "ERROR", "NOT_SENT", "released", "spent",
        {"EXTERNAL_UNAVAILABLE": "NEW_APPROVAL", "CONNECTION_LOST": "NEW_APPROVAL", "ADAPTER_FAULT": "NEW_APPROVAL"},
    ),
    Row(
        "REFUSED", "ERROR", "REFUSED", "released", "spent",
        {
            "SLOT_TAKEN": "NEW_PROPOSAL",
            "TARGET_CHANGED": "NEW_PROPOSAL",
            "TARGET_NOT_FOUND": "NEW_PROPOSAL",
            "EXTERNAL_INVALID": "NEW_PROPOSAL",
            "EXTERNAL_FORBIDDEN": "NEW_APPROVAL",
            "CREDENTIALS_REJECTED": "NEW_APPROVAL",
            "EXTERNAL_THROTTLED": "NEW_APPROVAL",
        },
    ),
    Row("APPLIED", "SUCCEEDED", "APPLIED", "for-ever", "spent", {"COMMITTED": "NONE"}),
    Row("APPLIED_UNAUDITED", "ERROR", "APPLIED", "for-ever", "spent", {"AUDIT_INCOMPLETE": "NONE"}),
    Row(
        "UNKNOWN", "ERROR", "UNKNOWN", "kept", "spent",
        {
            "CONNECTION_LOST": "RESOLVE",
            "EXTERNAL_TIMEOUT": "RESOLVE",
            "EXTERNAL_ERROR": "RESOLVE",
            "REPLY_UNRECOGNISED": "RESOLVE",
            "REPLY_DEVIATES": "RESOLVE",
            "DUPLICATE_KEY": "RESOLVE",
            "ACCEPTED_PENDING": "RESOLVE",
            "ADAPTER_FAULT": "RESOLVE",
            "OWNER_DIED": "RESOLVE",
            "OUTCOME_UNRECORDED": "RESOLVE",
        },
    ),
    Row("FAULT", "ERROR", None, "none", "usable", {"INVARIANT_VIOLATION": "FIX_SETUP"}),
    Row("CHECKED", "SUCCEEDED", None, "none", "usable", {"CHECK_PASSED": "NONE"}),
)  # fmt: skip

DISPATCHED = ("NOT_SENT", "REFUSED", "APPLIED", "APPLIED_UNAUDITED", "UNKNOWN")


@pytest.mark.requirement("FLOW-06", "CARD-04", "FAIL-11", "FAIL-14", "FAIL-21")
@pytest.mark.parametrize("row", TABLE, ids=[row.end for row in TABLE])
def test_an_attempt_that_ends_so_leaves_what_the_table_says(row: Row) -> None:
    entry = ENDS[End(row.end)]
    assert (entry.state, entry.effect, entry.hold, entry.approval) == (row.state, row.effect, row.hold, row.approval)


@pytest.mark.requirement("CARD-04", "FAIL-21")
@pytest.mark.parametrize(
    ("end", "code", "next_"),
    [(row.end, code, next_) for row in TABLE for code, next_ in row.next.items()],
)
def test_the_caller_is_told_what_the_table_says_it_needs_next(end: str, code: str, next_: str) -> None:
    assert End(end) in FAILURES[Code(code)].ends
    assert caller_next(Code(code), End(end))[0] == next_


def test_the_table_has_every_end_once() -> None:
    assert [row.end for row in TABLE] == [str(end) for end in End]
    assert set(ENDS) == set(End)


# FAIL-07 to FAIL-09 speak of BLOCKED, PAUSED or going on after partial execution: no such branch exists (C-12)
@pytest.mark.requirement("FAIL-06", "FAIL-07", "FAIL-08", "FAIL-09")
def test_after_dispatch_an_attempt_ends_in_succeeded_or_error_and_its_approval_is_spent() -> None:
    assert {str(end) for end in AFTER_DISPATCH} == set(DISPATCHED)
    for end in End:
        row = ENDS[end]
        if end in AFTER_DISPATCH:
            assert row.state in ("SUCCEEDED", "ERROR")
            assert row.approval == "spent"
            assert row.effect is not None
        else:
            assert row.approval == "usable"
            assert row.effect in (None, "NOT_SENT")


def test_every_end_is_reached_by_an_edge_of_the_lifecycle() -> None:
    targets = {target for _, target in EDGES}
    assert {row.state for row in ENDS.values()} <= targets


@pytest.mark.requirement("CARD-05")
def test_the_hold_is_dropped_only_where_no_effect_is_proven() -> None:
    for end, row in ENDS.items():
        released = row.hold == "released"
        assert released is (row.effect in ("NOT_SENT", "REFUSED")), end
        assert (row.hold == "for-ever") is (row.effect == "APPLIED"), end
        assert (row.hold == "kept") is (row.effect == "UNKNOWN"), end


# Standing, over the whole space: (state, effect, resolution) → word. Only two lines say CONFIRMED.
def expected_standing(state: str, effect: str | None, resolution: str | None) -> str:
    if resolution == "APPLIED":
        return "CONFIRMED"
    if resolution in ("ABSENT", "HANDLED_BY_HAND"):
        return "NOT_MADE"
    if state == "SUCCEEDED" and effect == "APPLIED":
        return "CONFIRMED"
    if effect in ("APPLIED", "UNKNOWN"):
        return "UNRESOLVED"
    return "UNRESOLVED" if state in ("AUTHORIZED", "RUNNING", "AUDITING") else "NOT_MADE"


@pytest.mark.requirement("CARD-11", "NOTIFY-04")
@pytest.mark.parametrize("resolution", [None, *Finding])
@pytest.mark.parametrize("effect", [None, *Effect])
def test_standing_is_confirmed_only_by_success_or_a_signed_resolution_as_applied(
    effect: Effect | None, resolution: Finding | None
) -> None:
    for state in State:
        assert standing(state, effect, resolution) == expected_standing(state, effect, resolution), state


@pytest.mark.requirement("CARD-11")
def test_each_end_has_the_standing_that_people_are_told() -> None:
    told = {end: str(standing(row.state, row.effect, None)) for end, row in ENDS.items()}
    assert {str(end) for end, word in told.items() if word == "CONFIRMED"} == {"APPLIED"}
    assert {str(end) for end, word in told.items() if word == "UNRESOLVED"} == {"APPLIED_UNAUDITED", "UNKNOWN"}


def outcome(state: State, effect: Effect | None, approval: ApprovalUse) -> Outcome:
    return Outcome(
        attempt=AttemptId.random(),
        state=state,
        code=Code.COMMITTED,
        effect=effect,
        next=Next.NONE,
        actor=Actor.NOBODY,
        approval=approval,
    )


@pytest.mark.requirement("CARD-11")
def test_standing_is_derived_and_stored_nowhere() -> None:
    value = outcome(State.SUCCEEDED, Effect.APPLIED, ApprovalUse.SPENT)
    assert value.standing is Standing.CONFIRMED
    assert not {"standing", "outcome_class"} & set(value.plain())


@pytest.mark.requirement("AUDIT-24")
@pytest.mark.parametrize("end", list(End))
def test_success_failure_and_blocked_are_derived_from_the_end(end: End) -> None:
    row = ENDS[end]
    ended = "failure" if str(end) in DISPATCHED else "blocked"
    expected = "success" if row.state == "SUCCEEDED" else ended
    assert outcome(row.state, row.effect, row.approval).outcome_class == expected


def test_every_outcome_belongs_to_exactly_one_class() -> None:
    for state, approval in product(State, ApprovalUse):
        assert outcome(state, None, approval).outcome_class in set(OutcomeClass)
