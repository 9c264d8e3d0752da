"""Processes of the benchmark: started, spoken to by lines of JSON, ended; and what they use of the processor.

Owns: that whatever is started here ends here. Reads /proc where there is one; elsewhere others' processor times are 0.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

STOP_SECONDS: Final = 30
_PROC: Final = Path("/proc")


class BenchmarkError(Exception):
    """The run is no measurement; the message says why."""


@contextmanager
def speaking(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that is told to end by the end of its input, and by SIGTERM."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 — our own programs
    assert process.stdin is not None and process.stdout is not None
    try:
        with closing(process.stdout), closing(process.stdin):
            yield process
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def ask(process: subprocess.Popen[str], told: Mapping[str, Any]) -> dict[str, Any]:
    assert process.stdin is not None
    process.stdin.write(json.dumps(told) + "\n")
    process.stdin.flush()
    return said(process)


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line that the process says; raises `BenchmarkError` where it has ended instead."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise BenchmarkError("a process of the benchmark ended early; what it said is above")
    document: dict[str, Any] = json.loads(line)
    return document


def cpu_seconds(process: int) -> float:
    """What one process has used of the processor so far, all its threads included."""
    return _used(process, with_ended_children=False)


def cpu_seconds_of_family(process: int) -> float:
    """The same of a process, its children, and those of its children that have ended."""
    try:
        children = (_PROC / f"{process}/task/{process}/children").read_text(encoding="ascii").split()
    except OSError:
        children = []
    return _used(process, with_ended_children=True) + sum(cpu_seconds(int(child)) for child in children)


def _used(process: int, *, with_ended_children: bool) -> float:
    try:
        fields = (_PROC / f"{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    ticks = sum(int(field) for field in fields[11 : 15 if with_ended_children else 13])
    return ticks / os.sysconf("SC_CLK_TCK")
