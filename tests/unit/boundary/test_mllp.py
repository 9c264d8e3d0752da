"""One commit over MLLP against a peer on a real socket: what left, what came back, what is known."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from pydantic import ValidationError

from gateway.boundary.channel import Head, Outgoing, ReplyMalformedError
from gateway.boundary.mllp import MllpChannel
from gateway.boundary.rules import Destination
from gateway.contracts.adapter import Authorized, Readiness, Receipt, Request
from gateway.contracts.connection import CredentialUse, Limits, Scheme
from gateway.contracts.failures import Code
from gateway.contracts.words import Effect
from tests.peers.authority import Authority
from tests.peers.peer import Call, Peer, framed

QUERY = b"MSH|^~\\&|A|B|C|D|20310304090000+0000||SQM^S25^SQM_S25|q1|T|2.5.1\rQRD|x\r"
WRITE = b"MSH|^~\\&|A|B|C|D|20310304090000+0000||SRM^S01^SRM_S01|w1|T|2.5.1\rARQ|x\r"
ENHANCED = WRITE.replace(b"2.5.1", b"2.5.1|||AL|AL")
PROFILED = ENHANCED.replace(b"AL|AL", b"AL|AL|DEU|UNICODE UTF-8|||profile^^1.2^ISO|a^b|c^d|e^f|g^h")
REPLY = b"MSH|^~\\&|C|D|A|B|20310304090000+0000||SRR^S01^SRR_S01|r1|T|2.5.1\rMSA|AA|w1\r"
ACCEPTED = REPLY.replace(b"AA", b"CA")


def limits(practice: Any, **bounds: float) -> None:
    brief = Limits.model_construct(**(Limits().model_dump() | bounds))
    practice.connection = practice.connection.model_copy(update={"limits": brief})


def posting(*messages: tuple[str, bytes]) -> Callable[[Authorized, httpx.AsyncClient], Awaitable[Receipt]]:
    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        content = b""
        for path, message in messages:
            content = (await write.post(path, content=message)).content
        return Receipt.applied() if content == REPLY else Receipt.unknown(Code.REPLY_DEVIATES)

    return act


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer(mllp=True, system=lambda call: framed(REPLY), safe_posts=("/SQM/S25",)).listening() as listening:
        yield listening


@pytest.fixture
def practice(peer: Peer, practice_at: Callable[..., Any]) -> Any:
    made = practice_at(f"mllp://127.0.0.1:{peer.port}", (f"127.0.0.1:{peer.port}",))

    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.post("SQM/S25", content=QUERY)
        return Readiness.proven()

    made.guest.ready, made.guest.act = ready, posting(("SRM/S01", WRITE))
    made.guest.claims = {"safe_posts": ("/SQM/S25",)}
    return made


@pytest.mark.requirement("CARD-02")
async def test_a_commit_is_one_message_on_a_connection_of_its_own(practice: Any, peer: Peer) -> None:
    result = await practice.commit()
    assert (result.effect, result.code, result.mutating_requests) == (Effect.APPLIED, Code.COMMITTED, 1)
    assert [(call.target, call.body) for call in peer.calls] == [("/SQM/S25", QUERY), ("/SRM/S01", WRITE)]
    assert [(call.connection, call.ordinal) for call in peer.calls] == [(1, 1), (2, 1)]


async def test_a_reply_is_a_200_of_the_messages_own_type(practice: Any, peer: Peer) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        replies = [await read.post("SQM/S25", content=QUERY) for _ in range(2)]
        headers = {"content-type": "x-application/hl7-v2+er7", "content-length": str(len(REPLY))}
        assert [(each.status_code, dict(each.headers), each.content) for each in replies] == [(200, headers, REPLY)] * 2
        return Readiness.proven()

    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is None
    assert [(call.connection, call.ordinal) for call in peer.calls] == [(1, 1), (2, 1)]  # a connection for each


async def test_a_reply_that_is_not_whole_yet_may_be_as_long_as_the_connection_admits() -> None:
    class Pieces:
        def __init__(self) -> None:
            self.pieces = [framed(REPLY)[:-2], framed(REPLY)[-2:]]

        async def write(self, content: bytes) -> None:
            pass

        async def read(self) -> bytes:
            return self.pieces.pop(0)

    async def asked(most_bytes: int) -> Head:
        wire: Any = Pieces()
        channel = MllpChannel(Destination("mllp", "localhost", 2575, b""), wire, most_bytes)
        return await channel.ask(Outgoing("POST", b"/SRM/S01", [], WRITE))

    assert (await asked(len(REPLY) + 1)).status == 200  # with the byte that begins its frame
    with pytest.raises(ReplyMalformedError):
        await asked(len(REPLY))


@pytest.mark.requirement("CARD-02")
async def test_a_second_message_with_an_effect_is_refused_before_a_byte_leaves(practice: Any, peer: Peer) -> None:
    practice.guest.act = posting(("SQM/S25", QUERY), ("SRM/S01", WRITE), ("SRM/S01", WRITE))
    result = await practice.commit()
    assert (result.effect, result.code, peer.mutations) == (Effect.UNKNOWN, Code.ADAPTER_FAULT, 1)


@pytest.mark.requirement("CARD-03")
async def test_a_message_with_an_effect_leaves_in_no_read_phase(practice: Any, peer: Peer) -> None:
    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.post("SRM/S01", content=WRITE)
        return Readiness.proven()

    practice.guest.ready = ready
    assert await (await practice.engage()).readiness() is Code.ADAPTER_FAULT
    assert (peer.calls, peer.connections) == ([], 0)


UNSPEAKABLE = {
    "named as a query": ("SQM/S25", WRITE),
    "named as another event": ("SRM/S04", WRITE),
    "named as more than it is": ("SRM/S01/x", WRITE),
    "with a query string": ("SRM/S01?a=b", WRITE),
    "without a name": ("", WRITE),
    "two messages": ("SQM/S25", QUERY + WRITE),
    "a batch": ("SQM/S25", b"FHS|^~\\&\r" + QUERY),
    "a batch inside": ("SQM/S25", QUERY + b"BHS|^~\\&\r"),
    "a message behind a line feed": ("SQM/S25", QUERY.replace(b"QRD|x", b"QRD|x\n" + WRITE[:-1])),
    "a frame inside": ("SQM/S25", QUERY.replace(b"QRD|x", b"QRD|x\x1c\r\x0b" + WRITE[:-1])),
    "an end inside": ("SQM/S25", QUERY.replace(b"x", b"\x1c")),
    "a start inside": ("SQM/S25", QUERY.replace(b"x", b"\x0b")),
    "an empty segment": ("SRM/S01", WRITE + b"\r"),
    "no end of the last segment": ("SRM/S01", WRITE[:-1]),
    "other delimiters": ("SRM/S01", WRITE.replace(b"|^~\\&|", b"|~^\\&|")),
    "no type": ("SRM/S01", WRITE.replace(b"SRM^S01^SRM_S01", b"")),
    "no message": ("SRM/S01", b""),
}


@pytest.mark.parametrize("case", UNSPEAKABLE)
async def test_a_message_that_could_be_read_as_another_is_never_sent(practice: Any, peer: Peer, case: str) -> None:
    practice.guest.act = posting(UNSPEAKABLE[case])
    result = await practice.commit()
    assert (result.effect, result.code) == (Effect.NOT_SENT, Code.ADAPTER_FAULT)
    assert [call.target for call in peer.calls] == ["/SQM/S25"]


async def test_no_method_but_post_names_a_message(practice: Any, peer: Peer) -> None:
    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await write.request("PUT", "SRM/S01", content=WRITE)
        return Receipt.applied()

    practice.guest.act = act
    result = await practice.commit()
    assert (result.effect, result.code, peer.mutations) == (Effect.NOT_SENT, Code.ADAPTER_FAULT, 0)


async def closing(call: Call) -> None:
    call.close()


async def cut_in_the_frame(call: Call) -> None:
    await call.answer(framed(REPLY)[:-20])
    call.reset()


async def without_its_last_byte(call: Call) -> None:
    await call.answer(framed(REPLY)[:-1])
    call.close()


async def endless(call: Call) -> None:
    await call.answer(b"\x0bMSH|")
    while call.open:
        await call.answer(b"x" * 65536)


ODD = {
    "bytes before the frame": b"\r\n" + framed(REPLY),
    "no frame": REPLY,
    "HTTP": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "another byte than CR at the end": framed(REPLY)[:-1] + b"\n",
    "bytes behind the frame": framed(REPLY) + b"\r",
    "two messages": framed(REPLY) + framed(REPLY),
    "a frame in the frame": framed(b"\x0b" + REPLY),
}


@pytest.mark.requirement("CARD-02", "FAIL-20")
@pytest.mark.parametrize("case", ODD)
async def test_a_reply_that_is_not_exactly_one_frame_leaves_the_effect_unknown(
    practice: Any, peer: Peer, case: str
) -> None:
    async def act(call: Call) -> None:
        await call.answer(ODD[case])

    peer.on["POST /SRM/S01"] = act
    result = await practice.commit()
    assert (result.effect, result.code, peer.mutations) == (Effect.UNKNOWN, Code.REPLY_UNRECOGNISED, 1)


@pytest.mark.requirement("CARD-02", "FAIL-20")
@pytest.mark.parametrize("behaviour", [closing, cut_in_the_frame, without_its_last_byte])
async def test_a_reply_that_breaks_off_leaves_the_effect_unknown(practice: Any, peer: Peer, behaviour: Any) -> None:
    peer.on["POST /SRM/S01"] = behaviour
    result = await practice.commit()
    assert (result.effect, result.code, peer.mutations) == (Effect.UNKNOWN, Code.CONNECTION_LOST, 1)


async def test_a_reply_beyond_the_connections_limit_is_given_up(practice: Any, peer: Peer) -> None:
    peer.on["POST /SRM/S01"] = endless
    result = await practice.commit()
    assert (result.effect, result.code, peer.mutations) == (Effect.UNKNOWN, Code.REPLY_UNRECOGNISED, 1)


@pytest.mark.requirement("FAIL-19")
async def test_a_reply_that_does_not_come_in_time_is_a_timeout(practice: Any, peer: Peer) -> None:
    async def never(call: Call) -> None:
        await asyncio.Event().wait()

    peer.on["POST /SRM/S01"] = never
    limits(practice, request_seconds=0.6)
    result = await practice.commit()
    assert (result.effect, result.code, peer.mutations) == (Effect.UNKNOWN, Code.EXTERNAL_TIMEOUT, 1)


async def test_a_frame_that_comes_in_pieces_is_one(practice: Any, peer: Peer) -> None:
    async def piecewise(call: Call) -> None:
        for byte in framed(REPLY):
            await call.answer(bytes([byte]))
            await asyncio.sleep(0)

    peer.on["POST /SRM/S01"] = piecewise
    assert (await practice.commit()).effect is Effect.APPLIED


@pytest.mark.parametrize(
    ("message", "said", "effect", "code"),
    [
        (ENHANCED, framed(ACCEPTED) + framed(REPLY), Effect.APPLIED, Code.COMMITTED),
        (WRITE, framed(ACCEPTED), Effect.UNKNOWN, Code.REPLY_DEVIATES),
        (WRITE, framed(ACCEPTED) + framed(REPLY), Effect.UNKNOWN, Code.REPLY_UNRECOGNISED),
        (ENHANCED, framed(REPLY), Effect.APPLIED, Code.COMMITTED),
        (ENHANCED, framed(ACCEPTED.replace(b"CA", b"CE")), Effect.UNKNOWN, Code.REPLY_DEVIATES),
        (ENHANCED, framed(ACCEPTED) + framed(ACCEPTED), Effect.UNKNOWN, Code.REPLY_DEVIATES),
        (ENHANCED, framed(ACCEPTED.replace(b"CA", b"CAx")), Effect.UNKNOWN, Code.REPLY_DEVIATES),
        (PROFILED, framed(ACCEPTED) + framed(REPLY), Effect.APPLIED, Code.COMMITTED),
    ],
    ids=["both", "not asked for", "both, not asked for", "none", "refused", "twice", "another word", "a long header"],
)
async def test_an_acceptance_is_interim_where_an_application_reply_was_asked_for_too(
    practice: Any, peer: Peer, message: bytes, said: bytes, effect: Effect, code: Code
) -> None:
    async def act(call: Call) -> None:
        await call.answer(said)

    peer.on["POST /SRM/S01"] = act
    practice.guest.act = posting(("SRM/S01", message))
    result = await practice.commit()
    assert (result.effect, result.code, peer.mutations) == (effect, code, 1)


async def test_an_acceptance_alone_is_waited_upon_in_vain(practice: Any, peer: Peer) -> None:
    async def act(call: Call) -> None:
        await call.answer(framed(ACCEPTED))

    peer.on["POST /SRM/S01"] = act
    practice.guest.act = posting(("SRM/S01", ENHANCED))
    limits(practice, request_seconds=0.6)
    assert (await practice.commit()).code is Code.EXTERNAL_TIMEOUT


async def test_a_closed_session_lets_no_message_out(practice: Any, peer: Peer) -> None:
    kept: list[httpx.AsyncClient] = []

    async def act(authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        kept.append(write)
        return Receipt.refused(Code.SLOT_TAKEN)

    practice.guest.act = act
    await practice.commit()
    with pytest.raises(httpx.LocalProtocolError):
        await kept[0].post("SRM/S01", content=WRITE)
    assert peer.mutations == 0


async def test_plain_frames_leave_this_machine_for_nowhere(practice_at: Callable[..., Any]) -> None:
    practice = practice_at("mllp://93.184.216.34:2575", ("93.184.216.34:2575",))
    practice.admits = lambda host, port: True

    async def ready(request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.post("SQM/S25", content=QUERY)
        return Readiness.proven()

    practice.guest.ready, practice.guest.claims = ready, {"safe_posts": ("/SQM/S25",)}
    assert await (await practice.engage()).readiness() is Code.HOST_FORBIDDEN


# -- TLS and the client's certificate -------------------------------------------------------------------


class Receiver:
    """Serves one connection after another in a thread of its own, as most receivers do. A certificate that it does not
    take is refused by an alert; asyncio's servers send none."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.messages: list[bytes] = []
        self.connections = 0
        self.protocols: list[str | None] = []
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                accepted.settimeout(10)
                self.connections += 1
                self._meet(self._tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False))

    def _meet(self, connection: ssl.SSLSocket) -> None:
        try:
            connection.do_handshake()
        except ssl.SSLError:
            with socket.socket(fileno=connection.detach()) as plain:  # closing on unread bytes would reset
                plain.settimeout(10)
                plain.shutdown(socket.SHUT_WR)
                while plain.recv(4096):
                    pass
            return
        self.protocols.append(connection.selected_alpn_protocol())
        with connection, suppress(OSError):
            while received := connection.recv(4096):
                self.messages.append(received)
                connection.sendall(framed(REPLY))


@contextmanager
def over_tls(
    practice: Any,
    authority: Authority,
    clients: Authority,
    version: ssl.TLSVersion,
    secret: str | None,
    wanted: ssl.VerifyMode = ssl.CERT_REQUIRED,
) -> Iterator[Receiver]:
    """A receiver that wants a certificate of the clients' authority, and the practice's connection to it. It would
    speak HTTP, too."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(authority.chain)
    server.load_verify_locations(clients.chain)
    server.verify_mode, server.maximum_version = wanted, version
    server.set_alpn_protocols(["http/1.1"])
    with Receiver(server) as receiver:
        scheme = Scheme.NONE if secret is None else Scheme.CLIENT_CERTIFICATE
        use = CredentialUse(scheme=scheme, name=None if secret is None else "partner")
        place = f"localhost:{receiver.port}"
        changes = {"base_url": f"mllps://{place}", "hosts": (place,), "credential": use}
        practice.connection = type(practice.connection).model_validate(dict(practice.connection) | changes)
        practice.tls, practice.credentials = authority.client, (Fixed(secret or ""),)
        yield receiver


class Fixed:
    def __init__(self, text: str) -> None:
        self.text = text

    async def secret(self, name: str) -> str:
        assert name == "partner"
        return self.text


VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


@VERSIONS
async def test_a_client_is_known_by_its_certificate(
    practice: Any, authority: Authority, authority_of_another: Authority, version: ssl.TLSVersion
) -> None:
    pem = authority_of_another.chain.read_text()
    with over_tls(practice, authority, authority_of_another, version, pem) as receiver:
        result = await practice.commit()
    assert (result.effect, result.mutating_requests) == (Effect.APPLIED, 1)
    assert receiver.messages == [framed(QUERY), framed(WRITE)]


async def test_a_trusted_certificate_of_another_host_is_shown_no_message(
    practice: Any, authority: Authority, authority_of_another: Authority
) -> None:
    pem = authority.chain.read_text()
    with over_tls(practice, authority_of_another, authority, ssl.TLSVersion.TLSv1_3, pem) as receiver:
        assert await (await practice.engage()).readiness() is Code.EXTERNAL_UNAVAILABLE
    assert (receiver.connections, receiver.messages) == (1, [])


@pytest.mark.parametrize("own", [True, False], ids=["own", "none"])
async def test_who_sends_frames_offers_no_http(
    practice: Any, authority: Authority, authority_of_another: Authority, own: bool
) -> None:
    pem = authority_of_another.chain.read_text() if own else None
    version = ssl.TLSVersion.TLSv1_3
    with over_tls(practice, authority, authority_of_another, version, pem, ssl.CERT_OPTIONAL) as receiver:
        assert await (await practice.engage()).readiness() is None
    assert receiver.protocols == [None]


@VERSIONS
@pytest.mark.parametrize("own", [True, False], ids=["another's", "none"])
async def test_a_certificate_that_is_refused_or_missed_is_a_rejected_credential(
    practice: Any, authority: Authority, authority_of_another: Authority, version: ssl.TLSVersion, own: bool
) -> None:
    pem = authority.chain.read_text() if own else None
    with over_tls(practice, authority, authority_of_another, version, pem) as receiver:
        code = await (await practice.engage()).readiness()
    # In TLS 1.2 there is no alert of its own for a certificate that is missing.
    missed = version is ssl.TLSVersion.TLSv1_2 and not own
    assert code is (Code.EXTERNAL_UNAVAILABLE if missed else Code.CREDENTIALS_REJECTED)
    assert receiver.messages == []


@VERSIONS
async def test_a_certificate_that_ends_before_the_commit_reaches_no_system(
    practice: Any, authority: Authority, authority_of_another: Authority, version: ssl.TLSVersion
) -> None:
    """TLS 1.3 judges it when the message has left already: no byte of it was read, but that is the peer's word."""
    pem = authority_of_another.chain.read_text()
    with over_tls(practice, authority, authority_of_another, version, pem) as receiver:
        engagement = await practice.engage()
        assert await engagement.readiness() is None
        practice.credentials[0].text = authority.chain.read_text()
        result = await engagement.commit(practice.authorization())
    known = Effect.NOT_SENT if version is ssl.TLSVersion.TLSv1_2 else Effect.UNKNOWN
    assert (result.effect, result.code, receiver.messages) == (known, Code.CREDENTIALS_REJECTED, [framed(QUERY)])


@pytest.mark.parametrize("spoil", ["no key", "no certificate", "another's key", "a locked key", "too long"])
async def test_a_certificate_that_cannot_be_used_blocks(
    practice: Any, authority: Authority, authority_of_another: Authority, spoil: str
) -> None:
    key, certificate = authority_of_another.chain.read_text().split("-----BEGIN CERTIFICATE-----")
    certificate = "-----BEGIN CERTIFICATE-----" + certificate
    pem = {
        "no key": certificate,
        "no certificate": key,
        "another's key": authority.chain.read_text().partition("-----BEGIN CERTIFICATE-----")[0] + certificate,
        "a locked key": locked(authority_of_another.chain) + certificate,
        "too long": certificate * 100,
    }[spoil]
    with over_tls(practice, authority, authority_of_another, ssl.TLSVersion.TLSv1_3, pem) as receiver:
        assert await (await practice.engage()).readiness() is Code.CREDENTIALS_REJECTED
    assert receiver.connections == 0


def locked(chain: Path) -> str:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    key = load_pem_private_key(chain.read_bytes(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")).decode()


async def test_an_untrusted_receiver_gets_nothing(
    practice: Any, authority: Authority, authority_of_another: Authority
) -> None:
    pem = authority_of_another.chain.read_text()
    with over_tls(practice, authority, authority_of_another, ssl.TLSVersion.TLSv1_3, pem) as receiver:
        practice.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        assert await (await practice.engage()).readiness() is Code.EXTERNAL_UNAVAILABLE
    assert receiver.messages == []


@pytest.mark.parametrize(
    ("base_url", "scheme", "complaint"),
    [
        ("mllp://partner.example:2575/a", "none", "ends with host and port"),
        ("mllps://partner.example:2575?a", "none", "ends with host and port"),
        ("mllps://partner.example:2575", "basic", "no place for a credential"),
        ("mllp://partner.example:2575", "client-certificate", "needs https or mllps"),
        ("http://partner.example:2575/", "client-certificate", "needs https or mllps"),
        ("mllp://partner.example:2576", "none", "hosts must list"),
        ("ftp://partner.example:2575", "none", "base_url must be"),
    ],
)
def test_a_connection_says_only_what_its_protocol_has(
    practice_at: Callable[..., Any], base_url: str, scheme: str, complaint: str
) -> None:
    use = {"scheme": Scheme(scheme), "name": None if scheme == "none" else "partner"}
    with pytest.raises(ValidationError, match=complaint):
        practice_at(base_url, ("partner.example:2575",), credential=CredentialUse(**use))


def test_the_port_of_mllp_need_not_be_stated(practice_at: Callable[..., Any]) -> None:
    made = practice_at("mllps://partner.example", ("partner.example:2575",))
    assert made.connection.base_url == "mllps://partner.example"
