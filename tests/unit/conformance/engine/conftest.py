"""A sandbox that runs, and targets that name it: what the engine is given by an author."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.server import SandboxServer
from conformance.engine import Options, run
from conformance.results import Results
from conformance.target.file import Target
from gateway.contracts.adapter import Adapter
from gateway.testing.engine import Engine

TOKEN = "full-token-of-the-test"
LIMITED = "limited-token-of-the-test"


@dataclass(frozen=True)
class Site:
    """One running sandbox, its database, and the directory in which the target's secrets lie."""

    url: str
    database: Path
    directory: Path

    def target(self, *, limited: bool = True, **changes: Any) -> Target:
        secrets = {"vendor": {"file": "full"}} | ({"limited": {"file": "limited"}} if limited else {})
        document: dict[str, Any] = {
            "sandbox": True,
            "label": "a sandbox that runs already",
            "writes": 400,
            "observer": "adapters.sandbox.testing:observer",
            "exhaustive": True,
            "connection": {
                "base_url": f"{self.url}/",
                "credential": {"scheme": "bearer", "name": "vendor"},
                "limits": {"request_seconds": 1, "commit_seconds": 3},
            },
            "pool": {
                "subjects": ("patient-1", "patient-2"),
                "practitioner": "practitioner-1",
                "location": "location-1",
                "service": "service-1",
                "first": "2031-05-05T08:00:00Z",
                "slots": 40,
            },
            "secrets": secrets,
        }
        return Target.parse(json.dumps(document | changes))

    @property
    def secrets(self) -> dict[str, str]:
        return {"vendor": TOKEN, "limited": LIMITED}

    async def run(
        self, *only: str, adapter: Adapter | None = None, options: Options | None = None, **changes: Any
    ) -> Results:
        target = changes.pop("target", None) or self.target(**changes)
        return await run(
            adapter or SandboxAdapter(), "sandbox", target, directory=self.directory, options=options, only=only
        )

    def received(self) -> int:
        """Mutating requests that arrived at the sandbox itself."""
        with Engine.open(self.database) as engine:
            return len(engine.requests())

    def standing(self) -> int:
        with Engine.open(self.database) as engine:
            return len(engine.appointments())


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    for name, token in (("full", TOKEN), ("limited", LIMITED)):
        path = tmp_path / name
        path.write_text(token)
        path.chmod(0o600)
    database = tmp_path / "sandbox.db"
    async with SandboxServer.start(database, credentials=TOKEN, observer=LIMITED, control=True) as server:
        yield Site(server.url, database, tmp_path)


@pytest.fixture
def judged() -> Callable[[Results], dict[str, str]]:
    return lambda results: {entry.requirement: entry.judgement.value for entry in results.results}
