"""The whole story of a practice, told at the command line, and every way in which a command can end."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import volumes
from gateway.clock import SystemClock
from gateway.contracts.proposal import Proposal
from gateway.contracts.references import AttemptId, ConnectionId, DecisionId, ServiceId
from gateway.contracts.words import GateName
from gateway.surfaces.ceremonies import Surface
from gateway.surfaces.keys import LocalKey
from gateway.surfaces.local import LocalPractice

NONE = {"scheme": "none"}


def target(answer: dict[str, Any]) -> dict[str, str]:
    outcome = answer["outcome"]
    return {"appointment": outcome["external_reference"], "version": outcome["version"]}


def trigger(practice: Any, proposal: str, *, key: LocalKey | None = None) -> str:
    """A commit's trigger, signed at a surface other than the command line."""
    local = LocalPractice.open(practice.root)
    shown = practice.ask("show", proposal)
    decisions = [record["reference"] for record in shown["records"] if record["kind"] == "decision"]
    surface = Surface(key, SystemClock()) if key else local.surface("operator")
    recorded = Proposal.parse(json.dumps(shown["proposal"]))
    return surface.commit(recorded, operator=local.desk.operator, approval=DecisionId(decisions[-1])).token


def test_a_practice_books_reschedules_and_cancels_and_the_audit_holds(empty: Any) -> None:
    practice = empty.set_up("--file-sink")
    before = practice.sandbox.sent()
    booking = practice.propose()
    practice.ask("review", booking, "--approve", "--yes")
    assert practice.ask("check", booking)["outcome"]["code"] == "CHECK_PASSED"
    assert practice.sandbox.sent() == before
    booked = practice.ask("commit", booking)
    assert (booked["outcome"]["state"], booked["outcome"]["standing"]) == ("SUCCEEDED", "CONFIRMED")

    again = practice.ask("commit", booking)
    assert again["outcome"] == booked["outcome"] | {"replayed": True}
    assert practice.sandbox.sent() == before + 1

    moved = practice.ask("commit", practice.approved("reschedule", target(booked)))
    elsewhere = practice.ask("commit", practice.approved("cancel", target(moved)), code=4)
    assert elsewhere["outcome"]["code"] == "TARGET_CHANGED"  # it was shown at another hour than it is at
    practice.slots -= 2
    cancelled = practice.ask("commit", practice.approved("cancel", target(moved)))
    assert cancelled["outcome"]["standing"] == "CONFIRMED"
    assert practice.sandbox.sent() == before + 3

    listed = practice.ask("list")["attempts"]
    assert [(entry["purpose"], entry["state"]) for entry in listed].count(("commit", "SUCCEEDED")) == 3
    assert practice.ask("list", "--unresolved")["attempts"] == []
    stands = [entry["stands"] for entry in practice.ask("list", "--proposals")["proposals"]]
    assert sorted(stands) == ["approved", "carried out", "carried out", "carried out"]
    practice.ask("audit", "checkpoint")
    verified = practice.ask("audit", "verify")
    assert verified["intact"] and verified["covered"] == 5 + 4  # attempts, a check among them, and proposals
    assert practice.ask("doctor")["fit"]


@pytest.mark.requirement("AUTH-04", "TRIG-07")
def test_nothing_but_a_trigger_starts_an_attempt(practice: Any) -> None:
    before = practice.sandbox.sent()
    approved, withdrawn, stopped = practice.approved(), practice.approved(), practice.approved()
    practice.ask("review", practice.propose(), "--reject", "--yes")
    practice.ask("review", practice.propose(), "--request-modification", "--yes")
    practice.ask("withdraw", withdrawn)
    practice.ask("stop", stopped)
    for words in (("recover",), ("doctor",), ("list",), ("show", approved), ("observe", "--unresolved")):
        practice.ask(*words)
    practice.ask("connections", "suspend", practice.connection)
    practice.ask("connections", "resume", practice.connection)
    assert practice.ask("list")["attempts"] == []
    assert practice.sandbox.sent() == before
    assert practice.ask("commit", withdrawn, code=4)["outcome"]["code"] == "PROPOSAL_WITHDRAWN"
    assert practice.ask("commit", stopped, code=4)["outcome"]["code"] == "OPERATOR_STOP"
    assert practice.sandbox.sent() == before


@pytest.mark.requirement("OPS-01", "TRIG-02")
def test_every_act_needs_a_key_that_the_practice_trusts(practice: Any, tmp_path: Path) -> None:
    before, proposal = practice.sandbox.sent(), practice.approved()
    strangers = tmp_path / "strangers"
    strangers.mkdir()
    (strangers / "desk.json").write_bytes((practice.root / "keys" / "desk.json").read_bytes())
    for name in ("reviewer", "operator"):
        LocalKey.generate(name).save(strangers / f"{name}.json")
    practice.environment["GATEWAY_KEYS"] = str(strangers)
    for words in (("review", proposal, "--approve", "--yes"), ("stop", proposal), ("withdraw", proposal)):
        assert practice.ask(*words, code=2)["error"]["kind"] == "SignatureRefused"
    assert practice.ask("commit", proposal, code=3)["outcome"]["code"] == "TRIGGER_UNSIGNED"
    assert practice.ask("check", proposal, code=3)["outcome"]["code"] == "TRIGGER_UNSIGNED"
    practice.environment["GATEWAY_KEYS"] = str(tmp_path / "nowhere")
    for act in (("commit", proposal), ("review", proposal, "--reject"), ("stop", proposal), ("withdraw", proposal)):
        assert "desk.json" in practice.ask(*act, code=4)["error"]["message"]
    practice.environment["GATEWAY_KEYS"] = str(practice.home / "keys")
    assert "outside" in practice.ask("commit", proposal, code=4)["error"]["message"]
    assert practice.sandbox.sent() == before
    assert practice.ask("show", proposal)["stands"] == "approved"


@pytest.mark.requirement("TRIG-02")
def test_an_unsigned_trigger_is_rejected(practice: Any) -> None:
    before, proposal = practice.sandbox.sent(), practice.approved()
    header, payload, _ = trigger(practice, proposal).split(".")
    rejected = practice.ask("commit", "--trigger", "-", code=3, given=f"{header}.{payload}.AAAA")
    assert rejected["outcome"]["state"] == "REJECTED"
    assert practice.sandbox.sent() == before


def test_a_trigger_signed_elsewhere_commits_once(practice: Any, tmp_path: Path) -> None:
    before, proposal = practice.sandbox.sent(), practice.approved()
    (tmp_path / "trigger").write_text(trigger(practice, proposal) + "\n")
    practice.environment["GATEWAY_KEYS"] = "/nowhere"  # presenting needs no key
    first = practice.ask("commit", "--trigger", str(tmp_path / "trigger"))
    assert practice.ask("commit", "--trigger", str(tmp_path / "trigger"))["outcome"]["replayed"]
    assert first["outcome"]["state"] == "SUCCEEDED"
    assert practice.sandbox.sent() == before + 1


def test_a_reviewer_may_commit_in_the_same_sitting(practice: Any) -> None:
    answer = practice.ask("review", practice.propose(), "--approve", "--commit", "--yes")
    assert answer["decision"]["verdict"] == "approve" and answer["outcome"]["standing"] == "CONFIRMED"


@pytest.mark.requirement("OPS-02", "STATE-28")
def test_a_paused_attempt_is_answered_or_stopped(empty: Any) -> None:
    practice = empty.set_up_at_once(connection={"risk": "high"})
    before = practice.sandbox.sent()
    going, declined, stopped = practice.approved(), practice.approved(), practice.approved()
    paused = [practice.ask("commit", proposal, code=7)["outcome"] for proposal in (going, declined, stopped)]
    assert all(outcome["next"] == "DECIDE" and outcome["state"] == "PAUSED" for outcome in paused)
    assert practice.sandbox.sent() == before

    assert practice.ask("resume", paused[0]["attempt"], "--proceed")["outcome"]["standing"] == "CONFIRMED"
    answer = practice.ask("resume", paused[1]["attempt"], "--decline", code=3)
    assert answer["outcome"]["code"] == "DECISION_DECLINED"
    assert practice.ask("stop", stopped)["attempts"] == [{"attempt": paused[2]["attempt"], "state": "CANCELLED"}]
    practice.ask("resume", paused[2]["attempt"], "--proceed", code=2)
    assert practice.sandbox.sent() == before + 1


def test_what_was_cancelled_is_answered_as_cancelled(empty: Any, tmp_path: Path) -> None:
    practice = empty.set_up_at_once(connection={"risk": "high"})
    proposal = practice.approved()
    token = trigger(practice, proposal)
    practice.ask("commit", "--trigger", "-", given=token, code=7)
    practice.ask("stop", proposal)
    again = practice.ask("commit", "--trigger", "-", given=token, code=6)
    assert (again["outcome"]["state"], again["outcome"]["replayed"]) == ("CANCELLED", True)


def test_a_lost_reply_is_observed_and_resolved(practice: Any) -> None:
    before, proposal = practice.sandbox.sent(), practice.approved()
    practice.sandbox.arm(fault="drop-after", action="book")
    lost = practice.ask("commit", proposal, code=5)["outcome"]
    assert (lost["effect"], lost["standing"], lost["next"]) == ("UNKNOWN", "UNRESOLVED", "RESOLVE")
    assert [entry["attempt"] for entry in practice.ask("list", "--unresolved")["attempts"]] == [lost["attempt"]]
    assert practice.ask("commit", proposal, code=5)["outcome"]["replayed"]

    practice.ask("review", proposal, "--approve", "--yes")
    assert practice.ask("commit", proposal, code=4)["outcome"]["code"] == "PROPOSAL_FROZEN"
    (seen,) = practice.ask("observe", "--unresolved")["observed"]
    assert seen["outcome"]["observation"]["finding"] == "PRESENT"
    assert practice.ask("resolve", lost["attempt"], "--absent", "--yes", code=2)["error"]["kind"] == "Conflict"
    resolved = practice.ask("resolve", lost["attempt"], "--applied", "--yes")["outcome"]
    assert (resolved["standing"], resolved["state"]) == ("CONFIRMED", "ERROR")
    practice.ask("resolve", lost["attempt"], "--handled-by-hand", "--yes", code=2)
    assert practice.ask("commit", proposal, code=4)["outcome"]["code"] == "PROPOSAL_EXECUTED"
    assert practice.sandbox.sent() == before + 1
    assert "Confirmed" in practice.run("show", lost["attempt"]).out


@pytest.mark.requirement("AUDIT-29")
def test_the_exported_events_alone_rebuild_the_chain_of_decisions(practice: Any, tmp_path: Path) -> None:
    proposal = practice.approved()
    outcome = practice.ask("commit", proposal)["outcome"]
    practice.ask("audit", "export", "--to", str(tmp_path / "audit.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    events = [line["event"] for line in lines if "event" in line and line["event"]["attempt"] == outcome["attempt"]]
    said = {event["signal"]: event for event in events}
    recorded = practice.ask("show", proposal)
    approval = next(record for record in recorded["records"] if record["kind"] == "decision")
    gates = [(event["gate"], event["passed"]) for event in events if event["signal"] == "GateJudged"]

    assert said["TriggerReceived"]["trigger_kind"] == "operator-initiated"
    assert said["ProposalBound"]["proposal_digest"] == recorded["digest"]
    assert (said["ApprovalBound"]["approval"], said["ApprovalBound"]["approved_at"]) == (
        approval["reference"],
        approval["at"],
    )
    assert gates == [(gate.value, True) for gate in GateName]
    assert (said["PolicyEvaluated"]["policy"], said["PolicyEvaluated"]["allowed"]) == ("standard", True)
    assert said["EffectRecorded"]["external_reference"] == outcome["external_reference"]
    assert said["AttemptCompleted"]["code"] == outcome["code"]
    moves = [(event["from_state"], event["to_state"]) for event in events if "from_state" in event]
    assert [before for before, _ in moves[1:]] == [after for _, after in moves[:-1]]
    assert moves[-1][1] == outcome["state"]


@pytest.mark.requirement("OPS-03")
def test_no_command_says_what_only_the_practice_and_the_vendor_know(practice: Any) -> None:
    vendor = f"vendor-{practice.patient[-6:]}"
    proposal = practice.approved()
    practice.sandbox.arm(fault="drop-after", action="book")
    attempt = practice.ask("commit", proposal, code=5)["outcome"]["attempt"]
    hour = practice.request()["particulars"]["start"][:10]
    said = [
        practice.run(*words)
        for tail in ((), ("--json",))
        for words in (
            ("list", *tail),
            ("list", "--proposals", *tail),
            ("show", attempt, *tail),
            ("show", proposal, *tail),
            ("doctor", *tail),
            ("connections", "list", *tail),
            ("observe", attempt, *tail),
            ("audit", "show", attempt, *tail),
            ("audit", "verify", *tail),
            ("check", proposal, *tail),
            ("commit", proposal, *tail),
            ("resolve", attempt, "--applied", "--yes", *tail),
        )
    ]
    seen = practice.run("review", practice.propose(), "--approve", "--yes")
    text = "".join(ended.out + ended.err for ended in said) + practice.run("audit", "export").out
    assert "vendor-" not in text and hour not in text and "sandbox-token" not in text
    assert vendor not in seen.out + seen.err and practice.patient in seen.out


def test_the_reviewer_sees_what_it_is_and_none_of_it_stays(practice: Any) -> None:
    proposal = practice.propose()
    seen = practice.run("review", proposal, "--approve", "--yes")
    for fact in (
        "book",
        "Monday 2031-03-03 10:30 Europe/Berlin",
        f"vendor-{practice.service[-6:]}",
        "cannot be undone",
    ):
        assert fact in seen.out
    for path in practice.home.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert b"vendor-" not in content and b"2031-03-03" not in content


def test_nobody_approves_what_is_no_longer_what_was_proposed(practice: Any) -> None:
    proposal = practice.propose()
    path = practice.root / "practice" / "particulars" / f"{proposal}-1.json"
    path.write_text(path.read_text().replace("T09:30:00Z", "T09:15:00Z"))
    refused = practice.ask("review", proposal, "--approve", "--yes", code=4)
    assert refused["error"]["code"] == "PARTICULARS_CHANGED"
    practice.ask("review", proposal, "--reject", "--yes")


def answered_at_a_terminal(practice: Any, reply: bytes, *words: str) -> tuple[int, str]:
    """The program with a terminal on its standard input, where `reply` is typed."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "GATEWAY_HOME": str(practice.home)}
    program = str(Path(sys.executable).with_name("gateway"))
    with subprocess.Popen([program, *words], stdin=theirs, stdout=subprocess.PIPE, env=environment) as running:
        os.write(ours, reply)
        out, _ = running.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    return running.returncode, out.decode()


def test_signing_waits_for_a_persons_yes(practice: Any) -> None:
    proposal = practice.propose()
    assert "--yes" in practice.ask("review", proposal, "--approve", code=2)["error"]["message"]
    assert answered_at_a_terminal(practice, b"n\n", "review", proposal, "--approve")[0] == 2
    assert practice.ask("show", proposal)["stands"] == "awaiting review"
    code, out = answered_at_a_terminal(practice, b"y\n", "review", proposal, "--approve")
    assert (code, practice.ask("show", proposal)["stands"]) == (0, "approved")
    assert "Sign: approve?" in out


def test_bad_input_names_what_to_fix_and_repeats_none_of_it(practice: Any, tmp_path: Path) -> None:
    canary = "born-1970-01-01"
    bad = practice.request()
    bad["particulars"]["patient"] = canary
    cases: list[tuple[tuple[str, ...], str, str]] = [
        (("propose", "-"), json.dumps(bad), "particulars.patient"),
        (("propose", "-"), json.dumps(practice.request(note=canary)), "unknown member"),
        (("propose", "-"), "{" + canary, "not JSON"),
        (("propose", "-"), "[]", "not a JSON object"),
        (("propose", "-"), json.dumps(practice.request(expires_at="2020-01-01T00:00:00Z")), "expires_at"),
        (("propose", "-"), json.dumps(practice.request("cancel")), "particulars.target"),
        (("propose", str(tmp_path / canary)), "", "FILE"),
        (("review", canary, "--approve"), "", "PROPOSAL"),
        (("review", practice.propose()), "", "--approve"),
        (("commit",), "", "--trigger"),
        (("commit", canary), "", "PROPOSAL"),
        (("commit", practice.propose()), "", "gateway review"),
        (("show", canary), "", "ATTEMPT"),
        (("show", AttemptId.random()), "", "attempt"),
        (("resume", AttemptId.random(), "--proceed"), "", "attempt"),
        (("observe",), "", "--unresolved"),
        (("resolve", canary, "--applied"), "", "ATTEMPT"),
        (("connections", "suspend", canary), "", "CONNECTION"),
        (("connections", "add", "-"), json.dumps({"adapter": canary}), "base_url"),
        (("practice", "consent", canary, "--given"), "", "PATIENT"),
        (("audit", "show", AttemptId.random()), "", "attempt"),
        (("list", "--limit", canary), "", "--limit"),
        (("list", canary), "", "argument"),
    ]
    for words, given, named in cases:
        document = practice.ask(*words, code=2, given=given)
        assert named in json.dumps(document["error"]), words
        assert canary not in json.dumps(document), words
        for_people = practice.run(*words, given=given)
        assert (for_people.code, for_people.out) == (2, "")
        assert canary not in for_people.err and "✗" in for_people.err
    assert "--to" in practice.ask("audit", "export", code=2)["error"]["message"]  # many lines are not one document
    assert practice.ask("list")["attempts"] == []


def test_an_altered_home_is_refused_until_somebody_seals_the_change(practice: Any) -> None:
    path = practice.home / "connections" / f"{practice.connection}.json"
    path.write_text(path.read_text().replace('"request_seconds": 3', '"request_seconds": 2'))
    assert path.name in practice.ask("list", code=4)["error"]["message"]
    ill = [each for each in practice.ask("doctor", code=4)["findings"] if each["health"] == "ill"]
    assert "was altered" in ill[0]["found"] and ill[0]["do"]
    assert practice.ask("connections", "add", "-", code=4, given="{}")["error"]["kind"] == "ConfigurationError"
    assert "--yes" in practice.ask("seal", code=2)["error"]["message"]
    practice.ask("seal", "--yes")
    assert practice.ask("doctor")["fit"]


def test_the_doctor_says_what_is_wrong_and_what_to_do(practice: Any) -> None:
    (practice.root / "keys" / "operator.json").chmod(0o644)
    practice.ask("connections", "suspend", practice.connection)
    findings = {(each["subject"], each["health"]): each for each in practice.ask("doctor", code=4)["findings"]}
    assert "operator" in findings["keys", "ill"]["found"] and "600" in findings["keys", "ill"]["do"]
    assert "connections resume" in findings["connection", "note"]["do"]
    assert all(each["do"] for each in findings.values() if each["health"] != "well")
    assert findings["secret", "well"]
    assert "600" in practice.ask("commit", practice.propose(), code=4)["error"]["message"]


@pytest.mark.parametrize("amiss", ["missing", "open", "of no shape"])
def test_without_a_usable_secret_the_doctor_calls_nothing_fit(practice: Any, amiss: str) -> None:
    path = practice.root / "secrets" / "sandbox"
    if amiss == "missing":
        path.unlink()
    elif amiss == "open":
        path.chmod(0o644)
    else:
        path.write_text("two words")
    answer = practice.ask("doctor", code=4)
    (ill,) = (each for each in answer["findings"] if each["health"] == "ill")
    assert ill["subject"] == "secret" and practice.connection in ill["found"] and "scheme bearer" in ill["found"]
    assert f"it is a token; in {path}, mode 600" in ill["do"]
    assert "two words" not in json.dumps(answer)


def test_a_sandbox_reaches_other_hosts_by_a_signed_record_only(practice: Any) -> None:
    elsewhere = {"base_url": "https://pms.test/", "hosts": ["pms.test:443"], "zone": "Europe/Berlin"}
    given = json.dumps({"adapter": "sandbox", **elsewhere})
    refused = practice.ask("connections", "add", "-", code=2, given=given)
    assert "--yes" in refused["error"]["message"]
    assert len(practice.ask("connections", "list")["connections"]) == 1
    answer = practice.ask("connections", "add", "-", "--yes", given=given)
    assert answer["sandbox_hosts"] == ["pms.test:443"]
    assert all(each["admitted"] for each in practice.ask("connections", "list")["connections"])
    (practice.home / "sandbox.jws").unlink()
    admitted = {each["base_url"]: each["admitted"] for each in practice.ask("connections", "list")["connections"]}
    assert admitted == {"https://pms.test/": False, practice.sandbox.url: True}
    assert not practice.ask("doctor", code=4)["fit"]
    practice.ask("seal")
    assert practice.ask("doctor")["fit"]


def test_a_connection_of_an_adapter_that_is_not_installed_is_not_sealed(practice: Any) -> None:
    given = json.dumps(practice.described(adapter="smith"))
    message = practice.ask("connections", "add", "-", code=2, given=given)["error"]["message"]
    assert message.startswith("adapter: none of that name is installed") and "sandbox" in message
    assert "smith" not in message
    assert len(practice.ask("connections", "list")["connections"]) == 1


def test_whoever_adds_a_connection_is_told_which_secret_it_wants(practice: Any) -> None:
    given = practice.described(credential={"scheme": "basic", "name": "calendar"})
    told = practice.ask("connections", "add", "-", given=json.dumps(given))["secret"]
    assert told == f"user:password; in {practice.root / 'secrets' / 'calendar'}, mode 600"
    assert "secret" not in practice.ask("connections", "add", "-", given=json.dumps(given | {"credential": NONE}))


def test_the_first_appointments_gaps_are_told_with_the_command_that_fills_them(practice: Any) -> None:
    stranger, service = ConnectionId.random(), ServiceId.random()
    asked = practice.ask("practice", "identify", stranger, service, "30", code=2)["error"]["message"]
    assert "none sealed under that reference" in asked

    practice.service = service
    proposal = practice.propose()
    refused = practice.ask("review", proposal, "--approve", "--yes", code=4)["error"]
    assert refused["code"] == "PARTICULARS_MISSING"
    command = f"gateway practice identify {practice.connection} {service} IDENTIFIER"
    assert refused["message"].endswith(command) and refused["message"].count("identify") == 1
    practice.ask(*command.replace("IDENTIFIER", "30").split()[1:])
    practice.ask("review", proposal, "--approve", "--yes")

    practice.patient = practice.ask("practice", "add-patient")["patient"]
    refused = practice.ask("propose", "-", code=2, given=json.dumps(practice.request()))["error"]
    assert refused["message"].endswith(f"gateway practice consent {practice.patient} --given")


def test_an_approval_of_what_was_withdrawn_is_not_called_usable(practice: Any) -> None:
    proposal = practice.approved()
    practice.ask("withdraw", proposal)
    assert "not spent, and of no further use" in practice.run("commit", proposal).out


def test_a_flipped_byte_fails_verification_and_gets_no_checkpoint(practice: Any) -> None:
    practice.ask("commit", practice.approved())
    practice.ask("audit", "checkpoint")
    journal = practice.home / "journal.db"
    content = bytearray(journal.read_bytes())
    place = content.index(b'"gate":"identity"')
    content[place + 8] ^= 1
    journal.write_bytes(content)
    verified = practice.ask("audit", "verify", code=5)
    assert not verified["intact"] and verified["flaws"]
    assert practice.ask("audit", "checkpoint", code=5)["error"]["kind"] == "AuditTampered"


def test_verification_needs_public_keys_and_copies_only(practice: Any, tmp_path: Path) -> None:
    practice.ask("commit", practice.approved())
    practice.ask("audit", "checkpoint")
    for name in ("journal.db", "keys.json"):
        (tmp_path / name).write_bytes((practice.home / name).read_bytes())
    practice.environment["GATEWAY_HOME"] = "/nowhere"
    words = ("--journal", str(tmp_path / "journal.db"), "--public-keys", str(tmp_path / "keys.json"))
    verified = practice.ask("audit", "verify", *words, "--checkpoints", str(practice.root / "checkpoints"))
    assert (verified["intact"], verified["checkpoints"]) == (True, 1)


def test_checkpoints_that_are_not_where_they_are_said_to_be_prove_nothing(
    practice: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    practice.ask("commit", practice.approved())
    (caution,) = practice.ask("audit", "verify")["cautions"]
    assert "no checkpoint was held" in caution
    practice.ask("audit", "checkpoint")
    for nowhere in (tmp_path / "typo", tmp_path):
        refused = practice.ask("audit", "verify", "--checkpoints", str(nowhere), code=2)
        assert "--checkpoints" in refused["error"]["message"]
    monkeypatch.chdir(practice.home)
    practice.environment["GATEWAY_HOME"] = "."
    verified = practice.ask("audit", "verify")
    assert (verified["checkpoints"], verified["cautions"]) == (1, [])


def test_a_checkpoint_is_drawn_on_the_newest_and_every_one_is_verified(practice: Any) -> None:
    """Each lists everything: a year of them need not be read to draw the next."""
    practice.ask("commit", practice.approved())
    for _ in range(2):
        practice.ask("audit", "checkpoint")
    first, second = sorted((practice.root / "checkpoints").iterdir())
    first.write_bytes(b"spoilt")
    third = practice.ask("audit", "checkpoint")["checkpoint"]
    assert third["number"] == 3
    flaws = practice.ask("audit", "verify", code=5)["flaws"]
    assert flaws == [{"code": "CHECKPOINT_INVALID", "where": "checkpoint 1"}]
    second.write_bytes(b"spoilt")
    (practice.root / "checkpoints" / "000003.checkpoint").write_bytes(b"spoilt")
    assert practice.ask("audit", "checkpoint", code=5)["error"]["kind"] == "AuditTampered"


def test_a_list_says_when_there_is_more(practice: Any) -> None:
    for _ in range(2):
        practice.ask("commit", practice.approved())
    for words in (("list",), ("list", "--proposals")):
        assert practice.ask(*words)["more"] is False
        assert practice.ask(*words, "--limit", "2")["more"] is False
        assert practice.ask(*words, "--limit", "1")["more"] is True
        assert "there are more: --limit" in practice.run(*words, "--limit", "1").out
        assert "there are more" not in practice.run(*words).out
    assert practice.ask("list", "--in-flight") == {**practice.ask("list", "--unresolved")}
    assert "nothing is in flight" in practice.run("list", "--in-flight").out
    assert "one of them" in practice.ask("list", "--in-flight", "--unresolved", code=2)["error"]["message"]


def shortly_after() -> str:
    """The next whole second, once it has come: everything until now is older."""
    after = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    while datetime.now(UTC) <= after:
        time.sleep(0.05)
    return f"{after:%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.requirement("IDEM-02", "AUDIT-29")
def test_old_events_are_archived_and_read_back(practice: Any, tmp_path: Path) -> None:
    proposal = practice.approved()
    booked = practice.ask("commit", proposal)
    attempt = booked["outcome"]["attempt"]
    shown, before = practice.ask("show", attempt)["attempt"], shortly_after()
    assert "no checkpoint" in practice.ask("audit", "archive", "--before", before, code=4)["error"]["message"]
    practice.ask("audit", "checkpoint")
    planned = practice.ask("audit", "archive", "--before", before, "--plan")
    assert (planned["attempts"], planned["volumes"], planned["events"]) == (1, 1, len(shown["events"]))
    assert planned["event_bytes"] > 5000 and not (practice.root / "archive").exists()
    moved = practice.ask("audit", "archive", "--before", before, "--compact")
    assert moved == planned | {"planned": False, "compacted": True}
    assert practice.ask("audit", "archive", "--before", before)["attempts"] == 0

    again = practice.ask("commit", proposal)
    assert again["outcome"] == booked["outcome"] | {"replayed": True}
    assert practice.ask("show", attempt)["attempt"] == shown | {"volume": 1}
    assert practice.ask("list")["attempts"][0]["outcome"] == shown["outcome"]
    verified = practice.ask("audit", "verify")
    assert (verified["intact"], verified["archived"], verified["not_at_hand"]) == (True, 1, 0)
    assert len(practice.ask("audit", "show", attempt)["events"]) == len(shown["events"])
    assert practice.ask("audit", "checkpoint")["checkpoint"]["archived"][0] == 1

    (practice.root / "archive").rename(tmp_path / "elsewhere")
    page = practice.run("show", attempt).out
    assert "in volume 1" in page and "--archive" in page and "durable barrier" not in page
    assert "durable barrier" in practice.run("show", attempt, "--archive", str(tmp_path / "elsewhere")).out
    assert "archived" in practice.run("list").out
    assert practice.ask("audit", "show", attempt)["archived"]["volume"] == 1
    assert "volume 1" in practice.run("audit", "show", attempt).out
    exported = [json.loads(line) for line in practice.run("audit", "export").out.splitlines()]
    assert [line["archived"]["attempt"] for line in exported if "archived" in line] == [attempt]
    verified = practice.ask("audit", "verify")
    assert (verified["intact"], verified["not_at_hand"]) == (True, 1)
    assert "1 archived attempts were not at hand" in practice.run("audit", "verify").out
    assert practice.ask("audit", "verify", "--archive", str(tmp_path / "elsewhere"))["not_at_hand"] == 0
    (tmp_path / "empty").mkdir()
    flaws = practice.ask("audit", "verify", "--archive", str(tmp_path / "empty"), code=5)["flaws"]
    assert flaws == [{"code": "VOLUME_MISSING", "where": "volume 1"}]
    said = practice.ask("audit", "verify", "--archive", str(tmp_path / "empty"), "--discarded", "1")
    assert (said["intact"], said["not_at_hand"]) == (True, 1)


def test_an_attempt_that_no_volume_could_hold_is_counted_and_stays(
    practice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    practice.ask("commit", practice.approved())
    before = shortly_after()
    practice.ask("audit", "checkpoint")
    with monkeypatch.context() as small:
        small.setattr(volumes, "MAX_ATTEMPT_BYTES", 1000)
        moved = practice.ask("audit", "archive", "--before", before)
        assert (moved["attempts"], moved["uncovered"], moved["oversized"]) == (0, 0, 1)
        assert "1 more have too many events" in practice.run("audit", "archive", "--before", before).out
    moved = practice.ask("audit", "archive", "--before", before)
    assert (moved["attempts"], moved["oversized"]) == (1, 0)
    assert "left" not in practice.run("audit", "archive", "--before", before).out


def test_archiving_refuses_what_makes_no_sense(practice: Any) -> None:
    practice.ask("commit", practice.approved())
    practice.ask("audit", "checkpoint")
    for words, named in (
        (("--before", "yesterday"), "2026-01-31"),
        (("--before", "2999-01-01"), "past"),
        (("--before", "2026-01-01", "--plan", "--compact"), "--compact"),
        (("--before", "2026-01-01", "--to", str(practice.home / "gateway.json")), "--to"),
    ):
        assert named in practice.ask("audit", "archive", *words, code=2)["error"]["message"]
    missing = practice.ask("audit", "verify", "--archive", "/nowhere", code=2)
    assert "--archive" in missing["error"]["message"]
    assert practice.ask("audit", "archive", "--before", "2026-01-01")["attempts"] == 0


def test_a_revision_is_a_proposal_of_its_own(practice: Any) -> None:
    proposal = practice.approved()
    revised = practice.ask("propose", "-", "--told", given=json.dumps(practice.request(proposal_id=proposal)))
    assert revised["proposal"]["revision"] == 2
    assert practice.ask("commit", proposal, code=4)["outcome"]["code"] == "APPROVAL_MISMATCH"
    practice.ask("review", proposal, "--approve", "--yes")
    assert practice.ask("commit", proposal)["outcome"]["state"] == "SUCCEEDED"


def test_two_persons_where_the_practice_says_so(empty: Any) -> None:
    practice = empty.set_up_at_once(policy="two-person")
    denied = practice.ask("review", practice.propose(), "--approve", "--commit", "--yes", code=3)
    assert denied["outcome"]["code"] == "TWO_PERSONS_REQUIRED"
    assert practice.ask("commit", denied["decision"]["proposal_id"])["outcome"]["state"] == "SUCCEEDED"


def test_what_is_installed_is_listed(practice: Any) -> None:
    assert "sandbox" in {entry["adapter"] for entry in practice.ask("adapters", "list")["adapters"]}
