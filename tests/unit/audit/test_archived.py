"""A forger with journal and archive in their hands; and a verifier with public keys, checkpoints and volumes."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import FlawCode, Report, verify_file
from gateway.audit.volumes import MAX_ATTEMPT_BYTES, MAX_LINE_BYTES, archived_links, opened, volumes_at
from gateway.contracts.canonical import digest
from gateway.contracts.chain import EVENT_DOMAIN, GENESIS, Link
from gateway.contracts.references import AttemptId
from gateway.contracts.signals import Event, Signal
from gateway.errors import AuditTampered, MalformedInput
from gateway.journal import JournalId
from gateway.journal._sqlite_archive import open_archive

Lines = list[dict[str, Any]]


def codes(report: Report) -> set[FlawCode]:
    return {flaw.code for flaw in report.flaws}


def found(report: Report) -> list[tuple[FlawCode, str]]:
    return sorted((flaw.code, flaw.where) for flaw in report.flaws)


@dataclass
class Site:
    """A journal whose four archivable attempts are in two volumes: three and one. `before` and `after` are
    checkpoints drawn before and after that."""

    world: Any
    forging: Any
    archive: Path
    before: str
    after: str

    @property
    def volumes(self) -> list[Path]:
        return volumes_at([self.archive])

    def verify(self, *kept: str, volumes: bool = True) -> Report:
        return verify_file(self.world.path, kept, self.world.keyring, self.volumes if volumes else None)

    def forge(self, *statements: str) -> None:
        with self.forging(self.world.path) as forged:
            for statement in statements:
                forged.execute(statement)

    def read(self, number: int) -> Lines:
        content = gzip.decompress(self.volumes[number - 1].read_bytes())
        return [json.loads(line) for line in content.splitlines()]

    def write(self, number: int, lines: Lines, *, recorded: bool = True) -> None:
        """Another volume in place of that one; `recorded`, the journal is made to say that it is the one."""
        file = self.volumes[number - 1]
        spelled = (json.dumps(line, separators=(",", ":"), sort_keys=list(line) != ["hash", "event"]) for line in lines)
        file.write_bytes(gzip.compress("".join(f"{line}\n" for line in spelled).encode(), mtime=0))
        if recorded:
            sha = hashlib.sha256(file.read_bytes()).hexdigest()
            self.forge(f"UPDATE volumes SET digest = '{sha}' WHERE number = {number}")

    def write_first(self, lines: Lines) -> None:
        """The same for the first, and the second made to follow it."""
        self.write(1, lines)
        second = self.read(2)
        second[0]["volume"]["previous"] = hashlib.sha256(self.volumes[0].read_bytes()).hexdigest()
        self.write(2, second)


@pytest.fixture(scope="session")
def archived(told: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Made once: the journal, its archive beside it, the two checkpoints."""
    root = tmp_path_factory.mktemp("archived")
    shutil.copy(told.path, root / "journal.db")
    world = replace(told, path=root / "journal.db")
    before = world.checkpoint()
    asyncio.run(world.archive(root / "archive", kept=before, size=3))
    return world, before, world.checkpoint(before)


@pytest.fixture
def site(archived: Any, tmp_path: Path, forging: Any) -> Site:
    world, before, after = archived
    shutil.copytree(world.path.parent, tmp_path / "site")
    return Site(
        replace(world, path=tmp_path / "site" / "journal.db"), forging, tmp_path / "site" / "archive", before, after
    )


def test_the_forgers_tools_alone_forge_nothing(site: Site) -> None:
    for number in (1, 2):
        site.write(number, site.read(number), recorded=False)
    second = site.read(2)
    second[0]["volume"]["previous"] = hashlib.sha256(site.volumes[0].read_bytes()).hexdigest()
    for number, lines in ((1, site.read(1)), (2, second)):
        site.write(number, lines)
    assert site.verify(site.before).flaws == ()


# -- marks ------------------------------------------------------------------------------------------------

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


# -- files ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("AUDIT-29")
def test_a_byte_flipped_anywhere_in_a_volume_or_a_tail_cut_off_is_found(site: Site) -> None:
    file = site.volumes[0]
    content = file.read_bytes()
    for at in (*range(12), *range(12, len(content), 97), len(content) - 1):
        file.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        found = codes(site.verify(site.before))
        assert found & {FlawCode.VOLUME_INVALID, FlawCode.VOLUME_DIFFERS}
        assert FlawCode.VOLUME_MISSING in found
    for length in (0, 10, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        assert codes(site.verify(site.before)) & {FlawCode.VOLUME_INVALID, FlawCode.VOLUME_DIFFERS}


def test_a_missing_volume_is_named_where_others_are_given(site: Site) -> None:
    site.volumes[1].unlink()
    report = site.verify(site.before)
    assert [(flaw.code, flaw.where) for flaw in report.flaws] == [(FlawCode.VOLUME_MISSING, "volume 2")]
    assert report.absent == 1
    files = site.volumes
    for discarded, flawed in (([2], False), ([1], True), ([], True)):
        report = verify_file(site.world.path, [site.before], site.world.keyring, files, discarded)
        assert (bool(report.flaws), report.absent) == (flawed, 1)
    unheld = verify_file(site.world.path, [], site.world.keyring, files, [2])
    assert codes(unheld) == {FlawCode.UNVOUCHED}  # discarding excuses the file, not the proof
    site.volumes[0].unlink()  # the directory is there, and empty
    assert codes(site.verify(site.before)) == {FlawCode.VOLUME_MISSING}


def test_a_volume_given_twice_counts_once(site: Site) -> None:
    files = [*site.volumes, *site.volumes]
    report = verify_file(site.world.path, [site.before], site.world.keyring, files)
    assert (report.flaws, report.events) == ((), site.verify(site.before).events)


def test_volumes_swapped_by_name_are_the_same_volumes(site: Site) -> None:
    """A file is known by its content."""
    first, second = site.volumes
    first.rename(site.archive / "x.jsonl.gz")
    second.rename(first)
    assert site.verify(site.before).flaws == ()


def spans(lines: Lines) -> list[tuple[int, int]]:
    """From where to where each attempt's lines go."""
    starts = [number for number, line in enumerate(lines) if "attempt" in line]
    return list(zip(starts, [*starts[1:], len(lines)], strict=True))


def fewer_events(lines: Lines) -> Lines:
    start, _ = spans(lines)[0]
    lines[start]["attempt"]["events"] -= 1
    return lines[: start + 2] + lines[start + 3 :]


def fewer_events_made_to_fit(lines: Lines) -> Lines:
    """The chain closed again over the gap."""
    return rechained(lines, lambda event: None if event.to_state == "GATED" else event)


def another_effect_made_to_fit(lines: Lines) -> Lines:
    def change(event: Event) -> Event:
        if event.signal is Signal.ATTEMPT_COMPLETED:
            return event.model_copy(update={"outcome_digest": "0" * 64})
        return event

    return rechained(lines, change)


def rechained(lines: Lines, change: Callable[[Event], Event | None], which: int = 0) -> Lines:
    start, end = spans(lines)[which]
    events = [Event.model_validate_json(json.dumps(line["event"])) for line in lines[start + 1 : end]]
    links: list[Link] = []
    for event in events:
        if (changed := change(event)) is not None:
            numbered = changed.model_copy(update={"seq": len(links) + 1})
            links.append(Link.after(links[-1].hash if links else GENESIS, numbered))
    lines[start]["attempt"] |= {"events": len(links), "head": links[-1].hash}
    told = [{"hash": link.hash, "event": json.loads(link.body)} for link in links]
    return [*lines[: start + 1], *told, *lines[end:]]


def fewer_attempts(lines: Lines) -> Lines:
    start, end = spans(lines)[1]
    lines[0]["volume"]["attempts"] -= 1
    return lines[:start] + lines[end:]


def one_attempt_twice(lines: Lines) -> Lines:
    (start, end), (other, rest), *_ = spans(lines)
    return lines[:other] + lines[start:end] + lines[rest:]


def in_another_order(lines: Lines) -> Lines:
    (start, end), (other, rest), *_ = spans(lines)
    return lines[:start] + lines[other:rest] + lines[start:end] + lines[rest:]


def of_another_journal(lines: Lines) -> Lines:
    lines[0]["volume"]["journal"] = JournalId.random()
    return lines


def of_another_number(lines: Lines) -> Lines:
    lines[0]["volume"]["number"] = 2
    return lines


def after_another(lines: Lines) -> Lines:
    lines[0]["volume"]["previous"] = "1" * 64
    return lines


def going_on(lines: Lines) -> Lines:
    return [*lines, *lines[1:]]


def breaking_off(lines: Lines) -> Lines:
    return lines[:-1]


def of_no_events(lines: Lines) -> Lines:
    start, end = spans(lines)[0]
    return lines[: start + 1] + [{"hash": 7, "event": {}} for _ in range(start + 1, end)] + lines[end:]


FORGERIES = [
    fewer_events,
    fewer_events_made_to_fit,
    another_effect_made_to_fit,
    fewer_attempts,
    one_attempt_twice,
    in_another_order,
    of_another_journal,
    of_another_number,
    after_another,
    going_on,
    breaking_off,
    of_no_events,
]


@pytest.mark.requirement("AUDIT-29")
@pytest.mark.parametrize("forge", FORGERIES)
def test_a_volume_written_anew_is_found_by_its_digest_and_by_its_content(
    site: Site, forge: Callable[[Lines], Lines]
) -> None:
    site.write(1, forge(site.read(1)), recorded=False)
    by_digest = codes(site.verify(site.before))
    assert by_digest & {FlawCode.VOLUME_DIFFERS, FlawCode.VOLUME_INVALID}
    assert FlawCode.VOLUME_MISSING in by_digest
    site.write_first(site.read(1))  # now the journal vouches for it
    assert codes(site.verify()) & {FlawCode.VOLUME_DIFFERS, FlawCode.VOLUME_INVALID, FlawCode.OUTCOME_DIFFERS}
    assert FlawCode.COVERED_DIFFERS in codes(site.verify(site.after, volumes=False))


@pytest.mark.parametrize(
    ("forge", "code"),
    [
        (of_another_journal, FlawCode.VOLUME_DIFFERS),
        (in_another_order, FlawCode.VOLUME_DIFFERS),
        (going_on, FlawCode.VOLUME_INVALID),
    ],
)
def test_a_volume_that_is_recorded_and_wrong_is_named(
    site: Site, forge: Callable[[Lines], Lines], code: FlawCode
) -> None:
    site.write_first(forge(site.read(1)))
    assert found(site.verify()) == [(code, "volume 1")]


def test_an_attempt_that_its_volume_tells_otherwise_is_named(site: Site) -> None:
    lines = fewer_events_made_to_fit(site.read(1))
    site.write_first(lines)
    assert found(site.verify()) == [(FlawCode.VOLUME_DIFFERS, f"attempt {lines[1]['attempt']['attempt']}")]


def test_a_file_that_is_no_volume_is_named_by_its_place_among_those_given(site: Site) -> None:
    (site.archive / "z.jsonl.gz").write_bytes(b"no volume at all")
    assert found(site.verify()) == [(FlawCode.VOLUME_INVALID, "file 3")]


def test_events_that_the_gateway_cannot_have_written_are_no_links(site: Site) -> None:
    """A forger made journal and volume say the same; nothing but the event itself is wrong."""
    lines = site.read(1)
    start, end = spans(lines)[0]
    head = digest(EVENT_DOMAIN, GENESIS.encode() + b"{}")
    lines[start]["attempt"] |= {"events": 1, "head": head}
    site.write_first([*lines[: start + 1], {"hash": head, "event": {}}, *lines[end:]])
    site.forge(f"UPDATE attempts SET seq = 1, head = '{head}' WHERE position = 1")
    attempt = AttemptId(lines[start]["attempt"]["attempt"])
    with open_archive(site.world.path) as archive, pytest.raises(AuditTampered, match="not what was written"):
        archived_links(archive, attempt, site.volumes)


def test_an_attempt_that_is_not_in_its_volume_is_not_shown_as_one_without_events(site: Site) -> None:
    (_, _), (start, _), *_ = spans(site.read(1))
    attempt = AttemptId(site.read(1)[start]["attempt"]["attempt"])
    site.write_first(fewer_attempts(site.read(1)))
    with open_archive(site.world.path) as archive, pytest.raises(AuditTampered):
        archived_links(archive, attempt, site.volumes)


def test_a_file_that_is_not_recorded_is_not_read_beyond_its_head(site: Site) -> None:
    """It may be anybody's, and without end."""
    lines = site.read(1)
    site.write(1, [lines[0], {"attempt": "and so on, for ever"}], recorded=False)
    report = site.verify(site.before)
    assert {(flaw.code, flaw.where) for flaw in report.flaws} == {
        (FlawCode.VOLUME_DIFFERS, "volume 1"),
        (FlawCode.VOLUME_MISSING, "volume 1"),
    }


@pytest.mark.parametrize("recorded", [True, False])
def test_an_attempt_that_would_fill_the_verifiers_memory_is_no_attempt(site: Site, recorded: bool) -> None:
    lines = site.read(1)
    start, end = spans(lines)[0]
    long = {"hash": "0" * 64, "event": "x" * (MAX_LINE_BYTES - 100)}
    count = MAX_ATTEMPT_BYTES // (MAX_LINE_BYTES - 100) + 1
    lines[start]["attempt"]["events"] = count
    site.write(1, [*lines[: start + 1], *[long] * count, *lines[end:]], recorded=recorded)
    assert (FlawCode.VOLUME_INVALID in codes(site.verify())) is recorded
    with opened(site.volumes[0]) as volume, pytest.raises(MalformedInput, match="longer"):
        next(volume.attempts())


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


def test_flaws_of_volumes_repeat_no_content(site: Site) -> None:
    lines = site.read(1)
    lines[1]["attempt"]["attempt"] = "Jane Canary 1970-01-01"
    lines[2]["event"]["signal"] = "Jane Canary"
    site.write(1, lines)
    (site.archive / "Jane-Canary.jsonl.gz").write_bytes(b"Jane Canary")
    report = site.verify(site.before)
    assert report.flaws
    assert "Canary" not in repr(report)


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
