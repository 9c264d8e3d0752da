"""One commit against peers that misbehave on a real socket: what left, what came back, what is known."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any

import httpx
import pytest

from gateway.boundary import CommitResult
from gateway.boundary.channel import Head, HttpChannel, Outgoing, ReplyMalformedError
from gateway.boundary.rules import MAX_HEADER_BYTES, Destination
from gateway.boundary.wire import MAX_UNREAD_BYTES, Wire, _Ends
from gateway.contracts.adapter import Authorized, Readiness, Receipt, Request
from gateway.contracts.connection import CredentialUse, Limits, Network, Scheme
from gateway.contracts.failures import Code
from gateway.contracts.words import Effect
from tests.peers.peer import reply

Start = Callable[..., Awaitable[Any]]
Answer = Callable[..., bytes]


def brief(practice: Any, **limits: float) -> None:
    """Give the practice's connection limits that no test waits for."""
    short = Limits.model_construct(**(Limits().model_dump() | limits))
    practice.connection = practice.connection.model_copy(update={"limits": short})


async def never(call: Any) -> None:
    await asyncio.Event().wait()


@pytest.mark.requirement("CARD-02")
async def test_a_commit_is_one_request_on_a_connection_of_its_own(practice: Any, peer: Any) -> None:
    result = await practice.commit()
    assert (result.effect, result.code) == (Effect.APPLIED, Code.COMMITTED)
    assert (result.requests, result.mutating_requests, peer.mutations) == (1, 1, 1)
    assert [call.method for call in peer.calls] == ["GET", "PUT"]
    assert peer.connections == 2
    assert [call.headers.get("content-length") for call in peer.calls] == [None, "5"]
    assert "connection" not in peer.calls[1].headers  # a server that is to close may end its reply so, unprovably


@pytest.mark.requirement("CARD-02")
async def test_a_fresh_connection_is_used_even_after_reads_in_the_same_session(practice: Any, peer: Any) -> None:
    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await write.get("a")
        await write.get("b")
        await write.put("c")
        return Receipt.applied()

    practice.guest.act = act
    assert (await practice.commit()).effect is Effect.APPLIED
    assert peer.connections == 3  # readiness, the two reads of commit, the write


async def test_a_read_after_the_peer_let_the_kept_connection_go_uses_another(
    practice: Any, peer: Any, answer: Answer
) -> None:
    async def once(call: Any) -> None:
        await call.answer(answer(200))
        call.writer.close()

    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.get("first")
        await asyncio.sleep(0.05)
        await read.get("second")
        return Readiness.proven()

    peer.on["GET /first"] = once
    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is None
    assert peer.connections == 2


@pytest.mark.requirement("CARD-02")
async def test_a_kept_connection_on_which_more_came_than_was_asked_for_is_not_used_again(
    practice: Any, peer: Any, answer: Answer
) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        replies = [(await read.get(target)).status_code for target in ("first", "second")]
        return Readiness.proven() if replies == [200, 200] else Readiness.refuted(Code.EXTERNAL_FORBIDDEN)

    peer.on["GET /first"] = answer(200) + answer(403)
    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is None
    assert peer.connections == 2


async def interim_for_ever(call: Any) -> None:
    while not call.writer.transport.is_closing():
        await call.answer(b"HTTP/1.1 102 Processing\r\n\r\n")


async def test_interim_replies_without_end_are_no_reply(practice: Any, peer: Any) -> None:
    peer.on["PUT"] = interim_for_ever
    result = await practice.commit()
    assert (result.effect, result.code, peer.mutations) == (Effect.UNKNOWN, Code.REPLY_UNRECOGNISED, 1)


async def half_head(call: Any) -> None:
    await call.answer(b"HTTP/1.1 201 Crea")
    call.writer.close()


async def half_body(call: Any) -> None:
    await call.answer(b"HTTP/1.1 201 X\r\nContent-Length: 100\r\n\r\nhalf")
    call.writer.close()


async def half_chunk(call: Any) -> None:
    await call.answer(b"HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
    call.writer.close()


async def reset(call: Any) -> None:
    call.reset()


async def reset_in_body(call: Any) -> None:
    await call.answer(b"HTTP/1.1 201 X\r\nContent-Length: 100\r\n\r\nhalf")
    await asyncio.sleep(0.02)
    call.reset()


async def hang_up(call: Any) -> None:
    call.writer.close()


async def unmarked(call: Any) -> None:
    await call.answer(b"HTTP/1.1 201 X\r\n\r\n")
    call.writer.close()


async def endless(call: Any) -> None:
    await call.answer(b"HTTP/1.1 201 X\r\nContent-Length: 99999999999\r\n\r\n")
    while not call.writer.transport.is_closing():
        await call.answer(b"x" * 65536)


async def endless_head(call: Any) -> None:
    await call.answer(b"HTTP/1.1 201 X\r\n")
    while not call.writer.transport.is_closing():
        await call.answer(b"X-Padding: " + b"x" * 60000 + b"\r\n")


LARGE_HEAD = b"HTTP/1.1 201 X\r\nContent-Length: 0\r\nX-Padding: " + b"x" * 40000 + b"\r\n\r\n"


@pytest.mark.requirement("CARD-02", "FAIL-20")
@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (reset, Code.CONNECTION_LOST),
        (hang_up, Code.CONNECTION_LOST),
        (half_head, Code.CONNECTION_LOST),
        (half_body, Code.CONNECTION_LOST),
        (half_chunk, Code.CONNECTION_LOST),
        (reset_in_body, Code.CONNECTION_LOST),
        (unmarked, Code.REPLY_UNRECOGNISED),
        (endless, Code.REPLY_UNRECOGNISED),
        (endless_head, Code.REPLY_UNRECOGNISED),
        (LARGE_HEAD, Code.REPLY_UNRECOGNISED),
        (b"garbage\r\n\r\n" * 10, Code.REPLY_UNRECOGNISED),
        (b"\x16\x03\x01\x00\x00" * 100, Code.REPLY_UNRECOGNISED),
        (b"HTTP/1.1 201 X\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", Code.REPLY_UNRECOGNISED),
        (b"HTTP/1.1 201 X\r\nContent-Length: 0\r\nContent-Encoding: gzip\r\n\r\n", Code.REPLY_UNRECOGNISED),
        (b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", Code.REPLY_UNRECOGNISED),
        (b"HTTP/1.1 201 X\r\nContent-Length: 0\r\nAge: 5\r\n\r\n", Code.REPLY_CACHED),
    ],
)
async def test_a_reply_that_is_not_whole_sound_and_fresh_leaves_the_effect_unknown(
    practice: Any, peer: Any, behaviour: Any, code: Code
) -> None:
    peer.on["PUT"] = behaviour
    result = await practice.commit()
    assert (result.effect, result.code) == (Effect.UNKNOWN, code)
    assert (peer.mutations, result.mutating_requests) == (1, 1)


@pytest.mark.requirement("FAIL-19")
async def test_a_reply_that_does_not_come_in_time_is_a_timeout(practice: Any, peer: Any) -> None:
    peer.on["PUT"] = never
    brief(practice, request_seconds=0.1)
    result = await practice.commit()
    assert (result.effect, result.code, peer.mutations) == (Effect.UNKNOWN, Code.EXTERNAL_TIMEOUT, 1)


async def test_a_reply_that_trickles_is_a_timeout(practice: Any, peer: Any) -> None:
    async def trickle(call: Any) -> None:
        await call.answer(b"HTTP/1.1 201 X\r\nContent-Length: 1000\r\n\r\n")
        while not call.writer.transport.is_closing():
            await call.answer(b"x")
            await asyncio.sleep(0.01)

    peer.on["PUT"] = trickle
    brief(practice, request_seconds=0.1)
    assert (await practice.commit()).code is Code.EXTERNAL_TIMEOUT


async def test_interim_replies_are_not_the_reply(practice: Any, peer: Any, answer: Answer) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"
    peer.on["PUT"] = interim + answer(201)
    assert (await practice.commit()).effect is Effect.APPLIED


@pytest.mark.parametrize(("size", "effect"), [(1000, Effect.APPLIED), (1001, Effect.UNKNOWN)])
async def test_a_reply_may_fill_the_connections_limit(
    practice: Any, peer: Any, answer: Answer, size: int, effect: Effect
) -> None:
    peer.on["PUT"] = answer(201, b"x" * size)
    brief(practice, reply_bytes=1000)
    assert (await practice.commit()).effect is effect


@pytest.mark.parametrize(("more", "effect"), [(0, Effect.APPLIED), (1, Effect.UNKNOWN)])
async def test_a_head_may_fill_its_bound(practice: Any, peer: Any, answer: Answer, more: int, effect: Effect) -> None:
    padding = MAX_HEADER_BYTES - len("Content-Length" + "0" + "X-Padding") + more
    peer.on["PUT"] = answer(201, X_Padding="x" * padding)
    assert (await practice.commit()).effect is effect


async def test_a_reply_that_has_no_body_needs_no_length(practice: Any, peer: Any) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        return Readiness.proven(prepared=(await read.head("ready")).status_code)

    peer.on |= {"HEAD": b"HTTP/1.1 200 X\r\n\r\n", "PUT": b"HTTP/1.1 204 X\r\n\r\n"}
    practice.guest.ready = ready
    assert (await practice.commit()).effect is Effect.APPLIED


class Pieces:
    """A wire that brings a reply in these pieces, and then its end."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    async def write(self, content: bytes) -> None:
        pass

    async def read(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


async def asked(*pieces: bytes) -> Head:
    wire: Any = Pieces(*pieces)
    channel = HttpChannel(Destination("http", "localhost", 80, b"/"), wire)
    return await channel.ask(Outgoing("GET", b"/", [(b"Host", b"localhost")], b""))


async def test_a_head_in_pieces_is_gathered_up_to_twice_what_a_reply_may_have() -> None:
    """What is more is not waited for; what is less is judged once it is whole."""
    padding = b"HTTP/1.1 200 X\r\nX-Padding: " + b"x" * MAX_HEADER_BYTES
    assert (await asked(padding, b"\r\n\r\n")).status == 200
    with pytest.raises(ReplyMalformedError):
        await asked(padding, b"x" * MAX_HEADER_BYTES, b"\r\n\r\n")


async def test_a_chunked_reply_is_whole_when_its_last_chunk_came(practice: Any, peer: Any) -> None:
    peer.on["PUT"] = b"HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    assert (await practice.commit()).effect is Effect.APPLIED


async def test_a_definitive_refusal_is_refused(practice: Any, peer: Any, answer: Answer) -> None:
    peer.on["PUT"] = answer(409)
    result = await practice.commit()
    assert (result.effect, result.code) == (Effect.REFUSED, Code.SLOT_TAKEN)


@pytest.mark.requirement("FAIL-18")
@pytest.mark.parametrize(("status", "code"), [(503, Code.EXTERNAL_ERROR), (408, Code.EXTERNAL_TIMEOUT)])
async def test_a_reply_that_proves_nothing_is_not_taken_for_a_refusal(
    practice: Any, peer: Any, answer: Answer, status: int, code: Code
) -> None:
    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await write.put("event")
        return Receipt.refused(Code.SLOT_TAKEN)

    practice.guest.act = act
    peer.on["PUT"] = answer(status)
    result = await practice.commit()
    assert (result.effect, result.code) == (Effect.UNKNOWN, code)


async def test_a_refusal_that_came_before_the_whole_request_was_read_counts(
    practice: Any, peer: Any, answer: Answer
) -> None:
    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        reply = await write.put("event", content=b"x" * 1_000_000)
        return Receipt.refused(Code.SLOT_TAKEN) if reply.status_code == 409 else Receipt.unknown()

    peer.early["PUT"] = answer(409)
    practice.guest.act = act
    result = await practice.commit()
    assert (result.effect, result.code) == (Effect.REFUSED, Code.SLOT_TAKEN)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_a_refused_connection_before_the_first_byte_is_not_sent(practice: Any, peer: Any) -> None:
    dead = free_port()

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await write.put(f"http://127.0.0.1:{dead}/event")
        return Receipt.applied()

    practice.connection = practice.connection.model_copy(
        update={"hosts": (*practice.connection.hosts, f"127.0.0.1:{dead}")}
    )
    practice.guest.act = act
    result = await practice.commit()
    assert (result.effect, result.code) == (Effect.NOT_SENT, Code.EXTERNAL_UNAVAILABLE)
    assert (result.mutating_requests, peer.mutations) == (0, 0)


# -- TLS ------------------------------------------------------------------------------------------------


@pytest.fixture
def over_tls(authority: Any, start: Start, practice_at: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    async def made(name: str = "localhost", trusting: bool = True) -> tuple[Any, Any]:
        peer = await start(authority.server)
        practice = practice_at(f"https://{name}:{peer.port}/", (f"{name}:{peer.port}",))
        practice.tls = authority.client if trusting else None
        return practice, peer

    return made


async def test_a_commit_over_tls_is_one_request_too(over_tls: Callable[..., Awaitable[Any]]) -> None:
    practice, peer = await over_tls()
    result: CommitResult = await practice.commit()
    assert (result.effect, result.mutating_requests, peer.mutations) == (Effect.APPLIED, 1, 1)


@pytest.mark.parametrize("own", [True, False], ids=["own", "none"])
async def test_who_speaks_http_offers_it_and_shows_the_certificate_that_its_connection_has(
    authority: Any, start: Start, practice_at: Callable[..., Any], own: bool
) -> None:
    shown: list[Any] = []

    async def look(call: Any) -> None:
        connection = call.writer.get_extra_info("ssl_object")
        shown.append((connection.selected_alpn_protocol(), connection.getpeercert(binary_form=True) is not None))
        await call.answer(reply())

    class Vault:
        async def secret(self, name: str) -> str:
            return str(authority.chain.read_text())

    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(authority.chain)
    server.load_verify_locations(authority.chain)
    server.verify_mode = ssl.CERT_OPTIONAL
    server.set_alpn_protocols(["h2", "http/1.1"])
    peer = await start(server)
    peer.on["GET"] = look
    use = CredentialUse(scheme=Scheme.CLIENT_CERTIFICATE, name="partner") if own else CredentialUse(scheme=Scheme.NONE)
    place = f"localhost:{peer.port}"
    practice = practice_at(f"https://{place}/", (place,), credential=use)
    practice.tls, practice.credentials = authority.client, (Vault(),)
    assert await (await practice.engage()).readiness() is None
    assert shown == [("http/1.1", own)]


async def test_a_peer_that_hangs_up_over_tls_is_no_news_for_the_log(
    over_tls: Callable[..., Awaitable[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    practice, peer = await over_tls()
    peer.on["PUT"] = hang_up
    assert (await practice.commit()).code is Code.CONNECTION_LOST
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


async def test_a_reply_lost_over_tls_is_unknown(over_tls: Callable[..., Awaitable[Any]]) -> None:
    practice, peer = await over_tls()
    peer.on["PUT"] = reset
    result = await practice.commit()
    assert (result.effect, result.code, peer.mutations) == (Effect.UNKNOWN, Code.CONNECTION_LOST, 1)


async def test_an_untrusted_certificate_sends_nothing(over_tls: Callable[..., Awaitable[Any]]) -> None:
    practice, peer = await over_tls(trusting=False)
    assert await (await practice.engage()).readiness() is Code.EXTERNAL_UNAVAILABLE
    assert peer.calls == []


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_a_trusted_certificate_of_another_host_sends_nothing(
    authority_of_another: Any, start: Start, practice_at: Callable[..., Any], name: str
) -> None:
    peer = await start(authority_of_another.server)
    practice = practice_at(f"https://{name}:{peer.port}/", (f"{name}:{peer.port}",))
    practice.tls = authority_of_another.client
    assert await (await practice.engage()).readiness() is Code.EXTERNAL_UNAVAILABLE
    assert peer.calls == []


async def test_a_handshake_that_fails_in_commit_is_not_sent(
    over_tls: Callable[..., Awaitable[Any]], start: Start
) -> None:
    """Handshake bytes go over the wire, but they are no byte of the mutating request."""
    practice, peer = await over_tls()
    plain = await start()

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await write.put(f"https://localhost:{plain.port}/event")
        return Receipt.applied()

    practice.connection = practice.connection.model_copy(
        update={"hosts": (*practice.connection.hosts, f"localhost:{plain.port}")}
    )
    practice.guest.act = act
    brief(practice, request_seconds=0.2)
    result = await practice.commit()
    assert result.effect is Effect.NOT_SENT
    assert (result.mutating_requests, peer.mutations, plain.connections) == (0, 0, 1)


async def test_a_peer_that_stopped_talking_may_still_listen() -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        heard.set_result(await reader.readexactly(5))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    wire = await connected(server.sockets[0].getsockname()[1])
    assert not wire.hung_up
    assert await wire.read() == b""
    assert wire.hung_up
    assert not wire.quiet
    await wire.write(b"he")
    await wire.write(b"llo")
    assert (await heard, wire.writes) == (b"hello", 2)
    wire.cut()
    server.close()


async def connected(port: int, *before: str) -> Wire:
    """A wire to this machine; `before` are addresses at which nobody listens."""
    wire = Wire(lambda: False)
    addresses = [ip_address(each) for each in (*before, "127.0.0.1")]
    await wire.connect(addresses, port, tls=None, host="127.0.0.1")
    return wire


async def test_the_next_address_is_tried_where_one_accepts_no_connection(peer: Any) -> None:
    wire = await connected(peer.port, "::1")
    await wire.write(b"GET / HTTP/1.1\r\n\r\n")
    assert (await wire.read()).startswith(b"HTTP/1.1 200")
    wire.cut()


async def test_a_connection_that_is_cut_is_over_before_anybody_waits() -> None:
    """The event loop alone would close it in its next turn, and a busy one later."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = await connected(listener.getsockname()[1])
        accepted, _ = listener.accept()
        with accepted:
            assert wire.quiet
            wire.cut()
            assert not wire.quiet
            accepted.settimeout(1)
            assert accepted.recv(1) == b""
    wire.cut()


@pytest.mark.requirement("CARD-04")
async def test_a_write_that_is_cut_off_half_way_counts_as_one() -> None:
    """The peer reads nothing, so the request never leaves whole; but who could say how much of it did?"""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = await connected(listener.getsockname()[1])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await wire.write(bytes(32 * 1024 * 1024))
        assert wire.writes == 1
        wire.cut()


class Flow(asyncio.Transport):
    """What a connection is told about reading."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")


async def test_a_peer_that_says_more_than_is_read_is_made_to_wait() -> None:
    ends, flow = _Ends(), Flow()
    ends.connection_made(flow)
    ends.data_received(b"x" * MAX_UNREAD_BYTES)
    assert flow.told == []
    ends.data_received(b"x")
    assert flow.told == ["pause"]
    assert len(await ends.take()) == MAX_UNREAD_BYTES + 1
    assert flow.told == ["pause", "resume"]
    ends.data_received(b"the last")
    ends.connection_lost(None)
    assert (await ends.take(), await ends.take()) == (b"the last", b"")
    assert flow.told == ["pause", "resume"]  # there is nothing to resume


async def test_a_connection_that_is_made_after_the_phase_carries_nothing(
    practice: Any, peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, connecting, over = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    connect, left = loop.create_connection, []

    async def slow(*place: Any) -> Any:
        connecting.set()
        await over.wait()
        return await connect(*place)

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        monkeypatch.setattr(loop, "create_connection", slow)
        left.append(asyncio.create_task(write.put("event")))
        await connecting.wait()
        return Receipt.refused(Code.SLOT_TAKEN)

    practice.guest.act = act
    result = await practice.commit()
    over.set()
    with pytest.raises(httpx.LocalProtocolError):
        await left[0]
    await peer.settled()
    assert (result.effect, result.mutating_requests, peer.mutations) == (Effect.NOT_SENT, 0, 0)


# -- addresses ------------------------------------------------------------------------------------------


@pytest.mark.requirement("MUT-09")
@pytest.mark.parametrize(
    ("url", "network"),
    [
        ("https://10.0.0.1/", Network.PUBLIC),
        ("https://169.254.169.254/", Network.PRIVATE),
        ("https://192.168.7.7/", Network.PUBLIC),
        ("https://0.0.0.0/", Network.PRIVATE),
        ("http://93.184.216.34/", Network.PUBLIC),  # TLS is required off loopback
    ],
)
async def test_a_forbidden_address_is_not_connected_to(
    practice_at: Callable[..., Any], url: str, network: Network
) -> None:
    host = httpx.URL(url).host
    port = 443 if url.startswith("https") else 80
    practice = practice_at(url, (f"{host}:{port}",), network=network)
    practice.admits = lambda host, port: True
    engagement = await practice.engage()
    assert await engagement.readiness() is Code.HOST_FORBIDDEN


async def test_a_connection_of_a_private_network_goes_to_its_address(
    practice_at: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[str, int]] = []

    async def nobody(protocol: Any, host: str, port: int) -> Any:
        tried.append((host, port))
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", nobody)
    practice = practice_at("https://192.168.7.7/", ("192.168.7.7:443",), network=Network.PRIVATE)
    practice.admits = lambda host, port: True
    assert await (await practice.engage()).readiness() is Code.EXTERNAL_UNAVAILABLE
    assert tried == [("192.168.7.7", 443)]


async def test_a_host_that_the_environment_does_not_admit_is_not_connected_to(practice: Any, peer: Any) -> None:
    practice.admits = lambda host, port: False
    assert await (await practice.engage()).readiness() is Code.HOST_FORBIDDEN
    assert peer.connections == 0


async def test_a_name_is_resolved_once_and_that_address_is_connected_to(
    practice: Any, peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second look-up could give another address than the one that was checked (DNS rebinding)."""
    asked: list[str] = []

    def rebinding(host: str, port: None) -> list[Any]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "203.0.113.7"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await asyncio.gather(read.get("a"), read.get("b"))
        await read.get("c")
        return Readiness.proven()

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    practice.guest.ready = ready
    practice.admits = lambda host, port: True
    name = f"calendar.test:{peer.port}"
    practice.connection = practice.connection.model_copy(update={"base_url": f"http://{name}/", "hosts": (name,)})
    assert await (await practice.engage()).readiness() is None
    assert asked == ["calendar.test"]
    assert [call.headers["host"] for call in peer.calls] == [name] * 3
