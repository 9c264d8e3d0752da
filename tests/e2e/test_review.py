"""What a reviewer is shown and signs at the command line, and what an approval is of."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any


def test_a_reviewer_may_commit_in_the_same_sitting(practice: Any) -> None:
    answer = practice.ask("review", practice.propose(), "--approve", "--commit", "--yes")
    assert answer["decision"]["verdict"] == "approve" and answer["outcome"]["standing"] == "CONFIRMED"


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


def test_an_approval_of_what_was_withdrawn_is_not_called_usable(practice: Any) -> None:
    proposal = practice.approved()
    practice.ask("withdraw", proposal)
    assert "not spent, and of no further use" in practice.run("commit", proposal).out


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
