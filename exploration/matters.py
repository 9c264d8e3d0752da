"""What the people of a practice know of each of their proposals, and how they go on with it.

Owns: a `Matter` for each proposal, learnt from answers alone, as a person would; and the works that a call carries
into a gateway. What a look shows soon after a clock was put forward or back, they do not believe.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from exploration.checker import ViolationError
from exploration.practice import Asked
from gateway.contracts.outcome import Outcome
from gateway.contracts.proposal import Target
from gateway.contracts.references import AttemptId, DecisionId, ObservationId
from gateway.contracts.words import ObservationFinding, State
from gateway.errors import GatewayError
from gateway.gateway import Gateway

Work = Callable[[Gateway], Coroutine[Any, Any, Any]]


@dataclass(eq=False, slots=True)
class Matter:
    """One proposal and its revisions, as people know it. `paused` are answers that wait for a decision."""

    asked: Asked
    approval: DecisionId | None = None
    triggers: list[tuple[str, str]] = field(default_factory=list)
    paused: list[Outcome] = field(default_factory=list)

    def learn(self, answer: Outcome) -> None:
        """What a call about it was told."""
        if answer.state is State.PAUSED and answer.signal is not None:
            self.paused.append(answer)


@dataclass(eq=False, slots=True)
class Mystery:
    """An attempt that ended unknown, and what looks have shown."""

    attempt: AttemptId
    asked: Asked
    closing_hash: str
    absent: ObservationId | None = None
    present: ObservationId | None = None

    def learn(self, answer: Outcome, *, convincing: bool) -> None:
        """What a look has shown. Absence counts only where people believe it (`convincing`)."""
        seen = answer.observation
        if answer.attempt != self.attempt or seen is None:
            return
        if seen.finding is ObservationFinding.PRESENT:
            self.present = seen.observation_id
        elif seen.finding is ObservationFinding.ABSENT and convincing:
            self.absent = seen.observation_id


def target_of(answer: Outcome) -> Target | None:
    """What a later reschedule or cancellation names."""
    if answer.external_reference is None or answer.version is None:
        return None
    return Target(appointment=answer.external_reference, version=answer.version)


def attempting(kind: str, token: str) -> Work:
    """Present a trigger: `kind` is the gateway's method, which answers whatever happens."""

    async def work(gateway: Gateway) -> Any:
        try:
            return await getattr(gateway, kind)(token)
        except GatewayError as error:
            raise ViolationError(f"{kind} raised {type(error).__name__} instead of answering") from error

    return work


def saying(kind: str, *tokens: str) -> Work:
    """Have statements recorded, one after the other: `kind` is the gateway's method."""

    async def work(gateway: Gateway) -> Any:
        answer = None
        for token in tokens:
            answer = await getattr(gateway, kind)(token)
        return answer

    return work
