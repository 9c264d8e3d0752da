"""A file of JSON lines that grows while a run goes on, and survives its being killed.

Owns: one file, locked for one process, owner-only; a line is durable once `append` has returned. A last line
without its end was never acknowledged: it is dropped when the file is opened again.
Refuses, as `DocumentError`: a file in use by another process, a link, and a file that has grown beyond its bound.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from gateway import documents
from gateway.errors import DocumentError

E = TypeVar("E")

MAX_BYTES: Final = 256 * 1024 * 1024


class Lines:
    """`lines` are those that were there when the file was opened. `path` None: nothing is kept."""

    def __init__(self, descriptor: int | None, shown: str, lines: tuple[bytes, ...]) -> None:
        self.lines, self.shown = lines, shown
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path | None, shown: str) -> Self:
        """`shown` is the file's name in errors."""
        if path is None:
            return cls(None, shown, ())
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(path, flags, documents.OWNER_FILE)
        except OSError:
            raise DocumentError(f"{shown} cannot be opened; check the report directory's owner and mode") from None
        try:
            content = _taken(descriptor, shown)
            documents.sync_directory(path.parent)
        except BlockingIOError:
            os.close(descriptor)
            raise DocumentError(f"{shown} is in use; another run goes on in this report directory") from None
        except OSError:
            os.close(descriptor)
            raise DocumentError(f"{shown} cannot be read; check the report directory's disk") from None
        except DocumentError:
            os.close(descriptor)
            raise
        return cls(descriptor, shown, tuple(content.split(b"\n")[:-1]))

    def entries(self, reader: TypeAdapter[E], first: type, *, strange: str, misplaced: str) -> Iterator[E]:
        """What stood there, read; the first entry, and no other, is of the kind `first`. Raises `DocumentError`, which
        names the line and says what is to be done (`strange`, `misplaced`), and repeats nothing of it."""
        for number, line in enumerate(self.lines, start=1):
            try:
                entry = reader.validate_json(line)
            except ValidationError:
                raise DocumentError(f"{self.shown}, line {number}: {strange}") from None
            if isinstance(entry, first) is not (number == 1):
                raise DocumentError(f"{self.shown}, line {number}: {misplaced}")
            yield entry

    def append(self, line: bytes) -> None:
        """Durable when this returns; raises `DocumentError`, after which the line may or may not be there."""
        assert b"\n" not in line, "one line is one line"
        if self._descriptor is None:
            return
        try:
            written = os.write(self._descriptor, line + b"\n")
            os.fsync(self._descriptor)
        except OSError:
            written = -1
        if written != len(line) + 1:
            raise DocumentError(f"{self.shown} cannot be written; check the report directory's disk")

    def close(self) -> None:
        """Let the file go; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _taken(descriptor: int, shown: str) -> bytes:
    """Lock the file, read it, and cut off a torn last line."""
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
        raise DocumentError(f"{shown} is not a regular file of at most {MAX_BYTES} bytes; use a new report directory")
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        content = file.read()
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        os.ftruncate(descriptor, whole)
        os.fsync(descriptor)
    return content[:whole]
