"""One practice's sealed entry for one external system."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from gateway.contracts.base import Model, Slug
from gateway.contracts.canonical import canonical, digest
from gateway.contracts.faults import ContentError
from gateway.contracts.proposal import Zone
from gateway.contracts.references import ConnectionId, PracticeId
from gateway.contracts.words import Severity

Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?:[0-9]{1,5}$")]
"""`name:port`, lower case; the port is always stated."""

Setting = str | int | bool

SYSTEM_DOMAIN: Final = "system/v1"

PORTS: Final[Mapping[str, int]] = MappingProxyType({"http": 80, "https": 443, "mllp": 2575, "mllps": 2575})
"""The schemes of a base URL, and the port of each where none is stated (RFC 9110; IANA: `hl7`)."""
ENCRYPTED: Final = frozenset({"https", "mllps"})
MLLP: Final = frozenset({"mllp", "mllps"})
"""HL7 v2 messages in frames; see `gateway.boundary.mllp`."""

Printable = Annotated[str, StringConstraints(pattern=r"^[!-~]+$", max_length=500)]
"""An identifier or address: visible ASCII, without spaces."""

_SCOPE: Final = r"^[!#-\[\]-~]+( [!#-\[\]-~]+)*$"  # RFC 6749 §3.3


class Network(StrEnum):
    """Where the system may live. `private` is shown in the governance record."""

    PUBLIC = "public"
    PRIVATE = "private"


class Scheme(StrEnum):
    """How the boundary attaches a credential to each request, and hence what the secret of that name is.

    `basic`: `user:password`. `bearer`: a token. `client-certificate`: PEM of the certificate, those that vouch for it,
    and the private key. The others have the boundary fetch an access token (OAuth 2.0): `client-credentials` (RFC 6749
    §4.4) with `client_id:client_secret`; `private-key-jwt` (RFC 7523 §2.2, SMART Backend Services) and `jwt-bearer`
    (RFC 7523 §2.1, as service accounts use it) with a private key, as JWK or PEM.
    """

    NONE = "none"
    BASIC = "basic"
    BEARER = "bearer"
    CLIENT_CERTIFICATE = "client-certificate"
    CLIENT_CREDENTIALS = "client-credentials"
    PRIVATE_KEY_JWT = "private-key-jwt"
    JWT_BEARER = "jwt-bearer"

    @property
    def fetches(self) -> bool:
        """Whether what is attached is an access token that a token endpoint issues."""
        return self in _FETCHING


_FETCHING: Final = frozenset({Scheme.CLIENT_CREDENTIALS, Scheme.PRIVATE_KEY_JWT, Scheme.JWT_BEARER})


class TokenEndpoint(Model):
    """Where access tokens come from, and what is asked for. Nothing here is a secret.

    `issuer` is who signs an assertion: SMART's client id, or a service account; `subject` is whom a service account
    acts for. `audience` is what an assertion is addressed to, the URL itself where nothing else is said; `key_id` its
    `kid`, where the key does not name itself.
    """

    url: Annotated[str, StringConstraints(pattern=r"^https?://[!-~]+$", max_length=500)]
    scope: Annotated[str, StringConstraints(pattern=_SCOPE, max_length=2000)] | None = None
    issuer: Printable | None = None
    subject: Printable | None = None
    audience: Printable | None = None
    key_id: Printable | None = None

    @property
    def host(self) -> str:
        """`name:port`, as a connection's `hosts` state it."""
        return _host(self.url)

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if not _is_plain(self.url) or "#" in self.url:  # RFC 6749 §3.2
            raise ContentError("url must be http(s)://host[:port]/path without credentials and fragment")
        return self


class CredentialUse(Model):
    """Which credential to attach, and how. The name is looked up by a plugin; the secret is never here."""

    scheme: Scheme
    name: Slug | None = None
    token: TokenEndpoint | None = None

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if (self.scheme is Scheme.NONE) != (self.name is None):
            raise ContentError("every scheme but 'none' names a credential")
        token = self.token
        if self.scheme.fetches != (token is not None):
            raise ContentError(
                "client-credentials, private-key-jwt and jwt-bearer need a token endpoint, and only they"
            )
        if token is None:
            return self
        if (self.scheme is Scheme.CLIENT_CREDENTIALS) != (token.issuer is None):
            raise ContentError("an assertion needs its issuer; client-credentials have theirs in the secret")
        if token.issuer is None and (token.audience, token.key_id) != (None, None):
            raise ContentError("audience and key_id belong to an assertion, which client-credentials do not make")
        if token.subject is not None and self.scheme is not Scheme.JWT_BEARER:
            raise ContentError("only jwt-bearer acts for another subject")
        return self

    @property
    def requests(self) -> int:
        """What authentication adds to the requests that an attempt may need: one, for a token (CARD-14)."""
        return 0 if self.token is None else 1


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
        if not _is_plain(self.base_url) or urlsplit(self.base_url).scheme not in PORTS:
            raise ContentError(
                "base_url must be http(s)://host[:port]/path or mllp(s)://host[:port], without credentials"
            )
        address, scheme = urlsplit(self.base_url), self.credential.scheme
        if _host(self.base_url) not in self.hosts:
            raise ContentError("hosts must list the base_url's own host and port")
        if self.credential.token is not None and self.credential.token.host not in self.hosts:
            raise ContentError("hosts must list the token endpoint's host and port")
        if address.scheme in MLLP and (address.path not in ("", "/") or address.query or address.fragment):
            raise ContentError("an mllp base_url ends with host and port: a message is named by its own type")
        if address.scheme in MLLP and scheme not in (Scheme.NONE, Scheme.CLIENT_CERTIFICATE):
            raise ContentError("mllp has no place for a credential but a client's certificate")
        if scheme is Scheme.CLIENT_CERTIFICATE and address.scheme not in ENCRYPTED:
            raise ContentError("a client's certificate needs https or mllps")
        return self

    @property
    def system(self) -> str:
        """A digest of what says which system this is: adapter, dialect, address and settings. Settings that end in
        `-seconds` say how long it takes, whichever it is."""
        named = {name: value for name, value in self.settings.items() if not name.endswith("-seconds")}
        return digest(SYSTEM_DOMAIN, canonical([self.adapter, self.dialect, self.base_url, named]))


def _is_plain(url: str) -> bool:
    try:
        address = urlsplit(url)
        return bool(address.hostname) and "@" not in address.netloc and address.port != 0
    except ValueError:  # of a port or an address in brackets; its text holds the value
        return False


def _host(url: str) -> str:
    address = urlsplit(url)
    return f"{address.hostname}:{address.port or PORTS[address.scheme]}"
