"""Book, reschedule, cancel, and a look after each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from conformance.checks.check import Check
from conformance.faults import Point, Which
from conformance.registry import NAME
from conformance.trial import CheckFailed, Trial
from gateway.contracts.adapter import Basis
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding

BLIND: Final = (Point.UNAVAILABLE, Point.GARBAGE_BODY, Point.MID_REPLY)


async def applied(trial: Trial, operation: Operation) -> None:
    attempt, left = await trial.prepared(operation)
    await attempt.commit()
    trial.expect(attempt.done, f"the {NAME[operation]} was not recognised as made: {attempt.effect}, {attempt.code}")
    trial.expect_sent(attempt, 1)
    if not await trial.took_effect(attempt, left):
        raise CheckFailed(f"the {NAME[operation]} is reported as made, and the observer does not see it")


async def observed(trial: Trial, operation: Operation) -> None:
    attempt, _ = await trial.prepared(operation)
    await attempt.commit()
    trial.must(attempt.done, f"the {NAME[operation]} to look for was not made")
    look = await attempt.look(settled=True)
    trial.expect_finding(look, ObservationFinding.PRESENT)
    declared = trial.stage.descriptor.observation
    trial.expect(look.basis is declared, f"declared to find appointments {declared}, found on basis {look.basis}")


async def absent(trial: Trial) -> None:
    attempt = await trial.attempt()
    trial.expect_finding(await attempt.look(settled=True), ObservationFinding.ABSENT, *trial.doubts)


async def superseded(trial: Trial) -> None:
    booking = await trial.booked()
    reschedule = await trial.following(booking, Operation.RESCHEDULE, await trial.slot())
    await reschedule.must_be_ready()
    await reschedule.commit()
    trial.must(reschedule.done, "the reschedule to build upon was not made")
    look = await booking.look(settled=True)
    trial.expect(look.finding is not ObservationFinding.PRESENT, "a booking that was moved is still found PRESENT")


async def unavailable(trial: Trial) -> None:
    """503, noise and half a reply: a look at each brings nothing."""
    trial.unreadable = True
    for point in BLIND:
        attempt = await trial.attempt()
        receipt = trial.arm(point, Which.READ, once=False)
        look = await attempt.look()
        trial.must_have_fired(receipt)
        trial.expect_finding(look, ObservationFinding.INDETERMINATE)
        trial.expect_blind(attempt)


async def no_observation(trial: Trial) -> None:
    """The adapter is asked although its descriptor says that nothing can be seen."""
    attempt = await trial.attempt(observation=Basis.MATCHING)
    trial.expect_finding(await attempt.look(), ObservationFinding.INDETERMINATE)


CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        **{f"{NAME[each]}.applied": partial(applied, operation=each) for each in Operation},
        **{f"observe.{NAME[each]}": partial(observed, operation=each) for each in Operation},
        "observe.absent": absent,
        "observe.superseded": superseded,
        "observe.unavailable": unavailable,
        "claims.no-observation": no_observation,
    }
)
