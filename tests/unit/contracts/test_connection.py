"""A connection: sealed address, hosts and credentials by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.contracts.connection import Connection
from gateway.errors import InvalidInput


def connection(examples: dict[str, dict[str, Any]], **changes: Any) -> Connection:
    return Connection.parse(json.dumps(examples["Connection"] | changes))


@pytest.mark.requirement("ADAPT-07")
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"base_url": "http://user:secret@127.0.0.1:8080/"}, "document"),
        ({"credential": {"scheme": "basic", "name": "calendar", "secret": "hunter2"}}, "credential.*"),
        ({"credential": {"scheme": "basic", "name": "calendar", "password": "hunter2"}}, "credential.*"),
        ({"password": "hunter2"}, "*"),
    ],
)
def test_a_connection_has_no_room_for_a_secret(
    change: dict[str, Any], field: str, examples: dict[str, dict[str, Any]]
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        connection(examples, **change)
    assert refusal.value.faults[0].field == field
    assert "hunter2" not in repr(refusal.value)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "ftp://127.0.0.1:8080/"},
        {"base_url": "file:///etc/passwd"},
        {"base_url": "127.0.0.1:8080"},
        {"base_url": "http://127.0.0.1:8081/"},
        {"base_url": "http://127.0.0.1/"},
        {"hosts": []},
        {"hosts": ["127.0.0.1"]},
        {"hosts": ["EXAMPLE.org:443", "127.0.0.1:8080"]},
        {"hosts": ["*:8080", "127.0.0.1:8080"]},
        {"network": "anywhere"},
        {"zone": "Mars/Olympus"},
        {"limits": {"reply_bytes": 10**9}},
        {"limits": {"commit_seconds": 0}},
        {"credential": {"scheme": "basic"}},
        {"credential": {"scheme": "none", "name": "calendar"}},
    ],
)
def test_a_contradictory_or_unbounded_connection_is_refused(
    change: dict[str, Any], examples: dict[str, dict[str, Any]]
) -> None:
    with pytest.raises(InvalidInput):
        connection(examples, **change)


def test_the_port_may_be_implied_by_the_scheme_but_is_stated_in_the_hosts(examples: dict[str, dict[str, Any]]) -> None:
    assert connection(examples, base_url="https://calendar.example.org/dav", hosts=["calendar.example.org:443"])
    assert connection(examples, base_url="http://calendar.example.org/dav", hosts=["calendar.example.org:80"])


def test_a_bad_setting_is_named_by_its_field_and_not_by_its_own_name(examples: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        connection(examples, settings={"Given Family": "x"})
    assert refusal.value.faults[0].field == "settings.*"
    assert "Given" not in repr(refusal.value)


FETCHED = {"scheme": "client-credentials", "name": "ehr", "token": {"url": "https://login.example.org/token"}}
HOSTS = ["127.0.0.1:8080", "login.example.org:443"]


def asking(scheme: str, **token: str) -> dict[str, Any]:
    return {"scheme": scheme, "name": "ehr", "token": {"url": "https://login.example.org/token", **token}}


@pytest.mark.parametrize(
    "use",
    [
        asking("client-credentials"),
        asking("client-credentials", scope="athena/service/Athenanet.MDP.*"),
        asking("client-credentials", url="https://login.example.org:443/tenant/oauth2/v2.0/token"),
        asking("private-key-jwt", issuer="client-1", scope="system/Appointment.cruds system/Slot.rs", key_id="2026-1"),
        asking(
            "jwt-bearer", issuer="gateway@project.example", subject="calendar@practice.example", audience="https://x"
        ),
    ],
)
def test_a_token_endpoint_is_stated_with_what_its_scheme_asks(
    use: dict[str, Any], examples: dict[str, dict[str, Any]]
) -> None:
    sealed = connection(examples, hosts=HOSTS, credential=use)
    assert sealed.credential.scheme.fetches
    assert sealed.credential.token is not None
    assert (sealed.credential.token.host, sealed.credential.requests) == ("login.example.org:443", 1)


@pytest.mark.parametrize(
    "use",
    [
        {"scheme": "client-credentials", "name": "ehr"},
        {"scheme": "private-key-jwt", "name": "ehr"},
        FETCHED | {"scheme": "bearer"},
        FETCHED | {"scheme": "basic"},
        {"scheme": "none", "token": FETCHED["token"]},
        {"scheme": "client-credentials", "token": FETCHED["token"]},
        asking("client-credentials", issuer="client-1"),
        asking("client-credentials", audience="https://login.example.org/"),
        asking("client-credentials", key_id="2026-1"),
        asking("private-key-jwt"),
        asking("jwt-bearer"),
        asking("private-key-jwt", issuer="client-1", subject="somebody"),
        asking("client-credentials", subject="somebody"),
        asking("client-credentials", secret="hunter2"),
        asking("client-credentials", scope=""),
        asking("client-credentials", scope="two  spaces"),
        asking("client-credentials", scope='quoted"'),
        asking("client-credentials", url="https://elsewhere.example.org/token"),
        asking("client-credentials", url="http://login.example.org/token"),
        asking("client-credentials", url="https://user:hunter2@login.example.org/token"),
        asking("client-credentials", url="https://login.example.org/token#part"),
        asking("client-credentials", url="ftp://login.example.org/token"),
        asking("client-credentials", url="https://login.example.org/to ken"),
        asking("client-credentials", url="https://login.example.org:port/token"),
    ],
)
def test_a_token_endpoint_that_does_not_fit_is_refused(
    use: dict[str, Any], examples: dict[str, dict[str, Any]]
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        connection(examples, hosts=HOSTS, credential=use)
    assert "hunter2" not in repr(refusal.value)


def test_a_credential_that_is_attached_itself_needs_no_request_more(examples: dict[str, dict[str, Any]]) -> None:
    assert connection(examples, credential={"scheme": "bearer", "name": "ehr"}).credential.requests == 0
