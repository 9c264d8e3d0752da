"""Whole attempts, through the boundary, against a store that keeps the specification."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from adapters.fhir import mapping
from adapters.fhir.adapter import FhirAdapter
from gateway.contracts.adapter import Request
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding
from gateway.testing import START
from tests.unit.adapters.fhir.conftest import versioned
from tests.unit.adapters.fhir.transaction.conftest import WAYS

if TYPE_CHECKING:
    from tests.unit.adapters.fhir.conftest import Place

MakeRequest = Callable[..., Request]
HOUR = timedelta(hours=1)


@pytest.mark.requirement("ADAPT-09", "CARD-01")
@pytest.mark.parametrize("way", WAYS)
async def test_each_operation_is_one_transaction_that_moves_appointment_and_slots_together(
    place: Place, way: str
) -> None:
    async with place.harness(settings={"idempotency": way}) as booking:
        assert await booking.readiness() is None
        made = await booking.commit()
        assert (made.effect, made.mutating_requests, made.requests) == (Effect.APPLIED, 1, 1)
        assert (await booking.observe()).finding is ObservationFinding.PRESENT
    assert place.slots("busy") == ["practitioner-1.203103030900"]
    async with booking.following(Operation.RESCHEDULE, START + HOUR) as move:
        assert await move.readiness() is None
        made = await move.commit()
        assert (made.effect, made.mutating_requests) == (Effect.APPLIED, 1)
        assert (await move.observe()).finding is ObservationFinding.PRESENT
    assert place.slots("busy") == ["practitioner-1.203103031000"]
    async with move.following(Operation.CANCEL) as cancellation:
        assert await cancellation.readiness() is None
        assert (await cancellation.commit()).effect is Effect.APPLIED
        assert (await cancellation.observe()).finding is ObservationFinding.PRESENT
    assert place.slots("busy") == []
    (kept,) = place.appointments()
    assert (kept["status"], kept["start"], kept["meta"]["versionId"]) == ("cancelled", "2031-03-03T10:00:00Z", "3")
    keys = [one.request.native_key() for one in (booking, move, cancellation)]
    assert [each["value"] for each in kept["identifier"]] == keys
    assert {each["system"] for each in kept["identifier"]} == {mapping.KEY_SYSTEM}
    if way == "client-id":
        assert kept["id"] == keys[0]


async def test_an_appointment_fills_as_many_slots_as_it_lasts_and_moves_onto_its_own(place: Place) -> None:
    async with place.harness(minutes=60) as booking:
        assert await booking.readiness() is None
        assert (await booking.commit()).effect is Effect.APPLIED
    assert place.slots("busy") == ["practitioner-1.203103030900", "practitioner-1.203103030930"]
    async with booking.following(Operation.RESCHEDULE, START + HOUR / 2) as move:
        assert await move.readiness() is None
        assert (await move.commit()).effect is Effect.APPLIED
    assert place.slots("busy") == ["practitioner-1.203103030930", "practitioner-1.203103031000"]


@pytest.mark.requirement("FAIL-17")
async def test_a_slot_that_is_taken_blocks_and_one_taken_meanwhile_is_refused(place: Place) -> None:
    async with place.harness() as first, place.harness() as second:
        assert await first.readiness() is None
        assert await second.readiness() is None
        assert (await first.commit()).effect is Effect.APPLIED
        late = await second.commit()
        assert (late.effect, late.code, late.mutating_requests) == (Effect.REFUSED, Code.SLOT_TAKEN, 1)
        assert (await second.observe()).finding is ObservationFinding.ABSENT
    async with place.harness() as third:
        assert await third.readiness() is Code.SLOT_TAKEN
    assert len(place.appointments()) == 1


@pytest.mark.requirement("CARD-06", "IDEM-04")
@pytest.mark.parametrize("way", WAYS)
async def test_a_key_in_use_is_never_a_refusal(place: Place, way: str) -> None:
    async with place.harness(settings={"idempotency": way}) as first, first.again() as second:
        assert await first.readiness() is None
        assert await second.readiness() is None
        assert (await first.commit()).effect is Effect.APPLIED
        again = await second.commit()
        assert (again.effect, again.code) == (Effect.UNKNOWN, Code.DUPLICATE_KEY)
    assert len(place.appointments()) == 1


@pytest.mark.parametrize("way", ["conditional-create", "client-id"])
async def test_without_slots_the_key_alone_keeps_a_second_booking_out(place: Place, way: str) -> None:
    async with place.harness(settings={"idempotency": way, "slots": False}) as first, first.again() as second:
        assert await first.readiness() is None
        assert await second.readiness() is None
        assert (await first.commit()).effect is Effect.APPLIED
        assert (await second.commit()).code is Code.DUPLICATE_KEY
    async with place.harness(settings={"slots": False}) as third:
        assert await third.readiness() is Code.SLOT_TAKEN
    assert (len(place.appointments()), place.slots("busy")) == (1, [])


@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=lambda one: one.name)
async def test_a_change_is_of_the_approved_version_or_not_at_all(place: Place, operation: Operation) -> None:
    async with place.harness() as booking:
        assert await booking.readiness() is None
        await booking.commit()
    async with booking.following(operation, START + HOUR) as late, booking.following(Operation.CANCEL) as first:
        if operation is Operation.CANCEL:
            assert await late.readiness() is Code.TARGET_CHANGED  # approved for another time than the stored one
            return
        assert await late.readiness() is None
        assert await first.readiness() is None
        assert (await first.commit()).effect is Effect.APPLIED
        refused = await late.commit()
        assert (refused.effect, refused.code) == (Effect.REFUSED, Code.TARGET_CHANGED)
    async with booking.following(operation, START + HOUR) as later:
        assert await later.readiness() is Code.TARGET_CHANGED


async def test_what_the_appointment_holds_besides_is_kept(place: Place) -> None:
    async with place.harness() as booking:
        await booking.readiness()
        await booking.commit()
    (kept,) = place.appointments()
    interpreter = {"actor": {"reference": "RelatedPerson/9"}, "status": "accepted"}
    rooms = [{"type": [{"text": f"room {each}"}], "status": "accepted"} for each in (1, 2)]
    people = [*kept["participant"], interpreter, *rooms]
    more = {"comment": "by phone", "minutesDuration": 30, "participant": people}
    place.store.update(f"Appointment/{kept['id']}", {**kept, **more}, 'W/"1"')
    version = versioned("2", kept["id"])
    booking.binding = replace(booking.binding, version=version)  # type: ignore[type-var]  # it was applied
    async with booking.following(Operation.RESCHEDULE, START + HOUR) as move:
        assert await move.readiness() is None
        assert (await move.commit()).effect is Effect.APPLIED
    (kept,) = place.appointments()
    assert (kept["comment"], kept["minutesDuration"]) == ("by phone", 30)
    assert all(each in kept["participant"] for each in people)
    assert len(kept["participant"]) == len(people)


async def test_a_slot_of_its_own_that_somebody_set_free_is_taken_again(place: Place) -> None:
    async with place.harness(minutes=60) as booking:
        assert await booking.readiness() is None
        await booking.commit()
    place.store.set_slots(["Slot/practitioner-1.203103030930"], "free")
    async with booking.following(Operation.RESCHEDULE, START + HOUR / 2) as move:
        assert await move.readiness() is None
        assert (await move.commit()).effect is Effect.APPLIED
    assert place.slots("busy") == ["practitioner-1.203103030930", "practitioner-1.203103031000"]


@pytest.mark.requirement("GATE-25", "GATE-26")
async def test_a_wrong_credential_and_one_that_may_only_read_block(place: Place) -> None:
    async with place.harness() as stranger:
        stranger.use_secret("wrong")
        assert await stranger.readiness() is Code.CREDENTIALS_REJECTED
    async with place.harness(who="limited") as limited:
        assert await limited.readiness() is Code.EXTERNAL_FORBIDDEN
    async with place.harness(settings={"access-declared": False}) as undeclared:
        assert await undeclared.readiness() is Code.READINESS_UNVERIFIABLE


async def test_a_target_that_is_not_there_blocks(place: Place, make: MakeRequest) -> None:
    async with place.harness() as booking:
        await booking.readiness()
        await booking.commit()
    place.store.remove(f"Appointment/{place.appointments()[0]['id']}")
    async with booking.following(Operation.CANCEL) as cancellation:
        assert await cancellation.readiness() is Code.TARGET_NOT_FOUND
        assert (await cancellation.observe()).finding is ObservationFinding.INDETERMINATE


async def test_an_attempt_needs_no_more_requests_than_declared(place: Place) -> None:
    async with place.harness() as booking:
        await booking.readiness()
        await booking.commit()
    async with booking.following(Operation.RESCHEDULE, START + HOUR) as late:
        assert await late.readiness() is None
        async with booking.following(Operation.CANCEL) as first:
            await first.readiness()
            await first.commit()
        await late.commit()
        await late.observe()
        # one more asks a server of SMART Backend Services for its configuration
        assert late.requests + 1 == FhirAdapter().describe(late.request.connection).requests_per_attempt
