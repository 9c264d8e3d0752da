"""A request that is broken before it is whole: how far to read before the fault inside it strikes.

Owns: MID_HEAD and MID_SEND, whose exchange must be judged by what has been read of it. Reads byte by byte where the
point is near: nothing beyond it may be taken from the kernel.
Refuses to strike what it cannot judge, or an exchange of the other kind: that is read on as if nothing were armed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from conformance.faults import Point
from conformance.faults.client import Client
from conformance.faults.messages import MAX_HEAD_BYTES, NO_MORE, RawHeaders, Reads, read_head, read_request
from conformance.faults.switch import Armed, Switch

POINTS: Final = frozenset({Point.MID_HEAD, Point.MID_SEND})
_LOOKS: Final = 1000
_LOOK_SECONDS: Final = 0.001
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A request at the point where a fault that has taken it strikes. `target` may be a part of it."""

    armed: Armed
    method: str
    target: str = field(repr=False)
    mutating: bool
    headers: RawHeaders = field(default=(), repr=False)


@dataclass(slots=True)
class Beginning:
    """A request's first bytes, `raw`, while they are being read."""

    client: Client
    raw: bytearray

    async def more(self, most_bytes: int = 1) -> bool:
        received = await self.client.receive(most_bytes)
        self.raw += received
        return bool(received)

    async def reach(self, switch: Switch, reads: Reads) -> Reached | None:
        """Read as far as the armed fault asks; None where none is armed for this request."""
        armed = switch.waiting(POINTS)
        if armed is None:
            return None
        if armed.point is Point.MID_HEAD:
            return await self._inside_head(switch, reads)
        return await self._before_end(switch, reads)

    async def _inside_head(self, switch: Switch, reads: Reads) -> Reached | None:
        """The method is enough, except for a POST that may be a read: that one needs its target, if not its body."""
        while True:
            method, *rest = self.raw.decode("latin-1").split(" ", 2)
            if rest and (method != "POST" or reads == NO_MORE or len(rest) == 2):
                break
            if self.raw.endswith(b"\n") or len(self.raw) > MAX_HEAD_BYTES or not await self.more():
                return None
        mutating = await self._mutates(reads, method, rest[0])
        armed = None if mutating is None else switch.take({Point.MID_HEAD}, mutating=mutating)
        if armed is None or mutating is None:
            return None
        armed.note(f"{len(self.raw)} bytes of the request's head were read")
        return Reached(armed=armed, method=method, target=rest[0], mutating=mutating)

    async def _mutates(self, reads: Reads, method: str, target: str) -> bool | None:
        """Whether the request may have an effect. Where only its body tells, all of it is looked at in the kernel,
        and left there; None where it does not come whole in time."""
        if not reads.undecided(method, target):
            return reads.unsafe(method, target)
        for _ in range(_LOOKS):
            whole = read_request(bytes(self.raw) + self.client.peek())
            if whole is not None:
                head, body = whole
                return reads.mutates(head.method, head.target, head.headers, body)
            await asyncio.sleep(_LOOK_SECONDS)
        return None

    async def _before_end(self, switch: Switch, reads: Reads) -> Reached | None:
        """Half of the body; without one, all but the head's last byte."""
        while not self.raw.endswith(b"\r\n\r"):
            if len(self.raw) > MAX_HEAD_BYTES or not await self.more():
                return None
        head = read_head(bytes(self.raw) + b"\n")
        if head is None:
            return None
        mutating = await self._mutates(reads, head.method, head.target)
        armed = None if mutating is None else switch.take({Point.MID_SEND}, mutating=mutating)
        if armed is None or mutating is None:
            return None
        fact = "all but the last byte of the request's head was read; it has no body"
        if head.has_body:
            await self.more()
            if any(name.lower() == b"expect" for name, _ in head.headers):
                await self.client.send(_CONTINUE)
            # A chunked body's length is not known, but one byte is never the whole of it.
            length = len(self.raw) + (1 if head.length is None else head.length // 2)
            missing = length - len(self.raw)
            while len(self.raw) < length and await self.more(length - len(self.raw)):
                pass
            fact = f"the request's head and {missing + len(self.raw) - length} bytes of its body were read"
        armed.note(fact)
        return Reached(armed=armed, method=head.method, target=head.target, mutating=mutating, headers=head.headers)
