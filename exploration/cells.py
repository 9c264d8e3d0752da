"""What can strike where: misfortunes by the phase of the call that they struck, and which of these cells exist.

Owns: how a call's phase is told from the ports that it has passed, the declaration of every reachable cell, and why
the others are none. Refuses: a misfortune in a cell that is not declared, for then the declaration is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from exploration import adapter, journal, network, peer, plugins
from exploration.ports import Actor, Port
from exploration.practice import SINKS

ATTEMPTS: Final = frozenset({"commit", "check", "resume", "observe"})
"""The calls that are attempts; every other kind of call records a statement."""


class Cell(NamedTuple):
    """One misfortune (`fault`, at a port or "anywhere") in one phase."""

    phase: str
    port: str
    fault: str


def phase(actor: Actor, port: str, *, passing: bool = False) -> str:
    """The phase in which `actor` is while it waits at, or is `passing`, this port."""
    kind = actor.name.partition("-")[0]
    if kind not in ATTEMPTS:
        return "recovery" if actor.name == actor.process.name else "statement"

    def before(name: str) -> int:
        return actor.passed.get(name, 0) - (passing and name == port)

    closing = port in (plugins.SINK_ACCEPT.name, journal.APPEND.name)
    if actor.intended:
        if before(adapter.COMMIT.name):
            if closing or port == journal.RECORD.name:
                return "outcome"
            looking = before(adapter.OBSERVE.name) or port in (adapter.OBSERVE.name, plugins.SECRET.name)
            return "look" if looking else "commit"
        if before("journal.stopped"):
            return "close" if closing else "commit"
        acknowledging = port == plugins.SINK_ACCEPT.name and before(port) < len(SINKS)
        return "last look" if port == "journal.stopped" else "acknowledgement" if acknowledging else "close"
    if port == journal.APPEND.name and kind in ("commit", "resume") and not before(plugins.SINK_ACCEPT.name):
        return "intent"
    if closing or port == journal.RECORD.name:
        return "close"
    if port in ("journal.trigger", "journal.intent"):
        return "trigger"
    if port == "journal.attempt":
        return "validation" if kind in ("observe", "resume") else "replay"
    if port in ("journal.proposal", "journal.suspended"):
        return "intent" if before("journal.suspended") else "validation"
    return "look" if kind == "observe" and port in _LOOKING else "gates"


_LOOKING: Final = frozenset({plugins.SECRET.name, adapter.OBSERVE.name, network.CONNECT.name, peer.READ.name})

STATES: Final[Mapping[str, str]] = {
    "trigger": "NEW",
    "replay": "of another's",
    "validation": "NEW, VALIDATING or PAUSED",
    "gates": "GATED",
    "intent": "GATED → AUDITING",
    "acknowledgement": "AUDITING",
    "last look": "RUNNING",
    "commit": "RUNNING",
    "look": "RUNNING",
    "outcome": "AUDITING → its end",
    "close": "→ BLOCKED, REJECTED, PAUSED, CHECKED, CANCELLED or ERROR",
    "recovery": "AUDITING → ERROR",
    "statement": "none",
}
"""The attempt's state in each phase."""


def _read(*names: str) -> tuple[Port, ...]:
    return tuple(journal.READS[name] for name in names)


_PORTS: Final[Mapping[str, tuple[Port, ...]]] = {
    "trigger": _read("trigger", "intent"),
    "replay": _read("attempt"),
    "validation": _read("attempt", "proposal", "suspended"),
    "gates": (
        *(plugins.IDENTITY, plugins.TENANT, plugins.CONSENT, plugins.NOTICE),
        *(plugins.RESOLVE, plugins.SECRET, plugins.SINK_READY),
        *(adapter.READINESS, network.CONNECT, peer.READ),
        *(journal.READY, journal.RESERVE, *_read("related")),
    ),
    "intent": (journal.APPEND, *_read("proposal")),
    "acknowledgement": (plugins.SINK_ACCEPT,),
    "last look": _read("stopped"),
    "commit": (plugins.SECRET, adapter.COMMIT, network.CONNECT, peer.WRITE, plugins.BIND),
    "look": (plugins.SECRET, adapter.OBSERVE, network.CONNECT, peer.READ),
    "outcome": (plugins.SINK_ACCEPT, journal.APPEND, journal.RECORD),
    "close": (plugins.SINK_ACCEPT, journal.APPEND, journal.RECORD),
    "recovery": (plugins.SINK_ACCEPT, journal.APPEND, *_read("orphans", "attempt")),
    "statement": (
        *(journal.RECORD, journal.RESOLVE, journal.SUSPEND, journal.APPEND, plugins.SINK_ACCEPT),
        *_read("proposal", "attempt", "paused"),
    ),
}

ANYWHERE: Final = ("crash", "cancel", "wall forward", "wall back", "pause")
"""What befalls whoever rests at a shared port: the process dies, the caller leaves, a clock steps, all stand still."""

NOT_REACHABLE: Final = (
    "A fault at a port that is not passed in that phase.",
    "A crash, a departing caller or a clock's step in the phase acknowledgement: no call rests at a shared port there.",
    "A departing caller in the phase recovery: a gateway that opens has none.",
)
"""Why the other cells of phase × port × fault are none."""


def reachable() -> frozenset[Cell]:
    """Every cell that exists."""
    at_ports = {
        Cell(each, port.name, fault) for each, ports in _PORTS.items() for port in ports for fault in port.faults
    }
    befalling = {
        Cell(each, "anywhere", fault)
        for each, ports in _PORTS.items()
        for fault in ANYWHERE
        if any(port.touches for port in ports) and (each, fault) != ("recovery", "cancel")
    }
    return frozenset(at_ports | befalling)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often each cell was hit."""

    met: Counter[Cell]

    @property
    def unhit(self) -> list[Cell]:
        return sorted(cell for cell in reachable() if not self.met[cell])

    @property
    def undeclared(self) -> list[Cell]:
        return sorted(self.met.keys() - reachable())

    @property
    def rarest(self) -> int:
        return min(self.met[cell] for cell in reachable())

    def rows(self) -> Iterable[tuple[str, str, str, int, str]]:
        """Phase, state, where, how many times in all, and each fault with its count; one row per phase and port."""
        cells = reachable()
        for each in _PORTS:
            for port in dict.fromkeys(cell.port for cell in sorted(cells) if cell.phase == each):
                counted = {cell.fault: self.met[cell] for cell in sorted(cells) if cell[:2] == (each, port)}
                faults = ", ".join(f"{fault} {count:,}" for fault, count in counted.items())
                yield each, STATES[each], port, sum(counted.values()), faults

    def plain(self) -> list[dict[str, Any]]:
        """For JSON: every reachable cell with its count."""
        return [{**cell._asdict(), "count": self.met[cell]} for cell in sorted(reachable())]
