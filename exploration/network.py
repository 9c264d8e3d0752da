"""The wire in memory: what the loop's `create_connection` leads to, byte for byte up to the peer's door.

Owns: one connection's two directions, and who may still use it. Bytes that a process has written arrive, even if it
dies right after; nothing reaches a dead process any more.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from exploration.ports import GOOD, Port, Process, Turnstile, acting

CONNECT = Port("peer.connect", ("refuses", "hangs"), ("refuses",))


@dataclass(frozen=True)
class Received:
    """One HTTP/1.1 request that has arrived whole; `head` are the bytes up to its body."""

    method: str
    target: str
    head: bytes


class Receiver(Protocol):
    """Whoever is behind the door."""

    def begun(self, head: bytes) -> None:
        """The first bytes of a request have left."""
        ...

    async def serve(self, connection: Connection, request: Received) -> None:
        """A request has arrived whole."""
        ...


class _Socket:
    """What the boundary cuts a connection by."""

    family = socket.AF_INET

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def shutdown(self, how: int) -> None:
        self._connection.abort()

    def fileno(self) -> int:
        return -1

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 1

    def getpeername(self) -> tuple[str, int]:
        return "127.0.0.1", 2


class Connection(asyncio.Transport):
    """The client's end of one connection, and the methods by which the peer answers on it."""

    def __init__(self, protocol: asyncio.Protocol, process: Process, receiver: Receiver) -> None:
        super().__init__({"socket": _Socket(self)})
        self._protocol = protocol
        self._process = process
        self._receiver = receiver
        self._buffer = b""
        self._closed = False

    # -- the client's side ------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        if self._closed:
            raise RuntimeError("the connection is closed")
        if not self._process.alive:
            return
        if not self._buffer:
            self._receiver.begun(bytes(data))
        self._buffer += data
        head, marked, rest = self._buffer.partition(b"\r\n\r\n")
        if not marked:
            return
        line, *fields = head.decode("ascii").split("\r\n")
        length = next((int(each[16:]) for each in fields if each.lower().startswith("content-length: ")), 0)
        if len(rest) >= length:
            self._buffer = b""
            method, target, _ = line.split(" ")
            asyncio.get_running_loop().create_task(self._receiver.serve(self, Received(method, target, head)))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever buffered."""

    def pause_reading(self) -> None:
        """The protocol reads at once; nobody floods it."""

    def resume_reading(self) -> None:
        """The same."""

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self._closed:
            self._closed = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    # -- the peer's side --------------------------------------------------------------------------------

    def answer(self, data: bytes) -> None:
        if not self._closed and self._process.alive:
            self._protocol.data_received(data)

    def hang_up(self) -> None:
        if not self._closed:
            self._closed = True
            self._protocol.connection_lost(ConnectionResetError())


@dataclass(slots=True)
class MemoryNetwork:
    """`loop.Network` with one host on it."""

    turnstile: Turnstile
    receiver: Receiver

    async def connect(self, make: Callable[[], asyncio.Protocol], host: str, port: int) -> asyncio.Transport:
        process = acting().process
        chosen = await self.turnstile.pass_through(CONNECT)
        if chosen == "hangs":
            await self.turnstile.for_ever()
        if chosen != GOOD:
            raise ConnectionRefusedError
        protocol = make()
        connection = Connection(protocol, process, self.receiver)
        process.lines.append(connection.hang_up)
        protocol.connection_made(connection)
        return connection
