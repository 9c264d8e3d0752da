"""The audit at the command line: exported, checkpointed, verified, archived and read back."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import volumes
from gateway.contracts.words import GateName


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
