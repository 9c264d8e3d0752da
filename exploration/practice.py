"""The practice that a world is made around: sealed home, keys, people, patients and what they asked for.

Owns: what people say, signed by the real surfaces, and the truth that evidence sources tell. Made once for many
worlds; nothing of it changes while a world runs, but for what a history adds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from ssl import SSLContext, create_default_context
from typing import Any, Final, TypeVar

from gateway import config, documents, home
from gateway.clock import Kind
from gateway.config import Bounds, PluginUse, Settings
from gateway.contracts.adapter import native_key, spell_key
from gateway.contracts.connection import Connection, CredentialUse, Limits, Scheme, Setting
from gateway.contracts.proposal import Operation, Origin, Participant, Particulars, Proposal, Role, Target
from gateway.contracts.references import (
    ConnectionId,
    DecisionId,
    LocationId,
    ParticipantId,
    PatientId,
    PersonId,
    PracticeId,
    ProposalId,
    Reference,
    ServiceId,
)
from gateway.contracts.statements import Decision, Resolution, Signed, Stop, Trigger, Verdict, Withdrawal
from gateway.contracts.words import Environment, Severity
from gateway.hookspecs import Resolved
from gateway.ports import Sealed
from gateway.signatures import Keyring, TrustedKeys, Verified
from gateway.surfaces.ceremonies import Surface
from gateway.surfaces.keys import LocalKey

BEGINNING: Final = datetime(2031, 3, 3, 9, 0, tzinfo=UTC)
CANARY: Final = "zq7canary"
"""In every identifier, secret and vendor word of a world; in nothing that the gateway keeps or says."""

HOST: Final = "127.0.0.1:8443"
TOKEN: Final = f"{CANARY}-token"
SLOT: Final = timedelta(minutes=30)
EXPLORED: Final = PluginUse(name="explored")
SINKS: Final = ("first", "second")

S = TypeVar("S", bound=Signed)


class MemoryKeyring(Keyring):
    """A keyring that verifies each token once for each question. Verification is a pure function of token, kind and
    practice, so that to remember an answer hides nothing; what a caller does with it, or forgets to ask, stays real."""

    def __init__(self, trusted: TrustedKeys) -> None:
        super().__init__(trusted)
        self._known: dict[tuple[str, type, PracticeId | None], Verified[Any]] = {}

    def verify(self, token: str, model: type[S], *, practice: PracticeId | None = None) -> Verified[S]:
        known = self._known.get((token, model, practice))
        if known is None:
            if len(self._known) > 4096:
                self._known.clear()
            known = super().verify(token, model, practice=practice)
            self._known[token, model, practice] = known
        return known


class Identifiers:
    """References and tokens that repeat: the n-th of a name is always the same."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._made = 0

    def token(self) -> str:
        self._made += 1
        return hashlib.blake2b(f"{self._name}/{self._made}".encode(), digest_size=16).hexdigest()

    def new(self, kind: type[Kind]) -> Kind:
        while True:
            try:
                return kind(f"{kind.kind}_{self.token()}")
            except ValueError:  # by chance not opaque enough for a reference
                continue


@dataclass(slots=True)
class PracticeClock:
    """The people's clock: they look at it while the gateway may be somewhere else in time."""

    at: datetime
    identifiers: Identifiers

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        raise NotImplementedError("people do not count seconds")

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError("people do not wait here")

    def new(self, kind: type[Kind]) -> Kind:
        return self.identifiers.new(kind)

    def token(self) -> str:
        return self.identifiers.token()


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A proposal as its patient made it, with what only the practice knows of it."""

    proposal: Proposal
    resolved: Resolved = field(repr=False)

    @cached_property
    def digest(self) -> str:
        return self.proposal.proposal_digest

    @cached_property
    def key(self) -> str:
        """The native key of its commit, as the external system sees it."""
        proposal = self.proposal
        return spell_key(native_key(proposal.practice, self.digest, proposal.operation))

    @cached_property
    def claims(self) -> frozenset[tuple[str, ...]]:
        """What it wants for itself alone: each participant's hour at the connection, the patient's hour, its target."""
        wanted, hour = self.resolved.particulars, self.resolved.particulars.start.isoformat()
        slots = {("slot", self.proposal.connection, each.participant, hour) for each in wanted.participants}
        target = {("target", wanted.target.appointment)} if wanted.target else set()
        return frozenset({*slots, *target, ("patient", wanted.patient, hour)})


@dataclass(slots=True, kw_only=True)
class Practice:
    """`asked` holds every proposal by its digest. `now` of `clock` is when people sign."""

    sealed: Sealed
    connections: Mapping[ConnectionId, Connection]
    tls: SSLContext
    keys: Mapping[str, LocalKey] = field(repr=False)
    clock: PracticeClock
    reviewer: PersonId
    operator: PersonId
    participant: ParticipantId
    location: LocationId
    service: ServiceId
    asked: dict[str, Asked] = field(default_factory=dict)
    slots: int = 0

    @classmethod
    def create(cls, root: Path, *, policy: str = "standard", rate: int | None = None, risky: bool = False) -> Practice:
        """Seal a home below `root`: one connection, and with `risky` a second whose commits need a further answer."""
        clock = PracticeClock(BEGINNING, Identifiers("practice"))
        new = clock.new
        reviewer, operator, reference = new(PersonId), new(PersonId), new(PracticeId)
        connections = {
            each.connection_id: each
            for each in (
                _connection(new(ConnectionId), reference, risk, rate)
                for risk in ((Severity.LOW, Severity.HIGH) if risky else (Severity.LOW,))
            )
        }
        keys = {name: LocalKey.generate(name) for name in ("reviewer", "operator")}
        may_sign = {
            "reviewer": (Decision.typ,),
            "operator": (Trigger.typ, Stop.typ, Withdrawal.typ, Resolution.typ),
        }
        settings = Settings(
            practice=reference,
            environment=Environment.SANDBOX,
            evidence=EXPLORED,
            resolver=EXPLORED,
            credentials=(EXPLORED,),
            sinks=tuple(PluginUse(name=name) for name in SINKS),
            policies=home.selections(policy),
            bounds=Bounds(evidence_seconds=5, readiness_seconds=6, sink_seconds=5, replay_wait_seconds=1),
        )
        trusted = TrustedKeys(keys=tuple(keys[name].public(types, reference) for name, types in may_sign.items()))
        home.initialise(root / "home", settings, tuple(connections.values()), trusted)
        return cls(
            sealed=with_memory(Sealed.load(root / "home")),
            connections=connections,
            tls=create_default_context(),
            keys=keys,
            clock=clock,
            reviewer=reviewer,
            operator=operator,
            participant=new(ParticipantId),
            location=new(LocationId),
            service=new(ServiceId),
        )

    @property
    def reference(self) -> PracticeId:
        return self.sealed.configuration.settings.practice

    @property
    def connection(self) -> Connection:
        """The first, whose commits need no further answer."""
        return next(iter(self.connections.values()))

    @property
    def office(self) -> Surface:
        """Where operators sign."""
        return Surface(self.keys["operator"], self.clock)

    @property
    def reviews(self) -> Surface:
        """Where the reviewer signs."""
        return Surface(self.keys["reviewer"], self.clock)

    def resealed(self, root: Path, policy: str = "standard", named: Mapping[str, Setting] | None = None) -> Sealed:
        """The home below `root`, sealed anew under this policy and with these settings of every connection: what
        processes started from then on would read."""
        settings = self.sealed.configuration.settings.model_copy(update={"policies": home.selections(policy)})
        (root / "home" / config.SETTINGS).write_bytes(documents.spell(settings))
        for reference, connection in self.connections.items():
            otherwise = connection.model_copy(update={"settings": named or {}})
            (root / "home" / config.CONNECTIONS / f"{reference}.json").write_bytes(documents.spell(otherwise))
        home.seal(root / "home")
        return with_memory(Sealed.load(root / "home"))

    # -- what people say --------------------------------------------------------------------------------

    def ask(
        self,
        operation: Operation = Operation.BOOK,
        *,
        target: Target | None = None,
        start: datetime | None = None,
        patient: PatientId | None = None,
        revising: Proposal | None = None,
        connection: Connection | None = None,
        holds: timedelta = timedelta(days=1),
    ) -> Asked:
        """A patient asks; with `revising`, differently."""
        new, now = self.clock.new, self.clock.now()
        if start is None:
            self.slots += 1
            start = BEGINNING + timedelta(days=30) + self.slots * SLOT
        patient = patient or (revising.patient if revising else new(PatientId))
        particulars = Particulars(
            patient=patient,
            participants=(Participant(role=Role.PRACTITIONER, participant=self.participant),),
            location=self.location,
            service=self.service,
            start=start,
            end=start + SLOT,
            zone="Europe/Berlin",
            target=target,
        )
        salt = self.clock.token() * 2
        references: tuple[Reference, ...] = (patient, self.participant, self.location, self.service)
        proposal = Proposal(
            proposal_id=revising.proposal_id if revising else new(ProposalId),
            revision=revising.revision + 1 if revising else 1,
            practice=self.reference,
            connection=(connection or self.connection).connection_id,
            operation=operation,
            origin=Origin.PATIENT,
            initiator=revising.initiator if revising else new(PersonId),
            patient=patient,
            consent=consent_of(patient),
            commitment=particulars.commitment(salt),
            target=target,
            created_at=now,
            expires_at=now + holds,
        )
        identifiers: dict[str, str] = {each: f"{CANARY}-{each[-12:]}" for each in references}
        asked = Asked(proposal=proposal, resolved=Resolved(particulars=particulars, salt=salt, identifiers=identifiers))
        self.asked[asked.digest] = asked
        return asked

    def approve(self, asked: Asked) -> tuple[DecisionId, str]:
        """The reviewer approves these very bytes: the decision's reference and its token."""
        signed = self.reviews.review(asked.proposal, reviewer=self.reviewer, verdict=Verdict.APPROVE).decision
        return signed.statement.decision_id, signed.token

    def trigger(self, asked: Asked, approval: DecisionId) -> str:
        return self.office.commit(asked.proposal, operator=self.operator, approval=approval).token


def with_memory(sealed: Sealed) -> Sealed:
    """The same home, under a keyring that remembers."""
    return replace(sealed, keyring=MemoryKeyring(sealed.configuration.keys))


def consent_of(patient: PatientId) -> str:
    """The digest of the consent that this patient gave."""
    return hashlib.sha256(patient.encode()).hexdigest()


def _connection(reference: ConnectionId, practice: PracticeId, risk: Severity, rate: int | None) -> Connection:
    return Connection(
        connection_id=reference,
        practice=practice,
        adapter="explored",
        base_url=f"http://{HOST}",
        hosts=(HOST,),
        zone="Europe/Berlin",
        credential=CredentialUse(scheme=Scheme.BEARER, name="explored"),
        limits=Limits(requests_per_minute=rate, request_seconds=3, commit_seconds=4),
        risk=risk,
    )
