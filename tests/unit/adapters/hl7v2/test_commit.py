"""The reply to a commit: what it must show to count, and what anything else means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.contracts.adapter import Claim, Receipt
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from tests.unit.adapters.hl7v2.conftest import END, STATED, WHOLE, answering, key_of

Asking = Callable[..., Any]


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
