"""The tree under test: its sources, parsed once."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

PACKAGES = ("gateway", "adapters", "conformance")
NOT_OURS = {".git", "build", "dist", "__pycache__"}


@dataclass(frozen=True)
class Source:
    """One Python file: its path from the root (with forward slashes), text and syntax tree."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def imports(self) -> set[str]:
        """Every module named in an import statement, in full."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        return found

    @cached_property
    def names(self) -> set[str]:
        """Every identifier that the code uses: variables, attributes, arguments, keywords, definitions."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            for field in ("id", "attr", "arg", "name"):
                if isinstance(value := getattr(node, field, None), str):
                    found.add(value)
        return found

    def within(self, *places: str) -> bool:
        return any(self.path == place or self.path.startswith(place.rstrip("/") + "/") for place in places)


@pytest.fixture(scope="session")
def root(request: pytest.FixtureRequest) -> Path:
    return request.config.rootpath


@pytest.fixture(scope="session")
def sources(root: Path) -> tuple[Source, ...]:
    """All Python files of the three packages."""
    return tuple(
        Source(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.py"))
    )


@pytest.fixture(scope="session")
def shipped(root: Path) -> tuple[Path, ...]:
    """Every text file of the project, whether Python or not."""
    return tuple(sorted(_walk(root)))


def _walk(directory: Path) -> Iterator[Path]:
    for entry in os.scandir(directory):
        if (
            entry.name in NOT_OURS
            or entry.name.startswith(".venv")
            or entry.name.endswith(("_cache", ".egg-info", ".pyc"))
            or entry.name == ".hypothesis"
        ):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        elif entry.is_file():
            yield Path(entry.path)
