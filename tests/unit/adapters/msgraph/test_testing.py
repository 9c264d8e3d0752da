"""The adapter through the real boundary against the twin, and the twin's own strictness."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adapters.msgraph import mapping, testing
from adapters.msgraph.adapter import GraphAdapter
from conformance.registry import REQUIREMENTS
from conformance.target.safety import load, load_object
from gateway.contracts.adapter import Identifiers
from gateway.contracts.connection import Scheme
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding
from gateway.testing import START, AdapterHarness
from tests.unit.adapters.msgraph.conftest import CALENDAR, USER, asked

if TYPE_CHECKING:
    from tests.unit.adapters.stage import Stage

TARGET = load(Path(testing.__file__).parent / "conformance.toml")
HOUR = timedelta(hours=1)
PLACE = f"users/{USER}/calendars/{CALENDAR}"
NEW: dict[str, Any] = {
    "subject": "Appointment",
    "start": {"dateTime": "2031-01-01T09:00:00", "timeZone": "UTC"},
    "end": {"dateTime": "2031-01-01T10:00:00", "timeZone": "UTC"},
    "transactionId": "one",
}


def harness(stage: Stage) -> AdapterHarness:
    return AdapterHarness(GraphAdapter(), asked(base=stage.premises.base_url), secret=stage.premises.secrets["vendor"])


async def carried_out(attempt: AdapterHarness) -> None:
    assert await attempt.readiness() is None
    result = await attempt.commit()
    assert (result.effect, result.code) == (Effect.APPLIED, Code.COMMITTED)
    assert (await attempt.observe()).finding is ObservationFinding.PRESENT


@pytest.mark.requirement("ADAPT-09")
async def test_book_reschedule_and_cancel_each_take_one_mutating_request(stage: Stage) -> None:
    async with harness(stage) as booking:
        await carried_out(booking)
        async with booking.following(Operation.RESCHEDULE, START + HOUR) as move:
            await carried_out(move)
            assert (await booking.observe()).finding is ObservationFinding.DIFFERENT
            async with move.following(Operation.CANCEL) as cancellation:
                await carried_out(cancellation)
            assert (await move.observe()).finding is ObservationFinding.INDETERMINATE  # it may have been, before
    assert (stage.received, stage.effects) == (3, 3)


@pytest.mark.requirement("CARD-06")
async def test_a_key_that_was_used_is_never_used_again(stage: Stage) -> None:
    async with harness(stage) as booking:
        await carried_out(booking)
        async with booking.again() as again:
            assert await again.readiness() is Code.SLOT_TAKEN
        async with booking.following(Operation.CANCEL) as cancellation:
            await carried_out(cancellation)
        async with booking.again() as again:
            assert await again.readiness() is Code.SLOT_TAKEN
    assert stage.received == 2


async def test_two_attempts_with_one_key_at_once_make_one_event(stage: Stage) -> None:
    async with harness(stage) as first, first.again() as second:
        assert await asyncio.gather(first.readiness(), second.readiness()) == [None, None]
        results = await asyncio.gather(first.commit(), second.commit())
    assert [each.effect for each in results] == [Effect.APPLIED, Effect.APPLIED]
    assert (stage.received, stage.effects) == (2, 1)


async def test_a_token_that_may_only_read_and_a_wrong_one_are_told_apart(stage: Stage) -> None:
    async with harness(stage) as booking:
        assert await booking.readiness() is None
        booking.use_secret(stage.premises.secrets["limited"])
        assert await booking.readiness() is Code.EXTERNAL_FORBIDDEN
        booking.use_secret("wrong")
        assert await booking.readiness() is Code.CREDENTIALS_REJECTED
    assert stage.received == 0


async def test_an_event_is_not_moved_for_a_participant_whose_calendar_it_is_not_in(stage: Stage) -> None:
    async with harness(stage) as booking:
        await carried_out(booking)
        move = booking.following(Operation.RESCHEDULE, START + HOUR)
        practitioner = move.request.particulars.participants[0].participant
        known = {**move.request.identifiers, practitioner: f"{USER}/another"}
        move.request = replace(move.request, identifiers=Identifiers(known))
        async with move:
            assert await move.readiness() is Code.TARGET_NOT_FOUND
    assert (stage.received, stage.effects) == (1, 1)


async def test_a_booking_that_a_person_moved_into_another_calendar_is_found_and_not_made_again(stage: Stage) -> None:
    async with harness(stage) as booking:
        await carried_out(booking)
        (made,) = stage.engine.appointments()
        elsewhere = replace(made.booking, participants=(f"{USER}/{testing.DEFAULT_CALENDAR}",))
        stage.engine.reschedule(None, made.id, str(made.version), elsewhere)
        async with booking.again() as again:
            assert await again.readiness() is Code.SLOT_TAKEN
            assert (await again.observe()).finding is ObservationFinding.DIFFERENT
    assert stage.received == 1


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 201),
        ({"subject": None}, 400),
        ({"title": "x"}, 400),
        ({"start": {"dateTime": "2031-01-01T09:00:00Z", "timeZone": "UTC"}}, 400),
        ({"start": {"dateTime": "2031-01-01T09:00:00"}}, 400),
        ({"end": {"dateTime": "2031-01-01T08:00:00", "timeZone": "UTC"}}, 400),
        ({"showAs": "booked"}, 400),
        ({"singleValueExtendedProperties": [{"id": "gateway", "value": "x"}]}, 400),
    ],
)
async def test_the_twin_admits_what_the_documents_admit(changes: dict[str, Any], status: int, stage: Stage) -> None:
    body = {name: value for name, value in {**NEW, **changes}.items() if value is not None}
    async with stage.client() as client:
        reply = await client.post(f"{PLACE}/events", json=body)
        assert reply.status_code == status
        assert "singleValueExtendedProperties" not in reply.json()
    assert stage.effects == (status == 201)


async def test_the_twin_makes_one_event_of_one_transaction(stage: Stage) -> None:
    async with stage.client() as client:
        first = await client.post(f"{PLACE}/events", json=NEW)
        again = await client.post(f"{PLACE}/events", json=NEW)
        assert (first.status_code, first.json()["id"]) == (again.status_code, again.json()["id"])
        other = await client.post(f"{PLACE}/events", json={**NEW, "subject": "Another"})
        assert (other.status_code, other.json()["error"]["code"]) == (400, "ErrorDuplicateTransactionId")
    assert stage.effects == 1


async def test_the_twin_answers_the_documented_queries_and_no_others(stage: Stage) -> None:
    held = {"singleValueExtendedProperties": [{"id": mapping.PROPERTY, "value": "aa/bb"}]}
    where = f"ep: ep/id eq '{mapping.PROPERTY}' and startswith(ep/value, 'aa/')"
    expand = {"$expand": f"singleValueExtendedProperties($filter=id eq '{mapping.PROPERTY}')"}
    async with stage.client() as client:
        await client.post(f"{PLACE}/events", json={**NEW, **held})
        await client.post(f"{PLACE}/events", json={**NEW, "transactionId": "two"})
        query = {"$filter": f"singleValueExtendedProperties/Any({where})", **expand}
        found = await client.get(f"{PLACE}/events", params=query)
        (event,) = found.json()["value"]
        assert event["singleValueExtendedProperties"] == held["singleValueExtendedProperties"]
        for place in ("users/nobody", f"users/{USER}"):  # without a calendar, the user's default one is meant
            assert (await client.get(f"{place}/events", params=query)).json()["value"] == []
        await client.post(
            f"users/{USER}/calendars/{testing.DEFAULT_CALENDAR}/events", json={**NEW, **held, "transactionId": "three"}
        )
        assert len((await client.get(f"users/{USER}/events", params=query)).json()["value"]) == 1
        asked_otherwise = await client.get(f"users/{USER}/events", params={"$filter": "transactionId eq 'one'"})
        assert asked_otherwise.status_code == 400


async def test_the_twin_shows_what_touches_a_view_and_says_that_it_goes_on(stage: Stage) -> None:
    span = {"startDateTime": "2031-01-01T10:00:00Z", "endDateTime": "2031-01-01T11:00:00Z"}
    async with stage.client() as client:
        for number in range(2):
            await client.post(f"{PLACE}/events", json={**NEW, "transactionId": str(number)})
        view = (await client.get(f"{PLACE}/calendarView", params=span)).json()
        assert len(view["value"]) == 2 and "@odata.nextLink" not in view
        first = (await client.get(f"{PLACE}/calendarView", params={**span, "$top": "1", "$select": "id"})).json()
        assert [each.keys() for each in first["value"]] == [{"@odata.etag", "id"}]
        assert "@odata.nextLink" in first


async def test_the_twin_keeps_to_if_match(stage: Stage) -> None:
    async with stage.client() as client:
        made = (await client.post(f"{PLACE}/events", json=NEW)).json()
        event = f"{PLACE}/events/{made['id']}"
        stale = await client.patch(event, json={"showAs": "free"}, headers={"If-Match": 'W/"7"'})
        assert (stale.status_code, stale.json()["error"]["code"]) == (412, "ErrorIrresolvableConflict")
        kept = await client.patch(event, json={"showAs": "free"}, headers={"If-Match": made["@odata.etag"]})
        assert (kept.status_code, kept.json()["showAs"]) == (200, "free")
        assert (await client.patch(f"{PLACE}/events/nothing", json={})).status_code == 404
        elsewhere = f"users/{USER}/calendars/another/events/{made['id']}"
        assert (await client.patch(elsewhere, json={})).status_code == 404


async def test_the_observer_sees_keys_and_no_patient(stage: Stage) -> None:
    async with harness(stage) as booking:
        await carried_out(booking)
    observer = stage.premises.observer
    assert observer is not None
    (seen,) = await observer.appointments(START, START + HOUR)
    assert (seen.keys, seen.subject) == ((booking.request.native_key(max_length=mapping.KEY_LENGTH),), None)
    assert await observer.remove(seen.identifier)
    assert not await observer.appointments(START, START + HOUR)


def test_the_target_file_starts_this_twin_says_so_and_has_room_for_every_requirement() -> None:
    assert TARGET.sandbox and TARGET.launch is not None
    assert load_object(TARGET.launch) is testing.premises
    assert "twin" in TARGET.label
    assert sum(each.writes for each in REQUIREMENTS.values()) <= TARGET.writes
    assert sum(each.slots for each in REQUIREMENTS.values()) <= TARGET.pool.slots


async def test_whatever_shows_the_twin_calls_it_one(stage: Stage) -> None:
    assert "twin" in stage.premises.label


async def test_the_run_is_let_in_as_the_vendor_lets_in_a_program(tmp_path: Path) -> None:
    use = TARGET.connection.credential
    assert use.scheme is Scheme.CLIENT_CREDENTIALS and use.token is not None
    async with testing.twin(use.scheme).start(tmp_path / "twin.db") as premises:
        own = use.model_copy(update={"token": use.token.model_copy(update={"url": premises.token_url})})
        request = asked(base=premises.base_url, credential=own)
        async with AdapterHarness(GraphAdapter(), request, secret=premises.secrets["vendor"]) as booking:
            await carried_out(booking)
        async with AdapterHarness(GraphAdapter(), request, secret=premises.secrets["limited"]) as reader:
            assert await reader.readiness() is Code.EXTERNAL_FORBIDDEN


@pytest.mark.requirement("GATE-25")
@pytest.mark.parametrize(
    "wrong", [{"scope": "https://graph.microsoft.com/Calendars.ReadWrite"}, {"scope": None}], ids=str
)
async def test_a_run_that_asks_for_its_token_wrongly_is_not_let_in(tmp_path: Path, wrong: dict[str, Any]) -> None:
    use = TARGET.connection.credential
    assert use.token is not None
    async with testing.twin(use.scheme).start(tmp_path / "twin.db") as premises:
        token = use.token.model_copy(update={"url": premises.token_url} | wrong)
        request = asked(base=premises.base_url, credential=use.model_copy(update={"token": token}))
        async with AdapterHarness(GraphAdapter(), request, secret=premises.secrets["vendor"]) as attempt:
            assert await attempt.readiness() is Code.CREDENTIALS_REJECTED
