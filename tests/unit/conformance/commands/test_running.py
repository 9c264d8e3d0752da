"""Runs of a few checks on the embedded sandbox, as the command does them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from conformance.cli.running import _left
from conformance.recorded_run import RecordedRun, find_adapter, stopping
from conformance.results import Peer, Residue
from conformance.target.file import TargetConnection, TargetError

SANDBOX = Path(__file__).parents[4] / "adapters" / "sandbox" / "conformance.toml"


def test_a_run_of_some_checks_is_incomplete_and_leaves_its_reports(conformance, tmp_path):
    report = tmp_path / "report"
    ended = conformance("run", "sandbox", "--target", SANDBOX, "--report", report, "--only", "book.applied", "--json")
    assert (ended.exit_code, ended.document["verdict"]) == (2, "incomplete")
    assert {path.name for path in report.iterdir()} >= {"results.json", "junit.xml", "report.html", "ledger.jsonl"}
    kept = json.loads((report / "results.json").read_text())
    assert {name: ended.document[name] for name in kept} == kept
    assert "canary" not in (report / "run.jsonl").read_text()


def test_with_the_faults_off_a_fault_check_could_not_run(conformance, tmp_path):
    only = ("--only", "lost.after-commit.book", "--only", "book.applied")
    ended = conformance(
        "run", "sandbox", "--target", SANDBOX, "--report", tmp_path / "r", "--without-faults", "--json", *only
    )
    judged = {each["requirement"]: each["judgement"] for each in ended.document["results"]}
    assert judged == {"lost.after-commit.book": "could-not-run", "book.applied": "passed"}
    assert ended.exit_code == 2


def test_conduct_is_judged_anew_over_all_parts_of_a_run(conformance, tmp_path):
    def part(*more: str) -> Mapping[str, Any]:
        ended = conformance(
            *("run", "sandbox", "--target", SANDBOX, "--report", tmp_path / "r", "--json"),
            *("--only", "conduct.one-door", *more),
        )
        return {each["requirement"]: each for each in ended.document["results"]}

    first = part("--only", "book.applied")
    second = part("--only", "observe.book", "--resume")
    assert list(second) == ["book.applied", "observe.book", "conduct.one-door"]
    assert second["book.applied"] == first["book.applied"]
    assert second["conduct.one-door"]["started_at"] > first["conduct.one-door"]["started_at"]


def test_an_adapter_is_found_by_its_class_and_called_as_it_calls_itself(conformance, tmp_path):
    ended = conformance(
        "run",
        "adapters.sandbox.adapter:SandboxAdapter",
        *("--target", SANDBOX, "--report", tmp_path / "report", "--only", "claims.steady", "--json"),
    )
    assert ended.document["adapter"]["name"] == "sandbox"
    assert [each["judgement"] for each in ended.document["results"]] == ["passed"]


def test_production_is_read_only_and_never_conformant(conformance, outside, tmp_path):
    outside.target.write_text(outside.target.read_text().replace("sandbox = true", "sandbox = false"))
    before = outside.writes()
    ended = conformance(
        "run",
        "sandbox",
        *("--target", outside.target, "--report", tmp_path / "report", "--profile", "production-readonly", "--json"),
        *("--only", "ready.proven", "--only", "observe.absent", "--only", "book.applied"),
    )
    assert ended.exit_code == 2 and ended.document["verdict"] == "incomplete"
    judged = {each["requirement"]: each["judgement"] for each in ended.document["results"]}
    assert judged == {"ready.proven": "passed", "observe.absent": "passed"}
    assert outside.writes() == before and outside.appointments() == []


def test_mutants_need_a_system_that_bears_them(conformance, outside, tmp_path):
    ended = conformance(
        "run", "sandbox", "--target", outside.target, "--report", tmp_path / "report", "--mutate", "--json"
    )
    assert ended.exit_code == 2 and "--mutate needs a system that bears it" in ended.message


def test_a_plan_names_only_what_was_asked_for():
    prepared = RecordedRun.prepare("sandbox", SANDBOX, only=["lost.late.book"])
    (share,) = prepared.plan.peers
    assert (share.checks, share.writes) == (("lost.late.book",), 1)


def test_an_adapters_own_error_is_named_by_type_alone(tmp_path, monkeypatch):
    (tmp_path / "authors_adapter.py").write_text("def Adapter():\n    raise ValueError('canary')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TargetError, match="raised ValueError when it was called") as refused:
        find_adapter("authors_adapter:Adapter", TargetConnection(base_url="http://127.0.0.1:9/"))
    assert "canary" not in str(refused.value)


async def test_the_first_signal_cancels_and_later_ones_change_nothing():
    cleaned = []

    async def work() -> None:
        with stopping() as stop:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                assert stop.asked
                for number in (signal.SIGINT, signal.SIGTERM):
                    os.kill(os.getpid(), number)
                    await asyncio.sleep(0.01)
                cleaned.append(True)

    await asyncio.create_task(work())
    assert cleaned == [True]


async def test_when_all_is_over_a_signal_is_ignored():
    async def work() -> bool:
        with stopping() as stop:
            stop.over = True
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.01)
            return stop.asked

    assert await asyncio.create_task(work()) is False


def test_an_unknown_mutant_is_not_tried(conformance):
    ended = conformance("selftest", "no-such-mutant", "--json")
    assert ended.exit_code == 2 and "no such mutant" in ended.message


def test_nothing_is_said_to_remain_where_the_ledger_knows_of_nothing():
    none = Residue(peer=Peer.TARGET, created=0, removed=0, remaining=0, verified=False)
    assert _left(none).endswith("nothing of it remains there")
    assert "up to 2 appointments may remain" in _left(none.model_copy(update={"remaining": 2}))
