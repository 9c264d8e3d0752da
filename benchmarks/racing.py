"""The race: contestants side by side, in turn, each in a process of its own, against one sandbox process.

Owns: the rounds. In each round every contestant does its share at every concurrency, one after another, and the
order moves on by one from round to round, so that no contestant always runs in the same neighbour's wake. Warm-up
rounds are not counted. After every share the sandbox's own count must have risen by exactly what was asked.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from subprocess import Popen

from benchmarks.contestants import CONTESTANTS
from benchmarks.database import Database
from benchmarks.processes import BenchmarkError, ask, cpu_seconds, said, speaking
from benchmarks.site import Sandbox, Site


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
    """One contestant's process, spoken to; `server` is the database server that it has to itself while it runs."""

    name: str
    process: Popen[str]
    sandbox: Sandbox
    server: Database | None = None

    def share(self, count: int, concurrency: int) -> Share:
        """Prepare and carry out `count` bookings. Raises `BenchmarkError` where the sandbox counted otherwise."""
        self.prepare(count)
        return self.run(count, concurrency)

    def prepare(self, count: int) -> None:
        ask(self.process, {"prepare": count})

    def run(self, count: int, concurrency: int) -> Share:
        """Carry out all that is prepared, which are `count`."""
        before, others, served = self.sandbox.bookings(), cpu_seconds(self.sandbox.process.pid), self._served()
        done = ask(self.process, {"run": concurrency})
        others, served = cpu_seconds(self.sandbox.process.pid) - others, self._served() - served
        made = self.sandbox.bookings() - before
        if made != count or len(done["taken"]) != count:
            raise BenchmarkError(f"{self.name} was to make {count} bookings and the sandbox has {made} more")
        return Share(taken=done["taken"], wall=done["wall"], cpu=done["cpu"], others=others, server=served)

    def wal_syncs(self) -> Counter[str]:
        """The database server's so far; none without one."""
        return self.server.wal_syncs() if self.server else Counter()

    def _served(self) -> float:
        return self.server.cpu_seconds() if self.server else 0.0


@contextmanager
def racer(name: str, ground: Site, under: Sequence[str] = ()) -> Iterator[Racer]:
    """A contestant in its own process, ready; `under` is a command to run it under."""
    home = ground.directory / name
    home.mkdir()
    server = ground.server if CONTESTANTS[name].database else None
    url = server.create(name) if server else ""
    command = [*under, sys.executable, "-m", "benchmarks.runner", name, str(home), ground.sandbox.url, url]
    with speaking(command) as process:
        said(process)
        yield Racer(name, process, ground.sandbox, server)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of everything: bookings of one share by concurrency, and counted rounds. A warm-up round, of a quarter
    of them, comes first."""

    names: tuple[str, ...]
    counts: Mapping[int, int]
    rounds: int

    def bookings(self, round_number: int, concurrency: int) -> int:
        count = self.counts[concurrency]
        return count if round_number else max(1, count // 4)


Race = dict[tuple[str, int], list[Share]]
"""All counted shares, by contestant and concurrency, in the order of the rounds."""


def race(plan: Plan, ground: Site, tell: Callable[[str], None]) -> Race:
    """Run the plan; `tell` is called with a line for whoever waits."""
    shares: Race = {}
    with ExitStack() as stack:
        racers = [stack.enter_context(racer(name, ground)) for name in plan.names]
        for number in range(1 + plan.rounds):
            tell(f"round {number} of {plan.rounds}" if number else "warming up")
            turn = number % len(racers)
            for each in (*racers[turn:], *racers[:turn]):
                for concurrency in CONTESTANTS[each.name].concurrencies:
                    share = each.share(plan.bookings(number, concurrency), concurrency)
                    if number:
                        shares.setdefault((each.name, concurrency), []).append(share)
    return shares
