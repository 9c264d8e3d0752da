"""Evidence that was not made for this attempt is none, whichever gate would judge it (GATE-06, GATE-09, GATE-11)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.contracts.failures import Code
from gateway.gates import consent, identity, proposal, tenant

GATES = {"identity": identity, "tenant": tenant, "consent": consent, "notice": proposal}


@pytest.mark.requirement("DEP-06", "GATE-06")
@pytest.mark.parametrize("name", GATES)
def test_missing_evidence_is_unavailable(bench: Any, name: str) -> None:
    assert GATES[name].judge(bench.case, bench.unanswered(name)) is Code.EVIDENCE_UNAVAILABLE


@pytest.mark.requirement("GATE-06", "GATE-09", "GATE-11", "CACHE-01")
@pytest.mark.parametrize("name", GATES)
def test_evidence_under_another_nonce_is_stale(bench: Any, name: str) -> None:
    assert GATES[name].judge(bench.case, bench.answered(name, nonce="ab" * 16)) is Code.EVIDENCE_STALE


@pytest.mark.requirement("GATE-06", "GATE-09", "GATE-11")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seconds=st.integers(-100_000, 100_000), name=st.sampled_from(sorted(GATES)))
def test_evidence_older_than_the_question_is_stale(bench: Any, seconds: int, name: str) -> None:
    answers = bench.answered(name, as_of=bench.answers.asked_at + timedelta(seconds=seconds))
    verdict = GATES[name].judge(bench.case, answers)
    assert verdict is (Code.EVIDENCE_STALE if seconds < -bench.case.bounds.clock_skew_seconds else None)


@pytest.mark.requirement("GATE-06")
@pytest.mark.parametrize("name", GATES)
def test_evidence_exactly_as_old_as_the_skew_allows_is_fresh(bench: Any, name: str) -> None:
    assert GATES[name].judge(bench.case, bench.answered(name, as_of=bench.answers.asked_at - bench.case.skew)) is None


def test_a_case_without_a_proposal_has_neither_proposal_nor_decision(bench: Any) -> None:
    case = replace(bench.case, file=None)
    assert (case.proposal, case.latest_decision) == (None, None)


def test_a_proposal_without_a_decision_has_no_latest_one(bench: Any) -> None:
    records = bench.case.file.records
    assert bench.filed(records=records[:1]).latest_decision is None
    assert bench.case.latest_decision == records[1].reference


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(GATES)))
def test_a_gate_keeps_nothing_between_two_judgements(bench: Any, name: str) -> None:
    first = GATES[name].judge(bench.case, bench.answers)
    GATES[name].judge(bench.case, bench.unanswered(name))
    assert GATES[name].judge(bench.case, bench.answers) is first is None
