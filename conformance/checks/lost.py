"""The lost acknowledgement: one commit cut at each point, each operation, and then the truth."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Final

from conformance.attempt import Attempt
from conformance.checks.check import Check
from conformance.faults import Point
from conformance.registry import LOST, NAME
from conformance.trial import Trial
from gateway.contracts.adapter import Basis, Claim
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding

SPOILT: Final = frozenset({Point.GARBAGE, Point.GARBAGE_BODY, Point.OVERSIZED})
"""Replies that nobody can read: an adapter may raise on them."""

MAY_END: Final[Mapping[Point, tuple[Effect, ...]]] = MappingProxyType(
    {
        Point.REFUSED: (Effect.NOT_SENT,),
        Point.BEFORE_SEND: (Effect.NOT_SENT, Effect.UNKNOWN),
        Point.GARBAGE_BODY: (Effect.UNKNOWN, Effect.APPLIED),
        Point.DUPLICATE: (Effect.UNKNOWN, Effect.APPLIED),
        Point.REDELIVERED: (Effect.UNKNOWN, Effect.APPLIED),
    }
)
"""What a commit may end as, where it is not simply UNKNOWN."""

CLAIMS: Final[Mapping[Point, tuple[Claim, ...]]] = MappingProxyType(
    dict.fromkeys((Point.GARBAGE_BODY, Point.DUPLICATE, Point.REDELIVERED), (Claim.UNKNOWN, Claim.APPLIED))
)
"""What the adapter itself may claim, where a whole reply came after all."""

SENDS: Final[Mapping[Point, tuple[int, ...]]] = MappingProxyType(
    {Point.REFUSED: (0,), Point.BEFORE_SEND: (0,), Point.MID_HEAD: (0, 1), Point.MID_SEND: (0, 1)}
)
"""Mutating requests that the proxy can recognise as such, where it is not exactly one."""


async def lost(trial: Trial, point: Point, operation: Operation) -> None:
    trial.unreadable = point in SPOILT
    attempt, left = await trial.prepared(operation)
    receipt = trial.arm(point)
    with trial.measuring_memory(point is Point.OVERSIZED):
        await attempt.commit()
    trial.must_have_fired(receipt)
    if point is Point.GARBAGE_BODY and attempt.effect is Effect.APPLIED:
        said = any(each.number == receipt.exchange and each.reply_body for each in trial.stage.proxy.exchanges)
        trial.expect(not said, "success was claimed by a reply whose body, which says what was made, nobody can read")
    trial.expect_effect(attempt, *MAY_END.get(point, (Effect.UNKNOWN,)))
    trial.expect_claim(attempt, *CLAIMS.get(point, (Claim.UNKNOWN,)))
    trial.expect_sent(attempt, *SENDS.get(point, (1,)))
    await _truth(trial, attempt, left, deliveries=2 if point is Point.REDELIVERED else 1)


async def _truth(trial: Trial, attempt: Attempt, left: datetime, *, deliveries: int) -> None:
    happened = await trial.took_effect(attempt, left, deliveries=deliveries)
    if attempt.effect is Effect.NOT_SENT:
        trial.expect(not happened, "reported as NOT_SENT, and the observer sees it")
    if attempt.effect is Effect.APPLIED:
        trial.expect(happened, "reported as APPLIED, and the observer does not see it")
    if trial.stage.descriptor.observation is Basis.NONE:
        return
    look = await attempt.look(settled=True)
    truth = ObservationFinding.PRESENT if happened else ObservationFinding.ABSENT
    twofold = (ObservationFinding.DIFFERENT, ObservationFinding.INDETERMINATE) if (trial.effects or 0) > 1 else ()
    trial.expect_finding(look, truth, *trial.doubts, *twofold)


CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        f"lost.{point}.{NAME[operation]}": partial(lost, point=point, operation=operation)
        for point in LOST
        for operation in Operation
    }
)
