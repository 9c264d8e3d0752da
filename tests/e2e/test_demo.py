"""The demo as a newcomer runs it, as a program reads it, and as it fails."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from conformance.demo.command import demo
from conformance.demo.page import Page
from conformance.demo.performance import Performance
from conformance.demo.verdict import Check, Facts, Step, faults
from gateway.audit.export import export_lines
from gateway.audit.verify import verify_file
from gateway.cli.answer import ExitCode
from gateway.contracts.statements import Finding
from gateway.contracts.words import Effect, GateName, ObservationFinding, Standing, State
from gateway.journal._sqlite_archive import open_archive
from gateway.signatures import TrustedKeys

COMMAND = (sys.executable, "-m", "conformance.demo")

STEPS = [
    ("book", "SUCCEEDED", "APPLIED", "COMMITTED", 1),
    ("reschedule", "SUCCEEDED", "APPLIED", "COMMITTED", 1),
    ("cancel", "SUCCEEDED", "APPLIED", "COMMITTED", 1),
    ("same-request-again", "SUCCEEDED", "APPLIED", "COMMITTED", 0),
    ("same-key-other-proposal", "REJECTED", None, "IDEMPOTENCY_COLLISION", 0),
    ("expired-approval", "BLOCKED", None, "APPROVAL_EXPIRED", 0),
    ("altered-proposal", "BLOCKED", None, "APPROVAL_MISMATCH", 0),
    ("moved-particulars", "BLOCKED", None, "PARTICULARS_CHANGED", 0),
    ("withdrawn-consent", "BLOCKED", None, "CONSENT_ABSENT", 0),
    ("lost-reply", "ERROR", "UNKNOWN", "CONNECTION_LOST", 1),
    ("sibling-while-unresolved", "BLOCKED", None, "RELATED_UNRESOLVED", 0),
    ("resolved-applied", "ERROR", "UNKNOWN", "CONNECTION_LOST", 0),
    ("sibling-after-resolution", "BLOCKED", None, "SLOT_TAKEN", 0),
]


class Run:
    """One finished run as a program sees it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.process = subprocess.run(
            [*COMMAND, "--dir", str(directory), "--json"], capture_output=True, text=True, timeout=60, check=False
        )

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.process.stdout)
        assert "steps" in document, document
        return document

    def step(self, name: str) -> dict[str, Any]:
        """The step as it was seen."""
        found = [step for step in self.document["steps"] if step["name"] == name]
        assert len(found) == 1, self.document["trouble"]
        step: dict[str, Any] = found[0]
        return step

    def ended(self, name: str) -> tuple[Any, ...]:
        step = self.step(name)
        return name, step["state"], step["effect"], step["code"], step["mutating_requests"]

    @property
    def journal(self) -> Path:
        return self.directory / "gateway" / "journal.db"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("demo") / "practice")


class TestAsAProgramReadsIt:
    def test_it_succeeds_and_says_against_what(self, run: Run) -> None:
        document = run.document
        assert (run.process.returncode, run.process.stderr) == (0, "")
        assert document["ok"] is True
        assert document["server"]["name"] == "Radicale"
        assert document["server"]["version"][0].isdigit()
        assert document["directory"] == str(run.directory)
        assert document["trouble"] is None

    def test_every_step_is_there_and_nothing_else(self, run: Run) -> None:
        assert [step["name"] for step in run.document["steps"]] == [name for name, *_ in STEPS]
        assert all(step["ok"] and not step["faults"] for step in run.document["steps"])

    @pytest.mark.requirement("FAIL-24")
    @pytest.mark.parametrize("expected", STEPS[:3], ids=lambda step: step[0])
    def test_booking_moving_and_cancelling_are_actions_of_their_own(self, run: Run, expected: tuple[Any, ...]) -> None:
        assert run.ended(expected[0]) == expected
        with open_archive(run.journal) as archive:
            made = [stored.columns for stored in archive.attempts() if stored.columns["effect"] == "APPLIED"]
        assert len({row["approval"] for row in made}) == len({row["proposal"] for row in made}) == 3

    @pytest.mark.requirement("IDEM-02")
    def test_the_same_request_again_answers_what_was_recorded(self, run: Run) -> None:
        again = run.step("same-request-again")
        assert run.ended("same-request-again") == STEPS[3]
        assert again["replayed"] is True
        assert again["attempt_id"] == run.step("cancel")["attempt_id"]

    @pytest.mark.requirement("IDEM-03")
    def test_the_same_key_for_another_proposal_is_a_collision(self, run: Run) -> None:
        assert run.ended("same-key-other-proposal") == STEPS[4]

    @pytest.mark.requirement("GATE-21")
    def test_an_expired_approval_sends_nothing(self, run: Run) -> None:
        assert run.ended("expired-approval") == STEPS[5]

    @pytest.mark.requirement("AUTH-06")
    def test_a_proposal_altered_after_approval_sends_nothing(self, run: Run) -> None:
        assert run.ended("altered-proposal") == STEPS[6]

    @pytest.mark.requirement("CARD-09")
    def test_particulars_moved_after_approval_send_nothing(self, run: Run) -> None:
        assert run.ended("moved-particulars") == STEPS[7]

    @pytest.mark.requirement("GATE-12")
    def test_consent_withdrawn_after_approval_sends_nothing(self, run: Run) -> None:
        assert run.ended("withdrawn-consent") == STEPS[8]

    @pytest.mark.requirement("CARD-04", "CARD-13")
    def test_a_lost_reply_is_not_known_though_a_look_finds_it(self, run: Run) -> None:
        lost = run.step("lost-reply")
        assert run.ended("lost-reply") == STEPS[9]
        assert (lost["observed"], lost["lost_replies"], lost["standing"]) == ("PRESENT", 1, "UNRESOLVED")

    @pytest.mark.requirement("CARD-10")
    def test_a_sibling_of_an_unresolved_attempt_sends_nothing(self, run: Run) -> None:
        assert run.ended("sibling-while-unresolved") == STEPS[10]

    @pytest.mark.requirement("CARD-11")
    def test_a_signed_resolution_confirms_and_rewrites_nothing(self, run: Run) -> None:
        lost, resolved = run.step("lost-reply"), run.step("resolved-applied")
        assert run.ended("resolved-applied") == STEPS[11]
        assert (resolved["standing"], resolved["resolution"]) == ("CONFIRMED", "APPLIED")
        assert resolved["attempt_id"] == lost["attempt_id"]
        assert run.ended("sibling-after-resolution") == STEPS[12]

    @pytest.mark.requirement("NOTIFY-04")
    def test_people_are_told_confirmed_exactly_when_it_is(self, run: Run) -> None:
        for step in run.document["steps"]:
            assert ("confirmed" in step["told"].lower()) == (step["standing"] == "CONFIRMED"), step["name"]

    def test_the_server_holds_exactly_the_two_events_that_it_should(self, run: Run) -> None:
        held = [(event["status"], event["start"]) for event in run.document["calendar"]]
        assert held == [
            ("CANCELLED", "2031-03-03T10:00:00+00:00"),
            ("CONFIRMED", "2031-03-03T14:00:00+00:00"),
        ]
        assert run.step("reschedule")["calendar"] == ["STATUS:CONFIRMED 2031-03-03 10:00–10:30 UTC"]

    def test_no_event_on_the_server_names_anybody(self, run: Run) -> None:
        kept = [path.read_text() for path in (run.directory / "calendar").iterdir()]
        patients = [path.stem for path in (run.directory / "practice" / "patients").iterdir()]
        assert len(kept) == 2 and patients
        assert not any(patient[-12:] in text for patient in patients for text in kept)

    def test_the_audit_verifies_until_one_byte_is_flipped(self, run: Run) -> None:
        audit = run.document["audit"]
        assert (audit["verified"], audit["tamper_detected"], audit["verified_after_restoring"]) == (True, True, True)
        assert audit["events"] > 100
        assert audit["mutating_requests"] == 4
        assert audit["flaws"][0]["code"] == "CHAIN_BROKEN"
        keys = TrustedKeys.parse((run.directory / "gateway" / "keys.json").read_bytes())
        held = [(run.directory / "checkpoints" / "000001.checkpoint").read_text()]
        assert verify_file(run.journal, held, keys).intact
        altered = (run.directory / "copies" / "altered.db").read_bytes()
        restored = (run.directory / "copies" / "restored.db").read_bytes()
        assert sum(one != other for one, other in zip(altered, restored, strict=True)) == 1

    @pytest.mark.requirement("AUDIT-29")
    def test_the_exported_audit_alone_tells_how_the_booking_was_decided(self, run: Run) -> None:
        stream, attempt = io.StringIO(), run.step("book")["attempt_id"]
        with open_archive(run.journal) as archive:
            export_lines(archive, stream, attempt)
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        events: dict[str, list[Any]] = {}
        for line in lines:
            if "event" in line:
                events.setdefault(line["event"]["signal"], []).append(line["event"])
        records = {line["record"]["kind"]: line["record"] for line in lines if "record" in line}
        assert events["TriggerReceived"][0]["trigger_kind"] == "operator-initiated"
        assert events["ProposalBound"][0]["proposal_digest"] == records["proposal"]["reference"]
        assert events["ApprovalBound"][0].get("approval") == records["decision"]["reference"]
        assert [(gate["gate"], gate["passed"]) for gate in events["GateJudged"]] == [(gate, True) for gate in GateName]
        assert (events["PolicyEvaluated"][0]["policy"], events["PolicyEvaluated"][0]["allowed"]) == ("standard", True)
        assert events["IntentRecorded"][0]["operation"] == "schedule.book@v1"
        assert events["EffectRecorded"][0]["effect"] == "APPLIED"


class TestAsAPersonReadsIt:
    def test_every_step_is_ticked_in_words_within_100_columns(self, tmp_path: Path) -> None:
        told = subprocess.run(
            [*COMMAND, "--dir", str(tmp_path / "p")], capture_output=True, text=True, timeout=60, check=False
        )
        lines = told.stdout.splitlines()
        assert told.returncode == 0
        assert sum(line.startswith("  ✓  happened") for line in lines) == len(STEPS)
        assert "✗" not in told.stdout
        assert "✓ All 13 steps and every check were as they should be." in lines
        assert not [line for line in lines if len(line) > 100 and str(tmp_path) not in line]
        for command in (line.split("  ")[1] for line in lines if line.startswith("  gateway ")):
            program = [sys.executable, "-c", "from gateway.cli import main; main()", *command.split()[1:]]
            named = subprocess.run(program, cwd=tmp_path / "p", capture_output=True, timeout=60, check=False)
            assert named.returncode == (ExitCode.ERROR if "altered" in command else ExitCode.SUCCEEDED), command

    def test_it_is_a_command_of_the_program(self) -> None:
        (found,) = [entry for entry in entry_points(group="gateway.commands") if entry.name == "demo"]
        assert found.load() is demo


class Saboteur(Page):
    """Watches the demo, and takes the appointment off the server before it can be cancelled."""

    def opening(self, server: str, url: str, directory: Path) -> None:
        self.url, self.directory = url, directory
        super().opening(server, url, directory)

    def begin(self, number: int, title: str) -> None:
        super().begin(number, title)
        if number == 3:
            user, _, password = (self.directory / "secrets" / "calendar").read_text().partition(":")
            with httpx.Client(auth=(user, password), trust_env=False) as client:
                client.delete(f"{self.url}/owner/appointments/").raise_for_status()
                client.request("MKCALENDAR", f"{self.url}/owner/appointments/").raise_for_status()


class TestWhenSomethingIsNotAsItShouldBe:
    def test_the_step_fails_visibly_and_the_exit_code_says_so(self, tmp_path: Path) -> None:
        screen = io.StringIO()
        performance = Performance.prepare(tmp_path / "p", Saboteur(Console(file=screen, width=100)))
        assert performance.run() is ExitCode.ERROR
        document = performance.document()
        assert [step["ok"] for step in document["steps"]] == [True, True, False]
        assert document["steps"][2]["code"] == "TARGET_NOT_FOUND"
        assert document["audit"] is None
        assert "✗  happened   BLOCKED    TARGET_NOT_FOUND" in screen.getvalue()
        assert "✗             mutating requests: 0, not 1" in screen.getvalue()
        assert "All 13 steps" not in screen.getvalue()

    @pytest.mark.parametrize("part", [part.name for part in fields(Facts)])
    def test_every_fact_is_judged(self, part: str) -> None:
        expected = Facts(state=State.SUCCEEDED, code="COMMITTED", standing=Standing.CONFIRMED, calendar=("one",))
        other: dict[str, Any] = {
            "state": State.ERROR,
            "code": "CONNECTION_LOST",
            "standing": Standing.UNRESOLVED,
            "effect": Effect.UNKNOWN,
            "earlier_attempt": True,
            "replayed": True,
            "observed": ObservationFinding.ABSENT,
            "resolution": Finding.ABSENT,
            "mutating_requests": 1,
            "lost_replies": 1,
            "calendar": ("one", "two"),
        }
        assert faults(expected, expected) == ()
        (fault,) = faults(expected, replace(expected, **{part: other[part]}))
        assert fault.startswith(part.replace("_", " ") + ": ")

    def test_a_run_is_not_ok_for_one_wrong_step_or_one_failed_check(self, tmp_path: Path) -> None:
        right = Facts(state=State.SUCCEEDED, code="COMMITTED", standing=Standing.CONFIRMED, mutating_requests=1)
        step = Step(name="book", title="", expected=right, seen=right, attempt=None, told="")
        performance = Performance.prepare(tmp_path, Page(None))
        performance.audit = object()  # type: ignore[assignment]  # any trial will do
        performance.steps = [step] * len(STEPS)
        assert performance.ok
        performance.checks = [Check(name="wire", title="", expected="4", seen="5")]
        assert not performance.ok
        performance.checks = []
        performance.steps = [*performance.steps[1:], replace(step, seen=replace(right, mutating_requests=2))]
        assert not performance.ok
        performance.steps = performance.steps[:-1]
        assert not performance.ok

    def test_a_directory_with_something_in_it_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "mine").write_text("mine")
        run = Run(tmp_path)
        document = json.loads(run.process.stdout)
        assert (run.process.returncode, document["ok"], document["error"]["kind"]) == (2, False, "UsageError")
        assert [path.name for path in tmp_path.iterdir()] == ["mine"]


class TestWhenItIsStopped:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    @pytest.mark.parametrize("playing", [False, True], ids=["starting", "playing"])
    def test_nothing_is_left_running(self, tmp_path: Path, number: int, playing: bool) -> None:
        process = subprocess.Popen(
            [*COMMAND, "--dir", str(tmp_path / "p"), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        server = self.until(process, lambda: self.child_of(process.pid))
        if playing:
            self.until(process, (tmp_path / "p" / "gateway" / "journal.db").exists)
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (int(ExitCode.CANCELLED), "")
        assert json.loads(output)["trouble"].startswith("interrupted")
        assert not Path(f"/proc/{server}").exists()

    @staticmethod
    def until(process: subprocess.Popen[str], look: Callable[[], Any]) -> Any:
        """What was looked for, once it is there."""
        deadline = time.monotonic() + 30
        while not (found := look()):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        return found

    @staticmethod
    def child_of(parent: int) -> int | None:
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                    return int(path.parent.name)
            except (OSError, IndexError):
                continue
        return None
