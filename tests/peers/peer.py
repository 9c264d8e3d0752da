"""A peer on a real socket, told how to behave; what it counts is the oracle.

Owns: a listener on 127.0.0.1 without any library for the protocol, the framing of requests (HTTP/1.1 with
Content-Length, or MLLP: all that the boundary sends), the count of mutating requests, and what a behaviour may do to a
connection. How it behaves is told from outside: before a byte is read (`accept`), with the head alone (`early`; of a
message, its MSH segment), or with the whole request (`on`).
Refuses: nothing; what it cannot read as a request ends the connection.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

SAFE = ("GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT", "SEARCH")

Handler = Callable[["Call"], Awaitable[None]]


def reply(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """A well-framed reply."""
    fields = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body


def called(body: bytes) -> object:
    """The JSON-RPC method that a body names, as a server with Python's own reader takes it."""
    try:
        content = json.loads(body)
    except ValueError:
        return None
    return content.get("method") if isinstance(content, dict) else None


def framed(message: bytes) -> bytes:
    """A well-framed message."""
    return b"\x0b" + message + b"\x1c\r"


def reset(connection: socket.socket) -> None:
    """Close so that the other side sees a reset: SO_LINGER of 0 seconds discards what is queued."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@dataclass(frozen=True)
class Call:
    """One request as the peer saw it: the `ordinal`th on that `connection`, both counted from 1."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter
    peer: Peer
    connection: int
    ordinal: int

    @property
    def open(self) -> bool:
        return not self.writer.transport.is_closing()

    async def answer(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    def close(self) -> None:
        """Send what is queued, then an end; over TLS a proper one."""
        self.writer.close()

    def reset(self) -> None:
        """Close so that the client sees a reset, not an end."""
        if self.open:
            reset(self.writer.get_extra_info("socket"))
        self.writer.transport.abort()

    def finish(self) -> None:
        """Send an end, and go on reading."""
        self.writer.get_extra_info("socket").shutdown(socket.SHUT_WR)


@dataclass
class Peer:
    """An HTTP server of our own, told what to do per method, or an MLLP receiver (`mllp`), whose one method is POST
    and whose targets are message types (`/SRM/S01`). Its counts are the oracle.

    `system` answers what nothing else was said about; with `keeps` false it says `Connection: close` and does so.
    `accept` has the next connection and no other: `unread` counts those that it had, whatever they brought.
    `elsewhere` is the address of another host, for a peer that would lead a client there.
    """

    port: int = 0
    calls: list[Call] = field(default_factory=list)
    connections: int = 0
    unread: int = 0
    on: dict[str, bytes | Handler] = field(default_factory=dict)
    early: dict[str, bytes | Handler] = field(default_factory=dict)
    accept: Callable[[socket.socket], Awaitable[None]] | None = None
    system: Callable[[Call], bytes] = lambda call: reply()
    safe_posts: tuple[str, ...] = ()
    safe_calls: tuple[str, ...] = ()
    keeps: bool = True
    mllp: bool = False
    tls: ssl.SSLContext | None = None
    elsewhere: str = ""
    broken: list[Exception] = field(default_factory=list)
    _listener: socket.socket | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _unread: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def mutations(self) -> int:
        return len(self.mutating)

    @property
    def mutating(self) -> list[Call]:
        unsafe = [call for call in self.calls if call.method not in SAFE and call.target not in self.safe_posts]
        return [call for call in unsafe if called(call.body) not in self.safe_calls]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Peer]:
        """Listen on a free loopback port while the context is open; every connection is cut at its end."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        # Else a small reply may wait for the acknowledgement of what came before it, and a reset then discards it.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._let_in_all)
        try:
            yield self
        finally:
            self.leave()
            for task in self._tasks | self._unread:
                task.cancel()
            await asyncio.gather(*self._tasks, *self._unread, return_exceptions=True)
            await asyncio.sleep(0)  # aborted transports report their end in the loop's next turn
        if self.broken:
            raise ExceptionGroup("the peer itself broke", self.broken)

    def leave(self) -> None:
        """Accept nothing more: whoever connects now is refused by the kernel."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def settled(self) -> None:
        """Wait until the client has let go of every connection that is read, so that the counts are final."""
        self._let_in_all()
        while self._tasks:
            await asyncio.wait(self._tasks)
            self._let_in_all()

    def _let_in_all(self) -> None:
        with suppress(BlockingIOError):
            while self._listener is not None:
                self._let_in(self._listener.accept()[0])

    def _let_in(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connections += 1
        hostile, self.accept, tasks = self.accept, None, self._tasks
        if hostile is None:
            task = asyncio.create_task(self._meet(connection, self.connections))
        else:
            self.unread += 1
            tasks = self._unread
            task = asyncio.create_task(self._turn_away(connection, hostile))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(self._note)

    def _note(self, task: asyncio.Task[None]) -> None:
        """A behaviour that breaks is a defect of the tests, and none of the gateway's."""
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self.broken.append(error)

    async def _turn_away(self, connection: socket.socket, hostile: Callable[[socket.socket], Awaitable[None]]) -> None:
        with connection:
            await hostile(connection)

    async def _meet(self, connection: socket.socket, number: int) -> None:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=self.tls)
        except (OSError, ssl.SSLError):
            return  # the handshake failed, which the client must make something of
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        ordinal = 0
        try:
            while not transport.is_closing():
                ordinal += 1
                await (self._message if self.mllp else self._one)(reader, writer, number, ordinal)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass  # the client is gone, or was sent away
        finally:
            writer.transport.abort()
            with suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, ordinal: int) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = int(headers.get("content-length", "0"))
        if (said := self.early.get(method)) is not None:
            self.calls.append(Call(method, target, headers, b"", writer, self, number, ordinal))
            await self._do(said, self.calls[-1])
            await reader.read()  # a close with unread bytes would reset, and take the reply with it
            raise ConnectionResetError
        body = await reader.readexactly(length)
        self.calls.append(Call(method, target, headers, body, writer, self, number, ordinal))
        said = self.on.get(f"{method} {target}", self.on.get(method))
        if said is not None:
            await self._do(said, self.calls[-1])
        elif self.keeps:
            await self.calls[-1].answer(self.system(self.calls[-1]))
        else:
            head, _, body = self.system(self.calls[-1]).partition(b"\r\n\r\n")
            await self.calls[-1].answer(head + b"\r\nConnection: close\r\n\r\n" + body)
            writer.close()

    async def _message(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, ordinal: int
    ) -> None:
        head = await reader.readuntil(b"\r")
        kind, event, *_ = head.split(b"|")[8].decode("ascii").split("^")
        call = Call("POST", f"/{kind}/{event}", {}, head, writer, self, number, ordinal)
        if (said := self.early.get("POST")) is not None:
            self.calls.append(call)
            await self._do(said, call)
            await reader.read()
            raise ConnectionResetError
        body = head + await reader.readuntil(b"\x1c\r")
        call = replace(call, body=body[1:-2])
        self.calls.append(call)
        if (said := self.on.get(f"POST {call.target}", self.on.get("POST"))) is not None:
            await self._do(said, call)
            return
        await call.answer(self.system(call))
        if not self.keeps:
            writer.close()

    async def _do(self, said: bytes | Handler, call: Call) -> None:
        if isinstance(said, bytes):
            await call.answer(said)
        else:
            await said(call)
