"""The built-in audit sink: a file of JSON Lines, appended and synced before it acknowledges.

Owns: `file`, configured as `{"name": "file", "options": {"path": "audit.jsonl"}}`, the path relative to the
gateway's home. Each line is {"hash": …, "event": {…}}. The file is the owner's only. Several processes may
share it: a lock orders them, and a line torn by a crash stays on a line of its own. Refuses: to keep a thread
waiting for that lock, whose holder may be stuck; how long to wait is the caller's affair.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from gateway.clock import Clock, SystemClock
from gateway.contracts.signals import Event
from gateway.hookspecs import AuditSink, hookimpl

DEFAULT_PATH: Final = "audit.jsonl"
PROBE_BYTES: Final = 64 * 1024
"""Room for the events of one attempt, several times over."""
POLL_SECONDS: Final = 0.01


class FileSink:
    """`AuditSink` over one file. Raises OSError, which refuses (the caller records AuditFailed)."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock or SystemClock()
        self._turn = asyncio.Lock()
        self._named: tuple[int, int] | None = None

    async def ready(self) -> None:
        await self._locked(self._probe)

    async def accept(self, events: Sequence[tuple[str, Event]]) -> None:
        lines = b"".join(b'{"hash":"%s","event":%s}\n' % (hash_.encode(), event.canonical()) for hash_, event in events)
        if lines:
            await self._locked(partial(self._append, lines))

    async def _locked(self, work: Callable[[], None]) -> None:
        """Do `work` once nobody else has the file's lock: this gateway's calls in their order, others as it comes."""
        async with self._turn:
            while True:
                try:
                    await asyncio.to_thread(work)
                except BlockingIOError:  # the lock's: nothing else of a regular file says so
                    await self._clock.sleep(POLL_SECONDS)
                else:
                    return

    def _probe(self) -> None:
        with self._opened():
            pass
        with tempfile.TemporaryFile(dir=self._path.parent) as probe:
            _write_all(probe.fileno(), bytes(PROBE_BYTES))

    def _append(self, lines: bytes) -> None:
        with self._opened() as descriptor:
            size = os.lseek(descriptor, 0, os.SEEK_END)
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                lines = b"\n" + lines
            try:
                _write_all(descriptor, lines)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)  # refused means not kept: no half of it stays behind
                raise

    @contextmanager
    def _opened(self) -> Iterator[int]:
        known = self._path.exists()
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            self._keep_name(descriptor, known=known)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield descriptor
        finally:
            os.close(descriptor)

    def _keep_name(self, descriptor: int, *, known: bool) -> None:
        """Once for each file, found or made: whoever made it may have died, or not be done, before its name was
        durable."""
        status = os.fstat(descriptor)
        file = status.st_dev, status.st_ino
        if not known or file != self._named:
            _sync_directory(self._path.parent)
            self._named = file


def _write_all(descriptor: int, content: bytes) -> None:
    written = 0
    while written < len(content):
        written += os.write(descriptor, content[written:])


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@hookimpl
def gateway_audit_sinks(options: Mapping[str, str], home: Path) -> Mapping[str, AuditSink]:
    return {"file": FileSink(home / options.get("path", DEFAULT_PATH))}
