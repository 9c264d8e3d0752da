"""Programs that ask for commits, lose their gateway in mid-call, and ask again with the same key.

Owns: what each caller was told. It writes every recorded end to a file of its own, durably, before it goes on: that
file, not the journal, says what was acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.keys import Key, Keys

ANSWER_SECONDS = 60
_ENDED = frozenset({"SUCCEEDED", "REJECTED", "CANCELLED", "ERROR", "BLOCKED"})
_HELD = frozenset({"PROPOSAL_FROZEN", "PROPOSAL_EXECUTED"})
_PAUSE_SECONDS = 0.05


@dataclass(slots=True)
class Callers:
    """All callers of a run. `told` counts answers by state and code, `unrecorded` what was said without a record."""

    keys: Keys
    sockets: list[str]
    directory: Path
    chance: random.Random
    stopping: bool = False
    told: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    unrecorded: list[tuple[Key, dict[str, Any]]] = field(default_factory=list)

    async def call(self, number: int) -> None:
        """One caller, until the run stops."""
        path = self.directory / f"caller-{number}.jsonl"
        with path.open("ab", buffering=0) as log:
            while not self.stopping:
                key = self.chance.choice(self.keys.open) if self.keys.open else None
                outcome = None if key is None else await self._ask(key.trigger)
                if key is None or outcome is None:
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
                self.told[f"{outcome['state']} {outcome['code']}"] += 1
                if outcome["state"] not in _ENDED:
                    continue
                if not outcome["recorded"]:
                    self.unrecorded.append((key, outcome))
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
                line = json.dumps({"key": key.native, "outcome": outcome}).encode() + b"\n"
                await asyncio.to_thread(_keep, log.fileno(), line)
                self._consider(key, outcome)

    def _consider(self, key: Key, outcome: dict[str, Any]) -> None:
        """Whether this ended the matter, or the same approval may be used for another attempt."""
        if outcome["approval"] == "spent" or outcome["code"] in _HELD:
            key.answered += 1
        elif outcome["state"] != "REJECTED" or outcome["code"] == "TRIGGER_EXPIRED":
            self.keys.renew(key)

    async def _ask(self, trigger: str) -> dict[str, Any] | None:
        """The outcome, or None where the gateway was not there or went away before it answered."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self.chance.choice(self.sockets))
                try:
                    writer.write(trigger.encode() + b"\n")
                    line = await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            line = b""
        if not line.endswith(b"\n"):
            self.lost += 1
            return None
        outcome: dict[str, Any] = json.loads(line)
        return outcome


def _keep(descriptor: int, line: bytes) -> None:
    os.write(descriptor, line)
    os.fsync(descriptor)
