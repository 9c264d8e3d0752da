"""TLS contexts: whom the practice trusts, as whom it appears, and what it offers to speak.

Owns: each context, made once: loading the system's authorities takes longer than a commit. Those without a client's
certificate are made when the boundary opens; one with it, when a secret comes that was not the connection's before.
Refuses: keys that are locked or not the certificate's. No exception here carries a secret; a key is written to no file.
Invariant: a connection shows the certificate that its secret holds now. Of the secret a digest is kept, to know it by.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Final

from gateway.boundary.credentials import MAX_SECRET_BYTES, CredentialUnavailableError
from gateway.contracts.connection import Connection
from gateway.contracts.references import ConnectionId

_HTTP: Final[tuple[str, ...]] = ("http/1.1",)
_FRAMES: Final[tuple[str, ...]] = ()


class Contexts:
    """Of one boundary. `trust` knows the practice's own authorities (None: the system's)."""

    def __init__(self, connections: Iterable[Connection], trust: ssl.SSLContext | None) -> None:
        self._trust = trust
        self._shared = {_HTTP: trust or ssl.create_default_context()}
        self._shared[_HTTP].set_alpn_protocols(_HTTP)
        if _FRAMES in map(_offered, connections):
            self._shared[_FRAMES] = _trusting(trust)
        self._own: dict[ConnectionId, tuple[bytes, ssl.SSLContext]] = {}

    def shared(self, connection: Connection) -> ssl.SSLContext:
        """Without a certificate, for one of the boundary's connections."""
        return self._shared[_offered(connection)]

    async def own(self, connection: Connection, secret: object) -> ssl.SSLContext:
        """With the client's certificate that `secret` is: certificate chain and unlocked key, PEM. Raises
        `CredentialUnavailableError` and nothing else."""
        if not isinstance(secret, str) or len(secret) > MAX_SECRET_BYTES:
            raise CredentialUnavailableError
        try:
            pem = secret.encode()
            mark = hashlib.sha256(pem).digest()
            kept = self._own.get(connection.connection_id)
            if kept is None or kept[0] != mark:
                kept = mark, await asyncio.to_thread(self._appearing, pem, _offered(connection))
                self._own[connection.connection_id] = kept
        except (OSError, ValueError):  # ssl.SSLError is an OSError
            raise CredentialUnavailableError from None
        return kept[1]

    def _appearing(self, pem: bytes, offered: tuple[str, ...]) -> ssl.SSLContext:
        context = _trusting(self._trust)
        _load(context, pem)
        context.set_alpn_protocols(offered)
        return context


def _offered(connection: Connection) -> tuple[str, ...]:
    """By ALPN (RFC 7301): MLLP has no name there, and a partner's gate could take HTTP's for what is to come."""
    return _FRAMES if connection.base_url.startswith("mllps:") else _HTTP


def _trusting(trust: ssl.SSLContext | None) -> ssl.SSLContext:
    if trust is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authorities := b"".join(trust.get_ca_certs(binary_form=True)):
        context.load_verify_locations(cadata=authorities)
    return context


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """OpenSSL takes a key from a file only; two pipes are files that nobody else can open and that leave nothing."""
    with ExitStack() as pipes:
        ends = [os.pipe(), os.pipe()]
        for reading, writing in ends:
            pipes.callback(os.close, reading)
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(pem)  # far less than a pipe holds
        chain, key = (f"/dev/fd/{reading}" for reading, _ in ends)
        context.load_cert_chain(chain, key, password=lambda: b"")  # else a locked key would be asked for at a terminal
