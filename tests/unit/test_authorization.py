"""Leave to dispatch: made from seven passed gates and an allowing policy, for one commit, once, for seconds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.authorization import Authorization, Verdict
from gateway.contracts.failures import Code
from gateway.contracts.words import GateName
from gateway.errors import InvariantViolation

PASSED = [Verdict(gate) for gate in GateName]
DIGEST = "0f1e2d3c" * 8


def granted(**changes: Any) -> Authorization:
    given = {"allowed": True, "proposal_digest": DIGEST, "expires": 100.0, **changes}
    return Authorization.grant(given.pop("verdicts", PASSED), **given)


@pytest.mark.requirement("GATE-01", "POLICY-01")
def test_seven_passed_gates_and_an_allowing_policy_authorize() -> None:
    assert granted().live(99.9)


@pytest.mark.requirement("GATE-01", "GATE-02")
@pytest.mark.parametrize("gate", GateName)
def test_no_gate_can_fail_or_be_left_out(gate: GateName) -> None:
    failed = [Verdict(each, Code.EVIDENCE_UNAVAILABLE if each is gate else None) for each in GateName]
    left_out = [verdict for verdict in PASSED if verdict.gate is not gate]
    for verdicts in (failed, left_out):
        with pytest.raises(InvariantViolation, match="all seven gates"):
            granted(verdicts=verdicts)


@pytest.mark.requirement("GATE-01", "GATE-02", "POLICY-06")
@given(st.lists(st.builds(Verdict, st.sampled_from(list(GateName)), st.none() | st.just(Code.SLOT_TAKEN)), max_size=9))
def test_nothing_but_each_gate_once_in_order_authorizes(verdicts: list[Verdict]) -> None:
    if verdicts == PASSED:
        assert granted(verdicts=verdicts).live(0)
        return
    with pytest.raises(InvariantViolation):
        granted(verdicts=verdicts)


@pytest.mark.requirement("GATE-02")
def test_a_gate_judged_twice_stands_for_no_other() -> None:
    with pytest.raises(InvariantViolation):
        granted(verdicts=[*PASSED[:-1], PASSED[0]])
    with pytest.raises(InvariantViolation):
        granted(verdicts=[*reversed(PASSED)])


@pytest.mark.requirement("POLICY-01", "POLICY-06", "POLICY-10")
def test_a_policy_that_does_not_allow_authorizes_nothing() -> None:
    with pytest.raises(InvariantViolation, match="policy that allows"):
        granted(allowed=False)


@pytest.mark.requirement("FAIL-20")
def test_it_is_spent_on_first_use() -> None:
    authorization = granted()
    authorization.spend(DIGEST, 1.0)
    assert not authorization.live(1.0)
    with pytest.raises(InvariantViolation):
        authorization.spend(DIGEST, 1.0)


@pytest.mark.requirement("CARD-08")
@given(st.floats(0, 1e6))
def test_it_runs_out(moment: float) -> None:
    authorization = granted()
    assert authorization.live(moment) is (moment < 100.0)
    assert not authorization.live(100.0)
    if moment >= 100.0:
        with pytest.raises(InvariantViolation):
            authorization.spend(DIGEST, moment)


def test_it_covers_one_proposal_and_a_failed_attempt_to_use_it_does_not_spend_it() -> None:
    authorization = granted()
    with pytest.raises(InvariantViolation):
        authorization.spend("ab" * 32, 1.0)
    assert authorization.live(1.0)
