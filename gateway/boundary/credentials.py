"""Where secrets come from, and what they become: one header, or the client's end of TLS.

Owns: two credential sources, registered as plugins like any other, the header value of each scheme whose secret is
attached itself, and the TLS context of a client's certificate. What is exchanged for a token is `tokens`' business.
Refuses: secret files that others could read or swap, secrets that would not fit one header line, and keys that are
locked or not the certificate's. No exception here carries a secret or a path; a key is written to no file.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import ssl
import stat
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from gateway.contracts.connection import CredentialUse, Scheme
from gateway.errors import ConfigurationError
from gateway.hookspecs import CredentialSource, hookimpl

_MAX_SECRET_BYTES: Final = 8 * 1024
BEARER_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1
_PAIR: Final = re.compile(r"[^\x00-\x1f\x7f:]+:[^\x00-\x1f\x7f]*")  # RFC 7617 §2


class CredentialUnavailableError(Exception):
    """No source has a usable secret of that name."""


class EnvironmentSecrets:
    """`clinic-calendar` is read from `GATEWAY_SECRET_CLINIC_CALENDAR`, at each use."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    async def secret(self, name: str) -> str:
        try:
            return os.environ[self._prefix + name.upper().replace("-", "_")]
        except KeyError:
            raise CredentialUnavailableError from None


class FileSecrets:
    """One file per secret, in a directory of its own: regular, owned by this user, mode 0600 or less."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def secret(self, name: str) -> str:
        return await asyncio.to_thread(self._read, name)

    def _read(self, name: str) -> str:
        try:
            descriptor = os.open(self._directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            raise CredentialUnavailableError from None
        try:
            status = os.fstat(descriptor)
            private = stat.S_ISREG(status.st_mode) and not status.st_mode & 0o077 and status.st_uid == os.geteuid()
            if not private or status.st_size > _MAX_SECRET_BYTES:
                raise CredentialUnavailableError
            content = os.read(descriptor, _MAX_SECRET_BYTES)
        finally:
            os.close(descriptor)
        try:
            return content.decode().removesuffix("\n")
        except UnicodeDecodeError:
            raise CredentialUnavailableError from None


@hookimpl
def gateway_credential_sources(name: str, options: Mapping[str, str], home: Path) -> Mapping[str, CredentialSource]:
    """`environment` takes the option `prefix`, `file` the option `directory` (relative to the home)."""
    if name == "environment":
        return {name: EnvironmentSecrets(_option(name, options, "prefix", "GATEWAY_SECRET_"))}
    if name == "file":
        return {name: FileSecrets(home / _option(name, options, "directory", "secrets"))}
    return {}


def _option(source: str, options: Mapping[str, str], name: str, default: str) -> str:
    if not options.keys() <= {name}:
        raise ConfigurationError(f"credential source {source} knows one option, {name}; mend it in gateway.json")
    return options.get(name, default)


async def authorization_header(use: CredentialUse, sources: Sequence[CredentialSource]) -> str | None:
    """The `Authorization` value of a scheme that needs no token endpoint, None for one without; raises
    `CredentialUnavailableError` and nothing else."""
    if use.name is None or use.scheme is Scheme.CLIENT_CERTIFICATE:
        return None
    return _header(use.scheme, await find_secret(use.name, sources))


async def identified(
    use: CredentialUse, sources: Sequence[CredentialSource], trust: ssl.SSLContext | None, protocols: Sequence[str]
) -> ssl.SSLContext:
    """A client's TLS context, with its certificate where the scheme says so, that trusts whom `trust` does (None: the
    system's authorities) and offers `protocols` (ALPN). Raises `CredentialUnavailableError` and nothing else."""
    certificate: str | None = None
    if use.scheme is Scheme.CLIENT_CERTIFICATE and use.name is not None:
        found = await find_secret(use.name, sources)
        if not isinstance(found, str) or len(found) > _MAX_SECRET_BYTES:
            raise CredentialUnavailableError
        certificate = found
    context = await asyncio.to_thread(_context, certificate, trust)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def _context(certificate: str | None, trust: ssl.SSLContext | None) -> ssl.SSLContext:
    if trust is None:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if authorities := b"".join(trust.get_ca_certs(binary_form=True)):
            context.load_verify_locations(cadata=authorities)
    if certificate is not None:
        try:
            _load(context, certificate.encode())
        except (OSError, ValueError):  # ssl.SSLError is an OSError
            raise CredentialUnavailableError from None
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


async def find_secret(name: str, sources: Sequence[CredentialSource]) -> object:
    """Sources are asked in their configured order, at each use; the first that has the secret wins. What a plugin
    gives may be anything. Raises `CredentialUnavailableError` and nothing else."""
    for source in sources:
        try:
            return await source.secret(name)
        except Exception:  # noqa: BLE001, S112 — a plugin's text could hold the secret
            continue
    raise CredentialUnavailableError


def _header(scheme: Scheme, secret: object) -> str:
    if isinstance(secret, str):
        if scheme is Scheme.BASIC and _PAIR.fullmatch(secret):
            return "Basic " + base64.b64encode(secret.encode()).decode()
        if scheme is Scheme.BEARER and BEARER_TOKEN.fullmatch(secret):
            return f"Bearer {secret}"
    raise CredentialUnavailableError
