"""Growth: what a commit costs in a journal of millions of attempts, beside one of thousands.

Owns: two practices on one sandbox, alike but for their journals, in one process and on one event loop, committing in
turn, one commit each. Twice: with the files' pages in memory as earlier commits left them, and with every page of a
journal put out of memory before each commit, so that nothing is warm that a quiet night would have made cold. A key
presented again is one of the oldest attempts'.
Limit: the practice registry and the sandbox do not grow; a practice's other systems are not the journal's.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final, TypeVar

from benchmarks.contestants import Premises
from benchmarks.contestants.ours import Ours, opened, reopened
from benchmarks.figures import percentile
from benchmarks.filling import Filled, fill
from benchmarks.site import Site

Answer = TypeVar("Answer")

SAMPLES: Final = 64
RECENT: Final = 100_000
WARMUP: Final = 30
LIMIT: Final = 1.2
WARM: Final = "commit"
COLD: Final = "commit, no page in memory"
REPLAY: Final = "an old key again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the journals are, how many attempts keep their events, and how many commits are measured in each."""

    attempts: int
    small: int
    recent: int = RECENT
    warm: int = 300
    cold: int = 100


@dataclass(slots=True)
class Side:
    """One practice and its journal; the seconds that things took, by what they are. `old` are used-up triggers."""

    home: Path
    filled: Filled
    ours: Ours
    old: Sequence[str]
    opening: float
    taken: dict[str, list[float]] = field(default_factory=dict)

    async def commit(self, what: str) -> None:
        """Carry out one that is prepared."""
        await self._timed(what, self.ours.commit(self.ours.waiting.popleft()))

    async def replay(self, trigger: str) -> None:
        """Present an old key again: it is answered with the outcome recorded then, and starts nothing."""
        outcome = await self._timed(REPLAY, self.ours.gateway.commit(trigger))
        if not outcome.replayed:
            raise RuntimeError("an old key started an attempt")

    async def _timed(self, what: str, work: Awaitable[Answer]) -> Answer:
        begun = time.perf_counter()
        answer = await work
        self.taken.setdefault(what, []).append(time.perf_counter() - begun)
        return answer

    def forget(self) -> None:
        """Put the journal's pages out of the system's memory, as far as it follows such advice."""
        for path in sorted(self.home.glob("journal.db*")):
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing measured in both journals. Milliseconds."""

    what: str
    small: Mapping[str, float]
    large: Mapping[str, float]

    @property
    def ratio(self) -> float:
        return self.large["p50"] / self.small["p50"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """One run; `opening` in milliseconds, recovery included."""

    small: Filled
    large: Filled
    lines: Sequence[Line]
    opening: tuple[float, float]

    @property
    def met(self) -> bool:
        """The target is the warm commit's alone; what a cold cache or an old key costs is held to nothing."""
        return all(line.ratio <= LIMIT for line in self.lines if line.what == WARM)


async def grow(size: Size, ground: Site, tell: Callable[[str], None]) -> Growth:
    """Fill both journals on the site, and measure."""
    small = await _filled("small", ground, (size.small, size.recent), tell)
    large = await _filled("large", ground, (size.attempts, size.recent), tell)
    async with _side(small) as one, _side(large) as other:
        await _measure(size, [one, other], tell)
    return Growth(
        small=one.filled,
        large=other.filled,
        lines=[
            Line(what=what, small=_spread(one.taken[what]), large=_spread(other.taken[what]))
            for what in (WARM, COLD, REPLAY)
        ],
        opening=(1000 * one.opening, 1000 * other.opening),
    )


async def _measure(size: Size, sides: Sequence[Side], tell: Callable[[str], None]) -> None:
    tell("measuring")
    for what, count in (("warming up", min(WARMUP, size.warm)), (WARM, size.warm), (COLD, size.cold)):
        for side in sides:
            await side.ours.prepare(count)
        for _, side in _in_turn(count, sides):
            if what is COLD:
                side.forget()
            await side.commit(what)
        if what is WARM:
            for number, side in _in_turn(min(len(side.old) for side in sides), sides):
                await side.replay(side.old[number])


def _in_turn(count: int, sides: Sequence[Side]) -> Iterator[tuple[int, Side]]:
    """Both, `count` times; whoever was first is second the next time."""
    for number in range(count):
        for side in sides if number % 2 else reversed(sides):
            yield number, side


@dataclass(frozen=True, slots=True)
class _Ready:
    premises: Premises
    filled: Filled
    old: Sequence[str]


async def _filled(name: str, ground: Site, size: tuple[int, int], tell: Callable[[str], None]) -> _Ready:
    """A practice with some real bookings, and its journal filled from them, to (attempts, those with events)."""
    attempts, recent = size
    premises = Premises(directory=ground.directory / name, sandbox=ground.sandbox.url)
    premises.directory.mkdir()
    async with opened(premises) as ours:
        await ours.prepare(min(SAMPLES, attempts))
        old = tuple(ours.waiting)
        await ours.run(8)
        home = ours.rehearsal.local.home
    filled = fill(home / "journal.db", attempts, recent, lambda said: tell(f"{name}: {said}"))
    return _Ready(premises, filled, old)


@asynccontextmanager
async def _side(ready: _Ready) -> AsyncIterator[Side]:
    begun = time.perf_counter()
    async with reopened(ready.premises) as ours:
        taken = time.perf_counter() - begun
        yield Side(ours.rehearsal.local.home, ready.filled, ours, ready.old, taken)


def _spread(seconds: Sequence[float]) -> Mapping[str, float]:
    return {"p50": 1000 * median(seconds), "p99": 1000 * percentile(seconds, 0.99)}
