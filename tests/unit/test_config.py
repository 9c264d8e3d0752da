"""A sealed home on disk: what it takes to load one, and what each alteration is called."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import config, home
from gateway.config import PluginUse, Settings
from gateway.contracts.connection import Connection
from gateway.contracts.references import ConnectionId, PracticeId
from gateway.contracts.words import Environment
from gateway.errors import ConfigurationError
from gateway.policy import PolicyStore
from gateway.signatures import TrustedKeys
from gateway.surfaces.keys import LocalKey

PRACTICE = PracticeId.random()
CANARY = "Zephyrine Quillfeather"


def settings(practice: PracticeId = PRACTICE) -> Settings:
    return Settings(
        practice=practice,
        environment=Environment.SANDBOX,
        evidence=PluginUse(name="practice-registry", options={"directory": "../practice"}),
        resolver=PluginUse(name="practice-registry", options={"directory": "../practice"}),
        policies=home.selections(),
    )


def connection(practice: PracticeId = PRACTICE) -> Connection:
    return Connection(
        connection_id=ConnectionId.random(),
        practice=practice,
        adapter="sandbox",
        base_url="http://127.0.0.1:8080/",
        hosts=("127.0.0.1:8080",),
        zone="Europe/Berlin",
    )


def keys() -> TrustedKeys:
    return TrustedKeys(keys=(LocalKey.generate("reviewer").public(["gateway-decision+jws"], PRACTICE),))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "home"
    home.initialise(place, settings(), [connection(), connection()], keys())
    return place


def a_connection(place: Path) -> Path:
    return min((place / "connections").iterdir())


def test_an_initialised_home_is_complete_sealed_and_owner_only(tmp_path):
    place = tmp_path / "deep" / "home"
    wanted, entries, trusted = settings(), [connection(), connection()], keys()
    loaded = home.initialise(place, wanted, entries, trusted)
    assert loaded == config.load(place)
    assert loaded.settings == wanted
    assert dict(loaded.connections) == {entry.connection_id: entry for entry in entries}
    assert loaded.keys == trusted
    assert len(loaded.sibling_key) == 32
    assert loaded.sibling_key.hex() not in repr(loaded)
    assert repr(loaded.sibling_key) not in repr(loaded)
    assert PolicyStore.load(loaded.policies_directory).versions() == [("standard", 1), ("two-person", 1)]
    assert place.stat().st_mode & 0o777 == 0o700
    assert (place / "sibling.key").stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in place.parent.iterdir()] == ["home"]


def test_every_home_has_a_sibling_key_of_its_own(tmp_path):
    first = home.initialise(tmp_path / "first", settings(), [], keys())
    second = home.initialise(tmp_path / "second", settings(), [], keys())
    assert first.sibling_key != second.sibling_key


def test_a_directory_that_holds_anything_is_not_initialised(tmp_path):
    kept = tmp_path / "kept"
    kept.write_text("mine")
    with pytest.raises(ConfigurationError, match="not empty"):
        home.initialise(tmp_path, settings(), [], keys())
    assert kept.read_text() == "mine"
    assert not list(tmp_path.parent.glob("*.new"))


def test_a_home_that_cannot_be_sealed_does_not_appear(tmp_path):
    place = tmp_path / "home"
    with pytest.raises(ConfigurationError, match="another practice"):
        home.initialise(place, settings(), [connection(PracticeId.random())], keys())
    assert list(tmp_path.iterdir()) == []


ALTERATIONS: dict[str, Callable[[Path], object]] = {
    "gateway.json": lambda place: (place / "gateway.json").write_text((place / "gateway.json").read_text() + " "),
    "keys.json": lambda place: (place / "keys.json").write_text('{"keys": []}'),
    "connections/": lambda place: a_connection(place).write_text(
        a_connection(place).read_text().replace("8080", "8081")
    ),
    "policies/standard/1/policy.cedar": lambda place: (place / "policies/standard/1/policy.cedar").write_text(
        "permit(principal, action, resource);"
    ),
    "policies/two-person/1/manifest.json": lambda place: (place / "policies/two-person/1/manifest.json").write_text(
        "{}"
    ),
}


@pytest.mark.requirement("POLICY-08")
@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_file_is_refused_by_name_with_the_way_to_seal_again(place, name):
    ALTERATIONS[name](place)
    with pytest.raises(ConfigurationError, match=rf"{re.escape(name)}.*was altered.*gateway seal"):
        config.load(place)


@pytest.mark.parametrize("name", ["gateway.json", "keys.json", "policies/standard/1/schema.cedarschema"])
def test_a_missing_file_is_refused_by_name(place, name):
    (place / name).unlink()
    with pytest.raises(ConfigurationError, match=rf"{re.escape(name)} is missing.*gateway seal"):
        config.load(place)


@pytest.mark.requirement("POLICY-08")
@pytest.mark.parametrize(
    "name", ["connections/extra.json", "policies/standard/1/extra.cedar", "policies/late/1/policy.cedar", "policies/x"]
)
def test_an_unlisted_file_is_refused_by_name(place, name):
    (place / name).parent.mkdir(parents=True, exist_ok=True)
    (place / name).write_text("{}")
    with pytest.raises(ConfigurationError, match=rf"{re.escape(name)} is not listed.*gateway seal"):
        config.load(place)


@pytest.mark.parametrize("name", ["connections/notes.txt", "connections/folder", f"policies/{CANARY}"])
def test_what_can_be_no_configuration_is_refused_whatever_it_holds(place, name):
    (place / name).write_text(CANARY) if "." in name or CANARY in name else (place / name).mkdir()
    for act in (config.load, home.seal):
        with pytest.raises(ConfigurationError) as refusal:
            act(place)
        assert CANARY not in str(refusal.value)


def test_a_link_in_place_of_a_file_is_refused(place, tmp_path):
    original = a_connection(place)
    moved = original.rename(tmp_path / "moved.json")
    original.symlink_to(moved)
    with pytest.raises(ConfigurationError, match="symbolic link"):
        config.load(place)


@pytest.mark.parametrize("content", [None, "", "{}", '{"version": 1, "files": []}', f'{{"{CANARY}": 1}}'])
def test_a_missing_or_meaningless_seal_is_refused(place, content):
    (place / "seal.json").unlink()
    if content is not None:
        (place / "seal.json").write_text(content)
    with pytest.raises(ConfigurationError, match="gateway seal") as refusal:
        config.load(place)
    assert CANARY not in str(refusal.value)


def test_sealing_again_admits_a_reviewed_change_under_another_digest(place):
    before = config.load(place).seal_digest
    path = place / "gateway.json"
    path.write_text(path.read_text().replace('"authorization_seconds": 10', '"authorization_seconds": 5'))
    digest = home.seal(place)
    loaded = config.load(place)
    assert digest == loaded.seal_digest != before
    assert loaded.settings.bounds.authorization_seconds == 5


def test_sealing_twice_gives_the_same_digest(place):
    assert home.seal(place) == home.seal(place) == config.load(place).seal_digest


def rewritten(path: Path, **members: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | members))


def both_the_same(place: Path) -> None:
    first, second = sorted((place / "connections").iterdir())
    second.write_bytes(first.read_bytes())


CONTRADICTIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a connection of another practice": (
        lambda place: rewritten(a_connection(place), practice=PracticeId.random()),
        "another practice",
    ),
    "two files for one connection": (both_the_same, "same connection_id"),
    "a selection of no version": (
        lambda place: (place / "gateway.json").write_text(
            (place / "gateway.json").read_text().replace('"version": 1', '"version": 9')
        ),
        "selects a policy version",
    ),
    "a broken policy": (
        lambda place: (place / "policies/standard/1/policy.cedar").write_text("permit"),
        "policies/standard/1/policy.cedar",
    ),
    "an unknown setting": (
        lambda place: rewritten(place / "gateway.json", **{CANARY: 1}),
        "gateway.json is not a valid",
    ),
    "a value of the wrong kind": (
        lambda place: rewritten(place / "gateway.json", environment=CANARY),
        "gateway.json is not a valid Settings: environment",
    ),
    "an option named like a person": (
        lambda place: rewritten(place / "gateway.json", evidence={"name": "x", "options": {CANARY: 1}}),
        "evidence",
    ),
    "a private key among the trusted": (
        lambda place: (place / "keys.json").write_text(
            (place / "keys.json").read_text().replace('"crv"', f'"d": "{CANARY}", "crv"')
        ),
        "keys.json",
    ),
    "a key that is no point": (
        lambda place: (place / "keys.json").write_text(
            re.sub(r'"x": "[^"]+"', f'"x": "{"A" * 42}"', (place / "keys.json").read_text())
        ),
        "keys.json",
    ),
    "not JSON": (lambda place: a_connection(place).write_text(f"{{{CANARY}"), "connections/"),
    "an endless file": (lambda place: a_connection(place).write_text(" " * 70_000), "connections/"),
}


@pytest.mark.requirement("GOV-13")
@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_contradiction_cannot_be_sealed_and_is_named_without_its_content(place, name):
    alter, expected = CONTRADICTIONS[name]
    seal_before = (place / "seal.json").read_bytes()
    alter(place)
    with pytest.raises(ConfigurationError, match=re.escape(expected)) as refusal:
        home.seal(place)
    assert CANARY not in str(refusal.value)
    assert str(place) not in str(refusal.value)
    assert (place / "seal.json").read_bytes() == seal_before


@pytest.mark.requirement("AUDIT-19")
@pytest.mark.parametrize(
    "members",
    [
        {"audit": False},
        {"journal": None},
        {"journal": ""},
        {"journal": ":memory:"},
        {"journal": "file:x?mode=memory"},
        {"journal": "/dev/null"},
        {"sinks": None},
        {"sinks": [{"name": "file"}, {"name": "file"}]},
        {"sinks": [{"name": "journal"}]},
        {"bounds": {"sink_seconds": 0}},
    ],
)
def test_no_setting_turns_auditing_off(place, members):
    rewritten(place / "gateway.json", **members)
    with pytest.raises(ConfigurationError, match=r"gateway\.json is not a valid Settings"):
        home.seal(place)


@pytest.mark.requirement("GATE-02")
@pytest.mark.parametrize("member", ["gates", "skip_gates", "consent_required", "approval", "dry_run", "insecure"])
def test_no_setting_relaxes_a_precondition(place, member):
    rewritten(place / "gateway.json", **{member: False})
    with pytest.raises(ConfigurationError, match=r"\*: unknown member"):
        home.seal(place)


@pytest.mark.requirement("POLICY-03")
def test_two_selections_for_one_trigger_and_operation_are_refused(place):
    policies = json.loads((place / "gateway.json").read_text())["policies"]
    rewritten(place / "gateway.json", policies=[*policies, policies[0] | {"policy": "two-person"}])
    with pytest.raises(ConfigurationError, match=r"gateway\.json"):
        home.seal(place)


def short(path: Path) -> None:
    path.write_bytes(b"x" * 31)


@pytest.mark.parametrize(
    ("alter", "expected"),
    [(Path.unlink, "missing"), (short, "32 bytes"), (lambda path: path.chmod(0o640), "chmod 600")],
)
def test_a_sibling_key_that_is_missing_short_or_open_to_others_is_refused(place, alter, expected):
    alter(place / "sibling.key")
    with pytest.raises(ConfigurationError, match=rf"sibling\.key.*{expected}"):
        config.load(place)
