"""What the patient asked for (SL-07), and the particulars it commits to without naming them.

A proposal travels through orchestration; particulars never leave the boundary. The proposal carries
a salted commitment, so an approval of the proposal is an approval of exactly those particulars (I5).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from gateway.contracts.base import Instant, Model, Slug
from gateway.contracts.canonical import Digest, digest
from gateway.contracts.faults import ContentError
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

PROPOSAL_DOMAIN = "proposal/v1"
PARTICULARS_DOMAIN = "particulars/v1"


class Operation(StrEnum):
    """The commit operations of Phase F (C-01, ADAPT-09); nothing else commits."""

    BOOK = "schedule.book@v1"
    RESCHEDULE = "schedule.reschedule@v1"
    CANCEL = "schedule.cancel@v1"


class Notice(StrEnum):
    """The CP-17 communication mutations that an approval may also cover (C-01, C-23)."""

    SEND_MESSAGE = "comm.send_message@v1"
    CREATE_NOTIFICATION = "comm.create_notification@v1"


class Origin(StrEnum):
    """Who asked. Only a patient's request may be committed (TRIG-08)."""

    PATIENT = "patient"
    PROVIDER = "provider"
    SYSTEM = "system"


class Target(Model):
    """The existing appointment that a reschedule or cancellation names, and the version approved."""

    appointment: AppointmentId
    version: Digest


class Proposal(Model):
    """One scheduling action, immutable. References only; its instants are its own (GATE-17).

    `consent` is the digest of the patient's consent record when the proposal was made (GATE-12).
    `commitment` binds the particulars: see `Particulars.commitment`.
    """

    proposal_id: ProposalId
    revision: Annotated[int, Field(ge=1, le=999)]
    practice: PracticeId
    connection: ConnectionId
    operation: Operation
    origin: Origin
    initiator: PersonId
    patient: PatientId
    consent: Digest
    commitment: Digest
    target: Target | None = None
    created_at: Instant
    expires_at: Instant

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if (self.operation is Operation.BOOK) != (self.target is None):
            raise ContentError("a reschedule or cancellation names its target; a booking has none")
        if self.expires_at <= self.created_at:
            raise ContentError("expires_at must be later than created_at")
        return self

    @property
    def proposal_digest(self) -> str:
        return self.digest(PROPOSAL_DOMAIN)


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ContentError("not an IANA time zone name") from None
    return name


Zone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_known_zone)]


class Role(StrEnum):
    """What a participant is (FHIR Appointment.participant, R4)."""

    PRACTITIONER = "practitioner"
    DEVICE = "device"


class Participant(Model):
    role: Role
    participant: ParticipantId


class Particulars(Model):
    """What the proposal's references resolve to. Held by the practice; seen by boundary and adapter only.

    `start` and `end` are UTC instants, `zone` the location's IANA zone.
    """

    patient: PatientId
    participants: Annotated[tuple[Participant, ...], Field(min_length=1, max_length=8)]
    location: LocationId
    service: ServiceId
    reason: Slug | None = None
    start: Instant
    end: Instant
    zone: Zone
    target: Target | None = None

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.end <= self.start:
            raise ContentError("end must be later than start")
        return self

    def commitment(self, salt: str) -> str:
        """The proposal's salted commitment; `salt` is 64 hexadecimal digits and stays at the practice."""
        return digest(PARTICULARS_DOMAIN, bytes.fromhex(salt) + self.canonical())
