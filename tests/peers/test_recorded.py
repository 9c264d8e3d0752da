"""The same peers, each met once by the whole gateway: what is recorded is true, and leads to no second request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.caldav.adapter import CaldavAdapter
from conformance.rehearsal import Rehearsal
from gateway import config
from gateway.audit import verify_file
from gateway.contracts.adapter import Authorized, Receipt
from gateway.contracts.connection import Connection, CredentialUse, Limits, Scheme
from gateway.contracts.failures import Code
from gateway.contracts.references import ConnectionId, PracticeId
from gateway.contracts.signals import Event, Signal, Step
from gateway.contracts.words import Effect, State
from gateway.gateway import Gateway
from gateway.hookspecs import hookimpl
from gateway.surfaces.local import LocalPractice
from tests.peers.behaviours import BEHAVIOURS, Behaviour
from tests.peers.calendar import Calendar
from tests.peers.cells import HANG_SECONDS, arm
from tests.peers.peer import Peer

AGAIN = {Effect.UNKNOWN: Code.PROPOSAL_FROZEN, Effect.APPLIED: Code.PROPOSAL_EXECUTED}
"""What another approval of the same proposal meets. After a proven non-effect it may be tried again."""


class Shipped(CaldavAdapter):
    """The shipped adapter, as a plugin; each connection's peer is told when it is about to be written to."""

    def __init__(self) -> None:
        super().__init__()
        self.peers: dict[ConnectionId, tuple[Peer, Behaviour]] = {}

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        arm(*self.peers[authorized.request.connection.connection_id])
        return await super().commit(authorized, write)

    @hookimpl
    def gateway_adapters(self) -> Mapping[str, Any]:
        return {"shipped": self}


@dataclass
class Visit:
    """One behaviour, its peer, and the practice's people acting on its connection."""

    behaviour: Behaviour
    peer: Peer
    rehearsal: Rehearsal

    async def problems(self, gateway: Gateway, turns: asyncio.Semaphore) -> list[str]:
        """A few at once: on a machine that has no time for all, evidence must not run out of its own."""
        async with turns, asyncio.timeout(HANG_SECONDS):
            return await self._problems(gateway)

    async def _problems(self, gateway: Gateway) -> list[str]:
        proposal = await self.rehearsal.propose(gateway, self.rehearsal.enrol())
        trigger = self.rehearsal.trigger(proposal, await self.rehearsal.decide(gateway, proposal))
        outcome = await gateway.commit(trigger)
        assert outcome.attempt is not None, outcome
        file = await gateway.attempt(outcome.attempt)
        events = [link.event for link in file.links]
        right = self.behaviour.right(tls=False)
        state = State.SUCCEEDED if right[0] is Effect.APPLIED else State.ERROR
        found = {
            "answered": (outcome.state, outcome.effect, outcome.code, outcome.recorded) == (state, *right, True),
            "recorded": file.outcome == outcome and file.state is state,
            "audited": effect_of(events) == right,
            "counted": (await self.seen()) <= (step_of(events).mutating_requests or 0) <= 1,
            "replayed": await gateway.commit(trigger) == outcome.model_copy(update={"replayed": True}),
        }
        if right[0] in AGAIN:
            again = await self.rehearsal.commit(gateway, proposal)
            found["refused another approval"] = (again.state, again.code) == (State.BLOCKED, AGAIN[right[0]])
        found["sent once"] = (await self.seen()) <= 1
        return [f"{self.behaviour.says}: not {name}" for name, holds in found.items() if not holds]

    async def seen(self) -> int:
        await self.peer.settled()
        return self.peer.mutations + self.peer.unread


def effect_of(events: list[Event]) -> tuple[Effect | None, Code | None]:
    (recorded,) = [event for event in events if event.signal is Signal.EFFECT_RECORDED]
    return recorded.effect, recorded.code


def step_of(events: list[Event]) -> Event:
    (step,) = [each for each in events if (each.signal, each.step) == (Signal.EXECUTION_STEP_COMPLETED, Step.COMMIT)]
    return step


def connection_to(peer: Peer, practice: PracticeId, slow: bool) -> Connection:
    host = f"127.0.0.1:{peer.port}"
    return Connection(
        connection_id=ConnectionId.random(),
        practice=practice,
        adapter="shipped",
        base_url=f"http://{host}/",
        hosts=(host,),
        zone="Europe/Berlin",
        credential=CredentialUse(scheme=Scheme.BASIC, name="vendor"),
        limits=Limits(request_seconds=2, commit_seconds=4) if slow else Limits(),
    )


@pytest.mark.requirement("CARD-02", "CARD-10", "FAIL-18", "FAIL-20")
async def test_what_is_recorded_of_a_hostile_peer_is_true_and_leads_to_no_second_request(tmp_path: Path) -> None:
    practice, adapter = PracticeId.random(), Shipped()
    async with AsyncExitStack() as stack:
        elsewhere = await stack.enter_async_context(Peer().listening())
        connections = {}
        for behaviour in BEHAVIOURS:
            peer = Peer(system=Calendar().answer, elsewhere=f"http://127.0.0.1:{elsewhere.port}/")
            await stack.enter_async_context(peer.listening())
            connection = connection_to(peer, practice, behaviour.slow)
            connections[connection.connection_id] = connection
            adapter.peers[connection.connection_id] = peer, behaviour
        local = LocalPractice.create(tmp_path / "practice", list(connections.values()), practice=practice)
        local.keep_secret("vendor", "user:password")
        visits = [
            Visit(behaviour, peer, Rehearsal.prepare(local, connections[known]))
            for known, (peer, behaviour) in adapter.peers.items()
        ]
        async with Gateway.open(local.home, plugins=[adapter]) as gateway:
            turns = asyncio.Semaphore(4)
            found = await asyncio.gather(*(visit.problems(gateway, turns) for visit in visits))
        assert [problem for problems in found for problem in problems] == []
        assert elsewhere.connections == 0
    report = verify_file(local.home / "journal.db", [], config.load(local.home).keys)
    assert report.intact, report.flaws
