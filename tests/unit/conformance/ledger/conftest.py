"""A calendar in memory, as an observer sees it, and a pool of slots in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from conformance.results import Peer
from conformance.target.file import Pool
from conformance.target.ledger import Cleaner, Ledger
from gateway.testing.premises import Seen

FIRST = datetime(2031, 5, 5, 8, 0, tzinfo=UTC)
HALF_AN_HOUR = timedelta(minutes=30)


class Calendar:
    """An `Observer` of itself. `stuck` identifiers cannot be removed, `deaf` raises on every look, `hang` waits."""

    def __init__(self) -> None:
        self.stands: dict[str, Seen] = {}
        self.removed: list[str] = []
        self.stuck: set[str] = set()
        self.keeps_cancelled = False
        self.deaf = False
        self.hang: asyncio.Event | None = None
        self.removing = asyncio.Event()

    def put(
        self,
        identifier: str,
        start: datetime,
        subject: str | None = "patient-1",
        *,
        cancelled: bool = False,
        keys: tuple[str, ...] = (),
    ) -> None:
        end = start + HALF_AN_HOUR
        self.stands[identifier] = Seen(
            identifier=identifier, start=start, end=end, subject=subject, cancelled=cancelled, keys=keys
        )

    async def appointments(self, start: datetime, end: datetime) -> Sequence[Seen]:
        if self.deaf:
            raise RuntimeError("the system is gone")
        return [each for each in self.stands.values() if each.start < end and each.end > start]

    async def remove(self, identifier: str) -> bool:
        self.removing.set()
        if self.hang is not None:
            await self.hang.wait()
        if identifier in self.stuck:
            raise RuntimeError("the vendor says no")
        seen = self.stands.pop(identifier)
        if self.keeps_cancelled:
            self.put(identifier, seen.start, seen.subject, cancelled=True)
        self.removed.append(identifier)
        return True


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
def pool() -> Pool:
    return Pool(
        subjects=("patient-1", "patient-2"),
        practitioner="practitioner-1",
        location="location-1",
        service="service-1",
        first=FIRST,
        slots=20,
    )


@pytest.fixture
def ledger() -> Ledger:
    return Ledger.open(None)


@pytest.fixture
def at() -> Callable[[float], datetime]:
    """The start of a slot of the pool, by number."""
    return lambda number: FIRST + number * HALF_AN_HOUR


@pytest.fixture
def intend(ledger: Ledger, at: Callable[[float], datetime]) -> Callable[..., None]:
    """Notes intents for these slots of the target."""

    def intend(*numbers: int) -> None:
        for number in numbers:
            ledger.intend("book.applied", Peer.TARGET, at(number))

    return intend


@pytest.fixture
def cleaner(calendar: Calendar, ledger: Ledger, pool: Pool) -> Cleaner:
    return Cleaner(calendar, ledger, pool, Peer.TARGET)
