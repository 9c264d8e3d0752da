"""Registers the GNU Health adapter with the gateway (entry point `gnuhealth` of group `gateway`)."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.gnuhealth.adapter import GnuHealthAdapter
from gateway.contracts.adapter import Adapter
from gateway.hookspecs import hookimpl


@hookimpl
def gateway_adapters() -> Mapping[str, Adapter]:
    """One stateless adapter serves every GNU Health connection (CARD-01)."""
    return {"gnuhealth": GnuHealthAdapter()}
