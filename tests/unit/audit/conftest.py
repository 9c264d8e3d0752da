"""A small journal with one of everything, really signed, and the keys to verify it."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.audit._records import Said, check_chain
from gateway.audit.checkpoint import SealedCheckpoint, chains, draw, read, write
from gateway.audit.report import Findings
from gateway.audit.retention import Retention, Tally
from gateway.contracts.adapter import Basis
from gateway.contracts.chain import RecordKind
from gateway.contracts.failures import Code
from gateway.contracts.outcome import ENDS, ObservationRecord
from gateway.contracts.proposal import Operation, Origin, Proposal
from gateway.contracts.references import (
    AttemptId,
    ConnectionId,
    CorrelationId,
    DecisionId,
    ObservationId,
    PatientId,
    PersonId,
    PracticeId,
    ProposalId,
    StatementId,
    TriggerId,
)
from gateway.contracts.signals import Signal
from gateway.contracts.statements import (
    Authentication,
    AuthenticationMethod,
    Decision,
    Finding,
    Purpose,
    Resolution,
    ReviewerKind,
    Stop,
    Verdict,
    Withdrawal,
)
from gateway.contracts.words import End, Environment, ObservationFinding, State
from gateway.ending import conclude
from gateway.journal import Append, AttemptFile, Header, Intent, StoredAttempt
from gateway.journal._sqlite import SqliteJournal
from gateway.journal._sqlite_archive import open_archive
from gateway.lifecycle import Attempt, Identity
from gateway.signatures import Keyring, PublicJwk, TrustedKey, TrustedKeys, digest
from gateway.surfaces.keys import LocalKey
from gateway.surfaces.sign import sign
from tests.unit.audit.archived import Site
from tests.unit.audit.held import Held

NOW = datetime(2030, 1, 7, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
TYPES = ("decision", "stop", "withdrawal", "resolution", "checkpoint")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class World:
    """One journal file, its practice, and who signs there."""

    path: Path
    practice: PracticeId
    key: LocalKey
    keyring: Keyring
    ends = End
    codes = Code

    def open(self) -> SqliteJournal:
        return SqliteJournal.open(self.path, key=bytes(32))

    def checkpoint(self, previous: str | None = None) -> str:
        """Draw and sign the next checkpoint."""
        before = read(previous, self.keyring) if previous else None
        with open_archive(self.path) as archive:
            statement, heads = draw(archive, self.practice, NOW, before)
        return write(sign(statement, self.key), heads)

    def sealed(self, text: str) -> SealedCheckpoint:
        return read(text, self.keyring)

    async def archive(self, directory: Path, *, kept: str, before: datetime = LATER, size: int = 500) -> Tally:
        """Archive, under this checkpoint, what ended before `before`."""
        journal = self.open()
        try:
            run = Retention(journal=journal, vouching=self.sealed(kept), before=before, size=size)
            run.check(before)
            return [tally async for tally in run.run(directory)][-1]
        finally:
            await journal.aclose()

    async def propose(self, journal: SqliteJournal) -> Proposal:
        proposal = Proposal(
            proposal_id=ProposalId.random(),
            revision=1,
            practice=self.practice,
            connection=ConnectionId.random(),
            operation=Operation.BOOK,
            origin=Origin.PATIENT,
            initiator=PersonId.random(),
            patient=PatientId.random(),
            consent=sha("consent"),
            commitment=sha("commitment"),
            created_at=NOW,
            expires_at=NOW + timedelta(days=1),
        )
        text = proposal.canonical().decode()
        await journal.record(self.practice, proposal.proposal_id, RecordKind.PROPOSAL, proposal.proposal_digest, text)
        return proposal

    async def decide(self, journal: SqliteJournal, proposal: Proposal) -> tuple[DecisionId, str]:
        """An approval; answers its id and the digest of its token."""
        decision = Decision(
            practice=self.practice,
            issued_at=NOW,
            decision_id=DecisionId.random(),
            proposal_id=proposal.proposal_id,
            proposal_digest=proposal.proposal_digest,
            verdict=Verdict.APPROVE,
            operations=(Operation.BOOK,),
            reviewer=PersonId.random(),
            reviewer_kind=ReviewerKind.HUMAN,
            authentication=Authentication(method=AuthenticationMethod.LOCAL_KEY, at=NOW),
            expires_at=NOW + timedelta(hours=1),
        )
        token = sign(decision, self.key)
        await journal.record(self.practice, proposal.proposal_id, RecordKind.DECISION, decision.decision_id, token)
        return decision.decision_id, digest("approval/v1", token.encode())

    async def say(self, journal: SqliteJournal, proposal: Proposal, kind: RecordKind) -> None:
        model = {RecordKind.STOP: Stop, RecordKind.WITHDRAWAL: Withdrawal}[kind]
        statement = model(
            practice=self.practice,
            issued_at=NOW,
            statement_id=StatementId.random(),
            proposal_id=proposal.proposal_id,
            operator=PersonId.random(),
        )
        await journal.record(
            self.practice, proposal.proposal_id, kind, statement.statement_id, sign(statement, self.key)
        )

    async def attempt(
        self, journal: SqliteJournal, proposal: Proposal, end: End | None, code: Code = Code.COMMITTED
    ) -> tuple[AttemptId, str]:
        """Run one attempt to `end`, or leave it in flight; answers its id and closing hash."""
        approval, approval_digest = await self.decide(journal, proposal)
        trigger = TriggerId.random()
        header = Header(
            purpose=Purpose.COMMIT,
            trigger=trigger,
            trigger_digest=sha(trigger),
            practice=self.practice,
            proposal=proposal.proposal_id,
            proposal_digest=proposal.proposal_digest,
            connection=proposal.connection,
            operation=Operation.BOOK,
            approval=approval,
        )
        identity = Identity(
            attempt=AttemptId.random(),
            correlation=CorrelationId.random(),
            trace="0123456789abcdef" * 2,
            environment=Environment.SANDBOX,
            trigger=trigger,
        )
        attempt = Attempt(identity=identity).record(Signal.TRIGGER_RECEIVED, NOW, purpose=Purpose.COMMIT)
        attempt = attempt.to(State.VALIDATING, NOW).to(State.GATED, NOW)
        attempt = attempt.record(
            Signal.PROPOSAL_BOUND,
            NOW,
            proposal=proposal.proposal_id,
            proposal_digest=proposal.proposal_digest,
            operation=Operation.BOOK,
        )
        attempt = attempt.record(
            Signal.APPROVAL_BOUND, NOW, approval=approval, approval_digest=approval_digest, approved_at=NOW
        )
        if end in (End.BLOCKED, End.PAUSED):
            return await self._append_end(journal, attempt, header, end, code)
        deadline = NOW + timedelta(seconds=30)
        attempt = attempt.to(State.AUTHORIZED, NOW).to(State.RUNNING, NOW)
        attempt = attempt.record(Signal.INTENT_RECORDED, NOW, deadline=deadline).to(State.AUDITING, NOW)
        siblings = (journal.sibling_digest("slot", proposal.proposal_id), journal.sibling_digest("patient", trigger))
        intent = Intent(attempt_key=header.attempt_key, siblings=siblings, deadline=deadline)
        answer = await journal.append(Append(attempt=attempt, header=header, intent=intent))
        assert answer.admission == "admitted"
        if end is None:
            return identity.attempt, attempt.head
        attempt = attempt.flushed().to(State.RUNNING, NOW).to(State.AUDITING, NOW)
        return await self._append_end(journal, attempt, header, end, code)

    async def _append_end(
        self, journal: SqliteJournal, attempt: Attempt, header: Header, end: End, code: Code
    ) -> tuple[AttemptId, str]:
        attempt, outcome = conclude(attempt, end, code, NOW)
        answer = await journal.append(Append(attempt=attempt, header=header, outcome=outcome, hold=ENDS[end].hold))
        assert answer.admission == "admitted"
        return attempt.identity.attempt, attempt.head

    async def close_paused(self, journal: SqliteJournal, paused: AttemptFile) -> None:
        attempt, outcome = conclude(paused.resumable(), End.STOPPED_PAUSED, Code.OPERATOR_STOP, NOW)
        answer = await journal.append(Append(attempt=attempt, header=paused.header, outcome=outcome))
        assert answer.admission == "admitted"

    async def look_and_resolve(
        self, journal: SqliteJournal, proposal: Proposal, attempt: AttemptId, closing_hash: str
    ) -> None:
        seen = ObservationRecord(
            observation_id=ObservationId.random(),
            attempt=attempt,
            closing_hash=closing_hash,
            finding=ObservationFinding.PRESENT,
            basis=Basis.BY_KEY,
            at=NOW,
        )
        await journal.record(
            self.practice,
            proposal.proposal_id,
            RecordKind.OBSERVATION,
            seen.observation_id,
            seen.canonical().decode(),
            attempt=attempt,
        )
        resolution = Resolution(
            practice=self.practice,
            issued_at=NOW,
            statement_id=StatementId.random(),
            attempt=attempt,
            closing_hash=closing_hash,
            finding=Finding.APPLIED,
            observation=seen.observation_id,
            resolver=PersonId.random(),
        )
        await journal.resolve(attempt, resolution.statement_id, sign(resolution, self.key), Finding.APPLIED)


def empty_world(path: Path) -> World:
    practice, key = PracticeId.random(), LocalKey.generate("reviewer")
    trusted = TrustedKey(
        kid="reviewer",
        jwk=PublicJwk.model_validate(
            {name: value for name, value in key.key.as_dict(private=False).items() if name in ("kty", "crv", "x")}
        ),
        types=tuple(f"gateway-{kind}+jws" for kind in TYPES),
        practice=practice,
    )
    return World(path, practice, key, Keyring(TrustedKeys(keys=(trusted,))))


async def tell(world: World) -> None:
    """Applied, refused, unknown, unknown and resolved, blocked, paused, in flight; a stop and a withdrawal."""
    journal = world.open()
    await world.attempt(journal, await world.propose(journal), End.APPLIED)
    await world.attempt(journal, await world.propose(journal), End.REFUSED, Code.SLOT_TAKEN)
    await world.attempt(journal, await world.propose(journal), End.UNKNOWN, Code.CONNECTION_LOST)
    resolved = await world.propose(journal)
    attempt, closing_hash = await world.attempt(journal, resolved, End.UNKNOWN, Code.CONNECTION_LOST)
    await world.look_and_resolve(journal, resolved, attempt, closing_hash)
    stopped = await world.propose(journal)
    await world.attempt(journal, stopped, End.BLOCKED, Code.CONSENT_ABSENT)
    await world.say(journal, stopped, RecordKind.STOP)
    await world.say(journal, stopped, RecordKind.WITHDRAWAL)
    await world.attempt(journal, await world.propose(journal), End.PAUSED, Code.DECISION_REQUIRED)
    await world.attempt(journal, await world.propose(journal), None)
    await journal.aclose()


def attempts(path: Path) -> list[StoredAttempt]:
    with open_archive(path) as archive:
        return list(archive.attempts())


def tables(path: Path) -> dict[str, list[Any]]:
    """All but the events, the new column left out."""
    with open_archive(path) as archive:
        bare = [{k: v for k, v in each.columns.items() if k != "volume"} for each in archive.attempts()]
        return {
            "attempts": bare,
            "records": list(archive.records()),
            "triggers": list(archive.triggers()),
            "holds": list(archive.holds()),
            "siblings": list(archive.siblings()),
            "meta": sorted(archive.meta.items()),
        }


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Told once: a story takes a second of signing and syncing."""
    world = empty_world(tmp_path_factory.mktemp("told") / "journal.db")
    asyncio.run(tell(world))
    return world


@pytest.fixture(scope="session")
def held(told: World) -> Held:
    with open_archive(told.path) as archive:
        return Held.of(archive)


@pytest.fixture(scope="session")
def said(held: Held, told: World) -> Said:
    known = Said()
    for _, chain in chains(held.records()):
        check_chain(chain, told.keyring, known, Findings())
    return known


@pytest.fixture
def world(tmp_path: Path, told: World) -> World:
    path = tmp_path / "journal.db"
    shutil.copy(told.path, path)
    return replace(told, path=path)


@pytest.fixture
def other_world(tmp_path: Path) -> World:
    """Another practice's, with nothing in it."""
    world = empty_world(tmp_path / "other.db")
    asyncio.run(world.open().aclose())
    return world


@pytest.fixture
def world_at() -> Callable[..., World]:
    """Somebody's journal, with the keys that they trust."""

    def at(path: Path, keys: TrustedKeys | None = None) -> World:
        return replace(empty_world(path), keyring=Keyring(keys or TrustedKeys(keys=())))

    return at


@pytest.fixture
def forging() -> Callable[[Path], AbstractContextManager[sqlite3.Connection]]:
    """A forger with the file in their hands: neither triggers nor constraints in the way."""

    @contextmanager
    def forge(path: Path) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("PRAGMA synchronous = OFF")
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        connection.close()

    return forge


@pytest.fixture(scope="session")
def archived(told: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Made once: the journal, its archive beside it, the two checkpoints."""
    root = tmp_path_factory.mktemp("archived")
    shutil.copy(told.path, root / "journal.db")
    world = replace(told, path=root / "journal.db")
    before = world.checkpoint()
    asyncio.run(world.archive(root / "archive", kept=before, size=3))
    return world, before, world.checkpoint(before)


@pytest.fixture
def site(archived: Any, tmp_path: Path, forging: Any) -> Site:
    world, before, after = archived
    shutil.copytree(world.path.parent, tmp_path / "site")
    return Site(
        replace(world, path=tmp_path / "site" / "journal.db"), forging, tmp_path / "site" / "archive", before, after
    )
