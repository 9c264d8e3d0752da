"""A conformant run of the embedded sandbox's own adapter, its statement, and the key that signs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.sandbox.adapter import SandboxAdapter
from conformance.reports.document import spell
from conformance.results import Results
from conformance.statement import draw_up, verify
from gateway.attestation import ConformanceStatement
from gateway.conformity import AdapterCode, identify
from gateway.contracts.references import PracticeId
from gateway.signatures import Keyring, TrustedKeys, Verified
from gateway.surfaces.keys import LocalKey
from gateway.surfaces.sign import sign
from gateway.testing import make_connection

ENDED = datetime(2031, 3, 4, 9, 0, tzinfo=UTC)
NOW = ENDED + timedelta(hours=2)


@dataclass(frozen=True, kw_only=True)
class Stated:
    """Everything that stands behind one statement; `verify` checks it, with whatever a test replaces."""

    code: AdapterCode
    results: Results
    raw: bytes
    key: LocalKey
    keys: Keyring
    statement: ConformanceStatement
    again: Callable[..., Results] = field(repr=False)

    def token(self, statement: ConformanceStatement | None = None, key: LocalKey | None = None) -> str:
        return sign(statement or self.statement, key or self.key)

    def verify(self, statement: ConformanceStatement | None = None, **given: Any) -> Verified[ConformanceStatement]:
        full: dict[str, Any] = {"raw": self.raw, "keys": self.keys, "now": NOW, "installed": self.code} | given
        return verify(self.token(statement), **full)


@pytest.fixture
def stated(conformant: Callable[..., Results]) -> Stated:
    code = identify(SandboxAdapter(), "sandbox")
    claims = SandboxAdapter().describe(make_connection("http://127.0.0.1:1/", adapter="sandbox"))

    def again(**changes: Any) -> Results:
        return conformant(code, claims, "standard", ENDED, **changes)

    results, key = again(), LocalKey.generate("conformance")
    raw = spell(results)
    return Stated(
        code=code,
        results=results,
        raw=raw,
        key=key,
        keys=Keyring(TrustedKeys(keys=(key.public([ConformanceStatement.typ], PracticeId.random()),))),
        statement=draw_up(raw, code, now=NOW),
        again=again,
    )
