"""The machine and the versions that a run was measured with; names and numbers only, nothing of anybody's paths."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from tempfile import NamedTemporaryFile
from typing import Final

DISTRIBUTIONS: Final = ("httpx", "pydantic", "cryptography", "psycopg", "dbos", "agent-runtime-governance")
APPENDS: Final = 200


def facts(directory: Path, server: str | None) -> Mapping[str, str]:
    """What to know before reading figures; `server` is PostgreSQL's version, where it took part."""
    found = {
        "processors": f"{_processors()} of {_model()}",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "durable append": f"{1000 * append_seconds(directory):.2f} ms (4 KiB and fsync, median)",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
    }
    if server:
        found["PostgreSQL"] = server
    for name in DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # a contestant that is not installed is not in the figures either
    return found


def append_seconds(directory: Path) -> float:
    """The median of appends that each end with a sync: what durability costs on this disk."""
    taken = []
    with NamedTemporaryFile(dir=directory) as file:
        for _ in range(APPENDS):
            begun = time.perf_counter()
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return median(taken)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
