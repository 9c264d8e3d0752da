"""The golden matrix: mutant by mutant, exactly which requirements go red.

Owns: the reading of `matrix.toml`. In a row `*` stands for any part of an id; a row means all requirements that it
matches, no more and no less.
Refuses, as `MatrixError`: a mutant without a row, a row without a mutant, and a pattern that matches nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from conformance.registry import REQUIREMENTS
from gateway.errors import DocumentError

MATRIX_FILE: Final = "matrix.toml"


class MatrixError(DocumentError):
    """`matrix.toml` and the catalogue of mutants do not fit together; names the row."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """`red` by mutant; `unguarded` are the requirements that no mutant can turn red, each with the reason."""

    red: Mapping[str, frozenset[str]]
    unguarded: Mapping[str, str]

    @property
    def without_control(self) -> tuple[str, ...]:
        """Requirements that nothing turns red and that no reason excuses: whether they can fail is not known."""
        seen = frozenset().union(*self.red.values(), self.unguarded)
        return tuple(each.id for each in REQUIREMENTS.values() if each.id not in seen and not each.advisory)


def load(mutants: Iterable[str]) -> Matrix:
    """The packaged matrix, for exactly these mutants."""
    return read(files("conformance.mutants").joinpath(MATRIX_FILE).read_text("utf-8"), mutants)


def read(text: str, mutants: Iterable[str]) -> Matrix:
    """The matrix that this TOML document spells; raises `MatrixError`."""
    document = tomllib.loads(text)
    rows: dict[str, list[str]] = document["red"]
    names = set(mutants)
    if missing := sorted(names - rows.keys()):
        raise MatrixError(f"{MATRIX_FILE} has no row for {', '.join(missing)}")
    if strange := sorted(rows.keys() - names):
        raise MatrixError(f"{MATRIX_FILE} has a row for {', '.join(strange)}, which is no mutant")
    red = {name: _expanded(name, patterns) for name, patterns in rows.items()}
    unguarded: dict[str, str] = document.get("unguarded", {})
    if contradicted := sorted(each for each in unguarded if any(each in row for row in red.values())):
        raise MatrixError(f"{MATRIX_FILE} excuses {', '.join(contradicted)}, which a mutant turns red")
    return Matrix(MappingProxyType(red), MappingProxyType(unguarded))


def _expanded(name: str, patterns: Iterable[str]) -> frozenset[str]:
    found: set[str] = set()
    for pattern in patterns:
        matched = {each for each in REQUIREMENTS if fnmatchcase(each, pattern)}
        if not matched - found:
            raise MatrixError(f"in the row of {name} the pattern {pattern} adds no requirement")
        found |= matched
    return frozenset(found)
