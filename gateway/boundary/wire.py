"""The wire: one TCP connection to an address that was already resolved and checked.

Owns: the instant just before the first byte of a request is handed to the socket, plain or TLS; whether
the peer hung up; cutting the connection at once. Refuses: names (no second resolution), unix sockets,
and any write once the session is closed. Knows nothing of HTTP.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Any

import httpcore

from gateway.boundary.addresses import Address


class Wiring(httpcore.AsyncNetworkBackend):
    """The network of one httpcore connection. `writes` counts those begun: 0 proves that nothing left."""

    def __init__(self, addresses: tuple[Address, ...], closed: Callable[[], bool]) -> None:
        self.writes = 0
        self.hung_up = False
        self._addresses = addresses
        self._closed = closed
        self._streams: list[httpcore.AsyncNetworkStream] = []
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature; the session owns all deadlines
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first checked address that answers; `host` is not looked at (no rebinding)."""
        for address in self._addresses:
            try:
                stream = await self._network.connect_tcp(str(address), port)
            except httpcore.ConnectError:
                continue  # no byte of a request can have left on a connection that was never made
            self._streams.append(stream)
            if self._closed():
                await stream.aclose()
            self.admit()
            return Wire(stream, self)
        raise httpcore.ConnectError("no address of the host accepts connections")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.UnsupportedProtocol("unix sockets are outside the boundary")

    def admit(self) -> None:
        """Raises once the session is closed."""
        if self._closed():
            raise httpcore.LocalProtocolError("the session is closed")

    def cut(self) -> None:
        """Break the connection now, without awaiting anything."""
        for stream in self._streams:
            with contextlib.suppress(OSError):  # already closed
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    async def aclose(self) -> None:
        for stream in self._streams:
            with contextlib.suppress(Exception):  # it was cut already; how it closes is of no consequence
                await stream.aclose()


class Wire(httpcore.AsyncNetworkStream):
    """A stream that tells its wiring before it writes. TLS handshakes go below it and are not writes."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, wiring: Wiring) -> None:
        self._stream = stream
        self._wiring = wiring

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 — httpcore's signature
        self._wiring.admit()
        if buffer:
            self._wiring.writes += 1  # before the socket: a crash in between errs towards UNKNOWN
        await self._stream.write(buffer)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 — httpcore's signature
        received = await self._stream.read(max_bytes)
        self._wiring.hung_up = not received
        return received

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 — httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        self._wiring.admit()
        return Wire(await self._stream.start_tls(ssl_context, server_hostname), self._wiring)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
