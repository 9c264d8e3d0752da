"""A Radicale made ready for a conformance run: its observer, which shares nothing with the adapter, and its broom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from adapters.caldav import testing
from adapters.caldav.adapter import CaldavAdapter
from adapters.caldav.testing import RadicaleServer
from conformance.registry import REQUIREMENTS
from conformance.target.safety import load, load_object
from gateway.contracts.connection import Limits, Scheme
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect
from gateway.testing import START, AdapterHarness, Observer, Premises, make_connection, make_request

END = START + timedelta(minutes=30)
TARGET = load(Path(testing.__file__).parent / "conformance.toml")


@pytest.fixture
async def premises() -> AsyncIterator[Premises]:
    async with testing.radicale() as started:
        yield started


def harness(premises: Premises, known_as: str = "vendor") -> AdapterHarness:
    limits = Limits(request_seconds=5)  # eight processes may share a core with this test
    connection = make_connection(premises.base_url, credential=TARGET.connection.credential, limits=limits)
    return AdapterHarness(CaldavAdapter(), make_request(connection), secret=premises.secrets[known_as])


async def book(premises: Premises) -> AdapterHarness:
    async with harness(premises) as booking:
        assert await booking.readiness() is None
        assert (await booking.commit()).effect is Effect.APPLIED
    return booking


async def test_the_observer_sees_each_write_and_takes_it_away(premises: Premises) -> None:
    observer = premises.observer
    assert list(await observer.appointments(START, END)) == []
    booking = await book(premises)
    (seen,) = await observer.appointments(START, END)
    assert (seen.start, seen.end, seen.subject) == (START, END, None)
    assert (seen.keys, seen.cancelled) == ((booking.request.native_key(),), False)
    async with booking.following(Operation.RESCHEDULE, END) as moving:
        assert await moving.readiness() is None
        assert (await moving.commit()).effect is Effect.APPLIED
    assert list(await observer.appointments(START, END)) == []
    (moved,) = await observer.appointments(END, END + timedelta(minutes=30))
    assert moved.keys == (booking.request.native_key(), moving.request.native_key())
    async with moving.following(Operation.CANCEL) as cancelling:
        assert await cancelling.readiness() is None
        assert (await cancelling.commit()).effect is Effect.APPLIED
    (left,) = await observer.appointments(END, END + timedelta(minutes=30))
    assert (left.identifier, left.cancelled) == (seen.identifier, True)
    assert left.keys == (booking.request.native_key(), cancelling.request.native_key())
    assert await observer.remove(left.identifier) is True
    assert list(await observer.appointments(START, END + timedelta(minutes=30))) == []
    await book(premises)  # as before: neither slot nor address is taken


async def test_the_observer_looks_as_the_reader_and_removes_as_the_owner(premises: Premises) -> None:
    assert isinstance(premises.observer, testing.CalendarObserver)
    assert premises.observer.looking == premises.secrets["limited"]
    assert premises.observer.removing == premises.secrets["vendor"]
    await book(premises)
    (seen,) = await premises.observer.appointments(START, END)
    reader = testing.observer(premises.base_url, {"vendor": premises.secrets["limited"]})
    assert list(await reader.appointments(START, END)) == [seen]
    assert await reader.remove(seen.identifier) is False
    stranger = testing.observer(premises.base_url, {"vendor": premises.secrets["vendor"], "observer": "nobody:knows"})
    with pytest.raises(RuntimeError, match="401"):
        await stranger.appointments(START, END)
    assert await stranger.remove(seen.identifier) is True
    assert await stranger.remove(seen.identifier) is True  # gone is gone, whoever took it


async def test_the_limited_credential_refutes_readiness(premises: Premises) -> None:
    async with harness(premises, "limited") as booking:
        assert await booking.readiness() is Code.EXTERNAL_FORBIDDEN


@pytest.fixture
def observer(radicale: RadicaleServer, calendar_url: str) -> Observer:
    return testing.observer(calendar_url, {"vendor": f"{radicale.user}:{radicale.password}"})


def put(radicale: RadicaleServer, calendar_url: str, *lines: str) -> None:
    """An event that somebody else wrote."""
    event = ("UID:theirs", "DTSTAMP:20310101T000000Z", *lines)
    whole = ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:theirs", "BEGIN:VEVENT", *event, "END:VEVENT", "END:VCALENDAR")
    with httpx.Client(auth=(radicale.user, radicale.password), trust_env=False) as client:
        reply = client.put(
            f"{calendar_url}their%20own.ics",
            content="".join(f"{line}\r\n" for line in whole),
            headers={"Content-Type": "text/calendar"},
        )
    assert reply.status_code == 201


async def test_an_event_that_others_wrote_is_seen_in_utc_and_can_be_named(
    radicale: RadicaleServer, calendar_url: str, observer: Observer
) -> None:
    put(radicale, calendar_url, "DTSTART;TZID=Europe/Vienna:20310303T100000", "DURATION:PT45M")
    (seen,) = await observer.appointments(START, END)
    assert (seen.start, seen.end) == (START, START + timedelta(minutes=45))
    assert (seen.start.tzinfo, seen.keys, seen.cancelled) == (UTC, ("theirs",), False)
    assert await observer.remove(seen.identifier) is True
    assert list(await observer.appointments(START, END)) == []


@pytest.mark.parametrize(
    "lines",
    [
        ("DTSTART:20310303T090000", "DTEND:20310303T093000"),
        ("DTSTART;VALUE=DATE:20310303", "DTEND;VALUE=DATE:20310304"),
        ("DTSTART:20310303T090000Z", "DTEND:20310303T093000Z", "RRULE:FREQ=DAILY;COUNT=2"),
    ],
    ids=["floating", "whole-day", "recurring"],
)
async def test_an_event_without_plain_instants_is_not_guessed_at(
    radicale: RadicaleServer, calendar_url: str, observer: Observer, lines: tuple[str, ...]
) -> None:
    put(radicale, calendar_url, *lines)
    with pytest.raises(ValueError, match="among the run's slots"):
        await observer.appointments(datetime(2031, 3, 2, tzinfo=UTC), datetime(2031, 3, 5, tzinfo=UTC))


async def test_a_calendar_that_is_not_there_is_no_empty_calendar(premises: Premises) -> None:
    elsewhere = testing.observer(premises.base_url.replace("appointments", "missing"), premises.secrets)
    with pytest.raises(RuntimeError, match="404"):
        await elsewhere.appointments(START, END)


async def test_every_start_is_fresh_and_names_no_secret() -> None:
    async with testing.radicale() as first, testing.radicale() as second:
        assert first.label.startswith("Radicale ")
        assert set(first.secrets.values()).isdisjoint(second.secrets.values())
        shown = f"{first!r} {first.observer!r}"
        assert not any(part in shown for secret in first.secrets.values() for part in (secret, secret.split(":")[1]))
        await book(first)
        assert list(await second.observer.appointments(START, END)) == []


def test_the_target_file_starts_these_premises_and_has_room_for_every_requirement() -> None:
    assert TARGET.sandbox and TARGET.launch is not None
    assert load_object(TARGET.launch) is testing.radicale
    assert (TARGET.connection.credential.scheme, TARGET.connection.credential.name) == (Scheme.BASIC, "vendor")
    assert TARGET.connection.limits == Limits(request_seconds=1, commit_seconds=3)
    assert sum(each.writes for each in REQUIREMENTS.values()) <= TARGET.writes
    assert sum(each.slots for each in REQUIREMENTS.values()) <= TARGET.pool.slots
    assert TARGET.pool.first.year == 2031
