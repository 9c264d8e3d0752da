"""The practice registry's files: each read afresh, each written atomically and durably.

Owns: the directory's layout, and that a document is about what its file name says. Keeps nothing in memory:
a consent withdrawn a moment ago is withdrawn (GATE-06, GATE-09, GATE-11).
Refuses: a document that is unreadable, oversized or about something else, as a `DocumentError`; whoever asked
for evidence is blocked by it. File names are made of opaque references and digests only.
All calls block, briefly; `gateway.practice.sources` keeps them off the event loop.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from gateway import documents
from gateway.clock import Clock, SystemClock
from gateway.contracts.base import Model
from gateway.contracts.proposal import Operation, Origin, Particulars, Proposal
from gateway.contracts.references import AppointmentId, ConnectionId, PatientId, PersonId, PracticeId, ProposalId
from gateway.errors import Conflict, DocumentError, NotFound, UsageError
from gateway.hookspecs import Binding
from gateway.practice.records import (
    Booking,
    Bound,
    Consent,
    Identified,
    Identifiers,
    Kind,
    Known,
    Match,
    Patient,
    PatientEntry,
    People,
    Person,
    Registered,
    StaffRole,
    Told,
)

PEOPLE = "people.json"
LOCK = "registry.lock"
LOCK_SECONDS = 5.0
"""How long a writer waits for another: each needs milliseconds, unless it is stuck."""
POLL_SECONDS = 0.01

M = TypeVar("M", bound=Model)


class Commitment(NamedTuple):
    """A commitment to particulars, and the salt (64 hexadecimal digits) that keeps it unguessable."""

    salt: str
    commitment: str


@dataclass(frozen=True, slots=True)
class Registry:
    """One practice's registry at `root`."""

    root: Path = field(repr=False)
    clock: Clock = field(default_factory=SystemClock, repr=False)

    @classmethod
    def create(cls, root: Path, practice: PracticeId, clock: Clock | None = None) -> Registry:
        """A new, empty registry; raises `Conflict` where there already is one."""
        registry = cls(root, clock or SystemClock())
        with registry._exclusive():
            if registry._find(People, PEOPLE) is not None:
                raise Conflict(f"{PEOPLE} already exists there: this registry was made before")
            registry._put(PEOPLE, People(practice=practice))
        return registry

    # Reading: None says that the registry has no such record; raising, that nobody can tell.

    def people(self) -> People:
        people = self._find(People, PEOPLE)
        if people is None:
            raise DocumentError(f"{PEOPLE} is missing from the practice registry; restore it")
        return people

    def patient(self, patient: PatientId) -> Patient | None:
        return self._find(Patient, f"patients/{patient}.json", patient=patient)

    def consent(self, patient: PatientId) -> Consent | None:
        return self._find(Consent, f"consents/{patient}.json", patient=patient)

    def notice(self, proposal_digest: str) -> Told | None:
        return self._find(Told, f"notices/{proposal_digest}.json", proposal_digest=proposal_digest)

    def registered(self, proposal: ProposalId, revision: int) -> Registered | None:
        name = f"particulars/{proposal}-{revision}.json"
        return self._find(Registered, name, proposal=proposal, revision=revision)

    def connection(self, connection: ConnectionId) -> Known | None:
        return self._find(Known, f"connections/{connection}.json", connection=connection)

    def identifiers(self, connection: ConnectionId, reference: Identified) -> tuple[str, ...]:
        name = f"identifiers/{connection}/{reference}.json"
        record = self._find(Identifiers, name, connection=connection, reference=reference)
        return record.identifiers if record else ()

    def booking(self, appointment: AppointmentId) -> Booking | None:
        return self._find(Booking, f"bindings/{appointment}.json", appointment=appointment)

    def exposed(self) -> bool:
        """Whether anybody but the owner may look into the registry (`gateway doctor` warns)."""
        return documents.exposed(self.root)

    # Writing, for the practice's own use; each call is durable when it returns.

    def enrol_person(
        self, person: PersonId, roles: Sequence[StaffRole], *, active: bool = True, authorised: bool = True
    ) -> None:
        """Add a member of staff, or replace what is recorded about them."""
        entry = Person(person=person, roles=tuple(roles), active=active, authorised=authorised)
        with self._exclusive():
            known = self.people()
            others = tuple(other for other in known.people if other.person != person)
            self._put(PEOPLE, People(practice=known.practice, people=(*others, entry)))

    def enrol_patient(self, patient: PatientId, *, identified: bool = True) -> None:
        """Record the patient's one entry, in place of all there were."""
        with self._exclusive():
            entry = PatientEntry(practice=self.people().practice, identified=identified)
            self._put(f"patients/{patient}.json", Patient(patient=patient, entries=(entry,)))

    def set_consent(self, patient: PatientId, *, in_force: bool) -> str:
        """Record consent given or withdrawn; the new record's digest, which differs from all earlier ones."""
        with self._exclusive():
            earlier = self.consent(patient)
            revision = earlier.revision + 1 if earlier else 1
            consent = Consent(patient=patient, revision=revision, in_force=in_force, recorded_at=self.clock.now())
            self._put(f"consents/{patient}.json", consent)
        return consent.consent_digest

    def record_notice(self, proposal: Proposal, *, irreversibility_told: bool = True) -> None:
        """Record that the patient was told of exactly this proposal."""
        told = Told(
            proposal_digest=proposal.proposal_digest,
            patient=proposal.patient,
            irreversibility_told=irreversibility_told,
            told_at=self.clock.now(),
        )
        with self._exclusive():
            self._put(f"notices/{told.proposal_digest}.json", told)

    def enrol_connection(self, connection: ConnectionId, kinds: Sequence[Kind] = tuple(Kind)) -> None:
        """Say that a connection is the practice's own, and which kinds of references its vendor identifies."""
        with self._exclusive():
            known = Known(connection=connection, practice=self.people().practice, kinds=tuple(kinds))
            self._put(f"connections/{connection}.json", known)

    def map_identifier(self, connection: ConnectionId, reference: Identified, *identifiers: str) -> None:
        """Record the vendor's identifier of a reference; several make it ambiguous."""
        record = Identifiers(connection=connection, reference=reference, identifiers=identifiers)
        with self._exclusive():
            self._put(f"identifiers/{connection}/{reference}.json", record)

    def register_particulars(self, proposal: ProposalId, revision: int, particulars: Particulars) -> Commitment:
        """Record what a proposal's references mean, under a fresh salt, in place of what was recorded."""
        salt = secrets.token_hex(32)
        match = Match(particulars=particulars, salt=salt)
        with self._exclusive():
            record = Registered(proposal=proposal, revision=revision, matches=(match,))
            self._put(f"particulars/{proposal}-{revision}.json", record)
        return Commitment(salt, particulars.commitment(salt))

    def propose(
        self,
        *,
        connection: ConnectionId,
        operation: Operation,
        initiator: PersonId,
        particulars: Particulars,
        expires_at: datetime,
        proposal: ProposalId | None = None,
        revision: int = 1,
    ) -> Proposal:
        """A patient's proposal over particulars that are registered here first; raises `NotFound` where no
        consent of theirs is recorded, and `UsageError` for an expiry that would tell the appointment's time to the
        journal. The patient has yet to be told: see `record_notice`."""
        if expires_at in (particulars.start, particulars.end):
            raise UsageError(
                "expires_at: the appointment's own time, which no journal may hold; name an earlier instant"
            )
        consent = self.consent(particulars.patient)
        if consent is None:
            raise NotFound(
                "no consent of this patient is recorded; if they consent: "
                f"gateway practice consent {particulars.patient} --given"
            )
        name = proposal or self.clock.new(ProposalId)
        return Proposal(
            proposal_id=name,
            revision=revision,
            practice=self.people().practice,
            connection=connection,
            operation=operation,
            origin=Origin.PATIENT,
            initiator=initiator,
            patient=particulars.patient,
            consent=consent.consent_digest,
            commitment=self.register_particulars(name, revision, particulars).commitment,
            target=particulars.target,
            created_at=self.clock.now(),
            expires_at=expires_at,
        )

    def bind(self, binding: Binding) -> None:
        """Add what a commit brought home to the appointment's history; the same again changes nothing."""
        connection = binding.connection.connection_id
        with self._exclusive():
            if self.connection(connection) is None:
                raise NotFound("the practice registry does not know the connection: gateway practice add-connection")
            earlier = self.booking(binding.appointment)
            if earlier is not None and earlier.connection != connection:
                raise Conflict("the appointment is bound to another connection; a human must look")
            history = earlier.history if earlier else ()
            digest = binding.proposal.proposal_digest
            if history and (history[-1].proposal_digest, history[-1].identifier, history[-1].version) == (
                digest,
                binding.identifier,
                binding.version,
            ):
                return
            bound = Bound(
                proposal_digest=digest,
                identifier=binding.identifier,
                version=binding.version,
                bound_at=self.clock.now(),
            )
            booking = Booking(appointment=binding.appointment, connection=connection, history=(*history, bound))
            self._put(f"bindings/{binding.appointment}.json", booking)

    def _find(self, model: type[M], name: str, **subject: object) -> M | None:
        record = documents.load(model, self.root / name, name)
        if record is not None and any(getattr(record, part) != value for part, value in subject.items()):
            raise DocumentError(f"{name} is about something else than its name says; restore it")
        return record

    def _put(self, name: str, record: Model) -> None:
        path = self.root / name
        self._prepare(path.parent)
        documents.write(path, documents.spell(record), name)

    def _prepare(self, directory: Path) -> None:
        try:
            documents.make_directory(directory)
        except OSError:
            raise DocumentError("the practice registry's directory cannot be made; check its owner and mode") from None

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        # Writers read before they write; the kernel drops the lock when its owner dies.
        self._prepare(self.root)
        try:
            lock = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, documents.OWNER_FILE)
        except OSError:
            raise DocumentError(f"{LOCK} cannot be opened in the practice registry; check its owner and mode") from None
        try:
            _lock(lock, time.monotonic() + LOCK_SECONDS)
            yield
        finally:
            os.close(lock)


def _lock(descriptor: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise DocumentError(f"another process holds {LOCK} of the practice registry; end it") from None
            time.sleep(POLL_SECONDS)
        else:
            return
