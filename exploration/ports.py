"""Where an attempt meets the outside: each meeting is a port, passed by one actor of one process at a time.

Owns: who waits where (`Turnstile`), whose turn it is, and what a crash leaves of a process: nothing. An actor is one
caller; whatever its call starts runs under its name. A *shared* port touches what other actors see, too (the journal,
the external system), so the order in which actors pass such ports is a choice; at any other port only the answer is,
because nobody else could tell when it was passed.
Refuses: to let a dead process pass any port.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from exploration.oracle import Option, Oracle, Price, Touches, Turn

GOOD = "good"
CRASH = "crash"


class KilledError(BaseException):
    """The process is dead: what still runs of it unwinds without touching anything."""


@dataclass(eq=False, slots=True)
class Process:
    """One running gateway process. `waits` are the futures on which its tasks rest, `lines` cut connections."""

    name: str
    alive: bool = True
    waits: set[asyncio.Future[Any]] = field(default_factory=set)
    lines: list[Callable[[], None]] = field(default_factory=list)

    def kill(self) -> None:
        self.alive = False
        for cut in self.lines:
            cut()
        self.lines.clear()
        for wait in self.waits:
            if not wait.done():
                wait.set_exception(KilledError())
        self.waits.clear()


@dataclass(eq=False, slots=True)
class Actor:
    """One caller and all that its call does. `seen` is the running hash of everything the outside told it;
    `intended` says that its intent is recorded. Callers `alike` do the same with the same process, so that until one of
    them has begun, any of them might be it."""

    name: str
    process: Process
    alike: str = ""
    seen: int = 0
    passed: dict[str, int] = field(default_factory=dict)
    made: int = 0
    intended: bool = False

    def learn(self, *facts: object) -> None:
        self.seen = hash((self.seen, facts))

    def count(self, port: str) -> int:
        number = self.passed.get(port, 0) + 1
        self.passed[port] = number
        return number


ACTOR: ContextVar[Actor] = ContextVar("actor")


def acting() -> Actor:
    """The actor whose task this is; raises where its process is dead."""
    actor = ACTOR.get()
    if not actor.process.alive:
        raise KilledError
    return actor


@dataclass(frozen=True, slots=True)
class Port:
    """A kind of meeting, and what the outside may do there instead of what it should (`faults`).

    A port that `touches` something is shared. `kinds` are those faults that stand for all: one for each way in which a
    fault can matter to other actors.
    `inline`: on SQLite nothing else of the same process can come between the port passed before and this one.
    At a port `beyond` the process it is no longer the process that acts: what was sent arrives, whoever died since.
    """

    name: str
    faults: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    touches: Touches | None = None
    beyond: bool = False
    inline: bool = False
    options: dict[bool, tuple[Option, ...]] = field(init=False)
    """What is offered: all faults (True), or those that stand for them."""

    def __post_init__(self) -> None:
        if not set(self.kinds) <= set(self.faults):
            raise ValueError(f"{self.name}: a kind that is no fault of it")
        priced = {
            whole: ((GOOD, Price.FREE), *((name, Price.FAULT) for name in offered))
            for whole, offered in ((True, self.faults), (False, self.kinds))
        }
        object.__setattr__(self, "options", priced)


@dataclass(slots=True)
class Waiting:
    """An actor before a shared port."""

    actor: Actor
    port: Port
    turn: asyncio.Future[None]


class Turnstile:
    """Lets one waiting actor through at a time. `passed` counts all passages, `last` is who passed last, `when`
    tells what time it is. `whole`: all faults are offered, not only those that stand for them. `fine`: actors may
    change at every shared port, not only where a process rests. `parted` counts what has left processes for good:
    requests, answers, what sinks were told."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self.waiting: list[Waiting] = []
        self.whole = self.fine = True
        self.last: Actor | None = None
        self.passed = self.parted = 0
        self.when: Callable[[], object] = tuple

    async def pass_through(self, port: Port) -> str:
        """Pass, in turn where the port is shared; what the outside does there."""
        actor = ACTOR.get() if port.beyond else acting()
        self.parted += port.beyond
        if port.touches is not None and (self.fine or not port.inline):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.waiting.append(Waiting(actor, port, turn))
            await (turn if port.beyond else self.rest(turn))
        self.passed += 1
        number = actor.count(port.name)
        chosen = self.oracle.choose(f"{actor.name}:{port.name}#{number}", port.options[self.whole])
        actor.learn(port.name, chosen, self.when())
        return chosen

    async def rest(self, wait: asyncio.Future[None]) -> None:
        """Wait for something that only this world's driver, or the death of the process, brings about."""
        waits = acting().process.waits
        waits.add(wait)
        try:
            await wait
        finally:
            waits.discard(wait)
        acting()

    async def for_ever(self) -> None:
        """What hangs: only a deadline or death ends it."""
        await self.rest(asyncio.get_running_loop().create_future())

    async def sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        wait: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _wake, wait)
        try:
            await self.rest(wait)
        finally:
            timer.cancel()

    def turns(self) -> list[Turn]:
        """Who could pass now, the last one first: each actor's own ports are passed in the order of arrival."""
        self.waiting = [each for each in self.waiting if not each.turn.done()]
        first: dict[Actor, Waiting] = {}
        for each in self.waiting:
            first.setdefault(each.actor, each)
        found, beginning = [], set()
        for actor in sorted(first, key=lambda actor: (actor is not self.last, actor.name)):
            if actor.alike and not actor.passed:  # of those alike, the first by name stands for all
                if (actor.alike, actor.process) in beginning:
                    continue
                beginning.add((actor.alike, actor.process))
            found.append(Turn(actor.name, Price.FREE, first[actor].port.touches or Touches.ALL))
        return found

    def let_through(self, name: str) -> None:
        first = next(each for each in self.waiting if each.actor.name == name)
        self.waiting.remove(first)
        self.last = first.actor
        first.turn.set_result(None)


def _wake(wait: asyncio.Future[None]) -> None:
    if not wait.done():
        wait.set_result(None)
