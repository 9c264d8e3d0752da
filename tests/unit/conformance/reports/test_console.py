"""A run in the terminal: what did not pass is said at once, and the end is a table and a verdict."""

from __future__ import annotations

import io

import pytest
import rich.console

from conformance.registry import REQUIREMENTS
from conformance.reports.console import Console, Silent
from conformance.results import Judgement, Results


def watched(results: Results, *, terminal: bool = False) -> str:
    written = io.StringIO()
    screen = rich.console.Console(file=written, width=100, force_terminal=terminal, color_system=None, emoji=False)
    with Console(screen) as watcher:
        watcher.begin(len(results.results))
        for result in results.results:
            watcher.started(REQUIREMENTS[result.requirement])
            watcher.ended(result)
        watcher.concluded(results)
    return written.getvalue()


def test_what_did_not_pass_is_a_line_with_its_reason_and_what_passed_is_none(failing: Results) -> None:
    told = watched(failing).partition("area ")[0]
    assert "✗ lost.after-commit.book failed\n    Expected one mutating request and one effect" in told
    assert "! lost.late.cancel could not run" in told
    assert "# ready.hanging error of the suite" in told
    assert "book.applied" not in told


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        ("conformant", "✓ The adapter exampleehr is conformant"),
        ("failing", "✗ The adapter exampleehr is not conformant"),
        ("incomplete", "! Incomplete: whether the adapter exampleehr conforms"),
    ],
)
def test_the_end_is_a_verdict(run: str, sentence: str, request: pytest.FixtureRequest) -> None:
    assert sentence in watched(request.getfixturevalue(run))


def test_the_table_adds_up_and_names_what_was_not_reached(incomplete: Results) -> None:
    told = watched(incomplete)
    footer = next(line.split() for line in told.splitlines() if line.startswith("all "))
    assert sum(int(number) for number in footer[1:]) == len(REQUIREMENTS)
    assert "· lost.late.book did not execute" in told
    assert "more that did not execute" in told


def test_a_reason_is_text_and_never_markup(conformant: Results) -> None:
    failed = conformant.results[4].model_copy(update={"judgement": Judgement.FAILED, "reason": "[red]x[/red] [/nope]"})
    assert "[red]x[/red] [/nope]" in watched(conformant.model_copy(update={"results": (failed,)}))


def test_a_terminal_sees_the_check_that_runs_and_the_bar_goes_away_with_an_error(conformant: Results) -> None:
    written = io.StringIO()
    screen = rich.console.Console(file=written, width=120, force_terminal=True, color_system=None)
    with pytest.raises(RuntimeError, match="broken off"), Console(screen) as watcher:  # noqa: PT012 - what is drawn before the error is the point
        watcher.begin(2)
        watcher.started(REQUIREMENTS["book.applied"])
        watcher.ended(conformant.results[4])
        raise RuntimeError("broken off")
    assert "book.applied" in written.getvalue()
    assert "1/2" in written.getvalue()
    assert written.getvalue().rstrip("\n\r").endswith(("\x1b[2K", "\x1b[?25h", "\x1b[1A\x1b[2K"))


def test_the_summary_can_go_elsewhere(conformant: Results) -> None:
    progress, summary = io.StringIO(), io.StringIO()
    watcher = Console(rich.console.Console(file=progress), summary=rich.console.Console(file=summary, width=100))
    watcher.concluded(conformant)
    assert progress.getvalue() == ""
    assert "is conformant" in summary.getvalue()


def test_the_silent_one_says_nothing(failing: Results, capsys: pytest.CaptureFixture[str]) -> None:
    with Silent() as watcher:
        watcher.begin(1)
        watcher.started(REQUIREMENTS["book.applied"])
        watcher.ended(failing.results[0])
        watcher.concluded(failing)
    assert capsys.readouterr() == ("", "")
