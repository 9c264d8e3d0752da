"""What the proxy says in the system's stead: bytes only, all of them its own.

Owns: injected replies, garbage and noise. Each carries the run's canary, so that text of a peer's that leaks
into an answer, a log or a report is found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from types import MappingProxyType
from typing import Final

from conformance.faults import Point

MAX_ENDLESS_BYTES: Final = 64 * 1024 * 1024
_FILLING: Final = b"." * 16 * 1024

_PROBLEMS: Final = MappingProxyType(
    {
        Point.ERROR_BEFORE: (503, "Service Unavailable", ()),
        Point.ERROR_AFTER: (503, "Service Unavailable", ()),
        Point.UNAVAILABLE: (503, "Service Unavailable", ()),
        Point.THROTTLED: (429, "Too Many Requests", ("Retry-After: 1",)),
        Point.INVALID: (422, "Unprocessable Content", ()),
        Point.MISSING: (404, "Not Found", ()),
    }
)
PROBLEMS: Final = frozenset(_PROBLEMS)
"""The points whose answer is a whole HTTP reply (RFC 9457)."""


def problem(point: Point, method: str, canary: str) -> bytes:
    """The whole reply of a point in `PROBLEMS`."""
    status, title, fields = _PROBLEMS[point]
    body = json.dumps({"title": title, "status": status, "detail": canary}).encode()
    lines = [f"HTTP/1.1 {status} {title}", "Content-Type: application/problem+json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *fields, "", ""]).encode("latin-1") + (b"" if method == "HEAD" else body)


def garbage(canary: str) -> bytes:
    """Bytes that no HTTP parser takes for a reply."""
    return b"\x00\xff\x16\x03 no reply " + canary.encode() + b"\x00\xfe\r\n\r\n"


def noise(length: int, canary: str) -> bytes:
    """A body of `length` bytes that is neither UTF-8 nor JSON, XML or iCalendar."""
    pattern = b"\xff\x00<{[ " + canary.encode() + b" \xfe"
    return (pattern * (length // len(pattern) + 1))[:length]


def oversized(canary: str) -> Iterator[bytes]:
    """A 200 whose chunks do not end, up to 64 MiB."""
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    filling = b'{"filling": "' + canary.encode() + _FILLING
    chunk = f"{len(filling):x}\r\n".encode() + filling + b"\r\n"
    for _ in range(MAX_ENDLESS_BYTES // len(chunk)):
        yield chunk


def endless_head(canary: str) -> Iterator[bytes]:
    """A 200 whose header fields do not end, up to 64 MiB."""
    yield b"HTTP/1.1 200 OK\r\n"
    value = canary.encode("ascii", "replace") + b"." * 1000
    for number in range(MAX_ENDLESS_BYTES // len(value)):
        yield f"X-Filling-{number}: ".encode() + value + b"\r\n"


def drip(canary: str) -> Iterator[bytes]:
    """A 200 whose body comes a byte at a time, for ever."""
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    text = canary.encode() or b"."
    for index in count():
        yield b"1\r\n" + text[index % len(text) :][:1] + b"\r\n"
