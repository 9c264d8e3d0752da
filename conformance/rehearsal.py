"""The people of one small practice, acting through their surfaces: what the demo and the tests drive.

Owns: the acts of patient, reviewer and operator in the order in which a practice does them. Every act is the
real one: registered particulars, signed statements, the public `Gateway`. Nothing is stubbed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.contracts.connection import Connection
from gateway.contracts.outcome import Outcome
from gateway.contracts.proposal import Operation, Participant, Particulars, Proposal, Role, Target
from gateway.contracts.references import (
    AppointmentId,
    DecisionId,
    LocationId,
    ParticipantId,
    PatientId,
    PersonId,
    ServiceId,
)
from gateway.contracts.statements import Finding, Verdict
from gateway.gateway import Gateway
from gateway.surfaces.local import OPERATOR, REVIEWER, LocalPractice

FIRST_SLOT = datetime(2031, 3, 3, 9, 0, tzinfo=UTC)
SLOT = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Patient:
    """A registered patient and the person who asks on their behalf: themself."""

    patient: PatientId
    person: PersonId


@dataclass(slots=True)
class Rehearsal:
    """One practice with one connection, one practitioner, one place and one service; `length` of its slots."""

    local: LocalPractice
    connection: Connection
    participant: ParticipantId
    location: LocationId
    service: ServiceId
    slots_taken: int = 0
    length: timedelta = SLOT

    @classmethod
    def prepare(cls, local: LocalPractice, connection: Connection) -> Rehearsal:
        """Register who and what the connection's system knows, by identifiers without meaning."""
        rehearsal = cls(local, connection, ParticipantId.random(), LocationId.random(), ServiceId.random())
        identified = (rehearsal.participant, rehearsal.location, rehearsal.service)
        for reference in identified:
            local.registry.map_identifier(connection.connection_id, reference, reference[-12:])
        return rehearsal

    def enrol(self) -> Patient:
        """A new patient, positively identified, with consent in force."""
        patient = Patient(PatientId.random(), PersonId.random())
        registry = self.local.registry
        registry.enrol_patient(patient.patient)
        registry.set_consent(patient.patient, in_force=True)
        registry.map_identifier(self.connection.connection_id, patient.patient, patient.patient[-12:])
        return patient

    def next_slot(self) -> datetime:
        """The start of a slot that this rehearsal has not used yet."""
        self.slots_taken += 1
        return FIRST_SLOT + self.slots_taken * self.length

    def particulars(self, patient: Patient, start: datetime, target: Target | None = None) -> Particulars:
        return Particulars(
            patient=patient.patient,
            participants=(Participant(role=Role.PRACTITIONER, participant=self.participant),),
            location=self.location,
            service=self.service,
            start=start,
            end=start + self.length,
            zone=self.connection.zone,
            target=target,
        )

    async def propose(
        self,
        gateway: Gateway,
        patient: Patient,
        operation: Operation = Operation.BOOK,
        *,
        start: datetime | None = None,
        target: Target | None = None,
        told: bool = True,
        **details: Any,
    ) -> Proposal:
        """The patient asks, is told that it cannot be undone, and the proposal is recorded."""
        proposal = self.draft(patient, operation, start=start, target=target, told=told, **details)
        await gateway.propose(proposal.canonical())
        return proposal

    def draft(
        self,
        patient: Patient,
        operation: Operation = Operation.BOOK,
        *,
        start: datetime | None = None,
        target: Target | None = None,
        told: bool = True,
        **details: Any,
    ) -> Proposal:
        """A proposal as the practice keeps it, before any gateway knows of it."""
        details.setdefault("expires_at", self.local.clock.now() + timedelta(days=1))
        proposal = self.local.registry.propose(
            connection=self.connection.connection_id,
            operation=operation,
            initiator=patient.person,
            particulars=self.particulars(patient, start or self.next_slot(), target),
            **details,
        )
        if told:
            self.local.registry.record_notice(proposal)
        return proposal

    async def decide(
        self, gateway: Gateway, proposal: Proposal, verdict: Verdict = Verdict.APPROVE, **details: Any
    ) -> DecisionId:
        """The reviewer decides, at their own surface."""
        details.setdefault("reviewer", self.local.desk.reviewer)
        review = self.local.surface(REVIEWER).review(proposal, verdict=verdict, **details)
        await gateway.decide(review.decision.token)
        return review.decision.statement.decision_id

    def trigger(self, proposal: Proposal, approval: DecisionId) -> str:
        """The operator's single-use start of a commit."""
        return self.local.surface(OPERATOR).commit(proposal, operator=self.local.desk.operator, approval=approval).token

    async def commit(self, gateway: Gateway, proposal: Proposal) -> Outcome:
        """Approve and carry out: three people's acts in a row."""
        return await gateway.commit(self.trigger(proposal, await self.decide(gateway, proposal)))

    async def observe(self, gateway: Gateway, proposal: Proposal, outcome: Outcome) -> Outcome:
        assert outcome.attempt is not None
        surface, operator = self.local.surface(OPERATOR), self.local.desk.operator
        return await gateway.observe(surface.observe(proposal, operator=operator, attempt=outcome.attempt).token)

    async def resolve(self, gateway: Gateway, outcome: Outcome, finding: Finding) -> Outcome:
        """A human says what became of it, relying on the latest observation, if any."""
        assert outcome.attempt is not None and outcome.closing_hash is not None
        resolution = self.local.surface(OPERATOR).resolve(
            self.local.desk.practice,
            outcome.attempt,
            closing_hash=outcome.closing_hash,
            finding=finding,
            resolver=self.local.desk.operator,
            observation=outcome.observation.observation_id if outcome.observation else None,
        )
        return await gateway.resolve(resolution.token)


def target_of(outcome: Outcome) -> Target:
    """What a later reschedule or cancellation names: the booking's reference and its version's digest."""
    seen = outcome if outcome.external_reference else outcome.observation
    assert seen is not None and seen.external_reference is not None and seen.version is not None
    return Target(appointment=AppointmentId(seen.external_reference), version=seen.version)
