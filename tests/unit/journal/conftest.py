"""Stories told to a journal: attempts that really walked the lifecycle, ready to be appended."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.contracts.chain import RecordKind
from gateway.contracts.failures import Code
from gateway.contracts.outcome import ENDS, Outcome
from gateway.contracts.proposal import Operation, Origin, Proposal
from gateway.contracts.references import (
    AttemptId,
    ConnectionId,
    CorrelationId,
    DecisionId,
    PatientId,
    PersonId,
    PracticeId,
    ProposalId,
    StatementId,
    TriggerId,
)
from gateway.contracts.signals import Signal
from gateway.contracts.statements import Purpose
from gateway.contracts.words import End, Environment, State
from gateway.ending import conclude
from gateway.journal import Append, Header, Intent, Journal
from gateway.journal._postgres import PostgresJournal
from gateway.journal._sqlite import SqliteJournal
from gateway.lifecycle import Attempt, Identity

KEY = bytes(range(32))
"""Of the journal that `open_journal` opens."""
NOW = datetime(2030, 1, 7, 9, 0, tzinfo=UTC)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Case:
    """One proposal at one practice, and the attempts that may be made of it."""

    practice: PracticeId = field(default_factory=PracticeId.random)
    proposal_id: ProposalId = field(default_factory=ProposalId.random)
    connection: ConnectionId = field(default_factory=ConnectionId.random)
    patient: PatientId = field(default_factory=PatientId.random)
    initiator: PersonId = field(default_factory=PersonId.random)
    approval: DecisionId = field(default_factory=DecisionId.random)
    siblings: tuple[str, ...] = ()

    def proposal(self, revision: int = 1) -> Proposal:
        return Proposal(
            proposal_id=self.proposal_id,
            revision=revision,
            practice=self.practice,
            connection=self.connection,
            operation=Operation.BOOK,
            origin=Origin.PATIENT,
            initiator=self.initiator,
            patient=self.patient,
            consent=sha("consent"),
            commitment=sha("commitment"),
            created_at=NOW,
            expires_at=NOW + timedelta(days=1),
        )

    async def recorded(self, journal: Journal, revision: int = 1) -> Case:
        proposal = self.proposal(revision)
        await journal.record(
            self.practice,
            self.proposal_id,
            RecordKind.PROPOSAL,
            proposal.proposal_digest,
            proposal.canonical().decode(),
        )
        return self

    async def say(self, journal: Journal, kind: RecordKind) -> str:
        reference = StatementId.random()
        await journal.record(self.practice, self.proposal_id, kind, reference, f"signed {kind}")
        return reference

    def header(self, trigger: TriggerId | None = None, text: str = "trigger") -> Header:
        trigger = trigger or TriggerId.random()
        return Header(
            purpose=Purpose.COMMIT,
            trigger=trigger,
            trigger_digest=sha(trigger + text),
            practice=self.practice,
            proposal=self.proposal_id,
            proposal_digest=self.proposal().proposal_digest,
            connection=self.connection,
            operation=Operation.BOOK,
            approval=self.approval,
        )


def fresh(header: Header) -> Attempt:
    identity = Identity(
        attempt=AttemptId.random(),
        correlation=CorrelationId.random(),
        trace="0123456789abcdef" * 2,
        environment=Environment.SANDBOX,
        trigger=header.trigger,
    )
    return Attempt(identity=identity).record(Signal.TRIGGER_RECEIVED, NOW, purpose=header.purpose)


def gated(header: Header) -> Attempt:
    return fresh(header).to(State.VALIDATING, NOW).to(State.GATED, NOW)


def intended(header: Header, *, attempt: Attempt | None = None, key: str | None = None, case: Case) -> Append:
    """The first barrier: everything up to AUDITING."""
    deadline = NOW + timedelta(seconds=30)
    attempt = (attempt or gated(header)).to(State.AUTHORIZED, NOW).to(State.RUNNING, NOW)
    attempt = attempt.record(Signal.INTENT_RECORDED, NOW, deadline=deadline, operation=Operation.BOOK)
    key = key or sha(f"{header.proposal_digest}{header.approval}{header.operation}")
    return Append(
        attempt=attempt.to(State.AUDITING, NOW),
        header=header,
        intent=Intent(attempt_key=key, siblings=case.siblings, deadline=deadline),
    )


CODES = {
    End.APPLIED: Code.COMMITTED,
    End.APPLIED_UNAUDITED: Code.AUDIT_INCOMPLETE,
    End.UNKNOWN: Code.CONNECTION_LOST,
    End.NOT_SENT: Code.CONNECTION_LOST,
    End.REFUSED: Code.SLOT_TAKEN,
    End.NOT_DISPATCHED: Code.AUDIT_UNAVAILABLE,
    End.STOPPED: Code.OPERATOR_STOP,
    End.BLOCKED: Code.CONSENT_ABSENT,
    End.POLICY_DENIED: Code.POLICY_DENIED,
    End.PAUSED: Code.DECISION_REQUIRED,
}
"""One code for each end that these stories use."""


def ended(entry: Append, end: End, *, at: datetime = NOW) -> Append:
    """The second barrier of an attempt whose first append was `entry`."""
    attempt = entry.attempt.flushed()
    if end in (End.STOPPED, End.NOT_DISPATCHED) or attempt.state is State.PAUSED:
        attempt = attempt.to(State.RUNNING, at) if attempt.state is State.AUDITING else attempt
    else:
        attempt = attempt.to(State.RUNNING, at).to(State.AUDITING, at)
    return concluded(attempt, entry.header, end, at=at)


def concluded(attempt: Attempt, header: Header, end: End, *, at: datetime = NOW) -> Append:
    attempt, outcome = conclude(attempt, end, CODES[end], at)
    return Append(attempt=attempt, header=header, outcome=outcome, hold=ENDS[end].hold)


async def run(journal: Journal, case: Case, end: End, header: Header | None = None) -> tuple[AttemptId, Outcome]:
    """Intent and closing append; both must be admitted."""
    first = intended(header or case.header(), case=case)
    assert (await journal.append(first)).admission == "admitted"
    last = ended(first, end)
    assert (await journal.append(last)).admission == "admitted"
    assert last.outcome is not None
    return first.attempt.identity.attempt, last.outcome


@dataclass(frozen=True)
class Stories:
    """The words above, for tests (which cannot import a conftest)."""

    now = NOW
    case = Case
    sha = staticmethod(sha)
    fresh = staticmethod(fresh)
    gated = staticmethod(gated)
    intended = staticmethod(intended)
    ended = staticmethod(ended)
    concluded = staticmethod(concluded)
    run = staticmethod(run)


@pytest.fixture
def tell() -> Stories:
    return Stories()


Opener = Callable[[], Awaitable[Journal]]


@pytest.fixture(params=["sqlite", "postgres"])
def open_journal(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens the same journal each time it is called."""
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        return lambda: PostgresJournal.open(url, key=KEY)

    async def open_file() -> Journal:
        return SqliteJournal.open(tmp_path / "journal.db", key=KEY, busy_seconds=0.2)

    return open_file


@pytest.fixture
async def journal(open_journal: Opener) -> AsyncIterator[Journal]:
    opened = await open_journal()
    yield opened
    await opened.aclose()
