"""Signed statements: the only way a human's will enters the gateway.

Each is the payload of a JWS (RFC 7515) whose protected header is exactly `alg`, `kid`, `typ`;
each kind has its own `typ`, and a trusted key lists the kinds it may sign. Verification is in
`gateway.signatures`; signing for local use in `gateway.surfaces`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from gateway.contracts.base import Instant, Model
from gateway.contracts.canonical import Digest
from gateway.contracts.faults import ContentError
from gateway.contracts.proposal import Notice, Operation
from gateway.contracts.references import (
    AttemptId,
    DecisionId,
    ObservationId,
    PersonId,
    PracticeId,
    ProposalId,
    SignalId,
    StatementId,
    TriggerId,
)


class Signed(Model):
    """Base of all signed payloads; `typ` is the JWS header that marks the kind."""

    typ: ClassVar[str] = ""

    @property
    def about(self) -> PracticeId | None:
        """The practice that it speaks of. None: of no practice; it counts where a practice trusts its key."""
        return None

    @property
    def person(self) -> PersonId | None:
        """Whose word it is; None where it is an office's rather than a person's."""
        return None


class Statement(Signed):
    """What is said of one practice: everything but a conformance statement."""

    practice: PracticeId
    issued_at: Instant

    @property
    def about(self) -> PracticeId:
        return self.practice


class Verdict(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"
    REQUEST_MODIFICATION = "request-modification"


class AuthenticationMethod(StrEnum):
    """How the reviewer proved who they are, as the surface saw it."""

    PASSKEY = "passkey"
    SMART_CARD = "smart-card"
    PASSWORD_AND_CODE = "password-and-code"
    LOCAL_KEY = "local-key"


class Authentication(Model):
    method: AuthenticationMethod
    at: Instant


class ReviewerKind(StrEnum):
    """Automation is expressible so that it can be refused by name (AUTH-05)."""

    HUMAN = "human"
    AUTOMATION = "automation"


class Condition(StrEnum):
    """What an approval may depend on: a closed list, since free words here could name a person (PHI-05)."""

    REFERRAL = "referral"
    COVERAGE = "coverage"
    CLINICAL_CLEARANCE = "clinical-clearance"
    PATIENT_CONFIRMATION = "patient-confirmation"
    OTHER = "other"


class Decision(Statement):
    """A reviewer's answer (SL-08). Append-only; the latest supersedes (GATE-18 to GATE-23).

    An approval with any of `conditions` is not unconditional.
    """

    typ: ClassVar[str] = "gateway-decision+jws"

    decision_id: DecisionId
    proposal_id: ProposalId
    proposal_digest: Digest
    verdict: Verdict
    operations: Annotated[tuple[Operation | Notice, ...], Field(max_length=5)]
    reviewer: PersonId
    reviewer_kind: ReviewerKind
    authentication: Authentication
    conditions: Annotated[tuple[Condition, ...], Field(max_length=8)] = ()
    expires_at: Instant

    @property
    def person(self) -> PersonId:
        return self.reviewer


class TriggerKind(StrEnum):
    """MIG-06 §7.1; only operator-initiated triggers may commit (C-20)."""

    OPERATOR = "operator-initiated"
    TIME = "time-based"
    EXTERNAL_EVENT = "external-event"


class Purpose(StrEnum):
    """What a trigger asks for (TRIG-05)."""

    COMMIT = "commit"
    RESUME = "resume"
    CHECK = "check"
    OBSERVE = "observe"


class Choice(StrEnum):
    PROCEED = "proceed"
    DECLINE = "decline"


class Answer(Model):
    """A human's answer to a decision signal; an input of the policy that runs again."""

    attempt: AttemptId
    signal: SignalId
    choice: Choice


class Trigger(Statement):
    """One start, by one operator surface, single use: its id is the caller's key."""

    typ: ClassVar[str] = "gateway-trigger+jws"

    trigger_id: TriggerId
    kind: TriggerKind
    purpose: Purpose
    operator: PersonId
    proposal_id: ProposalId
    proposal_digest: Digest
    decision_id: DecisionId | None = None
    attempt: AttemptId | None = None
    answer: Answer | None = None
    expires_at: Instant

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if (self.purpose is Purpose.RESUME) != (self.answer is not None):
            raise ContentError("a resume carries an answer, and nothing else does")
        if (self.purpose is Purpose.OBSERVE) != (self.attempt is not None):
            raise ContentError("an observation names its attempt, and nothing else does")
        if self.purpose in (Purpose.COMMIT, Purpose.RESUME) and self.decision_id is None:
            raise ContentError("a commit names the approval it relies on")
        return self

    @property
    def person(self) -> PersonId:
        return self.operator


class Stop(Statement):
    """Latch a stop on a proposal (C-18, OPS-02)."""

    typ: ClassVar[str] = "gateway-stop+jws"

    statement_id: StatementId
    proposal_id: ProposalId
    operator: PersonId

    @property
    def person(self) -> PersonId:
        return self.operator


class Withdrawal(Statement):
    """The proposal no longer stands (GATE-15)."""

    typ: ClassVar[str] = "gateway-withdrawal+jws"

    statement_id: StatementId
    proposal_id: ProposalId
    operator: PersonId

    @property
    def person(self) -> PersonId:
        return self.operator


class Finding(StrEnum):
    APPLIED = "APPLIED"
    ABSENT = "ABSENT"
    HANDLED_BY_HAND = "HANDLED_BY_HAND"


class Resolution(Statement):
    """What a human found out about an attempt that ended unknown (C-38). The first one wins."""

    typ: ClassVar[str] = "gateway-resolution+jws"

    statement_id: StatementId
    attempt: AttemptId
    closing_hash: Digest
    finding: Finding
    observation: ObservationId | None = None
    resolver: PersonId

    @property
    def person(self) -> PersonId:
        return self.resolver
