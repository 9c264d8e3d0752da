"""Intent, commit, outcome: what is written before what, and what each port may do to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.attempt import KeyTaken, Run
from gateway.boundary import CommitResult
from gateway.boundary.engagement import Look
from gateway.contracts.adapter import Basis
from gateway.contracts.chain import RecordKind
from gateway.contracts.failures import Code
from gateway.contracts.outcome import ENDS
from gateway.contracts.proposal import Operation
from gateway.contracts.references import AttemptId, ObservationId
from gateway.contracts.signals import Signal, Step
from gateway.contracts.words import Effect, End, ObservationFinding, State
from gateway.errors import InvariantViolation, JournalFailed, JournalUnavailable
from gateway.execution import execute
from gateway.journal import Admission, Append, Appended, Intent
from tests.unit.scripted import (
    ACCEPTED,
    APPROVAL,
    DEADLINE,
    DIGEST,
    DISPATCH_BY,
    HEADER,
    JUDGED,
    KEY,
    NOW,
    PRACTICE,
    PROPOSAL_ID,
    REFERENCE,
    RESUME,
    SIBLINGS,
    Script,
    ending,
    gated,
    move,
    told,
)

INTENDED = [
    {"signal": Signal.MUTATION_REQUESTED, "operation": Operation.BOOK},
    {"signal": Signal.MUTATION_APPROVED, "operation": Operation.BOOK, "approval": APPROVAL},
    move(State.GATED, State.AUTHORIZED),
    move(State.AUTHORIZED, State.RUNNING),
    {"signal": Signal.EXECUTION_STEP_STARTED, "step": Step.COMMIT},
    {
        "signal": Signal.INTENT_RECORDED,
        "operation": Operation.BOOK,
        "deadline": DEADLINE,
        "absence_from": DEADLINE + timedelta(seconds=7 + 40),
        "system": DIGEST,
    },
    move(State.RUNNING, State.AUDITING),
]


@pytest.mark.requirement("STATE-23", "AUDIT-08")
async def test_the_intent_is_written_and_acknowledged_before_the_commit_and_the_effect_after_it() -> None:
    script = Script()
    script.result = CommitResult(
        effect=Effect.APPLIED, code=Code.COMMITTED, version=DIGEST, requests=2, mutating_requests=1
    )
    run, leave = script.run(resume=RESUME), gated(script)
    outcome = await execute(run, leave, KEY)
    assert script.said == ["append", "sink", "stopped", "commit", "sink", "released", "append"]
    assert script.spent == [leave.authorization]
    first, last = script.entries
    assert first == Append(
        attempt=first.attempt,
        header=HEADER,
        intent=Intent(attempt_key=KEY, siblings=SIBLINGS, deadline=DEADLINE, judged=JUDGED),
        resume=RESUME,
    )
    assert told(first.attempt.pending) == INTENDED
    assert [event.signal for event in script.offered[0]] == [link.event.signal for link in first.attempt.pending]
    done = {"effect": Effect.APPLIED, "code": Code.COMMITTED}
    assert told(last.attempt.pending) == [
        *ACCEPTED,
        move(State.AUDITING, State.RUNNING),
        {
            "signal": Signal.EXECUTION_STEP_COMPLETED,
            "step": Step.COMMIT,
            "requests": 2,
            "mutating_requests": 1,
            **done,
        },
        {"signal": Signal.EFFECT_RECORDED, "external_reference": REFERENCE, "version": DIGEST, **done},
        move(State.RUNNING, State.AUDITING),
        *reversed(ACCEPTED),
        move(State.AUDITING, State.SUCCEEDED, code=Code.COMMITTED),
        {
            "signal": Signal.ATTEMPT_COMPLETED,
            "to_state": State.SUCCEEDED,
            "outcome_digest": last.attempt.pending[-1].event.outcome_digest,
            **done,
        },
    ]
    assert (last.header, last.intent, last.resume, last.hold) == (HEADER, None, None, ENDS[End.APPLIED].hold)
    assert last.outcome == outcome
    assert (outcome.state, outcome.effect, outcome.external_reference) == (State.SUCCEEDED, Effect.APPLIED, REFERENCE)
    assert (outcome.version, outcome.notice_outstanding, outcome.binding_outstanding) == (DIGEST, True, False)
    # What the sinks were offered last is what was pending since the first barrier, and nothing twice.
    assert script.offered[1] == [link.event for link in last.attempt.pending[:6]]


@pytest.mark.parametrize(
    ("effect", "code", "end"),
    [
        (Effect.NOT_SENT, Code.EXTERNAL_UNAVAILABLE, End.NOT_SENT),
        (Effect.REFUSED, Code.SLOT_TAKEN, End.REFUSED),
        (Effect.UNKNOWN, Code.CONNECTION_LOST, End.UNKNOWN),
    ],
)
async def test_any_other_effect_ends_in_error_and_names_no_appointment(effect: Effect, code: Code, end: End) -> None:
    script = Script(result=CommitResult(effect=effect, code=code, version=DIGEST))
    outcome = await execute(script.run(), gated(script), KEY)
    assert (outcome.state, outcome.effect, outcome.code) == (State.ERROR, effect, code)
    assert (outcome.external_reference, outcome.version, outcome.notice_outstanding) == (None, None, True)
    assert script.entries[-1].hold is ENDS[end].hold
    effects = [event for event in told(script.entries[-1].attempt.pending) if event["signal"] is Signal.EFFECT_RECORDED]
    assert effects == [{"signal": Signal.EFFECT_RECORDED, "effect": effect, "code": code}]
    assert "observe" not in script.said


async def test_a_binding_that_did_not_come_home_is_said() -> None:
    script = Script(result=CommitResult(effect=Effect.APPLIED, code=Code.COMMITTED, binding_outstanding=True))
    assert (await execute(script.run(), gated(script), KEY)).binding_outstanding


@pytest.mark.requirement("FAIL-12")
@pytest.mark.parametrize(("effect", "code"), [(Effect.APPLIED, Code.COMMITTED), (Effect.REFUSED, Code.SLOT_TAKEN)])
async def test_a_sink_that_refuses_the_effect_is_told_only_of_what_was_applied(effect: Effect, code: Code) -> None:
    script = Script(refusing=(2,), result=CommitResult(effect=effect, code=code))
    outcome = await execute(script.run(), gated(script), KEY)
    applied = effect is Effect.APPLIED
    assert (outcome.state, outcome.effect) == (State.ERROR, effect)
    assert outcome.code is (Code.AUDIT_INCOMPLETE if applied else code)
    assert script.entries[-1].hold is ENDS[End.APPLIED_UNAUDITED if applied else End.REFUSED].hold


# -- before the commit ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("error", "lost"), [(JournalUnavailable(), False), (JournalFailed(), True)])
@pytest.mark.parametrize("before", [True, False])
async def test_an_intent_that_cannot_be_written_blocks_and_leaves_the_attempt_as_it_was(
    error: Exception, lost: bool, before: bool
) -> None:
    script = Script(admissions=[error])
    run = script.run()
    run.ports.retired = before
    attempt = run.attempt
    ended = await ending(run, gated(script))
    assert (ended.end, ended.code, run.attempt) == (End.BLOCKED, Code.AUDIT_UNAVAILABLE, attempt)
    assert run.ports.retired is (before or lost)
    assert script.said == ["append"]


async def test_an_intent_that_the_journals_rules_refuse_is_nobodys_attempt_to_end() -> None:
    script = Script(admissions=[InvariantViolation("no")])
    run = script.run()
    attempt = run.attempt
    with pytest.raises(InvariantViolation):
        await execute(run, gated(script), KEY)
    assert (run.attempt, script.said) == (attempt, ["append"])


@pytest.mark.parametrize(
    ("admission", "code"),
    [
        (Admission.STOPPED, Code.OPERATOR_STOP),
        (Admission.EXECUTED, Code.PROPOSAL_EXECUTED),
        (Admission.FROZEN, Code.PROPOSAL_FROZEN),
        (Admission.RELATED, Code.RELATED_UNRESOLVED),
        (Admission.MOVED, Code.PROPOSAL_WITHDRAWN),
    ],
)
async def test_what_stands_against_the_intent_blocks_and_is_said(
    monkeypatch: pytest.MonkeyPatch, admission: Admission, code: Code
) -> None:
    async def moved(run: Run) -> Code:
        return Code.PROPOSAL_WITHDRAWN

    monkeypatch.setattr(Run, "moved", moved)
    script = Script(admissions=[Appended(admission, AttemptId.random())])
    run = script.run()
    ended = await ending(run, gated(script))
    assert (ended.end, ended.code, script.said) == (End.BLOCKED, code, ["append"])
    assert told(run.attempt.pending) == [{"signal": Signal.MUTATION_DENIED, "operation": Operation.BOOK, "code": code}]
    assert (run.attempt.state, run.header) == (State.GATED, HEADER)


@pytest.mark.parametrize("error", [JournalUnavailable(), JournalFailed()])
async def test_what_was_said_meanwhile_and_cannot_be_read_blocks(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def moved(run: Run) -> Code:
        raise error

    monkeypatch.setattr(Run, "moved", moved)
    script = Script(admissions=[Appended(Admission.MOVED)])
    run = script.run()
    ended = await ending(run, gated(script))
    assert (ended.end, ended.code, script.said) == (End.BLOCKED, Code.AUDIT_UNAVAILABLE, ["append"])
    assert (run.attempt.pending, run.attempt.state) == ((), State.GATED)


async def test_a_key_that_was_used_for_something_else_denies_the_trigger_and_reserves_nothing() -> None:
    script = Script(admissions=[Appended(Admission.KEY_COLLISION)])
    run = script.run()
    ended = await ending(run, gated(script))
    assert (ended.end, ended.code) == (End.TRIGGER_DENIED, Code.IDEMPOTENCY_COLLISION)
    assert run.header == replace(HEADER, trigger_digest=None)
    assert [event["signal"] for event in told(run.attempt.pending)] == [Signal.MUTATION_DENIED]


@pytest.mark.parametrize("admission", [Admission.KEY_TAKEN, Admission.LOST])
@pytest.mark.parametrize("holder", [AttemptId.random(), None], ids=["held", "nobody"])
async def test_whoever_was_first_with_the_key_answers(admission: Admission, holder: AttemptId | None) -> None:
    script = Script(admissions=[Appended(admission, holder)])
    run = script.run()
    with pytest.raises(KeyTaken) as taken:
        await execute(run, gated(script), KEY)
    assert taken.value.holder == (holder or run.attempt.identity.attempt)
    assert script.said == ["append"]


@pytest.mark.requirement("GATE-29")
async def test_a_sink_that_refuses_the_intent_lets_nothing_out() -> None:
    script = Script(refusing=(1,))
    run = script.run(resume=RESUME)
    ended = await ending(run, gated(script))
    assert (ended.end, ended.code, script.said) == (End.NOT_DISPATCHED, Code.AUDIT_UNAVAILABLE, ["append", "sink"])
    assert (run.attempt.state, run.resume) == (State.AUDITING, None)


@pytest.mark.parametrize("latched", [True, JournalUnavailable(), JournalFailed()])
async def test_a_stop_or_a_journal_that_cannot_say_lets_nothing_out(latched: Any) -> None:
    script = Script(latched=latched)
    ended = await ending(script.run(), gated(script))
    known = latched is True
    assert ended.end is (End.STOPPED if known else End.NOT_DISPATCHED)
    assert ended.code is (Code.OPERATOR_STOP if known else Code.AUDIT_UNAVAILABLE)
    assert script.said == ["append", "sink", "stopped"]


async def test_a_process_that_lost_its_journal_dispatches_nothing_more() -> None:
    script = Script()
    run = script.run()
    run.ports.retired = True
    ended = await ending(run, gated(script))
    assert (ended.end, ended.code, script.said) == (End.NOT_DISPATCHED, Code.AUDIT_UNAVAILABLE, ["append", "sink"])


@pytest.mark.requirement("CARD-08")
@pytest.mark.parametrize(
    ("wall", "monotonic", "leaves"),
    [(-1, 99.9, True), (0, 5.0, False), (1, 5.0, False), (-1, 100.0, False)],
)
async def test_leave_to_dispatch_ends_by_either_clock(wall: int, monotonic: float, leaves: bool) -> None:
    script = Script()
    script.clock.at = DISPATCH_BY + timedelta(microseconds=wall)
    script.clock.ticking = monotonic
    if leaves:
        await execute(script.run(), gated(script), KEY)
        return
    ended = await ending(script.run(), gated(script))
    assert (ended.end, ended.code) == (End.NOT_DISPATCHED, Code.AUTHORIZATION_EXPIRED)
    assert "commit" not in script.said


# -- one look -------------------------------------------------------------------------------------------

UNKNOWN = CommitResult(effect=Effect.UNKNOWN, code=Code.CONNECTION_LOST)


@pytest.mark.requirement("CARD-13")
async def test_an_unknown_is_looked_at_once_where_the_policy_says_so_and_the_look_changes_nothing() -> None:
    script = Script(result=UNKNOWN)
    run = script.run()
    outcome = await execute(run, gated(script, observe_once=True), KEY)
    assert script.said[3:] == ["commit", "observe", "sink", "released", "append", "record"]
    assert (outcome.state, outcome.effect, outcome.code) == (State.ERROR, Effect.UNKNOWN, Code.CONNECTION_LOST)
    events = told(script.entries[-1].attempt.pending)
    at = events.index({"signal": Signal.EXECUTION_STEP_STARTED, "step": Step.OBSERVE})
    seen = outcome.observation
    assert seen is not None
    assert events[at + 1 : at + 3] == [
        {
            "signal": Signal.OBSERVATION_RECORDED,
            "observation": seen.observation_id,
            "finding": ObservationFinding.PRESENT,
        },
        {"signal": Signal.EXECUTION_STEP_COMPLETED, "step": Step.OBSERVE},
    ]
    (said,) = script.recorded
    assert said[:4] == (PRACTICE, PROPOSAL_ID, RecordKind.OBSERVATION, seen.observation_id)
    assert said[5] == run.attempt.identity.attempt
    assert isinstance(seen.observation_id, ObservationId)
    assert (seen.finding, seen.at) == (ObservationFinding.PRESENT, NOW)


async def test_absence_seen_at_once_proves_nothing() -> None:
    script = Script(result=UNKNOWN, seen=Look(finding=ObservationFinding.ABSENT, basis=Basis.BY_KEY))
    outcome = await execute(script.run(), gated(script, observe_once=True), KEY)
    assert outcome.observation is not None
    assert outcome.observation.finding is ObservationFinding.INDETERMINATE


async def test_what_is_known_is_not_looked_at() -> None:
    script = Script()
    await execute(script.run(), gated(script, observe_once=True), KEY)
    assert "observe" not in script.said


@pytest.mark.parametrize("error", [JournalUnavailable(), JournalFailed()])
async def test_a_look_that_cannot_be_recorded_leaves_the_outcome(error: Exception) -> None:
    script = Script(result=UNKNOWN, failing_record=error)
    outcome = await execute(script.run(), gated(script, observe_once=True), KEY)
    assert (outcome.effect, outcome.recorded, outcome.observation) == (Effect.UNKNOWN, True, None)


async def test_a_look_is_not_recorded_beside_an_outcome_that_is_not() -> None:
    script = Script(result=UNKNOWN, admissions=[Appended(Admission.ADMITTED), JournalUnavailable()])
    outcome = await execute(script.run(), gated(script, observe_once=True), KEY)
    assert (outcome.recorded, outcome.effect, script.said[-1]) == (False, Effect.UNKNOWN, "append")
