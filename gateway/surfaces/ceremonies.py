"""What a person at a local surface signs, in one act each: review, trigger, stop, withdrawal, resolution.

Owns: which statements an act makes, their fresh identifiers and how long they hold. Signing is all that
happens: nothing is sent, stored or triggered here (AUTH-04). The caller shows the person what they sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Generic, TypeVar

from gateway.clock import Clock
from gateway.contracts.outcome import Outcome
from gateway.contracts.proposal import Notice, Operation, Proposal
from gateway.contracts.references import (
    AttemptId,
    DecisionId,
    ObservationId,
    PersonId,
    PracticeId,
    StatementId,
    TriggerId,
)
from gateway.contracts.statements import (
    Answer,
    Authentication,
    AuthenticationMethod,
    Choice,
    Condition,
    Decision,
    Finding,
    Purpose,
    Resolution,
    ReviewerKind,
    Statement,
    Stop,
    Trigger,
    TriggerKind,
    Verdict,
    Withdrawal,
)
from gateway.surfaces.keys import LocalKey
from gateway.surfaces.sign import sign

DECISION_HOLDS: Final = timedelta(hours=8)
"""A working day: long enough to act on, short enough that the reviewer still remembers it."""

TRIGGER_HOLDS: Final = timedelta(minutes=5)

S = TypeVar("S", bound=Statement)


@dataclass(frozen=True, slots=True)
class Signed(Generic[S]):
    """A statement and the token that carries it."""

    statement: S
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Review:
    """A decision and, where the reviewer asked for it in the same act, a trigger (C-22)."""

    decision: Signed[Decision]
    trigger: Signed[Trigger] | None = None


@dataclass(frozen=True, slots=True)
class Surface:
    """One signing key and one source of time and identifiers: what every act needs."""

    key: LocalKey
    clock: Clock

    def review(
        self,
        proposal: Proposal,
        *,
        reviewer: PersonId,
        verdict: Verdict,
        authentication: Authentication | None = None,
        notices: Sequence[Notice] = (),
        conditions: Sequence[Condition] = (),
        commit: bool = False,
    ) -> Review:
        """Decide on the proposal's exact bytes. An approval covers its operation and the `notices`, and
        expires with the proposal at the latest; anything but an approval covers nothing.

        By default the reviewer authenticated by using this key, now. With `commit` the same person also
        signs the trigger, which does nothing until it is presented; raises ValueError unless approving.
        """
        approving = verdict is Verdict.APPROVE
        if commit and not approving:
            raise ValueError("only an approval can be committed")
        now = self.clock.now()
        covered: tuple[Operation | Notice, ...] = (proposal.operation, *notices) if approving else ()
        decision = Decision(
            practice=proposal.practice,
            issued_at=now,
            decision_id=self.clock.new(DecisionId),
            proposal_id=proposal.proposal_id,
            proposal_digest=proposal.proposal_digest,
            verdict=verdict,
            operations=covered,
            reviewer=reviewer,
            reviewer_kind=ReviewerKind.HUMAN,
            authentication=authentication or Authentication(method=AuthenticationMethod.LOCAL_KEY, at=now),
            conditions=tuple(conditions),
            expires_at=min(now + DECISION_HOLDS, proposal.expires_at),
        )
        trigger = self.commit(proposal, operator=reviewer, approval=decision.decision_id) if commit else None
        return Review(self._signed(decision), trigger)

    def commit(self, proposal: Proposal, *, operator: PersonId, approval: DecisionId) -> Signed[Trigger]:
        """Start one commit on that approval; single use."""
        return self._trigger(proposal, operator, Purpose.COMMIT, decision_id=approval)

    def resume(
        self, proposal: Proposal, *, operator: PersonId, approval: DecisionId, paused: Outcome, choice: Choice
    ) -> Signed[Trigger]:
        """Answer the decision signal of a paused attempt; raises ValueError where none is open."""
        if paused.attempt is None or paused.signal is None:
            raise ValueError("that attempt waits for no answer")
        answer = Answer(attempt=paused.attempt, signal=paused.signal, choice=choice)
        return self._trigger(proposal, operator, Purpose.RESUME, decision_id=approval, answer=answer)

    def check(self, proposal: Proposal, *, operator: PersonId, approval: DecisionId | None = None) -> Signed[Trigger]:
        """Run gates and readiness as a read-only attempt."""
        return self._trigger(proposal, operator, Purpose.CHECK, decision_id=approval)

    def observe(self, proposal: Proposal, *, operator: PersonId, attempt: AttemptId) -> Signed[Trigger]:
        """Look, read-only, at what became of an attempt (C-30)."""
        return self._trigger(proposal, operator, Purpose.OBSERVE, attempt=attempt)

    def stop(self, proposal: Proposal, *, operator: PersonId) -> Signed[Stop]:
        return self._signed(
            Stop(
                practice=proposal.practice,
                issued_at=self.clock.now(),
                statement_id=self.clock.new(StatementId),
                proposal_id=proposal.proposal_id,
                operator=operator,
            )
        )

    def withdraw(self, proposal: Proposal, *, operator: PersonId) -> Signed[Withdrawal]:
        return self._signed(
            Withdrawal(
                practice=proposal.practice,
                issued_at=self.clock.now(),
                statement_id=self.clock.new(StatementId),
                proposal_id=proposal.proposal_id,
                operator=operator,
            )
        )

    def resolve(
        self,
        practice: PracticeId,
        attempt: AttemptId,
        *,
        closing_hash: str,
        finding: Finding,
        resolver: PersonId,
        observation: ObservationId | None = None,
    ) -> Signed[Resolution]:
        """State what became of an attempt that ended unknown (C-38); names its closing hash."""
        return self._signed(
            Resolution(
                practice=practice,
                issued_at=self.clock.now(),
                statement_id=self.clock.new(StatementId),
                attempt=attempt,
                closing_hash=closing_hash,
                finding=finding,
                observation=observation,
                resolver=resolver,
            )
        )

    def _trigger(
        self,
        proposal: Proposal,
        operator: PersonId,
        purpose: Purpose,
        *,
        decision_id: DecisionId | None = None,
        attempt: AttemptId | None = None,
        answer: Answer | None = None,
    ) -> Signed[Trigger]:
        now = self.clock.now()
        return self._signed(
            Trigger(
                practice=proposal.practice,
                issued_at=now,
                trigger_id=self.clock.new(TriggerId),
                kind=TriggerKind.OPERATOR,
                purpose=purpose,
                operator=operator,
                proposal_id=proposal.proposal_id,
                proposal_digest=proposal.proposal_digest,
                decision_id=decision_id,
                attempt=attempt,
                answer=answer,
                expires_at=now + TRIGGER_HOLDS,
            )
        )

    def _signed(self, statement: S) -> Signed[S]:
        return Signed(statement, sign(statement, self.key))
