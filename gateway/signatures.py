"""Verification of signed statements: compact JWS (RFC 7515) under keys that the practice trusts.

Owns: which tokens count as signed. The protected header is exactly `alg`, `kid`, `typ`; the algorithm is
the trusted key's own, Ed25519 (RFC 9864) or ES256 (RFC 7518 §3.4), never the token's choice; the `typ` must be
the statement's and one that the key may sign; the payload must be the canonical JSON (RFC 8785) of a
statement of the key's own practice, or of a kind that speaks of no practice.
Refuses: everything else, before the signature library sees it; it would accept `b64`, an empty `crit`,
duplicate members and an embedded `jwk`. Expiry is not judged here: that is the gates' business.
Holds public keys only (AUTH-07).
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Final, Generic, Literal, Self, TypeVar

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey
from joserfc.jws import JWSRegistry, deserialize_compact
from pydantic import Field, StringConstraints, model_validator

from gateway.contracts.base import Model, Slug
from gateway.contracts.canonical import digest, load_json
from gateway.contracts.faults import ContentError
from gateway.contracts.references import PersonId, PracticeId
from gateway.contracts.statements import Signed
from gateway.errors import ConfigurationError, MalformedInput, SignatureRefused

MAX_TOKEN_BYTES: Final = 16 * 1024
SIGNATURE_DOMAIN: Final = "approval/v1"

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_HEADER: Final = frozenset({"alg", "kid", "typ"})

S = TypeVar("S", bound=Signed)

StatementType = Annotated[str, StringConstraints(pattern=r"^gateway-[a-z]+(?:-[a-z]+)*\+jws$", max_length=60)]
Coordinate = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
"""32 bytes as unpadded base64url."""


class PublicJwk(Model):
    """An Ed25519 or P-256 public key (RFC 7517, RFC 8037). A private `d`, like any other member, is refused."""

    kty: Literal["OKP", "EC"]
    crv: Literal["Ed25519", "P-256"]
    x: Coordinate
    y: Coordinate | None = None

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if (self.kty, self.crv, self.y is None) not in (("OKP", "Ed25519", True), ("EC", "P-256", False)):
            raise ContentError("an OKP key is Ed25519 with x; an EC key is P-256 with x and y")
        return self

    @property
    def algorithm(self) -> str:
        """The one JWS algorithm that this key verifies."""
        return "Ed25519" if self.kty == "OKP" else "ES256"


class TrustedKey(Model):
    """A public key, the practice it speaks for, and the statement types that it may sign. With `person` it is
    that person's own and speaks for nobody else; without, it is a surface's that authenticates several (AUTH-06)."""

    kid: Slug
    jwk: PublicJwk
    types: Annotated[tuple[StatementType, ...], Field(min_length=1, max_length=16)]
    practice: PracticeId
    person: PersonId | None = None


class TrustedKeys(Model):
    """`keys.json`."""

    keys: Annotated[tuple[TrustedKey, ...], Field(max_length=256)]

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if any(count > 1 for count in Counter(key.kid for key in self.keys).values()):
            raise ContentError("two keys have the same kid")
        return self


@dataclass(frozen=True, slots=True)
class Verified(Generic[S]):
    """A statement whose signature holds. `digest` is of the token's bytes and stands for it in audit (C-03)."""

    statement: S
    token: str = field(repr=False)
    kid: str
    digest: str


@dataclass(frozen=True, slots=True)
class _Entry:
    trusted: TrustedKey
    key: OKPKey | ECKey
    registry: JWSRegistry


class Keyring:
    """Trusted keys, parsed once; raises `ConfigurationError` for one that is no valid point."""

    def __init__(self, trusted: TrustedKeys) -> None:
        self._entries = {key.kid: _entry(key) for key in trusted.keys}

    def verify(self, token: str, model: type[S], *, practice: PracticeId | None = None) -> Verified[S]:
        """The statement in `token`, signed by a trusted key of its own practice, and of `practice` if given.

        A kind that speaks of no practice counts for the practice that lists the key for that kind.

        Raises `SignatureRefused` naming the reason, or, for a token that is truly signed but whose payload
        is no such statement, `InvalidInput` or `MalformedInput` (C-40). None repeats the token's content.
        """
        header, payload = _split(token)
        entry = self._entries.get(header["kid"])
        if entry is None:
            raise SignatureRefused("kid: no trusted key has that name")
        if header["alg"] != entry.trusted.jwk.algorithm:
            raise SignatureRefused("alg: not the algorithm of the trusted key")
        if header["typ"] != model.typ:
            raise SignatureRefused(f"typ: not {model.typ}")
        if model.typ not in entry.trusted.types:
            raise SignatureRefused(f"typ: this key may not sign {model.typ}")
        try:
            deserialize_compact(token, entry.key, registry=entry.registry)
        except (JoseError, ValueError):
            raise SignatureRefused("the signature does not hold") from None
        statement = model.parse(payload)
        if statement.canonical() != payload:
            raise MalformedInput("the signed payload is not canonical JSON (RFC 8785)")
        if statement.about not in (None, entry.trusted.practice):
            raise SignatureRefused("the statement is not of the signing key's practice")
        if entry.trusted.person is not None and statement.person not in (None, entry.trusted.person):
            raise SignatureRefused("the statement speaks for another person than the signing key's own")
        if practice is not None and entry.trusted.practice != practice:
            raise SignatureRefused("the statement is of another practice")
        return Verified(statement, token, header["kid"], digest(SIGNATURE_DOMAIN, token.encode()))


def verify(token: str, model: type[S], keys: Keyring | TrustedKeys) -> Verified[S]:
    """`Keyring.verify` for callers that verify once; a keyring is the cheaper choice for many."""
    keyring = keys if isinstance(keys, Keyring) else Keyring(keys)
    return keyring.verify(token, model)


def _entry(trusted: TrustedKey) -> _Entry:
    jwk = trusted.jwk.plain()
    try:
        key = OKPKey.import_key(jwk) if trusted.jwk.kty == "OKP" else ECKey.import_key(jwk)
    except (JoseError, ValueError):
        raise ConfigurationError(f"trusted key {trusted.kid}: not a valid public key") from None
    return _Entry(trusted, key, JWSRegistry(algorithms=[trusted.jwk.algorithm]))


def _split(token: str) -> tuple[dict[str, str], bytes]:
    if len(token) > MAX_TOKEN_BYTES:
        raise SignatureRefused(f"token is longer than {MAX_TOKEN_BYTES} bytes")
    parts = _COMPACT.fullmatch(token)
    if parts is None:
        raise SignatureRefused("not a compact JWS: three base64url parts (RFC 7515 §7.1)")
    protected, payload, _ = (_decode(part) for part in parts.groups())
    try:
        header = load_json(protected)
    except MalformedInput:
        raise SignatureRefused("the protected header is not one JSON object with each member once") from None
    if not isinstance(header, dict) or header.keys() != _HEADER:
        raise SignatureRefused("the protected header must hold exactly alg, kid and typ")
    if not all(isinstance(value, str) for value in header.values()):
        raise SignatureRefused("alg, kid and typ must be strings")
    return header, payload


def _decode(part: str) -> bytes:
    try:
        content = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise SignatureRefused("not base64url (RFC 7515 §2)") from None
    # One content, one spelling: stray trailing bits would give the same statement a second digest.
    if urlsafe_b64encode(content).rstrip(b"=").decode() != part:
        raise SignatureRefused("not canonical base64url: stray bits at the end of a part")
    return content
