"""The audit event: one closed schema for every signal of E-01 §7.2 and F-01 §5.3 (F-05).

Events are metadata only (I7): every field is a closed enum, an opaque reference, a digest or an instant.
Events of one attempt form a hash chain; `gateway.audit.chain` makes the links.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from gateway.contracts.base import Instant, Model, Slug
from gateway.contracts.canonical import Digest
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Notice, Operation
from gateway.contracts.references import (
    AppointmentId,
    AttemptId,
    CorrelationId,
    DecisionId,
    EvaluationId,
    ObservationId,
    ProposalId,
    SignalId,
    TriggerId,
)
from gateway.contracts.statements import Choice, Purpose, TriggerKind
from gateway.contracts.words import (
    Effect,
    Environment,
    GateName,
    ObservationFinding,
    Severity,
    State,
)

TraceId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class Signal(StrEnum):
    TRIGGER_RECEIVED = "TriggerReceived"
    TRIGGER_REJECTED = "TriggerRejected"
    CONTEXT_VALIDATED = "ContextValidated"
    CONTEXT_INVALID = "ContextInvalid"
    CONTEXT_MISSING = "ContextMissing"
    GATE_JUDGED = "GateJudged"
    PROPOSAL_BOUND = "ProposalBound"
    APPROVAL_BOUND = "ApprovalBound"
    POLICY_EVALUATED = "PolicyEvaluated"
    DECISION_REQUIRED_EMITTED = "DecisionRequiredEmitted"
    DECISION_ANSWERED = "DecisionAnswered"
    DEPENDENCY_UNAVAILABLE = "DependencyUnavailable"
    MUTATION_REQUESTED = "MutationRequested"
    MUTATION_APPROVED = "MutationApproved"
    MUTATION_DENIED = "MutationDenied"
    INTENT_RECORDED = "IntentRecorded"
    EXECUTION_STEP_STARTED = "ExecutionStepStarted"
    EXECUTION_STEP_COMPLETED = "ExecutionStepCompleted"
    EFFECT_RECORDED = "EffectRecorded"
    STATE_TRANSITION_RECORDED = "StateTransitionRecorded"
    AUDIT_ACCEPTED = "AuditAccepted"
    AUDIT_FAILED = "AuditFailed"
    OBSERVATION_RECORDED = "ObservationRecorded"
    DISCREPANCY_RECORDED = "DiscrepancyRecorded"
    ATTEMPT_COMPLETED = "AttemptCompleted"


class Step(StrEnum):
    """Bounded step identifiers (AUDIT-08)."""

    COMMIT = "commit"
    OBSERVE = "observe"


class ProposalState(StrEnum):
    """Of the proposal when the attempt looked (AUDIT-20)."""

    CURRENT = "current"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    REVISED = "revised"
    EXECUTED = "executed"
    FROZEN = "frozen"


class Event(Model):
    """One audit event. `seq` counts from 1 within the attempt; which detail fields are set is the
    signal's business and tabled in docs/audit-events.md."""

    seq: Annotated[int, Field(ge=1)]
    at: Instant
    signal: Signal
    environment: Environment
    attempt: AttemptId
    correlation: CorrelationId
    trace: TraceId
    trigger: TriggerId | None = None

    trigger_kind: TriggerKind | None = None
    purpose: Purpose | None = None
    code: Code | None = None
    from_state: State | None = None
    to_state: State | None = None
    operation: Operation | Notice | None = None
    proposal: ProposalId | None = None
    proposal_digest: Digest | None = None
    proposal_state: ProposalState | None = None
    approval: DecisionId | None = None
    approval_digest: Digest | None = None
    approved_at: Instant | None = None
    gate: GateName | None = None
    passed: bool | None = None
    policy: Slug | None = None
    policy_version: Annotated[int, Field(ge=1)] | None = None
    view: Slug | None = None
    view_version: Annotated[int, Field(ge=1)] | None = None
    policy_evaluation: EvaluationId | None = None
    allowed: bool | None = None
    decision_signal: SignalId | None = None
    severity: Severity | None = None
    answer: Choice | None = None
    step: Step | None = None
    sink: Slug | None = None
    effect: Effect | None = None
    external_reference: AppointmentId | None = None
    version: Digest | None = None
    requests: Annotated[int, Field(ge=0)] | None = None
    mutating_requests: Annotated[int, Field(ge=0)] | None = None
    deadline: Instant | None = None
    absence_from: Instant | None = None
    system: Digest | None = None
    observation: ObservationId | None = None
    finding: ObservationFinding | None = None
    outcome_digest: Digest | None = None
