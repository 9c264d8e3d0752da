"""What the observer makes of replies that no Radicale gives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest
import respx

from adapters.caldav.testing import observer

CALENDAR = "http://127.0.0.1:5232/owner/appointments/"
START = datetime(2031, 3, 3, 9, 0, tzinfo=UTC)
END = START + timedelta(minutes=30)


def replying(*objects: tuple[str, str]) -> httpx.Response:
    """A multistatus that holds calendar objects, each a name and its content."""
    responses = "".join(
        f"<d:response><d:href>{name}</d:href><d:propstat><d:prop><c:calendar-data>{text}</c:calendar-data></d:prop>"
        "<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
        for name, text in objects
    )
    namespaces = 'xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav"'
    return httpx.Response(207, text=f"<d:multistatus {namespaces}>{responses}</d:multistatus>")


def event(uid: str, start: datetime) -> str:
    end = start + timedelta(minutes=30)
    return f"BEGIN:VEVENT\nUID:{uid}\nDTSTART:{start:%Y%m%dT%H%M%SZ}\nDTEND:{end:%Y%m%dT%H%M%SZ}\nEND:VEVENT\n"


def calendar(*events: str) -> str:
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:theirs\n{''.join(events)}END:VCALENDAR\n"


@respx.mock
async def test_a_server_that_ignores_the_window_is_not_believed() -> None:
    objects = [
        (f"{CALENDAR}{name}.ics", calendar(event(name, start)))
        for name, start in (("before", START - (END - START)), ("within", START), ("after", END))
    ]
    asked = respx.request("REPORT", CALENDAR).mock(return_value=replying(*objects))
    seen = await observer(CALENDAR, {"vendor": "owner:a:b"}).appointments(START, END)
    assert [(each.identifier, each.keys) for each in seen] == [("within.ics", ("within",))]
    assert asked.calls.last.request.headers["Authorization"] == "Basic b3duZXI6YTpi"
    assert asked.calls.last.request.headers["Depth"] == "1"


@respx.mock
async def test_every_event_of_an_object_is_counted() -> None:
    whole = calendar(event("first", START), event("second", START))
    respx.request("REPORT", CALENDAR).mock(return_value=replying(("/owner/appointments/both.ics", whole)))
    seen = await observer(CALENDAR, {"vendor": "owner:password"}).appointments(START, END)
    assert [(each.identifier, each.keys) for each in seen] == [("both.ics", ("first",)), ("both.ics", ("second",))]


@respx.mock
async def test_instants_are_asked_for_in_utc() -> None:
    asked = respx.request("REPORT", CALENDAR).mock(return_value=replying())
    zoned = datetime.fromisoformat("2031-03-03T10:00:00+01:00")
    assert list(await observer(CALENDAR, {"vendor": "owner:password"}).appointments(zoned, zoned)) == []
    assert b'start="20310303T090000Z" end="20310303T090000Z"' in asked.calls.last.request.content


@respx.mock
@pytest.mark.parametrize("status", [400, 403, 409, 423, 500])
async def test_a_deletion_that_is_refused_leaves_the_appointment(status: int) -> None:
    respx.delete(f"{CALENDAR}one.ics").respond(status)
    assert await observer(CALENDAR, {"vendor": "owner:password"}).remove("one.ics") is False
