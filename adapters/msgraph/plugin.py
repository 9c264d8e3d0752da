"""Registers the Microsoft Graph adapter with the gateway (entry point `msgraph` of group `gateway`)."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.msgraph.adapter import GraphAdapter
from gateway.contracts.adapter import Adapter
from gateway.hookspecs import hookimpl


@hookimpl
def gateway_adapters() -> Mapping[str, Adapter]:
    """One stateless adapter serves every Microsoft Graph connection (CARD-01)."""
    return {"msgraph": GraphAdapter()}
