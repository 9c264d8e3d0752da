"""An attempt as a timeline: pure functions from what the journal holds to lines.

Owns: the order and the words of the page. Everything on it comes from the attempt's own audit events and its
outcome, so that the audit alone rebuilds the chain of decisions (AUDIT-29). The two durable barriers are drawn as
rules across the page: above the first nothing had been sent, below the second nothing is open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from gateway.audit.acknowledgement import JOURNAL
from gateway.cli.wording import FINDINGS, OPERATIONS, Tone, approval, day_time, headline, hold, next_step
from gateway.contracts.advice import advice
from gateway.contracts.failures import FAILURES, Code
from gateway.contracts.outcome import Outcome
from gateway.contracts.proposal import Operation
from gateway.contracts.signals import Event, Signal
from gateway.contracts.words import TERMINAL, State
from gateway.journal import AttemptFile


class Phase(StrEnum):
    """E-01 §3's phases, execution cut at the two barriers."""

    TRIGGER = "trigger"
    VALIDATION = "validation"
    GATES = "gates"
    INTENT = "intent"
    COMMIT = "commit"
    OUTCOME = "outcome"


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `barrier` lines go across the page; `state` is the state reached here."""

    phase: Phase
    text: str
    tone: Tone = Tone.PLAIN
    at: datetime | None = None
    state: State | None = None
    barrier: bool = False


@dataclass(frozen=True, slots=True)
class Fact:
    """One labelled fact beside the timeline."""

    label: str
    text: str
    tone: Tone = Tone.PLAIN


@dataclass(slots=True)
class _Story:
    """What has been told so far: where the attempt stands against its two barriers."""

    phase: Phase = Phase.TRIGGER
    lines: list[Line] = field(default_factory=list)
    keepers: list[str] = field(default_factory=list)
    refusers: list[str] = field(default_factory=list)
    intended: bool = False
    effected: bool = False


def timeline(file: AttemptFile) -> list[Line]:
    """The attempt's events, oldest first, acknowledgements gathered into barriers."""
    story = _Story()
    for link in file.links:
        _tell(story, link.event)
    _barrier(story)
    return story.lines


def subject(file: AttemptFile) -> list[Fact]:
    """What the attempt is about; references only."""
    header = file.header
    operation = f"{OPERATIONS[header.operation]} ({header.operation})" if header.operation else None
    named = {
        "purpose": header.purpose.value,
        "operation": operation,
        "proposal": header.proposal,
        "approval": header.approval,
        "connection": header.connection,
        "trigger": header.trigger,
        "started": day_time(file.links[0].event.at) if file.links else None,
        "archived": None if file.volume is None else f"in volume {file.volume}",
    }
    facts = [Fact(label, text) for label, text in named.items() if text is not None]
    if file.volume is not None and not file.links:
        facts.append(Fact("events", "not at hand: name the archive's directory with --archive", Tone.CARE))
    return facts


def conclusion(file: AttemptFile) -> list[Fact]:
    """Where it stands now, and who does what next."""
    outcome, intended = file.outcome, any(link.event.signal is Signal.INTENT_RECORDED for link in file.links)
    if outcome is None:
        facts = [Fact("standing", "In flight: its outcome is not recorded yet.", Tone.CARE)]
        if file.deadline is not None:
            facts.append(Fact("deadline", day_time(file.deadline)))
        return [
            *facts,
            Fact("hold", hold(None, intended)),
            Fact("next", "ask again; gateway recover if its process died"),
        ]
    return outcome_facts(outcome)


def outcome_facts(outcome: Outcome) -> list[Fact]:
    """An outcome for people: where the matter stands, and what it left behind."""
    head = headline(outcome)
    facts = [
        Fact("standing", head.text, head.tone),
        Fact("state", f"{outcome.state}, {outcome.code}"),
        Fact("effect", outcome.effect.value if outcome.effect else "none: nothing was dispatched"),
        Fact("hold", hold(outcome, intended=False)),
        Fact("approval", approval(outcome)),
    ]
    if outcome.external_reference is not None:
        facts.append(Fact("appointment", outcome.external_reference))
    if outcome.version is not None:
        facts.append(Fact("version", outcome.version))
    facts.extend(_afterwards(outcome))
    if outcome.resolution is None:
        facts.append(Fact("do", advice(outcome.code, outcome.effect)))
    facts.append(Fact("next", next_step(outcome), Tone.STRONG))
    return facts


def _afterwards(outcome: Outcome) -> Iterator[Fact]:
    if outcome.replayed:
        yield Fact("replayed", "the recorded outcome of the same request; nothing was sent now")
    if not outcome.recorded:
        yield Fact("recorded", "no: the journal could not take this outcome", Tone.BAD)
    if outcome.not_before is not None:
        yield Fact("not before", day_time(outcome.not_before))
    if outcome.signal is not None:
        yield Fact("signal", outcome.signal)
    if (seen := outcome.observation) is not None:
        yield Fact("observed", f"{seen.finding} at {day_time(seen.at)}: {FINDINGS[seen.finding]}")
        yield Fact("observation", seen.observation_id)
        if seen.external_reference is not None and outcome.external_reference is None:
            yield Fact("appointment", seen.external_reference)
        if seen.version is not None and outcome.version is None:
            yield Fact("version", seen.version)
    if outcome.resolution is not None:
        yield Fact("resolved", f"{outcome.resolution}, by a human's signed statement")
    if outcome.notice_outstanding:
        yield Fact("outstanding", "the patient has not been told of the outcome", Tone.CARE)
    if outcome.binding_outstanding:
        yield Fact("outstanding", "the vendor's identifier did not reach the practice's registry", Tone.CARE)


# -- one event, one line, most of the time ---------------------------------------------------------------


def _tell(story: _Story, event: Event) -> None:
    if event.signal in (Signal.AUDIT_ACCEPTED, Signal.AUDIT_FAILED):
        (story.keepers if event.signal is Signal.AUDIT_ACCEPTED else story.refusers).append(event.sink or "?")
        return
    if event.signal is Signal.STATE_TRANSITION_RECORDED:
        if event.to_state is State.AUDITING and (story.intended or story.effected):
            if story.intended:  # what is read here was appended: the journal keeps it, even where its process died
                story.keepers.append(JOURNAL)
            return  # the barrier that follows says so
        _barrier(story)
        assert event.to_state is not None
        story.phase = _REACHED.get(event.to_state, story.phase)
        tone = _TONES.get(event.to_state, Tone.PLAIN)
        story.lines.append(Line(story.phase, "", tone, event.at, event.to_state))
        return
    _barrier(story)
    if event.signal is Signal.MUTATION_REQUESTED:
        story.phase = Phase.INTENT
    elif event.signal is Signal.INTENT_RECORDED:
        story.intended = True
    elif event.signal is Signal.EFFECT_RECORDED:
        story.effected = True
    words = WORDS.get(event.signal)
    text, tone = words(event) if words else (event.signal.value, Tone.QUIET)
    story.lines.append(Line(story.phase, text, tone, event.at))


def _barrier(story: _Story) -> None:
    """Draw the acknowledgements gathered so far, if any, as the barrier that they are."""
    if not story.keepers and not story.refusers:
        return
    kept = f"kept by {', '.join(dict.fromkeys(story.keepers))}" if story.keepers else ""
    refused = f"REFUSED by {', '.join(dict.fromkeys(story.refusers))}" if story.refusers else ""
    keeping = ", ".join(part for part in (kept, refused) if part)
    tone = Tone.BAD if refused else Tone.STRONG
    if story.effected:
        text, story.effected, after = "durable barrier 2: effect and outcome", False, Phase.OUTCOME
    elif story.intended:
        text, story.intended, after = "durable barrier 1: intent, nothing sent yet", False, Phase.COMMIT
    else:
        story.phase = Phase.OUTCOME
        story.lines.append(Line(story.phase, f"recorded, {keeping}", Tone.BAD if refused else Tone.QUIET))
        text = ""
    if text:
        story.lines.append(Line(story.phase, f"{text}; {keeping}", tone, state=State.AUDITING, barrier=True))
        story.phase = after
    story.keepers, story.refusers = [], []


_REACHED: Final[Mapping[State, Phase]] = MappingProxyType(
    {State.VALIDATING: Phase.VALIDATION, State.GATED: Phase.GATES, State.PAUSED: Phase.OUTCOME}
    | dict.fromkeys(TERMINAL, Phase.OUTCOME)
)
_TONES: Final[Mapping[State, Tone]] = MappingProxyType(
    {
        State.SUCCEEDED: Tone.GOOD,
        State.REJECTED: Tone.BAD,
        State.BLOCKED: Tone.BAD,
        State.ERROR: Tone.BAD,
        State.CANCELLED: Tone.CARE,
        State.PAUSED: Tone.CARE,
    }
)


def _meaning(code: Code | None) -> str:
    return f"{code}: {FAILURES[code].meaning}" if code else "no reason recorded"


def _trigger(event: Event) -> tuple[str, Tone]:
    kind = event.trigger_kind or "unverified"
    return f"trigger: {kind}, to {event.purpose}", Tone.PLAIN


def _refused(event: Event) -> tuple[str, Tone]:
    return f"trigger refused, {_meaning(event.code)}", Tone.BAD


def _context(event: Event) -> tuple[str, Tone]:
    return f"context refused, {_meaning(event.code)}", Tone.BAD


def _proposal(event: Event) -> tuple[str, Tone]:
    return f"proposal is {event.proposal_state}", Tone.PLAIN


def _approval(event: Event) -> tuple[str, Tone]:
    when = day_time(event.approved_at) if event.approved_at else "an unknown time"
    digest = event.approval_digest or ""
    return f"approval of {when}, digest {digest[:16]}…", Tone.PLAIN


def _gate(event: Event) -> tuple[str, Tone]:
    if event.passed:
        return f"gate {event.gate}", Tone.GOOD
    return f"gate {event.gate}, {_meaning(event.code)}", Tone.BAD


def _policy(event: Event) -> tuple[str, Tone]:
    name = f"policy {event.policy}/{event.policy_version} on view {event.view}/{event.view_version}"
    if event.allowed:
        return f"{name}: allows", Tone.GOOD
    return f"{name}: {_meaning(event.code)}", Tone.CARE if event.code is Code.DECISION_REQUIRED else Tone.BAD


def _question(event: Event) -> tuple[str, Tone]:
    return f"decision signal, severity {event.severity}", Tone.CARE


def _answered(event: Event) -> tuple[str, Tone]:
    return f"a human answered: {event.answer}", Tone.PLAIN


def _requested(event: Event) -> tuple[str, Tone]:
    name = OPERATIONS[event.operation] if isinstance(event.operation, Operation) else str(event.operation)
    return f"mutation requested: {name}", Tone.PLAIN


def _intent(event: Event) -> tuple[str, Tone]:
    return f"intent, to be done by {day_time(event.deadline) if event.deadline else '?'}", Tone.PLAIN


def _started(event: Event) -> tuple[str, Tone]:
    return f"step {event.step} begins", Tone.QUIET


def _completed(event: Event) -> tuple[str, Tone]:
    if event.mutating_requests is None:
        return f"step {event.step} ends", Tone.QUIET
    plural = "" if event.mutating_requests == 1 else "s"
    return f"step {event.step} ends: {event.mutating_requests} mutating request{plural} of {event.requests} sent", (
        Tone.PLAIN
    )


def _effect(event: Event) -> tuple[str, Tone]:
    tone = Tone.GOOD if event.code is Code.COMMITTED else Tone.CARE if event.effect == "UNKNOWN" else Tone.BAD
    return f"effect {event.effect}, {_meaning(event.code)}", tone


def _seen(event: Event) -> tuple[str, Tone]:
    return f"observation: {event.finding}" + (f", {FINDINGS[event.finding]}" if event.finding else ""), Tone.PLAIN


def _down(event: Event) -> tuple[str, Tone]:
    return f"unavailable, {_meaning(event.code)}", Tone.CARE


def _said(text: str, tone: Tone = Tone.PLAIN) -> Callable[[Event], tuple[str, Tone]]:
    return lambda event: (text, tone)


WORDS: Final[Mapping[Signal, Callable[[Event], tuple[str, Tone]]]] = MappingProxyType(
    {
        Signal.TRIGGER_RECEIVED: _trigger,
        Signal.TRIGGER_REJECTED: _refused,
        Signal.CONTEXT_VALIDATED: _said("context complete and admitted"),
        Signal.CONTEXT_INVALID: _context,
        Signal.CONTEXT_MISSING: _context,
        Signal.PROPOSAL_BOUND: _proposal,
        Signal.APPROVAL_BOUND: _approval,
        Signal.GATE_JUDGED: _gate,
        Signal.POLICY_EVALUATED: _policy,
        Signal.DECISION_REQUIRED_EMITTED: _question,
        Signal.DECISION_ANSWERED: _answered,
        Signal.DEPENDENCY_UNAVAILABLE: _down,
        Signal.MUTATION_REQUESTED: _requested,
        Signal.MUTATION_APPROVED: _said("mutation covered by the approval"),
        Signal.MUTATION_DENIED: lambda event: (f"mutation denied, {_meaning(event.code)}", Tone.BAD),
        Signal.INTENT_RECORDED: _intent,
        Signal.EXECUTION_STEP_STARTED: _started,
        Signal.EXECUTION_STEP_COMPLETED: _completed,
        Signal.EFFECT_RECORDED: _effect,
        Signal.OBSERVATION_RECORDED: _seen,
        Signal.DISCREPANCY_RECORDED: _said("this contradicts the record: a human must look", Tone.BAD),
        Signal.ATTEMPT_COMPLETED: _said("attempt completed, chain closed", Tone.QUIET),
    }
)
"""What each signal is called on the page; a test holds that every signal is told somehow."""
