"""Readiness, commit and look against a Tryton of our own, through the real boundary."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pluggy
import pytest

from adapters.gnuhealth import mapping, plugin
from adapters.gnuhealth.adapter import GnuHealthAdapter
from gateway import hookspecs
from gateway.contracts.adapter import Authorized, Basis, Exclusivity, Idempotency, version_digest
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation, Role
from gateway.contracts.words import Effect, ObservationFinding
from gateway.testing import START, AdapterHarness, make_connection, make_request

CHANGES = (Operation.RESCHEDULE, Operation.CANCEL)
HALF_HOUR = timedelta(minutes=30)


def spelt(harness: Any, shift: timedelta = timedelta()) -> dict[str, Any]:
    return mapping.spelt(harness.request.particulars.start + shift)


@pytest.mark.requirement("CARD-01")
def test_the_plugin_registers_the_adapter_under_its_name() -> None:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()
    (registered,) = manager.hook.gateway_adapters()
    assert isinstance(registered["gnuhealth"], GnuHealthAdapter) and registered.keys() == {"gnuhealth"}


@pytest.mark.parametrize("base_url", ["https://his.example/clinic/", "https://his.example/clinic"])
def test_the_descriptor_claims_what_tryton_keeps_and_names_two_calls_that_read(base_url: str) -> None:
    claims = GnuHealthAdapter().describe(make_connection(base_url))
    assert set(claims.operations) == set(Operation)
    assert (claims.idempotency, claims.exclusivity) == (Idempotency.LOOKUP, Exclusivity.NONE)
    assert (claims.observation, claims.settling_seconds, claims.safe_posts) == (Basis.BY_KEY, 0, ())
    assert claims.safe_calls is not None
    assert claims.safe_calls.address == "/clinic/"
    assert {name.rpartition(".")[2] for name in claims.safe_calls.methods} == {"get_access", "search_read"}


# -- the three operations --------------------------------------------------------------------------------


@pytest.mark.requirement("ADAPT-09", "CARD-02")
async def test_a_booking_is_one_create_with_our_key_in_its_name(office: Any, tryton: Any) -> None:
    async with office.booking() as harness:
        assert await harness.readiness() is None
        result = await harness.commit()
        assert (result.effect, result.code) == (Effect.APPLIED, Code.COMMITTED)
        look = await harness.observe()
        assert harness.requests == 5
    (record,) = tryton.records
    assert (tryton.writes, look.finding) == (1, ObservationFinding.PRESENT)
    assert record["name"] == mapping.name_of(harness.request)
    assert (record["patient"], record["healthprof"], record["institution"], record["speciality"]) == (3, 5, 7, 9)
    assert (record["appointment_date"], record["state"]) == (spelt(harness), "confirmed")
    assert harness.binding is not None
    assert (harness.binding.identifier, harness.binding.version) == ("1", record["_timestamp"])


@pytest.mark.requirement("ADAPT-09", "CARD-02")
async def test_a_reschedule_is_one_write_that_names_the_approved_version_and_no_state(office: Any, tryton: Any) -> None:
    booked = await office.booked()
    before = tryton.records[0]["_timestamp"]
    async with await office.change(Operation.RESCHEDULE, booked) as harness:
        assert await harness.readiness() is None
        assert (await harness.commit()).effect is Effect.APPLIED
        assert (await harness.observe()).finding is ObservationFinding.PRESENT
    _, (numbers, values, context) = next(call for call in tryton.calls if call[0].endswith(".write"))
    assert (numbers, context) == ([1], {"_timestamp": {"gnuhealth.appointment,1": before}})
    assert values == {
        "name": mapping.name_of(harness.request),
        "healthprof": 5,
        "institution": 7,
        "speciality": 9,
        "appointment_date": spelt(harness),
    }
    assert values["name"].startswith(mapping.name_of(booked.request) + "-")
    assert (tryton.writes, tryton.records[0]["state"]) == (2, "confirmed")


@pytest.mark.requirement("ADAPT-09", "CARD-02")
async def test_a_cancellation_is_one_write_of_the_state_and_keeps_the_record(office: Any, tryton: Any) -> None:
    async with await office.change(Operation.CANCEL) as harness:
        assert await harness.readiness() is None
        assert (await harness.commit()).effect is Effect.APPLIED
        assert (await harness.observe()).finding is ObservationFinding.PRESENT
    _, (_, values, _) = next(call for call in tryton.calls if call[0].endswith(".write"))
    assert values == {"name": mapping.name_of(harness.request), "state": "user_cancelled"}
    assert (tryton.writes, len(tryton.records)) == (2, 1)


async def test_a_second_change_is_found_by_the_first_key_and_leaves_its_own(office: Any, tryton: Any) -> None:
    async with await office.change(Operation.RESCHEDULE) as moved:
        assert await moved.readiness() is None
        await moved.commit()
    async with await office.change(Operation.CANCEL, moved) as harness:
        assert await harness.readiness() is None
        assert (await harness.commit()).effect is Effect.APPLIED
        assert (await moved.observe()).finding is ObservationFinding.INDETERMINATE
    assert tryton.records[0]["name"] == mapping.name_of(harness.request)


# -- readiness -------------------------------------------------------------------------------------------


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


# -- what the reply to a write leaves open ---------------------------------------------------------------


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


# -- looks -----------------------------------------------------------------------------------------------


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
