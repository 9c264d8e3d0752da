"""A person is asked about one slot at a time, and no answer is believed for longer than it holds."""

from __future__ import annotations

import asyncio
import os
import pty
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from conformance.results import Peer
from conformance.target import attended
from conformance.target.attended import AttendedObserver
from conformance.target.file import Pool, TargetError
from conformance.target.ledger import Cleaner, Ledger

SLOT = datetime(2031, 5, 5, 8, 0, tzinfo=UTC)
HALF = timedelta(minutes=30)


@dataclass
class Person:
    """The other end of the terminal."""

    screen: int
    terminal: int
    observer: AttendedObserver

    def types(self, *lines: str) -> None:
        os.write(self.screen, "".join(f"{line}\n" for line in lines).encode())

    def was_asked(self) -> str:
        """All of it: what a terminal shows arrives piece by piece, up to a mark that comes last."""
        os.write(self.terminal, b"\0")
        shown = b""
        while not shown.endswith(b"\0"):
            shown += os.read(self.screen, 4096)
        return shown.decode()


@pytest.fixture
def person() -> Iterator[Person]:
    screen, terminal = pty.openpty()
    attributes = termios.tcgetattr(terminal)
    attributes[3] &= ~termios.ECHO  # what a person types is not what they were asked
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)
    yield Person(screen, terminal, AttendedObserver(terminal))
    os.close(screen)
    os.close(terminal)


async def test_a_slot_is_asked_about_each_time(person):
    person.types("0", "2")
    assert await person.observer.appointments(SLOT, SLOT + HALF) == []
    seen = await person.observer.appointments(SLOT, SLOT + HALF)
    assert [(each.start, each.cancelled) for each in seen] == [(SLOT, False), (SLOT, False)]
    assert len({each.identifier for each in seen}) == 2
    assert "begin at 2031-05-05 08:00 UTC?" in person.was_asked()


async def test_what_is_no_number_is_asked_again(person):
    person.types("two", "", "100", "1")
    assert len(await person.observer.appointments(SLOT, SLOT + HALF)) == 1
    assert person.was_asked().count("A number from 0 to 99") == 3


async def test_a_wide_look_asks_anew_once_about_each_slot_asked_about(person):
    person.types("0", "0", "1", "0")
    for start in (SLOT, SLOT + HALF):
        await person.observer.appointments(start, start + HALF)
    for _ in range(2):
        seen = await person.observer.appointments(SLOT - timedelta(days=1), SLOT + timedelta(days=1))
        assert [each.start for each in seen] == [SLOT]


async def test_what_the_run_left_is_residue_and_nothing_is_removed(person):
    pool = Pool(subjects=("patient-1", "patient-2"), practitioner="p", location="l", service="s", first=SLOT, slots=2)
    ledger = Ledger.open(None)
    cleaner = Cleaner(person.observer, ledger, pool, Peer.TARGET)
    await cleaner.begin()
    person.types("0", "1")
    await person.observer.appointments(SLOT, SLOT + HALF)
    ledger.intend("book.applied", Peer.TARGET, SLOT)
    residue = await cleaner.clean()
    assert (residue.remaining, residue.removed, residue.where, residue.verified) == (1, 0, (SLOT,), True)


async def test_waiting_for_an_answer_can_be_cancelled(person):
    asking = asyncio.create_task(person.observer.appointments(SLOT, SLOT + HALF))
    await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_without_a_terminal_there_is_nobody_to_ask(monkeypatch, tmp_path):
    monkeypatch.setattr(attended, "TERMINAL", str(tmp_path / "none"))
    with pytest.raises(TargetError, match="needs a terminal"):
        attended.observer("http://127.0.0.1:9/", {})
