"""Verification of what was archived: marks, rows and files of volumes against each other and against checkpoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.audit._attempts import check_archived
from gateway.audit._records import Said
from gateway.audit.checkpoint import Head, SealedCheckpoint, attempt_row_digest
from gateway.audit.report import Findings, FlawCode, place
from gateway.audit.volumes import Archived, Volume, file_digest, opened
from gateway.contracts.chain import GENESIS
from gateway.errors import MalformedInput
from gateway.journal import Archive, StoredAttempt, StoredVolume


@dataclass(slots=True)
class Marks:
    """How many attempts say that their events are in which volume; `unvouched` are volumes with an attempt that no held
    checkpoint covers.

    `discarded` are volumes that somebody says are gone for good: that one is missing is then no flaw."""

    attempts: Counter[int] = field(default_factory=Counter)
    unvouched: set[int] = field(default_factory=set)
    discarded: frozenset[int] = frozenset()

    def add(self, volume: int, *, vouched: bool) -> None:
        self.attempts[volume] += 1
        if not vouched:
            self.unvouched.add(volume)


def compare_attempt(stored: StoredAttempt, head: Head, findings: Findings) -> None:
    """One attempt with one checkpoint that lists it."""
    length, last, row = head
    where = place("attempt", stored.attempt)
    absent = stored.volume is not None and not stored.events
    found = stored.end[0] if absent else len(stored.events)
    if found < length:
        findings.flaw(FlawCode.COVERED_SHORTENED, where)
        return
    # An attempt that was still open then may have gone on since; its row has, too.
    moved_on = found > length
    if moved_on and absent:
        return  # its events alone could tell
    hash_ = stored.text("head") if absent else stored.events[length - 1].hash
    findings.unless(hash_ == last, FlawCode.COVERED_DIFFERS, where)
    findings.unless(moved_on or attempt_row_digest(stored) == row, FlawCode.COVERED_DIFFERS, where)


def verify_volumes(
    archive: Archive,
    paths: Sequence[Path] | None,
    held: Sequence[SealedCheckpoint],
    said: Said,
    marks: Marks,
    findings: Findings,
) -> None:
    """Every volume given, and that what is marked, recorded and given is the same. None: no file is at hand."""
    recorded = {volume.number: volume for volume in archive.volumes()}
    numbered = sorted(recorded) == list(range(1, len(recorded) + 1))
    findings.unless(numbered, FlawCode.POSITION_GAP, place("volumes"))
    for number in recorded.keys() | marks.attempts.keys():
        counted = number in recorded and recorded[number].attempts == marks.attempts[number]
        findings.unless(counted, FlawCode.VOLUME_DIFFERS, place("volume", number))
    at_hand = set()
    for ordinal, path in enumerate(paths or (), start=1):
        volume = _which(path, ordinal, recorded, findings)
        if volume is not None and volume.number not in at_hand:
            at_hand.add(volume.number)
            previous = recorded.get(volume.number - 1)
            _verify_volume(
                path, archive, (volume, GENESIS if previous is None else previous.digest), held, said, findings
            )
    for number, count in sorted(marks.attempts.items()):
        if number in at_hand:
            continue
        findings.absent += count
        excused = paths is None or number in marks.discarded
        findings.unless(excused, FlawCode.VOLUME_MISSING, place("volume", number))
        findings.unless(number not in marks.unvouched, FlawCode.UNVOUCHED, place("volume", number))


def _which(path: Path, ordinal: int, recorded: Mapping[int, StoredVolume], findings: Findings) -> StoredVolume | None:
    """The recorded volume that this file is, to the byte; else a flaw that says what the file says of itself. More of
    a file of which nothing is recorded is not read: anybody may have made it, of any length."""
    try:
        found = file_digest(path)
        known = next((volume for volume in recorded.values() if volume.digest == found), None)
        if known is None:
            with opened(path) as volume:
                findings.flaw(FlawCode.VOLUME_DIFFERS, place("volume", volume.head.number))
    except MalformedInput:
        findings.flaw(FlawCode.VOLUME_INVALID, place("file", ordinal))
        return None
    return known


def _verify_volume(
    path: Path,
    archive: Archive,
    chained: tuple[StoredVolume, str],
    held: Sequence[SealedCheckpoint],
    said: Said,
    findings: Findings,
) -> None:
    recorded, previous = chained
    where = place("volume", recorded.number)
    position = 0
    try:
        with opened(path) as volume:
            findings.unless(_head_agrees(volume, archive, recorded, previous), FlawCode.VOLUME_DIFFERS, where)
            for each in volume.attempts():
                findings.unless(each.entry.position > position, FlawCode.VOLUME_DIFFERS, where)
                position = each.entry.position
                _verify_archived(each, archive, recorded.number, held, said, findings)
    except MalformedInput:
        findings.flaw(FlawCode.VOLUME_INVALID, where)


def _head_agrees(volume: Volume, archive: Archive, recorded: StoredVolume, previous: str) -> bool:
    head = volume.head
    told = (head.journal, head.number, head.previous, head.attempts, head.ended_before.isoformat())
    return told == (
        archive.meta.get("journal"),
        recorded.number,
        previous,
        recorded.attempts,
        recorded.ended_before,
    )


def _verify_archived(
    each: Archived,
    archive: Archive,
    number: int,
    held: Sequence[SealedCheckpoint],
    said: Said,
    findings: Findings,
) -> None:
    row = archive.attempt(each.entry.attempt)
    where = place("attempt", each.entry.attempt)
    told = (each.entry.position, (each.entry.events, each.entry.head))
    if row is None or row.volume != number or (row.position, row.end) != told:
        findings.flaw(FlawCode.VOLUME_DIFFERS, where)
        return
    whole = replace(row, events=each.events)
    check_archived(whole, said, findings)
    for sealed in held:
        head = sealed.heads.attempts.get(each.entry.attempt)
        if head is not None:
            compare_attempt(whole, head, findings)
