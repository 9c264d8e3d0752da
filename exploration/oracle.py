"""Who decides what the outside does: the answer at a port (`choose`), and who moves next (`turn`).

Owns: choices by name. The first option is what happens on a good day; others may have a price. A list of the choices
that were not the first is the whole of a run: `Deviations` replays it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol


class Price(Enum):
    """What an option costs of a run's budget. `ANY` is no price: it bounds how many a run pays in all."""

    FREE = "free"
    FAULT = "fault"
    CRASH = "crash"
    ANY = "any"


class Touches(Enum):
    """What a turn has to do with: two turns that touch nothing in common may be taken in either order."""

    READS = "reads the journal"
    WRITES = "writes the journal"
    PEER = "meets the external system"
    DEATH = "ends a process"
    ALL = "changes everything"

    def apart_from(self, other: Touches) -> bool:
        return (self, other) in _APART


_APART = frozenset(
    {
        (Touches.READS, Touches.READS),
        (Touches.READS, Touches.PEER),
        (Touches.PEER, Touches.READS),
        (Touches.WRITES, Touches.PEER),
        (Touches.PEER, Touches.WRITES),
        # what a process has read dies with it, unless something has left it since (`Oracle.parted`); what it has sent
        # arrives all the same
        (Touches.READS, Touches.DEATH),
        (Touches.DEATH, Touches.READS),
        (Touches.PEER, Touches.DEATH),
        (Touches.DEATH, Touches.PEER),
    }
)

Option = tuple[str, Price]


class Turn(NamedTuple):
    """What may happen next: an actor passes the port at which it waits, or something befalls all."""

    name: str
    price: Price
    touches: Touches


class Oracle(Protocol):
    """Answers one of the options by its name."""

    def choose(self, tag: str, options: Sequence[Option]) -> str: ...

    def turn(self, tag: str, turns: Sequence[Turn], state: Callable[[], int]) -> str:
        """Asked when all rest; `state` is a hash of everything that the future depends on."""
        ...

    def scene(self) -> None:
        """The story goes on: callers come and processes are started whom nobody has met."""
        ...

    def parted(self) -> None:
        """Something has left a process: a request, an answer, what a sink was told. Deaths before and after differ."""
        ...

    def calm(self) -> None:
        """Whatever could go wrong has: from here on, nothing that has a price."""
        ...


@dataclass(slots=True)
class Deviations:
    """The good day, but for the choices that are listed as (tag, option). `listed` keeps those that never came up."""

    listed: dict[str, str]

    @classmethod
    def of(cls, choices: Iterable[tuple[str, str]]) -> Deviations:
        return cls(dict(choices))

    def choose(self, tag: str, options: Sequence[Option]) -> str:
        return self._listed(tag, [name for name, _ in options])

    def turn(self, tag: str, turns: Sequence[Turn], state: Callable[[], int]) -> str:
        return self._listed(tag, [turn.name for turn in turns])

    def scene(self) -> None:
        """One run needs to remember nothing."""

    def parted(self) -> None:
        """One run needs to remember nothing."""

    def calm(self) -> None:
        """It is calm already, but for what is listed."""

    def _listed(self, tag: str, names: list[str]) -> str:
        wanted = self.listed.pop(tag, names[0])
        if wanted not in names:
            raise LookupError(f"{tag}: no option {wanted}; there are {', '.join(names)}")
        return wanted
