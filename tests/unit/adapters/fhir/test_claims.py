"""What the adapter claims of a server: it follows from the settings that are sealed, whatever the dialect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from adapters.fhir.adapter import DIALECTS, FhirAdapter
from gateway.contracts.adapter import Basis, Exclusivity, Idempotency, Request

MakeRequest = Callable[..., Request]


@pytest.mark.parametrize(
    ("settings", "idempotency", "exclusivity"),
    [
        ({}, Idempotency.UNIQUE, Exclusivity.ENFORCED),
        ({"idempotency": "client-id"}, Idempotency.UNIQUE, Exclusivity.ENFORCED),
        ({"idempotency": "lookup"}, Idempotency.LOOKUP, Exclusivity.ENFORCED),
        ({"slots": False}, Idempotency.UNIQUE, Exclusivity.NONE),
    ],
)
def test_the_claims_follow_from_the_sealed_settings(
    make: MakeRequest, settings: dict[str, Any], idempotency: Idempotency, exclusivity: Exclusivity
) -> None:
    claimed = FhirAdapter().describe(make(**settings, **{"settling-seconds": 3}).connection)
    assert (claimed.idempotency, claimed.exclusivity) == (idempotency, exclusivity)
    assert (claimed.observation, claimed.settling_seconds) == (Basis.BY_KEY, 3)


@pytest.mark.requirement("CARD-13")
@pytest.mark.parametrize("dialect", DIALECTS)
def test_how_long_a_request_may_still_be_carried_out_is_sealed(make: MakeRequest, dialect: str) -> None:
    assert FhirAdapter().describe(make(dialect=dialect, **{"relay-seconds": 40}).connection).relay_seconds == 40
    assert FhirAdapter().describe(make(dialect=dialect).connection).relay_seconds == 0


@pytest.mark.parametrize("wrong", [{"idempotency": "hope"}, {"dialect": "klingon"}])
def test_a_dialect_or_way_that_there_is_not_is_refused(make: MakeRequest, wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"klingon|hope|none of them"):
        FhirAdapter().describe(make(**wrong).connection)
