"""The adapter against a filler application through the real boundary, and against partners who say otherwise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from adapters.hl7v2.adapter import Hl7v2Adapter
from adapters.hl7v2.testing import AGREED, ZONE
from gateway.contracts.adapter import (
    Basis,
    Claim,
    Exclusivity,
    Idempotency,
    Proof,
    Receipt,
    TargetState,
)
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding
from gateway.testing import AdapterHarness, make_connection, make_request

STATED, END = "20310303100000", "20310303103000"  # START in Berlin
KEY = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
Asking = Callable[..., Any]


def key_of(request: Any) -> str:
    """The appointment's placer id."""
    spell = request.native_key if request.operation is Operation.BOOK else request.target_key
    return str(spell(KEY, 20))


def harness(filler: Any, **settings: Any) -> AdapterHarness:
    agreed = {**filler.settings, **settings}
    return AdapterHarness(Hl7v2Adapter(), make_request(make_connection(filler.base_url, settings=agreed, zone=ZONE)))


# -- with a filler ------------------------------------------------------------------------------------------


@pytest.mark.requirement("ADAPT-05", "ADAPT-09", "CARD-06")
async def test_book_reschedule_and_cancel_are_made_and_found(filler: Any) -> None:
    async with harness(filler, acknowledgement="enhanced", **{"settling-seconds": 1}) as booking:
        assert await booking.readiness() is None
        assert (await booking.commit()).effect is Effect.APPLIED
        assert (await booking.observe()).finding is ObservationFinding.PRESENT
        later = booking.request.particulars.start + timedelta(hours=2)
        async with booking.following(Operation.RESCHEDULE, later) as move:
            async with move.again() as before:
                assert (await before.observe()).finding is ObservationFinding.ABSENT
            assert await move.readiness() is None
            assert (await move.commit()).effect is Effect.APPLIED
            assert (await move.observe()).finding is ObservationFinding.PRESENT
            assert (await booking.observe()).finding is ObservationFinding.DIFFERENT
            async with move.following(Operation.CANCEL) as cancellation:
                assert await cancellation.readiness() is None
                assert (await cancellation.commit()).effect is Effect.APPLIED
                assert (await cancellation.observe()).finding is ObservationFinding.PRESENT
                assert (await move.observe()).finding is ObservationFinding.INDETERMINATE
    (seen,) = await filler.observer.appointments(later, later + timedelta(minutes=30))
    assert seen.cancelled


@pytest.mark.requirement("FAIL-17")
async def test_a_taken_slot_blocks_and_one_taken_meanwhile_is_refused(filler: Any) -> None:
    async with harness(filler) as first, harness(filler) as second, harness(filler) as third:
        assert await first.readiness() is None
        assert await second.readiness() is None
        assert (await first.commit()).effect is Effect.APPLIED
        assert await third.readiness() is Code.SLOT_TAKEN
        result = await second.commit()
        assert (result.effect, result.code) == (Effect.REFUSED, Code.SLOT_TAKEN)
        assert (await second.observe()).finding is ObservationFinding.ABSENT


async def test_a_key_that_is_used_is_no_refusal(filler: Any) -> None:
    async with harness(filler) as first, first.again() as second:
        assert await first.readiness() is None
        assert await second.readiness() is None
        assert (await first.commit()).effect is Effect.APPLIED
        assert (await second.commit()).effect is Effect.APPLIED  # the filler's replay
    (seen,) = await filler.observer.appointments(first.request.particulars.start, first.request.particulars.end)
    assert len(seen.keys) == 1


# -- what is claimed --------------------------------------------------------------------------------------


@pytest.mark.requirement("CARD-01", "ADAPT-09")
@pytest.mark.parametrize(
    ("settings", "operations", "idempotency", "observation"),
    [
        ({}, 1, Idempotency.NONE, Basis.NONE),
        ({"query": True}, 1, Idempotency.LOOKUP, Basis.BY_KEY),
        ({"query": "true"}, 1, Idempotency.NONE, Basis.NONE),
        ({"filler-id-changes": True}, 1, Idempotency.NONE, Basis.NONE),
        ({"query": True, "filler-id-changes": True}, 3, Idempotency.LOOKUP, Basis.BY_KEY),
        ({"query": True, "placer-id-unique": True}, 1, Idempotency.UNIQUE, Basis.BY_KEY),
    ],
)
def test_only_what_was_agreed_is_claimed(
    settings: Any, operations: int, idempotency: Idempotency, observation: Basis
) -> None:
    claims = Hl7v2Adapter().describe(make_connection("mllp://127.0.0.1:1/", settings=settings))
    assert len(claims.operations) == operations
    assert (claims.idempotency, claims.observation) == (idempotency, observation)
    assert claims.exclusivity is Exclusivity.NONE
    assert claims.safe_posts == (("/SQM/S25",) if observation is Basis.BY_KEY else ("/NMQ/N01",))


def test_a_slot_is_guarded_where_its_refusal_has_a_code() -> None:
    for settings, guarded in ((AGREED, Exclusivity.ENFORCED), ({"error-slot-taken": True}, Exclusivity.NONE)):
        claims = Hl7v2Adapter().describe(make_connection("mllp://127.0.0.1:1/", settings=dict(settings)))
        assert claims.exclusivity is guarded


@pytest.mark.requirement("CARD-12")
def test_what_an_engine_before_the_filler_does_is_claimed() -> None:
    agreed = {"settling-seconds": 2, "relay-seconds": 600, "redelivers": True}
    claims = Hl7v2Adapter().describe(make_connection("mllp://127.0.0.1:1/", settings=agreed))
    assert (claims.settling_seconds, claims.relay_seconds, claims.redelivers) == (2, 600, True)
    claims = Hl7v2Adapter().describe(make_connection("mllp://127.0.0.1:1/"))
    assert (claims.settling_seconds, claims.relay_seconds, claims.redelivers) == (0, 0, False)


@pytest.mark.parametrize(
    ("name", "value"),
    [("settling-seconds", "600"), ("relay-seconds", True), ("relay-seconds", -1), ("redelivers", "true")],
)
def test_a_setting_that_is_none_is_not_taken_for_its_absence(name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        Hl7v2Adapter().describe(make_connection("mllp://127.0.0.1:1/", settings={name: value}))


@pytest.mark.requirement("CARD-12")
async def test_an_engine_that_redelivers_needs_a_filler_that_takes_a_key_once(asking: Asking) -> None:
    async with AdapterHarness(Hl7v2Adapter(), asking(settings={"redelivers": True})) as booking:
        assert booking.requests == 0
    with pytest.raises(Refusal) as refusal:
        async with AdapterHarness(Hl7v2Adapter(), asking(settings={"redelivers": True, "placer-id-unique": None})):
            pass
    assert refusal.value.code is Code.OPERATION_UNSUPPORTED


# -- readiness ---------------------------------------------------------------------------------------------


def answering(says: Any, *segments: str, said: str = "AA", kind: str = "SQR^S25", status: str = "NF") -> Any:
    return lambda header: says(header, kind, said, f"QAK|{header[9]}|{status}", *segments)


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


async def booked_version(partner: Any, asking: Asking, says: Any, shows: Any, **details: str) -> tuple[str, str]:
    """What the filler shows for the appointment under TARGET's key, and the version that it has."""
    request = asking(Operation.CANCEL)
    shown = shows(key_of(request), **details)
    partner.says["/SQM/S25"] = answering(says, shown, status="OK")
    return shown, (await partner.look(request)).version


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


WHOLE = ("AIS|1||service-1", "AIP|1||practitioner-1", "AIL|1||location-1")


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

BLIND = {"query": None, "filler-id-changes": None}


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


async def test_without_queries_nothing_is_found(partner: Any, asking: Asking) -> None:
    found = await partner.look(asking(settings=BLIND))
    assert (found.finding, found.basis, partner.heard) == (ObservationFinding.INDETERMINATE, Basis.NONE, [])


# -- the reply to a commit -----------------------------------------------------------------------------------


@pytest.fixture
def committing(partner: Any, asking: Asking, says: Any) -> Callable[..., Any]:
    """The receipt of a booking; a look would find nothing."""

    async def made(reply: Callable[[list[str], Any], str | bytes]) -> Receipt:
        request = asking()
        partner.says["/SQM/S25"] = answering(says)
        partner.says["/SRM/S01"] = lambda header: reply(header, request)
        receipt: Receipt = await partner.commit(request)
        return receipt

    return made


@pytest.mark.requirement("ADAPT-03")
async def test_an_acceptance_alone_is_no_appointment(committing: Any, says: Any, shows: Any) -> None:
    for kind in ("ACK", "ACK^S01", "SRR^S01"):
        receipt = await committing(lambda header, request, kind=kind: says(header, kind, "AA"))
        assert receipt == Receipt.unknown(Code.ACCEPTED_PENDING)
    receipt = await committing(lambda header, request: says(header, "SIU^S12", "AA", shows(key_of(request))))
    assert receipt == Receipt.unknown(Code.ACCEPTED_PENDING)


TIMES: dict[str, Any] = {
    "in SCH-11": ({}, ()),
    "in SCH-11 and its duration": ({"times": "^^M30^20310303100000"}, ()),
    "in SCH-11 and SCH-9": ({"times": "^^^20310303100000", "length": "30"}, ()),
    "in AIS and SCH-9": ({"times": "", "length": "30"}, ("AIS|1||service-1|20310303100000",)),
    "in TQ1": ({"times": ""}, ("TQ1|||||||20310303100000|20310303103000",)),
    "in TQ1 and its duration": ({"times": ""}, ("TQ1||||||30^min|20310303100000",)),
    "in AIS": ({"times": ""}, ("AIS|1||service-1|20310303100000|||30|min",)),
    "in seconds": ({"times": ""}, ("AIS|1||service-1|20310303100000|||1800|s",)),
    "with offsets": ({"times": ""}, ("TQ1|||||||20310303090000+0000|20310303093000+0000",)),
    "everywhere": ({"times": f"^^M30^{STATED}^{END}", "length": "30"}, (f"AIS|1||service-1|{STATED}|||30|min",)),
}


@pytest.mark.requirement("ADAPT-05")
@pytest.mark.parametrize("where", TIMES)
async def test_the_approved_time_may_stand_in_any_of_its_places(
    committing: Any, says: Any, shows: Any, where: str
) -> None:
    details, others = TIMES[where]
    receipt = await committing(
        lambda header, request: says(header, "SRR^S01", "AA", shows(key_of(request), **details), *others)
    )
    assert (receipt.claim, receipt.identifier) == (Claim.APPLIED, "F1.1^F")


AS_APPROVED: dict[str, Any] = {
    "all of it": ({}, WHOLE),
    "a practitioner as a general resource": ({}, ("AIG|1||practitioner-1|practitioner",)),
    "a patient of several identifiers": ({"whose": "PID|1||999~patient-1^^^OTHER"}, ()),
    "resources in the same state": ({}, ("AIS|1||service-1|||||||BOOKED", "AIL|1||location-1|||||||||Booked^^HL70278")),
    "a warning": ({}, ("ERR|||104^Value too long^HL70357|W", "ERR|||0^Message accepted^HL70357|I")),
    "an acceptance of the oldest kind": ({}, ("ERR|^^^0&Message accepted&HL70357",)),
    "an empty error": ({}, ("ERR|",)),
}


@pytest.mark.requirement("ADAPT-05")
@pytest.mark.parametrize("case", AS_APPROVED)
async def test_an_appointment_that_is_shown_as_approved_is_made(
    committing: Any, says: Any, shows: Any, case: str
) -> None:
    details, others = AS_APPROVED[case]
    receipt = await committing(
        lambda header, request: says(header, "SRR^S01", "AA", shows(key_of(request), **details), *others)
    )
    assert receipt.claim is Claim.APPLIED


DEVIATIONS: dict[str, Any] = {
    "another key": lambda key, shows: (shows("ANOTHER"),),
    "another time": lambda key, shows: (shows(key, times="^^^20310303110000^20310303113000"),),
    "another end": lambda key, shows: (shows(key, times="^^^20310303100000^20310303104500"),),
    "another length": lambda key, shows: (shows(key, length="45"),),
    "another length in SCH-11": lambda key, shows: (shows(key, times=f"^^M45^{STATED}^{END}"),),
    "another length of a resource": lambda key, shows: (shows(key), "AIS|1||service-1||||45|min"),
    "another time once more": lambda key, shows: (
        shows(key, times=f"^^^{STATED}^{END}~^^^20310304100000^20310304103000"),
    ),
    "two times": lambda key, shows: (shows(key), "AIS|1||service-1|20310303110000|||30|min"),
    "no time": lambda key, shows: (shows(key, times=""),),
    "another patient": lambda key, shows: (shows(key, whose="PID|1||patient-2"),),
    "two patients": lambda key, shows: (shows(key), "PID|2||patient-2"),
    "no patient": lambda key, shows: (shows(key, whose=""),),
    "another practitioner": lambda key, shows: (shows(key), "AIP|1||practitioner-2"),
    "another practitioner as a general resource": lambda key, shows: (shows(key), "AIG|1||practitioner-2"),
    "one practitioner more": lambda key, shows: (shows(key), *WHOLE, "AIP|2||practitioner-2"),
    "one general resource more": lambda key, shows: (shows(key), *WHOLE, "AIG|1||room-9"),
    "one practitioner more in the same segment": lambda key, shows: (
        shows(key),
        "AIP|1||practitioner-1~practitioner-2",
    ),
    "another place": lambda key, shows: (shows(key), "AIL|1||location-2"),
    "one place more": lambda key, shows: (shows(key), *WHOLE, "AIL|2||location-2"),
    "another service": lambda key, shows: (shows(key), "AIS|1||service-2|20310303100000|||30|min"),
    "one service more": lambda key, shows: (shows(key), *WHOLE, "AIS|2||service-2"),
    "a service in another state": lambda key, shows: (shows(key), "AIS|1||service-1|||||||Pending"),
    "a general resource in another state": lambda key, shows: (
        shows(key),
        "AIG|1||practitioner-1|||||||||||Cancelled^^HL70278",
    ),
    "a practitioner in another state": lambda key, shows: (shows(key), "AIP|1||practitioner-1|||||||||Cancelled"),
    "a place in another state": lambda key, shows: (shows(key), "AIL|1||location-1|||||||||Waitlist"),
    "another request's key": lambda key, shows: (shows(key, group="ANOTHER"),),
    "two appointments": lambda key, shows: (shows(key), shows(key)),
    "the wait-list": lambda key, shows: (shows(key, "Waitlist"),),
}


async def test_an_acceptance_may_say_so_in_its_acknowledgement(committing: Any, says: Any, shows: Any) -> None:
    for told, claim in (("0^Message accepted", Claim.APPLIED), ("207^Application internal error", Claim.UNKNOWN)):
        receipt = await committing(
            lambda header, request, told=told: says(header, "SRR^S01", "AA", shows(key_of(request))).replace(
                f"MSA|AA|{header[9]}", f"MSA|AA|{header[9]}||||{told}"
            )
        )
        assert receipt.claim is claim


@pytest.mark.requirement("ADAPT-03", "ADAPT-05")
@pytest.mark.parametrize("case", DEVIATIONS)
async def test_an_appointment_that_is_not_as_approved_deviates(
    committing: Any, says: Any, shows: Any, case: str
) -> None:
    receipt = await committing(
        lambda header, request: says(header, "SRR^S01", "AA", *DEVIATIONS[case](key_of(request), shows))
    )
    assert receipt == Receipt.unknown(Code.REPLY_DEVIATES)


@pytest.mark.requirement("ADAPT-03", "ADAPT-05")
@pytest.mark.parametrize(
    ("identifiers", "claim"),
    [
        ("patient-1^^^HOSP", Claim.APPLIED),
        ("999^^^OTHER~patient-1^^^HOSP&1.2.3&ISO", Claim.APPLIED),
        ("999^^^HOSP~patient-1^^^OTHER", Claim.UNKNOWN),
        ("patient-1", Claim.UNKNOWN),
    ],
)
async def test_a_patient_is_one_of_the_agreed_authority(
    partner: Any, asking: Asking, says: Any, shows: Any, identifiers: str, claim: Claim
) -> None:
    request = asking(settings={"patient-authority": "HOSP"})
    whose = f"PID|1||{identifiers}"
    partner.says["/SRM/S01"] = lambda header: says(header, "SRR^S01", "AA", shows(key_of(request), whose=whose))
    assert (await partner.commit(request)).claim is claim


CONTRADICTIONS = {
    "accepted, and an error": ("AA", "ERR|||207^x^HL70357|E"),
    "accepted, and a fatal error": ("AA", "ERR|||102^x^HL70357|F"),
    "accepted, and an error without a code": ("AA", "ERR||||E"),
    "accepted, and an error of the oldest kind": ("AA", "ERR|PID^1^3^204&Unknown key identifier&HL70357"),
    "refused, and booked": ("AE", "ERR|||103^x^HL70357|E"),
    "refused for a while, and booked": ("AE", "ERR|||206^x^HL70357|E"),
    "refused by the partner's own code, and booked": ("AE", "ERR|||207^x^HL70357|E|SLOT-TAKEN"),
}


@pytest.mark.requirement("ADAPT-03", "FAIL-17")
@pytest.mark.parametrize("case", CONTRADICTIONS)
async def test_a_reply_that_contradicts_itself_says_nothing(committing: Any, says: Any, shows: Any, case: str) -> None:
    said, error = CONTRADICTIONS[case]
    receipt = await committing(lambda header, request: says(header, "SRR^S01", said, error, shows(key_of(request))))
    assert receipt == Receipt.unknown(Code.REPLY_UNRECOGNISED)


async def test_a_second_use_of_a_key_is_one_whatever_is_shown(committing: Any, says: Any, shows: Any) -> None:
    error = "ERR|||205^x^HL70357|E"
    receipt = await committing(lambda header, request: says(header, "SRR^S01", "AE", error, shows(key_of(request))))
    assert receipt == Receipt.unknown(Code.DUPLICATE_KEY)


UNREADABLE: dict[str, Any] = {
    "to another message": lambda header, key, says, shows: says([*header[:9], "X"], "SRR^S01", "AA", shows(key)),
    "noise": lambda header, key, says, shows: b"\xff\x00 noise",
    "empty": lambda header, key, says, shows: b"",
    "two acknowledgements": lambda header, key, says, shows: says(header, "SRR^S01", "AA", shows(key), "MSA|AE|1"),
    "a time that is none": lambda header, key, says, shows: says(
        header, "SRR^S01", "AA", shows(key, times="^^^soon^later")
    ),
    "a duration that is none": lambda header, key, says, shows: says(
        header, "SRR^S01", "AA", shows(key, times=""), "AIS|1||service-1|20310303100000|||30|furlongs"
    ),
}


@pytest.mark.requirement("ADAPT-03")
@pytest.mark.parametrize("case", UNREADABLE)
async def test_a_reply_that_cannot_be_read_is_unrecognised(committing: Any, says: Any, shows: Any, case: str) -> None:
    receipt = await committing(lambda header, request: UNREADABLE[case](header, key_of(request), says, shows))
    assert receipt == Receipt.unknown(Code.REPLY_UNRECOGNISED)


async def test_the_event_of_another_request_deviates(committing: Any, says: Any, shows: Any) -> None:
    receipt = await committing(lambda header, request: says(header, "SRR^S04", "AA", shows(key_of(request))))
    assert receipt == Receipt.unknown(Code.REPLY_DEVIATES)


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        (("ERR|||205^Duplicate^HL70357|E",), Code.DUPLICATE_KEY),
        (("ERR|||101^x^HL70357|W", "ERR|||205^x^HL70357|E"), Code.DUPLICATE_KEY),
        (("ERR|PID^1^3^103&Table value not found&HL70357",), Code.EXTERNAL_INVALID),
        (("ERR|PID^1^3^103&Table value not found",), Code.EXTERNAL_INVALID),
        (("ERR|PID^1^3^103&x&HL70357~ARQ^1^1^205&Duplicate&HL70357",), Code.REPLY_UNRECOGNISED),
        (("ERR|PID^1^3^103&x&HL70357~ARQ^1^4^101&x&HL70357",), Code.EXTERNAL_INVALID),
        (("ERR|ARQ^1^1^101&Queued for review&L",), Code.REPLY_UNRECOGNISED),
        (("ERR|||101^Queued for review^L|E",), Code.REPLY_UNRECOGNISED),
        (("ERR|||101^x^HL70357|E", "ERR|||101^Queued for review^L|E"), Code.REPLY_UNRECOGNISED),
        (("ERR|||101^x^HL70357|E", "ERR||||E"), Code.REPLY_UNRECOGNISED),
        (("ERR|||101^Required field missing|E",), Code.EXTERNAL_INVALID),
        (("ERR|||9^x^L|E|SLOT-TAKEN",), Code.SLOT_TAKEN),
        (("ERR|||207^x^HL70357|E|SLOT-TAKEN^taken^L",), Code.SLOT_TAKEN),
        (("ERR|||101^x^HL70357|I",), Code.REPLY_UNRECOGNISED),
        ((), Code.REPLY_UNRECOGNISED),
    ],
)
@pytest.mark.requirement("FAIL-15", "FAIL-17")
async def test_an_error_is_read_where_its_version_puts_it(committing: Any, says: Any, errors: Any, code: Code) -> None:
    assert (await committing(lambda header, request: says(header, "SRR^S01", "AE", *errors))).code is code


async def test_an_error_of_the_oldest_kind_stands_in_the_acknowledgement(committing: Any, says: Any) -> None:
    for error, code in (
        ("205^Duplicate", Code.DUPLICATE_KEY),
        ("101^x^HL70357", Code.EXTERNAL_INVALID),
        ("101^Queued for review^L", Code.REPLY_UNRECOGNISED),
    ):
        receipt = await committing(
            lambda header, request, error=error: says(header, "ACK", "AE").removesuffix("\r") + f"||||{error}\r"
        )
        assert receipt.code is code


async def test_a_change_without_the_approved_version_sends_nothing(partner: Any, asking: Asking) -> None:
    with pytest.raises(ValueError, match="readiness"):
        await partner.commit(asking(Operation.CANCEL))
    assert partner.heard == []


# -- what is found afterwards -------------------------------------------------------------------------------


@pytest.mark.requirement("CARD-01", "CARD-03")
@pytest.mark.parametrize(
    ("details", "finding"),
    [
        ({}, ObservationFinding.PRESENT),
        ({"status": "Pending"}, ObservationFinding.INDETERMINATE),
        ({"status": "Waitlist"}, ObservationFinding.DIFFERENT),
        ({"status": "Cancelled"}, ObservationFinding.DIFFERENT),
        ({"times": "^^^20310303110000^20310303113000"}, ObservationFinding.DIFFERENT),
        ({"group": "a later request"}, ObservationFinding.DIFFERENT),
    ],
)
async def test_a_booking_is_found_as_it_stands(
    partner: Any, asking: Asking, says: Any, shows: Any, details: Any, finding: ObservationFinding
) -> None:
    request = asking()
    partner.says["/SQM/S25"] = answering(says, shows(key_of(request), **details), status="OK")
    assert (await partner.look(request)).finding is finding


@pytest.mark.requirement("CARD-03", "CARD-06")
async def test_a_change_is_known_by_its_own_key(partner: Any, asking: Asking, says: Any, shows: Any) -> None:
    _, version = await booked_version(partner, asking, says, shows)
    request = asking(Operation.RESCHEDULE, version=version)
    own = f"{request.native_key(KEY, 20)}^X"
    for details, finding in (
        ({"group": own, "filler": "F1.2"}, ObservationFinding.PRESENT),
        ({}, ObservationFinding.ABSENT),
        ({"filler": "F1.2"}, ObservationFinding.INDETERMINATE),
        ({"group": own, "status": "Cancelled"}, ObservationFinding.DIFFERENT),
        ({"group": "another", "filler": "F1.3"}, ObservationFinding.INDETERMINATE),
    ):
        partner.says["/SQM/S25"] = answering(says, shows(key_of(request), **details), status="OK")
        assert (await partner.look(request)).finding is finding
    partner.says["/SQM/S25"] = answering(says)
    assert (await partner.look(request)).finding is ObservationFinding.INDETERMINATE


@pytest.mark.requirement("CARD-12", "CARD-03")
@pytest.mark.parametrize(
    ("agreed", "booking", "change"),
    [
        ({}, ObservationFinding.ABSENT, ObservationFinding.ABSENT),
        ({"acknowledgement": "enhanced"}, ObservationFinding.INDETERMINATE, ObservationFinding.INDETERMINATE),
        (
            {"acknowledgement": "enhanced", "settling-seconds": 1},
            ObservationFinding.ABSENT,
            ObservationFinding.ABSENT,
        ),
        ({"acknowledgement": "enhanced", "relay-seconds": 60}, ObservationFinding.ABSENT, ObservationFinding.ABSENT),
    ],
)
async def test_nothing_is_absent_while_a_queue_may_hold_it_for_ever(
    partner: Any, asking: Asking, says: Any, shows: Any, agreed: Any, booking: Any, change: Any
) -> None:
    partner.says["/SQM/S25"] = answering(says)
    assert (await partner.look(asking(settings=agreed))).finding is booking
    _, version = await booked_version(partner, asking, says, shows)
    assert (await partner.look(asking(Operation.RESCHEDULE, version=version, settings=agreed))).finding is change
    request = asking(settings=agreed)
    partner.says["/SQM/S25"] = answering(says, shows(key_of(request)), status="OK")
    assert (await partner.look(request)).finding is ObservationFinding.PRESENT
