"""Registers the HL7 v2 adapter with the gateway (entry point `hl7v2` of group `gateway`)."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.hl7v2.adapter import Hl7v2Adapter
from gateway.contracts.adapter import Adapter
from gateway.hookspecs import hookimpl


@hookimpl
def gateway_adapters() -> Mapping[str, Adapter]:
    """One stateless adapter serves every HL7 v2 connection (CARD-01)."""
    return {"hl7v2": Hl7v2Adapter()}
