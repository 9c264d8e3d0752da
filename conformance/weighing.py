"""A check's own word, weighed against what else happened while it ran.

Owns: what outranks it. A system that could not be reached, a budget that was used up and a stranger in the slot are the
day's obstacles, not the adapter's failures; a second mutating request is a failure, whatever stood in the check's way.
Cleans the stage, since an appointment that nobody approved is found only then.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from conformance.faults import OBSTACLES, Exchange
from conformance.results import Judgement
from conformance.target.stage import Stage
from conformance.trial import Trial
from gateway.contracts.failures import Code

Word = tuple[Judgement, str | None]


async def weighed(
    trial: Trial,
    word: Word,
    exchanges: Sequence[Exchange],
    misconduct: Collection[str],
    *,
    before: int,
    deaf: bool,
) -> Word:
    """The judgement and its reason. `before` is the last exchange before the check, `deaf` whether the adapter logged
    or printed more than can be listened to."""
    word = _obstructed(trial, word, exchanges, before=before, deaf=deaf)
    if word[0] is Judgement.FAILED and await _crowded_out(trial):
        word = Judgement.COULD_NOT_RUN, "contention: somebody else took a slot during the check"
    if word[0] is not Judgement.FAILED and any(attempt.sent > 1 for attempt in trial.attempts):
        # what could not run is tried again, and this must not be forgotten
        word = Judgement.FAILED, "more than one mutating request was sent for one commit"
    if word[0] is Judgement.PASSED and trial.requirement.at_most_once and "second-mutation" in misconduct:
        word = Judgement.FAILED, "a second mutating request was sent or tried"
    strays = trial.stage.strays
    await trial.stage.clean()
    strayed = trial.nothing_else and trial.stage.strays > strays
    return _strayed(trial.stage) if word[0] is Judgement.PASSED and strayed else word


def _obstructed(trial: Trial, word: Word, exchanges: Sequence[Exchange], *, before: int, deaf: bool) -> Word:
    judgement, refused = word[0], trial.stage.proxy.refused
    if refused and (judgement is not Judgement.FAILED or refused[-1].number > before):
        return Judgement.COULD_NOT_RUN, "the write budget is used up"
    obstacle = next((exchange.note for exchange in exchanges if exchange.note in OBSTACLES), None)
    if judgement is Judgement.FAILED and obstacle is not None:
        return Judgement.COULD_NOT_RUN, obstacle
    if judgement is Judgement.PASSED and deaf:
        return Judgement.COULD_NOT_RUN, "the adapter logs or prints more than can be listened to"
    return word


async def _crowded_out(trial: Trial) -> bool:
    """Whether an attempt was told that its slot is taken, and a stranger has it. One that was told anything else is
    the adapter's own affair, whoever stands there."""
    told = [each for each in trial.attempts if Code.SLOT_TAKEN in (each.readiness, each.result and each.result.code)]
    return any([await trial.stage.is_taken_by_strangers(each.slot) for each in told])


def _strayed(stage: Stage) -> Word:
    """An appointment that nobody approved: where others could have made it, it proves nothing, and excuses nothing."""
    reason = "one of the test patients has a new appointment at a time that was not approved"
    if stage.alone:
        return Judgement.FAILED, reason
    return Judgement.COULD_NOT_RUN, f"{reason}; does somebody else use them?"
