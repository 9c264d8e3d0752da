"""The governance record of F-01 §8: what must be decided by people before anything is committed (C-26).

Owns: what a complete record is, what is missing from one, and which hosts may be reached. A record is a signed
statement about one seal, kept beside it (`governance.jws`, `sandbox.jws`): any change of the configuration
needs a new record. Signatures are verified once, when the gateway opens; expiry is judged at each use.
Refuses: a record that is there but does not verify (the gateway does not start). A record that verifies but is
incomplete, expired or of another seal leaves commits off and says why (GOV-12, GOV-13).
Environment `sandbox` needs no record: it reaches loopback, and the hosts that a signed sandbox record names.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Self, TypeVar

from pydantic import Field

from gateway import documents
from gateway.config import Configuration
from gateway.contracts.base import Instant, Model
from gateway.contracts.canonical import Digest
from gateway.contracts.connection import Connection, Host, Network, Scheme
from gateway.contracts.references import ConnectionId, StatementId
from gateway.contracts.statements import Statement
from gateway.contracts.words import Environment
from gateway.errors import ConfigurationError, DocumentError, UsageError
from gateway.signatures import MAX_TOKEN_BYTES, Keyring

RECORD_FILE: Final = "governance.jws"
SANDBOX_FILE: Final = "sandbox.jws"


class Artefact(StrEnum):
    """F-01 §8.1's documents (GOV-01 to GOV-04)."""

    CONTRACT = "F-02"
    INTEGRATION = "F-03"
    FAILURES = "F-04"
    AUDIT = "F-05"


class Proof(StrEnum):
    """F-01 §8.2's evidence (GOV-05 to GOV-07)."""

    PRECONDITIONS = "precondition-verifiability"
    AUDIT = "audit-non-omittability"
    SEPARATION = "separation-of-authority"


class ReviewKind(StrEnum):
    """F-01 §8.3's reviews (GOV-08 to GOV-10)."""

    SECURITY = "security"
    COMPLIANCE = "compliance"
    OPERATIONAL = "operational"


class SealedArtefact(Model):
    """A complete document, by the SHA-256 of its bytes."""

    artefact: Artefact
    sha256: Digest


class VerifiedProof(Model):
    """Evidence that somebody generated and verified, by the SHA-256 of its bytes."""

    proof: Proof
    sha256: Digest
    verified_at: Instant


class Review(Model):
    """A completed review, by the SHA-256 of its report."""

    review: ReviewKind
    sha256: Digest
    completed_at: Instant
    blocking_findings: Annotated[int, Field(ge=0)]


class Unblock(Model):
    """Platform governance's explicit decision (GOV-11)."""

    decision: StatementId
    decided_at: Instant


class ShownConnection(Model):
    """What whoever signs was shown of a connection: where it lives, how it proves who we are, and which host grants the
    tokens for that, if one does. Never the secret."""

    connection: ConnectionId
    network: Network
    credential: Scheme
    tokens: Host | None = None

    @classmethod
    def of(cls, sealed: Connection) -> Self:
        use = sealed.credential
        return cls(
            connection=sealed.connection_id,
            network=sealed.network,
            credential=use.scheme,
            tokens=None if use.token is None else use.token.host,
        )


class GovernanceRecord(Statement):
    """`governance.jws`. Every part may be absent, so that what is missing can be named."""

    typ: ClassVar[str] = "gateway-governance+jws"

    seal: Digest
    environment: Environment
    artefacts: Annotated[tuple[SealedArtefact, ...], Field(max_length=4)] = ()
    proofs: Annotated[tuple[VerifiedProof, ...], Field(max_length=3)] = ()
    reviews: Annotated[tuple[Review, ...], Field(max_length=3)] = ()
    unblock: Unblock | None = None
    connections: Annotated[tuple[ShownConnection, ...], Field(max_length=48)] = ()
    expires_at: Instant


class SandboxRecord(Statement):
    """`sandbox.jws`: hosts that a sandbox may reach besides loopback."""

    typ: ClassVar[str] = "gateway-sandbox+jws"

    seal: Digest
    hosts: Annotated[tuple[Host, ...], Field(min_length=1, max_length=32)]
    expires_at: Instant


R = TypeVar("R", GovernanceRecord, SandboxRecord)


@dataclass(frozen=True, slots=True)
class Governance:
    """What the signed records of one sealed configuration admit."""

    configuration: Configuration = field(repr=False)
    record: GovernanceRecord | None
    sandbox: SandboxRecord | None

    @classmethod
    def load(cls, configuration: Configuration, keyring: Keyring) -> Governance:
        """Read and verify the records that are there; raises `ConfigurationError` for one that does not hold."""
        return cls(
            configuration,
            _verified(configuration, keyring, GovernanceRecord, RECORD_FILE),
            _verified(configuration, keyring, SandboxRecord, SANDBOX_FILE),
        )

    def missing(self, now: datetime) -> tuple[str, ...]:
        """What keeps commits off, in plain words of a closed list; nothing is missing in a sandbox."""
        if self._environment is Environment.SANDBOX:
            return ()
        return tuple(self._gaps(self.record, now))

    def admits_commit(self, connection: Connection, now: datetime) -> bool:
        """Whether this very connection is sealed, and all its hosts may be reached now (GOV-12)."""
        if self.configuration.connections.get(connection.connection_id) != connection:
            return False
        if self._environment is Environment.SANDBOX:
            return all(self._sandboxed(host, now) for host in connection.hosts)
        return not self.missing(now)

    def admits_host(self, host: str, port: int, now: datetime) -> bool:
        """Whether the boundary may connect there. Judges names: that `localhost` leads to loopback, and a
        public name to a public address, is the boundary's to check once it has resolved them."""
        address = f"{host.lower()}:{port}"
        if self._environment is Environment.SANDBOX:
            return self._sandboxed(address, now)
        declared = any(address in connection.hosts for connection in self.configuration.connections.values())
        return declared and not self.missing(now)

    @property
    def _environment(self) -> Environment:
        return self.configuration.settings.environment

    def _sandboxed(self, address: str, now: datetime) -> bool:
        if _is_loopback(address.rpartition(":")[0]):
            return True
        record = self.sandbox
        return (
            record is not None
            and record.seal == self.configuration.seal_digest
            and record.issued_at <= now < record.expires_at
            and address in record.hosts
        )

    def _gaps(self, record: GovernanceRecord | None, now: datetime) -> Iterator[str]:
        if record is None:
            yield f"no signed governance record ({RECORD_FILE})"
        else:
            yield from self._misplaced(record, now)
        artefacts = {entry.artefact for entry in record.artefacts} if record else frozenset()
        yield from (
            f"artefact {artefact} is not sealed in the record" for artefact in Artefact if artefact not in artefacts
        )
        proofs = {entry.proof for entry in record.proofs} if record else frozenset()
        yield from (f"the proof of {proof} is not in the record" for proof in Proof if proof not in proofs)
        reviews = {entry.review: entry.blocking_findings for entry in record.reviews} if record else {}
        for review in ReviewKind:
            if review not in reviews:
                yield f"the {review} review is not in the record"
            elif reviews[review]:
                yield f"the {review} review has blocking findings"
        if record is None or record.unblock is None:
            yield "no unblock decision of platform governance"
        elif record.unblock.decided_at < _last_evidence(record):
            yield "the unblock decision is older than the evidence or a review"

    def _misplaced(self, record: GovernanceRecord, now: datetime) -> Iterator[str]:
        if record.seal != self.configuration.seal_digest:
            yield "the governance record covers another seal than the present one"
        if record.environment is not self._environment:
            yield "the governance record is for another environment"
        if record.issued_at > now:
            yield "the governance record is not valid yet"
        if record.expires_at <= now:
            yield "the governance record has expired"
        if any(ShownConnection.of(each) not in record.connections for each in self.configuration.connections.values()):
            yield "the governance record does not show every connection's network, credential scheme and token host"


def _last_evidence(record: GovernanceRecord) -> datetime:
    instants = [entry.verified_at for entry in record.proofs] + [entry.completed_at for entry in record.reviews]
    return max(instants, default=record.issued_at)


def _verified(configuration: Configuration, keyring: Keyring, model: type[R], name: str) -> R | None:
    try:
        content = documents.read(configuration.home / name, name, MAX_TOKEN_BYTES)
        if content is None:
            return None
        token = content.decode("ascii").strip()
        return keyring.verify(token, model, practice=configuration.settings.practice).statement
    except (DocumentError, UsageError) as error:
        raise ConfigurationError(f"{name}: {error}; have it signed anew, or remove it") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name} is no signed statement; have it signed anew, or remove it") from None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
