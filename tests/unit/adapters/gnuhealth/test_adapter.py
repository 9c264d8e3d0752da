"""What the adapter claims; and the three operations against a Tryton of our own, through the real boundary."""

from __future__ import annotations

from typing import Any

import pluggy
import pytest

from adapters.gnuhealth import mapping, plugin
from adapters.gnuhealth.adapter import GnuHealthAdapter
from gateway import hookspecs
from gateway.contracts.adapter import Basis, Exclusivity, Idempotency
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, ObservationFinding
from gateway.testing import make_connection
from tests.unit.adapters.gnuhealth.conftest import spelt


@pytest.mark.requirement("CARD-01")
def test_the_plugin_registers_the_adapter_under_its_name() -> None:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()
    (registered,) = manager.hook.gateway_adapters()
    assert isinstance(registered["gnuhealth"], GnuHealthAdapter) and registered.keys() == {"gnuhealth"}


@pytest.mark.parametrize("base_url", ["https://his.example/clinic/", "https://his.example/clinic"])
def test_the_descriptor_claims_what_tryton_keeps_and_names_two_calls_that_read(base_url: str) -> None:
    claims = GnuHealthAdapter().describe(make_connection(base_url))
    assert set(claims.operations) == set(Operation)
    assert (claims.idempotency, claims.exclusivity) == (Idempotency.LOOKUP, Exclusivity.NONE)
    assert (claims.observation, claims.settling_seconds, claims.safe_posts) == (Basis.BY_KEY, 0, ())
    assert claims.safe_calls is not None
    assert claims.safe_calls.address == "/clinic/"
    assert {name.rpartition(".")[2] for name in claims.safe_calls.methods} == {"get_access", "search_read"}


# -- the three operations --------------------------------------------------------------------------------


@pytest.mark.requirement("ADAPT-09", "CARD-02")
async def test_a_booking_is_one_create_with_our_key_in_its_name(office: Any, tryton: Any) -> None:
    async with office.booking() as harness:
        assert await harness.readiness() is None
        result = await harness.commit()
        assert (result.effect, result.code) == (Effect.APPLIED, Code.COMMITTED)
        look = await harness.observe()
        assert harness.requests == 5
    (record,) = tryton.records
    assert (tryton.writes, look.finding) == (1, ObservationFinding.PRESENT)
    assert record["name"] == mapping.name_of(harness.request)
    assert (record["patient"], record["healthprof"], record["institution"], record["speciality"]) == (3, 5, 7, 9)
    assert (record["appointment_date"], record["state"]) == (spelt(harness), "confirmed")
    assert harness.binding is not None
    assert (harness.binding.identifier, harness.binding.version) == ("1", record["_timestamp"])


@pytest.mark.requirement("ADAPT-09", "CARD-02")
async def test_a_reschedule_is_one_write_that_names_the_approved_version_and_no_state(office: Any, tryton: Any) -> None:
    booked = await office.booked()
    before = tryton.records[0]["_timestamp"]
    async with await office.change(Operation.RESCHEDULE, booked) as harness:
        assert await harness.readiness() is None
        assert (await harness.commit()).effect is Effect.APPLIED
        assert (await harness.observe()).finding is ObservationFinding.PRESENT
    _, (numbers, values, context) = next(call for call in tryton.calls if call[0].endswith(".write"))
    assert (numbers, context) == ([1], {"_timestamp": {"gnuhealth.appointment,1": before}})
    assert values == {
        "name": mapping.name_of(harness.request),
        "healthprof": 5,
        "institution": 7,
        "speciality": 9,
        "appointment_date": spelt(harness),
    }
    assert values["name"].startswith(mapping.name_of(booked.request) + "-")
    assert (tryton.writes, tryton.records[0]["state"]) == (2, "confirmed")


@pytest.mark.requirement("ADAPT-09", "CARD-02")
async def test_a_cancellation_is_one_write_of_the_state_and_keeps_the_record(office: Any, tryton: Any) -> None:
    async with await office.change(Operation.CANCEL) as harness:
        assert await harness.readiness() is None
        assert (await harness.commit()).effect is Effect.APPLIED
        assert (await harness.observe()).finding is ObservationFinding.PRESENT
    _, (_, values, _) = next(call for call in tryton.calls if call[0].endswith(".write"))
    assert values == {"name": mapping.name_of(harness.request), "state": "user_cancelled"}
    assert (tryton.writes, len(tryton.records)) == (2, 1)


async def test_a_second_change_is_found_by_the_first_key_and_leaves_its_own(office: Any, tryton: Any) -> None:
    async with await office.change(Operation.RESCHEDULE) as moved:
        assert await moved.readiness() is None
        await moved.commit()
    async with await office.change(Operation.CANCEL, moved) as harness:
        assert await harness.readiness() is None
        assert (await harness.commit()).effect is Effect.APPLIED
        assert (await moved.observe()).finding is ObservationFinding.INDETERMINATE
    assert tryton.records[0]["name"] == mapping.name_of(harness.request)
