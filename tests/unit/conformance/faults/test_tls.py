"""A system behind TLS: trusted where the author supplies trust, and only there."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from conformance.faults import Fault, Point
from conformance.faults.proxy import Proxy

REPLY = b'HTTP/1.1 201 Created\r\nETag: "v1"\r\nContent-Length: 12\r\n\r\n{"id": "a1"}'


def certificate(name: str, issuer: Any = None) -> tuple[Any, Any]:
    """A certificate and its key, signed by `issuer` or by itself as an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    authority, signer = issuer or (None, key)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return made, key


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's, and a client's that trusts its authority."""
    authority = certificate("authority")
    own, key = certificate("server", authority)
    place: Path = tmp_path_factory.mktemp("tls") / "server.pem"
    place.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + own.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(place)
    trusting = ssl.create_default_context(cadata=authority[0].public_bytes(serialization.Encoding.PEM).decode())
    return server, trusting


async def test_a_trusted_system_is_reached_and_its_replies_can_be_lost(
    contexts: Any, start: Any, system_class: Any, ask: Any, put: bytes, get: bytes
) -> None:
    server, trusting = contexts
    async with start(system_class(), server) as system, Proxy.open(system.url, trust=trusting) as proxy:
        assert proxy.url.startswith("http://127.0.0.1:")
        assert (await ask(proxy, get)).received == REPLY
        receipt = proxy.arm(Fault(Point.AFTER_COMMIT))
        assert (await ask(proxy, put)).nothing
        assert (receipt.fired, receipt.answered, len(system.requests)) == (1, True, 2)


async def test_a_system_that_the_machine_does_not_trust_gets_no_request(
    contexts: Any, start: Any, system_class: Any, ask: Any, put: bytes
) -> None:
    async with start(system_class(), contexts[0]) as system, Proxy.open(system.url) as proxy:
        assert (await ask(proxy, put)).nothing
        assert (proxy.exchanges[0].note, system.requests) == ("the system's certificate is not trusted", [])


async def test_a_system_that_speaks_no_tls_gets_no_request(contexts: Any, ask: Any, put: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.append(await reader.read(1000))
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    said: list[bytes] = []
    plain = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with plain, Proxy.open(f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}/", trust=contexts[1]) as proxy:
        assert (await ask(proxy, put)).nothing
        assert proxy.exchanges[0].note == "no TLS with the system"
    assert len(said) == 1 and b"PUT" not in said[0]
