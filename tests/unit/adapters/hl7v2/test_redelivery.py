"""A refusal that our own request would get if it were delivered twice: by an engine that does so, and look by look."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import hl7
import pytest

from adapters.hl7v2.adapter import Hl7v2Adapter
from adapters.hl7v2.filler import Filler, listen
from adapters.hl7v2.mapping import EVENTS, Entry
from adapters.hl7v2.testing import AGREED, ZONE
from gateway.contracts.adapter import Receipt
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding
from gateway.testing import AdapterHarness, Premises, make_connection, make_request
from gateway.testing.engine import Engine
from gateway.testing.twin import EngineObserver

KEY = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LATER = timedelta(hours=2)
CHANGES = (Operation.RESCHEDULE, Operation.CANCEL)
Asking = Callable[..., Any]


class Redelivering(Filler):
    """A filler behind an engine that delivers every request again, and tells the last reply."""

    def answer(self, message: hl7.Message, *, may_write: bool) -> str:
        if str(message.extract_field("MSH", 1, 9, 1)) == "SRM":
            super().answer(message, may_write=may_write)
        return super().answer(message, may_write=may_write)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Premises]:
    """The filler looks at filler ids and slots before keys, and promises that a key takes effect once."""
    path = tmp_path / "filler.db"
    with Engine.open(path) as schedule, Engine.open(path) as observed:
        async with listen(Redelivering(schedule, ZONE, compares_first=True)) as port:
            yield Premises(
                base_url=f"mllp://127.0.0.1:{port}/",
                label="an engine that delivers twice",
                observer=EngineObserver(observed),
                settings={**AGREED, "redelivers": True},
            )


def harness(premises: Premises) -> AdapterHarness:
    connection = make_connection(premises.base_url, settings=dict(premises.settings), zone=ZONE)
    return AdapterHarness(Hl7v2Adapter(), make_request(connection))


async def delivered_twice(attempt: AdapterHarness) -> None:
    """The first delivery takes effect, the second is refused: nobody is told that nothing was done."""
    assert await attempt.readiness() is None
    result = await attempt.commit()
    assert (result.effect, result.code) == (Effect.UNKNOWN, Code.DUPLICATE_KEY)
    assert result.mutating_requests == 1
    assert (await attempt.observe()).finding is ObservationFinding.PRESENT


@pytest.mark.requirement("FAIL-16")
async def test_what_an_engine_delivers_twice_is_not_refused_for_its_own_effect(engine: Premises) -> None:
    async with harness(engine) as booking:
        await delivered_twice(booking)
        start = booking.request.particulars.start
        async with booking.following(Operation.RESCHEDULE, start + LATER) as move:
            await delivered_twice(move)
            async with move.following(Operation.CANCEL) as cancellation:
                await delivered_twice(cancellation)
    assert engine.observer is not None
    (seen,) = await engine.observer.appointments(start, start + 2 * LATER)
    assert (seen.start, seen.cancelled, len(seen.keys)) == (start + LATER, True, 3)


@pytest.mark.requirement("FAIL-16")
@pytest.mark.parametrize("operation", CHANGES)
async def test_another_s_change_meanwhile_is_a_refusal(filler: Any, operation: Operation) -> None:
    async with harness(filler) as booking:
        assert await booking.readiness() is None
        assert (await booking.commit()).effect is Effect.APPLIED
        start = booking.request.particulars.start + (LATER if operation is Operation.RESCHEDULE else 0 * LATER)
        async with booking.following(operation, start) as late, booking.following(Operation.CANCEL) as first:
            assert await late.readiness() is None
            assert await first.readiness() is None
            assert (await first.commit()).effect is Effect.APPLIED
            result = await late.commit()
            assert (result.effect, result.code) == (Effect.REFUSED, Code.TARGET_CHANGED)


# -- what a look settles -------------------------------------------------------------------------------------

REFUSALS = {"unknown id": ("204", ""), "changed": ("207", "CHANGED"), "slot taken": ("207", "SLOT-TAKEN")}
CALM = {"unknown id": Code.EXTERNAL_INVALID, "changed": Code.TARGET_CHANGED, "slot taken": Code.SLOT_TAKEN}
ELSEWHERE = "^^^20310303150000^20310303153000"


@pytest.fixture
def refused(partner: Any, asking: Asking, says: Any, shows: Any) -> Callable[..., Any]:
    """The receipt of what a filler refuses, after a look at what `stands`: details of an SCH (OURS is the request's own
    key), None for `NF`, another acknowledgement (str), or bytes instead of an answer."""

    async def made(operation: Operation, refusal: str, stands: Any, settings: Any) -> Receipt:
        event, error = EVENTS[operation], "ERR|||{}^x^HL70357|E|{}".format(*REFUSALS[refusal])
        settings = {"error-changed": "CHANGED", **settings}

        def answers(details: Any, key: str) -> None:
            found = [] if details is None else [shows(key, **details)]
            partner.says["/SQM/S25"] = lambda header: says(
                header, "SQR^S25", "AA", f"QAK|{header[9]}|{'OK' if found else 'NF'}", *found
            )

        request, approved = asking(operation, settings=settings), None
        key = request.native_key(KEY, 20)
        if operation is not Operation.BOOK:
            key = request.target_key(KEY, 20)
            answers({"group": "BEFORE^X"}, key)
            version = (await partner.look(request)).version
            request = asking(operation, version=version, settings=settings)
            nothing: Any = dict.fromkeys(("spans", "resources"), frozenset())
            approved = Entry(placer=key, filler="F1.1^F", group="BEFORE", status="BOOKED", patients=(), **nothing)
        if isinstance(stands, str):
            partner.says["/SQM/S25"] = lambda header: says(header, "ACK", stands, "ERR|||206^x^HL70357|E")
        elif isinstance(stands, bytes):
            partner.says["/SQM/S25"] = lambda header: stands
        else:
            own = f"{request.native_key(KEY, 20)}^X"
            answers(stands and {name: value.replace("OURS", own) for name, value in stands.items()}, key)
        partner.says[f"/SRM/{event}"] = lambda header: says(header, f"SRR^{event}", "AE", error)
        before = len(partner.heard)
        receipt: Receipt = await partner.commit(request, approved)
        assert [path for path, _ in partner.heard[before:]] == [f"/SRM/{event}", "/SQM/S25"]
        return receipt

    return made


LOOKS: dict[str, tuple[Any, Receipt | None]] = {
    "ours": ({"group": "OURS", "filler": "F1.2^F"}, Receipt.unknown(Code.DUPLICATE_KEY)),
    "ours, and changed since": (
        {"group": "OURS", "filler": "F1.3^F", "times": ELSEWHERE},
        Receipt.unknown(Code.DUPLICATE_KEY),
    ),
    "another request's": ({"group": "ANOTHER^X", "filler": "F1.2^F"}, Receipt.refused(Code.TARGET_CHANGED)),
    "changed at the desk": (
        {"group": "BEFORE^X", "filler": "F1.2^F", "times": ELSEWHERE},
        Receipt.refused(Code.TARGET_CHANGED),
    ),
    "as approved now, under nobody's key": ({"group": "BEFORE^X", "filler": "F1.2^F"}, Receipt.unknown()),
    "changed, without a key": ({"filler": "F1.2^F", "times": ELSEWHERE}, Receipt.unknown()),
    "as it was": ({"group": "BEFORE^X"}, None),
    "nothing": (None, Receipt.unknown()),
    "a query that is refused": ("AE", Receipt.unknown()),
    "noise": (b"noise", Receipt.unknown()),
}


@pytest.mark.requirement("FAIL-16")
@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("operation", CHANGES)
async def test_a_change_that_our_own_repetition_would_also_see_refused_is_looked_at(
    refused: Any, operation: Operation, refusal: str, look: str, twice: bool
) -> None:
    stands, expected = LOOKS[look]
    if look == "as approved now, under nobody's key" and operation is Operation.CANCEL:
        stands = {**stands, "status": "Cancelled"}
    receipt = await refused(operation, refusal, stands, {"redelivers": twice or None})
    assert receipt == (expected or Receipt.refused(CALM[refusal]))


@pytest.mark.requirement("FAIL-16", "FAIL-17")
@pytest.mark.parametrize(
    ("stands", "settings", "expected"),
    [
        (None, {}, Receipt.refused(Code.SLOT_TAKEN)),
        (None, {"redelivers": True}, Receipt.refused(Code.SLOT_TAKEN)),
        (None, {"settling-seconds": 5}, Receipt.refused(Code.SLOT_TAKEN)),
        (None, {"redelivers": True, "settling-seconds": 5}, Receipt.unknown()),
        ({}, {}, Receipt.unknown(Code.DUPLICATE_KEY)),
        ({"status": "Cancelled"}, {}, Receipt.unknown(Code.DUPLICATE_KEY)),
        ({}, {"redelivers": True, "settling-seconds": 5}, Receipt.unknown(Code.DUPLICATE_KEY)),
        ("AE", {}, Receipt.unknown()),
        (b"noise", {}, Receipt.unknown()),
    ],
)
async def test_a_slot_may_be_taken_by_our_own_booking(
    refused: Any, stands: Any, settings: Any, expected: Receipt
) -> None:
    assert await refused(Operation.BOOK, "slot taken", stands, settings) == expected


@pytest.mark.requirement("FAIL-16")
@pytest.mark.parametrize(
    ("stands", "expected"),
    [
        ({"group": "BEFORE^X"}, Receipt.unknown()),
        ({"group": "ANOTHER^X", "filler": "F1.2^F"}, Receipt.refused(Code.TARGET_CHANGED)),
    ],
)
async def test_a_look_that_may_lag_proves_what_it_shows_and_no_absence(
    refused: Any, stands: Any, expected: Receipt
) -> None:
    settings = {"redelivers": True, "settling-seconds": 5}
    assert await refused(Operation.RESCHEDULE, "unknown id", stands, settings) == expected


@pytest.mark.requirement("FAIL-16")
@pytest.mark.parametrize(
    ("error", "query", "code"),
    [("206", True, Code.EXTERNAL_THROTTLED), ("206", None, Code.EXTERNAL_THROTTLED), ("207", None, Code.SLOT_TAKEN)],
)
async def test_where_no_look_can_tell_a_refusal_counts_unless_something_delivers_twice(
    partner: Any, asking: Asking, says: Any, error: str, query: bool | None, code: Code
) -> None:
    own = "SLOT-TAKEN" if code is Code.SLOT_TAKEN else ""
    partner.says["/SRM/S01"] = lambda header: says(header, "SRR^S01", "AE", f"ERR|||{error}^x^HL70357|E|{own}")
    for twice, expected in ((None, Receipt.refused(code)), (True, Receipt.unknown())):
        request = asking(settings={"query": query, "filler-id-changes": None, "redelivers": twice})
        assert await partner.commit(request) == expected
    assert {path for path, _ in partner.heard} == {"/SRM/S01"}
