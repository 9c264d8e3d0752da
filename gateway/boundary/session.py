"""The session: what an adapter's httpx client really talks through, for one phase of one attempt.

Owns: the phase's rules (CARD-02, CARD-03), the bounds on each request and reply, the credential, the
addresses, and the record of what left and what came back. A reply that reaches the adapter is complete.
Refuses, before a byte leaves: mutating requests in a read phase, the second one in a write phase whatever
became of the first, undeclared and forbidden hosts, requests beyond the declared number, adapter-set
credentials, everything once closed; and a token request in a write phase, which has the token that its
readiness had, or none. Re-sends nothing; follows nothing.
No exception that it raises carries text from a request, a reply or a credential.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import httpx

from gateway.boundary import rules
from gateway.boundary.addresses import Address, AddressForbiddenError, Admits, NameUnresolvedError, resolve
from gateway.boundary.channel import Head, HttpChannel, Outgoing, ReplyMalformedError, RequestUnspeakableError
from gateway.boundary.credentials import CredentialUnavailableError, authorization_header, find_secret
from gateway.boundary.effects import Traffic
from gateway.boundary.mllp import MllpChannel
from gateway.boundary.rules import Destination, HostUndeclaredError, RequestForbiddenError
from gateway.boundary.tls import Contexts
from gateway.boundary.tokens import Token, TokenRefusedError, Tokens, granted, token_request
from gateway.boundary.wire import IdentityRefusedError, Wire, WireError
from gateway.clock import Clock
from gateway.contracts.adapter import Descriptor
from gateway.contracts.connection import Connection, Scheme, TokenEndpoint
from gateway.contracts.failures import Code
from gateway.hookspecs import CredentialSource

Channel = HttpChannel | MllpChannel


class _ReplyRefusedError(Exception):
    """The reply is out of bounds or proves nothing."""

    def __init__(self, code: Code) -> None:
        super().__init__()
        self.code = code


@dataclass(slots=True)
class Budget:
    """How many requests one attempt may still make, over all its phases (CARD-14): the adapter's, and the boundary's
    own for a token."""

    adapter: int
    token: int = 0

    @property
    def remaining(self) -> int:
        return self.adapter + self.token


@dataclass(slots=True)
class Mutation:
    """The one mutating request of a write phase."""

    wire: Wire | None = None
    status: int | None = None
    cause: Code | None = None

    @property
    def sent(self) -> bool:
        return self.wire is not None and self.wire.writes > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What all sessions of one engagement share."""

    connection: Connection
    descriptor: Descriptor
    credentials: Sequence[CredentialSource] = field(repr=False)
    admits: Admits
    tls: Contexts
    budget: Budget
    tokens: Tokens
    clock: Clock


class Session(httpx.AsyncBaseTransport):
    """One phase's transport. `requests` counts those let through; `answered`: whether the adapter got a complete reply.
    `token` is the attempt's access token, where it has one: as an earlier phase left it, then as this one does."""

    def __init__(self, door: Door, *, writes: bool, token: Token | None = None) -> None:
        self.token = token
        self.requests = 0
        self.answered = False
        self.fault: Code | None = None
        self.cause: Code | None = None
        self._door = door
        self._writes = writes
        self._mutation: Mutation | None = None
        self._closed = False
        self._credential: str | None = None
        self._tls = door.tls.shared(door.connection)
        self._addresses: dict[tuple[str, int], tuple[Address, ...]] = {}
        self._resolving = asyncio.Lock()
        self._wires: list[Wire] = []
        self._idle: dict[tuple[str, str, int], list[Channel]] = {}

    async def unlock(self, seconds: float) -> None:
        """Have the credential at hand, once, and good for so long; raises `httpx.TransportError` where none is."""
        connection, sources = self._door.connection, self._door.credentials
        use = connection.credential
        try:
            if use.token is None:
                self._credential = await authorization_header(use, sources)
            else:
                self.token = await self._lasting(use.token, seconds)
                self._credential = self.token.header
            if use.scheme is Scheme.CLIENT_CERTIFICATE and use.name is not None:
                self._tls = await self._door.tls.own(connection, await find_secret(use.name, sources))
        except CredentialUnavailableError:
            self._locked(Code.CREDENTIALS_REJECTED)
        except TokenRefusedError as error:
            self._locked(error.code)

    def _locked(self, cause: Code) -> NoReturn:
        self.token, self.cause = None, cause
        raise httpx.ConnectError("no usable credential for this connection") from None

    async def _lasting(self, endpoint: TokenEndpoint, seconds: float) -> Token:
        """A token that is good for so long: the attempt's own or, in a read phase, a kept or a fresh one."""
        door = self._door
        until = door.clock.monotonic() + seconds
        if self.token is not None and self.token.lives_until(until):
            return self.token
        if self._writes:
            raise CredentialUnavailableError
        token = door.tokens.find(door.connection.connection_id, until)
        if token is None:
            token = await self._fetched(endpoint)
            if not token.lives_until(until):  # a shorter life could end within the commit
                raise TokenRefusedError(Code.READINESS_UNVERIFIABLE)
            door.tokens.keep(door.connection.connection_id, token)
        return token

    async def _fetched(self, endpoint: TokenEndpoint) -> Token:
        """One token, by one POST on a connection of its own; its reply is none of the system's."""
        door, use = self._door, self._door.connection.credential
        assert use.name is not None
        secret = await find_secret(use.name, door.credentials)
        now, nonce = door.clock.now(), door.clock.token()
        asked = await asyncio.to_thread(token_request, use, secret, now=now, nonce=nonce)
        url = httpx.URL(endpoint.url)
        place = self._admit_token_request(url)
        headers = [(b"Content-Type", b"application/x-www-form-urlencoded"), (b"Accept", b"application/json")]
        headers += rules.own_headers(place, "POST", asked.body, credential=asked.credential)
        begun = door.clock.monotonic()
        reply = await self._carried(place, Outgoing("POST", place.target, headers, asked.body), url, fresh=True)
        # Only SMART's issuers spell scopes as they were asked; elsewhere, they use other words.
        scope = endpoint.scope if use.scheme is Scheme.PRIVATE_KEY_JWT else None
        return granted(reply.status_code, await reply.aread(), asked=begun, scope=scope)

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
            status=mutation.status,
            fault=self.fault,
            cause=mutation.cause or (self.cause if mutation.status is not None else None),
        )

    def close(self) -> None:
        """End the phase now: nothing is written from here on, and open connections are cut."""
        self._closed = True
        for wire in self._wires:
            wire.cut()

    async def aclose(self) -> None:
        self.close()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        # reading the body runs the adapter's code, which may change the rest
        method, url, given = request.method, request.url, request.headers.copy()
        try:
            body = await self._body(request)
        except BaseException:
            self._forgo(method, url)
            raise
        place, headers, mutation = self._admit(method, url, given, body)
        if body and method in rules.BODILESS_METHODS:  # whoever expects none reads it as the next request
            self._refuse(Code.ADAPTER_FAULT)
        headers += rules.own_headers(place, method, body, credential=self._credential)
        reply = await self._carried(place, Outgoing(method, place.target, headers, body), url, mutation)
        self.answered = True
        return reply

    async def _carried(
        self,
        place: Destination,
        outgoing: Outgoing,
        url: httpx.URL,
        mutation: Mutation | None = None,
        *,
        fresh: bool = False,
    ) -> httpx.Response:
        """One admitted request out, its complete reply in, all of it within the connection's limits."""
        channel: Channel | None = None
        try:
            async with asyncio.timeout(self._door.connection.limits.request_seconds):
                addresses = await self._checked_addresses(place)
                channel = await self._channel(place, addresses, mutation, fresh=fresh)
                return await self._exchange(channel, outgoing, url, mutation, fresh=fresh)
        except AddressForbiddenError:
            self._refuse(Code.HOST_FORBIDDEN)
        except Exception as error:  # noqa: BLE001 — whatever broke, its text must not travel on
            self._broken_off(error, channel, mutation)

    def _admit(
        self, method: str, url: httpx.URL, given: httpx.Headers, body: bytes
    ) -> tuple[Destination, rules.RawHeaders, Mutation | None]:
        """Judge and count the request in one step, so that concurrent requests cannot both be the first."""
        if self._closed:
            raise httpx.LocalProtocolError("the session is closed")
        connection, descriptor = self._door.connection, self._door.descriptor
        try:
            place = rules.destination(url, connection.hosts)
            headers = rules.request_headers(given)
            mutating = rules.is_mutating(method, place.path, descriptor.safe_posts)
            if mutating and descriptor.safe_calls is not None:
                mutating = not descriptor.safe_calls.hold(method, place.target.decode(), headers, body)
        except HostUndeclaredError:
            self._refuse(Code.HOST_FORBIDDEN)
        except RequestForbiddenError:
            self._refuse(Code.ADAPTER_FAULT)
        if self._door.budget.adapter <= 0 or (mutating and (not self._writes or self._mutation is not None)):
            self._refuse(Code.ADAPTER_FAULT)
        self._door.budget.adapter -= 1
        self.requests += 1
        if mutating:
            self._mutation = Mutation()
            return place, headers, self._mutation
        return place, headers, None

    def _admit_token_request(self, url: httpx.URL) -> Destination:
        """The attempt's own one, or another (in the look, after a 401) out of what the adapter left of its number."""
        budget = self._door.budget
        if self._closed:
            raise httpx.LocalProtocolError("the session is closed")
        if budget.remaining <= 0:
            raise TokenRefusedError(Code.READINESS_UNVERIFIABLE)
        if budget.token > 0:
            budget.token -= 1
        else:
            budget.adapter -= 1
        self.requests += 1
        return rules.destination(url, self._door.connection.hosts)

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

    def _forgo(self, method: str, url: httpx.URL) -> None:
        """A write whose body failed was the one write: another would be a retry, although nothing left."""
        path = url.raw_path.partition(b"?")[0].decode()
        if self._writes and rules.is_mutating(method, path, self._door.descriptor.safe_posts):
            self._mutation = self._mutation or Mutation()

    async def _checked_addresses(self, place: Destination) -> tuple[Address, ...]:
        connection = self._door.connection
        async with self._resolving:
            key = place.host, place.port
            if key not in self._addresses:
                self._addresses[key] = await resolve(*key, connection.network, self._door.admits)
        addresses = self._addresses[key]
        if not place.encrypted and not all(address.is_loopback for address in addresses):
            raise AddressForbiddenError
        return addresses

    async def _channel(
        self, place: Destination, addresses: tuple[Address, ...], mutation: Mutation | None, *, fresh: bool
    ) -> Channel:
        """A kept connection for a read; always a fresh one for the mutating request, so that a peer that
        gave up on an idle connection cannot make it UNKNOWN, and for a token."""
        while mutation is None and not fresh and (kept := self._idle.get(place.origin)):
            channel = kept.pop()
            if channel.wire.quiet:
                return channel
        wire = Wire(lambda: self._closed)
        self._wires.append(wire)
        if mutation is not None:
            mutation.wire = wire
        most_bytes = self._door.connection.limits.reply_bytes
        channel = MllpChannel(place, wire, most_bytes) if place.is_mllp else HttpChannel(place, wire)
        await channel.open(addresses, self._tls)
        return channel

    async def _exchange(
        self, channel: Channel, outgoing: Outgoing, url: httpx.URL, mutation: Mutation | None, *, fresh: bool
    ) -> httpx.Response:
        """A connection that was opened for one request ends with it."""
        method = outgoing.method
        try:
            head = await channel.ask(outgoing)
            if head.status == 401:
                self._disown()
            self._judge(method, head)
            content = await self._content(channel)
        except BaseException:
            channel.wire.cut()
            raise
        if mutation is None and not fresh and channel.renew():
            self._idle.setdefault(channel.origin, []).append(channel)
        else:
            channel.wire.cut()
        if mutation is not None:
            mutation.status = head.status
        return httpx.Response(
            head.status,
            headers=rules.reply_headers(head.headers, head.status, method, url, mutating=mutation is not None),
            stream=httpx.ByteStream(content),
        )

    def _disown(self) -> None:
        """The token was not accepted: whoever comes next gets another. Nothing is sent again."""
        if self.token is not None:
            self._door.tokens.drop(self._door.connection.connection_id, self.token)
            self.token = None

    def _judge(self, method: str, head: Head) -> None:
        status, headers = head.status, head.headers
        size = sum(len(name) + len(value) for name, value in headers.raw)
        whole = rules.marks_its_end(method, status, headers)
        if not whole or rules.is_encoded(headers) or size > rules.MAX_HEADER_BYTES:
            raise _ReplyRefusedError(Code.REPLY_UNRECOGNISED)
        if rules.is_cached(headers):
            raise _ReplyRefusedError(Code.REPLY_CACHED)

    async def _content(self, channel: Channel) -> bytes:
        content = bytearray()
        async for chunk in channel.body():
            content += chunk
            if len(content) > self._door.connection.limits.reply_bytes:
                raise _ReplyRefusedError(Code.REPLY_UNRECOGNISED)
        return bytes(content)

    def _broken_off(self, error: Exception, channel: Channel | None, mutation: Mutation | None) -> NoReturn:
        """Note why the exchange ended early, and raise httpx's own kind of error with a text of ours."""
        if self._closed:
            raise httpx.LocalProtocolError("the session is closed") from None
        if isinstance(error, RequestUnspeakableError):
            self._refuse(Code.ADAPTER_FAULT)
        wire = channel.wire if channel is not None and channel.wire.writes else None
        self.cause = _cause(error, wire)
        if mutation is not None:
            mutation.cause = self.cause
        if isinstance(error, NameUnresolvedError):
            raise httpx.ConnectError("the host's name does not resolve") from None
        if isinstance(error, TimeoutError):
            raise (httpx.ReadTimeout if wire else httpx.ConnectTimeout)("out of time") from None
        if isinstance(error, WireError):
            raise httpx.ConnectError("no connection to the host") from None
        raise httpx.RemoteProtocolError("the exchange broke off, or its reply is refused") from None


def _cause(error: Exception, wire: Wire | None) -> Code:
    """`wire` is the one on which something was written, if any."""
    if isinstance(error, _ReplyRefusedError):
        return error.code
    if isinstance(error, TimeoutError):
        return Code.EXTERNAL_TIMEOUT
    if isinstance(error, IdentityRefusedError) or (wire is not None and wire.refused):
        return Code.CREDENTIALS_REJECTED
    if wire is None:
        return Code.EXTERNAL_UNAVAILABLE
    if isinstance(error, ReplyMalformedError) and not wire.hung_up:
        return Code.REPLY_UNRECOGNISED
    return Code.CONNECTION_LOST
