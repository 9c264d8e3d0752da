"""The format of volumes: what is written is read to the byte, and what is no volume is refused as none."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.audit.volumes import (
    MAX_ATTEMPT_BYTES,
    MAX_LINE_BYTES,
    Archived,
    VolumeHead,
    file_digest,
    fits,
    opened,
    shelf,
    volumes_at,
)
from gateway.contracts.chain import GENESIS
from gateway.contracts.references import AttemptId
from gateway.errors import MalformedInput, UsageError
from gateway.journal import JournalId, StoredAttempt, StoredEvent

HEAD = VolumeHead(
    journal=JournalId.random(),
    number=1,
    previous=GENESIS,
    ended_before=datetime(2030, 1, 7, 9, 0, tzinfo=UTC),
    attempts=1,
    first=1,
    last=1,
    checkpoint="1" * 64,
)
FIRST = b'{"volume":%s}\n' % HEAD.canonical()


FRAME = len(b'{"hash":"","event":}\n') + 64
"""What a line of an event has around it."""


def attempt(*bodies: str) -> StoredAttempt:
    """An attempt with events of these texts."""
    events = tuple(StoredEvent(number, body, "0" * 64) for number, body in enumerate(bodies, start=1))
    return StoredAttempt({"attempt": AttemptId.random(), "position": 1}, (), events)


def written(directory: Path, *bodies: str) -> tuple[Path, tuple[StoredEvent, ...]]:
    """A volume of one such attempt."""
    stored = attempt(*bodies)
    with shelf(directory) as shelved:
        path, _ = shelved.write(HEAD, [stored])
    return path, stored.events


def read(path: Path) -> Sequence[Archived]:
    with opened(path) as volume:
        assert volume.head == HEAD
        return list(volume.attempts())


def test_an_event_is_read_as_it_was_written_whatever_is_in_it(tmp_path: Path) -> None:
    path, events = written(tmp_path, '{"a":1,"event":{"b":2}}', '{"ä":"€"}')
    assert [each.events for each in read(path)] == [events]


def test_a_text_that_is_no_utf_8_is_read_for_the_verifier_to_judge(tmp_path: Path) -> None:
    path, _ = written(tmp_path, '{"a":"x"}')
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b'"x"', b'"\xff"')))
    assert [event.body for each in read(path) for event in each.events] == ['{"a":"\udcff"}']


def test_lines_and_attempts_of_the_greatest_length_are_written_and_read(tmp_path: Path) -> None:
    bodies = ["x" * (MAX_LINE_BYTES - FRAME)] * (MAX_ATTEMPT_BYTES // MAX_LINE_BYTES)
    path, events = written(tmp_path, *bodies)
    assert fits(attempt(*bodies))
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)[2:]
    assert ({len(line) for line in lines}, sum(map(len, lines))) == ({MAX_LINE_BYTES}, MAX_ATTEMPT_BYTES)
    assert [each.events for each in read(path)] == [events]


@pytest.mark.parametrize(
    "lines",
    [[MAX_LINE_BYTES + 1], [MAX_LINE_BYTES - 100] * 15 + [MAX_LINE_BYTES // 2, MAX_LINE_BYTES // 2 + 1501]],
    ids=["a line", "an attempt"],
)
def test_what_is_longer_by_a_byte_would_not_be_read_and_does_not_fit(tmp_path: Path, lines: list[int]) -> None:
    assert lines[0] == MAX_LINE_BYTES + 1 or sum(lines) == MAX_ATTEMPT_BYTES + 1
    bodies = ["x" * (line - FRAME) for line in lines]
    path, _ = written(tmp_path, *bodies)
    with pytest.raises(MalformedInput, match="long"):
        read(path)
    assert not fits(attempt(*bodies))


def test_tries_at_one_volume_replace_one_another_only_where_they_are_the_same(tmp_path: Path) -> None:
    paths = [written(tmp_path, "{}")[0] for _ in range(2)]  # of two attempts, whose names differ
    assert len(set(paths)) == 2
    assert [path.name for path in paths] == [f"{HEAD.journal}-000001-{file_digest(path)}.jsonl.gz" for path in paths]
    for other in (f"{HEAD.journal}-000002.jsonl.gz", f"{JournalId.random()}-000001.jsonl.gz"):
        (tmp_path / other).touch()
    earlier = tmp_path / f"{HEAD.journal}-000001.jsonl.gz"  # as they were named before
    earlier.touch()
    with shelf(tmp_path) as shelved:
        assert shelved.tries(HEAD.journal, 1) == sorted([earlier, *paths])
        again = attempt("{}")
        assert shelved.write(HEAD, [again]) == shelved.write(HEAD, [again])


def test_a_line_is_read_to_the_greatest_length_and_no_further(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl.gz"
    path.write_bytes(gzip.compress(FIRST + b"x" * MAX_LINE_BYTES + b"\n"))
    with pytest.raises(MalformedInput, match="too long"):
        read(path)
    path.write_bytes(
        gzip.compress(FIRST + b"x" * (4 * MAX_LINE_BYTES))[:-4]
    )  # whoever reads on sees that it is cut off
    with pytest.raises(MalformedInput, match="too long"):
        read(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'{"volume":', b'{"VOLUME":'), (b"}\n", b"]\n"), (b'{"attempt":', b'{"ATTEMPT":'), (b'{"hash":', b'{"HASH":')],
    ids=["another head", "another brace", "another attempt", "another event"],
)
def test_a_line_that_is_framed_otherwise_is_none_of_a_volumes(tmp_path: Path, old: bytes, new: bytes) -> None:
    path, _ = written(tmp_path, "{}")
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(old, new, 1)))
    with pytest.raises(MalformedInput):
        read(path)


@pytest.mark.parametrize("content", [b"", FIRST[:-1], FIRST], ids=["nothing", "no end of line", "a head alone"])
def test_what_breaks_off_is_no_volume(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.jsonl.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(MalformedInput, match="breaks off"):
        read(path)


def test_a_volume_says_neither_when_it_was_written_nor_under_which_name(tmp_path: Path) -> None:
    path, _ = written(tmp_path, "{}")
    flags, when = path.read_bytes()[3:4], path.read_bytes()[4:8]
    assert (flags, when) == (bytes(1), bytes(4))


def test_a_directorys_volumes_are_the_files_that_are_named_so(tmp_path: Path) -> None:
    path, _ = written(tmp_path, "{}")
    for name in ("README", ".hidden.jsonl.gz", f".{path.name}.new"):
        (tmp_path / name).touch()
    assert volumes_at([tmp_path]) == [path]
    assert volumes_at([tmp_path / "README", tmp_path, path]) == [tmp_path / "README", path]
    with pytest.raises(UsageError, match=r"^--archive: no such file"):
        volumes_at([tmp_path / "nowhere"])
