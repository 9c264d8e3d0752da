"""One check's dealings with the adapter: attempts through the real boundary, counted at the proxy and by an observer.

Owns: what a check may use, and what it may end with: returning (passed), `CheckFailed`, `CouldNotRunError`.
Everything an attempt brings is recorded; counts come from proxy and observer, never from the adapter.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType, TracebackType
from typing import Final, Self, Unpack

import httpx

from conformance.attempt import Attempt, CouldNotRunError
from conformance.faults import Fault, Point, Which
from conformance.faults import Receipt as FaultReceipt
from conformance.faults.messages import Reads
from conformance.requirement import Requirement
from conformance.results import AttemptRecord
from conformance.target.stage import Stage
from conformance.witness import Otherwise, Phase, Witness
from gateway.boundary import Look
from gateway.contracts.adapter import (
    Basis,
    Claim,
    Idempotency,
    IdentifierAmbiguousError,
    IdentifierMissingError,
    Identifiers,
    Observation,
    Proof,
    Readiness,
    Receipt,
    TargetState,
)
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Operation, Target
from gateway.contracts.words import Effect, ObservationFinding
from gateway.testing import VENDOR, AdapterHarness, Seen, make_request

EXCUSED: Final = (httpx.TransportError, IdentifierMissingError, IdentifierAmbiguousError)
"""What an adapter may let pass: the contract tells it to."""

MEMORY_BYTES: Final = 32 * 1024 * 1024


class CheckFailed(Exception):
    """The requirement does not hold; the text says what was expected and what was found, in the suite's words."""


@dataclass(slots=True)
class Trial:
    """One requirement, tried on one stage; use with `async with`.

    `records` are of attempts made elsewhere (a crash's). `unreadable` says that replies are spoilt on purpose: an
    adapter may raise on them. `overlap` is how many requests were held at once. `nothing_else`
    asks that nothing was made at any other time either.
    """

    stage: Stage
    requirement: Requirement
    attempts: list[Attempt] = field(default_factory=list)
    records: list[AttemptRecord] = field(default_factory=list)
    receipts: list[FaultReceipt] = field(default_factory=list)
    unreadable: bool = False
    injected: bool = False
    effects: int | None = None
    expected_effects: int | None = None
    overlap: int | None = None
    nothing_else: bool = False
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stage.proxy.disarm()
        await self._stack.aclose()
        await self.stage.proxy.settle()

    # -- slots and attempts ---------------------------------------------------------------------------------

    async def slot(self) -> datetime:
        """A slot of the pool in which nothing stands."""
        return await self.stage.free_slot()

    async def attempt(
        self,
        operation: Operation = Operation.BOOK,
        *,
        slot: datetime | None = None,
        subject: int = 0,
        target: Target | None = None,
        bound: Mapping[str, str] = MappingProxyType({}),
        leave_out: Collection[str] = (),
        secret: str | None = None,
        **otherwise: Unpack[Otherwise],
    ) -> Attempt:
        """A fresh attempt. `bound` are further identifiers by reference; `leave_out` are names of `VENDOR` that the
        practice bound to nothing; `otherwise` is what the witness changes."""
        pool = self.stage.pool
        names = dict(zip(VENDOR, (pool.subjects[subject], pool.practitioner, pool.location, pool.service), strict=True))
        request = make_request(
            self.stage.connection,
            operation,
            start=slot or await self.slot(),
            minutes=pool.minutes,
            vendor={each: identifier for each, identifier in names.items() if each not in leave_out},
            target=target,
        )
        request = replace(request, identifiers=Identifiers({**request.identifiers, **bound}))
        witness = Witness(self.stage.adapter, **otherwise)
        harness = AdapterHarness(
            witness, request, secret=self.stage.secret if secret is None else secret, bounds=self.stage.bounds
        )
        return await self._entered(harness, witness)

    async def following(
        self,
        earlier: Attempt,
        operation: Operation,
        slot: datetime | None = None,
        **otherwise: Unpack[Otherwise],
    ) -> Attempt:
        """An attempt to move (to `slot`) or cancel what `earlier` wrote."""
        witness = Witness(self.stage.adapter, **otherwise)
        return await self._entered(earlier.following(operation, slot, witness), witness)

    async def again(self, earlier: Attempt) -> Attempt:
        """Another attempt at the very same proposal, with the same native key."""
        witness = Witness(self.stage.adapter)
        return await self._entered(earlier.again(witness), witness)

    async def booked(self, slot: datetime | None = None, subject: int = 0) -> Attempt:
        """A booking that was made: the precondition of much else."""
        attempt = await self.attempt(slot=slot, subject=subject)
        await attempt.must_be_ready()
        await attempt.commit()
        if not attempt.done:
            raise CouldNotRunError(f"a booking to build upon was not made: {attempt.effect}, {attempt.code}")
        if self.stage.relays:
            look = await attempt.look(settled=True)
            self.must(look.finding is ObservationFinding.PRESENT, "a booking that a relay took is not found afterwards")
        return attempt

    async def prepared(self, operation: Operation, subject: int = 0) -> tuple[Attempt, datetime]:
        """A ready attempt at `operation`, on a booking of its own where it needs one, and the slot that it leaves."""
        if operation is Operation.BOOK:
            attempt = await self.attempt(subject=subject)
            await attempt.must_be_ready()
            return attempt, attempt.slot
        booking = await self.booked(subject=subject)
        slot = await self.slot() if operation is Operation.RESCHEDULE else None
        attempt = await self.following(booking, operation, slot)
        await attempt.must_be_ready()
        return attempt, booking.slot

    async def _entered(self, harness: AdapterHarness, witness: Witness) -> Attempt:
        try:
            await self._stack.enter_async_context(harness)
        except Refusal as refusal:
            raise CheckFailed(f"the boundary does not admit the adapter: {refusal.code}") from None
        slot = harness.request.particulars.start
        attempt = Attempt(self.stage, harness, witness, lambda: self.stage.intend(self.requirement, slot))
        self.attempts.append(attempt)
        return attempt

    # -- faults ---------------------------------------------------------------------------------------------

    def arm(self, point: Point, which: Which = Which.MUTATION, *, once: bool = True) -> FaultReceipt:
        receipt = self.stage.proxy.arm(Fault(point, which, once))
        self.receipts.append(receipt)
        return receipt

    def must_have_fired(self, receipt: FaultReceipt) -> None:
        """No receipt, no verdict (F-03)."""
        self.stage.proxy.disarm()
        if not receipt.fired:
            raise CouldNotRunError(f"the fault {receipt.fault.point} did not fire on the intended request")

    @contextmanager
    def measuring_memory(self, wanted: bool) -> Iterator[None]:
        """Fail where what happens in here holds more than `MEMORY_BYTES` besides the connection's reply limit."""
        if not wanted:
            yield
            return
        tracemalloc.start()
        try:
            yield
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        allowed = MEMORY_BYTES + 4 * self.stage.connection.limits.reply_bytes
        self.expect(peak <= allowed, f"the attempt held {peak >> 20} MiB; at most {allowed >> 20} MiB are allowed")

    # -- what stands at the system --------------------------------------------------------------------------

    async def standing(self, slot: datetime) -> int:
        """How many appointments of this run stand in that slot, by the observer."""
        return len(await self._seen(slot))

    async def must_stand(self, expected: int, slot: datetime) -> None:
        self.effects, self.expected_effects = await self.standing(slot), expected
        if self.effects != expected:
            raise CheckFailed(f"{expected} appointment(s) should stand in the slot; the observer sees {self.effects}")

    async def took_effect(self, attempt: Attempt, left: datetime, *, deliveries: int = 1) -> bool:
        """Whether the action is in force at the system; raises `CheckFailed` where it is so twice, or by half. A
        system that holds no keys makes a booking as often as the network delivers it, and no adapter can help that."""
        seen = await self._seen(attempt.slot)
        here = len(seen)
        if attempt.operation is Operation.CANCEL:
            self.effects, self.expected_effects = here, 0
            return here == 0
        keyless = self.stage.descriptor.idempotency is not Idempotency.UNIQUE and attempt.operation is Operation.BOOK
        most = deliveries if keyless else 1
        self.effects, self.expected_effects = here, min(max(here, 1), most)
        if here > most:
            raise CheckFailed(f"the observer sees {here} appointments in the slot: one action took effect {here} times")
        if attempt.operation is Operation.RESCHEDULE:
            behind = await self.standing(left)
            if here + behind != 1:
                raise CheckFailed(
                    f"after a reschedule the observer sees {here} in the new slot and {behind} in the old"
                )
        for each in seen:
            self._as_approved(attempt, each)
        return here > 0

    def _as_approved(self, attempt: Attempt, seen: Seen) -> None:
        """An adapter that errs alike in what it sends and in what it expects back is found out here alone."""
        self.expect(seen.end == attempt.end, "what stands in the slot ends at another time than was approved")
        self.expect(seen.subject in (None, attempt.subject), "what stands in the slot is for another patient")

    async def _seen(self, slot: datetime) -> Sequence[Seen]:
        await self.stage.delivered()
        return await self.stage.standing(slot)

    # -- judging --------------------------------------------------------------------------------------------

    @property
    def doubts(self) -> tuple[ObservationFinding, ...]:
        """What a look may find besides the truth: where appointments are matched rather than found by key, nothing."""
        by_key = self.stage.descriptor.observation is Basis.BY_KEY
        return () if by_key else (ObservationFinding.INDETERMINATE,)

    def must(self, holds: bool, otherwise: str) -> None:
        """A precondition: without it there is nothing to judge."""
        if not holds:
            raise CouldNotRunError(otherwise)

    def expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise CheckFailed(otherwise)

    def expect_code(self, found: Code | None, *allowed: Code) -> None:
        if found not in allowed:
            shown = "proven" if found is None else found
            raise CheckFailed(f"expected {' or '.join(allowed)}, found {shown}")

    def expect_effect(self, attempt: Attempt, *allowed: Effect) -> None:
        if attempt.effect not in allowed:
            found = f"{attempt.effect}, {attempt.code}"
            raise CheckFailed(f"expected {' or '.join(allowed)}, found {found}")

    async def expect_refused(self, attempt: Attempt, *codes: Code) -> None:
        """Refused, with one of these codes. A relay may have taken what the system behind it then refuses (C-35): no
        more is known than that, and a look finds nothing."""
        if self.stage.relays and attempt.done:
            look = await attempt.look(settled=True)
            self.expect(look.finding is not ObservationFinding.PRESENT, "what was not made is found PRESENT")
            return
        self.expect_effect(attempt, Effect.REFUSED)
        self.expect_code(attempt.code, *codes)

    def expect_claim(self, attempt: Attempt, *allowed: Claim) -> None:
        """What the adapter itself made of the reply, before the boundary overruled it; to raise claims nothing."""
        receipt = attempt.witness.answered(Receipt)
        if receipt is not None and receipt.claim not in allowed:
            raise CheckFailed(f"the adapter may claim {' or '.join(allowed)} at most; it claims {receipt.claim}")

    def expect_unproven(self, attempt: Attempt) -> None:
        """The adapter itself must not call proven what it could not read."""
        said = attempt.witness.answered(Readiness)
        proofs = () if said is None else (said.available, said.credentials, said.authorised)
        if said is not None and said.target is TargetState.OPEN and all(each is Proof.PROVEN for each in proofs):
            raise CheckFailed("the adapter calls readiness proven on replies that nobody could read")

    def expect_sent(self, attempt: Attempt, *allowed: int) -> None:
        if attempt.sent not in allowed:
            wanted = " or ".join(map(str, allowed))
            raise CheckFailed(f"expected {wanted} mutating request(s) on the wire, found {attempt.sent}")

    def expect_blind(self, attempt: Attempt) -> None:
        """Neither the boundary nor the adapter itself may make a finding of what could not be read."""
        said = attempt.witness.answered(Observation)
        seen = ObservationFinding.INDETERMINATE if said is None else said.finding
        self.expect(
            seen is ObservationFinding.INDETERMINATE, f"the adapter finds {seen} in replies that nobody could read"
        )

    def expect_finding(self, look: Look, *allowed: ObservationFinding) -> None:
        if look.finding not in allowed:
            raise CheckFailed(f"expected a look to find {' or '.join(allowed)}, found {look.finding}")

    def misconduct(self) -> Iterator[str]:
        """What happened besides, in the slugs that `conduct.*` is judged by."""
        reads = Reads(self.stage.descriptor.safe_posts, self.stage.descriptor.safe_calls)
        for attempt in self.attempts:
            for call in attempt.witness.calls:
                mutating = sum(reads.mutates(*request) for request in call.tried)
                if mutating > 1 or attempt.sent > 1:
                    yield "second-mutation"
                if mutating and call.phase is not Phase.COMMIT:
                    yield "write-in-read"
                if not (call.sound and call.ended) or (call.raised is not None and not self._may_raise(call.raised)):
                    yield "out-of-contract"
            codes = (attempt.readiness, attempt.result.code if attempt.result else None)
            if Code.ADAPTER_FAULT in codes and not self._excuses_fault(attempt):
                yield "out-of-contract"
            if Code.HOST_FORBIDDEN in codes:
                yield "out-of-contract"

    def _may_raise(self, error: BaseException) -> bool:
        return isinstance(error, (*EXCUSED, asyncio.CancelledError)) or (
            self.unreadable and isinstance(error, Exception)
        )

    def _excuses_fault(self, attempt: Attempt) -> bool:
        """An adapter may raise on a reply that cannot be read; the boundary then says ADAPTER_FAULT."""
        raised = [call.raised for call in attempt.witness.calls if call.raised is not None]
        return self.unreadable and any(isinstance(error, Exception) for error in raised)
