"""What goes wrong between readiness and commit, and must end as a bounded refusal that an observer confirms."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Final

from conformance.attempt import Attempt, CouldNotRunError
from conformance.checks.check import Check
from conformance.faults import Point
from conformance.registry import NAME
from conformance.trial import Trial
from gateway.contracts.adapter import Basis
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding


async def _made_nothing(trial: Trial, attempt: Attempt) -> None:
    """The observer sees nothing in the slot, and neither does a look."""
    await trial.must_stand(0, attempt.slot)
    trial.expect_finding(await attempt.look(settled=True), ObservationFinding.ABSENT, *trial.doubts)


async def credential(trial: Trial, secret: str | None, code: Code) -> None:
    """The credential is another one from the commit on."""
    if secret is None:
        raise CouldNotRunError("no credential that may read but not write; give one as secret `limited`, or a twin")
    attempt = await trial.attempt()
    await attempt.must_be_ready()
    await attempt.commit(secret=secret)
    trial.expect_effect(attempt, Effect.REFUSED)
    trial.expect_code(attempt.code, code)
    await _made_nothing(trial, attempt)


async def injected(trial: Trial, point: Point) -> None:
    """The answer comes from the proxy; the system never hears of it."""
    trial.injected = True
    attempt = await trial.attempt()
    await attempt.must_be_ready()
    receipt = trial.arm(point)
    await attempt.commit()
    trial.must_have_fired(receipt)
    trial.expect_effect(attempt, Effect.REFUSED, Effect.UNKNOWN)
    trial.expect_sent(attempt, 1)
    if point is Point.THROTTLED and attempt.effect is Effect.REFUSED:
        trial.expect_code(attempt.code, Code.EXTERNAL_THROTTLED)
    await _made_nothing(trial, attempt)


async def slot_taken(trial: Trial) -> None:
    late = await trial.attempt(subject=1)
    await late.must_be_ready()
    await trial.booked(slot=late.slot)
    await late.commit()
    await trial.expect_refused(late, Code.SLOT_TAKEN)
    await trial.must_stand(1, late.slot)


async def shared(trial: Trial) -> None:
    """Nobody guards the slot: the second booking is made, or it is refused, and the outcome says which."""
    late = await trial.attempt(subject=1)
    await late.must_be_ready()
    await trial.booked(slot=late.slot)
    await late.commit()
    trial.expect(late.done or late.effect is Effect.REFUSED, f"neither made nor refused: {late.effect}, {late.code}")
    await trial.must_stand(2 if late.done else 1, late.slot)


async def _in_hand(trial: Trial, operation: Operation) -> tuple[Attempt, Attempt, datetime | None]:
    """A booking, a ready attempt to change it, and the slot that the change is for."""
    booking = await trial.booked()
    slot = await trial.slot() if operation is Operation.RESCHEDULE else None
    late = await trial.following(booking, operation, slot)
    await late.must_be_ready()
    return booking, late, slot


async def stale_version(trial: Trial, operation: Operation) -> None:
    """Somebody moves the appointment while this attempt holds its old version."""
    booking, late, slot = await _in_hand(trial, operation)
    move = await trial.following(booking, Operation.RESCHEDULE, await trial.slot())
    await move.must_be_ready()
    await move.commit()
    trial.must(move.done, "the change in between was not made")
    await late.commit()
    await trial.expect_refused(late, Code.TARGET_CHANGED, Code.TARGET_NOT_FOUND)
    await trial.must_stand(1, move.slot)
    again = await trial.following(booking, operation, slot)
    trial.expect_code(await again.ready(), Code.TARGET_CHANGED)


async def cancelled(trial: Trial, operation: Operation) -> None:
    """Somebody cancels the appointment while this attempt holds its old version. A system that holds nobody's key does
    not tell whose change ended it; this attempt's own may have, if something delivered it twice."""
    booking, late, _ = await _in_hand(trial, operation)
    cancellation = await trial.following(booking, Operation.CANCEL)
    await cancellation.must_be_ready()
    if operation is Operation.CANCEL:  # the same action: another approval, hence another native key
        trial.must(cancellation.key != late.key, "both cancellations have the same native key")
    await cancellation.commit()
    trial.must(cancellation.done, "the cancellation in between was not made")
    await late.commit()
    if trial.stage.descriptor.observation is Basis.MATCHING and late.effect is Effect.UNKNOWN:
        trial.expect_code(late.code, Code.DUPLICATE_KEY)
    else:
        await trial.expect_refused(late, Code.TARGET_CHANGED, Code.TARGET_NOT_FOUND)
    await trial.must_stand(0, late.slot)


CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "refused.credentials": lambda trial: credential(trial, trial.stage.wrong_secret, Code.CREDENTIALS_REJECTED),
        "refused.forbidden": lambda trial: credential(trial, trial.stage.limited, Code.EXTERNAL_FORBIDDEN),
        "refused.invalid": partial(injected, point=Point.INVALID),
        "refused.throttled": partial(injected, point=Point.THROTTLED),
        "refused.slot-taken": slot_taken,
        "slots.shared": shared,
        **{
            f"refused.stale-version.{NAME[each]}": partial(stale_version, operation=each)
            for each in (Operation.RESCHEDULE, Operation.CANCEL)
        },
        **{
            f"refused.cancelled.{NAME[each]}": partial(cancelled, operation=each)
            for each in (Operation.RESCHEDULE, Operation.CANCEL)
        },
    }
)
