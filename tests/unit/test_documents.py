"""Documents on disk: bounded reads, whole writes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gateway import documents
from gateway.contracts.base import Model
from gateway.errors import DocumentError

CANARY = "Zephyrine Quillfeather"


class Note(Model):
    count: int
    words: dict[str, int] = {}


def test_no_more_is_read_than_the_bound_and_one_byte_beyond_it(tmp_path):
    path = tmp_path / "note.json"
    path.write_bytes(b"x" * 100)
    assert documents.read(path, "note.json", 100) == b"x" * 100
    with pytest.raises(DocumentError, match=r"note\.json is larger than 99 bytes"):
        documents.read(path, "note.json", 99)


def test_what_is_not_there_is_none_and_a_directory_is_refused(tmp_path):
    assert documents.read(tmp_path / "nothing", "nothing") is None
    with pytest.raises(DocumentError, match="regular file"):
        documents.read(tmp_path, "folder")


def test_errors_name_declared_fields_and_no_key_of_a_mapping():
    content = f'{{"count": "{CANARY}", "words": {{"{CANARY}": "x"}}, "{CANARY}": 1}}'.encode()
    with pytest.raises(DocumentError) as refusal:
        documents.parse(Note, content, "note.json")
    assert str(refusal.value).startswith("note.json is not a valid Note: count: ")
    assert r"words.*: " in str(refusal.value)
    assert CANARY not in str(refusal.value)


def test_what_is_written_reads_back_for_the_owner_only(tmp_path):
    path = tmp_path / "note.json"
    documents.write(path, documents.spell(Note(count=1)), "note.json")
    documents.write(path, documents.spell(Note(count=2)), "note.json")
    assert documents.load(Note, path, "note.json") == Note(count=2)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not documents.exposed(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["note.json"]


def test_a_disk_that_fails_to_sync_leaves_the_old_document_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "note.json"
    documents.write(path, b"old", "note.json")

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, CANARY)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DocumentError, match=r"note\.json could not be written \(EIO\)"):
        documents.write(path, b"new", "note.json")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["note.json"]


def test_a_document_is_synced_before_it_takes_its_name_and_the_name_after(tmp_path, monkeypatch):
    path = tmp_path / "note.json"
    seen: list[tuple[bool, bool]] = []
    real = os.fsync

    def record(descriptor: int) -> None:
        seen.append((path.exists(), Path(f"/proc/self/fd/{descriptor}").resolve() == tmp_path.resolve()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    documents.write(path, b"new", "note.json")
    assert seen == [(False, False), (True, True)]


def test_a_path_of_directories_is_made_for_the_owner_only(tmp_path):
    documents.make_directory(tmp_path / "a" / "b")
    for made in (tmp_path / "a", tmp_path / "a" / "b"):
        assert made.stat().st_mode & 0o777 == 0o700
