"""The benchmark's harness: what it counts is the sandbox's count, and what it says is what it measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.contestants import CONTESTANTS
from benchmarks.figures import figures, percentile, table
from benchmarks.profiling import NOBODY, Place, Samples, profile
from benchmarks.racing import BenchmarkError, Plan, Racer, Share, race

INSTALLED = tuple(name for name, entry in CONTESTANTS.items() if entry.installed())


def test_every_contestant_that_is_installed_makes_the_bookings_that_it_is_asked_for(tmp_path: Path) -> None:
    found = table(race(Plan(names=INSTALLED, counts={1: 2, 16: 2, 64: 2}, rounds=1, warmups=0), tmp_path))
    assert {name for name, _ in found} == set(INSTALLED)
    assert {"floor", "gateway-sqlite"} <= set(INSTALLED)
    for cell in found.values():
        assert cell.bookings == 2
        assert 0 < cell.p50 <= cell.p99
        assert cell.rate > 0


def test_bookings_that_the_sandbox_does_not_have_are_no_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Racer._ask
    monkeypatch.setattr(Racer, "_ask", lambda racer, told: asked(racer, {"prepare": 1} if "prepare" in told else told))
    with pytest.raises(BenchmarkError, match="was to make 2 bookings and the sandbox has 1 more"):
        race(Plan(names=("floor",), counts={1: 2}, rounds=1, warmups=0), tmp_path)


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


def test_the_profile_says_for_whom_the_time_went(capsys: pytest.CaptureFixture[str]) -> None:
    found = profile(2)
    assert found.commits == 2
    assert sum(found.samples.layers.values()) == found.samples.taken > 0
    assert "boundary" in found.samples.layers
    assert found.milliseconds(found.samples.taken) == pytest.approx(found.mean)


def test_a_sample_belongs_to_the_innermost_layer_and_to_the_library_at_work() -> None:
    samples = Samples()
    samples.add(
        [Place("h11/_events.py", "f"), Place("gateway/boundary/session.py", "g"), Place("gateway/attempt.py", "h")]
    )
    samples.add([Place("asyncio/events.py", "f")])
    samples.add([])
    assert samples.layers == {"boundary": 1, "event loop": 1, NOBODY: 1}
    assert samples.libraries == {"h11": 1, "asyncio": 1, NOBODY: 1}
