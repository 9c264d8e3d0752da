"""Servers that Radicale is not: no entity tag, a weak one, an event altered on arrival, odd refusals."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pluggy
import pytest
import respx

from adapters.caldav import mapping, plugin
from adapters.caldav.adapter import CaldavAdapter, Stored
from gateway.contracts.adapter import Authorized, Basis, Claim, Exclusivity, Idempotency, Query, Request, TargetState
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from gateway.hookspecs import PROJECT

MakeRequest = Callable[..., Request]
BASE = "http://127.0.0.1:5232/owner/appointments/"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
COLLECTION = (
    '<multistatus xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><response><href>/</href><propstat><prop>'
    "<resourcetype><collection/><C:calendar/></resourcetype>"
    "<current-user-principal><href>/me/</href></current-user-principal>"
    "<current-user-privilege-set><privilege><all/></privilege></current-user-privilege-set>"
    "</prop><status>HTTP/1.1 200 OK</status></propstat></response></multistatus>"
)


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=BASE, trust_env=False)


@pytest.mark.parametrize(
    ("put_tag", "get_tag", "altered", "claim", "code", "version"),
    [
        ('"1"', None, True, Claim.APPLIED, Code.COMMITTED, '"1"'),
        (None, '"2"', False, Claim.APPLIED, Code.COMMITTED, '"2"'),
        ('W/"1"', '"2"', False, Claim.APPLIED, Code.COMMITTED, '"2"'),
        (None, 'W/"2"', False, Claim.APPLIED, Code.COMMITTED, None),
        (None, '"2"', True, Claim.UNKNOWN, Code.REPLY_DEVIATES, None),
    ],
)
async def test_a_booking_is_read_back_unless_a_strong_tag_vouches_for_it(
    make_request: MakeRequest, put_tag: str, get_tag: str, altered: bool, claim: Claim, code: Code, version: str | None
) -> None:
    request = make_request()
    stored = mapping.new_event(request, NOW)
    if altered:
        stored = stored.replace(b"T090000Z", b"T091500Z")
    with respx.mock(base_url=BASE) as server:
        name = f"{request.native_key()}.ics"
        put = server.put(name).respond(201, headers={"ETag": put_tag} if put_tag else {})
        if get_tag:
            server.get(name).respond(200, content=stored, headers={"ETag": get_tag})
        async with client() as write:
            receipt = await CaldavAdapter().commit(Authorized(request=request), write)
        assert put.call_count == 1
        assert put.calls.last.request.headers["If-None-Match"] == "*"
    assert (receipt.claim, receipt.code, receipt.version) == (claim, code, version)


@pytest.mark.parametrize("status", [301, 401, 500])
async def test_a_look_that_fails_after_the_write_leaves_it_unknown(make_request: MakeRequest, status: int) -> None:
    request = make_request()
    with respx.mock(base_url=BASE) as server:
        server.put(url__startswith=BASE).respond(412)
        server.get(url__startswith=BASE).respond(status)
        async with client() as write:
            receipt = await CaldavAdapter().commit(Authorized(request=request), write)
            seen = await CaldavAdapter().observe(Query(request=request), write)
    assert (receipt.claim, receipt.code) == (Claim.UNKNOWN, Code.REPLY_UNRECOGNISED)
    assert seen.finding is ObservationFinding.INDETERMINATE


@pytest.mark.requirement("FAIL-15", "FAIL-16")
@pytest.mark.parametrize("status", [400, 403, 404, 413, 422, 429])
@pytest.mark.parametrize(
    ("stands", "expected"), [(True, (Claim.UNKNOWN, Code.DUPLICATE_KEY)), (False, (Claim.REFUSED, None))], ids=str
)
async def test_a_status_refuses_nothing_that_a_look_finds(
    make_request: MakeRequest, status: int, stands: bool, expected: tuple[Claim, Code | None]
) -> None:
    """As where a filter on the way blocks the server's reply, not the request."""
    request = make_request()
    with respx.mock(base_url=BASE) as server:
        put = server.put(url__startswith=BASE).respond(status, text="Forbidden by policy")
        event = {"content": mapping.new_event(request, NOW)} if stands else {}
        server.get(f"{request.native_key()}.ics").respond(200 if stands else 404, **event)
        if not stands:
            server.request("REPORT", BASE).respond(207, text='<multistatus xmlns="DAV:"/>')
        async with client() as write:
            receipt = await CaldavAdapter().commit(Authorized(request=request), write)
        assert put.call_count == 1
    assert (receipt.claim, receipt.code if stands else None) == expected


PRINCIPAL = "<current-user-principal><href>/me/</href></current-user-principal>"
NOBODY = "<current-user-principal><unauthenticated/></current-user-principal>"
ALL = "<current-user-privilege-set><privilege><all/></privilege></current-user-privilege-set>"
READ = "<current-user-privilege-set><privilege><read/></privilege></current-user-privilege-set>"


@pytest.mark.requirement("GATE-25")
@pytest.mark.parametrize(
    ("status", "body", "finding"),
    [
        pytest.param(207, COLLECTION, ObservationFinding.ABSENT, id="known-and-may-write"),
        pytest.param(207, COLLECTION.replace(PRINCIPAL, NOBODY), ObservationFinding.INDETERMINATE, id="anonymous"),
        pytest.param(207, COLLECTION.replace(PRINCIPAL, ""), ObservationFinding.INDETERMINATE, id="no-principal"),
        pytest.param(207, COLLECTION.replace(ALL, READ), ObservationFinding.INDETERMINATE, id="may-only-read"),
        pytest.param(207, "<html/>", ObservationFinding.INDETERMINATE, id="unreadable"),
        pytest.param(401, COLLECTION, ObservationFinding.INDETERMINATE, id="refused"),
    ],
)
async def test_that_nothing_is_there_counts_only_for_a_caller_who_would_see_it(
    make_request: MakeRequest, status: int, body: str, finding: ObservationFinding
) -> None:
    request = make_request()
    with respx.mock(base_url=BASE) as server:
        server.get(f"{request.native_key()}.ics").respond(404)
        server.request("REPORT", BASE).respond(207, text='<multistatus xmlns="DAV:"/>')
        server.request("PROPFIND", BASE).respond(status, text=body)
        async with client() as read:
            assert (await CaldavAdapter().observe(Query(request=request), read)).finding is finding


@pytest.mark.requirement("ADAPT-05")
@pytest.mark.parametrize("tag", [None, '"another"'])
async def test_a_change_without_the_approved_version_is_never_sent(make_request: MakeRequest, tag: str | None) -> None:
    move = make_request(Operation.RESCHEDULE, version='"1"')
    text = mapping.new_event(make_request(), NOW).decode()
    prepared = Stored(tag, text, mapping.read_events(text))
    with respx.mock(base_url=BASE) as server:
        async with client() as write:
            for readied in (prepared, None):
                with pytest.raises(ValueError, match="approved version"):
                    await CaldavAdapter().commit(Authorized(request=move, prepared=readied), write)
        assert server.calls.call_count == 0


@pytest.mark.requirement("GATE-27")
@pytest.mark.parametrize(("status", "body"), [(500, ""), (207, "<html/>"), (404, "")])
async def test_a_busy_query_without_an_answer_makes_the_slot_unverifiable(
    make_request: MakeRequest, status: int, body: str
) -> None:
    with respx.mock(base_url=BASE) as server:
        server.request("PROPFIND", BASE).respond(207, text=COLLECTION)
        server.request("REPORT", BASE).respond(status, text=body)
        async with client() as read:
            readiness = await CaldavAdapter().readiness(make_request(), read)
    assert readiness.target is TargetState.UNVERIFIABLE
    assert readiness.prepared is None


async def test_an_appointment_with_a_weak_tag_cannot_be_changed(make_request: MakeRequest) -> None:
    booking = make_request()
    cancellation = make_request(Operation.CANCEL, booked=booking.key, version='W/"1"')
    with respx.mock(base_url=BASE) as server:
        server.request("PROPFIND", BASE).respond(207, text=COLLECTION)
        server.get(f"{booking.native_key()}.ics").respond(
            200, content=mapping.new_event(booking, NOW), headers={"ETag": 'W/"1"'}
        )
        async with client() as read:
            readiness = await CaldavAdapter().readiness(cancellation, read)
    assert readiness.target is TargetState.UNVERIFIABLE


@pytest.mark.requirement("CARD-01")
def test_the_plugin_offers_the_adapter_and_its_claims(make_request: MakeRequest) -> None:
    plugins = pluggy.PluginManager(PROJECT)
    plugins.register(plugin)
    (offered,) = plugins.hook.gateway_adapters()
    descriptor = offered["caldav"].describe(make_request().connection)
    assert set(descriptor.operations) == set(Operation)
    assert (descriptor.idempotency, descriptor.exclusivity, descriptor.observation) == (
        Idempotency.UNIQUE,
        Exclusivity.NONE,
        Basis.BY_KEY,
    )
    assert descriptor.safe_posts == ()
