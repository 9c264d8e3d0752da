"""Rounds: what is planned, what is refused before anything begins, and whose results count."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.sandbox.adapter import SandboxAdapter
from conformance import rounds
from conformance.reports import spell
from conformance.results import Results, Verdict
from gateway.conformity import identify
from gateway.testing import make_connection

TARGET = Path("conformance.toml")


@pytest.fixture
def results(conformant: Callable[..., Results]) -> Results:
    """Of a conformant run of the sandbox's adapter."""
    adapter = SandboxAdapter()
    claims = adapter.describe(make_connection("http://127.0.0.1:9/"))
    return conformant(identify(adapter, "sandbox"), claims, "standard", datetime.now(UTC))


@pytest.fixture
def ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets another program take the place of the suite; `report` is its report directory."""

    def ending(program: str) -> None:
        script = tmp_path / "suite"
        head = f"#!{sys.executable}\nimport signal, sys, time\nfrom pathlib import Path\nreport = Path(sys.argv[-1])\n"
        script.write_text(head + program)
        script.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(script))

    return ending


@pytest.mark.parametrize("name", ["google-calendar", "google_calendar"])
def test_a_package_is_named_with_hyphens_or_underscores(name: str) -> None:
    ((run, package, target),) = rounds.planned([name])
    assert (run, package, target.name) == ("google-calendar", "google_calendar", "conformance.toml")


def test_every_target_file_of_a_package_is_a_run() -> None:
    assert [run for run, _, _ in rounds.planned(["hl7v2"])] == ["hl7v2-tls", "hl7v2"]
    assert {package for _, package, _ in rounds.planned([])} > {"hl7v2", "caldav"}


def test_a_name_that_no_package_has_refuses_the_round(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert rounds.main(["sandbox", "cladav", "--reports", str(tmp_path / "reports")]) == 2
    assert "called cladav; there are athenahealth, caldav," in capsys.readouterr().err
    assert not (tmp_path / "reports").exists()


def test_a_report_directory_that_is_not_empty_refuses_the_round(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "results.json").write_text("{}")
    assert rounds.main(["sandbox", "--reports", str(tmp_path)]) == 2
    assert "not empty; name another directory in --reports" in capsys.readouterr().err


@pytest.mark.parametrize("given", [[], ["results.json"], ["results.json", "name", "more"], ["/nowhere", "name"]])
def test_keep_without_results_and_name_is_refused(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert rounds.main(["keep", *given]) == 2
    assert capsys.readouterr().err.startswith("python -m conformance.rounds: ")


def test_a_run_is_kept_under_a_name_and_no_path(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(spell(results))
    assert rounds.main(["keep", str(path), "../name"]) == 2
    assert "'../name'" in capsys.readouterr().err


@pytest.mark.parametrize(("stated", "told"), [("5", "20"), ("1.5", "6.0")])
def test_patience_multiplies_the_limits(stated: str, told: str, tmp_path: Path) -> None:
    target = tmp_path / "conformance.toml"
    target.write_text(f"limits = {{ request_seconds = {stated}, commit_seconds = 3 }}\n")
    copy = rounds.patient(target, 4, tmp_path / "copy")
    assert copy.read_text() == f"limits = {{ request_seconds = {told}, commit_seconds = 12 }}\n"


def test_a_run_that_leaves_results_counts(results: Results, tmp_path: Path, ending: Callable[[str], None]) -> None:
    ending(f"report.mkdir()\n(report / 'results.json').write_bytes({spell(results)!r})\n")
    done = rounds.run("sandbox", "sandbox", TARGET, tmp_path / "report")
    assert done.record is not None
    assert done.record.verdict is Verdict.CONFORMANT


@pytest.mark.parametrize("code", [1, 3])
def test_results_of_a_run_that_ended_otherwise_do_not_count(
    code: int, results: Results, tmp_path: Path, ending: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    ending(f"report.mkdir()\n(report / 'results.json').write_bytes({spell(results)!r})\nsys.exit({code})\n")
    assert rounds.run("sandbox", "sandbox", TARGET, tmp_path / "report").record is None
    assert f"sandbox ended with {code}" in capsys.readouterr().err


def test_a_run_without_an_end_is_stopped(
    tmp_path: Path, ending: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rounds, "RUN_SECONDS", 1)
    ending("signal.signal(signal.SIGINT, lambda *_: sys.exit('stopped'))\ntime.sleep(600)\n")
    assert rounds.run("sandbox", "sandbox", TARGET, tmp_path / "report").record is None
    assert "stopped" in capsys.readouterr().err


def test_a_run_that_does_not_stop_is_killed(
    tmp_path: Path, ending: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rounds, "RUN_SECONDS", 1)
    monkeypatch.setattr(rounds, "STOPPING_SECONDS", 1)
    ending("signal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(600)\n")
    assert rounds.run("sandbox", "sandbox", TARGET, tmp_path / "report").record is None
    assert f"ended with {-9}" in capsys.readouterr().err
