"""A person's or surface's own signing key, as a file outside the gateway's home.

Owns: the key file (one JWK, mode 0600). Refuses: to write or read one inside a gateway's home, where the
gateway could approve for itself, and to use one that others may read. Nothing here shows the private part.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Self

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey
from pydantic import Field, model_validator

from gateway.contracts.base import Model, Slug
from gateway.contracts.canonical import MAX_DOCUMENT_BYTES
from gateway.contracts.references import PersonId, PracticeId
from gateway.errors import ConfigurationError, UsageError
from gateway.signatures import Coordinate, PublicJwk, TrustedKey

HOME_MARK: Final = "gateway.json"
OWNER_ONLY: Final = 0o600

Algorithm = Literal["Ed25519", "ES256"]


class _KeyFile(Model):
    """A private JWK (RFC 7517, RFC 8037 §2, RFC 7518 §6.2.2)."""

    kid: Slug
    kty: Literal["OKP", "EC"]
    crv: Literal["Ed25519", "P-256"]
    x: Coordinate
    y: Coordinate | None = None
    d: Coordinate = Field(repr=False)

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        PublicJwk(kty=self.kty, crv=self.crv, x=self.x, y=self.y)
        return self


@dataclass(frozen=True, slots=True)
class LocalKey:
    """A private key in memory; `kid` is the name under which the practice trusts its public half."""

    kid: str
    algorithm: Algorithm
    key: OKPKey | ECKey = field(repr=False)

    @classmethod
    def generate(cls, kid: str, algorithm: Algorithm = "Ed25519") -> Self:
        if algorithm == "Ed25519":
            return cls(kid, algorithm, OKPKey.generate_key("Ed25519"))
        return cls(kid, algorithm, ECKey.generate_key("P-256"))

    def save(self, path: Path) -> None:
        """Write a new file that only its owner may read; raises `ConfigurationError` and never overwrites."""
        _outside_home(path)
        jwk = self.key.as_dict(private=True)
        content = _KeyFile.model_validate({"kid": self.kid, **{name: jwk[name] for name in _members(jwk)}})
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
        except FileExistsError:
            raise ConfigurationError(f"{path.name}: exists already; a key is never overwritten") from None
        except OSError:
            raise ConfigurationError(f"{path.name}: cannot be written there") from None
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.canonical() + b"\n")
            file.flush()
            os.fsync(descriptor)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key file; raises `ConfigurationError` where others may read it, or it is no such key."""
        _outside_home(path)
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(MAX_DOCUMENT_BYTES)
        except OSError:
            raise ConfigurationError(f"{path.name}: no readable key file") from None
        if not stat.S_ISREG(mode) or mode & 0o077:
            raise ConfigurationError(f"{path.name}: others may read this key; set its mode to 600")
        try:
            jwk = _KeyFile.parse(content)
            parts = jwk.model_dump(exclude={"kid"}, exclude_none=True)
            key = OKPKey.import_key(parts) if jwk.kty == "OKP" else ECKey.import_key(parts)
            key.get_op_key("sign")
        except (UsageError, JoseError, ValueError):
            raise ConfigurationError(f"{path.name}: not an Ed25519 or P-256 private key with a kid") from None
        return cls(jwk.kid, "Ed25519" if jwk.kty == "OKP" else "ES256", key)

    def public(self, types: Sequence[str], practice: PracticeId, person: PersonId | None = None) -> TrustedKey:
        """What a practice puts into `keys.json` to trust this key for those statement types; with `person`,
        as that person's own."""
        jwk = self.key.as_dict(private=False)
        members = {name: jwk[name] for name in _members(jwk) if name != "d"}
        jwk_public = PublicJwk.model_validate(members)
        return TrustedKey(kid=self.kid, jwk=jwk_public, types=tuple(types), practice=practice, person=person)


def _members(jwk: Mapping[str, object]) -> list[str]:
    return [name for name in ("kty", "crv", "x", "y", "d") if name in jwk]


def _outside_home(path: Path) -> None:
    for folder in path.resolve().parents:
        if (folder / HOME_MARK).exists():
            raise ConfigurationError(f"{path.name}: signing keys stay outside the gateway's home; choose another place")
