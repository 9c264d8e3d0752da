"""The documents of the practice registry, one strict model per kind of file.

Owns: their shape. References name people; there is no field for a name, an address or free text. The only
foreign words are the vendor's identifiers and versions, which never show in a repr (CARD-15).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from gateway.contracts.base import Instant, Model
from gateway.contracts.canonical import Digest
from gateway.contracts.faults import ContentError
from gateway.contracts.proposal import Particulars
from gateway.contracts.references import (
    AppointmentId,
    ConnectionId,
    LocationId,
    ParticipantId,
    PatientId,
    PersonId,
    PracticeId,
    ProposalId,
    ServiceId,
)

CONSENT_DOMAIN = "consent/v1"

Foreign = Annotated[str, StringConstraints(min_length=1, max_length=500)]
"""A vendor's own word for something; behind the boundary only."""

Identified = PatientId | ParticipantId | LocationId | ServiceId
"""What a vendor may know by an identifier of its own."""


class StaffRole(StrEnum):
    REVIEWER = "reviewer"
    OPERATOR = "operator"


class Person(Model):
    """A member of staff. Not active: no longer known. Not authorised: known, but may do nothing."""

    person: PersonId
    roles: Annotated[tuple[StaffRole, ...], Field(min_length=1, max_length=2)]
    active: bool
    authorised: bool

    def may(self, role: StaffRole) -> bool:
        return self.active and self.authorised and role in self.roles


class People(Model):
    """`people.json`: whose registry this is, and its staff."""

    practice: PracticeId
    people: Annotated[tuple[Person, ...], Field(max_length=300)] = ()

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        if len({entry.person for entry in self.people}) != len(self.people):
            raise ContentError("a person is listed twice; merge the two")
        return self

    def find(self, person: PersonId) -> Person | None:
        return next((entry for entry in self.people if entry.person == person), None)


class PatientEntry(Model):
    """One entry of the practice's patient index. `identified`: somebody checked who this is."""

    practice: PracticeId
    identified: bool


class Patient(Model):
    """`patients/<patient>.json`. Several entries are an unmerged duplicate: nobody knows which one is meant,
    so the patient is not positively identified (GATE-03)."""

    patient: PatientId
    entries: Annotated[tuple[PatientEntry, ...], Field(min_length=1, max_length=8)]

    @property
    def positively_identified(self) -> bool:
        return len(self.entries) == 1 and self.entries[0].identified

    def belongs_to(self, practice: PracticeId) -> bool:
        return all(entry.practice == practice for entry in self.entries)


class Consent(Model):
    """`consents/<patient>.json`: consent for scheduling data processing. A proposal names its digest, so a
    change of any kind since then shows (GATE-12); `revision` counts the changes."""

    patient: PatientId
    revision: Annotated[int, Field(ge=1)]
    in_force: bool
    recorded_at: Instant

    @property
    def consent_digest(self) -> str:
        return self.digest(CONSENT_DOMAIN)


class Told(Model):
    """`notices/<proposal digest>.json`: the patient was told of this very action (GATE-30)."""

    proposal_digest: Digest
    patient: PatientId
    irreversibility_told: bool
    told_at: Instant


class Match(Model):
    """Particulars and the salt of the commitment to them."""

    particulars: Particulars = Field(repr=False)
    salt: Digest = Field(repr=False)


class Registered(Model):
    """`particulars/<proposal>-<revision>.json`. Several matches block the attempt (CARD-09)."""

    proposal: ProposalId
    revision: Annotated[int, Field(ge=1, le=999)]
    matches: Annotated[tuple[Match, ...], Field(min_length=1, max_length=8)]


class Kind(StrEnum):
    """Kinds of references that a vendor knows by identifiers of its own."""

    PATIENT = "patient"
    PARTICIPANT = "participant"
    LOCATION = "location"
    SERVICE = "service"


class Known(Model):
    """`connections/<connection>.json`: the practice's own word that a connection is its own, and which kinds
    of references its vendor identifies. A reference of such a kind without an identifier is no match."""

    connection: ConnectionId
    practice: PracticeId
    kinds: Annotated[tuple[Kind, ...], Field(max_length=4)]


class Identifiers(Model):
    """`identifiers/<connection>/<reference>.json`. Several identifiers are several matches (CARD-09)."""

    connection: ConnectionId
    reference: Identified
    identifiers: Annotated[tuple[Foreign, ...], Field(min_length=1, max_length=8, repr=False)]


class Bound(Model):
    """What one commit brought home."""

    proposal_digest: Digest
    identifier: Foreign | None = Field(default=None, repr=False)
    version: Foreign | None = Field(default=None, repr=False)
    bound_at: Instant


class Booking(Model):
    """`bindings/<appointment>.json`: the vendor's identifier and version of an appointment, newest last."""

    appointment: AppointmentId
    connection: ConnectionId
    history: Annotated[tuple[Bound, ...], Field(min_length=1)]
