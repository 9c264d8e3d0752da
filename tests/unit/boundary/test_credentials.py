"""Where secrets come from, and what becomes of them."""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.boundary.credentials import (
    CredentialUnavailableError,
    EnvironmentSecrets,
    FileSecrets,
    _load,
    authorization_header,
    gateway_credential_sources,
    identified,
)
from gateway.contracts.connection import CredentialUse, Scheme
from gateway.errors import ConfigurationError
from tests.peers.authority import Authority

BEARER = CredentialUse(scheme=Scheme.BEARER, name="clinic-calendar")
BASIC = CredentialUse(scheme=Scheme.BASIC, name="clinic-calendar")
NOBODY = CredentialUse(scheme=Scheme.NONE)
CERTIFICATE = CredentialUse(scheme=Scheme.CLIENT_CERTIFICATE, name="clinic-calendar")


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


# -- the client's end of TLS ----------------------------------------------------------------------------


def met(client: ssl.SSLContext, authority: Authority, clients: Authority | None = None) -> tuple[bytes | None, Any]:
    """Shake hands in memory with a server of this authority: the certificate that it was shown, and the protocol that
    both speak. Raises `ssl.SSLError` where one of the two refuses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.chain)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if clients is not None:
        context.load_verify_locations(clients.chain)
        context.verify_mode = ssl.CERT_OPTIONAL
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(there, back, server_side=True)
    ours = client.wrap_bio(back, there, server_hostname="localhost")
    for _ in range(3):
        for end in (ours, server):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return server.getpeercert(binary_form=True), server.selected_alpn_protocol()


def certificate(authority: Authority) -> bytes:
    text = authority.chain.read_text()
    return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE-----") :])


@pytest.mark.parametrize(("protocols", "agreed"), [(("http/1.1",), "http/1.1"), ((), None)])
async def test_a_client_shows_its_certificate_and_offers_what_it_speaks(
    authority: Authority, authority_of_another: Authority, protocols: tuple[str, ...], agreed: str | None
) -> None:
    secret = Fixed(authority_of_another.chain.read_text())
    context = await identified(CERTIFICATE, [secret], authority.client, protocols)
    assert met(context, authority, authority_of_another) == (certificate(authority_of_another), agreed)


@pytest.mark.parametrize("use", [NOBODY, BEARER], ids=["none", "bearer"])
async def test_a_client_of_another_scheme_shows_no_certificate(
    authority: Authority, authority_of_another: Authority, use: CredentialUse
) -> None:
    context = await identified(use, [Fixed(authority_of_another.chain.read_text())], authority.client, ())
    assert met(context, authority, authority_of_another) == (None, None)


async def test_a_client_trusts_every_authority_of_the_practice_and_no_other(
    authority: Authority, tmp_path: Path
) -> None:
    second = Authority.found(tmp_path)
    both = ssl.create_default_context(cafile=authority.chain)
    both.load_verify_locations(second.chain)
    context = await identified(NOBODY, (), both, ())
    met(context, authority)
    assert context.get_ca_certs(binary_form=True) == both.get_ca_certs(binary_form=True)
    assert len(context.get_ca_certs()) == 2
    for trust in (authority.client, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)):
        with pytest.raises(ssl.SSLCertVerificationError):
            met(await identified(NOBODY, (), trust, ()), second)


async def test_a_client_without_an_authority_of_its_own_trusts_the_systems(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.chain))
    context = await identified(NOBODY, (), None, ())
    met(context, authority)
    with pytest.raises(ssl.SSLCertVerificationError):
        met(context, Authority.found(tmp_path))


async def test_a_certificate_may_fill_eight_kibibytes_and_no_more(authority: Authority) -> None:
    whole = authority.chain.read_text()
    full = whole + "\n" * (8192 - len(whole))
    await identified(CERTIFICATE, [Fixed(full)], None, ())
    for secret in (full + "\n", 7, None):
        with pytest.raises(CredentialUnavailableError):
            await identified(CERTIFICATE, [Fixed(secret)], None, ())


def test_a_locked_key_is_tried_with_no_word_and_asked_for_at_no_terminal(authority: Authority) -> None:
    words: list[Any] = []

    class Watched(ssl.SSLContext):
        def load_cert_chain(self, certfile: Any, keyfile: Any = None, password: Any = None) -> None:
            words.append(password())
            super().load_cert_chain(certfile, keyfile, password)

    _load(Watched(ssl.PROTOCOL_TLS_CLIENT), authority.chain.read_bytes())
    assert words == [b""]
