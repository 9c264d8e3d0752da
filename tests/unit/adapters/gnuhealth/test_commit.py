"""What the reply to a write leaves open, and how a look settles it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from adapters.gnuhealth import mapping
from adapters.gnuhealth.adapter import GnuHealthAdapter
from gateway.contracts.adapter import Authorized
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding
from tests.unit.adapters.gnuhealth.conftest import CHANGES, spelt


@pytest.mark.requirement("FAIL-19")
@pytest.mark.parametrize(
    "spoilt",
    [{"patient": 4}, {"healthprof": 6}, {"institution": 8}, {"speciality": 1}, {"state": "free"}, {"name": "APP 1"}],
    ids=range(6),
)
async def test_a_success_that_shows_something_else_deviates(office: Any, tryton: Any, spoilt: dict[str, Any]) -> None:
    tryton.spoil = spoilt
    async with office.booking() as harness:
        assert await harness.readiness() is None
        result = await harness.commit()
    assert (result.effect, result.code, tryton.writes) == (Effect.UNKNOWN, Code.REPLY_DEVIATES, 1)


@pytest.mark.parametrize("made", [[2], [], [1, 2], None], ids=range(4))
async def test_a_success_that_names_another_record_deviates(
    office: Any, tryton: Any, said_result: Callable[..., bytes], made: Any
) -> None:
    async with office.booking() as harness:
        assert await harness.readiness() is None
        tryton.says = said_result(made)
        tryton.book(name=mapping.name_of(harness.request), appointment_date=spelt(harness), patient=3)
        result = await harness.commit()
    assert (result.effect, result.code) == (Effect.UNKNOWN, Code.REPLY_DEVIATES)


@pytest.mark.parametrize("made", [[], [1]], ids=range(2))
async def test_a_success_that_made_nothing_deviates(
    office: Any, tryton: Any, said_result: Callable[..., bytes], made: list[int]
) -> None:
    async with office.booking() as harness:
        assert await harness.readiness() is None
        tryton.says = said_result(made)
        result = await harness.commit()
    assert (result.effect, result.code) == (Effect.UNKNOWN, Code.REPLY_DEVIATES)


async def test_a_look_after_the_write_that_cannot_be_read_leaves_it_unknown(
    office: Any, tryton: Any, spell: Callable[..., bytes]
) -> None:
    async with office.booking() as harness:
        assert await harness.readiness() is None
        tryton.reads = spell(200, b"{}")
        result = await harness.commit()
        assert (result.effect, result.code, tryton.writes) == (Effect.UNKNOWN, Code.REPLY_UNRECOGNISED, 1)
        tryton.reads = None
        assert (await harness.observe()).finding is ObservationFinding.PRESENT


@pytest.mark.parametrize("operation", CHANGES)
@pytest.mark.parametrize("content", [{"comments": "theirs"}, {"state": "checked_in"}], ids=range(2))
async def test_a_change_in_between_is_refused_by_tryton_itself(
    office: Any, tryton: Any, operation: Operation, content: dict[str, Any]
) -> None:
    async with await office.change(operation) as harness:
        assert await harness.readiness() is None
        tryton.touch(tryton.records[0], **content)
        result = await harness.commit()
    assert (result.effect, result.code, tryton.writes) == (Effect.REFUSED, Code.TARGET_CHANGED, 2)


@pytest.mark.parametrize("operation", CHANGES)
async def test_a_record_that_was_deleted_in_between_is_not_found(
    office: Any, tryton: Any, operation: Operation
) -> None:
    async with await office.change(operation) as harness:
        assert await harness.readiness() is None
        tryton.records.clear()
        result = await harness.commit()
    assert (result.effect, result.code) == (Effect.REFUSED, Code.TARGET_NOT_FOUND)


@pytest.mark.requirement("FAIL-20")
@pytest.mark.parametrize("operation", CHANGES)
async def test_a_conflict_with_our_own_write_is_a_duplicate_and_no_refusal(
    office: Any, tryton: Any, operation: Operation
) -> None:
    async with await office.change(operation) as harness:
        assert await harness.readiness() is None
        tryton.touch(tryton.records[0], name=mapping.name_of(harness.request))
        result = await harness.commit()
    assert (result.effect, result.code) == (Effect.UNKNOWN, Code.DUPLICATE_KEY)


async def test_a_refused_booking_whose_key_is_there_was_sent_before(office: Any, tryton: Any, said_error: Any) -> None:
    async with office.booking() as harness:
        assert await harness.readiness() is None
        tryton.error = ["UserError", ["no", "", None]]  # although it took effect
        result = await harness.commit()
    assert (result.effect, result.code) == (Effect.UNKNOWN, Code.DUPLICATE_KEY)


async def test_an_error_of_tryton_is_invalid_content_where_the_rights_are_still_there(
    office: Any, tryton: Any, said_error: Callable[..., bytes]
) -> None:
    tryton.says = said_error("UserError", ["The value does not exist.", "", None])
    async with office.booking() as harness:
        assert await harness.readiness() is None
        result = await harness.commit()
        assert (await harness.observe()).finding is ObservationFinding.ABSENT
    assert (result.effect, result.code, tryton.writes) == (Effect.REFUSED, Code.EXTERNAL_INVALID, 1)


async def test_rights_that_were_taken_in_between_forbid(
    office: Any, tryton: Any, said_error: Callable[..., bytes]
) -> None:
    tryton.says = said_error("UserError", ["You are not allowed to access this.", "", None])
    async with office.booking() as harness:
        assert await harness.readiness() is None
        tryton.before_write = lambda: tryton.rights.update(create=0)
        result = await harness.commit()
    assert (result.effect, result.code) == (Effect.REFUSED, Code.EXTERNAL_FORBIDDEN)


async def test_an_exception_of_the_server_after_it_wrote_is_unknown_and_a_look_finds_the_truth(
    office: Any, tryton: Any
) -> None:
    async with office.booking() as harness:
        assert await harness.readiness() is None
        tryton.error = ["server closed the connection unexpectedly", "Traceback (most recent call last) …"]
        result = await harness.commit()
        assert (result.effect, result.code) == (Effect.UNKNOWN, Code.REPLY_UNRECOGNISED)
        assert (await harness.observe()).finding is ObservationFinding.PRESENT
    assert tryton.writes == 1


async def test_a_change_without_what_readiness_prepared_sends_nothing(office: Any, tryton: Any) -> None:
    harness = await office.change(Operation.CANCEL)
    client = httpx.AsyncClient(base_url=office.url)
    before = len(tryton.calls)
    with pytest.raises(ValueError, match="approved version"):
        await GnuHealthAdapter().commit(Authorized(request=harness.request), client)
    assert len(tryton.calls) == before
