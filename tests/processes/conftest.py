"""A practice whose sandbox runs as a process of its own, driven by gateway processes that tests may kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from conformance.rehearsal import Rehearsal
from gateway.contracts.connection import Connection, CredentialUse, Limits, Scheme
from gateway.contracts.references import ConnectionId, PracticeId
from gateway.surfaces.local import LocalPractice

TOKEN = "sandbox-token"

SERVE = f"""
import sys
from pathlib import Path
from adapters.sandbox.server import serve
serve(Path(sys.argv[1]), credentials={TOKEN!r}, control=True)
"""

COMMIT = """
import asyncio, json, sys
from pathlib import Path
from gateway.gateway import Gateway

async def main():
    home, callers, at_once, tokens = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    tokens = [token for token in tokens for _ in range(callers)]
    async with Gateway.open(home) as gateway:
        print("open", flush=True)
        sys.stdin.readline()
        for start in range(0, len(tokens), at_once):
            for outcome in await asyncio.gather(*map(gateway.commit, tokens[start : start + at_once])):
                print(json.dumps(outcome.plain()), flush=True)
        sys.stdin.readline()

asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Site:
    """One practice on disk and the sandbox process it is connected to."""

    rehearsal: Rehearsal
    url: str

    @property
    def local(self) -> LocalPractice:
        return self.rehearsal.local

    def journal(self) -> dict[str, Any]:
        with httpx.Client(base_url=self.url, trust_env=False) as client:
            document: dict[str, Any] = client.get("/_control/journal").json()
            return document

    def arm(self, fault: str, action: str, **details: Any) -> None:
        with httpx.Client(base_url=self.url, trust_env=False) as client:
            client.post("/_control/faults", json={"fault": fault, "action": action, **details}).raise_for_status()

    def committing(
        self, *tokens: str, callers: int = 1, at_once: int = 1000, under: tuple[str, ...] = ()
    ) -> subprocess.Popen[str]:
        """A gateway process that opens the home, says `open`, waits for a line, and commits each token
        for each caller, `at_once` at a time; then it waits for another line, or the end of input."""
        numbers = [str(callers), str(at_once)]
        script = [sys.executable, "-c", textwrap.dedent(COMMIT), str(self.local.home), *numbers, *tokens]
        return subprocess.Popen(
            [*under, *script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        )


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    servers: list[subprocess.Popen[str]] = []

    def make(**options: Any) -> Site:
        database = tmp_path / "sandbox.db"
        server = subprocess.Popen([sys.executable, "-c", SERVE, str(database)], stdout=subprocess.PIPE, text=True)
        servers.append(server)
        assert server.stdout is not None
        url: str = json.loads(server.stdout.readline())["url"]
        practice = PracticeId.random()
        connection = Connection(
            connection_id=ConnectionId.random(),
            practice=practice,
            adapter="sandbox",
            base_url=url,
            hosts=(url.removeprefix("http://"),),
            zone="Europe/Berlin",
            credential=CredentialUse(scheme=Scheme.BEARER, name="sandbox"),
            limits=Limits(request_seconds=10, commit_seconds=20),
        )
        local = LocalPractice.create(tmp_path / "practice", [connection], practice=practice, **options)
        local.keep_secret("sandbox", TOKEN)
        return Site(Rehearsal.prepare(local, connection), url)

    yield make
    for server in servers:
        server.terminate()
        server.wait(timeout=10)
        if server.stdout is not None:
            server.stdout.close()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


@pytest.fixture
def site_on_postgres(make_site: Callable[..., Site], postgres_url: str) -> Site:
    """A site whose journal is on PostgreSQL."""
    return make_site(journal=postgres_url)
