"""Everything that can be killed, and who kills it: a PostgreSQL server, gateway processes, sessions; a rude peer.

Owns: supervisors, which start again what died, and the chaos, drawn from one seed. The peer is the embedded sandbox, in
a process of its own that nobody kills: its count is the oracle.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from conformance.rehearsal import Rehearsal
from gateway.contracts.connection import Connection, CredentialUse, Limits, Scheme
from gateway.contracts.references import ConnectionId, PracticeId
from gateway.surfaces.local import LocalPractice
from gateway.testing.postgres import PostgresServer
from tests.chaos.gateway_process import GAVE_UP, NOT_OPENED

TOKEN = "sandbox-token"
SERVE = f"""
import sys
from pathlib import Path
from adapters.sandbox.server import serve
serve(Path(sys.argv[1]), credentials={TOKEN!r}, control=True)
"""
MANNERS = ("delay-before", "delay-after", "drop-before", "drop-after", "forbidden", "error-after")
PAUSES: Mapping[str, float] = MappingProxyType(
    {"gateway": 2.0, "server": 9.0, "session": 3.0, "freeze": 5.0, "peer": 1.5}
)
"""Of each kind of mischief one happens, on average, after so many seconds."""
SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'gateway' ORDER BY random() LIMIT 1"


@dataclass(slots=True)
class Arena:
    """One practice, its peer, its journal's server and its gateways."""

    directory: Path
    server: PostgresServer
    peer: str
    rehearsal: Rehearsal
    chance: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    stopping: bool = False
    _gateways: dict[int, int] = field(default_factory=dict)
    _supervisors: list[asyncio.subprocess.Process] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def built(cls, directory: Path, server: PostgresServer, chance: random.Random) -> AsyncIterator[Arena]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVE, str(directory / "sandbox.db"), stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            url = json.loads(await process.stdout.readline())["url"]
            arena = cls(directory, server, url, _practice(directory, url, server.url()), chance)
            try:
                yield arena
            finally:
                await arena.end()
        finally:
            process.terminate()
            await process.wait()

    def socket(self, number: int) -> str:
        return str(self.directory / f"gateway-{number}.sock")

    async def supervise(self, number: int) -> None:
        """Keep one gateway running, whatever ends it."""
        with (self.directory / f"gateway-{number}.log").open("ab") as log:
            supervisor = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.chaos.gateway_process", str(self.rehearsal.local.home),
                self.socket(number), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self._supervisors.append(supervisor)
        assert supervisor.stdin is not None and supervisor.stdout is not None
        while line := await supervisor.stdout.readline():
            said = json.loads(line)
            if "started" in said:
                self._gateways[number] = said["started"]
            elif "recovered" in said:
                self.counts["gateways opened"] += 1
                self.counts["attempts recovered"] += said["recovered"]
            elif "ended" in said:
                del self._gateways[number]
                supervisor.stdin.write(b"\n")
            else:
                ends = {GAVE_UP: "gateways gave up", NOT_OPENED: "gateways did not open"}
                self.counts[ends.get(said["code"], "gateways died")] += 1
        await supervisor.wait()

    async def mischief(self, kind: str, pause: float) -> None:
        """One kind of it, again and again."""
        act = getattr(self, f"_{kind}")
        while not self.stopping:
            await asyncio.sleep(self.chance.expovariate(1 / pause))
            if not self.stopping:
                await act()

    async def _gateway(self) -> None:
        if self._signal(self._anyone(), signal.SIGKILL):
            self.counts["gateways killed"] += 1

    async def _server(self) -> None:
        await asyncio.to_thread(self.server.kill)
        self.counts["server killed"] += 1
        await asyncio.sleep(self.chance.uniform(0, 1))
        await asyncio.to_thread(self.server.start)

    async def _session(self) -> None:
        """One backend of a gateway's, as an administrator would."""
        try:
            pid = await asyncio.to_thread(self.server.psql, SESSIONS)
            if pid:
                await asyncio.to_thread(self.server.psql, f"SELECT pg_terminate_backend({pid})")
                self.counts["sessions terminated"] += 1
        except RuntimeError:
            self.counts["sessions not terminated"] += 1  # the server is down

    async def _freeze(self) -> None:
        """A process that stands still for a while, as a machine that swaps or migrates would."""
        process = self._anyone()
        if self._signal(process, signal.SIGSTOP):
            self.counts["gateways frozen"] += 1
            await asyncio.sleep(self.chance.uniform(0.1, 1.5))
            self._signal(process, signal.SIGCONT)

    async def _peer(self) -> None:
        switch = {
            "fault": self.chance.choice(MANNERS),
            "action": "book",
            "times": self.chance.randint(1, 3),
            "milliseconds": self.chance.randint(50, 800),
        }
        async with httpx.AsyncClient(base_url=self.peer, trust_env=False, timeout=30) as client:
            (await client.post("/_control/faults", json=switch)).raise_for_status()
        self.counts["peer misbehaved"] += 1

    def _anyone(self) -> int | None:
        return self.chance.choice(list(self._gateways.values())) if self._gateways else None

    def _signal(self, process: int | None, number: signal.Signals) -> bool:
        """Only to a gateway whose end has not been heard of: until then its number cannot be another's."""
        if process not in self._gateways.values():
            return False
        os.kill(process, number)
        return True

    async def end(self) -> None:
        """Kill whoever is left: the last thing that a gateway sees is kill -9, too."""
        self.stopping = True
        for supervisor in self._supervisors:
            assert supervisor.stdin is not None
            supervisor.stdin.close()  # it will start no other
        for process in list(self._gateways.values()):
            self._signal(process, signal.SIGKILL)
        await asyncio.gather(*(supervisor.wait() for supervisor in self._supervisors))

    async def seen(self) -> dict[str, Any]:
        """What the peer itself has counted."""
        async with httpx.AsyncClient(base_url=self.peer, trust_env=False, timeout=60) as client:
            document: dict[str, Any] = (await client.get("/_control/journal")).json()
            return document


def _practice(directory: Path, url: str, journal: str) -> Rehearsal:
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
    local = LocalPractice.create(directory / "practice", [connection], practice=practice, journal=journal)
    local.keep_secret("sandbox", TOKEN)
    return Rehearsal.prepare(local, connection)
