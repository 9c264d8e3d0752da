"""Readiness proof by proof, what counts as in force, and what a look finds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pluggy
import pytest
import respx

from adapters.msgraph import mapping, plugin
from adapters.msgraph.adapter import GraphAdapter
from gateway.contracts.adapter import (
    Authorized,
    Basis,
    Claim,
    Exclusivity,
    Idempotency,
    IdentifierMissingError,
    Observation,
    Proof,
    Query,
    Readiness,
    Request,
    TargetState,
    version_digest,
)
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation, Participant, Role
from gateway.contracts.references import ParticipantId
from gateway.contracts.words import ObservationFinding
from gateway.hookspecs import PROJECT
from gateway.testing import START
from tests.unit.adapters.msgraph.conftest import (
    EVENT,
    GRAPH,
    asked,
    before,
    before_keys,
    calendar,
    client,
    event,
    page,
    problem,
    replied,
    stored,
)

CHANGES = pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=str)


async def ready(
    request: Request,
    found: httpx.Response | None = None,
    slot: httpx.Response | None = None,
    place: httpx.Response | None = None,
    elsewhere: httpx.Response | None = None,
) -> Readiness:
    """Readiness, given what is found under the key, in the slot, of the calendar, and under the key elsewhere."""
    if found is None:
        found = page() if request.operation is Operation.BOOK else page(before(request))
    with respx.mock(base_url=GRAPH, assert_all_called=False) as graph:
        graph.get(path__regex="/calendarView$").mock(return_value=slot or page())
        graph.get(path__regex="/calendars/[^/]+/events$").mock(return_value=found)
        graph.get(path__regex="/users/[^/]+/events$").mock(return_value=elsewhere or page())
        graph.get(path__regex="/calendars/[^/]+$").mock(return_value=place or calendar())
        async with client() as to_graph:
            readiness = await GraphAdapter().readiness(request, to_graph)
        assert all(call.request.method == "GET" for call in graph.calls)
    return readiness


async def look(request: Request, found: httpx.Response, elsewhere: httpx.Response | None = None) -> Observation:
    with respx.mock(base_url=GRAPH, assert_all_called=False) as graph:
        graph.get(path__regex="/calendars/[^/]+/events$").mock(return_value=found)
        graph.get(path__regex="/users/[^/]+/events$").mock(return_value=elsewhere or page())
        async with client() as to_graph:
            return await GraphAdapter().observe(Query(request=request), to_graph)


def other(request: Request, **changes: Any) -> dict[str, Any]:
    """Somebody else's event, in the approved slot."""
    return event(request, None, **{"id": "another", "showAs": "busy", **changes})


@pytest.mark.requirement("CARD-01")
def test_the_plugin_offers_the_adapter_and_its_claims() -> None:
    plugins = pluggy.PluginManager(PROJECT)
    plugins.register(plugin)
    (offered,) = plugins.hook.gateway_adapters()
    descriptor = offered["msgraph"].describe(asked().connection)
    assert set(descriptor.operations) == set(Operation)
    assert (descriptor.idempotency, descriptor.exclusivity) == (Idempotency.LOOKUP, Exclusivity.NONE)
    assert (descriptor.observation, descriptor.safe_posts) == (Basis.BY_KEY, ())


@pytest.mark.parametrize("operation", Operation, ids=str)
async def test_readiness_proves_everything(operation: Operation) -> None:
    request = asked(operation)
    readiness = await ready(request)
    version = mapping.version_of(mapping.Event.model_validate(before(request)), before_keys(request))
    prepared = None if operation is Operation.BOOK else mapping.Target(EVENT, 'W/"1"', version)
    assert readiness == Readiness.proven(prepared=prepared)


@pytest.mark.requirement("GATE-26", "GATE-27")
@pytest.mark.parametrize("settings", [{}, {"access-declared": False}, {"access-declared": "true"}])
async def test_permissions_that_nobody_vouches_for_are_unverifiable(settings: dict[str, Any]) -> None:
    readiness = await ready(asked(settings=settings))
    assert (readiness.available, readiness.authorised) == (Proof.PROVEN, Proof.UNVERIFIABLE)


@pytest.mark.requirement("GATE-26")
@pytest.mark.parametrize("changes", [{"canEdit": False}, {"canViewPrivateItems": False}])
async def test_a_calendar_that_may_not_be_written_or_seen_through_is_refuted(changes: dict[str, bool]) -> None:
    readiness = await ready(asked(), place=calendar(**changes))
    assert (readiness.credentials, readiness.authorised) == (Proof.PROVEN, Proof.REFUTED)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (problem(401, "InvalidAuthenticationToken"), Code.CREDENTIALS_REJECTED),
        (problem(403, "ErrorAccessDenied"), Code.EXTERNAL_FORBIDDEN),
        (problem(404, "ErrorItemNotFound"), Code.EXTERNAL_UNAVAILABLE),
        (problem(429, "activityLimitReached"), Code.EXTERNAL_THROTTLED),
        (problem(503, "serviceNotAvailable"), Code.EXTERNAL_UNAVAILABLE),
    ],
)
@pytest.mark.requirement("GATE-24", "GATE-25")
async def test_a_read_that_is_refused_refutes(reply: httpx.Response, code: Code) -> None:
    expected = Readiness.refuted(code)
    assert await ready(asked(), place=reply) == expected
    assert await ready(asked(), found=reply) == expected
    assert await ready(asked(), slot=reply) == expected
    assert await ready(asked(), elsewhere=reply) == expected


@pytest.mark.requirement("GATE-27")
@pytest.mark.parametrize("reply", [httpx.Response(302), httpx.Response(200, text="{}"), httpx.Response(200, text="no")])
async def test_a_reply_that_is_not_graphs_proves_nothing(reply: httpx.Response) -> None:
    for readiness in (
        await ready(asked(), place=reply),
        await ready(asked(), found=reply),
        await ready(asked(), slot=reply),
        await ready(asked(), elsewhere=reply),
        await ready(asked(), found=page(other(asked()))),  # a service that ignores the filter
        await ready(asked(), elsewhere=page(other(asked()))),
        await ready(asked(), found=page(**{"@odata.nextLink": "more"})),
    ):
        assert readiness.available is Proof.UNVERIFIABLE
        assert readiness.target is TargetState.UNVERIFIABLE


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, TargetState.TAKEN),
        ({"showAs": "tentative"}, TargetState.TAKEN),
        ({"showAs": "oof"}, TargetState.TAKEN),
        ({"showAs": "unknown"}, TargetState.TAKEN),
        ({"showAs": "free"}, TargetState.OPEN),
        ({"isCancelled": True}, TargetState.OPEN),
        ({"start": {"dateTime": "2031-03-03T08:00:00", "timeZone": "UTC"}}, TargetState.TAKEN),
        ({"start": {"dateTime": "2031-03-03T09:30:00", "timeZone": "UTC"}}, TargetState.OPEN),  # touches the end
        ({"end": {"dateTime": "2031-03-03T09:00:00", "timeZone": "UTC"}}, TargetState.OPEN),
        ({"end": {"dateTime": "2031-03-03T09:00:00", "timeZone": "Pacific Standard Time"}}, TargetState.TAKEN),
        ({"end": {"dateTime": "2031-03-03T09:00:00", "timeZone": "UTC"}, "isAllDay": True}, TargetState.TAKEN),
    ],
)
@pytest.mark.parametrize("operation", [Operation.BOOK, Operation.RESCHEDULE], ids=str)
async def test_what_takes_the_slots_time_takes_the_slot(
    operation: Operation, changes: dict[str, Any], state: TargetState
) -> None:
    request = asked(operation)
    assert (await ready(request, slot=page(other(request, **changes)))).target is state


async def test_a_move_is_not_hindered_by_the_appointment_itself() -> None:
    request = asked(Operation.RESCHEDULE)
    assert (await ready(request, slot=page(before(request)))).target is TargetState.OPEN


async def test_a_cancellation_asks_for_no_free_slot() -> None:
    request = asked(Operation.CANCEL)
    slot = page(other(request), **{"@odata.nextLink": "more"})
    assert (await ready(request, slot=slot)).target is TargetState.OPEN


@pytest.mark.requirement("GATE-27")
async def test_a_list_that_goes_on_leaves_the_slot_unverifiable() -> None:
    assert (await ready(asked(), slot=page(**{"@odata.nextLink": "more"}))).target is TargetState.UNVERIFIABLE


@pytest.mark.parametrize("shown", ["busy", "free"])
async def test_a_booking_under_a_key_that_is_there_is_not_sent(shown: str) -> None:
    """How long Graph remembers a transactionId is not documented."""
    request = asked()
    assert (await ready(request, page(stored(request, showAs=shown)))).target is TargetState.TAKEN
    assert (await ready(request, elsewhere=page(stored(request, showAs=shown)))).target is TargetState.TAKEN


@CHANGES
@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"@odata.etag": 'W/"99"'}, TargetState.OPEN),  # Exchange's own doing: what was approved still stands
        ({"@odata.etag": None}, TargetState.UNVERIFIABLE),
        ({"showAs": "free"}, TargetState.CHANGED),
        ({"isCancelled": True}, TargetState.CHANGED),
        ({"isAllDay": True}, TargetState.CHANGED),
        ({"type": "seriesMaster"}, TargetState.CHANGED),
        ({"attendees": [{"type": "required"}]}, TargetState.CHANGED),
        ({"start": {"dateTime": "2031-03-03T08:00:00", "timeZone": "UTC"}}, TargetState.CHANGED),
        ({"end": {"dateTime": "2031-03-03T09:30:00", "timeZone": "Europe/Berlin"}}, TargetState.CHANGED),
    ],
)
async def test_a_target_that_is_not_as_approved_is_not_touched(
    operation: Operation, changes: dict[str, Any], state: TargetState
) -> None:
    request = asked(operation)
    assert (await ready(request, page(before(request, **changes)))).target is state


@CHANGES
async def test_a_target_that_is_gone_doubled_or_written_by_another_is_not_touched(operation: Operation) -> None:
    request = asked(operation)
    assert (await ready(request, page())).target is TargetState.ABSENT
    assert (await ready(request, page(), elsewhere=page(before(request)))).target is TargetState.ABSENT
    assert (await ready(request, page(before(request), before(request)))).target is TargetState.UNVERIFIABLE
    moved = event(request, f"{mapping.booking_key(request)}/another", showAs="busy")
    assert (await ready(request, page(moved))).target is TargetState.CHANGED


@CHANGES
async def test_a_cancelled_appointment_is_not_changed_even_at_its_own_version(operation: Operation) -> None:
    request = asked(operation)
    cancelled = before(request, showAs="free")
    version = mapping.version_of(mapping.Event.model_validate(cancelled), before_keys(request))
    target = request.particulars.target
    assert target is not None
    target = target.model_copy(update={"version": version_digest(version)})
    request = replace(request, particulars=request.particulars.model_copy(update={"target": target}))
    assert (await ready(request, page(cancelled))).target is TargetState.CHANGED


async def test_what_no_single_calendar_can_hold_is_not_asked_about() -> None:
    request = asked()
    second = Participant(role=Role.DEVICE, participant=ParticipantId.random())
    both = (*request.particulars.participants, second)
    crowded = replace(
        request,
        particulars=request.particulars.model_copy(update={"participants": both}),
        identifiers={**request.identifiers, second.participant: "device/calendar"},
    )
    with respx.mock(base_url=GRAPH) as graph:
        async with client() as to_graph:
            for each in (
                crowded,
                asked(start=START + timedelta(microseconds=1)),
                *(asked(place=place) for place in ("user", "user/", "/calendar", "user/calendar/more")),
            ):
                readiness = await GraphAdapter().readiness(each, to_graph)
                assert readiness.target is TargetState.UNVERIFIABLE
                seen = await GraphAdapter().observe(Query(request=each), to_graph)
                assert seen.finding is ObservationFinding.INDETERMINATE
        assert not graph.calls


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("place", [None, "../calendar", "user/..", "./calendar", "user/."])
async def test_a_participant_without_a_calendar_stops_before_any_request(place: str | None) -> None:
    request = replace(asked(), identifiers={}) if place is None else asked(place=place)
    adapter = GraphAdapter()
    async with client() as nowhere:
        for call in (
            adapter.readiness(request, nowhere),
            adapter.commit(Authorized(request=request), nowhere),
            adapter.observe(Query(request=request), nowhere),
        ):
            with pytest.raises(KeyError):
                await call


@CHANGES
@pytest.mark.parametrize("identifier", ["", ".", ".."])
async def test_an_event_whose_id_would_address_something_else_is_not_written(
    operation: Operation, identifier: str
) -> None:
    request = asked(operation)
    version = mapping.version_of(mapping.Event.model_validate(before(request)), before_keys(request))
    authorized = Authorized(request=request, prepared=mapping.Target(identifier, 'W/"1"', version))
    with respx.mock(base_url=GRAPH) as graph:
        async with client() as to_graph:
            with pytest.raises(IdentifierMissingError):
                await GraphAdapter().commit(authorized, to_graph)
        assert not graph.calls


@pytest.mark.requirement("ADAPT-05")
@CHANGES
@pytest.mark.parametrize("prepared", [None, mapping.Target("e", '"1"', "another version")])
async def test_a_change_without_the_approved_version_is_never_sent(
    operation: Operation, prepared: mapping.Target | None
) -> None:
    with respx.mock(base_url=GRAPH) as graph:
        async with client() as to_graph:
            with pytest.raises(ValueError, match="approved version"):
                await GraphAdapter().commit(Authorized(request=asked(operation), prepared=prepared), to_graph)
        assert not graph.calls


@pytest.mark.parametrize("operation", Operation, ids=str)
@pytest.mark.parametrize(
    "changes",
    [
        {"showAs": "tentative"},
        {"isCancelled": True},
        {"type": "occurrence"},
        {"attendees": [{}]},
        {"start": {"dateTime": "2031-03-03T09:15:00", "timeZone": "UTC"}},
        {"end": {"dateTime": "2031-03-03T09:30:00", "timeZone": "Pacific Standard Time"}},
    ],
)
async def test_a_success_that_shows_something_else_deviates(operation: Operation, changes: dict[str, Any]) -> None:
    request = asked(operation)
    version = mapping.version_of(mapping.Event.model_validate(before(request)), before_keys(request))
    status = 201 if operation is Operation.BOOK else 200
    with respx.mock(base_url=GRAPH) as graph:
        graph.route(method__in=["POST", "PATCH"]).respond(status, json=replied(request, **changes))
        async with client() as to_graph:
            authorized = Authorized(request=request, prepared=mapping.Target(EVENT, 'W/"1"', version))
            receipt = await GraphAdapter().commit(authorized, to_graph)
    assert (receipt.claim, receipt.code) == (Claim.UNKNOWN, Code.REPLY_DEVIATES)


@pytest.mark.parametrize("operation", Operation, ids=str)
def test_an_event_is_ours_only_under_our_transaction(operation: Operation) -> None:
    request = asked(operation)
    for transaction, ours in ((mapping.booking_key(request), True), ("another", False)):
        shown = mapping.Event.model_validate(replied(request, transactionId=transaction))
        assert mapping.shows_approved(shown, request) is ours
    silent = mapping.Event.model_validate(replied(request, transactionId=None))
    assert mapping.shows_approved(silent, request) is (operation is not Operation.BOOK)


@pytest.mark.parametrize("operation", Operation, ids=str)
async def test_a_look_finds_what_was_made(operation: Operation) -> None:
    request = asked(operation)
    seen = await look(request, page(stored(request)))
    assert (seen.finding, seen.basis, seen.identifier) == (ObservationFinding.PRESENT, Basis.BY_KEY, EVENT)


async def test_a_booking_that_was_moved_cancelled_or_doubled_since_is_different() -> None:
    request = asked()
    moved = event(request, f"{mapping.booking_key(request)}/another", showAs="busy")
    for found in ([moved], [stored(request, showAs="free")], [stored(request), stored(request)]):
        assert (await look(request, page(*found))).finding is ObservationFinding.DIFFERENT


@CHANGES
@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({}, ObservationFinding.ABSENT),
        ({"@odata.etag": 'W/"99"'}, ObservationFinding.ABSENT),
        ({"showAs": "free"}, ObservationFinding.INDETERMINATE),
        ({"start": {"dateTime": "2031-03-03T08:00:00", "timeZone": "UTC"}}, ObservationFinding.INDETERMINATE),
    ],
)
async def test_a_change_is_absent_only_while_the_approved_version_stands(
    operation: Operation, changes: dict[str, Any], finding: ObservationFinding
) -> None:
    request = asked(operation)
    assert (await look(request, page(before(request, **changes)))).finding is finding


@pytest.mark.parametrize("operation", Operation, ids=str)
async def test_what_is_nowhere_is_absent_only_where_that_proves_something(operation: Operation) -> None:
    book = operation is Operation.BOOK
    finding = ObservationFinding.ABSENT if book else ObservationFinding.INDETERMINATE
    assert (await look(asked(operation), page())).finding is finding


@pytest.mark.parametrize("operation", Operation, ids=str)
async def test_what_was_moved_into_another_calendar_is_not_absent(operation: Operation) -> None:
    """A booking is there, though not as approved; whose write a change of it would have been, nobody can say."""
    request = asked(operation)
    book = operation is Operation.BOOK
    seen = await look(request, page(), elsewhere=page(stored(request)))
    assert seen.finding is (ObservationFinding.DIFFERENT if book else ObservationFinding.INDETERMINATE)


@pytest.mark.parametrize("reply", [httpx.Response(404), httpx.Response(503), page(**{"@odata.nextLink": "more"})])
async def test_a_booking_is_absent_only_if_both_looks_say_so(reply: httpx.Response) -> None:
    """Microsoft's descriptions contradict each other on whether a user's events are those of every calendar."""
    for found, elsewhere in ((page(), reply), (reply, page())):
        assert (await look(asked(), found, elsewhere)).finding is ObservationFinding.INDETERMINATE


async def test_a_booking_needs_no_more_requests_than_are_reserved() -> None:
    request, adapter = asked(), GraphAdapter()
    with respx.mock(base_url=GRAPH) as graph:
        graph.get(path__regex="/(calendarView|events)$").mock(return_value=page())
        graph.get(path__regex="/calendars/[^/]+$").mock(return_value=calendar())
        graph.post(path__regex="/events$").mock(return_value=httpx.Response(503))
        async with client() as to_graph:
            assert (await adapter.readiness(request, to_graph)).target is TargetState.OPEN
            await adapter.commit(Authorized(request=request), to_graph)
            assert (await adapter.observe(Query(request=request), to_graph)).finding is ObservationFinding.ABSENT
        assert len(graph.calls) == adapter.describe(request.connection).requests_per_attempt


@pytest.mark.parametrize("operation", Operation, ids=str)
async def test_a_look_without_graphs_answer_finds_nothing_out(operation: Operation) -> None:
    request = asked(operation)
    for found in (
        *(httpx.Response(404), problem(404, "ErrorItemNotFound"), httpx.Response(503), httpx.Response(200, text="{}")),
        *(page(other(request)), page(**{"@odata.nextLink": "more"})),
    ):
        seen = await look(request, found)
        assert (seen.finding, seen.basis) == (ObservationFinding.INDETERMINATE, Basis.BY_KEY)
