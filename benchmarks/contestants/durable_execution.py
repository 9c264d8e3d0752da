"""DBOS 3.4: the same exchanges as steps of a durable workflow.

Owns: its best honest configuration for this work, found by trying: blocking workflows on the callers' own threads
(which cost less than ones on an event loop), called directly, under the booking's key as workflow id, as it advises for
idempotency. Readiness and commit are one step each, the fewest that keep what must not be repeated apart from what may
be. No step is retried. On SQLite its file is in WAL mode beforehand, which it does not ask for itself but keeps, at
SQLite's own synchronous FULL; on PostgreSQL it has a connection for every caller.
Not there to be configured: gates, policy, a signed approval, an audit.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID

from benchmarks.contestants import Premises, drive_threads
from benchmarks.exchanges import Booking, Diary, Exchanges

CONNECTIONS = 64


@dataclass(slots=True)
class DurableExecution:
    """`Contestant`: one workflow for each booking."""

    workflow: Any
    diary: Diary = field(default_factory=Diary)
    waiting: deque[Booking] = field(default_factory=deque)

    async def prepare(self, count: int) -> None:
        self.waiting.extend(self.diary.next() for _ in range(count))

    async def run(self, concurrency: int) -> list[float]:
        return drive_threads(self.waiting, concurrency, self._one)

    def _one(self, booking: Booking) -> None:
        with SetWorkflowID(booking.key):
            self.workflow(booking.key, booking.content)


@asynccontextmanager
async def opened(premises: Premises) -> AsyncIterator[DurableExecution]:
    with closing(Exchanges(premises.sandbox)) as exchanges:
        DBOS(config=_config(premises))

        @DBOS.step()
        def ready(key: str, content: dict[str, Any]) -> None:
            exchanges.ready(Booking(key, content))

        @DBOS.step()
        def commit(key: str, content: dict[str, Any]) -> dict[str, Any]:
            return exchanges.book(Booking(key, content))

        @DBOS.workflow()
        def book(key: str, content: dict[str, Any]) -> dict[str, Any]:
            ready(key, content)
            made: dict[str, Any] = commit(key, content)
            return made

        DBOS.launch()
        try:
            yield DurableExecution(book)
        finally:
            DBOS.destroy()


def _config(premises: Premises) -> DBOSConfig:
    url = premises.database
    if url is None:
        path = premises.directory / "dbos.sqlite"
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
        url = f"sqlite:///{path}"
    return {
        "name": "benchmark",
        "system_database_url": url,
        "sys_db_pool_size": CONNECTIONS,
        "max_executor_threads": CONNECTIONS,
        "log_level": "WARNING",
    }
