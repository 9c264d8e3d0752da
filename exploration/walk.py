"""A depth-first walk over all that an oracle may answer, one run after the other.

Owns: the prefix that a run repeats, what was chosen after it, the states that were met, and which turns need not be
taken. Two turns that touch nothing in common may be taken in either order with the same result: once one order has
been walked, the other is left out (sleep sets: Godefroid, "Partial-Order Methods for the Verification of Concurrent
Systems", 1996, chapter 5; a state that was met is walked again only for turns that slept whenever it was).
Refuses: a run that does not repeat its prefix, for then nothing that it shows can be relied on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from exploration.oracle import Option, Price, Touches, Turn

Sleeping = frozenset[Turn]
NOBODY: Sleeping = frozenset()


class PrunedError(Exception):
    """All that could follow in this run has been walked already."""


class UnrepeatableError(RuntimeError):
    """A run met something else than the run whose prefix it repeats."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One question, its answers that are walked in turn, and the one that a run follows.

    `usual` is the answer of a good day; `asleep` are the turns that slept when a turn was asked for.
    """

    tag: str
    usual: str
    answers: tuple[Option | Turn, ...]
    index: int = 0
    asleep: Sleeping = NOBODY

    @property
    def answer(self) -> Option | Turn:
        return self.answers[self.index]

    def sleeping(self) -> Sleeping:
        """Who sleeps once the answer, a turn, is taken: whoever was walked or asleep and has nothing to do with it."""
        answer = self.answer
        assert isinstance(answer, Turn)
        before = (turn for turn in self.answers[: self.index] if isinstance(turn, Turn))
        return slumber(self.asleep.union(before), answer)

    def next(self) -> Taken:
        return Taken(self.tag, self.usual, self.answers, self.index + 1, self.asleep)


def slumber(asleep: Sleeping, taken: Turn) -> Sleeping:
    """Who of those asleep sleeps on while this turn is taken."""
    return frozenset(each for each in asleep if each.name != taken.name and taken.touches.apart_from(each.touches))


@dataclass(slots=True)
class Walk:
    """The oracle of one run. `budget` is what it may still spend. `met` is shared by all runs of a walk: who slept in a
    state whenever it was met; None: every path is walked for itself."""

    prefix: Sequence[Taken]
    budget: dict[Price, int]
    met: dict[int, Sleeping] | None
    taken: list[Taken] = field(default_factory=list)
    asleep: Sleeping = NOBODY

    @property
    def repeats(self) -> bool:
        return len(self.taken) < len(self.prefix)

    def choose(self, tag: str, options: Sequence[Option]) -> str:
        affordable = tuple(option for option in options if self._affords(option[1]))
        if len(affordable) == 1:
            return affordable[0][0]
        return self._follow(Taken(tag, options[0][0], affordable))

    def turn(self, tag: str, turns: Sequence[Turn], state: Callable[[], int]) -> str:
        """Raises `PrunedError` where nothing new can follow."""
        affordable = tuple(turn for turn in turns if self._affords(turn.price))
        single = len(affordable) == 1
        if self.met is not None and not self.repeats:
            affordable = self._awake(self.met, affordable, hash((state(), tuple(self.budget.values()))))
        if single:
            self.asleep = slumber(self.asleep, affordable[0])
            return affordable[0].name
        affordable = tuple(sorted(affordable, key=lambda turn: turn.price is Price.FREE))
        asked = Taken(tag, turns[0].name, affordable, asleep=self.asleep)
        name = self._follow(asked)
        if self.met is not None:
            self.asleep = self.taken[-1].sleeping()
        return name

    def _awake(self, met: dict[int, Sleeping], turns: tuple[Turn, ...], state: int) -> tuple[Turn, ...]:
        slept = met.get(state)
        if slept is None:
            met[state] = self.asleep
            awake = tuple(turn for turn in turns if turn not in self.asleep)
        else:
            met[state] = slept & self.asleep
            awake = tuple(turn for turn in turns if turn in slept - self.asleep)
        if not awake:
            raise PrunedError
        return awake

    def _follow(self, asked: Taken) -> str:
        if self.repeats:
            followed = self.prefix[len(self.taken)]
            if followed.tag != asked.tag or not set(followed.answers) <= set(asked.answers):
                raise UnrepeatableError(f"{asked.tag} instead of {followed.tag}")
            asked = followed
        self.taken.append(asked)
        name, price = asked.answer[:2]
        if price is not Price.FREE:
            self.budget = self.budget | {price: self.budget[price] - 1, Price.ANY: self.budget[Price.ANY] - 1}
        return name

    def _affords(self, price: Price) -> bool:
        return price is Price.FREE or (self.budget[Price.ANY] > 0 and self.budget[price] > 0)

    def scene(self) -> None:
        """What was left out for those who were there is not left out for those who come."""
        self.asleep = NOBODY

    def parted(self) -> None:
        self.asleep = frozenset(turn for turn in self.asleep if turn.touches is not Touches.DEATH)

    def calm(self) -> None:
        self.budget = dict.fromkeys(self.budget, 0)

    def deviations(self) -> list[tuple[str, str]]:
        """What differs from the good day."""
        return [(taken.tag, taken.answer[0]) for taken in self.taken if taken.answer[0] != taken.usual]

    def following(self) -> list[Taken] | None:
        """The prefix of the walk's next run; None where all is walked."""
        taken = list(self.taken)
        while taken and taken[-1].index + 1 >= len(taken[-1].answers):
            taken.pop()
        return [*taken[:-1], taken[-1].next()] if taken else None
