"""The twin kit, tried on a vendor that is not the sandbox: openings with names of their own, a reference field that
is searchable but not unique, basic credentials, cancellation by revision, and no way to reschedule."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from conformance.faults import Fault, Point
from conformance.faults.proxy import Proxy
from gateway.contracts.adapter import (
    Authorized,
    Basis,
    Descriptor,
    Exclusivity,
    Idempotency,
    Observation,
    Readiness,
    Receipt,
    Request,
    TargetState,
)
from gateway.contracts.adapter import Query as Asked
from gateway.contracts.connection import Connection, CredentialUse, Limits, Scheme
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect
from gateway.contracts.words import ObservationFinding as Finding
from gateway.testing import START, VENDOR, AdapterHarness, Premises, make_connection, make_request
from gateway.testing.engine import Appointment, Booking, Rejection, Status
from gateway.testing.twin import REFUSALS, Call, Denial, Hidden, Twin, document
from gateway.testing.wire import Reply

# The twin: one page. ------------------------------------------------------------------------------------------------

twin = Twin(
    "openings 2.1",
    scheme=Scheme.BASIC,
    unique_keys=False,
    refusals={
        Rejection.SLOT_TAKEN: document(409, {"fault": "OPENING_GONE"}),
        Rejection.STALE_VERSION: document(409, {"fault": "REVISION_PASSED"}),
        Rejection.NOT_BOOKED: document(409, {"fault": "REVISION_PASSED"}),
    },
)
HALF_HOUR = timedelta(minutes=30)


class Person(BaseModel):
    person: str
    visit_type: str
    our_reference: str


class Leave(BaseModel):
    revision: int
    our_reference: str


class Reference(BaseModel):
    our_reference: str


def opening(agenda: str, start: datetime) -> str:
    return f"{agenda}@{start:%Y%m%dT%H%M}"


def times(name: str) -> tuple[str, datetime]:
    agenda, _, start = name.partition("@")
    return agenda, datetime.strptime(start, "%Y%m%dT%H%M").replace(tzinfo=UTC)


def shown(appointment: Appointment) -> dict[str, object]:
    booking, (agenda,) = appointment.booking, appointment.booking.participants
    return {
        "visit": appointment.id,
        "opening": opening(agenda, booking.start),
        "person": booking.patient,
        "visit_type": booking.service,
        "state": "HELD" if appointment.status is Status.BOOKED else "LEFT",
        "revision": appointment.version,
        "our_references": appointment.keys,
    }


@twin.route("GET", "/v2/rights")
def rights(call: Call) -> Reply:
    return document(200, {"book": call.may_write})


@twin.route("GET", "/v2/openings/{name}")
def look_at_opening(call: Call) -> Reply:
    agenda, start = times(call.path["name"])
    return document(200, {"free": call.engine.is_free((agenda,), start, start + HALF_HOUR)})


@twin.route("POST", "/v2/openings/{name}/visits")
def book(call: Call) -> Reply:
    agenda, start = times(call.path["name"])
    asked = call.body(Person)
    booking = Booking(
        patient=asked.person,
        participants=(agenda,),
        location="main",
        service=asked.visit_type,
        reason=None,
        start=start,
        end=start + HALF_HOUR,
    )
    return document(201, shown(call.engine.book(asked.our_reference, booking).appointment))


@twin.route("POST", "/v2/visits/{visit}/leave")
def leave(call: Call) -> Reply:
    asked = call.body(Leave)
    left = call.engine.cancel(asked.our_reference, call.path["visit"], str(asked.revision), None)
    return document(200, shown(left.appointment))


@twin.route("GET", "/v2/visits")
def search(call: Call) -> Reply:
    return document(200, [shown(each) for each in call.engine.search(call.query(Reference).our_reference)])


# An adapter for it. -------------------------------------------------------------------------------------------------

REFUSED = {
    (401, "unauthorised"): Code.CREDENTIALS_REJECTED,
    (403, "forbidden"): Code.EXTERNAL_FORBIDDEN,
    (404, "not-found"): Code.TARGET_NOT_FOUND,
    (409, "OPENING_GONE"): Code.SLOT_TAKEN,
    (409, "REVISION_PASSED"): Code.TARGET_CHANGED,
    (422, "invalid"): Code.EXTERNAL_INVALID,
}


def said(reply: httpx.Response) -> Any:
    """What a reply says, None for noise: the decoder's own error would carry the reply's text with it."""
    try:
        return reply.json()
    except ValueError:
        return None


def refusal(reply: httpx.Response) -> Code | None:
    content = said(reply)
    known = isinstance(content, dict)
    return REFUSED.get((reply.status_code, content.get("fault", content.get("error")))) if known else None


def approved(request: Request) -> dict[str, object]:
    what, names = request.particulars, request.identifiers
    return {
        "opening": opening(names[what.participants[0].participant], what.start),
        "person": names[what.patient],
        "visit_type": names[what.service],
        "state": "LEFT" if request.operation is Operation.CANCEL else "HELD",
    }


def in_force(visit: Any, request: Request) -> bool:
    said_so = isinstance(visit, dict) and approved(request).items() <= visit.items()
    return said_so and request.native_key() in visit["our_references"]


class OpeningsAdapter:
    def describe(self, connection: Connection) -> Descriptor:
        return Descriptor(
            adapter="openings",
            operations=(Operation.BOOK, Operation.CANCEL),
            idempotency=Idempotency.LOOKUP,
            exclusivity=Exclusivity.ENFORCED,
            observation=Basis.BY_KEY,
            requests_per_attempt=4,
        )

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        reply = await read.get("v2/rights")
        if reply.status_code != 200:
            return Readiness.refuted(refusal(reply) or Code.EXTERNAL_UNAVAILABLE)
        if said(reply)["book"] is not True:
            return Readiness.refuted(Code.EXTERNAL_FORBIDDEN)
        if request.operation is Operation.BOOK:
            free = said(await read.get(f"v2/openings/{approved(request)['opening']}"))["free"] is True
            return Readiness.proven(TargetState.OPEN if free else TargetState.TAKEN)
        visits = said(await read.get("v2/visits", params={"our_reference": request.target_key()}))
        if visits == []:
            return Readiness.proven(TargetState.ABSENT)
        (visit,) = visits
        current = visit["state"] == "HELD" and request.is_approved_version(str(visit["revision"]))
        return Readiness.proven(TargetState.OPEN if current else TargetState.CHANGED, prepared=visit)

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        request, key = authorized.request, authorized.native_key()
        if request.operation is Operation.BOOK:
            content = {name: approved(request)[name] for name in ("person", "visit_type")} | {"our_reference": key}
            reply = await write.post(f"v2/openings/{approved(request)['opening']}/visits", json=content)
        elif request.operation is Operation.CANCEL:
            visit = authorized.prepared
            leaving = {"revision": visit["revision"], "our_reference": key}
            reply = await write.post(f"v2/visits/{visit['visit']}/leave", json=leaving)
        else:
            raise ValueError("this system cannot reschedule")
        if reply.is_success and in_force(visit := said(reply), request):
            return Receipt.applied(identifier=visit["visit"], version=str(visit["revision"]))
        code = refusal(reply)
        return Receipt.unknown() if code is None else Receipt.refused(code)

    async def observe(self, query: Asked, read: httpx.AsyncClient) -> Observation:
        reply = await read.get("v2/visits", params={"our_reference": query.native_key()})
        visits, finding = said(reply), Finding.INDETERMINATE
        if reply.status_code == 200 and isinstance(visits, list):
            happened = len(visits) == 1 and in_force(visits[0], query.request)
            finding = Finding.PRESENT if happened else Finding.DIFFERENT if visits else Finding.ABSENT
        return Observation(finding=finding, basis=Basis.BY_KEY)


# What they do together. ---------------------------------------------------------------------------------------------


@pytest.fixture
async def premises(database: Path) -> AsyncIterator[Premises]:
    async with twin.start(database) as started:
        yield started


def harness(
    premises: Premises, known_as: str = "vendor", *, base_url: str | None = None, **details: Any
) -> AdapterHarness:
    credential = CredentialUse(scheme=Scheme.BASIC, name="vendor")
    connection = make_connection(base_url or premises.base_url, credential=credential, limits=Limits(request_seconds=2))
    return AdapterHarness(OpeningsAdapter(), make_request(connection, **details), secret=premises.secrets[known_as])


async def test_a_visit_is_booked_found_and_left_and_the_observer_sees_each_step(
    premises: Premises, database: Path
) -> None:
    async with harness(premises) as booking:
        assert await booking.readiness() is None
        assert (await booking.commit()).effect is Effect.APPLIED
        assert (await booking.observe()).finding is Finding.PRESENT
    (seen,) = await premises.observer.appointments(START, START + HALF_HOUR)
    key = booking.request.native_key()
    assert (seen.start, seen.end, seen.subject) == (START, START + HALF_HOUR, "patient-1")
    assert (seen.keys, seen.cancelled) == ((key,), False)
    async with booking.following(Operation.CANCEL) as leaving:
        assert await leaving.readiness() is None
        assert (await leaving.commit()).effect is Effect.APPLIED
    (left,) = await premises.observer.appointments(START, START + HALF_HOUR)
    assert (left.identifier, left.cancelled) == (seen.identifier, True)
    assert left.keys == (key, leaving.request.native_key())
    with twin.engine(database) as engine:
        assert [each.method for each in engine.requests()] == ["POST", "POST"]


async def test_the_observer_sees_what_touches_its_window_and_takes_it_away_for_good(premises: Premises) -> None:
    async with harness(premises) as booking:
        await booking.readiness()
        await booking.commit()
    observer = premises.observer
    assert await observer.appointments(START - HALF_HOUR, START) == ()
    assert await observer.appointments(START + HALF_HOUR, START + 2 * HALF_HOUR) == ()
    (seen,) = await observer.appointments(START + timedelta(minutes=29), START + HALF_HOUR)
    assert await observer.remove(seen.identifier) is True
    assert await observer.remove(seen.identifier) is False
    assert await observer.appointments(START, START + HALF_HOUR) == ()
    async with booking.again() as again:
        assert (await again.observe()).finding is Finding.ABSENT
        assert await again.readiness() is None


async def test_a_rejection_of_the_engine_is_the_authors_own_reply(premises: Premises) -> None:
    async with harness(premises) as late:
        assert await late.readiness() is None
        async with harness(premises, vendor={**VENDOR, "patient": "patient-2"}) as early:
            await early.readiness()
            assert (await early.commit()).effect is Effect.APPLIED
        result = await late.commit()
        assert (result.effect, result.code) == (Effect.REFUSED, Code.SLOT_TAKEN)
    async with harness(premises) as third:
        assert await third.readiness() is Code.SLOT_TAKEN
    async with early.following(Operation.CANCEL) as first, early.following(Operation.CANCEL) as second:
        assert await first.readiness() is await second.readiness() is None
        assert (await first.commit()).effect is Effect.APPLIED
        assert (await second.commit()).code is Code.TARGET_CHANGED


async def test_a_key_that_is_not_unique_can_book_twice_and_a_look_for_it_shows_both(premises: Premises) -> None:
    async with harness(premises) as first, first.again() as again:
        await first.readiness()
        assert (await first.commit()).effect is Effect.APPLIED
        (seen,) = await premises.observer.appointments(START, START + HALF_HOUR)
        async with client(premises) as hand:  # the practice ends the visit, so that its opening is free again
            ending = {"revision": 1, "our_reference": "by-hand"}
            assert (await hand.post(f"v2/visits/{seen.identifier}/leave", json=ending)).status_code == 200
        assert await again.readiness() is None
        assert (await again.commit()).effect is Effect.APPLIED
        assert (await again.observe()).finding is Finding.DIFFERENT
    assert len(await premises.observer.appointments(START, START + HALF_HOUR)) == 2


@pytest.mark.parametrize(
    ("point", "made", "found"),
    [(Point.AFTER_SEND, 0, Finding.ABSENT), (Point.AFTER_COMMIT, 1, Finding.PRESENT)],
)
async def test_a_twin_can_lose_the_request_or_the_reply(
    premises: Premises, point: Point, made: int, found: Finding
) -> None:
    async with Proxy.open(premises.base_url) as proxy, harness(premises, base_url=proxy.url) as booking:
        assert await booking.readiness() is None
        receipt = proxy.arm(Fault(point))
        assert (await booking.commit()).effect is Effect.UNKNOWN
        await proxy.settle()
        proxy.disarm()
        assert (receipt.fired, receipt.answered) == (1, made == 1)
        assert (await booking.observe()).finding is found
    assert len(await premises.observer.appointments(START, START + HALF_HOUR)) == made


async def test_what_the_vendor_does_not_offer_cannot_be_attempted(premises: Premises) -> None:
    async with harness(premises) as booking:
        await booking.readiness()
        await booking.commit()
    with pytest.raises(Refusal) as refused:
        async with booking.following(Operation.RESCHEDULE, START + HALF_HOUR):
            pass
    assert refused.value.code is Code.OPERATION_UNSUPPORTED


# The kit's own rules. -----------------------------------------------------------------------------------------------


def client(premises: Premises, known_as: str | None = "vendor", scheme: Scheme = Scheme.BASIC) -> httpx.AsyncClient:
    value = premises.secrets.get(known_as, "nobody:knows") if known_as else None
    headers: dict[str, str] = {}
    auth: tuple[str, str] | None = None
    if value is not None and scheme is Scheme.BEARER:
        headers["Authorization"] = f"Bearer {value}"
    elif value is not None:
        user, _, password = value.partition(":")
        auth = (user, password)
    return httpx.AsyncClient(base_url=premises.base_url, headers=headers, auth=auth, trust_env=False)


async def test_a_limited_credential_reads_and_cannot_write_and_its_try_is_tallied(
    premises: Premises, database: Path
) -> None:
    async with harness(premises, "limited") as booking:
        assert await booking.readiness() is Code.EXTERNAL_FORBIDDEN
    async with client(premises, "limited") as limited:
        assert (await limited.get("v2/visits", params={"our_reference": "x"})).json() == []
        reply = await limited.post(f"v2/openings/{opening('practitioner-1', START)}/visits", json={})
    assert (reply.status_code, reply.json()) == (403, {"error": "forbidden"})
    with twin.engine(database) as engine:
        assert (len(engine.requests()), engine.effects()) == (1, 0)


@pytest.mark.parametrize("scheme", [Scheme.BASIC, Scheme.BEARER])
async def test_only_the_two_credentials_of_this_start_are_let_in(scheme: Scheme) -> None:
    vendor = Twin("open to two", scheme=scheme)
    vendor.route("GET", "/rights")(rights)
    async with vendor.premises() as premises, vendor.premises() as another:
        assert set(premises.secrets.values()).isdisjoint(another.secrets.values())
        for secret, status, body in (
            ("vendor", 200, {"book": True}),
            ("limited", 200, {"book": False}),
            ("unknown", 401, {"error": "unauthorised"}),
            (None, 401, {"error": "unauthorised"}),
        ):
            async with client(premises, secret, scheme) as caller:
                reply = await caller.get("rights")
            assert (reply.status_code, reply.json()) == (status, body)
        async with client(premises, "vendor", scheme) as caller:
            assert (await caller.get(f"{another.base_url}rights")).status_code == 401


async def test_a_vendor_without_credentials_asks_for_none() -> None:
    vendor = Twin("open to all", scheme=Scheme.NONE)
    vendor.route("GET", "/rights")(rights)
    async with vendor.premises() as premises:
        assert premises.secrets == {}
        for known_as in (None, "anything"):
            async with client(premises, known_as) as caller:
                assert (await caller.get("rights")).json() == {"book": True}


async def test_what_no_route_matches_is_not_found_and_tallied_if_it_mutates(premises: Premises, database: Path) -> None:
    async with client(premises) as caller:
        for method, path in (("GET", "v2"), ("GET", "v2/rights/"), ("GET", "v2/openings/a/b"), ("PUT", "v2/rights")):
            reply = await caller.request(method, path)
            assert (reply.status_code, reply.json()) == (404, {"error": "no-route"}), path
    with twin.engine(database) as engine:
        assert [(each.method, each.path) for each in engine.requests()] == [("PUT", "/v2/rights")]


async def test_a_path_template_takes_one_segment_for_each_name_and_everything_else_literally() -> None:
    vendor = Twin("paths", scheme=Scheme.NONE)

    @vendor.route("GET", "/v1.0/{first}/items/{second}:show")
    def show(call: Call) -> Reply:
        return document(200, dict(call.path))

    async with vendor.premises() as premises, client(premises, None) as caller:
        reply = await caller.get("v1.0/a%2Fb/items/c%20d:show")
        assert reply.json() == {"first": "a/b", "second": "c d"}
        assert (await caller.get("v1x0/a/items/b:show")).status_code == 404


async def test_keys_and_versions_may_travel_in_headers_and_the_first_route_that_matches_answers() -> None:
    vendor = Twin("headers", scheme=Scheme.NONE)

    @vendor.route("PUT", "/visits/mine")
    def mine(call: Call) -> Reply:
        return document(200, call.header("If-Match"), ("ETag", '"2"'))

    @vendor.route("PUT", "/visits/{visit}")
    def any_visit(call: Call) -> Reply:
        return document(200, call.header("Idempotency-Key"))

    async with vendor.premises() as premises, client(premises, None) as caller:
        reply = await caller.put("visits/mine", headers={"if-match": '"1"'})
        assert (reply.json(), reply.headers["etag"]) == ('"1"', '"2"')
        assert (await caller.put("visits/other")).json() is None


async def test_a_route_may_say_whether_it_writes_where_its_method_does_not_tell(database: Path) -> None:
    vendor = Twin("odd methods", scheme=Scheme.BEARER)
    vendor.route("POST", "/search", writes=False)(rights)
    vendor.route("GET", "/book-by-link", writes=True)(rights)
    async with vendor.start(database) as premises, client(premises, "limited", Scheme.BEARER) as limited:
        assert (await limited.post("search")).status_code == 200
        assert (await limited.get("book-by-link")).status_code == 403
    with vendor.engine(database) as engine:
        assert [each.path for each in engine.requests()] == ["/book-by-link"]


async def test_a_body_or_query_of_another_shape_is_invalid_and_a_handlers_own_mistake_is_not(
    premises: Premises,
) -> None:
    place = f"v2/openings/{opening('practitioner-1', START)}/visits"
    async with client(premises) as caller:
        for content in (b"", b"[]", b'{"person": 1}', b"\xff"):
            reply = await caller.post(place, content=content)
            assert (reply.status_code, reply.json()) == (422, {"error": "invalid"}), content
        assert (await caller.get("v2/visits")).status_code == 422
        assert (await caller.get("v2/visits?our_reference=a&our_reference=b")).status_code == 422
        assert (await caller.get("v2/openings/not-an-opening")).status_code == 500
    assert await premises.observer.appointments(START, START + HALF_HOUR) == ()


async def test_a_form_is_read_only_from_a_body_that_is_one() -> None:
    vendor = Twin("forms", scheme=Scheme.NONE)

    @vendor.route("PUT", "/visits/{name}")
    def put(call: Call) -> Reply:
        return document(200, call.form(Reference).our_reference)

    async with vendor.premises() as premises, client(premises, None) as caller:
        assert (await caller.put("visits/1", data={"our_reference": "ä & b=c"})).json() == "ä & b=c"
        assert (await caller.put("visits/1", json={"our_reference": "a"})).status_code == 422
        assert (await caller.put("visits/1", data={"our_reference": ["a", "b"]})).status_code == 422
        assert (await caller.put("visits/1", data={"another": "a"})).status_code == 422


def test_one_route_has_one_handler() -> None:
    vendor = Twin("twice")
    vendor.route("GET", "/rights")(rights)
    vendor.route("PUT", "/rights")(rights)
    with pytest.raises(ValueError, match="two handlers for GET /rights"):
        vendor.route("GET", "/rights")


async def test_denials_are_the_authors_own_replies_too() -> None:
    vendor = Twin("polite", refusals={Denial.UNAUTHORISED: document(401, {"sorry": True})})
    async with vendor.premises() as premises, client(premises, None) as caller:
        assert (await caller.get("rights")).json() == {"sorry": True}


def test_every_refusal_has_a_reply_of_its_own_by_default() -> None:
    assert set(REFUSALS) == {*Rejection, *Denial}
    assert len({reply.body for reply in REFUSALS.values()}) == len(REFUSALS)
    assert all(400 <= reply.status < 500 for reply in REFUSALS.values())


async def test_a_vendor_that_lets_appointments_overlap_has_a_twin_that_does(database: Path) -> None:
    vendor = Twin("calendar", exclusive=False, scheme=Scheme.NONE)
    vendor.route("POST", "/openings/{name}/visits")(book)
    async with vendor.start(database) as premises, client(premises, None) as caller:
        for reference in ("first", "second"):
            content = {"person": "patient-1", "visit_type": "service-1", "our_reference": reference}
            reply = await caller.post(f"openings/{opening('practitioner-1', START)}/visits", json=content)
            assert reply.status_code == 201
        assert len(await premises.observer.appointments(START, START + HALF_HOUR)) == 2


@pytest.mark.parametrize(
    ("hides", "keys", "subject"),
    [((), ("r",), "patient-1"), (("keys",), (), "patient-1"), (("subject",), ("r",), None)],
)
async def test_the_observer_does_not_show_what_the_vendor_does_not_keep(
    hides: tuple[Hidden, ...], keys: tuple[str, ...], subject: str | None, database: Path
) -> None:
    vendor = Twin("calendar", scheme=Scheme.NONE, hides=hides)
    vendor.route("POST", "/openings/{name}/visits")(book)
    async with vendor.start(database) as premises, client(premises, None) as caller:
        content = {"person": "patient-1", "visit_type": "service-1", "our_reference": "r"}
        await caller.post(f"openings/{opening('practitioner-1', START)}/visits", json=content)
        (seen,) = await premises.observer.appointments(START, START + HALF_HOUR)
        assert (seen.keys, seen.subject) == (keys, subject)


async def test_every_start_is_empty_and_leaves_nothing_running() -> None:
    async with twin.premises() as premises, harness(premises) as booking:
        await booking.readiness()
        await booking.commit()
    async with twin.premises() as again, client(again) as caller:
        assert (again.label, await again.observer.appointments(START, START + HALF_HOUR)) == ("openings 2.1", ())
        with pytest.raises(httpx.ConnectError):
            await caller.get(f"{premises.base_url}v2/rights")


def test_importing_the_kit_for_adapter_tests_loads_no_engine() -> None:
    loaded = "import sys, gateway.testing; print(sorted({'sqlite3', 'gateway.testing.twin'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
