"""The adapter against a real Radicale. A second, plain client looks at what the server really holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from adapters.caldav.adapter import CaldavAdapter
from adapters.caldav.testing import RadicaleServer
from gateway.contracts.adapter import Authorized, Claim, Proof, Query, Readiness, Receipt, Request, TargetState
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding

NINE = datetime(2031, 3, 3, 9, 0, tzinfo=UTC)
TEN = NINE + timedelta(hours=1)
CANARIES = (b"Wilhelmina-Canary", b"MRN-CANARY-4711", b"Room-Canary-12")
MUTATING = ("PUT", "POST", "DELETE", "PATCH", "MKCALENDAR", "PROPPATCH", "MOVE", "COPY")
MakeRequest = Callable[..., Request]


@dataclass
class Desk:
    """The adapter with a session as the owner, and what it sent."""

    client: httpx.AsyncClient
    adapter: CaldavAdapter = field(default_factory=CaldavAdapter)
    sent: list[httpx.Request] = field(default_factory=list)

    @property
    def writes(self) -> int:
        return sum(request.method in MUTATING for request in self.sent)

    async def ready(self, request: Request) -> Readiness:
        return await self.adapter.readiness(request, self.client)

    async def commit(self, request: Request) -> Receipt:
        readiness = await self.ready(request)
        assert readiness.target is TargetState.OPEN
        return await self.adapter.commit(Authorized(request=request, prepared=readiness.prepared), self.client)

    async def look(self, request: Request) -> ObservationFinding:
        return (await self.adapter.observe(Query(request=request), self.client)).finding

    async def stored(self, request: Request) -> str:
        key = request.native_key() if request.operation is Operation.BOOK else request.target_key()
        reply = await self.client.get(f"{key}.ics")
        assert reply.status_code == 200
        return reply.text.replace("\r\n ", "")

    async def edit(self, request: Request, old: str, new: str) -> str:
        """Someone at the practice changes the event; returns its new version."""
        text = await self.stored(request)
        assert old in text
        reply = await self.client.put(f"{request.native_key()}.ics", content=text.replace(old, new))
        assert reply.status_code == 204
        return reply.headers["ETag"]


def desk_for(url: str, user: str, password: str) -> Desk:
    desk = Desk(httpx.AsyncClient(base_url=url, auth=(user, password), trust_env=False))

    async def note(request: httpx.Request) -> None:
        desk.sent.append(request)

    desk.client.event_hooks = {"request": [note]}
    return desk


@pytest.fixture
async def desk(radicale: RadicaleServer, calendar_url: str) -> AsyncIterator[Desk]:
    made = desk_for(calendar_url, radicale.user, radicale.password)
    async with made.client:
        yield made


@pytest.mark.requirement("ADAPT-09", "CARD-01")
async def test_an_appointment_is_booked_then_moved_then_cancelled_with_one_write_each(
    desk: Desk, make_request: MakeRequest
) -> None:
    booking = make_request()
    booked = await desk.commit(booking)
    assert (booked.claim, booked.code, desk.writes) == (Claim.APPLIED, Code.COMMITTED, 1)
    assert booked.version is not None
    text = await desk.stored(booking)
    assert f"UID:{booking.native_key()}\r\n" in text
    assert "DTSTART:20310303T090000Z\r\n" in text
    assert "DTEND:20310303T093000Z\r\n" in text
    assert "STATUS:CONFIRMED\r\n" in text

    move = make_request(Operation.RESCHEDULE, start=TEN, booked=booking.key, version=booked.version)
    moved = await desk.commit(move)
    assert (moved.claim, desk.writes) == (Claim.APPLIED, 2)
    assert moved.version not in (None, booked.version)
    text = await desk.stored(booking)
    assert f"UID:{booking.native_key()}\r\n" in text
    assert f"X-GATEWAY-KEY:{move.native_key()}\r\n" in text
    assert "DTSTART:20310303T100000Z\r\n" in text
    assert "SEQUENCE:1\r\n" in text

    cancellation = make_request(Operation.CANCEL, start=TEN, booked=booking.key, version=moved.version)
    cancelled = await desk.commit(cancellation)
    assert (cancelled.claim, desk.writes) == (Claim.APPLIED, 3)
    text = await desk.stored(booking)
    assert "STATUS:CANCELLED\r\n" in text
    assert "SEQUENCE:2\r\n" in text
    assert f"X-GATEWAY-KEY:{cancellation.native_key()}\r\n" in text
    assert text.count("BEGIN:VEVENT") == 1
    assert [r.method for r in desk.sent if r.method in MUTATING] == ["PUT"] * 3


async def test_the_version_handed_back_is_the_one_that_a_reader_sees(desk: Desk, make_request: MakeRequest) -> None:
    booking = make_request()
    booked = await desk.commit(booking)
    assert (await desk.client.get(f"{booking.native_key()}.ics")).headers["ETag"] == booked.version


@pytest.mark.requirement("ADAPT-05", "CARD-06")
async def test_a_second_booking_under_the_same_key_changes_nothing_and_is_a_duplicate(
    desk: Desk, make_request: MakeRequest
) -> None:
    booking = make_request()
    await desk.commit(booking)
    before = await desk.stored(booking)
    again = await desk.adapter.commit(Authorized(request=booking), desk.client)
    assert (again.claim, again.code) == (Claim.UNKNOWN, Code.DUPLICATE_KEY)
    assert await desk.stored(booking) == before


@pytest.mark.requirement("ADAPT-05")
async def test_eight_bookings_of_one_key_at_once_make_one_event(desk: Desk, make_request: MakeRequest) -> None:
    booking = make_request()
    receipts = await asyncio.gather(*(desk.adapter.commit(Authorized(request=booking), desk.client) for _ in range(8)))
    assert (
        sorted((r.claim, r.code) for r in receipts)
        == [(Claim.APPLIED, Code.COMMITTED)] + [(Claim.UNKNOWN, Code.DUPLICATE_KEY)] * 7
    )
    assert (await desk.client.get("")).text.count("BEGIN:VEVENT") == 1


async def test_our_uid_under_another_address_is_a_duplicate_too(desk: Desk, make_request: MakeRequest) -> None:
    booking = make_request()
    await desk.commit(booking)
    destination = f"{desk.client.base_url}moved.ics"
    reply = await desk.client.request("MOVE", f"{booking.native_key()}.ics", headers={"Destination": destination})
    assert reply.status_code in (201, 204)
    again = await desk.adapter.commit(Authorized(request=booking), desk.client)
    assert (again.claim, again.code) == (Claim.UNKNOWN, Code.DUPLICATE_KEY)
    assert await desk.look(booking) is ObservationFinding.PRESENT


@pytest.mark.requirement("FAIL-17")
async def test_a_busy_hour_is_taken_and_its_neighbours_are_free(desk: Desk, make_request: MakeRequest) -> None:
    await desk.commit(make_request(start=NINE))
    assert (await desk.ready(make_request(start=NINE))).target is TargetState.TAKEN
    assert (await desk.ready(make_request(start=NINE + timedelta(minutes=29)))).target is TargetState.TAKEN
    assert (await desk.ready(make_request(start=NINE + timedelta(minutes=30)))).target is TargetState.OPEN
    assert (await desk.ready(make_request(start=NINE - timedelta(minutes=30)))).target is TargetState.OPEN


@pytest.mark.parametrize("line", ["STATUS:CANCELLED", "TRANSP:TRANSPARENT"])
async def test_an_event_that_takes_no_time_leaves_the_hour_free(
    desk: Desk, make_request: MakeRequest, line: str
) -> None:
    booking = make_request()
    await desk.commit(booking)
    name = line.split(":", maxsplit=1)[0]
    await desk.edit(booking, {"STATUS": "STATUS:CONFIRMED", "TRANSP": "TRANSP:OPAQUE"}[name], line)
    assert (await desk.ready(make_request())).target is TargetState.OPEN


async def test_a_weekly_series_takes_its_later_hours_too(desk: Desk, make_request: MakeRequest) -> None:
    booking = make_request()
    await desk.commit(booking)
    await desk.edit(booking, "SEQUENCE:0", "SEQUENCE:0\r\nRRULE:FREQ=WEEKLY;COUNT=10")
    assert (await desk.ready(make_request(start=NINE + timedelta(weeks=3)))).target is TargetState.TAKEN
    assert (await desk.ready(make_request(start=NINE + timedelta(weeks=3, hours=2)))).target is TargetState.OPEN


async def test_an_appointment_may_move_within_its_own_hour(desk: Desk, make_request: MakeRequest) -> None:
    booking = make_request()
    booked = await desk.commit(booking)
    move = make_request(
        Operation.RESCHEDULE, start=NINE + timedelta(minutes=10), booked=booking.key, version=booked.version
    )
    assert (await desk.commit(move)).claim is Claim.APPLIED


@pytest.mark.requirement("ADAPT-05")
async def test_a_change_since_approval_blocks_and_if_it_comes_later_the_write_is_refused(
    desk: Desk, make_request: MakeRequest
) -> None:
    booking = make_request()
    booked = await desk.commit(booking)
    move = make_request(Operation.RESCHEDULE, start=TEN, booked=booking.key, version=booked.version)
    prepared = (await desk.ready(move)).prepared
    await desk.edit(booking, "SEQUENCE:0", "SEQUENCE:1")
    after_edit = await desk.stored(booking)
    assert (await desk.ready(move)).target is TargetState.CHANGED
    late = await desk.adapter.commit(Authorized(request=move, prepared=prepared), desk.client)
    assert (late.claim, late.code) == (Claim.REFUSED, Code.TARGET_CHANGED)
    assert await desk.stored(booking) == after_edit


async def test_a_change_sent_twice_is_a_duplicate_not_a_refusal(desk: Desk, make_request: MakeRequest) -> None:
    booking = make_request()
    booked = await desk.commit(booking)
    move = make_request(Operation.RESCHEDULE, start=TEN, booked=booking.key, version=booked.version)
    prepared = (await desk.ready(move)).prepared
    await desk.adapter.commit(Authorized(request=move, prepared=prepared), desk.client)
    again = await desk.adapter.commit(Authorized(request=move, prepared=prepared), desk.client)
    assert (again.claim, again.code) == (Claim.UNKNOWN, Code.DUPLICATE_KEY)


@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL])
async def test_an_appointment_that_is_gone_or_cancelled_is_absent(
    desk: Desk, make_request: MakeRequest, operation: Operation
) -> None:
    booking = make_request()
    booked = await desk.commit(booking)
    change = make_request(operation, booked=booking.key, version=booked.version)
    prepared = (await desk.ready(change)).prepared
    cancelled_version = await desk.edit(booking, "STATUS:CONFIRMED", "STATUS:CANCELLED")
    again = make_request(operation, booked=booking.key, version=cancelled_version)
    assert (await desk.ready(again)).target is TargetState.ABSENT
    await desk.client.delete(f"{booking.native_key()}.ics")
    assert (await desk.ready(change)).target is TargetState.ABSENT
    late = await desk.adapter.commit(Authorized(request=change, prepared=prepared), desk.client)
    assert (late.claim, late.code) == (Claim.REFUSED, Code.TARGET_NOT_FOUND)


async def test_a_cancellation_of_other_hours_than_the_stored_ones_is_changed(
    desk: Desk, make_request: MakeRequest
) -> None:
    booking = make_request()
    booked = await desk.commit(booking)
    cancellation = make_request(Operation.CANCEL, start=TEN, booked=booking.key, version=booked.version)
    assert (await desk.ready(cancellation)).target is TargetState.CHANGED


async def test_an_event_with_attendees_is_never_written(desk: Desk, make_request: MakeRequest) -> None:
    booking = make_request()
    await desk.commit(booking)
    version = await desk.edit(booking, "SEQUENCE:0", "SEQUENCE:0\r\nATTENDEE:mailto:someone@example.org")
    move = make_request(Operation.RESCHEDULE, start=TEN, booked=booking.key, version=version)
    assert (await desk.ready(move)).target is TargetState.CHANGED


async def test_what_the_practice_added_to_the_event_survives_a_reschedule(
    desk: Desk, make_request: MakeRequest
) -> None:
    booking = make_request()
    await desk.commit(booking)
    additions = (
        "X-PRACTICE-COLOUR;X-SHADE=dark:green\r\nCATEGORIES:RECALL\r\nBEGIN:VALARM\r\nACTION:DISPLAY\r\n"
        "DESCRIPTION:ring\\, twice\r\nTRIGGER:-PT15M\r\nEND:VALARM\r\n"
    )
    version = await desk.edit(booking, "END:VEVENT", additions + "END:VEVENT")
    move = make_request(Operation.RESCHEDULE, start=TEN, booked=booking.key, version=version)
    assert (await desk.commit(move)).claim is Claim.APPLIED
    text = await desk.stored(booking)
    for line in additions.strip().split("\r\n"):
        assert line in text
    assert "DTSTART:20310303T100000Z" in text


@pytest.mark.requirement("GATE-25")
async def test_wrong_credentials_are_refuted_and_nothing_is_written(
    radicale: RadicaleServer, calendar_url: str, make_request: MakeRequest
) -> None:
    stranger = desk_for(calendar_url, radicale.user, "wrong")
    async with stranger.client:
        readiness = await stranger.ready(make_request())
        receipt = await stranger.adapter.commit(Authorized(request=make_request()), stranger.client)
    assert readiness == Readiness.refuted(Code.CREDENTIALS_REJECTED)
    assert (receipt.claim, receipt.code) == (Claim.REFUSED, Code.CREDENTIALS_REJECTED)


@pytest.mark.requirement("GATE-26")
async def test_a_reader_is_not_authorised_and_its_write_is_refused(
    radicale: RadicaleServer, calendar_url: str, make_request: MakeRequest
) -> None:
    reader = desk_for(calendar_url, radicale.reader, radicale.reader_password)
    async with reader.client:
        readiness = await reader.ready(make_request())
        receipt = await reader.adapter.commit(Authorized(request=make_request()), reader.client)
    assert (readiness.available, readiness.credentials, readiness.authorised) == (
        Proof.PROVEN,
        Proof.PROVEN,
        Proof.REFUTED,
    )
    assert (receipt.claim, receipt.code) == (Claim.REFUSED, Code.EXTERNAL_FORBIDDEN)


@pytest.mark.requirement("GATE-24")
async def test_a_calendar_that_is_not_there_is_unavailable(radicale: RadicaleServer, make_request: MakeRequest) -> None:
    missing = desk_for(f"{radicale.url}/owner/none/", radicale.user, radicale.password)
    async with missing.client:
        readiness = await missing.ready(make_request())
        receipt = await missing.adapter.commit(Authorized(request=make_request()), missing.client)
        looked = await missing.look(make_request())
    assert readiness.available is Proof.REFUTED
    assert receipt.claim is Claim.UNKNOWN  # a bare 409 has several meanings
    assert looked is ObservationFinding.INDETERMINATE


async def test_the_owners_home_is_no_calendar(radicale: RadicaleServer, make_request: MakeRequest) -> None:
    home = desk_for(f"{radicale.url}/owner/", radicale.user, radicale.password)
    async with home.client:
        assert (await home.ready(make_request())).available is Proof.REFUTED


async def test_a_ready_calendar_proves_all_three(desk: Desk, make_request: MakeRequest) -> None:
    readiness = await desk.ready(make_request())
    assert readiness == Readiness.proven()
    assert desk.writes == 0


async def test_a_stopped_server_raises_a_transport_error_for_the_boundary(make_request: MakeRequest) -> None:
    with RadicaleServer() as server:
        gone = desk_for(server.collection_url, server.user, server.password)
        server.stop()
        async with gone.client:
            with pytest.raises(httpx.ConnectError):
                await gone.ready(make_request())
            with pytest.raises(httpx.ConnectError):
                await gone.adapter.commit(Authorized(request=make_request()), gone.client)


@pytest.mark.requirement("CARD-01")
async def test_a_look_tells_what_became_of_each_commit(desk: Desk, make_request: MakeRequest) -> None:
    booking = make_request()
    assert await desk.look(booking) is ObservationFinding.ABSENT
    booked = await desk.commit(booking)
    assert await desk.look(booking) is ObservationFinding.PRESENT

    move = make_request(Operation.RESCHEDULE, start=TEN, booked=booking.key, version=booked.version)
    assert await desk.look(move) is ObservationFinding.ABSENT
    moved = await desk.commit(move)
    assert await desk.look(move) is ObservationFinding.PRESENT
    assert await desk.look(booking) is ObservationFinding.DIFFERENT

    cancellation = make_request(Operation.CANCEL, start=TEN, booked=booking.key, version=moved.version)
    assert await desk.look(cancellation) is ObservationFinding.ABSENT
    await desk.commit(cancellation)
    assert await desk.look(cancellation) is ObservationFinding.PRESENT
    assert await desk.look(move) is ObservationFinding.INDETERMINATE  # superseded, and so not absent

    await desk.client.delete(f"{booking.native_key()}.ics")
    assert await desk.look(cancellation) is ObservationFinding.INDETERMINATE


@pytest.mark.requirement("PHI-03")
async def test_nothing_about_a_person_reaches_the_server(desk: Desk, make_request: MakeRequest) -> None:
    booking = make_request()
    booked = await desk.commit(booking)
    move = make_request(Operation.RESCHEDULE, start=TEN, booked=booking.key, version=booked.version)
    moved = await desk.commit(move)
    await desk.commit(make_request(Operation.CANCEL, start=TEN, booked=booking.key, version=moved.version))
    for request in desk.sent:
        wire = str(request.url).encode() + repr(request.headers.raw).encode() + request.content
        for canary in CANARIES:
            assert canary not in wire
        assert booking.particulars.patient.encode() not in wire
    names = {line.split(":")[0] for line in (await desk.stored(booking)).splitlines()}
    assert names == {
        "BEGIN", "END", "VERSION", "PRODID", "UID", "DTSTAMP", "DTSTART", "DTEND", "SEQUENCE", "STATUS", "TRANSP",
        "CLASS", "SUMMARY", "X-GATEWAY-KEY",
    }  # fmt: skip


async def test_the_server_on_disk_holds_exactly_the_booking(make_request: MakeRequest) -> None:
    with RadicaleServer() as server:
        own = desk_for(server.collection_url, server.user, server.password)
        booking = make_request()
        async with own.client:
            await own.commit(booking)
        assert len(server.stored_events) == 1
        assert booking.native_key().encode() in server.stored_events[0].replace(b"\r\n ", b"")
