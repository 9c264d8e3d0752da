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

from gateway.boundary.door import SILENCED

_HOST: Final[contextvars.ContextVar[bool]] = contextvars.ContextVar("conformance_host", default=False)
_PROCESSES: Final = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn"})
_CONNECTIONS: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
"""The latter two reach an address without a connection before (UDP, TCP fast open)."""
_MAX_CHARACTERS: Final = 16 * 1024 * 1024
_MAX_DOORS: Final = 1000


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


class Overhearing:
    """Listens from `listen()` on. `texts` is what a guest logged or printed, `doors` the kinds of things it
    opened by itself. `deaf`: it said more than can be kept, so that nobody knows what else it said."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.doors: list[str] = []
        self.deaf = False
        self._room = _MAX_CHARACTERS

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Records are heard as they are made: a logger with handlers of its own passes nothing on to the root's."""
        root, make = logging.getLogger(), logging.getLogRecordFactory()
        level = root.level

        def heard(*content: Any, **named: Any) -> logging.LogRecord:
            record = make(*content, **named)
            self.emit(record)
            return record

        logging.setLogRecordFactory(heard)
        root.setLevel(logging.NOTSET)
        _listeners().append(self)
        try:
            with self._between():
                yield
        finally:
            _listeners().remove(self)
            root.setLevel(level)
            logging.setLogRecordFactory(make)

    @contextmanager
    def _between(self) -> Iterator[None]:
        """Stand between guests and the standard streams, by all their names."""
        streams = {name: getattr(sys, name) for name in ("stdout", "stderr", "__stdout__", "__stderr__")}
        for name, stream in streams.items():
            if stream is not None:
                setattr(sys, name, _Tee(stream, self))
        try:
            yield
        finally:
            for name, stream in streams.items():
                setattr(sys, name, stream)

    def forget(self) -> None:
        """Begin a new check."""
        self.texts.clear()
        self.doors.clear()
        self.deaf, self._room = False, _MAX_CHARACTERS

    def emit(self, record: logging.LogRecord) -> None:
        """A record whose text cannot be made is overheard by its template and arguments; one that the boundary
        withholds from every log reaches nobody."""
        if _HOST.get() or record.name in SILENCED:
            return
        try:
            text = logging.Formatter().format(record)
        except Exception:  # noqa: BLE001 - a guest's arguments may raise anything when they are shown
            text = f"{record.msg!r} {record.args!r}"
        self.hear(text)

    def hear(self, text: str) -> None:
        """Whole, since what matters may stand at its end; an empty text takes room too."""
        self._room -= len(text) + 1
        if self._room < 0:
            self.deaf = True
        else:
            self.texts.append(text)

    def notice(self, event: str) -> None:
        """One audit event, in whatever thread it happened."""
        if not _HOST.get() and len(self.doors) < _MAX_DOORS:
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
        if listeners and (event in _PROCESSES or (event in _CONNECTIONS and arguments[1] is not None)):
            for listener in listeners:
                listener.notice(event)

    sys.addaudithook(hook)
    return listeners
