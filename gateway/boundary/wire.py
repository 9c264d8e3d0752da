"""The wire: one TCP connection to an address that was already resolved and checked, plain or TLS.

Owns: the instant just before the first byte of a request is handed to the socket; whether the peer hung up;
cutting the connection at once. Refuses: names (no second resolution), and any write once the session is closed.
Knows nothing of HTTP and of time: the session owns all deadlines.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final

from gateway.boundary.addresses import Address

MAX_UNREAD_BYTES: Final = 256 * 1024
_REFUSALS: Final = re.compile(r"ALERT_(?:\w+_CERTIFICATE|CERTIFICATE_\w+|UNKNOWN_CA|ACCESS_DENIED)")
"""OpenSSL's names of the alerts about a peer's certificate (RFC 8446 §6.2): they come from the other end only."""


class WireError(Exception):
    """The connection could not be made, or broke."""


class IdentityRefusedError(WireError):
    """The peer refused the certificate of this end, or missed it (a TLS alert that says so)."""


class WireClosedError(Exception):
    """The session is closed: nothing leaves any more."""


class _Ends(asyncio.Protocol):
    """What the event loop tells of one connection: bytes that came, room to write, and its end."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.hung_up = False
        self.lost = False
        self.refused = False
        self.encrypted = False
        self._transport: asyncio.Transport | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._changed.set()
        if len(self.received) > MAX_UNREAD_BYTES and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self.hung_up = True
        self._changed.set()
        return not self.encrypted  # a peer that only stopped talking may still listen; TLS knows no such half

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.refused = exc is not None and _refuses_identity(exc)
        self._changed.set()
        self._room.set()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    async def written(self) -> None:
        await self._room.wait()

    async def take(self) -> bytes:
        """What has come, as soon as there is something; nothing once the peer hung up or the connection is lost."""
        while not (self.received or self.hung_up or self.lost):
            self._changed.clear()
            await self._changed.wait()
        taken = bytes(self.received)
        self.received.clear()
        if self._transport is not None and not self.lost:
            self._transport.resume_reading()
        return taken


class Wire:
    """One connection, once `connect` returned. `writes` counts those begun: 0 proves that nothing left.
    `hung_up` says that the last read met the connection's end."""

    def __init__(self, closed: Callable[[], bool]) -> None:
        self.writes = 0
        self.hung_up = False
        self._closed = closed
        self._ends = _Ends()
        self._transport: asyncio.Transport | None = None

    async def connect(self, addresses: Sequence[Address], port: int, *, tls: ssl.SSLContext | None, host: str) -> None:
        """Connect to the first checked address that answers; with `tls` its certificate must be `host`'s.

        Raises `WireError`, or `WireClosedError` where the session was closed meanwhile.
        """
        loop = asyncio.get_running_loop()
        for address in addresses:
            try:
                self._transport, _ = await loop.create_connection(lambda: self._ends, str(address), port)
            except OSError:
                continue  # no byte of a request can have left on a connection that was never made
            break
        else:
            raise WireError("no address of the host accepts connections")
        self._admit()
        if tls is None:
            return
        self._ends.encrypted = True
        try:
            encrypted = await loop.start_tls(self._transport, self._ends, tls, server_hostname=host)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; a name that is none for TLS a ValueError
            if _refuses_identity(error):
                raise IdentityRefusedError from None
            raise WireError("no trusted TLS with the host") from None
        if encrypted is None:
            raise WireError("the connection broke while TLS was agreed on")
        self._transport = encrypted
        self._ends.connection_made(encrypted)
        self._admit()

    @property
    def refused(self) -> bool:
        """Whether the peer refused this end's certificate. TLS 1.3 tells so after the handshake, and after a write."""
        return self._ends.refused

    @property
    def quiet(self) -> bool:
        """Whether a kept connection can carry another request: alive, and nothing came that was not asked for."""
        return self._transport is not None and not (
            self._transport.is_closing() or self._ends.received or self._ends.hung_up or self._ends.lost
        )

    async def write(self, content: bytes) -> None:
        """Hand all of it to the socket; raises `WireError`, and lets nothing leave, where the connection is lost.
        One that breaks later is noticed by reading: the peer may have answered first."""
        self._admit()
        assert self._transport is not None
        if self._transport.is_closing():  # asyncio then drops what it is given
            raise WireError("the connection broke before the request was written")
        self.writes += 1  # before the socket: a crash in between errs towards UNKNOWN
        self._transport.write(content)
        await self._ends.written()

    async def read(self) -> bytes:
        """Some bytes, as soon as there are any; none once the peer hung up."""
        received = await self._ends.take()
        self.hung_up = not received
        return received

    def cut(self) -> None:
        """Break the connection now, without awaiting anything: no byte that is still buffered leaves."""
        if self._transport is None:
            return
        with contextlib.suppress(OSError):  # already closed
            held = self._transport.get_extra_info("socket")
            if held is not None:
                held.shutdown(socket.SHUT_RDWR)
        self._transport.abort()

    def _admit(self) -> None:
        if self._closed():
            self.cut()
            raise WireClosedError


def _refuses_identity(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLError) and _REFUSALS.search(error.reason or "") is not None
