"""Intent, commit, outcome: what is written before what, and what each port may do to it. The ports are small fakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.attempt import AttemptEnded, Gated, KeyTaken, Run
from gateway.audit.acknowledgement import Sinks
from gateway.authorization import Authorization, Verdict
from gateway.boundary import CommitResult
from gateway.boundary.engagement import Look
from gateway.clock import SystemClock
from gateway.contracts.adapter import Basis
from gateway.contracts.chain import GENESIS, Link, Record, RecordKind
from gateway.contracts.failures import Code
from gateway.contracts.outcome import ENDS, Outcome
from gateway.contracts.proposal import Operation, Origin, Proposal
from gateway.contracts.references import (
    AppointmentId,
    AttemptId,
    ConnectionId,
    CorrelationId,
    DecisionId,
    ObservationId,
    PatientId,
    PersonId,
    PracticeId,
    ProposalId,
    TriggerId,
)
from gateway.contracts.signals import Event, Signal, Step
from gateway.contracts.statements import Purpose
from gateway.contracts.words import Effect, End, Environment, GateName, ObservationFinding, State
from gateway.errors import InvariantViolation, JournalFailed, JournalUnavailable
from gateway.execution import execute
from gateway.journal import Admission, Append, Appended, AttemptFile, Header, Intent
from gateway.lifecycle import Attempt, Identity
from gateway.recovery import recover

NOW = datetime(2030, 1, 7, 9, 0, tzinfo=UTC)
DISPATCH_BY = NOW + timedelta(seconds=10)
DEADLINE = DISPATCH_BY + timedelta(seconds=20)
KEY, JUDGED, SIBLINGS, DIGEST = "a1" * 32, "b2" * 32, ("c3" * 32,), "d4" * 32
PRACTICE, PROPOSAL_ID, APPROVAL = PracticeId.random(), ProposalId.random(), DecisionId.random()
REFERENCE, RESUME = AppointmentId.random(), (TriggerId.random(), "e5" * 32)
PROPOSAL = Proposal(
    proposal_id=PROPOSAL_ID,
    revision=1,
    practice=PRACTICE,
    connection=ConnectionId.random(),
    operation=Operation.BOOK,
    origin=Origin.PATIENT,
    initiator=PersonId.random(),
    patient=PatientId.random(),
    consent=DIGEST,
    commitment=DIGEST,
    created_at=NOW - timedelta(days=1),
    expires_at=NOW + timedelta(days=1),
)
HEADER = Header(
    purpose=Purpose.COMMIT,
    trigger=TriggerId.random(),
    trigger_digest=DIGEST,
    practice=PRACTICE,
    proposal=PROPOSAL_ID,
    proposal_digest=PROPOSAL.proposal_digest,
    connection=PROPOSAL.connection,
    operation=Operation.BOOK,
    approval=APPROVAL,
)


class Clock(SystemClock):
    at = NOW
    ticking = 5.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.ticking


APPLIED = CommitResult(effect=Effect.APPLIED, code=Code.COMMITTED)
PRESENT = Look(finding=ObservationFinding.PRESENT, basis=Basis.BY_KEY, version=DIGEST)


@dataclass
class Script:
    """Journal, sink and engagement in one: does as it is told, and notes in which order it was asked."""

    clock: Clock = field(default_factory=Clock)
    said: list[str] = field(default_factory=list)
    entries: list[Append] = field(default_factory=list)
    admissions: list[Appended | Exception] = field(default_factory=list)
    latched: bool | Exception = False
    refusing: tuple[int, ...] = ()
    offered: list[list[Event]] = field(default_factory=list)
    result: CommitResult = APPLIED
    seen: Look = PRESENT
    recorded: list[tuple[Any, ...]] = field(default_factory=list)
    failing_record: Exception | None = None
    found: list[AttemptFile] = field(default_factory=list)
    meanwhile: dict[AttemptId, Outcome] = field(default_factory=dict)
    spent: list[Authorization] = field(default_factory=list)

    async def append(self, entry: Append) -> Appended:
        self.said.append("append")
        self.entries.append(entry)
        answer = self.admissions.pop(0) if self.admissions else Appended(Admission.ADMITTED)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def stopped(
        self, practice: PracticeId, proposal: ProposalId, revision: str, *, dispatching: AttemptId
    ) -> bool:
        self.said.append("stopped")
        assert (practice, proposal, revision) == (PRACTICE, PROPOSAL_ID, PROPOSAL.proposal_digest)
        assert dispatching == self.entries[0].attempt.identity.attempt
        if isinstance(self.latched, Exception):
            raise self.latched
        return self.latched

    async def record(self, *said: Any, attempt: AttemptId) -> Record:
        self.said.append("record")
        if self.failing_record is not None:
            raise self.failing_record
        self.recorded.append((*said, attempt))
        return Record.after(GENESIS, 1, RecordKind.OBSERVATION, said[3], said[4])

    async def orphans(self) -> Sequence[AttemptFile]:
        return self.found

    async def attempt(self, attempt: AttemptId) -> AttemptFile | None:
        [file] = [file for file in self.found if file.attempt == attempt]
        return replace(file, outcome=self.meanwhile.get(attempt))

    async def accept(self, events: Sequence[tuple[str, Event]]) -> None:
        self.said.append("sink")
        self.offered.append([event for _, event in events])
        if len(self.offered) in self.refusing:
            raise OSError

    async def commit(self, authorization: Authorization) -> CommitResult:
        self.said.append("commit")
        self.spent.append(authorization)
        return self.result

    async def observe(self) -> Look:
        self.said.append("observe")
        return self.seen

    async def aclose(self) -> None:
        self.said.append("released")

    def ports(self) -> Any:
        sinks = Sinks(sinks={"one": self}, seconds=1, clock=self.clock)  # type: ignore[dict-item]  # the part it needs
        return SimpleNamespace(journal=self, sinks=sinks, clock=self.clock, retired=False)

    def run(self, **changes: Any) -> Run:
        identity = Identity(
            attempt=AttemptId.random(),
            correlation=CorrelationId.random(),
            trace="0123456789abcdef" * 2,
            environment=Environment.SANDBOX,
            trigger=HEADER.trigger,
        )
        attempt = Attempt(identity=identity).to(State.VALIDATING, NOW).to(State.GATED, NOW).flushed()
        made: dict[str, Any] = {"ports": self.ports(), "attempt": attempt, "header": HEADER, "engagement": self}
        return Run(**(made | changes))

    @property
    def connection(self) -> Any:
        return SimpleNamespace(limits=SimpleNamespace(commit_seconds=20), system=DIGEST)

    descriptor = SimpleNamespace(relay_seconds=7, settling_seconds=40)

    siblings = SIBLINGS
    reference = REFERENCE


def gated(script: Script, *, observe_once: bool = False) -> Gated:
    authorization = Authorization.grant(
        [Verdict(gate) for gate in GateName], allowed=True, proposal_digest=PROPOSAL.proposal_digest, expires=100.0
    )
    ruling: Any = SimpleNamespace(observe_once=observe_once)
    engagement: Any = script
    return Gated(
        authorization=authorization,
        dispatch_by=DISPATCH_BY,
        judged=JUDGED,
        engagement=engagement,
        ruling=ruling,
        proposal=PROPOSAL,
    )


def told(links: Sequence[Link]) -> list[dict[str, Any]]:
    """What each event says beyond its identity and its place."""
    common = {"seq", "at", "environment", "attempt", "correlation", "trace", "trigger"}
    return [
        {name: value for name, value in link.event.model_dump().items() if value is not None and name not in common}
        for link in links
    ]


def move(source: State, target: State, **detail: Any) -> dict[str, Any]:
    return {"signal": Signal.STATE_TRANSITION_RECORDED, "from_state": source, "to_state": target, **detail}


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
ACCEPTED = [{"signal": Signal.AUDIT_ACCEPTED, "sink": "journal"}, {"signal": Signal.AUDIT_ACCEPTED, "sink": "one"}]


async def ending(run: Run, gated: Gated) -> AttemptEnded:
    with pytest.raises(AttemptEnded) as ended:
        await execute(run, gated, KEY)
    return ended.value


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


# -- recovery -------------------------------------------------------------------------------------------


async def orphan() -> AttemptFile:
    """An attempt whose owner died after its intent."""
    script = Script(latched=JournalUnavailable())
    run = script.run(attempt=replace(script.run().attempt, stored=0))
    whole = Attempt(identity=run.attempt.identity).to(State.VALIDATING, NOW).to(State.GATED, NOW)
    run.attempt = whole
    await ending(run, gated(script))
    (entry,) = script.entries
    return AttemptFile(
        attempt=entry.attempt.identity.attempt,
        header=HEADER,
        state=entry.attempt.state,
        links=entry.attempt.pending,
        outcome=None,
        owner=None,
        deadline=DEADLINE,
        resolution=None,
    )


@pytest.mark.requirement("STATE-25")
@pytest.mark.parametrize("refusing", [(), (1,)])
async def test_an_orphan_becomes_an_error_of_unknown_effect_in_one_append(refusing: tuple[int, ...]) -> None:
    file = await orphan()
    script = Script(found=[file], refusing=refusing)
    (outcome,) = await recover(script.ports())
    (entry,) = script.entries
    assert script.said == ["sink", "append"]
    sink = (
        ACCEPTED[1]
        if not refusing
        else {
            "signal": Signal.AUDIT_FAILED,
            "sink": "one",
            "code": Code.AUDIT_UNAVAILABLE,
        }
    )
    died = {"code": Code.OWNER_DIED}
    assert told(entry.attempt.pending) == [
        {"signal": Signal.EFFECT_RECORDED, "effect": Effect.UNKNOWN, **died},
        sink,
        ACCEPTED[0],
        move(State.AUDITING, State.ERROR, **died),
        {
            "signal": Signal.ATTEMPT_COMPLETED,
            "to_state": State.ERROR,
            "effect": Effect.UNKNOWN,
            "outcome_digest": entry.attempt.pending[-1].event.outcome_digest,
            **died,
        },
    ]
    assert {link.event.at for link in entry.attempt.pending} == {NOW}
    assert [[event.signal for event in batch] for batch in script.offered] == [[Signal.EFFECT_RECORDED]]
    assert (entry.header, entry.intent, entry.hold) == (HEADER, None, ENDS[End.UNKNOWN].hold)
    assert entry.outcome == outcome
    assert (outcome.attempt, outcome.state, outcome.code) == (file.attempt, State.ERROR, Code.OWNER_DIED)
    assert outcome.notice_outstanding
    assert entry.attempt.pending[0].previous == file.links[-1].hash


async def test_of_an_orphan_that_has_ended_meanwhile_the_sinks_hear_nothing() -> None:
    first, second = await orphan(), await orphan()
    (ended,) = await recover(Script(found=[first]).ports())
    script = Script(found=[first, second], meanwhile={first.attempt: ended})
    assert [outcome.attempt for outcome in await recover(script.ports())] == [second.attempt]
    assert [{event.attempt for event in batch} for batch in script.offered] == [{second.attempt}]
    assert [entry.attempt.identity.attempt for entry in script.entries] == [second.attempt]


async def test_an_orphan_that_another_process_recovered_first_is_left_to_it() -> None:
    first, second = await orphan(), await orphan()
    script = Script(found=[first, second], admissions=[Appended(Admission.LOST), Appended(Admission.ADMITTED)])
    outcomes: list[Outcome] = await recover(script.ports())
    assert [outcome.attempt for outcome in outcomes] == [second.attempt]
