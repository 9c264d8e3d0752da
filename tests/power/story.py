"""What a practice lives through while its disk is being recorded: every kind of attempt, and the journal's whole life.

Owns: the acts, through the public `Gateway`; and the marks beside them. A mark is set when somebody may rely on what
it says: an append has returned, a sink has acknowledged, a caller has an answer, a verifier holds a checkpoint.
The story holds the first opening with its migration, commits that are applied, refused and lost, a reschedule, a
cancellation, resolutions both ways, a stop, callers at once, archiving and compacting, checkpoints of the WAL with new
beginnings of it, a closing, a second opening, and an end in the middle of things.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import httpx

from adapters.sandbox.faults import Action, Fault
from conformance.rehearsal import Patient, Rehearsal, target_of
from gateway.audit import checkpoint
from gateway.audit.retention import Retention
from gateway.clock import SystemClock
from gateway.contracts.adapter import native_key, spell_key
from gateway.contracts.chain import Record
from gateway.contracts.outcome import Outcome
from gateway.contracts.proposal import Operation, Proposal
from gateway.contracts.references import ConnectionId, DecisionId
from gateway.contracts.signals import Event
from gateway.contracts.statements import Finding
from gateway.contracts.words import Effect, ObservationFinding, State
from gateway.gateway import Gateway
from gateway.hookspecs import AuditSink
from gateway.journal import Admission, Append, Appended, Journal, StoredAttempt, StoredVolume
from gateway.journal._sqlite_writer import CHECKPOINT_EVERY
from gateway.surfaces.local import CHECKPOINT, OPERATOR
from gateway.surfaces.sign import sign

ARCHIVE = "archive"
CROWD = 6
BOOKINGS = 7 + CROWD


class Marker(Protocol):
    def __call__(self, kind: str, **detail: Any) -> None: ...


class Ahead(SystemClock):
    """The machine's clock, `ahead` of itself: settling times pass when the story says so."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


@dataclass(frozen=True)
class TellingJournal:
    """The real journal; says what it acknowledged, once it has."""

    journal: Journal
    mark: Marker

    def __getattr__(self, name: str) -> Any:
        return getattr(self.journal, name)

    async def append(self, entry: Append) -> Appended:
        appended = await self.journal.append(entry)
        if appended.admission is Admission.ADMITTED:
            attempt = entry.attempt
            self.mark("appended", attempt=attempt.identity.attempt, seq=attempt.seq, head=attempt.head)
        return appended

    async def record(self, *arguments: Any, **named: Any) -> Record:
        return self._recorded(arguments[:2], await self.journal.record(*arguments, **named))

    async def resolve(self, *arguments: Any, **options: Any) -> Record:
        record = await self.journal.resolve(*arguments, **options)
        subject = await self.journal.attempt(arguments[0])
        assert subject is not None
        return self._recorded((subject.header.practice, subject.header.proposal), record)

    async def suspend(self, connection: ConnectionId, suspended: bool) -> None:
        await self.journal.suspend(connection, suspended)
        self.mark("suspended", connection=connection)

    async def archive_events(self, volume: StoredVolume, attempts: Sequence[StoredAttempt]) -> None:
        await self.journal.archive_events(volume, attempts)
        self.mark("archived", number=volume.number, digest=volume.digest)

    def _recorded(self, subject: Sequence[Any], record: Record) -> Record:
        practice, proposal = subject
        self.mark("recorded", practice=practice, proposal=proposal, seq=record.seq, hash=record.hash)
        return record


@dataclass(frozen=True)
class TellingSink:
    """The real sink; says what it acknowledged, once it has."""

    sink: AuditSink
    mark: Marker

    async def ready(self) -> None:
        await self.sink.ready()

    async def accept(self, events: Sequence[tuple[str, Event]]) -> None:
        await self.sink.accept(events)
        self.mark("accepted", hashes=[hash_ for hash_, _ in events])


class NotYet:
    """Where a proposal is registered now and recorded by the gateway later."""

    async def propose(self, document: bytes) -> None:
        """Nothing, so far."""


async def prepare(rehearsal: Rehearsal) -> list[Proposal]:
    """What the patients of a story ask for, registered with the practice before its recording begins."""
    later: Any = NotYet()
    return [await rehearsal.propose(later, rehearsal.enrol()) for _ in range(BOOKINGS)]


@dataclass
class Story:
    """`mark` is the recorder's, `clock` also the rehearsal's; `prepared` are as many proposals as `prepare` makes."""

    rehearsal: Rehearsal
    prepared: list[Proposal]
    clock: Ahead
    mark: Marker

    async def tell(self) -> None:
        """From the first opening to the instant after which nothing counts."""
        async with Gateway.open(self.rehearsal.local.home, clock=self.clock) as gateway:
            await self._listen(gateway)
            booked = await self._booked(gateway)
            await self._refused(gateway)
            await self._resolved_applied(gateway)
            await self._pass_checkpoint(gateway)
            text = self._hold_checkpoint(gateway, None)
            await self._archived(gateway, text)
            moved = await self._moved(gateway, booked)
            await self._resolved_absent(gateway)
            await self._stopped(gateway)
            await self._crowd(gateway)
            await self._pass_checkpoint(gateway)
            await self._cancelled(gateway, moved)
            self._hold_checkpoint(gateway, text)
        async with Gateway.open(self.rehearsal.local.home, clock=self.clock) as gateway:
            await self._listen(gateway)
            await self._booked(gateway)
            await self._unresolved(gateway)
            self.mark("ended")

    async def _listen(self, gateway: Gateway) -> None:
        ports = gateway.ports
        with ports.journal.archive() as archive:
            self.mark("opened", journal=archive.meta["journal"])
        ports.journal = TellingJournal(ports.journal, self.mark)
        telling = {name: TellingSink(sink, self.mark) for name, sink in ports.sinks.sinks.items()}
        ports.sinks = replace(ports.sinks, sinks=telling)

    # -- acts -----------------------------------------------------------------------------------------

    async def _commit(self, gateway: Gateway, proposal: Proposal, approval: DecisionId | None = None) -> Outcome:
        approval = approval or await self.rehearsal.decide(gateway, proposal)
        token = self.rehearsal.trigger(proposal, approval)
        key = spell_key(native_key(proposal.practice, proposal.proposal_digest, proposal.operation))
        self.mark("presented", key=key, practice=proposal.practice, proposal=proposal.proposal_id, token=token)
        outcome = await gateway.commit(token)
        self.mark("answered", outcome=outcome.plain())
        return outcome

    async def _propose(self, gateway: Gateway) -> Proposal:
        proposal = self.prepared.pop(0)
        await gateway.propose(proposal.canonical())
        return proposal

    async def _book(self, gateway: Gateway, effect: Effect) -> tuple[Proposal, Outcome]:
        proposal = await self._propose(gateway)
        outcome = await self._commit(gateway, proposal)
        assert outcome.effect is effect, outcome
        return proposal, outcome

    async def _booked(self, gateway: Gateway) -> tuple[Proposal, Outcome]:
        return await self._book(gateway, Effect.APPLIED)

    async def _refused(self, gateway: Gateway) -> None:
        await self._arm(Fault.FORBIDDEN)
        await self._book(gateway, Effect.REFUSED)

    async def _unresolved(self, gateway: Gateway) -> None:
        await self._arm(Fault.CUT_REPLY)
        await self._book(gateway, Effect.UNKNOWN)

    async def _resolved_applied(self, gateway: Gateway) -> None:
        await self._arm(Fault.DROP_AFTER)
        proposal, outcome = await self._book(gateway, Effect.UNKNOWN)
        seen = await self.rehearsal.observe(gateway, proposal, outcome)
        assert seen.observation is not None and seen.observation.finding is ObservationFinding.PRESENT
        self.mark("answered", outcome=(await self.rehearsal.resolve(gateway, seen, Finding.APPLIED)).plain())

    async def _resolved_absent(self, gateway: Gateway) -> None:
        """Released by proof; a newly approved attempt is then sent."""
        await self._arm(Fault.DROP_BEFORE)
        proposal, outcome = await self._book(gateway, Effect.UNKNOWN)
        self.clock.ahead += timedelta(minutes=10)
        seen = await self.rehearsal.observe(gateway, proposal, outcome)
        assert seen.observation is not None and seen.observation.finding is ObservationFinding.ABSENT
        self.mark("answered", outcome=(await self.rehearsal.resolve(gateway, seen, Finding.ABSENT)).plain())
        self.clock.ahead = timedelta(0)  # the practice's evidence is dated by the machine's own clock
        again = await self._commit(gateway, proposal)
        assert again.effect is Effect.APPLIED, again

    async def _moved(self, gateway: Gateway, booked: tuple[Proposal, Outcome]) -> tuple[Proposal, Outcome]:
        return await self._change(gateway, Operation.RESCHEDULE, booked)

    async def _cancelled(self, gateway: Gateway, moved: tuple[Proposal, Outcome]) -> None:
        await self._change(gateway, Operation.CANCEL, moved)

    async def _change(
        self, gateway: Gateway, operation: Operation, before: tuple[Proposal, Outcome]
    ) -> tuple[Proposal, Outcome]:
        earlier, outcome = before
        registered = self.rehearsal.local.registry.registered(earlier.proposal_id, earlier.revision)
        assert registered is not None
        particulars = registered.matches[0].particulars
        start = self.rehearsal.next_slot() if operation is Operation.RESCHEDULE else particulars.start
        patient = Patient(earlier.patient, earlier.initiator)
        proposal = await self.rehearsal.propose(gateway, patient, operation, start=start, target=target_of(outcome))
        changed = await self._commit(gateway, proposal)
        assert changed.effect is Effect.APPLIED, changed
        return proposal, changed

    async def _stopped(self, gateway: Gateway) -> None:
        proposal = await self._propose(gateway)
        approval = await self.rehearsal.decide(gateway, proposal)
        local = self.rehearsal.local
        await gateway.stop(local.surface(OPERATOR).stop(proposal, operator=local.desk.operator).token)
        outcome = await self._commit(gateway, proposal, approval)
        assert outcome.state is State.BLOCKED, outcome

    async def _crowd(self, gateway: Gateway) -> None:
        """Callers at once, whose appends share a commit."""
        proposals = [await self._propose(gateway) for _ in range(CROWD)]
        approvals = [await self.rehearsal.decide(gateway, proposal) for proposal in proposals]
        calls = (self._commit(gateway, *pair) for pair in zip(proposals, approvals, strict=True))
        outcomes = await asyncio.gather(*calls)
        assert all(outcome.effect is Effect.APPLIED for outcome in outcomes), outcomes

    async def _pass_checkpoint(self, gateway: Gateway) -> None:
        """As many durable entries as lie between two checkpoints of the WAL; the next commit begins it anew."""
        journal = gateway.ports.journal
        await asyncio.gather(*(journal.suspend(ConnectionId.random(), True) for _ in range(CHECKPOINT_EVERY)))

    def _hold_checkpoint(self, gateway: Gateway, previous: str | None) -> str:
        """What `gateway audit checkpoint` does, and a verifier keeps."""
        ports, local = gateway.ports, self.rehearsal.local
        before = None if previous is None else checkpoint.read(previous, ports.keyring)
        with ports.journal.archive() as archive:
            statement, heads = checkpoint.draw(archive, ports.practice, self.clock.now(), before)
        text = checkpoint.write(sign(statement, local.surface(CHECKPOINT).key), heads)
        self.mark("checkpointed", text=text)
        return text

    async def _archived(self, gateway: Gateway, text: str) -> None:
        """What `gateway audit archive --compact` does, in volumes of two attempts."""
        ports, before = gateway.ports, self.clock.now().replace(microsecond=0) + timedelta(seconds=1)
        vouching = checkpoint.read(text, ports.keyring)
        run = Retention(journal=ports.journal, vouching=vouching, before=before, size=2)
        tallies = [tally async for tally in run.run(self.rehearsal.local.root / ARCHIVE)]
        assert tallies[-1].volumes > 1, tallies
        await ports.journal.compact()

    async def _arm(self, fault: Fault) -> None:
        document: Mapping[str, Any] = {"fault": fault, "action": Action.BOOK}
        async with httpx.AsyncClient(base_url=self.rehearsal.connection.base_url, trust_env=False) as client:
            armed = await client.post("/_control/faults", content=json.dumps(document))
        armed.raise_for_status()
