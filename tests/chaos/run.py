"""One run: callers, kills, the last recovery, and the verdict."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway import config
from gateway.audit import verify_file
from gateway.gateway import Gateway
from gateway.journal.opening import open_archive
from gateway.testing.postgres import launched
from tests.chaos.arena import PAUSES, Arena
from tests.chaos.callers import Callers
from tests.chaos.checker import SHOWN, Verdict, judge
from tests.chaos.keys import Keys

PROGRESS_SECONDS = 10
_STEP_SECONDS = 0.5
PATIENCE_SECONDS = 300
"""Longer than planned a run waits for that; then it has shown nothing, and fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long, how many, and the seed of all mischief (the interleaving of processes has none)."""

    seconds: float = 600
    gateways: int = 3
    callers: int = 64
    keys: int = 500
    at_least: int = 1
    """Keys that must be done before the run may end; and every kind of mischief must have happened."""
    pauses: Mapping[str, float] = field(default_factory=lambda: PAUSES)
    seed: int = 1
    major: int = 18


def execute(plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """The report: what was done, how it ended, and every rule that did not hold."""
    with tempfile.TemporaryDirectory(prefix="chaos") as directory, launched(plan.major) as server:
        return asyncio.run(_execute(plan, Path(directory), server, say))


async def _execute(plan: Plan, directory: Path, server: Any, say: Callable[[str], None]) -> dict[str, Any]:
    chance = random.Random(plan.seed)
    async with Arena.built(directory, server, chance) as arena:
        keys = Keys(arena.rehearsal, plan.keys)
        keys.enrol()
        sockets = [arena.socket(number) for number in range(plan.gateways)]
        callers = Callers(keys, sockets, directory, chance)
        async with Gateway.open(arena.rehearsal.local.home) as clerk, asyncio.TaskGroup() as group:
            for number in range(plan.gateways):
                group.create_task(arena.supervise(number))
            filling = group.create_task(_fill(keys, clerk))
            calling = [group.create_task(callers.call(number)) for number in range(plan.callers)]
            mischief = [group.create_task(arena.mischief(kind, pause)) for kind, pause in plan.pauses.items()]
            began, said = time.monotonic(), 0.0
            while (elapsed := time.monotonic() - began) < plan.seconds or (
                not _enough(plan, keys, arena) and elapsed < plan.seconds + PATIENCE_SECONDS
            ):
                await asyncio.sleep(_STEP_SECONDS)
                if elapsed - said >= PROGRESS_SECONDS:
                    said = elapsed
                    say(_progress(elapsed, keys, callers, arena))
            arena.stopping = callers.stopping = True
            await asyncio.gather(*mischief, *calling)
            filling.cancel()
            await arena.end()
        verdict = await _judge(arena, keys, callers)
        verdict.unless(
            _enough(plan, keys, arena), "nothing is shown: too few keys were done, or some mischief never was"
        )
    return _report(plan, arena, keys, callers, verdict)


async def _fill(keys: Keys, clerk: Gateway) -> None:
    while True:
        await keys.refill(clerk)
        await asyncio.sleep(0.2)


async def _judge(arena: Arena, keys: Keys, callers: Callers) -> Verdict:
    """After the last kill: the server starts once more, a gateway opens once more, and everything is read."""
    await asyncio.to_thread(arena.server.kill)
    await asyncio.to_thread(arena.server.start)
    home = arena.rehearsal.local.home
    async with Gateway.open(home) as gateway:
        arena.counts["attempts recovered"] += len(gateway.recovered)
        orphans = await gateway.ports.journal.orphans()
    seen = await arena.seen()
    where = arena.server.url()
    with open_archive(where) as archive:
        files = sorted(arena.directory.glob("caller-*.jsonl"))
        verdict = judge(keys.made, seen, archive, files, callers.unrecorded)
    verdict.unless(not orphans, f"{len(orphans)} attempts are orphaned after recovery")
    report = verify_file(where, [], config.load(home).keys)
    verdict.unless(report.intact, f"the audit does not verify: {[flaw.code for flaw in report.flaws[:SHOWN]]}")
    return verdict


def _enough(plan: Plan, keys: Keys, arena: Arena) -> bool:
    happened = {"gateways killed", "server killed", "sessions terminated"} <= arena.counts.keys()
    return happened and sum(key.done for key in keys.made) >= plan.at_least


def _progress(elapsed: float, keys: Keys, callers: Callers, arena: Arena) -> str:
    done = sum(key.done for key in keys.made)
    counts = arena.counts
    return (
        f"{elapsed:5.0f} s  keys {done} done of {len(keys.made)}  answers {callers.told.total()}  "
        f"killed: gateways {counts['gateways killed']}, server {counts['server killed']}, "
        f"sessions {counts['sessions terminated']}  recovered {counts['attempts recovered']}"
    )


def _report(plan: Plan, arena: Arena, keys: Keys, callers: Callers, verdict: Verdict) -> dict[str, Any]:
    return {
        "holds": not verdict.violations,
        "seconds": plan.seconds,
        "gateways": plan.gateways,
        "callers": plan.callers,
        "seed": plan.seed,
        "postgresql": plan.major,
        "keys": verdict.keys,
        "keys_done": sum(key.done for key in keys.made),
        "attempts": verdict.attempts,
        "ends": dict(sorted(verdict.ends.items())),
        "requests_per_key": {str(count): number for count, number in sorted(verdict.requests.items())},
        "answers_kept_by_callers": verdict.acknowledged,
        "answers": dict(callers.told.most_common()),
        "answers_unrecorded": len(callers.unrecorded),
        "calls_lost": callers.lost,
        "mischief": dict(sorted(arena.counts.items())),
        "violations": verdict.violations[:SHOWN],
        "violations_in_all": len(verdict.violations),
    }


def spelled(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [f"{name.replace('_', ' ')}: {_plain(value)}" for name, value in report.items() if name != "violations"]
    return "\n".join([*lines, *(f"VIOLATED  {violation}" for violation in report["violations"])])


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    return value if isinstance(value, str) else json.dumps(value)
