"""What a hostile filler does with the mutating message, and the one effect and code that may be said of it; and the
cells in which the shipped adapter meets it: each operation, cold, after a query in the commit phase, and over TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta

import httpx

from adapters.hl7v2.adapter import Hl7v2Adapter
from gateway.contracts.adapter import Authorized, Receipt
from gateway.contracts.connection import Connection, Limits
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect
from gateway.testing import AdapterHarness, make_connection, make_request
from tests.peers.behaviours import (
    DONE,
    LATE,
    LOST,
    ODD,
    SOCKET,
    Behaviour,
    flooding,
    saying,
    saying_and_closing,
    success,
)
from tests.peers.cells import HANG_SECONDS, OPERATIONS, Cell, arm, complaints
from tests.peers.filler import Filler, reply
from tests.peers.peer import Call, Peer, framed

DEVIATES = (Effect.UNKNOWN, Code.REPLY_DEVIATES)
PENDING = (Effect.UNKNOWN, Code.ACCEPTED_PENDING)
SEGMENT = b"NTE|" + b"x" * 9_000 + b"\r"
AGREED = {"query": True, "filler-id-changes": True, "access-declared": True, "processing-id": "T"}


def says(said: str, *segments: str, kind: str = "ACK", applied: bool = False) -> Callable[[Call], bytes]:
    """An acknowledgement of ours; `applied`: and the request is carried out all the same."""

    def made(call: Call) -> bytes:
        if applied:
            call.peer.system(call)
        return reply(call.body.split(b"\r")[0].decode().split("|"), kind, said, *segments)

    return made


def other(old: bytes, new: bytes) -> Callable[[Call], bytes]:
    """The good reply, but for this."""
    return lambda call: success(call).replace(old, new)


def error(code: str, word: str = "") -> str:
    return f"ERR|||{code}^x^HL70357|E|{word}"


async def drips_for_ever(call: Call) -> None:
    await call.answer(b"\x0bMSH|^~\\&|")
    while call.open:
        await call.answer(b"x")
        await asyncio.sleep(0.02)


def waiting(call: Call) -> bytes:
    return success(call).replace(b"|Booked", b"|Waitlist").replace(b"|Cancelled", b"|Waitlist")


def line_feeds(call: Call) -> bytes:
    return framed(success(call)[1:-2].replace(b"\r", b"\n"))


def delimited(call: Call) -> bytes:
    content = success(call)[1:-2]
    return framed(content.replace(b"|", b"!").replace(b"^", b"$"))


MLLP = (
    Behaviour("says something before its frame", saying(lambda call: b"\r\n" + success(call)), *ODD),
    Behaviour("says something behind its frame", saying(lambda call: success(call) + b"\r"), *ODD),
    Behaviour("answers without a frame", saying_and_closing(lambda call: success(call)[1:-2]), *ODD),
    Behaviour("answers in HTTP", saying(lambda call: b"HTTP/1.1 201 X\r\nContent-Length: 0\r\n\r\n"), *ODD),
    Behaviour("ends its frame with another byte", saying(lambda call: success(call)[:-1] + b"\n"), *ODD),
    Behaviour("ends its frame by half and closes", saying_and_closing(lambda call: success(call)[:-1]), *LOST),
    Behaviour("puts a frame into a frame", saying(lambda call: framed(success(call))), *ODD),
    Behaviour("answers twice", saying(lambda call: success(call) * 2), *ODD),
    Behaviour("answers, then rejects", saying(lambda call: success(call) + says("AE", error("101"))(call)), *ODD),
    Behaviour("sends a frame without end", flooding(lambda call: b"\x0bMSH|", b"x" * 16_384), *ODD),
    Behaviour("sends segments without end", flooding(lambda call: success(call)[:-2], SEGMENT), *ODD),
    Behaviour("sends a frame a byte at a time for ever", drips_for_ever, *LATE, slow=True),
    Behaviour("accepts the message and shows nothing", saying(says("AA")), *PENDING),
    Behaviour("commits to it and says nothing more", saying(says("CA")), *PENDING),
    Behaviour("answers another message", saying(other(b"MSA|AA|", b"MSA|AA|X")), *ODD),
    Behaviour("answers about another event", saying(other(b"SRR^S0", b"SRR^S1")), *DEVIATES),
    Behaviour("books another time", saying(other(b"^^^2031", b"^^^2032")), *DEVIATES),
    Behaviour("books another patient", saying(other(b"|patient-1|", b"|patient-2|")), *DEVIATES),
    Behaviour("puts it on the wait-list", saying(waiting), *DEVIATES),
    Behaviour("carries it out and says that its key was there", saying(says("AE", error("205"), applied=True)),
              Effect.UNKNOWN, Code.DUPLICATE_KEY),
    Behaviour("carries it out and says that it broke", saying(says("AR", error("207"), applied=True)),
              Effect.UNKNOWN, Code.EXTERNAL_ERROR),
    Behaviour("rejects it and does not say why", saying(says("AE")), *ODD),
    Behaviour("rejects its content", saying(says("AE", error("102"))), Effect.REFUSED, Code.EXTERNAL_INVALID),
    Behaviour("rejects it for two reasons that disagree", saying(says("AE", error("102"), error("207"))), *ODD),
    Behaviour("ends its segments with line feeds", saying(line_feeds), *DONE),
    Behaviour("ends its segments in two ways", saying(other(b"\rSCH", b"\n\rSCH")), *ODD),
    Behaviour("uses delimiters of its own", saying(delimited), *DONE),
    Behaviour("answers in a character set that it does not name", saying(other(b"FILLER", b"F\xff")), *ODD),
)  # fmt: skip


BEHAVIOURS = SOCKET + MLLP


def cells(behaviour: Behaviour) -> Iterator[Cell]:
    for operation in OPERATIONS:
        for warm in (False, True):
            yield Cell(behaviour, operation, warm)
    yield Cell(behaviour, Operation.BOOK, False, tls=True)


ALL = tuple(cell for behaviour in BEHAVIOURS for cell in cells(behaviour))


class Armed(Hl7v2Adapter):
    """The shipped adapter; the peer is told when it is about to write."""

    def __init__(self, warm: bool, here: Callable[[], None]) -> None:
        super().__init__()
        self._warm, self._here = warm, here

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        if self._warm:
            await self._find(authorized.request, write)
        self._here()
        return await super().commit(authorized, write)


def connected(peer: Peer, slow: bool) -> Connection:
    limits = Limits(request_seconds=2, commit_seconds=4) if slow else Limits()
    scheme = "mllps" if peer.tls else "mllp"
    return make_connection(f"{scheme}://127.0.0.1:{peer.port}/", settings=AGREED, limits=limits)


async def prepared(cell: Cell, peer: Peer, here: Callable[[], None]) -> AdapterHarness:
    request = make_request(connected(peer, cell.behaviour.slow))
    peer.system = Filler().answer
    armed = Armed(cell.warm, here)
    if cell.write is Operation.BOOK:
        return AdapterHarness(armed, request)
    async with AdapterHarness(Hl7v2Adapter(), request) as booking:
        assert await booking.readiness() is None
        assert (await booking.commit()).effect is Effect.APPLIED
    start = request.particulars.start + timedelta(hours=cell.write is Operation.RESCHEDULE)
    peer.calls.clear()
    assert isinstance(cell.write, Operation)
    return booking.following(cell.write, start, armed)


async def tried(cell: Cell, tls: ssl.SSLContext, turn: asyncio.Lock) -> list[str]:
    """As `cells.tried`, with frames."""
    peer = Peer(tls=tls if cell.tls else None, mllp=True, safe_posts=("/SQM/S25",))
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
    return [f"mllp {cell}: {complaint}" for complaint in complaints(cell, peer, result)]
