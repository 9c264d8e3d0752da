"""Book, reschedule, cancel, and a look after each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Final

from conformance.attempt import Attempt, CouldNotRunError
from conformance.checks.check import Check
from conformance.faults import Point, Which
from conformance.registry import NAME
from conformance.trial import CheckFailed, Trial
from gateway.contracts.adapter import Basis
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding

BLIND: Final = (Point.UNAVAILABLE, Point.MISSING, Point.GARBAGE_BODY, Point.MID_REPLY)

UNREACHED: Final = frozenset(
    {Code.EXTERNAL_UNAVAILABLE, Code.EXTERNAL_TIMEOUT, Code.EXTERNAL_THROTTLED, Code.CONNECTION_LOST}
)
"""Codes that speak of the system or the network on the day, not of the adapter."""


async def applied(trial: Trial, operation: Operation) -> None:
    """With another patient's attempt in hand, which an adapter that remembers attempts would take for this one."""
    trial.nothing_else = True
    attempt, left = await _in_order(trial, operation)
    beside = await trial.booked() if operation is Operation.CANCEL else await trial.attempt()
    if beside.result is None:
        await beside.must_be_ready()
    await attempt.commit()
    trial.expect(attempt.done, f"the {NAME[operation]} was not recognised as made: {attempt.effect}, {attempt.code}")
    trial.expect_sent(attempt, 1)
    if not await trial.took_effect(attempt, left):
        raise CheckFailed(f"the {NAME[operation]} is reported as made, and the observer does not see it")
    untouched = await trial.standing(beside.slot) == (0 if beside.result is None else 1)
    trial.expect(untouched, f"the {NAME[operation]} changed what another attempt was about")


async def _in_order(trial: Trial, operation: Operation) -> tuple[Attempt, datetime]:
    """What a change builds upon is part of it, unless the system could not be reached: an adapter that brings no
    version home can never change anything."""
    try:
        return await trial.prepared(operation, subject=1)
    except CouldNotRunError as obstacle:
        codes = {code for each in trial.attempts for code in (each.readiness, each.result and each.result.code)}
        if codes & UNREACHED:
            raise
        raise CheckFailed(str(obstacle)) from None


async def observed(trial: Trial, operation: Operation) -> None:
    """Looked for before as well, so that an adapter that remembers its looks is found out."""
    attempt, _ = await trial.prepared(operation)
    before = await trial.again(attempt)
    await before.look()
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
    before = await trial.again(booking)
    await before.look()
    await reschedule.commit()
    trial.must(reschedule.done, "the reschedule to build upon was not made")
    look = await booking.look(settled=True)
    trial.expect(look.finding is not ObservationFinding.PRESENT, "a booking that was moved is still found PRESENT")


async def unavailable(trial: Trial) -> None:
    """503, a 404 that something in between says, noise and half a reply: a look at each brings nothing."""
    trial.unreadable = True
    for point in BLIND:
        attempt = await trial.attempt()
        receipt = trial.arm(point, Which.READ, once=False)
        look = await attempt.look()
        trial.must_have_fired(receipt)
        trial.expect_finding(look, ObservationFinding.INDETERMINATE)
        trial.expect_blind(attempt)


async def no_observation(trial: Trial) -> None:
    """The adapter is asked as though it had declared the best basis, so that the boundary passes any finding on."""
    attempt = await trial.attempt(observation=Basis.BY_KEY)
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
