"""A journal read whole, over both databases: the same rows, one look, and a verifier that finds the same flaws."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import verify_file
from gateway.audit.checkpoint import attempt_row_digest
from gateway.contracts.chain import RecordKind
from gateway.contracts.statements import Finding
from gateway.contracts.words import End
from gateway.errors import AuditTampered, ConfigurationError
from gateway.journal import StoredAttempt
from gateway.journal._sqlite import SqliteJournal
from gateway.journal._sqlite_archive import open_archive
from gateway.journal.opening import located
from gateway.signatures import TrustedKeys

COLUMNS = {
    "position", "attempt", "purpose", "trigger_id", "practice", "proposal", "proposal_digest", "connection",
    "operation", "approval", "state", "seq", "head", "attempt_key", "siblings", "deadline", "owner", "effect", "code",
    "outcome", "volume",
}  # fmt: skip


async def told(place: Any, tell: Any) -> list[str]:
    """Three proposals and three attempts, each ended otherwise."""
    journal = await place.open()
    attempts = []
    for end in (End.APPLIED, End.UNKNOWN, End.REFUSED):
        case = await tell.case(siblings=(tell.sha(end),)).recorded(journal)
        await case.say(journal, RecordKind.DECISION)
        attempts.append((await tell.run(journal, case, end))[0])
    await journal.resolve(attempts[1], "stm_one", "signed", Finding.ABSENT)
    await journal.aclose()
    return attempts


async def test_what_was_written_is_read_in_order(place: Any, tell: Any) -> None:
    attempts = await told(place, tell)
    with place.archive() as archive:
        stored = list(archive.attempts())
        records = list(archive.records())
        assert set(archive.meta) == {"journal", "key"}
        assert archive.damage() == []
        assert [row.attempt for row in stored] == attempts
        assert [row.columns["position"] for row in stored] == [1, 2, 3]
        assert all(set(row.columns) == COLUMNS and row.triggers and row.events for row in stored)
        assert len({attempt_row_digest(row) for row in stored}) == 3
        assert sorted(row.position for row in records) == list(range(1, 8))
        assert records == sorted(records, key=lambda row: (row.practice, row.proposal, row.seq))
        assert [row.finding for row in records if row.kind == "resolution"] == ["ABSENT"]
        assert [hold[2] for hold in archive.holds()] == attempts[:1]
        assert list(archive.siblings()) == []
        assert [row[2] for row in archive.triggers()] != []


def test_a_row_as_it_is_found_may_lack_its_numbers() -> None:
    row = StoredAttempt(columns={"position": None, "volume": 1, "seq": None, "head": "h"}, triggers=(), events=())
    assert (row.position, row.end) == (0, (0, "h"))


async def test_damage_is_named_and_told_in_part(tmp_path: Path, tell: Any) -> None:
    journal = SqliteJournal.open(tmp_path / "journal.db", key=bytes(range(32)))
    for _ in range(3):
        await tell.run(journal, await tell.case().recorded(journal), End.APPLIED)
    await journal.aclose()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as file:
        for (rule,) in file.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            file.execute(f"DROP TRIGGER {rule}")
        file.execute("DELETE FROM attempts WHERE position > 1")
        orphans = "SELECT count(*) FROM events WHERE attempt NOT IN (SELECT attempt FROM attempts)"
        assert file.execute(orphans).fetchone()[0] > 20
        file.execute("PRAGMA writable_schema = 1")
        another = "UPDATE sqlite_schema SET sql = replace(sql, 'UNKNOWN', 'APPLIED') WHERE name = 'attempts_unknown'"
        file.execute(another)
        file.commit()
    with open_archive(tmp_path / "journal.db") as archive:
        found = archive.damage()
    lost = [line for line in found if "attempts_unknown" in line]
    assert found[: len(lost)] == lost != []
    assert len(found) == len(lost) + 20
    assert set(found[len(lost) :]) <= {
        f"{table} refers to a missing attempts" for table in ("events", "holds", "triggers")
    }


class TestFile:
    """A file that somebody brings: read as it is, and left so."""

    @pytest.fixture
    async def path(self, tmp_path: Path, tell: Any) -> Path:
        path = tmp_path / "journal.db"
        journal = SqliteJournal.open(path, key=bytes(range(32)))
        await tell.run(journal, await tell.case().recorded(journal), End.APPLIED)
        await journal.aclose()
        with closing(sqlite3.connect(path)) as file:
            file.execute("PRAGMA journal_mode = DELETE")
        return path

    def test_it_is_not_changed(self, path: Path) -> None:
        before = path.read_bytes()
        with open_archive(path) as archive:
            assert len(list(archive.attempts())) == 1
        assert (path.read_bytes(), [each.name for each in path.parent.glob("journal.db-*")]) == (before, [])

    def test_it_cannot_be_written_to(self, path: Path) -> None:
        with pytest.raises(AuditTampered, match="READONLY"), open_archive(path) as archive:
            archive._connection.execute("DELETE FROM suspensions")

    def test_of_the_first_schema_it_has_no_volumes(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as file:
            file.execute("PRAGMA user_version = 1")
        with open_archive(path) as archive:
            assert list(archive.volumes()) == []

    def test_of_a_schema_to_come_it_is_refused_by_name(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as file:
            file.execute("PRAGMA user_version = 99")
        with pytest.raises(ConfigurationError, match=r"^journal\.db has schema 99, "), open_archive(path):
            pass

    def test_what_breaks_while_it_is_read_is_named_by_its_kind(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as file:
            (page,) = file.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'attempts'").fetchone()
        content = bytearray(path.read_bytes())
        content[4096 * (page - 1) : 4096 * page] = bytes(4096)
        path.write_bytes(content)
        with pytest.raises(AuditTampered, match=r"\(SQLITE_CORRUPT\)$"), open_archive(path) as archive:
            list(archive.attempts())

    def test_an_error_without_a_name_of_sqlites_is_named_by_its_type(self, path: Path) -> None:
        with pytest.raises(AuditTampered, match=r"\(ProgrammingError\)$"), open_archive(path):
            raise sqlite3.ProgrammingError("canary")

    def test_bytes_that_are_no_text_are_handed_on(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as file:
            file.execute("DROP TRIGGER records_are_written_once")
            file.execute("UPDATE records SET body = CAST(x'ff41' AS TEXT)")
            file.commit()
        with open_archive(path) as archive:
            assert [record.body for record in archive.records()] == ["\udcffA"]


async def test_one_look_does_not_see_what_comes_later(place: Any, tell: Any) -> None:
    await told(place, tell)
    journal = await place.open()
    with place.archive() as archive:
        assert len(list(archive.triggers())) == 3
        await tell.run(journal, await tell.case().recorded(journal), End.APPLIED)
        assert len(list(archive.attempts())) == 3
    await journal.aclose()


TAMPERINGS = {
    "an attempt deleted whole": (
        "DELETE FROM events WHERE attempt = :attempt",
        "DELETE FROM triggers WHERE attempt = :attempt",
        "DELETE FROM holds WHERE attempt = :attempt",
        "DELETE FROM attempts WHERE attempt = :attempt",
    ),
    "an event edited": ("UPDATE events SET body = '{}' WHERE attempt = :attempt AND seq = 2",),
    "an effect edited": ("UPDATE attempts SET effect = 'REFUSED' WHERE attempt = :attempt",),
    "a record moved": ("UPDATE records SET position = 99 WHERE position = 3",),
    "a hold dropped": ("DELETE FROM holds",),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
async def test_whoever_went_past_the_rules_is_found(place: Any, tell: Any, tampering: str) -> None:
    attempts = await told(place, tell)
    where = located(place.home, place.address)
    nobody = TrustedKeys(keys=())
    place.lift_the_rules()
    before = set(verify_file(where, [], nobody).flaws)
    place.tamper(*TAMPERINGS[tampering], attempt=attempts[0])
    after = set(verify_file(where, [], nobody).flaws)
    assert after - before
