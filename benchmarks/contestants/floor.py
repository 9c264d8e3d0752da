"""The floor: what a governed booking cannot do without, and nothing else.

Owns: a bare loop of two durable SQLite commits (WAL, synchronous FULL) around the exchanges, and one Ed25519
verification before them. No gate, no policy, no audit, no recovery. The exchanges go through `httpx.AsyncClient`, the
client that an adapter is given; `floor_blocking` has the same loop with `httpx.Client`.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.contestants import Premises, drive
from benchmarks.exchanges import AsyncExchanges, Booking, Diary

_TABLES = """
CREATE TABLE intents (key TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE outcomes (key TEXT PRIMARY KEY REFERENCES intents, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Order:
    """A booking and the signature over it."""

    booking: Booking
    text: str
    signature: bytes


@dataclass(slots=True)
class Orders:
    """Signed bookings, made before the measuring, and the two commits that surround each."""

    database: sqlite3.Connection
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    diary: Diary = field(default_factory=Diary)
    waiting: deque[Order] = field(default_factory=deque)

    def prepare(self, count: int) -> None:
        for _ in range(count):
            booking = self.diary.next()
            text = repr(booking.content)
            self.waiting.append(Order(booking, text, self.key.sign(text.encode())))

    def verify(self, order: Order) -> None:
        self.key.public_key().verify(order.signature, order.text.encode())

    def intend(self, order: Order) -> None:
        """The first durable commit; autocommit, so that the statement is the transaction."""
        self.database.execute("INSERT INTO intents VALUES (?, ?)", (order.booking.key, order.text))

    def conclude(self, order: Order, made: dict[str, object]) -> None:
        """The second durable commit."""
        self.database.execute("INSERT INTO outcomes VALUES (?, ?)", (order.booking.key, repr(made)))


def orders(premises: Premises) -> Orders:
    """An empty database with the journal's own pragmas, read back."""
    database = sqlite3.connect(premises.directory / "floor.db", isolation_level=None, check_same_thread=False)
    for name, wanted in (("journal_mode", "wal"), ("synchronous", 2)):
        database.execute(f"PRAGMA {name} = {wanted}")
        (found,) = database.execute(f"PRAGMA {name}").fetchone()
        assert found == wanted
    database.executescript(_TABLES)
    return Orders(database)


@dataclass(frozen=True, slots=True)
class Floor:
    """`Contestant` on an event loop."""

    orders: Orders
    exchanges: AsyncExchanges

    async def prepare(self, count: int) -> None:
        self.orders.prepare(count)

    async def run(self, concurrency: int) -> list[float]:
        return await drive(self.orders.waiting, concurrency, self._one)

    async def _one(self, order: Order) -> None:
        self.orders.verify(order)
        await self.exchanges.ready(order.booking)
        self.orders.intend(order)
        self.orders.conclude(order, await self.exchanges.book(order.booking))


@asynccontextmanager
async def opened(premises: Premises) -> AsyncIterator[Floor]:
    made = orders(premises)
    with closing(made.database):
        exchanges = AsyncExchanges(premises.sandbox)
        yield Floor(made, exchanges)
        await exchanges.aclose()
