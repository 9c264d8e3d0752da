"""Looking at the external system, read-only, and what a human concludes from it.

Owns: when a look proves absence (C-36), when what was seen contradicts the record (FAIL-22), and which
resolution a journal may take (C-38). Corrects nothing: a discrepancy is recorded and handed to a human
(FAIL-23, C-30).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from gateway.attempt import AttemptEnded, Run
from gateway.boundary import Engagement
from gateway.contracts.adapter import Basis
from gateway.contracts.chain import RecordKind
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.outcome import ObservationRecord, Outcome
from gateway.contracts.proposal import Proposal
from gateway.contracts.references import AttemptId, ObservationId
from gateway.contracts.signals import Signal, Step
from gateway.contracts.statements import Finding, Resolution
from gateway.contracts.words import Effect, End, ObservationFinding, State
from gateway.errors import Conflict, NotFound
from gateway.gates import audit_readiness
from gateway.journal import AttemptFile, Journal, ProposalFile
from gateway.ports import Ports

UNSETTLED = "0" * 64
"""Closing hash of an observation made before its attempt was closed; replaced when recorded."""

CONTRADICTIONS = frozenset(
    {
        (Effect.APPLIED, ObservationFinding.ABSENT),
        (Effect.APPLIED, ObservationFinding.DIFFERENT),
        (Effect.REFUSED, ObservationFinding.PRESENT),
        (Effect.NOT_SENT, ObservationFinding.PRESENT),
    }
)


async def look(
    engagement: Engagement,
    *,
    attempt: AttemptId,
    observation_id: ObservationId,
    at: datetime,
    settled_at: datetime | None,
    effect: Effect | None = None,
    closing_hash: str = UNSETTLED,
) -> ObservationRecord:
    """One look by the attempt's native key. Absence counts only after `settled_at`, on the record or on a copy
    made after it; before, it is INDETERMINATE."""
    seen = await engagement.observe()
    finding = seen.finding
    if finding is ObservationFinding.ABSENT:
        fresh = settled_at is not None and at >= settled_at and (seen.as_of is None or seen.as_of >= settled_at)
        finding = ObservationFinding.ABSENT if fresh else ObservationFinding.INDETERMINATE
    present = finding is ObservationFinding.PRESENT
    return ObservationRecord(
        observation_id=observation_id,
        attempt=attempt,
        closing_hash=closing_hash,
        finding=finding,
        basis=seen.basis,
        at=at,
        as_of=seen.as_of,
        external_reference=engagement.reference if present else None,
        version=seen.version if present else None,
        discrepancy=effect is not None and (effect, finding) in CONTRADICTIONS,
    )


async def record_observation(
    journal: Journal, proposal: Proposal, seen: ObservationRecord, outcome: Outcome
) -> Outcome:
    """Chain a look to the proposal; the outcome then repeats it."""
    if outcome.closing_hash is not None:
        seen = seen.model_copy(update={"closing_hash": outcome.closing_hash})
    await journal.record(
        proposal.practice,
        proposal.proposal_id,
        RecordKind.OBSERVATION,
        seen.observation_id,
        seen.canonical().decode(),
        attempt=seen.attempt,
    )
    return outcome.model_copy(update={"observation": seen.observed})


async def observe(run: Run) -> Outcome:
    """A read-only attempt: all phases, one step, nothing mutating (FLOW-08). Answers the observed
    attempt's outcome with what was seen. Raises `AttemptEnded` where the look was not admitted."""
    run.to(State.VALIDATING)
    subject, proposal = await _subject(run)
    run.note(Signal.CONTEXT_VALIDATED)
    run.to(State.GATED)
    engagement = await _admit(run, proposal)
    assert subject.outcome is not None and subject.outcome.closing_hash is not None
    run.to(State.AUTHORIZED)
    run.to(State.RUNNING)
    run.attempt = run.attempt.begin(Step.OBSERVE, run.now())
    seen = await look(
        engagement,
        attempt=subject.attempt,
        observation_id=run.ports.clock.new(ObservationId),
        at=run.now(),
        settled_at=_settled_at(subject, engagement),
        effect=subject.outcome.effect,
        closing_hash=subject.outcome.closing_hash,
    )
    run.note(Signal.OBSERVATION_RECORDED, observation=seen.observation_id, finding=seen.finding)
    if seen.discrepancy:
        run.note(Signal.DISCREPANCY_RECORDED, observation=seen.observation_id, finding=seen.finding)
    run.note(Signal.EXECUTION_STEP_COMPLETED, step=Step.OBSERVE)
    run.to(State.AUDITING)
    ended_as = await run.close(AttemptEnded(End.CHECKED, Code.OBSERVED))
    if ended_as.code is not Code.OBSERVED:
        return ended_as
    return await record_observation(run.ports.journal, proposal, seen, subject.outcome)


def _settled_at(subject: AttemptFile, engagement: Engagement) -> datetime | None:
    """From when on absence counts: after the last instant at which the write can have left, all that a relay
    may take to deliver it and the system to show it. That instant is the dispatch deadline or, where a clock
    was put forward or an adapter held up its process, the attempt's close."""
    if subject.deadline is None or subject.ended_by is None:
        return None
    descriptor = engagement.descriptor
    left = max(subject.deadline, subject.ended_by)
    return left + timedelta(seconds=descriptor.relay_seconds + descriptor.settling_seconds)


async def _subject(run: Run) -> tuple[AttemptFile, Proposal]:
    """The finished attempt that the trigger names, and the very proposal bytes it was about."""
    assert run.trigger is not None and run.trigger.attempt is not None
    subject = await run.ports.journal.attempt(run.trigger.attempt)
    file = await run.ports.journal.proposal(run.trigger.practice, run.trigger.proposal_id)
    proposal = proposal_of(file, run.header.proposal_digest) if file else None
    if subject is None or proposal is None or subject.header.proposal_digest != run.header.proposal_digest:
        run.note(Signal.CONTEXT_MISSING, code=Code.CONTEXT_MISSING)
        raise AttemptEnded(End.BLOCKED, Code.CONTEXT_MISSING)
    if subject.outcome is None or subject.outcome.closing_hash is None or subject.deadline is None:
        run.note(Signal.CONTEXT_INVALID, code=Code.CONTEXT_INVALID)
        raise AttemptEnded(End.BLOCKED, Code.CONTEXT_INVALID)
    run.file = file
    run.about(proposal, subject.header.approval)
    return subject, proposal


async def _admit(run: Run, proposal: Proposal) -> Engagement:
    """Audit readiness and policy; the seven gates guard commits, and this is none."""
    if code := await audit_readiness.fetch(run.ports.journal, run.ports.sinks):
        raise AttemptEnded(End.BLOCKED, code)
    await run.reserve_budget(proposal)
    run.rule(proposal)
    try:
        run.engagement = await run.ports.boundary.engage(proposal)
    except Refusal as refusal:
        raise AttemptEnded(End.BLOCKED, refusal.code) from None
    return run.engagement


def proposal_of(file: ProposalFile, proposal_digest: str | None) -> Proposal | None:
    """The revision with these bytes."""
    for record in file.records:
        if record.kind is RecordKind.PROPOSAL:
            proposal = Proposal.parse(record.body)
            if proposal.proposal_digest == proposal_digest:
                return proposal
    return None


async def resolve(ports: Ports, token: str) -> Outcome:
    """Record a human's signed resolution and change the holds with it (C-38).

    Raises `SignatureRefused`, `InvalidInput`, `NotFound` or `Conflict`; each says what to do. The first
    resolution wins. ABSENT needs, where the system can be observed, a settled observation of absence.
    """
    resolution = ports.keyring.verify(token, Resolution, practice=ports.practice).statement
    subject = await ports.journal.attempt(resolution.attempt)
    if subject is None or subject.outcome is None or subject.header.proposal is None:
        raise NotFound("attempt: no finished attempt of that reference")
    if subject.outcome.closing_hash != resolution.closing_hash:
        raise Conflict("closing_hash: not this attempt's; look at it again before resolving")
    if resolution.finding is Finding.ABSENT:
        await _require_absence(ports, subject, resolution)
    await ports.journal.resolve(subject.attempt, resolution.statement_id, token, resolution.finding)
    resolved = await ports.journal.attempt(subject.attempt)
    assert resolved is not None and resolved.outcome is not None
    return resolved.outcome


async def _require_absence(ports: Ports, subject: AttemptFile, resolution: Resolution) -> None:
    header = subject.header
    assert header.practice is not None and header.proposal is not None and header.connection is not None
    try:
        descriptor = ports.boundary.describe(header.connection)
    except Refusal:
        raise Conflict("connection: no longer sealed here; seal it again before resolving its attempts") from None
    if descriptor.observation is Basis.NONE:
        return
    file = await ports.journal.proposal(header.practice, header.proposal)
    for record in file.records if file else ():
        if record.kind is RecordKind.OBSERVATION and record.reference == resolution.observation:
            seen = ObservationRecord.parse(record.body)
            if seen.attempt == subject.attempt and seen.finding is ObservationFinding.ABSENT:
                return
    raise Conflict("observation: name a recorded observation that found it ABSENT after the settling time")
