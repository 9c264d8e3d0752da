"""Every check by the id of its requirement."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from conformance.checks import claims, crash, keys, lost, operations, readiness, refusals
from conformance.checks.check import Check

CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        **claims.CHECKS,
        **readiness.CHECKS,
        **operations.CHECKS,
        **refusals.CHECKS,
        **keys.CHECKS,
        **lost.CHECKS,
        **crash.CHECKS,
    }
)
