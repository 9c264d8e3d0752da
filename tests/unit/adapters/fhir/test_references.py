"""Identifiers that the practice gives as a search: exactly one, freshly looked up, or nothing is sent."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from adapters.fhir import references
from adapters.fhir.adapter import FhirAdapter, LookedUp
from adapters.fhir.twins import store as kept
from adapters.fhir.twins import transaction
from gateway.config import Bounds
from gateway.contracts.adapter import IdentifierMissingError, Request
from gateway.contracts.connection import CredentialUse, Scheme
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding
from gateway.testing import VENDOR, AdapterHarness, make_connection, make_request
from gateway.testing.premises import Premises
from gateway.testing.twin import Call
from gateway.testing.wire import Reply

if TYPE_CHECKING:
    from tests.unit.adapters.fhir.conftest import Scripted

MakeRequest = Callable[..., Request]
CANARY = "canary0000"
SYSTEM = "urn:oid:2.16.840.1.113883.19.5"
SEARCH = f"Patient?identifier={SYSTEM}|{CANARY}"
SEARCHED = {**VENDOR, "patient": SEARCH}
LOOKED_UP = {references.LOOK_UP: "Patient"}


def patient(name: str = "17", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": name,
        "identifier": [{"system": "urn:other", "value": "1"}, {"system": SYSTEM, "value": CANARY}],
        **more,
    }


def known(*resources: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in resources], **more}


class Asked(BaseModel):
    identifier: str


@dataclass
class Practice:
    """A store that also knows patients: what it answers to a search for one, and what it was asked."""

    store: kept.Store
    premises: Premises
    answers: list[dict[str, Any]] = field(default_factory=lambda: [known(patient())])
    statuses: list[int] = field(default_factory=lambda: [200])
    asked: list[str] = field(default_factory=list)

    def harness(self, **more: Any) -> AdapterHarness:
        settings = {"access-declared": True, **more.pop("settings", LOOKED_UP)}
        connection = make_connection(
            self.premises.base_url,
            adapter="fhir",
            dialect="transaction",
            settings=settings,
            credential=CredentialUse(scheme=Scheme.BEARER, name="vendor"),
        )
        request = make_request(connection, **{"vendor": SEARCHED, **more})
        return AdapterHarness(FhirAdapter(), request, secret=self.premises.secrets["vendor"])

    def appointments(self) -> list[dict[str, Any]]:
        return self.store.every("Appointment")


@pytest.fixture
async def practice() -> AsyncIterator[Practice]:
    store = kept.Store()
    twin = transaction.twin(store)

    @twin.route("POST", "/Patient/_search", writes=False)
    def search(call: Call) -> Reply:
        assert "identifier" not in call.request.query
        place.asked.append(call.form(Asked).identifier)
        return kept.fhir(place.statuses[0], place.answers[0])

    async with twin.premises() as premises:
        place = Practice(store, premises)
        yield place


@pytest.mark.requirement("CARD-09")
async def test_the_one_patient_with_the_identifier_is_booked_moved_and_cancelled(practice: Practice) -> None:
    async with practice.harness() as booking:
        assert await booking.readiness() is None
        assert practice.asked == [f"{SYSTEM}|{CANARY}"]
        made = await booking.commit()
        assert (made.effect, made.mutating_requests, made.requests) == (Effect.APPLIED, 1, 1)
        assert (await booking.observe()).finding is ObservationFinding.PRESENT
    assert practice.appointments()[0]["participant"][0]["actor"] == {"reference": "Patient/17"}
    async with booking.following(Operation.CANCEL) as cancellation:
        assert await cancellation.readiness() is None
        assert (await cancellation.commit()).effect is Effect.APPLIED
    assert CANARY not in json.dumps(practice.appointments())


@pytest.mark.requirement("CARD-09")
async def test_each_attempt_and_each_look_asks_anew(practice: Practice) -> None:
    async with practice.harness() as booking:
        assert await booking.readiness() is None
        assert (await booking.commit()).effect is Effect.APPLIED
        assert len(practice.asked) == 1  # commit asks nobody
        practice.answers[0] = known(patient("18"))
        assert (await booking.observe()).finding is ObservationFinding.DIFFERENT
        practice.answers[0] = known()
        assert (await booking.observe()).finding is ObservationFinding.INDETERMINATE
    async with booking.again() as second:
        assert await second.readiness() is Code.PARTICULARS_MISSING
    assert len(practice.asked) == 4


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (known(), Code.PARTICULARS_MISSING),
        (known(patient("17"), patient("18")), Code.PARTICULARS_AMBIGUOUS),
        (known(patient("17"), patient("18", active=False)), Code.PARTICULARS_AMBIGUOUS),
        (known(patient(active=False)), Code.PARTICULARS_MISSING),
        (known(patient(link=[{"type": "replaced-by", "other": {}}])), Code.PARTICULARS_MISSING),
        (
            known(patient(identifier=[{"system": SYSTEM, "value": CANARY, "use": "old"}])),
            Code.PARTICULARS_MISSING,
        ),
        (known(patient(identifier=[{"system": SYSTEM, "value": "other"}])), Code.READINESS_UNVERIFIABLE),
        (known(patient(identifier=[{"system": "urn:other", "value": CANARY}])), Code.READINESS_UNVERIFIABLE),
        (known(patient(identifier=[{"value": CANARY}])), Code.READINESS_UNVERIFIABLE),
        (known(patient(), patient("18", identifier=[])), Code.READINESS_UNVERIFIABLE),
        (known({**patient(), "resourceType": "Person"}), Code.READINESS_UNVERIFIABLE),
        (known(patient("1/../2")), Code.READINESS_UNVERIFIABLE),
        (known(patient(), link=[{"relation": "next", "url": "x"}]), Code.READINESS_UNVERIFIABLE),
        (known(patient(), type="transaction-response"), Code.READINESS_UNVERIFIABLE),
        ({"resourceType": "OperationOutcome", "issue": []}, Code.READINESS_UNVERIFIABLE),
        (patient(), Code.READINESS_UNVERIFIABLE),
    ],
    ids=lambda value: value.value if isinstance(value, Code) else "",
)
async def test_any_other_answer_blocks_before_anything_is_sent(
    practice: Practice, answer: dict[str, Any], code: Code
) -> None:
    practice.answers[0] = answer
    async with practice.harness() as booking:
        assert await booking.readiness() is code
    assert practice.appointments() == []


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize(
    "named",
    [
        "Patient?identifier=",
        "Patient?identifier=|1",
        "Patient?identifier=urn:a",
        "Patient?identifier=urn:a|",
        "Patient?identifier=urn:a|1|2",
        "Patient?identifier=urn:a|1,urn:a|2",
        "Patient?identifier=urn:a|$everything",
        "Patient?identifier:contains=urn:a|1",
        "Patient?name=Doe",
        "Patient?identifier=urn:a|1 2",
        "Practitioner?identifier=urn:a|1",
        "Person?identifier=urn:a|1",
    ],
)
async def test_a_search_that_is_not_by_one_exact_identifier_of_a_patient_is_not_made(
    practice: Practice, named: str
) -> None:
    every = {references.LOOK_UP: " ".join(references.TYPES)}
    async with practice.harness(vendor={**VENDOR, "patient": named}, settings=every) as booking:
        assert await booking.readiness() is Code.PARTICULARS_MISSING
    assert practice.asked == []


@pytest.mark.requirement("CARD-09")
async def test_nothing_is_looked_up_that_the_sealed_connection_does_not_name(practice: Practice) -> None:
    async with practice.harness(settings={}) as booking:
        assert await booking.readiness() is Code.PARTICULARS_MISSING
    async with practice.harness(settings={references.LOOK_UP: "Practitioner"}) as booking:
        assert await booking.readiness() is Code.PARTICULARS_MISSING
    assert practice.asked == []


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, Code.CREDENTIALS_REJECTED),
        (403, Code.EXTERNAL_FORBIDDEN),
        (404, Code.READINESS_UNVERIFIABLE),
        (429, Code.EXTERNAL_UNAVAILABLE),
        (503, Code.EXTERNAL_UNAVAILABLE),
    ],
)
async def test_a_server_that_does_not_search_blocks(practice: Practice, status: int, code: Code) -> None:
    practice.statuses[0] = status
    async with practice.harness() as booking:
        assert await booking.readiness() is code
        assert (await booking.observe()).finding is ObservationFinding.INDETERMINATE
    assert practice.appointments() == []


@pytest.mark.requirement("CARD-09")
async def test_a_search_that_is_never_answered_blocks() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = make_connection(f"http://127.0.0.1:{port}/", adapter="fhir", settings=LOOKED_UP)
        bounds = Bounds.model_construct(**(Bounds().model_dump() | {"readiness_seconds": 0.2}))
        request = make_request(connection, vendor=SEARCHED)
        async with AdapterHarness(FhirAdapter(), request, bounds=bounds) as booking:
            assert await booking.readiness() is Code.EXTERNAL_TIMEOUT


@pytest.mark.requirement("CARD-15")
async def test_the_identifier_comes_out_nowhere(practice: Practice, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[object] = []
    for answer in (known(patient()), known(), known(patient(), patient("18")), known(patient(identifier=[]))):
        practice.answers[0] = answer
        async with practice.harness() as booking:
            shown += [await booking.readiness(), booking.request.identifiers]
            if shown[-2] is None:
                shown += [await booking.commit(), booking.binding]
            shown.append(await booking.observe())
    assert CANARY not in caplog.text + repr(shown)


def test_what_is_handed_on_shows_nobody(make: MakeRequest) -> None:
    assert CANARY not in repr(LookedUp(request=make(vendor=SEARCHED), prepared=CANARY))
    assert CANARY not in repr(references.Known.model_validate(patient()))


def test_searches_are_declared_with_their_place_and_their_cost() -> None:
    plain = make_connection("http://127.0.0.1:9/r4/", adapter="fhir", dialect="transaction")
    looking = plain.model_copy(update={"settings": {references.LOOK_UP: "Patient Location Patient"}})
    adapter = FhirAdapter()
    one, other = adapter.describe(plain), adapter.describe(looking)
    assert one.safe_posts == ()
    assert other.safe_posts == ("/r4/Location/_search", "/r4/Patient/_search")
    assert other.requests_per_attempt == one.requests_per_attempt + 4


@pytest.mark.parametrize("types", ["Person", "patient", "Patient,Location"])
def test_types_that_are_not_looked_up_are_an_error_of_the_setting(types: str) -> None:
    connection = make_connection(
        "http://127.0.0.1:9/", adapter="fhir", dialect="transaction", settings={"look-up": types}
    )
    with pytest.raises(ValueError, match="look-up"):
        FhirAdapter().describe(connection)


async def test_everybody_may_be_known_by_a_search_and_each_type_is_asked_for_once(
    server: Scripted, make: MakeRequest
) -> None:
    def carrying(kind: str, name: str) -> dict[str, Any]:
        return {"resourceType": kind, "id": f"{name}-id", "identifier": [{"system": "urn:a", "value": name}]}

    types = ("Patient", "Practitioner", "Location", "HealthcareService")
    for kind, name in zip(types, VENDOR, strict=True):
        server.answer(f"POST /{kind}/_search", 200, known(carrying(kind, name)))
    vendor = {name: f"{kind}?identifier=urn:a|{name}" for kind, name in zip(types, VENDOR, strict=True)}
    request = make(vendor=vendor, **{references.LOOK_UP: " ".join(types)})
    async with server.client() as client:
        found = await references.literal(request, client)
    assert list(found.identifiers.values()) == [f"{kind}/{name}-id" for kind, name in zip(types, VENDOR, strict=True)]
    assert sorted(one.url.path for one in server.asked) == sorted(f"/fhir/{kind}/_search" for kind in types)
    assert all(one.url.query == b"" for one in server.asked)


@pytest.mark.parametrize("status", ["suspended", "inactive"])
async def test_a_place_that_is_closed_is_no_place(server: Scripted, make: MakeRequest, status: str) -> None:
    place = {"resourceType": "Location", "id": "1", "identifier": [{"system": "urn:a", "value": "1"}], "status": status}
    server.answer("POST /Location/_search", 200, known(place))
    request = make(vendor={**VENDOR, "location": "Location?identifier=urn:a|1"}, **{references.LOOK_UP: "Location"})
    async with server.client() as client:
        with pytest.raises(IdentifierMissingError):
            await references.literal(request, client)


async def test_a_request_without_searches_is_left_as_it_is_and_nobody_is_asked(
    server: Scripted, make: MakeRequest
) -> None:
    request = make(**LOOKED_UP)
    async with server.client() as client:
        assert await references.literal(request, client) is request
    assert server.asked == []
