"""DESIGN's table "How attempts end", each row reached through the whole gateway against a real server."""

from __future__ import annotations

import pytest

from gateway.contracts.failures import Code
from gateway.contracts.outcome import Outcome
from gateway.contracts.words import ApprovalUse, Effect, Next, Standing, State


def ended(outcome: Outcome) -> tuple[State, Code, Effect | None, ApprovalUse, Next]:
    return outcome.state, outcome.code, outcome.effect, outcome.approval, outcome.next


async def test_an_approved_booking_is_made_once(world) -> None:
    async with world.gateway() as gateway:
        patient = world.rehearsal.enrol()
        proposal = await world.rehearsal.propose(gateway, patient)
        outcome = await world.rehearsal.commit(gateway, proposal)
    assert ended(outcome) == (State.SUCCEEDED, Code.COMMITTED, Effect.APPLIED, ApprovalUse.SPENT, Next.NONE)
    assert outcome.standing is Standing.CONFIRMED
    assert not outcome.binding_outstanding
    assert await world.sent() == 1
    assert len(await world.appointments()) == 1
