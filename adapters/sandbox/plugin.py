"""Registers the sandbox with the gateway (entry point `sandbox` in the group `gateway`)."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.sandbox.adapter import SandboxAdapter
from gateway.contracts.adapter import Adapter
from gateway.hookspecs import hookimpl


@hookimpl
def gateway_adapters() -> Mapping[str, Adapter]:
    return {"sandbox": SandboxAdapter()}
