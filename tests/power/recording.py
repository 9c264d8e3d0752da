"""What a process did to its files, in order: the one log that both recorders write and images are made from.

Owns: files and directories as numbered nodes (a name is only an entry in a directory), the operations on them,
and the marks between them: what was promised to whom. Node 0 is the recorded root.
Invariant: a sync covers what had finished when it began; a write that was still under way is not covered. Beginnings
and ends are ordered by instants, which are counted and not measured.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

ROOT: Final = 0
ENDED: Final = "ended"
OWNER_FILE: Final = 0o600

Change = tuple[int, str, int | None]
"""(directory, name, node): the name now leads to that node, or to nothing."""


@dataclass(frozen=True, slots=True)
class Write:
    node: int
    offset: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Truncate:
    node: int
    size: int


@dataclass(frozen=True, slots=True)
class Enter:
    """Entries made, removed or moved at once: a creation, an unlink, a rename."""

    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Sync:
    """Of a file or a directory, logged when it returns; `began` is the instant of its call."""

    node: int
    began: int


@dataclass(frozen=True, slots=True)
class Mark:
    """No I/O: something that somebody relies on from here on (`promises.py`)."""

    kind: str
    detail: Mapping[str, Any]


Operation = Write | Truncate | Enter | Sync | Mark


@dataclass(slots=True)
class Recording:
    """`files` and `directories` are as they were when it began. `practice` is the whole local practice at that
    time, by path, and `place` says where in it the recorded root lies. `finished` has the instant at which each
    operation was over."""

    label: str
    practice: dict[str, bytes] = field(repr=False)
    place: str
    files: dict[int, bytes] = field(default_factory=dict, repr=False)
    directories: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}}, repr=False)
    operations: list[Operation] = field(default_factory=list, repr=False)
    finished: list[int] = field(default_factory=list, repr=False)

    def save(self, path: Path) -> None:
        path.write_bytes(pickle.dumps(self))

    @staticmethod
    def load(path: Path) -> Recording:
        """A recording that `save` wrote here: it is code, and comes from nowhere else."""
        recording = pickle.loads(path.read_bytes())  # noqa: S301 — a recording that this tool made
        assert isinstance(recording, Recording)
        return recording


def tree(root: Path) -> dict[str, bytes]:
    """Every file below `root`, by its path from there."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def write_image(root: Path, files: Mapping[str, bytes]) -> None:
    """Files that only their owner may read, as all of these are made."""
    made: set[Path] = set()
    for name, data in files.items():
        path = root / name
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        path.touch(mode=OWNER_FILE)
        path.write_bytes(data)


class Recorder:
    """Writes a recording, from any thread. Paths are relative to the root."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._names = {node: dict(entries) for node, entries in recording.directories.items()}
        self._next = 1 + max([*recording.directories, *recording.files])
        self._sizes = {node: len(content) for node, content in recording.files.items()}
        self._instant = 0
        self._lock = threading.RLock()

    @classmethod
    def over(cls, label: str, practice: Path, place: str, root: Path | None) -> Recorder:
        """A recorder of what happens below `root`, from what is there now; of an empty root where it is None."""
        recorder = cls(Recording(label, tree(practice), place))
        for path in sorted(root.rglob("*")) if root else ():
            node, parent = recorder._new(), path.relative_to(root or path).parent
            recorder._names[recorder._directory(parent.as_posix())][path.name] = node
            if path.is_dir():
                recorder._names[node] = {}
            else:
                recorder.recording.files[node] = path.read_bytes()
                recorder._sizes[node] = path.stat().st_size
        recorder.recording.directories = {node: dict(entries) for node, entries in recorder._names.items()}
        return recorder

    def find(self, path: str) -> int | None:
        """The node at a path now, as all that was recorded leaves it."""
        node: int | None = ROOT
        for name in PurePosixPath(path).parts:
            node = self._names.get(node, {}).get(name) if node is not None else None
        return node

    def is_directory(self, node: int) -> bool:
        return node in self._names

    def size(self, node: int) -> int:
        return self._sizes.get(node, 0)

    def begin(self) -> int:
        """The instant at which a sync is called."""
        with self._lock:
            self._instant += 1
            return self._instant

    @property
    def ended(self) -> bool:
        """Whether the last thing in the log is the mark that nothing after it counts."""
        last = self.recording.operations[-1] if self.recording.operations else None
        return isinstance(last, Mark) and last.kind == ENDED

    def make(self, path: str, *, directory: bool = False) -> int:
        """A new, empty file or directory."""
        with self._lock:
            node = self._new()
            if directory:
                self._names[node] = {}
                self.recording.directories.setdefault(node, {})
            self._enter(self._change(path, node))
            return node

    def remove(self, path: str) -> None:
        with self._lock:
            self._enter(self._change(path, None))

    def rename(self, old: str, new: str) -> None:
        with self._lock:
            self._enter(self._change(old, None), self._change(new, self.find(old)))

    def write(self, node: int, offset: int, data: bytes) -> int:
        """Record a write that begins; the index to `finish`, where it may last."""
        with self._lock:
            self._sizes[node] = max(self.size(node), offset + len(data))
            return self._add(Write(node, offset, data))

    def truncate(self, node: int, size: int) -> int:
        with self._lock:
            self._sizes[node] = size
            return self._add(Truncate(node, size))

    def finish(self, index: int) -> None:
        self.recording.finished[index] = self.begin()

    def sync(self, node: int, began: int) -> None:
        with self._lock:
            self._add(Sync(node, began))

    def mark(self, kind: str, **detail: Any) -> None:
        with self._lock:
            self._add(Mark(kind, detail))

    def _new(self) -> int:
        self._next += 1
        return self._next - 1

    def _directory(self, path: str) -> int:
        node = self.find(path)
        if node is None or not self.is_directory(node):
            raise FileNotFoundError(path)
        return node

    def _change(self, path: str, node: int | None) -> Change:
        place = PurePosixPath(path)
        return self._directory(place.parent.as_posix()), place.name, node

    def _enter(self, *changes: Change) -> None:
        for directory, name, node in changes:
            if node is None:
                self._names[directory].pop(name, None)
            else:
                self._names[directory][name] = node
        self._add(Enter(changes))

    def _add(self, operation: Operation) -> int:
        self.recording.operations.append(operation)
        self.recording.finished.append(self.begin())
        return len(self.recording.operations) - 1
