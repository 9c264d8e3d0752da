"""Consent (F-01 §4.3): in force now, and the very consent that the proposal was made under
(GATE-10 to GATE-12)."""

from __future__ import annotations

from gateway.contracts.failures import Code
from gateway.gates.case import Answers, Case, unusable


def judge(case: Case, answers: Answers) -> Code | None:
    evidence = answers.consent
    if fault := unusable(answers, evidence, case.skew):
        return fault
    assert evidence is not None and case.proposal is not None
    if not evidence.in_force:
        return Code.CONSENT_ABSENT
    if evidence.consent != case.proposal.consent:
        return Code.CONSENT_CHANGED
    return None
