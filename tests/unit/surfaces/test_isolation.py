"""Nothing that commits can sign: the import rule between the gateway and its surfaces."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway

ROOT = Path(gateway.__file__).parent
SURFACES = re.compile(r"gateway\.surfaces(\.\w+)*")


def modules() -> list[Path]:
    return [path for path in sorted(ROOT.rglob("*.py")) if "surfaces" not in path.relative_to(ROOT).parts]


def named_modules(path: Path, source: str) -> Iterator[str]:
    """Every module that the source imports or could import by a name spelled out in it."""
    package = ["gateway", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def reaches_surfaces(path: Path, source: str) -> bool:
    return any(SURFACES.fullmatch(name) for name in named_modules(path, source))


@pytest.mark.requirement("AUTH-07")
def test_nothing_else_in_the_gateway_imports_the_surfaces() -> None:
    assert len(modules()) > 20
    assert [path.name for path in modules() if reaches_surfaces(path, path.read_text())] == []


@pytest.mark.parametrize(
    "source",
    [
        "import gateway.surfaces",
        "import gateway.surfaces.sign as s",
        "from gateway import surfaces",
        "from gateway.surfaces.keys import LocalKey",
        "from .. import surfaces",
        "from ..surfaces import keys",
        "def later():\n    from gateway.surfaces import sign",
        "import importlib\nimportlib.import_module('gateway.surfaces.sign')",
    ],
)
def test_the_rule_sees_every_way_of_importing(source: str) -> None:
    assert reaches_surfaces(ROOT / "gates" / "identity.py", source)
