"""Stories told to a journal: attempts that really walked the lifecycle, ready to be appended."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
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
from gateway.journal import Append, Archive, Header, Intent, Journal
from gateway.journal._postgres import PostgresJournal
from gateway.journal._sqlite import SqliteJournal
from gateway.journal._sqlite_connection import Synchronous, connect
from gateway.journal.opening import SCHEME, located, open_archive
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


CHILD = """
import asyncio, importlib.util, json, os, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("stories", sys.argv[1])
stories = importlib.util.module_from_spec(spec)
sys.modules["stories"] = stories
spec.loader.exec_module(stories)
from gateway.contracts.words import End
from gateway.journal.opening import open_journal

def say(**words):
    print(json.dumps(words), flush=True)

async def main():
    journal = await open_journal(Path(sys.argv[2]), sys.argv[3], bytes(range(32)))
"""


class SchemaRefused(Exception):
    """The database's own rules said no."""


@dataclass(frozen=True)
class Place:
    """Where a journal is: a file in `home`, or a URL."""

    home: Path
    address: str

    @property
    def is_file(self) -> bool:
        return not self.address.startswith(SCHEME)

    async def open(self) -> Journal:
        if self.is_file:
            return SqliteJournal.open(self.home / self.address, key=KEY, busy_seconds=0.2)
        return await PostgresJournal.open(self.address, key=KEY, lock_seconds=0.5)

    def archive(self) -> AbstractContextManager[Archive]:
        return open_archive(located(self.home, self.address))

    def tamper(self, *statements: str, **names: str) -> None:
        """What somebody with the database's own client may try; raises `SchemaRefused`. Values are `:name`."""
        if self.is_file:
            connection = connect(self.home / self.address, Synchronous.FULL, 1.0)
            try:
                for statement in statements:
                    connection.execute(statement, names)
            except sqlite3.IntegrityError as error:
                raise SchemaRefused(str(error)) from None
            finally:
                connection.close()
            return
        with psycopg.connect(self.address, autocommit=True) as client:
            try:
                for statement in statements:
                    client.execute(re.sub(r"(?<!:):(\w+)", r"%(\1)s", statement).encode(), names or None)
            except psycopg.IntegrityError as error:
                raise SchemaRefused(str(error)) from None

    def lift_the_rules(self) -> None:
        """As somebody would who means to forge: triggers and references gone."""
        if self.is_file:
            with closing(sqlite3.connect(self.home / self.address)) as file:
                rules = file.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
            self.tamper(*(f"DROP TRIGGER {name}" for (name,) in rules))
            return
        tables = ("attempts", "events", "records", "triggers", "holds", "siblings")
        self.tamper(*(f"ALTER TABLE {name} DISABLE TRIGGER ALL" for name in tables))

    def owners(self) -> set[str]:
        """Whose names are kept."""
        if self.is_file:
            return {file.stem for file in (self.home / "journal.db.owners").iterdir()}
        with psycopg.connect(self.address) as client:
            return {owner for (owner,) in client.execute("SELECT owner FROM owners").fetchall()}

    def script(self, body: str) -> list[str]:
        """A program with the stories, the journal open, and `body` as its main coroutine."""
        script = CHILD + "".join(f"    {line}\n" for line in body.strip().splitlines()) + "asyncio.run(main())\n"
        return [sys.executable, "-c", script, __file__, str(self.home), self.address]

    @contextmanager
    def child(self, body: str) -> Iterator[subprocess.Popen[str]]:
        """Another process that runs this script."""
        process = subprocess.Popen(self.script(body), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def heard(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the child said next."""
    assert process.stdout is not None
    said: dict[str, Any] = json.loads(process.stdout.readline())
    return said


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Every test that asks for this, or for a journal, runs over both databases."""
    return Place(tmp_path, "journal.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url"))


Opener = Callable[[], Awaitable[Journal]]


@pytest.fixture
def open_journal(place: Place) -> Opener:
    """Opens the same journal each time it is called."""
    return place.open


@pytest.fixture
async def journal(place: Place) -> AsyncIterator[Journal]:
    opened = await place.open()
    yield opened
    await opened.aclose()


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
    heard = staticmethod(heard)
    refused = SchemaRefused


@pytest.fixture
def tell() -> Stories:
    return Stories()
