"""Markdown that is made from the code: tables, and a made part of a page that is otherwise written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The lines of one table; a bar in a cell is escaped, so that no cell can become two."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"


def with_part(page: str, name: str, lines: Iterable[str]) -> str:
    """The page with `lines` between its comments `<!-- name: made … -->` and `<!-- name: end -->`.

    Raises ValueError where the page has not exactly one such part.
    """
    before, opened, rest = page.partition(f"<!-- {name}: made ")
    told, closed, rest = rest.partition(" -->\n")
    _, ended, after = rest.partition(f"<!-- {name}: end -->")
    if not (opened and closed and ended) or f"<!-- {name}: " in before + after:
        raise ValueError(f"the page has not one part {name}")
    return "".join((before, opened, told, closed, "\n", "\n".join(lines), "\n\n", ended, after))
