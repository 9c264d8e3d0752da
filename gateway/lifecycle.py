"""The attempt as a pure value: twelve states, the edges of E-01 §4.3, and the events they leave.

Owns: which state may follow which, and that each move and each step leaves its event. Knows no I/O, no
clock and no randomness: instants and identifiers are given.
Refuses: every unlisted move, a step outside RUNNING, and anything after a terminal state, each as an
`InvariantViolation` (STATE-40); the orchestrator ends the attempt then.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from gateway.contracts.chain import GENESIS, Link
from gateway.contracts.references import AttemptId, CorrelationId, TriggerId
from gateway.contracts.signals import Event, Signal, Step
from gateway.contracts.words import TERMINAL, Environment, State
from gateway.errors import InvariantViolation

_MAY_FAIL: Final = (State.VALIDATING, State.GATED, State.AUTHORIZED, State.RUNNING, State.PAUSED, State.AUDITING)

EDGES: Final[frozenset[tuple[State, State]]] = frozenset(
    {
        (State.NEW, State.VALIDATING),
        (State.NEW, State.REJECTED),  # C-09: trigger denial, the one edge beyond E-01 §4.3
        (State.VALIDATING, State.GATED),
        (State.GATED, State.AUTHORIZED),
        (State.GATED, State.REJECTED),
        (State.GATED, State.PAUSED),
        (State.AUTHORIZED, State.RUNNING),
        (State.RUNNING, State.PAUSED),
        (State.RUNNING, State.AUDITING),
        (State.RUNNING, State.CANCELLED),
        (State.AUDITING, State.RUNNING),
        (State.AUDITING, State.SUCCEEDED),
        (State.PAUSED, State.GATED),
        (State.PAUSED, State.CANCELLED),
    }
    | {(state, end) for state in _MAY_FAIL for end in (State.ERROR, State.BLOCKED)}
)


class Stage(StrEnum):
    """MIG-06 §5.1's lifecycle stages (LIFE-01)."""

    SPAWN = "spawn"
    RUN = "run"
    PAUSE = "pause"
    TERMINATE = "terminate"


STAGES: Final[dict[State, Stage]] = {
    State.NEW: Stage.SPAWN,
    State.VALIDATING: Stage.SPAWN,
    State.GATED: Stage.SPAWN,
    State.AUTHORIZED: Stage.RUN,
    State.RUNNING: Stage.RUN,
    State.AUDITING: Stage.RUN,
    State.PAUSED: Stage.PAUSE,
} | dict.fromkeys(TERMINAL, Stage.TERMINATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The correlation identifiers of one attempt, fixed for its life (E-01 §7.1, CORR-11)."""

    attempt: AttemptId
    correlation: CorrelationId
    trace: str
    environment: Environment
    trigger: TriggerId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt: where it stands, the head of its chain, and the links not yet in the journal.

    `stored` is the sequence number of the last link that the journal holds.
    """

    identity: Identity
    state: State = State.NEW
    seq: int = 0
    head: str = GENESIS
    stored: int = 0
    pending: tuple[Link, ...] = field(default=())

    @property
    def terminal(self) -> bool:
        return self.state in TERMINAL

    def record(self, signal: Signal, at: datetime, **detail: Any) -> Attempt:
        """The attempt with one more event; `detail` are fields of `Event`."""
        if self.terminal and signal is not Signal.ATTEMPT_COMPLETED:
            raise InvariantViolation(f"{signal} after {self.state}: a finished attempt says nothing more")
        identity = self.identity
        event = Event(
            seq=self.seq + 1,
            at=at,
            signal=signal,
            environment=identity.environment,
            attempt=identity.attempt,
            correlation=identity.correlation,
            trace=identity.trace,
            trigger=identity.trigger,
            **detail,
        )
        link = Link.after(self.head, event)
        return replace(self, seq=event.seq, head=link.hash, pending=(*self.pending, link))

    def to(self, state: State, at: datetime, **detail: Any) -> Attempt:
        """Take one edge, leaving StateTransitionRecorded (AUDIT-13); raises for any other (STATE-03)."""
        if (self.state, state) not in EDGES:
            raise InvariantViolation(f"{self.state} → {state} is not an edge of E-01 §4.3")
        recorded = self.record(Signal.STATE_TRANSITION_RECORDED, at, from_state=self.state, to_state=state, **detail)
        return replace(recorded, state=state)

    def begin(self, step: Step, at: datetime) -> Attempt:
        """Start a step; only RUNNING executes, and AUDITING least of all (STATE-34, STATE-37)."""
        if self.state is not State.RUNNING:
            raise InvariantViolation(f"step {step} while {self.state}: only RUNNING executes")
        return self.record(Signal.EXECUTION_STEP_STARTED, at, step=step)

    def flushed(self) -> Attempt:
        """The attempt once the journal holds all its links."""
        return replace(self, stored=self.seq, pending=())
