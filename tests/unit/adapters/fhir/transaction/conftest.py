"""The transaction dialect: what a server shows, says and answers; and a request's readiness at one of a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adapters.fhir import mapping
from adapters.fhir.adapter import FhirAdapter
from adapters.fhir.resources import Appointment, Slot, held
from adapters.fhir.transaction import Plan
from gateway.contracts.adapter import Request, TargetState
from gateway.contracts.proposal import Operation

if TYPE_CHECKING:
    from tests.unit.adapters.fhir.conftest import Scripted

ELSEWHERE = {"reference": "Location/other"}
ABSENT = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-found"}]}
DELETED = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "deleted"}]}
SLOT = "Slot/practitioner-1.203103030900"
ELSEWHERE_BASE = "https://else.where/fhir/"
WAYS = ("conditional-create", "client-id", "lookup")


def slot(name: str = SLOT, version: str = "1", status: str = "free") -> Any:
    raw = {"resourceType": "Slot", "id": name[5:], "meta": {"versionId": version}, "status": status}
    raw |= {"schedule": {"reference": "Schedule/practitioner-1"}}
    return raw | {"start": "2031-03-03T09:00:00Z", "end": "2031-03-03T09:30:00Z"}


def appointment(request: Request, version: str = "1", **changes: Any) -> Any:
    """What a server shows of the booking or change after it was made."""
    raw = {**mapping.appointment(request, [SLOT]), "id": "17", "meta": {"versionId": version}}
    status = {"status": "cancelled"} if request.operation is Operation.CANCEL else {}
    return raw | status | changes


def stored(request: Request, version: str = "1", **changes: Any) -> Any:
    """The appointment before a change of it: under the key of its booking alone."""
    key = request.native_key() if request.operation is Operation.BOOK else request.target_key()
    known = [{"system": mapping.KEY_SYSTEM, "value": key}]
    return appointment(request, version, **{"status": "booked", "identifier": known, **changes})


def plan_of(request: Request) -> Plan:
    take = (held(Slot, slot()),)
    if request.operation is Operation.BOOK:
        return Plan(take=take, names=(SLOT,))
    target = held(Appointment, stored(request))
    give = (held(Slot, slot("Slot/old", status="busy")),)
    if request.operation is Operation.CANCEL:
        return Plan(target=target, give=give)
    return Plan(target=target, take=take, give=give, names=(SLOT,))


def told(request: Request, status: str, resource: Any = None, others: str = "200 OK") -> dict[str, Any]:
    """A transaction's response; the first entry is the Appointment's."""
    plan = plan_of(request)
    count = len(plan.take) + len(plan.give)
    location = {"status": status, "location": f"{request.connection.base_url}Appointment/17/_history/1"}
    shown = {} if resource is None else {"resource": resource}
    entries = [{"response": location, **shown}, *({"response": {"status": others}} for _ in range(count))]
    return {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}


def searchset(*resources: Any, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in resources], **more}


def issue(code: str, severity: str = "warning", **more: Any) -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code, **more}]}


def beside(bundle: dict[str, Any], outcome: Any) -> dict[str, Any]:
    """The search set with what a server says of it."""
    return bundle | {"entry": [*bundle["entry"], {"resource": outcome, "search": {"mode": "outcome"}}]}


STATEMENT: dict[str, Any] = {
    "resourceType": "CapabilityStatement",
    "fhirVersion": "4.0.1",
    "rest": [
        {
            "mode": "server",
            "interaction": [{"code": "transaction"}],
            "resource": [
                {
                    "type": "Appointment",
                    "interaction": [{"code": each} for each in ("read", "search-type", "create", "update")],
                    "versioning": "versioned-update",
                    "conditionalCreate": True,
                },
                {
                    "type": "Slot",
                    "interaction": [{"code": each} for each in ("search-type", "update")],
                    "versioning": "versioned-update",
                },
                {"type": "Schedule", "interaction": [{"code": "search-type"}]},
            ],
        }
    ],
}
SCHEDULE: dict[str, Any] = {
    "resourceType": "Schedule",
    "id": "practitioner-1",
    "actor": [{"reference": "Practitioner/practitioner-1"}],
}


def ready(server: Scripted) -> None:
    server.answer("GET /metadata", 200, STATEMENT)
    server.answer("GET /Schedule", 200, searchset(SCHEDULE))
    server.answer("GET /Slot", 200, searchset(slot()))


async def target_of(server: Scripted, request: Request) -> TargetState:
    async with server.client() as client:
        return (await FhirAdapter().readiness(request, client)).target
