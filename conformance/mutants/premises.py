"""Sandboxes that keep less than the usual one, for mutants whose flaw is to claim otherwise.

Owns: one whose slots may be shared, one whose keys may be used again, and one that offers an unsafe GET.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from adapters.sandbox.faults import Switchboard
from adapters.sandbox.server import Sandbox, SlotQuery, Tokens
from gateway.testing.engine import Booking, Engine
from gateway.testing.premises import Premises
from gateway.testing.twin import EngineObserver
from gateway.testing.wire import Reply, Request, listen


@dataclass(frozen=True, slots=True)
class HoldingSandbox(Sandbox):
    """`GET /slots?hold=<patient>` holds the slot for a patient: a read that writes."""

    async def answer(self, request: Request) -> Reply:
        reply = await Sandbox.answer(self, request)
        for patient in request.query.get("hold", ()):
            said = {name: request.query[name][0] for name in ("start", "end")}
            asked = SlotQuery.parse(json.dumps(said | {"participants": request.query["participant"], "excluding": ""}))
            held = Booking(
                patient=patient,
                participants=asked.participants,
                location="",
                service="",
                reason=None,
                start=asked.start,
                end=asked.end,
            )
            self.engine.book(secrets.token_hex(16), held)
        return reply


@asynccontextmanager
async def sharing() -> AsyncIterator[Premises]:
    """Appointments may overlap."""
    async with _serving(Sandbox, exclusive=False, unique_keys=True) as premises:
        yield premises


@asynccontextmanager
async def repeating() -> AsyncIterator[Premises]:
    """One key may write many times."""
    async with _serving(Sandbox, exclusive=True, unique_keys=False) as premises:
        yield premises


@asynccontextmanager
async def holding() -> AsyncIterator[Premises]:
    """A read may write."""
    async with _serving(HoldingSandbox, exclusive=True, unique_keys=True) as premises:
        yield premises


@asynccontextmanager
async def _serving(kind: type[Sandbox], *, exclusive: bool, unique_keys: bool) -> AsyncIterator[Premises]:
    given = {"vendor": secrets.token_urlsafe(16), "limited": secrets.token_urlsafe(16)}
    directory = TemporaryDirectory(prefix="mutants-")
    with (
        directory as path,
        Engine.open(Path(path) / "sandbox.db", exclusive=exclusive, unique_keys=unique_keys) as engine,
    ):
        tokens = Tokens(full=given["vendor"], observer=given["limited"])
        async with listen(kind(engine, Switchboard(), tokens, None).answer) as url:
            yield Premises(
                base_url=f"{url}/",
                label="embedded sandbox, changed for a mutant",
                observer=EngineObserver(engine),
                secrets=MappingProxyType(given),
            )
