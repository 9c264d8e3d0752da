"""The random simulation: it finds nothing in the gateway, it finds what is planted, and a seed is one history."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exploration.cells import Cell, Coverage, reachable
from exploration.history import HOUSES, Ground, Told
from exploration.practice import CANARY
from exploration.simulation import LENGTH, Simulation, main
from exploration.totals import FULL, Totals
from gateway import execution, observation
from gateway.attempt import Gated, Run
from gateway.audit.acknowledgement import Sinks
from gateway.contracts.connection import Connection
from gateway.contracts.words import Effect, End
from gateway.journal import Intent

SEEDS = ("1", "2", "24", "35", "102", "103", "114")
"""In 1, 35 and 114 people are misled by what the planted bugs of looks and absence do."""


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    laid = Ground.lay(tmp_path_factory.mktemp("simulation"))
    yield laid
    laid.close()


@pytest.fixture(scope="module")
def totals(ground: Ground) -> Totals:
    found = Totals()
    for seed in SEEDS:
        found.add(ground.play(seed, LENGTH))
    return found


def test_about_two_thousand_attempts_break_no_rule_and_meet_every_kind_of_end(
    totals: Totals, figure: Callable[[str], None]
) -> None:
    figure(f"{len(SEEDS)} histories, {totals.attempts} attempts, {totals.mutating} mutating requests")
    assert totals.faults == []
    assert totals.attempts >= LENGTH * len(SEEDS)
    assert 0 < totals.mutating <= totals.executed
    ends = ("SUCCEEDED APPLIED", "BLOCKED", "REJECTED", "PAUSED", "ERROR UNKNOWN", "ERROR NOT_SENT", "ERROR APPLIED")
    for end in (*ends, "replayed", "the process died", "the caller left"):
        assert totals.ends[end], end
    for event in (
        *("all processes died at once", "closed in good order", "died while recovering"),
        *(f"sealed anew: {name}" for name, _ in HOUSES),
        *("clock put forward", "clock put back", "resolved ABSENT", "resolved APPLIED", "resolved HANDLED_BY_HAND"),
        *(f"statement: {kind}" for kind in ("propose", "decide", "stop", "withdraw", "resolve", "suspend")),
    ):
        assert totals.events[event], event


def test_a_seed_is_the_same_history_in_another_process(ground: Ground) -> None:
    """Told apart from the hash seed, addresses and keys, all of which differ there."""
    program = (
        "import sys; from pathlib import Path; from exploration.history import Ground\n"
        "print(Ground.lay(Path(sys.argv[1])).play('7', 60).trace)"
    )
    directory = ground.directory / "another"
    directory.mkdir(mode=0o700)
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    said = subprocess.run(
        [sys.executable, "-c", program, str(directory)], env=environment, capture_output=True, text=True, check=True
    )
    first, again, other = (ground.play(seed, 60) for seed in ("7", "7", "8"))
    assert first.trace == again.trace == said.stdout.strip()
    assert first.ends == again.ends
    assert first.trace != other.trace


# -- what is planted is found -------------------------------------------------------------------------------


def found(ground: Ground, seeds: range) -> Told:
    """The first history that breaks a rule."""
    for seed in seeds:
        told = ground.play(str(seed), 300)
        if told.violation is not None:
            assert told.last
            return told
    pytest.fail("nothing was found")


def test_an_unknown_effect_that_releases_its_hold_as_not_sent_is_found(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "END_OF_EFFECT", {**execution.END_OF_EFFECT, Effect.UNKNOWN: End.NOT_SENT})
    assert "says NOT_SENT, but a request was sent" in str(found(ground, range(8, 12)).violation)


def test_a_dispatch_that_no_sink_acknowledged_is_found(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Sinks.accept

    async def believing(self: Sinks, *offered: Any) -> Any:
        attempt, _ = await real(self, *offered)
        return attempt, True

    monkeypatch.setattr(Sinks, "accept", believing)
    assert "has not acknowledged what leads to the request" in str(found(ground, range(1, 6)).violation)


def test_a_dispatch_without_a_last_look_is_found(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    async def blind(run: Run, gated: Gated) -> None:
        """Look at nothing."""

    monkeypatch.setattr(execution, "_last_look", blind)
    assert "without a last look" in str(found(ground, range(1, 3)).violation)


def test_an_intent_on_what_was_said_before_is_found(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(**parts: Any) -> Intent:
        return replace(Intent(**parts), judged=None)

    monkeypatch.setattr(execution, "Intent", careless)
    assert "a request leaves on a" in str(found(ground, range(1, 21)).violation)


def test_a_canary_in_a_log_is_found(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    real = execution._last_look

    async def chatty(run: Run, gated: Gated) -> None:
        logging.getLogger("gateway").debug("about to send %s", CANARY)
        await real(run, gated)

    monkeypatch.setattr(execution, "_last_look", chatty)
    assert "a canary is in an answer or a log" in str(found(ground, range(1, 3)).violation)


def test_the_silence_of_another_system_that_counts_as_absence_is_found(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "system", "0" * 64)
    assert "the silence of another system" in str(found(ground, range(1, 8)).violation)


def test_an_absence_that_did_not_wait_is_found(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observation.Settled, "proven", lambda *_: True)
    assert "while a request may still be on its way" in str(found(ground, range(14, 17)).violation)


# -- cells and runs -----------------------------------------------------------------------------------------


def of(cells: Counter[Cell], attempts: int) -> Totals:
    return Totals(attempts=attempts, met=cells)


def test_a_cell_that_a_run_of_full_size_never_hit_fails_it_and_a_short_run_only_counts_it() -> None:
    every = Counter(dict.fromkeys(reachable(), 1))
    missed = Cell("commit", "peer.write", "late")
    without = every - Counter([missed])
    assert of(every, FULL).faults == []
    assert of(without, FULL).faults == [f"never hit: {missed}"]
    assert of(without, FULL - 1).faults == []
    assert of(without, FULL - 1).coverage.unhit == [missed]


def test_a_misfortune_outside_the_declared_cells_fails_any_run() -> None:
    stray = Cell("acknowledgement", "anywhere", "crash")
    assert of(Counter([stray]), 1).faults == [f"a misfortune in a cell that is not declared: {stray}"]


def test_the_table_tells_every_reachable_cell_once() -> None:
    coverage = Coverage(Counter({cell: number for number, cell in enumerate(sorted(reachable()), start=1)}))
    rows = list(coverage.rows())
    assert sum(row[3] for row in rows) == sum(range(1, len(reachable()) + 1))
    told = [(phase, port, each.rpartition(" ")[0]) for phase, _, port, _, faults in rows for each in faults.split(", ")]
    assert sorted(told) == sorted(map(tuple, reachable()))


def test_a_run_stops_in_good_order_prints_its_table_and_is_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "totals.json"
    assert main(["--seeds", "201-202", "--length", "20", "--processes", "1", "--json", str(file)]) == 0
    shown, first = capsys.readouterr().out, json.loads(file.read_text())
    assert "random simulation" in shown
    assert first["histories"] == 2
    assert first["attempts"] >= 40
    totals = Totals.read(first)
    assert totals.plain() == first
    simulation = Simulation(iter((203, 204, 205)), None, 20)
    simulation.run(totals, lambda _: simulation.stop())
    assert 2 < totals.histories < 5
    assert totals.last == 200 + totals.histories


def test_a_run_that_breaks_a_rule_ends_and_tells_how_to_repeat_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def blind(run: Run, gated: Gated) -> None:
        """Look at nothing."""

    monkeypatch.setattr(execution, "_last_look", blind)  # workers are forked, and inherit it
    assert main(["--seeds", "1-40", "--length", "60", "--processes", "1"]) == 1
    shown = capsys.readouterr().out
    assert "again: python -m exploration.simulation --seeds " in shown
    assert "without a last look" in shown
