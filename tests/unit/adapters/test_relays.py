"""What every adapter with the setting `relay-seconds` makes of it."""

from __future__ import annotations

from importlib import import_module

import pytest

from gateway.contracts.adapter import Adapter
from gateway.contracts.connection import Setting
from gateway.testing import make_connection


@pytest.fixture(params=["athenahealth", "caldav", "gnuhealth", "google_calendar", "hl7v2", "msgraph"])
def adapter(request: pytest.FixtureRequest) -> Adapter:
    (offered,) = import_module(f"adapters.{request.param}.plugin").gateway_adapters().values()
    found: Adapter = offered
    return found


@pytest.mark.requirement("CARD-13")
@pytest.mark.parametrize("seconds", [0, 600])
def test_a_sealed_connection_says_how_long_a_request_may_still_be_carried_out(adapter: Adapter, seconds: int) -> None:
    connection = make_connection("https://ehr.example.org/", settings={"relay-seconds": seconds})
    assert adapter.describe(connection).relay_seconds == seconds


@pytest.mark.parametrize("seconds", [-1, True, "600"])
def test_what_is_no_number_of_seconds_is_not_taken_for_none(adapter: Adapter, seconds: Setting) -> None:
    with pytest.raises(ValueError, match="relay_seconds"):
        adapter.describe(make_connection("https://ehr.example.org/", settings={"relay-seconds": seconds}))
