"""What verification found: bounded codes and places, never content (I7)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

_REFERENCE: Final = re.compile(r"[a-z]{3}_(?:[0-9a-f]{32}|[0-9a-f]{64})")


class FlawCode(StrEnum):
    """Why a journal is not what was recorded."""

    UNREADABLE = "UNREADABLE"
    CHAIN_BROKEN = "CHAIN_BROKEN"
    EVENT_INVALID = "EVENT_INVALID"
    TRANSITION_ILLEGAL = "TRANSITION_ILLEGAL"
    ROW_DIFFERS = "ROW_DIFFERS"
    OUTCOME_DIFFERS = "OUTCOME_DIFFERS"
    RECORD_INVALID = "RECORD_INVALID"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    APPROVAL_DIFFERS = "APPROVAL_DIFFERS"
    RESERVATION_DIFFERS = "RESERVATION_DIFFERS"
    POSITION_GAP = "POSITION_GAP"
    CHECKPOINT_INVALID = "CHECKPOINT_INVALID"
    COVERED_MISSING = "COVERED_MISSING"
    COVERED_SHORTENED = "COVERED_SHORTENED"
    COVERED_DIFFERS = "COVERED_DIFFERS"
    VOLUME_INVALID = "VOLUME_INVALID"
    VOLUME_DIFFERS = "VOLUME_DIFFERS"
    VOLUME_MISSING = "VOLUME_MISSING"
    UNVOUCHED = "UNVOUCHED"


@dataclass(frozen=True, slots=True)
class Flaw:
    code: FlawCode
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`covered` counts the chains that a checkpoint vouches for; `flaws` is empty for an intact journal.

    Of `attempts`, `archived` are those whose events are in volumes, and `absent` those of whose volume no file was
    at hand: their rows were compared with each other and with checkpoints, their events with nothing."""

    attempts: int
    events: int
    records: int
    checkpoints: int
    covered: int
    archived: int = 0
    absent: int = 0
    flaws: tuple[Flaw, ...]

    @property
    def intact(self) -> bool:
        return not self.flaws


@dataclass(slots=True)
class Findings:
    """The flaws and counts gathered so far."""

    flaws: list[Flaw] = field(default_factory=list)
    attempts: int = 0
    events: int = 0
    records: int = 0
    checkpoints: int = 0
    covered: int = 0
    archived: int = 0
    absent: int = 0

    def flaw(self, code: FlawCode, where: str) -> None:
        self.flaws.append(Flaw(code, where))

    def unless(self, holds: bool, code: FlawCode, where: str) -> None:
        if not holds:
            self.flaw(code, where)

    def report(self) -> Report:
        return Report(
            attempts=self.attempts,
            events=self.events,
            records=self.records,
            checkpoints=self.checkpoints,
            covered=self.covered,
            archived=self.archived,
            absent=self.absent,
            flaws=tuple(dict.fromkeys(self.flaws)),
        )


def place(kind: str, *parts: str | int | None) -> str:
    """Where a flaw is; a reference that was overwritten with something else is not repeated."""
    shown = (str(part) if isinstance(part, int) or _REFERENCE.fullmatch(part or "") else "?" for part in parts)
    return " ".join((kind, *shown))
