"""Registers the CalDAV adapter with the gateway (entry point `caldav` of group `gateway`)."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.caldav.adapter import CaldavAdapter
from gateway.contracts.adapter import Adapter
from gateway.hookspecs import hookimpl


@hookimpl
def gateway_adapters() -> Mapping[str, Adapter]:
    """One stateless adapter serves every CalDAV connection (CARD-01)."""
    return {"caldav": CaldavAdapter()}
