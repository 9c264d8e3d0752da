"""One attempt of the adapter under test, through the real boundary, and what it brought.

Owns: the three phases as a check calls them, and their record. Counts come from the proxy, never from the adapter.
Refuses (`CouldNotRunError`): to judge what was never done, and to build upon what was not brought home.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from conformance.registry import NAME
from conformance.results import AttemptRecord
from conformance.target.stage import Stage
from conformance.witness import Witness
from gateway.boundary import CommitResult, Look
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.references import AppointmentId
from gateway.contracts.words import Effect
from gateway.errors import InvariantViolation
from gateway.testing import AdapterHarness


class CouldNotRunError(Exception):
    """The check could not be carried out; the text names the obstacle."""


class Attempt:
    """One attempt at one action. `sent` counts mutating requests that reached the proxy during its commit; `intend`
    writes down what may be written, before it can be."""

    def __init__(self, stage: Stage, harness: AdapterHarness, witness: Witness, intend: Callable[[], None]) -> None:
        self.witness = witness
        self.readiness: Code | None = None
        self.result: CommitResult | None = None
        self.seen: Look | None = None
        self.sent = 0
        self._stage = stage
        self._intend = intend
        self._harness = harness
        self._ready = False
        self._began = time.monotonic()

    @property
    def slot(self) -> datetime:
        return self._harness.request.particulars.start

    @property
    def end(self) -> datetime:
        return self._harness.request.particulars.end

    @property
    def subject(self) -> str | None:
        """The system's identifier of the patient, where the practice bound one."""
        request = self._harness.request
        return request.identifiers.get(request.particulars.patient)

    @property
    def operation(self) -> Operation:
        return self._harness.request.operation

    @property
    def key(self) -> AppointmentId:
        """The native key of this attempt."""
        return self._harness.request.key

    @property
    def reference(self) -> AppointmentId:
        """What the appointment is called at home."""
        return self._harness.reference

    @property
    def bound(self) -> Mapping[str, str]:
        """The system's identifier for the appointment by its reference, where the commit brought one home."""
        binding = self._harness.binding
        identifier = None if binding is None else binding.identifier
        return {} if identifier is None else {str(self.reference): identifier}

    @property
    def effect(self) -> Effect:
        """The commit's effect; raises `CouldNotRunError` where there was no commit."""
        return self._committed.effect

    @property
    def code(self) -> Code:
        return self._committed.code

    @property
    def done(self) -> bool:
        """Whether the commit ended as a recognised success does on this connection."""
        accepted = (Effect.UNKNOWN, Code.ACCEPTED_PENDING)
        wanted = accepted if self._stage.relays else (Effect.APPLIED, Code.COMMITTED)
        return (self.effect, self.code) == wanted

    @property
    def _committed(self) -> CommitResult:
        if self.result is None:
            raise CouldNotRunError("there was no commit to judge")
        return self.result

    async def ready(self) -> Code | None:
        """Readiness, once; None: proven."""
        await self._stage.pace()
        self.readiness = await self._harness.readiness()
        self._ready = self.readiness is None
        return self.readiness

    async def must_be_ready(self) -> None:
        """Readiness as a precondition of what is really asked."""
        if await self.ready() is not None:
            raise CouldNotRunError(f"readiness of a {NAME[self.operation]} was not proven: {self.readiness}")

    async def commit(self, secret: str | None = None, *, alone: bool = True) -> CommitResult:
        """The commit, once; with another `secret` the credential changes between readiness and commit. Not `alone`:
        others commit at the same time, so that the proxy cannot tell whose requests are whose."""
        stage = self._stage
        self._intend()
        if secret is not None:
            self._harness.use_secret(secret)
        before = stage.proxy.latest
        try:
            self.result = await self._harness.commit()
        finally:
            if secret is not None:
                self._harness.use_secret(stage.secret)
        sent = sum(1 for exchange in stage.proxy.since(before) if exchange.mutating)
        self.sent = sent if alone else self.result.mutating_requests
        return self.result

    async def look(self, *, settled: bool = False) -> Look:
        """One look; `settled` waits until nothing is under way, at a relay neither, and the declared settling time is
        over."""
        await self._stage.pace()
        if settled:
            await self._stage.delivered()
            await asyncio.sleep(self._stage.descriptor.settling_seconds)
        self.seen = await self._harness.observe()
        return self.seen

    def record(self) -> AttemptRecord:
        return AttemptRecord(
            operation=self.operation,
            readiness=self.readiness,
            ready=self._ready,
            effect=self.result.effect if self.result else None,
            code=self.result.code if self.result else None,
            sent=self.sent,
            finding=self.seen.finding if self.seen else None,
            basis=self.seen.basis if self.seen else None,
            seconds=round(time.monotonic() - self._began, 3),
        )

    def following(self, operation: Operation, slot: datetime | None, witness: Witness) -> AdapterHarness:
        try:
            return self._harness.following(operation, slot, adapter=witness)
        except InvariantViolation:
            raise CouldNotRunError(f"the {NAME[self.operation]} brought no version home to build upon") from None

    def again(self, witness: Witness) -> AdapterHarness:
        return self._harness.again(adapter=witness)
