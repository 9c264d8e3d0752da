"""Which tokens count as signed statements, and every way in which one does not."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey
from joserfc.jws import JWSRegistry
from pydantic import ValidationError

from gateway.contracts.base import Model
from gateway.contracts.canonical import digest
from gateway.contracts.proposal import Operation
from gateway.contracts.references import (
    DecisionId,
    PersonId,
    PracticeId,
    ProposalId,
    StatementId,
    TriggerId,
)
from gateway.contracts.statements import (
    Authentication,
    AuthenticationMethod,
    Decision,
    Purpose,
    ReviewerKind,
    Stop,
    Trigger,
    TriggerKind,
    Verdict,
    Withdrawal,
)
from gateway.errors import ConfigurationError, InvalidInput, MalformedInput, SignatureRefused, UsageError
from gateway.signatures import Keyring, PublicJwk, TrustedKey, TrustedKeys, verify

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PRACTICE = PracticeId.random()
CANARY = "Ottilie Canary"

ED25519 = OKPKey.generate_key("Ed25519")
P256 = ECKey.generate_key("P-256")
STRANGER = OKPKey.generate_key("Ed25519")


def public(key: OKPKey | ECKey) -> PublicJwk:
    jwk = key.as_dict(private=False)
    return PublicJwk.model_validate({name: jwk[name] for name in ("kty", "crv", "x", "y") if name in jwk})


TRUSTED = TrustedKeys(
    keys=(
        TrustedKey(
            kid="reviewer", jwk=public(ED25519), types=("gateway-stop+jws", "gateway-decision+jws"), practice=PRACTICE
        ),
        TrustedKey(kid="surface", jwk=public(P256), types=("gateway-stop+jws",), practice=PRACTICE),
        TrustedKey(kid="desk", jwk=public(P256), types=("gateway-trigger+jws",), practice=PRACTICE),
    )
)
KEYRING = Keyring(TRUSTED)
STOP = Stop(
    practice=PRACTICE,
    issued_at=NOW,
    statement_id=StatementId.random(),
    proposal_id=ProposalId.random(),
    operator=PersonId.random(),
)
HEADER = {"alg": "Ed25519", "kid": "reviewer", "typ": "gateway-stop+jws"}


def part(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def signature(key: OKPKey | ECKey, signing_input: bytes) -> bytes:
    return JWSRegistry.algorithms["Ed25519" if isinstance(key, OKPKey) else "ES256"].sign(signing_input, key)


def token(
    header: dict[str, Any] | bytes | None = None,
    payload: Model | bytes = STOP,
    key: OKPKey | ECKey = ED25519,
) -> str:
    """A token whose signature truly holds over whatever header and payload it has."""
    protected = header if isinstance(header, bytes) else json.dumps(HEADER if header is None else header).encode()
    content = payload if isinstance(payload, bytes) else payload.canonical()
    signing_input = f"{part(protected)}.{part(content)}"
    return f"{signing_input}.{part(signature(key, signing_input.encode()))}"


def header(**changes: Any) -> dict[str, Any]:
    return HEADER | changes


def without(name: str) -> dict[str, Any]:
    return {member: value for member, value in HEADER.items() if member != name}


def altered(change: Callable[[dict[str, Any]], Any]) -> bytes:
    content = STOP.plain()
    change(content)
    return rfc8785.dumps(content)


def hmac_token() -> str:
    """The classic confusion: HMAC with the public key as its secret."""
    protected = part(json.dumps(header(alg="HS256")).encode())
    signing_input = f"{protected}.{part(STOP.canonical())}"
    secret = urlsafe_b64decode(public(ED25519).x + "=")
    return f"{signing_input}.{part(hmac.new(secret, signing_input.encode(), hashlib.sha256).digest())}"


def with_stray_bits(good: str) -> str:
    """The same signature bytes, spelled differently: 64 bytes leave four unused bits at the end."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return good[:-1] + alphabet[alphabet.index(good[-1]) + 1]


GOOD = token()
PROTECTED, PAYLOAD, SIGNATURE = GOOD.split(".")

REFUSED = {
    "empty": "",
    "one part": PROTECTED,
    "two parts": f"{PROTECTED}.{PAYLOAD}",
    "four parts": f"{GOOD}.{SIGNATURE}",
    "five parts like an encrypted token": f"{GOOD}.{SIGNATURE}.{SIGNATURE}",
    "no signature": f"{PROTECTED}.{PAYLOAD}.",
    "detached payload": f"{PROTECTED}..{SIGNATURE}",
    "no header": f".{PAYLOAD}.{SIGNATURE}",
    "padded": f"{PROTECTED}.{PAYLOAD}.{SIGNATURE}==",
    "standard base64 alphabet": f"{PROTECTED}.{PAYLOAD}.+/{SIGNATURE[2:]}",
    "stray trailing bits": with_stray_bits(GOOD),
    "impossible length": f"{PROTECTED}.{PAYLOAD}.{SIGNATURE}AAA",
    "leading blank": " " + GOOD,
    "trailing newline": GOOD + "\n",
    "not ASCII": GOOD[:-1] + "ſ",
    "JSON serialization": json.dumps({"protected": PROTECTED, "payload": PAYLOAD, "signature": SIGNATURE}),
    "too long": token(payload=altered(lambda content: content.update(operator="x" * 20_000))),
    "header not JSON": token(b"alg=Ed25519"),
    "header not UTF-8": token(b'{"alg":"\xff","kid":"reviewer","typ":"gateway-stop+jws"}'),
    "header a list": token(b'["alg","kid","typ"]'),
    "header a string": token(b'"alg"'),
    "header with a number": token(header(kid=7)),
    "header with an unhashable kid": token(header(kid=["reviewer"])),
    "header with null": token(header(kid=None)),
    "header with a list": token(header(alg=["Ed25519"])),
    "duplicate member": token(b'{"alg":"none","alg":"Ed25519","kid":"reviewer","typ":"gateway-stop+jws"}'),
    "duplicate member, escaped": token(b'{"alg":"Ed25519","kid":"x","\\u006bid":"reviewer","typ":"gateway-stop+jws"}'),
    "deep header": token(b'{"alg":' + b"[" * 400 + b"]" * 400 + b"}"),
    "alg none": token(header(alg="none")),
    "alg none, unsigned": f"{part(json.dumps(header(alg='none')).encode())}.{PAYLOAD}.",
    "alg NONE": token(header(alg="NONE")),
    "alg HS256 with the public key": hmac_token(),
    "alg EdDSA, the deprecated name": token(header(alg="EdDSA")),
    "alg ed25519 in small letters": token(header(alg="ed25519")),
    "alg ES256 for an Ed25519 key": token(header(alg="ES256")),
    "alg ES384": token(header(alg="ES384", kid="surface"), key=P256),
    "alg RS256": token(header(alg="RS256")),
    "alg Ed25519 for a P-256 key": token(header(kid="surface")),
    "alg empty": token(header(alg="")),
    "no alg": token(without("alg")),
    "no kid": token(without("kid")),
    "no typ": token(without("typ")),
    "crit of b64": token(header(crit=["b64"], b64=True)),
    "crit empty": token(header(crit=[])),
    "crit unknown": token(header(crit=["exp"], exp=1)),
    "b64 false": token(header(b64=False)),
    "b64 true": token(header(b64=True)),
    "embedded jwk": token(header(jwk=public(STRANGER).plain()), key=STRANGER),
    "jku": token(header(jku="https://keys.example/jwks")),
    "x5u": token(header(x5u="https://keys.example/cert")),
    "x5c": token(header(x5c=["MIIB"])),
    "cty": token(header(cty="json")),
    "private member": token(header(note=CANARY)),
    "kid unknown": token(header(kid="nobody")),
    "kid empty": token(header(kid="")),
    "kid of another key": token(header(kid="desk", alg="ES256"), key=P256),
    "kid like a path": token(header(kid="../reviewer")),
    "typ of another statement": token(header(typ="gateway-trigger+jws")),
    "typ JWT": token(header(typ="JWT")),
    "typ in capitals": token(header(typ="GATEWAY-STOP+JWS")),
    "signed by a stranger": token(key=STRANGER),
    "signature of another token": f"{PROTECTED}.{PAYLOAD}.{token(header(), payload=b'{}').split('.')[2]}",
    "signature cut short": f"{PROTECTED}.{PAYLOAD}.{SIGNATURE[:40]}",
    "signature all zero": f"{PROTECTED}.{PAYLOAD}.{part(bytes(64))}",
    "ES256 signature all zero": token(header(kid="surface", alg="ES256"), key=P256).rpartition(".")[0]
    + "."
    + part(bytes(64)),
    "ES256 signature in DER length": token(header(kid="surface", alg="ES256"), key=P256).rpartition(".")[0]
    + "."
    + part(b"\x30\x46" + bytes(70)),
    "payload swapped": f"{PROTECTED}.{part(altered(lambda content: content.pop('operator')))}.{SIGNATURE}",
    "header swapped": f"{part(json.dumps(HEADER, indent=1).encode())}.{PAYLOAD}.{SIGNATURE}",
    "statement of another practice": token(
        payload=altered(lambda content: content.update(practice=PracticeId.random()))
    ),
}

WRONG_CONTENT = {
    "payload not JSON": b"stop",
    "payload a list": b"[]",
    "payload empty object": b"{}",
    "payload with a duplicate member": STOP.canonical()[:-1] + b',"operator":"' + STOP.operator.encode() + b'"}',
    "payload not in canonical order": json.dumps(dict(reversed(STOP.plain().items())), separators=(",", ":")).encode(),
    "payload with blanks": json.dumps(STOP.plain(), sort_keys=True).encode(),
    "payload with an unknown member": altered(lambda content: content.update(note=CANARY)),
    "payload lacking a member": altered(lambda content: content.pop("operator")),
    "payload with a name for a reference": altered(lambda content: content.update(operator=CANARY)),
    "payload with a naive instant": altered(lambda content: content.update(issued_at="2026-03-02T09:00:00")),
    "payload with an explicit null": altered(lambda content: content.update(expires_at=None)),
    "payload with NaN": b'{"practice":NaN}',
}


@pytest.mark.parametrize(("kid", "alg", "key"), [("reviewer", "Ed25519", ED25519), ("surface", "ES256", P256)])
def test_a_statement_signed_by_a_trusted_key_is_read(kid: str, alg: str, key: OKPKey | ECKey) -> None:
    signed = token(header(kid=kid, alg=alg), key=key)
    verified = KEYRING.verify(signed, Stop, practice=PRACTICE)
    assert verified.statement == STOP
    assert verified.kid == kid
    assert verified.token == signed
    assert verified.digest == digest("approval/v1", signed.encode())


def test_keys_may_be_given_unparsed() -> None:
    assert verify(GOOD, Stop, TRUSTED) == verify(GOOD, Stop, KEYRING)


@pytest.mark.requirement("GATE-20")
@pytest.mark.parametrize("name", REFUSED)
def test_a_token_that_is_not_exactly_a_signed_statement_is_refused(name: str) -> None:
    with pytest.raises(SignatureRefused) as refused:
        KEYRING.verify(REFUSED[name], Stop, practice=PRACTICE)
    assert CANARY not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("four parts", "three base64url parts"),
        ("trailing newline", "three base64url parts"),
        ("stray trailing bits", "not canonical base64url"),
        ("duplicate member", "each member once"),
        ("header with a number", "must be strings"),
        ("crit empty", "exactly alg, kid and typ"),
        ("embedded jwk", "exactly alg, kid and typ"),
        ("kid unknown", "^kid"),
        ("alg none", "^alg"),
        ("alg HS256 with the public key", "^alg"),
        ("alg EdDSA, the deprecated name", "^alg"),
        ("alg Ed25519 for a P-256 key", "^alg"),
        ("typ JWT", "^typ"),
        ("signed by a stranger", "signature does not hold"),
        ("statement of another practice", "signing key's practice"),
    ],
)
def test_the_refusal_names_the_reason_before_any_library_is_asked(name: str, reason: str) -> None:
    with pytest.raises(SignatureRefused, match=reason):
        KEYRING.verify(REFUSED[name], Stop)


@pytest.mark.parametrize("name", WRONG_CONTENT)
def test_a_signature_does_not_make_wrong_content_right(name: str) -> None:
    with pytest.raises((InvalidInput, MalformedInput)) as refused:
        KEYRING.verify(token(payload=WRONG_CONTENT[name]), Stop, practice=PRACTICE)
    assert CANARY not in str(refused.value)


def test_content_is_not_read_before_the_signature_holds() -> None:
    with pytest.raises(SignatureRefused):
        KEYRING.verify(token(payload=b"stop", key=STRANGER), Stop)


def test_a_statement_of_another_practice_than_expected_is_refused() -> None:
    with pytest.raises(SignatureRefused, match="another practice"):
        KEYRING.verify(GOOD, Stop, practice=PracticeId.random())


def test_one_kind_of_statement_is_never_read_as_another() -> None:
    """Stop and withdrawal have the same fields; only the typ tells them apart."""
    with pytest.raises(SignatureRefused, match="typ"):
        KEYRING.verify(GOOD, Withdrawal)


def decision() -> Decision:
    return Decision(
        practice=PRACTICE,
        issued_at=NOW,
        decision_id=DecisionId.random(),
        proposal_id=STOP.proposal_id,
        proposal_digest="0123456789abcdef" * 4,
        verdict=Verdict.APPROVE,
        operations=(Operation.BOOK,),
        reviewer=PersonId.random(),
        reviewer_kind=ReviewerKind.HUMAN,
        authentication=Authentication(method=AuthenticationMethod.LOCAL_KEY, at=NOW),
        expires_at=NOW.replace(hour=17),
    )


def trigger() -> Trigger:
    return Trigger(
        practice=PRACTICE,
        issued_at=NOW,
        trigger_id=TriggerId.random(),
        kind=TriggerKind.OPERATOR,
        purpose=Purpose.COMMIT,
        operator=PersonId.random(),
        proposal_id=STOP.proposal_id,
        proposal_digest="0123456789abcdef" * 4,
        decision_id=DecisionId.random(),
        expires_at=NOW.replace(hour=10),
    )


@pytest.mark.requirement("AUTH-05")
def test_a_key_that_is_not_trusted_to_decide_cannot_approve() -> None:
    approval = decision()
    by_reviewer = token(header(typ=Decision.typ), approval)
    by_desk = token(header(typ=Decision.typ, kid="desk", alg="ES256"), approval, P256)
    assert KEYRING.verify(by_reviewer, Decision).statement == approval
    with pytest.raises(SignatureRefused, match="may not sign"):
        KEYRING.verify(by_desk, Decision)


@pytest.mark.requirement("TRIG-02")
def test_only_an_operator_surface_can_sign_a_trigger() -> None:
    start = trigger()
    by_desk = token(header(typ=Trigger.typ, kid="desk", alg="ES256"), start, P256)
    by_reviewer = token(header(typ=Trigger.typ), start)
    assert KEYRING.verify(by_desk, Trigger).statement == start
    with pytest.raises(SignatureRefused, match="may not sign"):
        KEYRING.verify(by_reviewer, Trigger)


@pytest.mark.requirement("AUTH-06")
def test_a_persons_own_key_speaks_for_that_person_and_for_nobody_else() -> None:
    own = Keyring(TrustedKeys(keys=(TRUSTED.keys[0].model_copy(update={"person": STOP.operator}),)))
    assert own.verify(GOOD, Stop).statement == STOP
    with pytest.raises(SignatureRefused, match="another person"):
        own.verify(token(payload=STOP.model_copy(update={"operator": PersonId.random()})), Stop)


def test_a_token_may_be_as_long_as_it_says_and_no_longer() -> None:
    with pytest.raises(SignatureRefused, match="compact"):
        KEYRING.verify("x" * (16 * 1024), Stop)
    with pytest.raises(SignatureRefused, match="longer than 16384 bytes"):
        KEYRING.verify("x" * (16 * 1024 + 1), Stop)


@given(st.integers(min_value=0, max_value=len(GOOD) - 1), st.characters(max_codepoint=0x2FF))
def test_changing_any_one_character_is_noticed(position: int, character: str) -> None:
    forged = GOOD[:position] + character + GOOD[position + 1 :]
    if forged != GOOD:
        with pytest.raises(SignatureRefused):
            KEYRING.verify(forged, Stop)


@given(st.text(max_size=200) | st.text("abcXYZ019-_.", max_size=200))
def test_any_text_at_all_is_refused_in_bounded_words(text: str) -> None:
    with pytest.raises(UsageError):
        KEYRING.verify(text, Stop)


def members(key: OKPKey | ECKey, **changes: Any) -> dict[str, Any]:
    return public(key).plain() | changes


@pytest.mark.parametrize(
    "jwk",
    [
        members(ED25519, d=ED25519.as_dict(private=True)["d"]),
        members(P256, d=P256.as_dict(private=True)["d"]),
        members(ED25519, crv="Ed448"),
        members(ED25519, crv="X25519"),
        members(P256, crv="P-384"),
        members(P256, crv="secp256k1"),
        members(ED25519, kty="EC"),
        members(P256, kty="OKP"),
        members(P256, y=None),
        members(ED25519, y=public(P256).y),
        members(ED25519, x="short"),
        members(ED25519, use="enc"),
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
    ],
)
def test_only_a_plain_public_ed25519_or_p256_key_can_be_trusted(jwk: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PublicJwk.model_validate(jwk)


@pytest.mark.requirement("AUTH-07")
def test_a_private_key_in_the_trusted_keys_is_refused_without_repeating_it() -> None:
    secret = str(ED25519.as_dict(private=True)["d"])
    entry = TRUSTED.keys[0].plain() | {"jwk": members(ED25519, d=secret)}
    with pytest.raises(InvalidInput) as refused:
        TrustedKeys.parse(json.dumps({"keys": [entry]}))
    assert secret not in str(refused.value)


def test_a_point_that_is_not_on_the_curve_stops_the_start() -> None:
    crooked = PublicJwk(kty="EC", crv="P-256", x=public(P256).x, y=part(bytes(31) + b"\x01"))
    with pytest.raises(ConfigurationError, match="crooked"):
        Keyring(TrustedKeys(keys=(TRUSTED.keys[0].model_copy(update={"kid": "crooked", "jwk": crooked}),)))


def test_two_keys_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="same kid"):
        TrustedKeys(keys=(TRUSTED.keys[0], TRUSTED.keys[0]))


def test_a_trusted_key_must_say_what_it_may_sign() -> None:
    with pytest.raises(ValidationError):
        TrustedKey(kid="idle", jwk=public(ED25519), types=(), practice=PRACTICE)
