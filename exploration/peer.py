"""The vendor's systems: they count mutating requests themselves, and know what they did.

Owns: the counter that judges the gateway, by native key and in order of arrival; the appointments, those of each system
apart. It is an unkind vendor: no key is unique, no slot exclusive, so that a second request would be a second effect.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from exploration.network import Connection, Received
from exploration.oracle import Touches
from exploration.ports import ACTOR, GOOD, KilledError, Port, Turnstile
from exploration.practice import CANARY

READ: Final = Port(
    "peer.read", ("taken", "rejects", "forbids", "unavailable", "hangs", "hangs-up", "garbage", "cached", "redirects")
)
WRITE: Final = Port(
    "peer.write",
    (
        "hangs-up-first",  # before reading: the request never arrived
        "hangs-up-unapplied",
        "hangs-up-applied",
        "cut-applied",
        "refuses",
        "duplicate",
        "invalid",
        "fails-unapplied",
        "fails-applied",
        "garbage-applied",
        "accepts",  # 202, and does it
        "accepts-idly",  # 202, and never does
        "hangs-unapplied",
        "hangs-applied",
        "redirects",
        "late",  # does it after everybody has stopped waiting, as late as was said of its relay
        "belated",  # does it after every time that was ever said
    ),
    ("hangs-up-first", "hangs-up-applied", "refuses", "hangs-applied", "late"),
    Touches.PEER,
    beyond=True,
)
_HANGING_UP: Final = frozenset({"hangs-up-first", "hangs-up-unapplied", "hangs-up-applied"})
_APPLYING: Final = frozenset(
    {GOOD, "hangs-up-applied", "cut-applied", "fails-applied", "garbage-applied", "accepts", "hangs-applied"}
)
_STATUS: Final = {
    GOOD: 201, "refuses": 409, "duplicate": 410, "invalid": 422, "fails-unapplied": 503, "fails-applied": 500,
    "accepts": 202, "accepts-idly": 202, "redirects": 307,
}  # fmt: skip
LATE_SECONDS: Final = 20.0
BELATED_SECONDS: Final = 500.0
_SAID: Final = {
    name: re.compile(rb"(?i)%s: ([0-9a-z]+)" % name.encode("ascii"))
    for name in ("x-native-key", "x-system", "x-relay-seconds")
}


class Leaving(NamedTuple):
    """A mutating request as it leaves: its native key, the system that it is for, how late, in seconds from now, it may
    take effect at most, and its path."""

    key: str
    system: str
    lateness: float
    path: str

    @classmethod
    def of(cls, head: bytes) -> Leaving:
        key, system, relay = (said.findall(head)[0].decode("ascii") for said in _SAID.values())
        return cls(key, system, LATE_SECONDS + int(relay), head.split(b" ", 2)[1].decode("ascii"))

    @property
    def changes(self) -> str | None:
        """The key of the appointment to change; None for a booking."""
        parts = self.path.split("/")
        return parts[2] if len(parts) > 2 else None


@dataclass(slots=True)
class Appointment:
    version: int = 1
    cancelled: bool = False


@dataclass(slots=True)
class Peer:
    """`received` counts mutating requests by native key, `applied` those that took effect within the time that was
    said, `belated` the others: nobody can be held to account for what comes after a look that was late enough.
    `on_first_byte` is told of every mutating request as it leaves the gateway; `late` are effects still to come, each
    with its time and its counter.
    `done` and `appointments` go by system and native key; `looked` is which system a caller looked into last."""

    turnstile: Turnstile
    on_first_byte: Callable[[Leaving], None]
    received: Counter[str] = field(default_factory=Counter)
    applied: Counter[str] = field(default_factory=Counter)
    belated: Counter[str] = field(default_factory=Counter)
    done: set[tuple[str, str]] = field(default_factory=set)
    appointments: dict[tuple[str, str], Appointment] = field(default_factory=dict)
    late: list[tuple[float, Leaving, Counter[str]]] = field(default_factory=list)
    looked: dict[str, str] = field(default_factory=dict)

    def state(self) -> int:
        """A hash of all that it knows."""
        held = [(key, each.version, each.cancelled) for key, each in sorted(self.appointments.items())]
        counted = (tuple(sorted(each.items())) for each in (self.received, self.applied, self.belated))
        return hash((tuple(counted), tuple(held), tuple((at, leaving.key) for at, leaving, _ in self.late)))

    def begun(self, head: bytes) -> None:
        if not head.startswith(b"GET "):
            self.on_first_byte(Leaving.of(head))

    async def serve(self, connection: Connection, request: Received) -> None:
        self._arrive()
        try:
            await (self._read if request.method == "GET" else self._write)(connection, request)
        except KilledError:  # whoever asked is dead, and a look leaves nothing behind
            return

    async def _read(self, connection: Connection, request: Received) -> None:
        chosen = await self.turnstile.pass_through(READ)
        if chosen == "hangs":
            return
        if chosen == "hangs-up":
            connection.hang_up()
            return
        if chosen == "garbage":
            connection.answer(f"HTTP/1.1 200 OK\r\n{CANARY}".encode())
            connection.hang_up()
            return
        if chosen == "redirects":
            connection.answer(_reply(302, {}, ("location", "/elsewhere")))
            return
        status = {"rejects": 401, "forbids": 403, "unavailable": 503}.get(chosen, 200)
        extra = (("age", "60"),) if chosen == "cached" else ()
        connection.answer(_reply(status, self._found(request, taken=chosen == "taken"), *extra))

    def _found(self, request: Received, *, taken: bool) -> dict[str, Any]:
        address = urlsplit(request.target)
        named = {name: value for name, (value, *_) in parse_qs(address.query).items()}
        key, system = named.get("key", ""), named["system"]
        held = self.appointments.get((system, key))
        if address.path == "/appointments":
            self.looked[ACTOR.get().name] = system
            return {"found": (system, key) in self.done, "version": str(held.version) if held else "0"}
        if not key:
            return {"open": not taken}
        return {"open": not taken, "version": str(held.version) if held and not held.cancelled else "gone"}

    async def _write(self, connection: Connection, request: Received) -> None:
        chosen, leaving = await self.turnstile.pass_through(WRITE), Leaving.of(request.head)
        if chosen in _HANGING_UP - {"hangs-up-first"} or chosen not in _HANGING_UP:
            self.received[leaving.key] += 1
        if chosen in _APPLYING:
            self._apply(leaving, self.applied)
        if chosen in _HANGING_UP:
            connection.hang_up()
        elif chosen == "late":
            self._delay(leaving.lateness, leaving, self.applied)
        elif chosen == "belated":
            self._delay(BELATED_SECONDS, leaving, self.belated)
        elif not chosen.startswith("hangs"):
            self._answer(connection, leaving, chosen)

    def _answer(self, connection: Connection, leaving: Leaving, chosen: str) -> None:
        held = self.appointments.get((leaving.system, leaving.changes or leaving.key), Appointment())
        if chosen == "garbage-applied":
            connection.answer(f"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{CANARY}".encode())
            return
        if chosen == "redirects":
            connection.answer(_reply(307, {}, ("location", "/appointments")))
            return
        reply = _reply(_STATUS.get(chosen, 201), {"version": str(held.version), "words": CANARY})
        if chosen == "cut-applied":
            connection.answer(reply[:-9])
            connection.hang_up()
            return
        connection.answer(reply)

    def _delay(self, seconds: float, leaving: Leaving, counter: Counter[str]) -> None:
        loop = asyncio.get_running_loop()
        self.late.append((loop.time() + seconds, leaving, counter))
        loop.call_later(seconds, self._arrive)

    def _arrive(self) -> None:
        """What is due takes effect, also while gateways stand still and no timer fires."""
        now, late, self.late = asyncio.get_running_loop().time(), self.late, []
        for at, leaving, counter in late:
            if at <= now:
                self._apply(leaving, counter)
            else:
                self.late.append((at, leaving, counter))

    def _apply(self, leaving: Leaving, counter: Counter[str]) -> None:
        key, system = leaving.key, leaving.system
        counter[key] += 1
        self.done.add((system, key))
        if leaving.changes is None:
            self.appointments[system, key] = Appointment()
        elif (held := self.appointments.get((system, leaving.changes))) is not None:
            held.version += 1
            held.cancelled = leaving.path.endswith("/cancel")


def _reply(status: int, content: dict[str, Any], *headers: tuple[str, str]) -> bytes:
    body = json.dumps(content).encode()
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return (
        f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{fields}\r\n".encode()
        + body
    )
