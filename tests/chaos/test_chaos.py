"""A short run with everything killed at least once, and a checker that knows a violation when it sees one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.contracts.proposal import Operation, Origin, Proposal
from gateway.contracts.references import ConnectionId, DecisionId, PatientId, PersonId, PracticeId, ProposalId
from gateway.journal import StoredAttempt
from tests.chaos.checker import judge
from tests.chaos.keys import Key
from tests.chaos.run import Plan, execute


@pytest.mark.requirement("CARD-04", "IDEM-04")
def test_killed_gateways_and_servers_leave_every_key_with_one_end() -> None:
    quickly = {"gateway": 1.0, "server": 1.5, "session": 1.0, "peer": 0.5}
    report = execute(Plan(seconds=2, gateways=2, callers=4, keys=8, at_least=5, pauses=quickly), print)
    assert report["violations"] == []
    assert report["holds"]
    assert report["answers_kept_by_callers"] >= 5 * 3


def made(effect: str | None) -> Any:
    """One key, the attempt that ended so, and the line that a caller kept of it."""
    now = datetime(2030, 1, 7, tzinfo=UTC)
    proposal = Proposal(
        proposal_id=ProposalId.random(),
        revision=1,
        practice=PracticeId.random(),
        connection=ConnectionId.random(),
        operation=Operation.BOOK,
        origin=Origin.PATIENT,
        initiator=PersonId.random(),
        patient=PatientId.random(),
        consent="a" * 64,
        commitment="b" * 64,
        created_at=now,
        expires_at=now + timedelta(days=1),
    )
    key = Key(proposal, DecisionId.random(), "trigger")
    outcome = {"attempt": f"att_{effect}", "code": "X", "state": "ERROR", "replayed": False}
    columns = {
        "attempt": f"att_{effect}",
        "proposal": proposal.proposal_id,
        "effect": effect,
        "outcome": json.dumps(outcome),
    }
    return SimpleNamespace(key=key, attempt=StoredAttempt(columns, (), ()), outcome=outcome)


CASES = {
    "a commit that was made": ("APPLIED", 1, 1, {}, ""),
    "a commit that was refused": ("REFUSED", 1, 0, {}, ""),
    "an unknown that was made": ("UNKNOWN", 1, 1, {}, ""),
    "an unknown that was not": ("UNKNOWN", 0, 0, {}, ""),
    "a block that sent nothing": (None, 0, 0, {}, ""),
    "two requests": ("UNKNOWN", 2, 1, {}, "2 mutating requests"),
    "success without a request": ("APPLIED", 0, 0, {}, "said to be made"),
    "success without an appointment": ("APPLIED", 1, 0, {}, "said to be made"),
    "a refusal that was made": ("REFUSED", 1, 1, {}, "said to be refused"),
    "a request that nobody recorded": ("NOT_SENT", 1, 0, {}, "knows nothing"),
    "a block that sent": (None, 1, 1, {}, "knows nothing"),
    "an attempt still in flight": ("UNKNOWN", 0, 0, {"outcome": None}, "in flight"),
    "an answer that was lost": ("APPLIED", 1, 1, {"attempt": "att_other"}, "the journal differs"),
    "an answer that changed": ("APPLIED", 1, 1, {"outcome": "{}"}, "the journal differs"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_checker_knows_what_must_not_be(case: str, tmp_path: Path) -> None:
    effect, requests, appointments, changes, violation = CASES[case]
    story = made(effect)
    key = story.key
    peer = {
        "requests": [{"key": key.native}] * requests,
        "appointments": [{"keys": [key.native]}] * appointments,
    }
    stored = StoredAttempt(dict(story.attempt.columns) | changes, (), ())
    archive: Any = SimpleNamespace(attempts=lambda: [stored], records=list)
    kept = tmp_path / "caller.jsonl"
    kept.write_text(json.dumps({"key": key.native, "outcome": story.outcome}) + "\n")
    verdict = judge([key], peer, archive, [kept], [])
    assert bool(verdict.violations) is bool(violation)
    assert all(violation in each for each in verdict.violations[:1])


@pytest.mark.parametrize(
    ("effect", "requests", "held"),
    [(None, 0, True), ("UNKNOWN", 0, True), ("UNKNOWN", 1, False), ("APPLIED", 1, False)],
)
def test_whoever_was_told_blocked_had_nothing_sent(effect: str | None, requests: int, held: bool) -> None:
    story = made(effect)
    peer = {
        "requests": [{"key": story.key.native}] * requests,
        "appointments": [{"keys": [story.key.native]}] * (requests if effect == "APPLIED" else 0),
    }
    archive: Any = SimpleNamespace(attempts=lambda: [story.attempt], records=list)
    told = {"attempt": story.outcome["attempt"], "state": "BLOCKED"}
    verdict = judge([story.key], peer, archive, [], [(story.key, told)])
    assert (verdict.violations == []) is held
