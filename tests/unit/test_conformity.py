"""Which code an adapter is, and what keeps one from being loaded outside the sandbox."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from adapters.sandbox.adapter import SandboxAdapter
from gateway import config, conformity
from gateway.conformity import Conformity, admit, code_digest, identify
from gateway.contracts.adapter import Descriptor
from gateway.contracts.canonical import digest
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.references import ConnectionId, PracticeId
from gateway.contracts.words import Environment
from gateway.errors import ConfigurationError, SignatureRefused
from gateway.signatures import Keyring, TrustedKeys
from gateway.surfaces.keys import LocalKey
from gateway.surfaces.local import LocalPractice
from gateway.surfaces.sign import sign

SOURCE = """
    class Toy:
        def describe(self, connection): ...
        async def readiness(self, request, read): ...
        async def commit(self, authorized, write): ...
        async def observe(self, query, read): ...
"""


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Import a module that a test put below its own directory, and forget it afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """An adapter's package on disk: `toy_package`, with a part below it."""
    root = tmp_path / "toy_package"
    (root / "parts").mkdir(parents=True)
    for name in ("__init__.py", "parts/__init__.py"):
        (root / name).write_text("")
    (root / "adapter.py").write_text(dedent(SOURCE))
    (root / "parts" / "mapping.py").write_text("FIELD = 1\n")
    (root / "testing.py").write_text("PREMISES = 1\n")
    return root


def alter_a_byte(root: Path) -> None:
    path = root / "parts" / "mapping.py"
    path.write_bytes(path.read_bytes().replace(b"1", b"2"))


def swap_two(root: Path) -> None:
    one, other = root / "parts" / "mapping.py", root / "testing.py"
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


CHANGES: Mapping[str, Callable[[Path], object]] = {
    "a byte": alter_a_byte,
    "a file more": lambda root: (root / "parts" / "more.py").write_text(""),
    "a file more that is no Python": lambda root: (root / "table.csv").write_text(""),
    "a module as bytecode alone": lambda root: (root / "hidden.pyc").write_bytes(b"\0"),
    "a file less": lambda root: (root / "testing.py").unlink(),
    "a file renamed": lambda root: (root / "testing.py").rename(root / "tested.py"),
    "a file moved": lambda root: (root / "testing.py").rename(root / "parts" / "testing.py"),
    "two files swapped": swap_two,
    "a file's end moved into the next": lambda root: (root / "parts" / "mapping.py").write_text("FIELD = 1\nX = 1\n"),
}


class TestCode:
    def test_the_digest_is_of_names_and_contents_in_order_by_the_documented_rule(self, package, imported):
        imported("toy_package.adapter")
        names = ["__init__.py", "adapter.py", "parts/__init__.py", "parts/mapping.py", "testing.py"]
        content = b""
        for name in names:
            shown = f"toy_package/{name}".encode()
            content += len(shown).to_bytes(8, "big") + shown + hashlib.sha256((package / name).read_bytes()).digest()
        assert code_digest("toy_package.adapter") == digest("code/v1", content)

    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
    def test_any_change_of_a_file_is_other_code(self, package, imported, change):
        adapter = imported("toy_package.adapter").Toy()
        before = identify(adapter, "toy")
        change(package)
        assert identify(adapter, "toy").digest != before.digest

    def test_bytecode_modes_and_times_are_not_code(self, package, imported):
        adapter = imported("toy_package.adapter").Toy()
        before = identify(adapter, "toy")
        (package / "__pycache__").mkdir()
        (package / "__pycache__" / "adapter.cpython-311.pyc").write_bytes(b"\0")
        (package / "adapter.py").chmod(0o600)
        os.utime(package / "testing.py", (0, 0))
        assert identify(adapter, "toy") == before

    def test_the_same_files_elsewhere_are_the_same_code(self, package, imported, tmp_path, monkeypatch):
        here = identify(imported("toy_package.adapter").Toy(), "toy")
        shutil.copytree(package, tmp_path / "elsewhere" / "toy_package")
        shutil.rmtree(package)
        for name in [name for name in sys.modules if name.startswith("toy_package")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        monkeypatch.syspath_prepend(tmp_path / "elsewhere")
        there = imported("toy_package.adapter").Toy()
        assert identify(there, "toy") == here

    def test_a_top_level_module_is_that_one_file(self, tmp_path, imported):
        (tmp_path / "toy_module.py").write_text(dedent(SOURCE))
        adapter = imported("toy_module").Toy()
        before = identify(adapter, "toy")
        (tmp_path / "neighbour.py").write_text("")
        assert identify(adapter, "toy") == before
        (tmp_path / "toy_module.py").write_text(dedent(SOURCE) + "\n")
        assert identify(adapter, "toy") != before

    def test_the_classes_it_inherits_from_are_its_code_too(self, tmp_path, package, imported):
        (tmp_path / "toy_module.py").write_text("from toy_package.adapter import Toy\n\nclass Own(Toy):\n    pass\n")
        adapter = imported("toy_module").Own()
        before = identify(adapter, "toy")
        alter_a_byte(package)
        assert identify(adapter, "toy") != before

    @pytest.mark.parametrize("below", ["linked.py", "parts/linked"])
    def test_links_are_refused(self, package, imported, tmp_path, below):
        adapter = imported("toy_package.adapter").Toy()
        (package / below).symlink_to(tmp_path)
        with pytest.raises(ConfigurationError, match=r"linked.* is a symbolic link"):
            identify(adapter, "toy")

    def test_what_is_no_file_is_refused(self, package, imported):
        adapter = imported("toy_package.adapter").Toy()
        os.mkfifo(package / "pipe")
        with pytest.raises(ConfigurationError, match="pipe is not a regular file"):
            identify(adapter, "toy")

    def test_code_that_is_not_on_disk_is_refused(self, package, imported):
        adapter = imported("toy_package.adapter").Toy()
        shutil.rmtree(package)
        with pytest.raises(ConfigurationError, match="not a file on disk"):
            identify(adapter, "toy")

    def test_an_adapter_whose_class_has_no_module_of_its_own_is_refused(self):
        kind = type("Nameless", (), {"__module__": "types"})
        with pytest.raises(ConfigurationError, match="not in a module of its own"):
            identify(kind(), "toy")

    def test_the_distribution_is_the_one_whose_entry_point_leads_there(self):
        code = identify(SandboxAdapter(), "sandbox")
        assert (code.distribution, code.name) == ("scheduling-gateway", "sandbox")
        assert code.version


NOW = datetime(2031, 3, 3, 9, 0, tzinfo=UTC)


class Standing:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW


@pytest.fixture
def local(tmp_path: Path) -> LocalPractice:
    practice = PracticeId.random()
    connection = Connection(
        connection_id=ConnectionId.random(),
        practice=practice,
        adapter="sandbox",
        base_url="https://ehr.example.org/",
        hosts=("ehr.example.org:443",),
        zone="Europe/Berlin",
    )
    return LocalPractice.create(
        tmp_path / "practice",
        [connection],
        practice=practice,
        environment=Environment.PRODUCTION,
        clock=Standing(),  # type: ignore[arg-type]  # nothing here waits
    )


def connection_of(local: LocalPractice) -> Connection:
    return next(iter(config.load(local.home).connections.values()))


def judged(local: LocalPractice, now: datetime = NOW, adapter: Any = None) -> Conformity:
    configuration = config.load(local.home)
    adapter = adapter or SandboxAdapter()

    def claims(reference: ConnectionId) -> Descriptor:
        claimed: Descriptor = adapter.describe(configuration.connections[reference])
        return claimed

    return admit(configuration, Keyring(configuration.keys), {"sandbox": adapter}, claims, now)


class TestAdmission:
    def test_a_signed_statement_for_this_code_and_dialect_admits_until_it_expires(self, local, state_conformance):
        connection = connection_of(local)
        state_conformance(local, SandboxAdapter(), connection, days=90)
        found, end = judged(local), NOW - timedelta(hours=1) + timedelta(days=90)
        assert found.admits(connection.connection_id, NOW)
        assert found.admits(connection.connection_id, end - timedelta(seconds=1))
        assert not found.admits(connection.connection_id, end)
        assert not found.admits(connection.connection_id, NOW - timedelta(seconds=1))
        assert not found.admits(ConnectionId.random(), NOW)
        assert found.until(connection.connection_id, NOW) == "covered until 2031-06-01"
        assert found.until(connection.connection_id, end) == "expired 2031-06-01"

    def test_without_a_statement_the_refusal_names_the_adapter_and_how_to_get_one(self, local):
        with pytest.raises(ConfigurationError) as refusal:
            judged(local)
        said = str(refusal.value)
        assert "adapter sandbox is not loaded in environment production" in said
        assert "holds no conformance statement" in said
        for command in ("run sandbox --target FILE --report DIR", "sign --report DIR", "install STATEMENT"):
            assert f"gateway conformance {command}" in said

    def test_in_the_sandbox_none_is_needed(self, tmp_path):
        configuration = config.load(LocalPractice.create(tmp_path / "other").home)
        found = admit(configuration, Keyring(configuration.keys), {}, pytest.fail, NOW)
        assert found.admits(ConnectionId.random(), NOW)
        assert found.until(ConnectionId.random(), NOW) == "not needed"

    def test_an_expired_statement_loads_the_adapter_and_admits_no_commit(self, local, state_conformance):
        connection = connection_of(local)
        state_conformance(local, SandboxAdapter(), connection, days=30)
        later = NOW + timedelta(days=30)
        assert not judged(local, later).admits(connection.connection_id, later)
        assert judged(local, later).until(connection.connection_id, later) == "expired 2031-04-02"

    def test_a_statement_from_the_future_admits_nothing(self, local, state_conformance):
        state_conformance(local, SandboxAdapter(), connection_of(local))
        with pytest.raises(ConfigurationError, match="not valid yet"):
            judged(local, NOW - timedelta(minutes=1))

    def test_other_code_than_was_tried_is_refused(self, local, state_conformance, tmp_path, imported):
        copied = tmp_path / "copied_sandbox"
        shutil.copytree(Path(sys.modules["adapters.sandbox"].__file__ or "").parent, copied)
        adapter = imported("copied_sandbox.adapter").SandboxAdapter()
        state_conformance(local, adapter, connection_of(local))
        assert judged(local, adapter=adapter).needed
        with (copied / "DIVERGENCES.md").open("ab") as file:
            file.write(b" ")
        with pytest.raises(ConfigurationError, match="of other code than is installed"):
            judged(local, adapter=adapter)

    def test_only_the_stated_dialect_is_loaded(self, local, state_conformance):
        connection = connection_of(local)
        state_conformance(local, SandboxAdapter(), connection)
        local.connect(connection.model_copy(update={"dialect": "spring"}))
        with pytest.raises(ConfigurationError, match="of dialect standard, not spring"):
            judged(local)

    @pytest.mark.parametrize(
        ("tried", "claimed"),
        [
            ({}, {"settling_seconds": 1}),
            ({}, {"settling_seconds": 1, "relay_seconds": 600}),
            ({"relay_seconds": 600}, {"relay_seconds": 599}),
        ],
    )
    def test_claims_that_were_not_tried_are_refused(self, local, state_conformance, monkeypatch, tried, claimed):
        claims = SandboxAdapter().describe(connection_of(local))
        monkeypatch.setattr(SandboxAdapter, "describe", lambda *_: claims.model_copy(update=tried))
        state_conformance(local, SandboxAdapter(), connection_of(local))
        monkeypatch.setattr(SandboxAdapter, "describe", lambda *_: claims.model_copy(update=claimed))
        with pytest.raises(ConfigurationError, match="other capabilities here than were tried"):
            judged(local)

    @pytest.mark.parametrize(("tried", "claimed"), [(0, 600), (600, 601), (600, 600)])
    def test_a_request_may_be_given_longer_to_be_carried_out_than_was_tried(
        self, local, state_conformance, monkeypatch, tried, claimed
    ):
        claims = SandboxAdapter().describe(connection_of(local))
        monkeypatch.setattr(SandboxAdapter, "describe", lambda *_: claims.model_copy(update={"relay_seconds": tried}))
        state_conformance(local, SandboxAdapter(), connection_of(local))
        monkeypatch.setattr(SandboxAdapter, "describe", lambda *_: claims.model_copy(update={"relay_seconds": claimed}))
        assert judged(local).admits(connection_of(local).connection_id, NOW)

    def test_a_statement_of_another_contract_version_is_refused(self, local, state_conformance, monkeypatch):
        state_conformance(local, SandboxAdapter(), connection_of(local))
        monkeypatch.setattr(conformity, "CONTRACT_VERSION", 2)
        with pytest.raises(ConfigurationError, match="of contract version 1, not 2"):
            judged(local)

    def test_a_statement_of_the_same_code_under_another_name_is_refused(self, local, state_conformance):
        connection = connection_of(local)
        state_conformance(local, SandboxAdapter(), connection.model_copy(update={"adapter": "other"}))
        with pytest.raises(ConfigurationError, match="holds no conformance statement"):
            judged(local)

    def test_the_gateway_and_the_suite_mean_the_same_contract_version(self):
        from conformance.requirement import CONTRACT_VERSION

        assert conformity.CONTRACT_VERSION == CONTRACT_VERSION

    @pytest.mark.parametrize("by", ["a stranger", "a key for something else", "a key of another practice"])
    def test_a_statement_that_no_trusted_key_signed_is_refused(self, local, state_conformance, by):
        from gateway.attestation import ConformanceStatement

        path = state_conformance(local, SandboxAdapter(), connection_of(local))
        configuration = config.load(local.home)
        stated = Keyring(configuration.keys).verify(path.read_text(), ConformanceStatement).statement
        stranger = LocalKey.generate("conformance" if by == "a stranger" else "governance")
        key = LocalKey.load(local.keys / "governance.json") if by == "a key for something else" else stranger
        path.write_text(sign(stated, key))
        if by == "a key of another practice":
            trusted = [entry for entry in configuration.keys.keys if entry.kid != "governance"]
            other = stranger.public([ConformanceStatement.typ], PracticeId.random())
            keys = TrustedKeys(keys=(*trusted, other))
            configuration = replace(configuration, keys=keys)
        keyring = Keyring(configuration.keys)
        with pytest.raises(
            ConfigurationError, match=r"sandbox is not loaded.*(signature does not hold|may not sign|another practice)"
        ):
            admit(
                configuration,
                keyring,
                {"sandbox": SandboxAdapter()},
                lambda reference: SandboxAdapter().describe(configuration.connections[reference]),
                NOW,
            )
        with pytest.raises(SignatureRefused):
            conformity.install(configuration, keyring, path.read_text())

    def test_an_edited_statement_is_refused(self, local, state_conformance):
        path = state_conformance(local, SandboxAdapter(), connection_of(local))
        header, payload, signature = path.read_text().split(".")
        path.write_text(f"{header}.{payload[:-4]}AAAA.{signature}")
        with pytest.raises(ConfigurationError, match=r"signature does not hold|not canonical"):
            judged(local)

    def test_a_linked_statement_is_refused(self, local, state_conformance, tmp_path):
        path = state_conformance(local, SandboxAdapter(), connection_of(local))
        path.rename(tmp_path / "elsewhere.jws")
        path.symlink_to(tmp_path / "elsewhere.jws")
        with pytest.raises(ConfigurationError, match="the statement is a symbolic link"):
            judged(local)

    def test_a_file_that_nothing_needs_stops_nothing(self, local, state_conformance):
        path = state_conformance(local, SandboxAdapter(), connection_of(local))
        path.with_name("old.jws").write_text("nonsense")
        assert judged(local).needed

    def test_the_longest_of_several_statements_counts(self, local, state_conformance):
        connection = connection_of(local)
        for days in (30, 60, 40):
            state_conformance(local, SandboxAdapter(), connection, days=days)
        found = judged(local)
        assert found.admits(connection.connection_id, NOW + timedelta(days=59))

    def test_more_statements_than_anybody_needs_are_refused(self, local):
        (local.home / "conformance").mkdir()
        for number in range(257):
            (local.home / "conformance" / f"{number}.jws").write_text("")
        with pytest.raises(ConfigurationError, match="more than 256"):
            judged(local)

    def test_an_adapter_that_no_attempt_can_reach_stops_nothing_and_is_not_admitted(self, local):
        def claims(reference: ConnectionId) -> Descriptor:
            raise Refusal(Code.CONNECTION_UNKNOWN)

        configuration = config.load(local.home)
        found = admit(configuration, Keyring(configuration.keys), {}, claims, NOW)
        assert not found.admits(connection_of(local).connection_id, NOW)
        assert found.until(connection_of(local).connection_id, NOW) == "missing"

    def test_statements_lie_beside_the_seal_and_change_nothing_of_it(self, local, state_conformance):
        before = config.load(local.home).seal_digest
        path = state_conformance(local, SandboxAdapter(), connection_of(local))
        assert path.parent == local.home / "conformance"
        assert config.load(local.home).seal_digest == before
