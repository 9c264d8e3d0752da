"""The keys of a run: approved proposals, each to be carried out at most once, however often it is asked for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from conformance.rehearsal import Patient, Rehearsal
from gateway.contracts.canonical import digest
from gateway.contracts.proposal import Proposal
from gateway.contracts.references import DecisionId
from gateway.contracts.statements import Verdict
from gateway.errors import JournalFailed, JournalUnavailable, NotFound
from gateway.gateway import Gateway
from gateway.surfaces.local import REVIEWER

PATIENTS = 20
AT_ONCE = 16
ENOUGH_ANSWERS = 3
_PAUSE_SECONDS = 0.2


@dataclass(slots=True)
class Key:
    """One proposal, its approval, and the trigger that callers hold now."""

    proposal: Proposal
    approval: DecisionId
    trigger: str
    answered: int = 0
    triggers: int = 1

    @property
    def native(self) -> str:
        """How the sandbox adapter spells the key that the peer sees: hexadecimal, the last digit first."""
        content = f"{self.proposal.practice}|{self.proposal.proposal_digest}|{self.proposal.operation}".encode()
        return digest("native-key/v1", content).lstrip("0")[::-1]

    @property
    def done(self) -> bool:
        return self.answered >= ENOUGH_ANSWERS


@dataclass(slots=True)
class Keys:
    """All keys made so far; `wanted` of them are open at a time. Recording them goes on through every outage."""

    rehearsal: Rehearsal
    wanted: int
    made: list[Key] = field(default_factory=list)
    open: list[Key] = field(default_factory=list)
    _drafted: int = 0
    _patients: list[Patient] = field(default_factory=list)

    def enrol(self) -> None:
        self._patients = [self.rehearsal.enrol() for _ in range(PATIENTS)]

    async def refill(self, gateway: Gateway) -> None:
        """Take out what was answered often enough, put new keys in, some at a time."""
        self.open = [key for key in self.open if not key.done]
        while (missing := self.wanted - len(self.open)) > 0:
            proposals = [await asyncio.to_thread(self._draft) for _ in range(min(missing, AT_ONCE))]
            keys = await asyncio.gather(*(self._approve(gateway, proposal) for proposal in proposals))
            self.made += keys
            self.open = [*(key for key in self.open if not key.done), *keys]

    def _draft(self) -> Proposal:
        self._drafted += 1
        return self.rehearsal.draft(self._patients[self._drafted % PATIENTS])

    def renew(self, key: Key) -> None:
        """Another trigger under the same approval: the one before ended without a dispatch."""
        key.trigger = self.rehearsal.trigger(key.proposal, key.approval)
        key.triggers += 1

    async def _approve(self, gateway: Gateway, proposal: Proposal) -> Key:
        local = self.rehearsal.local
        review = local.surface(REVIEWER).review(proposal, verdict=Verdict.APPROVE, reviewer=local.desk.reviewer)
        while True:  # the same bytes again are the same record
            try:
                await gateway.propose(proposal.canonical())
                await gateway.decide(review.decision.token)
                break
            except (JournalUnavailable, JournalFailed, NotFound):
                await asyncio.sleep(_PAUSE_SECONDS)
        approval = review.decision.statement.decision_id
        return Key(proposal, approval, self.rehearsal.trigger(proposal, approval))
