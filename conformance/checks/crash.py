"""The crash matrix: the gateway's process is killed in the middle of a commit, started again, and asked.

Owns: a whole practice in a temporary directory, with the adapter under test; the process that commits and is killed
(`python -m conformance.checks.crash HOME ADAPTER_FILE TRIGGER_FILE`); and what must hold afterwards, by proxy and
observer.
Refuses: adapters that the other process cannot have (could-not-run).
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Final

from conformance.attempt import CouldNotRunError
from conformance.checks.check import Check
from conformance.faults import Fault, Point
from conformance.rehearsal import Patient, Rehearsal
from conformance.results import AttemptRecord
from conformance.target.stage import Stage
from conformance.trial import CheckFailed, Trial
from gateway.contracts.adapter import Adapter, Basis
from gateway.contracts.outcome import Outcome
from gateway.contracts.proposal import Operation, Proposal
from gateway.contracts.references import LocationId, ParticipantId, PatientId, PersonId, ServiceId
from gateway.contracts.words import Effect, ObservationFinding
from gateway.gateway import Gateway
from gateway.hookspecs import hookimpl
from gateway.surfaces.local import LocalPractice

POINTS: Final[Mapping[str, Point]] = MappingProxyType(
    {
        "crash.before-send": Point.MID_HEAD,
        "crash.after-send": Point.AFTER_SEND,
        "crash.after-commit": Point.AFTER_COMMIT,
        "crash.after-reply": Point.DUPLICATE,  # strikes when the reply has been passed on once
    }
)
CHILD_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Offer:
    """A plugin that offers one adapter under the connection's own name for it."""

    adapter: Adapter

    NAME = "under-test"

    @hookimpl
    def gateway_adapters(self) -> Mapping[str, Adapter]:
        return {self.NAME: self.adapter}


@dataclass(frozen=True, slots=True)
class Practice:
    """One practice whose patient, practitioner, place and service are the pool's."""

    rehearsal: Rehearsal
    patient: Patient

    @classmethod
    def found(cls, root: Path, stage: Stage) -> Practice:
        connection = stage.connection.model_copy(update={"adapter": Offer.NAME})
        local = LocalPractice.create(root, [connection], practice=connection.practice)
        if connection.credential.name is not None:
            local.keep_secret(connection.credential.name, stage.secret)
        length = timedelta(minutes=stage.pool.minutes)
        rehearsal = Rehearsal(
            local, connection, ParticipantId.random(), LocationId.random(), ServiceId.random(), length=length
        )
        patient = Patient(PatientId.random(), PersonId.random())
        local.registry.enrol_patient(patient.patient)
        local.registry.set_consent(patient.patient, in_force=True)
        pool = stage.pool
        for reference, identifier in (
            (patient.patient, pool.subjects[0]),
            (rehearsal.participant, pool.practitioner),
            (rehearsal.location, pool.location),
            (rehearsal.service, pool.service),
        ):
            local.registry.map_identifier(connection.connection_id, reference, identifier)
        return cls(rehearsal, patient)

    @property
    def home(self) -> Path:
        return self.rehearsal.local.home

    @asynccontextmanager
    async def open(self, adapter: Adapter) -> AsyncIterator[Gateway]:
        async with Gateway.open(self.home, plugins=[Offer(adapter)]) as gateway:
            yield gateway


async def crash(trial: Trial, point: Point) -> None:
    stage, slot = trial.stage, await trial.slot()
    packed = pack(stage.adapter)
    with TemporaryDirectory(prefix="crash-") as directory:
        practice = Practice.found(Path(directory) / "practice", stage)
        rehearsal = practice.rehearsal
        async with practice.open(stage.adapter) as gateway:
            proposal = await rehearsal.propose(gateway, practice.patient, start=slot)
            trigger = rehearsal.trigger(proposal, await rehearsal.decide(gateway, proposal))
        before = stage.proxy.latest
        stage.intend(trial.requirement, slot)
        await _killed(trial, practice, packed, trigger, point)
        await stage.proxy.settle()
        async with practice.open(stage.adapter) as gateway:
            outcome = await gateway.commit(trigger)
            await _judge(trial, practice, gateway, proposal, outcome, slot, before)


async def _killed(trial: Trial, practice: Practice, packed: bytes, trigger: str, point: Point) -> None:
    """Start a process that commits, and kill it at the point."""
    root = practice.rehearsal.local.root
    token, adapter = root / "trigger.jws", root / "adapter"
    token.write_text(trigger)
    adapter.write_bytes(packed)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "conformance.checks.crash", str(practice.home), str(adapter), str(token)),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )

    def kill() -> bool:
        child.kill()
        return point is Point.MID_HEAD  # and what the process had sent by then reaches nobody

    receipt = trial.stage.proxy.arm(Fault(point), strike=kill)
    trial.receipts.append(receipt)
    try:
        async with asyncio.timeout(CHILD_SECONDS):
            await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != -9:
        raise CouldNotRunError(f"the committing process was not killed at the point; it ended with {child.returncode}")
    trial.must_have_fired(receipt)


async def _judge(
    trial: Trial,
    practice: Practice,
    gateway: Gateway,
    proposal: Proposal,
    outcome: Outcome,
    slot: datetime,
    before: int,
) -> None:
    """After recovery: the same trigger answers what was recorded, one request at most was ever sent, and a look
    through the gateway finds what the observer sees."""
    stage = trial.stage
    sent = sum(1 for exchange in stage.proxy.since(before) if exchange.mutating)
    finding: ObservationFinding | None = None
    if outcome.effect in (Effect.UNKNOWN, Effect.APPLIED) and stage.descriptor.observation is not Basis.NONE:
        await stage.delivered()
        await asyncio.sleep(stage.descriptor.settling_seconds)
        seen = await practice.rehearsal.observe(gateway, proposal, outcome)
        finding = seen.observation.finding if seen.observation else None
    trial.records.append(
        AttemptRecord(
            operation=Operation.BOOK, ready=True, effect=outcome.effect, code=outcome.code, sent=sent, finding=finding
        )
    )
    trial.expect(sent <= 1, f"{sent} mutating requests were sent for one commit and its recovery")
    trial.expect(outcome.replayed, "the same trigger was carried out again after the crash")
    trial.effects = await trial.standing(slot)
    trial.expected_effects = 1
    trial.expect(trial.effects <= 1, f"the observer sees {trial.effects} appointments in the slot")
    allowed = (Effect.UNKNOWN, Effect.APPLIED) if trial.requirement.id == "crash.after-reply" else (Effect.UNKNOWN,)
    if outcome.effect not in allowed:
        raise CheckFailed(f"expected {' or '.join(allowed)} after recovery, found {outcome.effect}, {outcome.code}")
    # what is absent so soon may yet arrive: until the dispatch deadline is over the gateway says INDETERMINATE (C-36)
    absent = (ObservationFinding.ABSENT, ObservationFinding.INDETERMINATE)
    truths = (ObservationFinding.PRESENT, *trial.doubts) if trial.effects else absent
    if finding not in (None, *truths):
        raise CheckFailed(f"expected a look to find {' or '.join(truths)}, found {finding}")


def pack(adapter: Adapter) -> bytes:
    """The adapter for another process: made afresh where its class needs no arguments, else as it is. Raises
    `CouldNotRunError`."""
    try:
        try:
            packed = pickle.dumps(type(adapter)())
        except TypeError:
            packed = pickle.dumps(adapter)
        pickle.loads(packed)  # noqa: S301 - made in this very function
    except Exception:  # noqa: BLE001 - whatever an author's class raises when it is made or copied
        raise CouldNotRunError("another process cannot have this adapter: make its class one that pickles") from None
    return packed


async def _commit(home: Path, packed: bytes, trigger: str) -> None:
    adapter: Adapter = pickle.loads(packed)  # noqa: S301 - the parent's own file, in a directory of its own
    async with Gateway.open(home, plugins=[Offer(adapter)]) as gateway:
        await gateway.commit(trigger)


CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {name: partial(crash, point=point) for name, point in POINTS.items()}
)

if __name__ == "__main__":
    asyncio.run(_commit(Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), Path(sys.argv[3]).read_text()))
