"""From a report to a statement that a practice's gateway keeps; and everything that must be caught on the way."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from adapters.sandbox.adapter import SandboxAdapter
from conformance.reports import spell
from conformance.statement import draw_up
from gateway.conformity import identify
from gateway.surfaces.keys import LocalKey
from gateway.surfaces.local import LocalPractice
from gateway.surfaces.sign import sign
from gateway.testing import make_connection


@pytest.fixture
def practice(tmp_path):
    return LocalPractice.create(tmp_path / "practice")


@pytest.fixture
def make_report(conformant, tmp_path):
    """The report directory of a conformant run of the sandbox's adapter, of this code."""

    def make_report(code):
        claims = SandboxAdapter().describe(make_connection("http://127.0.0.1:1/", adapter="sandbox"))
        ended = (datetime.now(UTC) - timedelta(hours=1)).replace(microsecond=0)
        directory = tmp_path / "report"
        directory.mkdir()
        (directory / "results.json").write_bytes(spell(conformant(code, claims, "standard", ended)))
        return directory

    return make_report


@pytest.fixture
def report(make_report):
    return make_report(identify(SandboxAdapter(), "sandbox"))


@pytest.fixture
def signed(conformance, practice, report, tmp_path):
    key, out = practice.keys / "conformance.json", tmp_path / "statement.jws"
    ended = conformance("sign", "--report", report, "--key", key, "--out", out, "--days", 30, "--json")
    assert ended.exit_code == 0, ended.out
    assert ended.document["statement"]["subject"][0]["name"] == "sandbox"
    return out


def alter(report, change) -> None:
    document = json.loads((report / "results.json").read_text())
    change(document)
    (report / "results.json").write_text(json.dumps(document))


def test_a_statement_is_signed_verified_and_installed(conformance, practice, report, signed):
    results, keys = report / "results.json", practice.home / "keys.json"
    held = conformance("verify", signed, "--results", results, "--keys", keys, "--adapter", "sandbox")
    assert held.exit_code == 0 and "holds" in held.out
    kept = conformance("install", signed, "--results", results, "--home", practice.home, "--json")
    assert kept.exit_code == 0
    assert (practice.home / "conformance" / kept.document["file"]).read_text().strip() == signed.read_text().strip()


def test_an_edited_result_file_is_caught(conformance, practice, report, signed):
    alter(report, lambda document: document.update(parts=2))
    for command, more in (("verify", ("--keys", practice.home / "keys.json")), ("install", ("--home", practice.home))):
        ended = conformance(command, signed, "--results", report / "results.json", *more, "--json")
        assert ended.exit_code == 2 and "not the one that was signed" in ended.message
    assert not list((practice.home / "conformance").glob("*"))


def test_a_run_that_is_not_conformant_is_not_signed(conformance, practice, report, tmp_path):
    alter(report, lambda document: document["results"].pop())
    key = practice.keys / "conformance.json"
    ended = conformance("sign", "--report", report, "--key", key, "--out", tmp_path / "out", "--json")
    assert ended.exit_code == 2 and "the run is incomplete" in ended.message
    assert not (tmp_path / "out").exists()


def test_a_statement_for_no_days_is_refused(conformance, practice, report, tmp_path):
    key = practice.keys / "conformance.json"
    ended = conformance("sign", "--report", report, "--key", key, "--out", tmp_path / "out", "--days", 0, "--json")
    assert ended.exit_code == 2 and "days: from 1" in ended.message


def test_a_strangers_signature_is_not_installed(conformance, practice, report, tmp_path):
    key, out = tmp_path / "stranger.json", tmp_path / "statement.jws"
    LocalKey.generate("stranger").save(key)
    assert conformance("sign", "--report", report, "--key", key, "--out", out).exit_code == 0
    ended = conformance("install", out, "--results", report / "results.json", "--home", practice.home, "--json")
    assert ended.exit_code == 2 and ended.document["error"]["kind"] == "SignatureRefused"
    assert not list((practice.home / "conformance").glob("*"))


def test_files_that_are_not_there_are_named_by_their_option(conformance, practice, report, signed, tmp_path):
    keys = practice.home / "keys.json"
    gone = tmp_path / "gone"
    ended = conformance("verify", gone, "--results", report / "results.json", "--keys", keys, "--json")
    assert ended.exit_code == 2 and "STATEMENT" in ended.message
    ended = conformance("verify", signed, "--results", gone, "--keys", keys, "--json")
    assert ended.exit_code == 2 and "--results" in ended.message
    ended = conformance("sign", "--report", gone, "--key", gone, "--out", gone, "--json")
    assert ended.exit_code == 2 and "results.json" in ended.message


def test_an_adapter_that_is_not_installed_is_not_vouched_for(conformance, practice, report, signed):
    keys = practice.home / "keys.json"
    ended = conformance(
        "verify", signed, "--results", report / "results.json", "--keys", keys, "--adapter", "caldav", "--json"
    )
    assert ended.exit_code == 2
    ended = conformance(
        "verify", signed, "--results", report / "results.json", "--keys", keys, "--adapter", "nobodys", "--json"
    )
    assert ended.exit_code == 2 and "is not installed here" in ended.message


def test_a_statement_of_other_code_than_is_installed_is_not_installed(conformance, practice, make_report, tmp_path):
    other = replace(identify(SandboxAdapter(), "sandbox"), digest="00" * 32)
    report, statement = make_report(other), tmp_path / "statement.jws"
    drawn = draw_up((report / "results.json").read_bytes(), other, now=datetime.now(UTC))
    statement.write_text(sign(drawn, LocalKey.load(practice.keys / "conformance.json")))
    ended = conformance("install", statement, "--results", report / "results.json", "--home", practice.home, "--json")
    assert ended.exit_code == 2
    assert not list((practice.home / "conformance").glob("*"))
