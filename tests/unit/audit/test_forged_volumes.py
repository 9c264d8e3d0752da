"""A forger with the archive in their hands: volumes that are damaged, gone, misplaced or written anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.audit import FlawCode, verify_file
from gateway.audit.volumes import MAX_ATTEMPT_BYTES, MAX_LINE_BYTES, archived_links, opened
from gateway.contracts.canonical import digest
from gateway.contracts.chain import EVENT_DOMAIN, GENESIS
from gateway.contracts.references import AttemptId
from gateway.contracts.signals import Event, Signal
from gateway.errors import AuditTampered, MalformedInput
from gateway.journal import JournalId
from gateway.journal._sqlite_archive import open_archive
from tests.unit.audit.archived import Site, codes, found, rechained, spans

Lines = list[dict[str, Any]]


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


def test_flaws_of_volumes_repeat_no_content(site: Site) -> None:
    lines = site.read(1)
    lines[1]["attempt"]["attempt"] = "Jane Canary 1970-01-01"
    lines[2]["event"]["signal"] = "Jane Canary"
    site.write(1, lines)
    (site.archive / "Jane-Canary.jsonl.gz").write_bytes(b"Jane Canary")
    report = site.verify(site.before)
    assert report.flaws
    assert "Canary" not in repr(report)
