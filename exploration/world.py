"""A world: one practice, one journal, one external system, and the gateway processes that come and go in it.

Owns: what outlives a process (database, peer, sinks, wall clock) and what dies with it (everything else). Drives the
loop: callbacks run until all rest; then one actor passes its port, or a process dies, or a clock steps; time passes
only when nobody could do anything. Refuses: to end while something hangs that no deadline bounds.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from exploration.checker import Checker
from exploration.journal import Database, Owners, PortedJournal, content
from exploration.loop import VirtualLoop
from exploration.network import MemoryNetwork
from exploration.oracle import Deviations, Oracle, Price, Touches, Turn
from exploration.peer import Peer
from exploration.plugins import KnownPlugins, Plugin
from exploration.ports import ACTOR, Actor, KilledError, Process, Turnstile
from exploration.practice import BEGINNING, Identifiers, Practice
from gateway import recovery
from gateway.clock import Kind
from gateway.contracts.outcome import Outcome
from gateway.contracts.references import OwnerId
from gateway.errors import GatewayError
from gateway.gateway import Gateway
from gateway.plugins import Plugins

FORWARD: Final = timedelta(days=2)
BACK: Final = timedelta(hours=-2)
PAUSE_SECONDS: Final = 12.0
"""Longer than an authorization lives, shorter than anything else."""

MAX_TURNS: Final = 100_000
MAX_STARTS: Final = 60


class StuckError(AssertionError):
    """Something waits that nothing will ever wake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What may happen between two passages, besides the next one, and how fine the ports are (see `Turnstile`)."""

    whole: bool = True
    fine: bool = True
    crashes: bool = True
    clocks: bool = True
    cancels: bool = True
    replaces: bool = False
    """A process that crashes while others still work is replaced at once: its recovery runs beside them."""


@dataclass(eq=False, slots=True)
class Call:
    """One call of one actor. `answer` is None where the process died, or the caller left, before there was one."""

    actor: Actor
    task: asyncio.Task[Any]
    raised: BaseException | None = None
    answer: Any = None
    cancelled: bool = False

    @property
    def ended(self) -> bool:
        return self.task.done()


@dataclass(eq=False, slots=True)
class Running:
    """A gateway that runs: its process and the gateway itself."""

    process: Process
    gateway: Gateway


class _Overheard(logging.Handler):
    """Keeps every line, tracebacks included, as a log file would show it."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


class WorldClock:
    """`Clock`: the loop's time, a wall clock that may step, and identifiers that repeat for each actor."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> datetime:
        return BEGINNING + self._world.wall + timedelta(seconds=self._world.loop.time())

    def monotonic(self) -> float:
        return self._world.loop.time()

    async def sleep(self, seconds: float) -> None:
        await self._world.turnstile.sleep(seconds)

    def new(self, kind: type[Kind]) -> Kind:
        return self._identifiers().new(kind)

    def token(self) -> str:
        return self._identifiers().token()

    def _identifiers(self) -> Identifiers:
        actor = ACTOR.get()
        actor.made += 1
        return Identifiers(f"{actor.name}/{actor.made}")


@dataclass(eq=False, slots=True)
class World:
    """Made once for many runs; `begin` puts everything back but the practice and the image of its journal. `stepped` is
    when the wall clock was put forward or back last."""

    practice: Practice
    weather: Weather
    turnstile: Turnstile = field(init=False)
    loop: VirtualLoop = field(init=False)
    peer: Peer = field(init=False)
    plugin: Plugin = field(init=False)
    checker: Checker = field(init=False)
    clock: WorldClock = field(init=False)
    wall: timedelta = timedelta()
    stepped: float = -math.inf
    calls: list[Call] = field(default_factory=list)
    everyone: list[Call] = field(default_factory=list)
    running: list[Running] = field(default_factory=list)
    database: Database = field(default_factory=Database.open)
    logged: list[str] = field(default_factory=list)
    _owners: dict[OwnerId, Process] = field(default_factory=dict)
    _plugins: Plugins = field(init=False)
    _starts: int = 0
    _turns: int = 0
    _parted: int = 0
    _written: tuple[int, int] = (-1, 0)

    def __post_init__(self) -> None:
        self.clock = WorldClock(self)
        self.turnstile = Turnstile(Deviations({}))
        self.plugin = Plugin.create(self.turnstile, self.practice, self.clock.now)
        self._plugins = KnownPlugins.of(self.plugin)
        self.checker = Checker(self)
        self.begin(self.turnstile.oracle, Database.open())

    def begin(self, oracle: Oracle, image: Database) -> None:
        """A new run, from this image of the journal, decided by this oracle."""
        turnstile = self.turnstile
        turnstile.oracle, turnstile.last = oracle, None
        turnstile.whole, turnstile.fine = self.weather.whole, self.weather.fine
        turnstile.when = lambda: (self.loop.time(), self.wall)
        turnstile.waiting.clear()
        turnstile.passed = turnstile.parted = self._turns = self._parted = 0
        self.peer = Peer(turnstile, self.checker.first_byte)
        self.loop = VirtualLoop(MemoryNetwork(turnstile, self.peer))  # type: ignore[abstract]  # the rest raises
        self.wall, self.stepped = timedelta(), -math.inf
        self.calls, self.everyone, self.running = [], [], []
        self._owners.clear()
        self._starts, self._written = 0, (-1, 0)
        for sink in self.plugin.sinks.values():
            sink.acknowledged.clear()
            sink.events.clear()
        image.backup(self.database)
        self.database.failing = "good"
        self.checker.begin()
        self.logged.clear()

    @contextmanager
    def act(self) -> Iterator[None]:
        """Everything below happens within this context; whatever anybody logs meanwhile is kept in `logged`."""
        root, overheard = logging.getLogger(), _Overheard(self.logged)
        level = root.level
        root.addHandler(overheard)
        root.setLevel(logging.DEBUG)
        try:
            with self.loop.running():
                yield
        finally:
            root.setLevel(level)
            root.removeHandler(overheard)

    # -- processes --------------------------------------------------------------------------------------

    def start(self, name: str) -> Running:
        """Open a gateway, as `Gateway.open` does; one that dies while recovering is started again."""
        for _ in range(MAX_STARTS):
            call = self._begin_process(name)
            self.drive(lambda call=call: call.ended)  # type: ignore[misc]  # bound now
            if call.raised is None and call.actor.process.alive:
                running: Running = call.answer
                return running
            if call.raised is not None and not isinstance(call.raised, KilledError | GatewayError):
                raise call.raised
            call.actor.process.kill()
        raise StuckError("no process could be started")

    def _begin_process(self, name: str) -> Call:
        self._starts += 1
        process = Process(f"{name}{self._starts}")
        return self._spawn(Actor(process.name, process), self._open(process))

    async def _open(self, process: Process) -> Running:
        owner = Identifiers(f"{process.name}/owner").new(OwnerId)
        journal = PortedJournal(self.database, self.turnstile, Owners(process, owner, self._owners), self.checker)
        gateway = Gateway.assemble(self.practice.sealed, self._plugins, journal, self.clock, tls=self.practice.tls)
        await recovery.recover(gateway.ports)
        running = Running(process, gateway)
        self.running.append(running)
        return running

    def close(self, running: Running) -> None:
        """End a process in good order: what it has under way is awaited, then it exits."""
        if running.process.alive:
            settling = self._spawn(Actor(f"{running.process.name}/end", running.process), self._settle(running))
            self.drive(lambda: settling.ended)
        self._kill(running.process)

    @staticmethod
    async def _settle(running: Running) -> None:
        await running.gateway._orchestrator.settle()

    def _kill(self, process: Process) -> None:
        process.kill()
        self.running = [each for each in self.running if each.process is not process]
        self.loop.settle()

    # -- callers ----------------------------------------------------------------------------------------

    def call(
        self, running: Running, name: str, work: Callable[[Gateway], Coroutine[Any, Any, Any]], alike: str = ""
    ) -> Call:
        """One caller's call into a running gateway; it goes on when the world is driven."""
        call = self._spawn(Actor(name, running.process, alike), work(running.gateway))
        self.calls.append(call)
        return call

    def _spawn(self, actor: Actor, work: Coroutine[Any, Any, Any]) -> Call:
        context = copy_context()
        context.run(ACTOR.set, actor)
        call = Call(actor, self.loop.create_task(work, context=context))
        call.task.add_done_callback(lambda task: self._end(call, task))
        self.everyone.append(call)
        return call

    def _end(self, call: Call, task: asyncio.Task[Any]) -> None:
        self.turnstile.parted += 1
        if task.cancelled():
            call.cancelled = True
        elif (raised := task.exception()) is not None:
            call.raised = raised
        else:
            call.answer = task.result()

    def drive(self, done: Callable[[], bool]) -> None:
        """Let the world go on until `done`."""
        turnstile, loop = self.turnstile, self.loop
        turnstile.oracle.scene()
        while True:
            loop.settle()
            if self.checker.violations:
                self.checker.look()
            if done():
                return
            if passing := turnstile.turns():
                self._turn(passing)
            elif not loop.advance():
                raise StuckError(f"stuck: {[call.actor.name for call in self.calls if not call.ended]}")

    def run(self) -> None:
        """Until every call has its answer, or nobody who could give it."""
        self.drive(lambda: all(call.ended for call in self.calls) and not self.turnstile.turns())

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass, and all that it brings."""
        until = self.loop.time() + seconds
        reached: list[bool] = []
        self.loop.call_at(until, reached.append, True)
        self.drive(lambda: bool(reached))

    def step(self, by: timedelta) -> None:
        """The machines' wall clock is put forward or back."""
        self.wall += by
        self.stepped = self.loop.time()

    def _turn(self, passing: list[Turn]) -> None:
        """One choice: who passes next, or what else happens first."""
        turnstile = self.turnstile
        self._turns += 1
        if self._turns > MAX_TURNS:
            raise StuckError("too many turns")
        if turnstile.parted != self._parted:
            self._parted = turnstile.parted
            turnstile.oracle.parted()
        chosen = turnstile.oracle.turn(f"turn#{self._turns}", self._befalling(passing), self.state)
        word, _, name = chosen.partition(" ")
        if word == "wall":
            self.step(FORWARD if name == "forward" else BACK)
        elif word == "pause":
            self.loop.skip(PAUSE_SECONDS)
        elif word == "crash":
            self._kill(next(each.actor.process for each in turnstile.waiting if each.actor.process.name == name))
            if self.weather.replaces and any(not call.ended for call in self.calls):
                self._begin_process("p")
        elif word == "cancel":
            left = next(call for call in self.calls if call.actor.name == name and not call.ended)
            left.cancelled = left.task.cancel()
        else:
            turnstile.let_through(chosen)

    def _befalling(self, passing: list[Turn]) -> list[Turn]:
        """The turns of those who wait, and what else the weather may bring."""
        turns = list(passing)
        names = {turn.name for turn in passing}
        actors = {each.actor.name: each.actor for each in self.turnstile.waiting if each.actor.name in names}
        if self.weather.clocks:
            turns += [Turn(name, Price.FAULT, Touches.ALL) for name in ("wall forward", "wall back", "pause")]
        if self.weather.cancels:
            waiting = (call for call in self.calls if call.actor.name in actors and not call.ended)
            turns += [
                Turn(f"cancel {call.actor.name}", Price.FAULT, Touches.ALL)
                for call in waiting
                if not call.cancelled and call.actor.process.alive
            ]
        if self.weather.crashes:
            alive = dict.fromkeys(actor.process for actor in actors.values() if actor.process.alive)
            turns += [Turn(f"crash {process.name}", Price.CRASH, Touches.DEATH) for process in alive]
        return turns

    def state(self) -> int:
        """A hash of all that the future of this run depends on: what the outside holds, what each actor has been told
        (its code is deterministic), and what time it is."""
        changes = self.database.total_changes
        if self._written[0] != changes:
            self._written = (changes, content(self.database))
        waiting = tuple((each.actor.name, each.actor.seen, each.port.name) for each in self.turnstile.waiting)
        return hash(
            (
                self._written[1],
                self.peer.state(),
                self.checker.state(),
                tuple(_remembered(call) for call in self.everyone),
                waiting,
                self.loop.time(),
                self.wall,
                tuple(each.process.name for each in self.running),
            )
        )

    def finish(self) -> None:
        """Whatever is left of the run unwinds; nothing of it may stay behind."""
        for process in {call.actor.process for call in self.everyone} | {each.process for each in self.running}:
            process.kill()
        for each in self.turnstile.waiting:
            each.turn.cancel()
        self.loop.settle()
        left = [task for task in self.loop.tasks if not task.done()]
        if left:
            raise RuntimeError(f"a run leaves {len(left)} tasks behind, the first of them {left[0]!r}")


def _remembered(call: Call) -> tuple[object, ...]:
    """What the future may still depend on: all that a living process was told; of a dead one, what it said."""
    if call.actor.process.alive:
        return call.actor.name, call.actor.seen, call.ended
    answer = call.answer.model_dump_json() if isinstance(call.answer, Outcome) else type(call.answer)
    return call.actor.name, call.ended, answer, type(call.raised)
