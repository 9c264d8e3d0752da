"""What a CapabilityStatement proves, and what a sealed connection must declare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from adapters.fhir.capability import CapabilityStatement, Needs, proofs
from gateway.contracts.adapter import Proof, Request

MakeRequest = Callable[..., Request]
NEEDS = Needs(
    reads={"": frozenset({"transaction"}), "Appointment": frozenset({"read"}), "Schedule": frozenset({"search-type"})},
    writes={"Appointment": frozenset({"create"}), "Slot": frozenset({"update"})},
    features=("conditional_create",),
    compared=frozenset({"Slot"}),
)


def statement(**changes: Any) -> CapabilityStatement:
    """A server that has all; `changes` are `appointment`, `slot`, `schedule`, `system`, `version` or `mode`."""
    types = {
        "Appointment": {"interaction": ["read", "create"], "conditionalCreate": True} | changes.get("appointment", {}),
        "Slot": {"interaction": ["update"], "versioning": "versioned-update"} | changes.get("slot", {}),
        "Schedule": {"interaction": ["search-type"]} | changes.get("schedule", {}),
    }
    resources = [
        {**told, "type": kind, "interaction": [{"code": code} for code in told["interaction"]]}
        for kind, told in types.items()
    ]
    system = [{"code": code} for code in changes.get("system", ["transaction"])]
    rest = [{"mode": changes.get("mode", "server"), "resource": resources, "interaction": system}]
    told = {"resourceType": "CapabilityStatement", "fhirVersion": changes.get("version", "4.0.1"), "rest": rest}
    return CapabilityStatement.model_validate(told)


@pytest.mark.requirement("GATE-24", "GATE-26")
@pytest.mark.parametrize(
    ("changes", "available", "authorised"),
    [
        ({}, Proof.PROVEN, Proof.PROVEN),
        ({"version": "4.0.0"}, Proof.PROVEN, Proof.PROVEN),
        ({"version": "4.3.0"}, Proof.UNVERIFIABLE, Proof.PROVEN),
        ({"version": "5.0.0"}, Proof.UNVERIFIABLE, Proof.PROVEN),
        ({"version": "3.0.2"}, Proof.UNVERIFIABLE, Proof.PROVEN),
        ({"system": []}, Proof.UNVERIFIABLE, Proof.PROVEN),
        ({"schedule": {"interaction": []}}, Proof.UNVERIFIABLE, Proof.PROVEN),
        ({"appointment": {"conditionalCreate": False}}, Proof.UNVERIFIABLE, Proof.PROVEN),
        ({"slot": {"versioning": "versioned"}}, Proof.UNVERIFIABLE, Proof.PROVEN),
        ({"slot": {"versioning": None}}, Proof.UNVERIFIABLE, Proof.PROVEN),
        ({"slot": {"versioning": "no-version"}}, Proof.UNVERIFIABLE, Proof.PROVEN),
        ({"appointment": {"interaction": ["read"]}}, Proof.PROVEN, Proof.REFUTED),
        ({"slot": {"interaction": ["read", "search-type"]}}, Proof.PROVEN, Proof.REFUTED),
        ({"mode": "client"}, Proof.UNVERIFIABLE, Proof.REFUTED),
    ],
    ids=str,
)
def test_a_statement_proves_what_it_lists(
    make: MakeRequest, changes: dict[str, Any], available: Proof, authorised: Proof
) -> None:
    assert proofs(statement(**changes), NEEDS, make()) == (available, authorised)


@pytest.mark.requirement("GATE-26", "GATE-27")
def test_what_a_server_lists_is_not_what_an_account_may(make: MakeRequest) -> None:
    undeclared = make(**{"access-declared": False})
    assert proofs(statement(), NEEDS, undeclared) == (Proof.PROVEN, Proof.UNVERIFIABLE)


@pytest.mark.parametrize(
    ("versioning", "available"),
    [("versioned", Proof.PROVEN), (None, Proof.PROVEN), ("no-version", Proof.UNVERIFIABLE)],
)
def test_a_declaration_fills_a_gap_and_overrides_nothing(
    make: MakeRequest, versioning: str | None, available: Proof
) -> None:
    declared = make(**{"if-match-declared": True})
    assert proofs(statement(slot={"versioning": versioning}), NEEDS, declared)[0] is available
