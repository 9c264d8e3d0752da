"""Tenant (F-01 §4.2): proposal, approval, trigger, patient, reviewer and connection are of one
practice, verified in the attempt that commits (GATE-07 to GATE-09)."""

from __future__ import annotations

from gateway.contracts.failures import Code
from gateway.gates.case import Answers, Case, unusable


def judge(case: Case, answers: Answers) -> Code | None:
    evidence = answers.tenant
    if fault := unusable(answers, evidence, case.skew):
        return fault
    assert evidence is not None and case.proposal is not None and case.approval is not None
    practices = {
        case.practice,
        case.proposal.practice,
        case.trigger.practice,
        case.approval.statement.practice,
        evidence.practice,
    }
    if len(practices) != 1:
        return Code.TENANT_MISMATCH
    if not (evidence.patient_belongs and evidence.reviewer_belongs and evidence.connection_belongs):
        return Code.TENANT_UNPROVEN
    return None
