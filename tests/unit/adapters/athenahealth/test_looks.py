"""What a look needs, and what it names."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from adapters.athenahealth.adapter import AthenahealthAdapter
from gateway.contracts.adapter import Basis, IdentifierMissingError, Observation, Query
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding as Finding
from tests.unit.adapters.athenahealth.conftest import DAY, SLOT, Script, listing, make_request, read, record


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize("identifier", [None, "", ".", ".."])
@pytest.mark.parametrize("operation", [Operation.RESCHEDULE, Operation.CANCEL], ids=str)
async def test_looks_at_a_change_need_its_identifier(
    adapter: AthenahealthAdapter,
    client: httpx.AsyncClient,
    script: Script,
    operation: Operation,
    identifier: str | None,
) -> None:
    request = make_request(operation, target=(identifier, "any"))
    for asked in (adapter.readiness(request, client), adapter.observe(Query(request=request), client)):
        with pytest.raises(IdentifierMissingError):
            await asked
    assert not script.asked


async def test_a_look_names_what_it_found(
    adapter: AthenahealthAdapter, client: httpx.AsyncClient, script: Script
) -> None:
    script.replies[DAY] = listing(record(), record(appointmentid="2", starttime="10:00"))
    expected = Observation(finding=Finding.PRESENT, basis=Basis.MATCHING, version=read().version, identifier=SLOT)
    assert await adapter.observe(Query(request=make_request()), client) == expected
    stranger = replace(make_request(), identifiers={**make_request().identifiers})
    with pytest.raises(KeyError):
        await adapter.observe(Query(request=stranger), client)
