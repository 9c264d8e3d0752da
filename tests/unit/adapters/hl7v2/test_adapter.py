"""The adapter against a filler application through the real boundary, and against partners who say otherwise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

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
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding
from gateway.testing import AdapterHarness, make_connection, make_request

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
    async with harness(filler, acknowledgement="enhanced") as booking:
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
    claims = Hl7v2Adapter().describe(make_connection("mllp://127.0.0.1:1/", settings=dict(AGREED)))
    assert claims.exclusivity is Exclusivity.ENFORCED


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
}


@pytest.mark.requirement("GATE-24", "FAIL-17")
@pytest.mark.parametrize("case", BUSY)
async def test_a_slot_is_open_where_nothing_is_shown_in_it(
    partner: Any, asking: Asking, says: Any, shows: Any, case: str
) -> None:
    status, times, target = BUSY[case]
    partner.says["/SQM/S25"] = answering(says, shows("SOMEBODY", status, times=times), status="OK")
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


async def test_another_patient_s_appointment_under_the_key_is_another_version(
    partner: Any, asking: Asking, says: Any, shows: Any
) -> None:
    shown, version = await booked_version(partner, asking, says, shows)
    for segment, target in (
        ("PID|1||patient-1", TargetState.OPEN),
        ("PID|1||patient-2", TargetState.CHANGED),
        ("PID|1||patient-2~patient-1^^^HOSP", TargetState.OPEN),
        ("AIP|1||practitioner-9", TargetState.CHANGED),
        ("AIG|1||room-9", TargetState.OPEN),
    ):
        partner.says["/SQM/S25"] = answering(says, shown, segment, status="OK")
        assert (await partner.ready(asking(Operation.CANCEL, version=version))).target is target


async def test_what_is_not_there_and_what_is_there_twice(partner: Any, asking: Asking, says: Any, shows: Any) -> None:
    request = asking(Operation.CANCEL)
    partner.says["/SQM/S25"] = answering(says)
    assert (await partner.ready(request)).target is TargetState.ABSENT
    other = answering(says, shows("ANOTHER"), status="OK")
    twice = answering(says, shows(key_of(request)), shows(key_of(request)), status="OK")
    for said in (other, twice):
        partner.says["/SQM/S25"] = said
        assert (await partner.ready(request)).target is TargetState.UNVERIFIABLE
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
def committing(partner: Any, asking: Asking) -> Callable[..., Any]:
    async def made(reply: Callable[[list[str], Any], str | bytes]) -> Receipt:
        request = asking()
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


TIMES = {
    "in SCH-11": (),
    "in a duration of SCH-11's own": (),
    "in TQ1": ("TQ1|||||||20310303100000|20310303103000",),
    "in AIS": ("AIS|1||service-1|20310303100000|||30|min",),
    "in seconds": ("AIS|1||service-1|20310303100000|||1800|s",),
    "with offsets": ("TQ1|||||||20310303090000+0000|20310303093000+0000",),
}


@pytest.mark.requirement("ADAPT-05")
@pytest.mark.parametrize("where", TIMES)
async def test_the_approved_time_may_stand_in_any_of_its_places(
    committing: Any, says: Any, shows: Any, where: str
) -> None:
    times = {"times": ""} if TIMES[where] else {}
    receipt = await committing(
        lambda header, request: says(header, "SRR^S01", "AA", shows(key_of(request), **times), *TIMES[where])
    )
    assert (receipt.claim, receipt.identifier) == (Claim.APPLIED, "F1.1^F")


DEVIATIONS: dict[str, Any] = {
    "another key": lambda key, shows: (shows("ANOTHER"),),
    "another time": lambda key, shows: (shows(key, times="^^^20310303110000^20310303113000"),),
    "another end": lambda key, shows: (shows(key, times="^^^20310303100000^20310303104500"),),
    "two times": lambda key, shows: (shows(key), "AIS|1||service-1|20310303110000|||30|min"),
    "no time": lambda key, shows: (shows(key, times=""),),
    "another patient": lambda key, shows: (shows(key), "PID|1||patient-2"),
    "another practitioner": lambda key, shows: (shows(key), "AIP|1||practitioner-2"),
    "another place": lambda key, shows: (shows(key), "AIL|1||location-2"),
    "another service": lambda key, shows: (shows(key), "AIS|1||service-2|20310303100000|||30|min"),
    "another request's key": lambda key, shows: (shows(key, group="ANOTHER"),),
    "two appointments": lambda key, shows: (shows(key), shows(key)),
    "the wait-list": lambda key, shows: (shows(key, "Waitlist"),),
}


@pytest.mark.requirement("ADAPT-03", "ADAPT-05")
@pytest.mark.parametrize("case", DEVIATIONS)
async def test_an_appointment_that_is_not_as_approved_deviates(
    committing: Any, says: Any, shows: Any, case: str
) -> None:
    receipt = await committing(
        lambda header, request: says(header, "SRR^S01", "AA", *DEVIATIONS[case](key_of(request), shows))
    )
    assert receipt == Receipt.unknown(Code.REPLY_DEVIATES)


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
        (("ERR|||207^x^HL70357|E|SLOT-TAKEN^taken^L",), Code.SLOT_TAKEN),
        (("ERR|||101^x^HL70357|I",), Code.REPLY_UNRECOGNISED),
        ((), Code.REPLY_UNRECOGNISED),
    ],
)
@pytest.mark.requirement("FAIL-15", "FAIL-17")
async def test_an_error_is_read_where_its_version_puts_it(committing: Any, says: Any, errors: Any, code: Code) -> None:
    assert (await committing(lambda header, request: says(header, "SRR^S01", "AE", *errors))).code is code


async def test_an_error_of_the_oldest_kind_stands_in_the_acknowledgement(committing: Any, says: Any) -> None:
    receipt = await committing(
        lambda header, request: says(header, "ACK", "AE").removesuffix("\r") + "||||205^Duplicate\r"
    )
    assert receipt.code is Code.DUPLICATE_KEY


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
