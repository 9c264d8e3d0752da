"""Looking at the external system, read-only, and what a human concludes from it.

Owns: when a look proves absence (C-36), when what was seen contradicts the record (FAIL-22), and which
resolution a journal may take (C-38). Corrects nothing: a discrepancy is recorded and handed to a human
(FAIL-23, C-30).
Invariant: what absence needs was recorded with the intent: a connection that is sealed otherwise by now, for another
system or a shorter wait, makes nothing absent that may still arrive.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from gateway.attempt import AttemptEnded, Run
from gateway.boundary import Engagement
from gateway.contracts.adapter import Basis, Descriptor
from gateway.contracts.chain import RecordKind
from gateway.contracts.connection import Connection
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


class Settled(NamedTuple):
    """From when on absence counts, and how far the system's clock may be off ours."""

    at: datetime
    skew: timedelta

    def proven(self, at: datetime, as_of: datetime | None) -> bool:
        """By a look at `at`, on the record itself or on a copy that the system made at `as_of`, by its own clock."""
        return at >= self.at and (as_of is None or self.at + self.skew <= as_of <= at + self.skew)


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
    settled: Settled | None,
    effect: Effect | None = None,
    closing_hash: str = UNSETTLED,
) -> ObservationRecord:
    """One look by the attempt's native key. Absence that is not settled yet, or (None) never will be, is
    INDETERMINATE. `effect` is what stands so far, to be contradicted."""
    seen = await engagement.observe()
    finding = seen.finding
    if finding is ObservationFinding.ABSENT and (settled is None or not settled.proven(at, seen.as_of)):
        finding = ObservationFinding.INDETERMINATE
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
        settled=_settled(run.ports, subject, engagement.connection, engagement.descriptor),
        effect=_contradictable(run.file, subject),
        closing_hash=subject.outcome.closing_hash,
    )
    run.note(Signal.OBSERVATION_RECORDED, observation=seen.observation_id, finding=seen.finding)
    if seen.discrepancy:
        run.note(Signal.DISCREPANCY_RECORDED, observation=seen.observation_id, finding=seen.finding)
    run.note(Signal.EXECUTION_STEP_COMPLETED, step=Step.OBSERVE)
    run.to(State.AUDITING)
    # before the attempt that tells of it is closed: the chain names no look that nobody can read
    outcome = await record_observation(run.ports.journal, proposal, seen, subject.outcome)
    ended_as = await run.close(AttemptEnded(End.CHECKED, Code.OBSERVED))
    return outcome if ended_as.code is Code.OBSERVED else ended_as


def settling(descriptor: Descriptor) -> timedelta:
    """How long after a request a relay may deliver it and the system show what became of it."""
    return timedelta(seconds=descriptor.relay_seconds + descriptor.settling_seconds)


def _settled(ports: Ports, subject: AttemptFile, connection: Connection, descriptor: Descriptor) -> Settled | None:
    """From when on absence counts: after the last instant at which the write can have left, the settling time of
    then or of now, whichever ends later. That instant is the dispatch deadline or, where a clock was put forward or an
    adapter held up its process, the attempt's close. None where it was sent to another system than the connection
    names now."""
    intent = next((link.event for link in subject.links if link.event.signal is Signal.INTENT_RECORDED), None)
    if subject.deadline is None or subject.ended_by is None:
        return None
    if intent is not None and intent.system not in (None, connection.system):
        return None
    settled = max(subject.deadline, subject.ended_by) + settling(descriptor)
    if intent is not None and intent.absence_from is not None:
        settled = max(settled, intent.absence_from)
    return Settled(settled, ports.skew)


def _contradictable(file: ProposalFile | None, subject: AttemptFile) -> Effect | None:
    """What a look may contradict: the recorded effect, or what a human made of it. Presence speaks against neither
    where another attempt holds the proposal by now: both have the same native key, and it may be that one's."""
    assert subject.outcome is not None
    resolved = {Finding.APPLIED: Effect.APPLIED, Finding.ABSENT: Effect.NOT_SENT}
    effect = subject.outcome.effect if subject.resolution is None else resolved.get(subject.resolution)
    another = file is not None and file.held_by not in (None, subject.attempt)
    return None if another and effect is not Effect.APPLIED else effect


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
    resolution wins. ABSENT needs the settling time to be over and, where the system can be observed, a look after it
    that found absence and that no later look speaks against.
    """
    resolution = ports.keyring.verify(token, Resolution, practice=ports.practice).statement
    subject = await ports.journal.attempt(resolution.attempt)
    if subject is None or subject.outcome is None or subject.header.practice != ports.practice:
        raise NotFound("attempt: no finished attempt of that reference")
    if subject.outcome.closing_hash != resolution.closing_hash:
        raise Conflict("closing_hash: not this attempt's; look at it again before resolving")
    judging = resolution.finding is Finding.ABSENT and subject.resolution is None
    looks = await _absence(ports, subject, resolution) if judging else None
    await ports.journal.resolve(subject.attempt, resolution.statement_id, token, resolution.finding, looks=looks)
    resolved = await ports.journal.attempt(subject.attempt)
    assert resolved is not None and resolved.outcome is not None
    return resolved.outcome


async def _absence(ports: Ports, subject: AttemptFile, resolution: Resolution) -> int:
    """How many looks the resolution was judged by; raises `Conflict` where they do not bear it."""
    header = subject.header
    assert header.practice is not None and header.proposal is not None and header.connection is not None
    connection = ports.configuration.connections.get(header.connection)
    try:
        descriptor = ports.boundary.describe(header.connection)
    except Refusal:
        connection = None
    if connection is None:
        raise Conflict("connection: no longer sealed here; seal it again before resolving its attempts")
    file = await ports.journal.proposal(header.practice, header.proposal)
    looks = [
        ObservationRecord.parse(record.body)
        for record in (file.records if file else ())
        if record.kind is RecordKind.OBSERVATION
    ]
    looks = [seen for seen in looks if seen.attempt == subject.attempt]
    if descriptor.observation is Basis.NONE:
        settled, later = _settled(ports, subject, connection, descriptor), looks
        if settled is None:
            raise Conflict("connection: sealed for another system since; seal it as it was before resolving this")
        if ports.clock.now() < settled.at:
            raise Conflict("too early: the request may still arrive; resolve it after the settling time")
    else:
        named = next((n for n, seen in enumerate(looks) if seen.observation_id == resolution.observation), None)
        if named is None or looks[named].finding is not ObservationFinding.ABSENT:
            raise Conflict("observation: name a recorded observation that found it ABSENT after the settling time")
        later = looks[named:]
    if any(seen.finding in (ObservationFinding.PRESENT, ObservationFinding.DIFFERENT) for seen in later):
        raise Conflict("observation: a later look found it there; look again, and resolve by what is seen")
    return len(looks)
