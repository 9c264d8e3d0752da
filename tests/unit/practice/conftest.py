"""A real registry on disk with one patient, one reviewer, one operator and one connection."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.clock import Kind as ReferenceKind
from gateway.contracts.connection import Connection
from gateway.contracts.evidence import Question
from gateway.contracts.proposal import Operation, Participant, Particulars, Proposal, Role, Target
from gateway.contracts.references import (
    ConnectionId,
    LocationId,
    ParticipantId,
    PatientId,
    PersonId,
    PracticeId,
    ServiceId,
)
from gateway.practice.records import Kind, StaffRole
from gateway.practice.registry import Registry
from gateway.practice.sources import RegistryEvidence, RegistryResolver


@dataclass
class SteppingClock:
    """A clock that the test moves."""

    at: datetime = datetime(2031, 3, 3, 9, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    def new(self, kind: type[ReferenceKind]) -> ReferenceKind:
        return kind.random()

    def token(self) -> str:
        return secrets.token_hex(16)


@dataclass
class Clinic:
    """Who and what the registry knows, and questions about it."""

    root: Path
    clock: SteppingClock = field(default_factory=SteppingClock)
    practice: PracticeId = field(default_factory=PracticeId.random)
    patient: PatientId = field(default_factory=PatientId.random)
    reviewer: PersonId = field(default_factory=PersonId.random)
    operator: PersonId = field(default_factory=PersonId.random)
    connection: ConnectionId = field(default_factory=ConnectionId.random)
    practitioner: ParticipantId = field(default_factory=ParticipantId.random)
    location: LocationId = field(default_factory=LocationId.random)
    service: ServiceId = field(default_factory=ServiceId.random)

    def __post_init__(self) -> None:
        self.registry = Registry.create(self.root, self.practice, self.clock)
        self.registry.enrol_person(self.reviewer, [StaffRole.REVIEWER])
        self.registry.enrol_person(self.operator, [StaffRole.OPERATOR])
        self.registry.enrol_patient(self.patient)
        self.registry.set_consent(self.patient, in_force=True)
        self.registry.enrol_connection(self.connection, [Kind.PARTICIPANT, Kind.LOCATION])
        self.registry.map_identifier(self.connection, self.practitioner, "vendor-practitioner-7")
        self.registry.map_identifier(self.connection, self.location, "vendor-room-2")
        self.evidence = RegistryEvidence(self.registry)
        self.resolver = RegistryResolver(self.registry)

    def particulars(self, target: Target | None = None, patient: PatientId | None = None) -> Particulars:
        start = self.clock.at + timedelta(days=7)
        return Particulars(
            patient=patient or self.patient,
            participants=(Participant(role=Role.PRACTITIONER, participant=self.practitioner),),
            location=self.location,
            service=self.service,
            start=start,
            end=start + timedelta(minutes=30),
            zone="Europe/Berlin",
            target=target,
        )

    def proposal(self, target: Target | None = None) -> Proposal:
        return self.registry.propose(
            connection=self.connection,
            operation=Operation.RESCHEDULE if target else Operation.BOOK,
            initiator=PersonId.random(),
            particulars=self.particulars(target),
            expires_at=self.clock.at + timedelta(days=1),
        )

    def question(self, proposal: Proposal | None = None, **changes: str) -> Question:
        asked = {
            "nonce": secrets.token_hex(16),
            "practice": self.practice,
            "connection": self.connection,
            "patient": self.patient,
            "initiator": PersonId.random(),
            "reviewer": self.reviewer,
            "operator": self.operator,
            "proposal_digest": proposal.proposal_digest if proposal else secrets.token_hex(32),
        }
        return Question.model_validate(asked | changes)

    def sealed_connection(self) -> Connection:
        return Connection(
            connection_id=self.connection,
            practice=self.practice,
            adapter="sandbox",
            base_url="http://127.0.0.1:8080/",
            hosts=("127.0.0.1:8080",),
            zone="Europe/Berlin",
        )


@pytest.fixture
def clinic(tmp_path: Path) -> Clinic:
    return Clinic(tmp_path / "practice")
