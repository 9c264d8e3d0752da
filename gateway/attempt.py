"""One attempt on its way through the phases before the intent, and its close.

Owns: the order of validation, gates and policy (F-01 §4, E-01 §3.2), and the append that ends or pauses an
attempt. A phase that cannot go on raises `AttemptEnded` with a row of the table and a code; `close` alone
turns that into events, an outcome and a durable append.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from gateway.audit.acknowledgement import JOURNAL
from gateway.authorization import Authorization
from gateway.boundary import Engagement
from gateway.contracts.chain import RecordKind
from gateway.contracts.failures import ESCALATED, FAILURES, UNAVAILABLE, Code, Refusal
from gateway.contracts.outcome import AFTER_DISPATCH, ENDS, Outcome
from gateway.contracts.proposal import Proposal
from gateway.contracts.references import (
    AttemptId,
    CorrelationId,
    DecisionId,
    EvaluationId,
    SignalId,
    TriggerId,
)
from gateway.contracts.signals import Signal
from gateway.contracts.statements import Decision, Purpose, Trigger
from gateway.contracts.words import End, GateName, Severity, State
from gateway.ending import conclude, unrecorded
from gateway.errors import (
    InvalidInput,
    InvariantViolation,
    JournalFailed,
    JournalUnavailable,
    MalformedInput,
    SignatureRefused,
)
from gateway.gates import Judgement
from gateway.gates import proposal as proposal_gate
from gateway.gates.case import Case
from gateway.journal import Admission, Append, Header, ProposalFile
from gateway.lifecycle import Attempt, Identity
from gateway.policy import PolicyDecision, PolicyInputs, Ruling
from gateway.ports import Ports
from gateway.signatures import Verified


class AttemptEnded(Exception):
    """A phase's way of saying which row of the table the attempt ends on. `facts` go into the outcome."""

    def __init__(self, end: End, code: Code, **facts: Any) -> None:
        super().__init__(f"{end}: {code}")
        self.end = end
        self.code = code
        self.facts = facts


class KeyTaken(Exception):
    """Another append was first: `holder`'s outcome, once it has one, is the answer to this call (IDEM-05)."""

    def __init__(self, holder: AttemptId) -> None:
        super().__init__("the key is taken")
        self.holder = holder


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """What the gates and the policy yield: leave to dispatch, and where to. `dispatch_by` bounds the leave by
    the wall clock too, since monotonic time stands still while the machine sleeps, and by the lives of approval
    and proposal, which the gates judged as of the attempt's beginning; `judged` is
    `ProposalFile.standing` as the gates saw it."""

    authorization: Authorization
    dispatch_by: datetime
    judged: str
    engagement: Engagement
    ruling: Ruling
    proposal: Proposal


@dataclass(slots=True, kw_only=True)
class Run:
    """The attempt's changing part: the pure `attempt` value, replaced at each step. `doubtful` is what it would be,
    had the intent been recorded of which the journal could not tell."""

    ports: Ports
    attempt: Attempt
    header: Header
    trigger: Trigger | None = None
    resume: tuple[TriggerId, str] | None = None
    file: ProposalFile | None = None
    approved: Verified[Decision] | None = field(default=None, repr=False)
    doubtful: Attempt | None = None
    engagement: Engagement | None = field(default=None, repr=False)

    @classmethod
    def begin(cls, ports: Ports, verified: Verified[Trigger] | None, header: Header) -> Run:
        """Phase one: correlation identifiers are made and the trigger is noted (E-01 §7.1)."""
        clock = ports.clock
        identity = Identity(
            attempt=clock.new(AttemptId),
            correlation=clock.new(CorrelationId),
            trace=clock.token(),
            environment=ports.environment,
            trigger=header.trigger,
        )
        trigger = verified.statement if verified else None
        run = cls(ports=ports, attempt=Attempt(identity=identity), header=header, trigger=trigger)
        run.note(Signal.TRIGGER_RECEIVED, trigger_kind=trigger.kind if trigger else None, purpose=header.purpose)
        return run

    def now(self) -> datetime:
        return self.ports.clock.now()

    def note(self, signal: Signal, **detail: Any) -> None:
        self.attempt = self.attempt.record(signal, self.now(), **detail)

    def to(self, state: State) -> None:
        self.attempt = self.attempt.to(state, self.now())

    # -- phase one, refused ---------------------------------------------------------------------------

    async def deny(self, code: Code) -> Outcome:
        """NEW → REJECTED (C-09). A trigger that no sink can record makes no attempt (C-17)."""
        self.note(Signal.TRIGGER_REJECTED, code=code)
        return await self.close(AttemptEnded(End.TRIGGER_DENIED, code))

    async def continue_paused(self) -> bool:
        """Take up the paused attempt that this resume answers; False if there is none (STATE-27).

        The attempt keeps its identity and chain; the resume's own trigger is reserved with the next
        append. Everything is judged again.
        """
        trigger = self.trigger
        assert trigger is not None and trigger.answer is not None and self.header.trigger_digest is not None
        paused = await self.ports.journal.attempt(trigger.answer.attempt)
        if paused is None or paused.state is not State.PAUSED or paused.outcome is None:
            return False
        if paused.header.purpose is Purpose.OBSERVE:  # a look has no commit in it to be resumed
            return False
        same_subject = (paused.header.proposal_digest, paused.header.approval) == (
            trigger.proposal_digest,
            trigger.decision_id,
        )
        if not same_subject or paused.outcome.signal != trigger.answer.signal:
            return False
        self.resume = (trigger.trigger_id, self.header.trigger_digest)
        self.header = paused.header
        self.attempt = paused.resumable()
        self.note(Signal.DECISION_ANSWERED, decision_signal=trigger.answer.signal, answer=trigger.answer.choice)
        return True

    # -- phase two ------------------------------------------------------------------------------------

    async def validate(self) -> None:
        """Phase two: context complete, known and admitted, or BLOCKED (CTX-01, FAIL-02)."""
        resumed = self.attempt.state is State.PAUSED
        if not resumed:
            self.to(State.VALIDATING)
        assert self.trigger is not None
        self.file = await self.ports.journal.proposal(self.trigger.practice, self.trigger.proposal_id)
        if self.file is not None:
            proposal = self.file.proposal
            self.about(proposal, self.header.approval)
            if fault := await self._context_fault(proposal):
                self.note(Signal.CONTEXT_INVALID, code=fault)
                raise AttemptEnded(End.BLOCKED, fault)
        self.note(Signal.CONTEXT_VALIDATED)
        self.to(State.GATED)

    def about(self, proposal: Proposal, approval: DecisionId | None) -> None:
        """Note in the header what the attempt turned out to be about."""
        self.header = replace(
            self.header, connection=proposal.connection, operation=proposal.operation, approval=approval
        )

    async def _context_fault(self, proposal: Proposal) -> Code | None:
        ports = self.ports
        connection = ports.configuration.connections.get(proposal.connection)
        if connection is None:
            return Code.CONNECTION_UNKNOWN
        if await ports.journal.suspended(proposal.connection):
            return Code.CONNECTION_SUSPENDED
        if not ports.admits_commit(connection, self.now()):
            return Code.GOVERNANCE_INCOMPLETE
        try:
            descriptor = ports.boundary.describe(proposal.connection)
        except Refusal as refusal:
            return refusal.code
        return None if proposal.operation in descriptor.operations else Code.OPERATION_UNSUPPORTED

    # -- phase three ----------------------------------------------------------------------------------

    async def gate(self) -> Gated:
        """Phase three: seven gates, then the sealed policy; the authorization that both yield."""
        case = self._case()
        judgement = self.ports.gatekeeper.judge_records(case)
        if judgement is None:
            assert case.proposal is not None
            await self.reserve_budget(case.proposal)
            judgement = await self.ports.gatekeeper.judge(case)
        self.engagement = judgement.engagement
        self._report(case, judgement)
        if judgement.code is not None:
            if judgement.code in UNAVAILABLE:
                self.note(Signal.DEPENDENCY_UNAVAILABLE, code=judgement.code)
            raise AttemptEnded(End.BLOCKED, judgement.code)
        assert case.file is not None and case.proposal is not None and case.approval is not None
        assert self.engagement is not None
        ruling = self.rule(case.proposal, tuple(verdict.gate for verdict in judgement.verdicts))
        bounds, clock = self.ports.bounds, self.ports.clock
        authorization = Authorization.grant(
            judgement.verdicts,
            allowed=ruling.decision is PolicyDecision.ALLOW,
            proposal_digest=case.proposal.proposal_digest,
            expires=clock.monotonic() + bounds.authorization_seconds,
        )
        return Gated(
            authorization=authorization,
            dispatch_by=min(
                self.now() + timedelta(seconds=bounds.authorization_seconds),
                case.approval.statement.expires_at,
                case.proposal.expires_at,
            ),
            judged=case.file.standing,
            engagement=self.engagement,
            ruling=ruling,
            proposal=case.proposal,
        )

    async def moved(self) -> Code:
        """Why the records no longer allow what the gates did: something was said in between (GATE-15, GATE-21)."""
        assert self.trigger is not None
        self.file = await self.ports.journal.proposal(self.trigger.practice, self.trigger.proposal_id)
        judgement = self.ports.gatekeeper.judge_records(self._case())
        return (judgement.code if judgement else None) or Code.CONTEXT_INVALID

    def _case(self) -> Case:
        assert self.trigger is not None
        return Case(
            now=self.now(),
            practice=self.ports.practice,
            bounds=self.ports.bounds,
            trigger=self.trigger,
            file=self.file,
            approval=self._approval(),
        )

    def _approval(self) -> Verified[Decision] | None:
        """The retained decision that the trigger names, its signature verified in this attempt (I5), once."""
        for record in self.file.records if self.file else ():
            if record.kind is RecordKind.DECISION and record.reference == self.header.approval:
                if self.approved is None or self.approved.token != record.body:
                    try:
                        self.approved = self.ports.keyring.verify(record.body, Decision, practice=self.ports.practice)
                    except (SignatureRefused, InvalidInput, MalformedInput):
                        return None
                return self.approved
        return None

    async def reserve_budget(self, proposal: Proposal) -> None:
        """Take the whole attempt's requests from the connection's rate before any is sent (CARD-14)."""
        try:
            needed = self.ports.boundary.requests_per_attempt(proposal.connection)
        except Refusal as refusal:
            raise AttemptEnded(End.BLOCKED, refusal.code) from None
        connection = self.ports.configuration.connections[proposal.connection]
        rate = connection.limits.requests_per_minute
        if rate is None:
            return
        not_before = await self.ports.journal.reserve(connection.connection_id, needed, rate, self.now())
        if not_before is not None:
            raise AttemptEnded(End.BLOCKED, Code.THROTTLED, not_before=not_before)

    def _report(self, case: Case, judgement: Judgement) -> None:
        """One event per verdict, and who approved what, as digests (AUDIT-20 to AUDIT-22)."""
        codes = {verdict.gate: verdict.code for verdict in judgement.verdicts}
        self.note(
            Signal.PROPOSAL_BOUND,
            proposal=self.header.proposal,
            proposal_digest=self.header.proposal_digest,
            proposal_state=proposal_gate.state(codes.get(GateName.PROPOSAL)),
            operation=self.header.operation,
        )
        if case.approval is not None:
            self.note(
                Signal.APPROVAL_BOUND,
                approval=case.approval.statement.decision_id,
                approval_digest=case.approval.digest,
                approved_at=case.approval.statement.issued_at,
            )
        for verdict in judgement.verdicts:
            self.note(Signal.GATE_JUDGED, gate=verdict.gate, passed=verdict.passed, code=verdict.code)

    def rule(self, proposal: Proposal, gates: tuple[GateName, ...] = ()) -> Ruling:
        """Select and evaluate the sealed policy; anything but allow ends or pauses (POLICY-01, C-10)."""
        assert self.trigger is not None
        policies, selections = self.ports.policies, self.ports.configuration.settings.policies
        try:
            version = policies.select(selections, self.trigger.kind, proposal.operation)
            ruling = policies.evaluate(version, self._inputs(proposal, gates))
        except Refusal as refusal:
            if End.POLICY_DENIED in FAILURES[refusal.code].ends:
                raise AttemptEnded(End.POLICY_DENIED, refusal.code) from None
            self.note(Signal.DEPENDENCY_UNAVAILABLE, code=refusal.code)
            raise AttemptEnded(End.BLOCKED, refusal.code) from None
        allowed = ruling.decision is PolicyDecision.ALLOW
        self.note(
            Signal.POLICY_EVALUATED,
            policy=ruling.policy,
            policy_version=ruling.version,
            view=ruling.view,
            view_version=ruling.view_version,
            policy_evaluation=self.ports.clock.new(EvaluationId),
            allowed=allowed,
            code=ruling.code,
        )
        if ruling.code is None:
            return ruling
        signal = self.ports.clock.new(SignalId) if ruling.severity else None
        if signal is not None:
            self.note(Signal.DECISION_REQUIRED_EMITTED, decision_signal=signal, severity=ruling.severity)
        end = End.PAUSED if ruling.decision is PolicyDecision.DECISION_REQUIRED else End.POLICY_DENIED
        raise AttemptEnded(end, ruling.code, signal=signal)

    def _inputs(self, proposal: Proposal, gates: tuple[GateName, ...]) -> PolicyInputs:
        """Metadata only, all of it recorded: equal inputs give equal rulings (POLICY-07)."""
        approval = self._approval()
        assert self.trigger is not None
        connection = self.ports.configuration.connections[proposal.connection]
        purpose = self.trigger.purpose
        return PolicyInputs(
            trigger=self.trigger.kind,
            purpose=Purpose.COMMIT if purpose is Purpose.RESUME else purpose,
            operation=proposal.operation,
            environment=self.ports.environment,
            origin=proposal.origin,
            approver=approval.statement.reviewer if approval else None,
            operator=self.trigger.operator,
            initiator=proposal.initiator,
            gates=gates,
            risk=connection.risk,
            answer=self.trigger.answer.choice if self.trigger.answer else None,
        )

    # -- the end --------------------------------------------------------------------------------------

    async def finish_check(self) -> Outcome:
        """A read-only attempt whose gates and policy passed: all states, no step (FLOW-08)."""
        for state in (State.AUTHORIZED, State.RUNNING, State.AUDITING):
            self.to(state)
        return await self.close(AttemptEnded(End.CHECKED, Code.CHECK_PASSED))

    async def close(self, ended: AttemptEnded) -> Outcome:
        """Record the end: sinks first where the end needs their acceptance, then one durable append."""
        await self.release()
        end, code, facts = ended.end, ended.code, ended.facts
        row = ENDS[end]
        self.attempt, accepted = await self.ports.sinks.accept(self.attempt, self.attempt.pending)
        if not accepted and row.state not in (State.BLOCKED, State.ERROR):
            if self.attempt.state is State.NEW:
                return unrecorded(None, End.BLOCKED, Code.AUDIT_UNAVAILABLE)
            after_intent = self.header.purpose is not Purpose.CHECK and self.attempt.state is State.RUNNING
            end, code, facts = (End.NOT_DISPATCHED if after_intent else End.BLOCKED), Code.AUDIT_UNAVAILABLE, {}
        if ENDS[end].state is State.BLOCKED:
            facts["signal"] = self._escalate(code)
        self.note(Signal.AUDIT_ACCEPTED, sink=JOURNAL)
        return await self.append_end(end, code, **facts)

    def _escalate(self, code: Code) -> SignalId:
        """Terminate with a decision signal attached; it executes and overrides nothing (DECIDE-11, C-11)."""
        signal = self.ports.clock.new(SignalId)
        severity = Severity.HIGH if code in ESCALATED else Severity.MEDIUM
        self.note(Signal.DECISION_REQUIRED_EMITTED, decision_signal=signal, severity=severity, code=code)
        return signal

    async def append_end(self, end: End, code: Code, **facts: Any) -> Outcome:
        """The closing append; its success is the journal's acknowledgement of everything in it.

        Raises `KeyTaken` where another append of this attempt or of this trigger came first.
        """
        self.attempt, outcome = conclude(self.attempt, end, code, self.now(), **facts)
        entry = Append(
            attempt=self.attempt,
            header=self.header,
            outcome=outcome,
            hold=ENDS[end].hold,
            resume=self.resume,
        )
        try:
            appended = await self.ports.journal.append(entry)
        except (JournalUnavailable, JournalFailed, InvariantViolation) as error:
            return self._unrecorded(end, fatal=not isinstance(error, JournalUnavailable))
        if appended.admission is Admission.ADMITTED:
            return outcome
        if self.doubtful is not None and appended.holder == self.attempt.identity.attempt:
            return await self._undispatched(self.doubtful)
        if appended.admission is Admission.KEY_COLLISION:
            keyless = Header(purpose=self.header.purpose)
            return await Run.begin(self.ports, None, keyless).deny(Code.IDEMPOTENCY_COLLISION)
        raise KeyTaken(appended.holder or self.attempt.identity.attempt)

    async def _undispatched(self, intended: Attempt) -> Outcome:
        """The intent that nobody could vouch for is recorded after all. It was never dispatched; that is its end."""
        self.attempt, self.doubtful, self.resume = intended.flushed(), None, None
        self.note(Signal.AUDIT_ACCEPTED, sink=JOURNAL)
        self.to(State.RUNNING)
        return await self.close(AttemptEnded(End.NOT_DISPATCHED, Code.AUDIT_UNAVAILABLE))

    def _unrecorded(self, end: End, *, fatal: bool) -> Outcome:
        """After dispatch nothing more is dispatched by this process; before it, nothing happened."""
        dispatched = end in AFTER_DISPATCH
        self.ports.retired = self.ports.retired or dispatched or fatal
        if dispatched:
            return unrecorded(self.attempt, End.UNKNOWN, Code.OUTCOME_UNRECORDED)
        # A paused attempt is its answers' in common, also one whose pause may be recorded after all: nothing may be
        # said of it while somebody may carry it out.
        own = self.attempt if self.resume is None and end is not End.PAUSED else None
        return unrecorded(own, End.BLOCKED, Code.AUDIT_UNAVAILABLE)

    async def release(self) -> None:
        """Let go of the engagement and all it resolved."""
        if self.engagement is not None:
            engagement, self.engagement = self.engagement, None
            await engagement.aclose()
