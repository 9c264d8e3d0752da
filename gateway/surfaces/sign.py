"""Statements into tokens: the other half of `gateway.signatures`, for surfaces that hold a key."""

from __future__ import annotations

from joserfc.jws import serialize_compact

from gateway.contracts.statements import Signed
from gateway.surfaces.keys import LocalKey


def sign(statement: Signed, key: LocalKey) -> str:
    """A compact JWS (RFC 7515 §7.1) over the statement's canonical JSON; the header is alg, kid, typ."""
    if not statement.typ:
        raise ValueError("only a statement of a kind with its own typ can be signed")
    header = {"alg": key.algorithm, "kid": key.kid, "typ": statement.typ}
    return serialize_compact(header, statement.canonical(), key.key, algorithms=[key.algorithm])
