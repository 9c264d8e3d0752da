"""A token endpoint (OAuth 2.0) for twins: grants tokens to two clients, having verified who asks.

Owns: the two clients' secrets or key pairs, the tokens granted and how long they live. What a client shows is verified
for real: its secret, or the signature of its assertion, whom that is addressed to, its time and that it is new; who
issued an assertion and which scope is asked for, where the issuer was told what to expect.
Refuses, as RFC 6749 §5.2 and RFC 7523 §3 say: everything else. A subject that a service account acts for is not looked
at. Invariants: fresh secrets at every start; a token is a random text.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qs, unquote_plus

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, KeyParameters, RSAKey, import_key

from gateway.contracts.connection import Scheme
from gateway.testing.wire import Reply, Request

CLIENTS: Final = ("vendor", "limited")
"""The credential that may do all, and the one that may only read."""

_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CLIENT_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LONGEST_SECONDS: Final = MappingProxyType({Scheme.PRIVATE_KEY_JWT: 300, Scheme.JWT_BEARER: 3600})
_SKEW_SECONDS: Final = 60


class _RefusedError(Exception):
    """What the endpoint says instead of a token."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status, self.error = status, error


def new_secret(scheme: Scheme, client: str) -> str:
    """A secret of the scheme's shape that nobody else has: `id:secret`, a private key as JWK, or a token."""
    if scheme in (Scheme.BASIC, Scheme.CLIENT_CREDENTIALS):
        return f"{client}:{secrets.token_urlsafe(16)}"
    if scheme in _LONGEST_SECONDS:
        named: KeyParameters = {"kid": client}
        key = (
            ECKey.generate_key("P-384", named) if scheme is Scheme.PRIVATE_KEY_JWT else RSAKey.generate_key(2048, named)
        )
        return json.dumps(key.as_dict(private=True))
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On which terms tokens are granted, and for how long they are good.

    `audience` is what assertions must be addressed to, the endpoint's own URL unless said; `client_id` who must have
    issued one (a service account, a client), and `scope` what must be asked for, its words in any order. None: whatever
    a request says, as both clients are known by their keys.
    """

    audience: str | None = None
    client_id: str | None = None
    scope: str | None = None
    life_seconds: int = 300


@dataclass(slots=True)
class Issuer:
    """One token endpoint. `url` is its own."""

    scheme: Scheme
    url: str
    terms: Terms = Terms()
    secrets: Mapping[str, str] = field(init=False, repr=False)
    _keys: Mapping[str, Key] = field(init=False, repr=False)
    _granted: dict[str, tuple[str, float]] = field(init=False, repr=False, default_factory=dict)
    _used: set[str] = field(init=False, repr=False, default_factory=set)

    def __post_init__(self) -> None:
        self.secrets = MappingProxyType({client: new_secret(self.scheme, client) for client in CLIENTS})
        signs = self.scheme in _LONGEST_SECONDS
        self._keys = {client: _public(secret) for client, secret in self.secrets.items()} if signs else {}

    def client(self, authorization: str) -> str | None:
        """Whose valid token an Authorization value carries."""
        found = (
            self._granted.get(authorization.removeprefix("Bearer ")) if authorization.startswith("Bearer ") else None
        )
        return found[0] if found is not None and found[1] > time.monotonic() else None

    def answer(self, request: Request) -> Reply:
        """The reply to one token request."""
        try:
            client = self._client_of(request)
        except _RefusedError as refused:
            return _reply(refused.status, {"error": refused.error})
        token = secrets.token_urlsafe(24)
        self._granted[token] = (client, time.monotonic() + self.terms.life_seconds)
        return _reply(200, {"access_token": token, "token_type": "Bearer", "expires_in": self.terms.life_seconds})

    def _client_of(self, request: Request) -> str:
        form = _form(request)
        if self.scheme is Scheme.JWT_BEARER:
            return self._by_assertion(form, _JWT_BEARER, "assertion", _RefusedError(400, "invalid_grant"))
        if self.scheme is Scheme.PRIVATE_KEY_JWT:
            if form.get("client_assertion_type") != _CLIENT_ASSERTION:
                raise _RefusedError(400, "invalid_request")
            return self._by_assertion(
                form, "client_credentials", "client_assertion", _RefusedError(400, "invalid_client")
            )
        if form.get("grant_type") != "client_credentials":
            raise _RefusedError(400, "unsupported_grant_type")
        client = self._by_secret(request.headers.get("authorization", ""))
        self._require_scope(form.get("scope"))
        return client

    def _by_secret(self, authorization: str) -> str:
        for client, secret in self.secrets.items():
            try:
                shown = base64.b64decode(authorization.removeprefix("Basic "), validate=True).decode("ascii")
            except ValueError:
                break
            if hmac.compare_digest(":".join(map(unquote_plus, shown.split(":", 1))).encode(), secret.encode()):
                return client
        raise _RefusedError(401, "invalid_client")

    def _by_assertion(self, form: Mapping[str, str], grant: str, name: str, refused: _RefusedError) -> str:
        if form.get("grant_type") != grant:
            raise _RefusedError(400, "unsupported_grant_type")
        algorithm = "RS256" if self.scheme is Scheme.JWT_BEARER else "ES384"
        for client, key in self._keys.items():
            try:
                claims = jwt.decode(form.get(name, ""), key, algorithms=[algorithm]).claims
            except (JoseError, ValueError):
                continue
            if self._holds(claims):
                self._require_scope((claims if self.scheme is Scheme.JWT_BEARER else form).get("scope"))
                return client
        raise refused

    def _require_scope(self, asked: object) -> None:
        expected = self.terms.scope
        if expected is None:
            return
        if not isinstance(asked, str) or set(asked.split(" ")) != set(expected.split(" ")):
            raise _RefusedError(400, "invalid_scope")

    def _holds(self, claims: Mapping[str, Any]) -> bool:
        now, issued, ends, nonce = time.time(), claims.get("iat"), claims.get("exp"), claims.get("jti")
        if type(issued) is not int or type(ends) is not int or not isinstance(nonce, str) or nonce in self._used:
            return False
        issuer = claims.get("iss")
        known = isinstance(issuer, str) and self.terms.client_id in (None, issuer)
        named = known and (self.scheme is Scheme.JWT_BEARER or issuer == claims.get("sub"))
        timely = issued <= now + _SKEW_SECONDS and now < ends <= issued + _LONGEST_SECONDS[self.scheme]
        self._used.add(nonce)
        return named and timely and claims.get("aud") == (self.terms.audience or self.url)


def _public(secret: str) -> Key:
    """The half of a private key that an issuer has; with it nobody can sign."""
    return import_key(import_key(json.loads(secret)).as_dict(private=False))


def _form(request: Request) -> Mapping[str, str]:
    if request.method != "POST" or request.headers.get("content-type") != "application/x-www-form-urlencoded":
        raise _RefusedError(400, "invalid_request")
    fields = parse_qs(request.body.decode("latin-1"), keep_blank_values=True)
    if any(len(values) > 1 for values in fields.values()):
        raise _RefusedError(400, "invalid_request")
    return {name: values[0] for name, values in fields.items()}


def _reply(status: int, content: Mapping[str, object]) -> Reply:
    headers = (("content-type", "application/json"), ("cache-control", "no-store"))
    return Reply(status=status, headers=headers, body=json.dumps(content).encode())
