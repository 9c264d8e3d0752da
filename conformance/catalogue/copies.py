"""Copies of the tree in which code is broken on purpose, and test runs that import the copy.

Owns: what a copy leaves out, the environment and record of a run. Refuses: to break the tree itself; the plugin
refuses a run that would import another tree's gateway.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_LEFT_OUT: Final = shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis", "build", "dist")


@dataclass(frozen=True, slots=True)
class Copies:
    """As many copies as there are workers; each is in one worker's hands at a time."""

    _free: queue.SimpleQueue[Path] = field(default_factory=queue.SimpleQueue)

    @contextmanager
    def one(self) -> Iterator[Path]:
        tree = self._free.get()
        try:
            yield tree
        finally:
            self._free.put(tree)


@contextmanager
def copies(root: Path, number: int) -> Iterator[Copies]:
    """Copies of the tree at `root`, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="breaks-") as directory:
        made = Copies()
        for name in range(number):
            made._free.put(Path(shutil.copytree(root, Path(directory) / str(name), ignore=_LEFT_OUT)))
        yield made


def run_tests(
    tree: Path, tests: Sequence[str], *options: str, timeout_seconds: float
) -> tuple[dict[str, Any] | None, str]:
    """(the plugin's record, what pytest printed) for these tests in that tree; None if nothing was recorded."""
    record = tree / ".breaks-record.json"
    record.unlink(missing_ok=True)
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    options = ("-q", "--tb=line", "-p", "no:cacheprovider", "--requirements-record", str(record), *options)
    try:
        done = subprocess.run(  # noqa: S603 (fixed program, recorded test ids)
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=timeout_seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None, f"no end within {timeout_seconds:g} seconds"
    if not record.exists():
        return None, (done.stdout + done.stderr)[-2000:]
    return json.loads(record.read_text(encoding="utf-8")), done.stdout[-2000:]
