"""The registry listed, and two runs compared."""

from __future__ import annotations

import json

import pytest

from adapters.sandbox.adapter import SandboxAdapter
from conformance.registry import REQUIREMENTS
from conformance.reports import spell
from conformance.results import Judgement
from gateway.conformity import identify
from gateway.testing import make_connection
from gateway.testing.harness import START


@pytest.fixture
def written(conformant, tmp_path):
    """Writes the results of a conformant run, changed by a test, and gives the file."""
    claims = SandboxAdapter().describe(make_connection("http://127.0.0.1:1/", adapter="sandbox"))
    results = conformant(identify(SandboxAdapter(), "sandbox"), claims, "standard", START)

    def written(name, changed=lambda results: results):
        path = tmp_path / name
        path.write_bytes(spell(changed(results)))
        return path

    return written


def test_the_registry_is_listed_for_programs_and_for_people(conformance):
    listed = conformance("requirements", "--json").document["requirements"]
    assert [each["id"] for each in listed] == list(REQUIREMENTS)
    assert {each["level"] for each in listed} == {"must", "if-declared"}
    assert "lost.after-commit.book" in conformance("requirements").out


def test_two_like_runs_do_not_differ(conformance, written):
    ended = conformance("compare", written("a"), written("b"), "--json")
    assert ended.exit_code == 0
    assert ended.document["judgements"] == [] and ended.document["verdicts"] == ["conformant", "conformant"]


def test_runs_of_another_verdict_differ_though_every_check_ended_alike(conformance, written):
    other = written("b", lambda results: results.model_copy(update={"interrupted": True}))
    ended = conformance("compare", written("a"), other, "--json")
    assert (ended.exit_code, ended.document["judgements"]) == (1, [])


def test_what_ended_otherwise_is_shown_and_what_the_runs_were_about(conformance, written):
    def worse(results):
        kept = [each for each in results.results if each.requirement != "ready.proven"]
        judged = [
            each.model_copy(update={"judgement": Judgement.FAILED}) if each.requirement == "book.applied" else each
            for each in kept
        ]
        adapter = results.adapter.model_copy(update={"version": "9.9"})
        return results.model_copy(update={"results": tuple(judged), "adapter": adapter})

    ended = conformance("compare", written("a"), written("b", worse), "--json")
    assert ended.exit_code == 1
    assert ended.document["verdicts"] == ["conformant", "not-conformant"]
    assert ended.document["judgements"] == [
        {"requirement": "ready.proven", "before": "passed"},
        {"requirement": "book.applied", "before": "passed", "after": "failed"},
    ]
    assert [each["what"] for each in ended.document["about"]] == ["adapter's version"]
    page = conformance("compare", written("a"), written("b", worse)).out
    assert "not run" in page and "→ 9.9" in page


def test_a_file_that_is_no_result_is_refused_without_its_content(conformance, written, tmp_path):
    (tmp_path / "other").write_text(json.dumps({"canary": "canary"}))
    ended = conformance("compare", written("a"), tmp_path / "other", "--json")
    assert ended.exit_code == 2 and "canary" not in ended.out
