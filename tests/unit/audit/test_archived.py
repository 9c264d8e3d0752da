"""A forger with journal and archive in their hands; and a verifier with public keys, checkpoints and volumes."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import FlawCode, verify_file
from gateway.audit.volumes import volumes_at
from tests.unit.audit.archived import Site, codes, found, rechained, spans


def test_the_forgers_tools_alone_forge_nothing(site: Site) -> None:
    for number in (1, 2):
        site.write(number, site.read(number), recorded=False)
    second = site.read(2)
    second[0]["volume"]["previous"] = hashlib.sha256(site.volumes[0].read_bytes()).hexdigest()
    for number, lines in ((1, site.read(1)), (2, second)):
        site.write(number, lines)
    assert site.verify(site.before).flaws == ()


UNFINISHED = "(SELECT attempt FROM attempts WHERE effect = 'UNKNOWN' AND volume IS NULL)"
HIDE = f"DELETE FROM events WHERE attempt = {UNFINISHED}"


@pytest.mark.requirement("AUDIT-29")
class TestMarkedToHide:
    """An attempt marked as archived, its events deleted, and no volume that ever held them."""

    def test_in_a_volume_that_does_not_hold_it(self, site: Site) -> None:
        site.forge(HIDE, "UPDATE attempts SET volume = 2 WHERE effect = 'UNKNOWN' AND volume IS NULL")
        for kept in ((), (site.before,), (site.after,)):
            for volumes in (True, False):
                assert FlawCode.VOLUME_DIFFERS in codes(site.verify(*kept, volumes=volumes))

    def test_in_a_volume_that_is_said_to_hold_one_more(self, site: Site) -> None:
        site.forge(
            HIDE,
            "UPDATE attempts SET volume = 2 WHERE effect = 'UNKNOWN' AND volume IS NULL",
            "UPDATE volumes SET attempts = attempts + 1 WHERE number = 2",
        )
        assert FlawCode.VOLUME_DIFFERS in codes(site.verify())
        assert FlawCode.VOLUME_DIFFERS in codes(site.verify(site.before))
        assert FlawCode.COVERED_DIFFERS in codes(site.verify(site.after, volumes=False))
        # An effect unknown and unresolved is never archived, whatever vouches for the row.
        assert codes(site.verify(site.before, volumes=False)) == {FlawCode.ROW_DIFFERS}

    def test_in_a_volume_of_its_own(self, site: Site) -> None:
        site.forge(
            HIDE,
            f"INSERT INTO volumes VALUES (3, '{'0' * 64}', '2031-01-01T00:00:00+00:00', 1)",
            "UPDATE attempts SET volume = 3 WHERE effect = 'UNKNOWN' AND volume IS NULL",
        )
        assert FlawCode.VOLUME_MISSING in codes(site.verify(site.before, site.after))
        assert {FlawCode.ROW_DIFFERS, FlawCode.UNVOUCHED} <= codes(site.verify(volumes=False))

    def test_where_nothing_is_recorded_of_the_volume(self, site: Site) -> None:
        site.forge(HIDE, "UPDATE attempts SET volume = 9 WHERE effect = 'UNKNOWN' AND volume IS NULL")
        for volumes in (True, False):
            assert FlawCode.VOLUME_DIFFERS in codes(site.verify(site.before, volumes=volumes))


async def test_an_attempt_after_the_last_checkpoint_cannot_be_passed_off_as_archived(site: Site) -> None:
    """Archiving needs a checkpoint, so an archived attempt that none covers was never archived."""
    journal = site.world.open()
    attempt, _ = await site.world.attempt(journal, await site.world.propose(journal), site.world.ends.APPLIED)
    await journal.aclose()
    site.forge(
        f"DELETE FROM events WHERE attempt = '{attempt}'",
        f"INSERT INTO volumes VALUES (3, '{'0' * 64}', '2031-01-01T00:00:00+00:00', 1)",
        f"UPDATE attempts SET volume = 3 WHERE attempt = '{attempt}'",
    )
    assert codes(site.verify(site.before, site.after, volumes=False)) == {FlawCode.UNVOUCHED}
    assert FlawCode.VOLUME_MISSING in codes(site.verify(site.before, site.after))


def test_without_volume_and_checkpoint_nothing_vouches_for_an_archived_attempt(site: Site) -> None:
    assert found(site.verify(volumes=False)) == [(FlawCode.UNVOUCHED, "volume 1"), (FlawCode.UNVOUCHED, "volume 2")]
    assert site.verify().flaws == ()


@pytest.mark.parametrize(
    ("forgery", "code"),
    [
        ("DELETE FROM events WHERE attempt = (SELECT attempt FROM attempts WHERE position = 6)", FlawCode.CHAIN_BROKEN),
        ("UPDATE attempts SET volume = NULL WHERE position = 1", FlawCode.CHAIN_BROKEN),
        ("UPDATE attempts SET volume = 2 WHERE position = 1", FlawCode.VOLUME_DIFFERS),
        ("UPDATE attempts SET volume = 1 WHERE position = 6", FlawCode.ROW_DIFFERS),
        ("DELETE FROM volumes WHERE number = 2", FlawCode.VOLUME_DIFFERS),
        ("DELETE FROM volumes WHERE number = 1", FlawCode.POSITION_GAP),
        ("UPDATE volumes SET number = 3 WHERE number = 2", FlawCode.POSITION_GAP),
    ],
)
def test_marks_and_events_that_disagree_are_found_with_or_without_volumes(
    site: Site, forgery: str, code: FlawCode
) -> None:
    site.forge(forgery)
    for volumes in (True, False):
        assert code in codes(site.verify(site.before, volumes=volumes))


EDITS = {
    "state": "'REJECTED'",
    "seq": "seq + 1",
    "head": f"'{'0' * 64}'",
    "effect": "'NOT_SENT'",
    "code": "'SLOT_TAKEN2'",
    "outcome": "replace(outcome, 'spent', 'usable')",
    "attempt_key": "'x'",
    "siblings": "'x'",
    "deadline": "NULL",
    "owner": "'x'",
    "purpose": "'check'",
    "trigger_id": "'x'",
    "practice": "'x'",
    "proposal": "'x'",
    "proposal_digest": "'x'",
    "connection": "'x'",
    "operation": "'x'",
    "approval": "'x'",
    "attempt": "'x'",
    "position": "99",
}
KEPT_BY_CHECKPOINTS = {"siblings", "owner"}
"""What no event repeats; the same is true of attempts that are not archived."""


@pytest.mark.parametrize("column", EDITS)
def test_every_column_of_a_tombstone_is_held_by_checkpoint_or_volume(site: Site, column: str) -> None:
    site.forge(f"UPDATE attempts SET {column} = {EDITS[column]} WHERE position = 1")
    for kept in (site.before, site.after):
        assert site.verify(kept, volumes=False).flaws
        assert site.verify(kept).flaws
    assert site.verify().flaws or column in KEPT_BY_CHECKPOINTS


@pytest.mark.parametrize("column", ["number", "digest", "ended_before", "attempts"])
def test_every_column_of_a_volumes_row_is_held_by_its_file_or_a_later_checkpoint(site: Site, column: str) -> None:
    edit = {"number": "7", "attempts": "attempts + 1"}.get(column, "'2020-01-01T00:00:00+00:00'")
    site.forge(f"UPDATE volumes SET {column} = {edit} WHERE number = 2")
    assert site.verify().flaws
    assert (FlawCode.COVERED_DIFFERS, "volumes") in found(site.verify(site.after, volumes=False))


def test_a_row_of_volumes_that_contradicts_the_marks_is_named(site: Site) -> None:
    site.forge("UPDATE volumes SET attempts = attempts + 1 WHERE number = 2")
    assert found(site.verify(site.before, volumes=False)) == [(FlawCode.VOLUME_DIFFERS, "volume 2")]
    site.forge("UPDATE volumes SET number = 3 WHERE number = 2")
    assert found(site.verify(site.before, volumes=False)) == [
        (FlawCode.POSITION_GAP, "volumes"),
        (FlawCode.UNREADABLE, "journal"),
        (FlawCode.VOLUME_DIFFERS, "volume 2"),
        (FlawCode.VOLUME_DIFFERS, "volume 3"),
    ]


def test_an_outcome_that_is_none_is_named_as_its_attempts(site: Site) -> None:
    site.forge("UPDATE attempts SET outcome = '{}' WHERE position = 1")
    attempt = site.read(1)[1]["attempt"]["attempt"]
    assert found(site.verify()) == [
        (FlawCode.OUTCOME_DIFFERS, f"attempt {attempt}"),
        (FlawCode.RESERVATION_DIFFERS, f"siblings {attempt}"),
        (FlawCode.ROW_DIFFERS, f"attempt {attempt}"),
    ]


def test_attempts_swapped_between_volumes_are_found(site: Site) -> None:
    first, second = site.read(1), site.read(2)
    (start, end), (other, rest) = spans(first)[2], spans(second)[0]
    third, fourth = first[start:end], second[other:rest]
    site.write(1, first[:start] + fourth + first[end:])
    second = second[:other] + third + second[rest:]
    second[0]["volume"]["previous"] = hashlib.sha256(site.volumes[0].read_bytes()).hexdigest()
    site.write(2, second)
    assert FlawCode.VOLUME_DIFFERS in codes(site.verify(site.before))
    site.forge(
        "UPDATE attempts SET volume = 9 WHERE position = 4",
        "UPDATE attempts SET volume = 1 WHERE position = 5",
        "UPDATE attempts SET volume = 2 WHERE position = 4",
    )
    assert FlawCode.COVERED_DIFFERS in codes(site.verify(site.after))


def test_an_archived_attempt_told_anew_everywhere_is_held_by_the_checkpoint(site: Site) -> None:
    """Events, row, outcome and volume all say the same; only whoever holds a checkpoint knows better."""
    lines = rechained(site.read(1), lambda event: event.model_copy(update={"trace": "f" * 32}))
    (start, _), *_ = spans(lines)
    head = lines[start]["attempt"]["head"]
    site.write_first(lines)
    site.forge(
        f"UPDATE attempts SET outcome = replace(outcome, head, '{head}') WHERE position = 1",
        f"UPDATE attempts SET head = '{head}' WHERE position = 1",
    )
    assert site.verify().flaws == ()
    for volumes in (True, False):
        assert FlawCode.COVERED_DIFFERS in codes(site.verify(site.before, volumes=volumes))


async def test_what_a_checkpoint_saw_of_an_attempt_while_it_was_open_is_compared_with_its_volume(
    world: Any, forging: Any, tmp_path: Path
) -> None:
    early = world.checkpoint()
    journal = world.open()
    [paused] = [file for file in await journal.attempts() if file.state == "PAUSED"]
    await world.close_paused(journal, paused)
    await journal.aclose()
    kept = world.checkpoint(early)
    await world.archive(tmp_path / "archive", kept=kept)
    site = Site(world, forging, tmp_path / "archive", early, kept)
    lines = rechained(site.read(1), lambda event: event.model_copy(update={"trace": "f" * 32}), which=4)
    start, _ = spans(lines)[4]
    told = lines[start]["attempt"]
    assert told["attempt"] == paused.attempt
    site.write(1, lines)
    site.forge(
        f"UPDATE attempts SET outcome = replace(outcome, head, '{told['head']}') WHERE attempt = '{paused.attempt}'",
        f"UPDATE attempts SET head = '{told['head']}' WHERE attempt = '{paused.attempt}'",
    )
    assert site.verify().flaws == ()  # told anew everywhere
    assert [(flaw.code, flaw.where) for flaw in site.verify(early).flaws] == [
        (FlawCode.COVERED_DIFFERS, f"attempt {paused.attempt}")
    ]
    assert FlawCode.COVERED_DIFFERS in codes(site.verify(kept, volumes=False))


@pytest.mark.parametrize("seed", range(4))
async def test_random_journals_are_intact_after_any_sequence_of_archivings(
    tmp_path: Path, other_world: Any, seed: int
) -> None:
    world, choose = other_world, random.Random(seed)
    codes_of = {
        "APPLIED": "COMMITTED",
        "REFUSED": "SLOT_TAKEN",
        "UNKNOWN": "CONNECTION_LOST",
        "BLOCKED": "CONSENT_ABSENT",
        "NOT_SENT": "CONNECTION_LOST",
        "PAUSED": "DECISION_REQUIRED",
    }
    kept: list[str] = []
    moved = 0
    for _ in range(4):
        journal = world.open()
        for _ in range(choose.randint(1, 6)):
            end = choose.choice([*codes_of, None])
            proposal = await world.propose(journal)
            code = world.codes[codes_of[end or "APPLIED"]]
            attempt, closing = await world.attempt(journal, proposal, world.ends[end] if end else None, code)
            if end == "UNKNOWN" and choose.random() < 0.5:
                await world.look_and_resolve(journal, proposal, attempt, closing)
        await journal.aclose()
        kept.append(world.checkpoint(kept[-1] if kept else None))
        if choose.random() < 0.8:
            tally = await world.archive(tmp_path / "archive", kept=choose.choice(kept), size=choose.randint(1, 5))
            moved += tally.attempts
    files = volumes_at([tmp_path / "archive"]) if moved else None
    for held in (kept, kept[-1:], kept[:1], []):
        report = verify_file(world.path, held, world.keyring, files)
        assert (report.flaws, report.archived, report.absent) == ((), moved, 0)
    bare = verify_file(world.path, kept, world.keyring)
    assert (bare.flaws, bare.absent) == ((), moved)
