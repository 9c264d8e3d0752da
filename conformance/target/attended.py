"""An observer that asks a person: for systems that let no second client look.

    observer = "conformance.target.attended:observer"
    grade = "attested"

Owns: the questions, one per slot, at the terminal of whoever runs the suite and sits before the system's own screens.
Refuses: to begin without a terminal. Removes nothing: what remains is in the residue report, by slot, and is for the
same person to take away.
Invariant: an answer counts for the moment at which it was asked; before anything is said to be gone, it is asked anew.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from conformance.target.file import TargetError
from gateway.testing.premises import Seen

TERMINAL: Final = "/dev/tty"
LONGEST_SLOT: Final = timedelta(hours=8)
MOST: Final = 99


def observer(base_url: str, secrets: Mapping[str, str]) -> AttendedObserver:
    """As a target file names it; address and secrets are of no use to it."""
    try:
        return AttendedObserver(os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        raise TargetError("an attended run needs a terminal, at which somebody answers") from None


class AttendedObserver:
    """Asks at a terminal's file descriptor (`Observer`)."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._told: dict[tuple[datetime, datetime], int] = {}
        self._stale: set[tuple[datetime, datetime]] = set()

    async def appointments(self, start: datetime, end: datetime) -> Sequence[Seen]:
        """A slot is asked about; for more than a slot, every slot that was asked about since the last such look."""
        if end - start <= LONGEST_SLOT:
            await self._ask(start, end)
            self._stale.add((start, end))
        else:
            for slot in sorted(self._stale):
                await self._ask(*slot)
                self._stale.discard(slot)
        return [
            Seen(identifier=f"{begins.isoformat()}#{number}", start=begins, end=ends)
            for (begins, ends), count in sorted(self._told.items())
            if begins < end and ends > start
            for number in range(count)
        ]

    async def remove(self, identifier: str) -> bool:
        """Never: a person does, by the residue report."""
        return False

    async def _ask(self, start: datetime, end: datetime) -> None:
        question = f"How many appointments, cancelled ones aside, begin at {start:%Y-%m-%d %H:%M} UTC?"
        while not (answer := await self._answer(question)).isdecimal() or int(answer) > MOST:
            question = f"A number from 0 to {MOST}:"
        self._told[start, end] = int(answer)

    async def _answer(self, question: str) -> str:
        """One line; can be cancelled while it waits, unlike a thread that reads."""
        os.write(self._terminal, f"\r\x1b[K{question}\r\n".encode())  # a line of its own, above any progress bar
        loop = asyncio.get_running_loop()
        typed = asyncio.Event()
        loop.add_reader(self._terminal, typed.set)
        try:
            await typed.wait()
        finally:
            loop.remove_reader(self._terminal)
        line = os.read(self._terminal, 256)
        if not line:
            raise TargetError("the terminal was closed; nobody answers")
        return line.decode("ascii", errors="replace").strip()
