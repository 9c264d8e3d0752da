"""One practice's sealed entry for one external system."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from gateway.contracts.base import Model, Slug
from gateway.contracts.proposal import Zone
from gateway.contracts.references import ConnectionId, PracticeId
from gateway.contracts.words import Severity

Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?:[0-9]{1,5}$")]
"""`name:port`, lower case; the port is always stated."""

Setting = str | int | bool

PORTS: Final[Mapping[str, int]] = MappingProxyType({"http": 80, "https": 443, "mllp": 2575, "mllps": 2575})
"""The schemes of a base URL, and the port of each where none is stated (RFC 9110; IANA: `hl7`)."""
ENCRYPTED: Final = frozenset({"https", "mllps"})
MLLP: Final = frozenset({"mllp", "mllps"})
"""HL7 v2 messages in frames; see `gateway.boundary.mllp`."""


class Network(StrEnum):
    """Where the system may live. `private` is shown in the governance record."""

    PUBLIC = "public"
    PRIVATE = "private"


class Scheme(StrEnum):
    """How the boundary attaches a credential to each request."""

    NONE = "none"
    BASIC = "basic"
    BEARER = "bearer"
    CLIENT_CERTIFICATE = "client-certificate"  # PEM: the certificate, those that vouch for it, and the private key


class CredentialUse(Model):
    """Which credential to attach, and how. The name is looked up by a plugin; the secret is never here."""

    scheme: Scheme
    name: Slug | None = None

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if (self.scheme is Scheme.NONE) != (self.name is None):
            raise ValueError("every scheme but 'none' names a credential")
        return self


class Limits(Model):
    """Bounds on this connection's traffic. Rates count requests over all gateway processes."""

    requests_per_minute: Annotated[int, Field(ge=1, le=100_000)] | None = None
    request_seconds: Annotated[int, Field(ge=1, le=120)] = 10
    commit_seconds: Annotated[int, Field(ge=1, le=300)] = 20
    reply_bytes: Annotated[int, Field(ge=1024, le=16 * 1024 * 1024)] = 1024 * 1024


class Connection(Model):
    """Adapter, address, network, zone, limits, risk tier and vendor flags. Secrets by name only (C-05).

    `risk` is a policy input: what is committed here may need a human's further answer (DECIDE-04).
    """

    connection_id: ConnectionId
    practice: PracticeId
    adapter: Slug
    dialect: Slug = "standard"
    base_url: Annotated[str, StringConstraints(max_length=500)]
    hosts: Annotated[tuple[Host, ...], Field(min_length=1, max_length=8)]
    network: Network = Network.PUBLIC
    zone: Zone
    credential: CredentialUse = CredentialUse(scheme=Scheme.NONE)
    limits: Limits = Limits()
    risk: Severity = Severity.LOW
    settings: Annotated[dict[Slug, Setting], Field(max_length=32)] = {}

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        address, scheme = urlsplit(self.base_url), self.credential.scheme
        if address.scheme not in PORTS or not address.hostname or "@" in address.netloc:
            raise ValueError(
                "base_url must be http(s)://host[:port]/path or mllp(s)://host[:port], without credentials"
            )
        if f"{address.hostname}:{address.port or PORTS[address.scheme]}" not in self.hosts:
            raise ValueError("hosts must list the base_url's own host and port")
        if address.scheme in MLLP and (address.path not in ("", "/") or address.query or address.fragment):
            raise ValueError("an mllp base_url ends with host and port: a message is named by its own type")
        if address.scheme in MLLP and scheme not in (Scheme.NONE, Scheme.CLIENT_CERTIFICATE):
            raise ValueError("mllp has no place for a credential but a client's certificate")
        if scheme is Scheme.CLIENT_CERTIFICATE and address.scheme not in ENCRYPTED:
            raise ValueError("a client's certificate needs https or mllps")
        return self
