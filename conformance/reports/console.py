"""A run in the terminal, while it goes on and when it is over.

Owns: layout only. Progress goes to standard error, so that standard output stays a program's. Without a terminal
there is no bar; what did not pass is a line of its own either way. Nothing is told by colour alone.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Self

import rich.console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from conformance.reports.outline import MARKS, WORDS, areas, headline, lines, missing, tally, title
from conformance.requirement import Requirement
from conformance.results import Judgement, Result, Results, Verdict
from conformance.verdict import derive
from gateway.cli.answer import console

_STYLES: Final[Mapping[Judgement | None, str]] = MappingProxyType(
    {
        Judgement.PASSED: "green",
        Judgement.FAILED: "bold red",
        Judgement.NOT_APPLICABLE: "dim",
        Judgement.COULD_NOT_RUN: "yellow",
        Judgement.HARNESS_ERROR: "magenta",
        None: "yellow",
    }
)
_VERDICTS: Final[Mapping[Verdict, str]] = MappingProxyType(
    {Verdict.CONFORMANT: "✓", Verdict.NOT_CONFORMANT: "✗", Verdict.INCOMPLETE: "!"}
)
_VERDICT_STYLES: Final[Mapping[Verdict, str]] = MappingProxyType(
    {
        Verdict.CONFORMANT: "bold green",
        Verdict.NOT_CONFORMANT: "bold red",
        Verdict.INCOMPLETE: "bold yellow",
    }
)
_SHOWN: Final = 6


class Silent:
    """Tells nothing; stands in for `Console` (both are an engine's `Watcher`)."""

    def begin(self, total: int) -> None: ...

    def started(self, requirement: Requirement) -> None: ...

    def ended(self, result: Result) -> None: ...

    def concluded(self, results: Results) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


@dataclass(slots=True)
class Console:
    """A bar while running, then a summary. Use it as a context manager, so that a broken run leaves no bar behind.

    `summary`: where the summary goes, if not to `screen` like all else.
    """

    screen: rich.console.Console = field(default_factory=lambda: _terminal())  # noqa: PLW0108 - defined below
    summary: rich.console.Console | None = None
    _bar: Progress | None = None
    _task: TaskID | None = None
    _counts: Counter[Judgement] = field(default_factory=Counter)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def begin(self, total: int) -> None:
        self._bar = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[counts]}"),
            TextColumn("{task.description}", style="dim"),
            console=self.screen,
            transient=True,
            redirect_stdout=False,  # what an adapter prints is overheard; rich would take it first
            redirect_stderr=False,
            disable=not self.screen.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, counts="")
        self._bar.start()

    def started(self, requirement: Requirement) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=requirement.id)

    def ended(self, result: Result) -> None:
        self._counts[result.judgement] += 1
        if result.judgement not in (Judgement.PASSED, Judgement.NOT_APPLICABLE):
            self.screen.print(_line(result.judgement, result.requirement, result.reason))
        if self._bar is not None and self._task is not None:
            shown = " ".join(
                f"[{_STYLES[each]}]{MARKS[each]} {self._counts[each]}[/]" for each in Judgement if self._counts[each]
            )
            self._bar.update(self._task, advance=1, counts=shown)

    def concluded(self, results: Results) -> None:
        self._stop()
        page = self.summary or self.screen
        page.print(_table(results))
        verdict = derive(results)
        page.print(Text.assemble((_VERDICTS[verdict], _VERDICT_STYLES[verdict]), " ", (headline(results), "bold")))
        for sentence in missing(results):
            page.print(Text(f"  {sentence}"))
        undone = [line for line in lines(results) if line.counts is None and not line.advisory]
        for line in undone[:_SHOWN]:
            page.print(_line(None, line.id, None))
        if len(undone) > _SHOWN:
            page.print(Text(f"  … and {len(undone) - _SHOWN} more that did not execute", "dim"))

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _terminal() -> rich.console.Console:
    """Standard error as it is now: while a run listens to what adapters print, `sys.stderr` is another."""
    screen = console(stderr=True)
    screen.file = sys.stderr
    return screen


def _line(judgement: Judgement | None, requirement: str, reason: str | None) -> Text:
    text = Text.assemble((MARKS[judgement], _STYLES[judgement]), f" {requirement} ", (WORDS[judgement], "dim"))
    return text.append(f"\n    {reason}", style="dim") if reason else text


def _table(results: Results) -> Table:
    """One row an area, one column a judgement that occurs."""
    whole = tally(lines(results))
    table = Table(box=None, pad_edge=False, header_style="dim", show_footer=True, footer_style="bold")
    table.add_column("area", footer="all", no_wrap=True)
    for judgement, number in whole.items():
        table.add_column(WORDS[judgement], footer=str(number), justify="right", style=_STYLES[judgement])
    for area, found in areas(results).items():
        counts = tally(found)
        table.add_row(title(area), *(str(counts.get(judgement, "")) for judgement in whole))
    return table
