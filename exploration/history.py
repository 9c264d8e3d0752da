"""One long random history of a practice: what its people do, what befalls them, and what they were told.

Owns: how a history begins, goes on scene by scene, and ends: processes that start, die and are started under other
policies, clocks that jump, moods of fortune, and what calls were answered. Everything that a history does follows from
its seed: the same seed is the same history, word for word.
"""

from __future__ import annotations

import gc
import hashlib
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from exploration.adapter import SYSTEM
from exploration.cells import ATTEMPTS, Cell
from exploration.fortune import CALM, Fortune, Mood
from exploration.journal import Database
from exploration.matters import Work
from exploration.oracle import Deviations
from exploration.people import PATIENCE_SECONDS, People
from exploration.practice import Identifiers, Practice
from exploration.world import Call, Running, Weather, World
from gateway.contracts.outcome import Outcome
from gateway.errors import GatewayError
from gateway.kit.relay import RELAY_SECONDS
from gateway.ports import Sealed

OPEN_CALLS: Final = 6
"""Where more are open, the next scene waits for all of them."""

MOODS: Final[tuple[tuple[Mood, int], ...]] = (
    (CALM, 40),
    (Mood(0.003, 0.02, 0.0005, 0.0005), 25),
    (Mood(0.002, 0.15, 0.003, 0.004), 25),
    (Mood(0.05, 0.15, 0.004, 0.004), 8),
    (Mood(0.25, 0.4, 0.02, 0.02), 2),
)
"""With how many scenes in a hundred they come."""

HOUSES: Final = (("standard", 30), ("two-person", 25), ("relayed", 30), ("elsewhere", 15))
"""Under what a home is sealed anew, and in how many of a hundred cases: another policy; connections that lead through a
relay; connections that lead to another of the vendor's systems."""
RELAYED_SECONDS: Final = 120

JUMPS: Final = (
    *(timedelta(seconds=10), timedelta(minutes=6), timedelta(hours=9), timedelta(days=2)),
    *(timedelta(seconds=-10), timedelta(minutes=-6), timedelta(hours=-2)),
)


@dataclass(slots=True)
class Told:
    """What one history came to. `trace` is a digest of all its acts, misfortunes and answers."""

    seed: str
    attempts: int = 0
    executed: int = 0
    mutating: int = 0
    cpu_seconds: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    met: Counter[Cell] = field(default_factory=Counter)
    trace: str = ""
    violation: str | None = None
    last: tuple[str, ...] = ()


@dataclass(slots=True)
class Ground:
    """What histories are played on, one after the other: a practice, its sealed homes (`HOUSES`), an empty journal."""

    world: World
    houses: Mapping[str, Sealed]
    empty: Database
    directory: Path

    @classmethod
    def lay(cls, root: Path) -> Ground:
        """Make the practice below `root`."""
        practice = Practice.create(root, rate=160, risky=True)
        houses = {
            "standard": practice.sealed,
            "two-person": practice.resealed(root, "two-person"),
            "relayed": practice.resealed(root, named={RELAY_SECONDS: RELAYED_SECONDS}),
            "elsewhere": practice.resealed(root, named={SYSTEM: "second"}),
        }
        return cls(World(practice, Weather()), houses, Database.open(), root)

    def close(self) -> None:
        """The journals are in memory; nothing else is held."""
        self.world.database.close()
        self.empty.close()

    def play(self, seed: str, attempts: int) -> Told:
        """One history. A violation is told, not raised."""
        began = time.process_time()
        history = History(self, seed)
        gc.disable()  # a collection in the middle would end generators at an instant of its own
        try:
            history.play(attempts)
        except AssertionError as violation:
            history.told.violation = f"{type(violation).__name__}: {violation}"
        finally:
            gc.enable()
        told = history.tell()
        told.cpu_seconds = time.process_time() - began
        return told


class History:
    """One history while it is played."""

    def __init__(self, ground: Ground, seed: str) -> None:
        self.told = Told(seed)
        self._ground = ground
        self.world = world = ground.world
        self.random = random.Random(f"history {seed}")  # noqa: S311 — repeatable on purpose
        self._practice = practice = world.practice
        practice.asked.clear()
        practice.clock.identifiers = Identifiers(f"history {seed}")
        practice.sealed = ground.houses["standard"]
        world.begin(Deviations({}), ground.empty)
        self._fortune = Fortune(random.Random(f"fortune {seed}"), world.turnstile)  # noqa: S311 — the same
        world.turnstile.oracle = self._fortune
        self._open: list[tuple[Call, Callable[[Outcome], None]]] = []
        self._ended: list[Call] = []
        self._made = 0
        self._trace = hashlib.blake2b(digest_size=16)
        self._lines: deque[str] = deque(maxlen=40)
        self._people = People(self)

    # -- from the first process to the last word --------------------------------------------------------

    def play(self, attempts: int) -> None:
        """Scene after scene until so many attempts were made; then all comes to rest, and is judged."""
        world = self.world
        with world.act():
            try:
                while self.told.attempts < attempts:
                    self._scene()
                self._curtain()
            finally:
                world.finish()

    def tell(self) -> Told:
        """The history so far."""
        told, world = self.told, self.world
        told.met = self._fortune.met
        told.mutating = sum(world.peer.received.values())
        (told.executed,) = world.database.execute("SELECT count(*) FROM attempts WHERE deadline IS NOT NULL").fetchone()
        told.events += Counter({f"look: {shown}": count for shown, count in world.checker.looks.items()})
        told.trace, told.last = self._trace.hexdigest(), tuple(self._lines)
        return told

    def _scene(self) -> None:
        self._mind()
        self._fortune.mood = self.random.choices([mood for mood, _ in MOODS], [share for _, share in MOODS])[0]
        self._people.act()
        self.drive(some=self.chance(0.15))
        if self.chance(0.25):
            self.world.pass_time(self.random.choice((1, 5, 20)))

    def _curtain(self) -> None:
        """Nothing goes wrong any more; everybody is answered, everything recovers, all is judged."""
        world = self.world
        self._fortune.calm()
        self.drive()
        for running in list(world.running):
            world.close(running)
        first = world.start("p")
        world.pass_time(PATIENCE_SECONDS)
        for _ in range(5):
            self._people.again(first)
        self.drive()
        world.close(first)
        last = world.start("p")
        world.close(last)
        world.calls = self._ended + world.calls
        world.checker.finish()

    def drive(self, *, some: bool = False) -> None:
        """Let the world go on until every open call has ended, or `some` has."""
        open_ = [call for call, _ in self._open]
        some = some and len(open_) <= OPEN_CALLS
        if open_:
            self.world.drive(lambda: any(c.ended for c in open_) if some else all(c.ended for c in open_))
        for call, learn in [each for each in self._open if each[0].ended]:
            self._end(call, learn)
        self._open = [each for each in self._open if not each[0].ended]
        world = self.world
        self._ended += [call for call in world.calls if call.ended]
        world.calls = [call for call in world.calls if not call.ended]
        world.everyone = [call for call in world.everyone if not call.ended]
        world.loop.tasks = [task for task in world.loop.tasks if not task.done()]

    def _end(self, call: Call, learn: Callable[[Outcome], None]) -> None:
        answer, kind = call.answer, call.actor.name.partition("-")[0]
        if isinstance(answer, Outcome):
            said = f"{answer.state} {answer.code}{' again' if answer.replayed else ''}"
            learn(answer)
        else:
            said = "left" if call.cancelled else type(call.raised or answer).__name__
        self._note(f"{call.actor.name} at {call.actor.process.name}: {said}")
        if kind in ATTEMPTS:
            self._count(answer, said)
        else:
            refused = isinstance(call.raised, GatewayError)
            self.told.events[f"statement{' refused' if refused else ''}: {kind}"] += 1

    def _count(self, answer: Any, said: str) -> None:
        told = self.told
        if not isinstance(answer, Outcome):
            told.ends["the caller left" if said == "left" else "the process died"] += 1
        elif answer.replayed:
            told.ends["replayed"] += 1
        else:
            told.ends[f"{answer.state}{f' {answer.effect}' if answer.effect else ''}"] += 1
            told.codes[answer.code] += 1

    def _note(self, line: str) -> None:
        self._lines.append(line)
        self._trace.update(f"{line} {self.world.loop.time()}\n".encode())

    def chance(self, share: float) -> bool:
        """True so often."""
        return self.random.random() < share

    # -- processes and clocks ---------------------------------------------------------------------------

    def _mind(self) -> None:
        """Whoever minds the machines starts what died."""
        world = self.world
        wanted = 1 if not world.running else 3 if self.chance(0.1) else 0
        while len(world.running) < wanted:
            self._start()

    def _start(self) -> Running:
        if self.chance(0.3):
            self._seal()
        died = self.world._starts
        running = self.world.start("p")
        self.told.events["started and recovered"] += 1
        self.told.events["died while recovering"] += self.world._starts - died - 1
        self._note(f"{running.process.name} starts")
        return running

    def _seal(self) -> None:
        (name,) = self.random.choices([name for name, _ in HOUSES], [share for _, share in HOUSES])
        self._practice.sealed = self._ground.houses[name]
        self.told.events[f"sealed anew: {name}"] += 1

    def move(self) -> None:
        """Seal the home anew, and start every process under it."""
        self._seal()
        for running in list(self.world.running):
            self.restart(running)

    def restart(self, running: Running | None = None) -> Running:
        """Close one in good order, and start another."""
        running = running or self._any()
        self.told.events["closed in good order"] += 1
        self._note(f"{running.process.name} is closed")
        self.world.close(running)
        return self._start()

    def _any(self) -> Running:
        if not self.world.running:
            self._start()
        running = self.random.choice(self.world.running)
        if running.gateway.ports.retired and self.chance(0.7):
            return self.restart(running)
        return running

    def power_cut(self) -> None:
        """All processes die at once."""
        self._note("all processes die")
        self.told.events["all processes died at once"] += 1
        for running in list(self.world.running):
            self.world._kill(running.process)
        self._start()

    def jump(self) -> None:
        """The machine's clock is put forward or back, for all processes at once."""
        by = self.random.choice(JUMPS)
        self.world.step(by)
        self.told.events[f"clock put {'forward' if by > timedelta() else 'back'}"] += 1
        self._note(f"the clock jumps by {by}")

    # -- calls ------------------------------------------------------------------------------------------

    def call(self, kind: str, work: Work, learn: Callable[[Outcome], None], at: Running | None = None) -> None:
        """A call of this kind, into `at` or any process that runs; it goes on when the history is driven."""
        running = at if at is not None and at.process.alive else self._any()
        self._made += 1
        if kind in ATTEMPTS:
            self.told.attempts += 1
        self._open.append((self.world.call(running, f"{kind}-{self._made}", work), learn))

    def say(self, kind: str, work: Work) -> None:
        """A call whose answer teaches nobody anything."""
        self.call(kind, work, lambda _: None)
