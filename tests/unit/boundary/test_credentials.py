"""Where secrets come from, and what becomes of them."""

from __future__ import annotations

import os
from pathlib import Path

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
    def __init__(self, secret: str) -> None:
        self._secret = secret

    async def secret(self, name: str) -> str:
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


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 9000])
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
    with pytest.raises(ConfigurationError, match=option):
        gateway_credential_sources(name, {"unheard-of": "x"}, tmp_path)
