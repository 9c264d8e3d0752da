"""Phases four to six: intent, commit, outcome. The only module that spends an authorization.

Owns: write-ahead order (I6). First barrier: everything so far and the intent, in one append, then every
sink's acknowledgement; only then the adapter. Second barrier: the effect, acknowledged by every sink, and
the closure in one append; only then an answer. After dispatch the only ends are those of `AFTER_DISPATCH`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import NoReturn

from gateway.attempt import AttemptEnded, Gated, KeyTaken, Run
from gateway.audit.acknowledgement import JOURNAL
from gateway.boundary import CommitResult
from gateway.contracts.failures import Code
from gateway.contracts.outcome import ObservationRecord, Outcome
from gateway.contracts.references import ObservationId
from gateway.contracts.signals import Signal, Step
from gateway.contracts.words import Effect, End, State
from gateway.errors import InvariantViolation, JournalFailed, JournalUnavailable
from gateway.journal import Admission, Append, Appended, Intent
from gateway.observation import look, record_observation, settling

REFUSED_INTENT: Mapping[Admission, Code] = MappingProxyType(
    {
        Admission.STOPPED: Code.OPERATOR_STOP,
        Admission.EXECUTED: Code.PROPOSAL_EXECUTED,
        Admission.FROZEN: Code.PROPOSAL_FROZEN,
        Admission.RELATED: Code.RELATED_UNRESOLVED,
        Admission.KEY_COLLISION: Code.IDEMPOTENCY_COLLISION,
    }
)

END_OF_EFFECT: Mapping[Effect, End] = MappingProxyType(
    {
        Effect.NOT_SENT: End.NOT_SENT,
        Effect.REFUSED: End.REFUSED,
        Effect.APPLIED: End.APPLIED,
        Effect.UNKNOWN: End.UNKNOWN,
    }
)


async def execute(run: Run, gated: Gated, attempt_key: str) -> Outcome:
    """Carry an authorized attempt to its outcome. Raises `AttemptEnded` before dispatch, `KeyTaken`."""
    await _record_intent(run, gated, attempt_key)
    await _last_look(run, gated)
    result = await _dispatch(run, gated)
    seen = await _look_once(run, gated, result)
    return await _record_outcome(run, gated, result, seen)


async def _record_intent(run: Run, gated: Gated, attempt_key: str) -> None:
    """The first barrier: GATED to AUDITING in one append, then every sink (STATE-23, I6)."""
    ports, before, engagement = run.ports, run.attempt, gated.engagement
    deadline = gated.dispatch_by + timedelta(seconds=engagement.connection.limits.commit_seconds)
    run.note(Signal.MUTATION_REQUESTED, operation=gated.proposal.operation)
    run.note(Signal.MUTATION_APPROVED, operation=gated.proposal.operation, approval=run.header.approval)
    run.to(State.AUTHORIZED)
    run.to(State.RUNNING)
    run.attempt = run.attempt.begin(Step.COMMIT, run.now())
    run.note(
        Signal.INTENT_RECORDED,
        operation=gated.proposal.operation,
        deadline=deadline,
        absence_from=deadline + settling(engagement.descriptor),
        system=engagement.connection.system,
    )
    run.to(State.AUDITING)
    intent = Intent(attempt_key=attempt_key, siblings=engagement.siblings, deadline=deadline, judged=gated.judged)
    try:
        appended = await ports.journal.append(
            Append(attempt=run.attempt, header=run.header, intent=intent, resume=run.resume)
        )
    except (JournalUnavailable, JournalFailed) as error:
        if isinstance(error, JournalFailed):
            ports.retired, run.doubtful = True, run.attempt
        run.attempt = before
        raise AttemptEnded(End.BLOCKED, Code.AUDIT_UNAVAILABLE) from None
    except InvariantViolation:
        run.attempt = before  # refused by the journal's own rules, so nothing of it is recorded
        raise
    if appended.admission is not Admission.ADMITTED:
        run.attempt = before
        await _refuse_intent(run, gated, appended)
    recorded, run.resume = run.attempt.pending, None
    run.attempt = run.attempt.flushed()
    run.note(Signal.AUDIT_ACCEPTED, sink=JOURNAL)
    run.attempt, accepted = await ports.sinks.accept(run.attempt, recorded)
    if not accepted:
        raise AttemptEnded(End.NOT_DISPATCHED, Code.AUDIT_UNAVAILABLE)
    run.to(State.RUNNING)


async def _refuse_intent(run: Run, gated: Gated, appended: Appended) -> NoReturn:
    """Nothing was written: say what stood against the intent, or whose key it is."""
    moved = appended.admission is Admission.MOVED
    try:
        code = await run.moved() if moved else REFUSED_INTENT.get(appended.admission)
    except (JournalUnavailable, JournalFailed):  # what was said meanwhile cannot be read; that something was is enough
        raise AttemptEnded(End.BLOCKED, Code.AUDIT_UNAVAILABLE) from None
    if code is None:
        raise KeyTaken(appended.holder or run.attempt.identity.attempt)
    run.note(Signal.MUTATION_DENIED, operation=gated.proposal.operation, code=code)
    if code is not Code.IDEMPOTENCY_COLLISION:
        raise AttemptEnded(End.BLOCKED, code)
    run.header = replace(run.header, trigger_digest=None)
    raise AttemptEnded(End.TRIGGER_DENIED, code)


async def _last_look(run: Run, gated: Gated) -> None:
    """The stop latch and the attempt's owner once more, and the authorization's life, right before dispatch
    (C-18, CARD-08, I11)."""
    proposal = gated.proposal
    if run.ports.retired:
        raise AttemptEnded(End.NOT_DISPATCHED, Code.AUDIT_UNAVAILABLE)
    try:
        stopped = await run.ports.journal.stopped(
            proposal.practice,
            proposal.proposal_id,
            proposal.proposal_digest,
            dispatching=run.attempt.identity.attempt,
        )
    except (JournalUnavailable, JournalFailed):
        raise AttemptEnded(End.NOT_DISPATCHED, Code.AUDIT_UNAVAILABLE) from None
    if stopped:
        raise AttemptEnded(End.STOPPED, Code.OPERATOR_STOP)
    if run.now() >= gated.dispatch_by or not gated.authorization.live(run.ports.clock.monotonic()):
        raise AttemptEnded(End.NOT_DISPATCHED, Code.AUTHORIZATION_EXPIRED)


async def _dispatch(run: Run, gated: Gated) -> CommitResult:
    """The one mutating interaction; whatever happens inside comes back as effect and code."""
    result = await gated.engagement.commit(gated.authorization)
    run.note(
        Signal.EXECUTION_STEP_COMPLETED,
        step=Step.COMMIT,
        effect=result.effect,
        code=result.code,
        requests=result.requests,
        mutating_requests=result.mutating_requests,
    )
    return result


async def _look_once(run: Run, gated: Gated, result: CommitResult) -> ObservationRecord | None:
    """C-36: one bounded look where the sealed policy says so. It adds evidence only (CARD-13)."""
    if result.effect is not Effect.UNKNOWN or not gated.ruling.observe_once:
        return None
    run.attempt = run.attempt.begin(Step.OBSERVE, run.now())
    seen = await look(
        gated.engagement,
        attempt=run.attempt.identity.attempt,
        observation_id=run.ports.clock.new(ObservationId),
        at=run.now(),
        settled=None,
    )
    run.note(Signal.OBSERVATION_RECORDED, observation=seen.observation_id, finding=seen.finding)
    run.note(Signal.EXECUTION_STEP_COMPLETED, step=Step.OBSERVE)
    return seen


async def _record_outcome(run: Run, gated: Gated, result: CommitResult, seen: ObservationRecord | None) -> Outcome:
    """The second barrier: sinks acknowledge the effect, then effect, closure and hold in one append."""
    applied = result.effect is Effect.APPLIED
    reference = gated.engagement.reference if applied else None
    run.note(
        Signal.EFFECT_RECORDED,
        effect=result.effect,
        code=result.code,
        external_reference=reference,
        version=result.version if applied else None,
    )
    run.to(State.AUDITING)
    run.attempt, accepted = await run.ports.sinks.accept(run.attempt, run.attempt.pending)
    run.note(Signal.AUDIT_ACCEPTED, sink=JOURNAL)
    await run.release()
    end, code = END_OF_EFFECT[result.effect], result.code
    if applied and not accepted:
        end, code = End.APPLIED_UNAUDITED, Code.AUDIT_INCOMPLETE
    outcome = await run.append_end(
        end,
        code,
        external_reference=reference,
        version=result.version if applied else None,
        notice_outstanding=True,
        binding_outstanding=result.binding_outstanding,
    )
    if seen is not None and outcome.recorded:
        with suppress(JournalUnavailable, JournalFailed):  # the outcome is recorded; a look adds evidence only
            return await record_observation(run.ports.journal, gated.proposal, seen, outcome)
    return outcome
