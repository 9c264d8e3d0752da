"""Every hook of the gateway: when it is called, how often, and what raising means.

Plugins register through the `gateway` entry-point group. Registration is all that pluggy does here: a
multi-call hook on the commit path would commit twice, so each hook returns a named object and the
gateway calls exactly one of them. `gateway.plugins` asks each plugin by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pluggy

from gateway.contracts.adapter import Adapter
from gateway.contracts.connection import Connection
from gateway.contracts.evidence import EvidenceSource
from gateway.contracts.proposal import Particulars, Proposal
from gateway.contracts.references import AppointmentId
from gateway.contracts.signals import Event

PROJECT = "gateway"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a proposal's references mean at the practice: seen by boundary and adapter only.

    `identifiers` maps opaque references (patient, participants, location, service, target appointment)
    to the vendor's identifiers for the proposal's connection.
    """

    particulars: Particulars = field(repr=False)
    salt: str = field(repr=False)
    identifiers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Vendor identifiers on their way home to the practice (CARD-15)."""

    connection: Connection
    proposal: Proposal
    appointment: AppointmentId
    identifier: str | None = field(repr=False)
    version: str | None = field(repr=False)


class ReferenceResolver(Protocol):
    """The practice's registry of what references mean; asked afresh in every attempt (CARD-09)."""

    async def resolve(self, proposal: Proposal) -> Sequence[Resolved]:
        """All matches. None or several block the attempt; so does raising."""
        ...

    async def bind(self, binding: Binding) -> None:
        """Carry identifiers home after an APPLIED commit. Raising leaves the effect as it is and the
        closure says that the binding is outstanding."""
        ...


class CredentialSource(Protocol):
    """Where secrets live. Called by the boundary only, once per session; raising blocks or is UNKNOWN."""

    async def secret(self, name: str) -> str:
        """The secret of that name: a token, or `user:password` for the basic scheme."""
        ...


class AuditSink(Protocol):
    """A further keeper of audit events. Returning acknowledges; raising, or being late, refuses.

    Before an intent the journal is first, afterwards every sink is: what a sink keeps of an effect or an end may be
    what the journal then did not take, and two processes may each have told it how an attempt went on. What happened
    is what the journal holds; an event with a hash that is not there is of an append that never was."""

    async def ready(self) -> None:
        """Prove, now, that events can be accepted (GATE-28)."""
        ...

    async def accept(self, events: Sequence[tuple[str, Event]]) -> None:
        """Durably keep (hash, event) pairs of one attempt, in order."""
        ...


@hookspec
def gateway_adapters() -> Mapping[str, Adapter]:  # type: ignore[empty-body]  # a specification
    """Adapters by name. Called once, when the gateway opens; raising stops the start."""


@hookspec
def gateway_evidence_sources(  # type: ignore[empty-body]  # a specification
    name: str, options: Mapping[str, str], home: Path
) -> Mapping[str, EvidenceSource]:
    """Evidence sources by name. Called once, when the gateway opens.

    `name` is the configured one and `options` are its own: a plugin without that name returns nothing, so
    that no plugin has to judge another's options. The same holds for the three hooks below.
    """


@hookspec
def gateway_reference_resolvers(  # type: ignore[empty-body]  # a specification
    name: str, options: Mapping[str, str], home: Path
) -> Mapping[str, ReferenceResolver]:
    """Reference resolvers by name. Called once, when the gateway opens."""


@hookspec
def gateway_credential_sources(  # type: ignore[empty-body]  # a specification
    name: str, options: Mapping[str, str], home: Path
) -> Mapping[str, CredentialSource]:
    """Credential sources by name. Called once, when the gateway opens."""


@hookspec
def gateway_audit_sinks(  # type: ignore[empty-body]  # a specification
    name: str, options: Mapping[str, str], home: Path
) -> Mapping[str, AuditSink]:
    """Audit sinks by name. Called once, when the gateway opens."""
