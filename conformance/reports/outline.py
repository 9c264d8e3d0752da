"""A run's results in the order in which people read them: by area, each requirement with how it counts.

Owns: the words that every report shares. Decides nothing: how a result counts is `conformance.verdict`'s word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from conformance.registry import REQUIREMENTS
from conformance.requirement import Need, Requirement
from conformance.results import Judgement, Peer, Profile, Result, Results, Verdict
from conformance.verdict import derive, unmet

AREAS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "claims": "What the adapter says of itself",
        "ready": "Readiness",
        "book": "Booking",
        "reschedule": "Rescheduling",
        "cancel": "Cancelling",
        "observe": "Looking afterwards",
        "refused": "Refusals",
        "slots": "Shared slots",
        "replay": "The same request again",
        "race": "Requests that overlap",
        "lost": "Lost acknowledgement",
        "crash": "The gateway is killed",
        "conduct": "Conduct over the whole run",
        "hostile": "A hostile system",
    }
)
"""The first part of a requirement's id, in words."""

WORDS: Final[Mapping[Judgement | None, str]] = MappingProxyType(
    {
        Judgement.PASSED: "passed",
        Judgement.FAILED: "failed",
        Judgement.NOT_APPLICABLE: "not applicable",
        Judgement.COULD_NOT_RUN: "could not run",
        Judgement.HARNESS_ERROR: "error of the suite",
        None: "did not execute",
    }
)
MARKS: Final[Mapping[Judgement | None, str]] = MappingProxyType(
    {
        Judgement.PASSED: "✓",
        Judgement.FAILED: "✗",
        Judgement.NOT_APPLICABLE: "–",
        Judgement.COULD_NOT_RUN: "!",
        Judgement.HARNESS_ERROR: "#",
        None: "·",
    }
)
"""Says the same as the colour does, to those who see none."""


@dataclass(frozen=True, slots=True)
class Line:
    """One requirement of the registry or, where a file names an unknown one, that id alone (`requirement` None).

    `counts` is how it enters the verdict, which may be worse than what was recorded; None: it did not execute.
    """

    id: str
    requirement: Requirement | None
    result: Result | None
    counts: Judgement | None

    @property
    def area(self) -> str:
        return self.id.partition(".")[0]

    @property
    def statement(self) -> str:
        return self.requirement.statement if self.requirement else "Unknown to this suite; it counts for nothing."

    @property
    def advisory(self) -> bool:
        return self.requirement is None or self.requirement.advisory


def lines(results: Results) -> tuple[Line, ...]:
    """Every requirement in the registry's order, executed or not; then what the registry does not know."""
    worse = {requirement.id: judgement for requirement, judgement in unmet(results)}
    by_id: dict[str, list[Result | None]] = {}
    for entry in results.results:
        by_id.setdefault(entry.requirement, []).append(entry)
    found: list[Line] = []
    for name in (*REQUIREMENTS, *(name for name in by_id if name not in REQUIREMENTS)):
        for result in by_id.get(name, [None]):
            counts = worse.get(name, result.judgement if result else None)
            found.append(Line(name, REQUIREMENTS.get(name), result, counts))
    return tuple(found)


def areas(results: Results) -> Mapping[str, tuple[Line, ...]]:
    """The lines by area, in order."""
    found: dict[str, list[Line]] = {}
    for line in lines(results):
        found.setdefault(line.area, []).append(line)
    return {area: tuple(of) for area, of in found.items()}


def title(area: str) -> str:
    return AREAS.get(area, area.capitalize())


def tally(found: Sequence[Line]) -> Mapping[Judgement | None, int]:
    """How many lines count as what; words without any are left out."""
    counted = [line.counts for line in found]
    return {judgement: counted.count(judgement) for judgement in WORDS if judgement in counted}


def headline(results: Results) -> str:
    """The verdict in one sentence, derived again from the raw results."""
    name, label = results.adapter.name, results.target.label
    verdict = derive(results)
    if verdict is Verdict.CONFORMANT:
        return f"The adapter {name} is conformant on {label}, dialect {results.target.dialect}."
    if verdict is Verdict.NOT_CONFORMANT:
        return f"The adapter {name} is not conformant on {label}, dialect {results.target.dialect}."
    return f"Incomplete: whether the adapter {name} conforms on {label} is not shown by this run."


def missing(results: Results) -> tuple[str, ...]:
    """What stands between this run and `conformant`, a sentence each; empty for a conformant run."""
    if derive(results) is Verdict.CONFORMANT:
        return ()
    told = []
    if results.interrupted:
        told.append("The run was interrupted before its end.")
    if results.profile is Profile.PRODUCTION_READONLY:
        told.append("The run was read-only; conformance needs a run against a sandbox.")
    if results.at_most_once.evidence.value == "violated":
        told.append("An action had more than one effect, or more than one mutating request.")
    counted = tally(tuple(line for line in lines(results) if not line.advisory))
    for judgement, number in counted.items():
        if judgement not in (Judgement.PASSED, Judgement.NOT_APPLICABLE):
            told.append(f"{number} required {'check' if number == 1 else 'checks'} {_ended(judgement)}.")
    if Judgement.PASSED not in counted:
        told.append("No check passed.")
    return tuple(told)


def _ended(judgement: Judgement | None) -> str:
    return "ended with an error of the suite" if judgement is Judgement.HARNESS_ERROR else WORDS[judgement]


def reason(line: Line, results: Results) -> str:
    """Why it ended so: the run's own reason, the claim that excuses it, or why it counts as less."""
    result, requirement = line.result, line.requirement
    if result is None:
        return "The run did not reach it."
    told = [_sentence(result.reason)] if result.reason else []
    if line.counts is not result.judgement:
        told.append(f"Recorded as {WORDS[result.judgement]}, counts as {WORDS[line.counts]}: {_worse(line, results)}")
    elif result.judgement is Judgement.NOT_APPLICABLE and requirement is not None:
        absent = requirement.missing(results.descriptor, credential=results.credential)
        told = [f"Not declared: {', '.join(NEEDS[need] for need in absent)}."]
    return " ".join(told)


def _sentence(told: str) -> str:
    return told[:1].upper() + told[1:] + ("" if told.endswith((".", "!", "?")) else ".")


def _worse(line: Line, results: Results) -> str:
    if [entry.requirement for entry in results.results].count(line.id) > 1:
        return "it is there more than once."
    if line.counts is Judgement.COULD_NOT_RUN and _is_foreign(line):
        return "this requirement needs evidence from the sandbox itself, not from a twin."
    if line.counts is Judgement.COULD_NOT_RUN:
        return "no receipt says that every fault of it struck."
    return "what is declared and what was excused disagree."


NEEDS: Final[Mapping[Need, str]] = MappingProxyType(
    {
        Need.BOOK: "booking",
        Need.RESCHEDULE: "rescheduling",
        Need.CANCEL: "cancelling",
        Need.NO_BOOK: "that booking is unsupported",
        Need.NO_RESCHEDULE: "that rescheduling is unsupported",
        Need.NO_CANCEL: "that cancelling is unsupported",
        Need.UNIQUE_KEY: "a native key that the system accepts once",
        Need.EXCLUSIVE_SLOTS: "slots that the system keeps exclusive",
        Need.SHARED_SLOTS: "slots that may be shared",
        Need.OBSERVATION: "observation",
        Need.NO_OBSERVATION: "that nothing can be observed",
        Need.CREDENTIAL: "a credential",
    }
)


def _is_foreign(line: Line) -> bool:
    """Whether the evidence is a twin's where only the sandbox's counts."""
    if line.result is None or line.requirement is None:
        return False
    return line.result.peer is Peer.TWIN and not line.requirement.admits_twin


def standing(result: Result) -> str | None:
    """What the observer counted, beside what it was compared with. After a lost reply nobody can say what should
    stand there, so the figure is what would stand had the action been carried out."""
    if result.effects is None:
        return None
    compared = "if carried out" if result.requirement.partition(".")[0] in ("lost", "crash") else "expected"
    other = "" if result.expected_effects is None else f", {result.expected_effects} {compared}"
    return f"{result.effects} in the slot{other}"


MISCONDUCT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "second-mutation": "a second mutating request",
        "write-in-read": "a mutating request where only reads are allowed",
        "out-of-contract": "an answer outside the contract",
        "leak": "a secret or a payload let out",
        "own-connection": "a connection of its own",
        "own-process": "a process of its own",
    }
)


def misconduct(result: Result) -> tuple[str, ...]:
    """What the adapter did besides answering, in words."""
    return tuple(MISCONDUCT.get(each, each) for each in result.misconduct)


def peer_words(peer: Peer, profile: Profile) -> str:
    """Whose evidence it is; a sandbox is always called one."""
    if peer is Peer.TWIN:
        return "twin"
    return "sandbox" if profile is Profile.SANDBOX else "production, reads only"
