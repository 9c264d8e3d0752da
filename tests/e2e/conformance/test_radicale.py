"""The whole command against a real Radicale that runs already, with other people's events in it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.caldav.testing import RadicaleServer

PROGRAM = str(Path(sys.executable).with_name("gateway"))
STRANGERS = "\r\n".join(
    (
        *("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//somebody//else//EN", "BEGIN:VEVENT", "UID:a-stranger"),
        *("DTSTAMP:20300101T000000Z", "DTSTART:20310505T083000Z", "DTEND:20310505T090000Z", "SUMMARY:theirs"),
        *("END:VEVENT", "END:VCALENDAR", ""),
    )
)


@dataclass(frozen=True)
class Site:
    """A Radicale with a stranger's event in the second slot of the pool, and a directory of an author's."""

    server: RadicaleServer
    directory: Path

    def command(self, *arguments: str) -> list[str]:
        return [PROGRAM, "conformance", *arguments, "--target", str(self.directory / "target.toml"), "--json"]

    def run(self, report: str, *more: str) -> subprocess.CompletedProcess[str]:
        command = self.command("run", "caldav", "--report", str(self.directory / report), *more)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    def started(self, report: str) -> subprocess.Popen[str]:
        command = self.command("run", "caldav", "--report", str(self.directory / report))
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def results(self, report: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.directory / report / "results.json").read_text())
        return document

    def target(self, **changes: str) -> None:
        text = f"""
sandbox = {changes.get("sandbox", "true")}
label = "Radicale"
writes = 400
exhaustive = true
observer = "adapters.caldav.testing:observer"
grade = "second-credential"

[connection]
base_url = "{self.server.collection_url}"
credential = {{ scheme = "basic", name = "vendor" }}
limits = {{ request_seconds = 1, commit_seconds = 3 }}

[pool]
subjects = ["patient-1", "patient-2"]
practitioner = "practitioner-1"
location = "location-1"
service = "service-1"
first = 2031-05-05T08:00:00Z
slots = 400

[secrets]
vendor = {{ file = "vendor" }}
limited = {{ file = "limited" }}
observer = {{ file = "limited" }}
"""
        (self.directory / "target.toml").write_text(text)
        for name, secret in (
            ("vendor", changes.get("vendor", f"{self.server.user}:{self.server.password}")),
            ("limited", f"{self.server.reader}:{self.server.reader_password}"),
        ):
            path = self.directory / name
            path.touch(mode=0o600)
            path.write_text(secret)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with RadicaleServer() as server:
        reply = httpx.put(
            f"{server.collection_url}a-stranger.ics",
            content=STRANGERS,
            headers={"Content-Type": "text/calendar"},
            auth=(server.user, server.password),
        )
        assert reply.status_code == 201
        site = Site(server, tmp_path)
        site.target()
        yield site


@pytest.mark.requirement("CARD-07", "CARD-01")
def test_caldav_is_conformant_and_radicale_is_left_as_it_was(site: Site) -> None:
    before = site.server.stored_events
    ended = site.run("report")

    assert ended.returncode == 0, ended.stderr + ended.stdout[-2000:]
    results = site.results("report")
    assert results["verdict"] == "conformant"
    assert site.server.stored_events == before and len(before) == 1
    assert results["at_most_once"]["evidence"] == "not-violated"
    lost = [each for each in results["results"] if each["requirement"].startswith("lost.")]
    assert len(lost) == 48 and {each["judgement"] for each in lost} == {"passed"}
    assert all(attempt["sent"] <= 1 for each in results["results"] for attempt in each.get("attempts", ()))
    for name in ("report.html", "junit.xml", "results.json", "ledger.jsonl", "run.jsonl"):
        text = (site.directory / "report" / name).read_text()
        for secret in (site.server.password, site.server.reader_password, "a-stranger", "127.0.0.1"):
            assert secret not in text, name


@pytest.mark.parametrize("seed", range(2))
def test_a_run_interrupted_at_a_random_moment_leaves_radicale_as_it_was(site: Site, seed: int) -> None:
    before = site.server.stored_events
    process = site.started("report")
    ledger = site.directory / "report" / "ledger.jsonl"
    wanted = random.Random(seed).randrange(5, 90)
    while process.poll() is None and (not ledger.exists() or ledger.read_bytes().count(b"intended") < wanted):
        time.sleep(0.01)
    process.send_signal(random.Random(seed).choice((signal.SIGINT, signal.SIGTERM)))
    process.communicate(timeout=60)

    assert process.returncode == 2
    assert site.server.stored_events == before
    results = site.results("report")
    assert (results["verdict"], results["interrupted"]) == ("incomplete", True)


def test_a_run_that_was_killed_is_cleaned_up_from_its_ledger_and_can_be_resumed(site: Site) -> None:
    before = site.server.stored_events
    process = site.started("report")
    while process.poll() is None and len(site.server.stored_events) < 2:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    command = site.command("clean", "--report", str(site.directory / "report"))
    cleaned = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert cleaned.returncode == 0, cleaned.stderr
    assert site.server.stored_events == before
    resumed = site.run("report", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert (site.results("report")["verdict"], site.results("report")["parts"]) == ("conformant", 2)
    assert site.server.stored_events == before


def test_an_event_that_a_stranger_makes_during_the_run_is_never_removed(site: Site) -> None:
    """In the very slots in which the run is at work. Radicale shows no patient, so that the key decides."""
    process, made = site.started("report"), list[str]()
    ledger = site.directory / "report" / "ledger.jsonl"
    headers = {"Content-Type": "text/calendar"}
    with httpx.Client(auth=(site.server.user, site.server.password), headers=headers) as client:
        while process.poll() is None and len(made) < 12:
            lines = ledger.read_text().split("\n")[:-1] if ledger.exists() else []
            slots = [json.loads(line)["slot"] for line in lines if '"intended"' in line]
            if not slots or slots[-1] in made:
                time.sleep(0.005)
                continue
            made.append(slots[-1])
            start = datetime.fromisoformat(slots[-1])
            text = STRANGERS.replace("a-stranger", f"late-{len(made)}")
            text = text.replace("20310505T083000Z", f"{start:%Y%m%dT%H%M%SZ}")
            text = text.replace("20310505T090000Z", f"{start + timedelta(minutes=30):%Y%m%dT%H%M%SZ}")
            reply = client.put(f"{site.server.collection_url}late-{len(made)}.ics", content=text)
            assert reply.status_code == 201
    process.send_signal(signal.SIGINT)  # it cleans as it does at its end
    process.communicate(timeout=60)
    assert len(made) == 12
    assert b"".join(site.server.stored_events).count(b"UID:late-") == 12
    assert len(site.server.stored_events) == 13


def test_a_server_that_stops_half_way_is_never_conformant(site: Site) -> None:
    process = site.started("report")
    ledger = site.directory / "report" / "ledger.jsonl"
    while process.poll() is None and (not ledger.exists() or ledger.read_bytes().count(b"intended") < 20):
        time.sleep(0.01)
    site.server.stop()
    process.communicate(timeout=200)

    assert process.returncode == 2
    results = site.results("report")
    assert results["verdict"] == "incomplete"
    assert {each["judgement"] for each in results["results"]} <= {"passed", "not-applicable", "could-not-run"}
    assert not results["residue"][0]["verified"]


def test_wrong_credentials_end_before_anything_is_written(site: Site) -> None:
    before = site.server.stored_events
    site.target(vendor="owner:not-the-password")
    ended = site.run("report")

    assert ended.returncode in (1, 2, 3)
    assert site.results("report")["verdict"] != "conformant"
    assert site.server.stored_events == before
    assert "not-the-password" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("fault", ["empty", "no sandbox", "report unwritable"])
def test_what_does_not_admit_a_run_is_refused_before_anything_is_sent(site: Site, fault: str) -> None:
    before = site.server.stored_events
    report = site.directory / "report"
    if fault == "empty":
        (site.directory / "target.toml").write_text("")
    elif fault == "no sandbox":
        site.target(sandbox="false")
    else:
        report.write_text("a file stands where the directory should")
    ended = site.run("report")

    assert ended.returncode == 2
    message = json.loads(ended.stdout or ended.stderr)["error"]["message"]
    assert {"empty": "empty", "no sandbox": "sandbox", "report unwritable": "report"}[fault] in message
    assert site.server.stored_events == before
    assert not report.is_dir() or not (report / "results.json").exists()
