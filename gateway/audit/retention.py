"""Archiving: moving the events of finished attempts out of the journal, into volumes.

Owns: which attempts may leave, and the order of the move. An attempt leaves when it ended before the given instant,
nothing about it is open, and a checkpoint vouches for it as it is now: row, length and last hash, recomputed over
every event. A volume is on the disk, and read back, before its attempts' events are deleted; marks and deletion are
one write of the journal. So a process that dies at any instant leaves the events in the journal, or in a volume and
marked, and the next run goes on from there. What keeps a key used stays in the journal for ever.
Refuses: to archive what no checkpoint covers, to delete what it could not read back, to replace a file, and to delete
one that the journal has recorded, may yet record, or has not all the events of.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, cast

from gateway.audit.checkpoint import Head, SealedCheckpoint, attempt_row_digest, meta_digest
from gateway.audit.volumes import Archived, Shelf, Volume, VolumeHead, file_digest, fits, opened, shelf
from gateway.contracts.canonical import digest
from gateway.contracts.chain import EVENT_DOMAIN, GENESIS
from gateway.errors import AuditTampered, Conflict, MalformedInput, UsageError
from gateway.journal import Archive, Journal, JournalId, StoredAttempt, StoredVolume

VOLUME_ATTEMPTS: Final = 500
"""A volume's attempts, and so the length of one write: while it lasts, commits on the same SQLite file wait."""


@dataclass(slots=True)
class Tally:
    """What a run has moved, or would move. `event_bytes` is what the journal held of it. Old enough and left all the
    same: `uncovered` are not as they are now in the checkpoint, `oversized` have more events than a volume holds."""

    volumes: int = 0
    attempts: int = 0
    events: int = 0
    event_bytes: int = 0
    uncovered: int = 0
    oversized: int = 0

    def add(self, leaving: list[StoredAttempt]) -> None:
        self.volumes += 1
        self.attempts += len(leaving)
        for stored in leaving:
            self.events += len(stored.events)
            self.event_bytes += sum(len(event.body.encode()) + len(event.hash) for event in stored.events)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """One run over one journal, under one checkpoint, for attempts that ended before `before` (whole seconds)."""

    journal: Journal
    vouching: SealedCheckpoint
    before: datetime
    size: int = VOLUME_ATTEMPTS

    def check(self, now: datetime) -> None:
        """Raises `UsageError` where the run makes no sense: another journal's checkpoint, or a date to come."""
        if self.before > now or self.before.microsecond:
            raise UsageError("--before: not a whole second of the past")
        with self.journal.archive() as archive:
            if self.vouching.checkpoint.meta != meta_digest(archive):
                raise UsageError("the latest checkpoint is another journal's; name this one's with --checkpoints")

    async def plan(self) -> AsyncIterator[Tally]:
        """What `run` would move; the tally so far, after each volume's worth, and nothing is written."""
        tally = Tally()
        async for leaving in self._leaving(tally):
            tally.add(leaving)
            yield tally
        yield tally

    async def run(self, directory: Path) -> AsyncIterator[Tally]:
        """Move volume after volume into `directory`; the tally so far, after each.

        Raises `AuditTampered` where an attempt is not what the checkpoint vouches for, `DocumentError` where a file
        cannot be written, `Conflict` where somebody else is archiving. What was moved before stays moved.
        """
        tally = Tally()
        with shelf(directory) as place:
            with self.journal.archive() as archive:  # a run that died may have left other tries at the last volume
                left = place.tries(JournalId(archive.meta["journal"]), _last(archive)[0])
            self._clear(left)
            async for leaving in self._leaving(tally):
                await self._move(place, leaving)
                tally.add(leaving)
                yield tally
        yield tally

    async def _leaving(self, tally: Tally) -> AsyncIterator[list[StoredAttempt]]:
        """Those that may leave, a volume's worth at a time, the oldest first."""
        leaving: list[StoredAttempt] = []
        vouched = cast("Mapping[str, Head]", self.vouching.heads.attempts)
        async for stored in self.journal.archivable(self.before):
            head = vouched.get(stored.attempt)
            if head is None or head[0] < len(stored.events):
                tally.uncovered += 1
                continue
            _check(stored, head)
            if not fits(stored):
                tally.oversized += 1
                continue
            leaving.append(stored)
            if len(leaving) == self.size:
                yield leaving
                leaving = []
        if leaving:
            yield leaving

    async def _move(self, place: Shelf, leaving: list[StoredAttempt]) -> None:
        with self.journal.archive() as archive:
            journal, (last, previous) = JournalId(archive.meta["journal"]), _last(archive)
            earlier = place.tries(journal, last + 1)
            for path in earlier:
                _check_redundant(archive, path)
        head = VolumeHead(
            journal=journal,
            number=last + 1,
            previous=previous,
            ended_before=self.before,
            attempts=len(leaving),
            first=leaving[0].position,
            last=leaving[-1].position,
            checkpoint=self.vouching.digest,
        )
        path, written = place.write(head, leaving)
        _read_back(path, head, leaving)
        volume = StoredVolume(head.number, written, head.ended_before.isoformat(), len(leaving))
        try:
            await self.journal.archive_events(volume, leaving)
        except Conflict:
            if path not in earlier:  # else a lost statement of an earlier try may record it yet
                self._clear([path])
            raise
        self._clear(earlier)  # their number is taken, so that no statement can record them any more

    def _clear(self, paths: Sequence[Path]) -> None:
        """Delete files that nothing will record, after one more look whether nothing has."""
        if paths:
            with self.journal.archive() as archive:
                for path in paths:
                    if _redundant(archive, path):
                        path.unlink()


def _check(stored: StoredAttempt, vouched: Head) -> None:
    """Whether the attempt is, to the byte, the one that the checkpoint lists."""
    hash_ = GENESIS
    for number, event in enumerate(stored.events, start=1):
        hash_ = digest(EVENT_DOMAIN, hash_.encode() + event.body.encode())
        if (event.seq, event.hash) != (number, hash_):
            break
    if (len(stored.events), hash_, attempt_row_digest(stored)) != vouched or stored.end[1] != hash_:
        raise AuditTampered("an attempt is not what the checkpoint vouches for; run gateway audit verify")


def _last(archive: Archive) -> tuple[int, str]:
    """Number and digest of the last volume, or of what comes before the first."""
    return max(((volume.number, volume.digest) for volume in archive.volumes()), default=(0, GENESIS))


def _check_redundant(archive: Archive, path: Path) -> None:
    """A file of the next volume's number is what a run that died left, if nothing is in it that is not elsewhere.
    Otherwise the journal was put back to an earlier day, and the file may hold the only copy of what came after."""
    if not _redundant(archive, path):
        raise Conflict(
            f"{path.name} is there already and the journal does not know it; keep it elsewhere if the journal was "
            "restored from a copy, since it may hold what the copy lacks"
        )


def _redundant(archive: Archive, path: Path) -> bool:
    """Whether the file is no recorded volume, and all that is in it is in the journal or in a volume that is."""
    try:
        if file_digest(path) in {volume.digest for volume in archive.volumes()}:
            return False
        with opened(path) as volume:
            return all(_held(archive, each) for each in volume.attempts())
    except MalformedInput:
        return False


def _held(archive: Archive, each: Archived) -> bool:
    stored = archive.attempt(each.entry.attempt)
    if stored is None:
        return False
    if stored.volume is None:
        return stored.events == each.events
    return stored.end == (len(each.events), each.events[-1].hash)


def _read_back(path: Path, head: VolumeHead, leaving: list[StoredAttempt]) -> None:
    with opened(path) as volume:
        if volume.head != head or not _same(volume, leaving):
            raise AuditTampered("a volume does not read as it was written; nothing was deleted, look at its disk")


def _same(volume: Volume, leaving: list[StoredAttempt]) -> bool:
    read = [(each.entry.attempt, each.entry.position, each.events) for each in volume.attempts()]
    return read == [(stored.attempt, stored.position, stored.events) for stored in leaving]
