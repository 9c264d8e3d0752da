"""What a run proves, as a pure function of its raw results.

Owns: the one place where a verdict comes from; engine, reports and verification all call it.
Refuses: to call anything conformant while a required check has not passed or been excused by a claim. Which checks
are required is the registry's word, not the run's: a result that is missing counts against the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum

from conformance.conduct import CONDUCT, judge
from conformance.registry import REQUIREMENTS
from conformance.requirement import Requirement
from conformance.results import AtMostOnce, Evidence, Judgement, Peer, Profile, Result, Results, Verdict


class Exit(IntEnum):
    """The command's exit codes. `HARNESS_ERROR`: the suite, not the adapter, is to be mended."""

    CONFORMANT = 0
    NOT_CONFORMANT = 1
    INCOMPLETE = 2
    HARNESS_ERROR = 3


def derive(results: Results) -> Verdict:
    """The verdict of the raw results, whatever they say their verdict is."""
    judged = [_judged(requirement, results) for requirement in REQUIREMENTS.values() if not requirement.advisory]
    if results.at_most_once.evidence is Evidence.VIOLATED or Judgement.FAILED in judged:
        return Verdict.NOT_CONFORMANT
    settled = all(judgement in (Judgement.PASSED, Judgement.NOT_APPLICABLE) for judgement in judged)
    complete = settled and not results.interrupted and results.profile is Profile.SANDBOX
    passed = Judgement.PASSED in judged
    return Verdict.CONFORMANT if complete and passed else Verdict.INCOMPLETE


def exit_code(results: Results) -> Exit:
    """What a program is told. A harness error outranks incomplete, a proven failure outranks both, and so does a
    known failure that no longer fails: whoever lists it must take it out."""
    verdict = derive(results)
    if verdict is Verdict.NOT_CONFORMANT or stale(results):
        return Exit.NOT_CONFORMANT
    if any(result.judgement is Judgement.HARNESS_ERROR for result in results.results):
        return Exit.HARNESS_ERROR
    return Exit.CONFORMANT if verdict is Verdict.CONFORMANT else Exit.INCOMPLETE


def stale(results: Results) -> tuple[str, ...]:
    """Known failures that did not fail, though they were tried."""
    settled = (Judgement.PASSED, Judgement.NOT_APPLICABLE)
    return tuple(name for name in results.known if _judged(REQUIREMENTS[name], results) in settled)


def only_known(results: Results) -> bool:
    """Whether nothing stands between this run and conformance but failures that were listed beforehand. The verdict
    is what it is; this is for an author's own pipeline."""
    if results.at_most_once.evidence is Evidence.VIOLATED or results.interrupted or stale(results):
        return False
    found = list(unmet(results))
    return bool(found) and all(
        judgement is Judgement.FAILED and requirement.id in results.known and not requirement.at_most_once
        for requirement, judgement in found
    )


def unmet(results: Results) -> Iterator[tuple[Requirement, Judgement | None]]:
    """Every required check that neither passed nor is excused, with how it ended; None: it did not execute."""
    for requirement in REQUIREMENTS.values():
        judgement = _judged(requirement, results)
        if not requirement.advisory and judgement not in (Judgement.PASSED, Judgement.NOT_APPLICABLE):
            yield requirement, judgement


def _judged(requirement: Requirement, results: Results) -> Judgement | None:
    """How one requirement ended, as far as it counts; None: it did not execute."""
    found = [entry for entry in results.results if entry.requirement == requirement.id]
    if len(found) != 1:
        return None if not found else Judgement.HARNESS_ERROR
    (entry,) = found
    excused = bool(requirement.missing(results.descriptor, credential=results.credential))
    if (entry.judgement is Judgement.NOT_APPLICABLE) is not excused:
        return Judgement.HARNESS_ERROR  # an excuse that no claim supports, or a claim that was not heard
    if entry.judgement is Judgement.PASSED and entry.peer is Peer.TWIN and not requirement.admits_twin:
        return Judgement.COULD_NOT_RUN
    if entry.judgement is Judgement.PASSED and requirement.struck and not _struck(entry):
        return Judgement.COULD_NOT_RUN
    if requirement.id in CONDUCT and judge(requirement.id, results.results)[0] is Judgement.FAILED:
        return Judgement.FAILED  # whatever it says of itself: the misconduct stands beside it
    return entry.judgement


def _struck(entry: Result) -> bool:
    """Whether every fault that the check rests on struck what it was meant for."""
    return bool(entry.receipts) and all(receipt.fired for receipt in entry.receipts)


def at_most_once(results: Iterable[Result], *, observed: bool) -> AtMostOnce:
    """Commits called, mutating requests on the wire and effects at the system, compared over a whole run.

    `observed`: whether somebody counted effects. Without that nothing can be said, however few requests were sent.
    """
    tried = [entry for entry in results if any(attempt.effect is not None for attempt in entry.attempts)]
    attempts = [attempt for entry in tried for attempt in entry.attempts if attempt.effect is not None]
    counted = [entry for entry in tried if entry.effects is not None and entry.expected_effects is not None]
    doubled = any((entry.effects or 0) > max(1, entry.expected_effects or 0) for entry in counted)
    if doubled or any(attempt.sent > 1 for attempt in attempts):
        evidence = Evidence.VIOLATED
    else:
        evidence = Evidence.NOT_VIOLATED if observed and counted else Evidence.UNOBSERVABLE
    points = {receipt.point for entry in tried for receipt in entry.receipts if receipt.fired}
    return AtMostOnce(
        evidence=evidence,
        trials=len(attempts),
        points=tuple(sorted(points)),
        commits=len(attempts),
        requests=sum(attempt.sent for attempt in attempts),
        effects=sum(entry.effects or 0 for entry in counted),
    )
