"""How attempts end: the table of ends, and the one answer that a caller gets.

`ENDS` is DESIGN's table as data; the orchestrator closes an attempt only through a row of it, and
`gateway.contracts.failures` says which rows each code may take.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.contracts.adapter import Basis
from gateway.contracts.base import Instant, Model
from gateway.contracts.canonical import Digest
from gateway.contracts.failures import Code
from gateway.contracts.references import AppointmentId, AttemptId, ObservationId, SignalId
from gateway.contracts.statements import Finding
from gateway.contracts.words import (
    Actor,
    ApprovalUse,
    Effect,
    End,
    Hold,
    Next,
    ObservationFinding,
    Standing,
    State,
)


@dataclass(frozen=True, slots=True)
class EndRow:
    """One row of the table: what an attempt that ends this way leaves behind."""

    state: State
    effect: Effect | None
    hold: Hold
    approval: ApprovalUse


ENDS: dict[End, EndRow] = {
    End.TRIGGER_DENIED: EndRow(State.REJECTED, None, Hold.NONE, ApprovalUse.USABLE),
    End.POLICY_DENIED: EndRow(State.REJECTED, None, Hold.NONE, ApprovalUse.USABLE),
    End.BLOCKED: EndRow(State.BLOCKED, None, Hold.NONE, ApprovalUse.USABLE),
    End.PAUSED: EndRow(State.PAUSED, None, Hold.NONE, ApprovalUse.USABLE),
    End.STOPPED_PAUSED: EndRow(State.CANCELLED, None, Hold.NONE, ApprovalUse.USABLE),
    End.STOPPED: EndRow(State.CANCELLED, Effect.NOT_SENT, Hold.RELEASED, ApprovalUse.USABLE),
    End.NOT_DISPATCHED: EndRow(State.BLOCKED, Effect.NOT_SENT, Hold.RELEASED, ApprovalUse.USABLE),
    End.NOT_SENT: EndRow(State.ERROR, Effect.NOT_SENT, Hold.RELEASED, ApprovalUse.SPENT),
    End.REFUSED: EndRow(State.ERROR, Effect.REFUSED, Hold.RELEASED, ApprovalUse.SPENT),
    End.APPLIED: EndRow(State.SUCCEEDED, Effect.APPLIED, Hold.FOR_EVER, ApprovalUse.SPENT),
    End.APPLIED_UNAUDITED: EndRow(State.ERROR, Effect.APPLIED, Hold.FOR_EVER, ApprovalUse.SPENT),
    End.UNKNOWN: EndRow(State.ERROR, Effect.UNKNOWN, Hold.KEPT, ApprovalUse.SPENT),
    End.FAULT: EndRow(State.ERROR, None, Hold.NONE, ApprovalUse.USABLE),
    End.CHECKED: EndRow(State.SUCCEEDED, None, Hold.NONE, ApprovalUse.USABLE),
}
"""CHECKED ends a read-only attempt whose gates all passed (FLOW-08); FAULT is an invariant violation
before the intent (ABORT-07). After dispatch the only ends are the five from NOT_SENT to UNKNOWN."""

AFTER_DISPATCH = frozenset({End.NOT_SENT, End.REFUSED, End.APPLIED, End.APPLIED_UNAUDITED, End.UNKNOWN})


class OutcomeClass(StrEnum):
    """F-01 §5.3's three words, derived (C-19)."""

    SUCCESS = "success"
    FAILURE = "failure"
    BLOCKED = "blocked"


class Observed(Model):
    """The latest look at the external system, as bounded words."""

    observation_id: ObservationId
    finding: ObservationFinding
    at: Instant
    external_reference: AppointmentId | None = None
    version: Digest | None = None


class ObservationRecord(Model):
    """One recorded look at the external system, chained to the proposal (FAIL-22). `discrepancy` says
    that what was seen contradicts the recorded effect; a human decides what follows (FAIL-23)."""

    observation_id: ObservationId
    attempt: AttemptId
    closing_hash: Digest
    finding: ObservationFinding
    basis: Basis
    at: Instant
    as_of: Instant | None = None
    external_reference: AppointmentId | None = None
    version: Digest | None = None
    discrepancy: bool = False

    @property
    def observed(self) -> Observed:
        """What the attempt's outcome repeats of it."""
        return Observed(
            observation_id=self.observation_id,
            finding=self.finding,
            at=self.at,
            external_reference=self.external_reference,
            version=self.version,
        )


class Outcome(Model):
    """What `commit` answers: bounded, metadata only, and enough to draw the next screen.

    `attempt` is None only when the call was no attempt. `external_reference` is the appointment
    reference and `version` the digest of its version: a later reschedule or cancellation names both.
    `recorded` False means that the journal could not take the end.
    """

    attempt: AttemptId | None
    state: State
    code: Code
    effect: Effect | None = None
    next: Next
    actor: Actor
    approval: ApprovalUse
    recorded: bool = True
    replayed: bool = False
    external_reference: AppointmentId | None = None
    version: Digest | None = None
    not_before: Instant | None = None
    signal: SignalId | None = None
    observation: Observed | None = None
    resolution: Finding | None = None
    notice_outstanding: bool = False
    binding_outstanding: bool = False
    closing_hash: Digest | None = None

    @property
    def standing(self) -> Standing:
        """Of the matter, not of the call: where the journal could not be read or written, another call with this
        key may be carried out."""
        if not self.recorded:
            return Standing.UNRESOLVED
        return standing(self.state, self.effect, self.resolution)

    @property
    def outcome_class(self) -> OutcomeClass:
        """C-19: success is SUCCEEDED, failure any other end after the commit was called, else blocked."""
        if self.state is State.SUCCEEDED:
            return OutcomeClass.SUCCESS
        dispatched = self.approval is ApprovalUse.SPENT
        return OutcomeClass.FAILURE if dispatched else OutcomeClass.BLOCKED


def standing(state: State, effect: Effect | None, resolution: Finding | None) -> Standing:
    """CARD-11: people are told "confirmed" on CONFIRMED only; stored nowhere."""
    if resolution is not None:
        return Standing.CONFIRMED if resolution is Finding.APPLIED else Standing.NOT_MADE
    if effect is Effect.APPLIED and state is State.SUCCEEDED:
        return Standing.CONFIRMED
    if effect in (Effect.APPLIED, Effect.UNKNOWN) or state in IN_FLIGHT_STATES:
        return Standing.UNRESOLVED
    return Standing.NOT_MADE


IN_FLIGHT_STATES = frozenset({State.AUTHORIZED, State.RUNNING, State.AUDITING})
