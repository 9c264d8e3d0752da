"""Approval (F-01 §4.5): an explicit, attributable, current, unconditional yes by a human who is not the
initiator, to exactly these bytes and this operation (GATE-18 to GATE-23, AUTH-01, AUTH-05, AUTH-06)."""

from __future__ import annotations

from gateway.contracts.failures import Code
from gateway.contracts.statements import ReviewerKind, Verdict
from gateway.gates.case import Case


def judge(case: Case) -> Code | None:
    """Judged from the retained signed decision alone; needs no evidence source."""
    approval, proposal = case.approval, case.proposal
    if approval is None or proposal is None:
        return Code.APPROVAL_MISSING
    decision = approval.statement
    if decision.proposal_digest != proposal.proposal_digest or decision.proposal_id != proposal.proposal_id:
        return Code.APPROVAL_MISMATCH
    if case.latest_decision != decision.decision_id:
        return Code.APPROVAL_SUPERSEDED
    if decision.verdict is not Verdict.APPROVE:
        return Code.APPROVAL_MISSING
    if decision.reviewer_kind is not ReviewerKind.HUMAN:
        return Code.APPROVER_NOT_HUMAN
    if decision.reviewer == proposal.initiator:
        return Code.APPROVER_IS_INITIATOR
    if proposal.operation not in decision.operations:
        return Code.APPROVAL_UNCOVERED
    if decision.conditions:
        return Code.APPROVAL_CONDITIONAL
    if not case.current(decision.issued_at, decision.expires_at):
        return Code.APPROVAL_EXPIRED
    return None
