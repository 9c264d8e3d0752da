"""Registers the athenahealth adapter with the gateway (entry point `athenahealth` of group `gateway`)."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.athenahealth.adapter import AthenahealthAdapter
from gateway.contracts.adapter import Adapter
from gateway.hookspecs import hookimpl


@hookimpl
def gateway_adapters() -> Mapping[str, Adapter]:
    """One stateless adapter serves every athenaOne connection (CARD-01)."""
    return {"athenahealth": AthenahealthAdapter()}
