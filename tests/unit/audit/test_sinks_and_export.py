"""The file sink acknowledges only what is on disk; exports carry what is needed to recompute every hash."""

from __future__ import annotations

import asyncio
import fcntl
import io
import json
import os
import resource
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from gateway.audit import FileSink, export_lines
from gateway.audit.sinks import gateway_audit_sinks
from gateway.boundary.containment import contained
from gateway.clock import SystemClock
from gateway.contracts.canonical import digest
from gateway.contracts.chain import GENESIS, Record, RecordKind
from gateway.contracts.references import AttemptId
from gateway.contracts.signals import Event
from gateway.errors import AuditTampered, NotFound
from gateway.journal import StoredAttempt
from gateway.journal._sqlite_archive import open_archive


def stored_attempts(path: Path) -> list[StoredAttempt]:
    with open_archive(path) as archive:
        return list(archive.attempts())


@pytest.fixture
def events(world: Any) -> list[tuple[str, Event]]:
    (first, *_) = stored_attempts(world.path)
    return [(event.hash, Event.model_validate_json(event.body)) for event in first.events]


@pytest.fixture
def sink(tmp_path: Path) -> FileSink:
    made = gateway_audit_sinks(options={"path": "kept.jsonl"}, home=tmp_path)["file"]
    assert isinstance(made, FileSink)
    return made


def kept(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "kept.jsonl").read_text().splitlines()]


@pytest.mark.requirement("DEP-05")
async def test_accepted_events_are_synced_lines_that_only_the_owner_reads(
    sink: FileSink, events: list[tuple[str, Event]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sink.ready()
    assert kept(tmp_path) == []
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (real(descriptor), synced.append(os.fstat(descriptor).st_size)))
    await sink.accept(events)
    assert synced == [(tmp_path / "kept.jsonl").stat().st_size]
    assert [(line["hash"], line["event"]) for line in kept(tmp_path)] == [
        (hash_, event.plain()) for hash_, event in events
    ]
    assert stat.S_IMODE((tmp_path / "kept.jsonl").stat().st_mode) == 0o600


async def test_a_file_that_is_there_already_has_its_name_made_durable_once_before_anything_is_accepted(
    sink: FileSink, events: list[tuple[str, Event]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept.jsonl").touch(mode=0o600)  # by a process that died, or will, before it synced the directory
    synced: list[str] = []
    real = os.fsync

    def watched(descriptor: int) -> None:
        real(descriptor)
        synced.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    monkeypatch.setattr(os, "fsync", watched)
    await sink.accept(events)
    await sink.accept(events)
    assert synced == ["directory", "file", "file"]
    (tmp_path / "kept.jsonl").rename(tmp_path / "kept.1.jsonl")
    await sink.accept(events)
    assert synced[3:] == ["directory", "file"]


async def test_concurrent_attempts_keep_their_lines_whole_and_together(
    sink: FileSink, events: list[tuple[str, Event]], tmp_path: Path
) -> None:
    others = [FileSink(tmp_path / "kept.jsonl") for _ in range(4)]
    await asyncio.gather(*(one.accept(events) for one in (sink, *others)))
    assert [line["hash"] for line in kept(tmp_path)] == [hash_ for hash_, _ in events] * 5


async def test_a_line_torn_by_a_crash_spoils_no_other(
    sink: FileSink, events: list[tuple[str, Event]], tmp_path: Path
) -> None:
    (tmp_path / "kept.jsonl").write_text('{"hash":"torn')
    await sink.accept(events[:1])
    torn, line = (tmp_path / "kept.jsonl").read_text().splitlines()
    assert torn == '{"hash":"torn'
    assert json.loads(line)["hash"] == events[0][0]


async def test_what_the_disk_refuses_is_refused_and_leaves_no_half(
    sink: FileSink, events: list[tuple[str, Event]], tmp_path: Path
) -> None:
    await sink.accept(events[:1])
    before = (tmp_path / "kept.jsonl").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            await sink.accept(events)
        with pytest.raises(OSError, match="too large"):
            await sink.ready()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "kept.jsonl").read_bytes() == before
    await sink.ready()
    with pytest.raises(FileNotFoundError):
        await FileSink(tmp_path / "nowhere" / "kept.jsonl").ready()


async def test_the_probe_asks_the_disk_on_which_the_file_lies(
    sink: FileSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "another disk"))
    await sink.ready()
    assert [path.name for path in tmp_path.iterdir()] == ["kept.jsonl"]


async def test_a_write_that_the_kernel_cuts_short_is_continued(
    sink: FileSink, events: list[tuple[str, Event]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: real(descriptor, content[:1000]))
    await sink.accept(events)
    assert [line["hash"] for line in kept(tmp_path)] == [hash_ for hash_, _ in events]


async def test_nothing_to_accept_writes_nothing(sink: FileSink, tmp_path: Path) -> None:
    await sink.accept([])
    assert list(tmp_path.iterdir()) == []


@contextmanager
def held_by_another(path: Path) -> Iterator[None]:
    """As a gateway holds the file's lock that is stuck in mid-write."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


class Paces(SystemClock):
    """Counts how often it was slept by."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await super().sleep(seconds)


async def test_whoever_waits_for_the_lock_takes_nobodys_thread_and_gives_up_for_good(
    sink: FileSink, events: list[tuple[str, Event]], tmp_path: Path
) -> None:
    with ThreadPoolExecutor(1) as shared:
        asyncio.get_running_loop().set_default_executor(shared)
        with held_by_another(tmp_path / "kept.jsonl"):
            for ask in (sink.ready, lambda: sink.accept(events)):
                assert (await contained(ask, 0.05)).late
            await asyncio.wait_for(asyncio.to_thread(int), 10)
        await sink.ready()
    assert kept(tmp_path) == []


async def test_whoever_waits_for_the_lock_goes_on_when_it_is_free(
    events: list[tuple[str, Event]], tmp_path: Path
) -> None:
    clock = Paces()
    sink = FileSink(tmp_path / "kept.jsonl", clock)
    with held_by_another(tmp_path / "kept.jsonl"):
        waiting = asyncio.create_task(sink.accept(events))
        async with asyncio.timeout(10):
            while len(clock.slept) < 3:
                await asyncio.sleep(0)
        assert kept(tmp_path) == []
    await waiting
    assert [line["hash"] for line in kept(tmp_path)] == [hash_ for hash_, _ in events]
    assert set(clock.slept) == {0.01}


async def test_calls_of_one_gateway_do_not_wait_for_the_lock_but_for_their_turn(
    events: list[tuple[str, Event]], tmp_path: Path
) -> None:
    clock = Paces()
    sink = FileSink(tmp_path / "kept.jsonl", clock)
    await asyncio.gather(*(sink.accept([event]) for event in events), *(sink.ready() for _ in events))
    assert [line["hash"] for line in kept(tmp_path)] == [hash_ for hash_, _ in events]
    assert clock.slept == []


async def test_without_an_option_the_file_has_its_usual_name(tmp_path: Path, events: list[tuple[str, Event]]) -> None:
    await gateway_audit_sinks(options={}, home=tmp_path)["file"].accept(events)
    assert len((tmp_path / "audit.jsonl").read_text().splitlines()) == len(events)


def test_an_exported_line_is_compact_and_names_what_it_holds(world: Any) -> None:
    stream = io.StringIO()
    with open_archive(world.path) as archive:
        export_lines(archive, stream)
        record = next(archive.records())
    line = next(line for line in stream.getvalue().splitlines() if '"record"' in line)
    assert json.loads(line) == {
        "hash": record.hash,
        "record": {
            "practice": record.practice,
            "proposal": record.proposal,
            "seq": record.seq,
            "kind": record.kind,
            "reference": record.reference,
            "body": record.body,
        },
    }
    assert '": ' not in line.replace(json.dumps(record.body), "")
    assert '", "' not in line.replace(json.dumps(record.body), "")


@pytest.mark.requirement("AUDIT-29")
def test_an_export_alone_rebuilds_every_chain(world: Any) -> None:
    stream = io.StringIO()
    with open_archive(world.path) as archive:
        count = export_lines(archive, stream)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == count
    previous: dict[str, str] = {}
    for line in lines:
        if "event" in line:
            name = line["event"]["attempt"]
            content = previous.get(name, GENESIS).encode() + rfc8785.dumps(line["event"])
            assert digest("event/v1", content) == line["hash"]
        else:
            told = line["record"]
            name = told["proposal"]
            head = previous.get(name, GENESIS)
            record = Record.after(head, told["seq"], RecordKind(told["kind"]), told["reference"], told["body"])
            assert record.hash == line["hash"]
        previous[name] = line["hash"]
    assert {line["record"]["kind"] for line in lines if "record" in line} == set(RecordKind)


def test_an_export_of_one_attempt_holds_its_events_and_its_proposals_records(world: Any) -> None:
    wanted = stored_attempts(world.path)[1]
    stream = io.StringIO()
    with open_archive(world.path) as archive:
        export_lines(archive, stream, AttemptId(wanted.attempt))
        with pytest.raises(NotFound):
            export_lines(archive, io.StringIO(), AttemptId.random())
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"]["seq"] for line in lines if "event" in line] == [event.seq for event in wanted.events]
    assert {line["record"]["proposal"] for line in lines if "record" in line} == {wanted.columns["proposal"]}


def test_content_that_is_no_json_is_not_exported(world: Any) -> None:
    forged = sqlite3.connect(world.path)
    forged.execute("DROP TRIGGER events_are_written_once")
    forged.execute("UPDATE events SET body = '{\"a\":' WHERE seq = 1")
    forged.commit()
    forged.close()
    with open_archive(world.path) as archive, pytest.raises(AuditTampered):
        export_lines(archive, io.StringIO())
