"""What starts an attempt at the command line, and how one is answered, stopped, observed and resolved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.contracts.proposal import Proposal
from gateway.contracts.references import DecisionId
from gateway.surfaces.ceremonies import Surface
from gateway.surfaces.keys import LocalKey
from gateway.surfaces.local import LocalPractice


def trigger(practice: Any, proposal: str, *, key: LocalKey | None = None) -> str:
    """A commit's trigger, signed at a surface other than the command line."""
    local = LocalPractice.open(practice.root)
    shown = practice.ask("show", proposal)
    decisions = [record["reference"] for record in shown["records"] if record["kind"] == "decision"]
    surface = Surface(key, SystemClock()) if key else local.surface("operator")
    recorded = Proposal.parse(json.dumps(shown["proposal"]))
    return surface.commit(recorded, operator=local.desk.operator, approval=DecisionId(decisions[-1])).token


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
