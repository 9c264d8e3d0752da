"""What people are shown of conformance: by the doctor, and in the list of connections."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox.adapter import SandboxAdapter
from gateway.cli.diagnosis import Finding, Health, examine
from gateway.contracts.words import Environment

PROGRAM = Path(sys.executable).with_name("gateway")


async def told(world: Any, subject: str) -> list[Finding]:
    return [each for each in await examine(world.local.home, world.local.keys) if each.subject == subject]


def listed(world: Any) -> dict[str, Any]:
    line = [str(PROGRAM), "connections", "list", "--json", "--home", str(world.local.home)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    (found,) = json.loads(done.stdout)["connections"]
    assert isinstance(found, dict)
    return found


async def test_in_the_sandbox_the_doctor_says_that_no_statement_is_needed(world):
    (found,) = await told(world, "conformance")
    assert (found.health, found.found) == (Health.WELL, "no statement is needed in environment sandbox")
    assert listed(world)["conformance"] == "not needed"


@pytest.mark.parametrize(("days", "health"), [(60, Health.WELL), (20, Health.NOTE)])
async def test_the_doctor_says_how_long_an_adapter_is_covered_and_when_to_renew(
    make_world, state_conformance, days, health
):
    world = await make_world(environment=Environment.STAGING, stated=False)
    state_conformance(world.local, SandboxAdapter(), world.rehearsal.connection, days=days)
    (found,) = await told(world, "conformance")
    assert found.health is health
    assert "sandbox conforms, dialect standard, covered until 2" in found.found
    assert ("run the suite again in time" in found.do) is (health is Health.NOTE)
    shown = listed(world)
    assert shown["conformance"].startswith("covered until 2")
    assert shown["admitted"] is False  # for want of a governance record


async def test_without_a_statement_the_doctor_says_what_keeps_the_gateway_from_opening(make_world):
    world = await make_world(environment=Environment.STAGING, stated=False)
    (found,) = await told(world, "configuration")
    assert found.health is Health.ILL
    assert "adapter sandbox is not loaded in environment staging" in found.found
    assert "gateway conformance run sandbox --target FILE --report DIR" in found.found
