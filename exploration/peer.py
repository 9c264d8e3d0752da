"""The external system: it counts mutating requests itself, and knows what it did.

Owns: the counter that judges the gateway, by native key and in order of arrival; the appointments. It is an unkind
vendor: no key is unique, no slot exclusive, so that a second request would be a second effect.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from exploration.network import Connection, Received
from exploration.oracle import Touches
from exploration.ports import GOOD, KilledError, Port, Turnstile
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
        "late",  # does it after everybody has stopped waiting
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
_KEY: Final = re.compile(rb"(?i)x-native-key: ([0-9a-f]+)")


@dataclass(slots=True)
class Appointment:
    version: int = 1
    cancelled: bool = False


@dataclass(slots=True)
class Peer:
    """`received` counts mutating requests by native key, `applied` those that took effect. `on_first_byte` is told
    of every mutating request, by its native key, as it leaves the gateway; `late` are effects still to come."""

    turnstile: Turnstile
    on_first_byte: Callable[[str], None]
    received: Counter[str] = field(default_factory=Counter)
    applied: Counter[str] = field(default_factory=Counter)
    appointments: dict[str, Appointment] = field(default_factory=dict)
    late: list[tuple[float, str]] = field(default_factory=list)

    def state(self) -> int:
        """A hash of all that it knows."""
        held = [(key, each.version, each.cancelled) for key, each in sorted(self.appointments.items())]
        counted = tuple(sorted(self.received.items())), tuple(sorted(self.applied.items()))
        return hash((counted, tuple(held), tuple(self.late)))

    def begun(self, head: bytes) -> None:
        if not head.startswith(b"GET "):
            self.on_first_byte(_KEY.findall(head)[0].decode("ascii"))

    async def serve(self, connection: Connection, request: Received) -> None:
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
        key = parse_qs(address.query).get("key", [""])[0]
        held = self.appointments.get(key)
        if address.path == "/appointments":
            return {"found": bool(self.applied[key]), "version": str(held.version) if held else "0"}
        if not key:
            return {"open": not taken}
        return {"open": not taken, "version": str(held.version) if held and not held.cancelled else "gone"}

    async def _write(self, connection: Connection, request: Received) -> None:
        chosen = await self.turnstile.pass_through(WRITE)
        if chosen in _HANGING_UP - {"hangs-up-first"} or chosen not in _HANGING_UP:
            self.received[request.key] += 1
        if chosen in _APPLYING:
            self._apply(request)
        if chosen in _HANGING_UP:
            connection.hang_up()
        elif chosen == "late":
            loop = asyncio.get_running_loop()
            self.late.append((loop.time() + LATE_SECONDS, request.key))
            loop.call_later(LATE_SECONDS, self._apply, request)
        elif not chosen.startswith("hangs"):
            self._answer(connection, request, chosen)

    def _answer(self, connection: Connection, request: Received, chosen: str) -> None:
        key = request.key
        held = self.appointments.get(_target(request) or key, Appointment())
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

    def _apply(self, request: Received) -> None:
        key = request.key
        self.applied[key] += 1
        target = _target(request)
        if target is None:
            self.appointments[key] = Appointment()
        elif (held := self.appointments.get(target)) is not None:
            held.version += 1
            held.cancelled = request.target.endswith("/cancel")


def _target(request: Received) -> str | None:
    """The key of the appointment to change; None for a booking."""
    parts = request.target.split("/")
    return parts[2] if len(parts) > 2 else None


def _reply(status: int, content: dict[str, Any], *headers: tuple[str, str]) -> bytes:
    body = json.dumps(content).encode()
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return (
        f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{fields}\r\n".encode()
        + body
    )
