"""The table of hostile peers in `docs/reliability.md`, made from what the tests hold the gateway to.

python -m tests.peers.page      # writes it
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from conformance.documents.markdown import table, with_part
from tests.peers import frames
from tests.peers.behaviours import BEHAVIOURS, Behaviour
from tests.peers.cells import ALL, Cell

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
PART = "hostile peers"


def lines() -> Iterator[str]:
    """Of HTTP, then of MLLP: one row per outcome, in the order in which the behaviours first reach it; the count."""
    yield from _met(BEHAVIOURS, ALL, "a peer that, at the mutating request, …", "request")
    yield ""
    yield from _met(frames.BEHAVIOURS, frames.ALL, "a filler that, at the mutating message (MLLP), …", "message")


def _met(behaviours: Sequence[Behaviour], cells: Sequence[Cell], head: str, sent: str) -> Iterator[str]:
    reached: dict[tuple[str, str], list[str]] = defaultdict(list)
    for behaviour in behaviours:
        plain, over_tls = behaviour.right(tls=False), behaviour.right(tls=True)
        reached[plain].append(behaviour.says)
        if over_tls != plain:
            reached[over_tls].append(f"over TLS: {behaviour.says}")
    told = ((effect, f"`{code}`", "; ".join(says)) for (effect, code), says in reached.items())
    yield from table(("effect", "code", head), told)
    yield ""
    count, tls = len(behaviours), sum(cell.tls for cell in cells)
    yield f"{count} behaviours in {len(cells)} cells, {tls} of them over TLS: at most 1 mutating {sent} in each."


def renewed(page: str) -> str:
    return with_part(page, PART, lines())


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
