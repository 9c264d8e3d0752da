"""MLLP on a wire: one HL7 v2 message out, one complete reply in (HL7 "Minimal Lower Layer Protocol", release 1).

An adapter POSTs a message to its own name, `/SRM/S01` for MSH-9 `SRM^S01`, so that all that is ruled of paths holds
for messages: which ones are free of effects (`Descriptor.safe_posts`) and that at most one other leaves. The reply is
a 200 whose content is the message inside the frame.

Owns: framing, and the name of a message. A commit-level acceptance (MSA-1 CA) is an interim reply where the message
asks for an application acknowledgement as well (MSH-16 AL), as 100 is in HTTP; the next frame is then the reply.
Refuses, before a byte leaves: a message that is not named as its path says, that some receiver could take for two, or
whose header has other delimiters than `|^~\\&`. Refuses of replies: bytes outside frames, a frame that another byte
than CR ends, a frame inside a frame, and more than the one message that was asked for.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import Final

import httpx

from gateway.boundary.addresses import Address
from gateway.boundary.channel import Head, Outgoing, ReplyMalformedError, RequestUnspeakableError
from gateway.boundary.rules import Destination
from gateway.boundary.wire import Wire

START: Final = b"\x0b"
END: Final = b"\x1c"
CARRIAGE_RETURN: Final = b"\r"

_SEGMENT: Final = re.compile(rb"(?!MSH|[BF]HS|[BF]TS)[A-Z][A-Z0-9]{2}\|[^\x00-\x1f]*")
"""A segment that begins neither a message nor a batch, without control characters (C0)."""
_HEADER: Final = re.compile(rb"MSH\|\^~\\&\|[^\x00-\x1f]*")
_TYPE: Final = re.compile(rb"([A-Z]{3})\^([A-Z][A-Z0-9]{2})(?:\^[A-Z0-9_]{1,15})?")


class MllpChannel:
    """One connection for one message. The reply holds at most `most_bytes`."""

    def __init__(self, place: Destination, wire: Wire, most_bytes: int) -> None:
        self.origin = place.origin
        self.wire = wire
        self._place = place
        self._most_bytes = most_bytes
        self._received = bytearray()
        self._reply = b""

    async def open(self, addresses: Sequence[Address], tls: ssl.SSLContext) -> None:
        """Raises what `Wire.connect` raises."""
        encrypted = tls if self._place.encrypted else None
        await self.wire.connect(addresses, self._place.port, tls=encrypted, host=self._place.host)

    async def ask(self, outgoing: Outgoing) -> Head:
        """Send one message and read its reply.

        Raises `RequestUnspeakableError` and `WireError` before a byte leaves, `ReplyMalformedError` after.
        """
        header = _spoken(outgoing)
        await self.wire.write(START + outgoing.body + END + CARRIAGE_RETURN)
        reply = await self._frame()
        if _field(header, 16) == b"AL" and _is_interim(reply):
            reply = await self._frame()
        if self._received:
            raise ReplyMalformedError
        self._reply = reply
        return Head(200, httpx.Headers({"Content-Type": "x-application/hl7-v2+er7", "Content-Length": str(len(reply))}))

    async def body(self) -> AsyncIterator[bytes]:
        yield self._reply

    def renew(self) -> bool:
        """Never: many receivers serve one connection at a time, and one message to each keeps replies apart."""
        return False

    async def _frame(self) -> bytes:
        """The content of the next frame."""
        searched = 0
        while True:
            received = self._received
            if received and not received.startswith(START):
                raise ReplyMalformedError
            end = received.find(END, searched)
            if 0 <= end < len(received) - 1:
                content = bytes(received[1:end])
                if received[end + 1 : end + 2] != CARRIAGE_RETURN or START in content:
                    raise ReplyMalformedError
                del received[: end + 2]
                return content
            searched = max(0, len(received) - 1)
            if len(received) > self._most_bytes:
                raise ReplyMalformedError
            chunk = await self.wire.read()
            if not chunk:
                raise ReplyMalformedError
            received += chunk


def _spoken(outgoing: Outgoing) -> bytes:
    """The message's header segment, once it is certain that every receiver reads the one message that was named."""
    header, *segments = outgoing.body.removesuffix(CARRIAGE_RETURN).split(CARRIAGE_RETURN)
    named = _TYPE.fullmatch(_field(header, 9))
    if (
        outgoing.method != "POST"
        or not outgoing.body.endswith(CARRIAGE_RETURN)
        or not _HEADER.fullmatch(header)
        or named is None
        or outgoing.target != b"/%b/%b" % named.groups()
        or not all(_SEGMENT.fullmatch(segment) for segment in segments)
    ):
        raise RequestUnspeakableError
    return header


def _field(header: bytes, number: int) -> bytes:
    """A field of MSH, which counts its separator as the first."""
    fields = header.split(b"|")
    return fields[number - 1] if len(fields) >= number else b""


def _is_interim(reply: bytes) -> bool:
    """Whether it is an acceptance, in the delimiters that it states itself."""
    accepted = re.compile(rb"[\r\n]MSA" + re.escape(reply[3:4]) + rb"CA(?![A-Za-z0-9])")
    return reply.startswith(b"MSH") and accepted.search(reply) is not None
