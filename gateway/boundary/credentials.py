"""Where secrets come from, and the header that one becomes.

Owns: two credential sources, registered as plugins like any other, and the header value of each scheme whose secret is
attached itself. What is exchanged for a token is `tokens`' business, a client's certificate that of `tls`.
Refuses: secret files that others could read or swap, and secrets that would not fit one header line. No exception here
carries a secret or a path.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from gateway.config import PluginUse
from gateway.contracts.connection import CredentialUse, Scheme
from gateway.errors import ConfigurationError
from gateway.hookspecs import CredentialSource, hookimpl

MAX_SECRET_BYTES: Final = 8 * 1024
PREFIX: Final = "GATEWAY_SECRET_"
DIRECTORY: Final = "secrets"
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
            return os.environ[self.variable(name)]
        except KeyError:
            raise CredentialUnavailableError from None

    def variable(self, name: str) -> str:
        return self._prefix + name.upper().replace("-", "_")


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
            if not private or status.st_size > MAX_SECRET_BYTES:
                raise CredentialUnavailableError
            content = os.read(descriptor, MAX_SECRET_BYTES)
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
        return {name: EnvironmentSecrets(_option(name, options, "prefix", PREFIX))}
    if name == "file":
        return {name: FileSecrets(home / _option(name, options, "directory", DIRECTORY))}
    return {}


def place_of(use: PluginUse, home: Path, secret: str) -> str:
    """Where a configured source looks for a secret of that name, for people."""
    if use.name == "environment":
        return f"environment variable {EnvironmentSecrets(use.options.get('prefix', PREFIX)).variable(secret)}"
    if use.name == "file":
        return f"{(home / use.options.get('directory', DIRECTORY) / secret).resolve()}, mode 600"
    return f"what {use.name} keeps as {secret}"


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
