"""Chance as the oracle of a world: a seeded generator, mostly good days, and a tally of what struck where.

Owns: how likely each kind of misfortune is, and the count of misfortunes by the phase that they struck
(`exploration.cells`). Refuses: to decide anything by other than its own generator, so that a seed repeats.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from exploration.cells import Cell, phase
from exploration.journal import APPEND
from exploration.oracle import Option, Turn
from exploration.peer import WRITE
from exploration.ports import ACTOR, Actor, Turnstile


@dataclass(frozen=True, slots=True)
class Mood:
    """How likely a port fails whenever one is passed (`late`: on behalf of a call that has come far, for few do), and
    whenever anybody could pass one, that something else happens first: a crash, or a caller leaves or a clock steps."""

    fault: float
    late: float
    crash: float
    other: float


CALM: Final = Mood(0, 0, 0, 0)
LATE_FACTOR: Final = 6
"""So much likelier are crashes and the like where a call that has come far waits."""
WRITE_FACTOR: Final = 3
"""So much likelier is it that a system does otherwise than it should with a mutating request."""


@dataclass(slots=True)
class Fortune:
    """`exploration.oracle.Oracle`. `met` counts misfortunes by cell."""

    random: random.Random
    turnstile: Turnstile
    mood: Mood = CALM
    met: Counter[Cell] = field(default_factory=Counter)

    def choose(self, tag: str, options: Sequence[Option]) -> str:
        actor, mood, drawn = ACTOR.get(), self.mood, self.random.random()
        port = tag.partition(":")[2].partition("#")[0]
        if port == WRITE.name:
            drawn /= WRITE_FACTOR
        if len(options) == 1 or drawn >= mood.late or (drawn >= mood.fault and not _late(actor)):
            return options[0][0]
        chosen = options[1 + int(self.random.random() * (len(options) - 1))][0]
        self.met[Cell(phase(actor, port, passing=True), port, chosen)] += 1
        return chosen

    def turn(self, tag: str, turns: Sequence[Turn], state: Callable[[], int]) -> str:
        mood, drawn = self.mood, self.random.random()
        if mood.crash == 0:
            return self._pass(turns)
        waiting = (each for each in self.turnstile.waiting if not each.turn.done())
        if any(_late(each.actor) or each.port is APPEND for each in waiting):
            drawn /= LATE_FACTOR
        for word, rate in (("crash", mood.crash), ("cancel", mood.other / 2), ("jump", mood.other / 2)):
            if drawn < rate:
                names = [turn.name for turn in turns if _kind(turn.name) == word]
                return self._strike(names[int(drawn / rate * len(names))]) if names else self._pass(turns)
            drawn -= rate
        return self._pass(turns)

    def parted(self) -> None:
        """Chance leaves nothing out."""

    def scene(self) -> None:
        """Chance remembers nothing."""

    def calm(self) -> None:
        self.mood = CALM

    def _pass(self, turns: Sequence[Turn]) -> str:
        names = [turn.name for turn in turns if _kind(turn.name) == "pass"]
        return names[0] if len(names) == 1 else names[int(self.random.random() * len(names))]

    def _strike(self, name: str) -> str:
        word, _, whom = name.partition(" ")
        for each in self.turnstile.waiting:
            if each.turn.done():
                continue
            met = {"crash": each.actor.process.name, "cancel": each.actor.name}.get(word, whom)
            if met == whom:
                happening = name if word == "wall" else word
                self.met[Cell(phase(each.actor, each.port.name), "anywhere", happening)] += 1
        return name


def _late(actor: Actor) -> bool:
    """Whether few calls come as far as this one, or are of its kind."""
    return actor.intended or actor.name == actor.process.name or actor.name.startswith(_RARE)


_RARE: Final = ("observe", "stop", "resolve", "resume")


def _kind(name: str) -> str:
    word = name.partition(" ")[0]
    return {"wall": "jump", "pause": "jump", "crash": "crash", "cancel": "cancel"}.get(word, "pass")
