"""The copy of the tree in which mutmut works, and one run of it.

mutmut leaves decorated functions alone, so in the copy `@property` over `def f` is spelled as `def f` followed by
`f = property(f)`: the same thing to Python, and a function like any other to mutmut. What stands outside functions
(tables, regular expressions, annotations) is not mutated; nor are the texts of exceptions, nor asserts.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mutation.units import ROOT, Unit

_NOT_COPIED: Final = shutil.ignore_patterns("__pycache__", ".*_cache")
_KEPT_DECORATORS: Final = {"classmethod", "staticmethod"}  # mutmut knows these, where they stand alone
_UNMUTATED: Final = (
    r'^\s*raise [\w.]+\(f?"',  # an exception's text: no program decides by it
    r"^\s*assert ",  # narrows a type; no refusal rests on one (pyproject.toml, S101)
)
_SETTINGS: Final = """
[tool.mutmut]
source_paths = ["gateway"]
only_mutate = {modules}
also_copy = ["adapters", "conformance"]
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0"]
do_not_mutate_patterns = {unmutated}
use_git_change_detection = false
timeout_constant = 2.0
timeout_multiplier = 8.0
"""


def make(unit: Unit, place: Path) -> None:
    """A fresh copy at `place`, in which nothing was tried yet."""
    shutil.rmtree(place, ignore_errors=True)
    (place / "mutants").mkdir(parents=True)  # before Python starts there: it remembers what was no directory
    renew(unit, place)


def renew(unit: Unit, place: Path) -> None:
    """Today's code and tests. mutmut keeps what it found out about functions that have not changed."""
    kept = {module: (place / module).read_bytes() for module in unit.modules if (place / module).is_file()}
    times = {module: (place / module).stat().st_mtime for module in kept}
    for directory in ("gateway", "adapters", "conformance", "tests"):
        shutil.rmtree(place / directory, ignore_errors=True)
        shutil.copytree(ROOT / directory, place / directory, ignore=_NOT_COPIED)
    shutil.rmtree(place / "mutants" / "tests", ignore_errors=True)
    for module in unit.modules:
        path = place / module
        path.write_text(undecorated(path.read_text(encoding="utf-8")), encoding="utf-8")
        if path.read_bytes() == kept.get(module):
            os.utime(path, (times[module], times[module]))  # mutmut goes by the file's time


def undecorated(source: str) -> str:
    """The module with each `@decorator` over `def name` spelled as `name = decorator(name)` below it."""
    lines = source.splitlines()
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    for function in sorted(functions, key=lambda node: -node.lineno):
        decorators = function.decorator_list
        alone = decorators[0] if len(decorators) == 1 else None
        if not decorators or (isinstance(alone, ast.Name) and alone.id in _KEPT_DECORATORS):
            continue
        wrapped = function.name
        for decorator in reversed(decorators):
            wrapped = f"{ast.unparse(decorator)}({wrapped})"
        end = function.end_lineno or function.lineno
        lines.insert(end, f"{' ' * function.col_offset}{function.name} = {wrapped}")
        del lines[decorators[0].lineno - 1 : function.lineno - 1]
    return "\n".join(lines) + "\n"


def try_all(unit: Unit, place: Path, tests: Sequence[str], *, children: int) -> None:
    """Every mutant on these tests; raises `SystemExit` where mutmut fails."""
    _run(unit, place, tests, [], children)


def try_these(unit: Unit, place: Path, tests: Sequence[str], mutants: Sequence[str], *, children: int) -> None:
    """These mutants, which were tried before, on these tests; raises `SystemExit` where mutmut fails."""
    if mutants:
        _run(unit, place, tests, mutants, children)


def _run(unit: Unit, place: Path, tests: Sequence[str], mutants: Sequence[str], children: int) -> None:
    settings = _SETTINGS.format(
        modules=json.dumps(unit.modules), tests=json.dumps(list(tests)), unmutated=json.dumps(_UNMUTATED)
    )
    own = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (place / "pyproject.toml").write_text(own + settings, encoding="utf-8")
    (place / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)  # which tests reach what is found out afresh
    environment = os.environ | {"PYTHONPATH": str(place / "mutants"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", str(children), *mutants]
    log = place / "mutmut.log"
    with log.open("w", encoding="utf-8") as stream:
        done = subprocess.run(command, cwd=place, env=environment, stdout=stream, stderr=stream, check=False)  # noqa: S603 (fixed program)
    if done.returncode != 0:
        told = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()
        raise SystemExit(f"mutmut failed ({done.returncode}); the end of {log}:\n" + "\n".join(told[-40:]))
