"""HTTP/1.1 messages as they came: parsed by h11 to know their parts and their end, kept as bytes to pass them on.

Owns: the proxy's own judgement of what mutates, and the one thing that it alters in a request, the Host (with
Expect, which it answers itself, and Upgrade, which it does not carry).
Refuses: heads over 64 KiB and bodies over 8 MiB, as `h11.RemoteProtocolError`.
Sources: RFC 9112 (framing), RFC 9110 §9.2.1, RFC 4918 §9.1, RFC 3253 §3.6, RFC 5323 (methods).
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Final

import h11

from gateway.contracts.calls import SafeCalls

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_BODY_BYTES: Final = 8 * 1024 * 1024
MAX_MESSAGE_BYTES: Final = 2 * MAX_BODY_BYTES
"""Head, interim replies and the chunks' own framing included."""
_READ_BYTES: Final = 64 * 1024
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT", "SEARCH"})
_AMBIGUOUS: Final = re.compile(r"%(?:00|25|2e|2f|3b|5c)|[;\\]|//|/\.{1,2}(?:/|$)", re.IGNORECASE)
_NOT_FORWARDED: Final = frozenset({b"expect", b"upgrade"})
_BODILESS: Final = frozenset({204, 304})

RawHeaders = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Reads:
    """What an adapter declares free of effects; everything else with an unsafe method mutates. `posts` are path
    prefixes from the server's root, `calls` the JSON-RPC methods at one address, by the boundary's own rule."""

    posts: tuple[str, ...] = ()
    calls: SafeCalls | None = None

    def unsafe(self, method: str, target: str) -> bool:
        """Whether a request that begins so may have an effect, as far as that can be told without its body. An unknown
        method, a POST elsewhere than on a declared path, or one on a path with two readings may."""
        if method in _SAFE_METHODS:
            return False
        path = target.split("?", 1)[0]
        if method != "POST" or _AMBIGUOUS.search(path):
            return True
        return not any(path == prefix or path.startswith(prefix.rstrip("/") + "/") for prefix in self.posts)

    def undecided(self, method: str, target: str) -> bool:
        """Whether only the body tells."""
        return self.calls is not None and self.calls.may_hold(method, target) and self.unsafe(method, target)

    def mutates(self, method: str, target: str, headers: RawHeaders, body: bytes) -> bool:
        """Whether the whole request may have an effect."""
        called = self.calls is not None and self.calls.hold(method, target, headers, body)
        return not called and self.unsafe(method, target)


NO_MORE: Final = Reads()
"""Nothing but the safe methods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A request's first line and fields. `length` is the declared body's, None where it is chunked."""

    method: str
    target: str
    version: bytes
    headers: RawHeaders = field(repr=False)

    @property
    def has_body(self) -> bool:
        return self.length != 0

    @property
    def length(self) -> int | None:
        fields = {name.lower(): value for name, value in self.headers}
        if b"transfer-encoding" in fields:
            return None
        return int(fields.get(b"content-length", b"0"))

    def rewritten(self, authority: str) -> bytes:
        """The head as the system gets it: addressed to `authority`."""
        kept = [pair for pair in self.headers if pair[0].lower() not in _NOT_FORWARDED | {b"host"}]
        lines = [b"Host: " + authority.encode("ascii"), *(name + b": " + value for name, value in kept)]
        start = f"{self.method} {self.target} HTTP/".encode("latin-1") + self.version
        return b"\r\n".join([start, *lines, b"", b""])


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One whole request. `body` is its content, `framed` the same as it came, chunks and all."""

    head: Head
    body: bytes = field(repr=False)
    framed: bytes = field(repr=False)
    keeps: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back, interim replies left out. `raw` is all of it; its head ends at `head_bytes`.

    `keeps`: whether the connection may be used again. An incomplete reply has status None; `broken_off` says that the
    system closed the connection before its end.
    """

    raw: bytes = field(repr=False)
    status: int | None = None
    headers: RawHeaders = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    head_bytes: int = 0
    keeps: bool = False
    broken_off: bool = False

    @property
    def has_framed_body(self) -> bool:
        return len(self.raw) > self.head_bytes

    def with_body(self, body: bytes) -> bytes:
        """The same status line and fields over another body; framed by its length."""
        framing = (b"content-length", b"transfer-encoding")
        start = self.raw.split(b"\n", 1)[0].rstrip(b"\r")
        lines = [name + b": " + value for name, value in self.headers if name.lower() not in framing]
        return b"\r\n".join([start, *lines, f"Content-Length: {len(body)}".encode(), b"", body])


def may_have_body(method: str, status: int) -> bool:
    return method != "HEAD" and status not in _BODILESS


def request_parser() -> h11.Connection:
    return h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)


def head_of(event: h11.Request) -> Head:
    return Head(
        method=event.method.decode("ascii"),
        target=event.target.decode("latin-1"),
        version=event.http_version,
        headers=tuple(event.headers.raw_items()),
    )


def read_head(content: bytes) -> Head | None:
    """The head that `content` begins with; None where it is not whole or not HTTP."""
    parser = request_parser()
    parser.receive_data(content)
    try:
        event = parser.next_event()
    except h11.RemoteProtocolError:
        return None
    return head_of(event) if isinstance(event, h11.Request) else None


def read_request(content: bytes) -> tuple[Head, bytes] | None:
    """Head and body of the request that `content` begins with; None where it is not whole or not HTTP."""
    parser = request_parser()
    parser.receive_data(content)
    head, body = None, bytearray()
    try:
        while True:
            event = parser.next_event()
            if isinstance(event, h11.Request):
                head = head_of(event)
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return head, bytes(body)
            else:
                return None
    except h11.RemoteProtocolError:
        return None


async def read_reply(reader: asyncio.StreamReader, method: str) -> Reply:
    """Read until the reply's end. What breaks off, or is no HTTP, comes back without a status."""
    parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    parser.send(h11.Request(method=method, target="/", headers=[("Host", "-")]))
    parser.send(h11.EndOfMessage())
    raw, body = bytearray(), bytearray()
    begin = end = 0
    head: h11.Response | None = None
    try:
        while True:
            event = parser.next_event()
            if max(len(body) - MAX_BODY_BYTES, len(raw) - MAX_MESSAGE_BYTES) > 0:
                break
            if event is h11.NEED_DATA:
                received = await reader.read(_READ_BYTES)
                raw += received
                parser.receive_data(received)
            elif isinstance(event, h11.InformationalResponse):
                begin = len(raw) - len(parser.trailing_data[0])
            elif isinstance(event, h11.Response):
                head, end = event, len(raw) - len(parser.trailing_data[0])
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return Reply(
                    raw=bytes(raw[begin:]),
                    status=head.status_code,
                    headers=tuple(head.headers.raw_items()),
                    body=bytes(body),
                    head_bytes=end - begin,
                    keeps=parser.their_state is h11.DONE and parser.trailing_data == (b"", False),
                )
            else:
                break
    # A reply that breaks off is passed on as it is, and the client is cut off where the proxy was.
    except OSError:
        return Reply(raw=bytes(raw[begin:]), broken_off=True)
    except h11.RemoteProtocolError:
        _, closed = parser.trailing_data
        return Reply(raw=bytes(raw[begin:]), broken_off=closed)
    return Reply(raw=bytes(raw[begin:]))
