"""What people are told, in one place: standings, operations, gates and what comes next.

Invariant (NOTIFY-04): the word "confirmed" is said of an attempt exactly when its standing is CONFIRMED.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from gateway.contracts.advice import advice
from gateway.contracts.connection import Scheme
from gateway.contracts.failures import FAILURES, Code
from gateway.contracts.outcome import Outcome
from gateway.contracts.proposal import Operation
from gateway.contracts.statements import Finding
from gateway.contracts.words import Actor, ApprovalUse, Effect, Next, ObservationFinding, Standing, State


class Tone(StrEnum):
    """How a line is meant; a mark says the same to those who see no colour."""

    PLAIN = "plain"
    QUIET = "quiet"
    GOOD = "good"
    BAD = "bad"
    CARE = "care"
    STRONG = "strong"


MARKS: Final[Mapping[Tone, str]] = MappingProxyType(
    {Tone.PLAIN: " ", Tone.QUIET: " ", Tone.GOOD: "✓", Tone.BAD: "✗", Tone.CARE: "!", Tone.STRONG: " "}
)
STYLES: Final[Mapping[Tone, str]] = MappingProxyType(
    {
        Tone.PLAIN: "",
        Tone.QUIET: "dim",
        Tone.GOOD: "green",
        Tone.BAD: "red",
        Tone.CARE: "yellow",
        Tone.STRONG: "bold",
    }
)
OPERATIONS: Final[Mapping[Operation, str]] = MappingProxyType(
    {Operation.BOOK: "book", Operation.RESCHEDULE: "reschedule", Operation.CANCEL: "cancel"}
)
NEXT: Final[Mapping[Next, str]] = MappingProxyType(
    {
        Next.NONE: "nothing",
        Next.NEW_ATTEMPT: "try again: the same approval still stands",
        Next.NEW_APPROVAL: "a new approval is needed: gateway review",
        Next.NEW_PROPOSAL: "a new proposal is needed: gateway propose",
        Next.RESOLVE: "find out what became of it: gateway observe, then gateway resolve",
        Next.FIX_SETUP: "mend the set-up: gateway doctor says what",
        Next.DECIDE: "answer the question: gateway resume --proceed or --decline",
    }
)
OVERTAKEN: Final = frozenset(
    {
        Code.PROPOSAL_EXPIRED,
        Code.PROPOSAL_WITHDRAWN,
        Code.PROPOSAL_REVISED,
        Code.PROPOSAL_EXECUTED,
        Code.APPROVAL_SUPERSEDED,
        Code.OPERATOR_STOP,
    }
)
"""After these the same approval never admits anything again."""
FINDINGS: Final[Mapping[ObservationFinding, str]] = MappingProxyType(
    {
        ObservationFinding.PRESENT: "the external system holds the change",
        ObservationFinding.ABSENT: "the external system does not hold the change",
        ObservationFinding.DIFFERENT: "the external system holds something else under this key",
        ObservationFinding.INDETERMINATE: "the look proved nothing",
    }
)
SECRETS: Final[Mapping[Scheme, str]] = MappingProxyType(
    {
        Scheme.BASIC: "user:password",
        Scheme.BEARER: "a token",
        Scheme.CLIENT_CERTIFICATE: "PEM: the certificate, those that vouch for it, its unlocked private key",
        Scheme.CLIENT_CREDENTIALS: "client_id:client_secret",
        Scheme.PRIVATE_KEY_JWT: "a private key, RSA of 2048 bits or more, or P-384, as JWK or PEM",
        Scheme.JWT_BEARER: "a private RSA key of 2048 bits or more, as JWK or PEM",
    }
)
"""What a secret of that scheme is."""


@dataclass(frozen=True, slots=True)
class Headline:
    tone: Tone
    text: str


def headline(outcome: Outcome) -> Headline:
    """Where the matter stands, for people."""
    if outcome.standing is Standing.CONFIRMED:
        return Headline(Tone.GOOD, "Confirmed: the external system holds the approved change.")
    if outcome.code in (Code.CHECK_PASSED, Code.OBSERVED):
        return Headline(Tone.GOOD, f"{FAILURES[outcome.code].meaning.capitalize()}.")
    if outcome.standing is Standing.UNRESOLVED:
        return Headline(Tone.CARE, _unresolved(outcome))
    if outcome.resolution is Finding.HANDLED_BY_HAND:
        return Headline(Tone.CARE, "Handled by hand, says a human; not made by this attempt.")
    if outcome.resolution is Finding.ABSENT:
        return Headline(Tone.BAD, "Not made: a human found that nothing took effect.")
    if outcome.state is State.PAUSED:
        return Headline(Tone.CARE, "Paused before anything was sent: policy wants a human's answer.")
    return Headline(Tone.BAD, f"Not made: {FAILURES[outcome.code].meaning}.")


def _unresolved(outcome: Outcome) -> str:
    if outcome.effect is Effect.APPLIED:
        return f"Applied, but unfinished: {FAILURES[outcome.code].meaning}."
    if outcome.effect is Effect.UNKNOWN:
        return f"Not known whether it was made: {FAILURES[outcome.code].meaning}."
    if outcome.attempt is None or not outcome.recorded:
        return (
            f"This call did nothing, and what others with its key did cannot be told: {FAILURES[outcome.code].meaning}."
        )
    return "In flight: its outcome is not recorded yet."


def next_step(outcome: Outcome) -> str:
    """Who does what now."""
    if outcome.next is Next.NONE and outcome.actor in (Actor.NOBODY, Actor.OPERATOR):
        return NEXT[Next.NONE]
    return f"{NEXT[outcome.next]} ({outcome.actor})"


def hold(outcome: Outcome | None, intended: bool) -> str:
    """What became of the hold on the proposal."""
    if outcome is None or outcome.effect is None:
        return "held while in flight" if outcome is None and intended else "none"
    if outcome.effect in (Effect.NOT_SENT, Effect.REFUSED) or outcome.resolution is Finding.ABSENT:
        return "released"
    if outcome.effect is Effect.UNKNOWN and outcome.resolution is None:
        return "kept: nothing more is sent for this proposal until a human resolves it"
    return "for ever: this proposal is carried out and never sent again"


def approval(outcome: Outcome) -> str:
    if outcome.approval is ApprovalUse.SPENT:
        return "spent"
    if outcome.code in OVERTAKEN:
        return "not spent, and of no further use"
    return "still usable while current"


def clock_time(at: datetime) -> str:
    """UTC, to the millisecond, within a day."""
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}"


def day_time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """The outcome as JSON: its own members, and what is derived from it."""
    return {
        **outcome.plain(),
        "standing": outcome.standing.value,
        "class": outcome.outcome_class.value,
        "meaning": FAILURES[outcome.code].meaning,
        "advice": None if outcome.resolution else advice(outcome.code, outcome.effect),
    }
