"""Volumes: the files of the archive, in which the events of finished attempts are kept once they leave the journal.

Owns: their format, and that a volume is on the disk, whole and under its name, before `write` returns. A volume is
JSON Lines under gzip: a head that says whose it is, then for each attempt, in the order of the journal, a line that
names it and its events as every export writes them. It holds what the events hold, references and bounded words.
Refuses: as `MalformedInput`, any file that is no intact volume; and to say what a volume is worth, which only the
journal's rows and checkpoints can (`gateway.audit._volumes`).
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

from pydantic import Field

from gateway.contracts.base import Instant, Model
from gateway.contracts.canonical import Digest, digest
from gateway.contracts.chain import EVENT_DOMAIN, GENESIS, Link
from gateway.contracts.references import AttemptId
from gateway.contracts.signals import Event
from gateway.documents import OWNER_FILE, make_directory, sync_directory
from gateway.errors import AuditTampered, Conflict, DocumentError, GatewayError, MalformedInput, UsageError
from gateway.journal import Archive, JournalId, StoredAttempt, StoredEvent

SUFFIX: Final = ".jsonl.gz"
MAX_LINE_BYTES: Final = 256 * 1024
"""Several times the longest event."""
MAX_EVENTS: Final = 100_000
"""Of one attempt; a real one has about thirty."""
MAX_ATTEMPT_BYTES: Final = 4 * 1024 * 1024
"""Of one attempt's events, which are held in memory at once; a real one's are some twelve thousand."""

Positive = Annotated[int, Field(ge=1)]
M = TypeVar("M", bound=Model)


class VolumeHead(Model):
    """A volume's first line. `previous` is the digest of the volume before it, or GENESIS; `checkpoint` that of the
    checkpoint that vouched for its attempts, which lie between the positions `first` and `last`."""

    format: Literal["gateway-volume/v1"] = "gateway-volume/v1"
    journal: JournalId
    number: Positive
    previous: Digest
    ended_before: Instant
    attempts: Positive
    first: Positive
    last: Positive
    checkpoint: Digest


class Entry(Model):
    """The line before an attempt's events. `head` is the hash of the last of them."""

    attempt: AttemptId
    position: Positive
    events: Annotated[int, Field(ge=1, le=MAX_EVENTS)]
    head: Digest


@dataclass(frozen=True, slots=True)
class Archived:
    """One attempt as a volume has it; the hashes are what is written there, unjudged."""

    entry: Entry
    events: tuple[StoredEvent, ...]


@dataclass(frozen=True, slots=True)
class Volume:
    """An open volume, read from start to end, once."""

    head: VolumeHead
    _lines: Iterator[bytes]

    def attempts(self) -> Iterator[Archived]:
        """In the order of the file. Raises `MalformedInput` where it breaks off, goes on too long or is not JSON."""
        for _ in range(self.head.attempts):
            entry = _model(Entry, _content(_next(self._lines), b'{"attempt":'))
            yield Archived(entry, tuple(self._events(entry.events)))
        if next(self._lines, None):
            raise MalformedInput("the volume goes on after its last attempt")

    def _events(self, count: int) -> Iterator[StoredEvent]:
        size = 0
        for number in range(1, count + 1):
            line = _next(self._lines)
            size += len(line)
            if size > MAX_ATTEMPT_BYTES:
                raise MalformedInput("an attempt of the volume is longer than any that was written")
            yield self._event(number, line)

    def _event(self, number: int, line: bytes) -> StoredEvent:
        before, _, body = _content(line, b'{"hash":').partition(b',"event":')
        try:
            hash_, text = json.loads(before), body.decode(errors="surrogateescape")
        except ValueError:
            raise MalformedInput("a line of the volume is no event") from None
        if not isinstance(hash_, str):
            raise MalformedInput("a line of the volume is no event")
        return StoredEvent(number, text, hash_)


@contextmanager
def opened(path: Path) -> Iterator[Volume]:
    """Read a volume; raises `MalformedInput`, while it is read, for what is not one, whole."""
    try:
        with gzip.open(path) as file:
            lines = _lines(file)
            yield Volume(_model(VolumeHead, _content(_next(lines), b'{"volume":')), lines)
    except (OSError, EOFError, zlib.error):
        raise MalformedInput("the file cannot be read as a volume") from None


def file_digest(path: Path) -> str:
    """Plain SHA-256, so that `sha256sum` says the same; raises `MalformedInput`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, hashlib.sha256).hexdigest()
    except OSError:
        raise MalformedInput("the file cannot be read as a volume") from None


def volumes_at(paths: Sequence[Path]) -> list[Path]:
    """The files that are meant: those named, and in a directory each that is named like a volume."""
    found: list[Path] = []
    for path in paths:
        try:
            here = sorted(each for each in path.iterdir() if each.name.endswith(SUFFIX) and each.name[0] != ".")
        except NotADirectoryError:
            here = [path]
        except OSError:
            raise UsageError(
                "--archive: no such file or directory, or not readable; check its owner and mode"
            ) from None
        found.extend(here)
    return list(dict.fromkeys(found))


def archived_events(archive: Archive, stored: StoredAttempt, paths: Sequence[Path]) -> tuple[StoredEvent, ...]:
    """An archived attempt's events, read from the one file that is its volume; none where that is not among `paths`.

    Raises `AuditTampered` where the volume holds no such attempt, or other events than the journal's row closes.
    """
    digests = {volume.digest for volume in archive.volumes() if volume.number == stored.volume}
    path = next((path for path in paths if file_digest(path) in digests), None)
    if path is None:
        return ()
    with opened(path) as volume:
        events = next((each.events for each in volume.attempts() if each.entry.attempt == stored.attempt), ())
    hash_ = GENESIS
    for event in events:
        hash_ = digest(EVENT_DOMAIN, hash_.encode() + event.body.encode(errors="surrogateescape"))
    if (len(events), hash_) != stored.end:
        raise AuditTampered("the volume does not hold the events that the journal closes; run gateway audit verify")
    return events


def archived_links(archive: Archive, attempt: AttemptId, paths: Sequence[Path]) -> tuple[Link, ...]:
    """The same as links. Raises `AuditTampered` for events that the gateway has not written."""
    stored = archive.attempt(attempt)
    links: list[Link] = []
    try:
        for found in archived_events(archive, stored, paths) if stored else ():
            links.append(Link.after(links[-1].hash if links else GENESIS, Event.model_validate_json(found.body)))
    except ValueError:
        raise AuditTampered("an archived event is not what was written; run gateway audit verify") from None
    return tuple(links)


class Shelf:
    """A directory of volumes that this process alone adds to; see `shelf`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def tries(self, journal: JournalId, number: int) -> list[Path]:
        """The files that were written as the volume of this number: of several tries, one at most is recorded."""
        return sorted(self._directory.glob(f"{journal}-{number:06d}*{SUFFIX}"))

    def write(self, head: VolumeHead, attempts: Sequence[StoredAttempt]) -> tuple[Path, str]:
        """Make the volume; answers path and digest once both are durable.

        Its name ends in its digest, so that no try replaces what another has written: an answer that was lost may
        yet record that one. A half-written file has another name, which the next try overwrites. Raises
        `DocumentError`.
        """
        name = f"{head.journal}-{head.number:06d}"
        unfinished = self._directory / f".{name}{SUFFIX}.new"
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, OWNER_FILE)
            with os.fdopen(descriptor, "wb") as file:
                with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                    packed.writelines(_spelled(head, attempts))
                file.flush()
                os.fsync(file.fileno())
            written = file_digest(unfinished)
            path = unfinished.replace(self._directory / f"{name}-{written}{SUFFIX}")
            sync_directory(self._directory)
        except OSError as error:
            raise DocumentError(f"a volume could not be written ({error.strerror}); nothing was deleted") from None
        return path, written


def fits(stored: StoredAttempt) -> bool:
    """Whether a volume may hold this attempt's events: what is too long to be read must not be written."""
    lines = [len(line) for line in _event_lines(stored)]
    return max(lines) <= MAX_LINE_BYTES and sum(lines) <= MAX_ATTEMPT_BYTES


@contextmanager
def shelf(directory: Path) -> Iterator[Shelf]:
    """The directory, made owner-only where there is none, and locked; raises `Conflict` while another has it."""
    try:
        make_directory(directory)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        raise UsageError("--to: no directory of yours can be made or opened there") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("another process is archiving into this directory; wait until it is done") from None
        yield Shelf(directory)
    finally:
        os.close(descriptor)


def _spelled(head: VolumeHead, attempts: Sequence[StoredAttempt]) -> Iterator[bytes]:
    yield b'{"volume":%s}\n' % head.canonical()
    for stored in attempts:
        entry = Entry(
            attempt=AttemptId(stored.attempt),
            position=stored.position,
            events=len(stored.events),
            head=stored.events[-1].hash,
        )
        yield b'{"attempt":%s}\n' % entry.canonical()
        yield from _event_lines(stored)


def _event_lines(stored: StoredAttempt) -> Iterator[bytes]:
    return (b'{"hash":"%s","event":%s}\n' % (event.hash.encode(), event.body.encode()) for event in stored.events)


def _lines(file: gzip.GzipFile) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES or not line.endswith(b"\n"):
            raise MalformedInput("the volume breaks off, or a line of it is too long")
        yield line


def _next(lines: Iterator[bytes]) -> bytes:
    line = next(lines, None)
    if line is None:
        raise MalformedInput("the volume breaks off")
    return line


def _content(line: bytes, opening: bytes) -> bytes:
    """What stands between the opening and the closing brace, byte for byte: hashes are over these bytes."""
    if not line.startswith(opening) or not line.endswith(b"}\n"):
        raise MalformedInput("a line of the volume is not what belongs there")
    return line[len(opening) : -2]


def _model(model: type[M], content: bytes) -> M:
    try:
        return model.parse(content)
    except GatewayError:
        raise MalformedInput("a line of the volume is not what belongs there") from None
