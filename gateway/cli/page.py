"""Lines and facts as rich renderables: layout only, at most 100 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gateway.cli.answer import MAX_WIDTH
from gateway.cli.timeline import Fact, Line, conclusion, outcome_facts, subject, timeline
from gateway.cli.wording import MARKS, STYLES, Tone, clock_time
from gateway.contracts.outcome import Outcome
from gateway.journal import AttemptFile

LABEL_WIDTH = 12


def attempt_page(file: AttemptFile) -> list[RenderableType]:
    """The whole page of one attempt: subject, timeline, conclusion."""
    return [title("Attempt", file.attempt), facts_table(subject(file)), "", *draw(timeline(file)), "",
            facts_table(conclusion(file))]  # fmt: skip


def outcome_page(outcome: Outcome, name: str | None = None) -> list[RenderableType]:
    """A command's answer that is one outcome."""
    heading = title("Attempt", outcome.attempt or "none was made", name)
    return [heading, facts_table(outcome_facts(outcome))]


def title(kind: str, reference: str, note: str | None = None) -> Text:
    text = Text.assemble((kind, "bold"), " ", reference)
    return text if note is None else text.append(f"  {note}", style="dim")


def facts_table(facts: Sequence[Fact]) -> Padding:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=LABEL_WIDTH, style="dim", no_wrap=True)
    table.add_column(width=1, no_wrap=True)
    table.add_column(overflow="fold")
    for fact in facts:
        table.add_row(fact.label, Text(MARKS[fact.tone], STYLES[fact.tone]), Text(fact.text, _weight(fact.tone)))
    return Padding(table, (0, 0, 0, 2))


def draw(lines: Sequence[Line]) -> list[RenderableType]:
    """The timeline in UTC: phase and instant where they change, marks and words, cut by the barriers."""
    parts: list[RenderableType] = []
    table, phase, instant = _lines_table(), "", ""
    for line in lines:
        if line.barrier:
            parts += [Padding(table, (0, 0, 0, 2)), _barrier(line)]
            table, instant = _lines_table(), ""
            continue
        at = clock_time(line.at) if line.at else instant
        words = Text(f"→ {line.state}", STYLES[line.tone] or "bold") if line.state else Text(line.text)
        words.stylize(_weight(line.tone))
        mark = Text(MARKS[line.tone], STYLES[line.tone])
        table.add_row(at if at != instant else "", line.phase if line.phase != phase else "", mark, words)
        phase, instant = line.phase.value, at
    parts.append(Padding(table, (0, 0, 0, 2)))
    return parts


def _barrier(line: Line) -> Text:
    head = Text(f"━━ {line.state}, {line.text} ", _weight(line.tone) or "bold", no_wrap=True, overflow="crop")
    return head.append("━" * max(0, MAX_WIDTH - head.cell_len))


def listing(columns: Sequence[str], rows: Sequence[Sequence[str | Text]], empty: str) -> RenderableType:
    """A plain table whose first column, a reference, stays whole; or the sentence that there is nothing."""
    if not rows:
        return Text(empty, "dim")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*row)
    return table


def marked(tone: Tone, text: str) -> Text:
    return Text.assemble((MARKS[tone], STYLES[tone]), " ", text)


def _lines_table() -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=LABEL_WIDTH, style="dim", no_wrap=True)
    table.add_column(width=10, no_wrap=True)
    table.add_column(width=1, no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _weight(tone: Tone) -> str:
    return STYLES[tone] if tone in (Tone.QUIET, Tone.STRONG, Tone.BAD) else ""
