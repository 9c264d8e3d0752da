"""The fault proxy's conversation in MLLP: the same points, in frames instead of HTTP.

Owns: reading messages and replies frame by frame, and what is said in a filler's stead. An exchange is a POST to the
message's own name (`/SRM/S01`), as it is for the boundary; its status is 200 where a whole reply came. The first
segment counts as the head. A commit-level acceptance (MSA-1 CA) belongs to the reply that follows it, where the message
asked for both (MSH-16 AL).
Refuses: messages and replies over 8 MiB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from time import monotonic
from types import MappingProxyType
from typing import Final

from conformance.faults import Point
from conformance.faults.answers import MAX_ENDLESS_BYTES
from conformance.faults.conversation import Conversation, CutError
from conformance.faults.messages import MAX_BODY_BYTES, Head, Reply, Request
from conformance.faults.upstream import Link

_START: Final = b"\x0b"
_END: Final = b"\x1c\r"
_READ_BYTES: Final = 64 * 1024
_FILLING: Final = b"." * 16 * 1024
_ACCEPTED: Final = re.compile(rb"\rMSA.CA(?![A-Z0-9])")

_SAYS: Final = MappingProxyType(
    {
        Point.ERROR_BEFORE: ("AR", "207^Application internal error^HL70357"),
        Point.ERROR_AFTER: ("AR", "207^Application internal error^HL70357"),
        Point.UNAVAILABLE: ("AR", "207^Application internal error^HL70357"),
        Point.THROTTLED: ("AR", "206^Application record locked^HL70357"),
        Point.INVALID: ("AE", "103^Table value not found^HL70357"),
        Point.MISSING: ("AA", ""),  # as an interface engine says it, which knows nothing of appointments
    }
)
"""HL7's nearest word to each status: acknowledgement and error code."""


def framed(content: bytes) -> bytes:
    return _START + content + _END


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames(Reply):
    """One reply, with the acceptance before it where there was one; `body` is the content of the last frame."""

    def with_body(self, body: bytes) -> bytes:
        return framed(body)


class MllpConversation(Conversation):
    """One accepted connection, from its first message to its end."""

    async def _receive(self, first: bytes) -> Request:
        arrived = monotonic()
        raw = bytearray(first)
        await self._begin_message(raw, arrived)
        while (end := raw.find(_END)) < 0:
            received = await self._client.receive()
            if not received or len(raw) > MAX_BODY_BYTES:
                raise self._broken("the message breaks off, or is over 8 MiB")
            raw += received
        self._client.put_back(bytes(raw[end + 2 :]))
        frame = bytes(raw[: end + 2])
        target = _name(frame)
        if not frame.startswith(_START) or target is None:
            raise self._broken("no message that can be passed on")
        exchange = self._arrive("POST", target, mutating=self._mutates(target), arrived=arrived)
        exchange.request_body = frame[1:-2]
        head = Head(method="POST", target=target, version=b"", headers=())
        return Request(head=head, body=frame[1:-2], framed=frame, keeps=True)

    async def _begin_message(self, raw: bytearray, arrived: float) -> None:
        """As much as a fault inside the message lets through. Its kind is known with MSH-9, behind nine separators."""
        waiting = self._setup.switch.waiting({Point.MID_HEAD, Point.MID_SEND})
        if waiting is None:
            return
        while raw.count(b"|") < 9 or (waiting.point is Point.MID_SEND and raw.count(b"\r") < 2):
            received = await self._client.receive(1)
            if not received or len(raw) > _READ_BYTES:
                return
            raw += received
        target = _name(bytes(raw))
        armed = target and self._setup.switch.take({waiting.point}, mutating=self._mutates(target))
        if not target or not armed:
            return
        armed.note(f"{len(raw)} bytes of the message were read")
        self._fault = armed
        exchange = self._arrive("POST", target, mutating=self._mutates(target), arrived=arrived)
        if armed.hit(exchange):
            raise CutError(armed.point)

    def _mutates(self, target: str) -> bool:
        return self._setup.reads.unsafe("POST", target)

    def _forwarded(self, request: Request) -> bytes:
        return request.framed

    async def _reply(self, link: Link, request: Request) -> Reply:
        raw = bytearray()
        begin = 0
        try:
            while len(raw) <= MAX_BODY_BYTES:
                end = raw.find(_END, begin)
                content = bytes(raw[begin + 1 : end])
                if end >= 0 and _asks_for_both(request.body) and _ACCEPTED.search(content) and not begin:
                    begin = end + 2
                    continue
                if end >= 0:
                    head_bytes = begin + 1 + len(content.partition(b"\r")[0])
                    return Frames(raw=bytes(raw), status=200, body=content, head_bytes=head_bytes, keeps=True)
                received = await link.reader.read(_READ_BYTES)
                if not received:
                    break
                raw += received
        except OSError:
            pass  # what broke off is passed on as it is
        return Frames(raw=bytes(raw), broken_off=len(raw) <= MAX_BODY_BYTES)

    def _problem(self, point: Point, request: Request) -> bytes:
        said, error = _SAYS[point]
        control_id = _field(request.body, 10)
        segments = [f"MSH|^~\\&|PROXY||||20310101000000||ACK|{self._setup.canary}|T|2.5.1", f"MSA|{said}|{control_id}"]
        if error:
            segments.append(f"ERR|||{error}|E")
        return framed("".join(f"{each}\r" for each in segments).encode("latin-1"))

    def _endless(self, point: Point) -> Iterator[bytes]:
        """A frame without an end: of one segment, of many, or a byte at a time for ever."""
        canary = self._setup.canary.encode() or b"."
        yield _START + b"MSH|^~\\&|"
        if point is Point.SLOW:
            yield from (canary[index % len(canary) :][:1] for index in count())
        piece = canary + _FILLING + (b"" if point is Point.ENDLESS_HEAD else b"\rNTE|")
        for _ in range(MAX_ENDLESS_BYTES // len(piece)):
            yield piece

    def _garbage(self) -> bytes:
        return b"\x00\xff\x16\x03 no reply " + self._setup.canary.encode() + b"\x00\xfe\r\n\r\n"


def _name(content: bytes) -> str | None:
    kind, _, rest = _field(content.removeprefix(_START), 9).partition("^")
    event = rest.partition("^")[0]
    return f"/{kind}/{event}" if kind.isalnum() and event.isalnum() else None


def _field(content: bytes, number: int) -> str:
    """A field of MSH, whose first is its separator."""
    fields = content.partition(b"\r")[0].split(b"|")
    return fields[number - 1].decode("latin-1") if len(fields) >= number else ""


def _asks_for_both(content: bytes) -> bool:
    return _field(content, 16) == "AL"
