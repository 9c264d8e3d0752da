"""The seven preconditions of F-01 §4, one module each, judged in this attempt on fresh evidence (I4).

Order of work: the two gates that need no network first; if one fails, nothing is fetched. Then all
evidence at once, bounded in time. Verdicts are always reported in the order of `GateName`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from gateway.audit.acknowledgement import Sinks
from gateway.authorization import Verdict
from gateway.boundary import Boundary, Engagement
from gateway.boundary.containment import contained
from gateway.clock import Clock
from gateway.contracts.evidence import (
    ConsentEvidence,
    Evidence,
    EvidenceSource,
    IdentityEvidence,
    NoticeEvidence,
    Question,
    TenantEvidence,
)
from gateway.contracts.failures import Code
from gateway.contracts.words import GateName
from gateway.gates import approval, audit_readiness, consent, external_readiness, identity, proposal, tenant
from gateway.gates.case import Answers, Case
from gateway.journal import Journal

Answer = TypeVar("Answer", bound=Evidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdicts reached, in fixed order, and the engagement that readiness opened, if any."""

    verdicts: tuple[Verdict, ...]
    engagement: Engagement | None

    @property
    def code(self) -> Code | None:
        """The first failure in the fixed order; None when all seven passed."""
        return next((verdict.code for verdict in self.verdicts if verdict.code), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gatekeeper:
    """Runs the seven gates for one case at a time; keeps nothing between cases."""

    evidence: EvidenceSource
    boundary: Boundary
    journal: Journal
    sinks: Sinks
    clock: Clock

    def judge_records(self, case: Case) -> Judgement | None:
        """The local gates' verdicts if one of them fails; None if evidence is worth fetching."""
        verdicts = (
            Verdict(GateName.PROPOSAL, proposal.judge_record(case)),
            Verdict(GateName.APPROVAL, approval.judge(case)),
        )
        if all(verdict.passed for verdict in verdicts):
            return None
        return Judgement(verdicts=verdicts, engagement=None)

    async def judge(self, case: Case) -> Judgement:
        """All seven verdicts. `case` must have passed `judge_records`."""
        assert case.proposal is not None
        (engagement, readiness), audit, answers = await asyncio.gather(
            external_readiness.fetch(self.boundary, self.journal, case.proposal),
            audit_readiness.fetch(self.journal, self.sinks),
            self._ask(case),
        )
        codes = {
            GateName.IDENTITY: identity.judge(case, answers),
            GateName.TENANT: tenant.judge(case, answers),
            GateName.CONSENT: consent.judge(case, answers),
            GateName.PROPOSAL: proposal.judge(case, answers),
            GateName.APPROVAL: approval.judge(case),
            GateName.EXTERNAL_READINESS: readiness,
            GateName.AUDIT_READINESS: audit,
        }
        return Judgement(verdicts=tuple(Verdict(gate, codes[gate]) for gate in GateName), engagement=engagement)

    async def _ask(self, case: Case) -> Answers:
        assert case.proposal is not None and case.approval is not None
        question = Question(
            nonce=self.clock.token(),
            practice=case.practice,
            connection=case.proposal.connection,
            patient=case.proposal.patient,
            initiator=case.proposal.initiator,
            reviewer=case.approval.statement.reviewer,
            operator=case.trigger.operator,
            proposal_digest=case.proposal.proposal_digest,
        )
        asked_at = self.clock.now()
        source = self.evidence
        answers = await asyncio.gather(
            self._bounded(case, IdentityEvidence, lambda: source.identity(question)),
            self._bounded(case, TenantEvidence, lambda: source.tenant(question)),
            self._bounded(case, ConsentEvidence, lambda: source.consent(question)),
            self._bounded(case, NoticeEvidence, lambda: source.notice(question)),
        )
        return Answers(
            question=question,
            asked_at=asked_at,
            identity=answers[0],
            tenant=answers[1],
            consent=answers[2],
            notice=answers[3],
        )

    async def _bounded(self, case: Case, kind: type[Answer], fetch: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """One answer, or None: a source that raises, is late or answers something else proves nothing."""
        answer = (await contained(fetch, case.bounds.evidence_seconds)).value
        return answer if isinstance(answer, kind) else None
