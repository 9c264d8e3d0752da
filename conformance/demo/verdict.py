"""What a step must come to, what it came to, and the comparison: pure.

Owns: the facts on which every step is judged. Invariant: expected and seen are of one type and every member is
compared, so a step cannot pass on what nobody looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from gateway.contracts.outcome import Outcome
from gateway.contracts.references import AttemptId
from gateway.contracts.statements import Finding
from gateway.contracts.words import Effect, ObservationFinding, Standing, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`mutating_requests` are counted on the wire and `calendar` is read from the server; the rest is the
    gateway's answer. `earlier_attempt`: the answer is about an attempt made in an earlier step."""

    state: State
    code: str
    standing: Standing
    effect: Effect | None = None
    earlier_attempt: bool = False
    replayed: bool = False
    observed: ObservationFinding | None = None
    resolution: Finding | None = None
    mutating_requests: int = 0
    lost_replies: int = 0
    calendar: tuple[str, ...] = ()

    @classmethod
    def of(cls, outcome: Outcome, *, earlier: bool, mutating: int, lost: int, calendar: tuple[str, ...]) -> Facts:
        """What was seen of one step."""
        return cls(
            state=outcome.state,
            code=outcome.code,
            standing=outcome.standing,
            effect=outcome.effect,
            earlier_attempt=earlier,
            replayed=outcome.replayed,
            observed=outcome.observation.finding if outcome.observation else None,
            resolution=outcome.resolution,
            mutating_requests=mutating,
            lost_replies=lost,
            calendar=calendar,
        )

    def plain(self) -> dict[str, Any]:
        """The facts as JSON."""
        return {part.name: _plain(getattr(self, part.name)) for part in fields(self)}


def faults(expected: Facts, seen: Facts) -> tuple[str, ...]:
    """In what the step was not as it should be; empty when it was."""
    return tuple(
        f"{part.name.replace('_', ' ')}: {_words(getattr(seen, part.name))}, not {_words(getattr(expected, part.name))}"
        for part in fields(Facts)
        if getattr(seen, part.name) != getattr(expected, part.name)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that a person did, and what came of it."""

    name: str
    title: str
    expected: Facts
    seen: Facts
    attempt: AttemptId | None
    told: str

    @property
    def faults(self) -> tuple[str, ...]:
        return faults(self.expected, self.seen)

    def plain(self) -> dict[str, Any]:
        """The step as JSON: what was seen, at the top, then what should have been."""
        return {
            "name": self.name,
            "title": self.title,
            "ok": not self.faults,
            "attempt_id": self.attempt,
            **self.seen.plain(),
            "told": self.told,
            "expected": self.expected.plain(),
            "faults": list(self.faults),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Something looked at once, at the end; it holds when the two say the same."""

    name: str
    title: str
    expected: str
    seen: str

    @property
    def ok(self) -> bool:
        return self.seen == self.expected

    def plain(self) -> dict[str, Any]:
        """The check as JSON."""
        return {"name": self.name, "title": self.title, "ok": self.ok, "expected": self.expected, "seen": self.seen}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _words(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "; ".join(map(str, value)) or "nothing" if isinstance(value, tuple) else str(value)
