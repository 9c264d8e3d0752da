"""The one source of time and of fresh identifiers, injected so that tests can own both."""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from gateway.contracts.references import Reference

Kind = TypeVar("Kind", bound=Reference)


class Clock(Protocol):
    """Wall time for statements and records, monotonic seconds for deadlines, and randomness."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...

    def new(self, kind: type[Kind]) -> Kind: ...

    def token(self) -> str:
        """128 random bits as 32 hexadecimal digits."""
        ...


class SystemClock:
    """The machine's own."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def new(self, kind: type[Kind]) -> Kind:
        return kind.random()

    def token(self) -> str:
        return secrets.token_hex(16)
