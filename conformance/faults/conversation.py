"""One client's connection through the proxy: request by request, whole in and whole out, unless a fault is due.

Owns: the order of things in an exchange, and each point's breaking of it.
Invariants: a request is forwarded only when it is complete, once, and never again because of a failure; a mutating
request has an upstream connection of its own; what the system said is passed on as it came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, NoReturn

import h11

from conformance.faults import BROKEN_OFF, Exchange, Point, answers, interruption
from conformance.faults.client import Client
from conformance.faults.interruption import Beginning
from conformance.faults.messages import (
    MAX_BODY_BYTES,
    MAX_MESSAGE_BYTES,
    NO_MORE,
    RawHeaders,
    Reads,
    Reply,
    Request,
    head_of,
    may_have_body,
    read_reply,
    request_parser,
)
from conformance.faults.switch import Armed, Switch
from conformance.faults.traffic import NotForwardedError, Traffic
from conformance.faults.upstream import Link, UnreachableError, Upstream

KEPT_BODY_BYTES: Final = 256 * 1024
REPLY_SECONDS: Final = 60.0
HOLD_SECONDS: Final = 30.0
DRIP_SECONDS: Final = 0.05
_NOISE_BYTES: Final = 64
_UNFORWARDED: Final = frozenset(
    {
        *(Point.AFTER_SEND, Point.ERROR_BEFORE, Point.UNAVAILABLE, Point.THROTTLED, Point.INVALID),
        *(Point.MISSING, Point.SLOW, Point.ENDLESS_HEAD),
    }
)
_WHOLE: Final = frozenset(Point) - interruption.POINTS - {Point.REFUSED, Point.BEFORE_SEND}


class CutError(Exception):
    """The exchange ends here, and the client's connection is reset."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What all conversations of one proxy share."""

    upstream: Upstream
    switch: Switch
    traffic: Traffic
    reads: Reads = NO_MORE
    canary: str = field(default="", repr=False)


class Conversation:
    """One accepted connection, from its first request to its end, in HTTP; `mllp` says and reads otherwise."""

    def __init__(self, client: Client, setup: Setup) -> None:
        self._client = client
        self._setup = setup
        self._kept: Link | None = None
        self._current: Exchange | None = None
        self._fault: Armed | None = None

    async def run(self) -> None:
        """Serve until either end is through; leaves both connections closed."""
        try:
            while await self._exchange():
                pass
            self._client.close()
        except (CutError, ConnectionError):
            pass  # cut by a fault, or the client is gone and there is nobody left to tell
        finally:
            self._client.reset()
            if self._kept is not None:
                self._kept.cut()

    async def _exchange(self) -> bool:
        """One request and its reply; whether another may follow."""
        first = await self._client.receive(1)
        if not first:
            return False
        with self._setup.traffic.under_way():
            try:
                request = await self._receive(first)
                assert self._current is not None
                return await self._answer(request, self._current)
            except (CutError, ConnectionError):
                self._client.reset()
                raise
            finally:
                self._conclude()

    def _conclude(self) -> None:
        exchange, fault, self._current, self._fault = self._current, self._fault, None, None
        if exchange is not None:
            exchange.ended = monotonic()
            if fault is not None:
                fault.follow(exchange)

    # The request

    async def _receive(self, first: bytes) -> Request:
        """One whole request, of which the first byte was read."""
        arrived = monotonic()
        raw = await self._begin(first, arrived)
        parser = request_parser()
        parser.receive_data(bytes(raw))
        body = bytearray()
        head, begin = None, 0
        while True:
            try:
                event = parser.next_event()
            except h11.RemoteProtocolError:
                raise self._broken("the request is no HTTP, or breaks off") from None
            if event is h11.NEED_DATA:
                if interim := _interim(parser):
                    await self._client.send(interim)
                received = await self._client.receive()
                raw += received
                parser.receive_data(received)
            elif isinstance(event, h11.Request):
                head, begin = head_of(event), len(raw) - len(parser.trailing_data[0])
                mutating = self._setup.reads.unsafe(head.method, head.target)  # until its body tells
                self._arrive(head.method, head.target, mutating=mutating, arrived=arrived).request_headers = _text(
                    head.headers
                )
            elif isinstance(event, h11.Data):
                body += event.data
                if max(len(body) - MAX_BODY_BYTES, len(raw) - MAX_MESSAGE_BYTES) > 0:
                    raise self._broken("the request's body is over 8 MiB")
            else:
                break
        if head is None or self._current is None or head.method == "CONNECT":
            raise self._broken("no request that can be passed on")
        surplus = parser.trailing_data[0]
        self._client.put_back(surplus)
        self._current.mutating = self._setup.reads.mutates(head.method, head.target, head.headers, bytes(body))
        self._current.request_body = bytes(body[:KEPT_BODY_BYTES])
        keeps = parser.their_state is h11.DONE
        return Request(head=head, body=bytes(body), framed=bytes(raw[begin : len(raw) - len(surplus)]), keeps=keeps)

    async def _begin(self, first: bytes, arrived: float) -> bytearray:
        """As much of the request as a fault inside it lets through; one byte where none is armed."""
        beginning = Beginning(self._client, bytearray(first))
        reached = await beginning.reach(self._setup.switch, self._setup.reads)
        if reached is not None:
            exchange = self._arrive(reached.method, reached.target, mutating=reached.mutating, arrived=arrived)
            exchange.request_headers = _text(reached.headers)
            self._fault = reached.armed
            if reached.armed.hit(exchange):
                raise CutError(reached.armed.point)
        return beginning.raw

    def _arrive(self, method: str, target: str, *, mutating: bool, arrived: float) -> Exchange:
        if self._current is None:
            self._current = self._setup.traffic.begin(method, target, mutating=mutating, arrived=arrived)
        self._current.target = target
        return self._current

    def _broken(self, note: str) -> CutError:
        if self._current is not None:
            self._current.note = note
        return CutError(note)

    # The reply

    async def _answer(self, request: Request, exchange: Exchange) -> bool:
        armed = self._setup.switch.take(_WHOLE, mutating=exchange.mutating)
        self._fault = self._fault or armed
        if armed is not None and armed.point in _UNFORWARDED and armed.hit(exchange):
            return await self._instead(armed, request, exchange)
        reply = await self._forward(request, exchange)
        if armed is None or armed.point in _UNFORWARDED:
            return await self._deliver(request, reply, exchange)
        armed.note(f"the system answered {reply.status}")
        return await self._distort(armed, request, reply, exchange)

    async def _instead(self, armed: Armed, request: Request, exchange: Exchange) -> bool:
        """A fault that keeps the request from the system."""
        if armed.point in answers.PROBLEMS:
            await self._send(exchange, self._problem(armed.point, request))
            return request.keeps
        if armed.point is Point.SLOW:
            await self._pour(armed, exchange, self._endless(armed.point), DRIP_SECONDS)
        elif armed.point is Point.ENDLESS_HEAD:
            await self._pour(armed, exchange, self._endless(armed.point))
        raise CutError(armed.point)

    async def _distort(self, armed: Armed, request: Request, reply: Reply, exchange: Exchange) -> bool:
        """A fault upon the system's complete reply."""
        point = armed.point
        if armed.strike is not None:
            return await self._call(armed, request, reply, exchange)
        armed.hit(exchange)
        match point:
            case Point.AFTER_COMMIT | Point.MID_REPLY_HEAD | Point.MID_REPLY:
                await self._send(exchange, _part(armed, reply))
            case Point.LATE:
                if await self._held(armed):
                    return await self._deliver(request, reply, exchange)
            case Point.ERROR_AFTER:
                await self._send(exchange, self._problem(point, request))
                return request.keeps
            case Point.GARBAGE:
                await self._send(exchange, self._garbage())
                return False
            case Point.GARBAGE_BODY:
                await self._send(exchange, self._noisy(armed, request, reply))
                return request.keeps and reply.keeps
            case Point.OVERSIZED:
                await self._pour(armed, exchange, self._endless(point))
            case Point.DUPLICATE:
                await self._send(exchange, reply.raw * 2)
                return False
            case Point.REDELIVERED:
                reply = await self._forward(request, exchange)
                armed.note(f"the second time it answered {reply.status}")
                return await self._deliver(request, reply, exchange)
            case _:
                raise AssertionError(f"{point} does not strike here")
        raise CutError(point)

    async def _call(self, armed: Armed, request: Request, reply: Reply, exchange: Exchange) -> bool:
        """Call the strike where the point would have broken the exchange, which then goes on."""
        if armed.point is not Point.DUPLICATE:
            armed.hit(exchange)
            return await self._deliver(request, reply, exchange)
        goes_on = await self._deliver(request, reply, exchange)
        armed.hit(exchange)
        return goes_on

    def _noisy(self, armed: Armed, request: Request, reply: Reply) -> bytes:
        if not may_have_body(request.head.method, reply.status or 0):
            armed.note("the reply could have no body; it was passed on as it came")
            return reply.raw
        if not reply.body:
            armed.note(f"the reply had no body; {_NOISE_BYTES} bytes of noise were added")
        return reply.with_body(answers.noise(len(reply.body) or _NOISE_BYTES, self._setup.canary))

    async def _deliver(self, request: Request, reply: Reply, exchange: Exchange) -> bool:
        await self._send(exchange, reply.raw)
        return request.keeps and reply.keeps

    async def _send(self, exchange: Exchange, content: bytes) -> None:
        await self._client.send(content)
        exchange.delivered += len(content)

    # What is particular to HTTP

    def _forwarded(self, request: Request) -> bytes:
        """The request as the system gets it."""
        return request.head.rewritten(self._setup.upstream.authority) + request.framed

    async def _reply(self, link: Link, request: Request) -> Reply:
        return await read_reply(link.reader, request.head.method)

    def _problem(self, point: Point, request: Request) -> bytes:
        return answers.problem(point, request.head.method, self._setup.canary)

    def _garbage(self) -> bytes:
        return answers.garbage(self._setup.canary)

    def _endless(self, point: Point) -> Iterator[bytes]:
        endless = {Point.SLOW: answers.drip, Point.ENDLESS_HEAD: answers.endless_head}
        return endless.get(point, answers.oversized)(self._setup.canary)

    # Holding and pouring

    async def _held(self, armed: Armed) -> bool:
        """Hold back until the client is gone, or the fault is released; whether the client is still there."""
        gone = await _first(self._client.hangs_up(), armed.released.wait())
        armed.note("the client hung up before the reply" if gone == 0 else "the reply was passed on late")
        return gone != 0

    async def _pour(self, armed: Armed, exchange: Exchange, pieces: Iterator[bytes], pause_seconds: float = 0) -> None:
        async def pour() -> None:
            with suppress(ConnectionError):  # the client had enough
                for piece in pieces:
                    await self._send(exchange, piece)
                    if pause_seconds:
                        await asyncio.sleep(pause_seconds)

        await _first(self._client.hangs_up(), armed.released.wait(), pour())

    # The system

    async def _forward(self, request: Request, exchange: Exchange) -> Reply:
        """Hand the request over and read the whole reply. What breaks off is passed on as far as it came, and the
        client cut off in its turn."""
        link = await self._link(fresh=exchange.mutating)
        kept = False
        try:
            await self._setup.traffic.admit(exchange)
            link.writer.write(self._forwarded(request))
            exchange.forwarded = monotonic()
            async with asyncio.timeout(REPLY_SECONDS):
                with suppress(OSError):  # a system that stops reading may still have answered
                    await link.writer.drain()
                reply = await self._reply(link, request)
            kept = reply.keeps and request.keeps and not exchange.mutating
        except NotForwardedError:
            raise self._broken("not forwarded: the run may not write this") from None
        except TimeoutError:
            raise self._broken("the system did not answer in time") from None
        finally:
            if kept:
                self._kept = link
            else:
                link.cut()
        if reply.status is None:
            await self._give_up(reply, exchange)
        exchange.answered = monotonic()
        exchange.status = reply.status
        exchange.reply_headers = _text(reply.headers)
        exchange.reply_body = reply.body[:KEPT_BODY_BYTES]
        return reply

    async def _give_up(self, reply: Reply, exchange: Exchange) -> NoReturn:
        exchange.note = BROKEN_OFF if reply.broken_off else "the system's reply was none, or over 8 MiB"
        if reply.raw:
            await self._send(exchange, reply.raw)
        raise CutError

    async def _link(self, *, fresh: bool) -> Link:
        """The kept connection for a read, if the system still holds it; a mutating request gets its own."""
        if not fresh and self._kept is not None:
            link, self._kept = self._kept, None
            if link.usable:
                return link
            link.cut()
        try:
            return await self._setup.upstream.connect()
        except UnreachableError as error:
            raise self._broken(str(error)) from None


def _part(armed: Armed, reply: Reply) -> bytes:
    """As much of the reply as a cut inside it lets through."""
    if armed.point is Point.AFTER_COMMIT:
        return b""
    if armed.point is Point.MID_REPLY_HEAD:
        return reply.raw[: reply.head_bytes // 2]
    if reply.has_framed_body:
        return reply.raw[: (reply.head_bytes + len(reply.raw)) // 2]
    armed.note("the reply had no body; its head was cut before the end")
    return reply.raw[: reply.head_bytes - 2]


def _interim(parser: h11.Connection) -> bytes | None:
    """The 100 that the client waits for before it sends its body; asked for once."""
    if not parser.they_are_waiting_for_100_continue:
        return None
    return parser.send(h11.InformationalResponse(status_code=100, headers=[]))


def _text(headers: RawHeaders) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


async def _first(*works: Coroutine[object, object, object]) -> int | None:
    """Run them until one is through or the time is over, and end the others; which one it was."""
    tasks: Sequence[asyncio.Task[object]] = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, timeout=HOLD_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        return next((index for index, task in enumerate(tasks) if task in done), None)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
