"""The first recorder: a VFS below SQLite that writes down what SQLite does to its files.

Owns: the VFS `unix` seen through, every write, truncation, sync and deletion of every file in one directory, and
the few calls that `_sqlite_connection` makes by itself. Shared memory, locks and reads pass through unseen: no
power loss keeps them. What the VFS cannot see it is told: SQLite's `unix` syncs the directory after the first sync
of a rollback journal or WAL that was opened to be created (`test_recorders.py` holds this against the kernel).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import apsw
import pytest

from gateway.journal import _sqlite_connection
from tests.power.recording import ROOT, Recorder
from tests.power.standin import Driver

NAMES_TO_SYNC: Final = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@contextmanager
def recorded(recorder: Recorder, directory: Path, imposed: Mapping[str, str] = NOTHING) -> Iterator[None]:
    """Journals opened meanwhile, in this process, are on apsw, and what happens in `directory` is recorded."""
    vfs = RecordingVFS(f"power-{id(recorder):x}", recorder, directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sqlite_connection, "sqlite3", Driver(vfs.vfs_name, imposed))
        patch.setattr(_sqlite_connection, "os", SeenCalls(vfs))
        yield
    vfs.unregister()


class RecordingVFS(apsw.VFS):
    def __init__(self, name: str, recorder: Recorder, directory: Path) -> None:
        super().__init__(name, "unix")
        self.vfs_name = name
        self.recorder = recorder
        self._directory = directory.absolute()

    def path(self, name: str | Path) -> str:
        """From the recorded directory; raises ValueError for what lies elsewhere."""
        return Path(name).absolute().relative_to(self._directory).as_posix()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        if name is None:
            return apsw.VFSFile("unix", name, flags)  # a temporary file, which no power loss keeps
        path = self.path(name.filename() if isinstance(name, apsw.URIFilename) else name)
        file = RecordedFile(name, flags, self.recorder, names=bool(flags[0] & NAMES_TO_SYNC))
        file.node = self.node(path)
        return file

    def xDelete(self, name: str, syncdir: bool) -> None:
        self.recorder.remove(self.path(name))
        began = self.recorder.begin()
        super().xDelete(name, syncdir)
        if syncdir:
            self.recorder.sync(ROOT, began)

    def node(self, path: str) -> int:
        known = self.recorder.find(path)
        return self.recorder.make(path) if known is None else known


class RecordedFile(apsw.VFSFile):
    node: int

    def __init__(self, name: str | apsw.URIFilename, flags: list[int], recorder: Recorder, *, names: bool) -> None:
        super().__init__("unix", name, flags)
        self._recorder = recorder
        self._names_unsynced = names

    def xWrite(self, data: Any, offset: int) -> None:
        index = self._recorder.write(self.node, offset, bytes(data))
        super().xWrite(data, offset)
        self._recorder.finish(index)

    def xTruncate(self, newsize: int) -> None:
        index = self._recorder.truncate(self.node, newsize)
        super().xTruncate(newsize)
        self._recorder.finish(index)

    def xSync(self, flags: int) -> None:
        began = self._recorder.begin()
        super().xSync(flags)
        self._recorder.sync(self.node, began)
        if self._names_unsynced:
            self._recorder.sync(ROOT, began)
            self._names_unsynced = False


class SeenCalls:
    """`os` as `_sqlite_connection` sees it: the database's own file is made, and its directory synced, past SQLite."""

    def __init__(self, vfs: RecordingVFS) -> None:
        self._vfs = vfs
        self._directories: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = os.open(path, flags, mode)
        if flags & os.O_DIRECTORY:
            self._directories[descriptor] = self._vfs.path(path)
        elif flags & os.O_CREAT:
            self._vfs.node(self._vfs.path(path))
        return descriptor

    def fsync(self, descriptor: int) -> None:
        began = self._vfs.recorder.begin()
        os.fsync(descriptor)
        node = self._vfs.recorder.find(self._directories[descriptor])
        assert node is not None
        self._vfs.recorder.sync(node, began)
