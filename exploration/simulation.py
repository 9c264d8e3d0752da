"""`python -m exploration.simulation`: random histories, a seed each, on every core, until enough was attempted.

Owns: which seeds are played where, and how a run stops: at once where a rule is broken, at the end of the histories
under way where somebody asks it to (SIGINT, SIGTERM), so that its totals always stand. Exit status 1 where it fails.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from conformance.documents.markdown import with_part
from exploration.history import Ground, Told
from exploration.totals import FULL, Totals

LENGTH: Final = 300
"""Attempts of one history: long enough for everything to meet everything, short enough for a page of its journal."""

SAY_SECONDS: Final = 60.0
PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "reliability.md"

_grounds: list[Ground] = []
"""A worker process's own ground, laid once."""


def play(seed: int, length: int = LENGTH) -> Told:
    """One history, on this process's ground."""
    if not _grounds:
        with tempfile.TemporaryDirectory(prefix="simulation-") as directory:
            _grounds.append(Ground.lay(Path(directory)))
        gc.collect()
        gc.freeze()
    told = _grounds[0].play(str(seed), length)
    gc.collect()
    return told


@dataclass(slots=True)
class Simulation:
    """A run. `attempts` None: all `seeds` are played."""

    seeds: Iterator[int]
    attempts: int | None
    length: int = LENGTH
    processes: int = 1
    stopping: bool = False

    def stop(self, *_: object) -> None:
        """Begin no further history."""
        self.stopping = True

    def run(self, totals: Totals, progress: Callable[[Totals], None]) -> Totals:
        """Play until enough was attempted, the seeds are used up, a rule is broken, or somebody asks to stop."""
        with ProcessPoolExecutor(self.processes, multiprocessing.get_context("fork"), _deaf) as pool:
            playing: set[Future[Told]] = set()
            while True:
                wanted = 0 if self._enough(totals, len(playing)) else 2 * self.processes - len(playing)
                playing |= {pool.submit(play, seed, self.length) for seed in islice(self.seeds, max(0, wanted))}
                if not playing:
                    return totals
                done, playing = wait(playing, timeout=1, return_when=FIRST_COMPLETED)
                for each in done:
                    totals.add(each.result())
                    progress(totals)

    def _enough(self, totals: Totals, playing: int) -> bool:
        if self.stopping or totals.failed:
            return True
        return self.attempts is not None and totals.attempts + playing * self.length >= self.attempts


def _deaf() -> None:
    """A worker ends with its pool; whoever interrupts speaks to the pool's owner."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m exploration.simulation", description=__doc__)
    parser.add_argument("--seeds", help="these only: 7 or 3-90, several separated by commas (default: from 1 on)")
    parser.add_argument("--attempts", type=int, help=f"stop after so many (default: {FULL}, or all of --seeds)")
    parser.add_argument("--length", type=int, default=LENGTH, help="attempts of one history")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the totals as one JSON document")
    parser.add_argument(
        "--continue", type=Path, metavar="FILE", dest="earlier", help="go on after a stopped run's JSON"
    )
    parser.add_argument("--write", action="store_true", help="write the totals into docs/reliability.md")
    given = parser.parse_args(arguments)
    totals = Totals.read(json.loads(given.earlier.read_text(encoding="utf-8"))) if given.earlier else Totals()
    seeds = iter(_seeds(given.seeds)) if given.seeds else count(totals.last + 1)
    attempts = given.attempts if given.seeds or given.attempts is not None else FULL
    simulation = Simulation(seeds, attempts, given.length, given.processes)
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, simulation.stop)
    _watched(simulation, totals)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(totals.plain(), indent=1) + "\n", encoding="utf-8")
    if given.write:
        PAGE.write_text(
            with_part(PAGE.read_text(encoding="utf-8"), "random simulation", totals.page()), encoding="utf-8"
        )
    _tell(totals, given.length)
    return 1 if totals.faults else 0


def _watched(simulation: Simulation, totals: Totals) -> None:
    """Run it with a bar for people, and a line now and then where nobody watches."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task, said = bar.add_task("attempts", total=simulation.attempts), time.monotonic()

        def progress(so_far: Totals) -> None:
            nonlocal said
            bar.update(task, completed=so_far.attempts)
            if not console.is_terminal and time.monotonic() - said > SAY_SECONDS:
                said = time.monotonic()
                unhit = len(so_far.coverage.unhit)
                console.print(
                    f"{so_far.attempts:,} attempts, {len(so_far.failed)} violations, {unhit} cells not yet hit"
                )

        simulation.run(totals, progress)


def _tell(totals: Totals, length: int) -> None:
    console = Console(width=None if sys.stdout.isatty() else 160)
    for each in totals.tables():
        console.print(each)
    for told in totals.failed:
        console.print(f"seed {told.seed}: {told.violation}", style="red", markup=False)
        console.print("\n".join(told.last), markup=False)
        console.print(f"again: python -m exploration.simulation --seeds {told.seed} --length {length}", markup=False)
    for fault in totals.faults[len(totals.failed) :]:
        console.print(fault, style="red", markup=False)


def _seeds(said: str) -> Iterable[int]:
    for part in said.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


if __name__ == "__main__":
    sys.exit(main())
