"""Growth: a filled journal is what a gateway would have left behind, as far as anything but an audit can see."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchmarks import growth
from benchmarks.filling import fill
from benchmarks.growth import COLD, REPLAY, WARM, Growth, Line, Size, grow
from benchmarks.page import growth_markdown
from benchmarks.site import Site


async def test_both_journals_are_filled_and_measured_in_turn(ground: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "SAMPLES", 4)
    found = await grow(Size(attempts=1300, small=40, recent=100, warm=1, cold=1), ground, lambda _: None)
    assert (found.small.attempts, found.small.with_events) == (40, 36)
    assert (found.large.attempts, found.large.with_events) == (1300, 100)
    assert [line.what for line in found.lines] == [WARM, COLD, REPLAY]
    assert all(line.small["p50"] > 0 and line.large["p99"] >= line.large["p50"] > 0 for line in found.lines)
    with closing(sqlite3.connect(ground.directory / "large" / "practice" / "gateway" / "journal.db")) as journal:
        assert column(journal, "PRAGMA integrity_check") == ["ok"]
        assert column(journal, "PRAGMA foreign_key_check") == []
        made = 1300 + 3  # warming up, warm, cold
        for table in ("attempts", "triggers", "holds"):
            assert column(journal, f"SELECT count(*) FROM {table}") == [made], table
        assert column(journal, "SELECT count(*) FROM records") == [2 * made]
        assert column(journal, "SELECT count(DISTINCT attempt) FROM events") == [100 + 3]
        assert column(journal, "SELECT count(*) FROM attempts WHERE volume IS NULL") == [100 + 3]
        assert column(journal, "SELECT count(*) FROM attempts WHERE volume = 1") == [4]
        assert column(journal, "SELECT max(volume) FROM attempts") == column(journal, "SELECT max(number) FROM volumes")
        assert column(journal, "SELECT max(position) FROM attempts") == [made]
        assert "attempts_in_flight" in column(journal, "SELECT name FROM sqlite_schema WHERE type = 'index'")


def column(journal: sqlite3.Connection, statement: str) -> list[Any]:
    return [row[0] for row in journal.execute(statement)]


def test_a_journal_without_samples_is_not_filled(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as journal:
        journal.execute("CREATE TABLE attempts (position, practice, proposal, state, volume)")
        journal.execute("CREATE TABLE records (practice, proposal)")
    with pytest.raises(ValueError, match="a sample is an executed booking"):
        fill(path, 10, 10, lambda _: None)


def test_growth_is_held_against_its_target() -> None:
    def found(large: float) -> Growth:
        line = Line(what=WARM, small={"p50": 10, "p99": 20}, large={"p50": large, "p99": 20})
        cold = Line(what=COLD, small={"p50": 10, "p99": 20}, large={"p50": 30, "p99": 40})
        size = growth.Filled(attempts=1000, with_events=100, size=10**9)
        return Growth(small=size, large=size, lines=[line, cold], opening=(1, 2))

    assert 'Target, p50 of "commit" within 1.2: met.' in growth_markdown(found(12))
    assert 'Target, p50 of "commit" within 1.2: **not met**.' in growth_markdown(found(12.1))
    assert "| commit | 10.0 | 20.0 | 12.1 | 20.0 | 1.21 |" in growth_markdown(found(12.1))
