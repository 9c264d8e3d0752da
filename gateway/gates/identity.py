"""Identity (F-01 §4.1): the patient is positively identified; the reviewer is known, authorised and
had recently authenticated; the operator may trigger. All as of this attempt (GATE-03 to GATE-06)."""

from __future__ import annotations

from datetime import timedelta

from gateway.contracts.failures import Code
from gateway.contracts.statements import Decision
from gateway.gates.case import Answers, Case, unusable


def judge(case: Case, answers: Answers) -> Code | None:
    evidence = answers.identity
    if fault := unusable(answers, evidence, case.skew):
        return fault
    assert evidence is not None and case.approval is not None
    if not evidence.patient_identified:
        return Code.PATIENT_UNIDENTIFIED
    if not evidence.reviewer_known:
        return Code.REVIEWER_UNKNOWN
    if not (evidence.reviewer_authorised and evidence.operator_authorised):
        return Code.REVIEWER_UNAUTHORIZED
    if not _recently_authenticated(case, case.approval.statement):
        return Code.REVIEWER_NOT_AUTHENTICATED
    return None


def _recently_authenticated(case: Case, decision: Decision) -> bool:
    age = decision.issued_at - decision.authentication.at
    return -case.skew <= age <= timedelta(seconds=case.bounds.reviewer_authentication_seconds)
