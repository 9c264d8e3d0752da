"""Every run of a scenario within its bounds, depth first, on the real code.

Owns: the walk of one scenario and what it found. Refuses: to call anything explored that was not: `exhausted` is false
where a limit stopped the walk. A run that breaks a rule prints as a test.
"""

from __future__ import annotations

import gc
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from exploration.oracle import Deviations
from exploration.scenarios import Scenario, Stage
from exploration.walk import PrunedError, Sleeping, Taken, Walk
from exploration.world import World
from gateway.contracts.outcome import Outcome

COLLECT_EVERY: Final = 200


@dataclass(frozen=True, slots=True)
class Failure:
    """One run that broke a rule, by the choices that made it."""

    scenario: str
    deviations: tuple[tuple[str, str], ...]
    message: str

    def as_test(self) -> str:
        """A regression test, ready to be pasted."""
        listed = "".join(f"            {choice!r},\n" for choice in self.deviations)
        return (
            f"def test_{self.scenario.replace('-', '_')}_found_by_the_explorer() -> None:\n"
            f"    # {self.message}\n"
            f"    replay(\n        {self.scenario!r},\n        [\n{listed}        ],\n    )\n"
        )


@dataclass(slots=True)
class Exploration:
    """What a walk found. `ends` counts complete runs by what they came to; `states` are the distinct states met."""

    scenario: Scenario
    runs: int = 0
    pruned: int = 0
    states: int = 0
    exhausted: bool = False
    seconds: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def line(self) -> str:
        claim = "exhausted" if self.exhausted else "NOT exhausted"
        return (
            f"{self.scenario.name}: {self.runs} runs ({self.pruned} ended in a known state), {self.states} states, "
            f"{len(self.ends)} ends, {len(self.failures)} violations, {claim}, {self.seconds:.0f} s of CPU"
        )

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "scenario": self.scenario.name,
            "runs": self.runs,
            "pruned": self.pruned,
            "states": self.states,
            "exhausted": self.exhausted,
            "cpu_seconds": round(self.seconds, 1),
            "ends": dict(self.ends),
            "failures": [failure.as_test() for failure in self.failures],
        }


def explore(
    scenario: Scenario, *, pruning: bool = True, most_runs: int | None = None, most_failures: int = 1
) -> Exploration:
    """Walk the scenario; stop early at so many runs or failures."""
    found = Exploration(scenario)
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="explorer-") as directory:
        stage = Stage.set_up(Path(directory), scenario)
        gc.collect()
        gc.freeze()
        gc.disable()  # a collection in the middle of a run would end generators at an instant of its own
        try:
            _walk(stage, found, pruning, most_runs, most_failures)
        finally:
            gc.enable()
            gc.unfreeze()
    found.seconds = time.process_time() - began
    return found


def _walk(stage: Stage, found: Exploration, pruning: bool, most_runs: int | None, most_failures: int) -> None:
    met: dict[int, Sleeping] | None = {} if pruning else None
    prefix: list[Taken] | None = []
    while prefix is not None:
        walk = Walk(prefix, found.scenario.budget, met)
        try:
            stage.play(found.scenario, walk)
            found.ends[end(stage.world)] += 1
        except PrunedError:
            found.pruned += 1
        except AssertionError as violation:
            found.failures.append(Failure(found.scenario.name, tuple(walk.deviations()), str(violation)))
        found.runs += 1
        found.states = len(met or ())
        if found.runs % COLLECT_EVERY == 0:
            gc.collect()
        prefix = walk.following()
        if len(found.failures) >= most_failures or found.runs == most_runs:
            found.exhausted = prefix is None
            return
    found.exhausted = True


def end(world: World) -> str:
    """What a run came to, as far as anybody outside could tell."""
    rows = world.database.execute("SELECT state, code, effect FROM attempts ORDER BY 1, 2, 3").fetchall()
    answers = sorted(_shown(call.actor.name, call.answer) for call in world.calls)
    counted = sorted((world.peer.received[key], world.peer.applied[key]) for key in world.peer.received)
    return json.dumps([[list(row) for row in rows], answers, counted])


def _shown(name: str, answer: Any) -> list[str]:
    if isinstance(answer, Outcome):
        return [name, answer.state, answer.code, str(answer.effect), str(answer.recorded), str(answer.replayed)]
    return [name, type(answer).__name__]


def replay(scenario: Scenario, choices: Iterable[tuple[str, str]]) -> World:
    """One run, but for these choices all good: the world it left. Raises what the checker finds, and `LookupError`
    where a choice never came up."""
    oracle = Deviations.of(choices)
    with tempfile.TemporaryDirectory(prefix="replay-") as directory:
        stage = Stage.set_up(Path(directory), scenario)
        stage.play(scenario, oracle)
    if oracle.listed:
        raise LookupError(f"these choices never came up: {sorted(oracle.listed)}")
    return stage.world
