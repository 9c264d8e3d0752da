"""The registry as the gateway's built-in evidence source and reference resolver.

Owns: turning records into bounded verdicts (C-04), and references into what they mean (CARD-09).
Invariants: every answer is read from disk for its own question and echoes its nonce; nothing is kept between
two questions. What cannot be read raises, and so blocks (DEP-06).
The reads are short, but a disk may stall: they run on a thread, never on the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

from gateway.contracts.evidence import ConsentEvidence, IdentityEvidence, NoticeEvidence, Question, TenantEvidence
from gateway.contracts.proposal import Particulars, Proposal
from gateway.contracts.references import AppointmentId, ConnectionId
from gateway.hookspecs import Binding, Resolved
from gateway.practice.records import Identified, Kind, Known, StaffRole
from gateway.practice.registry import Registry

ENOUGH_TO_BE_AMBIGUOUS = 2


@dataclass(frozen=True, slots=True)
class RegistryEvidence:
    """`EvidenceSource` over a registry."""

    registry: Registry

    async def identity(self, question: Question) -> IdentityEvidence:
        """One registered, identified patient; reviewer and operator by their roles now (GATE-03, GATE-05)."""
        return await asyncio.to_thread(self._identity, question)

    async def tenant(self, question: Question) -> TenantEvidence:
        """Who of the parties this practice itself knows as its own (GATE-07, GATE-08)."""
        return await asyncio.to_thread(self._tenant, question)

    async def consent(self, question: Question) -> ConsentEvidence:
        """The consent on record at this moment (GATE-10 to GATE-12)."""
        return await asyncio.to_thread(self._consent, question)

    async def notice(self, question: Question) -> NoticeEvidence:
        """What this patient was told of this very proposal (GATE-30)."""
        return await asyncio.to_thread(self._notice, question)

    def _identity(self, question: Question) -> IdentityEvidence:
        as_of = self.registry.clock.now()
        people = self.registry.people()
        patient = self.registry.patient(question.patient)
        reviewer = people.find(question.reviewer)
        operator = people.find(question.operator)
        return IdentityEvidence(
            nonce=question.nonce,
            as_of=as_of,
            patient_identified=patient is not None and patient.positively_identified,
            reviewer_known=reviewer is not None and reviewer.active,
            reviewer_authorised=reviewer is not None and reviewer.may(StaffRole.REVIEWER),
            operator_authorised=operator is not None and operator.may(StaffRole.OPERATOR),
        )

    def _tenant(self, question: Question) -> TenantEvidence:
        as_of = self.registry.clock.now()
        people = self.registry.people()
        patient = self.registry.patient(question.patient)
        connection = self.registry.connection(question.connection)
        return TenantEvidence(
            nonce=question.nonce,
            as_of=as_of,
            practice=people.practice,
            patient_belongs=patient is not None and patient.belongs_to(people.practice),
            reviewer_belongs=people.find(question.reviewer) is not None,
            connection_belongs=connection is not None and connection.practice == people.practice,
        )

    def _consent(self, question: Question) -> ConsentEvidence:
        as_of = self.registry.clock.now()
        record = self.registry.consent(question.patient)
        return ConsentEvidence(
            nonce=question.nonce,
            as_of=as_of,
            in_force=record is not None and record.in_force,
            consent=record.consent_digest if record else None,
        )

    def _notice(self, question: Question) -> NoticeEvidence:
        as_of = self.registry.clock.now()
        told = self.registry.notice(question.proposal_digest)
        heard = told is not None and told.patient == question.patient
        return NoticeEvidence(
            nonce=question.nonce,
            as_of=as_of,
            informed_of=told.proposal_digest if told and heard else None,
            irreversibility_told=told.irreversibility_told if told and heard else False,
        )


@dataclass(frozen=True, slots=True)
class RegistryResolver:
    """`ReferenceResolver` over a registry."""

    registry: Registry

    async def resolve(self, proposal: Proposal) -> Sequence[Resolved]:
        """All that the proposal's references may mean. A reference of a kind that the vendor identifies, but
        without an identifier, leaves no match. Two stand for any larger number."""
        return await asyncio.to_thread(self._resolve, proposal)

    async def bind(self, binding: Binding) -> None:
        """Keep the vendor's identifier and version of an appointment (CARD-15)."""
        await asyncio.to_thread(self.registry.bind, binding)

    def unidentified(self, proposal: Proposal) -> tuple[Identified, ...]:
        """The proposal's references that leave no match for want of an identifier. Blocks, briefly."""
        registered = self.registry.registered(proposal.proposal_id, proposal.revision)
        known = self.registry.connection(proposal.connection)
        if registered is None or known is None:
            return ()
        wanted = (pair for match in registered.matches for pair in _references(match.particulars))
        missing = (
            reference
            for kind, reference in wanted
            if kind in known.kinds and not self.registry.identifiers(known.connection, reference)
        )
        return tuple(dict.fromkeys(missing))

    def _resolve(self, proposal: Proposal) -> tuple[Resolved, ...]:
        registered = self.registry.registered(proposal.proposal_id, proposal.revision)
        known = self.registry.connection(proposal.connection)
        if registered is None or known is None:
            return ()
        found = (
            Resolved(particulars=match.particulars, salt=match.salt, identifiers=identifiers)
            for match in registered.matches
            for identifiers in self._readings(known, match.particulars)
        )
        return tuple(islice(found, ENOUGH_TO_BE_AMBIGUOUS))

    def _readings(self, known: Known, particulars: Particulars) -> Iterator[Mapping[str, str]]:
        """Every way to read the references as vendor identifiers: one, if the registry is in order."""
        choices: dict[str, tuple[str, ...]] = {}
        for kind, reference in _references(particulars):
            if kind in known.kinds:
                choices[reference] = self.registry.identifiers(known.connection, reference)
        if particulars.target is not None:
            bound = self._bound(known.connection, particulars.target.appointment)
            if bound is not None:  # not every vendor names appointments; those that don't are asked by our key
                choices[particulars.target.appointment] = (bound,)
        for reading in product(*choices.values()):
            yield dict(zip(choices, reading, strict=True))

    def _bound(self, connection: ConnectionId, appointment: AppointmentId) -> str | None:
        booking = self.registry.booking(appointment)
        if booking is None or booking.connection != connection:
            return None
        return next((bound.identifier for bound in reversed(booking.history) if bound.identifier), None)


def _references(particulars: Particulars) -> Iterator[tuple[Kind, Identified]]:
    yield Kind.PATIENT, particulars.patient
    for participant in particulars.participants:
        yield Kind.PARTICIPANT, participant.participant
    yield Kind.LOCATION, particulars.location
    yield Kind.SERVICE, particulars.service
