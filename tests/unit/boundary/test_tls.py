"""Whom a connection trusts, the certificate that it shows, and what it offers; each context is made once."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.boundary.credentials import CredentialUnavailableError
from gateway.boundary.tls import Contexts, _load
from gateway.contracts.connection import Connection
from tests.peers.authority import Authority

At = Callable[[str], Connection]
AGREED = {"https": "http/1.1", "mllps": None}


@pytest.fixture
def at(practice_at: Callable[..., Any]) -> At:
    """A connection of that scheme."""

    def made(scheme: str) -> Connection:
        connection: Connection = practice_at(f"{scheme}://localhost:2575", ("localhost:2575",)).connection
        return connection

    return made


def met(client: ssl.SSLContext, authority: Authority, clients: Authority | None = None) -> tuple[bytes | None, Any]:
    """Shake hands in memory with a server of this authority: the certificate that it was shown, and the protocol that
    both speak. Raises `ssl.SSLError` where one of the two refuses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.chain)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if clients is not None:
        context.load_verify_locations(clients.chain)
        context.verify_mode = ssl.CERT_OPTIONAL
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(there, back, server_side=True)
    ours = client.wrap_bio(back, there, server_hostname="localhost")
    for _ in range(3):
        for end in (ours, server):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return server.getpeercert(binary_form=True), server.selected_alpn_protocol()


def certificate(authority: Authority) -> bytes:
    text = authority.chain.read_text()
    return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE-----") :])


@pytest.mark.parametrize("scheme", AGREED)
async def test_a_client_shows_its_certificate_and_offers_what_it_speaks(
    authority: Authority, authority_of_another: Authority, at: At, scheme: str
) -> None:
    connection = at(scheme)
    contexts = Contexts([connection], authority.client)
    own = await contexts.own(connection, authority_of_another.chain.read_text())
    assert met(own, authority, authority_of_another) == (certificate(authority_of_another), AGREED[scheme])
    assert met(contexts.shared(connection), authority, authority_of_another) == (None, AGREED[scheme])


@pytest.mark.parametrize("first", AGREED)
def test_connections_of_both_kinds_have_a_context_each_and_share_it(authority: Authority, at: At, first: str) -> None:
    connections = [at(first), *map(at, AGREED), at("https"), at("mllp")]
    contexts = Contexts(connections, authority.client)
    assert [met(contexts.shared(each), authority)[1] for each in connections] == [
        AGREED[first], "http/1.1", None, "http/1.1", "http/1.1"
    ]  # fmt: skip
    assert len({id(contexts.shared(each)) for each in connections}) == 2


@pytest.mark.requirement("GATE-25")
async def test_a_certificate_is_loaded_once_for_as_long_as_the_secret_is_the_same(
    authority: Authority, authority_of_another: Authority, at: At
) -> None:
    connection, second = at("https"), at("https")
    contexts = Contexts([connection, second], authority.client)
    own, renewed = authority_of_another.chain.read_text(), authority.chain.read_text()
    context = await contexts.own(connection, own)
    assert await contexts.own(connection, own) is context
    assert await contexts.own(second, own) is not context
    after = await contexts.own(connection, renewed)
    assert after is not context
    assert met(after, authority, authority)[0] == certificate(authority)
    again = await contexts.own(connection, own)
    assert met(again, authority, authority_of_another)[0] == certificate(authority_of_another)


@pytest.mark.requirement("GATE-25")
async def test_a_secret_that_is_no_certificate_does_not_leave_the_one_before_in_use(
    authority: Authority, at: At
) -> None:
    connection = at("https")
    contexts = Contexts([connection], authority.client)
    await contexts.own(connection, authority.chain.read_text())
    for secret in ("", "no certificate", "\ud800"):
        with pytest.raises(CredentialUnavailableError):
            await contexts.own(connection, secret)


@pytest.mark.parametrize("scheme", AGREED)
async def test_a_client_trusts_every_authority_of_the_practice_and_no_other(
    authority: Authority, at: At, scheme: str, tmp_path: Path
) -> None:
    second, connection = Authority.found(tmp_path), at(scheme)
    both = ssl.create_default_context(cafile=authority.chain)
    both.load_verify_locations(second.chain)
    pem = authority.chain.read_text()

    async def made(trust: ssl.SSLContext) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        contexts = Contexts([connection], trust)
        return contexts.shared(connection), await contexts.own(connection, pem)

    for context in await made(both):
        met(context, authority)
        assert context.get_ca_certs(binary_form=True) == both.get_ca_certs(binary_form=True)
        assert len(context.get_ca_certs()) == 2
    for trust in (authority.client, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)):
        for context in await made(trust):
            with pytest.raises(ssl.SSLCertVerificationError):
                met(context, second)


@pytest.mark.parametrize("scheme", AGREED)
async def test_a_client_without_an_authority_of_its_own_trusts_the_systems(
    authority: Authority, at: At, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.chain))
    connection, second = at(scheme), Authority.found(tmp_path)
    contexts = Contexts([connection], None)
    for context in (contexts.shared(connection), await contexts.own(connection, authority.chain.read_text())):
        met(context, authority)
        with pytest.raises(ssl.SSLCertVerificationError):
            met(context, second)


async def test_a_certificate_may_fill_eight_kibibytes_and_no_more(authority: Authority, at: At) -> None:
    connection = at("https")
    contexts = Contexts([connection], None)
    whole = authority.chain.read_text()
    full = whole + "\n" * (8192 - len(whole))
    await contexts.own(connection, full)
    for secret in (full + "\n", 7, None):
        with pytest.raises(CredentialUnavailableError):
            await contexts.own(connection, secret)


def test_a_locked_key_is_tried_with_no_word_and_asked_for_at_no_terminal(authority: Authority) -> None:
    words: list[Any] = []

    class Watched(ssl.SSLContext):
        def load_cert_chain(self, certfile: Any, keyfile: Any = None, password: Any = None) -> None:
            words.append(password())
            super().load_cert_chain(certfile, keyfile, password)

    _load(Watched(ssl.PROTOCOL_TLS_CLIENT), authority.chain.read_bytes())
    assert words == [b""]


@pytest.mark.requirement("PHI-03")
def test_a_key_is_loaded_from_no_file(authority: Authority) -> None:
    """Every file that the process opens meanwhile, by the interpreter's own account; OpenSSL's are the two named."""
    opened: list[str] = []
    watching = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open":
            opened.append(str(arguments[0]))

    class Watched(ssl.SSLContext):
        def load_cert_chain(self, certfile: Any, keyfile: Any = None, password: Any = None) -> None:
            opened.extend((certfile, keyfile))
            super().load_cert_chain(certfile, keyfile, password)

    sys.addaudithook(hook)
    try:
        _load(Watched(ssl.PROTOCOL_TLS_CLIENT), authority.chain.read_bytes())
    finally:
        watching = False
    assert opened[0] == str(authority.chain)  # this test's own reading
    assert [path.rstrip("0123456789") for path in opened[1:] if not path.isdigit()] == ["/dev/fd/", "/dev/fd/"]
