"""A peer on a real socket (`tests.peers`), an adapter made of functions, a practice to engage for, and its tokens."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from gateway.authorization import Authorization, Verdict
from gateway.boundary import Boundary, CommitResult, Engagement
from gateway.clock import SystemClock
from gateway.config import Bounds
from gateway.contracts.adapter import (
    Authorized,
    Basis,
    Descriptor,
    Exclusivity,
    Idempotency,
    Observation,
    Query,
    Readiness,
    Receipt,
    Request,
)
from gateway.contracts.connection import Connection, CredentialUse, Scheme, TokenEndpoint
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation, Origin, Participant, Particulars, Proposal, Role, Target
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
from gateway.contracts.words import GateName, ObservationFinding
from gateway.hookspecs import Binding, CredentialSource, Resolved
from tests.peers.authority import Authority
from tests.peers.peer import Peer, reply

START = dt.datetime(2031, 3, 4, 9, 0, tzinfo=dt.UTC)
SALT = hashlib.sha256(b"salt").hexdigest()
Answer = Callable[..., bytes]
SECRET = "client-1:canary-secret"


@dataclass
class Guest:
    """An adapter made of functions; each default is a well-behaved one."""

    ready: Callable[[Request, httpx.AsyncClient], Awaitable[Readiness]] | None = None
    act: Callable[[Authorized, httpx.AsyncClient], Awaitable[Receipt]] | None = None
    look: Callable[[Query, httpx.AsyncClient], Awaitable[Observation]] | None = None
    claims: dict[str, Any] = field(default_factory=dict)
    called: list[str] = field(default_factory=list)

    def describe(self, connection: Connection) -> Descriptor:
        claims: dict[str, Any] = {
            "adapter": "guest",
            "operations": tuple(Operation),
            "idempotency": Idempotency.UNIQUE,
            "exclusivity": Exclusivity.ENFORCED,
            "observation": Basis.BY_KEY,
        }
        return Descriptor(**(claims | self.claims))

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        self.called.append("readiness")
        if self.ready is not None:
            return await self.ready(request, read)
        found = await read.get("ready")
        return Readiness.proven(prepared=found.headers.get("etag"))

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        self.called.append("commit")
        if self.act is not None:
            return await self.act(authorized, write)
        answer = await write.put(f"events/{authorized.native_key()}", content=b"event")
        if answer.is_success:
            return Receipt.applied(identifier="vendor-1", version=answer.headers.get("etag"))
        return Receipt.refused(Code.SLOT_TAKEN) if answer.status_code == 409 else Receipt.unknown()

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        self.called.append("observe")
        if self.look is not None:
            return await self.look(query, read)
        await read.get(f"events/{query.native_key()}")
        return Observation(finding=ObservationFinding.PRESENT, basis=Basis.BY_KEY, version='"1"')


@dataclass
class Registry:
    """A reference resolver that answers what it is told, and remembers what came home."""

    matches: Sequence[Resolved] = ()
    bound: list[Binding] = field(default_factory=list)
    failing: BaseException | None = None
    binding: Callable[[], Awaitable[None]] | None = None

    async def resolve(self, proposal: Proposal) -> Sequence[Resolved]:
        if self.failing is not None:
            raise self.failing
        return self.matches

    async def bind(self, binding: Binding) -> None:
        self.bound.append(binding)
        if self.binding is not None:
            await self.binding()


@dataclass
class Practice:
    """One practice with one connection to one peer."""

    connection: Connection
    particulars: Particulars
    proposal: Proposal
    registry: Registry = field(default_factory=Registry)
    guest: Guest = field(default_factory=Guest)
    credentials: tuple[CredentialSource, ...] = ()
    bounds: Bounds = field(default_factory=Bounds)
    tls: ssl.SSLContext | None = None
    admits: Callable[[str, int], bool] = lambda host, port: host in ("127.0.0.1", "localhost")
    clock: SystemClock = field(default_factory=SystemClock)

    @classmethod
    def at(cls, url: str, hosts: tuple[str, ...], operation: Operation = Operation.BOOK, **details: Any) -> Practice:
        connection = Connection(
            connection_id=ConnectionId.random(),
            practice=PracticeId.random(),
            adapter="guest",
            base_url=url,
            hosts=hosts,
            zone="Europe/Berlin",
            **details,
        )
        booking = operation is Operation.BOOK
        target = None if booking else Target(appointment=AppointmentId.random(), version=SALT)
        particulars = Particulars(
            patient=PatientId.random(),
            participants=(
                Participant(role=Role.PRACTITIONER, participant=ParticipantId.random()),
                Participant(role=Role.DEVICE, participant=ParticipantId.random()),
            ),
            location=LocationId.random(),
            service=ServiceId.random(),
            start=START,
            end=START + dt.timedelta(minutes=30),
            zone="Europe/Berlin",
            target=target,
        )
        proposal = Proposal(
            proposal_id=ProposalId.random(),
            revision=1,
            practice=connection.practice,
            connection=connection.connection_id,
            operation=operation,
            origin=Origin.PATIENT,
            initiator=PersonId.random(),
            patient=particulars.patient,
            consent=SALT,
            commitment=particulars.commitment(SALT),
            target=target,
            created_at=START - dt.timedelta(days=2),
            expires_at=START - dt.timedelta(days=1),
        )
        practice = cls(connection=connection, particulars=particulars, proposal=proposal)
        practice.registry.matches = [practice.resolved()]
        return practice

    def resolved(self, **changes: Any) -> Resolved:
        known: dict[str, Any] = {"particulars": self.particulars, "salt": SALT, "identifiers": {}}
        return Resolved(**(known | changes))

    def boundary(self) -> Boundary:
        return Boundary(
            adapters={"guest": self.guest},
            connections={self.connection.connection_id: self.connection},
            resolver=self.registry,
            credentials=self.credentials,
            clock=self.clock,
            admits=self.admits,
            sibling_digest=lambda *parts: "|".join(parts),
            bounds=self.bounds,
            tls=self.tls,
        )

    async def engage(self) -> Engagement:
        return await self.boundary().engage(self.proposal)

    def authorization(self) -> Authorization:
        return Authorization.grant(
            [Verdict(gate) for gate in GateName],
            allowed=True,
            proposal_digest=self.proposal.proposal_digest,
            expires=self.clock.monotonic() + 60,
        )

    async def commit(self) -> CommitResult:
        engagement = await self.engage()
        assert await engagement.readiness() is None
        return await engagement.commit(self.authorization())


class Vault:
    def __init__(self, secret: str = SECRET) -> None:
        self.value = secret
        self.asked = 0

    async def secret(self, name: str) -> str:
        assert name == "ehr"
        self.asked += 1
        return self.value


class Shifted(SystemClock):
    """The machine's clock, and what a test adds to it."""

    seconds = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.seconds


def issue(answer: Answer, life: object = 300, status: int = 200) -> Callable[[Any], Any]:
    """A token endpoint that numbers its tokens."""
    issued = iter(range(1, 100))

    async def handle(call: Any) -> None:
        said = {"access_token": f"canary-token-{next(issued)}", "token_type": "Bearer", "expires_in": life}
        body = json.dumps({name: value for name, value in said.items() if value is not None}).encode()
        await call.answer(answer(status, body))

    return handle


def locked(practice: Any, url: str, scheme: Scheme = Scheme.CLIENT_CREDENTIALS, **token: str) -> Vault:
    use = CredentialUse(scheme=scheme, name="ehr", token=TokenEndpoint(url=url, **token))
    hosts = dict.fromkeys((*practice.connection.hosts, use.token.host if use.token else ""))
    practice.connection = practice.connection.model_copy(update={"credential": use, "hosts": tuple(hosts)})
    practice.clock = Shifted()
    vault = Vault()
    practice.credentials = (vault,)
    return vault


def fetches(peer: Any) -> list[Any]:
    return [call for call in peer.calls if call.target == "/token"]


def carried(peer: Any) -> list[str | None]:
    return [call.headers.get("authorization") for call in peer.calls if call.target != "/token"]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.found(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def authority_of_another(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """As trusted as `authority`, but it speaks for another host."""
    return Authority.found(tmp_path_factory.mktemp("another"), "calendar.example")


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Awaitable[Peer]]]:
    """Start a peer on a free loopback port; `tls` makes it speak TLS."""
    async with AsyncExitStack() as stack:

        async def started(tls: ssl.SSLContext | None = None) -> Peer:
            return await stack.enter_async_context(Peer(tls=tls).listening())

        yield started


@pytest.fixture
async def peer(start: Callable[..., Awaitable[Peer]]) -> Peer:
    return await start()


@pytest.fixture
def practice(peer: Peer) -> Practice:
    return Practice.at(f"http://127.0.0.1:{peer.port}/", (f"127.0.0.1:{peer.port}",))


@pytest.fixture
def practice_at() -> Callable[..., Practice]:
    return Practice.at


@pytest.fixture
def answer() -> Callable[..., bytes]:
    return reply


@pytest.fixture
def hurried() -> Bounds:
    """Bounds too short for anybody to wait for."""
    short: dict[str, Any] = {"evidence_seconds": 0.1, "readiness_seconds": 0.1}
    return Bounds.model_construct(**short)


@pytest.fixture
def vault(practice: Any, peer: Any, answer: Answer) -> Vault:
    peer.safe_posts = ("/token",)
    peer.on["POST /token"] = issue(answer)
    return locked(practice, f"http://127.0.0.1:{peer.port}/token", scope="calendar")
