"""The work that all contestants do: one booking in the embedded sandbox, by the very requests of its adapter.

Owns: what is booked, and the four exchanges as plain httpx calls. Reads go over a kept connection; the mutating request
over a fresh one, as the gateway's boundary insists on: a peer that gave up on an idle connection would otherwise
leave the effect unknown, so whoever wants an honest answer has to pay for it.
Refuses: to count anything as done but a booking that the sandbox confirms.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

TOKEN = "sandbox-token"  # noqa: S105 — the sandbox on loopback is given it when it starts
LAST_SLOT = datetime(2060, 1, 1, tzinfo=UTC)
SLOT = timedelta(minutes=30)


def slots() -> Iterator[datetime]:
    """Starts of slots, the latest first: the sandbox looks through all earlier slots of a participant, and so has
    the same to do for the first booking as for the ten thousandth."""
    start = LAST_SLOT
    while True:
        start -= SLOT
        yield start


@dataclass(frozen=True, slots=True)
class Booking:
    """One booking in the sandbox's own words, and the key under which it is made."""

    key: str
    content: dict[str, Any]

    @property
    def query(self) -> dict[str, Any]:
        return {
            "participant": self.content["participants"],
            "start": self.content["start"],
            "end": self.content["end"],
        }


@dataclass(slots=True)
class Diary:
    """One contestant's practitioner, place and service, and the slots that are left."""

    practitioner: str = field(default_factory=lambda: secrets.token_hex(6))
    place: str = field(default_factory=lambda: secrets.token_hex(6))
    service: str = field(default_factory=lambda: secrets.token_hex(6))
    patient: str = field(default_factory=lambda: secrets.token_hex(6))
    starts: Iterator[datetime] = field(default_factory=slots)

    def next(self) -> Booking:
        start = next(self.starts)
        content = {
            "patient": self.patient,
            "participants": [self.practitioner],
            "location": self.place,
            "service": self.service,
            "reason": None,
            "start": _text(start),
            "end": _text(start + SLOT),
        }
        return Booking(secrets.token_hex(32), content)


class Exchanges:
    """The exchanges by blocking calls: readiness by three reads, then the one write. Safe for threads."""

    def __init__(self, url: str) -> None:
        self._kept = httpx.Client(**_client(url, kept=True))
        self._fresh = httpx.Client(**_client(url, kept=False))

    def ready(self, booking: Booking) -> None:
        """Health, permissions and the free slot; raises where the sandbox says anything else."""
        _require(_said(self._kept.get("/health"))["status"] == "ok")
        _require("write" in _said(self._kept.get("/capabilities"))["permissions"])
        _require(_said(self._kept.get("/slots", params=booking.query))["free"] is True)

    def book(self, booking: Booking) -> dict[str, Any]:
        """The mutating request, over a connection of its own; what the sandbox made of it."""
        reply = self._fresh.post("/appointments", json=booking.content, headers={"Idempotency-Key": booking.key})
        return _booked(reply, booking)

    def close(self) -> None:
        self._kept.close()
        self._fresh.close()


class AsyncExchanges:
    """The same on an event loop."""

    def __init__(self, url: str) -> None:
        self._kept = httpx.AsyncClient(**_client(url, kept=True))
        self._fresh = httpx.AsyncClient(**_client(url, kept=False))

    async def ready(self, booking: Booking) -> None:
        _require(_said(await self._kept.get("/health"))["status"] == "ok")
        _require("write" in _said(await self._kept.get("/capabilities"))["permissions"])
        _require(_said(await self._kept.get("/slots", params=booking.query))["free"] is True)

    async def book(self, booking: Booking) -> dict[str, Any]:
        reply = await self._fresh.post("/appointments", json=booking.content, headers={"Idempotency-Key": booking.key})
        return _booked(reply, booking)

    async def aclose(self) -> None:
        await self._kept.aclose()
        await self._fresh.aclose()


def _client(url: str, *, kept: bool) -> dict[str, Any]:
    """One client for the whole run, as httpx advises: making one costs more than a booking."""
    return {
        "base_url": url,
        "headers": {"Authorization": f"Bearer {TOKEN}"},
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=None if kept else 0),
        "timeout": 60,
        "trust_env": False,
    }


def _said(reply: httpx.Response) -> dict[str, Any]:
    _require(reply.status_code == 200)
    said: dict[str, Any] = reply.json()
    return said


def _booked(reply: httpx.Response, booking: Booking) -> dict[str, Any]:
    _require(reply.status_code == 201)
    made: dict[str, Any] = reply.json()
    _require(made["status"] == "booked" and booking.key in made["keys"])
    return made


def _require(confirmed: bool) -> None:
    if not confirmed:
        raise RuntimeError("the sandbox did not confirm: what was measured is not the work")


def _text(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
