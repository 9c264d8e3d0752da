"""The benchmark's harness: what it counts is the sandbox's count, and what it says is what it measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from benchmarks import page, racing, syncs
from benchmarks.contestants import CONTESTANTS
from benchmarks.figures import Figures, figures, percentile, table
from benchmarks.processes import BenchmarkError, ask
from benchmarks.profiling import NOBODY, Place, Samples, profile
from benchmarks.racing import Plan, Share, race, racer
from benchmarks.report import Report
from benchmarks.runner import BEGIN_MARK, END_MARK
from benchmarks.site import Site
from benchmarks.syncs import Syncs

INSTALLED = tuple(name for name, entry in CONTESTANTS.items() if entry.installed() and not entry.database)


def test_every_contestant_that_is_installed_makes_the_bookings_that_it_is_asked_for(ground: Site) -> None:
    told: list[str] = []
    found = table(race(Plan(names=INSTALLED, counts={1: 2, 16: 2, 64: 2}, rounds=1), ground, told.append))
    assert told == ["warming up", "round 1 of 1"]
    assert {name for name, _ in found} == set(INSTALLED)
    assert {"floor", "gateway-sqlite"} <= set(INSTALLED)
    for cell in found.values():
        assert cell.bookings == 2
        assert 0 < cell.p50 <= cell.p99
        assert cell.rate > 0


def test_bookings_that_the_sandbox_does_not_have_are_no_measurement(
    ground: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def boasting(process: Popen[str], told: Mapping[str, Any]) -> dict[str, Any]:
        """Books half of what it is asked for, and claims all."""
        answer = ask(process, {"prepare": 1} if "prepare" in told else told)
        return answer | {"taken": answer["taken"] * 2} if "taken" in answer else answer

    monkeypatch.setattr(racing, "ask", boasting)
    wrong = pytest.raises(BenchmarkError, match="was to make 2 bookings and the sandbox has 1 more")
    with racer("floor", ground) as floor, wrong:
        floor.share(2, 1)


def test_a_percentile_is_the_smallest_value_that_the_share_does_not_exceed() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([7.0], 0.99) == 7


def test_p50_and_rate_are_medians_of_the_rounds_and_p99_is_of_all_bookings() -> None:
    rounds = [Share(taken=[each] * 100, wall=100 * each, cpu=1.0, others=2.0) for each in (0.001, 0.002, 0.1)]
    found = figures(rounds)
    assert (found.p50, found.p99, round(found.rate)) == (2, 100, 500)
    assert (found.cpu, found.sandbox_cpu, found.bookings) == (10, 20, 300)


def test_the_profile_says_for_whom_the_time_went(ground: Site) -> None:
    found = profile(2, ground)
    assert found.commits == 2
    assert sum(found.samples.layers.values()) == found.samples.taken > 0
    assert "boundary" in found.samples.layers
    assert sum(spent for _, spent, _ in found.spent(found.samples.layers, 99)) == pytest.approx(found.mean)
    assert "| boundary | " in page.profile_markdown(found)


def test_a_sample_belongs_to_the_innermost_layer_and_to_the_library_at_work() -> None:
    samples = Samples()
    samples.add(
        [Place("h11/_events.py", "f"), Place("gateway/boundary/session.py", "g"), Place("gateway/attempt.py", "h")]
    )
    samples.add([Place("asyncio/events.py", "f")])
    samples.add([])
    assert samples.layers == {"boundary": 1, "event loop": 1, NOBODY: 1}
    assert samples.libraries == {"h11": 1, "asyncio": 1, NOBODY: 1}


def cell(p50: float, rate: float) -> Figures:
    return Figures(p50=p50, p99=p50, rate=rate, cpu=1, server_cpu=0, sandbox_cpu=1, bookings=1)


def report(counted: Syncs | None = None) -> Report:
    figures = {
        ("floor", 1): cell(10, 100),
        ("floor", 64): cell(10, 150),
        ("gateway-sqlite", 1): cell(15, 50),
        ("gateway-sqlite", 64): cell(100, 290),
        ("dbos-sqlite", 64): cell(100, 50),
        ("dbos-postgres", 64): cell(100, 100),
        ("action-gate", 64): cell(100, 50),
    }
    found = {("gateway-sqlite", 64): counted} if counted else {}
    return Report(machine={"Python": "3"}, figures=figures, syncs=found, rounds=1, counts={1: 1})


def test_a_target_is_held_against_the_faster_database_of_a_peer() -> None:
    judged = {target.what: (round(target.ratio, 2), target.met) for target in report().targets()}
    assert judged == {
        "p50, one at a time: this gateway, SQLite ÷ floor": (1.5, True),
        "rate, 64 at once: this gateway, SQLite ÷ DBOS, PostgreSQL": (2.9, False),
        "rate, 64 at once: this gateway, SQLite ÷ agent-runtime-governance, SQLite": (5.8, True),
        "rate, 64 at once: floor ÷ DBOS, PostgreSQL": (1.5, None),
        "rate, 64 at once: floor ÷ agent-runtime-governance, SQLite": (3.0, None),
    }


def test_the_page_keeps_what_was_written_by_hand_and_says_what_falls_short(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.md"
    path.write_text("above\n<!-- measured: race -->\nold\n<!-- end: race -->\nbelow\n")
    text = page.markdown(report(Syncs(own={"journal.db": 1.2}, server={"client backend": 0.3})))
    page.replace("race", text, path)
    page.replace("race", text, path)
    written = path.read_text()
    assert written.startswith("above\n")
    assert written.endswith("below\n")
    assert "old" not in written
    assert written.count("| this gateway, SQLite | 64 | 100.0 | 100.0 | 290 | 1.0 |  | 1.5 |") == 1
    assert "÷ DBOS, PostgreSQL | 2.90 | at least 3 | **no** |" in written
    with pytest.raises(ValueError, match="no place for what was measured: growth"):
        page.replace("growth", text, path)


def test_only_syncs_between_the_marks_of_a_share_are_its_own(tmp_path: Path) -> None:
    lines = [
        f"7 fsync(3</d/{name}>) = 0" for name in ("x.db", BEGIN_MARK, "a.db", END_MARK, "y.db", BEGIN_MARK, END_MARK)
    ]
    assert syncs.shares(lines) == [["/d/a.db"], []]
    assert syncs.shares(["8 fdatasync(3</d/b.db> <unfinished ...>", *lines[1:2], "8 <... fdatasync resumed>"]) == [[]]
