"""Bugs planted on purpose, which the images must show: each is one change to the running code.

Owns: the names under which a recording is asked for a bug. A planted bug that no image shows would mean that the
images are blind to it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import MappingProxyType
from typing import Any, Final

import pytest

from gateway.audit import sinks, volumes
from gateway.journal import Append, Appended, _sqlite
from gateway.journal import _sqlite_writes as writes
from gateway.journal._sqlite_connection import Synchronous, connect


@contextmanager
def _instead(owner: Any, name: str, other: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, other)
        yield


def synchronous_normal() -> AbstractContextManager[None]:
    """WAL and NORMAL: a commit is answered before it is synced."""
    return _instead(_sqlite, "connect", lambda path, _, busy_seconds: connect(path, Synchronous.NORMAL, busy_seconds))


def sent_before_the_sync() -> AbstractContextManager[None]:
    """The intent alone is written without its barrier; everything else is durable."""

    async def append(self: _sqlite.SqliteJournal, entry: Append) -> Appended:
        def work(connection: sqlite3.Connection) -> Appended:
            return writes.append(connection, entry, self.owner)

        return await self._writer.submit(work, durable=entry.intent is None)

    return _instead(_sqlite.SqliteJournal, "append", append)


def sink_name_not_synced() -> AbstractContextManager[None]:
    """A sink that syncs what it writes, and never the directory in which its file is new."""
    return _instead(sinks, "_sync_directory", lambda _: None)


def sink_not_synced() -> AbstractContextManager[None]:
    """A sink that acknowledges what it has only handed to the kernel."""
    return _instead(sinks, "os", _Unsynced())


def volume_not_synced() -> AbstractContextManager[None]:
    """An archive whose events leave the journal before they are on the disk."""
    return _instead(volumes, "os", _Unsynced())


class _Unsynced:
    """`os` without its `fsync`."""

    def __getattr__(self, name: str) -> Any:
        return (lambda _: None) if name == "fsync" else getattr(os, name)


PLANTS: Final[Mapping[str, Callable[[], AbstractContextManager[None]]]] = MappingProxyType(
    {
        "synchronous-normal": synchronous_normal,
        "sent-before-the-sync": sent_before_the_sync,
        "sink-name-not-synced": sink_name_not_synced,
        "sink-not-synced": sink_not_synced,
        "volume-not-synced": volume_not_synced,
    }
)
