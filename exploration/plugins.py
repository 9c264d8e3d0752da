"""The practice's plugins in memory: evidence, references, credentials and sinks, each answer a choice.

Owns: what a truthful source says, and how sources fail: refusing, raising, hanging, answering for another attempt.
Sinks keep, by hash, what they acknowledged; a keeper that fails may have kept all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from exploration.adapter import ExploredAdapter, VendorError
from exploration.ports import GOOD, Port, Turnstile
from exploration.practice import EXPLORED, SINKS, TOKEN, Practice, consent_of
from gateway.config import PluginUse
from gateway.contracts.adapter import Adapter
from gateway.contracts.evidence import (
    ConsentEvidence,
    Evidence,
    EvidenceSource,
    IdentityEvidence,
    NoticeEvidence,
    Question,
    TenantEvidence,
)
from gateway.contracts.proposal import Proposal
from gateway.contracts.signals import Event
from gateway.hookspecs import AuditSink, Binding, CredentialSource, ReferenceResolver, Resolved, hookimpl
from gateway.plugins import Plugins, discover

E = TypeVar("E", bound=Evidence)

_FAILING: Final = ("raises", "hangs", "stale", "nonsense")
IDENTITY: Final = Port(
    "evidence.identity", ("unidentified", "unknown", "unauthorised", *_FAILING), ("unidentified", "hangs")
)
TENANT: Final = Port("evidence.tenant", ("stranger", *_FAILING))
CONSENT: Final = Port("evidence.consent", ("withdrawn", "changed", *_FAILING))
NOTICE: Final = Port("evidence.notice", ("untold", *_FAILING))
RESOLVE: Final = Port("resolver.resolve", ("none", "several", "changed", "raises", "hangs"))
BIND: Final = Port("resolver.bind", ("raises", "hangs"))
SECRET: Final = Port("credentials.secret", ("raises", "hangs"))
SINK_READY: Final = Port("sink.ready", ("raises", "hangs"))
SINK_ACCEPT: Final = Port("sink.accept", ("raises", "hangs", "keeps-then-raises"), ("raises", "hangs"))

_FALSE: Final[Mapping[str, Mapping[str, Any]]] = {
    "unidentified": {"patient_identified": False},
    "unknown": {"reviewer_known": False},
    "unauthorised": {"operator_authorised": False},
    "stranger": {"patient_belongs": False},
    "withdrawn": {"in_force": False},
    "changed": {"consent": "0" * 64},
    "untold": {"informed_of": None},
    "stale": {"nonce": "0" * 32},
}


@dataclass(frozen=True, slots=True)
class Evidences:
    """`EvidenceSource`: what is true of everybody in this practice, unless chance says otherwise."""

    turnstile: Turnstile
    practice: Practice
    now: Callable[[], datetime]

    async def identity(self, question: Question) -> IdentityEvidence:
        truth = IdentityEvidence(
            nonce=question.nonce,
            as_of=self.now(),
            patient_identified=True,
            reviewer_known=True,
            reviewer_authorised=True,
            operator_authorised=True,
        )
        return await self._told(IDENTITY, truth)

    async def tenant(self, question: Question) -> TenantEvidence:
        truth = TenantEvidence(
            nonce=question.nonce,
            as_of=self.now(),
            practice=self.practice.reference,
            patient_belongs=True,
            reviewer_belongs=True,
            connection_belongs=True,
        )
        return await self._told(TENANT, truth)

    async def consent(self, question: Question) -> ConsentEvidence:
        truth = ConsentEvidence(
            nonce=question.nonce,
            as_of=self.now(),
            in_force=True,
            consent=consent_of(question.patient),
        )
        return await self._told(CONSENT, truth)

    async def notice(self, question: Question) -> NoticeEvidence:
        truth = NoticeEvidence(
            nonce=question.nonce,
            as_of=self.now(),
            informed_of=question.proposal_digest,
            irreversibility_told=True,
        )
        return await self._told(NOTICE, truth)

    async def _told(self, port: Port, truth: E) -> E:
        chosen = await self.turnstile.pass_through(port)
        if chosen == GOOD:
            return truth
        if chosen == "raises":
            raise VendorError
        if chosen == "hangs":
            await self.turnstile.for_ever()
        if chosen == "nonsense":
            nothing: Any = None
            return nothing  # type: ignore[no-any-return]  # the point
        return truth.model_copy(update=dict(_FALSE[chosen]))


@dataclass(frozen=True, slots=True)
class References:
    """`ReferenceResolver`: what the practice knows of each proposal."""

    turnstile: Turnstile
    practice: Practice

    async def resolve(self, proposal: Proposal) -> Sequence[Resolved]:
        chosen = await self.turnstile.pass_through(RESOLVE)
        asked = self.practice.asked.get(proposal.proposal_digest)
        matches = () if asked is None or chosen == "none" else (asked.resolved,)
        if chosen == "raises":
            raise VendorError
        if chosen == "hangs":
            await self.turnstile.for_ever()
        if chosen == "changed" and asked is not None:
            return (replace(asked.resolved, salt="f0" * 32),)
        return matches * 2 if chosen == "several" else matches

    async def bind(self, binding: Binding) -> None:
        chosen = await self.turnstile.pass_through(BIND)
        if chosen == "raises":
            raise VendorError
        if chosen == "hangs":
            await self.turnstile.for_ever()


@dataclass(frozen=True, slots=True)
class Secrets:
    """`CredentialSource`."""

    turnstile: Turnstile

    async def secret(self, name: str) -> str:
        chosen = await self.turnstile.pass_through(SECRET)
        if chosen == "raises":
            raise VendorError
        if chosen == "hangs":
            await self.turnstile.for_ever()
        return TOKEN


@dataclass(frozen=True, slots=True)
class Sink:
    """`AuditSink`. `kept` outlives every process: hashes of events that it has, in whatever way it answered."""

    turnstile: Turnstile
    acknowledged: set[str] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)

    async def ready(self) -> None:
        await self._meet(SINK_READY)

    async def accept(self, events: Sequence[tuple[str, Event]]) -> None:
        chosen = await self._meet(SINK_ACCEPT)
        self.turnstile.parted += 1
        self.events.extend(event for _, event in events)
        if chosen == "keeps-then-raises":
            raise VendorError
        self.acknowledged.update(hash_ for hash_, _ in events)

    async def _meet(self, port: Port) -> str:
        chosen = await self.turnstile.pass_through(port)
        if chosen == "raises":
            raise VendorError
        if chosen == "hangs":
            await self.turnstile.for_ever()
        return chosen


@dataclass(frozen=True, slots=True)
class Plugin:
    """All of them, as one pluggy plugin."""

    adapter: ExploredAdapter
    evidence: Evidences
    references: References
    secrets: Secrets
    sinks: Mapping[str, Sink]

    @classmethod
    def create(cls, turnstile: Turnstile, practice: Practice, now: Callable[[], datetime]) -> Plugin:
        return cls(
            adapter=ExploredAdapter(turnstile),
            evidence=Evidences(turnstile, practice, now),
            references=References(turnstile, practice),
            secrets=Secrets(turnstile),
            sinks={name: Sink(turnstile) for name in SINKS},
        )

    @hookimpl
    def gateway_adapters(self) -> Mapping[str, Adapter]:
        return {EXPLORED.name: self.adapter}

    @hookimpl
    def gateway_evidence_sources(
        self, name: str, options: Mapping[str, str], home: Path
    ) -> Mapping[str, EvidenceSource]:
        return {EXPLORED.name: self.evidence}

    @hookimpl
    def gateway_reference_resolvers(
        self, name: str, options: Mapping[str, str], home: Path
    ) -> Mapping[str, ReferenceResolver]:
        return {EXPLORED.name: self.references}

    @hookimpl
    def gateway_credential_sources(
        self, name: str, options: Mapping[str, str], home: Path
    ) -> Mapping[str, CredentialSource]:
        return {EXPLORED.name: self.secrets}

    @hookimpl
    def gateway_audit_sinks(self, name: str, options: Mapping[str, str], home: Path) -> Mapping[str, AuditSink]:
        return dict(self.sinks)


class KnownPlugins(Plugins):
    """`Plugins` that looks up each choice once: finding and judging plugins is not what a world explores."""

    __slots__ = ("_known",)
    _known: dict[tuple[str, str], object]

    @classmethod
    def of(cls, plugin: Plugin) -> KnownPlugins:
        found = discover([plugin], installed=())
        known = cls(**{each.name: getattr(found, each.name) for each in fields(found)})
        object.__setattr__(known, "_known", {})
        return known

    def _chosen(self, hook: str, protocol: type, use: PluginUse, home: Path) -> object:
        known: dict[tuple[str, str], object] = self._known
        if (hook, use.name) not in known:
            known[hook, use.name] = super()._chosen(hook, protocol, use, home)
        return known[hook, use.name]
