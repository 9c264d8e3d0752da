"""Key files: outside the gateway's home, for their owner's eyes only."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from gateway.contracts.references import PracticeId
from gateway.errors import ConfigurationError
from gateway.surfaces.keys import Algorithm, LocalKey

PRACTICE = PracticeId.random()
TYPES = ("gateway-decision+jws",)


@pytest.fixture(params=["Ed25519", "ES256"])
def algorithm(request: pytest.FixtureRequest) -> Algorithm:
    name: Algorithm = request.param
    return name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reviewer.jwk"


def test_a_saved_key_is_the_same_key_when_loaded(path: Path, algorithm: Algorithm) -> None:
    key = LocalKey.generate("reviewer", algorithm)
    key.save(path)
    loaded = LocalKey.load(path)
    assert (loaded.kid, loaded.algorithm) == ("reviewer", algorithm)
    assert loaded.public(TYPES, PRACTICE) == key.public(TYPES, PRACTICE)
    assert loaded.key.as_dict(private=True)["d"] == key.key.as_dict(private=True)["d"]


def test_the_file_is_its_owners_only(path: Path, algorithm: Algorithm) -> None:
    LocalKey.generate("reviewer", algorithm).save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_public_half_and_the_representation_hold_no_secret(path: Path, algorithm: Algorithm) -> None:
    key = LocalKey.generate("reviewer", algorithm)
    secret = str(key.key.as_dict(private=True)["d"])
    public = key.public(TYPES, PRACTICE)
    assert (public.kid, public.types, public.practice) == ("reviewer", TYPES, PRACTICE)
    assert public.jwk.algorithm == algorithm
    assert secret not in public.model_dump_json()
    assert secret not in repr(key)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610, 0o601])
def test_a_key_that_others_may_read_is_refused(path: Path, mode: int) -> None:
    LocalKey.generate("reviewer").save(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="set its mode to 600"):
        LocalKey.load(path)


@pytest.mark.requirement("AUTH-07")
@pytest.mark.parametrize("below", [".", "keys", "keys/deeper"])
def test_no_key_is_written_to_or_read_from_a_gateways_home(tmp_path: Path, below: str) -> None:
    folder = tmp_path / "home" / below
    folder.mkdir(parents=True)
    key = LocalKey.generate("reviewer")
    key.save(folder / "early.jwk")
    (tmp_path / "home" / "gateway.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="outside the gateway's home"):
        key.save(folder / "late.jwk")
    with pytest.raises(ConfigurationError, match="outside the gateway's home"):
        LocalKey.load(folder / "early.jwk")
    assert not (folder / "late.jwk").exists()


@pytest.mark.requirement("AUTH-07")
def test_a_link_into_the_home_is_seen_through(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "keys").mkdir(parents=True)
    (home / "gateway.json").write_text("{}")
    (tmp_path / "innocent").symlink_to(home / "keys")
    with pytest.raises(ConfigurationError, match="outside the gateway's home"):
        LocalKey.generate("reviewer").save(tmp_path / "innocent" / "reviewer.jwk")


def test_a_key_is_never_overwritten(path: Path) -> None:
    LocalKey.generate("reviewer").save(path)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="never overwritten"):
        LocalKey.generate("reviewer").save(path)
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"reviewer\.jwk: cannot be written"):
        LocalKey.generate("reviewer").save(tmp_path / "absent" / "reviewer.jwk")


def test_a_missing_key_is_named(path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"reviewer\.jwk: no readable key file"):
        LocalKey.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"d": None},
        {"d": "short"},
        {"kty": "EC"},
        {"crv": "X25519"},
        {"kid": "A Name"},
        {"kid": None},
        {"extra": "1"},
    ],
    ids=str,
)
def test_a_file_that_is_no_key_is_refused_without_repeating_it(path: Path, change: dict[str, Any]) -> None:
    key = LocalKey.generate("reviewer")
    key.save(path)
    content = {name: value for name, value in (json.loads(path.read_text()) | change).items() if value is not None}
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match="not an Ed25519 or P-256 private key") as refused:
        LocalKey.load(path)
    assert str(key.key.as_dict(private=True)["d"]) not in str(refused.value)
    assert refused.value.__cause__ is None
