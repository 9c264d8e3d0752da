"""Where secrets come from, and what becomes of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from gateway.boundary.credentials import (
    CredentialUnavailableError,
    EnvironmentSecrets,
    FileSecrets,
    authorization_header,
    gateway_credential_sources,
    place_of,
)
from gateway.config import PluginUse
from gateway.contracts.connection import CredentialUse, Scheme, TokenEndpoint
from gateway.errors import ConfigurationError

BEARER = CredentialUse(scheme=Scheme.BEARER, name="clinic-calendar")
BASIC = CredentialUse(scheme=Scheme.BASIC, name="clinic-calendar")


class Fixed:
    def __init__(self, secret: Any) -> None:
        self._secret = secret

    async def secret(self, name: str) -> Any:
        assert name == "clinic-calendar"
        return self._secret


def write(directory: Path, content: bytes = b"token\n", mode: int = 0o600) -> FileSecrets:
    path = directory / "clinic-calendar"
    path.write_bytes(content)
    path.chmod(mode)
    return FileSecrets(directory)


async def test_an_owner_only_file_gives_its_secret_afresh_each_time(tmp_path: Path) -> None:
    source = write(tmp_path)
    assert await source.secret("clinic-calendar") == "token"
    write(tmp_path, b"rotated")
    assert await source.secret("clinic-calendar") == "rotated"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o777, 0o610])
async def test_a_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(CredentialUnavailableError):
        await write(tmp_path, mode=mode).secret("clinic-calendar")


async def test_links_pipes_directories_and_absent_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "clinic-calendar")
    (tmp_path / "directory").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("link", "directory", "pipe", "absent"):
        with pytest.raises(CredentialUnavailableError):
            await FileSecrets(tmp_path).secret(name)


async def test_a_secret_may_fill_eight_kibibytes(tmp_path: Path) -> None:
    assert await write(tmp_path, b"x" * 8192).secret("clinic-calendar") == "x" * 8192


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 8193])
async def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CredentialUnavailableError):
        await write(tmp_path, content).secret("clinic-calendar")


async def test_the_environment_is_asked_by_prefix_and_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINIC_CLINIC_CALENDAR", "token")
    assert await EnvironmentSecrets("CLINIC_").secret("clinic-calendar") == "token"
    with pytest.raises(CredentialUnavailableError):
        await EnvironmentSecrets("OTHER_").secret("clinic-calendar")


async def test_each_scheme_has_its_header() -> None:
    assert await authorization_header(CredentialUse(scheme=Scheme.NONE), ()) is None
    assert await authorization_header(BEARER, [Fixed("abc.DEF-123")]) == "Bearer abc.DEF-123"
    assert await authorization_header(BASIC, [Fixed("user:pass word")]) == "Basic dXNlcjpwYXNzIHdvcmQ="


@pytest.mark.parametrize("secret", ["", "two words", "line\r\nX-Evil: 1", "ümlaut", 7])
async def test_a_bearer_token_that_would_break_the_header_is_refused(secret: str) -> None:
    with pytest.raises(CredentialUnavailableError):
        await authorization_header(BEARER, [Fixed(secret)])


@pytest.mark.parametrize("secret", ["nocolon", ":word", "user:wo\nrd"])
async def test_a_malformed_user_and_password_is_refused(secret: str) -> None:
    with pytest.raises(CredentialUnavailableError):
        await authorization_header(BASIC, [Fixed(secret)])


async def test_sources_are_asked_in_order_and_their_errors_go_no_further(tmp_path: Path) -> None:
    class Broken:
        async def secret(self, name: str) -> str:
            raise RuntimeError("canary-secret")

    assert await authorization_header(BEARER, [Broken(), Fixed("second"), Fixed("third")]) == "Bearer second"
    with pytest.raises(CredentialUnavailableError) as raised:
        await authorization_header(BEARER, [Broken(), FileSecrets(tmp_path)])
    assert "canary" not in repr(raised.value)
    assert raised.value.__context__ is None


@pytest.mark.parametrize(("name", "option"), [("environment", "prefix"), ("file", "directory")])
def test_gateway_credential_sources_answers_to_two_names_and_their_own_option(
    tmp_path: Path, name: str, option: str
) -> None:
    assert set(gateway_credential_sources(name, {option: "x"}, tmp_path)) == {name}
    assert gateway_credential_sources("vault", {option: "x"}, tmp_path) == {}
    with pytest.raises(ConfigurationError, match=f"source {name} knows one option, {option}"):
        gateway_credential_sources(name, {"unheard-of": "x"}, tmp_path)


@pytest.mark.parametrize(
    ("options", "variable"),
    [({}, "GATEWAY_SECRET_CLINIC_CALENDAR"), ({"prefix": "CLINIC_"}, "CLINIC_CLINIC_CALENDAR")],
)
async def test_the_environments_prefix_is_the_configured_one_or_the_gateways_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], variable: str
) -> None:
    monkeypatch.setenv(variable, "token")
    source = gateway_credential_sources("environment", options, tmp_path)["environment"]
    assert await source.secret("clinic-calendar") == "token"


@pytest.mark.parametrize(("options", "directory"), [({}, "secrets"), ({"directory": "kept"}, "kept")])
async def test_secret_files_lie_in_the_configured_directory_or_in_secrets(
    tmp_path: Path, options: dict[str, str], directory: str
) -> None:
    (tmp_path / directory).mkdir()
    write(tmp_path / directory)
    assert await gateway_credential_sources("file", options, tmp_path)["file"].secret("clinic-calendar") == "token"


CLIENT = {"scheme": Scheme.CLIENT_CREDENTIALS, "token": TokenEndpoint(url="https://login.example.org/token")}
SIGNED = {
    "scheme": Scheme.PRIVATE_KEY_JWT,
    "token": TokenEndpoint(url="https://login.example.org/token", issuer="our-client"),
}


@pytest.mark.requirement("ADAPT-07")
@pytest.mark.parametrize(
    ("use", "fit", "unfit"),
    [
        ({"scheme": Scheme.BASIC}, "user:password", "password"),
        ({"scheme": Scheme.BEARER}, "token", "two words"),
        (CLIENT, "client:secret", "secret"),
        (SIGNED, ECKey.generate_key("P-384").as_pem(private=True).decode(), "secret"),
        ({"scheme": Scheme.CLIENT_CERTIFICATE}, None, "secret"),
    ],
    ids=["basic", "bearer", "client-credentials", "private-key-jwt", "client-certificate"],
)
async def test_a_secret_is_looked_for_and_judged_as_its_scheme_takes_it(
    practice_at: Any, authority: Any, tmp_path: Path, use: dict[str, Any], fit: str | None, unfit: str
) -> None:
    hosts = ("localhost:443", "login.example.org:443")
    practice = practice_at("https://localhost/", hosts, credential=CredentialUse(name="clinic-calendar", **use))
    practice.credentials, name = (FileSecrets(tmp_path),), practice.connection.connection_id
    assert not await practice.boundary().is_unlockable(name)
    good = (fit or authority.chain.read_text()).encode()
    for content, mode, expected in ((good, 0o600, True), (good, 0o644, False), (unfit.encode(), 0o600, False)):
        write(tmp_path, content, mode)
        assert await practice.boundary().is_unlockable(name) is expected


async def test_a_connection_without_a_credential_needs_no_secret(practice_at: Any) -> None:
    practice = practice_at("https://localhost/", ("localhost:443",))
    assert await practice.boundary().is_unlockable(practice.connection.connection_id)


def test_people_are_told_where_each_source_looks(tmp_path: Path) -> None:
    for use, place in (
        (PluginUse(name="environment"), "environment variable GATEWAY_SECRET_CLINIC_CALENDAR"),
        (PluginUse(name="environment", options={"prefix": "X_"}), "environment variable X_CLINIC_CALENDAR"),
        (PluginUse(name="file"), f"{tmp_path}/secrets/clinic-calendar, mode 600"),
        (PluginUse(name="file", options={"directory": "../x"}), f"{tmp_path.parent}/x/clinic-calendar, mode 600"),
        (PluginUse(name="vault"), "what vault keeps as clinic-calendar"),
    ):
        assert place_of(use, tmp_path, "clinic-calendar") == place
