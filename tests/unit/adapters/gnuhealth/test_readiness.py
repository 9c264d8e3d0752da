"""Readiness: what the server and the record must show, and what no appointment there can hold."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from adapters.gnuhealth.adapter import GnuHealthAdapter
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation, Role
from gateway.contracts.words import Effect
from gateway.testing import AdapterHarness, make_connection, make_request
from tests.unit.adapters.gnuhealth.conftest import CHANGES, HALF_HOUR, spelt


@pytest.mark.parametrize(
    ("operation", "missing"),
    [
        (Operation.BOOK, "create"),
        (Operation.BOOK, "read"),
        (Operation.RESCHEDULE, "write"),
        (Operation.CANCEL, "write"),
    ],
)
async def test_a_right_that_is_missing_refutes(office: Any, tryton: Any, operation: Operation, missing: str) -> None:
    harness = office.booking() if operation is Operation.BOOK else await office.change(operation)
    tryton.rights[missing] = 0
    async with harness:
        assert await harness.readiness() is Code.EXTERNAL_FORBIDDEN


@pytest.mark.parametrize("operation", CHANGES)
async def test_a_record_rule_that_forbids_the_write_refutes(office: Any, tryton: Any, operation: Operation) -> None:
    harness = await office.change(operation)
    tryton.records[0]["_write"] = False
    async with harness:
        assert await harness.readiness() is Code.EXTERNAL_FORBIDDEN


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, Code.CREDENTIALS_REJECTED), (403, Code.EXTERNAL_FORBIDDEN), (429, Code.EXTERNAL_UNAVAILABLE)],
)
async def test_what_the_door_refuses_refutes_readiness(
    office: Any, tryton: Any, spell: Callable[..., bytes], status: int, code: Code
) -> None:
    tryton.reads = spell(status)
    async with office.booking() as harness:
        assert await harness.readiness() is code


@pytest.mark.requirement("GATE-27")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"id":1,"result":{}}',
        b'{"id":2,"result":{"gnuhealth.appointment":{"read":1,"write":1,"create":1}}}',
        b'{"id":1,"result":{"party.party":{"read":1,"write":1,"create":1}}}',
        b'{"id":1,"result":{"gnuhealth.appointment":{"read":1}}}',
        b'{"id":1,"error":["UserError",["no","",null]]}',
        b'{"id":1,"error":["relation does not exist",""]}',
    ],
    ids=range(9),
)
async def test_rights_that_were_not_told_prove_nothing(
    office: Any, tryton: Any, spell: Callable[..., bytes], body: bytes
) -> None:
    tryton.reads = spell(200, body)
    async with office.booking() as harness:
        assert await harness.readiness() is Code.READINESS_UNVERIFIABLE


@pytest.mark.requirement("GATE-27")
@pytest.mark.parametrize(
    "field",
    [
        {"appointment_date": {"__class__": "datetime", "year": 2031, "month": 13, "day": 1}},
        {"appointment_date": {"__class__": "datetime", "year": 10**30, "month": 1, "day": 1}},
        {"appointment_date": {"__class__": "datetime", "year": "x", "month": 1, "day": 1}},
        {"appointment_date": {"__class__": "date", "year": 2031, "month": 1, "day": 1}},
        {"appointment_date": "2031-03-03T09:00:00"},
        {"_timestamp": None},
        {"_timestamp": "1e3"},
        {"id": 0},
        {"_write": None},
    ],
    ids=range(9),
)
async def test_a_record_that_cannot_be_read_makes_the_target_unverifiable(
    office: Any, tryton: Any, field: dict[str, Any]
) -> None:
    harness = await office.change(Operation.CANCEL)
    tryton.records[0].update(field)
    async with harness:
        assert await harness.readiness() is Code.READINESS_UNVERIFIABLE


@pytest.mark.parametrize(("shift", "taken"), [(-30, False), (-29, True), (0, True), (29, True), (30, False)])
@pytest.mark.parametrize("state", ["confirmed", "checked_in", "done", "no_show", None])
async def test_an_appointment_of_the_professional_that_overlaps_takes_the_slot(
    office: Any, tryton: Any, shift: int, taken: bool, state: str | None
) -> None:
    async with office.booking() as harness:
        tryton.book(appointment_date=spelt(harness, timedelta(minutes=shift)), state=state)
        assert await harness.readiness() is (Code.SLOT_TAKEN if taken else None)


@pytest.mark.parametrize("content", [{"state": "user_cancelled"}, {"state": "center_cancelled"}, {"healthprof": 6}])
async def test_a_cancelled_appointment_and_anothers_take_nothing(
    office: Any, tryton: Any, content: dict[str, Any]
) -> None:
    async with office.booking() as harness:
        tryton.book(appointment_date=spelt(harness), **content)
        assert await harness.readiness() is None


async def test_a_published_free_slot_blocks_since_somebody_could_still_fill_it(office: Any, tryton: Any) -> None:
    async with office.booking() as harness:
        tryton.book(appointment_date=spelt(harness), state="free", patient=None)
        assert await harness.readiness() is Code.READINESS_UNVERIFIABLE


async def test_an_hour_that_was_not_seen_whole_is_not_free(office: Any, tryton: Any) -> None:
    async with office.booking() as harness:
        for _ in range(50):
            tryton.book(appointment_date=spelt(harness), state="user_cancelled")
        assert await harness.readiness() is Code.READINESS_UNVERIFIABLE


async def test_a_proposal_that_was_carried_out_is_not_booked_again(office: Any, tryton: Any) -> None:
    booked = await office.booked()
    tryton.touch(tryton.records[0], appointment_date=spelt(booked, timedelta(days=1)))
    async with booked.again(GnuHealthAdapter()) as again:
        assert await again.readiness() is Code.SLOT_TAKEN


async def test_a_reschedule_may_overlap_the_hour_that_it_leaves_and_no_other(office: Any, tryton: Any) -> None:
    booked = await office.booked()
    start = booked.request.particulars.start + timedelta(minutes=10)
    async with booked.following(Operation.RESCHEDULE, start) as harness:
        assert await harness.readiness() is None
        tryton.book(appointment_date=spelt(harness, timedelta(minutes=20)))
        assert await harness.readiness() is Code.SLOT_TAKEN


@pytest.mark.requirement("GATE-27")
@pytest.mark.parametrize("operation", CHANGES)
@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"_timestamp": "1799999999.000001"}, Code.TARGET_CHANGED),
        ({"state": "checked_in"}, Code.TARGET_CHANGED),
        ({"patient": 4}, Code.TARGET_CHANGED),
        ({"state": "user_cancelled"}, Code.TARGET_NOT_FOUND),
        ({"state": "center_cancelled"}, Code.TARGET_NOT_FOUND),
        ({"name": "APP 2031/77"}, Code.TARGET_NOT_FOUND),
    ],
    ids=range(6),
)
async def test_a_target_that_is_no_longer_what_was_approved_blocks(
    office: Any, tryton: Any, operation: Operation, content: dict[str, Any], code: Code
) -> None:
    harness = await office.change(operation)
    tryton.records[0].update(content)
    async with harness:
        assert await harness.readiness() is code


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("field", ["appointment_date", "healthprof", "institution", "speciality", "patient"])
async def test_a_cancellation_is_of_the_appointment_that_the_reviewer_was_shown(
    office: Any, tryton: Any, field: str
) -> None:
    harness = await office.change(Operation.CANCEL)
    other = spelt(harness, HALF_HOUR) if field == "appointment_date" else 1
    for content in (other, None):
        tryton.records[0][field] = content
        async with harness:
            assert await harness.readiness() is Code.TARGET_CHANGED


async def test_a_reschedule_may_change_whom_where_and_what_for(office: Any, tryton: Any) -> None:
    harness = await office.change(Operation.RESCHEDULE)
    tryton.records[0].update(healthprof=1, institution=1, speciality=1)
    async with harness:
        assert await harness.readiness() is None


@pytest.mark.parametrize("operation", CHANGES)
async def test_two_records_with_our_key_are_nobodys_target(office: Any, tryton: Any, operation: Operation) -> None:
    harness = await office.change(operation)
    tryton.book(**{**tryton.records[0], "id": 2})
    async with harness:
        assert await harness.readiness() is Code.READINESS_UNVERIFIABLE


@pytest.mark.parametrize("operation", CHANGES)
async def test_a_version_in_whole_seconds_can_be_booked_and_not_changed(
    office: Any, tryton: Any, operation: Operation
) -> None:
    harness = await office.change(operation)
    tryton.coarse = True
    async with harness:
        assert await harness.readiness() is Code.READINESS_UNVERIFIABLE
    async with office.booking(vendor={"practitioner": "6"}) as other:
        assert await other.readiness() is None
        assert (await other.commit()).effect is Effect.APPLIED
        assert other.binding is not None and other.binding.version is None


# -- what cannot be said ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"minutes": 45},
        {"appointment-minutes": "30"},
        {"appointment-minutes": True, "minutes": 1},
        {"vendor": {"patient": "P-3"}},
        {"vendor": {"practitioner": "0"}},
        {"vendor": {"location": "7 or 8"}},
        {"vendor": {"service": "9999999999"}},
    ],
    ids=range(7),
)
async def test_what_an_appointment_of_gnu_health_cannot_hold_blocks(office: Any, given: dict[str, Any]) -> None:
    async with office.booking(**given) as harness:
        assert await harness.readiness() is Code.READINESS_UNVERIFIABLE


async def test_how_long_an_appointment_lasts_is_not_guessed(office: Any) -> None:
    async with AdapterHarness(GnuHealthAdapter(), make_request(office.url, vendor=office.vendor)) as harness:
        assert await harness.readiness() is Code.READINESS_UNVERIFIABLE


async def test_a_device_cannot_be_said(office: Any, altered: Callable[..., AdapterHarness]) -> None:
    harness = office.booking()
    devices = [each.model_copy(update={"role": Role.DEVICE}) for each in harness.request.particulars.participants]
    async with altered(harness, participants=tuple(devices)) as changed:
        assert await changed.readiness() is Code.READINESS_UNVERIFIABLE


async def test_two_professionals_cannot_be_said(office: Any, altered: Callable[..., AdapterHarness]) -> None:
    harness = office.booking()
    two = harness.request.particulars.participants * 2
    async with altered(harness, participants=two) as changed:
        assert await changed.readiness() is Code.READINESS_UNVERIFIABLE


async def test_a_fraction_of_a_second_cannot_be_said(office: Any, altered: Callable[..., AdapterHarness]) -> None:
    harness, late = office.booking(), timedelta(microseconds=1)
    what = harness.request.particulars
    async with altered(harness, start=what.start + late, end=what.end + late) as changed:
        assert await changed.readiness() is Code.READINESS_UNVERIFIABLE


async def test_a_reference_that_the_practice_bound_to_nothing_blocks(office: Any) -> None:
    connection = make_connection(office.url, settings={"appointment-minutes": 30})
    bound = {name: number for name, number in office.vendor.items() if name != "location"}
    async with AdapterHarness(GnuHealthAdapter(), make_request(connection, vendor=bound)) as harness:
        assert await harness.readiness() is Code.PARTICULARS_MISSING
