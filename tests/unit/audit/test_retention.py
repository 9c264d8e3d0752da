"""Archiving a journal: what leaves, what stays, what is refused, and that both halves together are the whole."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sqlite3
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import export_lines, verify_file, volumes
from gateway.audit.checkpoint import volumes_digest
from gateway.audit.retention import Retention
from gateway.audit.volumes import archived_links, opened, volumes_at
from gateway.contracts.references import AttemptId
from gateway.errors import AuditTampered, UsageError
from gateway.journal._sqlite_archive import open_archive
from gateway.signatures import TrustedKeys
from tests.unit.audit.conftest import LATER, NOW, attempts, tables


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


@pytest.mark.requirement("IDEM-02", "AUDIT-29")
async def test_events_leave_and_all_that_keeps_a_key_used_stays(world: Any, tmp_path: Path) -> None:
    kept, before, rows = world.checkpoint(), attempts(world.path), tables(world.path)
    tally = await world.archive(tmp_path / "archive", kept=kept)
    after = attempts(world.path)
    gone = [each for each in after if each.volume is not None]
    assert [each.columns["code"] for each in gone] == ["COMMITTED", "SLOT_TAKEN", "CONNECTION_LOST", "CONSENT_ABSENT"]
    assert all(each.events == () for each in gone)
    names = {each.attempt for each in gone}
    assert [each for each in after if each.volume is None] == [each for each in before if each.attempt not in names]
    assert tables(world.path) == rows
    assert (tally.volumes, tally.attempts, tally.uncovered) == (1, 4, 0)
    [file] = volumes_at([tmp_path / "archive"])
    with opened(file) as volume:
        held = {each.entry.attempt: each.events for each in volume.attempts()}
    assert held == {each.attempt: each.events for each in before if each.attempt in held}
    assert len(held) == tally.attempts
    assert tally.events == sum(len(events) for events in held.values())


async def test_a_volume_says_whose_it_is_and_is_the_owners_only(world: Any, tmp_path: Path) -> None:
    kept = world.checkpoint()
    await world.archive(tmp_path / "archive", kept=kept, size=3)
    first, second = volumes_at([tmp_path / "archive"])
    with open_archive(world.path) as archive:
        recorded = list(archive.volumes())
        journal = archive.meta["journal"]
    assert [volume.digest for volume in recorded] == [
        hashlib.sha256(file.read_bytes()).hexdigest() for file in (first, second)
    ]
    heads = [lines(file)[0]["volume"] for file in (first, second)]
    assert [(head["journal"], head["number"], head["previous"]) for head in heads] == [
        (journal, 1, "0" * 64),
        (journal, 2, recorded[0].digest),
    ]
    assert [(head["first"], head["last"], head["attempts"]) for head in heads] == [(1, 4, 3), (5, 5, 1)]
    assert {head["checkpoint"] for head in heads} == {world.sealed(kept).digest}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (first, second)} == {0o600}
    assert stat.S_IMODE((tmp_path / "archive").stat().st_mode) == 0o700
    assert not [path for path in (tmp_path / "archive").iterdir() if path.name.startswith(".")]


async def test_an_archived_journal_is_intact_with_its_volumes_and_says_what_was_not_at_hand(
    world: Any, tmp_path: Path
) -> None:
    kept = world.checkpoint()
    before = verify_file(world.path, [kept], world.keyring)
    await world.archive(tmp_path / "archive", kept=kept, size=3)
    files = volumes_at([tmp_path / "archive"])
    whole = verify_file(world.path, [kept], world.keyring, files)
    assert whole.flaws == ()
    assert (whole.attempts, whole.events, whole.archived, whole.absent) == (7, before.events, 4, 0)
    rows_only = verify_file(world.path, [kept], world.keyring)
    assert rows_only.flaws == ()
    assert (rows_only.archived, rows_only.absent) == (4, 4)
    assert rows_only.events < before.events
    later = world.checkpoint(kept)
    for held in ([later], [kept, later], []):
        assert verify_file(world.path, held, world.keyring, files).flaws == ()
    assert verify_file(world.path, [later], world.keyring).flaws == ()


async def test_a_checkpoint_drawn_while_an_attempt_was_open_is_compared_with_its_volume(
    world: Any, tmp_path: Path
) -> None:
    early = world.checkpoint()
    journal = world.open()
    [paused] = [file for file in await journal.attempts() if file.state == "PAUSED"]
    await world.close_paused(journal, paused)
    await journal.aclose()
    kept = world.checkpoint(early)
    await world.archive(tmp_path / "archive", kept=kept)
    files = volumes_at([tmp_path / "archive"])
    report = verify_file(world.path, [early, kept], world.keyring, files)
    assert (report.flaws, report.archived) == ((), 5)
    assert verify_file(world.path, [early, kept], world.keyring).flaws == ()


async def test_what_is_open_or_too_young_or_uncovered_stays(world: Any, tmp_path: Path) -> None:
    kept = world.checkpoint()
    tally = await world.archive(tmp_path / "archive", kept=kept, before=NOW)
    assert (tally.attempts, tally.volumes, tally.uncovered) == (0, 0, 0)
    journal = world.open()
    await world.attempt(journal, await world.propose(journal), world.ends.APPLIED)
    await journal.aclose()
    tally = await world.archive(tmp_path / "archive", kept=kept)
    assert (tally.attempts, tally.uncovered) == (4, 1)
    stayed = {each.columns["state"] for each in attempts(world.path) if each.volume is None}
    assert stayed == {"ERROR", "PAUSED", "AUDITING", "SUCCEEDED"}
    again = await world.archive(tmp_path / "archive", kept=kept)
    assert (again.attempts, again.uncovered) == (0, 1)
    rest = await world.archive(tmp_path / "archive", kept=world.checkpoint(kept))
    assert (rest.attempts, rest.uncovered) == (1, 0)


async def test_what_goes_on_after_the_checkpoint_stays_and_what_is_younger_and_covered_leaves(
    world: Any, tmp_path: Path
) -> None:
    journal = world.open()
    [paused] = [file for file in await journal.attempts() if file.state == "PAUSED"]
    young, _ = await world.attempt(journal, await world.propose(journal), world.ends.APPLIED)
    kept = world.checkpoint()
    await world.close_paused(journal, paused)
    await world.attempt(journal, await world.propose(journal), world.ends.APPLIED)
    run = Retention(journal=journal, vouching=world.sealed(kept), before=NOW + timedelta(days=1))
    planned = [tally async for tally in run.plan()][-1]
    await journal.aclose()
    assert (planned.attempts, planned.uncovered) == (5, 2)
    assert await world.archive(tmp_path / "archive", kept=kept) == planned
    gone = {each.attempt for each in attempts(world.path) if each.volume is not None}
    assert young in gone and paused.attempt not in gone


async def test_a_plan_counts_what_a_run_moves_and_writes_nothing(world: Any, tmp_path: Path) -> None:
    kept, before, stored = world.checkpoint(), tables(world.path), attempts(world.path)
    journal = world.open()
    run = Retention(journal=journal, vouching=world.sealed(kept), before=NOW + timedelta(days=1), size=3)
    planned = [replace(tally) async for tally in run.plan()][-1]
    assert tables(world.path) == before
    assert all(each.events for each in attempts(world.path))
    moved = [tally async for tally in run.run(tmp_path / "archive")][-1]
    await journal.aclose()
    assert planned == moved
    assert (moved.volumes, moved.attempts) == (2, 4)
    gone = {each.attempt for each in attempts(world.path) if each.volume is not None}
    left = [event for each in stored if each.attempt in gone for event in each.events]
    assert (moved.events, moved.event_bytes) == (len(left), sum(len(each.body) + len(each.hash) for each in left))


async def test_a_date_to_come_and_another_journals_checkpoint_are_refused(
    world: Any, tmp_path: Path, other_world: Any
) -> None:
    journal = world.open()
    ours, theirs = world.sealed(world.checkpoint()), other_world.sealed(other_world.checkpoint())
    with pytest.raises(UsageError, match="past"):
        Retention(journal=journal, vouching=ours, before=NOW + timedelta(days=1)).check(NOW)
    with pytest.raises(UsageError, match="whole second"):
        Retention(journal=journal, vouching=ours, before=NOW.replace(microsecond=5)).check(NOW + timedelta(days=1))
    with pytest.raises(UsageError, match="another journal"):
        Retention(journal=journal, vouching=theirs, before=NOW).check(NOW)
    await journal.aclose()


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE events SET body = replace(body, 'sandbox', 'staging') WHERE seq = 2",
        "UPDATE attempts SET outcome = replace(outcome, 'COMMITTED', 'CONFIRMED') WHERE position = 1",
        "UPDATE attempts SET head = lower(hex(zeroblob(32))) WHERE position = 1",
        "UPDATE triggers SET digest = 'x' WHERE attempt = (SELECT attempt FROM attempts WHERE position = 1)",
        "DELETE FROM events WHERE attempt = (SELECT attempt FROM attempts WHERE position = 1) AND seq = 3",
    ],
)
async def test_what_is_not_as_the_checkpoint_says_is_not_archived(
    world: Any, tmp_path: Path, forging: Any, edit: str
) -> None:
    kept = world.checkpoint()
    with forging(world.path) as forged:
        forged.execute(edit)
    with pytest.raises(AuditTampered):
        await world.archive(tmp_path / "archive", kept=kept)
    assert all(each.volume is None for each in attempts(world.path))


@pytest.mark.parametrize("limit", ["MAX_LINE_BYTES", "MAX_ATTEMPT_BYTES"])
async def test_what_is_too_long_for_a_volume_stays_and_the_rest_leaves(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    journal = world.open()
    finished = [each async for each in journal.archivable(LATER)]
    await journal.aclose()
    lines = {each.attempt: [len(line) for line in volumes._event_lines(each)] for each in finished}
    sizes = {name: max(found) if limit == "MAX_LINE_BYTES" else sum(found) for name, found in lines.items()}
    kept = world.checkpoint()
    monkeypatch.setattr(volumes, limit, max(sizes.values()) - 1)
    long = {name for name, size in sizes.items() if size == max(sizes.values())}
    tally = await world.archive(tmp_path / "archive", kept=kept)
    assert (tally.attempts, tally.uncovered, tally.oversized) == (4 - len(long), 0, len(long))
    assert {each.attempt for each in attempts(world.path) if each.attempt in lines and each.volume is None} == long
    assert verify_file(world.path, [kept], world.keyring, volumes_at([tmp_path / "archive"])).flaws == ()


async def test_a_resolution_after_archiving_still_holds(world: Any, tmp_path: Path) -> None:
    """An effect that a sink refused to take may be resolved by a human at any time; its row is enough for that."""
    journal = world.open()
    proposal = await world.propose(journal)
    attempt, closing = await world.attempt(
        journal, proposal, world.ends.APPLIED_UNAUDITED, world.codes.AUDIT_INCOMPLETE
    )
    await journal.aclose()
    kept = world.checkpoint()
    await world.archive(tmp_path / "archive", kept=kept)
    journal = world.open()
    await world.look_and_resolve(journal, proposal, attempt, closing)
    file = await journal.attempt(attempt)
    await journal.aclose()
    assert file is not None
    assert (file.volume, file.links, file.resolution) == (1, (), "APPLIED")
    assert file.ended_by == NOW + timedelta(days=1)
    for files in (None, volumes_at([tmp_path / "archive"])):
        assert verify_file(world.path, [kept], world.keyring, files).flaws == ()


async def test_exports_say_where_archived_events_are_or_read_them(world: Any, tmp_path: Path) -> None:
    def exported(*volumes: Path, attempt: AttemptId | None = None) -> list[Any]:
        stream = io.StringIO()
        with open_archive(world.path) as archive:
            count = export_lines(archive, stream, attempt, volumes)
        found = stream.getvalue().splitlines()
        assert len(found) == count
        assert not any(" " in line for line in found if line.startswith('{"archived"'))
        return [json.loads(line) for line in found]

    first = AttemptId(attempts(world.path)[0].attempt)
    all_of_it, of_one = exported(), exported(attempt=first)
    await world.archive(tmp_path / "archive", kept=world.checkpoint())
    files = volumes_at([tmp_path / "archive"])
    assert exported(*files, attempt=first) == of_one
    [away] = [line["archived"] for line in exported(attempt=first) if "archived" in line]
    assert away == {"attempt": first, "volume": 1, "events": 13, "head": attempts(world.path)[0].columns["head"]}
    rest = exported()
    assert sum("archived" in line for line in rest) == 4
    together = [line for line in (*rest, *lines(files[0])) if "event" in line or "record" in line]
    assert sorted(map(json.dumps, together)) == sorted(map(json.dumps, all_of_it))


async def test_an_archived_attempts_links_are_those_that_left(world: Any, tmp_path: Path) -> None:
    second = AttemptId(attempts(world.path)[1].attempt)
    journal = world.open()
    before = await journal.attempt(second)
    await journal.aclose()
    await world.archive(tmp_path / "archive", kept=world.checkpoint(), size=3)
    files = volumes_at([tmp_path / "archive"])
    with open_archive(world.path) as archive:
        assert archived_links(archive, second, files) == before.links
        assert archived_links(archive, second, ()) == ()
        assert archived_links(archive, AttemptId.random(), files) == ()


async def test_a_checkpoint_covers_the_volumes_that_there_were(world: Any, tmp_path: Path) -> None:
    first = world.checkpoint()
    await world.archive(tmp_path / "archive", kept=first, size=3)
    later = world.sealed(world.checkpoint(first)).checkpoint
    with open_archive(world.path) as archive:
        assert later.archived == volumes_digest(archive)
    assert (world.sealed(first).checkpoint.archived, later.archived[0]) == (None, 2)


@pytest.mark.parametrize("other", [b'"CONFIRMED"', b'"COMMITTE\xff"'], ids=["another word", "no text"])
async def test_a_volume_with_other_events_is_not_shown_as_the_attempts(
    world: Any, tmp_path: Path, forging: Any, other: bytes
) -> None:
    first = AttemptId(attempts(world.path)[0].attempt)
    await world.archive(tmp_path / "archive", kept=world.checkpoint())
    [file] = volumes_at([tmp_path / "archive"])
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()).replace(b'"COMMITTED"', other)))
    with forging(world.path) as forged:
        forged.execute("UPDATE volumes SET digest = ?", (hashlib.sha256(file.read_bytes()).hexdigest(),))
    with open_archive(world.path) as archive, pytest.raises(AuditTampered):
        export_lines(archive, io.StringIO(), first, [file])


class TestSchemaOne:
    """A journal as the first schema's gateway left it, from statements in text."""

    HERE = Path(__file__).parent

    @pytest.fixture
    def old(self, tmp_path: Path) -> Path:
        path = tmp_path / "old.db"
        with sqlite3.connect(path, isolation_level=None) as database:
            schema = Path(__file__).parents[3] / "gateway" / "journal" / "schema" / "0001_journal.sql"
            database.executescript(schema.read_text())
            database.executescript((self.HERE / "schema_1.sql").read_text())
            database.execute(f"PRAGMA application_id = {0x47574A31}")
            database.execute("PRAGMA user_version = 1")
        database.close()
        return path

    @property
    def keys(self) -> TrustedKeys:
        return TrustedKeys.parse((self.HERE / "schema_1.keys.json").read_bytes())

    @property
    def kept(self) -> str:
        return (self.HERE / "schema_1.checkpoint").read_text()

    def test_it_is_verified_without_being_migrated(self, old: Path) -> None:
        report = verify_file(old, [self.kept], self.keys)
        assert (report.flaws, report.attempts, report.archived) == ((), 5, 0)
        with sqlite3.connect(old) as database:
            assert database.execute("PRAGMA user_version").fetchone() == (1,)
        database.close()

    async def test_it_is_migrated_archived_and_intact_under_its_old_checkpoint(
        self, old: Path, tmp_path: Path, world_at: Any
    ) -> None:
        rows = [each.attempt for each in attempts(old)]
        journal = world_at(old).open()
        files = [await journal.attempt(AttemptId(each)) for each in rows]
        assert [file.state for file in files if file] == ["SUCCEEDED", "ERROR", "ERROR", "PAUSED", "AUDITING"]
        assert verify_file(old, [self.kept], self.keys).flaws == ()
        vouching = world_at(old, self.keys).sealed(self.kept)
        run = Retention(journal=journal, vouching=vouching, before=NOW + timedelta(days=1))
        run.check(NOW + timedelta(days=1))
        tally = [tally async for tally in run.run(tmp_path / "archive")][-1]
        await journal.aclose()
        assert tally.attempts == 2
        report = verify_file(old, [self.kept], self.keys, volumes_at([tmp_path / "archive"]))
        assert (report.flaws, report.archived, report.events) == ((), 2, 54)
