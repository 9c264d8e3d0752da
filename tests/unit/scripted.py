"""The ports of an attempt as small fakes: they do as they are told, and note in which order they were asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.attempt import AttemptEnded, Gated, Run
from gateway.audit.acknowledgement import Sinks
from gateway.authorization import Authorization, Verdict
from gateway.boundary import CommitResult
from gateway.boundary.engagement import Look
from gateway.clock import SystemClock
from gateway.contracts.adapter import Basis
from gateway.contracts.chain import GENESIS, Link, Record, RecordKind
from gateway.contracts.failures import Code
from gateway.contracts.outcome import Outcome
from gateway.contracts.proposal import Operation, Origin, Proposal
from gateway.contracts.references import (
    AppointmentId,
    AttemptId,
    ConnectionId,
    CorrelationId,
    DecisionId,
    PatientId,
    PersonId,
    PracticeId,
    ProposalId,
    TriggerId,
)
from gateway.contracts.signals import Event, Signal
from gateway.contracts.statements import Purpose
from gateway.contracts.words import Effect, Environment, GateName, ObservationFinding, State
from gateway.execution import execute
from gateway.journal import Admission, Append, Appended, AttemptFile, Header
from gateway.lifecycle import Attempt, Identity

NOW = datetime(2030, 1, 7, 9, 0, tzinfo=UTC)
DISPATCH_BY = NOW + timedelta(seconds=10)
DEADLINE = DISPATCH_BY + timedelta(seconds=20)
KEY, JUDGED, SIBLINGS, DIGEST = "a1" * 32, "b2" * 32, ("c3" * 32,), "d4" * 32
PRACTICE, PROPOSAL_ID, APPROVAL = PracticeId.random(), ProposalId.random(), DecisionId.random()
REFERENCE, RESUME = AppointmentId.random(), (TriggerId.random(), "e5" * 32)
PROPOSAL = Proposal(
    proposal_id=PROPOSAL_ID,
    revision=1,
    practice=PRACTICE,
    connection=ConnectionId.random(),
    operation=Operation.BOOK,
    origin=Origin.PATIENT,
    initiator=PersonId.random(),
    patient=PatientId.random(),
    consent=DIGEST,
    commitment=DIGEST,
    created_at=NOW - timedelta(days=1),
    expires_at=NOW + timedelta(days=1),
)
HEADER = Header(
    purpose=Purpose.COMMIT,
    trigger=TriggerId.random(),
    trigger_digest=DIGEST,
    practice=PRACTICE,
    proposal=PROPOSAL_ID,
    proposal_digest=PROPOSAL.proposal_digest,
    connection=PROPOSAL.connection,
    operation=Operation.BOOK,
    approval=APPROVAL,
)


class Clock(SystemClock):
    at = NOW
    ticking = 5.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.ticking


APPLIED = CommitResult(effect=Effect.APPLIED, code=Code.COMMITTED)
PRESENT = Look(finding=ObservationFinding.PRESENT, basis=Basis.BY_KEY, version=DIGEST)


@dataclass
class Script:
    """Journal, sink and engagement in one: does as it is told, and notes in which order it was asked."""

    clock: Clock = field(default_factory=Clock)
    said: list[str] = field(default_factory=list)
    entries: list[Append] = field(default_factory=list)
    admissions: list[Appended | Exception] = field(default_factory=list)
    latched: bool | Exception = False
    refusing: tuple[int, ...] = ()
    offered: list[list[Event]] = field(default_factory=list)
    result: CommitResult = APPLIED
    seen: Look = PRESENT
    recorded: list[tuple[Any, ...]] = field(default_factory=list)
    failing_record: Exception | None = None
    found: list[AttemptFile] = field(default_factory=list)
    meanwhile: dict[AttemptId, Outcome] = field(default_factory=dict)
    spent: list[Authorization] = field(default_factory=list)

    async def append(self, entry: Append) -> Appended:
        self.said.append("append")
        self.entries.append(entry)
        answer = self.admissions.pop(0) if self.admissions else Appended(Admission.ADMITTED)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def stopped(
        self, practice: PracticeId, proposal: ProposalId, revision: str, *, dispatching: AttemptId
    ) -> bool:
        self.said.append("stopped")
        assert (practice, proposal, revision) == (PRACTICE, PROPOSAL_ID, PROPOSAL.proposal_digest)
        assert dispatching == self.entries[0].attempt.identity.attempt
        if isinstance(self.latched, Exception):
            raise self.latched
        return self.latched

    async def record(self, *said: Any, attempt: AttemptId) -> Record:
        self.said.append("record")
        if self.failing_record is not None:
            raise self.failing_record
        self.recorded.append((*said, attempt))
        return Record.after(GENESIS, 1, RecordKind.OBSERVATION, said[3], said[4])

    async def orphans(self) -> Sequence[AttemptFile]:
        return self.found

    async def attempt(self, attempt: AttemptId) -> AttemptFile | None:
        [file] = [file for file in self.found if file.attempt == attempt]
        return replace(file, outcome=self.meanwhile.get(attempt))

    async def accept(self, events: Sequence[tuple[str, Event]]) -> None:
        self.said.append("sink")
        self.offered.append([event for _, event in events])
        if len(self.offered) in self.refusing:
            raise OSError

    async def commit(self, authorization: Authorization) -> CommitResult:
        self.said.append("commit")
        self.spent.append(authorization)
        return self.result

    async def observe(self) -> Look:
        self.said.append("observe")
        return self.seen

    async def aclose(self) -> None:
        self.said.append("released")

    def ports(self) -> Any:
        sinks = Sinks(sinks={"one": self}, seconds=1, clock=self.clock)  # type: ignore[dict-item]  # the part it needs
        return SimpleNamespace(journal=self, sinks=sinks, clock=self.clock, retired=False)

    def run(self, **changes: Any) -> Run:
        identity = Identity(
            attempt=AttemptId.random(),
            correlation=CorrelationId.random(),
            trace="0123456789abcdef" * 2,
            environment=Environment.SANDBOX,
            trigger=HEADER.trigger,
        )
        attempt = Attempt(identity=identity).to(State.VALIDATING, NOW).to(State.GATED, NOW).flushed()
        made: dict[str, Any] = {"ports": self.ports(), "attempt": attempt, "header": HEADER, "engagement": self}
        return Run(**(made | changes))

    @property
    def connection(self) -> Any:
        return SimpleNamespace(limits=SimpleNamespace(commit_seconds=20), system=DIGEST)

    descriptor = SimpleNamespace(relay_seconds=7, settling_seconds=40)

    siblings = SIBLINGS
    reference = REFERENCE


def gated(script: Script, *, observe_once: bool = False) -> Gated:
    authorization = Authorization.grant(
        [Verdict(gate) for gate in GateName], allowed=True, proposal_digest=PROPOSAL.proposal_digest, expires=100.0
    )
    ruling: Any = SimpleNamespace(observe_once=observe_once)
    engagement: Any = script
    return Gated(
        authorization=authorization,
        dispatch_by=DISPATCH_BY,
        judged=JUDGED,
        engagement=engagement,
        ruling=ruling,
        proposal=PROPOSAL,
    )


def told(links: Sequence[Link]) -> list[dict[str, Any]]:
    """What each event says beyond its identity and its place."""
    common = {"seq", "at", "environment", "attempt", "correlation", "trace", "trigger"}
    return [
        {name: value for name, value in link.event.model_dump().items() if value is not None and name not in common}
        for link in links
    ]


def move(source: State, target: State, **detail: Any) -> dict[str, Any]:
    return {"signal": Signal.STATE_TRANSITION_RECORDED, "from_state": source, "to_state": target, **detail}


ACCEPTED = [{"signal": Signal.AUDIT_ACCEPTED, "sink": "journal"}, {"signal": Signal.AUDIT_ACCEPTED, "sink": "one"}]


async def ending(run: Run, gated: Gated) -> AttemptEnded:
    with pytest.raises(AttemptEnded) as ended:
        await execute(run, gated, KEY)
    return ended.value
