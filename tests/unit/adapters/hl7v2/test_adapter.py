"""What the adapter claims; and whole attempts against a filler application, through the real boundary."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from adapters.hl7v2.adapter import Hl7v2Adapter
from adapters.hl7v2.testing import AGREED, ZONE
from gateway.contracts.adapter import Basis, Exclusivity, Idempotency
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding
from gateway.testing import AdapterHarness, make_connection, make_request

Asking = Callable[..., Any]


def harness(filler: Any, **settings: Any) -> AdapterHarness:
    agreed = {**filler.settings, **settings}
    return AdapterHarness(Hl7v2Adapter(), make_request(make_connection(filler.base_url, settings=agreed, zone=ZONE)))


# -- with a filler ------------------------------------------------------------------------------------------


@pytest.mark.requirement("ADAPT-05", "ADAPT-09", "CARD-06")
async def test_book_reschedule_and_cancel_are_made_and_found(filler: Any) -> None:
    async with harness(filler, acknowledgement="enhanced", **{"settling-seconds": 1}) as booking:
        assert await booking.readiness() is None
        assert (await booking.commit()).effect is Effect.APPLIED
        assert (await booking.observe()).finding is ObservationFinding.PRESENT
        later = booking.request.particulars.start + timedelta(hours=2)
        async with booking.following(Operation.RESCHEDULE, later) as move:
            async with move.again() as before:
                assert (await before.observe()).finding is ObservationFinding.ABSENT
            assert await move.readiness() is None
            assert (await move.commit()).effect is Effect.APPLIED
            assert (await move.observe()).finding is ObservationFinding.PRESENT
            assert (await booking.observe()).finding is ObservationFinding.DIFFERENT
            async with move.following(Operation.CANCEL) as cancellation:
                assert await cancellation.readiness() is None
                assert (await cancellation.commit()).effect is Effect.APPLIED
                assert (await cancellation.observe()).finding is ObservationFinding.PRESENT
                assert (await move.observe()).finding is ObservationFinding.INDETERMINATE
    (seen,) = await filler.observer.appointments(later, later + timedelta(minutes=30))
    assert seen.cancelled


@pytest.mark.requirement("FAIL-17")
async def test_a_taken_slot_blocks_and_one_taken_meanwhile_is_refused(filler: Any) -> None:
    async with harness(filler) as first, harness(filler) as second, harness(filler) as third:
        assert await first.readiness() is None
        assert await second.readiness() is None
        assert (await first.commit()).effect is Effect.APPLIED
        assert await third.readiness() is Code.SLOT_TAKEN
        result = await second.commit()
        assert (result.effect, result.code) == (Effect.REFUSED, Code.SLOT_TAKEN)
        assert (await second.observe()).finding is ObservationFinding.ABSENT


async def test_a_key_that_is_used_is_no_refusal(filler: Any) -> None:
    async with harness(filler) as first, first.again() as second:
        assert await first.readiness() is None
        assert await second.readiness() is None
        assert (await first.commit()).effect is Effect.APPLIED
        assert (await second.commit()).effect is Effect.APPLIED  # the filler's replay
    (seen,) = await filler.observer.appointments(first.request.particulars.start, first.request.particulars.end)
    assert len(seen.keys) == 1


# -- what is claimed --------------------------------------------------------------------------------------


@pytest.mark.requirement("CARD-01", "ADAPT-09")
@pytest.mark.parametrize(
    ("settings", "operations", "idempotency", "observation"),
    [
        ({}, 1, Idempotency.NONE, Basis.NONE),
        ({"query": True}, 1, Idempotency.LOOKUP, Basis.BY_KEY),
        ({"query": "true"}, 1, Idempotency.NONE, Basis.NONE),
        ({"filler-id-changes": True}, 1, Idempotency.NONE, Basis.NONE),
        ({"query": True, "filler-id-changes": True}, 3, Idempotency.LOOKUP, Basis.BY_KEY),
        ({"query": True, "placer-id-unique": True}, 1, Idempotency.UNIQUE, Basis.BY_KEY),
    ],
)
def test_only_what_was_agreed_is_claimed(
    settings: Any, operations: int, idempotency: Idempotency, observation: Basis
) -> None:
    claims = Hl7v2Adapter().describe(make_connection("mllp://127.0.0.1:1/", settings=settings))
    assert len(claims.operations) == operations
    assert (claims.idempotency, claims.observation) == (idempotency, observation)
    assert claims.exclusivity is Exclusivity.NONE
    assert claims.safe_posts == (("/SQM/S25",) if observation is Basis.BY_KEY else ("/NMQ/N01",))


def test_a_slot_is_guarded_where_its_refusal_has_a_code() -> None:
    for settings, guarded in ((AGREED, Exclusivity.ENFORCED), ({"error-slot-taken": True}, Exclusivity.NONE)):
        claims = Hl7v2Adapter().describe(make_connection("mllp://127.0.0.1:1/", settings=dict(settings)))
        assert claims.exclusivity is guarded


@pytest.mark.requirement("CARD-12")
def test_what_an_engine_before_the_filler_does_is_claimed() -> None:
    agreed = {"settling-seconds": 2, "relay-seconds": 600, "redelivers": True}
    claims = Hl7v2Adapter().describe(make_connection("mllp://127.0.0.1:1/", settings=agreed))
    assert (claims.settling_seconds, claims.relay_seconds, claims.redelivers) == (2, 600, True)
    claims = Hl7v2Adapter().describe(make_connection("mllp://127.0.0.1:1/"))
    assert (claims.settling_seconds, claims.relay_seconds, claims.redelivers) == (0, 0, False)


@pytest.mark.parametrize(
    ("name", "value"),
    [("settling-seconds", "600"), ("relay-seconds", True), ("relay-seconds", -1), ("redelivers", "true")],
)
def test_a_setting_that_is_none_is_not_taken_for_its_absence(name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        Hl7v2Adapter().describe(make_connection("mllp://127.0.0.1:1/", settings={name: value}))


@pytest.mark.requirement("CARD-12")
async def test_an_engine_that_redelivers_needs_a_filler_that_takes_a_key_once(asking: Asking) -> None:
    async with AdapterHarness(Hl7v2Adapter(), asking(settings={"redelivers": True})) as booking:
        assert booking.requests == 0
    with pytest.raises(Refusal) as refusal:
        async with AdapterHarness(Hl7v2Adapter(), asking(settings={"redelivers": True, "placer-id-unique": None})):
            pass
    assert refusal.value.code is Code.OPERATION_UNSUPPORTED
