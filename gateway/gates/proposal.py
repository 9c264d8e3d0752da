"""Proposal (F-01 §4.4): it exists with the bytes that the trigger names, is a patient's request, and is
not expired, stopped, withdrawn, revised, executed or frozen; and the patient was told (GATE-13 to GATE-17, GATE-30).
"""

from __future__ import annotations

from gateway.contracts.failures import Code
from gateway.contracts.proposal import Origin
from gateway.contracts.signals import ProposalState
from gateway.gates.case import Answers, Case, unusable

STATES: dict[Code | None, ProposalState] = {
    Code.PROPOSAL_UNKNOWN: ProposalState.UNKNOWN,
    Code.PROPOSAL_EXPIRED: ProposalState.EXPIRED,
    Code.PROPOSAL_WITHDRAWN: ProposalState.WITHDRAWN,
    Code.PROPOSAL_REVISED: ProposalState.REVISED,
    Code.PROPOSAL_EXECUTED: ProposalState.EXECUTED,
    Code.PROPOSAL_FROZEN: ProposalState.FROZEN,
}


def judge_record(case: Case) -> Code | None:
    """The part that the journal alone can answer; no evidence is fetched unless it passes."""
    file = case.file
    if file is None:
        return Code.PROPOSAL_UNKNOWN
    proposal = file.proposal
    if proposal.proposal_digest != case.trigger.proposal_digest:
        earlier = case.trigger.proposal_digest in file.revisions
        return Code.PROPOSAL_REVISED if earlier else Code.PROPOSAL_UNKNOWN
    if file.held_by is not None:
        return Code.PROPOSAL_EXECUTED if file.executed else Code.PROPOSAL_FROZEN
    if file.stopped:
        return Code.OPERATOR_STOP
    if file.withdrawn:
        return Code.PROPOSAL_WITHDRAWN
    if not case.current(proposal.created_at, proposal.expires_at):
        return Code.PROPOSAL_EXPIRED
    if proposal.origin is not Origin.PATIENT:
        return Code.ORIGIN_FORBIDDEN
    return None


def judge(case: Case, answers: Answers) -> Code | None:
    evidence = answers.notice
    if fault := judge_record(case) or unusable(answers, evidence, case.skew):
        return fault
    assert evidence is not None and case.proposal is not None
    told = evidence.informed_of == case.proposal.proposal_digest and evidence.irreversibility_told
    return None if told else Code.PATIENT_UNINFORMED


def state(code: Code | None) -> ProposalState:
    """The proposal's state for the audit (AUDIT-20)."""
    return STATES.get(code, ProposalState.CURRENT)
