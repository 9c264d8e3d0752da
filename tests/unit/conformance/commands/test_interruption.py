"""A run that is interrupted or killed leaves the system as it was, and can be taken up again."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

ONLY = ("book.applied", "observe.book", "lost.late.book", "lost.late.cancel", "cancel.applied")
CHOSEN = tuple(argument for each in ONLY for argument in ("--only", each))


@pytest.fixture
def stranger(outside):
    """Somebody else's appointment, in a slot of the pool."""
    import httpx

    start, end = "2031-05-05T08:30:00Z", "2031-05-05T09:00:00Z"
    reply = httpx.post(
        f"{outside.url}/appointments",
        json={
            "patient": "somebody",
            "participants": ["practitioner-1"],
            "location": "location-1",
            "service": "service-1",
            "reason": None,
            "start": start,
            "end": end,
        },
        headers={"Authorization": "Bearer canary-token", "Idempotency-Key": "0" * 32},
    )
    assert reply.status_code == 201, reply.text
    return outside.appointments()


def standing(outside):
    return [each for each in outside.appointments() if each["status"] != "cancelled"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("arrivals", [1, 4])
def test_an_interrupted_run_cleans_up_and_reports_what_it_did(
    started, outside, stranger, until, tmp_path, number, arrivals
):
    before = outside.writes()
    run = started("run", "sandbox", "--target", outside.target, "--report", tmp_path / "report", "--json", *CHOSEN)
    until(lambda: outside.writes() >= before + arrivals)
    run.send_signal(number)
    run.send_signal(number)
    out, err = run.communicate(timeout=30)
    assert run.returncode == 2, err
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    assert results["interrupted"] and results["verdict"] == "incomplete"
    assert json.loads(out)["interrupted"] and "canary-token" not in out + err
    assert outside.appointments() == stranger
    assert all(residue["remaining"] == 0 and residue["verified"] for residue in results["residue"])


def killed(started, outside, until, report) -> subprocess.Popen[str]:
    """A run that was killed while an appointment of its own stood at the system."""
    before = outside.writes()
    run = started("run", "sandbox", "--target", outside.target, "--report", report, *CHOSEN)
    until(lambda: outside.writes() >= before + 4 and len(standing(outside)) > 1)
    run.kill()
    run.communicate()
    return run


def test_a_killed_run_is_cleaned_up_by_its_ledger(started, conformance, outside, stranger, until, tmp_path):
    killed(started, outside, until, tmp_path / "report")
    assert outside.appointments() != stranger
    ended = conformance("clean", "--target", outside.target, "--report", tmp_path / "report", "--json")
    assert ended.exit_code == 0 and ended.document["residue"]["remaining"] == 0
    assert outside.appointments() == stranger
    again = conformance("clean", "--target", outside.target, "--report", tmp_path / "report")
    assert again.exit_code == 0 and "appointments removed" in again.out


def test_a_killed_run_is_taken_up_where_it_stopped(started, conformance, outside, stranger, until, tmp_path):
    report = tmp_path / "report"
    killed(started, outside, until, report)
    done = [json.loads(line) for line in (report / "run.jsonl").read_text().splitlines()]
    kept = {entry["result"]["requirement"]: entry["result"] for entry in done if entry["kind"] == "result"}
    assert "book.applied" in kept and len(kept) < len(ONLY)
    ended = conformance("run", "sandbox", "--target", outside.target, "--report", report, "--resume", "--json", *CHOSEN)
    assert ended.exit_code == 2  # only some were asked for
    results = {entry["requirement"]: entry for entry in ended.document["results"]}
    assert set(results) == set(ONLY) and {entry["judgement"] for entry in results.values()} == {"passed"}
    assert results["book.applied"] == kept["book.applied"]
    assert ended.document["parts"] == 2 and not ended.document["interrupted"]
    assert outside.appointments() == stranger


def test_a_run_is_not_taken_up_for_another_target(started, conformance, outside, stranger, until, tmp_path):
    report = tmp_path / "report"
    killed(started, outside, until, report)
    left = outside.appointments()
    outside.target.write_text(outside.target.read_text().replace("commit_seconds = 1", "commit_seconds = 2"))
    ended = conformance("run", "sandbox", "--target", outside.target, "--report", report, "--resume", "--json")
    assert ended.exit_code == 2 and "the target and the target file changed" in ended.message
    ended = conformance("clean", "--target", outside.target, "--report", report, "--json")
    assert ended.exit_code == 2 and "of another target" in ended.message
    assert outside.appointments() == left


def test_there_is_nothing_to_clean_without_a_ledger(conformance, outside, tmp_path):
    ended = conformance("clean", "--target", outside.target, "--report", tmp_path, "--json")
    assert ended.exit_code == 2 and "ledger.jsonl" in ended.message


def test_a_directory_in_use_is_left_alone(started, conformance, outside, until, tmp_path):
    run = started("run", "sandbox", "--target", outside.target, "--report", tmp_path / "report", *CHOSEN)
    until(lambda: outside.writes() >= 1)
    ended = conformance("clean", "--target", outside.target, "--report", tmp_path / "report", "--json")
    assert ended.exit_code == 2 and "in use" in ended.message
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=30)


def test_a_server_that_stops_half_way_makes_the_run_incomplete_and_the_residue_uncertain(
    started, outside, until, tmp_path
):
    run = started("run", "sandbox", "--target", outside.target, "--report", tmp_path / "report", "--json", *CHOSEN)
    until(lambda: outside.writes() >= 4 and len(standing(outside)) > 0)
    outside.stop()
    out, err = run.communicate(timeout=40)
    assert run.returncode in (2, 3), err
    results = json.loads(out)
    assert results["verdict"] == "incomplete" and "canary-token" not in out + err
    judged = {each["requirement"]: each["judgement"] for each in results["results"]}
    assert judged["lost.late.cancel"] in ("could-not-run", "harness-error")
    (residue,) = results["residue"]
    assert not residue["verified"] and residue["remaining"] >= 1
