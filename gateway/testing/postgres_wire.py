"""A wire to PostgreSQL that tests can cut, where they say.

Owns: a proxy on 127.0.0.1 that understands just enough of PostgreSQL's protocol (version 3: frames of a type, a length
and a body) to know where a statement ends and when its commit is answered; and the count of the round trips on it.
Refuses encryption: there would be nothing to understand.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum

_CODE_AND_LENGTH = 5


class Cut(StrEnum):
    """Where the wire breaks, seen from the client."""

    BEFORE = "before a byte of the statement went out"
    HALFWAY = "with half of the statement on its way"
    SENT = "with the whole statement on its way, and nothing heard"
    AFTER = "after the commit, before anything of the answer"
    UNFINISHED = "after the commit, with an answer that lacks its end"


@dataclass(slots=True)
class PostgresWire:
    """The proxy. `statements` is what clients sent, one entry for each round trip; a statement with `marker` in it
    is cut, once, after `arm`."""

    server_port: int
    port: int = 0
    statements: list[bytes] = field(default_factory=list)
    closed: bool = False
    """Whether new connections are refused."""
    _cut: Cut | None = None
    _marker: bytes = b""
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    @asynccontextmanager
    async def to(cls, server_port: int) -> AsyncIterator[PostgresWire]:
        wire = cls(server_port)
        server = await asyncio.start_server(wire._serve, "127.0.0.1", 0)
        wire.port = server.sockets[0].getsockname()[1]
        try:
            yield wire
        finally:
            server.close()
            wire.sever()
            await asyncio.gather(*wire._serving, return_exceptions=True)
            await server.wait_closed()

    def arm(self, cut: Cut, marker: bytes = b"journal_write") -> None:
        self._cut, self._marker = cut, marker

    @property
    def armed(self) -> bool:
        return self._cut is not None

    def sever(self) -> None:
        """Every connection, now."""
        for writer in self._writers:
            writer.transport.abort()

    def sent(self, marker: bytes) -> int:
        """Round trips whose statement holds this."""
        return sum(marker in statement for statement in self.statements)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.closed:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        session = _Session(self, reader, writer, upstream_reader, upstream_writer)
        self._writers |= {writer, upstream_writer}
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await asyncio.gather(session.outward(), session.homeward())
        finally:
            self._writers -= {writer, upstream_writer}
            for each in (writer, upstream_writer):
                each.transport.abort()

    def struck(self, statement: bytes) -> Cut | None:
        """The cut that this statement meets."""
        if self._cut is None or self._marker not in statement:
            return None
        cut, self._cut = self._cut, None
        return cut


@dataclass(slots=True)
class _Session:
    wire: PostgresWire
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    upstream_reader: asyncio.StreamReader
    upstream_writer: asyncio.StreamWriter
    awaiting: Cut | None = None

    async def outward(self) -> None:
        """Client to server, a statement at a time: it ends with Sync, or is a Query."""
        self.upstream_writer.write(await _startup(self.reader))
        statement = b""
        while True:
            code, frame = await _frame(self.reader)
            statement += frame
            if code not in b"SQpX":
                continue
            if code in b"SQ":
                self.wire.statements.append(statement)
                await self._strike(self.wire.struck(statement), statement)
            self.upstream_writer.write(statement)
            await self.upstream_writer.drain()
            if self.awaiting is Cut.SENT:
                self.upstream_writer.write_eof()
                raise ConnectionResetError
            statement = b""

    async def _strike(self, cut: Cut | None, statement: bytes) -> None:
        if cut is Cut.HALFWAY:
            self.upstream_writer.write(statement[: len(statement) // 2])
            await self.upstream_writer.drain()
        if cut in (Cut.BEFORE, Cut.HALFWAY):
            raise ConnectionResetError
        self.awaiting = cut

    async def homeward(self) -> None:
        """Server to client; after a statement that is to be cut, up to the ReadyForQuery that ends its commit."""
        while True:
            code, frame = await _frame(self.upstream_reader)
            if self.awaiting is not None and code == ord("Z"):
                await self.writer.drain()
                raise ConnectionResetError
            if self.awaiting is not Cut.AFTER:
                self.writer.write(frame)


async def _startup(reader: asyncio.StreamReader) -> bytes:
    length = await reader.readexactly(4)
    return length + await reader.readexactly(int.from_bytes(length, "big") - 4)


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readexactly(_CODE_AND_LENGTH)
    return head[0], head + await reader.readexactly(int.from_bytes(head[1:], "big") - 4)
