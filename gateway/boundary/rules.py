"""What may pass the door, as pure functions over requests and replies.

Owns: which requests are free of effects, which headers an adapter may set, when a reply's end is marked,
when a reply shows that a cache made it, and which redirects a client may learn of. No I/O.
Refuses: what it does not know. An unlisted method, a POST outside the declared paths, or a path that
could be read in two ways counts as mutating.
Sources: RFC 9110 (methods, fields), RFC 9112 §6 and §8 (framing), RFC 9111 §5 and RFC 9211 (caches).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from gateway.contracts.connection import ENCRYPTED, MLLP, PORTS

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT", "SEARCH"})
MAX_HEADER_BYTES: Final = 32 * 1024
MAX_BODY_BYTES: Final = 1024 * 1024

_METHOD: Final = re.compile(r"[A-Z][A-Z-]{1,19}")
_TUNNELS: Final = frozenset({"CONNECT", "TRACE"})
_TARGET: Final = re.compile(rb"/[!-~]{0,8191}")
_TWO_READINGS: Final = re.compile(r"%(?:00|25|2e|2f|3b|5c)|[;\\]|//|/\.{1,2}(?:/|$)", re.IGNORECASE)

_CREDENTIALS: Final = frozenset({"authorization", "cookie", "cookie2"})
_OVERRIDES: Final = frozenset(
    {"x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"}
)
_OURS: Final = frozenset(
    {
        *("host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect"),
        *("content-length", "accept-encoding", "cache-control", "pragma"),
    }
)
BODILESS_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_BODILESS: Final = frozenset({204, 304})
_STALE_WARNING: Final = re.compile(r"(?:^|,)\s*11[0-3]\b")
_CACHE_HIT: Final = re.compile(r"\bhit\b", re.IGNORECASE)
_CACHE_FIELDS: Final = ("x-cache", "x-cache-status", "cf-cache-status", "x-proxy-cache", "cache-status")

RawHeaders = list[tuple[bytes, bytes]]


class RequestForbiddenError(Exception):
    """The adapter asked for something that no phase admits."""


class HostUndeclaredError(Exception):
    """The adapter asked for a host that its connection does not declare."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a request goes: only ever one of the connection's declared hosts."""

    scheme: str
    host: str
    port: int
    target: bytes

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def path(self) -> str:
        return self.target.partition(b"?")[0].decode()

    @property
    def encrypted(self) -> bool:
        return self.scheme in ENCRYPTED

    @property
    def is_mllp(self) -> bool:
        return self.scheme in MLLP


def destination(url: httpx.URL, hosts: Sequence[str]) -> Destination:
    """Raises `HostUndeclaredError` or, for a malformed target, `RequestForbiddenError`."""
    if url.scheme not in PORTS:
        raise HostUndeclaredError
    host = url.raw_host.decode().lower()
    port = url.port if url.port is not None else PORTS[url.scheme]
    if f"{host}:{port}" not in hosts:
        raise HostUndeclaredError
    if url.userinfo or not _TARGET.fullmatch(url.raw_path):
        raise RequestForbiddenError
    return Destination(url.scheme, host, port, url.raw_path)


def is_mutating(method: str, path: str, safe_posts: Iterable[str]) -> bool:
    """Whether the request may have an effect; raises `RequestForbiddenError` for a tunnel or nonsense."""
    if not _METHOD.fullmatch(method) or method in _TUNNELS:
        raise RequestForbiddenError
    if method in SAFE_METHODS:
        return False
    if method != "POST" or _TWO_READINGS.search(path):
        return True
    return not any(path == prefix or path.startswith(prefix.rstrip("/") + "/") for prefix in safe_posts)


def request_headers(headers: httpx.Headers) -> RawHeaders:
    """What is left of the adapter's headers; raises `RequestForbiddenError` for credentials, proxies and
    method overrides. Framing, caching and `Host` are the boundary's own."""
    passed: RawHeaders = []
    for name, value in headers.raw:
        known = name.decode("latin-1").lower()
        if known in _CREDENTIALS or known in _OVERRIDES or known.startswith("proxy-"):
            raise RequestForbiddenError
        if known not in _OURS:
            passed.append((name, value))
    if sum(len(name) + len(value) for name, value in passed) > MAX_HEADER_BYTES:
        raise RequestForbiddenError
    return passed


def own_headers(place: Destination, method: str, body: bytes, *, credential: str | None) -> RawHeaders:
    """The headers that only the boundary sets; the credential is in no object that an adapter holds.

    No `Connection: close`, not even where nothing follows on the connection: a server so asked may end its reply by
    closing (Jetty does), and such an end proves nothing.
    """
    host = place.host if place.port == PORTS[place.scheme] else f"{place.host}:{place.port}"
    headers = [("Host", host), ("Accept-Encoding", "identity"), ("Cache-Control", "no-cache, no-store")]
    if method not in BODILESS_METHODS:
        headers.append(("Content-Length", str(len(body))))
    if credential is not None:
        headers.append(("Authorization", credential))
    return [(name.encode(), value.encode("ascii")) for name, value in headers]


def marks_its_end(method: str, status: int, headers: httpx.Headers) -> bool:
    """Whether the reply says where it ends, in one way only. One that merely stops could have been cut short,
    unnoticed; one that states a length and chunks has two ends (RFC 9112 §6.3: an error)."""
    if method == "HEAD" or status in _BODILESS:
        return True
    coding = headers.get("transfer-encoding")
    if coding is None:
        return "content-length" in headers
    return coding.lower().strip() == "chunked" and "content-length" not in headers


def is_encoded(headers: httpx.Headers) -> bool:
    """Whether the content is compressed, which nobody asked for and which could expand without bound."""
    return headers.get("content-encoding", "identity").lower().strip() not in ("", "identity")


def is_cached(headers: httpx.Headers) -> bool:
    """Whether the reply shows that a cache made it (CACHE-01)."""
    age = headers.get("age", "0").strip()
    return (
        age.strip("0") != ""
        or _STALE_WARNING.search(headers.get("warning", "")) is not None
        or any(_CACHE_HIT.search(headers.get(field, "")) for field in _CACHE_FIELDS)
    )


def reply_headers(headers: httpx.Headers, status: int, method: str, url: httpx.URL, *, mutating: bool) -> httpx.Headers:
    """What the adapter's client may see: no cookies, and no redirect that must not be followed."""
    kept = [(name, value) for name, value in headers.raw if name.lower() != b"set-cookie"]
    if 300 <= status < 400 and (mutating or method == "POST" or _leaves(headers, url)):
        kept = [(name, value) for name, value in kept if name.lower() not in (b"location", b"refresh")]
    return httpx.Headers(kept)


def _leaves(headers: httpx.Headers, base: httpx.URL) -> bool:
    try:
        target = base.join(headers.get("location", ""))
    except (httpx.InvalidURL, ValueError):
        return True
    return (target.scheme, target.host, target.port) != (base.scheme, base.host, base.port)
