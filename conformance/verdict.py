"""What a run proves, as a pure function of its raw results.

Owns: the one place where a verdict comes from; engine, reports and verification all call it.
Refuses: to call anything conformant while a required check has not passed or been excused by a claim. Which checks
are required is the registry's word, not the run's: a result that is missing counts against the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

from conformance.registry import REQUIREMENTS, Requirement
from conformance.results import Evidence, Judgement, Peer, Profile, Results, Verdict


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
    """What a program is told. A harness error outranks incomplete, a proven failure outranks both."""
    verdict = derive(results)
    if verdict is Verdict.NOT_CONFORMANT:
        return Exit.NOT_CONFORMANT
    if any(result.judgement is Judgement.HARNESS_ERROR for result in results.results):
        return Exit.HARNESS_ERROR
    return Exit.CONFORMANT if verdict is Verdict.CONFORMANT else Exit.INCOMPLETE


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
    return entry.judgement
