"""One practice, one patient, one practitioner, and three systems at once, all at the command line: the same commands
book, move and cancel in each, and what goes wrong at one is none of the others' business."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import adapters
from conformance.target import safety
from conformance.target.file import Target
from conformance.target.system import launched
from gateway.testing import Premises, Seen
from tests.e2e.conftest import Practice, Sandbox

NAMES = ("caldav", "sandbox", "athenahealth")
ADAPTERS = Path(adapters.__file__).parent
LATER = timedelta(hours=2)


@dataclass
class System:
    """One system of the practice's, started as its target file says; `connection` is its sealed entry's id."""

    name: str
    target: Target
    premises: Premises
    loop: asyncio.AbstractEventLoop
    connection: str = ""
    booked: dict[str, str] = field(default_factory=dict)

    def standing(self, start: datetime) -> Sequence[Seen]:
        """What its observer, which is not the adapter, sees in the half hour from `start`."""
        assert self.premises.observer is not None
        looking = self.premises.observer.appointments(start, start + timedelta(minutes=30))
        seen = asyncio.run_coroutine_threadsafe(_whole(looking), self.loop).result(30)
        return [each for each in seen if not each.cancelled]

    @property
    def described(self) -> dict[str, Any]:
        """What an engineer writes down to connect it."""
        told, base = self.target.connection, self.premises.base_url
        credential = told.credential.model_dump(mode="json", exclude_none=True) | {"name": self.name}
        hosts = [urlsplit(base).netloc]
        if (tokens := self.premises.token_url) is not None:
            credential["token"] |= {"url": tokens}
            hosts = sorted({*hosts, urlsplit(tokens).netloc})
        return {
            "adapter": self.name,
            "base_url": base,
            "hosts": hosts,
            "zone": told.zone,
            "dialect": told.dialect,
            "credential": credential,
            "limits": {"request_seconds": 10, "commit_seconds": 20},
            "settings": {**told.settings, **self.premises.settings},
        }


async def _whole(looking: Any) -> Sequence[Seen]:
    seen: Sequence[Seen] = await looking
    return seen


@pytest.fixture(scope="module")
def systems() -> Iterator[dict[str, System]]:
    """All of them, on a thread of their own: the program under test has this one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stack = AsyncExitStack()

    async def start() -> dict[str, System]:
        found = {}
        for name in NAMES:
            target = safety.load(ADAPTERS / name / "conformance.toml")
            assert target.launch is not None
            found[name] = System(name, target, await launched(stack, target.launch), loop)
        return found

    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result(120)
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def clinic(systems: dict[str, System], tmp_path_factory: pytest.TempPathFactory) -> Practice:
    """The practice, set up at the command line: three connections, three secrets, and what each system calls whom."""
    there = Sandbox(systems["sandbox"].premises.base_url)
    practice = Practice(tmp_path_factory.mktemp("clinic") / "practice", there, here=True)
    practice.ask("init", str(practice.root))
    practice.patient = practice.ask("practice", "add-patient")["patient"]
    practice.ask("practice", "consent", practice.patient, "--given")
    for system in systems.values():
        keep(practice, system, system.premises.secrets[system.target.connection.credential.name or ""])
        system.connection = practice.connect(**system.described)
        pool = system.target.pool
        for reference, identifier in (
            (practice.participant, pool.practitioner),
            (practice.location, pool.location),
            (practice.service, pool.service),
            (practice.patient, pool.subjects[0]),
        ):
            practice.ask("practice", "identify", system.connection, reference, identifier)
    return practice


def keep(practice: Practice, system: System, secret: str) -> None:
    path = practice.root / "secrets" / system.name
    path.write_text(secret)
    path.chmod(0o600)


def asked(
    practice: Practice, system: System, operation: str, start: datetime, booked: dict[str, str] | None = None
) -> str:
    """Proposed and approved; `start` is an instant of the system's own pool."""
    particulars = practice.request(operation, booked)["particulars"]
    end = start + timedelta(minutes=system.target.pool.minutes)
    told = {"start": f"{start:%Y-%m-%dT%H:%M:%SZ}", "end": f"{end:%Y-%m-%dT%H:%M:%SZ}"}
    particulars |= told | {"zone": system.target.connection.zone}
    proposal: str = practice.propose(operation, connection=system.connection, particulars=particulars)
    practice.ask("review", proposal, "--approve", "--yes")
    return proposal


def target(answer: dict[str, Any]) -> dict[str, str]:
    outcome = answer["outcome"]
    return {"appointment": outcome["external_reference"], "version": outcome["version"]}


@pytest.mark.requirement("ADAPT-08", "ADAPT-09")
def test_one_practice_books_moves_and_cancels_in_three_systems(clinic: Practice, systems: dict[str, System]) -> None:
    confirmed = {}
    for number, system in enumerate(systems.values()):
        start = system.target.pool.first + number * timedelta(days=7)
        proposal = asked(clinic, system, "book", start)
        confirmed[system.name] = clinic.ask("commit", proposal)["outcome"]
        seen = {each.name: len(each.standing(start)) for each in systems.values()}
        assert seen == {each: int(each == system.name) for each in systems}  # there, and nowhere else
        again = clinic.ask("commit", proposal)["outcome"]
        assert again == confirmed[system.name] | {"replayed": True}
    assert {(each["effect"], each["standing"], each["code"]) for each in confirmed.values()} == {
        ("APPLIED", "CONFIRMED", "COMMITTED")
    }
    for number, system in enumerate(systems.values()):
        start = system.target.pool.first + number * timedelta(days=7)
        booked = target({"outcome": confirmed[system.name]})
        moved = clinic.ask("commit", asked(clinic, system, "reschedule", start + LATER, booked))
        assert (len(system.standing(start)), len(system.standing(start + LATER))) == (0, 1)
        cancelled = clinic.ask("commit", asked(clinic, system, "cancel", start + LATER, target(moved)))
        assert cancelled["outcome"]["standing"] == "CONFIRMED"
        assert len(system.standing(start + LATER)) == 0
    clinic.ask("audit", "checkpoint")
    assert clinic.ask("audit", "verify")["intact"]
    listed = clinic.ask("connections", "list")["connections"]
    assert {each["adapter"] for each in listed} == set(systems)


def test_a_system_that_fails_blocks_its_own_connection_alone(clinic: Practice, systems: dict[str, System]) -> None:
    broken = systems["athenahealth"]
    keep(clinic, broken, "nobody:revoked")
    ended = {}
    try:
        for number, system in enumerate(systems.values()):
            start = system.target.pool.first + timedelta(days=28 + number)
            proposal = asked(clinic, system, "book", start)
            outcome = clinic.ask("commit", proposal, code=4 if system is broken else 0)["outcome"]
            ended[system.name] = (outcome["state"], outcome["code"], len(system.standing(start)))
    finally:
        keep(clinic, broken, broken.premises.secrets["vendor"])
    assert ended == {
        "caldav": ("SUCCEEDED", "COMMITTED", 1),
        "sandbox": ("SUCCEEDED", "COMMITTED", 1),
        "athenahealth": ("BLOCKED", "CREDENTIALS_REJECTED", 0),
    }
