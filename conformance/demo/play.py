"""The scenes: what patient, reviewer and operator do, one step after the other, and what each must come to.

Owns: the order of the steps and what is expected of each. Every act goes through `conformance.rehearsal`, that is
through signed statements and the public `Gateway`. Stops at the first step that is not as it should be: the later
ones build on it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from conformance.demo.calendar import Calendar, Held
from conformance.demo.verdict import Facts, Step
from conformance.demo.wire import Wire
from conformance.rehearsal import SLOT, Patient, Rehearsal, target_of
from gateway import documents
from gateway.cli.wording import headline
from gateway.clock import SystemClock
from gateway.contracts.failures import Code
from gateway.contracts.outcome import Outcome
from gateway.contracts.proposal import Operation, Proposal
from gateway.contracts.references import AttemptId
from gateway.contracts.statements import Finding, Trigger
from gateway.contracts.words import Effect, ObservationFinding, Standing, State
from gateway.errors import GatewayError
from gateway.gateway import Gateway
from gateway.surfaces.ceremonies import Signed
from gateway.surfaces.local import OPERATOR
from gateway.surfaces.sign import sign

THIS_MORNING: Final = timedelta(hours=9)
"""Before now: longer than an approval holds."""


class Audience(Protocol):
    """Whoever watches, step by step."""

    def scene(self, title: str) -> None: ...

    def begin(self, number: int, title: str) -> None: ...

    def end(self, step: Step) -> None: ...


class StepFailedError(GatewayError):
    """A step was not as it should be; the play stops there."""


class EarlierClock(SystemClock):
    """The machine's clock as it stood some time ago: what was signed then bears that time."""

    def __init__(self, ago: timedelta) -> None:
        self._ago = ago

    def now(self) -> datetime:
        return super().now() - self._ago


@dataclass(slots=True)
class Play:
    """One performance. `rehearsal` and `annex` are one practice's two calendars; `holds` says what both together
    must hold by now."""

    gateway: Gateway
    rehearsal: Rehearsal
    annex: Rehearsal
    wire: Wire
    calendars: Sequence[Calendar]
    audience: Audience
    steps: list[Step] = field(default_factory=list)
    appointments: list[str] = field(default_factory=list)
    holds: tuple[str, ...] = ()
    _seen: set[AttemptId] = field(default_factory=set)

    async def perform(self) -> None:
        """All scenes; raises `StepFailedError` at the first step that is not as it should be."""
        self.audience.scene("One appointment: asked for, approved and carried out, three times over")
        trigger, cancelled = await self._three_commits()
        self.audience.scene("The same key again")
        await self._again(trigger, cancelled)
        self.audience.scene("Something changed after the approval: nothing is sent")
        await self._expired_approval()
        await self._altered_proposal()
        await self._moved_particulars()
        await self._withdrawn_consent()
        self.audience.scene("The server does it, and its reply is lost")
        await self._lost_reply()

    def read(self) -> tuple[Held, ...]:
        """Everything that the server holds, in both calendars."""
        return tuple(held for calendar in self.calendars for held in calendar.holds())

    # -- the scenes -------------------------------------------------------------------------------------

    async def _three_commits(self) -> tuple[Signed[Trigger], Outcome]:
        front, gateway, patient = self.rehearsal, self.gateway, self.rehearsal.enrol()
        made: dict[str, Any] = {"state": State.SUCCEEDED, "code": Code.COMMITTED, "effect": Effect.APPLIED}
        made |= {"standing": Standing.CONFIRMED, "mutating_requests": 1}
        first, second = front.next_slot(), front.next_slot()
        proposal = await front.propose(gateway, patient, start=first)
        self.holds = (event("CONFIRMED", first),)
        booked = await self._step(
            "book", "A patient asks for an hour, the reviewer approves, the operator starts it",
            front.commit(gateway, proposal), **made,
        )  # fmt: skip
        self.appointments.append(target_of(booked).appointment)
        self.holds = (event("CONFIRMED", second),)
        moved = await self._step(
            "reschedule", "The patient asks to move it: a proposal and an approval of its own",
            self._reschedule(patient, second, booked), **made,
        )  # fmt: skip
        target = target_of(moved)
        proposal = await front.propose(gateway, patient, Operation.CANCEL, start=second, target=target)
        trigger = await self._approved(proposal)
        self.holds = (event("CANCELLED", second),)
        cancelled = await self._step(
            "cancel", "The patient asks to cancel it: again its own proposal and approval",
            gateway.commit(trigger.token), **made,
        )  # fmt: skip
        return trigger, cancelled

    async def _again(self, trigger: Signed[Trigger], cancelled: Outcome) -> None:
        front, gateway = self.rehearsal, self.gateway
        await self._step(
            "same-request-again", "The last request arrives again: its recorded outcome is the answer",
            gateway.commit(trigger.token),
            state=cancelled.state, code=cancelled.code, effect=cancelled.effect, standing=cancelled.standing,
            earlier_attempt=True, replayed=True,
        )  # fmt: skip
        other = await front.propose(gateway, front.enrol())
        approval = await front.decide(gateway, other)
        reused = trigger.statement.model_copy(
            update={
                "proposal_id": other.proposal_id,
                "proposal_digest": other.proposal_digest,
                "decision_id": approval,
            }
        )
        await self._step(
            "same-key-other-proposal", "That request's key comes with another proposal",
            gateway.commit(sign(reused, front.local.surface(OPERATOR).key)),
            state=State.REJECTED, code=Code.IDEMPOTENCY_COLLISION,
        )  # fmt: skip

    async def _expired_approval(self) -> None:
        earlier = EarlierClock(THIS_MORNING)
        morning = replace(self.rehearsal, local=replace(self.rehearsal.local, clock=earlier))
        proposal = await morning.propose(self.gateway, morning.enrol(), start=self.rehearsal.next_slot())
        approval = await morning.decide(self.gateway, proposal)
        await self._step(
            "expired-approval", "Approved nine hours ago, for eight hours",
            self.gateway.commit(self.rehearsal.trigger(proposal, approval)),
            state=State.BLOCKED, code=Code.APPROVAL_EXPIRED,
        )  # fmt: skip

    async def _altered_proposal(self) -> None:
        front, gateway, patient = self.rehearsal, self.gateway, self.rehearsal.enrol()
        proposal = await front.propose(gateway, patient)
        approval = await front.decide(gateway, proposal)
        altered = await front.propose(gateway, patient, proposal=proposal.proposal_id, revision=2)
        await self._step(
            "altered-proposal", "The proposal is altered after approval, to another hour",
            gateway.commit(front.trigger(altered, approval)),
            state=State.BLOCKED, code=Code.APPROVAL_MISMATCH,
        )  # fmt: skip

    async def _moved_particulars(self) -> None:
        front, gateway = self.rehearsal, self.gateway
        proposal = await front.propose(gateway, front.enrol())
        trigger = await self._approved(proposal)
        move_particulars(front, proposal, front.next_slot())
        await self._step(
            "moved-particulars", "The proposal is untouched, but the practice's record of it now says another hour",
            gateway.commit(trigger.token),
            state=State.BLOCKED, code=Code.PARTICULARS_CHANGED,
        )  # fmt: skip

    async def _withdrawn_consent(self) -> None:
        front, gateway, patient = self.rehearsal, self.gateway, self.rehearsal.enrol()
        trigger = await self._approved(await front.propose(gateway, patient))
        front.local.registry.set_consent(patient.patient, in_force=False)
        await self._step(
            "withdrawn-consent", "The patient withdraws consent after approval",
            gateway.commit(trigger.token),
            state=State.BLOCKED, code=Code.CONSENT_ABSENT,
        )  # fmt: skip

    async def _lost_reply(self) -> None:
        front, gateway, patient = self.rehearsal, self.gateway, self.rehearsal.enrol()
        start = front.next_slot()
        unknown: dict[str, Any] = {"state": State.ERROR, "code": Code.CONNECTION_LOST, "effect": Effect.UNKNOWN}
        trigger = await self._approved(await front.propose(gateway, patient, start=start))
        self.holds = (*self.holds, event("CONFIRMED", start))
        self.wire.lose_next_reply()
        lost = await self._step(
            "lost-reply", "A booking: the server makes it, and the reply is cut off on its way back",
            gateway.commit(trigger.token), **unknown,
            standing=Standing.UNRESOLVED, observed=ObservationFinding.PRESENT, mutating_requests=1, lost_replies=1,
        )  # fmt: skip
        await self._step(
            "sibling-while-unresolved", "Meanwhile somebody tries the same patient and hour in another calendar",
            self._in_the_annex(patient, start),
            state=State.BLOCKED, code=Code.RELATED_UNRESOLVED,
        )  # fmt: skip
        resolved = await self._step(
            "resolved-applied", "A person signs, relying on that look, that it was made",
            front.resolve(gateway, lost, Finding.APPLIED), **unknown,
            standing=Standing.CONFIRMED, observed=ObservationFinding.PRESENT, resolution=Finding.APPLIED,
            earlier_attempt=True,
        )  # fmt: skip
        self.appointments.append(target_of(resolved).appointment)
        await self._step(
            "sibling-after-resolution", "Another patient asks for that hour: judged on its merits again",
            self._book(start), state=State.BLOCKED, code=Code.SLOT_TAKEN,
        )  # fmt: skip

    # -- single acts ------------------------------------------------------------------------------------

    async def _approved(self, proposal: Proposal) -> Signed[Trigger]:
        """The reviewer approves; the operator signs a start, which does nothing until it is presented."""
        local = self.rehearsal.local
        approval = await self.rehearsal.decide(self.gateway, proposal)
        return local.surface(OPERATOR).commit(proposal, operator=local.desk.operator, approval=approval)

    async def _reschedule(self, patient: Patient, start: datetime, before: Outcome) -> Outcome:
        proposal = await self.rehearsal.propose(
            self.gateway, patient, Operation.RESCHEDULE, start=start, target=target_of(before)
        )
        return await self.rehearsal.commit(self.gateway, proposal)

    async def _book(self, start: datetime) -> Outcome:
        proposal = await self.rehearsal.propose(self.gateway, self.rehearsal.enrol(), start=start)
        return await self.rehearsal.commit(self.gateway, proposal)

    async def _in_the_annex(self, patient: Patient, start: datetime) -> Outcome:
        registry, connection = self.annex.local.registry, self.annex.connection.connection_id
        registry.map_identifier(connection, patient.patient, patient.patient[-12:])
        return await self.annex.commit(self.gateway, await self.annex.propose(self.gateway, patient, start=start))

    async def _step(self, name: str, title: str, act: Awaitable[Outcome], **expected: Any) -> Outcome:
        """Do it, count what passed the wire meanwhile, read the calendars, judge."""
        self.audience.begin(len(self.steps) + 1, title)
        mutating, lost = len(self.wire.mutating), len(self.wire.lost)
        outcome = await act
        step = Step(
            name=name,
            title=title,
            expected=Facts(**{"standing": Standing.NOT_MADE, "calendar": self.holds} | expected),
            seen=Facts.of(
                outcome,
                earlier=outcome.attempt in self._seen,
                mutating=len(self.wire.mutating) - mutating,
                lost=len(self.wire.lost) - lost,
                calendar=tuple(str(held) for held in self.read()),
            ),
            attempt=outcome.attempt,
            told=headline(outcome).text,
        )
        self.steps.append(step)
        if outcome.attempt is not None:
            self._seen.add(outcome.attempt)
        self.audience.end(step)
        if step.faults:
            raise StepFailedError(f"{name}: {'; '.join(step.faults)}")
        return outcome


def event(status: str, start: datetime) -> str:
    """How a calendar's event at that hour is told."""
    return f"STATUS:{status} {start:%Y-%m-%d %H:%M}–{start + SLOT:%H:%M} UTC"


def move_particulars(rehearsal: Rehearsal, proposal: Proposal, start: datetime) -> None:
    """Edit the practice's own record behind the proposal's back: another hour, everything else as it was."""
    registry = rehearsal.local.registry
    record = registry.registered(proposal.proposal_id, proposal.revision)
    assert record is not None
    (match,) = record.matches
    moved = match.particulars.model_copy(update={"start": start, "end": start + SLOT})
    edited = record.model_copy(update={"matches": (match.model_copy(update={"particulars": moved}),)})
    name = f"particulars/{proposal.proposal_id}-{proposal.revision}.json"
    documents.write(registry.root / name, documents.spell(edited), name)
