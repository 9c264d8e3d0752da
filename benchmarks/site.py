"""The site of a run: a directory that is removed again, the sandbox in a process of its own, PostgreSQL if need be."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory

from benchmarks.contestants import CONTESTANTS
from benchmarks.database import Database, database
from benchmarks.exchanges import TOKEN
from benchmarks.processes import said, speaking
from gateway.testing.engine import Engine

_SERVE = f"""
import sys
from pathlib import Path
from adapters.sandbox.server import serve
serve(Path(sys.argv[1]), credentials={TOKEN!r})
"""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The sandbox's process and its database."""

    url: str
    process: Popen[str]
    database: Path

    def bookings(self) -> int:
        """How many bookings took effect, by the sandbox's own count."""
        with Engine.open(self.database) as engine:
            return engine.effects()


@dataclass(frozen=True, slots=True)
class Site:
    """`server` is there where a contestant works on PostgreSQL."""

    directory: Path
    sandbox: Sandbox
    server: Database | None


@contextmanager
def site(names: Sequence[str] = (), within: Path | None = None) -> Iterator[Site]:
    """A site for these contestants, below `within` or the system's own directory for what is temporary."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="gateway-bench-", dir=within)))
        stored = directory / "sandbox.db"
        process = stack.enter_context(speaking([sys.executable, "-c", _SERVE, str(stored)]))
        system = Sandbox(said(process)["url"], process, stored)
        wanted = any(CONTESTANTS[name].database for name in names)
        yield Site(directory, system, stack.enter_context(database()) if wanted else None)
