"""A run whose credential is exchanged for tokens: where those come from, and what a run must not let out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import ECKey, RSAKey, import_key

from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.server import SandboxServer
from conformance.engine import run
from conformance.results import Profile, Results
from conformance.target import safety
from conformance.target.access import open_access, telling, wrong_secret
from conformance.target.file import Target, TargetError
from gateway.contracts.adapter import Authorized, Receipt
from gateway.contracts.connection import CredentialUse, Scheme, TokenEndpoint
from gateway.testing.issuer import Issuer
from gateway.testing.wire import Reply, Request, listen

SCHEMES = [Scheme.CLIENT_CREDENTIALS, Scheme.PRIVATE_KEY_JWT, Scheme.JWT_BEARER]
TOKENS = {"vendor": "canary-token-of-vendor", "limited": "canary-token-of-limited"}


def using(scheme: Scheme, url: str = "https://login.example.org/token", **more: str) -> CredentialUse:
    issuer = {} if scheme is Scheme.CLIENT_CREDENTIALS else {"issuer": "client-1"}
    return CredentialUse(scheme=scheme, name="vendor", token=TokenEndpoint(url=url, **issuer, **more))


class Leaks(SandboxAdapter):
    """An adapter that came by a token, and lets it out."""

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        raise RuntimeError(TOKENS["vendor"])


@asynccontextmanager
async def issuing(scheme: Scheme) -> AsyncIterator[tuple[Issuer, list[Request]]]:
    """An issuer on an origin of its own, whose tokens are the ones that the sandbox knows."""
    asked: list[Request] = []
    made: list[Issuer] = []

    async def answer(request: Request) -> Reply:
        asked.append(request)
        reply = made[0].answer(request)
        if reply.status != 200:
            return reply
        client = made[0].client(f"Bearer {json.loads(reply.body)['access_token']}")
        said = {"access_token": TOKENS[str(client)], "token_type": "Bearer", "expires_in": 300}
        return Reply(status=200, headers=reply.headers, body=json.dumps(said).encode())

    async with listen(answer) as url:
        made.append(Issuer(scheme, f"{url}/token"))
        yield made[0], asked


def stated(base_url: str, credential: dict[str, Any], *, secrets: dict[str, Any]) -> dict[str, Any]:
    return {
        "sandbox": True,
        "label": "a sandbox behind tokens",
        "writes": 400,
        "observer": "adapters.sandbox.testing:observer",
        "exhaustive": True,
        "connection": {
            "base_url": base_url,
            "credential": credential,
            "limits": {"request_seconds": 2, "commit_seconds": 3},
        },
        "pool": {
            "subjects": ("patient-1", "patient-2"),
            "practitioner": "practitioner-1",
            "location": "location-1",
            "service": "service-1",
            "first": "2031-05-05T08:00:00Z",
            "slots": 40,
        },
        "secrets": secrets,
    }


async def tried(
    tmp_path: Path, scheme: Scheme, *only: str, adapter: SandboxAdapter | None = None
) -> tuple[Results, list[Request]]:
    """A run against a sandbox that runs already, with a token endpoint elsewhere."""
    async with (
        SandboxServer.start(
            tmp_path / "sandbox.db", credentials=TOKENS["vendor"], observer=TOKENS["limited"], control=True
        ) as server,
        issuing(scheme) as (issuer, asked),
    ):
        for name, secret in issuer.secrets.items():
            (tmp_path / name).write_text(secret)
            (tmp_path / name).chmod(0o600)
        document = stated(
            f"{server.url}/",
            using(scheme, issuer.url).plain(),
            secrets={name: {"file": name} for name in issuer.secrets},
        )
        target = Target.parse(json.dumps(document))
        return await run(adapter or SandboxAdapter(), "sandbox", target, directory=tmp_path, only=only), asked


def judged(results: Results) -> dict[str, str]:
    return {entry.requirement: entry.judgement.value for entry in results.results}


@pytest.mark.parametrize("scheme", [Scheme.CLIENT_CREDENTIALS, Scheme.PRIVATE_KEY_JWT])
async def test_a_run_with_tokens_proves_what_a_run_with_a_fixed_one_does(tmp_path: Path, scheme: Scheme) -> None:
    names = (
        "book.applied",
        "ready.credentials-rejected",
        "ready.forbidden",
        "refused.credentials",
        "refused.forbidden",
        "lost.after-commit.book",
        "conduct.confidential",
    )
    results, asked = await tried(tmp_path, scheme, *names)
    found = judged(results)
    assert {name: found[name] for name in names} == dict.fromkeys(names, "passed")
    assert all(request.path == "/token" for request in asked)
    assert len(asked) >= len(names) - 1


async def test_a_token_that_an_adapter_lets_out_is_a_leak(tmp_path: Path) -> None:
    results, _ = await tried(
        tmp_path, Scheme.CLIENT_CREDENTIALS, "book.applied", "conduct.confidential", adapter=Leaks()
    )
    assert judged(results)["conduct.confidential"] == "failed"


async def test_a_process_of_its_own_fetches_tokens_too(tmp_path: Path) -> None:
    results, _ = await tried(tmp_path, Scheme.CLIENT_CREDENTIALS, "crash.after-commit")
    assert judged(results)["crash.after-commit"] == "passed"


# The way to the token endpoint.


@pytest.mark.parametrize("stated", [None, "https://audience.example.org/"])
async def test_an_assertion_that_takes_the_way_round_is_addressed_as_before(stated: str | None) -> None:
    more = {} if stated is None else {"audience": stated}
    async with (
        issuing(Scheme.PRIVATE_KEY_JWT) as (issuer, _),
        open_access(
            using(Scheme.PRIVATE_KEY_JWT, "https://vendor.example.org/token", **more), issuer.url, None, launched=True
        ) as access,
    ):
        token = access.use.token
        assert token is not None
        assert token.url.startswith("http://127.0.0.1:")
        assert token.url.endswith("/token")
        assert token.url != issuer.url
        assert token.audience == (stated or issuer.url)


async def test_only_token_requests_pass_and_what_they_brought_is_known() -> None:
    async with (
        issuing(Scheme.CLIENT_CREDENTIALS) as (issuer, asked),
        open_access(using(Scheme.CLIENT_CREDENTIALS, issuer.url), None, None, launched=False) as access,
        httpx.AsyncClient() as client,
    ):
        assert access.use.token is not None
        url = access.use.token.url
        assert list(access.granted) == []
        user = httpx.BasicAuth(*issuer.secrets["vendor"].split(":"))
        await client.post(url, data={"grant_type": "client_credentials"}, auth=user)
        await client.post(url, data={"grant_type": "password"}, auth=user)
        with pytest.raises(httpx.ReadError):
            await client.put(url.removesuffix("/token") + "/other")
        assert list(access.granted) == [TOKENS["vendor"]]
        assert [request.method for request in asked] == ["POST", "POST"]


async def test_a_launched_system_without_its_own_endpoint_is_refused() -> None:
    with pytest.raises(TargetError, match="token_url"):
        async with open_access(using(Scheme.CLIENT_CREDENTIALS), None, None, launched=True):
            pass


async def test_a_query_cannot_be_carried() -> None:
    with pytest.raises(TargetError, match="query"):
        async with open_access(
            using(Scheme.CLIENT_CREDENTIALS, "https://login.example.org/token?p=1"), None, None, launched=False
        ):
            pass


async def test_a_credential_that_is_attached_itself_needs_no_way() -> None:
    use = CredentialUse(scheme=Scheme.BEARER, name="vendor")
    async with open_access(use, None, None, launched=True) as access:
        assert access.use is use
        assert list(access.granted) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_wrong_secret_has_the_right_shape_and_is_never_the_same(scheme: Scheme) -> None:
    first, second = wrong_secret(using(scheme)), wrong_secret(using(scheme))
    assert first != second
    if scheme is Scheme.CLIENT_CREDENTIALS:
        assert first.startswith("nobody:")
    else:
        assert import_key(json.loads(first)).is_private


def test_the_parts_of_a_secret_that_tell_it_are_withheld_as_well() -> None:
    assert list(telling(Scheme.BEARER, "abc")) == ["abc"]
    assert list(telling(Scheme.BASIC, "reader:s3cret:x")) == ["reader:s3cret:x", "s3cret:x"]
    assert list(telling(Scheme.CLIENT_CREDENTIALS, "client:s3cret")) == ["client:s3cret", "s3cret"]
    elliptic = ECKey.generate_key("P-384").as_dict(private=True)
    assert list(telling(Scheme.PRIVATE_KEY_JWT, json.dumps(elliptic)))[1:] == [elliptic["d"]]
    key = RSAKey.generate_key(2048)
    members = key.as_dict(private=True)
    assert set(telling(Scheme.JWT_BEARER, json.dumps(members))) > {members["d"], members["p"], members["q"]}
    raw: Any = key.private_key
    pem = raw.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    told = list(telling(Scheme.JWT_BEARER, pem))
    assert pem.splitlines()[3] in told
    assert not any("BEGIN" in line for line in told[1:])


@pytest.mark.parametrize(
    ("url", "told"), [("http://127.0.0.2/token", "deny list"), ("http://10.1.2.3/token", "may not go")]
)
def test_a_token_endpoint_passes_the_checks_of_any_address(tmp_path: Path, url: str, told: str) -> None:
    credential = using(Scheme.CLIENT_CREDENTIALS, url).plain()
    document = json.dumps(stated("http://127.0.0.1:1/", credential, secrets={}))
    with pytest.raises(TargetError, match=rf"token\.url.*{told}"):
        safety.admit(Target.parse(document), profile=Profile.SANDBOX, deny=("127.0.0.2",))
