"""What was approved in athenaOne's words, and what its records say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from adapters.athenahealth import mapping
from adapters.athenahealth.testing import PATIENTS
from gateway.contracts.adapter import Basis, IdentifierMissingError, TargetState, version_digest
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation, Role
from gateway.contracts.words import ObservationFinding as Finding
from tests.unit.adapters.athenahealth.conftest import MORNING, VENDOR, make_request, record

HALF_HOUR = timedelta(minutes=30)


def read(**changes: Any) -> mapping.Record:
    return mapping.Record.model_validate(record(**changes))


def wanted(**details: Any) -> mapping.Approved:
    approved = mapping.approved(make_request(**details))
    assert approved is not None
    return approved


def test_what_was_approved_is_spelled_as_local_time_at_the_department() -> None:
    approved = wanted()
    assert (approved.patient, approved.service) == (PATIENTS[0], "563")
    assert approved.place == {
        "date": "05/06/2031",
        "starttime": "09:00",
        "duration": "30",
        "departmentid": "1",
        "providerid": "71",
    }
    assert wanted(start=datetime(2031, 1, 7, 4, 30, tzinfo=UTC)).place["date"] == "01/06/2031"
    assert wanted(start=datetime(2031, 1, 7, 4, 30, tzinfo=UTC)).place["starttime"] == "23:30"


@pytest.mark.requirement("ADAPT-05")
@pytest.mark.parametrize(
    "details",
    [
        pytest.param({"start": datetime(2031, 11, 2, 5, 30, tzinfo=UTC)}, id="shown-twice-first"),
        pytest.param({"start": datetime(2031, 11, 2, 6, 30, tzinfo=UTC)}, id="shown-twice-second"),
        pytest.param({"start": MORNING + timedelta(seconds=1)}, id="seconds"),
        pytest.param({"start": MORNING + timedelta(microseconds=1)}, id="fraction"),
        pytest.param({"length": timedelta(minutes=30, seconds=1)}, id="length-in-seconds"),
        pytest.param({"roles": (Role.PRACTITIONER, Role.PRACTITIONER)}, id="two-participants"),
        pytest.param({"roles": (Role.DEVICE,)}, id="a-device"),
    ],
)
def test_what_athena_cannot_say_is_not_said(details: dict[str, Any]) -> None:
    assert mapping.approved(make_request(**details)) is None


def test_the_hours_beside_a_change_of_clocks_are_plain() -> None:
    assert wanted(start=datetime(2031, 11, 2, 4, 30, tzinfo=UTC)).place["starttime"] == "00:30"
    assert wanted(start=datetime(2031, 3, 9, 7, 0, tzinfo=UTC)).place["starttime"] == "03:00"


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("missing", sorted(VENDOR))
def test_a_reference_that_is_bound_to_nothing_is_the_practices_gap(missing: str) -> None:
    known = {name: identifier for name, identifier in VENDOR.items() if name != missing}
    with pytest.raises(IdentifierMissingError):
        mapping.approved(make_request(vendor=known))


@pytest.mark.parametrize(
    "settings",
    [
        {"ignoreschedulablepermission": True},
        {"patient_case": "false"},
        {"patient_case": 1},
        {"cancel_reason": "2"},
        {"cancel_reason": True},
        {"service_is": "anything"},
        {"relay_seconds": "30"},
    ],
    ids=str,
)
def test_a_setting_that_is_not_on_the_closed_list_is_refused_and_not_repeated(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Settings") as refused:
        mapping.Settings.of(make_request(**settings).connection)
    assert "anything" not in str(refused.value)


def test_without_settings_nothing_acts_besides_and_no_rule_is_overruled() -> None:
    settings = mapping.Settings()
    assert not settings.access_declared
    booking = mapping.form(make_request(), settings, wanted(), read())
    assert booking == {
        "patientid": PATIENTS[0],
        "departmentid": "1",
        "reasonid": "563",
        "ignoreschedulablepermission": "false",
        "nopatientcase": "true",
        "donotsendconfirmationemail": "true",
    }
    slots = mapping.slots_query(wanted(), settings)
    assert (slots["bypassscheduletimechecks"], slots["ignoreschedulablepermission"]) == ("false", "false")


def test_each_setting_sends_its_flag_and_no_other() -> None:
    settings = mapping.Settings(
        service_is="type",
        ignore_schedulable_permission=True,
        bypass_schedule_time_checks=True,
        patient_case=True,
        confirmation_email=True,
        cancel_reason=2,
    )
    assert mapping.form(make_request(), settings, wanted(), read()) == {
        "patientid": PATIENTS[0],
        "departmentid": "1",
        "appointmenttypeid": "563",
        "ignoreschedulablepermission": "true",
        "nopatientcase": "false",
        "donotsendconfirmationemail": "false",
    }
    move = make_request(Operation.RESCHEDULE, target=("1", "v"), reason="conflict")
    assert mapping.form(move, settings, wanted(), read()) == {
        "patientid": PATIENTS[0],
        "newappointmentid": "1205967",
        "reschedulereason": "conflict",
        "appointmentcancelreasonid": "2",
        "ignoreschedulablepermission": "true",
        "nopatientcase": "false",
    }
    cancel = make_request(Operation.CANCEL, target=("1", "v"), reason="patient-request")
    assert mapping.form(cancel, settings, wanted(), None) == {
        "patientid": PATIENTS[0],
        "cancellationreason": "patient-request",
        "appointmentcancelreasonid": "2",
        "ignoreschedulablepermission": "true",
        "nopatientcase": "false",
    }
    assert mapping.slots_query(wanted(), settings) == {
        "departmentid": "1",
        "providerid": "71",
        "appointmenttypeid": "563",
        "startdate": "05/06/2031",
        "enddate": "05/06/2031",
        "ignoreschedulablepermission": "true",
        "bypassscheduletimechecks": "true",
        "limit": 10_000,
    }


def test_a_reschedule_names_the_reason_where_services_are_reasons_and_tells_none_that_was_not_approved() -> None:
    move = make_request(Operation.RESCHEDULE, target=("1", "v"))
    body = mapping.form(move, mapping.Settings(), wanted(), read())
    assert body.keys() == {
        "patientid",
        "newappointmentid",
        "reasonid",
        "ignoreschedulablepermission",
        "nopatientcase",
    }


def test_no_form_can_be_broken_out_of() -> None:
    approved = wanted(vendor=VENDOR | {"patient": "1&reasonid=2"})
    body = mapping.form(make_request(), mapping.Settings(), approved, read())
    assert "patientid=1%26reasonid%3D2" in urlencode(body)


@pytest.mark.requirement("CARD-09")
def test_the_version_is_of_all_that_a_reviewer_is_shown_and_of_nothing_else() -> None:
    version = read().version
    assert version == read(appointmenttype="renamed", copay=5, duration="30", appointmentid=1205967).version
    for name, other in (
        ("appointmentid", "1205968"),
        ("appointmentstatus", "2"),
        ("patientid", PATIENTS[1]),
        ("date", "05/07/2031"),
        ("starttime", "09:30"),
        ("duration", "60"),
        ("departmentid", "2"),
        ("providerid", "72"),
        ("appointmenttypeid", "83"),
    ):
        assert read(**{name: other}).version != version, name
    assert PATIENTS[0] not in version


def test_a_record_shows_contradicts_or_leaves_open() -> None:
    expected = wanted().appointment
    assert read().shows(expected) is True
    assert read(providerid="").shows(expected) is None
    assert read(date=None, starttime=None).shows(expected) is None
    assert read(date=None, patientid=PATIENTS[1]).shows(expected) is False


@pytest.mark.parametrize("value", [None, True, 1.5, [], {}], ids=str)
def test_a_number_is_a_number_or_its_text(value: Any) -> None:
    with pytest.raises(ValueError, match="duration"):
        mapping.Record.model_validate(record() | {"duration": value})


def test_records_print_no_identifier() -> None:
    shown = repr((read(), mapping.Records.model_validate([record()]), wanted()))
    assert not any(each in shown for each in (PATIENTS[0], "1205967", "05/06/2031"))


def page(*entries: mapping.Record, total: int | None = None, next: str | None = None) -> mapping.Listing:
    return mapping.Listing(appointments=entries, totalcount=len(entries) if total is None else total, next=next)


def test_a_list_gives_what_matches_and_proves_nothing_unless_it_is_whole() -> None:
    place = wanted().place
    other = read(appointmentid="2", starttime="10:00")
    assert page(read(), other).matching(place) == [read()]
    assert page(other).matching(place) == []
    for partial in (page(read(), total=2), page(read(), next="/v1/195900/appointments/open?offset=1")):
        with pytest.raises(Refusal) as refused:
            partial.matching(place)
        assert refused.value.code is Code.REPLY_UNRECOGNISED
    with pytest.raises(Refusal):
        page(read(), read(appointmentid="2", starttime="")).matching(place)


def test_one_open_slot_is_taken_and_none_is_taken_by_somebody() -> None:
    assert mapping.chosen([]) is TargetState.TAKEN
    assert mapping.chosen([read()]) == read()


def test_of_several_slots_the_lowest_number_is_taken_if_they_are_alike_and_none_if_they_are_not() -> None:
    low, high = read(appointmentid="999"), read(appointmentid="1000")
    assert mapping.chosen([high, low]) == low
    assert mapping.chosen([high, read(appointmentid="999", appointmenttypeid="83")]) is TargetState.UNVERIFIABLE


@pytest.mark.requirement("GATE-24")
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=str)
def test_a_target_is_open_only_as_the_approved_patients_at_the_approved_version(operation: Operation) -> None:
    def state(found: mapping.Record, version: str | None = None) -> TargetState:
        request = make_request(operation, target=("1205967", version or found.version))
        return mapping.target_state(found, request, wanted())

    assert state(read()) is TargetState.OPEN
    assert state(read(), "another version") is TargetState.CHANGED
    assert state(read(patientid=PATIENTS[1])) is TargetState.CHANGED
    for status in ("x", "o", "2", "3", "4", ""):
        assert state(read(appointmentstatus=status)) is TargetState.CHANGED
    assert state(read(patientid=None)) is TargetState.UNVERIFIABLE


def test_a_cancellation_is_of_the_appointment_at_the_approved_place() -> None:
    moved = read(starttime="10:00")
    cancel = make_request(Operation.CANCEL, target=("1205967", moved.version))
    assert mapping.target_state(moved, cancel, wanted()) is TargetState.CHANGED
    silent = read(starttime=None)
    cancel = make_request(Operation.CANCEL, target=("1205967", silent.version))
    assert mapping.target_state(silent, cancel, wanted()) is TargetState.UNVERIFIABLE
    move = make_request(Operation.RESCHEDULE, target=("1205967", moved.version))
    assert mapping.target_state(moved, move, wanted()) is TargetState.OPEN


CANCELLED = read(appointmentid="7", appointmentstatus="x")


@pytest.mark.requirement("CARD-03")
@pytest.mark.parametrize(
    ("held", "finding"),
    [
        pytest.param([], Finding.ABSENT, id="nothing"),
        pytest.param([read()], Finding.PRESENT, id="booked"),
        pytest.param([read(appointmentstatus="2")], Finding.PRESENT, id="checked-in"),
        pytest.param([CANCELLED, read()], Finding.PRESENT, id="cancelled-and-booked"),
        pytest.param([CANCELLED], Finding.INDETERMINATE, id="cancelled"),
        pytest.param([read(appointmentstatus="?")], Finding.INDETERMINATE, id="in-no-known-status"),
        pytest.param([read(), read(appointmentid="8")], Finding.DIFFERENT, id="booked-twice"),
    ],
)
def test_a_booking_is_seen_by_what_the_patient_has_there(held: list[mapping.Record], finding: Finding) -> None:
    seen = mapping.booking_seen(held)
    assert (seen.finding, seen.basis) == (finding, Basis.MATCHING)
    shown = finding is Finding.PRESENT
    assert (seen.identifier, seen.version is not None) == ("1205967" if shown else None, shown)


OLD = read(appointmentid="5", starttime="08:00")
GONE = read(appointmentid="5", starttime="08:00", appointmentstatus="x")


@pytest.mark.requirement("CARD-03")
@pytest.mark.parametrize(
    ("held", "old", "approved", "finding"),
    [
        pytest.param([read()], GONE, True, Finding.PRESENT, id="moved"),
        pytest.param([read()], None, True, Finding.PRESENT, id="moved-and-old-not-shown"),
        pytest.param(
            [read()],
            read(appointmentid="5", appointmentstatus="o", patientid=None),
            True,
            Finding.PRESENT,
            id="moved-and-old-open",
        ),
        pytest.param(
            [read()], read(appointmentid="5", patientid=PATIENTS[1]), True, Finding.INDETERMINATE, id="old-anothers"
        ),
        pytest.param(
            [read()],
            GONE.model_copy(update={"patientid": PATIENTS[1]}),
            True,
            Finding.INDETERMINATE,
            id="old-anothers-and-cancelled",
        ),
        pytest.param(
            [read()],
            read(appointmentid="5", appointmentstatus="?"),
            True,
            Finding.INDETERMINATE,
            id="old-in-no-known-status",
        ),
        pytest.param(
            [],
            read(appointmentid="5", appointmentstatus="?"),
            True,
            Finding.INDETERMINATE,
            id="nothing-and-no-known-status",
        ),
        pytest.param([read()], OLD, True, Finding.DIFFERENT, id="both"),
        pytest.param([read(), read(appointmentid="8")], GONE, True, Finding.DIFFERENT, id="twice"),
        pytest.param([], OLD, True, Finding.ABSENT, id="not-moved"),
        pytest.param([], OLD, False, Finding.INDETERMINATE, id="changed-otherwise"),
        pytest.param([], GONE, True, Finding.INDETERMINATE, id="cancelled-instead"),
        pytest.param([], None, True, Finding.INDETERMINATE, id="nothing-at-all"),
        pytest.param([CANCELLED], GONE, True, Finding.INDETERMINATE, id="moved-and-cancelled"),
        pytest.param([CANCELLED], OLD, True, Finding.INDETERMINATE, id="cancelled-there-before"),
    ],
)
def test_a_move_is_seen_by_the_new_place_and_the_old_appointment(
    held: list[mapping.Record], old: mapping.Record | None, approved: bool, finding: Finding
) -> None:
    request = make_request(Operation.RESCHEDULE, target=("5", OLD.version if approved else "another"))
    assert mapping.move_seen(held, old, request, wanted()).finding is finding


@pytest.mark.requirement("CARD-03")
@pytest.mark.parametrize(
    ("target", "approved", "finding"),
    [
        pytest.param(read(appointmentstatus="x"), True, Finding.PRESENT, id="cancelled"),
        pytest.param(
            read(appointmentstatus="x", rescheduledappointmentid="0"), True, Finding.PRESENT, id="moved-nowhere"
        ),
        pytest.param(read(appointmentstatus="x", rescheduledappointmentid=9), True, Finding.DIFFERENT, id="moved"),
        pytest.param(read(), True, Finding.ABSENT, id="stands"),
        pytest.param(read(), False, Finding.INDETERMINATE, id="changed"),
        pytest.param(read(appointmentstatus="2"), True, Finding.INDETERMINATE, id="checked-in"),
        pytest.param(read(appointmentstatus="o", patientid=None), True, Finding.INDETERMINATE, id="open-again"),
        pytest.param(read(appointmentstatus="x", starttime="10:00"), True, Finding.INDETERMINATE, id="elsewhere"),
        pytest.param(None, True, Finding.INDETERMINATE, id="not-there"),
    ],
)
def test_a_cancellation_is_seen_by_the_appointment_itself(
    target: mapping.Record | None, approved: bool, finding: Finding
) -> None:
    version = target.version if target is not None and approved else "another"
    request = make_request(Operation.CANCEL, target=("1205967", version))
    assert mapping.cancellation_seen(target, request, wanted()).finding is finding
    assert version_digest(version) == request.particulars.target.version  # type: ignore[union-attr]
