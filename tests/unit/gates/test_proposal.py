"""Proposal (F-01 §4.4), judged alone: first by the journal, then with the evidence of notice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.contracts.chain import Record, RecordKind
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Origin
from gateway.contracts.references import AttemptId
from gateway.contracts.signals import ProposalState
from gateway.contracts.statements import Finding
from gateway.contracts.words import Effect
from gateway.gates import proposal

HELD = AttemptId.random()


def test_a_recorded_current_patients_proposal_of_which_the_patient_was_told_passes(bench: Any) -> None:
    assert proposal.judge_record(bench.case) is None
    assert proposal.judge(bench.case, bench.answers) is None


@pytest.mark.requirement("GATE-13")
def test_a_proposal_that_is_not_recorded_is_unknown(bench: Any) -> None:
    assert proposal.judge_record(replace(bench.case, file=None)) is Code.PROPOSAL_UNKNOWN
    assert proposal.judge_record(bench.triggered(proposal_digest="ab" * 32)) is Code.PROPOSAL_UNKNOWN


@pytest.mark.requirement("GATE-13")
def test_an_earlier_revision_is_known_as_such(bench: Any) -> None:
    head = bench.case.file.records[-1].hash
    later = bench.proposal.model_copy(update={"revision": 2})
    record = Record.after(head, 3, RecordKind.PROPOSAL, later.proposal_digest, "{}")
    case = bench.filed(proposal=later, records=(*bench.case.file.records, record))
    assert proposal.judge_record(case) is Code.PROPOSAL_REVISED


@pytest.mark.requirement("GATE-16")
@pytest.mark.parametrize(
    ("effect", "finding", "code"),
    [
        (Effect.APPLIED, None, Code.PROPOSAL_EXECUTED),
        (Effect.UNKNOWN, Finding.APPLIED, Code.PROPOSAL_EXECUTED),
        (Effect.UNKNOWN, Finding.HANDLED_BY_HAND, Code.PROPOSAL_EXECUTED),
        (Effect.UNKNOWN, None, Code.PROPOSAL_FROZEN),
        (None, None, Code.PROPOSAL_FROZEN),
    ],
)
def test_a_held_proposal_is_executed_or_frozen(bench: Any, effect: Effect, finding: Finding, code: Code) -> None:
    case = bench.filed(held_by=HELD, hold_effect=effect, hold_resolution=finding)
    assert proposal.judge_record(case) is code


@pytest.mark.requirement("GATE-15")
def test_a_withdrawn_proposal_is_refused(bench: Any) -> None:
    assert proposal.judge_record(bench.filed(withdrawn=True)) is Code.PROPOSAL_WITHDRAWN


@pytest.mark.requirement("GATE-14")
@pytest.mark.parametrize(
    ("seconds", "passes"), [(1799, True), (1800, False), (86_400, False), (-1860, True), (-1861, False)]
)
def test_a_proposal_lives_from_its_making_to_its_expiry(bench: Any, seconds: int, passes: bool) -> None:
    case = replace(bench.case, now=bench.case.now + timedelta(seconds=seconds))
    assert proposal.judge_record(case) is (None if passes else Code.PROPOSAL_EXPIRED)


@pytest.mark.requirement("TRIG-08")
@pytest.mark.parametrize("origin", [Origin.PROVIDER, Origin.SYSTEM])
def test_only_a_patients_request_passes(bench: Any, origin: Origin) -> None:
    assert proposal.judge_record(bench.proposed(origin=origin)) is Code.ORIGIN_FORBIDDEN


@pytest.mark.requirement("GATE-30")
@pytest.mark.parametrize("facts", [{"informed_of": None}, {"informed_of": "ab" * 32}, {"irreversibility_told": False}])
def test_the_patient_was_told_of_this_very_action_and_that_it_cannot_be_undone(bench: Any, facts: Any) -> None:
    assert proposal.judge(bench.case, bench.answered("notice", **facts)) is Code.PATIENT_UNINFORMED


@pytest.mark.requirement("GATE-14", "GATE-15", "GATE-16")
def test_with_evidence_the_record_is_judged_again(bench: Any) -> None:
    """What was recorded while evidence was fetched counts, however good the evidence is."""
    assert proposal.judge(bench.filed(withdrawn=True), bench.answers) is Code.PROPOSAL_WITHDRAWN


@pytest.mark.requirement("AUDIT-20")
def test_every_refusal_of_the_record_has_its_state_in_the_audit() -> None:
    assert {proposal.state(code) for code in proposal.STATES} | {ProposalState.CURRENT} == set(ProposalState)
    assert proposal.state(None) is proposal.state(Code.PATIENT_UNINFORMED) is ProposalState.CURRENT
