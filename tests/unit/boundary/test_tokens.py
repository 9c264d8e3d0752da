"""What is asked of a token endpoint, and what counts as its answer; pure."""

from __future__ import annotations

import base64
import json
import re
import warnings
from datetime import UTC, datetime
from random import Random
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from gateway.boundary.credentials import CredentialUnavailableError
from gateway.boundary.tokens import MAX_LIFE_SECONDS, Token, TokenRefusedError, Tokens, _key, granted, token_request
from gateway.contracts.connection import CredentialUse, Scheme, TokenEndpoint
from gateway.contracts.failures import Code
from gateway.contracts.references import ConnectionId
from tests.mutated.mutations import mutated
from tests.mutated.recording import Said

URL = "https://login.example.org/token"
NOW = datetime(2031, 3, 4, 9, 0, 0, 500_000, tzinfo=UTC)


def using(scheme: Scheme, **token: str) -> CredentialUse:
    return CredentialUse(scheme=scheme, name="ehr", token=TokenEndpoint(url=URL, **token))


CLIENT = using(Scheme.CLIENT_CREDENTIALS, scope="calendar.read calendar.write")
SMART = using(Scheme.PRIVATE_KEY_JWT, issuer="client-1", scope="system/Appointment.cruds")
SERVICE = using(Scheme.JWT_BEARER, issuer="gateway@project.example", scope="https://calendar.example/auth")


def ask(use: CredentialUse, secret: object) -> tuple[dict[str, str], str | None]:
    request = token_request(use, secret, now=NOW, nonce="n" * 32)
    fields = {name: value for name, (value,) in parse_qs(request.body.decode(), strict_parsing=True).items()}
    assert "ey" not in repr(request)
    return fields, request.credential


def as_jwk(key: Key, **more: str) -> str:
    return json.dumps(key.as_dict(private=True) | more)


def as_pem(key: Key) -> str:
    raw: Any = key.private_key
    return str(raw.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


@pytest.fixture(scope="module")
def rsa() -> RSAKey:
    return RSAKey.generate_key(2048)


@pytest.fixture(scope="module")
def elliptic() -> ECKey:
    return ECKey.generate_key("P-384")


def opened(assertion: str, key: Key, algorithm: str) -> tuple[dict[str, Any], dict[str, Any]]:
    token = jwt.decode(assertion, key, algorithms=[algorithm])
    return token.header, token.claims


def test_client_credentials_are_sent_as_basic_and_in_no_form() -> None:
    fields, credential = ask(CLIENT, "client-1:s3cret")
    assert fields == {"grant_type": "client_credentials", "scope": "calendar.read calendar.write"}
    assert credential == "Basic " + base64.b64encode(b"client-1:s3cret").decode()
    assert ask(using(Scheme.CLIENT_CREDENTIALS), "a:b")[0] == {"grant_type": "client_credentials"}


def test_client_id_and_secret_are_form_encoded_before_they_are_joined() -> None:
    """RFC 6749 §2.3.1; else a secret with a percent sign would be read as another one."""
    _, credential = ask(CLIENT, "client one:s:/+%~")
    assert credential is not None
    assert base64.b64decode(credential.removeprefix("Basic ")) == b"client+one:s%3A%2F%2B%25~"


@pytest.mark.parametrize("form", ["jwk", "pem"])
@pytest.mark.parametrize(("kind", "algorithm"), [("elliptic", "ES384"), ("rsa", "RS384")])
def test_a_private_key_signs_who_asks(request: pytest.FixtureRequest, form: str, kind: str, algorithm: str) -> None:
    key = request.getfixturevalue(kind)
    secret = as_jwk(key, kid="key-1") if form == "jwk" else as_pem(key)
    use = using(
        Scheme.PRIVATE_KEY_JWT, issuer="client-1", scope="a b", **({} if form == "jwk" else {"key_id": "key-1"})
    )
    fields, credential = ask(use, secret)
    header, claims = opened(fields.pop("client_assertion"), key, algorithm)
    assert credential is None
    assert fields == {
        "grant_type": "client_credentials",
        "scope": "a b",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    assert header == {"typ": "JWT", "alg": algorithm, "kid": "key-1"}
    issued = int(NOW.timestamp())
    assert claims == {
        "iss": "client-1",
        "sub": "client-1",
        "aud": URL,
        "iat": issued,
        "exp": issued + 240,
        "jti": "n" * 32,
    }


def test_a_stated_key_id_is_the_one_that_is_used(elliptic: ECKey) -> None:
    use = using(Scheme.PRIVATE_KEY_JWT, issuer="client-1", key_id="stated", audience="https://other.example/")
    fields, _ = ask(use, as_jwk(elliptic, kid="own"))
    header, claims = opened(fields["client_assertion"], elliptic, "ES384")
    assert (header["kid"], claims["aud"]) == ("stated", "https://other.example/")
    assert "scope" not in fields


@pytest.mark.parametrize("form", [as_jwk, as_pem])
def test_a_service_account_asks_by_assertion_alone(rsa: RSAKey, form: Any) -> None:
    fields, credential = ask(SERVICE, form(rsa))
    header, claims = opened(fields.pop("assertion"), rsa, "RS256")
    assert credential is None
    assert fields == {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    assert (header["alg"], header["typ"]) == ("RS256", "JWT")
    assert (claims["iss"], claims["scope"], claims["aud"]) == (
        "gateway@project.example",
        "https://calendar.example/auth",
        URL,
    )
    assert "sub" not in claims
    assert claims["jti"] == "n" * 32
    acting = using(Scheme.JWT_BEARER, issuer="gateway@project.example", subject="calendar@practice.example")
    _, claims = opened(ask(acting, form(rsa))[0]["assertion"], rsa, "RS256")
    assert claims["sub"] == "calendar@practice.example"
    assert "scope" not in claims


@pytest.mark.parametrize("secret", ["", "nocolon", ":secret", "client:", "client:two\nlines", "client:ümlaut", 7, None])
def test_a_client_without_a_usable_secret_asks_nothing(secret: object) -> None:
    with pytest.raises(CredentialUnavailableError):
        token_request(CLIENT, secret, now=NOW, nonce="n")


def unfit() -> dict[str, str]:
    whole = ECKey.generate_key("P-384").as_dict(private=True)
    return {
        "nothing": "",
        "no key": '{"kty": "EC"}',
        "no object": "[]",
        "no json": "canary-canary",
        "a public key": as_jwk_public(ECKey.generate_key("P-384")),
        "another curve": as_jwk(ECKey.generate_key("P-256")),
        "another kind": as_jwk(OKPKey.generate_key("Ed25519")),
        "a shared secret": as_jwk(OctKey.generate_key(256)),
        "a broken key": json.dumps(whole | {"d": "canary-canary"}),
        "a member twice": json.dumps(whole)[:-1] + ', "kty": "EC"}',
        "a broken PEM": "-----BEGIN PRIVATE KEY-----\ncanary-canary\n-----END PRIVATE KEY-----\n",
    }


def as_jwk_public(key: Key) -> str:
    return json.dumps(key.as_dict(private=False))


@pytest.mark.requirement("ADAPT-07")
@pytest.mark.parametrize("use", [SMART, SERVICE], ids=["private-key-jwt", "jwt-bearer"])
@pytest.mark.parametrize("kind", list(unfit()))
def test_a_key_of_another_kind_signs_nothing_and_is_not_repeated(use: CredentialUse, kind: str) -> None:
    with pytest.raises(CredentialUnavailableError) as raised:
        token_request(use, unfit()[kind], now=NOW, nonce="n")
    assert "canary" not in repr(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_a_service_account_signs_with_rsa_alone(elliptic: ECKey) -> None:
    with pytest.raises(CredentialUnavailableError):
        token_request(SERVICE, as_jwk(elliptic), now=NOW, nonce="n")


def test_a_short_rsa_key_signs_nothing() -> None:
    with pytest.warns(match="2048"):  # the library's own opinion
        short = as_jwk(RSAKey.generate_key(1024))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which here would be an error, and refuse the key
        with pytest.raises(CredentialUnavailableError):
            token_request(SMART, short, now=NOW, nonce="n")


def test_a_key_is_judged_before_the_library_signs_with_it(rsa: RSAKey) -> None:
    for kind in ("a public key", "another curve"):
        with pytest.raises(CredentialUnavailableError):
            _key(unfit()[kind])
    with pytest.raises(CredentialUnavailableError):
        _key(as_jwk_public(rsa))


def test_space_around_a_pem_is_no_part_of_the_key(elliptic: ECKey) -> None:
    fields, _ = ask(SMART, "\n  " + as_pem(elliptic))
    assert opened(fields["client_assertion"], elliptic, "ES384")[1]["iss"] == "client-1"


def said(**changes: object) -> bytes:
    whole = {"access_token": "abc.DEF-123", "token_type": "Bearer", "expires_in": 300} | changes
    return json.dumps({name: value for name, value in whole.items() if value != "absent"}).encode()


def test_a_token_lives_from_the_moment_at_which_it_was_asked_for() -> None:
    token = granted(200, said(scope="whatever", refresh_token="x"), asked=1000.0)
    assert (token.header, token.ends) == ("Bearer abc.DEF-123", 1300.0)
    assert token.lives_until(1299.9)
    assert not token.lives_until(1300.0)
    assert "abc" not in repr(token)


@pytest.mark.requirement("GATE-26")
@pytest.mark.parametrize(
    ("told", "enough"),
    [
        ("absent", True),
        ("system/Slot.cu system/Appointment.cu openid", True),
        ("system/Slot.cu system/Appointment.cu", True),
        ("system/Appointment.cu", False),
        ("system/Appointment.cud system/Slot.cu", False),
        ("", False),
        (7, True),
    ],
)
def test_a_token_for_less_than_was_asked_for_is_none(told: object, enough: bool) -> None:
    scope = "system/Appointment.cu system/Slot.cu"
    if enough:
        assert granted(200, said(scope=told), asked=0.0, scope=scope).header == "Bearer abc.DEF-123"
        return
    with pytest.raises(TokenRefusedError) as refused:
        granted(200, said(scope=told), asked=0.0, scope=scope)
    assert refused.value.code is Code.EXTERNAL_FORBIDDEN


@pytest.mark.parametrize("kind", ["bearer", "Bearer", "BEARER"])
def test_bearer_is_written_in_any_case(kind: str) -> None:
    assert granted(200, said(token_type=kind), asked=0.0).header == "Bearer abc.DEF-123"


@pytest.mark.parametrize(
    ("life", "ends"),
    [
        (1, 1.0),
        ("3600", 3600.0),
        (10**9, float(MAX_LIFE_SECONDS)),
        (10**400, float(MAX_LIFE_SECONDS)),
        ("absent", None),
    ],
    ids=["a second", "as text", "years", "for ever", "unsaid"],
)
def test_a_life_is_what_its_issuer_says_within_a_day(life: object, ends: float | None) -> None:
    assert granted(200, said(expires_in=life), asked=0.0).ends == ends


NONSENSE = {
    "no life left": said(expires_in=0),
    "a life behind it": said(expires_in=-1),
    "half a second": said(expires_in=0.5),
    "a true life": said(expires_in=True),
    "a life in words": said(expires_in="an hour"),
    "a signed life": said(expires_in="+300"),
    "another type": said(token_type="mac"),
    "a list of types": said(token_type=["Bearer"]),
    "no type": said(token_type="absent"),
    "no token": said(access_token="absent"),
    "an empty token": said(access_token=""),
    "two words": said(access_token="two words"),
    "a second header": said(access_token="abc\r\nX-Evil: 1"),
    "letters that no header has": said(access_token="ümlaut"),
    "a number": said(access_token=7),
    "a list": b"[]",
    "a text": b'"abc"',
    "nothing": b"",
    "a page": b"<html><body>Sign in</body></html>",
    "a member twice": said()[:-1] + b',"access_token":"other"}',
    "not UTF-8": b"\xff\xfe",
    "too much": said(more="x" * 70_000),
    "too deep": b"[" * 10_000,
}


@pytest.mark.parametrize("name", list(NONSENSE))
def test_a_reply_that_is_no_token_by_the_letter_is_not_recognised(name: str) -> None:
    with pytest.raises(TokenRefusedError) as refused:
        granted(200, NONSENSE[name], asked=0.0)
    assert refused.value.code is Code.REPLY_UNRECOGNISED
    assert str(refused.value) == ""


def test_ten_thousand_mutated_replies_bring_a_token_that_is_one_header_or_a_bounded_code() -> None:
    random, valid = Random("tokens"), Said(200, (("content-type", "application/json"),), said(scope="a b"))
    codes = set()
    for _ in range(10_000):
        _, changed = mutated(random, valid)
        try:
            token = granted(changed.status, changed.body, asked=0.0)
        except TokenRefusedError as refused:
            codes.add(refused.code)
        else:
            assert re.fullmatch(r"Bearer [!-~]+", token.header)
            assert token.ends is None or 0 < token.ends <= MAX_LIFE_SECONDS
    assert codes >= {Code.REPLY_UNRECOGNISED, Code.CREDENTIALS_REJECTED}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, Code.CREDENTIALS_REJECTED),
        (401, Code.CREDENTIALS_REJECTED),
        (403, Code.CREDENTIALS_REJECTED),
        (429, Code.EXTERNAL_THROTTLED),
        (500, Code.EXTERNAL_UNAVAILABLE),
        (503, Code.EXTERNAL_UNAVAILABLE),
        (201, Code.REPLY_UNRECOGNISED),
        (302, Code.REPLY_UNRECOGNISED),
        (404, Code.REPLY_UNRECOGNISED),
    ],
)
def test_only_200_brings_a_token(status: int, code: Code) -> None:
    with pytest.raises(TokenRefusedError) as refused:
        granted(status, said(), asked=0.0)
    assert refused.value.code is code


def test_memory_keeps_one_token_for_each_connection_until_it_ends() -> None:
    tokens, one, other = Tokens(), ConnectionId.random(), ConnectionId.random()
    first, second = Token("Bearer a", 100.0), Token("Bearer b", 200.0)
    tokens.keep(one, first)
    assert tokens.find(one, 99.0) is first
    assert tokens.find(one, 100.0) is None
    assert tokens.find(other, 99.0) is None
    tokens.keep(one, second)
    tokens.drop(one, first)
    assert tokens.find(one, 150.0) is second
    tokens.drop(one, second)
    tokens.drop(one, second)
    assert tokens.find(one, 0.0) is None


def test_a_token_of_unsaid_life_is_not_remembered() -> None:
    tokens, one = Tokens(), ConnectionId.random()
    tokens.keep(one, Token("Bearer a", None))
    assert tokens.find(one, 0.0) is None
