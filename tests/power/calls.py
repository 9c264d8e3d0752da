"""The second recorder: a process's own system calls, as strace wrote them down.

Owns: what a trace means for the files below one directory, and the marks in it: a line that the process writes to
its standard output, and the first bytes of a mutating request on any socket. So this recording holds for the SQLite
that Python brings, for the sink, the owners' locks and the registry, and nothing in the process is in on it.
Refuses (`TraceError`) what it does not understand: a short write, a link, a call on a file that it never saw opened.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from tests.power.images import MEMORY_MAPPED
from tests.power.recording import Recorder

COMMAND: Final = ("strace", "--seccomp-bpf", "-f", "-xx", "-s", "4000000")
CALLS: Final = (
    "openat,close,dup,dup2,dup3,lseek,pwrite64,write,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,fdatasync,"
    "sync_file_range,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat,"
    "sendto,sendmsg,clone,clone3,fork,vfork"
)
MARK: Final = b"MARK "
MUTATING: Final = re.compile(rb"(?:POST|PUT|PATCH|DELETE) (?!/_control/)")
KEY: Final = re.compile(rb"\r\nidempotency-key: *([^\r]*)\r\n", re.IGNORECASE)

_LINE: Final = re.compile(
    r"(?P<thread>\d+) +(?P<call>\w+)\((?P<arguments>.*?)(?:\) += (?P<result>-?\d+).*| <unfinished \.\.\.>)$"
)
_RESUMED: Final = re.compile(r"(?P<thread>\d+) +<\.\.\. (?P<call>\w+) resumed>.*?\) += (?P<result>-?\d+).*$")
_TEXT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


class TraceError(Exception):
    """The trace holds something whose meaning for the files is not known."""


@dataclass(slots=True)
class Opened:
    """A file descriptor. `node` is None for what has no name, such as a probe's temporary file."""

    node: int | None
    appends: bool = False
    position: int = 0


@dataclass(slots=True)
class Call:
    """One system call between its beginning and its end."""

    name: str
    arguments: str
    index: int | None = None
    began: int = 0
    length: int = 0
    opened: Opened | None = None
    paths: list[str | None] = field(default_factory=list)

    def number(self, place: int) -> int:
        """The argument at this place, counted among those outside the text."""
        return int(_TEXT.sub('""', self.arguments).split(", ")[place].split()[0])

    def bytes(self) -> bytes:
        found = _TEXT.search(self.arguments)
        if found is None:
            raise TraceError(f"{self.name} without text")
        return bytes.fromhex(found.group(1).replace("\\x", ""))


class Reader:
    """Reads one trace into a recorder. All threads of the traced process share its descriptors; it starts no other."""

    def __init__(self, recorder: Recorder, root: Path) -> None:
        self._recorder = recorder
        self._root = PurePosixPath(root.absolute())
        self._opened: dict[int, Opened] = {}
        self._folders: dict[int, str] = {}
        self._under_way: dict[str, Call] = {}

    def read(self, lines: Iterable[str]) -> None:
        """Up to the mark `ended`, or to the end."""
        for line in lines:
            begun, resumed = _LINE.match(line), _RESUMED.match(line)
            if begun:
                call = Call(begun["call"], begun["arguments"])
                self._begin(call)
                if begun["result"] is None:
                    self._under_way[begun["thread"]] = call
                else:
                    self._end(call, int(begun["result"]))
            elif resumed:
                self._end(self._under_way.pop(resumed["thread"]), int(resumed["result"]))
            if self._recorder.ended:
                return

    def _begin(self, call: Call) -> None:
        handler: Callable[[Call], None] | None = getattr(self, f"_begin_{call.name}", None)
        if handler is not None:
            handler(call)

    def _end(self, call: Call, result: int) -> None:
        handler: Callable[[Call, int], None] | None = getattr(self, f"_end_{call.name}", None)
        if handler is not None:
            handler(call, result)
        elif not hasattr(self, f"_begin_{call.name}") and (self._descriptor(call) or any(self._inside(call))):
            raise TraceError(f"{call.name} on a recorded file")

    def _descriptor(self, call: Call) -> bool:
        """Whether the first argument is a recorded file's."""
        first = re.match(r"\d+", call.arguments)
        opened = self._opened.get(int(first.group())) if first else None
        return opened is not None and opened.node is not None

    # -- descriptors ----------------------------------------------------------------------------------

    def _end_openat(self, call: Call, result: int) -> None:
        path = next(iter(self._inside(call)), None)
        self._opened.pop(result, None)
        self._folders.pop(result, None)
        if result < 0 or path is None:
            return
        node = self._recorder.find(path)
        if "O_TMPFILE" in call.arguments:
            self._opened[result] = Opened(None)
            return
        if node is None:
            if "O_CREAT" not in call.arguments:
                raise TraceError(f"{path} is opened and was never made")
            node = self._recorder.make(path)
        if self._recorder.is_directory(node):
            self._folders[result] = path
        elif path.endswith(MEMORY_MAPPED):
            node = None  # what goes through memory is not seen: an image holds anything there
        elif "O_TRUNC" in call.arguments and self._recorder.size(node):
            self._recorder.truncate(node, 0)
        self._opened[result] = Opened(node, appends="O_APPEND" in call.arguments)

    def _begin_close(self, call: Call) -> None:
        self._opened.pop(call.number(0), None)
        self._folders.pop(call.number(0), None)

    def _end_lseek(self, call: Call, result: int) -> None:
        if (opened := self._opened.get(call.number(0))) is not None:
            opened.position = result

    def _end_clone3(self, call: Call, result: int) -> None:
        if result > 0 and "CLONE_THREAD" not in call.arguments:
            raise TraceError("the process started another, which has descriptors of its own")

    _end_clone = _end_fork = _end_vfork = _end_clone3

    # -- contents -------------------------------------------------------------------------------------

    def _begin_pwrite64(self, call: Call) -> None:
        self._write(call, call.number(3))

    def _begin_write(self, call: Call) -> None:
        opened = self._opened.get(call.number(0))
        if opened is not None and opened.node is not None:
            self._write(call, self._recorder.size(opened.node) if opened.appends else opened.position)
        elif call.number(0) == 1 and (said := call.bytes()).startswith(MARK):
            mark = json.loads(said.removeprefix(MARK))
            self._recorder.mark(mark.pop("kind"), **mark)
        elif opened is None:
            self._begin_sendto(call)  # a socket may be written to, too

    def _write(self, call: Call, offset: int) -> None:
        call.opened = self._opened.get(call.number(0))
        if call.opened is not None and call.opened.node is not None:
            data = call.bytes()
            call.length = len(data)
            call.index = self._recorder.write(call.opened.node, offset, data)

    def _end_write(self, call: Call, result: int) -> None:
        if call.index is None:
            return
        if result != call.length or call.opened is None:
            raise TraceError(f"{call.name} wrote {result} of {call.length} bytes")
        call.opened.position += result
        self._recorder.finish(call.index)

    _end_pwrite64 = _end_write

    def _begin_ftruncate(self, call: Call) -> None:
        opened = self._opened.get(call.number(0))
        if opened is not None and opened.node is not None:
            call.index = self._recorder.truncate(opened.node, call.number(1))

    def _end_ftruncate(self, call: Call, result: int) -> None:
        if call.index is not None:
            if result:
                raise TraceError("a truncation failed")
            self._recorder.finish(call.index)

    # -- syncs ----------------------------------------------------------------------------------------

    def _begin_fsync(self, call: Call) -> None:
        call.opened, call.began = self._opened.get(call.number(0)), self._recorder.begin()

    def _end_fsync(self, call: Call, result: int) -> None:
        if result == 0 and call.opened is not None and call.opened.node is not None:
            self._recorder.sync(call.opened.node, call.began)

    _begin_fdatasync, _end_fdatasync = _begin_fsync, _end_fsync

    # -- names ----------------------------------------------------------------------------------------

    def _end_mkdir(self, call: Call, result: int) -> None:
        for path in self._inside(call) if result == 0 else ():
            self._recorder.make(path, directory=True)

    def _end_unlink(self, call: Call, result: int) -> None:
        for path in self._inside(call) if result == 0 else ():
            self._recorder.remove(path)

    _end_rmdir = _end_unlinkat = _end_unlink

    def _end_rename(self, call: Call, result: int) -> None:
        if result != 0:
            return
        paths = list(self._inside(call))
        if len(paths) == 1:
            raise TraceError("a file is moved across the recorded root")
        if paths:
            self._recorder.rename(*paths)

    def _inside(self, call: Call) -> Iterator[str]:
        """The paths that a call names below the root, from there."""
        folder = re.match(r"(\d+), ", call.arguments)
        base = self._folders.get(int(folder.group(1))) if folder else None
        for found in _TEXT.finditer(call.arguments):
            path = PurePosixPath(bytes.fromhex(found.group(1).replace("\\x", "")).decode())
            if not path.is_absolute():
                if base is None:
                    continue
                path = self._root / base / path
            path = PurePosixPath(os.path.normpath(path))
            if path == self._root or self._root in path.parents:
                yield path.relative_to(self._root).as_posix()

    # -- the peer -------------------------------------------------------------------------------------

    def _begin_sendto(self, call: Call) -> None:
        """A request counts as sent when its first bytes are handed to the kernel: earlier than it arrives."""
        if (found := _TEXT.search(call.arguments)) is None:
            return
        data = bytes.fromhex(found.group(1).replace("\\x", ""))
        if MUTATING.match(data):
            key = KEY.search(data)
            self._recorder.mark("sent", key=key.group(1).decode() if key else "")

    _begin_sendmsg = _begin_sendto
