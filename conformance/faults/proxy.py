"""The fault proxy: HTTP/1.1, or MLLP, between any adapter and its real server, on loopback.

    async with Proxy.open("https://calendar.example/dav/", trust=context) as proxy:
        connection to proxy.url …
        receipt = proxy.arm(Fault(Point.AFTER_COMMIT))
        … one commit …
        await proxy.settle(); proxy.disarm()
        receipt.fired, receipt.forwarded, proxy.exchanges[-1]

Owns: the listener and the life of every conversation. Passes on what it does not break: the request with its Host
rewritten, the reply as it came. References to the system's own address inside replies (a Location, an href) are left
as they are.
Refuses to send again, to follow, to invent a reply where the system gave none, and to forward more mutating requests
than it was allowed.
Invariant: nothing is struck that no receipt tells of, and no receipt says fired for what was not struck.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from conformance.faults import Exchange, Fault, Point, Receipt
from conformance.faults.client import Client
from conformance.faults.conversation import REPLY_SECONDS, Conversation, Setup
from conformance.faults.messages import NO_MORE, Reads
from conformance.faults.mllp import MllpConversation
from conformance.faults.switch import Armed, Switch
from conformance.faults.traffic import Overlap, Traffic
from conformance.faults.upstream import Upstream

__all__ = ["Overlap", "Proxy"]

LOOPBACK: Final = "127.0.0.1"
_BACKLOG: Final = 128


class Proxy:
    """One proxy before one system. Everything runs in the loop that opened it."""

    def __init__(self, setup: Setup, guard: socket.socket) -> None:
        self._setup = setup
        self._switch = setup.switch
        self._traffic = setup.traffic
        # Bound, never listening: it keeps the port ours while no connection is accepted.
        self._guard = guard
        self._port: int = guard.getsockname()[1]
        self._listener: socket.socket | None = None
        self._conversations: dict[asyncio.Task[None], Client] = {}
        self._broken: list[BaseException] = []
        self.url = f"{setup.upstream.scheme}://{LOOPBACK}:{self._port}{setup.upstream.path}"
        self._kind = MllpConversation if setup.upstream.scheme == "mllp" else Conversation

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        upstream: str,
        *,
        reads: Reads = NO_MORE,
        trust: ssl.SSLContext | None = None,
        writes: int = 10_000,
        faults: bool = True,
        read_only: bool = False,
        canary: str = "",
        before: Callable[[Exchange], None] = lambda exchange: None,
    ) -> AsyncIterator[Proxy]:
        """Listen on a free loopback port while the context is open.

        `reads` are the requests with a body that only read. `trust` replaces the system's
        store for an encrypted upstream. At most `writes` mutating requests are forwarded, none when `read_only`. With
        `faults` false nothing is ever struck. `canary` is in every injected body. `before` is
        called with each mutating request, whole, before it is forwarded. Raises ValueError for an unusable
        upstream. At the end connections are broken and tasks ended; an error of the proxy's own is raised then.
        """
        setup = Setup(
            upstream=Upstream.parse(upstream, trust),
            switch=Switch(faults),
            traffic=Traffic(writes, read_only, before),
            reads=reads,
            canary=canary,
        )
        with _bound(0) as guard:
            proxy = cls(setup, guard)
            proxy._listen()
            try:
                yield proxy
            finally:
                await proxy._close()
        if proxy._broken:
            raise proxy._broken[0]

    @property
    def exchanges(self) -> list[Exchange]:
        """Everything since the start, in order of arrival; of each body at most 256 KiB are kept."""
        return self._traffic.exchanges

    @property
    def refused(self) -> list[Exchange]:
        """Mutating requests that were not forwarded: beyond the budget, or in a read-only run."""
        return self._traffic.refused

    @property
    def writes(self) -> int:
        """Mutating requests forwarded so far; a redelivered one counts twice."""
        return self._traffic.writes

    @property
    def latest(self) -> int:
        """The number of the last exchange; 0 before the first."""
        return len(self.exchanges)

    def since(self, number: int) -> Sequence[Exchange]:
        """The exchanges after that one."""
        return self.exchanges[number:]

    def arm(self, fault: Fault, strike: Callable[[], bool] | None = None) -> Receipt:
        """Arm one fault in the place of any other; the receipt tells what becomes of it.

        `strike` is called at the point. It says whether a request that is not forwarded yet breaks there all the
        same; else the exchange goes on. For DUPLICATE the point is when the reply has been passed on once. REFUSED
        strikes at once, and takes no strike (ValueError).
        """
        armed = Armed(fault, Receipt(fault), strike)
        if fault.point is Point.REFUSED and strike is not None:
            raise ValueError("nothing arrives where no connection is accepted")
        self.disarm()
        self._switch.arm(armed)
        if fault.point is Point.REFUSED and self._switch.faults:
            self._refuse(armed)
        return armed.receipt

    def disarm(self) -> None:
        """Strike nothing more. A reply held back is passed on, one without end is cut, a closed port opens."""
        self._switch.disarm()
        if self._listener is None:
            self._listen()

    def overlap(self, parties: int, seconds: float) -> Overlap:
        """Hold the next mutating requests until `parties` are there, or `seconds` after the first of them."""
        if self._traffic.overlap is not None:
            self._traffic.overlap.release()
        self._traffic.overlap = Overlap(parties, seconds)
        return self._traffic.overlap

    async def settle(self, seconds: float = REPLY_SECONDS) -> bool:
        """Wait until no exchange is under way at either end; false if one still is when the time is over."""
        try:
            async with asyncio.timeout(seconds):
                while self._pending():
                    await self._traffic.still.wait()
                    await asyncio.sleep(0)  # one turn of the loop takes what the kernel holds
        except TimeoutError:
            return False
        return True

    def _pending(self) -> bool:
        """Whether an exchange is under way, or something waits in the kernel to begin one."""
        if not self._traffic.still.is_set():
            return True
        poll = select.poll()
        for client in self._conversations.values():
            if client.descriptor >= 0:
                poll.register(client.descriptor, select.POLLIN)
        if self._listener is not None:
            poll.register(self._listener.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _listen(self) -> None:
        listener = _bound(self._port)
        listener.setblocking(False)
        listener.listen(_BACKLOG)
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _deafen(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _refuse(self, armed: Armed) -> None:
        self._deafen()
        with socket.socket() as probe:
            probe.settimeout(1)
            try:
                probe.connect((LOOPBACK, self._port))
            except ConnectionRefusedError:
                armed.hit(None)
                armed.note("a connection of the proxy's own was refused")

    def _accept(self, listener: socket.socket) -> None:
        try:
            accepted, _ = listener.accept()
        except (BlockingIOError, ConnectionError):
            return  # the client was gone before it was let in
        client = Client(accepted)
        armed = self._switch.take({Point.BEFORE_SEND}, mutating=None)
        if armed is not None:
            armed.note("reset when accepted: what would have been asked is not known")
            if armed.hit(None):
                client.reset()
                return
        task = asyncio.get_running_loop().create_task(self._kind(client, self._setup).run())
        self._conversations[task] = client
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        # The client here too: a task that is cancelled before its first step never gets to its `finally`.
        self._conversations.pop(task).reset()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken.append(error)

    async def _close(self) -> None:
        self._switch.disarm()
        self._deafen()
        tasks = list(self._conversations)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # connections cut upstream report their end in the loop's next turn


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((LOOPBACK, port))
    return bound
