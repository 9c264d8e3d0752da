"""Attempts of every end, made once through the whole gateway against a real server; tests read their events."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.faults import Action, Fault, Switch
from adapters.sandbox.server import SandboxServer
from conformance.rehearsal import Rehearsal
from gateway.audit.sinks import FileSink
from gateway.contracts.connection import Connection, CredentialUse, Limits, Scheme
from gateway.contracts.outcome import Outcome
from gateway.contracts.references import AttemptId, ConnectionId, PracticeId
from gateway.contracts.signals import Event, Signal
from gateway.contracts.statements import Choice, Finding, TriggerKind
from gateway.contracts.words import Severity
from gateway.errors import JournalFailed
from gateway.gateway import Gateway
from gateway.journal import AttemptFile
from gateway.practice.sources import RegistryEvidence
from gateway.surfaces.local import FILE_SINK, OPERATOR, LocalPractice
from gateway.surfaces.sign import sign

TOKEN = "sandbox-token"
S = Signal


@dataclass
class Told:
    """Finished or paused attempts by what befell them, and what only the test knows of them."""

    files: dict[str, AttemptFile] = field(default_factory=dict)
    decisions: dict[str, Any] = field(default_factory=dict)
    began: datetime | None = None
    ended: datetime | None = None

    def events(self, name: str) -> list[Event]:
        return [link.event for link in self.files[name].links]

    def of(self, signal: Signal, name: str) -> list[Event]:
        return [event for event in self.events(name) if event.signal is signal]

    def everything(self) -> Iterator[tuple[str, Event]]:
        for name in self.files:
            for event in self.events(name):
                yield name, event


@asynccontextmanager
async def _practice(root: Path, risk: Severity = Severity.LOW, **options: Any) -> Any:
    root.mkdir()
    async with SandboxServer.start(root / "sandbox.db", credentials=TOKEN) as server:
        practice = PracticeId.random()
        connection = Connection(
            connection_id=ConnectionId.random(),
            practice=practice,
            adapter="sandbox",
            base_url=server.url,
            hosts=(server.url.removeprefix("http://"),),
            zone="Europe/Berlin",
            credential=CredentialUse(scheme=Scheme.BEARER, name="sandbox"),
            limits=Limits(request_seconds=2, commit_seconds=4),
            risk=risk,
        )
        local = LocalPractice.create(root / "practice", [connection], practice=practice, sinks=(FILE_SINK,), **options)
        local.keep_secret("sandbox", TOKEN)
        yield Rehearsal.prepare(local, connection), server


@dataclass
class Teller:
    """Lets things happen to attempts, under names."""

    told: Told
    rehearsal: Rehearsal
    server: SandboxServer
    gateway: Gateway
    patch: pytest.MonkeyPatch

    async def keep(self, name: str, outcome: Outcome) -> Outcome:
        assert outcome.attempt is not None, (name, outcome)
        self.told.files[name] = await self.gateway.attempt(outcome.attempt)
        return outcome

    async def approved(self, name: str, **details: Any) -> tuple[Any, Any, str]:
        proposal = await self.rehearsal.propose(self.gateway, self.rehearsal.enrol(), **details)
        approval = await self.rehearsal.decide(self.gateway, proposal)
        file = await self.gateway.proposal(proposal.proposal_id)
        self.told.decisions[name] = next(record for record in file.records if record.reference == approval)
        return proposal, approval, self.rehearsal.trigger(proposal, approval)

    async def commit(self, name: str, **details: Any) -> tuple[Any, Outcome]:
        proposal, _, trigger = await self.approved(name, **details)
        return proposal, await self.keep(name, await self.gateway.commit(trigger))

    def arm(self, fault: Fault, action: Action = Action.BOOK, **details: Any) -> None:
        self.server.faults.arm(Switch(fault=fault, action=action, **details))

    async def changed(self, name: str, **changes: Any) -> None:
        proposal, approval, _ = await self.approved(name)
        surface = self.rehearsal.local.surface(OPERATOR)
        good = surface.commit(proposal, operator=self.rehearsal.local.desk.operator, approval=approval).statement
        await self.keep(name, await self.gateway.commit(sign(good.model_copy(update=changes), surface.key)))

    async def stop(self, proposal: Any) -> None:
        operator = self.rehearsal.local.desk.operator
        await self.gateway.stop(self.rehearsal.local.surface(OPERATOR).stop(proposal, operator=operator).token)

    async def refusing(self, name: str, signal: Signal) -> None:
        """The sink refuses the batch that holds this signal."""
        accept = FileSink.accept

        async def picky(sink: FileSink, events: Sequence[tuple[str, Event]]) -> None:
            if signal in {event.signal for _, event in events}:
                raise OSError
            await accept(sink, events)

        with self.patch.context() as patch:
            patch.setattr(FileSink, "accept", picky)
            await self.commit(name)

    async def stopping(self, name: str, target: type, method: str, late: bool) -> None:
        """A stop is latched while `target.method` runs."""
        proposal, _, trigger = await self.approved(name)
        original, stopped = getattr(target, method), []

        async def first_stop(self_: Any, *given: Any) -> Any:
            fitting = not late or any(event.signal is S.INTENT_RECORDED for _, event in given[0])
            if fitting and not stopped:
                stopped.append(True)
                await self.stop(proposal)
            return await original(self_, *given)

        with self.patch.context() as patch:
            patch.setattr(target, method, first_stop)
            await self.keep(name, await self.gateway.commit(trigger))


async def _low_risk(told: Told, root: Path, patch: pytest.MonkeyPatch) -> None:
    async with _practice(root) as (rehearsal, server):
        local = rehearsal.local
        async with Gateway.open(local.home) as gateway:
            teller = Teller(told, rehearsal, server, gateway, patch)
            await teller.commit("applied")
            await _refused_triggers(teller)
            await _blocked(teller)
            teller.arm(Fault.FORBIDDEN)
            await teller.commit("refused")
            teller.arm(Fault.DROP_AFTER)
            lost_proposal, lost = await teller.commit("unknown")
            await rehearsal.resolve(gateway, lost, Finding.APPLIED)
            await _observed(teller, lost_proposal, lost)

            async def faulty(*_: Any) -> Any:
                raise RuntimeError

            with patch.context() as broken:
                broken.setattr(SandboxAdapter, "commit", faulty)
                await teller.commit("not sent")
            await teller.refusing("intent unaudited", S.INTENT_RECORDED)
            await teller.refusing("effect unaudited", S.EFFECT_RECORDED)
            await teller.stopping("stopped before the intent", RegistryEvidence, "consent", late=False)
            await teller.stopping("stopped after the intent", FileSink, "accept", late=True)
            await _orphaned(teller)
        async with Gateway.open(local.home) as gateway:
            (recovered,) = gateway.recovered
            await Teller(told, rehearsal, server, gateway, patch).keep("recovered", recovered)


async def _refused_triggers(teller: Teller) -> None:
    await teller.keep("unsigned", await teller.gateway.commit("not.a.token"))
    await teller.changed("time-based", kind=TriggerKind.TIME)
    past = teller.rehearsal.local.clock.now() - timedelta(days=1)
    await teller.changed("expired", issued_at=past, expires_at=past + timedelta(hours=1))


async def _blocked(teller: Teller) -> None:
    rehearsal, gateway = teller.rehearsal, teller.gateway
    proposal, _, trigger = await teller.approved("consent withdrawn")
    rehearsal.local.registry.set_consent(proposal.patient, in_force=False)
    await teller.keep("consent withdrawn", await gateway.commit(trigger))
    teller.arm(Fault.ERROR_BEFORE, Action.HEALTH, status=503)
    await teller.commit("unavailable")
    await gateway.suspend(rehearsal.connection.connection_id, True)
    await teller.commit("suspended")
    await gateway.suspend(rehearsal.connection.connection_id, False)
    await teller.changed("other bytes", proposal_digest="0f1e2d3c" * 8)
    proposal, approval, _ = await teller.approved("checked")
    surface, operator = rehearsal.local.surface(OPERATOR), rehearsal.local.desk.operator
    await teller.keep(
        "checked", await gateway.check(surface.check(proposal, operator=operator, approval=approval).token)
    )


async def _observed(teller: Teller, proposal: Any, lost: Outcome) -> None:
    """A look at the attempt, and one at something that is no attempt."""
    surface, operator = teller.rehearsal.local.surface(OPERATOR), teller.rehearsal.local.desk.operator
    known = {file.attempt for file in await teller.gateway.ports.journal.attempts(limit=1000)}
    await teller.rehearsal.observe(teller.gateway, proposal, lost)
    (looking,) = [file for file in await teller.gateway.ports.journal.attempts(limit=1000) if file.attempt not in known]
    teller.told.files["observed"] = looking
    token = surface.observe(proposal, operator=operator, attempt=AttemptId.random()).token
    await teller.keep("observed nothing", await teller.gateway.observe(token))


async def _orphaned(teller: Teller) -> None:
    """The journal breaks between intent and outcome: nobody can record the end until the next start."""
    journal, appends = teller.gateway.ports.journal, []

    class Breaking:
        def __getattr__(self, name: str) -> Any:
            return getattr(journal, name)

        async def append(self, entry: Any) -> Any:
            appends.append(entry)
            if len(appends) == 2:
                raise JournalFailed
            return await journal.append(entry)

    _, _, trigger = await teller.approved("recovered")
    teller.gateway.ports.journal = Breaking()
    await teller.gateway.commit(trigger)


async def _high_risk(told: Told, root: Path, patch: pytest.MonkeyPatch) -> None:
    async with _practice(root, Severity.HIGH) as (rehearsal, server), Gateway.open(rehearsal.local.home) as gateway:
        teller = Teller(told, rehearsal, server, gateway, patch)
        surface, operator = rehearsal.local.surface(OPERATOR), rehearsal.local.desk.operator
        await teller.commit("paused")
        for name, choice in (("resumed", Choice.PROCEED), ("declined", Choice.DECLINE)):
            proposal, approval, trigger = await teller.approved(name)
            paused = await gateway.commit(trigger)
            answer = surface.resume(proposal, operator=operator, approval=approval, paused=paused, choice=choice)
            await teller.keep(name, await gateway.resume(answer.token))
        proposal, paused = await teller.commit("cancelled")
        await teller.stop(proposal)
        await teller.keep("cancelled", paused)


async def _two_persons(told: Told, root: Path, patch: pytest.MonkeyPatch) -> None:
    async with (
        _practice(root, policy="two-person") as (rehearsal, server),
        Gateway.open(rehearsal.local.home) as gateway,
    ):
        teller = Teller(told, rehearsal, server, gateway, patch)
        proposal, approval, _ = await teller.approved("policy denied")
        alone = rehearsal.local.surface("reviewer").commit(
            proposal, operator=rehearsal.local.desk.reviewer, approval=approval
        )
        await teller.keep("policy denied", await gateway.commit(alone.token))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    root = tmp_path_factory.mktemp("events")
    told = Told()

    async def tell() -> None:
        with pytest.MonkeyPatch.context() as patch:
            await _low_risk(told, root / "low", patch)
            await _high_risk(told, root / "high", patch)
            await _two_persons(told, root / "two", patch)

    told.began = datetime.now(UTC)
    asyncio.run(tell())
    told.ended = datetime.now(UTC)
    return told
