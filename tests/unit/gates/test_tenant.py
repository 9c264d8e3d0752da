"""Tenant (F-01 §4.2), judged alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.contracts.failures import Code
from gateway.contracts.references import PracticeId
from gateway.gates import tenant

ELSEWHERE = PracticeId.random()


def test_one_practice_throughout_passes(bench: Any) -> None:
    assert tenant.judge(bench.case, bench.answers) is None


@pytest.mark.requirement("GATE-08")
@pytest.mark.parametrize("whose", ["gateway", "proposal", "trigger", "decision", "evidence"])
def test_anything_of_another_practice_crosses_practices(bench: Any, whose: str) -> None:
    case, answers = bench.case, bench.answers
    match whose:
        case "gateway":
            case = replace(case, practice=ELSEWHERE)
        case "proposal":
            case = bench.proposed(practice=ELSEWHERE)
        case "trigger":
            case = bench.triggered(practice=ELSEWHERE)
        case "decision":
            case = bench.decided(practice=ELSEWHERE)
        case _:
            answers = bench.answered("tenant", practice=ELSEWHERE)
    assert tenant.judge(case, answers) is Code.TENANT_MISMATCH


@pytest.mark.requirement("GATE-07")
@pytest.mark.parametrize("fact", ["patient_belongs", "reviewer_belongs", "connection_belongs"])
def test_everybody_is_proven_to_belong(bench: Any, fact: str) -> None:
    assert tenant.judge(bench.case, bench.answered("tenant", **{fact: False})) is Code.TENANT_UNPROVEN
