"""Looks: what counts as ours, and what leaves it open."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from adapters.gnuhealth import mapping
from gateway.contracts.adapter import version_digest
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from gateway.testing import START, AdapterHarness
from tests.unit.adapters.gnuhealth.conftest import CHANGES, HALF_HOUR, spelt


@pytest.mark.requirement("FAIL-16")
async def test_what_is_another_patients_or_was_there_before_or_has_another_key_is_not_ours(
    office: Any, tryton: Any
) -> None:
    async with office.booking() as other:
        key = mapping.booking_key(other.request)
    async with office.booking() as harness:
        tryton.book(appointment_date=spelt(harness, HALF_HOUR), patient=4)
        tryton.book(appointment_date=spelt(harness), healthprof=6, patient=4)
        tryton.book(appointment_date=spelt(harness), patient=3, create_date=START - timedelta(days=3))
        tryton.book(appointment_date=spelt(harness), patient=3, name=key)
        tryton.book(appointment_date=spelt(harness), patient=3, name=f"{key}-{key}")
        assert (await harness.observe()).finding is ObservationFinding.ABSENT


@pytest.mark.requirement("FAIL-16")
@pytest.mark.parametrize(
    "content",
    [
        {},
        {"name": None},
        {"name": "0123456789ABCDEFGHJ"},
        {"appointment_date": timedelta(days=40), "healthprof": 6, "institution": 8, "state": "checked_in"},
        {"patient": 4},
        {"create_date": START - timedelta(days=1, hours=20)},
    ],
    ids=["renamed", "without a name", "almost a key", "and moved", "and another's", "by a clock that is behind"],
)
async def test_a_booking_that_somebody_confirmed_again_leaves_it_open(
    office: Any, tryton: Any, content: dict[str, Any]
) -> None:
    """That gives it a name of Tryton's own."""
    booked = await office.booked()
    if "appointment_date" in content:
        content = {**content, "appointment_date": spelt(booked, content["appointment_date"])}
    tryton.touch(tryton.records[0], **{"name": "APP 2031/9", **content})
    async with booked.again() as again:
        assert (await again.observe()).finding is ObservationFinding.INDETERMINATE


async def test_more_that_could_be_ours_than_is_shown_leaves_it_open(office: Any, tryton: Any) -> None:
    async with office.booking() as other:
        key = mapping.booking_key(other.request)
    async with office.booking() as harness:
        for _ in range(50):
            tryton.book(appointment_date=spelt(harness), patient=3, name=key)
        assert (await harness.observe()).finding is ObservationFinding.INDETERMINATE


@pytest.mark.parametrize("content", [{"state": "center_cancelled"}, {"healthprof": 6}, {"patient": 4}], ids=range(3))
async def test_a_booking_that_stands_otherwise_is_different(office: Any, tryton: Any, content: dict[str, Any]) -> None:
    booked = await office.booked()
    tryton.touch(tryton.records[0], **content)
    async with booked.again() as again:
        assert (await again.observe()).finding is ObservationFinding.DIFFERENT


async def test_two_bookings_under_one_key_are_not_what_was_approved(office: Any, tryton: Any) -> None:
    booked = await office.booked()
    tryton.book(**{**tryton.records[0], "id": 2})
    async with booked.again() as again:
        assert (await again.observe()).finding is ObservationFinding.DIFFERENT


@pytest.mark.parametrize("operation", CHANGES)
@pytest.mark.parametrize(
    ("content", "finding"),
    [
        ({}, ObservationFinding.ABSENT),
        ({"comments": "theirs"}, ObservationFinding.INDETERMINATE),
        ({"name": "APP 2031/9"}, ObservationFinding.INDETERMINATE),
    ],
    ids=["untouched", "touched", "renamed"],
)
async def test_a_change_is_absent_only_while_the_approved_version_stands(
    office: Any, tryton: Any, operation: Operation, content: dict[str, Any], finding: ObservationFinding
) -> None:
    harness = await office.change(operation)
    if content:
        tryton.touch(tryton.records[0], **content)
    async with harness:
        assert (await harness.observe()).finding is finding


@pytest.mark.parametrize("operation", CHANGES)
async def test_a_change_under_our_key_that_stands_otherwise_is_different(
    office: Any, tryton: Any, operation: Operation
) -> None:
    harness = await office.change(operation)
    tryton.touch(tryton.records[0], name=mapping.name_of(harness.request), healthprof=6)
    async with harness:
        assert (await harness.observe()).finding is ObservationFinding.DIFFERENT


@pytest.mark.parametrize("body", [b"", b"{}", b'{"id":1,"result":[{}]}', b'{"id":1,"error":["x",""]}'], ids=range(4))
async def test_a_look_that_cannot_be_read_finds_nothing(
    office: Any, tryton: Any, spell: Callable[..., bytes], body: bytes
) -> None:
    tryton.reads = spell(200, body)
    async with office.booking() as harness:
        assert (await harness.observe()).finding is ObservationFinding.INDETERMINATE


async def test_a_coarse_version_proves_no_change_absent(
    office: Any, tryton: Any, altered: Callable[..., AdapterHarness]
) -> None:
    harness = await office.change(Operation.CANCEL)
    tryton.records[0]["_timestamp"] = "1800000001"
    target = harness.request.particulars.target
    at_that_second = target.model_copy(update={"version": version_digest("1800000001")})
    async with altered(harness, target=at_that_second) as harness:
        assert (await harness.observe()).finding is ObservationFinding.INDETERMINATE
