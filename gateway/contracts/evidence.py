"""What gates ask about the practice's people, and the bounded answers they accept.

Every answer echoes the question's nonce, made for this attempt: an answer prepared for another one is
stale and blocks (GATE-06, GATE-09, GATE-11). Answers are verdicts and digests, never data (C-04).
"""

from __future__ import annotations

from typing import Annotated, Protocol

from pydantic import StringConstraints

from gateway.contracts.base import Instant, Model
from gateway.contracts.canonical import Digest
from gateway.contracts.references import ConnectionId, PatientId, PersonId, PracticeId

Nonce = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class Question(Model):
    """Everything a source needs to answer for one attempt."""

    nonce: Nonce
    practice: PracticeId
    connection: ConnectionId
    patient: PatientId
    initiator: PersonId
    reviewer: PersonId
    operator: PersonId
    proposal_digest: Digest


class Evidence(Model):
    """Base of all answers."""

    nonce: Nonce
    as_of: Instant


class IdentityEvidence(Evidence):
    """`patient_identified`: exactly one registered patient. The rest is about the reviewer, now."""

    patient_identified: bool
    reviewer_known: bool
    reviewer_authorised: bool
    operator_authorised: bool


class TenantEvidence(Evidence):
    """Whether each party belongs to `practice`, the practice that the source itself belongs to."""

    practice: PracticeId
    patient_belongs: bool
    reviewer_belongs: bool
    connection_belongs: bool


class ConsentEvidence(Evidence):
    """Consent for scheduling data processing, and the digest of the record that says so."""

    in_force: bool
    consent: Digest | None = None


class NoticeEvidence(Evidence):
    """Whether the patient was told of this very action, and that it cannot be undone (GATE-30)."""

    informed_of: Digest | None = None
    irreversibility_told: bool = False


class EvidenceSource(Protocol):
    """A plugin of the practice. Raising, or answering late, blocks the attempt (DEP-06)."""

    async def identity(self, question: Question) -> IdentityEvidence: ...

    async def tenant(self, question: Question) -> TenantEvidence: ...

    async def consent(self, question: Question) -> ConsentEvidence: ...

    async def notice(self, question: Question) -> NoticeEvidence: ...
