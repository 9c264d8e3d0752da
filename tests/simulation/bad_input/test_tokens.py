"""Tokens that are no statement of anybody whom the practice trusts: refused before anything of them is believed."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from itertools import cycle
from typing import Any

import pytest

from gateway.contracts.failures import Code
from gateway.errors import InvalidInput, MalformedInput, SignatureRefused
from gateway.surfaces.keys import LocalKey

pytestmark = pytest.mark.asyncio(loop_scope="module")

Forge = Callable[[Any, str, str], str]
"""(stage, call, a good token) → a bad one."""


def _parts(token: str, **changed: str) -> str:
    names = ("header", "payload", "signature")
    return ".".join(changed.get(name, part) for name, part in zip(names, token.split("."), strict=True))


def _reheaded(**header: Any) -> Forge:
    return lambda stage, call, token: stage.signed(call, {}, **header).split(".")[0] + token[token.index(".") :]


def _raw_header(text: str) -> Forge:
    def forge(stage: Any, call: str, token: str) -> str:
        from base64 import urlsafe_b64encode

        content = text.replace("CANARY", stage.canary).encode()
        return _parts(token, header=urlsafe_b64encode(content).rstrip(b"=").decode())

    return forge


def _public_key_as_secret(stage: Any, call: str, token: str) -> str:
    """HMAC confusion: the trusted public key, which is no secret, used as one."""
    from base64 import urlsafe_b64encode

    header = stage.signed(call, {}, alg="HS256").split(".")[0]
    content = f"{header}.{token.split('.')[1]}"
    key = stage.local.surface("operator").key.key.as_dict(private=False)["x"]
    code = hmac.new(key.encode(), content.encode(), hashlib.sha256).digest()
    return f"{content}.{urlsafe_b64encode(code).rstrip(b'=').decode()}"


def _another_key(stage: Any, call: str, token: str) -> str:
    """A key of the right name that nobody trusts."""
    from joserfc.jws import serialize_compact

    from gateway.contracts.statements import Trigger

    stranger = LocalKey.generate("operator")
    header = {"alg": stranger.algorithm, "kid": "operator", "typ": Trigger.typ}
    payload = b'{"name":"%s"}' % stage.canary.encode()
    return str(serialize_compact(header, payload, stranger.key, algorithms=[stranger.algorithm]))


def _other_payload(stage: Any, call: str, token: str) -> str:
    return _parts(token, payload=stage.signed(call, {"name": stage.canary}).split(".")[1])


TOKENS: dict[str, tuple[Forge, str]] = {
    "nothing": (lambda stage, call, token: "", "compact JWS"),
    "words": (lambda stage, call, token: f"book {stage.canary} at nine", "compact JWS"),
    "JSON": (lambda stage, call, token: f'{{"name":"{stage.canary}"}}', "compact JWS"),
    "two parts": (lambda stage, call, token: token.rpartition(".")[0], "compact JWS"),
    "four parts": (lambda stage, call, token: f"{token}.{stage.canary}", "compact JWS"),
    "no signature": (lambda stage, call, token: token.rpartition(".")[0] + ".", "compact JWS"),
    "white space": (lambda stage, call, token: token + "\n", "compact JWS"),
    "other letters": (lambda stage, call, token: "é" + token[1:], "compact JWS"),
    "padding": (lambda stage, call, token: token + "=", "compact JWS"),
    "lone surrogate": (lambda stage, call, token: "\ud800." + token, "compact JWS"),
    "a length no base64 has": (lambda stage, call, token: _parts(token, header="abcde"), "base64url"),
    "stray bits": (lambda stage, call, token: _parts(token, signature="AB"), "stray bits"),
    "too long": (lambda stage, call, token: token + stage.canary * 1000, "longer than"),
    "header: not JSON": (_raw_header("CANARY"), "protected header"),
    "header: NaN": (_raw_header('{"alg":NaN,"name":"CANARY"}'), "protected header"),
    "header: a member twice": (_raw_header('{"alg":"none","alg":"CANARY"}'), "protected header"),
    "header: a list": (_raw_header('["CANARY"]'), "protected header"),
    "header: deep": (_raw_header("[" * 200 + "]" * 200), "protected header"),
    "header: nothing in it": (_reheaded(alg=None, kid=None, typ=None), "exactly alg, kid and typ"),
    "header: no kid": (_reheaded(kid=None), "exactly alg, kid and typ"),
    "header: crit": (_reheaded(crit=["name"]), "exactly alg, kid and typ"),
    "header: b64": (_reheaded(b64=False), "exactly alg, kid and typ"),
    "header: an embedded key": (_reheaded(jwk={"kty": "oct", "k": "AA"}), "exactly alg, kid and typ"),
    "header: a key's address": (_reheaded(jku="https://x.example/keys"), "exactly alg, kid and typ"),
    "header: numbers": (_reheaded(alg=17), "must be strings"),
    "alg: none": (_reheaded(alg="none"), "alg"),
    "alg: HMAC": (_reheaded(alg="HS256"), "alg"),
    "alg: HMAC with the public key": (_public_key_as_secret, "alg"),
    "alg: another curve's": (_reheaded(alg="ES256"), "alg"),
    "alg: its old name": (_reheaded(alg="EdDSA"), "alg"),
    "kid: unknown": (_reheaded(kid="nightjar"), "kid"),
    "kid: a path": (_reheaded(kid="../keys/operator"), "kid"),
    "typ: plain": (_reheaded(typ="JWT"), "typ"),
    "typ: another statement's": (_reheaded(typ="gateway-governance+jws"), "typ"),
    "signed by a stranger": (_another_key, "signature"),
    "signature of zeros": (lambda stage, call, token: _parts(token, signature="A" * 86), "signature"),
    "signature cut": (lambda stage, call, token: token[:-2], "signature"),
    "payload altered": (_other_payload, "signature"),
}


@pytest.mark.requirement("TRIG-02", "POLICY-06", "FAIL-01")
@pytest.mark.parametrize("name", TOKENS)
async def test_a_bad_trigger_token_is_rejected(stage: Any, name: str) -> None:
    forge, _ = TOKENS[name]
    good = stage.signed("commit", await stage.valid("commit"))
    await stage.meets("commit", forge(stage, "commit", good), Code.TRIGGER_UNSIGNED, "trusted operator surface")


@pytest.mark.requirement("AUTH-01", "POLICY-06")
@pytest.mark.parametrize(
    ("name", "call"), list(zip(TOKENS, cycle(("stop", "withdraw", "resolve", "decide")), strict=False))
)
async def test_a_bad_statement_token_is_refused(stage: Any, name: str, call: str) -> None:
    forge, names = TOKENS[name]
    good = stage.signed(call, await stage.valid(call))
    wrong_kind = name == "signed by a stranger"
    await stage.meets(call, forge(stage, call, good), SignatureRefused, "typ" if wrong_kind else names)


@pytest.mark.requirement("AUTH-01", "AUTH-07")
@pytest.mark.parametrize(("call", "by"), [("decide", "operator"), ("stop", "reviewer"), ("resolve", "reviewer")])
async def test_a_key_signs_only_what_it_is_trusted_for(stage: Any, call: str, by: str) -> None:
    token = stage.signed(call, await stage.valid(call), by=by)
    await stage.meets(call, token, SignatureRefused, "this key may not sign")


CONTENTS: dict[str, tuple[Callable[[dict[str, Any], str], Any], str, str]] = {
    "not JSON": (lambda good, canary: canary.encode(), "", "not JSON"),
    "empty": (lambda good, canary: b" ", "", "not JSON"),
    "NaN": (lambda good, canary: {**good, "expires_at": float("nan")}, "", "NaN"),
    "a member twice": (lambda good, canary: b'{"practice":"%s","practice":1}' % canary.encode(), "", "twice"),
    "too deep": (lambda good, canary: b"[" * 40 + b"]" * 40, "", "nested deeper"),
    "not UTF-8": (lambda good, canary: b'{"practice":"\xff"}', "", "UTF-8"),
    "white space between": (lambda good, canary: b'{ "practice": "%s" }' % canary.encode(), "practice", ""),
    "a batch": (lambda good, canary: [good, good], "document", ""),
    "nothing in it": (lambda good, canary: {}, "practice: missing", ""),
    "an unknown field": (lambda good, canary: {**good, canary: canary}, "*: unknown member", ""),
    "an urgent flag": (lambda good, canary: {**good, "urgent": canary}, "*: unknown member", ""),
    "no practice": (lambda good, canary: {**good, "practice": None}, "practice", ""),
    "a name for a practice": (lambda good, canary: {**good, "practice": canary}, "practice", ""),
    "a naive instant": (lambda good, canary: {**good, "issued_at": "2026-01-05T09:00:00"}, "issued_at", ""),
    "a zoned instant": (lambda good, canary: {**good, "issued_at": "2026-01-05T09:00:00+01:00"}, "issued_at", ""),
    "a number for an instant": (lambda good, canary: {**good, "issued_at": 1767603600}, "issued_at", ""),
    "words for an instant": (lambda good, canary: {**good, "issued_at": canary}, "issued_at", ""),
}
"""(payload, what InvalidInput names, what MalformedInput names)."""


@pytest.mark.requirement("TRIG-05", "TRIG-09", "TRIG-10", "POLICY-06", "CTX-02", "ABORT-02")
@pytest.mark.parametrize("name", CONTENTS)
async def test_a_signed_trigger_of_other_content_is_rejected(stage: Any, name: str) -> None:
    change, _, _ = CONTENTS[name]
    token = stage.signed("commit", change(await stage.valid("commit"), stage.canary))
    await stage.meets("commit", token, Code.TRIGGER_UNKNOWN, "known kind and purpose")


@pytest.mark.requirement("CTX-02", "POLICY-06", "TRIG-10")
@pytest.mark.parametrize(("name", "call"), list(zip(CONTENTS, cycle(("decide", "stop", "resolve")), strict=False)))
async def test_a_signed_statement_of_other_content_is_refused(stage: Any, name: str, call: str) -> None:
    change, field, malformed = CONTENTS[name]
    token = stage.signed(call, change(await stage.valid(call), stage.canary))
    await stage.meets(call, token, MalformedInput if malformed else InvalidInput, malformed or field)


@pytest.mark.requirement("CTX-02")
async def test_a_statement_that_is_not_spelt_canonically_is_refused(stage: Any) -> None:
    from json import dumps

    token = stage.signed("stop", dumps(await stage.valid("stop")).encode())
    await stage.meets("stop", token, MalformedInput, "RFC 8785")
