"""The floor of `floor.py` with blocking calls: `httpx.Client` instead of `httpx.AsyncClient`, all else the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from benchmarks.contestants import Premises, drive_threads
from benchmarks.contestants.floor import Order, Orders, orders
from benchmarks.exchanges import Exchanges


@dataclass(frozen=True, slots=True)
class BlockingFloor:
    """`Contestant` whose one caller blocks."""

    orders: Orders
    exchanges: Exchanges

    async def prepare(self, count: int) -> None:
        self.orders.prepare(count)

    async def run(self, concurrency: int) -> list[float]:
        return drive_threads(self.orders.waiting, concurrency, self._one)

    def _one(self, order: Order) -> None:
        self.orders.verify(order)
        self.exchanges.ready(order.booking)
        self.orders.intend(order)
        self.orders.conclude(order, self.exchanges.book(order.booking))


@asynccontextmanager
async def opened(premises: Premises) -> AsyncIterator[BlockingFloor]:
    made = orders(premises)
    with closing(made.database), closing(Exchanges(premises.sandbox)) as exchanges:
        yield BlockingFloor(made, exchanges)
