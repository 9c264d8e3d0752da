"""Readiness: proven, refuted and unverifiable, by reads alone (F-01 §4.6)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from conformance.attempt import CouldNotRunError
from conformance.checks.check import Check
from conformance.faults import Point, Which
from conformance.trial import Trial
from gateway.contracts.adapter import version_digest
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation, Target
from gateway.contracts.references import AppointmentId

UNVERIFIED: Final = (
    Code.READINESS_UNVERIFIABLE,
    Code.EXTERNAL_UNAVAILABLE,
    Code.EXTERNAL_ERROR,
    Code.CONNECTION_LOST,
    Code.REPLY_UNRECOGNISED,
)


async def proven(trial: Trial) -> None:
    attempt = await trial.attempt()
    code = await attempt.ready()
    trial.expect(code is None, f"readiness of a booking into a free slot was not proven: {code}")
    if trial.stage.cleaner is not None:  # a read may have had an effect, whatever its method promises
        await trial.must_stand(0, attempt.slot)


async def credentials_rejected(trial: Trial) -> None:
    attempt = await trial.attempt(secret=trial.stage.wrong_secret)
    trial.expect_code(await attempt.ready(), Code.CREDENTIALS_REJECTED)


async def forbidden(trial: Trial) -> None:
    if trial.stage.limited is None:
        raise CouldNotRunError("no credential that may read but not write; give one as secret `limited`, or a twin")
    attempt = await trial.attempt(secret=trial.stage.limited)
    trial.expect_code(await attempt.ready(), Code.EXTERNAL_FORBIDDEN)


async def slot_taken(trial: Trial) -> None:
    booking = await trial.booked()
    attempt = await trial.attempt(slot=booking.slot, subject=1)
    trial.expect_code(await attempt.ready(), Code.SLOT_TAKEN)


async def slot_taken_by_another(trial: Trial) -> None:
    """A reschedule into a slot in which another appointment stands."""
    booking, other = await trial.booked(), await trial.booked(subject=1)
    attempt = await trial.following(booking, Operation.RESCHEDULE, other.slot)
    trial.expect_code(await attempt.ready(), Code.SLOT_TAKEN)


async def stale_version(trial: Trial, operation: Operation) -> None:
    booking = await trial.booked()
    target = Target(appointment=booking.reference, version=version_digest("a version that never was"))
    slot = booking.slot if operation is Operation.CANCEL else None
    attempt = await trial.attempt(operation, slot=slot, target=target, bound=booking.bound)
    trial.expect_code(await attempt.ready(), Code.TARGET_CHANGED)


async def not_found(trial: Trial, operation: Operation) -> None:
    """Nothing is bound to the reference: where the system is not asked by key, the practice's gap is all there is."""
    target = Target(appointment=AppointmentId.random(), version=version_digest("a version that never was"))
    attempt = await trial.attempt(operation, target=target)
    trial.expect_code(await attempt.ready(), Code.TARGET_NOT_FOUND, Code.PARTICULARS_MISSING)


async def cancelled(trial: Trial, operation: Operation) -> None:
    """The later attempt names the cancelled version, so that only the cancellation can speak against it."""
    booking = await trial.booked()
    cancellation = await trial.following(booking, Operation.CANCEL)
    await cancellation.must_be_ready()
    await cancellation.commit()
    if not cancellation.done:
        raise CouldNotRunError(f"the cancellation to build upon was not made: {cancellation.effect}")
    slot = booking.slot if operation is Operation.CANCEL else None
    attempt = await trial.following(cancellation, operation, slot)
    trial.expect_code(await attempt.ready(), Code.TARGET_CHANGED, Code.TARGET_NOT_FOUND)


async def unbound_reference(trial: Trial) -> None:
    attempt = await trial.attempt(leave_out=("patient",))
    code = await attempt.ready()
    trial.expect(code in (None, Code.PARTICULARS_MISSING), f"expected PARTICULARS_MISSING, found {code}")


async def spoilt(trial: Trial, point: Point, *allowed: Code) -> None:
    """Readiness while every reply is spoilt at `point`."""
    trial.unreadable = point in (Point.GARBAGE_BODY, Point.MID_REPLY)
    trial.injected = point in (Point.UNAVAILABLE, Point.THROTTLED)
    attempt = await trial.attempt()
    receipt = trial.arm(point, Which.READ, once=False)
    code = await attempt.ready()
    trial.must_have_fired(receipt)
    trial.expect_unproven(attempt)
    tolerated = (*allowed, Code.ADAPTER_FAULT) if trial.unreadable else allowed
    trial.expect_code(code, *tolerated)


CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "ready.proven": proven,
        "ready.credentials-rejected": credentials_rejected,
        "ready.forbidden": forbidden,
        "ready.slot-taken": slot_taken,
        "ready.slot-taken.reschedule": slot_taken_by_another,
        "ready.stale-version.reschedule": partial(stale_version, operation=Operation.RESCHEDULE),
        "ready.stale-version.cancel": partial(stale_version, operation=Operation.CANCEL),
        "ready.not-found.reschedule": partial(not_found, operation=Operation.RESCHEDULE),
        "ready.not-found.cancel": partial(not_found, operation=Operation.CANCEL),
        "ready.cancelled.reschedule": partial(cancelled, operation=Operation.RESCHEDULE),
        "ready.cancelled.cancel": partial(cancelled, operation=Operation.CANCEL),
        "ready.unbound-reference": unbound_reference,
        "ready.unreachable": lambda trial: spoilt(trial, Point.REFUSED, Code.EXTERNAL_UNAVAILABLE),
        "ready.unavailable": lambda trial: spoilt(trial, Point.UNAVAILABLE, *UNVERIFIED),
        "ready.throttled": lambda trial: spoilt(trial, Point.THROTTLED, Code.EXTERNAL_THROTTLED, *UNVERIFIED),
        "ready.hanging": lambda trial: spoilt(trial, Point.LATE, Code.EXTERNAL_TIMEOUT),
        "ready.cut": lambda trial: spoilt(trial, Point.MID_REPLY, *UNVERIFIED),
        "ready.garbage": lambda trial: spoilt(trial, Point.GARBAGE_BODY, *UNVERIFIED),
    }
)
