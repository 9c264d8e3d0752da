"""For adapter authors: one attempt's dealings with an external system, through the real boundary.

    async with AdapterHarness(MyAdapter(), "http://127.0.0.1:8080/") as harness:
        assert await harness.readiness() is None
        assert (await harness.commit()).effect is Effect.APPLIED

Owns: the practice around one attempt (connection, particulars, resolver) and a test authorization. What may be
sent, what is counted and what is believed is the production boundary's. Refuses: every host but loopback.
There is no journal and no orchestrator: no gate judges, and at-most-once is held within one harness only.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe
from types import MappingProxyType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

from gateway.authorization import Authorization, Verdict
from gateway.boundary import Boundary, CommitResult, Engagement, Look
from gateway.boundary.session import Session
from gateway.boundary.tokens import Token
from gateway.clock import SystemClock
from gateway.config import Bounds
from gateway.contracts import references
from gateway.contracts.adapter import Adapter, Identifiers, Request, native_key, version_digest
from gateway.contracts.canonical import digest
from gateway.contracts.connection import ENCRYPTED, PORTS, Connection, CredentialUse
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation, Origin, Participant, Particulars, Proposal, Role, Target
from gateway.contracts.references import AppointmentId
from gateway.contracts.words import GateName, ObservationFinding
from gateway.errors import InvariantViolation
from gateway.hookspecs import Binding, Resolved

START: Final = datetime(2031, 3, 3, 9, 0, tzinfo=UTC)
VENDOR: Final[Mapping[str, str]] = MappingProxyType(
    {"patient": "patient-1", "practitioner": "practitioner-1", "location": "location-1", "service": "service-1"}
)
"""What the external system calls the four, unless a test says otherwise. One left out is bound to nothing."""

_SALT: Final = "5a" * 32
_ANY_DIGEST: Final = digest("testing/v1", b"")


def make_connection(base_url: str, **details: Any) -> Connection:
    """A connection to `base_url`, of a practice of its own; `details` are further fields of `Connection`. Its hosts are
    those of the base URL and of the credential's token endpoint."""
    address = urlsplit(base_url)
    port = address.port or PORTS[address.scheme]
    use = details.get("credential")
    token = use.token if isinstance(use, CredentialUse) else None
    hosts = dict.fromkeys((f"{address.hostname}:{port}", *((token.host,) if token is not None else ())))
    details.setdefault("connection_id", references.ConnectionId.random())
    details.setdefault("practice", references.PracticeId.random())
    details.setdefault("adapter", "under-test")
    details.setdefault("zone", "Europe/Berlin")
    return Connection(base_url=base_url, hosts=tuple(hosts), **details)


def make_request(
    where: str | Connection,
    operation: Operation = Operation.BOOK,
    *,
    start: datetime = START,
    minutes: int = 30,
    vendor: Mapping[str, str] = VENDOR,
    target: Target | None = None,
) -> Request:
    """A resolved request for `minutes` from `start` (UTC); `vendor` is shaped like `VENDOR`.
    `Authorized(request=…, prepared=…)` and `Query(request=…)` make an adapter's other two arguments."""
    connection = make_connection(where) if isinstance(where, str) else where
    particulars = Particulars(
        patient=references.PatientId.random(),
        participants=(Participant(role=Role.PRACTITIONER, participant=references.ParticipantId.random()),),
        location=references.LocationId.random(),
        service=references.ServiceId.random(),
        start=start,
        end=start + timedelta(minutes=minutes),
        zone=connection.zone,
        target=target,
    )
    places = (particulars.participants[0].participant, particulars.location, particulars.service)
    known = dict(zip(VENDOR, (particulars.patient, *places), strict=True))
    return Request(
        operation=operation,
        particulars=particulars,
        identifiers=Identifiers({known[name]: identifier for name, identifier in vendor.items()}),
        key=native_key(connection.practice, _ANY_DIGEST, operation),
        connection=connection,
    )


def make_proposal(request: Request) -> Proposal:
    """A proposal that commits to the request's particulars as a practice's own does."""
    particulars, connection = request.particulars, request.connection
    return Proposal(
        proposal_id=references.ProposalId.random(),
        revision=1,
        practice=connection.practice,
        connection=connection.connection_id,
        operation=request.operation,
        origin=Origin.PATIENT,
        initiator=references.PersonId.random(),
        patient=particulars.patient,
        consent=_ANY_DIGEST,
        commitment=particulars.commitment(_SALT),
        target=particulars.target,
        created_at=START - timedelta(days=1),
        expires_at=START,
    )


class AdapterHarness:
    """One attempt of one adapter at one action. `where` is a base URL on loopback, or a `make_request`.

    `secret` is what each of the connection's credentials resolves to. Entering raises `Refusal`: ADAPTER_FAULT
    for a descriptor that breaks the contract, OPERATION_UNSUPPORTED for an operation that it leaves out.
    """

    def __init__(
        self,
        adapter: Adapter,
        where: str | Request,
        *,
        secret: str = "",
        proposal: Proposal | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        request = make_request(where) if isinstance(where, str) else where
        self._adapter, self._secret, self._bounds = adapter, secret, bounds or Bounds()
        self._proposal = proposal or make_proposal(request)
        key = native_key(self._proposal.practice, self._proposal.proposal_digest, request.operation)
        self.request = replace(request, key=key)
        self.binding: Binding | None = None  # what an APPLIED commit sent home
        self._found: Look | None = None
        self._engagement: Engagement | None = None
        self._exchanged = False

    async def __aenter__(self) -> Self:
        connection = self.request.connection
        boundary = Boundary(
            adapters={connection.adapter: self._adapter},
            connections={connection.connection_id: connection},
            resolver=self,
            credentials=(self,),
            clock=SystemClock(),
            admits=lambda host, port: host in ("127.0.0.1", "localhost", "::1"),
            sibling_digest=lambda *parts: digest("testing/v1", "|".join(parts).encode()),
            bounds=self._bounds,
            # Reading the system's trust store takes longer than all the rest. A plain one needs none: trust nobody.
            tls=None if urlsplit(connection.base_url).scheme in ENCRYPTED else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )
        self._engagement = await boundary.engage(self._proposal)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._engaged.aclose()

    async def readiness(self) -> Code | None:
        """None: proven, and the commit may follow; else the code that would block the attempt."""
        return await self._engaged.readiness()

    async def commit(self) -> CommitResult:
        """Dispatch; raises `InvariantViolation` the second time, and where readiness was not proven before."""
        await self._exchange()
        authorization = Authorization.grant(
            tuple(Verdict(gate) for gate in GateName),
            allowed=True,
            proposal_digest=self._proposal.proposal_digest,
            expires=SystemClock().monotonic() + self._bounds.authorization_seconds,
        )
        return await self._engaged.commit(authorization)

    async def observe(self) -> Look:
        """One look. The settling time, before which no ABSENT is believed, is not judged here."""
        await self._exchange()
        look = await self._engaged.observe()
        if look.finding is ObservationFinding.PRESENT:
            self._found = look
        return look

    @property
    def reference(self) -> AppointmentId:
        """What the outcome calls the appointment."""
        return self._engaged.reference

    @property
    def requests(self) -> int:
        """Requests that the boundary let through so far. What arrived, only the system itself can say."""
        return self._engaged.requests

    def use_secret(self, secret: str) -> None:
        """From the next phase on every credential resolves to this. Where it is exchanged for a token, commit and look
        have one of this secret's: as if its rights, or it itself, had ended since readiness."""
        self._secret, self._exchanged = secret, True

    def again(self, adapter: Adapter | None = None) -> AdapterHarness:
        """A new attempt at the very same proposal, hence with the same native key."""
        return self._next(self.request, adapter, self._proposal)

    def following(
        self, operation: Operation, start: datetime | None = None, adapter: Adapter | None = None
    ) -> AdapterHarness:
        """An attempt to reschedule (to `start`) or cancel what this one wrote: under the version that came home or,
        where none did (a relay's acceptance brings nothing), the one that a look of this attempt found."""
        booked, start = self.reference, start or self.request.particulars.start
        target = Target(appointment=booked, version=self._version)
        particulars = self.request.particulars
        moved = {"start": start, "end": start + (particulars.end - particulars.start), "target": target}
        particulars = particulars.model_copy(update=moved)
        identifier = None if self.binding is None else self.binding.identifier
        bound = {} if identifier is None else {str(booked): identifier}
        identifiers = Identifiers({**self.request.identifiers, **bound})
        request = replace(self.request, operation=operation, particulars=particulars, identifiers=identifiers)
        return self._next(request, adapter)

    @property
    def _version(self) -> str:
        if self.binding is not None and self.binding.version is not None:
            return version_digest(self.binding.version)
        if self._found is not None and self._found.version is not None:
            return self._found.version
        raise InvariantViolation("nothing with a version came home, and no look found one: commit first")

    def _next(self, request: Request, adapter: Adapter | None, proposal: Proposal | None = None) -> AdapterHarness:
        adapter = adapter or self._adapter
        return AdapterHarness(adapter, request, secret=self._secret, proposal=proposal, bounds=self._bounds)

    # The practice's side, which the boundary calls: a resolver and a credential source.

    async def resolve(self, proposal: Proposal) -> Sequence[Resolved]:
        particulars, identifiers = self.request.particulars, self.request.identifiers
        return (Resolved(particulars=particulars, salt=_SALT, identifiers=identifiers),)

    async def bind(self, binding: Binding) -> None:
        self.binding = binding

    async def secret(self, name: str) -> str:
        return self._secret

    async def _exchange(self) -> None:
        """Once for each new secret: what the endpoint grants for it; if nothing, a token that it never granted."""
        if not self._exchanged or not self.request.connection.credential.scheme.fetches:
            return
        self._exchanged = False
        async with self.again() as other:
            session = Session(other._engaged._door, writes=False)
            try:
                await session.unlock(0)
            except httpx.TransportError:
                session.token = Token(f"Bearer {token_urlsafe(24)}", None)
            finally:
                await session.aclose()
        self._engaged._token = session.token  # nothing in a gateway ends a token so

    @property
    def _engaged(self) -> Engagement:
        assert self._engagement is not None, "use the harness with `async with`"
        return self._engagement
