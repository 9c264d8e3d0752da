"""Approval (F-01 §4.5), judged alone and from the retained decision only."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.contracts.chain import Record, RecordKind
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Notice, Operation
from gateway.contracts.references import DecisionId, ProposalId
from gateway.contracts.statements import Condition, ReviewerKind, Verdict
from gateway.gates import approval


def test_an_explicit_current_unconditional_approval_of_these_bytes_passes(bench: Any) -> None:
    assert approval.judge(bench.case) is None


@pytest.mark.requirement("GATE-18", "GATE-19")
def test_no_decision_is_no_approval(bench: Any) -> None:
    assert approval.judge(replace(bench.case, approval=None)) is Code.APPROVAL_MISSING


@pytest.mark.requirement("GATE-19", "AUTH-03")
@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.REQUEST_MODIFICATION])
def test_only_approve_approves(bench: Any, verdict: Verdict) -> None:
    assert approval.judge(bench.decided(verdict=verdict)) is Code.APPROVAL_MISSING


@pytest.mark.requirement("AUTH-06")
def test_an_approval_is_of_exact_bytes_and_of_one_proposal(bench: Any) -> None:
    assert approval.judge(bench.decided(proposal_digest="ab" * 32)) is Code.APPROVAL_MISMATCH
    assert approval.judge(bench.decided(proposal_id=ProposalId.random())) is Code.APPROVAL_MISMATCH


@pytest.mark.requirement("GATE-22")
def test_a_later_decision_of_whatever_kind_supersedes(bench: Any) -> None:
    head = bench.case.file.records[-1].hash
    later = Record.after(head, 3, RecordKind.DECISION, DecisionId.random(), "a.b.c")
    assert approval.judge(bench.filed(records=(*bench.case.file.records, later))) is Code.APPROVAL_SUPERSEDED


@pytest.mark.requirement("GATE-22")
def test_a_later_stop_or_observation_is_no_decision(bench: Any) -> None:
    head = bench.case.file.records[-1].hash
    later = Record.after(head, 3, RecordKind.OBSERVATION, "obs_x", "{}")
    assert approval.judge(bench.filed(records=(*bench.case.file.records, later))) is None


@pytest.mark.requirement("AUTH-05", "GATE-20")
def test_automation_approves_nothing(bench: Any) -> None:
    assert approval.judge(bench.decided(reviewer_kind=ReviewerKind.AUTOMATION)) is Code.APPROVER_NOT_HUMAN


@pytest.mark.requirement("AUTH-01")
def test_nobody_approves_their_own_request(bench: Any) -> None:
    assert approval.judge(bench.decided(reviewer=bench.proposal.initiator)) is Code.APPROVER_IS_INITIATOR


@pytest.mark.requirement("AUTH-06")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=st.lists(st.sampled_from([*Operation, *Notice]), max_size=5))
def test_an_approval_covers_what_it_lists(bench: Any, operations: list[Any]) -> None:
    verdict = approval.judge(bench.decided(operations=tuple(operations)))
    assert verdict is (None if Operation.BOOK in operations else Code.APPROVAL_UNCOVERED)


@pytest.mark.requirement("GATE-23")
@pytest.mark.parametrize("condition", Condition)
def test_an_approval_with_a_condition_is_none_yet(bench: Any, condition: Condition) -> None:
    assert approval.judge(bench.decided(conditions=(condition,))) is Code.APPROVAL_CONDITIONAL


@pytest.mark.requirement("GATE-21")
@pytest.mark.parametrize("seconds", [-660, -661, 599, 600, 86_400])
def test_an_approval_lives_from_its_issue_less_the_skew_to_its_expiry(bench: Any, seconds: int) -> None:
    case = replace(bench.case, now=bench.case.now + timedelta(seconds=seconds))
    assert approval.judge(case) is (None if -660 <= seconds < 600 else Code.APPROVAL_EXPIRED)
