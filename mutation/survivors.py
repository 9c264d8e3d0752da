"""Why a mutant may live: `survivors.toml` beside the code, and one rule for what needs no words of its own.

    [[survivor]]
    module = "case.py"
    function = "Case.current"
    changes = ["- old line\\n+ new line"]
    reason = "equivalent"
    because = "One sentence."

A justification names mutants by module, function and change. It is stale where one of its changes belongs to no
mutant that survives: it is gone, or a test kills it now.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from mutation.mutants import Mutant

FILE: Final = "survivors.toml"

_SQL: Final = re.compile(
    r"\s*\(?(?:SELECT|INSERT|UPDATE|DELETE|BEGIN|COMMIT|ROLLBACK|PRAGMA|CREATE|ATTACH|VACUUM|SAVEPOINT|RELEASE|WHERE|AND|ORDER|FROM|LEFT|ON"
    r"|SET|VALUES|\w+ = '\w+' AND|\w+ IS NOT NULL)\b",
    re.IGNORECASE,
)
_UNCASED: Final = re.compile(r"""('[^']*'|"[^"]*"|:\w+)|([^'":]+)""")
"""What SQLite distinguishes by case (texts, quoted names, parameters), and what it does not."""


class Reason(StrEnum):
    """The closed set of reasons."""

    EQUIVALENT = "equivalent"  # nothing that can be observed differs
    TEXT = "text"  # only words for people differ
    COST = "cost"  # only time, memory or the number of calls differ
    TWICE = "twice"  # another guard, which the sentence names, refuses the same thing
    ELSEWHERE = "elsewhere"  # a test outside the unit notices, which the sentence names
    MACHINE = "machine"  # shows only on a machine or file system that tests cannot have
    SQL = "sql"  # only the case of SQL or of a column's name differs; found by comparison, never written down


@dataclass(frozen=True, slots=True, kw_only=True)
class Justification:
    """One entry of a survivors file; `module` from the root, with forward slashes."""

    module: str
    function: str
    changes: tuple[str, ...]
    reason: Reason
    because: str

    def names(self, mutant: Mutant) -> bool:
        return (self.module, self.function) == (mutant.module, mutant.function) and mutant.change in self.changes


def justifications(root: Path) -> list[Justification]:
    """All survivors files below `root / "gateway"`; raises `ValueError` or `KeyError` for an entry that is none."""
    return [
        Justification(
            module=(path.parent / entry["module"]).relative_to(root).as_posix(),
            function=entry["function"],
            changes=tuple(change.strip() for change in entry["changes"]),
            reason=Reason(entry["reason"]),
            because=entry["because"],
        )
        for path in sorted((root / "gateway").rglob(FILE))
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["survivor"]
    ]


def stale(known: Iterable[Justification], mutants: Sequence[Mutant]) -> list[tuple[Justification, str]]:
    """The changes that justify nothing, among the justifications of the modules that these mutants are of."""
    modules = {mutant.module for mutant in mutants}
    alive = {(mutant.module, mutant.function, mutant.change) for mutant in mutants if mutant.alive}
    return [
        (entry, change)
        for entry in known
        if entry.module in modules
        for change in entry.changes
        if (entry.module, entry.function, change) not in alive
    ]


def same_sql(mutant: Mutant) -> bool:
    """Whether the mutant differs by nothing but upper and lower case of SQL, or of the name by which a
    `sqlite3.Row` is asked for a column: SQLite distinguishes neither."""
    old, new = (ast.dump(_Lowered().visit(ast.parse(text))) for text in (mutant.original, mutant.mutated))
    return "/_sqlite" in mutant.module and old == new


class _Lowered(ast.NodeTransformer):
    """Lowers the case of names of columns, and of what begins like SQL but for the texts and parameters inside."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            return ast.Subscript(self.visit(node.value), ast.Constant(node.slice.value.lower()), node.ctx)
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str) and _SQL.match(node.value):
            return ast.Constant(_UNCASED.sub(lambda found: found[1] or found[2].lower(), node.value))
        return node
