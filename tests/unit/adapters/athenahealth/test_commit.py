"""A commit: what is sent, and what a reply means that the twin does not give."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from adapters.athenahealth import replies
from adapters.athenahealth.adapter import AthenahealthAdapter, Prepared
from adapters.athenahealth.testing import PATIENTS
from gateway.contracts.adapter import Authorized, IdentifierMissingError, Query, Receipt
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from tests.unit.adapters.athenahealth.conftest import (
    DAY,
    OPEN,
    SLOT,
    TARGET,
    Script,
    change,
    make_request,
    read,
    record,
)

BOOK, MOVE, CANCEL = f"PUT appointments/{SLOT}", "PUT appointments/5/reschedule", "PUT appointments/5/cancel"


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
