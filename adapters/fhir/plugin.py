"""Registers the FHIR adapter with the gateway (entry point `fhir` in the group `gateway`)."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.fhir.adapter import FhirAdapter
from gateway.contracts.adapter import Adapter
from gateway.hookspecs import hookimpl


@hookimpl
def gateway_adapters() -> Mapping[str, Adapter]:
    return {"fhir": FhirAdapter()}
