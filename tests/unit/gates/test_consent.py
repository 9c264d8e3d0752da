"""Consent (F-01 §4.3), judged alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.contracts.failures import Code
from gateway.gates import consent

DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)


@pytest.mark.requirement("GATE-10")
def test_consent_in_force_passes_and_consent_not_in_force_does_not(bench: Any) -> None:
    assert consent.judge(bench.case, bench.answers) is None
    assert consent.judge(bench.case, bench.answered("consent", in_force=False)) is Code.CONSENT_ABSENT


@pytest.mark.requirement("GATE-12")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(other=DIGESTS | st.none())
def test_only_the_very_consent_of_the_proposal_passes(bench: Any, other: str | None) -> None:
    verdict = consent.judge(bench.case, bench.answered("consent", consent=other))
    assert verdict is (None if other == bench.proposal.consent else Code.CONSENT_CHANGED)
