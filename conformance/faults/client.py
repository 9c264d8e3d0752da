"""The adapter's end of one connection: a plain socket, read exactly as far as it is asked to be.

Owns: accepted connections of the fault proxy. asyncio's own streams read ahead of their reader; a receipt that says
"not a byte was read" or "all but the last byte" could not be believed over them.
Invariant: one task reads, and `hangs_up` reads on behalf of that task.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final

_READ_BYTES: Final = 64 * 1024
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Client:
    """One accepted connection."""

    def __init__(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = accepted
        self._ahead = bytearray()

    @property
    def descriptor(self) -> int:
        """The file descriptor; -1 once closed."""
        return self._socket.fileno()

    async def receive(self, most_bytes: int = _READ_BYTES) -> bytes:
        """At most so many bytes, and no more are taken from the kernel; empty at the stream's end."""
        if self._ahead:
            taken = bytes(self._ahead[:most_bytes])
            del self._ahead[:most_bytes]
            return taken
        return await asyncio.get_running_loop().sock_recv(self._socket, most_bytes)

    def peek(self) -> bytes:
        """What has arrived and was not read; it stays in the kernel."""
        try:
            return bytes(self._ahead) + self._socket.recv(_READ_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            return bytes(self._ahead)

    def put_back(self, surplus: bytes) -> None:
        """What was read beyond one request; the next one begins with it."""
        self._ahead[:0] = surplus

    async def send(self, content: bytes) -> None:
        """Returns when the kernel has every byte; raises `ConnectionError` once the client is gone."""
        await asyncio.get_running_loop().sock_sendall(self._socket, content)

    async def hangs_up(self) -> None:
        """Returns when the client is gone, or sends more than it may while it waits."""
        try:
            while received := await asyncio.get_running_loop().sock_recv(self._socket, _READ_BYTES):
                self._ahead += received
                if len(self._ahead) > _READ_BYTES:
                    return
        except ConnectionError:
            return

    def reset(self) -> None:
        """Break the connection: the client's next read or write fails."""
        if self.descriptor >= 0:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._socket.close()

    def close(self) -> None:
        """End the connection in good order."""
        self._socket.close()
