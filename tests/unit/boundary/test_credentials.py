"""Where secrets come from, and what becomes of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gateway.boundary.credentials import (
    CredentialUnavailableError,
    EnvironmentSecrets,
    FileSecrets,
    authorization_header,
    gateway_credential_sources,
)
from gateway.contracts.connection import CredentialUse, Scheme
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
