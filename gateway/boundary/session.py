"""The session: what an adapter's httpx client really talks through, for one phase of one attempt.

Owns: the phase's rules (CARD-02, CARD-03), the bounds on each request and reply, the credential, the
addresses, and the record of what left and what came back. A reply that reaches the adapter is complete.
Refuses, before a byte leaves: mutating requests in a read phase, the second one in a write phase whatever
became of the first, undeclared and forbidden hosts, requests beyond the declared number, adapter-set
credentials, everything once closed. Re-sends nothing; follows nothing.
No exception that it raises carries text from a request, a reply or a credential.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

import httpcore
import httpx

from gateway.boundary import rules
from gateway.boundary.addresses import Address, AddressForbiddenError, Admits, NameUnresolvedError, resolve
from gateway.boundary.credentials import CredentialUnavailableError, authorization_header
from gateway.boundary.effects import Traffic
from gateway.boundary.rules import Destination, HostUndeclaredError, RequestForbiddenError
from gateway.boundary.wire import Wiring
from gateway.contracts.adapter import Descriptor
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code
from gateway.hookspecs import CredentialSource

_NAMESAKES: Final[tuple[tuple[type[Exception], type[httpx.TransportError]], ...]] = (
    (httpcore.ConnectTimeout, httpx.ConnectTimeout),
    (httpcore.TimeoutException, httpx.ReadTimeout),
    (httpcore.ConnectError, httpx.ConnectError),
    (httpcore.ReadError, httpx.ReadError),
    (httpcore.WriteError, httpx.WriteError),
    (httpcore.NetworkError, httpx.NetworkError),
    (httpcore.RemoteProtocolError, httpx.RemoteProtocolError),
    (httpcore.LocalProtocolError, httpx.LocalProtocolError),
)


class _ReplyRefusedError(Exception):
    """The reply is out of bounds or proves nothing."""

    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class Budget:
    """How many requests one attempt may still make, over all its phases (CARD-14)."""

    remaining: int


@dataclass(frozen=True, slots=True)
class Link:
    """One connection to one origin."""

    channel: httpcore.AsyncHTTPConnection
    wiring: Wiring
    origin: tuple[str, str, int]


@dataclass(slots=True)
class Mutation:
    """The one mutating request of a write phase."""

    wiring: Wiring | None = None
    status: int | None = None
    cause: Code | None = None

    @property
    def sent(self) -> bool:
        return self.wiring is not None and self.wiring.writes > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What all sessions of one engagement share."""

    connection: Connection
    descriptor: Descriptor
    credentials: Sequence[CredentialSource] = field(repr=False)
    admits: Admits
    tls: ssl.SSLContext
    budget: Budget


class Session(httpx.AsyncBaseTransport):
    """One phase's transport. `requests` counts those let through, `replies` the complete ones."""

    def __init__(self, door: Door, *, writes: bool) -> None:
        self.requests = 0
        self.replies = 0
        self.fault: Code | None = None
        self.cause: Code | None = None
        self._door = door
        self._writes = writes
        self._mutation: Mutation | None = None
        self._closed = False
        self._credential: str | None = None
        self._addresses: dict[tuple[str, int], tuple[Address, ...]] = {}
        self._resolving = asyncio.Lock()
        self._wirings: list[Wiring] = []
        self._idle: dict[tuple[str, str, int], list[Link]] = {}

    async def unlock(self) -> None:
        """Fetch the credential, once; raises `httpx.ConnectError` when no source has a usable one."""
        try:
            self._credential = await authorization_header(self._door.connection.credential, self._door.credentials)
        except CredentialUnavailableError:
            self.cause = Code.CREDENTIALS_REJECTED
            raise httpx.ConnectError("no usable credential for this connection") from None

    def client(self) -> httpx.AsyncClient:
        """The adapter's end of this session."""
        return httpx.AsyncClient(
            base_url=self._door.connection.base_url, transport=self, trust_env=False, follow_redirects=False
        )

    def traffic(self) -> Traffic:
        """What left and what came back; final once the session is closed."""
        mutation = self._mutation
        if mutation is None or not mutation.sent:
            return Traffic(fault=self.fault, cause=self.cause)
        return Traffic(
            sent=True,
            complete=mutation.status is not None,
            status=mutation.status,
            fault=self.fault,
            cause=mutation.cause or (self.cause if mutation.status is not None else None),
        )

    def close(self) -> None:
        """End the phase now: nothing is written from here on, and open connections are cut."""
        self._closed = True
        for wiring in self._wirings:
            wiring.cut()

    async def aclose(self) -> None:
        self.close()
        for wiring in self._wirings:
            await wiring.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        method, url = request.method, request.url  # reading the body runs the adapter's code, which may change them
        place, headers, mutation = self._admit(request)
        body = await self._body(request)
        if body and method in rules.BODILESS_METHODS:  # whoever expects none reads it as the next request
            self._refuse(Code.ADAPTER_FAULT)
        headers += rules.own_headers(place, method, body, credential=self._credential, mutating=mutation is not None)
        outgoing = httpcore.Request(
            method,
            httpcore.URL(scheme=place.scheme, host=place.host, port=place.port, target=place.target),
            headers=headers,
            content=body,
        )
        link: Link | None = None
        try:
            async with asyncio.timeout(self._door.connection.limits.request_seconds):
                addresses = await self._checked_addresses(place)
                link = self._link(place, addresses, mutation)
                reply = await self._exchange(link, outgoing, url, mutation)
        except AddressForbiddenError:
            self._refuse(Code.HOST_FORBIDDEN)
        except Exception as error:  # noqa: BLE001 — whatever broke, its text must not travel on
            self._broken_off(error, link, mutation)
        self.replies += 1
        return reply

    def _admit(self, request: httpx.Request) -> tuple[Destination, rules.RawHeaders, Mutation | None]:
        """Judge and count the request in one step, so that concurrent requests cannot both be the first."""
        if self._closed:
            raise httpx.LocalProtocolError("the session is closed")
        connection, descriptor = self._door.connection, self._door.descriptor
        try:
            place = rules.destination(request.url, connection.hosts)
            mutating = rules.is_mutating(request.method, place.path, descriptor.safe_posts)
            headers = rules.request_headers(request.headers)
        except HostUndeclaredError:
            self._refuse(Code.HOST_FORBIDDEN)
        except RequestForbiddenError:
            self._refuse(Code.ADAPTER_FAULT)
        if self._door.budget.remaining <= 0 or (mutating and (not self._writes or self._mutation is not None)):
            self._refuse(Code.ADAPTER_FAULT)
        self._door.budget.remaining -= 1
        self.requests += 1
        if mutating:
            self._mutation = Mutation()
            return place, headers, self._mutation
        return place, headers, None

    def _refuse(self, fault: Code) -> NoReturn:
        self.fault = self.fault or fault
        raise httpx.LocalProtocolError("the boundary does not admit this request") from None

    async def _body(self, request: httpx.Request) -> bytes:
        """The whole body before anything is sent: a body that fails or floods then sends nothing."""
        if not isinstance(request.stream, httpx.AsyncByteStream):
            self._refuse(Code.ADAPTER_FAULT)
        body = bytearray()
        async for chunk in request.stream:
            body += chunk
            if len(body) > rules.MAX_BODY_BYTES:
                self._refuse(Code.ADAPTER_FAULT)
        return bytes(body)

    async def _checked_addresses(self, place: Destination) -> tuple[Address, ...]:
        connection = self._door.connection
        async with self._resolving:
            key = place.host, place.port
            if key not in self._addresses:
                self._addresses[key] = await resolve(*key, connection.network, self._door.admits)
        addresses = self._addresses[key]
        if place.scheme != "https" and not all(address.is_loopback for address in addresses):
            raise AddressForbiddenError
        return addresses

    def _link(self, place: Destination, addresses: tuple[Address, ...], mutation: Mutation | None) -> Link:
        """A kept connection for a read; always a fresh one for the mutating request, so that a peer that
        gave up on an idle connection cannot make it UNKNOWN."""
        while mutation is None and (kept := self._idle.get(place.origin)):
            link = kept.pop()
            if link.channel.is_available() and not link.channel.has_expired():
                return link
        wiring = Wiring(addresses, lambda: self._closed)
        self._wirings.append(wiring)
        if mutation is not None:
            mutation.wiring = wiring
        origin = httpcore.Origin(place.scheme.encode(), place.host.encode(), place.port)
        channel = httpcore.AsyncHTTPConnection(
            origin, ssl_context=self._door.tls, http1=True, http2=False, retries=0, network_backend=wiring
        )
        return Link(channel, wiring, place.origin)

    async def _exchange(
        self, link: Link, outgoing: httpcore.Request, url: httpx.URL, mutation: Mutation | None
    ) -> httpx.Response:
        method = outgoing.method.decode("ascii")
        incoming = await link.channel.handle_async_request(outgoing)
        try:
            headers = httpx.Headers(incoming.headers)
            self._judge(method, incoming.status, headers)
            body = await self._read(incoming)
        except BaseException:
            await link.channel.aclose()
            raise
        if mutation is None:
            await incoming.aclose()
            self._idle.setdefault(link.origin, []).append(link)
        else:
            mutation.status = incoming.status
            await link.channel.aclose()
        return httpx.Response(
            incoming.status,
            headers=rules.reply_headers(headers, incoming.status, method, url, mutating=mutation is not None),
            stream=httpx.ByteStream(body),
            extensions={"http_version": b"HTTP/1.1"},
        )

    def _judge(self, method: str, status: int, headers: httpx.Headers) -> None:
        size = sum(len(name) + len(value) for name, value in headers.raw)
        whole = status >= 200 and rules.marks_its_end(method, status, headers)
        if not whole or rules.is_encoded(headers) or size > rules.MAX_HEADER_BYTES:
            raise _ReplyRefusedError(Code.REPLY_UNRECOGNISED)
        if rules.is_cached(headers):
            raise _ReplyRefusedError(Code.REPLY_CACHED)

    async def _read(self, incoming: httpcore.Response) -> bytes:
        body = bytearray()
        async for chunk in incoming.aiter_stream():
            body += chunk
            if len(body) > self._door.connection.limits.reply_bytes:
                raise _ReplyRefusedError(Code.REPLY_UNRECOGNISED)
        return bytes(body)

    def _broken_off(self, error: Exception, link: Link | None, mutation: Mutation | None) -> NoReturn:
        """Note why the exchange ended early, and raise httpx's own kind of error with a text of ours."""
        if self._closed:
            raise httpx.LocalProtocolError("the session is closed") from None
        if isinstance(error, httpcore.LocalProtocolError):
            self._refuse(Code.ADAPTER_FAULT)
        written = link is not None and link.wiring.writes > 0
        self.cause = _cause(error, link)
        if mutation is not None:
            mutation.cause = self.cause
        if isinstance(error, NameUnresolvedError):
            raise httpx.ConnectError("the host's name does not resolve") from None
        if isinstance(error, TimeoutError):
            raise (httpx.ReadTimeout if written else httpx.ConnectTimeout)("out of time") from None
        for theirs, ours in _NAMESAKES:
            if isinstance(error, theirs):
                raise ours("the exchange broke off") from None
        raise httpx.RemoteProtocolError("the reply is refused") from None


def _cause(error: Exception, link: Link | None) -> Code:
    if isinstance(error, _ReplyRefusedError):
        return error.code
    if isinstance(error, TimeoutError | httpcore.TimeoutException):
        return Code.EXTERNAL_TIMEOUT
    if link is None or link.wiring.writes == 0:
        return Code.EXTERNAL_UNAVAILABLE
    if isinstance(error, httpcore.ProtocolError) and not link.wiring.hung_up:
        return Code.REPLY_UNRECOGNISED
    return Code.CONNECTION_LOST
