"""The sandbox made ready for a conformance run, and two observers of it that share no code with its adapter.

Owns: `premises`, which starts one in this process for one run; `observer`, for one that runs already (with
`--control`, since only the control plane shows all appointments and can take one away).
Invariant: nothing here calls the routes that the adapter calls.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from urllib.parse import quote

import httpx

from adapters.sandbox.server import SandboxServer
from gateway.testing.engine import Engine
from gateway.testing.premises import Premises, Seen
from gateway.testing.twin import EngineObserver


@asynccontextmanager
async def premises() -> AsyncIterator[Premises]:
    """A sandbox over an empty database of its own; `vendor` may write, `limited` may only read."""
    given = {"vendor": secrets.token_urlsafe(16), "limited": secrets.token_urlsafe(16)}
    with TemporaryDirectory(prefix="sandbox-") as directory:
        database = Path(directory) / "sandbox.db"
        running = SandboxServer.start(database, credentials=given["vendor"], observer=given["limited"])
        async with running as server:
            with Engine.open(database) as observed:
                yield Premises(
                    base_url=f"{server.url}/",
                    label=f"embedded sandbox {version('scheduling-gateway')}",
                    observer=EngineObserver(observed),
                    secrets=MappingProxyType(given),
                )


def observer(base_url: str, secrets: Mapping[str, str]) -> ControlObserver:
    """The observer of a sandbox that was started with `--control`; the control plane asks for no secret."""
    return ControlObserver(base_url)


@dataclass(frozen=True, slots=True)
class ControlObserver:
    """Looks and tidies through the test-only routes under /_control (`Observer`)."""

    base_url: str

    async def appointments(self, start: datetime, end: datetime) -> Sequence[Seen]:
        """Raises `RuntimeError` where the sandbox has no control plane."""
        async with self._client() as client:
            reply = await client.get("_control/journal")
        if reply.status_code != 200:
            raise RuntimeError("the sandbox shows its journal only if it was started with --control")
        seen = [
            Seen(
                identifier=each["id"],
                start=datetime.fromisoformat(each["start"]),
                end=datetime.fromisoformat(each["end"]),
                cancelled=each["status"] == "cancelled",
                keys=tuple(each["keys"]),
                subject=each["patient"],
            )
            for each in reply.json()["appointments"]
        ]
        return [each for each in seen if each.start < end and each.end > start]

    async def remove(self, identifier: str) -> bool:
        async with self._client() as client:
            reply = await client.delete(f"_control/appointments/{quote(identifier, safe='')}")
        return reply.status_code == 204

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.base_url, trust_env=False)
