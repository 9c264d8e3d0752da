"""One attempt's dealings with one external system.

Owns: the three phases of an adapter (readiness, commit, observe), each in a session of its own, and the
particulars and identifiers, which never leave this object. Turns whatever an adapter does into one
bounded code (ADAPT-03, FAIL-15). Calls each adapter method at most once per phase; re-sends nothing.
Refuses: a commit without readiness proven in this engagement, or without a live authorization.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import httpx

from gateway.authorization import Authorization
from gateway.boundary.containment import Ending, contained
from gateway.boundary.effects import Silence, classify
from gateway.boundary.session import Door, Session
from gateway.boundary.tokens import Token
from gateway.clock import Clock
from gateway.config import Bounds
from gateway.contracts.adapter import (
    Adapter,
    Authorized,
    Basis,
    Claim,
    Descriptor,
    IdentifierAmbiguousError,
    IdentifierMissingError,
    Observation,
    Proof,
    Query,
    Readiness,
    Receipt,
    Request,
    TargetState,
    version_digest,
)
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Proposal
from gateway.contracts.references import AppointmentId
from gateway.contracts.words import Effect, ObservationFinding
from gateway.errors import InvariantViolation
from gateway.hookspecs import Binding, ReferenceResolver

Answer = TypeVar("Answer")

MAX_TEXT_BYTES: Final = 4096
TOKEN_MARGIN_SECONDS: Final = 5

_TARGET_CODES: Final = {
    TargetState.TAKEN: Code.SLOT_TAKEN,
    TargetState.CHANGED: Code.TARGET_CHANGED,
    TargetState.ABSENT: Code.TARGET_NOT_FOUND,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitResult:
    """What is known after a commit. `version` is a digest; `requests` are those of this phase."""

    effect: Effect
    code: Code
    version: str | None = None
    binding_outstanding: bool = False
    requests: int = 0
    mutating_requests: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One observation, bounded. `as_of` is the age of a copy, `version` a digest."""

    finding: ObservationFinding
    basis: Basis
    as_of: datetime | None = None
    version: str | None = None
    requests: int = 0


class Engagement:
    """One per attempt; `Boundary.engage` makes it. `siblings` are keyed digests of what must not be
    committed twice, `reference` is what the outcome will call the appointment."""

    def __init__(
        self,
        *,
        adapter: Adapter,
        door: Door,
        proposal: Proposal,
        request: Request,
        siblings: tuple[str, ...],
        resolver: ReferenceResolver,
        clock: Clock,
        bounds: Bounds,
    ) -> None:
        self.siblings = siblings
        self._adapter = adapter
        self._door = door
        self._proposal = proposal
        self._request = request
        self._resolver = resolver
        self._clock = clock
        self._bounds = bounds
        self._ready = False
        self._dispatched = False
        self._prepared: Any = None
        self._token: Token | None = None

    @property
    def descriptor(self) -> Descriptor:
        return self._door.descriptor

    @property
    def connection(self) -> Connection:
        return self._door.connection

    @property
    def reference(self) -> AppointmentId:
        target = self._proposal.target
        return self._request.key if target is None else target.appointment

    @property
    def requests(self) -> int:
        """Requests let through so far, over all phases."""
        allowed = self.descriptor.requests_per_attempt + self.connection.credential.requests
        return allowed - self._door.budget.remaining

    async def readiness(self) -> Code | None:
        """None: every proof of F-01 §4.6 holds now; else why not (GATE-24 to GATE-27)."""
        self._ready, self._prepared = False, None
        ending, session = await self._phase(
            lambda client: self._adapter.readiness(self._request, client),
            _sound_readiness,
            self._bounds.readiness_seconds,
            lasting=self._bounds.readiness_seconds + self._bounds.authorization_seconds + self._commit_lasting,
        )
        code = _unready(ending, session)
        if code is None and ending.value is not None:
            self._ready, self._prepared = True, ending.value.prepared
        return code

    async def commit(self, authorization: Authorization) -> CommitResult:
        """Dispatch, once. Raises `InvariantViolation` before the authorization is spent; afterwards
        nothing, but the cancellation of its own task."""
        if self._dispatched or not self._ready:
            raise InvariantViolation("a commit needs readiness proven in this engagement, and happens once")
        authorization.spend(self._proposal.proposal_digest, self._clock.monotonic())
        authorized = Authorized(request=self._request, prepared=self._prepared)
        self._dispatched, self._prepared = True, None
        ending, session = await self._phase(
            lambda client: self._adapter.commit(authorized, client),
            _sound_receipt,
            self.connection.limits.commit_seconds,
            lasting=self._commit_lasting,
            writes=True,
        )
        traffic = session.traffic()
        answer = _answer(ending)
        effect, code = classify(traffic, answer, self.descriptor.commitment)
        applied = answer if effect is Effect.APPLIED and isinstance(answer, Receipt) else None
        return CommitResult(
            effect=effect,
            code=code,
            version=version_digest(applied.version) if applied and applied.version is not None else None,
            binding_outstanding=applied is not None and not await self._bind(applied),
            requests=session.requests,
            mutating_requests=int(traffic.sent),
        )

    async def observe(self) -> Look:
        """Look, read-only. Never raises: whatever is not a proven finding is INDETERMINATE (CARD-03)."""
        if self.descriptor.observation is Basis.NONE:
            return Look(finding=ObservationFinding.INDETERMINATE, basis=Basis.NONE)
        query = Query(request=self._request, since=self._proposal.created_at)
        ending, session = await self._phase(
            lambda client: self._adapter.observe(query, client),
            _sound_observation,
            self._bounds.readiness_seconds,
            lasting=self.connection.limits.request_seconds,
        )
        seen = ending.value
        proven = session.fault is None and session.answered
        if seen is None or not proven or not _within(seen.basis, self.descriptor.observation):
            return Look(finding=ObservationFinding.INDETERMINATE, basis=Basis.NONE, requests=session.requests)
        return Look(
            finding=seen.finding,
            basis=seen.basis,
            as_of=seen.as_of,
            version=version_digest(seen.version) if seen.version is not None else None,
            requests=session.requests,
        )

    async def aclose(self) -> None:
        """Forget what readiness learnt; every session is closed at the end of its phase already."""
        self._ready, self._prepared, self._token = False, None, None

    @property
    def _commit_lasting(self) -> float:
        """Readiness renews what would not outlive the commit, which fetches nothing."""
        return self.connection.limits.commit_seconds + TOKEN_MARGIN_SECONDS

    async def _phase(
        self,
        call: Callable[[httpx.AsyncClient], Awaitable[Answer]],
        sound: Callable[[Answer], Answer],
        seconds: float,
        *,
        lasting: float,
        writes: bool = False,
    ) -> tuple[Ending[Answer], Session]:
        """`lasting`: how many seconds an access token must still be good for when the phase begins."""
        session = Session(self._door, writes=writes, token=self._token)

        async def work() -> Answer:
            await session.unlock(lasting)
            return sound(await call(session.client()))

        try:
            ending = await contained(work, seconds, session.close)
        finally:
            await session.aclose()
        self._token = session.token
        return ending, session

    async def _bind(self, receipt: Receipt) -> bool:
        """Carry the vendor's identifier home (CARD-15); the effect stands whether or not it arrives."""
        binding = Binding(
            connection=self.connection,
            proposal=self._proposal,
            appointment=self.reference,
            identifier=receipt.identifier,
            version=receipt.version,
        )
        ending = await contained(lambda: self._resolver.bind(binding), self._bounds.evidence_seconds)
        return ending.raised is None and not ending.late


def _unready(ending: Ending[Readiness], session: Session) -> Code | None:
    if session.fault is not None:
        return session.fault
    if ending.late:
        return Code.EXTERNAL_TIMEOUT
    if ending.raised is not None:
        return _excused(ending.raised, session.cause)
    seen = ending.value
    if seen is None:
        return Code.ADAPTER_FAULT
    return _refuted(seen, session.cause) or _unproven(seen, session)


def _refuted(seen: Readiness, cause: Code | None) -> Code | None:
    if seen.available is Proof.REFUTED:
        return cause or Code.EXTERNAL_UNAVAILABLE
    if seen.credentials is Proof.REFUTED:
        return Code.CREDENTIALS_REJECTED
    if seen.authorised is Proof.REFUTED:
        return Code.EXTERNAL_FORBIDDEN
    return _TARGET_CODES.get(seen.target)


def _unproven(seen: Readiness, session: Session) -> Code | None:
    """Being reachable is proven by a reply in this very phase, whatever the adapter remembers (I4)."""
    proofs = (seen.available, seen.credentials, seen.authorised)
    if all(proof is Proof.PROVEN for proof in proofs) and seen.target is TargetState.OPEN and session.answered:
        return None
    return session.cause or Code.READINESS_UNVERIFIABLE


def _excused(raised: type[BaseException], cause: Code | None) -> Code:
    """The code for an exception: the world's fault where the session knows so, else the adapter's."""
    if issubclass(raised, IdentifierMissingError):
        return Code.PARTICULARS_MISSING
    if issubclass(raised, IdentifierAmbiguousError):
        return Code.PARTICULARS_AMBIGUOUS
    if issubclass(raised, httpx.TransportError) and cause is not None:
        return cause
    return Code.ADAPTER_FAULT


def _answer(ending: Ending[Receipt]) -> Receipt | Silence:
    if ending.value is not None:
        return ending.value
    if ending.late:
        return Silence.LATE
    broken_off = ending.raised is not None and issubclass(ending.raised, httpx.TransportError)
    return Silence.BROKEN_OFF if broken_off else Silence.FAULTY


def _within(basis: Basis, declared: Basis) -> bool:
    """An observation is no better than its descriptor says it can be."""
    return basis is not Basis.NONE and declared in (basis, Basis.BY_KEY)


def _sound_readiness(seen: Readiness) -> Readiness:
    proofs = (seen.available, seen.credentials, seen.authorised)
    _require(type(seen) is Readiness and isinstance(seen.target, TargetState))
    _require(all(isinstance(proof, Proof) for proof in proofs))
    return seen


def _sound_receipt(receipt: Receipt) -> Receipt:
    _require(type(receipt) is Receipt and isinstance(receipt.claim, Claim) and isinstance(receipt.code, Code))
    _require(_is_text(receipt.identifier) and _is_text(receipt.version))
    return receipt


def _sound_observation(seen: Observation) -> Observation:
    _require(type(seen) is Observation and isinstance(seen.finding, ObservationFinding))
    _require(isinstance(seen.basis, Basis) and _is_text(seen.version))
    if seen.as_of is None:
        return seen
    _require(type(seen.as_of) is datetime and seen.as_of.utcoffset() is not None)
    return replace(seen, as_of=seen.as_of.astimezone(UTC))


def _require(sound: bool) -> None:
    """Raised in the guest's own task, where anything raised is the adapter's fault."""
    if not sound:
        raise TypeError("not what the adapter contract says")


def _is_text(value: str | None) -> bool:
    """None, or text of bounded length that UTF-8 can carry (no lone surrogates). A subclass would run the
    guest's own code wherever the text is used."""
    return value is None or (type(value) is str and len(value.encode()) <= MAX_TEXT_BYTES)
