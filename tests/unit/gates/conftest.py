"""One case in which every gate passes; each test changes one fact of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.config import Bounds
from gateway.contracts.chain import GENESIS, Record, RecordKind
from gateway.contracts.evidence import ConsentEvidence, IdentityEvidence, NoticeEvidence, Question, TenantEvidence
from gateway.contracts.proposal import Operation, Origin, Proposal
from gateway.contracts.references import (
    ConnectionId,
    DecisionId,
    PatientId,
    PersonId,
    PracticeId,
    ProposalId,
    TriggerId,
)
from gateway.contracts.statements import (
    Authentication,
    AuthenticationMethod,
    Decision,
    Purpose,
    ReviewerKind,
    Trigger,
    TriggerKind,
    Verdict,
)
from gateway.gates.case import Answers, Case
from gateway.journal import ProposalFile
from gateway.signatures import Verified

NOW = datetime(2030, 1, 7, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CONSENT = "0f1e2d3c" * 8


@dataclass(frozen=True)
class Bench:
    """A passing case and its answers, and how to change one thing in them."""

    case: Case
    answers: Answers

    @property
    def proposal(self) -> Proposal:
        assert self.case.proposal is not None
        return self.case.proposal

    @property
    def decision(self) -> Decision:
        assert self.case.approval is not None
        return self.case.approval.statement

    def filed(self, **facts: Any) -> Case:
        """The case with other facts about the proposal in the journal."""
        assert self.case.file is not None
        return replace(self.case, file=replace(self.case.file, **facts))

    def decided(self, **facts: Any) -> Case:
        """The case with another decision under the same reference."""
        statement = self.decision.model_copy(update=facts)
        assert self.case.approval is not None
        return replace(self.case, approval=replace(self.case.approval, statement=statement))

    def proposed(self, **facts: Any) -> Case:
        """The case with another proposal, which trigger and decision name, too."""
        proposal = self.proposal.model_copy(update=facts)
        case = self.decided(proposal_digest=proposal.proposal_digest)
        trigger = case.trigger.model_copy(update={"proposal_digest": proposal.proposal_digest})
        assert case.file is not None
        return replace(case, trigger=trigger, file=replace(case.file, proposal=proposal))

    def triggered(self, **facts: Any) -> Case:
        return replace(self.case, trigger=self.case.trigger.model_copy(update=facts))

    def answered(self, name: str, **facts: Any) -> Answers:
        """The answers with one of them changed."""
        return replace(self.answers, **{name: getattr(self.answers, name).model_copy(update=facts)})

    def unanswered(self, name: str) -> Answers:
        return replace(self.answers, **{name: None})


@pytest.fixture
def bench() -> Bench:
    practice, reviewer, initiator = PracticeId.random(), PersonId.random(), PersonId.random()
    proposal = Proposal(
        proposal_id=ProposalId.random(),
        revision=1,
        practice=practice,
        connection=ConnectionId.random(),
        operation=Operation.BOOK,
        origin=Origin.PATIENT,
        initiator=initiator,
        patient=PatientId.random(),
        consent=CONSENT,
        commitment="1a2b3c4d" * 8,
        created_at=NOW - 30 * MINUTE,
        expires_at=NOW + 30 * MINUTE,
    )
    decision = Decision(
        practice=practice,
        issued_at=NOW - 10 * MINUTE,
        decision_id=DecisionId.random(),
        proposal_id=proposal.proposal_id,
        proposal_digest=proposal.proposal_digest,
        verdict=Verdict.APPROVE,
        operations=(Operation.BOOK,),
        reviewer=reviewer,
        reviewer_kind=ReviewerKind.HUMAN,
        authentication=Authentication(method=AuthenticationMethod.PASSKEY, at=NOW - 12 * MINUTE),
        expires_at=NOW + 10 * MINUTE,
    )
    trigger = Trigger(
        practice=practice,
        issued_at=NOW - MINUTE,
        trigger_id=TriggerId.random(),
        kind=TriggerKind.OPERATOR,
        purpose=Purpose.COMMIT,
        operator=PersonId.random(),
        proposal_id=proposal.proposal_id,
        proposal_digest=proposal.proposal_digest,
        decision_id=decision.decision_id,
        expires_at=NOW + MINUTE,
    )
    first = Record.after(GENESIS, 1, RecordKind.PROPOSAL, proposal.proposal_digest, "{}")
    second = Record.after(first.hash, 2, RecordKind.DECISION, decision.decision_id, "a.b.c")
    file = ProposalFile(
        proposal=proposal, records=(first, second), stopped=False, withdrawn=False, held_by=None, hold_effect=None
    )
    case = Case(
        now=NOW,
        practice=practice,
        bounds=Bounds(),
        trigger=trigger,
        file=file,
        approval=Verified(decision, "a.b.c", "reviewer", "5e6f7a8b" * 8),
    )
    question = Question(
        nonce="0123456789abcdef" * 2,
        practice=practice,
        connection=proposal.connection,
        patient=proposal.patient,
        initiator=initiator,
        reviewer=reviewer,
        operator=trigger.operator,
        proposal_digest=proposal.proposal_digest,
    )
    made = {"nonce": question.nonce, "as_of": NOW}
    answers = Answers(
        question=question,
        asked_at=NOW,
        identity=IdentityEvidence(
            **made, patient_identified=True, reviewer_known=True, reviewer_authorised=True, operator_authorised=True
        ),
        tenant=TenantEvidence(
            **made, practice=practice, patient_belongs=True, reviewer_belongs=True, connection_belongs=True
        ),
        consent=ConsentEvidence(**made, in_force=True, consent=CONSENT),
        notice=NoticeEvidence(**made, informed_of=proposal.proposal_digest, irreversibility_told=True),
    )
    return Bench(case, answers)
