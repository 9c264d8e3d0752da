"""The native key: one key, one effect, however often and however fast it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from conformance.attempt import Attempt, CouldNotRunError
from conformance.checks.check import Check
from conformance.registry import NAME
from conformance.trial import CheckFailed, Trial
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding

WORKERS: Final = 4
GATHERING_SECONDS: Final = 2.0


def _repeated(trial: Trial, attempt: Attempt) -> None:
    """A second use of a key that took effect: the system's replay, or UNKNOWN because the key is there; a REFUSED
    would tell a person that nothing was made."""
    allowed = attempt.done or (attempt.effect is Effect.UNKNOWN and attempt.code is Code.DUPLICATE_KEY)
    trial.expect(allowed, f"expected APPLIED, or UNKNOWN with DUPLICATE_KEY, found {attempt.effect}, {attempt.code}")


async def replay(trial: Trial, operation: Operation) -> None:
    first, left = await trial.prepared(operation)
    second = await trial.again(first)
    await second.must_be_ready()
    await first.commit()
    trial.must(first.done, f"the {NAME[operation]} to repeat was not made")
    await second.commit()
    _repeated(trial, second)
    if not await trial.took_effect(second, left):
        raise CheckFailed(f"after the repetition the observer does not see the {NAME[operation]}")


async def other_content(trial: Trial) -> None:
    """REFUSED would tell that nothing was ever made under this key (I3)."""
    first = await trial.booked()
    other = await trial.attempt(key=first.key)
    await other.must_be_ready()
    await other.commit()
    trial.expect_effect(other, Effect.UNKNOWN)
    await trial.must_stand(0, other.slot)
    await trial.must_stand(1, first.slot)


async def _race(trial: Trial, attempts: list[Attempt]) -> None:
    """All commits at once; each request is held, whole, until the others have arrived."""
    for attempt in attempts:
        await attempt.must_be_ready()
    overlap = trial.stage.proxy.overlap(len(attempts), GATHERING_SECONDS)
    before = trial.stage.proxy.latest
    await asyncio.gather(*(attempt.commit(alone=False) for attempt in attempts))
    trial.overlap = overlap.reached
    if overlap.reached < len(attempts):
        raise CouldNotRunError(f"only {overlap.reached} of {len(attempts)} requests overlapped on the wire")
    sent = sum(1 for exchange in trial.stage.proxy.since(before) if exchange.mutating)
    trial.expect(sent == len(attempts), f"{len(attempts)} commits put {sent} mutating requests on the wire")


async def race_of_one_key(trial: Trial) -> None:
    first = await trial.attempt()
    attempts = [first, *[await trial.again(first) for _ in range(WORKERS - 1)]]
    await _race(trial, attempts)
    await trial.must_stand(1, first.slot)
    for attempt in attempts:
        trial.expect(
            attempt.done or attempt.effect is Effect.UNKNOWN,
            f"a repeated key was told {attempt.effect}, {attempt.code}, although it took effect",
        )


async def race_for_one_slot(trial: Trial) -> None:
    """As many patients as the pool has: where the system holds no key, a patient's second booking of a slot looks like
    the first one sent again, and SLOT_TAKEN would be a guess."""
    slot, subjects = await trial.slot(), len(trial.stage.pool.subjects)
    attempts = [await trial.attempt(slot=slot, subject=number % subjects) for number in range(WORKERS)]
    await _race(trial, attempts)
    await trial.must_stand(1, slot)
    made = [attempt for attempt in attempts if attempt.done]
    if trial.stage.relays:  # which of them is made is decided behind the relay
        looks = [(await attempt.look(settled=True)).finding for attempt in made]
        made = [attempt for attempt, found in zip(made, looks, strict=True) if found is ObservationFinding.PRESENT]
    trial.expect(len(made) == 1, f"one appointment stands, and {len(made)} commits say that they made it")
    for attempt in attempts:
        if not attempt.done:
            trial.expect_effect(attempt, Effect.REFUSED)
            trial.expect_code(attempt.code, Code.SLOT_TAKEN)


CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        **{f"replay.{NAME[each]}": partial(replay, operation=each) for each in Operation},
        "replay.other-content": other_content,
        "race.one-key": race_of_one_key,
        "race.one-slot": race_for_one_slot,
    }
)
