"""Readiness, against replies that the twin does not give; most of them leave a look without finding, too."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from adapters.athenahealth.adapter import AthenahealthAdapter, Prepared
from adapters.athenahealth.testing import PATIENTS
from gateway.contracts.adapter import Authorized, Basis, Proof, Query, Readiness, Request, TargetState
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding as Finding
from tests.unit.adapters.athenahealth.conftest import (
    DAY,
    MORNING,
    OPEN,
    SLOT,
    SLOTS,
    Script,
    change,
    listing,
    make_request,
    read,
    record,
)


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
