"""HTTP/1.1 on a wire: one request out, one complete reply in (RFC 9112), by h11.

Owns: framing. A request's head and body leave in one write, and only once all of it could be spelled out.
Refuses: replies whose head or interim replies go on without bound, and more than the one reply that was asked for.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import h11
import httpx

from gateway.boundary.addresses import Address
from gateway.boundary.rules import MAX_HEADER_BYTES, Destination, RawHeaders
from gateway.boundary.wire import Wire

MAX_INTERIM_REPLIES: Final = 16


class RequestUnspeakableError(Exception):
    """The request cannot be written as HTTP/1.1; nothing was sent."""


class ReplyMalformedError(Exception):
    """What came back is no HTTP/1.1 reply, or ends before its own mark."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request, ready to be written."""

    method: str
    target: bytes
    headers: RawHeaders
    body: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """A reply's status and headers; its body is still to be read."""

    status: int
    headers: httpx.Headers


class HttpChannel:
    """One connection to one origin, and its place in the protocol."""

    def __init__(self, place: Destination, wire: Wire) -> None:
        self.origin = place.origin
        self.wire = wire
        self._place = place
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=2 * MAX_HEADER_BYTES)

    async def open(self, addresses: Sequence[Address], tls: ssl.SSLContext) -> None:
        """Raises what `Wire.connect` raises."""
        encrypted = tls if self._place.encrypted else None
        await self.wire.connect(addresses, self._place.port, tls=encrypted, host=self._place.host)

    async def ask(self, outgoing: Outgoing) -> Head:
        """Send one request and read the head of its reply.

        Raises `RequestUnspeakableError` and `WireError` before a byte leaves, `ReplyMalformedError` after.
        """
        await self.wire.write(self._spelled(outgoing))
        for _ in range(MAX_INTERIM_REPLIES):
            event = await self._event()
            if isinstance(event, h11.Response):
                return Head(event.status_code, httpx.Headers(event.headers.raw_items()))
        raise ReplyMalformedError

    async def body(self) -> AsyncIterator[bytes]:
        """The reply's body to its marked end; raises `ReplyMalformedError`."""
        while isinstance(event := await self._event(), h11.Data):
            yield bytes(event.data)

    def renew(self) -> bool:
        """Whether another request may follow on this connection; if so, the channel is ready for it."""
        done = self._protocol.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}
        unasked, _ = self._protocol.trailing_data
        if not done or unasked or not self.wire.quiet:
            return False
        self._protocol.start_next_cycle()
        return True

    def _spelled(self, outgoing: Outgoing) -> bytes:
        method, target, headers = outgoing.method, outgoing.target, outgoing.headers
        try:
            parts = [self._protocol.send(h11.Request(method=method, target=target, headers=headers))]
            if outgoing.body:
                parts.append(self._protocol.send(h11.Data(data=outgoing.body)))
            parts.append(self._protocol.send(h11.EndOfMessage()))
        except h11.LocalProtocolError:
            raise RequestUnspeakableError from None
        return b"".join(part for part in parts if part)

    async def _event(self) -> object:
        while True:
            try:
                event = self._protocol.next_event()
                if event is not h11.NEED_DATA:
                    return event
                self._protocol.receive_data(await self.wire.read())  # no bytes: the end, which h11 judges
            except h11.RemoteProtocolError:
                raise ReplyMalformedError from None
