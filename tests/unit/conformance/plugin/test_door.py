"""The options, and the real suite behind them, in sessions of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import pytest

from conformance.results import Judgement, Verdict
from conformance.verdict import derive


def test_a_session_that_does_not_ask_imports_nothing_of_ours(author: Any) -> None:
    (author.path / "test_mine.py").write_text(
        "import sys\n"
        "def test_mine():\n"
        "    packages = ('gateway', 'adapters', 'conformance')\n"
        "    ours = {name for name in sys.modules if name.partition('.')[0] in packages}\n"
        "    assert ours == {'conformance', 'conformance.pytest_plugin'}\n",
        encoding="utf-8",
    )
    ran = subprocess.run(author.command("-q"), cwd=author.path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert "conformance" not in ran.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--conformance-adapter", "sandbox"], "give all of"),
        (["--conformance-target", "conformance.toml"], "give all of"),
        (["--conformance-report", "report"], "give all of"),
    ],
)
def test_an_option_alone_is_refused(words: list[str], told: str, author: Any) -> None:
    ran = subprocess.run(author.command(*words), cwd=author.path, capture_output=True, text=True, check=False)
    assert ran.returncode == 4
    assert told in ran.stderr


@pytest.mark.parametrize(
    ("edit", "given", "told"),
    [
        (None, {"adapter": "acme"}, "no adapter of that name"),
        (None, {"target": "nowhere.toml"}, "not there"),
        ("", {}, "empty"),
        ("sandbox = false", {}, "sandbox is false"),
        ("sandbox = true\nwrites = 3 #", {}, "too small a budget"),
    ],
)
def test_what_cannot_be_tried_is_refused_before_anything_is_collected(
    edit: str | None, given: dict[str, str], told: str, author: Any
) -> None:
    if edit is not None:
        target = author.path / "conformance.toml"
        text = target.read_text(encoding="utf-8").replace("writes = 400\n", "") if edit else ""
        text = text.replace("sandbox = true", edit if "writes" in edit else f"{edit}\nwrites = 400")
        target.write_text(text, encoding="utf-8")
    ran = subprocess.run(author.door(**given), cwd=author.path, capture_output=True, text=True, check=False)
    assert ran.returncode == 4
    assert told in ran.stderr
    assert not (author.path / "report").exists()


def test_the_suite_cannot_be_blocked_by_name(author: Any) -> None:
    ran = author.pytest("-p", "no:gateway-conformance-suite")
    assert ran.returncode == 4
    assert "blocked" in ran.stderr


def test_a_report_directory_in_use_is_refused_before_anything_is_sent(author: Any) -> None:
    (author.path / "report").mkdir()
    (author.path / "report" / "results.json").write_text("{}", encoding="utf-8")
    ran = author.pytest("-q")
    assert ran.returncode == 4
    assert "not empty" in ran.stderr
    assert (author.path / "report" / "results.json").read_text(encoding="utf-8") == "{}"


def test_some_requirements_of_the_real_suite_are_tried_and_not_mistaken_for_all(author: Any) -> None:
    ran = author.pytest("-q", "-k", "ready.proven or book.applied or one-mutation")
    assert ran.returncode == 2, ran.stdout
    assert "4 passed" in ran.stdout or "3 passed" in ran.stdout
    results = author.results()
    assert {entry.judgement for entry in results.results} == {Judgement.PASSED}
    assert derive(results) is Verdict.INCOMPLETE
    assert [entry.remaining for entry in results.residue] == [0]


def test_a_session_that_stopped_is_taken_up_again_by_the_command(author: Any) -> None:
    assert author.pytest("-q", "-k", "ready.proven or claims").returncode == 2
    begun = [entry.requirement for entry in author.results().results]
    words = ["conformance", "run", "sandbox", "--target", "conformance.toml", "--report", "report", "--json"]
    resumed = subprocess.run(
        [sys.executable, "-c", "from gateway.cli import main; main()", *words, "--resume", "--only", "ready.garbage"],
        cwd=author.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert resumed.returncode == 2, resumed.stdout
    results = author.results()
    assert results.parts == 2
    assert [entry.requirement for entry in results.results] == [*begun, "ready.garbage"]


LEAKY = """
from adapters.sandbox.adapter import SandboxAdapter
from gateway.contracts.proposal import Operation

class Leaky(SandboxAdapter):
    async def commit(self, authorized, write):
        receipt = await super().commit(authorized, write)
        if authorized.request.operation is Operation.CANCEL:
            HOW(authorized.request.identifiers[authorized.request.particulars.patient])
        return receipt
"""


@pytest.mark.parametrize("how", ["print", "__import__('logging').getLogger('acme').warning"])
def test_what_an_adapter_prints_in_a_late_item_is_overheard_and_shown_to_nobody(how: str, author: Any) -> None:
    (author.path / "leaky.py").write_text(LEAKY.replace("HOW", how), encoding="utf-8")
    command = author.door(adapter="leaky:Leaky")
    selected = ["-v", "-k", "ready.proven or cancel.applied or reads-only or confidential"]
    ran = subprocess.run([*command, *selected], cwd=author.path, capture_output=True, text=True, check=False)
    assert ran.returncode == 1, ran.stdout
    judged = {entry.requirement: entry.judgement for entry in author.results().results}
    assert judged["cancel.applied"] is judged["conduct.reads-only"] is Judgement.PASSED
    assert judged["conduct.confidential"] is Judgement.FAILED
    assert "patient-1" not in ran.stdout + ran.stderr


def test_an_interrupted_session_cleans_up_and_leaves_its_report(author: Any) -> None:
    command = [*author.door(), "-v"]
    with subprocess.Popen(
        command, cwd=author.path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stdout is not None
        while "book.applied" not in running.stdout.readline():
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        shown = running.stdout.read()
    assert running.returncode == 2
    assert "The run was interrupted" in shown
    results = author.results()
    assert results.interrupted
    assert [entry.remaining for entry in results.residue] == [0]
