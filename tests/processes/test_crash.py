"""Processes killed in mid-commit: no double effect, nothing lost, every dispatched commit accounted for (I11).

`GATEWAY_KILLS` sets how many random instants are tried (`make crash` tries 200), `GATEWAY_CRASH_CALLS` which
system calls strace kills at (`make crash` takes all of `EVERY_CALL`). The oracle is the sandbox's own count.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway import config
from gateway.audit import verify_file
from gateway.contracts.canonical import digest
from gateway.contracts.references import AttemptId
from gateway.contracts.words import Effect, State
from gateway.gateway import Gateway
from gateway.journal.opening import located

KILLS = int(os.environ.get("GATEWAY_KILLS", "8"))
EVERY_CALL = "fsync,fdatasync,pwrite64,write,openat,connect,sendto,recvfrom,close"
CALLS = os.environ.get("GATEWAY_CRASH_CALLS", "fdatasync,sendto").replace("all", EVERY_CALL).split(",")
SESSION_SECONDS = 60
LONGEST_SECONDS = 0.15
"""A little longer than one commit takes on a slow machine, so that instants fall before, in and after it."""


async def approved(site: Any, gateway: Gateway) -> tuple[Any, str]:
    proposal = await site.rehearsal.propose(gateway, site.rehearsal.enrol())
    return proposal, site.rehearsal.trigger(proposal, await site.rehearsal.decide(gateway, proposal))


async def sessions_ended(url: str) -> None:
    """A PostgreSQL server carries out what a dead client sent last, and ends its session, in its own time: wait until
    one owner alone is alive, the gateway that counts."""
    async with asyncio.timeout(SESSION_SECONDS), await psycopg.AsyncConnection.connect(url, autocommit=True) as asking:
        while True:
            held = await asking.execute("SELECT count(*) FROM owners WHERE NOT pg_try_advisory_xact_lock_shared(lock)")
            if await held.fetchone() == (1,):
                return
            await asyncio.sleep(0.1)


async def check(site: Any, gateway: Gateway, proposals: list[Any]) -> Counter[str]:
    """Recover, then hold the journal against the sandbox's own count; how the attempts ended."""
    await gateway.recover()
    assert not await gateway.ports.journal.orphans()
    system = site.journal()
    requests = Counter(request["key"] for request in system["requests"])
    booked = Counter(key for appointment in system["appointments"] for key in appointment["keys"])
    ends: Counter[str] = Counter()
    for proposal in proposals:
        attempts = await gateway.ports.journal.attempts(proposal=proposal.proposal_id)
        effects = [attempt.outcome.effect for attempt in attempts if attempt.outcome is not None]
        assert len(effects) == len(attempts), "an attempt is in flight after recovery"
        sent = requests[_key(proposal)]
        assert sent <= 1, "two mutating requests for one proposal"
        assert booked[_key(proposal)] <= sent
        dispatched = [effect for effect in effects if effect in (Effect.APPLIED, Effect.UNKNOWN, Effect.REFUSED)]
        assert len(dispatched) <= 1
        if sent:
            assert dispatched, "the system saw a request that the journal knows nothing of"
        if dispatched == [Effect.APPLIED]:
            assert sent == 1
            assert booked[_key(proposal)] == 1
        ends[str(effects[0]) if effects else "no attempt"] += 1
    return ends


def assert_intact(site: Any) -> None:
    configuration = config.load(site.local.home)
    report = verify_file(located(site.local.home, configuration.settings.journal), [], configuration.keys)
    assert report.intact, report.flaws


def _key(proposal: Any) -> str:
    content = f"{proposal.practice}|{proposal.proposal_digest}|{proposal.operation}".encode()
    number = int(digest("native-key/v1", content), 16)
    letters = []
    while number:
        number, index = divmod(number, 16)
        letters.append("0123456789abcdef"[index])
    return "".join(letters)


@pytest.mark.requirement("CARD-04", "IDEM-04")
async def test_killed_at_random_instants(site: Any, figure: Callable[[str], None]) -> None:
    await kill_at_random_instants(site, KILLS, figure)


@pytest.mark.requirement("CARD-04", "IDEM-04")
async def test_killed_at_random_instants_with_the_journal_on_postgresql(
    site_on_postgres: Any, postgres_url: str, figure: Callable[[str], None]
) -> None:
    await kill_at_random_instants(site_on_postgres, -(-KILLS // 3), figure, lambda: sessions_ended(postgres_url))


async def kill_at_random_instants(
    site: Any, kills: int, figure: Callable[[str], None], dead: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Each of so many commits in a process that is killed somewhere in it, or before, or after."""
    instants = random.Random(20261121)
    proposals = []
    async with Gateway.open(site.local.home) as gateway:
        for _ in range(kills):
            proposal, trigger = await approved(site, gateway)
            proposals.append(proposal)
            process = site.committing(trigger)
            process.stdout.readline()
            process.stdin.write("go\n")
            process.stdin.flush()
            time.sleep(instants.uniform(0, LONGEST_SECONDS))
            process.kill()
            process.communicate()
        if dead is not None:
            await dead()
        ends = await check(site, gateway, proposals)
    figure(f"{kills} at random instants: {dict(ends)}")
    assert sum(ends.values()) == kills
    assert_intact(site)


def _counts(log: Path) -> tuple[dict[str, set[int]], int]:
    """Per system call, which invocation numbers (strace counts per thread) fall after `open` was said."""
    before: dict[tuple[str, str], int] = defaultdict(int)
    numbers: dict[str, set[int]] = defaultdict(set)
    opened, total = False, 0
    for line in log.read_text().splitlines():
        found = re.match(r"(\d+) +(\w+)\((.*)", line)
        if found is None:
            continue
        thread, call, rest = found.groups()
        before[thread, call] += 1
        if opened:
            numbers[call].add(before[thread, call])
            total += 1
        opened = opened or (call == "write" and rest.startswith('1, "open'))
    assert opened, "the child never said that it was open"
    return numbers, total


def _instants(numbers: dict[str, set[int]]) -> Iterator[tuple[str, int]]:
    for call in CALLS:
        for number in sorted(numbers[call]):
            yield call, number


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed; `make crash` needs it")
@pytest.mark.requirement("CARD-04")
async def test_killed_at_every_durable_and_socket_call(
    site: Any, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    async with Gateway.open(site.local.home) as gateway:
        proposal, trigger = await approved(site, gateway)
        log = tmp_path / "calls"
        traced = ("strace", "-f", "-o", str(log), "-e", f"trace={EVERY_CALL}")
        process = site.committing(trigger, under=traced)
        output, errors = process.communicate("go\n", timeout=60)
        assert '"SUCCEEDED"' in output, errors
        numbers, _ = _counts(log)
        proposals, killed = [proposal], 0
        for call, number in _instants(numbers):
            proposal, trigger = await approved(site, gateway)
            proposals.append(proposal)
            inject = ("strace", "-f", "-o", "/dev/null", "-e", f"trace={call}")
            inject += ("-e", f"inject={call}:signal=SIGKILL:when={number}")
            process = site.committing(trigger, under=inject)
            output, _ = process.communicate("go\n", timeout=60)
            killed += '"SUCCEEDED"' not in output
        ends = await check(site, gateway, proposals)
    figure(f"{len(proposals) - 1} calls struck, {killed} killed: {dict(ends)}")
    assert killed > 0
    assert_intact(site)


@pytest.mark.requirement("STATE-31")
async def test_a_killed_gateway_replays_what_it_recovered(site: Any) -> None:
    async with Gateway.open(site.local.home) as gateway:
        _, trigger = await approved(site, gateway)
        site.arm("delay-after", "book", milliseconds=3000)
        process = site.committing(trigger)
        process.stdout.readline()
        process.stdin.write("go\n")
        process.stdin.flush()
        while not site.journal()["requests"]:
            time.sleep(0.01)
        process.kill()
        process.communicate()
        [recovered] = await gateway.recover()
        again = await gateway.commit(trigger)
        file = await gateway.attempt(AttemptId(recovered.attempt or ""))
    assert (recovered.state, recovered.effect) == (State.ERROR, Effect.UNKNOWN)
    assert (again.attempt, again.replayed) == (recovered.attempt, True)
    assert file.state is State.ERROR
    assert len(site.journal()["requests"]) == 1


def test_strace_is_there_where_it_is_promised() -> None:
    """`make crash` is a promise about every system call; without strace it must say so."""
    if os.environ.get("GATEWAY_CRASH_CALLS"):
        assert subprocess.run(["strace", "--version"], check=False, capture_output=True).returncode == 0
