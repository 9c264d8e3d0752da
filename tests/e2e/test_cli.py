"""The whole story of a practice, told at the command line; and what holds of every command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.contracts.references import AttemptId


def target(answer: dict[str, Any]) -> dict[str, str]:
    outcome = answer["outcome"]
    return {"appointment": outcome["external_reference"], "version": outcome["version"]}


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
