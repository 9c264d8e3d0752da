"""Particulars to iCalendar and back, and what hostile calendars may do: nothing but be refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.caldav import mapping
from gateway.contracts.adapter import Request
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding

MakeRequest = Callable[..., Request]
NOW = datetime(2026, 11, 21, 7, 0, 0, 123456, tzinfo=UTC)
NINE = datetime(2031, 3, 3, 9, tzinfo=UTC)
INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2199, 1, 1)).map(
    lambda at: at.replace(microsecond=0, tzinfo=UTC)
)
NAMES = st.from_regex(r"X-PRACTICE-[A-Z]{1,12}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=120)


def text_of(request: Request) -> str:
    return mapping.new_event(request, NOW).decode()


def event_text(*lines: str) -> str:
    return "\r\n".join(("BEGIN:VCALENDAR", "VERSION:2.0", "BEGIN:VEVENT", *lines, "END:VEVENT", "END:VCALENDAR", ""))


@given(start=INSTANTS, minutes=st.integers(1, 100_000))
def test_a_booking_reads_back_as_what_was_approved(make_request: MakeRequest, start: datetime, minutes: int) -> None:
    request = make_request(start=start, end=start + timedelta(minutes=minutes))
    event = mapping.sole_event(mapping.read_events(text_of(request)))
    assert event is not None
    assert mapping.carries_out(request, event)
    assert (event.uid, event.key, event.sequence) == (request.native_key(), request.native_key(), 0)
    assert (event.cancelled, event.transparent, event.invites) == (False, False, False)


@given(start=INSTANTS, added=st.lists(st.tuples(NAMES, VALUES), max_size=5))
def test_a_reschedule_changes_its_own_lines_and_keeps_all_others(
    make_request: MakeRequest, start: datetime, added: list[tuple[str, str]]
) -> None:
    booking = make_request()
    extra = "".join(f"{name}:{value}\r\n" for name, value in added)
    stored = text_of(booking).replace("END:VEVENT", extra + "END:VEVENT")
    move = make_request(Operation.RESCHEDULE, start=start, booked=booking.key)
    changed = mapping.changed_event(stored, move, NOW).decode()
    event = mapping.sole_event(mapping.read_events(changed))
    assert event is not None
    assert mapping.carries_out(move, event)
    assert event.sequence == 1
    own = {"DTSTAMP", "DTSTART", "DTEND", "SEQUENCE", mapping.KEY_PROPERTY}

    def others(text: str) -> list[str]:
        return [line for line in text.replace("\r\n ", "").split("\r\n") if line.split(":")[0] not in own]

    assert sorted(others(changed)) == sorted(others(stored))


def test_a_cancellation_keeps_the_hours_and_frees_them(make_request: MakeRequest) -> None:
    booking = make_request()
    cancellation = make_request(Operation.CANCEL, booked=booking.key)
    changed = mapping.changed_event(text_of(booking), cancellation, NOW).decode()
    event = mapping.sole_event(mapping.read_events(changed))
    assert event is not None
    assert mapping.carries_out(cancellation, event)
    assert (event.cancelled, event.transparent, event.start) == (True, True, NINE)


def test_a_duration_does_not_survive_beside_a_new_end(make_request: MakeRequest) -> None:
    stored = event_text("UID:u", "DTSTART:20310303T090000Z", "DURATION:PT1H")
    changed = mapping.changed_event(stored, make_request(Operation.RESCHEDULE), NOW).decode()
    assert "DURATION" not in changed


@pytest.mark.parametrize(
    ("start", "expressible"),
    [(NINE, True), (NINE.replace(microsecond=1), False), (NINE.replace(year=999), False)],
)
def test_only_whole_seconds_of_four_digit_years_can_be_expressed(
    make_request: MakeRequest, start: datetime, expressible: bool
) -> None:
    assert mapping.is_expressible(make_request(start=start)) is expressible


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "BEGIN:VEVENT\r\nEND:VEVENT\r\n",
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nEND:VCALENDAR\r\n",
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nEND:VEVENT\r\n",
        event_text() * 2,
        event_text("UID:one", "UID:two"),
        event_text("DTSTART:20310303T090000Z", "DTSTART:20310304T090000Z"),
        event_text("SEQUENCE:many"),
        event_text("SEQUENCE:-1"),
        event_text("NO COLON HERE;="),
        event_text("X-BIG:" + "x" * 300_000),
        event_text(*["BEGIN:X"] * 20, *["END:X"] * 20),
        event_text() + "X-AFTER:all\r\n",
    ],
)
def test_a_calendar_that_needs_guessing_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(mapping.MalformedCalendarError) as refused:
        mapping.read_events(text)
    assert "many" not in str(refused.value)
    assert refused.value.__cause__ is None


@given(st.one_of(st.text(max_size=400), st.lists(st.sampled_from(
    ["BEGIN:VCALENDAR", "BEGIN:VEVENT", "END:VEVENT", "END:VCALENDAR", "UID:a", "DTSTART;TZID=/../x:20310303T090000",
     "DTSTART:99999999T999999Z", "SEQUENCE:" + "9" * 10, "RRULE:FREQ=SECONDLY", ";;;", "X\\:", '"', "A;B=\":c", "\x00"]
), max_size=12).map("\r\n".join)))  # fmt: skip
def test_any_text_is_read_or_refused_and_nothing_else(make_request: MakeRequest, text: str) -> None:
    try:
        events = mapping.read_events(text)
    except mapping.MalformedCalendarError:
        assert mapping.is_busy(text, besides=None)
        return
    assert isinstance(mapping.finding(make_request(), events, unchanged=True), ObservationFinding)


@pytest.mark.parametrize("stored", [event_text("SEQUENCE:2147483647"), event_text("RRULE:FREQ=DAILY"), event_text()])
def test_only_one_plain_event_is_rewritten(make_request: MakeRequest, stored: str) -> None:
    twice = (
        stored
        if "VEVENT\r\nEND" not in stored
        else stored.replace("END:VCAL", "BEGIN:VEVENT\r\nEND:VEVENT\r\nEND:VCAL")
    )
    with pytest.raises(mapping.MalformedCalendarError):
        mapping.changed_event(twice, make_request(Operation.RESCHEDULE), NOW)


@pytest.mark.parametrize(
    ("line", "instant"),
    [
        ("DTSTART:20310303T090000Z", NINE),
        ("DTSTART;TZID=Europe/Vienna:20310303T100000", NINE),
        ("DTSTART;TZID=Custom/Zone:20310303T100000", None),
        ("DTSTART;TZID=../../etc/passwd:20310303T100000", None),
        ("DTSTART:20310303T090000", None),
        ("DTSTART;VALUE=DATE:20310303", None),
        ("DTSTART:20311303T090000Z", None),
    ],
)
def test_an_instant_is_understood_or_is_none(line: str, instant: datetime | None) -> None:
    assert mapping.read_events(event_text(line))[0].start == instant


@pytest.mark.parametrize(
    ("data", "besides", "busy"),
    [
        (None, None, True),
        ("not a calendar", None, True),
        (event_text("UID:a"), None, True),
        (event_text("UID:a"), "a", False),
        (event_text("UID:a"), "b", True),
        (event_text("UID:a", "STATUS:CANCELLED"), None, False),
        (event_text("UID:a", "TRANSP:TRANSPARENT"), None, False),
        (event_text("UID:a", "STATUS:TENTATIVE"), None, True),
        (event_text("STATUS:CANCELLED", "END:VEVENT", "BEGIN:VEVENT", "UID:a"), None, True),
        (event_text("UID:a", "BEGIN:VALARM", "STATUS:CANCELLED", "END:VALARM"), None, True),
        ("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", None, True),
    ],
)
@pytest.mark.requirement("FAIL-17")
def test_whatever_is_not_plainly_free_is_busy(data: str | None, besides: str | None, busy: bool) -> None:
    assert mapping.is_busy(data, besides=besides) is busy


@pytest.mark.parametrize(
    ("tag", "usable"),
    [(None, False), ('"a"', True), ('W/"a"', False), ('""', False), ("a", False), ('"a", "b"', False),
     ('"ü"', False), ('"' + "a" * 257 + '"', False)],
)  # fmt: skip
def test_only_a_strong_printable_entity_tag_is_used(tag: str | None, usable: bool) -> None:
    assert mapping.strong_etag(tag) == (tag if usable else None)


def test_what_a_look_finds_of_a_change(make_request: MakeRequest) -> None:
    booking = make_request()
    move = make_request(Operation.RESCHEDULE, start=NINE + timedelta(hours=1), booked=booking.key)
    before = mapping.read_events(text_of(booking))
    text = mapping.changed_event(text_of(booking), move, NOW).decode()
    after = mapping.read_events(text)
    elsewhere = mapping.read_events(text.replace("T100000Z", "T101500Z"))
    cases = [
        (before, True, ObservationFinding.ABSENT),
        (before, False, ObservationFinding.INDETERMINATE),
        (after, False, ObservationFinding.PRESENT),
        (elsewhere, False, ObservationFinding.DIFFERENT),
        (after * 2, False, ObservationFinding.DIFFERENT),
        (None, False, ObservationFinding.INDETERMINATE),
        ((), True, ObservationFinding.INDETERMINATE),
    ]
    for events, unchanged, expected in cases:
        assert mapping.finding(move, events, unchanged=unchanged) is expected
    assert mapping.finding(booking, None, unchanged=False) is ObservationFinding.ABSENT
