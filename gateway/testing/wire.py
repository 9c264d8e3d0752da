"""HTTP/1.1 on loopback: asyncio streams and h11, under any handler.

Owns: connections, bounds on what a client may send, and how a reply leaves the machine: whole, cut off,
twice or not at all (the faults that only a wire can have).
Refuses: bodies and heads over their bounds, and anything that is not HTTP/1.1.
Invariants: a handler, once begun, ends even if its client is gone; binds 127.0.0.1 only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import parse_qs

import h11

MAX_BODY_BYTES = 64 * 1024
MAX_HEAD_BYTES = 16 * 1024
_READ_BYTES = 64 * 1024

_log = logging.getLogger(__name__)


class Delivery(StrEnum):
    """What becomes of a reply on its way out."""

    WHOLE = "whole"
    CUT = "cut"
    TWICE = "twice"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One complete request; header names are lower case, `query` keeps repeated parameters."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    delivery: Delivery = Delivery.WHOLE


Handler = Callable[[Request], Awaitable[Reply]]


class _TooLargeError(Exception):
    """The client's body is over its bound."""


@asynccontextmanager
async def listen(handler: Handler, port: int = 0) -> AsyncIterator[str]:
    """Serve on 127.0.0.1 while the context is open; yields the base URL. Port 0 picks a free one."""
    conversations: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_Conversation(handler, reader, writer).run())
        conversations.add(task)
        task.add_done_callback(conversations.discard)
        # Here and not in `run`: a task that is cancelled before its first step never gets to its `finally`.
        task.add_done_callback(lambda _: writer.transport.abort())

    listener = await asyncio.start_server(accept, "127.0.0.1", port)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        for task in conversations:
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
        await listener.wait_closed()
        turn = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(turn.set_result, None)
        await turn  # aborted transports report their end in the loop's next turn


class _Conversation:
    """One client's connection, from its first request to its last."""

    def __init__(self, handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._handler = handler
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        # `drain` then means that the kernel has every byte, so `abort` cannot lose a reply.
        writer.transport.set_write_buffer_limits(high=0)

    async def run(self) -> None:
        try:
            while await self._exchange():
                self._http.start_next_cycle()
        except ConnectionError:
            pass  # the client is gone; what it asked for was done, and there is nobody left to tell
        except (h11.RemoteProtocolError, _TooLargeError) as error:
            await self._refuse(413 if isinstance(error, _TooLargeError) else 400)

    async def _exchange(self) -> bool:
        """One request and its reply; false where the connection ends here."""
        request = await self._receive()
        if request is None:
            return False
        try:
            reply = await self._handler(request)
        except Exception as error:  # noqa: BLE001 — a server answers, whatever broke; the name of the fault is all that is told
            _log.error("%s in the handler", type(error).__name__)
            reply = Reply(status=500)
        if request.method == "HEAD":
            reply = replace(reply, body=b"")
        await self._deliver(reply)
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _receive(self) -> Request | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                self._http.receive_data(await self._reader.read(_READ_BYTES))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MAX_BODY_BYTES:
                    raise _TooLargeError
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _request(head, bytes(body))
            else:
                return None

    async def _deliver(self, reply: Reply) -> None:
        if reply.delivery is Delivery.DROPPED:
            raise ConnectionAbortedError
        length = ("content-length", str(len(reply.body)))
        head = h11.Response(status_code=reply.status, headers=[*reply.headers, length])
        whole = b"".join(
            self._http.send(event) or b"" for event in (head, h11.Data(data=reply.body), h11.EndOfMessage())
        )
        if reply.delivery is Delivery.CUT:
            whole = whole[: len(whole) - max(1, len(reply.body) // 2)]
        self._writer.write(whole * 2 if reply.delivery is Delivery.TWICE else whole)
        await self._writer.drain()
        if reply.delivery is Delivery.CUT:
            raise ConnectionAbortedError

    async def _refuse(self, status: int) -> None:
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._deliver(Reply(status=status, headers=(("connection", "close"),)))

    async def _send(self, event: h11.InformationalResponse) -> None:
        self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()


def _request(head: h11.Request, body: bytes) -> Request:
    path, _, query = head.target.decode("ascii").partition("?")
    return Request(
        method=head.method.decode("ascii"),
        path=path,
        query=parse_qs(query, keep_blank_values=True),
        headers={name.decode("ascii"): value.decode("latin-1") for name, value in head.headers},
        body=body,
    )
