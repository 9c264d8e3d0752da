"""What a disk may hold after the power went: every image that a recording's first operations allow.

Owns: what is durable after so many operations, and the policies by which the rest survives: none of it, all,
each as a coin falls, torn within a write at a 512-byte sector, the later without the earlier, grown but empty
(a size that reached the disk before its bytes), and names made, moved or removed in directories never synced.
Refuses nothing that POSIX allows; a sector itself is not torn, and what was synced is there (docs/reliability.md).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.power.recording import ROOT, Enter, Mark, Recording, Sync, Truncate, Write

SECTOR: Final = 512
MEMORY_MAPPED: Final = "-shm"
ANYTHING: Final = b"\xa5" * 32_768
"""What a file may hold whose content went through memory, past every recorder: SQLite's index of a WAL."""
RANDOMS: Final = 4

WHOLE, HEAD, TAIL, HOLLOW = "whole", "head", "tail", "hollow"

Fate = tuple[int, str, int]
"""(index of a pending operation, how it survives, where it is cut). An operation without a fate is lost."""
Image = Mapping[str, bytes]
"""Files by path from the recorded root; of directories only those that hold any."""


@dataclass(frozen=True, slots=True, order=True)
class Plan:
    """One image: after the first `prefix` operations, by `policy`. With the recording and the seed it is made again."""

    prefix: int
    policy: str

    def __str__(self) -> str:
        return f"{self.prefix}:{self.policy}"

    @property
    def kind(self) -> str:
        """The policy without its number."""
        return self.policy.rstrip("0123456789").rstrip("-")


class Disk:
    """What is durable, and what is not yet, after the first `position` operations; `advance` takes one more."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.position = 0
        self.generation = 0
        self.pending: list[int] = []
        self._files = {node: bytearray(content) for node, content in recording.files.items()}
        self._entries = {node: dict(entries) for node, entries in recording.directories.items()}
        self._touched = _touched(recording)

    def advance(self) -> None:
        operation = self.recording.operations[self.position]
        if isinstance(operation, Sync):
            self._settle(operation)
        elif not isinstance(operation, Mark):
            self.pending.append(self.position)
        self.position += 1

    def size(self, node: int) -> int:
        """How much of a file is durable."""
        return len(self._files.get(node, b""))

    def image(self, fates: Iterable[Fate]) -> Image:
        """The files that the recording has to do with, if just these operations survive."""
        files: dict[int, bytearray | bytes] = dict(self._files)
        changed: set[int] = set()
        entries = {node: dict(names) for node, names in self._entries.items()}
        for index, how, cut in fates:
            operation = self.recording.operations[index]
            if isinstance(operation, Enter):
                _enter(entries, operation)
            elif isinstance(operation, Write | Truncate):
                if operation.node not in changed:
                    files[operation.node] = bytearray(files.get(operation.node, b""))
                    changed.add(operation.node)
                content = files[operation.node]
                assert isinstance(content, bytearray)
                _apply(content, operation, how, cut)
        return {
            path: ANYTHING if path.endswith(MEMORY_MAPPED) else bytes(files.get(node, b""))
            for path, node in _walk(entries, ROOT, "")
            if node in self._touched and node not in entries
        }

    def _settle(self, sync: Sync) -> None:
        mine = [index for index in self.pending if self._concerns(index, sync.node)]
        covered = [index for index in mine if self.recording.finished[index] < sync.began]
        assert covered == mine[: len(covered)], "a covered write came after one that is not"
        for index in covered:
            operation = self.recording.operations[index]
            if isinstance(operation, Enter):
                _enter(self._entries, operation)
            elif isinstance(operation, Write | Truncate):
                _apply(self._files.setdefault(operation.node, bytearray()), operation, WHOLE, 0)
        if covered:
            gone = set(covered)
            self.pending = [index for index in self.pending if index not in gone]
            self.generation += 1

    def _concerns(self, index: int, node: int) -> bool:
        operation = self.recording.operations[index]
        if isinstance(operation, Enter):
            return any(directory == node for directory, _, _ in operation.changes)
        return isinstance(operation, Write | Truncate) and operation.node == node


def survivals(disk: Disk, seed: int) -> Iterator[tuple[str, tuple[Fate, ...]]]:
    """Every policy that means something for what is pending now, and what survives by it."""
    pending, operations = disk.pending, disk.recording.operations
    everything = tuple((index, WHOLE, 0) for index in pending)
    yield "none", ()
    yield "all", everything
    if not pending:
        return
    writes = [index for index in pending if isinstance(operations[index], Write)]
    names = [index for index in pending if isinstance(operations[index], Enter)]
    together = [index for index in pending if _node(operations[index]) == _node(operations[pending[-1]])]
    yield "later", tuple(fate for fate in everything if fate[0] not in together[:-1])
    yield "not-the-earliest", tuple(fate for fate in everything if fate[0] != together[0])
    if writes:
        cuts = _cuts(operations[writes[-1]])
        middle = cuts[len(cuts) // 2] if cuts else 0
        for how in (HEAD, TAIL) if middle else ():
            yield f"torn-{how}", tuple((i, how, middle) if i == writes[-1] else (i, WHOLE, 0) for i in pending)
        yield "hollow", tuple(_hollow(disk, index) for index in pending)
    if names:
        yield "names-undone", tuple(fate for fate in everything if fate[0] not in names)
        yield "names-only", tuple((index, WHOLE, 0) for index in names)
        for number, undone in enumerate(reversed(names[-3:])):
            yield f"name-undone-{number}", tuple(fate for fate in everything if fate[0] != undone)
    for number in range(RANDOMS):
        coin = random.Random(f"{seed}:{disk.generation}:{len(pending)}:{number}")
        yield f"random-{number}", tuple(_tossed(disk, pending, coin))


def plans(recording: Recording, seed: int) -> list[Plan]:
    """Every image once, at the last prefix at which it is possible: by then the most was promised."""
    found: dict[int, Plan] = {}
    disk = Disk(recording)
    while disk.position < len(recording.operations):
        disk.advance()
        for policy, fates in survivals(disk, seed):
            key = hash((disk.generation, fates))
            known = found.get(key)
            if known is None or known.prefix < disk.position:
                found[key] = Plan(disk.position, policy)
    return sorted(found.values())


def build(recording: Recording, chosen: Sequence[Plan], seed: int) -> Iterator[tuple[Plan, Image]]:
    """The images of these plans, in order of prefix."""
    disk = Disk(recording)
    wanted: dict[int, set[str]] = {}
    for plan in chosen:
        wanted.setdefault(plan.prefix, set()).add(plan.policy)
    while disk.position < len(recording.operations):
        disk.advance()
        policies = wanted.get(disk.position, set())
        for policy, fates in survivals(disk, seed) if policies else ():
            if policy in policies:
                yield Plan(disk.position, policy), disk.image(fates)


def digest(image: Image) -> bytes:
    """Of names and contents: two images of one digest are one image."""
    content = hashlib.blake2b(digest_size=16)
    for path, data in sorted(image.items()):
        content.update(f"{len(path)}:{path}{len(data)}:".encode())
        content.update(data)
    return content.digest()


def _touched(recording: Recording) -> set[int]:
    """The nodes that make an image: what the recording changes, and what was there and is not the practice's own."""
    there = _walk(recording.directories, ROOT, f"{recording.place}/" if recording.place else "")
    touched = {node for path, node in there if node in recording.files and path not in recording.practice}
    for operation in recording.operations:
        if isinstance(operation, Write | Truncate):
            touched.add(operation.node)
        elif isinstance(operation, Enter):
            touched |= {node for _, _, node in operation.changes if node is not None}
    moved = [node for node in touched if node in recording.directories]
    while moved:  # what lies in a directory that moved moves along
        below = set(recording.directories.get(moved.pop(), {}).values()) - touched
        touched |= below
        moved += [node for node in below if node in recording.directories]
    return touched


def _enter(entries: dict[int, dict[str, int]], operation: Enter) -> None:
    for directory, name, node in operation.changes:
        names = entries.setdefault(directory, {})
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _walk(entries: Mapping[int, Mapping[str, int]], directory: int, path: str) -> Iterator[tuple[str, int]]:
    for name, node in entries.get(directory, {}).items():
        yield path + name, node
        if node in entries:
            yield from _walk(entries, node, f"{path}{name}/")


def _apply(content: bytearray, operation: Write | Truncate, how: str, cut: int) -> None:
    if isinstance(operation, Truncate):
        content[operation.size :] = bytes(max(0, operation.size - len(content)))
        return
    offset, data = operation.offset, operation.data
    if how == HEAD:
        data = data[:cut]
    elif how == TAIL:
        offset, data = offset + cut, data[cut:]
    elif how == HOLLOW:
        data = bytes(len(data))
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _node(operation: object) -> int:
    """The file, or the directory, that an operation changes."""
    if isinstance(operation, Enter):
        return operation.changes[-1][0]
    assert isinstance(operation, Write | Truncate)
    return operation.node


def _cuts(operation: object) -> list[int]:
    """Where a write may be torn: at the sector boundaries strictly inside it."""
    assert isinstance(operation, Write)
    first = SECTOR - operation.offset % SECTOR
    return list(range(first, len(operation.data), SECTOR))


def _hollow(disk: Disk, index: int) -> Fate:
    """Zeros where the file has grown; an overwrite of what was durable stays what it is."""
    operation = disk.recording.operations[index]
    grown = isinstance(operation, Write) and operation.offset >= disk.size(operation.node)
    return index, HOLLOW if grown else WHOLE, 0


def _tossed(disk: Disk, pending: Sequence[int], coin: random.Random) -> Iterator[Fate]:
    for index in pending:
        if coin.random() < 0.5:
            continue
        operation = disk.recording.operations[index]
        cuts = _cuts(operation) if isinstance(operation, Write) else []
        if cuts and coin.random() < 0.25:
            yield index, coin.choice((HEAD, TAIL)), coin.choice(cuts)
        else:
            yield index, WHOLE, 0
