"""Archiving that dies, fails, is not answered or meets another run: nothing is lost, and nothing deleted too early."""

from __future__ import annotations

import asyncio
import gzip
import resource
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import verify_file, volumes
from gateway.audit.retention import Retention
from gateway.audit.volumes import volumes_at
from gateway.errors import AuditTampered, Conflict, DocumentError, JournalFailed
from tests.unit.audit.conftest import LATER, NOW, attempts, tables


async def test_a_file_left_by_a_run_that_died_is_made_again(world: Any, tmp_path: Path) -> None:
    kept, archive = world.checkpoint(), tmp_path / "archive"
    shutil.copy(world.path, tmp_path / "before.db")
    await world.archive(archive, kept=kept)
    [file] = volumes_at([archive])
    half = archive / f".{file.name.rpartition('-')[0]}.jsonl.gz.new"
    half.write_bytes(b"half of it" * 10_000)  # longer than what is written over it
    world.path.unlink()
    shutil.copy(tmp_path / "before.db", world.path)  # file written, journal not yet told
    tally = await world.archive(archive, kept=kept, size=2)
    assert tally.volumes == 2
    assert file not in volumes_at([archive])
    assert not half.exists()
    assert verify_file(world.path, [kept], world.keyring, volumes_at([archive])).flaws == ()


class Tries:
    """Runs of archiving into one directory, whose one write to the journal goes as the test says."""

    def __init__(self, world: Any, directory: Path) -> None:
        self.world = world
        self.directory = directory
        self.kept = world.checkpoint()
        self.given: list[Any] = []

    @property
    def files(self) -> list[Path]:
        return volumes_at([self.directory]) if self.directory.exists() else []

    async def run(self, before: datetime, write: Any = None) -> None:
        """`before` is in a volume's head: another one makes another file."""
        journal = self.world.open()
        told = journal.archive_events

        async def archive_events(*words: Any) -> None:
            self.given.append(words)
            await (told(*words) if write is None else write(told))

        journal.archive_events = archive_events
        run = Retention(journal=journal, vouching=self.world.sealed(self.kept), before=before)
        try:
            _ = [tally async for tally in run.run(self.directory)]
        finally:
            await journal.aclose()

    def flaws(self) -> Any:
        return verify_file(self.world.path, [self.kept], self.world.keyring, self.files).flaws


@pytest.fixture
def tries(world: Any, tmp_path: Path) -> Tries:
    return Tries(world, tmp_path / "archive")


async def unanswered(_told: Any) -> None:
    raise JournalFailed


@pytest.mark.requirement("AUDIT-29")
async def test_a_volume_whose_answer_was_lost_outlives_the_next_run_and_is_recorded_after_all(tries: Tries) -> None:
    """The lost statement still waits in the server, and goes through before the next run's own."""
    with pytest.raises(JournalFailed):
        await tries.run(LATER, unanswered)
    [first] = tries.files

    async def both(told: Any) -> None:
        assert first in tries.files
        for words in tries.given:
            await told(*words)

    with pytest.raises(Conflict):
        await tries.run(LATER + timedelta(days=1), both)
    assert tries.files == [first]
    assert tries.flaws() == ()
    assert all(not each.events for each in attempts(tries.world.path) if each.volume is not None)
    await tries.run(LATER + timedelta(days=2))
    assert tries.files == [first]


async def refused(_told: Any) -> None:
    raise Conflict


async def test_a_refused_volumes_file_is_one_copy_too_many(tries: Tries) -> None:
    with pytest.raises(Conflict):
        await tries.run(LATER, refused)
    assert tries.files == []


@pytest.mark.requirement("AUDIT-29")
async def test_a_refused_volumes_file_that_an_earlier_try_made_stays_until_its_number_is_taken(tries: Tries) -> None:
    """The earlier try's statement may be on its way still."""
    with pytest.raises(JournalFailed):
        await tries.run(LATER, unanswered)
    [first] = tries.files
    with pytest.raises(Conflict):
        await tries.run(LATER, refused)
    assert tries.files == [first]
    await tries.run(LATER + timedelta(days=1))
    [second] = tries.files
    assert first != second
    assert tries.flaws() == ()


async def test_what_a_run_left_that_died_after_the_journals_write_is_cleared_by_the_next(tries: Tries) -> None:
    async def died(told: Any) -> None:
        await told(*tries.given[-1])
        raise KeyboardInterrupt

    with pytest.raises(JournalFailed):
        await tries.run(LATER, unanswered)
    with pytest.raises(KeyboardInterrupt):
        await tries.run(LATER + timedelta(days=1), died)
    assert len(tries.files) == 2
    assert tries.flaws() != ()
    await tries.run(LATER)  # which finds nothing to move
    assert len(tries.files) == 1
    assert tries.flaws() == ()


async def test_a_file_that_has_another_end_than_a_recorded_volume_is_not_deleted(tries: Tries) -> None:
    await tries.run(LATER)
    [file] = tries.files
    end = str(next(each.columns["head"] for each in attempts(tries.world.path) if each.volume is not None)).encode()
    other = file.with_name(file.name.replace("-000001-", "-000001-0"))
    other.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()).replace(end, b"0" * 64)))
    await tries.run(LATER)
    assert sorted(tries.files) == sorted([file, other])


async def test_a_try_that_holds_other_events_than_the_journal_is_not_deleted(tries: Tries) -> None:
    with pytest.raises(JournalFailed):
        await tries.run(LATER, unanswered)
    [first] = tries.files
    first.write_bytes(gzip.compress(gzip.decompress(first.read_bytes()).replace(b"SLOT_TAKEN", b"SLOT_TAKE2")))
    with pytest.raises(Conflict, match="restored from a copy"):
        await tries.run(LATER + timedelta(days=1))
    assert tries.files == [first]


async def test_a_file_that_holds_what_the_journal_does_not_is_never_overwritten(world: Any, tmp_path: Path) -> None:
    """The journal was restored from an old copy: what happened since is in the volume alone."""
    archive = tmp_path / "archive"
    shutil.copy(world.path, tmp_path / "before.db")
    journal = world.open()
    await world.attempt(journal, await world.propose(journal), world.ends.APPLIED)
    await journal.aclose()
    await world.archive(archive, kept=world.checkpoint())
    [file] = volumes_at([archive])
    content = file.read_bytes()
    world.path.unlink()
    shutil.copy(tmp_path / "before.db", world.path)
    for found in (content, b"no volume at all"):
        file.write_bytes(found)
        with pytest.raises(Conflict, match="restored from a copy"):
            await world.archive(archive, kept=world.checkpoint())
        assert file.read_bytes() == found
    assert all(each.events for each in attempts(world.path))


async def test_two_runs_at_once_archive_each_attempt_once(world: Any, tmp_path: Path) -> None:
    kept = world.checkpoint()
    one, two = world.open(), world.open()

    async def run(journal: Any, directory: str) -> int:
        job = Retention(journal=journal, vouching=world.sealed(kept), before=NOW + timedelta(days=1), size=1)
        try:
            return [tally async for tally in job.run(tmp_path / directory)][-1].attempts
        except Conflict:
            return -1

    ends = await asyncio.gather(run(one, "a"), run(two, "b"))
    await one.aclose()
    await two.aclose()
    assert -1 in ends
    rest = await world.archive(tmp_path / "a", kept=kept)
    files = volumes_at([tmp_path / "a", tmp_path / "b"])
    report = verify_file(world.path, [kept], world.keyring, files)
    assert (report.flaws, report.archived, report.absent) == ((), 4, 0)
    copies = {volumes.file_digest(file) for file in files}  # a try that another run made to the byte is no flaw
    assert len(copies) == 4 - rest.attempts + rest.volumes


async def test_a_full_disk_stops_the_run_and_nothing_is_deleted(world: Any, tmp_path: Path) -> None:
    kept, before = world.checkpoint(), tables(world.path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    journal = world.open()
    run = Retention(journal=journal, vouching=world.sealed(kept), before=NOW + timedelta(days=1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(DocumentError, match=r"\(File too large\); nothing was deleted"):
            _ = [tally async for tally in run.run(tmp_path / "archive")]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await journal.aclose()
    assert volumes_at([tmp_path / "archive"]) == []
    assert (tables(world.path), all(each.events for each in attempts(world.path))) == (before, True)
    assert (await world.archive(tmp_path / "archive", kept=kept)).attempts == 4


async def test_a_volume_that_does_not_read_back_is_not_recorded(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that lies: the bytes of one event are others by the time they are read."""
    spelled = volumes._spelled
    monkeypatch.setattr(
        volumes, "_spelled", lambda *words: (line.replace(b"SLOT_TAKEN", b"SLOT_TAKE2") for line in spelled(*words))
    )
    with pytest.raises(AuditTampered, match="read as it was written"):
        await world.archive(tmp_path / "archive", kept=world.checkpoint())
    assert all(each.events for each in attempts(world.path))


async def test_a_directory_is_archived_into_by_one_run_at_a_time(world: Any, tmp_path: Path) -> None:
    kept = world.checkpoint()
    journal = world.open()
    run = Retention(journal=journal, vouching=world.sealed(kept), before=NOW + timedelta(days=1), size=1)
    tallies = run.run(tmp_path / "archive")
    await anext(tallies)
    with pytest.raises(Conflict, match="wait until"):
        await world.archive(tmp_path / "archive", kept=kept)
    await tallies.aclose()
    await journal.aclose()
    assert (await world.archive(tmp_path / "archive", kept=kept)).attempts == 3
