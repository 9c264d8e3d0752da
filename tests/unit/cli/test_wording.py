"""The words for a standing are true of it, whatever the outcome."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.answer import ExitCode, code_of_state
from gateway.cli.timeline import outcome_facts
from gateway.cli.wording import FINDINGS, NEXT, OPERATIONS, approval, headline, outcome_document
from gateway.contracts.advice import advice
from gateway.contracts.failures import Code
from gateway.contracts.outcome import ENDS, Outcome
from gateway.contracts.proposal import Operation
from gateway.contracts.references import AttemptId
from gateway.contracts.statements import Finding
from gateway.contracts.words import (
    Actor,
    ApprovalUse,
    Effect,
    End,
    Next,
    ObservationFinding,
    Standing,
    State,
)

OUTCOMES = st.builds(
    Outcome,
    attempt=st.just(AttemptId("att_0123456789abcdef0123456789abcdef")),
    state=st.sampled_from(State),
    code=st.sampled_from(Code),
    effect=st.none() | st.sampled_from(Effect),
    next=st.sampled_from(Next),
    actor=st.sampled_from(Actor),
    approval=st.sampled_from(ApprovalUse),
    recorded=st.booleans(),
    replayed=st.booleans(),
    resolution=st.none() | st.sampled_from(Finding),
    notice_outstanding=st.booleans(),
    binding_outstanding=st.booleans(),
)


@pytest.mark.requirement("NOTIFY-04")
@given(OUTCOMES)
def test_nothing_is_called_confirmed_unless_it_is(outcome: Outcome) -> None:
    said = " ".join(fact.text for fact in outcome_facts(outcome)).lower()
    assert ("confirmed" in said) is (outcome.standing is Standing.CONFIRMED)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (Code.PROPOSAL_WITHDRAWN, "not spent, and of no further use"),
        (Code.OPERATOR_STOP, "not spent, and of no further use"),
        (Code.SLOT_TAKEN, "still usable while current"),  # the slot may be free again
        (Code.EXTERNAL_TIMEOUT, "still usable while current"),
    ],
)
def test_an_approval_is_called_usable_where_it_may_yet_be(code: Code, said: str) -> None:
    blocked = Outcome(
        attempt=AttemptId("att_0123456789abcdef0123456789abcdef"),
        state=State.BLOCKED,
        code=code,
        next=Next.NONE,
        actor=Actor.NOBODY,
        approval=ApprovalUse.USABLE,
    )
    assert approval(blocked) == said
    assert approval(blocked.model_copy(update={"approval": ApprovalUse.SPENT})) == "spent"


@given(OUTCOMES)
def test_whatever_is_unresolved_is_not_said_to_be_unmade(outcome: Outcome) -> None:
    said = headline(outcome).text
    if outcome.standing is Standing.UNRESOLVED and outcome.code not in (Code.CHECK_PASSED, Code.OBSERVED):
        assert not said.startswith("Not made")


@given(OUTCOMES)
def test_the_document_holds_the_outcome_and_what_is_derived_from_it(outcome: Outcome) -> None:
    document: dict[str, Any] = outcome_document(outcome)
    derived = {"standing", "class", "meaning", "advice"}
    assert Outcome.model_validate_json(outcome.model_dump_json()) == outcome
    assert {name: value for name, value in document.items() if name not in derived} == outcome.plain()
    assert document["standing"] == outcome.standing


@pytest.mark.requirement("CARD-04")
@given(OUTCOMES)
def test_people_are_told_what_to_do_until_a_human_has_said_what_it_was(outcome: Outcome) -> None:
    told = {fact.label: fact.text for fact in outcome_facts(outcome)}
    expected = None if outcome.resolution else advice(outcome.code, outcome.effect)
    assert told.get("do") == outcome_document(outcome)["advice"] == expected


@pytest.mark.parametrize("end", End)
def test_every_end_has_the_exit_code_of_its_state(end: End) -> None:
    expected = {
        State.SUCCEEDED: 0,
        State.REJECTED: 3,
        State.BLOCKED: 4,
        State.ERROR: 5,
        State.CANCELLED: 6,
        State.PAUSED: 7,
    }
    assert code_of_state(ENDS[end].state) == expected[ENDS[end].state]


@pytest.mark.parametrize("state", [State.NEW, State.VALIDATING, State.GATED, State.RUNNING, State.AUDITING])
def test_what_is_in_flight_is_no_success(state: State) -> None:
    assert code_of_state(state) is ExitCode.ERROR


def test_closed_words_are_all_told() -> None:
    assert set(NEXT) == set(Next)
    assert set(OPERATIONS) == set(Operation)
    assert set(FINDINGS) == set(ObservationFinding)
