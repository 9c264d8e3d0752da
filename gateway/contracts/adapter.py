"""The adapter contract: what an adapter is asked, and the bounded words it answers in.

    describe(connection)          -> Descriptor
    readiness(request, read)      -> Readiness
    commit(authorized, write)     -> Receipt
    observe(query, read)          -> Observation

`read` and `write` are `httpx.AsyncClient`s of the boundary: base URL and credentials are attached,
redirects are not followed, and a request that the phase does not admit raises before a byte leaves.
Everything here lives behind the boundary; only codes, findings and digests travel on (C-02, ADAPT-02).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Protocol, Self

import httpx
from pydantic import Field, StringConstraints

from gateway.contracts.base import Model, Slug
from gateway.contracts.calls import SafeCalls
from gateway.contracts.canonical import digest
from gateway.contracts.connection import Connection, Setting
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation, Particulars
from gateway.contracts.references import AppointmentId, PracticeId
from gateway.contracts.words import ObservationFinding

CONTRACT_VERSION = 1
"""Of what an adapter is asked and held to; a conformance statement counts for one version."""
VERSION_DOMAIN = "version/v1"
NATIVE_KEY_DOMAIN = "native-key/v1"
HEXADECIMAL = "0123456789abcdef"
MIN_KEY_BITS = 96
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Idempotency(StrEnum):
    """What the vendor does with our key: refuses a second use, lets it be looked up, or ignores it."""

    UNIQUE = "unique"
    LOOKUP = "lookup"
    NONE = "none"


class Exclusivity(StrEnum):
    """Whether the vendor itself keeps two appointments out of one slot."""

    ENFORCED = "enforced"
    ADVISORY = "advisory"
    NONE = "none"


class Commitment(StrEnum):
    """Whether a success reply is the commitment, or only a relay's acceptance (C-35)."""

    IMMEDIATE = "immediate"
    RELAYED = "relayed"


class Basis(StrEnum):
    """How an observation finds an appointment: by our key, by likeness, or not at all."""

    BY_KEY = "by-key"
    MATCHING = "matching"
    NONE = "none"


SafePost = Annotated[str, StringConstraints(pattern=r"^/[!-~]{0,200}$")]
"""Path prefix of a POST that the vendor documents as free of effects (a search, a token endpoint)."""


class Descriptor(Model):
    """What the adapter claims for one connection. The conformance suite tests every claim both ways.

    `relay_seconds`: for how long after the attempt's time a request may still be carried out, by a relay or by a system
    that works on although nobody waits for it any more. `settling_seconds`: how long until what it did can be seen.
    `safe_posts` and `safe_calls` are what the vendor documents as free of effects, and are believed as such.
    `requests_per_attempt` is the largest number of requests that readiness, commit and one
    observation need together; it is reserved before the intent (CARD-14).
    """

    adapter: Slug
    operations: Annotated[tuple[Operation, ...], Field(min_length=1, max_length=3)]
    idempotency: Idempotency
    exclusivity: Exclusivity
    commitment: Commitment = Commitment.IMMEDIATE
    relay_seconds: Annotated[int, Field(ge=0, le=86_400)] = 0
    redelivers: bool = False
    observation: Basis
    settling_seconds: Annotated[int, Field(ge=0, le=86_400)] = 0
    safe_posts: Annotated[tuple[SafePost, ...], Field(max_length=8)] = ()
    safe_calls: SafeCalls | None = None
    requests_per_attempt: Annotated[int, Field(ge=1, le=64)] = 8


def native_key(practice: PracticeId, proposal_digest: str, operation: Operation) -> AppointmentId:
    """The key of one commit: from tenant, proposal digest and operation alone (CARD-06)."""
    content = f"{practice}|{proposal_digest}|{operation}".encode()
    return AppointmentId(f"apt_{digest(NATIVE_KEY_DOMAIN, content)}")


def spell_key(key: AppointmentId, alphabet: str = HEXADECIMAL, max_length: int = 64) -> str:
    """The key in the vendor's alphabet; raises ValueError where fewer than 96 bits would fit."""
    number = int(key.removeprefix("apt_"), 16)
    base = len(alphabet)
    if base < 2 or len(set(alphabet)) != base or (base**max_length).bit_length() - 1 < MIN_KEY_BITS:
        raise ValueError("a native key needs room for at least 96 bits")
    letters: list[str] = []
    while number and len(letters) < max_length:
        number, index = divmod(number, base)
        letters.append(alphabet[index])
    return "".join(letters)


def version_digest(version: str) -> str:
    """The digest under which a vendor's version (an ETag, a sequence) is known outside the boundary."""
    return digest(VERSION_DOMAIN, version.encode())


class IdentifierMissingError(KeyError):
    """A reference has no vendor identifier: the practice bound none, or what it bound names nobody at the vendor."""


class IdentifierAmbiguousError(LookupError):
    """What the practice bound to a reference names several at the vendor."""


class Identifiers(dict[str, str]):
    """Vendor identifiers by reference; a missing one is the practice's gap, not the adapter's fault."""

    def __missing__(self, key: str) -> str:
        raise IdentifierMissingError

    def __repr__(self) -> str:
        return f"<{len(self)} identifiers>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One scheduling action, resolved: what readiness checks and commit carries out.

    `identifiers` maps each opaque reference to the vendor's identifier, by the practice's registry.
    For a reschedule or cancellation `particulars.target` names the appointment and approved version;
    `identifiers` holds the vendor's identifier for it where one was bound.
    """

    operation: Operation
    particulars: Particulars
    identifiers: Mapping[str, str]
    key: AppointmentId
    connection: Connection

    @property
    def settings(self) -> Mapping[str, Setting]:
        return self.connection.settings

    def native_key(self, alphabet: str = HEXADECIMAL, max_length: int = 64) -> str:
        """This commit's own key, to be stored at the vendor with the write."""
        return spell_key(self.key, alphabet, max_length)

    def target_key(self, alphabet: str = HEXADECIMAL, max_length: int = 64) -> str:
        """The key under which the target appointment was booked."""
        if self.particulars.target is None:
            raise ValueError("a booking has no target")
        return spell_key(self.particulars.target.appointment, alphabet, max_length)

    def is_approved_version(self, version: str) -> bool:
        """Whether the vendor's current version of the target is the one that was approved."""
        target = self.particulars.target
        return target is not None and version_digest(version) == target.version


class Proof(StrEnum):
    PROVEN = "proven"
    REFUTED = "refuted"
    UNVERIFIABLE = "unverifiable"


class TargetState(StrEnum):
    """Of the slot (booking, reschedule) and the target appointment (reschedule, cancellation)."""

    OPEN = "open"
    TAKEN = "taken"
    CHANGED = "changed"
    ABSENT = "absent"
    UNVERIFIABLE = "unverifiable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """F-01 §4.6 in three proofs, and the target. `prepared` is handed to commit, in memory only."""

    available: Proof
    credentials: Proof
    authorised: Proof
    target: TargetState
    prepared: Any = field(default=None, repr=False)

    @classmethod
    def proven(cls, target: TargetState = TargetState.OPEN, prepared: Any = None) -> Self:
        return cls(
            available=Proof.PROVEN, credentials=Proof.PROVEN, authorised=Proof.PROVEN, target=target, prepared=prepared
        )

    @classmethod
    def refuted(cls, code: Code) -> Self:
        """Readiness for a reply that refutes it: CREDENTIALS_REJECTED, EXTERNAL_FORBIDDEN, else unavailable."""
        rejected = code is Code.CREDENTIALS_REJECTED
        forbidden = code is Code.EXTERNAL_FORBIDDEN
        return cls(
            available=Proof.PROVEN if rejected or forbidden else Proof.REFUTED,
            credentials=Proof.REFUTED if rejected else Proof.PROVEN if forbidden else Proof.UNVERIFIABLE,
            authorised=Proof.REFUTED if forbidden else Proof.UNVERIFIABLE,
            target=TargetState.UNVERIFIABLE,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorized:
    """What commit is called with, and cannot be called without."""

    request: Request
    prepared: Any = field(default=None, repr=False)

    def native_key(self, alphabet: str = HEXADECIMAL, max_length: int = 64) -> str:
        return self.request.native_key(alphabet, max_length)


class Claim(StrEnum):
    """What the adapter read in a complete reply. The boundary decides what is believed (I3)."""

    APPLIED = "applied"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Commit's answer. `identifier` and `version` are the vendor's and go home through `bind` only."""

    claim: Claim
    code: Code
    identifier: str | None = field(default=None, repr=False)
    version: str | None = field(default=None, repr=False)

    @classmethod
    def applied(cls, *, identifier: str | None = None, version: str | None = None) -> Self:
        return cls(claim=Claim.APPLIED, code=Code.COMMITTED, identifier=identifier, version=version)

    @classmethod
    def refused(cls, code: Code) -> Self:
        return cls(claim=Claim.REFUSED, code=code)

    @classmethod
    def unknown(cls, code: Code = Code.REPLY_UNRECOGNISED) -> Self:
        return cls(claim=Claim.UNKNOWN, code=code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Did the commit with this native key happen? Nothing that the system made before `since` is of this commit: so old
    is the proposal, by the practice's clock, which need not agree with the system's."""

    request: Request
    since: datetime = LONG_AGO

    def native_key(self, alphabet: str = HEXADECIMAL, max_length: int = 64) -> str:
        return self.request.native_key(alphabet, max_length)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One look. `as_of` is how fresh a copy is (None for the record itself)."""

    finding: ObservationFinding
    basis: Basis
    as_of: datetime | None = None
    version: str | None = field(default=None, repr=False)
    identifier: str | None = field(default=None, repr=False)


class Adapter(Protocol):
    """One external system behind readiness, idempotent commit, bounded failure (CARD-01).

    Any exception is contained: in readiness it blocks, in commit it is NOT_SENT or UNKNOWN by what the
    boundary saw leave, in observe it is INDETERMINATE.
    """

    def describe(self, connection: Connection) -> Descriptor: ...

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness: ...

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt: ...

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation: ...
