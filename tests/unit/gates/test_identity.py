"""Identity (F-01 §4.1), judged alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gateway.contracts.failures import Code
from gateway.gates import identity


def test_a_patient_and_a_reviewer_who_are_who_they_are_pass(bench: Any) -> None:
    assert identity.judge(bench.case, bench.answers) is None


@pytest.mark.requirement("GATE-03", "GATE-04", "GATE-05")
@pytest.mark.parametrize(
    ("fact", "code"),
    [
        ("patient_identified", Code.PATIENT_UNIDENTIFIED),
        ("reviewer_known", Code.REVIEWER_UNKNOWN),
        ("reviewer_authorised", Code.REVIEWER_UNAUTHORIZED),
        ("operator_authorised", Code.REVIEWER_UNAUTHORIZED),
    ],
)
def test_each_fact_must_be_proven(bench: Any, fact: str, code: Code) -> None:
    assert identity.judge(bench.case, bench.answered("identity", **{fact: False})) is code


@pytest.mark.requirement("GATE-04", "GATE-06")
@pytest.mark.parametrize(
    ("seconds_before", "passes"), [(0, True), (900, True), (901, False), (-60, True), (-61, False), (86_400, False)]
)
def test_the_reviewer_authenticated_shortly_before_deciding(bench: Any, seconds_before: int, passes: bool) -> None:
    at = bench.decision.issued_at - timedelta(seconds=seconds_before)
    case = bench.decided(authentication=bench.decision.authentication.model_copy(update={"at": at}))
    assert identity.judge(case, bench.answers) is (None if passes else Code.REVIEWER_NOT_AUTHENTICATED)


@pytest.mark.requirement("GATE-03")
def test_the_patient_comes_before_the_reviewer(bench: Any) -> None:
    answers = bench.answered("identity", patient_identified=False, reviewer_known=False, reviewer_authorised=False)
    assert identity.judge(bench.case, answers) is Code.PATIENT_UNIDENTIFIED
