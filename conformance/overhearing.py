"""What an adapter says and does besides answering: log records, printed text, connections and processes of its own.

Owns: the marks that tell a guest's doing from the suite's. Code of the suite runs as host; the witness runs the
adapter as guest; a thread that the adapter starts has neither mark and counts as a guest.
Refuses nothing while it happens; what was overheard is judged afterwards.
Source for the watched events: the Python standard library's table of audit events.
"""

from __future__ import annotations

import contextvars
import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, TextIO

_HOST: Final[contextvars.ContextVar[bool]] = contextvars.ContextVar("conformance_host", default=False)
_PROCESSES: Final = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn"})
_MAX_TEXTS: Final = 10_000
_MAX_TEXT_CHARACTERS: Final = 4000


@contextmanager
def as_host() -> Iterator[None]:
    """Everything in here, and every task made in here, is the suite's own doing."""
    mark = _HOST.set(True)
    try:
        yield
    finally:
        _HOST.reset(mark)


@contextmanager
def as_guest() -> Iterator[None]:
    mark = _HOST.set(False)
    try:
        yield
    finally:
        _HOST.reset(mark)


class Overhearing(logging.Handler):
    """Listens from `listen()` on. `texts` is what a guest logged or printed, `doors` the kinds of things it
    opened by itself."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.texts: list[str] = []
        self.doors: list[str] = []

    @contextmanager
    def listen(self) -> Iterator[None]:
        root, streams = logging.getLogger(), (sys.stdout, sys.stderr)
        level = root.level
        root.addHandler(self)
        root.setLevel(logging.NOTSET)
        sys.stdout, sys.stderr = (_Tee(stream, self) for stream in streams)
        _listeners().append(self)
        try:
            yield
        finally:
            _listeners().remove(self)
            sys.stdout, sys.stderr = streams
            root.setLevel(level)
            root.removeHandler(self)

    def forget(self) -> None:
        """Begin a new check."""
        self.texts.clear()
        self.doors.clear()

    def emit(self, record: logging.LogRecord) -> None:
        """A record whose text cannot be made is overheard by its template and arguments."""
        if _HOST.get():
            return
        try:
            text = logging.Formatter().format(record)
        except Exception:  # noqa: BLE001 - a guest's arguments may raise anything when they are shown
            text = f"{record.msg!r} {record.args!r}"
        self.hear(text)

    def hear(self, text: str) -> None:
        if len(self.texts) < _MAX_TEXTS:
            self.texts.append(text[:_MAX_TEXT_CHARACTERS])

    def notice(self, event: str) -> None:
        """One audit event, in whatever thread it happened."""
        if _HOST.get():
            return
        self.doors.append("process" if event in _PROCESSES else "connection")


class _Tee(io.TextIOBase):
    """A standard stream that also tells what guests write."""

    def __init__(self, stream: TextIO, overhearing: Overhearing) -> None:
        self._stream = stream
        self._overhearing = overhearing

    def write(self, text: str) -> int:
        if not _HOST.get():
            self._overhearing.hear(text)
            return len(text)  # and shown to nobody: it could hold what no terminal should keep
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base class has a plain attribute
        return self._stream.encoding


@cache
def _listeners() -> list[Overhearing]:
    """Who is listening. An audit hook can never be taken away, so there is one, and it asks this list."""
    listeners: list[Overhearing] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if listeners and (event == "socket.connect" or event in _PROCESSES):
            for listener in listeners:
                listener.notice(event)

    sys.addaudithook(hook)
    return listeners
