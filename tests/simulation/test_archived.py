"""A practice goes on after its old attempts were archived: nothing is done twice, nothing is forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox.faults import Action, Fault
from conformance.rehearsal import target_of
from gateway import config
from gateway.audit import checkpoint, verify_file
from gateway.audit.retention import Retention, Tally
from gateway.audit.volumes import volumes_at
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.references import DecisionId
from gateway.contracts.statements import Finding, Trigger
from gateway.contracts.words import Effect, ObservationFinding, Standing, State
from gateway.gateway import Gateway
from gateway.signatures import Keyring
from gateway.surfaces.local import CHECKPOINT, OPERATOR
from gateway.surfaces.sign import sign


def drawn(world: Any, gateway: Gateway) -> str:
    """A checkpoint over the journal as it is now."""
    with gateway.ports.journal.archive() as archive:
        statement, heads = checkpoint.draw(archive, world.local.desk.practice, datetime.now(UTC))
    return checkpoint.write(sign(statement, world.local.surface(CHECKPOINT).key), heads)


async def archived(world: Any, gateway: Gateway, directory: Path) -> tuple[str, Tally]:
    kept = drawn(world, gateway)
    run = Retention(
        journal=gateway.ports.journal,
        vouching=checkpoint.read(kept, gateway.ports.keyring),
        before=datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1),
    )
    return kept, [tally async for tally in run.run(directory)][-1]


def flaws(world: Any, kept: str, directory: Path) -> Any:
    keyring = Keyring(config.load(world.local.home).keys)
    return verify_file(world.local.home / "journal.db", [kept], keyring, volumes_at([directory])).flaws


@pytest.mark.requirement("IDEM-01", "IDEM-02", "IDEM-04", "CARD-05")
async def test_an_archived_key_replays_and_an_executed_proposal_stays_executed(world: Any, tmp_path: Path) -> None:
    async with world.gateway() as gateway:
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        trigger = world.rehearsal.trigger(proposal, await world.rehearsal.decide(gateway, proposal))
        first = await gateway.commit(trigger)
        same_approval = world.rehearsal.trigger(proposal, first_approval(await gateway.proposal(proposal.proposal_id)))
        kept, tally = await archived(world, gateway, tmp_path / "archive")
        assert tally.attempts == 1
        assert await gateway.commit(trigger) == first.model_copy(update={"replayed": True})
        assert (await gateway.commit(same_approval)).attempt == first.attempt
        anew = await world.rehearsal.commit(gateway, proposal)
        assert (anew.state, anew.code) == (State.BLOCKED, Code.PROPOSAL_EXECUTED)
    async with world.gateway() as gateway:  # and after a restart
        assert (await gateway.commit(trigger)).replayed
        assert (await world.rehearsal.commit(gateway, proposal)).code is Code.PROPOSAL_EXECUTED
    assert await world.sent() == 1
    assert flaws(world, kept, tmp_path / "archive") == ()


def first_approval(file: Any) -> Any:
    return DecisionId(next(record.reference for record in file.records if record.kind == "decision"))


@pytest.mark.requirement("IDEM-03")
async def test_an_archived_key_for_another_request_is_a_collision(world: Any, tmp_path: Path) -> None:
    async with world.gateway() as gateway:
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        approval = await world.rehearsal.decide(gateway, proposal)
        trigger = world.rehearsal.trigger(proposal, approval)
        await gateway.commit(trigger)
        await archived(world, gateway, tmp_path / "archive")
        said = gateway.ports.keyring.verify(trigger, Trigger).statement
        other = said.model_copy(update={"expires_at": said.expires_at + timedelta(seconds=1)})
        token = sign(other, world.local.surface(OPERATOR).key)
        collided = await gateway.commit(token)
    assert collided.code is Code.IDEMPOTENCY_COLLISION
    assert await world.sent() == 1


@pytest.mark.requirement("CARD-10")
async def test_an_unknown_effect_stays_frozen_beside_archived_ones_until_a_human_resolves_it(
    world: Any, tmp_path: Path
) -> None:
    async with world.gateway() as gateway:
        patient, start = world.rehearsal.enrol(), world.rehearsal.next_slot()
        done = await world.rehearsal.commit(gateway, await world.rehearsal.propose(gateway, world.rehearsal.enrol()))
        world.arm(Fault.DROP_AFTER, Action.BOOK)
        proposal = await world.rehearsal.propose(gateway, patient, start=start)
        unknown = await world.rehearsal.commit(gateway, proposal)
        assert unknown.effect is Effect.UNKNOWN
        _, tally = await archived(world, gateway, tmp_path / "archive")
        assert tally.attempts == 1
        sibling = await world.rehearsal.propose(gateway, patient, start=start)
        assert (await world.rehearsal.commit(gateway, sibling)).code is Code.RELATED_UNRESOLVED
        seen = await world.rehearsal.observe(gateway, proposal, unknown)
        await world.rehearsal.resolve(gateway, seen, Finding.APPLIED)
        kept, tally = await archived(world, gateway, tmp_path / "archive")
        assert tally.attempts == 3  # resolved by now, the blocked sibling, the look
        again = await world.rehearsal.commit(gateway, proposal)
        assert again.code is Code.PROPOSAL_EXECUTED
        assert done.attempt is not None
        assert {file.volume for file in await gateway.ports.journal.attempts()} == {1, 2, None}
    assert flaws(world, kept, tmp_path / "archive") == ()


async def test_an_archived_booking_is_observed_moved_and_cancelled(world: Any, tmp_path: Path) -> None:
    async with world.gateway() as gateway:
        patient = world.rehearsal.enrol()
        proposal = await world.rehearsal.propose(gateway, patient)
        booked = await world.rehearsal.commit(gateway, proposal)
        await archived(world, gateway, tmp_path / "archive")
        seen = await world.rehearsal.observe(gateway, proposal, booked)
        assert seen.observation is not None
        assert seen.observation.finding is ObservationFinding.PRESENT
        moving = await world.rehearsal.propose(gateway, patient, Operation.RESCHEDULE, target=target_of(booked))
        moved = await world.rehearsal.commit(gateway, moving)
        assert moved.standing is Standing.CONFIRMED
        kept, _ = await archived(world, gateway, tmp_path / "archive")
    assert flaws(world, kept, tmp_path / "archive") == ()


async def test_a_gateway_commits_while_another_archives(world: Any, tmp_path: Path) -> None:
    async with world.gateway() as gateway, world.gateway() as other:
        for _ in range(3):
            await world.rehearsal.commit(gateway, await world.rehearsal.propose(gateway, world.rehearsal.enrol()))
        run = Retention(
            journal=other.ports.journal,
            vouching=checkpoint.read(drawn(world, other), other.ports.keyring),
            before=datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1),
            size=1,
        )
        async for _ in run.run(tmp_path / "archive"):
            proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
            assert (await world.rehearsal.commit(gateway, proposal)).state is State.SUCCEEDED
        kept = drawn(world, gateway)
    assert flaws(world, kept, tmp_path / "archive") == ()
