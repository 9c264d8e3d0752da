"""The system's end: where it is, and connections to it, plain or TLS.

Owns: upstream addresses and connections. Connects when there is a request to send; never connects twice for one.
Refuses, as ValueError: an upstream that is no http(s) or mllp(s) URL, or that carries a credential, query or fragment.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import urlsplit

from conformance.faults import UNREACHED
from gateway.contracts.connection import ENCRYPTED, MLLP, PORTS

CONNECT_SECONDS: Final = 10.0


class UnreachableError(Exception):
    """No connection to the system; the message is the proxy's own."""


@dataclass(frozen=True, slots=True)
class Link:
    """One connection to the system."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def usable(self) -> bool:
        return not self.writer.is_closing() and not self.reader.at_eof()

    def cut(self) -> None:
        self.writer.transport.abort()


@dataclass(frozen=True, slots=True)
class Upstream:
    """`authority` is what the Host field says; `path` is the base path, as it was given. `scheme` is of the proxy's own
    end: in front of the system nothing is encrypted."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str, trust: ssl.SSLContext | None) -> Self:
        parts = urlsplit(url)
        if parts.scheme not in PORTS or parts.hostname is None:
            raise ValueError("the upstream must be an http(s) or mllp(s) URL")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("the upstream's URL must not carry a credential, query or fragment")
        tls = (trust or ssl.create_default_context()) if parts.scheme in ENCRYPTED else None
        port = parts.port if parts.port is not None else PORTS[parts.scheme]
        scheme = "mllp" if parts.scheme in MLLP else "http"
        return cls(scheme, parts.hostname, port, parts.netloc, parts.path, tls)

    async def connect(self) -> Link:
        """Raises `UnreachableError`."""
        name = self.host if self.tls is not None else None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return Link(*await asyncio.open_connection(self.host, self.port, ssl=self.tls, server_hostname=name))
        except ssl.SSLCertVerificationError:
            raise UnreachableError("the system's certificate is not trusted") from None
        except ssl.SSLError:
            raise UnreachableError("no TLS with the system") from None
        except OSError:
            raise UnreachableError(UNREACHED) from None
