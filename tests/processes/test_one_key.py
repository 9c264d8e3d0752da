"""Several gateway processes on one journal: one key, one request, one answer (C-29)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.gateway import Gateway

PROCESSES = 4
CALLERS = 50


@pytest.mark.requirement("IDEM-04", "CARD-02")
async def test_two_hundred_callers_in_four_processes_send_one_request(site: Any) -> None:
    await send_one_request(site, PROCESSES, CALLERS)


@pytest.mark.requirement("IDEM-04", "CARD-02")
async def test_fifty_callers_in_two_processes_send_one_request(site_on_postgres: Any) -> None:
    await send_one_request(site_on_postgres, PROCESSES // 2, CALLERS // 2)


async def send_one_request(site: Any, processes: int, callers: int) -> None:
    """`callers` in each of `processes` present one key at the same time."""
    async with Gateway.open(site.local.home) as gateway:
        proposal = await site.rehearsal.propose(gateway, site.rehearsal.enrol())
        trigger = site.rehearsal.trigger(proposal, await site.rehearsal.decide(gateway, proposal))
    running = [site.committing(trigger, callers=callers) for _ in range(processes)]
    for process in running:
        assert process.stdout.readline() == "open\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    outcomes = []
    for process in running:
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        outcomes += [json.loads(line) for line in output.splitlines()]
    assert len(outcomes) == processes * callers
    answers = {(outcome["attempt"], outcome["state"], outcome["code"]) for outcome in outcomes}
    attempt = next(iter(answers))[0]
    assert answers <= {(attempt, "SUCCEEDED", "COMMITTED"), (attempt, "RUNNING", "IN_FLIGHT")}
    assert sum(not outcome["replayed"] for outcome in outcomes) == 1
    journal = site.journal()
    assert len(journal["requests"]) == 1
    assert len(journal["appointments"]) == 1
