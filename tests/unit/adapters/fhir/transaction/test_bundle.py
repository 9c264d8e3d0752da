"""What is sent: the one bundle of a booking or a change."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from adapters.fhir import mapping
from adapters.fhir.resources import Appointment, Slot, held
from adapters.fhir.transaction import Plan
from gateway.contracts.adapter import Request
from gateway.contracts.proposal import Operation
from tests.unit.adapters.fhir.transaction.conftest import SLOT, WAYS, plan_of, slot, stored

if TYPE_CHECKING:
    from tests.unit.adapters.fhir.conftest import Scripted

MakeRequest = Callable[..., Request]


@pytest.mark.requirement("ADAPT-05")
@pytest.mark.parametrize("way", WAYS)
async def test_the_booking_names_its_key_and_the_version_of_every_slot(
    server: Scripted, make: MakeRequest, way: str
) -> None:
    request = make(idempotency=way, reason="check-up")
    await server.commit(request, plan_of(request))
    (sent,) = server.asked
    assert str(sent.url) == "http://127.0.0.1:9/fhir"
    assert (sent.headers["Content-Type"], sent.headers["Prefer"]) == ("application/fhir+json", "return=representation")
    first, second = json.loads(sent.content)["entry"]
    key = request.native_key()
    assert first["resource"]["identifier"] == [{"system": mapping.KEY_SYSTEM, "value": key}]
    assert first["resource"]["reasonCode"] == [{"text": "check-up"}]
    assert (
        first["request"]
        == {
            "conditional-create": {
                "method": "POST",
                "url": "Appointment",
                "ifNoneExist": f"identifier={mapping.KEY_SYSTEM}|{key}",
            },
            "client-id": {"method": "PUT", "url": f"Appointment/{key}", "ifNoneMatch": "*"},
            "lookup": {"method": "POST", "url": "Appointment"},
        }[way]
    )
    assert second["request"] == {"method": "PUT", "url": SLOT, "ifMatch": 'W/"1"'}
    assert second["resource"] == slot(status="busy")


@pytest.mark.requirement("ADAPT-05")
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=lambda one: one.name)
async def test_a_change_without_what_readiness_read_is_never_sent(
    server: Scripted, make: MakeRequest, operation: Operation
) -> None:
    request = make(operation)
    nameless = held(Appointment, {key: value for key, value in stored(request).items() if key != "meta"})
    for prepared in (Plan(), Plan(target=nameless)):
        with pytest.raises(ValueError, match=r"version|readiness"):
            await server.commit(request, prepared)
    assert server.asked == []


@pytest.mark.parametrize(
    ("status", "kept"), [("generated", False), ("extensions", False), ("additional", True), (None, False)]
)
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=lambda one: one.name)
async def test_a_change_does_not_write_back_a_narrative_of_what_was(
    server: Scripted, make: MakeRequest, operation: Operation, status: str | None, kept: bool
) -> None:
    request = make(operation, bound="17")
    text = {} if status is None else {"text": {"status": status, "div": "<div>booked at nine</div>"}}
    target = held(Appointment, stored(request) | text)
    give = (held(Slot, slot("Slot/old", status="busy") | text),)
    await server.commit(request, replace(plan_of(request), target=target, give=give))
    first, *_, last = json.loads(server.asked[0].content)["entry"]
    assert ("text" in first["resource"], "text" in last["resource"]) == (kept, kept)
    assert (last["resource"]["status"], last["request"]["url"]) == ("free", "Slot/old")
