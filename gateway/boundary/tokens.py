"""Access tokens (OAuth 2.0): what is asked of a token endpoint, what counts as its answer, and what is remembered.

Owns: the one token request of each scheme, its assertion included; the strict reading of the reply; the tokens of one
gateway's connections, in memory and nowhere else, until they expire. Does no I/O: the session sends.
Refuses: keys of another kind than the scheme's, and replies that are no Bearer token by the letter.
No exception here carries a secret, a token or a reply, and nothing here prints one (I7).
Sources: RFC 6749 (§2.3.1, §4.4, §5), RFC 6750, RFC 7521 and RFC 7523 (assertions), SMART Backend Services.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from joserfc import jwt
from joserfc.errors import InvalidKeyTypeError
from joserfc.jwk import ECKey, RSAKey, import_key

from gateway.boundary.credentials import BEARER_TOKEN, CredentialUnavailableError
from gateway.contracts.canonical import load_json
from gateway.contracts.connection import CredentialUse, Scheme, TokenEndpoint
from gateway.contracts.failures import Code
from gateway.contracts.references import ConnectionId
from gateway.errors import MalformedInput

ASSERTION_SECONDS: Final = 240
"""SMART admits five minutes from the server's own now; what is left of them is for clocks that differ."""

MAX_LIFE_SECONDS: Final = 24 * 3600
"""No token is remembered longer, whatever its issuer says."""

_CLIENT: Final = re.compile(r"([ -9;-~]+):([ -~]+)")  # RFC 6749 appendix A.1 and A.2; an id with a colon has no reading
_DIGITS: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_MIN_RSA_BITS: Final = 2048
_REFUSED: Final = {
    **dict.fromkeys((400, 401, 403), Code.CREDENTIALS_REJECTED),  # RFC 6749 §5.2: invalid_client, invalid_grant, …
    429: Code.EXTERNAL_THROTTLED,
    **dict.fromkeys((500, 502, 503, 504), Code.EXTERNAL_UNAVAILABLE),
}


class TokenRefusedError(Exception):
    """The token endpoint answered, and what it said is no token."""

    def __init__(self, code: Code) -> None:
        super().__init__()
        self.code = code


@dataclass(frozen=True, slots=True)
class Token:
    """An access token as the header that it becomes. `ends`, in monotonic seconds, is None where its issuer did not
    say: it then serves the attempt that fetched it."""

    header: str = field(repr=False)
    ends: float | None

    def lives_until(self, instant: float) -> bool:
        return self.ends is None or self.ends > instant


class Tokens:
    """The tokens of a gateway's connections. They are no evidence: what a token admits, an authenticated read of the
    same attempt has to prove."""

    def __init__(self) -> None:
        self._kept: dict[ConnectionId, Token] = {}

    def find(self, connection: ConnectionId, until: float) -> Token | None:
        """One that is good until then, in monotonic seconds."""
        token = self._kept.get(connection)
        return token if token is not None and token.lives_until(until) else None

    def keep(self, connection: ConnectionId, token: Token) -> None:
        if token.ends is not None:
            self._kept[connection] = token

    def drop(self, connection: ConnectionId, token: Token) -> None:
        """Forget this token, though not one that came after it."""
        if self._kept.get(connection) is token:
            del self._kept[connection]


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """The form of one token request, and its `Authorization` where the scheme has one."""

    body: bytes = field(repr=False)
    credential: str | None = field(repr=False)


def token_request(use: CredentialUse, secret: object, *, now: datetime, nonce: str) -> TokenRequest:
    """What the scheme asks with this secret; `nonce` makes an assertion unlike any other.

    Raises `CredentialUnavailableError` for a secret that is not of the scheme's shape, and nothing else. Signs, and
    hence takes milliseconds.
    """
    if not isinstance(secret, str) or use.token is None:
        raise CredentialUnavailableError
    scope = {"scope": use.token.scope} if use.token.scope is not None else {}
    if use.scheme is Scheme.CLIENT_CREDENTIALS:
        return TokenRequest(_form(grant_type="client_credentials", **scope), _client(secret))
    if use.scheme is Scheme.PRIVATE_KEY_JWT:
        assertion = _signed(use.token, secret, _claims(use.token, now) | {"sub": use.token.issuer, "jti": nonce})
        return TokenRequest(
            _form(
                grant_type="client_credentials",
                **scope,
                client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                client_assertion=assertion,
            ),
            None,
        )
    subject = {"sub": use.token.subject} if use.token.subject is not None else {}
    assertion = _signed(use.token, secret, _claims(use.token, now) | scope | subject | {"jti": nonce}, rsa="RS256")
    return TokenRequest(_form(grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer", assertion=assertion), None)


def granted(status: int, content: bytes, *, asked: float, scope: str | None = None) -> Token:
    """The token in a complete reply to a request made at `asked`; raises `TokenRefusedError`, EXTERNAL_FORBIDDEN where
    its issuer says that it is for less than `scope` (RFC 6749 §5.1: what is left unsaid was granted)."""
    if status != 200:
        raise TokenRefusedError(_REFUSED.get(status, Code.REPLY_UNRECOGNISED))
    try:
        said = load_json(content)
    except MalformedInput:
        said = None
    if not isinstance(said, dict):
        raise TokenRefusedError(Code.REPLY_UNRECOGNISED)
    value, kind = said.get("access_token"), said.get("token_type")
    is_token = isinstance(value, str) and BEARER_TOKEN.fullmatch(value) is not None
    if not is_token or not isinstance(kind, str) or kind.lower() != "bearer":
        raise TokenRefusedError(Code.REPLY_UNRECOGNISED)
    told = said.get("scope")
    if scope is not None and isinstance(told, str) and not set(scope.split()) <= set(told.split()):
        raise TokenRefusedError(Code.EXTERNAL_FORBIDDEN)
    life = _life(said.get("expires_in"))
    return Token(f"Bearer {value}", None if life is None else asked + life)


def _life(said: object) -> int | None:
    """Seconds. Some issuers say them as text, which can be read in one way only."""
    if said is None:
        return None
    if isinstance(said, str) and _DIGITS.fullmatch(said):
        said = int(said)
    if type(said) is not int or said <= 0:
        raise TokenRefusedError(Code.REPLY_UNRECOGNISED)
    return min(said, MAX_LIFE_SECONDS)


def _form(**fields: str) -> bytes:
    return urlencode(fields).encode("ascii")


def _client(secret: str) -> str:
    """RFC 6749 §2.3.1: both parts form-encoded, then as in RFC 7617."""
    pair = _CLIENT.fullmatch(secret)
    if pair is None:
        raise CredentialUnavailableError
    return "Basic " + base64.b64encode(":".join(map(quote_plus, pair.groups())).encode()).decode()


def _claims(endpoint: TokenEndpoint, now: datetime) -> dict[str, Any]:
    issued = int(now.timestamp())
    audience = endpoint.audience or endpoint.url
    return {"iss": endpoint.issuer, "aud": audience, "iat": issued, "exp": issued + ASSERTION_SECONDS}


def _signed(endpoint: TokenEndpoint, secret: str, claims: dict[str, Any], *, rsa: str | None = None) -> str:
    """The claims as a compact JWS; `rsa` is the one algorithm that the scheme admits, else the key's kind says."""
    try:
        key = _key(secret)
        algorithm = rsa or ("ES384" if isinstance(key, ECKey) else "RS384")
        kid = endpoint.key_id or key.kid
        header = {"alg": algorithm, "typ": "JWT"} | ({"kid": kid} if kid is not None else {})
        return jwt.encode(header, claims, key, algorithms=[algorithm])
    except Exception:  # noqa: BLE001 — the library's text could hold the key
        raise CredentialUnavailableError from None


def _key(secret: str) -> ECKey | RSAKey:
    """A private key that is one of SMART's two kinds; raises anything where it is not."""
    if secret.lstrip().startswith("-----BEGIN "):
        try:
            key: object = RSAKey.import_key(secret)
        except InvalidKeyTypeError:
            key = ECKey.import_key(secret)
    else:
        key = import_key(load_json(secret))
    if isinstance(key, RSAKey) and key.private_key is not None and key.private_key.key_size >= _MIN_RSA_BITS:
        return key
    if isinstance(key, ECKey) and key.is_private and key.curve_name == "P-384":
        return key
    raise CredentialUnavailableError
