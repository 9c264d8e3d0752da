"""The adapter through the real boundary against the twin, and the twin's own strictness."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adapters.google_calendar import mapping, testing
from adapters.google_calendar.adapter import GoogleCalendarAdapter
from conformance.registry import REQUIREMENTS
from conformance.target.safety import load, load_object
from gateway.contracts.connection import Scheme
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding
from gateway.testing import START, AdapterHarness
from tests.unit.adapters.google_calendar.conftest import CALENDAR, asked

if TYPE_CHECKING:
    from tests.unit.adapters.stage import Stage

TARGET = load(Path(testing.__file__).parent / "conformance.toml")
HOUR = timedelta(hours=1)
PATH = f"calendars/{CALENDAR}/events"
NEW = {"id": "0" * 20, "start": {"dateTime": "2031-01-01T09:00:00Z"}, "end": {"dateTime": "2031-01-01T10:00:00Z"}}


def harness(stage: Stage) -> AdapterHarness:
    return AdapterHarness(
        GoogleCalendarAdapter(), asked(base=stage.premises.base_url), secret=stage.premises.secrets["vendor"]
    )


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
async def test_an_id_that_was_used_is_never_used_again(stage: Stage) -> None:
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
    assert {(each.effect, each.code) for each in results} == {
        (Effect.APPLIED, Code.COMMITTED),
        (Effect.UNKNOWN, Code.DUPLICATE_KEY),
    }
    assert (stage.received, stage.effects) == (2, 1)


async def test_a_token_that_may_only_read_and_a_wrong_one_are_told_apart(stage: Stage) -> None:
    async with harness(stage) as booking:
        assert await booking.readiness() is None
        booking.use_secret(stage.premises.secrets["limited"])
        assert await booking.readiness() is Code.EXTERNAL_FORBIDDEN
        booking.use_secret("wrong")
        assert await booking.readiness() is Code.CREDENTIALS_REJECTED
    assert stage.received == 0


@pytest.mark.parametrize(
    ("changes", "query", "status"),
    [
        ({}, {}, 200),
        ({"id": "UPPER"}, {}, 400),
        ({"id": "0123"}, {}, 400),
        ({"id": None}, {}, 400),
        ({"start": {"dateTime": "2031-01-01T09:00:00"}}, {}, 400),
        ({"start": {"dateTime": "1924938000"}}, {}, 400),
        ({"end": {"dateTime": "2031-01-01T08:00:00Z"}}, {}, 400),
        ({"patient": "patient-1"}, {}, 400),
        ({"extendedProperties": {"private": {"k" * 45: "v"}}}, {}, 400),
        ({}, {"sendUpdates": "nobody"}, 400),
        ({}, {"notify": "none"}, 400),
    ],
)
async def test_the_twin_admits_what_the_document_admits(
    changes: dict[str, Any], query: dict[str, str], status: int, stage: Stage
) -> None:
    body = {name: value for name, value in {**NEW, **changes}.items() if value is not None}
    async with stage.client() as client:
        assert (await client.post(PATH, json=body, params=query)).status_code == status
    assert stage.effects == (status == 200)


async def test_the_twin_keeps_the_id_of_a_deleted_event_and_lets_nobody_change_it(stage: Stage) -> None:
    async with stage.client() as client:
        assert (await client.post(PATH, json=NEW)).status_code == 200
        assert (await client.post(PATH, json=NEW)).status_code == 409
        event = f"{PATH}/{NEW['id']}"
        stale = await client.patch(event, json={"status": "cancelled"}, headers={"If-Match": '"9"'})
        assert (stale.status_code, stale.json()["error"]["errors"][0]["reason"]) == (412, "conditionNotMet")
        assert (await client.patch(event, json={"status": "cancelled"})).status_code == 200
        assert (await client.get(event)).json()["status"] == "cancelled"
        assert (await client.post(PATH, json=NEW)).status_code == 409
        assert (await client.patch(event, json={"summary": "again"})).status_code == 403
        assert (await client.get(PATH)).json()["items"] == []
        assert len((await client.get(PATH, params={"showDeleted": "true"})).json()["items"]) == 1


async def test_the_twin_lets_events_overlap_and_lists_what_touches_the_window(stage: Stage) -> None:
    window = {"timeMin": "2031-01-01T10:00:00Z", "timeMax": "2031-01-01T11:00:00Z"}
    async with stage.client() as client:
        for number, (start, end) in enumerate((("09", "10"), ("09", "11"), ("10", "11"), ("11", "12"))):
            times = {
                "start": {"dateTime": f"2031-01-01T{start}:00:00Z"},
                "end": {"dateTime": f"2031-01-01T{end}:00:00Z"},
            }
            assert (await client.post(PATH, json={**NEW, **times, "id": str(number) * 5})).status_code == 200
        listed = (await client.get(PATH, params=window)).json()["items"]
        assert [each["id"] for each in listed] == ["11111", "22222"]
        other = (await client.get(PATH.replace("practice", "elsewhere"), params=window)).json()
        assert other["items"] == []


async def test_the_observer_sees_keys_and_no_patient(stage: Stage) -> None:
    async with harness(stage) as booking:
        await carried_out(booking)
    observer = stage.premises.observer
    assert observer is not None
    (seen,) = await observer.appointments(START, START + HOUR)
    assert (seen.keys, seen.subject) == ((mapping.event_id(booking.request),), None)
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
    assert use.scheme is Scheme.JWT_BEARER and use.token is not None
    async with testing.twin(use.scheme).start(tmp_path / "twin.db") as premises:
        own = use.model_copy(update={"token": use.token.model_copy(update={"url": premises.token_url})})
        request = asked(base=premises.base_url, credential=own)
        async with AdapterHarness(GoogleCalendarAdapter(), request, secret=premises.secrets["vendor"]) as booking:
            await carried_out(booking)
        async with AdapterHarness(GoogleCalendarAdapter(), request, secret=premises.secrets["limited"]) as reader:
            assert await reader.readiness() is Code.EXTERNAL_FORBIDDEN


@pytest.mark.requirement("GATE-25")
@pytest.mark.parametrize(
    "wrong",
    [{"issuer": "another@practice.iam.gserviceaccount.com"}, {"scope": f"{testing.SCOPE}.readonly"}, {"scope": None}],
    ids=str,
)
async def test_a_run_that_asks_for_its_token_wrongly_is_not_let_in(tmp_path: Path, wrong: dict[str, Any]) -> None:
    use = TARGET.connection.credential
    assert use.token is not None
    async with testing.twin(use.scheme).start(tmp_path / "twin.db") as premises:
        token = use.token.model_copy(update={"url": premises.token_url} | wrong)
        request = asked(base=premises.base_url, credential=use.model_copy(update={"token": token}))
        async with AdapterHarness(GoogleCalendarAdapter(), request, secret=premises.secrets["vendor"]) as attempt:
            assert await attempt.readiness() is Code.CREDENTIALS_REJECTED
