"""A forger with the file in their hands, column by column, row by row; and a verifier with public keys."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import FlawCode, Report, verify, verify_file
from gateway.contracts.chain import GENESIS, Link
from gateway.contracts.outcome import Outcome
from gateway.contracts.references import CorrelationId, DecisionId
from gateway.contracts.signals import Event, Signal
from gateway.contracts.words import Effect, Environment, State
from gateway.errors import AuditTampered, ConfigurationError, JournalUnavailable
from gateway.journal._sqlite_archive import open_archive
from gateway.signatures import TrustedKeys

COVERED = ("meta", "attempts", "events", "records", "triggers", "holds", "siblings")
"""Every table that records something; suspensions, budgets and the probe are settings and counters."""

# What no event or statement repeats, and therefore only a checkpoint holds: the journal's name and key digest,
# the digest of the caller's trigger, keyed digests, which process it was.
CHECKPOINT_ONLY = {
    ("meta", "name"),
    ("meta", "value"),
    ("triggers", "digest"),
    ("attempts", "siblings"),
    ("attempts", "owner"),
}


@contextmanager
def forging(path: Path, copy: Path) -> Iterator[sqlite3.Connection]:
    """A copy of the journal, without its triggers and constraints in the way."""
    shutil.copy(path, copy)
    connection = sqlite3.connect(copy, isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute("PRAGMA synchronous = OFF")
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    yield connection
    connection.close()


def columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def rows(connection: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    order = ", ".join(str(number + 1) for number in range(len(columns(connection, table))))
    return connection.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()


def write_back(connection: sqlite3.Connection, table: str, content: list[tuple[Any, ...]]) -> bool:
    """Replace a table's rows; False where the schema itself does not admit them."""
    connection.execute("BEGIN")
    try:
        connection.execute(f"DELETE FROM {table}")
        marks = ", ".join("?" for _ in columns(connection, table))
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", content)
    except sqlite3.IntegrityError:
        connection.execute("ROLLBACK")
        return False
    connection.execute("COMMIT")
    return True


def edits(value: str | int | None) -> list[str | int | None]:
    """The value with its first, middle and last character changed, one more, one fewer, and none at all."""
    if value is None:
        return ["att_0123456789abcdef0123456789abcdee", ""]
    if isinstance(value, int):
        return [value + 1, value + 1000, -value]
    flipped = [
        value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :] for at in {0, len(value) // 2, len(value) - 1} if value
    ]
    return [*flipped, value + "x", value[:-1], None]


def test_an_untouched_journal_is_intact_with_and_without_checkpoints(world: Any) -> None:
    kept = world.checkpoint()
    bare, covered = verify_file(world.path, [], world.keyring), verify_file(world.path, [kept], world.keyring)
    assert bare.flaws == covered.flaws == ()
    assert (covered.attempts, covered.records, covered.checkpoints) == (7, 18, 1)
    assert covered.covered == 14
    assert covered.events > 60


@pytest.mark.parametrize("table", COVERED)
def test_every_column_of_every_row_edited_in_place_is_found(world: Any, tmp_path: Path, table: str) -> None:
    kept, tried = world.checkpoint(), 0
    with forging(world.path, tmp_path / "forged.db") as forged:
        names, content = columns(forged, table), rows(forged, table)
        for number, row in enumerate(content):
            for column, name in enumerate(names):
                ways = edits(row[column])
                # The ways in turn, so that each column is edited in all ways over its rows.
                for edit in {ways[number % len(ways)]} | (
                    {ways[-1 - number % len(ways)]} if table != "events" else set()
                ):
                    changed = [*content]
                    changed[number] = (*row[:column], edit, *row[column + 1 :])
                    if not write_back(forged, table, changed):
                        continue
                    tried += 1
                    place = f"{table}.{name} of row {number} was edited unseen"
                    assert verify_file(tmp_path / "forged.db", [kept], world.keyring).flaws, place
                    if (table, name) not in CHECKPOINT_ONLY:
                        assert verify_file(tmp_path / "forged.db", [], world.keyring).flaws, place
    assert tried > len(content)


@pytest.mark.parametrize("table", COVERED)
def test_every_row_deleted_is_found(world: Any, tmp_path: Path, table: str) -> None:
    kept = world.checkpoint()
    with forging(world.path, tmp_path / "forged.db") as forged:
        content = rows(forged, table)
        for number in range(len(content)):
            assert write_back(forged, table, content[:number] + content[number + 1 :])
            assert verify_file(tmp_path / "forged.db", [kept], world.keyring).flaws


@pytest.mark.parametrize("table", COVERED)
def test_contents_of_any_two_neighbouring_rows_swapped_are_found(world: Any, tmp_path: Path, table: str) -> None:
    kept = world.checkpoint()
    keys = {"attempts": 1, "events": 2, "records": 4, "holds": 2}.get(table, 1)
    swapped = 0
    with forging(world.path, tmp_path / "forged.db") as forged:
        content = rows(forged, table)
        for number in range(len(content) - 1):
            first, second = content[number], content[number + 1]
            changed = [*content]
            changed[number] = (*first[:keys], *second[keys:])
            changed[number + 1] = (*second[:keys], *first[keys:])
            if changed == content or not write_back(forged, table, changed):
                continue
            swapped += 1
            assert verify_file(tmp_path / "forged.db", [kept], world.keyring).flaws
    assert swapped


@pytest.mark.parametrize(
    ("table", "fresh"),
    [
        ("attempts", {"position": 99, "attempt": "att_0123456789abcdef0123456789abcdee", "attempt_key": None}),
        ("events", {"seq": 99}),
        ("records", {"position": 99, "seq": 99, "reference": "stm_0123456789abcdef0123456789abcdee"}),
        ("holds", {"proposal": "prp_0123456789abcdef0123456789abcdee", "attempt": "att_x"}),
        ("siblings", {"sibling": "0" * 64}),
        ("triggers", {"trigger_id": "trg_0123456789abcdef0123456789abcdee"}),
    ],
)
def test_every_row_duplicated_is_found(world: Any, tmp_path: Path, table: str, fresh: dict[str, Any]) -> None:
    kept = world.checkpoint()
    with forging(world.path, tmp_path / "forged.db") as forged:
        names, content = columns(forged, table), rows(forged, table)
        admitted = 0
        for row in content:
            copy = tuple(fresh.get(name, value) for name, value in zip(names, row, strict=True))
            if write_back(forged, table, [*content, copy]):
                admitted += 1
                assert verify_file(tmp_path / "forged.db", [kept], world.keyring).flaws
    assert admitted


def cut_attempt(forged: sqlite3.Connection) -> None:
    (last,) = forged.execute("SELECT attempt FROM attempts ORDER BY position DESC LIMIT 1").fetchone()
    for table in ("events", "triggers", "holds", "siblings", "attempts"):
        forged.execute(f"DELETE FROM {table} WHERE attempt = ?", (last,))


def cut_closing(forged: sqlite3.Connection) -> None:
    """The last finished attempt without an intent loses its two last events, and is made to look unfinished."""
    (last,) = forged.execute("SELECT attempt FROM attempts WHERE state = 'BLOCKED'").fetchone()
    forged.execute(
        "DELETE FROM events WHERE attempt = ?1 AND seq > (SELECT max(seq) FROM events WHERE attempt = ?1) - 2", (last,)
    )
    seq, head = forged.execute(
        "SELECT seq, hash FROM events WHERE attempt = ? ORDER BY seq DESC LIMIT 1", (last,)
    ).fetchone()
    forged.execute(
        "UPDATE attempts SET state = 'GATED', seq = ?, head = ?, code = NULL, outcome = NULL WHERE attempt = ?",
        (seq, head, last),
    )


def cut_record(forged: sqlite3.Connection) -> None:
    """The last record of all, a chain's only one, or its tail."""
    forged.execute("DELETE FROM records WHERE position = (SELECT max(position) FROM records)")


@pytest.mark.parametrize(
    ("cut", "code"),
    [
        (cut_attempt, FlawCode.COVERED_MISSING),
        (cut_closing, FlawCode.COVERED_SHORTENED),
        (cut_record, FlawCode.COVERED_SHORTENED),
    ],
)
def test_a_tail_cut_off_clean_is_found_by_the_checkpoint(
    world: Any, tmp_path: Path, cut: Callable[[sqlite3.Connection], None], code: FlawCode
) -> None:
    kept = world.checkpoint()
    with forging(world.path, tmp_path / "forged.db") as forged:
        cut(forged)
    assert code in codes(verify_file(tmp_path / "forged.db", [kept], world.keyring))


def codes(report: Report) -> set[FlawCode]:
    return {flaw.code for flaw in report.flaws}


async def test_a_journal_that_went_on_is_intact_under_its_earlier_checkpoints(world: Any) -> None:
    first = world.checkpoint()
    journal = world.open()
    proposal = await world.propose(journal)
    await world.attempt(journal, proposal, None)
    await journal.aclose()
    second = world.checkpoint(first)
    assert world.sealed(second).checkpoint.previous == world.sealed(first).digest
    for kept in ([first], [second], [second, first]):
        assert verify_file(world.path, kept, world.keyring).flaws == ()


def test_a_forked_or_altered_checkpoint_is_refused(world: Any) -> None:
    first = world.checkpoint()
    token, heads, _ = first.split("\n")
    forged = [f"{token[:-2]}xx\n{heads}\n", f"{token}\n{heads.replace('1', '2', 1)}\n", f"{token}\n", "", "x\n" + heads]
    for text in forged:
        assert codes(verify_file(world.path, [text], world.keyring)) == {FlawCode.CHECKPOINT_INVALID}
    follower = world.checkpoint(first)
    unrelated = world.checkpoint(world.checkpoint(first))  # number 3, but of another line
    assert codes(verify_file(world.path, [world.checkpoint(follower), follower, first], world.keyring)) == set()
    assert codes(verify_file(world.path, [first, world.checkpoint(unrelated)], world.keyring)) == set()


def everything(path: Path) -> list[Any]:
    """All that a journal says, or nothing where it says nothing any more."""
    try:
        with open_archive(path) as archive:
            tables = (archive.attempts(), archive.records(), archive.holds(), archive.siblings(), archive.triggers())
            return [dict(archive.meta), *(list(table) for table in tables)]
    except (ConfigurationError, AuditTampered):
        return []


def test_a_byte_flipped_anywhere_in_the_file_is_found_or_changed_nothing(world: Any, tmp_path: Path) -> None:
    kept, flipped, found = world.checkpoint(), tmp_path / "flipped.db", 0
    content, said = world.path.read_bytes(), everything(world.path)
    for at in (*range(0, 100, 9), *range(100, len(content), 2801)):
        flipped.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        flaws = verify_file(flipped, [kept], world.keyring).flaws
        found += bool(flaws)
        assert flaws or everything(flipped) == said
    assert found > 10


def test_a_file_that_is_no_journal_is_a_flaw_and_a_missing_one_an_error(world: Any, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.write_bytes(b"SQLite format 4" + bytes(4096))
    [flaw] = verify_file(other, [], world.keyring).flaws
    assert (flaw.code, flaw.where) == (FlawCode.UNREADABLE, "journal")
    with pytest.raises(ConfigurationError):
        verify_file(tmp_path / "none.db", [], world.keyring)


def test_flaws_repeat_no_content(world: Any, tmp_path: Path) -> None:
    with forging(world.path, tmp_path / "forged.db") as forged:
        forged.execute("UPDATE attempts SET attempt = 'Jane Canary 1970-01-01' WHERE position = 1")
        forged.execute(
            "UPDATE records SET proposal = 'Jane Canary 1970-01-01', body = 'Jane Canary' WHERE position = 2"
        )
        forged.execute("UPDATE meta SET value = 'Jane Canary'")
    report = verify_file(tmp_path / "forged.db", [world.checkpoint()], world.keyring)
    assert report.flaws
    assert "Canary" not in repr(report)


def rechain(forged: sqlite3.Connection, change: Callable[[Event], dict[str, Any] | None]) -> None:
    """A forger who knows the format: the first attempt's events changed (None drops one), numbers, hashes, head
    and closing hash all made to fit again."""
    found = forged.execute(
        "SELECT e.attempt, e.body FROM events e JOIN attempts a USING (attempt) WHERE position = 1 ORDER BY e.seq"
    ).fetchall()
    (attempt, _), links = found[0], []
    forged.execute("DELETE FROM events WHERE attempt = ?", (attempt,))
    head = GENESIS
    for _, body in found:
        event = Event.model_validate_json(body)
        update = change(event)
        if update is None:
            continue
        link = Link.after(head, event.model_copy(update={**update, "seq": len(links) + 1}))
        head = link.hash
        links.append((attempt, len(links) + 1, link.body.decode(), link.hash))
    forged.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", links)
    (outcome,) = forged.execute("SELECT outcome FROM attempts WHERE position = 1").fetchone()
    outcome = Outcome.model_validate_json(outcome).model_copy(update={"closing_hash": head}).canonical().decode()
    forged.execute("UPDATE attempts SET seq = ?, head = ?, outcome = ? WHERE position = 1", (len(links), head, outcome))


def on(signal: Signal, **update: Any) -> Callable[[Event], dict[str, Any] | None]:
    return lambda event: update if event.signal is signal else {}


@pytest.mark.requirement("AUDIT-22")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (on(Signal.APPROVAL_BOUND, approval_digest="0" * 64), FlawCode.APPROVAL_DIFFERS),
        (on(Signal.APPROVAL_BOUND, approved_at=datetime(2030, 1, 1, tzinfo=UTC)), FlawCode.APPROVAL_DIFFERS),
        (on(Signal.APPROVAL_BOUND, approval=DecisionId.random()), FlawCode.APPROVAL_DIFFERS),
        (on(Signal.PROPOSAL_BOUND, proposal_digest="0" * 64), FlawCode.ROW_DIFFERS),
        (on(Signal.INTENT_RECORDED, deadline=datetime(2030, 1, 1, tzinfo=UTC)), FlawCode.ROW_DIFFERS),
        (on(Signal.PROPOSAL_BOUND, correlation=CorrelationId.random()), FlawCode.EVENT_INVALID),
        (on(Signal.ATTEMPT_COMPLETED, effect=Effect.REFUSED), FlawCode.OUTCOME_DIFFERS),
        (on(Signal.ATTEMPT_COMPLETED, outcome_digest="0" * 64), FlawCode.OUTCOME_DIFFERS),
        (lambda event: None if event.to_state is State.GATED else {}, FlawCode.TRANSITION_ILLEGAL),
        (lambda event: None if event.signal is Signal.ATTEMPT_COMPLETED else {}, FlawCode.TRANSITION_ILLEGAL),
        (lambda event: None if event.signal is Signal.INTENT_RECORDED else {}, FlawCode.ROW_DIFFERS),
    ],
)
def test_a_chain_made_to_fit_again_still_contradicts_the_rest(
    world: Any, tmp_path: Path, change: Callable[[Event], dict[str, Any] | None], code: FlawCode
) -> None:
    kept = world.checkpoint()
    with forging(world.path, tmp_path / "forged.db") as forged:
        rechain(forged, lambda event: {})
    assert verify_file(tmp_path / "forged.db", [kept], world.keyring).intact  # the forger's tool itself is honest
    with forging(world.path, tmp_path / "forged.db") as forged:
        rechain(forged, change)
    assert code in codes(verify_file(tmp_path / "forged.db", [], world.keyring))
    assert codes(verify_file(tmp_path / "forged.db", [kept], world.keyring)) & {
        FlawCode.COVERED_DIFFERS,
        FlawCode.COVERED_SHORTENED,
    }


def test_statements_signed_by_a_stranger_are_found(world: Any) -> None:
    stranger = TrustedKeys(keys=())
    assert codes(verify_file(world.path, [], stranger)) >= {FlawCode.SIGNATURE_INVALID}


@pytest.mark.parametrize(("said", "any_server"), [({}, False), ({"any_server": True}, True)])
def test_a_standby_is_verified_only_where_somebody_said_so(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, bool], any_server: bool
) -> None:
    opened: list[bool] = []

    def unreachable(where: str, *, any_server: bool) -> None:
        opened.append(any_server)
        raise JournalUnavailable("no server")

    monkeypatch.setattr(verify, "open_archive", unreachable)
    with pytest.raises(JournalUnavailable):
        verify_file("postgresql://127.0.0.1/journal", [], TrustedKeys(keys=()), **said)
    assert opened == [any_server]


def test_events_of_another_environment_break_the_attempt(world: Any, tmp_path: Path) -> None:
    with forging(world.path, tmp_path / "forged.db") as forged:
        forged.execute(
            "UPDATE events SET body = replace(body, ?, ?) WHERE seq = 2", (Environment.SANDBOX, Environment.STAGING)
        )
    assert {FlawCode.CHAIN_BROKEN, FlawCode.EVENT_INVALID} <= codes(
        verify_file(tmp_path / "forged.db", [], world.keyring)
    )
