"""The wire between gateway and calendar server: counts what could change something, and can lose one reply.

Owns: a loopback TCP relay, one request per connection, bytes passed on unaltered. Counting happens here, so it owes
nothing to the gateway's or the adapter's own account. Refuses: bodies without a declared length.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Self

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT"})
"""RFC 9110 §9.2.1, RFC 4918 §9.1, RFC 3253 §3.6. Whatever is not listed counts as mutating."""

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)
_BROKEN: Final = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


@dataclass(slots=True)
class Wire:
    """A relay to one server. `mutating` lists the methods seen; `lost` the status codes of replies withheld."""

    host: str
    server_port: int
    port: int = 0
    mutating: list[str] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    _lose_next: bool = False

    @classmethod
    @asynccontextmanager
    async def to(cls, host: str, server_port: int) -> AsyncIterator[Self]:
        """Listen on a free loopback port until the context ends."""
        wire = cls(host, server_port)
        listener = await asyncio.start_server(wire._relay, "127.0.0.1", 0)
        wire.port = listener.sockets[0].getsockname()[1]
        try:
            yield wire
        finally:
            listener.close()
            await listener.wait_closed()

    def lose_next_reply(self) -> None:
        """Let the next mutating request reach the server, wait for its whole reply, and pass nothing on."""
        self._lose_next = True

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A broken connection is closed and nothing more: the gateway must say what that means. Cancellation ends
        # here, too, at the task's own top: asyncio would report a cancelled connection as a fault of ours.
        with suppress(*_BROKEN, asyncio.CancelledError):
            try:
                await self._exchange(reader, writer)
            finally:
                writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method = head.split(b" ", 1)[0].decode("ascii", "replace")
        changes = method not in SAFE_METHODS
        if changes:
            self.mutating.append(method)
        lose, self._lose_next = changes and self._lose_next, self._lose_next and not changes
        server_reader, server_writer = await asyncio.open_connection(self.host, self.server_port)
        try:
            server_writer.write(head + await _body(head, reader))
            reply_head = await server_reader.readuntil(b"\r\n\r\n")
            reply = reply_head + await _body(reply_head, server_reader, until_end=True)
        finally:
            server_writer.close()
        if lose:
            self.lost.append(int(reply_head.split(b" ", 2)[1]))
            return
        writer.write(reply)
        await writer.drain()


async def _body(head: bytes, reader: asyncio.StreamReader, *, until_end: bool = False) -> bytes:
    if length := _LENGTH.search(head):
        return await reader.readexactly(int(length[1]))
    return await reader.read() if until_end else b""
