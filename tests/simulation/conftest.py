"""A practice on the embedded sandbox: the real gateway, journal, registry, policies, boundary and server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.faults import Action, Fault, Switch
from adapters.sandbox.server import SandboxServer
from conformance.rehearsal import Rehearsal
from gateway.contracts.connection import Connection, CredentialUse, Limits, Scheme
from gateway.contracts.references import ConnectionId, PracticeId
from gateway.contracts.words import Environment, Severity
from gateway.gateway import Gateway
from gateway.surfaces.local import LocalPractice

TOKEN = "sandbox-token"


@dataclass(slots=True)
class World:
    """One practice and the system it is connected to. `sent` asks the system itself, never the gateway."""

    rehearsal: Rehearsal
    server: SandboxServer
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def local(self) -> LocalPractice:
        return self.rehearsal.local

    @asynccontextmanager
    async def gateway(self, **options: Any) -> AsyncIterator[Gateway]:
        async with Gateway.open(self.local.home, **(self.options | options)) as gateway:
            yield gateway

    def arm(self, fault: Fault, action: Action, **details: Any) -> None:
        self.server.faults.arm(Switch(fault=fault, action=action, **details))

    async def journal(self) -> dict[str, Any]:
        async with httpx.AsyncClient(base_url=self.server.url, trust_env=False) as client:
            document: dict[str, Any] = (await client.get("/_control/journal")).json()
            return document

    async def sent(self) -> int:
        """Mutating requests that reached the system, by its own count."""
        return len((await self.journal())["requests"])

    async def appointments(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.journal())["appointments"]
        return found


@pytest.fixture
async def make_world(tmp_path: Path, state_conformance: Callable[..., Path]) -> AsyncIterator[Callable[..., Any]]:
    """Make a world; keyword arguments go to `LocalPractice.create`, `limits` and `risk` to the connection. Outside
    environment `sandbox` its adapter is stated to conform, unless `stated` is false."""
    async with AsyncExitStack() as stack:

        async def make(name: str = "one", risk: Severity = Severity.LOW, **options: Any) -> World:
            root = tmp_path / name
            root.mkdir()
            starting = SandboxServer.start(root / "sandbox.db", credentials=TOKEN, control=True)
            server = await stack.enter_async_context(starting)
            limits = Limits(**options.pop("limits", {"request_seconds": 2, "commit_seconds": 4}))
            practice, stated = PracticeId.random(), options.pop("stated", True)
            connection = Connection(
                connection_id=ConnectionId.random(),
                practice=practice,
                adapter="sandbox",
                base_url=server.url,
                hosts=(server.url.removeprefix("http://"),),
                zone="Europe/Berlin",
                credential=CredentialUse(scheme=Scheme.BEARER, name="sandbox"),
                limits=limits,
                risk=risk,
            )
            options.setdefault("personal", False)  # one surface that many sign at, as tests of the gates need
            local = LocalPractice.create(root / "practice", [connection], practice=practice, **options)
            local.keep_secret("sandbox", TOKEN)
            if stated and options.get("environment", Environment.SANDBOX) is not Environment.SANDBOX:
                state_conformance(local, SandboxAdapter(), connection)
            return World(Rehearsal.prepare(local, connection), server)

        yield make


@pytest.fixture
async def world(make_world: Callable[..., Any]) -> World:
    made: World = await make_world()
    return made
