"""Where the time of one commit goes: the stacks of commits one at a time, sampled by the wall clock.

Owns: the sampler and what samples are counted as. A timer interrupts the event loop's thread every millisecond. Where
that thread only waits, the sample belongs to whatever other thread is at work (the journal's writer, the practice
registry's reads), or else to nobody: then the gateway waits for the external system. So the shares add up to the
latency that a caller sees, unlike those of a tracing profiler, which also makes small functions look expensive.
Limits: a stack is seen between two steps of the interpreter, so a long call into C counts for its caller.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

from benchmarks.contestants import Premises
from benchmarks.contestants.ours import Ours, opened
from benchmarks.site import Site

INTERVAL_SECONDS: Final = 0.001
WARMUP: Final = 30
NOBODY: Final = "waiting for the external system"

_IDLE: Final = (("selectors.py", "select"), ("_sqlite_writer.py", "_run"), ("thread.py", "_worker"))
"""Where a thread that has nothing to do is found: the end of its file's name, and the function."""

_ROOMS: Final[Mapping[str, str]] = {
    "contracts": "contracts (models, canonical bytes)",
    "lifecycle": "lifecycle (events, hash chain)",
    "ending": "lifecycle (events, hash chain)",
    "orchestrator": "orchestration",
    "attempt": "orchestration",
    "execution": "orchestration",
    "authorization": "orchestration",
    "practice": "practice registry",
    "documents": "practice registry",
}
"""Rooms of the gateway under the name of a layer; the others are layers by their own name."""


@dataclass(frozen=True, slots=True)
class Place:
    """One function: its file's path below the package's root, and its name."""

    file: str
    function: str

    @property
    def layer(self) -> str | None:
        """The layer of the gateway or the adapter; None for a library."""
        top, _, rest = self.file.partition("/")
        if top == "adapters":
            return "adapter"
        if top != "gateway":
            return None
        room = rest.partition("/")[0].removesuffix(".py")
        return _ROOMS.get(room, room)

    @property
    def library(self) -> str:
        return self.file.partition("/")[0].removesuffix(".py")

    def __str__(self) -> str:
        return f"{self.file}:{self.function}"


@dataclass(slots=True)
class Samples:
    """What was seen: how often a function was at work itself, or one of ours had work done; by layer and by library."""

    own: Counter[str] = field(default_factory=Counter)
    cumulative: Counter[str] = field(default_factory=Counter)
    layers: Counter[str] = field(default_factory=Counter)
    libraries: Counter[str] = field(default_factory=Counter)
    taken: int = 0

    def add(self, stack: Sequence[Place]) -> None:
        """One sample, the innermost function first; none where nobody is at work."""
        self.taken += 1
        if not stack:
            self.layers[NOBODY] += 1
            self.libraries[NOBODY] += 1
            return
        self.own[str(stack[0])] += 1
        self.cumulative.update({str(place) for place in stack if place.layer})
        self.libraries[stack[0].library] += 1
        self.layers[next((place.layer for place in stack if place.layer), "event loop")] += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """`commits` commits, one at a time, and the milliseconds that the median one took."""

    samples: Samples
    commits: int
    p50: float
    mean: float

    def spent(self, counted: Counter[str], top: int) -> list[tuple[str, float, float]]:
        """The largest: (name, milliseconds of the mean commit, share of it)."""
        taken = self.samples.taken
        return [(name, self.mean * seen / taken, seen / taken) for name, seen in counted.most_common(top)]


def profile(commits: int, ground: Site) -> Profile:
    """Commit `commits` bookings on the site, sampled."""
    return asyncio.run(_profile(commits, ground))


async def _profile(commits: int, ground: Site) -> Profile:
    async with opened(Premises(directory=ground.directory, sandbox=ground.sandbox.url)) as ours:
        await ours.prepare(min(WARMUP, commits))
        await ours.run(1)
        return await _sampled(ours, commits)


async def _sampled(ours: Ours, commits: int) -> Profile:
    await ours.prepare(commits)
    with sampling() as samples:
        taken = await ours.run(1)
    ordered = sorted(taken)
    return Profile(
        samples=samples,
        commits=commits,
        p50=1000 * ordered[len(ordered) // 2],
        mean=1000 * sum(taken) / len(taken),
    )


@contextmanager
def sampling() -> Iterator[Samples]:
    """Sample this thread, which must be the main one, until the context closes."""
    seen: list[tuple[CodeType, ...]] = []

    def look(_: int, frame: FrameType | None) -> None:
        seen.append(_at_work(frame))
        signal.setitimer(signal.ITIMER_REAL, INTERVAL_SECONDS)  # armed again only now: a look never interrupts a look

    samples, before = Samples(), signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, INTERVAL_SECONDS)
    try:
        yield samples
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    for stack in seen:
        samples.add([Place(_file(code.co_filename), code.co_qualname) for code in stack])


def _at_work(frame: FrameType | None) -> tuple[CodeType, ...]:
    """The stack of the event loop's thread, or of another that is at work while the loop waits; empty if none is."""
    if frame is not None and not _idle(frame):
        return _stack(frame)
    for other in sys._current_frames().values():
        if not _idle(other) and other.f_code.co_filename != __file__:
            return _stack(other)
    return ()


def _idle(frame: FrameType) -> bool:
    code = frame.f_code
    return any(code.co_name == function and code.co_filename.endswith(file) for file, function in _IDLE)


def _stack(frame: FrameType | None) -> tuple[CodeType, ...]:
    codes: list[CodeType] = []
    while frame is not None:
        codes.append(frame.f_code)
        frame = frame.f_back
    return tuple(codes)


def _file(name: str) -> str:
    """The path below the directory that packages are installed in, or below the project."""
    parts = Path(name).parts
    for mark in ("site-packages", f"python{sys.version_info.major}.{sys.version_info.minor}"):
        if mark in parts:
            return "/".join(parts[len(parts) - parts[::-1].index(mark) :])
    root = Path(__file__).parent.parent
    return (
        Path(name).relative_to(root).as_posix()
        if Path(name).is_relative_to(root)
        else name.strip("<>").removeprefix("frozen ")
    )
