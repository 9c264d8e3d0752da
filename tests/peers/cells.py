"""One cell: one behaviour against one kind of write, cold or warm, plain or TLS, through the real boundary.

Owns: the adapters, the arming of the peer at the last instant before the write, and the complaints about what was seen.
Cold: the peer closes after each reply, so no connection is kept. Warm: connections are kept, and the commit phase reads
on one directly before it writes, so that a client which used it again would meet the peer's whim there.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

import httpx

from adapters.caldav.adapter import CaldavAdapter
from gateway.boundary import CommitResult
from gateway.contracts.adapter import (
    Authorized,
    Basis,
    Descriptor,
    Exclusivity,
    Idempotency,
    Observation,
    Query,
    Readiness,
    Receipt,
    Request,
)
from gateway.contracts.connection import Connection, CredentialUse, Limits, Scheme
from gateway.contracts.failures import FAILURES, Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect, End, ObservationFinding
from gateway.testing import AdapterHarness, make_connection, make_request
from tests.peers.behaviours import BEHAVIOURS, Behaviour, Stage
from tests.peers.calendar import Calendar
from tests.peers.peer import Call, Peer, reply

METHODS = ("POST", "PUT", "PATCH", "DELETE")
OPERATIONS = (Operation.BOOK, Operation.RESCHEDULE, Operation.CANCEL)
OVER_TLS = (("POST", False), ("PUT", True), (Operation.BOOK, False), (Operation.RESCHEDULE, True))
HANG_SECONDS = 60
"""No deadline of the gateway's is near this: a call that takes so long hangs."""

REFUSALS = {
    401: Code.CREDENTIALS_REJECTED,
    403: Code.EXTERNAL_FORBIDDEN,
    409: Code.SLOT_TAKEN,
    412: Code.DUPLICATE_KEY,
    429: Code.EXTERNAL_THROTTLED,
}


@dataclass(frozen=True)
class Cell:
    """`write` is a method of plain HTTP, or an operation of the shipped CalDAV adapter."""

    behaviour: Behaviour
    write: str | Operation
    warm: bool
    tls: bool = False

    def __str__(self) -> str:
        system = "caldav" if isinstance(self.write, Operation) else "http"
        return f"{system} {self.write}, {'warm' if self.warm else 'cold'}{', tls' if self.tls else ''}"


def cells(behaviour: Behaviour) -> Iterator[Cell]:
    for write in (*METHODS, *OPERATIONS):
        for warm in (False, True):
            yield Cell(behaviour, write, warm)
    for write, warm in OVER_TLS:
        yield Cell(behaviour, write, warm, tls=True)


ALL = tuple(cell for behaviour in BEHAVIOURS for cell in cells(behaviour))


@dataclass
class Plain:
    """A small adapter for plain HTTP. It takes every success for one and, naively, redirects, timeouts and server
    errors for refusals: the boundary must not."""

    method: str
    warm: bool
    arm: Callable[[], None]

    def describe(self, connection: Connection) -> Descriptor:
        return Descriptor(
            adapter="plain",
            operations=(Operation.BOOK,),
            idempotency=Idempotency.UNIQUE,
            exclusivity=Exclusivity.ENFORCED,
            observation=Basis.BY_KEY,
        )

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.get("ready")
        return Readiness.proven()

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        if self.warm:
            await write.get("ready")
        self.arm()
        answer = await write.request(self.method, f"appointments/{authorized.native_key()}", content=b"approved")
        if answer.is_success:
            return Receipt.applied(identifier="appointment-1", version=answer.headers.get("etag"))
        if answer.is_redirect or answer.is_server_error or answer.status_code == 408:
            return Receipt.refused(Code.EXTERNAL_INVALID)
        refused = REFUSALS.get(answer.status_code)
        return Receipt.refused(refused) if refused else Receipt.unknown()

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        await read.get(f"appointments/{query.native_key()}")
        return Observation(finding=ObservationFinding.INDETERMINATE, basis=Basis.BY_KEY)


class Armed(CaldavAdapter):
    """The shipped adapter; the peer is told when it is about to write."""

    def __init__(self, warm: bool, arm: Callable[[], None]) -> None:
        super().__init__()
        self._warm, self._arm = warm, arm

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        if self._warm:
            await write.request("PROPFIND", "")
        self._arm()
        return await super().commit(authorized, write)


def arm(peer: Peer, behaviour: Behaviour) -> None:
    """From now on the peer behaves so towards whatever it does not know to be a read."""
    if behaviour.stage is Stage.GONE:
        peer.leave()
    elif behaviour.stage is Stage.ACCEPT:
        peer.accept = behaviour.act
    else:
        told = peer.early if behaviour.stage is Stage.HEAD else peer.on
        told.update(dict.fromkeys(METHODS, behaviour.act))


def connected(peer: Peer, slow: bool) -> Connection:
    """A connection to the peer with a password for it, so that there is something to send again at a challenge."""
    limits = Limits(request_seconds=2, commit_seconds=4) if slow else Limits()
    scheme = "https" if peer.tls else "http"
    credential = CredentialUse(scheme=Scheme.BASIC, name="vendor")
    return make_connection(f"{scheme}://127.0.0.1:{peer.port}/", credential=credential, limits=limits)


async def prepared(cell: Cell, peer: Peer, here: Callable[[], None]) -> AdapterHarness:
    """An attempt of the cell's kind, which calls `here` directly before it writes; a reschedule or cancellation has
    its booking made before."""
    request = make_request(connected(peer, cell.behaviour.slow))
    if not isinstance(cell.write, Operation):
        peer.system = lambda call: reply(200) if call.method == "GET" else reply(201)
        return AdapterHarness(Plain(cell.write, cell.warm, here), request, secret="user:password")
    peer.system = Calendar().answer
    armed = Armed(cell.warm, here)
    if cell.write is Operation.BOOK:
        return AdapterHarness(armed, request, secret="user:password")
    async with AdapterHarness(CaldavAdapter(), request, secret="user:password") as booking:
        assert await booking.readiness() is None
        assert (await booking.commit()).effect is Effect.APPLIED
    start = request.particulars.start + timedelta(hours=cell.write is Operation.RESCHEDULE)
    peer.calls.clear()
    return booking.following(cell.write, start, armed)


async def tried(cell: Cell, elsewhere: Peer, tls: ssl.SSLContext, turn: asyncio.Lock) -> list[str]:
    """What is wrong with what the peer saw and the boundary said; nothing, if all is right.

    Cells wait for their deadlines all at once, and take turns in coming so far: on a machine that has no time for
    them all, a read must not run out of its own.
    """
    peer = Peer(tls=tls if cell.tls else None, keeps=cell.warm, elsewhere=f"http://127.0.0.1:{elsewhere.port}/")
    await turn.acquire()
    with ExitStack() as busy:
        busy.callback(turn.release)

        def here() -> None:
            busy.close()
            arm(peer, cell.behaviour)

        async with peer.listening(), asyncio.timeout(HANG_SECONDS), await prepared(cell, peer, here) as harness:
            ready = await harness.readiness()
            if ready is not None:
                return [f"{cell}: not ready, {ready}"]
            result = await harness.commit()
            await peer.settled()
    return [f"{cell}: {complaint}" for complaint in complaints(cell, peer, result)]


def complaints(cell: Cell, peer: Peer, result: CommitResult) -> Iterator[str]:
    """Everything that must hold, by the peer's own count (RELIABILITY: the checker)."""
    said, right = (result.effect, result.code), cell.behaviour.right(cell.tls)
    if said != right:
        yield f"{said[0]} {said[1]}, not {right[0]} {right[1]}"
    if End[result.effect.name] not in FAILURES[result.code].ends:
        yield f"{result.effect} with {result.code} is no row of the taxonomy"
    seen = peer.mutations + peer.unread
    if seen > 1:
        yield f"{seen} mutating requests"
    if result.effect is Effect.APPLIED and peer.mutations != 1:
        yield f"APPLIED, and the peer saw {peer.mutations} mutating requests"
    if result.effect is Effect.NOT_SENT and peer.mutations:
        yield "NOT_SENT, and the peer saw it"
    if peer.mutations > result.mutating_requests:
        yield f"the peer saw {peer.mutations} mutating requests, the boundary counted {result.mutating_requests}"
    for call in peer.mutating:
        if alone(call, peer.calls):
            continue
        yield "the mutating request went over a connection that had carried another"


def alone(call: Call, calls: list[Call]) -> bool:
    return [other for other in calls if other.connection == call.connection] == [call]
