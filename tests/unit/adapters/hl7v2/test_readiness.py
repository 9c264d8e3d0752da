"""Readiness of partners who answer queries, and of those who answer none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.contracts.adapter import Proof, TargetState
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from gateway.testing import make_connection, make_request
from tests.unit.adapters.hl7v2.conftest import BLIND, WHOLE, answering, booked_version, key_of

Asking = Callable[..., Any]


@pytest.mark.requirement("GATE-24", "GATE-26")
async def test_the_right_to_schedule_is_declared_or_unverifiable(partner: Any, asking: Asking, says: Any) -> None:
    partner.says["/SQM/S25"] = answering(says)
    for declared, proof in ((True, Proof.PROVEN), (None, Proof.UNVERIFIABLE), ("true", Proof.UNVERIFIABLE)):
        found = await partner.ready(asking(settings={"access-declared": declared}))
        assert (found.available, found.credentials, found.authorised) == (Proof.PROVEN, Proof.PROVEN, proof)


@pytest.mark.requirement("GATE-24")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda header, says: says(header, "SQR^S25", "AA"),
        lambda header, says: says(header, "ACK", "AA", f"QAK|{header[9]}|NF"),
        lambda header, says: says(header, "SQR^S25", "AA", "QAK|other|NF"),
        lambda header, says: says(header, "SQR^S25", "AA", f"QAK|{header[9]}|OK"),
        lambda header, says: says(header, "SQR^S25", "AA", f"QAK|{header[9]}|AE"),
        lambda header, says: says(header, "SQR^S25", "AA", f"QAK|{header[9]}|NF", "DSC|more"),
        lambda header, says: says(header, "SQR^S25", "AA", "ERR|||207^x^HL70357|E", f"QAK|{header[9]}|NF"),
        lambda header, says: says(header, "SQR^S25", "AE"),
        lambda header, says: says(header, "SQR^S25", "CA", f"QAK|{header[9]}|NF"),
        lambda header, says: says([*header[:9], "another"], "SQR^S25", "AA", f"QAK|{header[9]}|NF"),
        lambda header, says: b"\xff\xfe noise",
        lambda header, says: "",
    ],
)
async def test_an_answer_that_is_not_whole_and_ours_proves_nothing(
    partner: Any, asking: Asking, says: Any, spoil: Any
) -> None:
    partner.says["/SQM/S25"] = lambda header: spoil(header, says)
    found = await partner.ready(asking())
    assert Proof.PROVEN not in (found.available, found.authorised)
    assert found.target is TargetState.UNVERIFIABLE
    assert (await partner.look(asking())).finding is ObservationFinding.INDETERMINATE


@pytest.mark.parametrize(
    ("error", "refuted"),
    [
        ("ERR|||207^x^HL70357|E", "available"),
        ("ERR|||206^x^HL70357|E", "available"),
        ("ERR|||207^x^HL70357|E|NOT-ALLOWED", "authorised"),
        ("ERR|||103^x^HL70357|E", None),
        ("ERR|||207^x^HL70357|W", "available"),  # AR alone already says so
    ],
)
async def test_a_query_that_is_rejected_refutes_what_its_error_says(
    partner: Any, asking: Asking, says: Any, error: str, refuted: str | None
) -> None:
    partner.says["/SQM/S25"] = answering(says, error, said="AR")
    found = await partner.ready(asking())
    assert [name for name in ("available", "authorised") if getattr(found, name) is Proof.REFUTED] == (
        [refuted] if refuted else []
    )
    assert found.target is TargetState.UNVERIFIABLE


async def test_nothing_is_asked_that_could_not_be_booked(partner: Any, asking: Asking) -> None:
    request = asking(
        start=make_request(make_connection("mllp://127.0.0.1:1/")).particulars.start.replace(microsecond=1)
    )
    assert (await partner.ready(request)).target is TargetState.UNVERIFIABLE
    assert partner.heard == []


BUSY = {
    "booked": ("Booked", "^^^20310303101500^20310303104500", TargetState.TAKEN),
    "blocked": ("Blocked", "^^^20310303090000^20310303180000", TargetState.TAKEN),
    "at an unknown time": ("Booked", "", TargetState.TAKEN),
    "cancelled": ("Cancelled", "^^^20310303100000^20310303103000", TargetState.OPEN),
    "just before": ("Booked", "^^^20310303093000^20310303100000", TargetState.OPEN),
    "once more": ("Booked", "^^^20310302100000^20310302103000~^^^20310303100000^20310303103000", TargetState.TAKEN),
}


@pytest.mark.requirement("GATE-24", "FAIL-17")
@pytest.mark.parametrize("case", BUSY)
async def test_a_slot_is_open_where_nothing_is_shown_in_it(
    partner: Any, asking: Asking, says: Any, shows: Any, case: str
) -> None:
    status, times, target = BUSY[case]
    partner.says["/SQM/S25"] = answering(says, shows("SOMEBODY", status, times=times), status="OK")
    assert (await partner.ready(asking())).target is target


@pytest.mark.requirement("GATE-24", "FAIL-17")
@pytest.mark.parametrize(("count", "target"), [(99, TargetState.OPEN), (100, TargetState.UNVERIFIABLE)])
async def test_an_answer_as_long_as_was_asked_for_may_be_cut(
    partner: Any, asking: Asking, says: Any, shows: Any, count: int, target: TargetState
) -> None:
    """Some fillers stop at the quantity of QRD-7 without DSC; what they leave out may be in the slot."""
    before = "^^^20310303093000^20310303100000"
    many = [shows(f"SOMEBODY{number}", times=before) for number in range(count)]
    partner.says["/SQM/S25"] = answering(says, *many, status="OK")
    assert (await partner.ready(asking())).target is target
    assert partner.segments()["QRD"][7] == "100^RD"


async def test_every_duration_is_of_the_start_beside_it(partner: Any, asking: Asking, says: Any, shows: Any) -> None:
    parts = ("AIS|1||service-1|20310303090000|||60|min", "AIL|1||location-1|||20310303093000|||30|min")
    partner.says["/SQM/S25"] = answering(says, shows("SOMEBODY", times=""), *parts, status="OK")
    assert (await partner.ready(asking())).target is TargetState.OPEN


async def test_an_appointment_that_is_cancelled_in_part_is_not_over(
    partner: Any, asking: Asking, says: Any, shows: Any
) -> None:
    for status, target in (("Cancelled", TargetState.OPEN), ("Booked", TargetState.TAKEN)):
        part = f"AIL|1||location-1|||||||||{status}"
        partner.says["/SQM/S25"] = answering(says, shows("SOMEBODY", "Cancelled"), part, status="OK")
        assert (await partner.ready(asking())).target is target


@pytest.mark.requirement("GATE-24", "CARD-09")
@pytest.mark.parametrize(
    ("details", "target"),
    [
        ({}, TargetState.OPEN),
        ({"filler": "F1.2^F"}, TargetState.CHANGED),
        ({"group": "another"}, TargetState.CHANGED),
        ({"times": "^^^20310303110000^20310303113000"}, TargetState.CHANGED),
        ({"filler": ""}, TargetState.CHANGED),
        ({"status": "Pending"}, TargetState.CHANGED),
        ({"status": "Cancelled"}, TargetState.ABSENT),
        ({"status": "Deleted"}, TargetState.ABSENT),
    ],
)
async def test_a_change_starts_from_the_approved_version_only(
    partner: Any, asking: Asking, says: Any, shows: Any, details: Any, target: TargetState
) -> None:
    _, version = await booked_version(partner, asking, says, shows)
    request = asking(Operation.CANCEL, version=version)
    partner.says["/SQM/S25"] = answering(says, shows(key_of(request), **details), status="OK")
    found = await partner.ready(request)
    assert found.target is target
    assert (found.prepared is not None) is (target is TargetState.OPEN)


@pytest.mark.requirement("GATE-24", "CARD-09")
@pytest.mark.parametrize(
    ("whose", "target"),
    [
        ("PID|1||patient-1", TargetState.OPEN),
        ("PID|1||patient-2", TargetState.CHANGED),
        ("PID|1||patient-2~patient-1^^^HOSP", TargetState.OPEN),
        ("PID|1||patient-2\rPID|2||patient-1", TargetState.UNVERIFIABLE),
        ("", TargetState.UNVERIFIABLE),
    ],
)
@pytest.mark.parametrize("operation", [Operation.CANCEL, Operation.RESCHEDULE])
async def test_a_change_is_of_the_patient_s_own_appointment(
    partner: Any, asking: Asking, says: Any, shows: Any, operation: Operation, whose: str, target: TargetState
) -> None:
    _, version = await booked_version(partner, asking, says, shows)
    partner.says["/SQM/S25"] = answering(says, shows(key_of(asking(operation)), whose=whose), status="OK")
    assert (await partner.ready(asking(operation, version=version))).target is target


@pytest.mark.requirement("GATE-24", "CARD-09")
@pytest.mark.parametrize("place", range(3))
async def test_the_version_covers_the_resources(
    partner: Any, asking: Asking, says: Any, shows: Any, place: int
) -> None:
    request = asking(Operation.RESCHEDULE)
    partner.says["/SQM/S25"] = answering(says, shows(key_of(request)), *WHOLE, status="OK")
    version = (await partner.look(request)).version
    assert (await partner.ready(asking(Operation.RESCHEDULE, version=version))).target is TargetState.OPEN
    changed = [f"{each}0" if number == place else each for number, each in enumerate(WHOLE)]
    partner.says["/SQM/S25"] = answering(says, shows(key_of(request)), *changed, status="OK")
    assert (await partner.ready(asking(Operation.RESCHEDULE, version=version))).target is TargetState.CHANGED


@pytest.mark.requirement("GATE-24")
@pytest.mark.parametrize("place", range(3))
async def test_a_reschedule_may_lead_to_other_people_a_place_or_a_service(
    partner: Any, asking: Asking, says: Any, shows: Any, place: int
) -> None:
    """What stands is the approved version; what it is to become is not compared with it. A cancellation is of that
    very appointment."""
    stands = [f"{each}0" if number == place else each for number, each in enumerate(WHOLE)]
    for operation, target in ((Operation.RESCHEDULE, TargetState.OPEN), (Operation.CANCEL, TargetState.CHANGED)):
        partner.says["/SQM/S25"] = answering(says, shows(key_of(asking(operation))), *stands, status="OK")
        version = (await partner.look(asking(operation))).version
        assert (await partner.ready(asking(operation, version=version))).target is target


@pytest.mark.requirement("GATE-24", "CARD-09")
@pytest.mark.parametrize(
    ("times", "target"),
    [
        ("^^^20310303100000^20310303103000", TargetState.OPEN),
        ("^^^20310303110000^20310303113000", TargetState.CHANGED),
        ("^^^20310303100000^20310303110000", TargetState.CHANGED),
    ],
)
async def test_a_cancellation_is_of_the_hour_that_was_shown(
    partner: Any, asking: Asking, says: Any, shows: Any, times: str, target: TargetState
) -> None:
    request = asking(Operation.CANCEL)
    partner.says["/SQM/S25"] = answering(says, shows(key_of(request), times=times), *WHOLE, status="OK")
    version = (await partner.look(request)).version
    assert (await partner.ready(asking(Operation.CANCEL, version=version))).target is target


async def test_what_is_not_there_and_what_is_there_twice(partner: Any, asking: Asking, says: Any, shows: Any) -> None:
    request = asking(Operation.CANCEL)
    partner.says["/SQM/S25"] = answering(says)
    assert (await partner.ready(request)).target is TargetState.ABSENT
    other = answering(says, shows("ANOTHER"), status="OK")
    twice = answering(says, shows(key_of(request)), shows(key_of(request)), status="OK")
    among = answering(says, shows(key_of(request)), shows("ANOTHER"), status="OK")
    for said in (other, twice, among):
        partner.says["/SQM/S25"] = said
        assert (await partner.ready(request)).target is TargetState.UNVERIFIABLE
        assert (await partner.look(request)).finding is ObservationFinding.INDETERMINATE
        assert (await partner.look(asking())).finding is ObservationFinding.INDETERMINATE


async def test_every_query_has_a_control_id_of_its_own(partner: Any, asking: Asking, says: Any) -> None:
    """Some fillers answer one that they know from memory, which proves nothing about now."""
    partner.says["/SQM/S25"] = answering(says)
    request = asking()
    for _ in range(3):
        await partner.ready(request)
    sent = [partner.segments(index)["MSH"][9] for index in range(3)]
    assert len(set(sent)) == 3
    assert all(len(each) == 20 for each in sent)
    assert [partner.segments(index)["QRD"][4] for index in range(3)] == sent


# -- a partner who answers no queries ------------------------------------------------------------------------


@pytest.mark.requirement("GATE-24", "GATE-27")
@pytest.mark.parametrize("said", ["AA", "AE", "AR"])
async def test_without_queries_any_acknowledgement_of_ours_proves_that_the_application_answers(
    partner: Any, asking: Asking, says: Any, said: str
) -> None:
    partner.says["/NMQ/N01"] = lambda header: says(header, "ACK", said)
    found = await partner.ready(asking(settings={**BLIND, "slots-declared": True}))
    assert (found.available, found.authorised, found.target) == (Proof.PROVEN, Proof.PROVEN, TargetState.OPEN)
    assert (await partner.ready(asking(settings=BLIND))).target is TargetState.UNVERIFIABLE


@pytest.mark.parametrize("said", ["CA", "", "ok"])
async def test_without_queries_a_word_that_is_none_proves_nothing(
    partner: Any, asking: Asking, says: Any, said: str
) -> None:
    partner.says["/NMQ/N01"] = lambda header: says(header, "ACK", said)
    found = await partner.ready(asking(settings={**BLIND, "slots-declared": True}))
    assert found.available is Proof.UNVERIFIABLE
    partner.says["/NMQ/N01"] = lambda header: says([*header[:9], "other"], "ACK", "AA")
    found = await partner.ready(asking(settings={**BLIND, "slots-declared": True}))
    assert found.available is Proof.UNVERIFIABLE
