"""A twin that runs, and a look into its file beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from gateway.testing import Premises
from gateway.testing.engine import Engine
from gateway.testing.twin import Twin


@dataclass(frozen=True)
class Stage:
    """`engine` is one more over the twin's database."""

    premises: Premises
    engine: Engine

    @property
    def received(self) -> int:
        return len(self.engine.requests())

    @property
    def effects(self) -> int:
        return self.engine.effects()

    def client(self) -> httpx.AsyncClient:
        """One that may write."""
        headers = {"Authorization": f"Bearer {self.premises.secrets['vendor']}"}
        return httpx.AsyncClient(base_url=self.premises.base_url, headers=headers, trust_env=False, timeout=5)


@asynccontextmanager
async def staged(twin: Twin, database: Path) -> AsyncIterator[Stage]:
    async with twin.start(database) as premises:
        with twin.engine(database) as engine:
            yield Stage(premises, engine)
