"""The table of hostile peers in `docs/reliability.md`, made from what the tests hold the gateway to.

python -m tests.peers.page      # writes it
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from conformance.documents.markdown import table, with_part
from tests.peers.behaviours import BEHAVIOURS
from tests.peers.cells import ALL

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
PART = "hostile peers"


def lines() -> Iterator[str]:
    """One row per outcome, in the order in which the behaviours first reach it; then the count."""
    reached: dict[tuple[str, str], list[str]] = defaultdict(list)
    for behaviour in BEHAVIOURS:
        plain, over_tls = behaviour.right(tls=False), behaviour.right(tls=True)
        reached[plain].append(behaviour.says)
        if over_tls != plain:
            reached[over_tls].append(f"over TLS: {behaviour.says}")
    told = ((effect, f"`{code}`", "; ".join(says)) for (effect, code), says in reached.items())
    yield from table(("effect", "code", "a peer that, at the mutating request, …"), told)
    yield ""
    behaviours, tls = len(BEHAVIOURS), sum(cell.tls for cell in ALL)
    yield f"{behaviours} behaviours in {len(ALL)} cells, {tls} of them over TLS: at most 1 mutating request in each."


def renewed(page: str) -> str:
    return with_part(page, PART, lines())


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
