"""The public face: open a gateway on its home, give it signed statements, get bounded answers.

    async with Gateway.open(home) as gateway:
        outcome = await gateway.commit(trigger)

Owns: putting the parts together, once, at start. Everything a human decides arrives as a signed statement;
nothing here signs. Recording a statement never causes a commit (AUTH-04).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from ssl import SSLContext

from gateway import conformity, observation, recovery
from gateway.attempt import AttemptEnded, KeyTaken, Run
from gateway.audit.acknowledgement import Sinks
from gateway.boundary import Boundary
from gateway.clock import Clock, SystemClock
from gateway.contracts.chain import Record, RecordKind
from gateway.contracts.failures import Code
from gateway.contracts.faults import Fault
from gateway.contracts.outcome import Outcome
from gateway.contracts.proposal import Proposal
from gateway.contracts.references import AttemptId, ConnectionId, ProposalId
from gateway.contracts.statements import Decision, Purpose, Stop, Withdrawal
from gateway.contracts.words import End
from gateway.errors import Conflict, InvalidInput, NotFound
from gateway.gates import Gatekeeper
from gateway.journal import AttemptFile, Journal, ProposalFile
from gateway.journal.opening import open_journal
from gateway.orchestrator import Orchestrator
from gateway.plugins import Plugins, discover
from gateway.ports import Ports, Sealed


@dataclass(frozen=True, slots=True)
class Gateway:
    """One practice's gateway. Make it with `Gateway.open`; any number of tasks may use it at once.

    `recovered` are the attempts that opening it closed, because their process had died.
    """

    ports: Ports = field(repr=False)
    _orchestrator: Orchestrator = field(repr=False)
    recovered: tuple[Outcome, ...] = ()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, home: Path, *, plugins: Sequence[object] = (), clock: Clock | None = None
    ) -> AsyncIterator[Gateway]:
        """Load the sealed home, open the journal, recover what a dead process left.

        `plugins` are further pluggy plugins beside the installed ones. Raises `ConfigurationError`,
        saying what to mend, or `JournalUnavailable`.
        """
        sealed = Sealed.load(home)
        configuration, found = sealed.configuration, discover(plugins)
        journal = await open_journal(home, configuration.settings.journal, configuration.sibling_key)
        try:
            gateway = cls.assemble(sealed, found, journal, clock or SystemClock())
            gateway = replace(gateway, recovered=tuple(await recovery.recover(gateway.ports)))
            try:
                yield gateway
            finally:  # an interrupted program, too, waits for what it has under way: that is bounded in time
                await gateway._orchestrator.settle()
        finally:
            await journal.aclose()

    @classmethod
    def assemble(
        cls, sealed: Sealed, plugins: Plugins, journal: Journal, clock: Clock, *, tls: SSLContext | None = None
    ) -> Gateway:
        """Put the parts together, over an open journal. Nothing is recovered: `open` is what programs use.

        `tls` overrides the system's trust store.
        """
        configuration, keyring, governance = sealed.configuration, sealed.keyring, sealed.governance
        settings, home = configuration.settings, configuration.home
        boundary = Boundary(
            adapters=plugins.adapters(),
            connections=configuration.connections,
            resolver=plugins.reference_resolver(settings.resolver, home),
            credentials=[plugins.credential_source(use, home) for use in settings.credentials],
            clock=clock,
            admits=lambda host, port: governance.admits_host(host, port, clock.now()),
            sibling_digest=journal.sibling_digest,
            bounds=settings.bounds,
            tls=tls,
        )
        conforming = conformity.admit(configuration, keyring, plugins.adapters(), boundary.describe, clock.now())
        sinks = Sinks(
            sinks={use.name: plugins.audit_sink(use, home) for use in settings.sinks},
            seconds=settings.bounds.sink_seconds,
            clock=clock,
        )
        gatekeeper = Gatekeeper(
            evidence=plugins.evidence_source(settings.evidence, home),
            boundary=boundary,
            journal=journal,
            sinks=sinks,
            clock=clock,
        )
        ports = Ports(
            configuration=configuration,
            keyring=keyring,
            governance=governance,
            conformity=conforming,
            policies=sealed.policies,
            boundary=boundary,
            journal=journal,
            sinks=sinks,
            gatekeeper=gatekeeper,
            clock=clock,
        )
        return cls(ports, Orchestrator(ports))

    # -- triggers: each is one attempt, or the replay of one -------------------------------------------

    async def commit(self, trigger: str) -> Outcome:
        """Carry out the approved proposal that this signed trigger names, at most once.

        `trigger` is a compact JWS of a `Trigger` with purpose `commit`. The same trigger again answers the
        recorded outcome. Raises nothing for what can go wrong on the way: every failure is an outcome.
        """
        return await self._orchestrator.submit(trigger, Purpose.COMMIT)

    async def resume(self, trigger: str) -> Outcome:
        """Answer a paused attempt's decision signal; all gates run again."""
        return await self._orchestrator.submit(trigger, Purpose.RESUME)

    async def check(self, trigger: str) -> Outcome:
        """All gates and readiness as a read-only attempt; nothing is dispatched and nothing reused."""
        return await self._orchestrator.submit(trigger, Purpose.CHECK)

    async def observe(self, trigger: str) -> Outcome:
        """Look, read-only, at what became of a finished attempt; answers its outcome with what was seen."""
        return await self._orchestrator.submit(trigger, Purpose.OBSERVE)

    # -- statements: recorded, never acted upon ---------------------------------------------------------

    async def propose(self, document: str | bytes) -> ProposalFile:
        """Record a proposal or its next revision. Raises `MalformedInput`, `InvalidInput` or `Conflict`."""
        proposal = Proposal.parse(document)
        if proposal.practice != self.ports.practice:
            raise InvalidInput("Proposal", (Fault("practice", "foreign", "not this gateway's practice"),))
        known = await self.ports.journal.proposal(proposal.practice, proposal.proposal_id)
        expected = known.proposal.revision + 1 if known else 1
        same = known is not None and known.proposal == proposal
        if proposal.revision != expected and not same:
            raise Conflict(f"revision: the next revision of this proposal is {expected}")
        head = known.records[-1].hash if known and not same else None
        await self.ports.journal.record(
            proposal.practice,
            proposal.proposal_id,
            RecordKind.PROPOSAL,
            proposal.proposal_digest,
            proposal.canonical().decode(),
            expected_head=head,
        )
        return await self.proposal(proposal.proposal_id)

    async def decide(self, decision: str) -> Record:
        """Record a reviewer's signed decision. Raises `SignatureRefused`, `InvalidInput`, `NotFound`."""
        statement = self.ports.keyring.verify(decision, Decision, practice=self.ports.practice).statement
        return await self._record(statement.proposal_id, RecordKind.DECISION, statement.decision_id, decision)

    async def stop(self, stop: str) -> Record:
        """Latch an operator's stop on a proposal and cancel its paused attempts (C-18, STATE-28)."""
        statement = self.ports.keyring.verify(stop, Stop, practice=self.ports.practice).statement
        record = await self._record(statement.proposal_id, RecordKind.STOP, statement.statement_id, stop)
        for paused in await self.ports.journal.paused(statement.practice, statement.proposal_id):
            run = Run(ports=self.ports, attempt=paused.resumable(), header=paused.header)
            with suppress(KeyTaken):  # an answer was faster; its attempt meets the latch itself
                await run.close(AttemptEnded(End.STOPPED_PAUSED, Code.OPERATOR_STOP))
        return record

    async def withdraw(self, withdrawal: str) -> Record:
        """Record that the proposal no longer stands."""
        statement = self.ports.keyring.verify(withdrawal, Withdrawal, practice=self.ports.practice).statement
        return await self._record(statement.proposal_id, RecordKind.WITHDRAWAL, statement.statement_id, withdrawal)

    async def resolve(self, resolution: str) -> Outcome:
        """Record what a human found out about an attempt that ended unknown; see `observation.resolve`."""
        return await observation.resolve(self.ports, resolution)

    async def _record(self, proposal: ProposalId, kind: RecordKind, reference: str, token: str) -> Record:
        return await self.ports.journal.record(self.ports.practice, proposal, kind, reference, token)

    # -- reading and operating --------------------------------------------------------------------------

    async def proposal(self, proposal: ProposalId) -> ProposalFile:
        """Everything recorded about a proposal; raises `NotFound`."""
        file = await self.ports.journal.proposal(self.ports.practice, proposal)
        if file is None:
            raise NotFound("proposal: none recorded under that reference")
        return file

    async def attempt(self, attempt: AttemptId) -> AttemptFile:
        """Everything recorded about an attempt; raises `NotFound`."""
        file = await self.ports.journal.attempt(attempt)
        if file is None:
            raise NotFound("attempt: none recorded under that reference")
        return file

    async def recover(self) -> Sequence[Outcome]:
        """Close attempts whose process died, as UNKNOWN; runs at every start, too."""
        return await recovery.recover(self.ports)

    async def suspend(self, connection: ConnectionId, suspended: bool) -> None:
        """Block, or admit again, new attempts on a connection; raises `NotFound`."""
        if connection not in self.ports.configuration.connections:
            raise NotFound("connection: none sealed under that reference")
        await self.ports.journal.suspend(connection, suspended)
