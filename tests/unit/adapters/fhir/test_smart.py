"""What scopes prove, and where a token may come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from adapters.fhir import smart
from adapters.fhir.adapter import FhirAdapter
from gateway.contracts.adapter import Proof, Request
from gateway.contracts.connection import CredentialUse, Scheme, TokenEndpoint
from gateway.testing import make_connection, make_request

if TYPE_CHECKING:
    from tests.unit.adapters.fhir.conftest import Scripted

BASE = "http://127.0.0.1:9/fhir/"
TOKENS = "http://127.0.0.1:9/token"
WRITES = {"Appointment": frozenset({"create"}), "Slot": frozenset({"update"})}


@pytest.mark.requirement("GATE-26")
@pytest.mark.parametrize(
    ("scope", "proof"),
    [
        ("system/Appointment.c system/Slot.u", Proof.PROVEN),
        ("system/Appointment.cruds system/Slot.cud", Proof.PROVEN),
        ("system/*.cu", Proof.PROVEN),
        ("system/*.*", Proof.PROVEN),
        ("system/Appointment.write user/Slot.write", Proof.PROVEN),
        ("system/Appointment.c system/Appointment.rs system/Slot.rs system/Slot.u", Proof.PROVEN),
        ("system/Appointment.read system/Slot.read", Proof.REFUTED),
        ("system/Appointment.c", Proof.REFUTED),
        ("system/Appointment.u system/Slot.u", Proof.REFUTED),
        ("system/Appointment.c?status=booked system/Slot.u", Proof.REFUTED),
        ("openid offline_access", Proof.UNVERIFIABLE),
        ("https://www.googleapis.com/auth/cloud-healthcare", Proof.UNVERIFIABLE),
        (None, Proof.UNVERIFIABLE),
    ],
)
def test_scopes_prove_what_they_admit(scope: str | None, proof: Proof) -> None:
    assert smart.granted(scope, WRITES) is proof


@pytest.mark.parametrize("code", ["create", "update", "patch", "$book"])
def test_every_interaction_that_a_dialect_writes_by_has_a_letter(code: str) -> None:
    assert smart.granted("system/Appointment.cu", {"Appointment": frozenset({code})}) is Proof.PROVEN


def asked(scope: str) -> Request:
    token = TokenEndpoint(url=TOKENS, scope=scope, issuer="client")
    credential = CredentialUse(scheme=Scheme.PRIVATE_KEY_JWT, name="key", token=token)
    connection = make_connection(BASE, adapter="fhir", dialect="ihe-book", credential=credential)
    return make_request(connection)


STATEMENT: dict[str, Any] = {
    "resourceType": "CapabilityStatement",
    "fhirVersion": "4.0.1",
    "rest": [
        {
            "mode": "server",
            "resource": [
                {
                    "type": "Appointment",
                    "interaction": [{"code": "read"}, {"code": "search-type"}],
                    "operation": [{"name": "find"}, {"name": "book"}],
                }
            ],
        }
    ],
}


@pytest.mark.requirement("GATE-24", "GATE-26")
@pytest.mark.parametrize(
    ("configuration", "scope", "available", "authorised"),
    [
        ({"token_endpoint": TOKENS}, "system/Appointment.crus", Proof.PROVEN, Proof.PROVEN),
        ({"token_endpoint": TOKENS}, "system/Appointment.rs", Proof.PROVEN, Proof.REFUTED),
        ({"token_endpoint": TOKENS}, "everything", Proof.PROVEN, Proof.UNVERIFIABLE),
        ({"token_endpoint": "https://elsewhere.invalid/token"}, "system/*.*", Proof.UNVERIFIABLE, Proof.PROVEN),
        ({}, "system/*.*", Proof.UNVERIFIABLE, Proof.UNVERIFIABLE),
    ],
)
async def test_a_backend_service_is_proven_by_its_scopes_at_the_servers_own_token_endpoint(
    server: Scripted, configuration: Any, scope: str, available: Proof, authorised: Proof
) -> None:
    server.answer("GET /metadata", 200, STATEMENT)
    server.answer("GET /.well-known/smart-configuration", 200, configuration)
    server.answer("POST /Appointment/$find", 200, {"resourceType": "Bundle", "type": "searchset"})
    async with server.client() as client:
        readiness = await FhirAdapter().readiness(asked(scope), client)
    assert (readiness.available, readiness.authorised) == (available, authorised)


async def test_other_schemes_are_not_asked_for_a_smart_configuration(
    server: Scripted, make: Callable[..., Request]
) -> None:
    server.answer("GET /metadata", 200, STATEMENT)
    async with server.client() as client:
        await FhirAdapter().readiness(make(dialect="ihe-book"), client)
    assert [one.url.path for one in server.asked] == ["/fhir/metadata", "/fhir/Appointment/$find"]
