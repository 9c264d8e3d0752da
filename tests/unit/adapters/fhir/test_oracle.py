"""The dialect of Oracle Health Millennium: against its twin, and against replies that the twin does not give."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from adapters.fhir import mapping, replies
from adapters.fhir.adapter import FhirAdapter
from adapters.fhir.oracle import Plan
from adapters.fhir.resources import Appointment, held
from gateway.contracts.adapter import Basis, Exclusivity, Idempotency, Query, Receipt, Request, TargetState
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding
from gateway.kit.replies import ANY
from gateway.testing import START, VENDOR

if TYPE_CHECKING:
    from tests.unit.adapters.fhir.conftest import Place, Scripted

MakeRequest = Callable[..., Request]
SURGERY = "https://fhir.cerner.com/codeSet/14249|4047611"
AT_ORACLE = {**VENDOR, "service": SURGERY}
SLOT = "Slot/4047611-1"
OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "conflict"}]}
changes = pytest.mark.parametrize("what", [Operation.RESCHEDULE, Operation.CANCEL], ids=lambda one: one.name)
everything = pytest.mark.parametrize("what", Operation, ids=lambda one: one.name)


def asked(make: MakeRequest, what: Operation = Operation.BOOK, **more: Any) -> Request:
    known: dict[str, Any] = {"dialect": "oracle", "vendor": AT_ORACLE}
    bound = {} if what is Operation.BOOK else {"bound": "17"}
    return make(what, **(known | bound | more))


def appointment(request: Request, version: str = "1", **more: Any) -> Any:
    """What the vendor shows after the operation; the booking's key in the comment, a change's in the extension."""
    key = mapping.comment(request.native_key())
    booking = request.operation is Operation.BOOK
    noted = {"comment": key} if booking else {"extension": [{"url": mapping.ACTION_COMMENT, "valueString": key}]}
    raw = {
        "resourceType": "Appointment",
        "id": "17",
        "meta": {"versionId": version},
        "status": "cancelled" if request.operation is Operation.CANCEL else "booked",
        "start": "2031-03-03T09:00:00Z",
        "end": "2031-03-03T09:30:00Z",
        "slot": [{"reference": SLOT}],
        "participant": [{"actor": {"reference": name}, "status": "accepted"} for name in mapping.everyone(request)],
    }
    return raw | noted | more


def before(request: Request, version: str = "1") -> Any:
    return appointment(request, version, status="booked", extension=[])


def slot(status: str = "free", **more: Any) -> Any:
    raw = {"resourceType": "Slot", "id": SLOT[5:], "schedule": {"reference": "Schedule/4047611-1"}, "status": status}
    return raw | {"start": "2031-03-03T09:00:00Z", "end": "2031-03-03T09:30:00Z"} | more


def searchset(*resources: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in resources]}


def plan_of(request: Request) -> Plan:
    target = None if request.operation is Operation.BOOK else held(Appointment, before(request))
    return Plan(target=target, slot=None if request.operation is Operation.CANCEL else SLOT)


def answered(server: Scripted, what: Operation, status: int, content: Any = None, **headers: str) -> None:
    server.answer(
        "POST /Appointment" if what is Operation.BOOK else "PATCH /Appointment/17", status, content, **headers
    )


@pytest.mark.requirement("ADAPT-09", "CARD-01")
async def test_book_move_and_cancel_are_one_post_and_two_patches(millennium: Place) -> None:
    async with millennium.harness(vendor=AT_ORACLE) as booking:
        assert await booking.readiness() is None
        made = await booking.commit()
        assert (made.effect, made.mutating_requests, made.requests) == (Effect.APPLIED, 1, 2)
        assert (await booking.observe()).finding is ObservationFinding.PRESENT
    async with booking.following(Operation.RESCHEDULE, START + timedelta(hours=1)) as move:
        assert await move.readiness() is None
        assert (await move.commit()).effect is Effect.APPLIED
        assert (await move.observe()).finding is ObservationFinding.PRESENT
    async with booking.again() as once_more:
        assert (await once_more.observe()).finding is ObservationFinding.DIFFERENT
    async with move.following(Operation.CANCEL) as cancellation:
        assert await cancellation.readiness() is None
        assert (await cancellation.commit()).effect is Effect.APPLIED
        assert (await cancellation.observe()).finding is ObservationFinding.PRESENT
    (kept,) = millennium.appointments()
    assert (kept["status"], kept["meta"]["versionId"], millennium.slots("busy")) == ("cancelled", "3", [])
    assert kept["comment"] == mapping.comment(booking.request.native_key())
    assert [each["valueString"] for each in kept["extension"]] == [mapping.comment(cancellation.request.native_key())]
    assert kept["cancelationReason"]["coding"][0]["code"] == "other"


@pytest.mark.requirement("FAIL-17")
async def test_a_slot_taken_meanwhile_is_refused_and_a_key_in_use_is_not(millennium: Place) -> None:
    async with (
        millennium.harness(vendor=AT_ORACLE) as first,
        millennium.harness(vendor=AT_ORACLE) as second,
        first.again() as again,
    ):
        for each in (first, second, again):
            assert await each.readiness() is None
        assert (await first.commit()).effect is Effect.APPLIED
        repeated = await again.commit()
        assert (repeated.effect, repeated.code) == (Effect.UNKNOWN, Code.DUPLICATE_KEY)
    async with millennium.harness(vendor={**AT_ORACLE, "patient": "patient-2"}) as third:
        assert await third.readiness() is Code.SLOT_TAKEN
    assert len(millennium.appointments()) == 1


@pytest.mark.requirement("GATE-25", "GATE-26")
async def test_a_wrong_credential_and_one_that_may_only_read_block(millennium: Place) -> None:
    async with millennium.harness(vendor=AT_ORACLE) as stranger:
        stranger.use_secret("wrong")
        assert await stranger.readiness() is Code.CREDENTIALS_REJECTED
    async with millennium.harness(vendor=AT_ORACLE, who="limited") as limited:
        assert await limited.readiness() is Code.EXTERNAL_FORBIDDEN


def test_the_claims_are_those_of_a_system_without_a_field_for_keys(make: MakeRequest) -> None:
    claimed = FhirAdapter().describe(asked(make).connection)
    assert set(claimed.operations) == set(Operation)
    assert (claimed.idempotency, claimed.exclusivity) == (Idempotency.LOOKUP, Exclusivity.ADVISORY)
    assert claimed.observation is Basis.BY_KEY


# Rows

CREATE = [(Operation.BOOK, status) for status, _ in sorted(replies.ORACLE_CREATE, key=str)]
PATCH = [(what, status) for what in (Operation.RESCHEDULE, Operation.CANCEL) for status, _ in replies.ORACLE_PATCH]


@pytest.mark.parametrize(("what", "status"), CREATE + PATCH, ids=lambda one: getattr(one, "name", str(one)))
async def test_each_reply_to_a_write_means_what_its_row_says(
    server: Scripted, make: MakeRequest, what: Operation, status: int
) -> None:
    """A look finds everything as readiness read it."""
    request = asked(make, what)
    table = replies.ORACLE_CREATE if what is Operation.BOOK else replies.ORACLE_PATCH
    answered(server, what, status, Location=f"{request.connection.base_url}Appointment/17")
    server.answer("GET /Slot", 200, searchset(slot()))
    server.answer("GET /Appointment", 200, searchset(*([] if what is Operation.BOOK else [before(request)])))
    server.answer("GET /Appointment/17", 200, appointment(request))
    receipt = await server.commit(request, plan_of(request))
    assert (receipt.claim, receipt.code) == (table[status, ANY].receipt.claim, table[status, ANY].receipt.code)
    assert len(server.written) == 1


@pytest.mark.requirement("FAIL-15")
@pytest.mark.parametrize("status", sorted(replies.AMBIGUOUS))
@pytest.mark.parametrize("word", [word for word, _ in replies.SETTLED])
@everything
async def test_each_ambiguous_reply_is_settled_by_what_a_look_finds(
    server: Scripted, make: MakeRequest, status: int, word: str, what: Operation
) -> None:
    request, booking = asked(make, what), what is Operation.BOOK
    found = {
        replies.KEY: [appointment(request, "2")],
        replies.TARGET_GONE: [],
        replies.TARGET_MOVED: [] if booking else [before(request, "2")],
        replies.SLOT_MOVED: [] if booking else [before(request)],
    }[word]
    answered(server, what, status, OUTCOME)
    server.answer("GET /Slot", 200, searchset(slot("busy" if word == replies.SLOT_MOVED else "free")))
    server.answer("GET /Appointment", 200, searchset(*found))
    receipt = await server.commit(request, plan_of(request))
    meaningless = (booking and word in (replies.TARGET_GONE, replies.TARGET_MOVED)) or (
        what is Operation.CANCEL and word == replies.SLOT_MOVED
    )
    if meaningless:
        nothing = (replies.ORACLE_CREATE if booking else replies.ORACLE_PATCH).get((status, ANY))
        assert receipt == (nothing.receipt if nothing else Receipt.unknown())
    else:
        assert receipt == replies.SETTLED[word, ANY].receipt
    assert len(server.written) == 1


@pytest.mark.requirement("FAIL-16")
@everything
@pytest.mark.parametrize("content", [b"<html>", None, {"error": "no"}], ids=["page", "nothing", "else"])
async def test_a_refusal_that_is_not_in_fhirs_own_words_is_settled_by_a_look(
    server: Scripted, make: MakeRequest, what: Operation, content: Any
) -> None:
    request = asked(make, what)
    answered(server, what, 403, content)
    server.answer("GET /Slot", 200, searchset(slot("busy")))
    server.answer("GET /Appointment", 200, searchset(appointment(request, "2")))
    assert await server.commit(request, plan_of(request)) == Receipt.unknown(Code.DUPLICATE_KEY)
    server.asked.clear()
    answered(server, what, 403, OUTCOME)
    assert await server.commit(request, plan_of(request)) == Receipt.refused(Code.EXTERNAL_FORBIDDEN)
    assert len(server.asked) == 1


@pytest.mark.requirement("FAIL-15")
@everything
@pytest.mark.parametrize(("found", "code"), [(True, Code.DUPLICATE_KEY), (False, Code.REPLY_UNRECOGNISED)])
async def test_a_search_that_lags_settles_nothing_but_our_key(
    server: Scripted, make: MakeRequest, what: Operation, found: bool, code: Code
) -> None:
    request = asked(make, what, **{"settling-seconds": 2})
    answered(server, what, 422, OUTCOME)
    server.answer("GET /Slot", 200, searchset(slot("busy")))
    server.answer("GET /Appointment", 200, searchset(*([appointment(request, "2")] if found else [])))
    assert await server.commit(request, plan_of(request)) == Receipt.unknown(code)


async def test_one_that_could_be_ours_without_its_key_leaves_a_booking_unknown(
    server: Scripted, make: MakeRequest
) -> None:
    """Somebody edited the comment."""
    request = asked(make)
    answered(server, Operation.BOOK, 422, OUTCOME)
    server.answer("GET /Slot", 200, searchset(slot("busy")))
    server.answer("GET /Appointment", 200, searchset(appointment(request, comment="by phone")))
    assert await server.commit(request, plan_of(request)) == Receipt.unknown()
    async with server.client() as client:
        seen = await FhirAdapter().observe(Query(request=request), client)
    assert seen.finding is ObservationFinding.INDETERMINATE


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": "proposed"}, Code.ACCEPTED_PENDING),
        ({"start": "2031-03-03T09:15:00Z"}, Code.REPLY_DEVIATES),
        ({"comment": None}, Code.REPLY_DEVIATES),
        ({"slot": [{"reference": "Slot/another"}]}, Code.REPLY_DEVIATES),
        ({"participant": [{"actor": {"reference": "Patient/patient-1"}}]}, Code.REPLY_DEVIATES),
    ],
)
async def test_a_success_counts_only_if_what_is_in_force_was_approved(
    server: Scripted, make: MakeRequest, change: dict[str, Any], code: Code
) -> None:
    request = asked(make)
    answered(server, Operation.BOOK, 201, Location=f"{request.connection.base_url}Appointment/17")
    server.answer("GET /Appointment/17", 200, appointment(request, **change))
    assert await server.commit(request, plan_of(request)) == Receipt.unknown(code)


@pytest.mark.parametrize("place", ["", "Appointment", "Patient/17"])
async def test_a_success_that_does_not_say_where_proves_nothing(
    server: Scripted, make: MakeRequest, place: str
) -> None:
    answered(server, Operation.BOOK, 201, Location=place)
    assert await server.commit(asked(make), plan_of(asked(make))) == Receipt.unknown()


# What is sent


@pytest.mark.requirement("ADAPT-05")
async def test_a_booking_sends_the_documented_fields_and_no_others(server: Scripted, make: MakeRequest) -> None:
    request = asked(make, reason="cramp")
    await server.commit(request, plan_of(request))
    (sent,) = server.asked
    assert json.loads(sent.content) == {
        "resourceType": "Appointment",
        "status": "booked",
        "slot": [{"reference": SLOT}],
        "participant": [{"actor": {"reference": "Patient/patient-1"}, "status": "accepted"}],
        "comment": f"Gateway reference {request.native_key()}",
        "reasonCode": [{"text": "cramp"}],
    }


@changes
async def test_a_change_patches_the_documented_paths_of_the_approved_version(
    server: Scripted, make: MakeRequest, what: Operation
) -> None:
    request = asked(make, what, reason="pat")
    await server.commit(request, plan_of(request))
    (sent,) = server.asked
    assert (sent.headers["If-Match"], sent.headers["Content-Type"]) == ('W/"1"', "application/json-patch+json")
    paths = [(each["op"], each["path"]) for each in json.loads(sent.content)]
    assert (
        paths
        == {
            Operation.RESCHEDULE: [("replace", "/slot"), ("replace", "/extension")],
            Operation.CANCEL: [("replace", "/status"), ("add", "/cancelationReason"), ("replace", "/extension")],
        }[what]
    )
    assert request.native_key() in sent.content.decode()


@changes
async def test_a_change_without_what_readiness_read_is_never_sent(
    server: Scripted, make: MakeRequest, what: Operation
) -> None:
    with pytest.raises(ValueError, match="readiness"):
        await server.commit(asked(make, what), Plan(slot=SLOT))
    assert server.asked == []


# Readiness

STATEMENT: dict[str, Any] = {
    "resourceType": "CapabilityStatement",
    "fhirVersion": "4.0.1",
    "rest": [
        {
            "mode": "server",
            "resource": [
                {
                    "type": "Appointment",
                    "interaction": [{"code": each} for each in ("read", "search-type", "create", "patch")],
                },
                {"type": "Slot", "interaction": [{"code": "search-type"}]},
                {"type": "Schedule", "interaction": [{"code": "search-type"}]},
            ],
        }
    ],
}
SCHEDULE: dict[str, Any] = {
    "resourceType": "Schedule",
    "id": "4047611-1",
    "actor": [{"reference": "Practitioner/practitioner-1"}, {"reference": "Location/location-1"}],
}
ELSEWHERE = {
    "url": "https://fhir-ehr.cerner.com/r4/StructureDefinition/scheduling-location",
    "valueReference": {"reference": "Location/elsewhere"},
}


OF_ANOTHER_SERVER = ELSEWHERE | {"valueReference": {"reference": "https://else.where/r4/Location/location-1"}}


def coded(code: str) -> dict[str, Any]:
    return {"coding": [{"system": SURGERY.partition("|")[0], "code": code}]}


def ready(server: Scripted) -> None:
    server.answer("GET /metadata", 200, STATEMENT)
    server.answer("GET /Slot", 200, searchset(slot()))
    server.answer("GET /Schedule", 200, searchset(SCHEDULE))


async def target_of(server: Scripted, request: Request) -> TargetState:
    async with server.client() as client:
        return (await FhirAdapter().readiness(request, client)).target


@pytest.mark.requirement("GATE-24", "GATE-27")
@pytest.mark.parametrize(
    ("name", "content", "target"),
    [
        ("GET /Slot", searchset(slot()), TargetState.OPEN),
        ("GET /Slot", searchset(), TargetState.TAKEN),
        ("GET /Slot", searchset(slot("busy")), TargetState.TAKEN),
        ("GET /Slot", searchset(slot(end="2031-03-03T10:00:00Z")), TargetState.TAKEN),
        ("GET /Slot", searchset(slot(), slot(id="two")), TargetState.UNVERIFIABLE),
        ("GET /Slot", searchset(slot(start="2031-03-04T09:00:00Z")), TargetState.UNVERIFIABLE),
        ("GET /Slot", searchset(slot(extension=[ELSEWHERE])), TargetState.UNVERIFIABLE),
        ("GET /Slot", searchset(slot(extension=[OF_ANOTHER_SERVER])), TargetState.UNVERIFIABLE),
        ("GET /Slot", searchset(slot(serviceType=[coded("4047611")])), TargetState.OPEN),
        ("GET /Slot", searchset(slot(serviceType=[coded("24477854")])), TargetState.UNVERIFIABLE),
        ("GET /Slot", searchset(slot(), slot(id="two", serviceType=[coded("7")])), TargetState.UNVERIFIABLE),
        ("GET /Slot", {}, TargetState.UNVERIFIABLE),
        ("GET /Schedule", searchset(), TargetState.UNVERIFIABLE),
        ("GET /Schedule", searchset(SCHEDULE | {"actor": [{"reference": "Practitioner/2"}]}), TargetState.UNVERIFIABLE),
        ("GET /Schedule", searchset(SCHEDULE | {"actor": [SCHEDULE["actor"][0]]}), TargetState.OPEN),
        (
            "GET /Schedule",
            searchset(SCHEDULE | {"actor": [SCHEDULE["actor"][0], {"reference": "Location/elsewhere"}]}),
            TargetState.UNVERIFIABLE,
        ),
    ],
)
async def test_the_slot_that_readiness_finds_is_the_one_or_none(
    server: Scripted, make: MakeRequest, name: str, content: Any, target: TargetState
) -> None:
    ready(server)
    server.answer(name, 200, content)
    assert await target_of(server, asked(make)) is target
    assert server.written == []


async def test_the_slot_is_asked_for_as_documented(server: Scripted, make: MakeRequest) -> None:
    ready(server)
    await target_of(server, asked(make))
    (sought,) = [one.url.params for one in server.asked if one.url.path.endswith("/Slot")]
    assert sorted(sought.multi_items()) == [
        ("-location", "location-1"),
        ("schedule.actor", "Practitioner/practitioner-1"),
        ("service-type", SURGERY),
        ("start", "ge2031-03-03T09:00:00Z"),
        ("start", "lt2031-03-03T09:30:00Z"),
    ]


@pytest.mark.parametrize(
    "wrong", [{"service": "service-1"}, {"practitioner": "PractitionerRole/7"}, {"location": "no/good/place"}]
)
async def test_what_one_slot_cannot_stand_for_is_not_asked(
    server: Scripted, make: MakeRequest, wrong: dict[str, str]
) -> None:
    ready(server)
    assert await target_of(server, asked(make, vendor={**AT_ORACLE, **wrong})) is TargetState.UNVERIFIABLE
    assert server.asked == []


@pytest.mark.parametrize(
    ("found", "target"),
    [
        (["present"], TargetState.OPEN),
        (["moved"], TargetState.CHANGED),
        ([], TargetState.ABSENT),
        (["present", "other"], TargetState.UNVERIFIABLE),
    ],
)
async def test_the_target_is_the_one_of_that_id_at_the_approved_version(
    server: Scripted, make: MakeRequest, found: list[str], target: TargetState
) -> None:
    request = asked(make, Operation.CANCEL)
    ready(server)
    shown = {"present": before(request), "moved": before(request, "2"), "other": before(request) | {"id": "18"}}
    server.answer("GET /Appointment", 200, searchset(*(shown[each] for each in found)))
    assert await target_of(server, request) is target


async def test_an_unbound_target_is_looked_for_among_the_patients_own(server: Scripted, make: MakeRequest) -> None:
    request = asked(make, Operation.CANCEL, bound=None)
    ready(server)
    mine = before(request) | {"comment": f"Gateway reference {request.target_key()}; spoke to her, all well"}
    server.answer("GET /Appointment", 200, searchset(before(request) | {"id": "18"}, mine))
    assert await target_of(server, request) is TargetState.OPEN
    (sought,) = [one.url.params for one in server.asked if one.url.path.endswith("/Appointment")]
    assert (sought["patient"], len(sought.get_list("date"))) == ("patient-1", 2)
    server.answer("GET /Appointment", 200, searchset(mine | {"id": "18"}))  # its version has the same number
    assert await target_of(server, request) is TargetState.CHANGED
