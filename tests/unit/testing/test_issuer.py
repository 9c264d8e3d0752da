"""Twins whose callers bring access tokens: who is granted one is verified for real, and what a token admits as well."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import Key, import_key
from pydantic import BaseModel

from gateway.contracts.adapter import (
    Authorized,
    Basis,
    Descriptor,
    Exclusivity,
    Idempotency,
    Observation,
    Query,
    Readiness,
    Receipt,
    Request,
)
from gateway.contracts.connection import Connection, CredentialUse, Scheme, TokenEndpoint
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding
from gateway.testing import START, AdapterHarness, Premises, make_connection, make_request
from gateway.testing.engine import Booking
from gateway.testing.issuer import Issuer, Terms, new_secret
from gateway.testing.twin import Call, Twin, document
from gateway.testing.wire import Reply
from gateway.testing.wire import Request as Asked

SCHEMES = [Scheme.CLIENT_CREDENTIALS, Scheme.PRIVATE_KEY_JWT, Scheme.JWT_BEARER]
REFUSED = {401: Code.CREDENTIALS_REJECTED, 403: Code.EXTERNAL_FORBIDDEN}


class Visit(BaseModel):
    reference: str


def diary(scheme: Scheme, **options: Any) -> Twin:
    twin = Twin("diary", scheme=scheme, tokens="/auth/token", **options)

    @twin.route("GET", "/rights")
    def rights(call: Call) -> Reply:
        return document(200 if call.may_write else 403, {})

    @twin.route("POST", "/visits")
    def book(call: Call) -> Reply:
        asked = call.body(Visit)
        when = {"start": START, "end": START.replace(minute=30)}
        booking = Booking(patient="p", participants=("a",), location="l", service="s", reason=None, **when)
        return document(201, {"visit": call.engine.book(asked.reference, booking).appointment.id})

    @twin.route("GET", "/visits/{reference}")
    def look(call: Call) -> Reply:
        return document(200, {"found": len(call.engine.search(call.path["reference"]))})

    return twin


class DiaryAdapter:
    def describe(self, connection: Connection) -> Descriptor:
        return Descriptor(
            adapter="diary",
            operations=(Operation.BOOK,),
            idempotency=Idempotency.UNIQUE,
            exclusivity=Exclusivity.ENFORCED,
            observation=Basis.BY_KEY,
            requests_per_attempt=3,
        )

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        status = (await read.get("rights")).status_code
        return Readiness.proven() if status == 200 else Readiness.refuted(REFUSED[status])

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        reply = await write.post("visits", json={"reference": authorized.native_key()})
        if reply.status_code == 201:
            return Receipt.applied(identifier=reply.json()["visit"])
        return Receipt.refused(REFUSED[reply.status_code])

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        found = (await read.get(f"visits/{query.native_key()}")).json()["found"]
        finding = ObservationFinding.PRESENT if found else ObservationFinding.ABSENT
        return Observation(finding=finding, basis=Basis.BY_KEY)


def using(scheme: Scheme, premises: Premises) -> CredentialUse:
    assert premises.token_url is not None
    issuer = None if scheme is Scheme.CLIENT_CREDENTIALS else "client-1"
    return CredentialUse(scheme=scheme, name="vendor", token=TokenEndpoint(url=premises.token_url, issuer=issuer))


@asynccontextmanager
async def attempt(scheme: Scheme, premises: Premises, secret: str) -> AsyncIterator[AdapterHarness]:
    connection = make_connection(premises.base_url, credential=using(scheme, premises))
    async with AdapterHarness(DiaryAdapter(), make_request(connection), secret=secret) as harness:
        yield harness


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_each_scheme_books_through_the_real_boundary(scheme: Scheme) -> None:
    async with (
        diary(scheme).premises() as premises,
        attempt(scheme, premises, premises.secrets["vendor"]) as harness,
    ):
        assert await harness.readiness() is None
        assert (await harness.commit()).effect is Effect.APPLIED
        assert (await harness.observe()).finding is ObservationFinding.PRESENT
        assert harness.requests == 4


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_limited_secret_is_granted_a_token_that_only_reads(scheme: Scheme) -> None:
    async with (
        diary(scheme).premises() as premises,
        attempt(scheme, premises, premises.secrets["limited"]) as harness,
    ):
        assert await harness.readiness() is Code.EXTERNAL_FORBIDDEN


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_wrong_secret_of_the_right_shape_is_granted_nothing(scheme: Scheme) -> None:
    async with (
        diary(scheme).premises() as premises,
        attempt(scheme, premises, new_secret(scheme, "vendor")) as harness,
    ):
        assert await harness.readiness() is Code.CREDENTIALS_REJECTED
        assert harness.requests == 1


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("left", ["limited", "none"])
async def test_rights_that_end_between_readiness_and_commit_end_with_the_token(scheme: Scheme, left: str) -> None:
    async with (
        diary(scheme).premises() as premises,
        attempt(scheme, premises, premises.secrets["vendor"]) as harness,
    ):
        assert await harness.readiness() is None
        harness.use_secret(premises.secrets.get(left, new_secret(scheme, "vendor")))
        result = await harness.commit()
        code = Code.EXTERNAL_FORBIDDEN if left == "limited" else Code.CREDENTIALS_REJECTED
        assert (result.effect, result.code, result.mutating_requests) == (Effect.REFUSED, code, 1)
        harness.use_secret(premises.secrets["vendor"])
        assert (await harness.observe()).finding is ObservationFinding.ABSENT


async def test_a_twins_token_ends_when_it_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        diary(Scheme.CLIENT_CREDENTIALS, terms=Terms(life_seconds=60)).premises() as premises,
        httpx.AsyncClient() as client,
    ):
        user = httpx.BasicAuth(*premises.secrets["vendor"].split(":"))
        granted = await client.post(str(premises.token_url), data={"grant_type": "client_credentials"}, auth=user)
        assert granted.json()["expires_in"] == 60
        bearer = {"Authorization": f"Bearer {granted.json()['access_token']}"}
        assert (await client.get(f"{premises.base_url}rights", headers=bearer)).status_code == 200
        ended = time.monotonic() + 60
        monkeypatch.setattr("gateway.testing.issuer.time.monotonic", lambda: ended)
        assert (await client.get(f"{premises.base_url}rights", headers=bearer)).status_code == 401


async def test_a_twin_without_token_schemes_has_no_token_endpoint() -> None:
    async with diary(Scheme.BEARER).premises() as premises, httpx.AsyncClient() as client:
        assert premises.token_url is None
        assert (await client.post(f"{premises.base_url}auth/token")).status_code == 401


# What an assertion must hold.

URL = "http://127.0.0.1:1/token"


def asking(form: Mapping[str, str], **headers: str) -> Asked:
    headers = {"content-type": "application/x-www-form-urlencoded"} | headers
    return Asked(method="POST", path="/token", query={}, headers=headers, body=urlencode(form).encode())


def answered(issuer: Issuer, request: Asked) -> tuple[int, str | None]:
    reply = issuer.answer(request)
    return reply.status, json.loads(reply.body).get("error")


def client_form(issuer: Issuer, **changes: Any) -> dict[str, str]:
    """What a client sends who says otherwise, `changes`; a timedelta is so long from now."""
    key: Key = import_key(json.loads(issuer.secrets["vendor"]))
    now = int(time.time())
    claims: dict[str, Any] = {"iss": "c", "sub": "c", "aud": issuer.url, "iat": now, "exp": now + 300, "jti": "n-1"}
    for name, value in changes.items():
        claims[name] = now + int(value.total_seconds()) if isinstance(value, timedelta) else value
    service = issuer.scheme is Scheme.JWT_BEARER
    algorithm = "RS256" if service else "ES384"
    said = {name: value for name, value in claims.items() if value is not None}
    signed = jwt.encode({"alg": algorithm}, said, key, algorithms=[algorithm])
    if service:
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": signed}
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return {"grant_type": "client_credentials", "client_assertion_type": kind, "client_assertion": signed}


@pytest.fixture(scope="module", params=[Scheme.PRIVATE_KEY_JWT, Scheme.JWT_BEARER])
def issuer(request: pytest.FixtureRequest) -> Issuer:
    return Issuer(request.param, URL)


def invalid(issuer: Issuer) -> tuple[int, str]:
    return 400, "invalid_grant" if issuer.scheme is Scheme.JWT_BEARER else "invalid_client"


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "http://elsewhere.test/token"},
        {"aud": None},
        {"iss": None},
        {"exp": None},
        {"exp": 1},
        {"exp": timedelta(seconds=4000)},
        {"iat": timedelta(seconds=400)},
        {"iat": None},
        {"jti": None},
    ],
    ids=["elsewhere", "nowhere", "nobody", "endless", "over", "too long", "too early", "undated", "unnamed"],
)
def test_an_assertion_that_does_not_hold_is_refused(issuer: Issuer, change: dict[str, Any]) -> None:
    change = {"jti": f"n-{time.monotonic_ns()}"} | change
    assert answered(issuer, asking(client_form(issuer, **change))) == invalid(issuer)


def test_an_assertion_counts_once(issuer: Issuer) -> None:
    form = client_form(issuer, jti="n-once")
    assert answered(issuer, asking(form)) == (200, None)
    assert answered(issuer, asking(form)) == invalid(issuer)


@pytest.mark.parametrize("scheme", [Scheme.PRIVATE_KEY_JWT, Scheme.JWT_BEARER])
def test_an_assertion_of_another_client_than_the_expected_is_refused(scheme: Scheme) -> None:
    issuer = Issuer(scheme, URL, Terms(client_id="c"))
    other = client_form(issuer, iss="d", sub="d", jti="n-other")
    assert answered(issuer, asking(other)) == invalid(issuer)
    assert answered(issuer, asking(client_form(issuer))) == (200, None)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("asked", "error"),
    [("a b", None), ("b a", None), ("a", "invalid_scope"), ("a b c", "invalid_scope"), (None, "invalid_scope")],
)
def test_the_scope_that_is_expected_must_be_asked_for_where_the_scheme_says_it(
    scheme: Scheme, asked: str | None, error: str | None
) -> None:
    issuer = Issuer(scheme, URL, Terms(scope="a b"))
    headers: dict[str, str] = {}
    if scheme is Scheme.JWT_BEARER:
        form = client_form(issuer, scope=asked)
    elif scheme is Scheme.PRIVATE_KEY_JWT:
        form = client_form(issuer, scope="a b")  # within the assertion it says nothing
    else:
        form = {"grant_type": "client_credentials"}
        headers["authorization"] = "Basic " + base64.b64encode(issuer.secrets["vendor"].encode()).decode()
    if scheme is not Scheme.JWT_BEARER and asked is not None:
        form |= {"scope": asked}
    assert answered(issuer, asking(form, **headers)) == ((200, None) if error is None else (400, error))


def test_a_client_that_signs_for_another_is_refused() -> None:
    issuer = Issuer(Scheme.PRIVATE_KEY_JWT, URL)
    assert answered(issuer, asking(client_form(issuer, sub="other"))) == (400, "invalid_client")


def test_an_audience_of_its_own_is_the_only_one() -> None:
    issuer = Issuer(Scheme.PRIVATE_KEY_JWT, URL, Terms(audience="https://login.example.org/"))
    assert answered(issuer, asking(client_form(issuer))) == (400, "invalid_client")
    assert answered(issuer, asking(client_form(issuer, aud="https://login.example.org/", jti="n-2"))) == (200, None)


def test_what_is_no_token_request_is_refused(issuer: Issuer) -> None:
    form = client_form(issuer, jti="n-form")
    assert answered(issuer, asking(form, **{"content-type": "application/json"})) == (400, "invalid_request")
    assert answered(issuer, asking(form | {"grant_type": "password"}))[1] == "unsupported_grant_type"
    twice = asking(form)
    twice = Asked(method="POST", path="/", query={}, headers=twice.headers, body=twice.body + b"&grant_type=a")
    assert answered(issuer, twice) == (400, "invalid_request")
    got = Asked(method="GET", path="/", query={}, headers=twice.headers, body=b"")
    assert answered(issuer, got) == (400, "invalid_request")


@pytest.mark.parametrize("shown", ["", "Basic !", "Basic " + base64.b64encode(b"vendor:wrong").decode(), "Bearer x"])
def test_a_client_without_its_secret_is_refused(shown: str) -> None:
    issuer = Issuer(Scheme.CLIENT_CREDENTIALS, URL)
    form = {"grant_type": "client_credentials"}
    assert answered(issuer, asking(form, authorization=shown)) == (401, "invalid_client")
    assert issuer.client("Bearer x") is None
    assert answered(issuer, asking({"grant_type": "password"}, authorization=shown))[1] == "unsupported_grant_type"
