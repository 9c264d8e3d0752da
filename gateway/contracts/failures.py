"""The failure taxonomy (F-04): one closed table, code to meaning, ends, and what the caller does next.

Every attempt ends with one of these codes and every adapter failure maps to one (I8, ADAPT-03).
`next` and `actor` are per code; where the end decides (a lost reply is always resolved by a human,
whatever broke) `caller_next` says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.contracts.words import Actor, End, Next
from gateway.errors import GatewayError


class Code(StrEnum):
    """Bounded codes; the value is the name."""

    # success and waiting
    COMMITTED = "COMMITTED"
    CHECK_PASSED = "CHECK_PASSED"
    OBSERVED = "OBSERVED"
    DECISION_REQUIRED = "DECISION_REQUIRED"
    IN_FLIGHT = "IN_FLIGHT"
    # trigger
    TRIGGER_UNSIGNED = "TRIGGER_UNSIGNED"
    TRIGGER_UNKNOWN = "TRIGGER_UNKNOWN"
    TRIGGER_FORBIDDEN = "TRIGGER_FORBIDDEN"
    TRIGGER_EXPIRED = "TRIGGER_EXPIRED"
    IDEMPOTENCY_COLLISION = "IDEMPOTENCY_COLLISION"
    # context
    CONTEXT_MISSING = "CONTEXT_MISSING"
    CONTEXT_INVALID = "CONTEXT_INVALID"
    CONNECTION_UNKNOWN = "CONNECTION_UNKNOWN"
    CONNECTION_SUSPENDED = "CONNECTION_SUSPENDED"
    OPERATION_UNSUPPORTED = "OPERATION_UNSUPPORTED"
    GOVERNANCE_INCOMPLETE = "GOVERNANCE_INCOMPLETE"
    # gates
    EVIDENCE_UNAVAILABLE = "EVIDENCE_UNAVAILABLE"
    EVIDENCE_STALE = "EVIDENCE_STALE"
    PATIENT_UNIDENTIFIED = "PATIENT_UNIDENTIFIED"
    REVIEWER_UNKNOWN = "REVIEWER_UNKNOWN"
    REVIEWER_UNAUTHORIZED = "REVIEWER_UNAUTHORIZED"
    REVIEWER_NOT_AUTHENTICATED = "REVIEWER_NOT_AUTHENTICATED"
    TENANT_UNPROVEN = "TENANT_UNPROVEN"
    TENANT_MISMATCH = "TENANT_MISMATCH"
    CONSENT_ABSENT = "CONSENT_ABSENT"
    CONSENT_CHANGED = "CONSENT_CHANGED"
    PROPOSAL_UNKNOWN = "PROPOSAL_UNKNOWN"
    PROPOSAL_EXPIRED = "PROPOSAL_EXPIRED"
    PROPOSAL_WITHDRAWN = "PROPOSAL_WITHDRAWN"
    PROPOSAL_REVISED = "PROPOSAL_REVISED"
    PROPOSAL_EXECUTED = "PROPOSAL_EXECUTED"
    PROPOSAL_FROZEN = "PROPOSAL_FROZEN"
    ORIGIN_FORBIDDEN = "ORIGIN_FORBIDDEN"
    PATIENT_UNINFORMED = "PATIENT_UNINFORMED"
    APPROVAL_MISSING = "APPROVAL_MISSING"
    APPROVAL_MISMATCH = "APPROVAL_MISMATCH"
    APPROVAL_EXPIRED = "APPROVAL_EXPIRED"
    APPROVAL_SUPERSEDED = "APPROVAL_SUPERSEDED"
    APPROVAL_CONDITIONAL = "APPROVAL_CONDITIONAL"
    APPROVAL_UNCOVERED = "APPROVAL_UNCOVERED"
    APPROVER_NOT_HUMAN = "APPROVER_NOT_HUMAN"
    APPROVER_IS_INITIATOR = "APPROVER_IS_INITIATOR"
    PARTICULARS_CHANGED = "PARTICULARS_CHANGED"
    PARTICULARS_MISSING = "PARTICULARS_MISSING"
    PARTICULARS_AMBIGUOUS = "PARTICULARS_AMBIGUOUS"
    READINESS_UNVERIFIABLE = "READINESS_UNVERIFIABLE"
    AUDIT_UNAVAILABLE = "AUDIT_UNAVAILABLE"
    RELATED_UNRESOLVED = "RELATED_UNRESOLVED"
    THROTTLED = "THROTTLED"
    # policy
    POLICY_DENIED = "POLICY_DENIED"
    POLICY_UNKNOWN = "POLICY_UNKNOWN"
    POLICY_UNAVAILABLE = "POLICY_UNAVAILABLE"
    TWO_PERSONS_REQUIRED = "TWO_PERSONS_REQUIRED"
    DECISION_DECLINED = "DECISION_DECLINED"
    TOOL_FORBIDDEN = "TOOL_FORBIDDEN"
    # stop and expiry
    OPERATOR_STOP = "OPERATOR_STOP"
    AUTHORIZATION_EXPIRED = "AUTHORIZATION_EXPIRED"
    # the external system, in readiness or commit
    SLOT_TAKEN = "SLOT_TAKEN"
    TARGET_CHANGED = "TARGET_CHANGED"
    TARGET_NOT_FOUND = "TARGET_NOT_FOUND"
    EXTERNAL_INVALID = "EXTERNAL_INVALID"
    EXTERNAL_FORBIDDEN = "EXTERNAL_FORBIDDEN"
    CREDENTIALS_REJECTED = "CREDENTIALS_REJECTED"
    EXTERNAL_THROTTLED = "EXTERNAL_THROTTLED"
    EXTERNAL_UNAVAILABLE = "EXTERNAL_UNAVAILABLE"
    EXTERNAL_TIMEOUT = "EXTERNAL_TIMEOUT"
    EXTERNAL_ERROR = "EXTERNAL_ERROR"
    CONNECTION_LOST = "CONNECTION_LOST"
    REPLY_UNRECOGNISED = "REPLY_UNRECOGNISED"
    REPLY_DEVIATES = "REPLY_DEVIATES"
    REPLY_CACHED = "REPLY_CACHED"
    DUPLICATE_KEY = "DUPLICATE_KEY"
    ACCEPTED_PENDING = "ACCEPTED_PENDING"
    HOST_FORBIDDEN = "HOST_FORBIDDEN"
    ADAPTER_FAULT = "ADAPTER_FAULT"
    # the gateway itself
    AUDIT_INCOMPLETE = "AUDIT_INCOMPLETE"
    OWNER_DIED = "OWNER_DIED"
    OUTCOME_UNRECORDED = "OUTCOME_UNRECORDED"
    INVARIANT_VIOLATION = "INVARIANT_VIOLATION"


@dataclass(frozen=True, slots=True)
class Failure:
    """One row: what the code means, the ends it may take, and who does what next."""

    meaning: str
    ends: frozenset[End]
    next: Next
    actor: Actor


_AFTER: Final = (End.NOT_SENT, End.REFUSED, End.UNKNOWN)


def _row(meaning: str, next: Next, actor: Actor, *ends: End) -> Failure:
    return Failure(meaning, frozenset(ends), next, actor)


def _blocked(meaning: str, next: Next, actor: Actor, *more: End) -> Failure:
    return _row(meaning, next, actor, End.BLOCKED, *more)


FAILURES: dict[Code, Failure] = {
    Code.COMMITTED: _row("the external system holds the approved change", Next.NONE, Actor.NOBODY, End.APPLIED),
    Code.CHECK_PASSED: _row("all gates pass; nothing was dispatched", Next.NONE, Actor.NOBODY, End.CHECKED),
    Code.OBSERVED: _row("looked, and recorded what was seen", Next.NONE, Actor.NOBODY, End.CHECKED),
    Code.DECISION_REQUIRED: _row("policy wants a human's answer first", Next.DECIDE, Actor.OPERATOR, End.PAUSED),
    Code.IN_FLIGHT: _row(
        "another call with this key is still running; ask again with the same trigger", Next.NONE, Actor.NOBODY
    ),
    Code.TRIGGER_UNSIGNED: _row(
        "no trusted operator surface signed this trigger", Next.NEW_ATTEMPT, Actor.OPERATOR, End.TRIGGER_DENIED
    ),
    Code.TRIGGER_UNKNOWN: _row(
        "not a trigger of a known kind and purpose", Next.NEW_ATTEMPT, Actor.OPERATOR, End.TRIGGER_DENIED
    ),
    Code.TRIGGER_FORBIDDEN: _row(
        "a trigger of this kind may not do this", Next.NEW_ATTEMPT, Actor.OPERATOR, End.TRIGGER_DENIED
    ),
    Code.TRIGGER_EXPIRED: _row(
        "the trigger statement is no longer, or not yet, valid", Next.NEW_ATTEMPT, Actor.OPERATOR, End.TRIGGER_DENIED
    ),
    Code.IDEMPOTENCY_COLLISION: _row(
        "this trigger id was used for something else", Next.NEW_ATTEMPT, Actor.OPERATOR, End.TRIGGER_DENIED
    ),
    Code.CONTEXT_MISSING: _blocked("something the attempt needs was not given", Next.NEW_ATTEMPT, Actor.OPERATOR),
    Code.CONTEXT_INVALID: _blocked(
        "the context is malformed, contradictory or holds forbidden content", Next.NEW_ATTEMPT, Actor.OPERATOR
    ),
    Code.CONNECTION_UNKNOWN: _blocked("no sealed connection of that reference", Next.FIX_SETUP, Actor.ENGINEER),
    Code.CONNECTION_SUSPENDED: _blocked("the connection is suspended by an operator", Next.NEW_ATTEMPT, Actor.OPERATOR),
    Code.OPERATION_UNSUPPORTED: _blocked(
        "the adapter cannot do this in one request on this connection", Next.NEW_PROPOSAL, Actor.REVIEWER
    ),
    Code.GOVERNANCE_INCOMPLETE: _blocked(
        "the signed governance record does not admit this commit", Next.FIX_SETUP, Actor.ENGINEER
    ),
    Code.EVIDENCE_UNAVAILABLE: _blocked(
        "an evidence source gave no usable answer in time", Next.NEW_ATTEMPT, Actor.OPERATOR
    ),
    Code.EVIDENCE_STALE: _blocked("evidence was not made for this attempt", Next.FIX_SETUP, Actor.ENGINEER),
    Code.PATIENT_UNIDENTIFIED: _blocked("the patient is not positively identified", Next.NEW_ATTEMPT, Actor.OPERATOR),
    Code.REVIEWER_UNKNOWN: _blocked(
        "the reviewer is not currently known to the practice", Next.NEW_APPROVAL, Actor.REVIEWER
    ),
    Code.REVIEWER_UNAUTHORIZED: _blocked(
        "the reviewer is not currently authorised to approve", Next.NEW_APPROVAL, Actor.REVIEWER
    ),
    Code.REVIEWER_NOT_AUTHENTICATED: _blocked(
        "the reviewer had not recently authenticated when deciding", Next.NEW_APPROVAL, Actor.REVIEWER
    ),
    Code.TENANT_UNPROVEN: _blocked(
        "patient, reviewer and connection are not proven to be of one practice", Next.FIX_SETUP, Actor.ENGINEER
    ),
    Code.TENANT_MISMATCH: _blocked("the action crosses practices", Next.NEW_PROPOSAL, Actor.OPERATOR),
    Code.CONSENT_ABSENT: _blocked("the patient's consent is not in force", Next.NEW_PROPOSAL, Actor.PATIENT),
    Code.CONSENT_CHANGED: _blocked("the consent changed since the proposal", Next.NEW_PROPOSAL, Actor.PATIENT),
    Code.PROPOSAL_UNKNOWN: _blocked(
        "no proposal with those exact bytes is recorded", Next.NEW_PROPOSAL, Actor.OPERATOR
    ),
    Code.PROPOSAL_EXPIRED: _blocked("the proposal has expired", Next.NEW_PROPOSAL, Actor.PATIENT),
    Code.PROPOSAL_WITHDRAWN: _blocked("the proposal was withdrawn", Next.NEW_PROPOSAL, Actor.PATIENT),
    Code.PROPOSAL_REVISED: _blocked("a later revision of the proposal exists", Next.NEW_APPROVAL, Actor.REVIEWER),
    Code.PROPOSAL_EXECUTED: _blocked("the proposal was already carried out", Next.NEW_PROPOSAL, Actor.PATIENT),
    Code.PROPOSAL_FROZEN: _blocked(
        "an earlier attempt is in flight or its outcome is unknown", Next.RESOLVE, Actor.OPERATOR
    ),
    Code.ORIGIN_FORBIDDEN: _blocked("only a patient's request may be committed", Next.NEW_PROPOSAL, Actor.PATIENT),
    Code.PATIENT_UNINFORMED: _blocked(
        "no evidence that the patient was told, and that it cannot be undone", Next.NEW_ATTEMPT, Actor.OPERATOR
    ),
    Code.APPROVAL_MISSING: _blocked(
        "no approval of this proposal under that reference", Next.NEW_APPROVAL, Actor.REVIEWER
    ),
    Code.APPROVAL_MISMATCH: _blocked("the approval is for other bytes than these", Next.NEW_APPROVAL, Actor.REVIEWER),
    Code.APPROVAL_EXPIRED: _blocked("the approval is no longer, or not yet, valid", Next.NEW_APPROVAL, Actor.REVIEWER),
    Code.APPROVAL_SUPERSEDED: _blocked("a later decision exists", Next.NEW_APPROVAL, Actor.REVIEWER),
    Code.APPROVAL_CONDITIONAL: _blocked(
        "the approval depends on unverified conditions", Next.NEW_APPROVAL, Actor.REVIEWER
    ),
    Code.APPROVAL_UNCOVERED: _blocked("the approval does not cover this operation", Next.NEW_APPROVAL, Actor.REVIEWER),
    Code.APPROVER_NOT_HUMAN: _blocked("only a human approves", Next.NEW_APPROVAL, Actor.REVIEWER),
    Code.APPROVER_IS_INITIATOR: _blocked("nobody approves their own request", Next.NEW_APPROVAL, Actor.REVIEWER),
    Code.PARTICULARS_CHANGED: _blocked(
        "the particulars are no longer those that were approved", Next.NEW_PROPOSAL, Actor.PATIENT
    ),
    Code.PARTICULARS_MISSING: _blocked(
        "the practice's registry has no particulars or identifier for a reference", Next.FIX_SETUP, Actor.ENGINEER
    ),
    Code.PARTICULARS_AMBIGUOUS: _blocked("a reference resolves to several things", Next.FIX_SETUP, Actor.ENGINEER),
    Code.READINESS_UNVERIFIABLE: _blocked(
        "the external system's readiness could not be proven", Next.NEW_ATTEMPT, Actor.OPERATOR
    ),
    Code.AUDIT_UNAVAILABLE: _blocked(
        "the journal or an audit sink did not acknowledge", Next.FIX_SETUP, Actor.ENGINEER, End.NOT_DISPATCHED
    ),
    Code.RELATED_UNRESOLVED: _blocked(
        "another attempt for the same slot or appointment is in flight or unknown", Next.RESOLVE, Actor.OPERATOR
    ),
    Code.THROTTLED: _blocked(
        "the connection's request budget is used up; see not_before", Next.NEW_ATTEMPT, Actor.OPERATOR
    ),
    Code.POLICY_DENIED: _row("policy denies this action", Next.NEW_PROPOSAL, Actor.REVIEWER, End.POLICY_DENIED),
    Code.POLICY_UNKNOWN: _row(
        "no sealed policy version is selected for this trigger and operation",
        Next.FIX_SETUP,
        Actor.ENGINEER,
        End.POLICY_DENIED,
    ),
    Code.POLICY_UNAVAILABLE: _blocked(
        "the policy could not be evaluated, or decided nothing", Next.FIX_SETUP, Actor.ENGINEER
    ),
    Code.TWO_PERSONS_REQUIRED: _row(
        "approver and triggering operator must differ", Next.NEW_ATTEMPT, Actor.OPERATOR, End.POLICY_DENIED
    ),
    Code.DECISION_DECLINED: _row(
        "the human's answer was to decline", Next.NEW_PROPOSAL, Actor.REVIEWER, End.POLICY_DENIED
    ),
    Code.TOOL_FORBIDDEN: _row("not an allow-listed operation", Next.NEW_PROPOSAL, Actor.ENGINEER, End.POLICY_DENIED),
    Code.OPERATOR_STOP: _blocked(
        "an operator stopped this proposal", Next.NONE, Actor.NOBODY, End.STOPPED, End.STOPPED_PAUSED
    ),
    Code.AUTHORIZATION_EXPIRED: _row(
        "the authorization ran out before dispatch", Next.NEW_ATTEMPT, Actor.OPERATOR, End.NOT_DISPATCHED
    ),
    Code.SLOT_TAKEN: _blocked("the slot is no longer free", Next.NEW_PROPOSAL, Actor.PATIENT, *_AFTER),
    Code.TARGET_CHANGED: _blocked(
        "the appointment is not at the approved version", Next.NEW_PROPOSAL, Actor.PATIENT, *_AFTER
    ),
    Code.TARGET_NOT_FOUND: _blocked("the appointment is not there", Next.NEW_PROPOSAL, Actor.PATIENT, *_AFTER),
    Code.EXTERNAL_INVALID: _row("the external system refused the content", Next.NEW_PROPOSAL, Actor.ENGINEER, *_AFTER),
    Code.EXTERNAL_FORBIDDEN: _blocked(
        "the external system does not let the practice's account do this", Next.FIX_SETUP, Actor.ENGINEER, *_AFTER
    ),
    Code.CREDENTIALS_REJECTED: _blocked(
        "the external system rejected the credentials", Next.FIX_SETUP, Actor.ENGINEER, *_AFTER
    ),
    Code.EXTERNAL_THROTTLED: _blocked(
        "the external system asks for patience", Next.NEW_ATTEMPT, Actor.OPERATOR, *_AFTER
    ),
    Code.EXTERNAL_UNAVAILABLE: _blocked(
        "the external system cannot be reached", Next.NEW_ATTEMPT, Actor.OPERATOR, *_AFTER
    ),
    Code.EXTERNAL_TIMEOUT: _blocked(
        "the external system did not answer in time", Next.NEW_ATTEMPT, Actor.OPERATOR, *_AFTER
    ),
    Code.EXTERNAL_ERROR: _blocked(
        "the external system reported a fault of its own", Next.NEW_ATTEMPT, Actor.OPERATOR, End.UNKNOWN
    ),
    Code.CONNECTION_LOST: _blocked(
        "the connection broke before a complete reply", Next.NEW_ATTEMPT, Actor.OPERATOR, End.NOT_SENT, End.UNKNOWN
    ),
    Code.REPLY_UNRECOGNISED: _blocked(
        "the reply is none that the adapter recognises", Next.FIX_SETUP, Actor.ENGINEER, End.UNKNOWN
    ),
    Code.REPLY_DEVIATES: _row("the reply differs from what was approved", Next.RESOLVE, Actor.OPERATOR, End.UNKNOWN),
    Code.REPLY_CACHED: _blocked(
        "the reply came from a cache and proves nothing", Next.FIX_SETUP, Actor.ENGINEER, End.UNKNOWN
    ),
    Code.DUPLICATE_KEY: _row(
        "our key already exists there: an earlier request may have taken effect",
        Next.RESOLVE,
        Actor.OPERATOR,
        End.UNKNOWN,
    ),
    Code.ACCEPTED_PENDING: _row(
        "a relay accepted it; the commitment is not proven", Next.RESOLVE, Actor.OPERATOR, End.UNKNOWN
    ),
    Code.HOST_FORBIDDEN: _blocked(
        "the adapter reached for an address that the connection does not admit",
        Next.FIX_SETUP,
        Actor.ENGINEER,
        End.NOT_SENT,
        End.UNKNOWN,
    ),
    Code.ADAPTER_FAULT: _blocked(
        "the adapter broke its contract", Next.FIX_SETUP, Actor.ENGINEER, End.NOT_SENT, End.UNKNOWN
    ),
    Code.AUDIT_INCOMPLETE: _row(
        "committed, but a sink refused the record of it", Next.NONE, Actor.ENGINEER, End.APPLIED_UNAUDITED
    ),
    Code.OWNER_DIED: _row("the process died between intent and outcome", Next.RESOLVE, Actor.OPERATOR, End.UNKNOWN),
    Code.OUTCOME_UNRECORDED: _row("the outcome could not be recorded", Next.RESOLVE, Actor.OPERATOR, End.UNKNOWN),
    Code.INVARIANT_VIOLATION: _row(
        "the gateway refused a forbidden step of its own",
        Next.FIX_SETUP,
        Actor.ENGINEER,
        End.FAULT,
        End.UNKNOWN,
        End.NOT_SENT,
    ),
}


ESCALATED = frozenset(
    {
        Code.POLICY_UNAVAILABLE,  # DECIDE-05
        Code.GOVERNANCE_INCOMPLETE,
        Code.APPROVAL_MISSING,  # DECIDE-06
        Code.APPROVAL_MISMATCH,
        Code.APPROVAL_UNCOVERED,
        Code.APPROVAL_CONDITIONAL,
        Code.APPROVER_NOT_HUMAN,
        Code.APPROVER_IS_INITIATOR,
        Code.TENANT_MISMATCH,
        Code.HOST_FORBIDDEN,
        Code.ADAPTER_FAULT,
        Code.CONTEXT_INVALID,  # DECIDE-08
    }
)
"""Blocking codes whose decision signal is of high severity: a boundary was in doubt (MIG-06 §6.1, C-11)."""

UNAVAILABLE = frozenset(
    {
        Code.EVIDENCE_UNAVAILABLE,
        Code.AUDIT_UNAVAILABLE,
        Code.EXTERNAL_UNAVAILABLE,
        Code.EXTERNAL_TIMEOUT,
        Code.POLICY_UNAVAILABLE,
    }
)
"""Codes that mean that something the attempt depends on is down (AUDIT-17)."""


def caller_next(code: Code, end: End | None) -> tuple[Next, Actor]:
    """(next, actor) for a code that ended so: the end outranks the code where it must.

    UNKNOWN is always resolved by a human (CARD-04); a proven non-effect after dispatch always needs a
    new approval, or a new proposal where the code says that this one cannot succeed (C-24).
    """
    row = FAILURES[code]
    if end is End.UNKNOWN:
        return Next.RESOLVE, Actor.OPERATOR
    if end in (End.NOT_SENT, End.REFUSED):
        return (row.next, row.actor) if row.next is Next.NEW_PROPOSAL else (Next.NEW_APPROVAL, Actor.REVIEWER)
    return row.next, row.actor


class Refusal(GatewayError):
    """Something said no, and this bounded code is all that may be repeated of it (I8)."""

    def __init__(self, code: Code) -> None:
        super().__init__(f"{code}: {FAILURES[code].meaning}")
        self.code = code
