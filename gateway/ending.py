"""Closing an attempt: from an end of the table and a code to the last events and the one outcome.

Pure. The table `ENDS` says what the end leaves behind, the taxonomy which ends a code may take; a
combination that neither knows is an `InvariantViolation`, never improvised.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gateway.contracts.failures import FAILURES, Code, caller_next
from gateway.contracts.outcome import ENDS, Outcome
from gateway.contracts.signals import Signal
from gateway.contracts.words import End
from gateway.errors import InvariantViolation
from gateway.lifecycle import Attempt

OUTCOME_DOMAIN = "outcome/v1"


def conclude(attempt: Attempt, end: End, code: Code, at: datetime, **facts: Any) -> tuple[Attempt, Outcome]:
    """Take the end's edge and, where it is terminal, record AttemptCompleted (FLOW-04, AUDIT-16).

    `facts` are further fields of `Outcome`; the transition names its decision signal (AUDIT-30). The outcome
    carries the closing hash, which the digest in AttemptCompleted therefore leaves out.
    """
    if end not in FAILURES[code].ends:
        raise InvariantViolation(f"{code} cannot end as {end}")
    row = ENDS[end]
    next_, actor = caller_next(code, end)
    outcome = Outcome(
        attempt=attempt.identity.attempt,
        state=row.state,
        code=code,
        effect=row.effect,
        next=next_,
        actor=actor,
        approval=row.approval,
        **facts,
    )
    attempt = attempt.to(row.state, at, code=code, decision_signal=outcome.signal)
    if not attempt.terminal:
        return attempt, outcome
    attempt = attempt.record(
        Signal.ATTEMPT_COMPLETED,
        at,
        to_state=row.state,
        code=code,
        effect=row.effect,
        outcome_digest=outcome_digest(outcome),
    )
    return attempt, outcome.model_copy(update={"closing_hash": attempt.head})


def outcome_digest(outcome: Outcome) -> str:
    """What AttemptCompleted says of the outcome; later facts (resolution, observation) are not in it."""
    bare = {"closing_hash": None, "observation": None, "resolution": None, "replayed": False}
    return outcome.model_copy(update=bare).digest(OUTCOME_DOMAIN)


def unrecorded(attempt: Attempt | None, end: End, code: Code) -> Outcome:
    """The answer where the journal could not take the end (DESIGN "The one path", step 6)."""
    row = ENDS[end]
    next_, actor = caller_next(code, end)
    return Outcome(
        attempt=attempt.identity.attempt if attempt else None,
        state=row.state,
        code=code,
        effect=row.effect,
        next=next_,
        actor=actor,
        approval=row.approval,
        recorded=False,
    )
