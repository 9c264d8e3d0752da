"""A practice on the embedded sandbox, and the few levers an adversary may pull: time, and instants of the path."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.sandbox.faults import Action, Fault, Switch
from adapters.sandbox.server import SandboxServer
from conformance.rehearsal import Rehearsal
from gateway.clock import SystemClock
from gateway.contracts.connection import Connection, CredentialUse, Limits, Scheme
from gateway.contracts.references import ConnectionId, PracticeId
from gateway.contracts.words import Severity
from gateway.gateway import Gateway
from gateway.journal import Append, Appended
from gateway.surfaces.local import LocalPractice

TOKEN = "sandbox-token"


class BentClock(SystemClock):
    """The machine's clock; `wall` and `monotonic_ahead` move what it says."""

    def __init__(self) -> None:
        self.wall = timedelta(0)
        self.monotonic_ahead = 0.0

    def now(self) -> datetime:
        return super().now() + self.wall

    def monotonic(self) -> float:
        return super().monotonic() + self.monotonic_ahead


@dataclass
class WatchedJournal:
    """The real journal; an act may come just before or just after an append, or fail a record."""

    journal: Any
    before: Callable[[Append], Awaitable[None]] | None = None
    after: Callable[[Append], Awaitable[None]] | None = None
    record_error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.journal, name)

    async def append(self, entry: Append) -> Appended:
        if self.before is not None:
            await self.before(entry)
        appended: Appended = await self.journal.append(entry)
        if self.after is not None:
            await self.after(entry)
        return appended

    async def record(self, *args: Any, **options: Any) -> Any:
        if self.record_error is not None:
            raise self.record_error
        return await self.journal.record(*args, **options)


@dataclass(slots=True)
class World:
    """One practice and the system it is connected to. `sent` asks the system itself, never the gateway."""

    rehearsal: Rehearsal
    server: SandboxServer
    clock: BentClock
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def local(self) -> LocalPractice:
        return self.rehearsal.local

    @asynccontextmanager
    async def gateway(self, **options: Any) -> AsyncIterator[Gateway]:
        async with Gateway.open(self.local.home, **({"clock": self.clock} | self.options | options)) as gateway:
            yield gateway

    def watch(self, gateway: Gateway) -> WatchedJournal:
        """Put the orchestrator's journal under watch."""
        watched = WatchedJournal(gateway.ports.journal)
        gateway.ports.journal = watched  # type: ignore[assignment]  # a stand-in
        return watched

    def before_intent(self, gateway: Gateway, act: Callable[[], Awaitable[Any]]) -> None:
        """Do `act` once, between the gates' judgement and the intent's append."""
        watched = self.watch(gateway)

        async def before(entry: Append) -> None:
            if entry.intent is not None:
                watched.before = None
                await act()

        watched.before = before

    def after_intent(self, gateway: Gateway, act: Callable[[], Awaitable[Any]]) -> None:
        """Do `act` once, between the intent's append and the dispatch."""
        watched = self.watch(gateway)

        async def after(entry: Append) -> None:
            if entry.intent is not None:
                watched.after = None
                await act()

        watched.after = after

    def adopt(self, gateway: Gateway, adapter: Any) -> None:
        """Let the boundary use this adapter for the world's one connection."""
        boundary = gateway.ports.boundary
        boundary._adapters = {"sandbox": adapter}
        boundary._descriptors = {
            name: boundary._claimed(connection) for name, connection in boundary._connections.items()
        }

    def arm(self, fault: Fault, action: Action, **details: Any) -> None:
        self.server.faults.arm(Switch(fault=fault, action=action, **details))

    async def system(self) -> dict[str, Any]:
        async with httpx.AsyncClient(base_url=self.server.url, trust_env=False) as client:
            document: dict[str, Any] = (await client.get("/_control/journal")).json()
            return document

    async def sent(self) -> int:
        """Mutating requests that reached the system, by its own count."""
        return len((await self.system())["requests"])

    async def appointments(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.system())["appointments"]
        return found


@pytest.fixture
async def make_world(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Make a world; keyword arguments go to `LocalPractice.create`, `limits` and `risk` to the connection."""
    async with AsyncExitStack() as stack:

        async def make(name: str = "one", risk: Severity = Severity.LOW, **options: Any) -> World:
            root = tmp_path / name
            root.mkdir()
            server = await stack.enter_async_context(
                SandboxServer.start(root / "sandbox.db", credentials=TOKEN, control=True)
            )
            practice = PracticeId.random()
            connection = Connection(
                connection_id=ConnectionId.random(),
                practice=practice,
                adapter="sandbox",
                base_url=server.url,
                hosts=(server.url.removeprefix("http://"),),
                zone="Europe/Berlin",
                credential=CredentialUse(scheme=Scheme.BEARER, name="sandbox"),
                limits=Limits(**options.pop("limits", {"request_seconds": 2, "commit_seconds": 4})),
                risk=risk,
            )
            clock = BentClock()
            local = LocalPractice.create(root / "practice", [connection], practice=practice, clock=clock, **options)
            local.keep_secret("sandbox", TOKEN)
            return World(Rehearsal.prepare(local, connection), server, clock)

        yield make


@pytest.fixture
async def world(make_world: Callable[..., Any]) -> World:
    made: World = await make_world()
    return made
