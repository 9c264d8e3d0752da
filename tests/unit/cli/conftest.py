"""Attempts as a journal would hand them over, made by the real lifecycle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.contracts.failures import Code
from gateway.contracts.outcome import ENDS
from gateway.contracts.proposal import Operation
from gateway.contracts.references import (
    AppointmentId,
    AttemptId,
    ConnectionId,
    CorrelationId,
    DecisionId,
    EvaluationId,
    ProposalId,
    TriggerId,
)
from gateway.contracts.signals import ProposalState, Signal, Step
from gateway.contracts.statements import Purpose, TriggerKind
from gateway.contracts.words import Effect, End, Environment, GateName, State
from gateway.ending import conclude
from gateway.journal import AttemptFile, Header
from gateway.lifecycle import Attempt, Identity

NOON = datetime(2031, 3, 3, 12, 0, tzinfo=UTC)


class Tale:
    """One attempt told event by event."""

    def __init__(self) -> None:
        identity = Identity(
            attempt=AttemptId.random(),
            correlation=CorrelationId.random(),
            trace="0123456789abcdef" * 2,
            environment=Environment.SANDBOX,
            trigger=TriggerId.random(),
        )
        self.attempt = Attempt(identity=identity)
        self.outcome: Any = None
        self.deadline: datetime | None = None

    def note(self, signal: Signal, **detail: Any) -> Tale:
        self.attempt = self.attempt.record(signal, NOON, **detail)
        return self

    def to(self, *states: State) -> Tale:
        for state in states:
            self.attempt = self.attempt.to(state, NOON)
        return self

    def gated(self, failing: GateName | None = None, code: Code | None = None) -> Tale:
        self.note(Signal.TRIGGER_RECEIVED, trigger_kind=TriggerKind.OPERATOR, purpose=Purpose.COMMIT)
        self.to(State.VALIDATING).note(Signal.CONTEXT_VALIDATED).to(State.GATED)
        self.note(Signal.PROPOSAL_BOUND, proposal_state=ProposalState.CURRENT)
        self.note(Signal.APPROVAL_BOUND, approval_digest="ab" * 32, approved_at=NOON)
        for gate in GateName:
            passed = gate is not failing
            self.note(Signal.GATE_JUDGED, gate=gate, passed=passed, code=None if passed else code)
        return self

    def ruled(self) -> Tale:
        return self.note(
            Signal.POLICY_EVALUATED,
            policy="standard",
            policy_version=1,
            view="scheduling-commit",
            view_version=1,
            policy_evaluation=EvaluationId.random(),
            allowed=True,
        )

    def intended(self) -> Tale:
        self.note(Signal.MUTATION_REQUESTED, operation=Operation.BOOK).note(Signal.MUTATION_APPROVED)
        self.to(State.AUTHORIZED, State.RUNNING)
        self.attempt = self.attempt.begin(Step.COMMIT, NOON)
        self.deadline = NOON
        return self.note(Signal.INTENT_RECORDED, operation=Operation.BOOK, deadline=NOON).to(State.AUDITING)

    def kept(self, *sinks: str) -> Tale:
        for sink in sinks:
            self.note(Signal.AUDIT_ACCEPTED, sink=sink)
        return self

    def effected(self, effect: Effect, code: Code, mutating_requests: int = 1) -> Tale:
        self.to(State.RUNNING)
        self.note(
            Signal.EXECUTION_STEP_COMPLETED,
            step=Step.COMMIT,
            effect=effect,
            code=code,
            requests=3,
            mutating_requests=mutating_requests,
        )
        return self.note(Signal.EFFECT_RECORDED, effect=effect, code=code).to(State.AUDITING)

    def ended(self, end: End, code: Code, **facts: Any) -> Tale:
        self.attempt, self.outcome = conclude(self.attempt, end, code, NOON, **facts)
        assert self.outcome.state is ENDS[end].state
        return self

    def file(self, **changes: Any) -> AttemptFile:
        made = AttemptFile(
            attempt=self.attempt.identity.attempt,
            header=Header(
                purpose=Purpose.COMMIT,
                trigger=self.attempt.identity.trigger,
                proposal=ProposalId.random(),
                connection=ConnectionId.random(),
                operation=Operation.BOOK,
                approval=DecisionId.random(),
            ),
            state=self.attempt.state,
            links=self.attempt.pending,
            outcome=self.outcome,
            owner=None,
            deadline=self.deadline,
            resolution=None,
        )
        return replace(made, **changes)


@pytest.fixture
def tale() -> Tale:
    return Tale()


@pytest.fixture
def tell() -> Callable[[], Tale]:
    return Tale


@pytest.fixture
def booked(tale: Tale) -> AttemptFile:
    """An attempt that ended well, with two keepers."""
    tale.gated().ruled().intended().kept("journal", "file").effected(Effect.APPLIED, Code.COMMITTED)
    reference = AppointmentId("apt_" + "0123456789abcdef" * 4)
    return tale.kept("file", "journal").ended(End.APPLIED, Code.COMMITTED, external_reference=reference).file()
