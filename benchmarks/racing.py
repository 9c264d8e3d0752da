"""The race: contestants side by side, in turn, each in a process of its own, against one sandbox process.

Owns: the rounds. In each round every contestant does its share at every concurrency, one after another, and the
order moves on by one from round to round, so that no contestant always runs in the same neighbour's wake. Warm-up
rounds are not counted. After every share the sandbox's own count must have risen by exactly what was asked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from benchmarks.contestants import CONTESTANTS
from benchmarks.exchanges import TOKEN
from gateway.testing.engine import Engine

STOP_SECONDS = 30

_SERVE = f"""
import sys
from pathlib import Path
from adapters.sandbox.server import serve
serve(Path(sys.argv[1]), credentials={TOKEN!r})
"""


class BenchmarkError(Exception):
    """The run is no measurement; the message says why."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The sandbox's process and its database."""

    url: str
    process: subprocess.Popen[str]
    database: Path

    def bookings(self) -> int:
        """How many bookings took effect, by the sandbox's own count."""
        with Engine.open(self.database) as engine:
            return engine.effects()


@contextmanager
def sandbox(directory: Path) -> Iterator[Sandbox]:
    """The embedded sandbox in a process of its own, until the context closes."""
    database = directory / "sandbox.db"
    with _process([sys.executable, "-c", _SERVE, str(database)]) as process:
        yield Sandbox(_said(process)["url"], process, database)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one contestant did in one round at one concurrency. Seconds; `others` is the processor time of the
    sandbox, `server` that of the contestant's database server."""

    taken: Sequence[float]
    wall: float
    cpu: float
    others: float
    server: float = 0.0


@dataclass(frozen=True, slots=True)
class Racer:
    """One contestant's process, spoken to."""

    name: str
    process: subprocess.Popen[str]
    sandbox: Sandbox

    def share(self, count: int, concurrency: int) -> Share:
        """Prepare and carry out `count` bookings. Raises `BenchmarkError` where the sandbox counted otherwise."""
        self._ask({"prepare": count})
        before, others = self.sandbox.bookings(), cpu_seconds(self.sandbox.process.pid)
        done = self._ask({"run": concurrency})
        others = cpu_seconds(self.sandbox.process.pid) - others
        made = self.sandbox.bookings() - before
        if made != count or len(done["taken"]) != count:
            raise BenchmarkError(f"{self.name} was to make {count} bookings and the sandbox has {made} more")
        return Share(taken=done["taken"], wall=done["wall"], cpu=done["cpu"], others=others)

    def _ask(self, told: Mapping[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(told) + "\n")
        self.process.stdin.flush()
        return _said(self.process)


@contextmanager
def racer(name: str, directory: Path, system: Sandbox, under: Sequence[str] = ()) -> Iterator[Racer]:
    """A contestant in its own process, ready; `under` is a command to run it under."""
    home = directory / name
    home.mkdir()
    command = [*under, sys.executable, "-m", "benchmarks.runner", name, str(home), system.url, ""]
    with _process(command) as process:
        _said(process)
        yield Racer(name, process, system)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of everything: bookings of one share by concurrency, counted rounds and warm-up rounds."""

    names: tuple[str, ...]
    counts: Mapping[int, int]
    rounds: int
    warmups: int = 1


@dataclass(slots=True)
class Race:
    """All counted shares, by contestant and concurrency, in the order of the rounds."""

    shares: dict[tuple[str, int], list[Share]] = field(default_factory=dict)


def race(plan: Plan, directory: Path, tell: Any = None) -> Race:
    """Run the plan in `directory`; `tell` is called with a line for whoever waits."""
    result = Race()
    with ExitStack() as stack:
        system = stack.enter_context(sandbox(directory))
        racers = [stack.enter_context(racer(name, directory, system)) for name in plan.names]
        for number in range(plan.warmups + plan.rounds):
            counted = number >= plan.warmups
            if tell:
                tell(f"round {number - plan.warmups + 1} of {plan.rounds}" if counted else "warming up")
            turn = number % len(racers)
            for each in (*racers[turn:], *racers[:turn]):
                for concurrency in CONTESTANTS[each.name].concurrencies:
                    share = each.share(plan.counts[concurrency], concurrency)
                    if counted:
                        result.shares.setdefault((each.name, concurrency), []).append(share)
    return result


def cpu_seconds(process: int) -> float:
    """What a process has used of the processor so far; 0 where the system does not show it."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _process(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that is told to end by the end of its input, or, where that is not enough, by SIGTERM."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 — our own programs
    assert process.stdin is not None and process.stdout is not None
    try:
        with closing(process.stdout), closing(process.stdin):
            yield process
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _said(process: subprocess.Popen[str]) -> dict[str, Any]:
    stream: IO[str] | None = process.stdout
    assert stream is not None
    line = stream.readline()
    if not line:
        raise BenchmarkError("a process of the benchmark ended early; what it said is above")
    said: dict[str, Any] = json.loads(line)
    return said
