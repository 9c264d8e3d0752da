"""The adapter: through the real boundary against the twin, and against replies that the twin does not give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pluggy
import pytest

from adapters.athenahealth import mapping, plugin, replies
from adapters.athenahealth.adapter import AthenahealthAdapter, Prepared
from adapters.athenahealth.testing import PATIENTS
from gateway import hookspecs
from gateway.contracts.adapter import (
    Authorized,
    Basis,
    Exclusivity,
    Idempotency,
    IdentifierMissingError,
    Observation,
    Proof,
    Query,
    Readiness,
    Receipt,
    Request,
    TargetState,
)
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect
from gateway.contracts.words import ObservationFinding as Finding
from gateway.testing import AdapterHarness, Premises
from tests.unit.adapters.athenahealth.conftest import MORNING, VENDOR, Script, harness, listing, make_request, record

HOUR = timedelta(hours=1)
SLOT = "1205967"
OPEN = record(patientid=None, appointmentstatus=None, appointmentid=int(SLOT), duration="30")
BOOK, MOVE, CANCEL = f"PUT appointments/{SLOT}", "PUT appointments/5/reschedule", "PUT appointments/5/cancel"
DAY, SLOTS = "GET appointments/booked", "GET appointments/open"


@pytest.fixture
def adapter() -> AthenahealthAdapter:
    return AthenahealthAdapter()


def read(**changes: Any) -> mapping.Record:
    return mapping.Record.model_validate(record(**changes))


TARGET = read(appointmentid="5", starttime="08:00")


def change(operation: Operation = Operation.RESCHEDULE, target: mapping.Record = TARGET, **details: Any) -> Request:
    return make_request(operation, target=(target.appointmentid, target.version), **details)


@pytest.mark.requirement("CARD-01")
def test_the_plugin_registers_the_adapter_under_its_name() -> None:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()
    (registered,) = manager.hook.gateway_adapters()
    assert registered.keys() == {"athenahealth"}
    assert isinstance(registered["athenahealth"], AthenahealthAdapter)


def test_the_descriptor_claims_no_key_and_a_slot_that_is_booked_once(adapter: AthenahealthAdapter) -> None:
    claims = adapter.describe(make_request().connection)
    assert set(claims.operations) == set(Operation)
    assert (claims.idempotency, claims.exclusivity) == (Idempotency.NONE, Exclusivity.ENFORCED)
    assert (claims.observation, claims.safe_posts) == (Basis.MATCHING, ())
    with pytest.raises(ValueError, match="unheard_of"):
        adapter.describe(make_request(unheard_of=True).connection)


@pytest.mark.requirement("CARD-13")
@pytest.mark.parametrize(("commit_seconds", "seconds"), [(20, 100), (119, 1), (120, 0), (300, 0)])
def test_absence_counts_only_after_what_athena_takes_at_the_worst(
    adapter: AthenahealthAdapter, commit_seconds: int, seconds: int
) -> None:
    connection = make_request().connection
    limits = connection.limits.model_copy(update={"commit_seconds": commit_seconds})
    assert adapter.describe(connection.model_copy(update={"limits": limits})).relay_seconds == seconds


# -- through the boundary, against the twin -----------------------------------------------------------------


def budget(attempt: AdapterHarness) -> int:
    """What the adapter declares, and the token that the boundary fetches."""
    connection = attempt.request.connection
    return AthenahealthAdapter().describe(connection).requests_per_attempt + connection.credential.requests


async def carried_out(attempt: AdapterHarness) -> AdapterHarness:
    async with attempt:
        assert await attempt.readiness() is None
        result = await attempt.commit()
        assert (result.effect, result.code, result.mutating_requests) == (Effect.APPLIED, Code.COMMITTED, 1)
        look = await attempt.observe()
        assert (look.finding, look.basis, look.version) == (Finding.PRESENT, Basis.MATCHING, result.version)
        assert attempt.requests <= budget(attempt)
    return attempt


@pytest.mark.requirement("ADAPT-09", "CARD-15")
async def test_book_reschedule_and_cancel_and_the_identifier_that_changes_comes_home(premises: Premises) -> None:
    booking = await carried_out(harness(premises))
    moved = await carried_out(booking.following(Operation.RESCHEDULE, MORNING + HOUR))
    cancelled = await carried_out(moved.following(Operation.CANCEL))
    assert booking.binding and moved.binding and cancelled.binding
    assert booking.binding.identifier != moved.binding.identifier == cancelled.binding.identifier
    assert len({each.binding.version for each in (booking, moved, cancelled) if each.binding}) == 3
    assert premises.observer is not None
    assert not await premises.observer.appointments(MORNING, MORNING + HOUR)
    (left,) = await premises.observer.appointments(MORNING + HOUR, MORNING + 2 * HOUR)
    assert (left.cancelled, left.subject, left.keys) == (True, PATIENTS[0], ())


async def test_a_reschedule_is_the_longest_attempt_and_needs_no_more_than_declared(premises: Premises) -> None:
    booking = await carried_out(harness(premises))
    moved = await carried_out(booking.following(Operation.RESCHEDULE, MORNING + HOUR))
    assert moved.requests == budget(moved)


@pytest.mark.requirement("FAIL-17")
async def test_a_slot_that_somebody_has_and_one_that_the_patient_has_are_taken(premises: Premises) -> None:
    await carried_out(harness(premises))
    for patient in PATIENTS[:2]:
        async with harness(premises, vendor=VENDOR | {"patient": patient}) as attempt:
            assert await attempt.readiness() is Code.SLOT_TAKEN


@pytest.mark.requirement("FAIL-17")
@pytest.mark.parametrize(
    ("patient", "effect", "code"),
    [
        pytest.param(PATIENTS[1], Effect.REFUSED, Code.SLOT_TAKEN, id="another-patient"),
        pytest.param(PATIENTS[0], Effect.UNKNOWN, Code.DUPLICATE_KEY, id="the-same-patient"),
    ],
)
async def test_a_slot_taken_in_between_is_refused_unless_ours_may_be_the_booking(
    premises: Premises, patient: str, effect: Effect, code: Code
) -> None:
    async with harness(premises, vendor=VENDOR | {"patient": patient}) as late:
        assert await late.readiness() is None
        await carried_out(harness(premises))
        result = await late.commit()
    assert (result.effect, result.code, result.mutating_requests) == (effect, code, 1)


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=str)
async def test_what_was_moved_in_between_is_refused_and_then_blocked(premises: Premises, operation: Operation) -> None:
    booking = await carried_out(harness(premises))
    start = MORNING + (HOUR if operation is Operation.RESCHEDULE else timedelta())
    async with booking.following(operation, start) as late:
        assert await late.readiness() is None
        await carried_out(booking.following(Operation.RESCHEDULE, MORNING + 2 * HOUR))
        result = await late.commit()
        assert (result.effect, result.code) == (Effect.REFUSED, Code.TARGET_CHANGED)
        assert (await late.observe()).finding is not Finding.PRESENT
        assert late.requests <= budget(late)
    async with booking.following(operation, start) as again:
        assert await again.readiness() is Code.TARGET_CHANGED


@pytest.mark.requirement("CARD-06", "FAIL-17")
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=str)
async def test_a_change_that_something_delivered_twice_is_unknown_and_a_look_finds_it(
    premises: Premises, operation: Operation
) -> None:
    booking = await carried_out(harness(premises))
    start = MORNING + (HOUR if operation is Operation.RESCHEDULE else timedelta())
    async with booking.following(operation, start) as late:
        assert await late.readiness() is None
        await carried_out(booking.following(operation, start))
        result = await late.commit()
        assert (result.effect, result.code, result.mutating_requests) == (Effect.UNKNOWN, Code.DUPLICATE_KEY, 1)
        assert (await late.observe()).finding is Finding.PRESENT
        assert late.requests <= budget(late)


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=str)
@pytest.mark.parametrize(
    ("bound", "code"),
    [(None, Code.PARTICULARS_MISSING), ("404", Code.TARGET_NOT_FOUND), ("../open", Code.TARGET_NOT_FOUND)],
)
async def test_a_target_is_found_by_its_bound_identifier_and_in_no_other_way(
    premises: Premises, operation: Operation, bound: str | None, code: Code
) -> None:
    async with harness(premises, operation, target=(bound, "any")) as attempt:
        assert await attempt.readiness() is code


@pytest.mark.requirement("GATE-25", "GATE-26")
async def test_credentials_and_the_right_to_schedule_are_proven_or_refuted(premises: Premises) -> None:
    async with harness(premises) as attempt:
        attempt.use_secret("nobody:nothing")
        assert await attempt.readiness() is Code.CREDENTIALS_REJECTED
    for scope in ("athena/service/Athenanet.MDP.Appointment.*", None):
        async with harness(premises, scope=scope) as attempt:
            assert await attempt.readiness() is Code.CREDENTIALS_REJECTED
    async with harness(premises, known_as="limited") as attempt:
        assert await attempt.readiness() is Code.EXTERNAL_FORBIDDEN
    async with harness(premises, access_declared=False) as attempt:
        assert await attempt.readiness() is Code.READINESS_UNVERIFIABLE


@pytest.mark.requirement("FAIL-15")
async def test_rights_that_end_in_between_are_refusals(premises: Premises) -> None:
    for secret, code in (
        ("nobody:nothing", Code.CREDENTIALS_REJECTED),
        (premises.secrets["limited"], Code.EXTERNAL_FORBIDDEN),
    ):
        async with harness(premises) as attempt:
            assert await attempt.readiness() is None
            attempt.use_secret(secret)
            result = await attempt.commit()
            assert (result.effect, result.code) == (Effect.REFUSED, code)


@pytest.mark.parametrize("missing", sorted(VENDOR))
async def test_a_missing_identifier_stops_before_the_adapter_asks_anything(premises: Premises, missing: str) -> None:
    known = {name: identifier for name, identifier in VENDOR.items() if name != missing}
    async with harness(premises, vendor=known) as attempt:
        assert await attempt.readiness() is Code.PARTICULARS_MISSING
        assert attempt.requests == attempt.request.connection.credential.requests


# -- replies that the twin does not give --------------------------------------------------------------------


async def ready(adapter: AthenahealthAdapter, client: httpx.AsyncClient, request: Request) -> Readiness:
    return await adapter.readiness(request, client)


@pytest.mark.requirement("GATE-27")
async def test_what_cannot_be_expressed_is_unverifiable_and_nothing_is_asked(
    adapter: AthenahealthAdapter, client: httpx.AsyncClient, script: Script
) -> None:
    request = make_request(start=MORNING + timedelta(seconds=1))
    readiness = await ready(adapter, client, request)
    assert (readiness.available, readiness.target) == (Proof.UNVERIFIABLE, TargetState.UNVERIFIABLE)
    seen = await adapter.observe(Query(request=request), client)
    assert (seen.finding, seen.basis) == (Finding.INDETERMINATE, Basis.MATCHING)
    with pytest.raises(ValueError, match="readiness found"):
        await adapter.commit(Authorized(request=request, prepared=Prepared(slot=read())), client)
    assert script.asked == []


async def test_the_slot_of_the_approved_place_is_chosen_and_the_day_is_asked_for_whole(
    adapter: AthenahealthAdapter, client: httpx.AsyncClient, script: Script
) -> None:
    longer, later = OPEN | {"appointmentid": 1, "duration": 60}, OPEN | {"appointmentid": 2, "starttime": "09:30"}
    elsewhere, theirs = OPEN | {"appointmentid": 3, "departmentid": 2}, OPEN | {"appointmentid": 4, "providerid": 72}
    script.replies = {DAY: listing(), SLOTS: listing(longer, later, elsewhere, theirs, OPEN)}
    readiness = await ready(adapter, client, make_request())
    assert readiness.target is TargetState.OPEN
    assert readiness.prepared.slot.appointmentid == SLOT
    day, slots = (dict(each.url.params) for each in script.asked)
    assert day == {
        "departmentid": "1",
        "patientid": PATIENTS[0],
        "startdate": "05/06/2031",
        "enddate": "05/06/2031",
        "showcancelled": "true",
        "limit": "10000",
    }
    assert slots["startdate"] == slots["enddate"] == "05/06/2031"


@pytest.mark.parametrize(
    ("slots", "state"),
    [
        pytest.param([], TargetState.TAKEN, id="none"),
        pytest.param([OPEN | {"duration": 15}], TargetState.TAKEN, id="none-of-that-length"),
        pytest.param([OPEN, OPEN | {"appointmentid": 7}], TargetState.OPEN, id="several-alike"),
        pytest.param([OPEN, OPEN | {"appointmenttypeid": 9}], TargetState.UNVERIFIABLE, id="several-not-alike"),
    ],
)
async def test_no_slot_is_taken_and_none_is_guessed(
    adapter: AthenahealthAdapter,
    client: httpx.AsyncClient,
    script: Script,
    slots: list[dict[str, Any]],
    state: TargetState,
) -> None:
    script.replies = {DAY: listing(), SLOTS: listing(*slots)}
    assert (await ready(adapter, client, make_request())).target is state


@pytest.mark.parametrize(
    ("status", "state"),
    [("f", TargetState.TAKEN), ("2", TargetState.TAKEN), ("?", TargetState.TAKEN), ("x", TargetState.OPEN)],
)
async def test_a_patient_who_has_the_place_already_is_not_given_it_again(
    adapter: AthenahealthAdapter, client: httpx.AsyncClient, script: Script, status: str, state: TargetState
) -> None:
    script.replies = {DAY: listing(record(appointmentid="9", appointmentstatus=status)), SLOTS: listing(OPEN)}
    assert (await ready(adapter, client, make_request())).target is state


BLIND: dict[str, Callable[[], httpx.Response]] = {
    "a stranger's 404": lambda: httpx.Response(404, text="Service not registered with API gateway."),
    "no JSON": lambda: httpx.Response(200, text="<html>maintenance</html>"),
    "another shape": lambda: httpx.Response(200, json={"success": True}),
    "a page of several": lambda: listing(OPEN, totalcount=5),
    "more to come": lambda: listing(OPEN, next="/v1/195900/appointments/open?offset=1"),
    "an entry that is silent": lambda: listing({"appointmentid": "1"}),
    "an empty list": lambda: httpx.Response(200, json=[]),
    "two records": lambda: httpx.Response(200, json=[record(), record()]),
    "another record": lambda: httpx.Response(200, json=[record(appointmentid="6")]),
}


@pytest.mark.requirement("GATE-27")
@pytest.mark.parametrize("blind", sorted(BLIND))
@pytest.mark.parametrize("line", [DAY, SLOTS, "GET appointments/5"])
async def test_a_reply_that_proves_nothing_leaves_readiness_unverifiable_and_a_look_without_finding(
    adapter: AthenahealthAdapter, client: httpx.AsyncClient, script: Script, line: str, blind: str
) -> None:
    target = httpx.Response(200, json=[record(appointmentid="5", starttime="08:00")])
    script.replies = {DAY: listing(), SLOTS: listing(OPEN), "GET appointments/5": target, line: BLIND[blind]}
    readiness = await ready(adapter, client, change())
    assert (readiness.available, readiness.target) == (Proof.UNVERIFIABLE, TargetState.UNVERIFIABLE)
    if line != SLOTS:
        seen = await adapter.observe(Query(request=change()), client)
        assert seen.finding is Finding.INDETERMINATE


@pytest.mark.requirement("GATE-24")
@pytest.mark.parametrize("line", [DAY, SLOTS, "GET appointments/5"])
@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_system_that_is_down_or_throttles_is_not_available(
    adapter: AthenahealthAdapter, client: httpx.AsyncClient, script: Script, line: str, status: int
) -> None:
    target = httpx.Response(200, json=[record(appointmentid="5", starttime="08:00")])
    script.replies = {DAY: listing(), SLOTS: listing(OPEN), "GET appointments/5": target, line: httpx.Response(status)}
    assert (await ready(adapter, client, change())).available is Proof.REFUTED


async def test_a_cancellation_reads_its_target_and_nothing_else(
    adapter: AthenahealthAdapter, client: httpx.AsyncClient, script: Script
) -> None:
    script.replies["GET appointments/5"] = httpx.Response(200, json=[record(appointmentid="5")])
    readiness = await ready(adapter, client, change(Operation.CANCEL, read(appointmentid="5")))
    assert readiness.target is TargetState.OPEN
    assert script.lines == ["GET appointments/5"]


async def commit(
    adapter: AthenahealthAdapter, client: httpx.AsyncClient, operation: Operation = Operation.BOOK, **details: Any
) -> Receipt:
    slot = None if operation is Operation.CANCEL else read(**OPEN)
    target = None if operation is Operation.BOOK else TARGET
    request = make_request(**details) if operation is Operation.BOOK else change(operation, **details)
    return await adapter.commit(Authorized(request=request, prepared=Prepared(slot=slot, target=target)), client)


PLACES = {Operation.BOOK: BOOK, Operation.RESCHEDULE: MOVE, Operation.CANCEL: CANCEL}


@pytest.mark.requirement("ADAPT-03")
@pytest.mark.parametrize(
    ("operation", "status", "word", "row"),
    [
        (operation, status, word, row.receipt)
        for operation, table in replies.BY_OPERATION.items()
        for (status, word), row in table.items()
        if row.receipt.code not in (Code.COMMITTED, Code.DUPLICATE_KEY)
    ],
)
async def test_each_refusal_is_what_its_row_says_and_nothing_follows_it(
    adapter: AthenahealthAdapter,
    client: httpx.AsyncClient,
    script: Script,
    operation: Operation,
    status: int,
    word: str,
    row: Receipt,
) -> None:
    body: dict[str, Any] = {"text": "<h1>Not Authorized</h1>"}
    if status != 401:
        body = {"json": {"error": word or "Of its own."}}
    script.replies[PLACES[operation]] = httpx.Response(status, **body)
    assert await commit(adapter, client, operation) == row
    assert script.lines == [PLACES[operation]]


@pytest.mark.requirement("ADAPT-03", "FAIL-16")
@pytest.mark.parametrize("operation", Operation, ids=str)
@pytest.mark.parametrize("status", [400, 403, 404, 409, 429])
async def test_a_refusal_that_is_not_in_athenas_own_words_is_none(
    adapter: AthenahealthAdapter, client: httpx.AsyncClient, script: Script, operation: Operation, status: int
) -> None:
    """A filter that reads replies says 403, although the appointment is made."""
    script.replies[PLACES[operation]] = httpx.Response(status, text="<h1>Forbidden</h1>")
    assert await commit(adapter, client, operation) == Receipt.unknown(Code.REPLY_UNRECOGNISED)
    assert script.lines == [PLACES[operation]]


@pytest.mark.requirement("CARD-02")
async def test_the_write_is_one_form_at_the_slot_or_the_target(
    adapter: AthenahealthAdapter, client: httpx.AsyncClient, script: Script
) -> None:
    script.replies = {
        BOOK: httpx.Response(200, json=[record()]),
        MOVE: httpx.Response(200, json=[record()]),
        CANCEL: httpx.Response(200, json={"status": "x"}),
    }
    for operation, place in PLACES.items():
        script.asked.clear()
        receipt = await commit(adapter, client, operation)
        assert receipt.code is Code.COMMITTED
        (sent,) = script.asked
        assert f"PUT {sent.url.path.removeprefix('/v1/195900/')}" == place
        assert sent.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert sent.url.query == b""
        assert f"patientid={PATIENTS[0]}" in sent.content.decode()
    assert receipt == Receipt.applied(
        identifier="5", version=read(**record(appointmentid="5", starttime="08:00", appointmentstatus="x")).version
    )


@pytest.mark.requirement("ADAPT-05")
@pytest.mark.parametrize("operation", [Operation.BOOK, Operation.RESCHEDULE], ids=str)
async def test_what_a_success_leaves_out_is_read_up_on_once(
    adapter: AthenahealthAdapter, client: httpx.AsyncClient, script: Script, operation: Operation
) -> None:
    short = record(date=None, starttime=None, providerid="")
    look = f"GET appointments/{SLOT}"
    script.replies = {PLACES[operation]: httpx.Response(200, json=[short]), look: httpx.Response(200, json=[record()])}
    assert await commit(adapter, client, operation) == Receipt.applied(identifier=SLOT, version=read().version)
    assert script.lines == [PLACES[operation], look]
    for unclear in (httpx.Response(503), httpx.Response(200, json=[])):
        script.replies[look] = unclear
        assert await commit(adapter, client, operation) == Receipt.unknown()
    for deviating in (
        httpx.Response(200, json=[record(starttime="09:30")]),
        httpx.Response(200, json=[short]),
        httpx.Response(404, json={"error": replies.NOT_THERE}),
    ):
        script.replies[look] = deviating
        assert await commit(adapter, client, operation) == Receipt.unknown(Code.REPLY_DEVIATES)


@pytest.mark.requirement("FAIL-16")
@pytest.mark.parametrize(
    "changes",
    [
        {"patientid": PATIENTS[1]},
        {"appointmentid": "1205968"},
        {"appointmentstatus": "x"},
        {"appointmentstatus": "o", "patientid": ""},
        {"date": "05/07/2031"},
        {"starttime": "10:00"},
        {"duration": 15},
        {"departmentid": "2"},
        {"providerid": "72"},
    ],
    ids=str,
)
@pytest.mark.parametrize("operation", [Operation.BOOK, Operation.RESCHEDULE], ids=str)
async def test_a_success_that_shows_something_else_deviates(
    adapter: AthenahealthAdapter,
    client: httpx.AsyncClient,
    script: Script,
    operation: Operation,
    changes: dict[str, Any],
) -> None:
    script.replies[PLACES[operation]] = httpx.Response(200, json=[record(**changes)])
    assert await commit(adapter, client, operation) == Receipt.unknown(Code.REPLY_DEVIATES)
    assert len(script.asked) == 1


@pytest.mark.requirement("FAIL-16")
@pytest.mark.parametrize("operation", Operation, ids=str)
@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"[{}]", b"1", b'"Invalid PROVIDERID input"', b'{"success":false,"errormessage":"oops"}', b"\xff\x00"],
    ids=str,
)
async def test_a_200_that_says_no_appointment_is_unknown(
    adapter: AthenahealthAdapter, client: httpx.AsyncClient, script: Script, operation: Operation, content: bytes
) -> None:
    script.replies[PLACES[operation]] = httpx.Response(200, content=content)
    assert await commit(adapter, client, operation) == Receipt.unknown()
    assert len(script.asked) == 1


@pytest.mark.parametrize("status", ["f", "o", ""])
async def test_a_cancellation_that_leaves_another_status_deviates(
    adapter: AthenahealthAdapter, client: httpx.AsyncClient, script: Script, status: str
) -> None:
    script.replies[CANCEL] = httpx.Response(200, json={"status": status})
    assert await commit(adapter, client, Operation.CANCEL) == Receipt.unknown(Code.REPLY_DEVIATES)


NOT_THERE = httpx.Response(404, json={"error": replies.NOT_THERE})
TAKEN = httpx.Response(409, json={"error": replies.TAKEN})
NOT_BOOKED = httpx.Response(400, json={"error": replies.NOT_BOOKED})


@pytest.mark.requirement("FAIL-17")
@pytest.mark.parametrize(
    ("operation", "refusal"),
    [
        pytest.param(Operation.BOOK, TAKEN, id="book-409"),
        pytest.param(Operation.BOOK, NOT_THERE, id="book-404"),
        pytest.param(Operation.RESCHEDULE, TAKEN, id="reschedule-409"),
    ],
)
@pytest.mark.parametrize(
    ("now", "receipt"),
    [
        pytest.param(record(), Receipt.unknown(Code.DUPLICATE_KEY), id="ours"),
        pytest.param(record(appointmentstatus="x"), Receipt.unknown(Code.DUPLICATE_KEY), id="ours-and-cancelled"),
        pytest.param(record(patientid=PATIENTS[1]), Receipt.refused(Code.SLOT_TAKEN), id="another's"),
        pytest.param(record(patientid=None, appointmentstatus="o"), Receipt.unknown(), id="open"),
        pytest.param(record(patientid=PATIENTS[1], appointmentstatus="o"), Receipt.unknown(), id="open-again"),
        pytest.param(record(patientid=None), Receipt.unknown(), id="it-does-not-say"),
        pytest.param(None, Receipt.unknown(), id="gone"),
    ],
)
async def test_a_slot_that_was_refused_is_looked_at_and_whose_it_is_decides(
    adapter: AthenahealthAdapter,
    client: httpx.AsyncClient,
    script: Script,
    operation: Operation,
    refusal: httpx.Response,
    now: dict[str, Any] | None,
    receipt: Receipt,
) -> None:
    look = f"GET appointments/{SLOT}"
    shown = NOT_THERE if now is None else httpx.Response(200, json=[now])
    script.replies = {PLACES[operation]: refusal, look: shown}
    assert await commit(adapter, client, operation) == receipt
    assert script.lines == [PLACES[operation], look]


def target_record(**changes: Any) -> dict[str, Any]:
    return record(appointmentid="5", starttime="08:00") | changes


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("refusal", [NOT_BOOKED, NOT_THERE], ids=["400", "404"])
@pytest.mark.parametrize(
    ("now", "cancel", "move"),
    [
        pytest.param({"appointmentstatus": "x"}, "ours", "ours", id="cancelled"),
        pytest.param({"appointmentstatus": "x", "rescheduledappointmentid": 0}, "ours", "ours", id="moved-nowhere"),
        pytest.param({"appointmentstatus": "x", "rescheduledappointmentid": SLOT}, "changed", "ours", id="moved-there"),
        pytest.param({"appointmentstatus": "x", "rescheduledappointmentid": "7"}, "changed", "changed", id="moved"),
        pytest.param({"appointmentstatus": "o", "patientid": ""}, "ours", "ours", id="open-again"),
        pytest.param({"providerid": "72"}, "changed", "changed", id="another-version"),
        pytest.param({"appointmentstatus": "2"}, "changed", "changed", id="checked-in"),
        pytest.param({}, None, None, id="as-approved"),
        pytest.param({"patientid": ""}, None, None, id="nobody's"),
        pytest.param({"appointmentstatus": "?"}, None, None, id="another-status"),
        pytest.param({"patientid": PATIENTS[1]}, None, None, id="another's"),
        pytest.param({"patientid": PATIENTS[1], "appointmentstatus": "x"}, None, None, id="another's-cancelled"),
        pytest.param(None, None, None, id="gone"),
    ],
)
async def test_a_change_that_was_refused_is_settled_by_what_became_of_its_appointment(
    adapter: AthenahealthAdapter,
    client: httpx.AsyncClient,
    script: Script,
    refusal: httpx.Response,
    now: dict[str, Any] | None,
    cancel: str | None,
    move: str | None,
) -> None:
    ends = {
        "ours": Receipt.unknown(Code.DUPLICATE_KEY),
        "changed": Receipt.refused(Code.TARGET_CHANGED),
        None: Receipt.unknown(),
    }
    look = "GET appointments/5"
    shown = NOT_THERE if now is None else httpx.Response(200, json=[target_record(**now)])
    for operation, end in ((Operation.CANCEL, cancel), (Operation.RESCHEDULE, move)):
        script.asked.clear()
        script.replies = {PLACES[operation]: refusal, look: shown}
        assert await commit(adapter, client, operation) == ends[end]
        assert script.lines == [PLACES[operation], look]


@pytest.mark.parametrize(
    ("operation", "refusal"),
    [
        (operation, refusal)
        for operation in Operation
        for refusal in ((TAKEN, NOT_THERE) if operation is Operation.BOOK else (NOT_BOOKED, NOT_THERE))
    ],
    ids=range(6),
)
async def test_what_nobody_can_look_at_stays_unknown(
    adapter: AthenahealthAdapter,
    client: httpx.AsyncClient,
    script: Script,
    operation: Operation,
    refusal: httpx.Response,
) -> None:
    script.replies[PLACES[operation]] = refusal
    for unclear in (httpx.Response(503), httpx.Response(200, json=[])):
        script.replies |= {f"GET appointments/{SLOT}": unclear, "GET appointments/5": unclear}
        assert await commit(adapter, client, operation) == Receipt.unknown()


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("identifier", [None, "", ".", ".."])
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=str)
async def test_looks_at_a_change_need_its_identifier(
    adapter: AthenahealthAdapter,
    client: httpx.AsyncClient,
    script: Script,
    operation: Operation,
    identifier: str | None,
) -> None:
    request = make_request(operation, target=(identifier, "any"))
    for asked in (adapter.readiness(request, client), adapter.observe(Query(request=request), client)):
        with pytest.raises(IdentifierMissingError):
            await asked
    assert not script.asked


@pytest.mark.parametrize("identifier", ["", ".", ".."])
async def test_a_slot_whose_id_would_address_something_else_is_not_booked(
    adapter: AthenahealthAdapter, client: httpx.AsyncClient, script: Script, identifier: str
) -> None:
    slot = Prepared(slot=read(appointmentid=identifier))
    with pytest.raises(IdentifierMissingError):
        await adapter.commit(Authorized(request=make_request(), prepared=slot), client)
    assert not script.asked


async def test_a_broken_connection_is_left_to_the_boundary(
    adapter: AthenahealthAdapter, client: httpx.AsyncClient, script: Script
) -> None:
    def broken() -> httpx.Response:
        raise httpx.ReadError("gone")

    script.replies = {BOOK: broken, DAY: broken, f"GET appointments/{SLOT}": broken}
    request = make_request()
    for asked in (adapter.readiness(request, client), adapter.observe(Query(request=request), client)):
        with pytest.raises(httpx.ReadError):
            await asked
    with pytest.raises(httpx.ReadError):
        await commit(adapter, client)
    script.replies[BOOK] = httpx.Response(409, json={"error": replies.TAKEN})
    with pytest.raises(httpx.ReadError):
        await commit(adapter, client)


async def test_a_look_names_what_it_found(
    adapter: AthenahealthAdapter, client: httpx.AsyncClient, script: Script
) -> None:
    script.replies[DAY] = listing(record(), record(appointmentid="2", starttime="10:00"))
    expected = Observation(finding=Finding.PRESENT, basis=Basis.MATCHING, version=read().version, identifier=SLOT)
    assert await adapter.observe(Query(request=make_request()), client) == expected
    stranger = replace(make_request(), identifiers={**make_request().identifiers})
    with pytest.raises(KeyError):
        await adapter.observe(Query(request=stranger), client)
