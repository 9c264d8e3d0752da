"""`gateway adapters new`: a package that installs, types and runs, and that blocks everything until it is filled in."""

from __future__ import annotations

import importlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from conformance.author import scaffold
from conformance.results import Profile
from conformance.target import safety
from conformance.target.file import TargetError
from gateway.cli.app import GROUP, build
from gateway.contracts.adapter import Adapter, Basis, Claim, Exclusivity, Idempotency
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from gateway.errors import InvariantViolation, UsageError
from gateway.testing import START, AdapterHarness, make_connection, make_request

Answer = tuple[int, dict[str, Any]]


def command(*words: str) -> Answer:
    result = CliRunner().invoke(build(entry_points(group=GROUP)), ["adapters", "new", "--json", *words])
    return result.exit_code, json.loads(result.stdout)


# -- what is written ---------------------------------------------------------------------------------------


def test_the_package_is_written_whole_and_its_files_are_told(tmp_path: Path) -> None:
    code, told = command("acme-cloud", "--directory", str(tmp_path))
    assert (code, told["ok"], told["adapter"]) == (0, True, "acme-cloud")
    written = {path.relative_to(tmp_path / "acme-cloud").as_posix() for path in files(tmp_path)}
    assert written == set(told["files"])
    assert "acme_cloud_adapter/adapter.py" in written
    assert [path.name for path in tmp_path.iterdir()] == ["acme-cloud"]


def test_no_file_holds_a_blank_of_the_template_a_path_or_an_absolute_place(tmp_path: Path) -> None:
    scaffold.write("acme-cloud", tmp_path)
    for path in files(tmp_path):
        text = path.read_text(encoding="utf-8")
        assert "$" not in text, path
        assert str(tmp_path) not in text
        assert str(Path.home()) not in text or Path.home() == Path("/")


def test_names_are_made_from_the_adapters() -> None:
    assert scaffold.names("acme-cloud_2") == {
        "name": "acme-cloud_2",
        "distribution": "acme-cloud-2-adapter",
        "module": "acme_cloud_2_adapter",
        "class_": "AcmeCloud2",
        "variable": "ACME_CLOUD_2_TOKEN",
        "version": version("scheduling-gateway"),
    }


def test_directories_have_the_mode_that_the_author_is_used_to(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        scaffold.write("acme", tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "acme").stat().st_mode) == 0o750


# -- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["Acme", "acme cloud", "../acme", "", "acme-", "2acme", "a" * 41, "acme/cloud", "ärzte"]
)
def test_a_name_that_is_no_slug_is_refused(name: str, tmp_path: Path) -> None:
    code, told = command("--directory", str(tmp_path), "--", name)
    assert (code, told["ok"]) == (2, False)
    assert "lower-case words" in told["error"]["message"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["sandbox", "caldav", "credentials"])
def test_the_name_of_an_installed_plugin_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="installed plugin"):
        scaffold.write(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["directory", "file", "link"])
def test_what_is_there_already_is_left_alone(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "acme"
    match kind:
        case "directory":
            place.mkdir()
        case "file":
            place.write_text("mine", encoding="utf-8")
        case "link":
            place.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="already"):
        scaffold.write("acme", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["acme"]
    assert not place.is_dir() or list(place.iterdir()) == []


def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not there"):
        scaffold.write("acme", tmp_path / "elsewhere")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failing", [1, 5, 11])
def test_a_disk_that_fails_half_way_leaves_nothing(
    failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = Path.write_text, iter(range(1, 100))

    def write(path: Path, *given: Any, **named: Any) -> int:
        if next(calls) == failing:
            raise OSError(28, "no space left on device")
        return original(path, *given, **named)

    monkeypatch.setattr(Path, "write_text", write)
    with pytest.raises(UsageError, match="nothing was kept"):
        scaffold.write("acme", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        scaffold.write("acme", tmp_path)
    assert list(tmp_path.iterdir()) == []


# -- what it is like, installed ----------------------------------------------------------------------------


@pytest.fixture
def adapter(blank: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Adapter]:
    monkeypatch.syspath_prepend(str(blank.site))
    yield importlib.import_module("acme_adapter.plugin").gateway_adapters()["acme"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_adapter"]:
        del sys.modules[name]


def test_the_installed_package_is_listed(blank: Any) -> None:
    listed = json.loads(blank.gateway("adapters", "list", "--json").stdout)["adapters"]
    expected = {"adapter": "acme", "plugin": "acme", "distribution": "acme-adapter", "version": "0.1.0"}
    assert expected in listed


def test_its_own_tests_pass(blank: Any) -> None:
    ran = blank.python("-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert ran.returncode == 0, ran.stdout
    assert "3 passed" in ran.stdout


def test_it_is_typed_strictly(blank: Any, tmp_path: Path) -> None:
    ran = blank.python("-m", "mypy", "--cache-dir", str(tmp_path))
    assert ran.returncode == 0, ran.stdout


def test_it_is_clean_and_formatted(blank: Any) -> None:
    for words in (("check",), ("format", "--check", "--line-length", "120")):
        ran = blank.python("-m", "ruff", *words, "--isolated", "--no-cache", ".")
        assert ran.returncode == 0, ran.stdout


async def test_its_readiness_blocks_and_contacts_nothing(adapter: Adapter) -> None:
    async with AdapterHarness(adapter, make_request("http://127.0.0.1:9/")) as harness:
        assert await harness.readiness() is Code.READINESS_UNVERIFIABLE
        assert harness.requests == 0
        with pytest.raises(InvariantViolation):
            await harness.commit()
        assert (await harness.observe()).finding is ObservationFinding.INDETERMINATE


def test_it_claims_as_little_as_can_be_claimed(adapter: Adapter) -> None:
    claims = adapter.describe(make_connection("http://127.0.0.1:9/"))
    assert (claims.operations, claims.idempotency, claims.exclusivity, claims.observation) == (
        (Operation.BOOK,),
        Idempotency.NONE,
        Exclusivity.NONE,
        Basis.NONE,
    )


def test_its_mapping_recognises_no_success(adapter: Adapter) -> None:
    mapping = importlib.import_module("acme_adapter.mapping")
    request = make_request("http://127.0.0.1:9/")
    replies = [httpx.Response(status, json={"id": "1", "version": "1"}) for status in (200, 201, 204, 400, 409, 412)]
    assert {mapping.receipt(reply, request).claim for reply in replies} == {Claim.UNKNOWN}
    assert (frozenset(), {}) == (mapping.SUCCESS, mapping.WRITES)  # each blank blocks by itself
    assert not mapping.in_force({"id": "1", "version": "1"}, request)
    assert mapping.problem({"type": "taken", "error": "taken"}) == ""


async def test_its_observer_does_not_count_nothing_as_nothing(adapter: Adapter) -> None:
    observer = importlib.import_module("acme_adapter.testing").AcmeObserver("http://127.0.0.1:9/", {})
    with pytest.raises(NotImplementedError):
        await observer.appointments(START, START)
    assert await observer.remove("anything") is False


def test_its_target_file_is_well_formed_and_admits_no_run(blank: Any) -> None:
    target = safety.load(blank.project / "conformance.toml")
    assert target.observer == "acme_adapter.testing:AcmeObserver"
    with pytest.raises(TargetError, match="sandbox is false"):
        safety.admit(target, profile=Profile.SANDBOX)


def files(parent: Path) -> Iterator[Path]:
    return (path for path in parent.rglob("*") if path.is_file())
