"""A real system that records what it gets, and a client that sees every byte and how a connection ended."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from conformance.faults.messages import Reads
from conformance.faults.proxy import Proxy
from gateway.contracts.calls import SafeCalls

CANARY = "CANARY-5f1c"
READS = Reads(posts=("/dav/find",), calls=SafeCalls(address="/dav/rpc", methods=("list.read",)))
CREATED = b'HTTP/1.1 201 Created\r\nETag: "v1"\r\nContent-Length: 12\r\n\r\n{"id": "a1"}'
PUT = (
    b"PUT /dav/a1?x=%20y HTTP/1.1\r\nhOst: example\r\nX-Own: a  b\r\nContent-Length: 10\r\nConnection: close"
    b"\r\n\r\n0123456789"
)
GET = b"GET /dav/a1 HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n"
DELETE = b"DELETE /dav/a1 HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n"


@dataclass
class System:
    """Answers every request with `reply`; `gate` closed holds the answer back."""

    reply: bytes = CREATED
    hangs_up: bool = False
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    taken_by: list[int] = field(default_factory=list)
    url: str = ""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        own = self.connections
        self.writers.append(writer)
        self.tasks.append(asyncio.current_task())
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    self.requests.append(await whole(reader))
                    self.taken_by.append(own)
                    await self.gate.wait()
                    writer.write(self.reply)
                    await writer.drain()
                    if self.hangs_up:
                        break
        except asyncio.CancelledError:
            pass  # asyncio's streams would report the end of the test as an error of the server's
        finally:
            writer.transport.abort()


async def whole(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    if length := re.search(rb"\r\ncontent-length: *([0-9]+)", head, re.IGNORECASE):
        return head + await reader.readexactly(int(length[1]))
    if b"transfer-encoding" in head.lower():
        return head + await reader.readuntil(b"\r\n0\r\n\r\n")
    return head


@asynccontextmanager
async def running(system: System, tls: ssl.SSLContext | None = None) -> AsyncIterator[System]:
    server = await asyncio.start_server(system.serve, "127.0.0.1", 0, ssl=tls, limit=32 * 1024 * 1024)
    port = server.sockets[0].getsockname()[1]
    system.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/dav/"
    system.gate.set()
    try:
        yield system
    finally:
        server.close()
        for writer in system.writers:
            writer.transport.abort()
        for task in system.tasks:
            task.cancel()
        await asyncio.gather(*system.tasks, return_exceptions=True)
        await server.wait_closed()


@dataclass
class Seen:
    """What came back before the end, and whether the end was a reset."""

    received: bytes
    reset: bool

    @property
    def nothing(self) -> bool:
        return self.reset and not self.received


class Caller:
    """One connection to a proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, proxy: Proxy) -> Caller:
        parts = urlsplit(proxy.url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    def say(self, content: bytes) -> None:
        self.writer.write(content)

    async def some(self, count: int) -> bytes:
        return await self.reader.readexactly(count)

    async def rest(self) -> Seen:
        received = b""
        try:
            while more := await self.reader.read(1 << 20):
                received += more
        except ConnectionResetError:
            return Seen(received, reset=True)
        finally:
            self.hang_up()
        return Seen(received, reset=False)

    def hang_up(self) -> None:
        self.writer.transport.abort()


Ask = Callable[[Proxy, bytes], Awaitable[Seen]]


@pytest.fixture
async def system() -> AsyncIterator[System]:
    async with running(System()) as started:
        yield started


@pytest.fixture
async def proxy(system: System) -> AsyncIterator[Proxy]:
    async with Proxy.open(system.url, canary=CANARY, reads=READS) as opened:
        yield opened


@pytest.fixture
def call() -> Callable[[Proxy], Awaitable[Caller]]:
    return Caller.to


@pytest.fixture
def ask() -> Ask:
    """Send one request, read to the connection's end."""

    async def asked(proxy: Proxy, request: bytes) -> Seen:
        caller = await Caller.to(proxy)
        caller.say(request)
        return await caller.rest()

    return asked


@pytest.fixture
def put() -> bytes:
    return PUT


@pytest.fixture
def get() -> bytes:
    return GET


@pytest.fixture
def delete() -> bytes:
    return DELETE


@pytest.fixture
def start() -> Callable[..., object]:
    return running


@pytest.fixture
def system_class() -> type[System]:
    return System
