"""The one path (DESIGN): trigger, validation, gates and policy, intent, commit, outcome.

Owns: the order of the six phases (FLOW-01), replay, and the two durable barriers of an executed attempt.
Decisions are made by pure parts (lifecycle, gates, ending, policy); this module does their I/O in order
and is the only caller of adapters, through the boundary.
Refuses: to dispatch without a durable, acknowledged intent (I6), and to dispatch anything more once an
outcome could not be recorded. Retries nothing (I2).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from gateway.attempt import AttemptEnded, Gated, KeyTaken, Run
from gateway.contracts.canonical import digest
from gateway.contracts.failures import Code
from gateway.contracts.outcome import IN_FLIGHT_STATES, Outcome
from gateway.contracts.references import AttemptId
from gateway.contracts.statements import Purpose, Trigger, TriggerKind
from gateway.contracts.words import Actor, ApprovalUse, End, Next, State
from gateway.ending import unrecorded
from gateway.errors import (
    AuditTampered,
    InvalidInput,
    JournalFailed,
    JournalUnavailable,
    MalformedInput,
    SignatureRefused,
)
from gateway.execution import execute
from gateway.journal import Header
from gateway.observation import observe
from gateway.ports import Ports
from gateway.signatures import Verified

logger = logging.getLogger(__name__)

TRIGGER_DOMAIN = "trigger/v1"
POLL_SECONDS = 0.025


@dataclass(slots=True)
class Orchestrator:
    """Takes signed triggers, one attempt each. Safe for any number of concurrent callers."""

    ports: Ports
    _executing: dict[asyncio.Task[Outcome], AttemptId] = field(default_factory=dict)

    async def submit(self, token: str, purpose: Purpose) -> Outcome:
        """Run, or replay, the attempt that this trigger asks for. Answers every failure as an outcome."""
        try:
            return await self._submit(token, purpose)
        except KeyTaken as taken:
            return await self._answer_of(taken.holder)
        except (JournalUnavailable, JournalFailed):
            return unrecorded(None, End.BLOCKED, Code.AUDIT_UNAVAILABLE)
        except Exception as fault:  # noqa: BLE001 — what this key has done so far cannot be said (I3, I8)
            logger.error("a call broke: %s", type(fault).__name__)  # noqa: TRY400 — a traceback could hold data (I7)
            return unrecorded(None, End.UNKNOWN, Code.OUTCOME_UNRECORDED)

    async def settle(self) -> None:
        """Dispatch nothing more, and wait until no attempt is between intent and outcome: the journal may then close.
        Cancelling the wait cancels no attempt."""
        self.ports.retired = True
        while self._executing:
            await asyncio.wait(set(self._executing))

    async def _submit(self, token: str, purpose: Purpose) -> Outcome:
        try:
            verified = self.ports.keyring.verify(token, Trigger, practice=self.ports.practice)
        except SignatureRefused:
            return await self._deny(Header(purpose=purpose), Code.TRIGGER_UNSIGNED)
        except (InvalidInput, MalformedInput):
            return await self._deny(Header(purpose=purpose), Code.TRIGGER_UNKNOWN)
        header = _header(verified, purpose)
        if replayed := await self._replay(verified, header):
            return replayed
        if self.ports.retired:
            return unrecorded(None, End.BLOCKED, Code.AUDIT_UNAVAILABLE)
        run = Run.begin(self.ports, verified, header)
        if denial := self._denial(verified.statement, purpose):
            return await run.deny(denial)
        if purpose is Purpose.RESUME and not await run.continue_paused():
            return await run.deny(Code.TRIGGER_FORBIDDEN)
        try:
            return await (observe(run) if purpose is Purpose.OBSERVE else self._carry(run))
        except AttemptEnded as ended:
            return await run.close(ended)
        except (KeyTaken, JournalUnavailable, JournalFailed):
            raise
        except Exception as fault:  # noqa: BLE001 — whatever a defect raises, the answer is bounded (I8)
            return await run.close(_fault(run, fault))

    async def _carry(self, run: Run) -> Outcome:
        """Phases two to six. From the intent on, the attempt is in a task that no caller can cancel."""
        await run.validate()
        gated = await run.gate()
        if run.header.purpose is not Purpose.COMMIT:
            return await run.finish_check()
        if self.ports.retired:  # nobody would wait for it any more
            raise AttemptEnded(End.BLOCKED, Code.AUDIT_UNAVAILABLE)
        task = asyncio.create_task(self._execute(run, gated))
        self._executing[task] = run.attempt.identity.attempt
        task.add_done_callback(self._executing.pop)
        return await asyncio.shield(task)

    async def _execute(self, run: Run, gated: Gated) -> Outcome:
        try:
            try:
                return await execute(run, gated, run.header.attempt_key)
            except AttemptEnded as ended:
                return await run.close(ended)
            except KeyTaken:
                raise
            except Exception as fault:  # noqa: BLE001 — after the intent a defect's effect is unknown (I3)
                return await run.close(_fault(run, fault))
        except KeyTaken as taken:
            await run.release()
            return await self._answer_of(taken.holder)

    def _denial(self, trigger: Trigger, purpose: Purpose) -> Code | None:
        """Why a verified trigger may not start this (TRIG-02, TRIG-03, C-20)."""
        if trigger.purpose is not purpose or trigger.kind is not TriggerKind.OPERATOR:
            return Code.TRIGGER_FORBIDDEN
        now, skew = self.ports.clock.now(), self.ports.skew
        if not trigger.issued_at - skew <= now < trigger.expires_at:
            return Code.TRIGGER_EXPIRED
        return None

    async def _deny(self, header: Header, code: Code) -> Outcome:
        return await Run.begin(self.ports, None, header).deny(code)

    async def _replay(self, verified: Verified[Trigger], header: Header) -> Outcome | None:
        """The recorded outcome of a known key: nothing is written, no adapter called (IDEM-02, C-07)."""
        journal = self.ports.journal
        if taken := await journal.trigger(verified.statement.trigger_id):
            known, attempt = taken
            if known != header.trigger_digest:
                keyless = Header(purpose=header.purpose, proposal=header.proposal)
                return await self._deny(keyless, Code.IDEMPOTENCY_COLLISION)
            answer = await self._answer_of(attempt)
            subject = verified.statement.attempt
            # a look answers what it looked at, again as at first
            return answer if answer.code is not Code.OBSERVED or subject is None else await self._answer_of(subject)
        if header.purpose is Purpose.COMMIT and (holder := await journal.intent(header.attempt_key)):
            return await self._answer_of(holder)
        return None

    async def _answer_of(self, attempt: AttemptId) -> Outcome:
        """Another call's outcome, once it has one, or IN_FLIGHT after a bounded wait (C-29)."""
        clock = self.ports.clock
        deadline = clock.monotonic() + self.ports.bounds.replay_wait_seconds
        while True:
            try:
                file = await self.ports.journal.attempt(attempt)
            except (JournalUnavailable, JournalFailed, AuditTampered):
                return _in_flight(attempt)  # the key is taken: to say "blocked" now would be a guess
            if file is not None and file.outcome is not None:
                return file.outcome.model_copy(update={"replayed": True})
            remaining = deadline - clock.monotonic()
            if remaining <= 0:
                return _in_flight(attempt)
            if others := self._others(attempt):
                await asyncio.wait(others, timeout=remaining, return_when=asyncio.FIRST_COMPLETED)
            else:
                await clock.sleep(min(POLL_SECONDS, remaining))

    def _others(self, attempt: AttemptId) -> set[asyncio.Task[Outcome]]:
        """Who carries out this attempt here, but for whoever asks: several answers to one pause may have got so far."""
        return {task for task, name in self._executing.items() if name == attempt} - {asyncio.current_task()}


def _fault(run: Run, fault: Exception) -> AttemptEnded:
    """The end of an attempt in which the gateway itself broke; only the kind of fault is logged (I7)."""
    logger.error("attempt %s broke: %s", run.attempt.identity.attempt, type(fault).__name__)
    intended = run.attempt.state in IN_FLIGHT_STATES and run.header.purpose is Purpose.COMMIT
    return AttemptEnded(End.UNKNOWN if intended else End.FAULT, Code.INVARIANT_VIOLATION)


def _header(verified: Verified[Trigger], purpose: Purpose) -> Header:
    trigger = verified.statement
    return Header(
        purpose=purpose,
        trigger=trigger.trigger_id,
        trigger_digest=digest(TRIGGER_DOMAIN, verified.token.encode()),
        practice=trigger.practice,
        proposal=trigger.proposal_id,
        proposal_digest=trigger.proposal_digest,
        approval=trigger.decision_id,
    )


def _in_flight(attempt: AttemptId) -> Outcome:
    return Outcome(
        attempt=attempt,
        state=State.RUNNING,
        code=Code.IN_FLIGHT,
        next=Next.NONE,
        actor=Actor.NOBODY,
        approval=ApprovalUse.SPENT,
        replayed=True,
    )
