"""The requirement catalogue: rows as data, the tests that hold them, and the breaks that prove it.

Owns: `requirements.csv` (the rows), `explained.toml` (rows in scope that no test can hold, each with its
reason), `breaks.toml` (recorded breaks). `plugin` collects which tests carry which ids,
`coverage` prints what is held, `breaks` replays the breaks.
Refuses: an id that is no row, and an explanation for a row that a test already holds.
"""

from __future__ import annotations

import csv
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

IN_SCOPE: Final = frozenset({"orchestrator", "gates", "approvals", "policy", "ledger", "audit", "triggers", "adapters"})
"""Areas that this release builds; CARD rows are in scope whatever their area."""


@dataclass(frozen=True, slots=True)
class Row:
    """One requirement as the catalogue states it."""

    id: str
    sources: str
    area: str
    kind: str
    statement: str
    verify_by: str

    @property
    def in_scope(self) -> bool:
        return self.area in IN_SCOPE or self.id.startswith("CARD-")


def rows() -> tuple[Row, ...]:
    """Every row, in the catalogue's order."""
    text = resources.files(__name__).joinpath("requirements.csv").read_text(encoding="utf-8")
    return tuple(Row(**record) for record in csv.DictReader(text.splitlines()))


def explained() -> dict[str, str]:
    """Row id to the reason why no test holds it."""
    reasons: dict[str, str] = read_toml("explained.toml")["explained"]
    return reasons


def read_toml(name: str) -> dict[str, Any]:
    """One of the catalogue's own data files."""
    return tomllib.loads(resources.files(__name__).joinpath(name).read_text(encoding="utf-8"))
