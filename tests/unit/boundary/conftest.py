"""A peer that can behave badly on a real socket, an adapter made of functions, and a practice to engage for."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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
from gateway.contracts.connection import Connection
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

START = dt.datetime(2031, 3, 4, 9, 0, tzinfo=dt.UTC)
SALT = hashlib.sha256(b"salt").hexdigest()
SAFE = ("GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT", "SEARCH")

Handler = Callable[["Call"], Awaitable[None]]


def reply(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """A well-framed reply."""
    fields = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body


@dataclass(frozen=True)
class Call:
    """One request as the peer saw it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter

    async def answer(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    def reset(self) -> None:
        """Close so that the client sees a reset, not an end."""
        self.writer.transport.abort()


@dataclass
class Peer:
    """An HTTP server of our own, told what to do per method. Its counts are the oracle."""

    port: int = 0
    calls: list[Call] = field(default_factory=list)
    connections: int = 0
    on: dict[str, bytes | Handler] = field(default_factory=dict)
    early: dict[str, bytes] = field(default_factory=dict)
    safe_posts: tuple[str, ...] = ()

    @property
    def mutations(self) -> int:
        return sum(1 for call in self.calls if call.method not in SAFE and call.target not in self.safe_posts)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await self._one(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        if method in self.early:
            self.calls.append(Call(method, target, headers, b"", writer))
            await self.calls[-1].answer(self.early[method])
            await reader.read()  # a close with unread bytes would reset, and take the reply with it
            raise ConnectionResetError
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        call = Call(method, target, headers, body, writer)
        self.calls.append(call)
        action = self.on.get(f"{method} {target}", self.on.get(method, reply()))
        if isinstance(action, bytes):
            await call.answer(action)
        else:
            await action(call)
        if writer.transport.is_closing():
            raise ConnectionResetError


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


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the practice's own, and what peer and boundary need of it."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    directory = tmp_path_factory.mktemp("authority")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path: Path = directory / "chain.pem"
    encoding = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(encoding)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return Authority(server=server, client=ssl.create_default_context(cafile=path))


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Awaitable[Peer]]]:
    """Start a peer on a free loopback port; `tls` makes it speak TLS."""
    async with AsyncExitStack() as stack:
        peers: list[asyncio.Task[None]] = []
        writers: list[asyncio.StreamWriter] = []

        async def started(tls: ssl.SSLContext | None = None) -> Peer:
            peer = Peer()

            def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writers.append(writer)
                peers.append(asyncio.ensure_future(peer.serve(reader, writer)))

            server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=tls)
            stack.callback(server.close)
            peer.port = server.sockets[0].getsockname()[1]
            return peer

        yield started
        for task in peers:
            task.cancel()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*peers, return_exceptions=True)
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


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
