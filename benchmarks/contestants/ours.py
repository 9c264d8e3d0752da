"""This gateway, as a practice runs it: sealed home, seven gates, sandbox policy, journal, practice registry.

Owns: one practice on its premises, and proposals that are recorded, approved and triggered before the measuring.
Measured is `Gateway.commit`, from a signed trigger to its outcome. Nothing is turned off: there is nothing to turn off.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from benchmarks.contestants import Premises, drive
from benchmarks.exchanges import SLOT, TOKEN, slots
from conformance.rehearsal import Patient, Rehearsal
from gateway import config, documents, home
from gateway.contracts.connection import Connection, CredentialUse, Limits, Scheme
from gateway.contracts.references import ConnectionId, PracticeId
from gateway.contracts.words import State
from gateway.gateway import Gateway
from gateway.surfaces.local import LocalPractice

PATIENTS = 8


def practice(premises: Premises) -> Rehearsal:
    """A new practice, connected to the sandbox; its journal is the premises' database, or else a file."""
    owner = PracticeId.random()
    connection = Connection(
        connection_id=ConnectionId.random(),
        practice=owner,
        adapter="sandbox",
        base_url=premises.sandbox,
        hosts=(premises.sandbox.removeprefix("http://"),),
        zone="Europe/Berlin",
        credential=CredentialUse(scheme=Scheme.BEARER, name="sandbox"),
        limits=Limits(request_seconds=30, commit_seconds=60),
    )
    local = LocalPractice.create(premises.directory / "practice", [connection], practice=owner)
    local.keep_secret("sandbox", TOKEN)
    if premises.database is not None:
        settings = config.load(local.home).settings.model_copy(update={"journal": premises.database})
        documents.write(local.home / config.SETTINGS, documents.spell(settings), config.SETTINGS)
        home.seal(local.home)
    rehearsal = Rehearsal.prepare(local, connection)
    rehearsal.length = SLOT
    return rehearsal


@dataclass(slots=True)
class Ours:
    """`Contestant`, and what profile and growth drive as well."""

    gateway: Gateway
    rehearsal: Rehearsal
    patients: tuple[Patient, ...]
    starts: Iterator[datetime] = field(default_factory=slots)
    waiting: deque[str] = field(default_factory=deque)

    async def prepare(self, count: int) -> None:
        for number in range(count):
            self.waiting.append(await self.approved(self.patients[number % len(self.patients)]))

    async def approved(self, patient: Patient) -> str:
        """The signed trigger of a proposal that is recorded and approved."""
        proposal = await self.rehearsal.propose(self.gateway, patient, start=next(self.starts))
        return self.rehearsal.trigger(proposal, await self.rehearsal.decide(self.gateway, proposal))

    async def run(self, concurrency: int) -> list[float]:
        return await drive(self.waiting, concurrency, self.commit)

    async def commit(self, trigger: str) -> None:
        outcome = await self.gateway.commit(trigger)
        if outcome.state is not State.SUCCEEDED:
            raise RuntimeError(f"an attempt ended {outcome.state} with {outcome.code}: that is not the path measured")


@asynccontextmanager
async def opened(premises: Premises) -> AsyncIterator[Ours]:
    async with _at_work(practice(premises)) as ours:
        yield ours


@asynccontextmanager
async def reopened(premises: Premises) -> AsyncIterator[Ours]:
    """The practice that `opened` made on these premises earlier."""
    local = LocalPractice.open(premises.directory / "practice")
    (connection,) = config.load(local.home).connections.values()
    rehearsal = Rehearsal.prepare(local, connection)
    rehearsal.length = SLOT
    async with _at_work(rehearsal) as ours:
        yield ours


@asynccontextmanager
async def _at_work(rehearsal: Rehearsal) -> AsyncIterator[Ours]:
    patients = tuple(rehearsal.enrol() for _ in range(PATIENTS))
    async with Gateway.open(rehearsal.local.home) as gateway:
        yield Ours(gateway, rehearsal, patients)
