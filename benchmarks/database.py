"""The PostgreSQL server of a run: fresh, on this machine, with the settings that PostgreSQL ships.

Owns: a database for each contestant, the server's processor time, and its own count of WAL syncs. Its backends report
their counts when they end or have been idle for ten seconds, so whoever asks for the count waits for that.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from benchmarks.processes import cpu_seconds_of_family
from gateway.testing.postgres import PostgresServer, launched

CONNECTIONS: Final = 200
IDLE_SECONDS: Final = 10.5


@dataclass(frozen=True, slots=True)
class Database:
    """A running server. Its clients are on this machine, so they speak to it through a unix socket."""

    server: PostgresServer

    def create(self, name: str) -> str:
        """Make a database; its URL."""
        self.server.psql(f'CREATE DATABASE "{name}"')
        return self.server.url(name)

    def wal_syncs(self) -> Counter[str]:
        """How often the server has synced its write-ahead log, by which of its processes. Waits until it knows."""
        time.sleep(IDLE_SECONDS)
        told = self.server.psql(
            "SELECT backend_type || '=' || sum(fsyncs) FROM pg_stat_io WHERE object = 'wal' GROUP BY backend_type"
        )
        parts = (line.partition("=") for line in told.splitlines())
        return Counter({process: int(syncs) for process, _, syncs in parts if int(syncs or 0)})

    def version(self) -> str:
        return self.server.psql("SHOW server_version")

    def cpu_seconds(self) -> float:
        return cpu_seconds_of_family(self.server.pid)


@contextmanager
def database() -> Iterator[Database]:
    """A server until the context closes. What the fixture makes small for tests is as shipped here."""
    with launched(shared_buffers="128MB", max_wal_size="1GB", max_connections=str(CONNECTIONS)) as server:
        yield Database(server)
