"""Claims are falsified: what is declared unsupported is tried, and hostile replies test the bounds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from conformance.attempt import CouldNotRunError
from conformance.checks.check import Check
from conformance.faults import Point, Which
from conformance.registry import NAME
from conformance.trial import Trial
from gateway.contracts.adapter import Descriptor, version_digest
from gateway.contracts.proposal import Operation, Target
from gateway.contracts.references import AppointmentId
from gateway.contracts.words import Effect


async def steady(trial: Trial) -> None:
    """Asked ten times; a descriptor that changes would be believed in one attempt and not in the next."""
    connection = trial.stage.connection
    claims = [trial.stage.adapter.describe(connection) for _ in range(10)]
    trial.expect(all(type(claim) is Descriptor for claim in claims), "describe does not return a Descriptor")
    trial.expect(all(claim == trial.stage.descriptor for claim in claims), "describe gives different answers")
    trial.expect(
        trial.stage.descriptor.adapter == trial.stage.name,
        "the descriptor names another adapter than the one that was asked",
    )


async def undeclared(trial: Trial, operation: Operation) -> None:
    """The adapter is called for an operation that it declares unsupported, as if it had declared all."""
    everything = tuple(Operation)
    if operation is Operation.BOOK or Operation.BOOK not in trial.stage.descriptor.operations:
        target = Target(appointment=AppointmentId.random(), version=version_digest("a version that never was"))
        attempt = await trial.attempt(
            operation, target=None if operation is Operation.BOOK else target, operations=everything
        )
        left = attempt.slot
    else:
        booking = await trial.booked()
        left = booking.slot
        slot = await trial.slot() if operation is Operation.RESCHEDULE else None
        attempt = await trial.following(booking, operation, slot, operations=everything)
    trial.unreadable = True  # to raise is an honest answer to what was declared impossible
    if await attempt.ready() is not None:
        return
    await attempt.commit()
    trial.expect_effect(attempt, Effect.NOT_SENT, Effect.REFUSED)
    happened = await trial.took_effect(attempt, left)
    trial.expect(not happened, f"declared unsupported, and the {NAME[operation]} took effect")


async def hostile(trial: Trial, point: Point) -> None:
    """Readiness against a reply that never ends."""
    trial.unreadable = True
    attempt = await trial.attempt()
    receipt = trial.arm(point, Which.READ, once=False)
    with trial.measuring_memory(True):
        code = await attempt.ready()
    trial.must_have_fired(receipt)
    trial.expect_unproven(attempt)
    if code is None:
        raise CouldNotRunError("readiness was proven without the reply that was spoilt")


CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "claims.steady": steady,
        **{f"claims.no-{NAME[each]}": partial(undeclared, operation=each) for each in Operation},
        "hostile.slow-reply": partial(hostile, point=Point.SLOW),
        "hostile.endless-head": partial(hostile, point=Point.ENDLESS_HEAD),
    }
)
