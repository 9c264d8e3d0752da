"""What gates judge: the attempt's own trigger, the journal's facts, and the practice's evidence.

A `Case` is made once per attempt, from records read in this attempt; nothing in it outlives it (I4).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.config import Bounds
from gateway.contracts.chain import RecordKind
from gateway.contracts.evidence import (
    ConsentEvidence,
    Evidence,
    IdentityEvidence,
    NoticeEvidence,
    Question,
    TenantEvidence,
)
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Proposal
from gateway.contracts.references import DecisionId, PracticeId
from gateway.contracts.statements import Decision, Trigger
from gateway.journal import ProposalFile
from gateway.signatures import Verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One attempt's facts before any evidence is fetched. `approval` is the decision that the trigger
    names, its signature verified in this attempt, or None where there is none that verifies."""

    now: datetime
    practice: PracticeId
    bounds: Bounds
    trigger: Trigger
    file: ProposalFile | None
    approval: Verified[Decision] | None

    @property
    def proposal(self) -> Proposal | None:
        return self.file.proposal if self.file else None

    @property
    def latest_decision(self) -> DecisionId | None:
        records = self.file.records if self.file else ()
        decisions = [record.reference for record in records if record.kind is RecordKind.DECISION]
        return DecisionId(decisions[-1]) if decisions else None

    @property
    def skew(self) -> timedelta:
        return timedelta(seconds=self.bounds.clock_skew_seconds)

    def current(self, issued_at: datetime, expires_at: datetime) -> bool:
        """Whether now lies within a statement's life; skew is allowed for its beginning only."""
        return issued_at - self.skew <= self.now < expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The evidence sources' answers to `question`; None where a source failed or was late."""

    question: Question
    asked_at: datetime
    identity: IdentityEvidence | None
    tenant: TenantEvidence | None
    consent: ConsentEvidence | None
    notice: NoticeEvidence | None


def unusable(answers: Answers, evidence: Evidence | None, skew: timedelta) -> Code | None:
    """Why evidence cannot be judged: it is missing, or was not made for this attempt (GATE-06)."""
    if evidence is None:
        return Code.EVIDENCE_UNAVAILABLE
    if evidence.nonce != answers.question.nonce or evidence.as_of < answers.asked_at - skew:
        return Code.EVIDENCE_STALE
    return None
