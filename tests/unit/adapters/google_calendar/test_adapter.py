"""Readiness proof by proof, what counts as in force, and what a look finds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pluggy
import pytest
import respx

from adapters.google_calendar import mapping, plugin
from adapters.google_calendar.adapter import GoogleCalendarAdapter
from gateway.contracts.adapter import (
    Authorized,
    Basis,
    Claim,
    Exclusivity,
    Idempotency,
    Observation,
    Proof,
    Query,
    Readiness,
    Request,
    TargetState,
)
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation, Participant, Role
from gateway.contracts.references import ParticipantId
from gateway.contracts.words import ObservationFinding
from gateway.hookspecs import PROJECT
from gateway.testing import START
from tests.unit.adapters.google_calendar.conftest import GOOGLE, asked, client, page, problem, stored

CHANGES = pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=str)
NOTHING = problem(404, "notFound")


async def ready(request: Request, listed: httpx.Response | None = None, event: httpx.Response = NOTHING) -> Readiness:
    with respx.mock(base_url=GOOGLE, assert_all_called=False) as google:
        google.get(path__regex="/events$").mock(return_value=listed or page())
        google.get(path__regex=f"/{mapping.event_id(request)}$").mock(return_value=event)
        async with client() as to_google:
            readiness = await GoogleCalendarAdapter().readiness(request, to_google)
        assert all(call.request.method == "GET" for call in google.calls)
    return readiness


async def look(request: Request, event: httpx.Response, listed: httpx.Response | None = None) -> Observation:
    with respx.mock(base_url=GOOGLE, assert_all_called=False) as google:
        google.get(path__regex="/events$").mock(return_value=listed or page())
        google.get(path__regex=f"/{mapping.event_id(request)}$").mock(return_value=event)
        async with client() as to_google:
            return await GoogleCalendarAdapter().observe(Query(request=request), to_google)


def shown(request: Request, **changes: Any) -> httpx.Response:
    """The booked event that a change starts from, at the approved version; or what `changes` make of it."""
    other = {"extendedProperties": {"private": {"gatewayKey": "the-booking"}}}
    return httpx.Response(200, json=stored(request, **{"status": "confirmed", "etag": '"1"', **other, **changes}))


@pytest.mark.requirement("CARD-01")
def test_the_plugin_offers_the_adapter_and_its_claims() -> None:
    plugins = pluggy.PluginManager(PROJECT)
    plugins.register(plugin)
    (offered,) = plugins.hook.gateway_adapters()
    descriptor = offered["google_calendar"].describe(asked().connection)
    assert set(descriptor.operations) == set(Operation)
    assert (descriptor.idempotency, descriptor.exclusivity) == (Idempotency.LOOKUP, Exclusivity.NONE)
    assert (descriptor.observation, descriptor.safe_posts) == (Basis.BY_KEY, ())


@pytest.mark.parametrize("operation", Operation, ids=str)
async def test_readiness_proves_everything(operation: Operation) -> None:
    request = asked(operation)
    event = NOTHING if operation is Operation.BOOK else shown(request)
    readiness = await ready(request, event=event)
    assert readiness == Readiness.proven(prepared=None if operation is Operation.BOOK else '"1"')


@pytest.mark.requirement("GATE-26", "GATE-27")
@pytest.mark.parametrize("settings", [{}, {"access-declared": False}, {"access-declared": "true"}])
async def test_scopes_that_nobody_vouches_for_are_unverifiable(settings: dict[str, Any]) -> None:
    readiness = await ready(asked(settings=settings))
    assert (readiness.available, readiness.authorised) == (Proof.PROVEN, Proof.UNVERIFIABLE)


@pytest.mark.requirement("GATE-26")
@pytest.mark.parametrize("role", ["none", "freeBusyReader", "reader", "writerWithoutPrivateAccess", "unheardOf"])
async def test_a_role_that_cannot_write_or_see_private_events_is_refuted(role: str) -> None:
    readiness = await ready(asked(), page(role=role))
    assert (readiness.credentials, readiness.authorised) == (Proof.PROVEN, Proof.REFUTED)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (problem(401, "authError"), Readiness.refuted(Code.CREDENTIALS_REJECTED)),
        (problem(403, "insufficientPermissions"), Readiness.refuted(Code.EXTERNAL_FORBIDDEN)),
        (problem(403, "rateLimitExceeded"), Readiness.refuted(Code.EXTERNAL_THROTTLED)),
        (problem(403, "userRateLimitExceeded"), Readiness.refuted(Code.EXTERNAL_THROTTLED)),
        (problem(403, "quotaExceeded"), Readiness.refuted(Code.EXTERNAL_THROTTLED)),
        (problem(404, "notFound"), Readiness.refuted(Code.EXTERNAL_UNAVAILABLE)),
        (problem(429, "rateLimitExceeded"), Readiness.refuted(Code.EXTERNAL_THROTTLED)),
        (problem(503, "backendError"), Readiness.refuted(Code.EXTERNAL_UNAVAILABLE)),
    ],
)
@pytest.mark.requirement("GATE-24", "GATE-25")
async def test_a_calendar_that_is_refused_is_refuted(reply: httpx.Response, expected: Readiness) -> None:
    assert await ready(asked(), reply) == expected


@pytest.mark.requirement("GATE-27")
@pytest.mark.parametrize(
    "reply", [httpx.Response(404), httpx.Response(302), httpx.Response(200, text="{}"), httpx.Response(200, text="no")]
)
async def test_a_reply_that_is_not_googles_proves_nothing(reply: httpx.Response) -> None:
    for readiness in (await ready(asked(), reply), await ready(asked(), event=reply)):
        assert readiness.available is Proof.UNVERIFIABLE
        assert readiness.target is TargetState.UNVERIFIABLE


@pytest.mark.parametrize(
    ("other", "state"),
    [
        ({}, TargetState.TAKEN),
        ({"transparency": "opaque"}, TargetState.TAKEN),
        ({"status": "tentative"}, TargetState.TAKEN),
        ({"transparency": "transparent"}, TargetState.OPEN),
        ({"status": "cancelled"}, TargetState.OPEN),
    ],
)
@pytest.mark.parametrize("operation", [Operation.BOOK, Operation.RESCHEDULE], ids=str)
async def test_what_takes_the_slots_time_takes_the_slot(
    operation: Operation, other: dict[str, str], state: TargetState
) -> None:
    request = asked(operation)
    event = NOTHING if operation is Operation.BOOK else shown(request)
    listed = page({"id": "somebodys", "status": "confirmed", **other})
    assert (await ready(request, listed, event)).target is state


async def test_a_move_is_not_hindered_by_the_appointment_itself() -> None:
    request = asked(Operation.RESCHEDULE)
    listed = page({"id": mapping.event_id(request), "status": "confirmed"})
    assert (await ready(request, listed, shown(request))).target is TargetState.OPEN


async def test_a_cancellation_asks_for_no_free_slot() -> None:
    request = asked(Operation.CANCEL)
    listed = page({"id": "somebodys", "status": "confirmed"}, nextPageToken="more")
    assert (await ready(request, listed, shown(request))).target is TargetState.OPEN


@pytest.mark.requirement("GATE-27")
async def test_a_list_that_goes_on_leaves_the_slot_unverifiable() -> None:
    assert (await ready(asked(), page(nextPageToken="more"))).target is TargetState.UNVERIFIABLE


@pytest.mark.parametrize("status", ["confirmed", "cancelled"])
async def test_a_booking_under_an_id_that_is_used_is_not_sent(status: str) -> None:
    """Google may not notice the collision; a deleted event keeps its id."""
    request = asked()
    event = httpx.Response(200, json={"id": mapping.event_id(request), "status": status})
    assert (await ready(request, event=event)).target is TargetState.TAKEN


@CHANGES
@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"etag": '"2"'}, TargetState.CHANGED),
        ({"etag": None}, TargetState.UNVERIFIABLE),
        ({"status": "cancelled"}, TargetState.ABSENT),
        ({"attendees": [{"email": "somebody"}]}, TargetState.CHANGED),
        ({"recurrence": ["RRULE:FREQ=DAILY"]}, TargetState.CHANGED),
        ({"recurringEventId": "series"}, TargetState.CHANGED),
        ({"transparency": "transparent"}, TargetState.CHANGED),
    ],
)
async def test_a_target_that_is_not_as_approved_is_not_touched(
    operation: Operation, changes: dict[str, Any], state: TargetState
) -> None:
    request = asked(operation)
    assert (await ready(request, event=shown(request, **changes))).target is state
    assert (await ready(request)).target is TargetState.ABSENT


async def test_a_cancellation_shows_the_reviewer_the_times_that_stand_there() -> None:
    request = asked(Operation.CANCEL)
    moved = shown(request, start={"dateTime": "2031-03-03T08:00:00Z"})
    assert (await ready(request, event=moved)).target is TargetState.CHANGED
    elsewhere = {"start": {"dateTime": "2031-03-03T10:00:00+01:00"}}  # the same instant, in Berlin
    assert (await ready(request, event=shown(request, **elsewhere))).target is TargetState.OPEN


async def test_several_participants_and_fractions_of_a_second_are_not_asked_about() -> None:
    request = asked()
    second = Participant(role=Role.DEVICE, participant=ParticipantId.random())
    both = (*request.particulars.participants, second)
    crowded = replace(request, particulars=request.particulars.model_copy(update={"participants": both}))
    with respx.mock(base_url=GOOGLE) as google:
        async with client() as to_google:
            for each in (crowded, asked(start=START + timedelta(microseconds=1))):
                readiness = await GoogleCalendarAdapter().readiness(each, to_google)
                assert readiness.target is TargetState.UNVERIFIABLE
        assert not google.calls


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("calendar", [None, "", ".", ".."])
async def test_a_participant_without_a_calendar_stops_before_any_request(calendar: str | None) -> None:
    request = asked()
    bound = {} if calendar is None else {request.particulars.participants[0].participant: calendar}
    request = replace(request, identifiers=bound)
    adapter = GoogleCalendarAdapter()
    async with client() as nowhere:
        for call in (
            adapter.readiness(request, nowhere),
            adapter.commit(Authorized(request=request), nowhere),
            adapter.observe(Query(request=request), nowhere),
        ):
            with pytest.raises(KeyError):
                await call


@pytest.mark.requirement("ADAPT-05")
@CHANGES
@pytest.mark.parametrize("prepared", [None, '"2"'])
async def test_a_change_without_the_approved_version_is_never_sent(operation: Operation, prepared: str | None) -> None:
    with respx.mock(base_url=GOOGLE) as google:
        async with client() as to_google:
            with pytest.raises(ValueError, match="approved version"):
                await GoogleCalendarAdapter().commit(Authorized(request=asked(operation), prepared=prepared), to_google)
        assert not google.calls


@pytest.mark.parametrize("operation", Operation, ids=str)
@pytest.mark.parametrize(
    "changes",
    [
        {"id": "another"},
        {"status": "tentative"},
        {"start": {"dateTime": "2031-03-03T09:15:00Z"}},
        {"end": {"date": "2031-03-04"}},
        {"extendedProperties": {"private": {"gatewayKey": "another"}}},
    ],
)
async def test_a_success_that_shows_something_else_deviates(operation: Operation, changes: dict[str, Any]) -> None:
    request = asked(operation)
    reply = httpx.Response(200, json=stored(request, **changes))
    with respx.mock(base_url=GOOGLE) as google:
        google.route(method__in=["POST", "PATCH"]).mock(return_value=reply)
        async with client() as to_google:
            receipt = await GoogleCalendarAdapter().commit(Authorized(request=request, prepared='"1"'), to_google)
    assert (receipt.claim, receipt.code) == (Claim.UNKNOWN, Code.REPLY_DEVIATES)


@pytest.mark.parametrize(
    ("operation", "changes", "expected"),
    [
        (Operation.BOOK, {}, True),
        (Operation.BOOK, {"extendedProperties": None}, False),
        (Operation.BOOK, {"transparency": "transparent"}, False),
        (Operation.BOOK, {"attendees": [{}]}, False),
        (Operation.RESCHEDULE, {"extendedProperties": None}, False),
        (Operation.CANCEL, {"extendedProperties": None}, True),  # a tombstone need show its id alone
        (Operation.CANCEL, {"start": None, "end": None, "extendedProperties": None, "etag": None}, True),
        (Operation.CANCEL, {"start": None}, False),
    ],
)
def test_what_counts_as_in_force(operation: Operation, changes: dict[str, Any], expected: bool) -> None:
    request = asked(operation)
    event = mapping.Event.model_validate(stored(request, **changes))
    assert mapping.in_force(event, request) is expected


@pytest.mark.parametrize("operation", Operation, ids=str)
async def test_a_look_finds_what_was_made(operation: Operation) -> None:
    request = asked(operation)
    seen = await look(request, httpx.Response(200, json=stored(request)))
    assert (seen.finding, seen.basis, seen.version) == (ObservationFinding.PRESENT, Basis.BY_KEY, '"2"')
    assert seen.identifier == mapping.event_id(request)


async def test_a_booking_that_was_moved_or_cancelled_since_is_different() -> None:
    request = asked()
    moved = {"extendedProperties": {"private": {"gatewayKey": "the-move"}}}
    for reply in (stored(request, **moved), {"id": mapping.event_id(request), "status": "cancelled"}):
        assert (await look(request, httpx.Response(200, json=reply))).finding is ObservationFinding.DIFFERENT


@CHANGES
@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({}, ObservationFinding.ABSENT),
        ({"etag": '"7"'}, ObservationFinding.INDETERMINATE),
        ({"etag": None}, ObservationFinding.INDETERMINATE),
        ({"status": "cancelled"}, ObservationFinding.INDETERMINATE),
        ({"status": "cancelled", "extendedProperties": None}, ObservationFinding.INDETERMINATE),
    ],
)
async def test_a_change_is_absent_only_while_the_approved_version_stands(
    operation: Operation, changes: dict[str, Any], finding: ObservationFinding
) -> None:
    request = asked(operation)
    assert (await look(request, shown(request, **changes))).finding is finding


@pytest.mark.parametrize(
    ("listed", "finding"),
    [
        (page(), ObservationFinding.ABSENT),
        (page(role="reader"), ObservationFinding.INDETERMINATE),
        (page({"id": "x"}), ObservationFinding.INDETERMINATE),
        (page(nextPageToken="more"), ObservationFinding.INDETERMINATE),
        (problem(404, "notFound"), ObservationFinding.INDETERMINATE),
        (httpx.Response(503), ObservationFinding.INDETERMINATE),
    ],
)
async def test_a_booking_is_absent_only_on_a_calendar_that_we_see(
    listed: httpx.Response, finding: ObservationFinding
) -> None:
    """Google says 404 for a calendar that one may not see, too."""
    assert (await look(asked(), NOTHING, listed)).finding is finding


@CHANGES
async def test_a_change_whose_event_is_gone_is_indeterminate(operation: Operation) -> None:
    """Cancelled events disappear in the end."""
    assert (await look(asked(operation), NOTHING)).finding is ObservationFinding.INDETERMINATE


@pytest.mark.parametrize("event", [httpx.Response(404), httpx.Response(503), httpx.Response(200, text="{}")])
@pytest.mark.parametrize("operation", Operation, ids=str)
async def test_a_look_without_googles_answer_finds_nothing_out(operation: Operation, event: httpx.Response) -> None:
    seen = await look(asked(operation), event)
    assert (seen.finding, seen.basis) == (ObservationFinding.INDETERMINATE, Basis.BY_KEY)


def test_an_id_is_one_that_google_admits_and_no_two_attempts_share_it() -> None:
    ids = {mapping.event_id(asked()) for _ in range(50)}
    assert len(ids) == 50
    assert all(set(each) <= set(mapping.ALPHABET) and 40 <= len(each) <= 64 for each in ids)
