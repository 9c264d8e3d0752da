"""Outside the sandbox: what is loaded, what a statement that runs out stops, and what it must not stop."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.sandbox.adapter import SandboxAdapter
from conformance.rehearsal import Rehearsal
from gateway import config
from gateway.clock import SystemClock
from gateway.contracts.canonical import digest
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code
from gateway.contracts.outcome import Outcome
from gateway.contracts.references import StatementId
from gateway.contracts.words import Effect, Environment, ObservationFinding, State
from gateway.errors import ConfigurationError
from gateway.gateway import Gateway
from gateway.governance import (
    RECORD_FILE,
    Artefact,
    GovernanceRecord,
    Proof,
    Review,
    ReviewKind,
    SealedArtefact,
    ShownConnection,
    Unblock,
    VerifiedProof,
)
from gateway.surfaces.keys import LocalKey
from gateway.surfaces.local import GOVERNANCE, LocalPractice
from gateway.surfaces.sign import sign

ANY = digest("test/v1", b"")
DAYS = 30


class Ahead(SystemClock):
    """The system's clock, moved on by what a test says."""

    def __init__(self) -> None:
        self.by = timedelta()

    def now(self) -> datetime:
        return super().now() + self.by


def unblock(local: LocalPractice, expires_at: datetime) -> None:
    """A complete governance record, signed: what is left to stop a commit is the statement."""
    configuration, now = config.load(local.home), local.clock.now()
    record = GovernanceRecord(
        practice=local.desk.practice,
        issued_at=now,
        seal=configuration.seal_digest,
        environment=configuration.settings.environment,
        artefacts=tuple(SealedArtefact(artefact=each, sha256=ANY) for each in Artefact),
        proofs=tuple(VerifiedProof(proof=each, sha256=ANY, verified_at=now) for each in Proof),
        reviews=tuple(Review(review=each, sha256=ANY, completed_at=now, blocking_findings=0) for each in ReviewKind),
        unblock=Unblock(decision=StatementId.random(), decided_at=now),
        connections=tuple(ShownConnection.of(each) for each in configuration.connections.values()),
        expires_at=expires_at,
    )
    key = LocalKey.load(local.keys / f"{GOVERNANCE}.json")
    (local.home / RECORD_FILE).write_text(sign(record, key))


@pytest.fixture
async def production(make_world: Any, state_conformance: Any) -> Any:
    """A practice that may commit: governance is complete for a year, the statement holds for thirty days."""
    world = await make_world(environment=Environment.PRODUCTION, clock=Ahead(), stated=False)
    state_conformance(world.local, SandboxAdapter(), world.rehearsal.connection, days=DAYS)
    unblock(world.local, world.local.clock.now() + timedelta(days=365))
    return world


async def booked(world: Any, gateway: Gateway) -> tuple[Any, Outcome]:
    rehearsal: Rehearsal = world.rehearsal
    proposal = await rehearsal.propose(gateway, rehearsal.enrol())
    return proposal, await rehearsal.commit(gateway, proposal)


async def test_an_adapter_that_is_stated_to_conform_commits_in_production(production):
    async with production.gateway(clock=production.local.clock) as gateway:
        _, outcome = await booked(production, gateway)
    assert (outcome.state, outcome.effect) == (State.SUCCEEDED, Effect.APPLIED)
    assert await production.sent() == 1


@pytest.mark.parametrize("environment", [Environment.STAGING, Environment.PRODUCTION])
async def test_outside_the_sandbox_no_gateway_opens_on_an_adapter_that_nobody_stated_to_conform(
    make_world, environment
):
    world = await make_world(environment=environment, stated=False)
    with pytest.raises(ConfigurationError, match=r"adapter sandbox is not loaded.*gateway conformance run sandbox"):
        async with world.gateway():
            pytest.fail("opened")
    assert await world.sent() == 0


async def test_a_statement_that_expires_while_the_gateway_runs_blocks_commits_and_nothing_else(production):
    clock = production.local.clock
    async with production.gateway(clock=clock) as gateway:
        proposal, made = await booked(production, gateway)
        clock.by = timedelta(days=DAYS)
        _, late = await booked(production, gateway)
        seen = await production.rehearsal.observe(gateway, proposal, made)
    assert (late.state, late.code, late.effect) == (State.BLOCKED, Code.GOVERNANCE_INCOMPLETE, None)
    assert await production.sent() == 1
    assert seen.observation is not None and seen.observation.finding is ObservationFinding.PRESENT


async def test_a_gateway_opened_with_an_expired_statement_observes_but_commits_nothing(production, state_conformance):
    clock = production.local.clock
    async with production.gateway(clock=clock) as gateway:
        proposal, made = await booked(production, gateway)
    clock.by = timedelta(days=DAYS)
    async with production.gateway(clock=clock) as gateway:
        _, late = await booked(production, gateway)
        seen = await production.rehearsal.observe(gateway, proposal, made)
    assert late.code is Code.GOVERNANCE_INCOMPLETE and await production.sent() == 1
    assert seen.observation is not None and seen.observation.finding is ObservationFinding.PRESENT
    state_conformance(production.local, SandboxAdapter(), production.rehearsal.connection)
    async with production.gateway(clock=clock) as gateway:
        assert gateway.ports.admits_commit(production.rehearsal.connection, clock.now())


async def test_production_loads_only_the_dialect_that_was_tried(production):
    connection: Connection = production.rehearsal.connection
    production.local.connect(connection.model_copy(update={"dialect": "spring"}))
    with pytest.raises(ConfigurationError, match="of dialect standard, not spring"):
        async with production.gateway(clock=production.local.clock):
            pytest.fail("opened")


async def test_the_sandbox_needs_no_statement(make_world):
    world = await make_world(environment=Environment.SANDBOX)
    assert not (world.local.home / "conformance").exists()
    async with world.gateway() as gateway:
        _, outcome = await booked(world, gateway)
    assert outcome.state is State.SUCCEEDED
