"""The two recorders: they agree on what SQLite does, and the reader of traces refuses what it does not understand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.power.calls import Reader, TraceError
from tests.power.recording import ROOT, Enter, Mark, Recorder, Recording, Sync, Truncate, Write
from tests.power.stage import MISSING_STRACE, stage, strace_is_there

JOURNAL = "journal.db"


def spoken(recording: Recording, home: int) -> list[str]:
    """What happened to the journal's files and their directory, in words that both recorders share."""
    names = {home: "."}
    said = []
    for operation in recording.operations:
        if isinstance(operation, Enter):
            for directory, name, node in operation.changes:
                if directory == home and name.startswith(JOURNAL) and not name.endswith(("-shm", ".owners")):
                    said.append(f"{name} {'removed' if node is None else 'made'}")
                    names |= {} if node is None else {node: name}
        elif not isinstance(operation, Mark) and operation.node in names:
            said.append(f"{names[operation.node]} {_told(operation)}")
    return said


def _told(operation: Write | Truncate | Sync) -> str:
    if isinstance(operation, Write):
        return f"written at {operation.offset}, {len(operation.data)} bytes, {hash(operation.data)}"
    return "synced" if isinstance(operation, Sync) else f"cut to {operation.size}"


@pytest.mark.skipif(not strace_is_there(), reason=MISSING_STRACE)
async def test_the_library_and_the_kernel_tell_the_same_story(tmp_path: Path) -> None:
    """One process, recorded by both at once: every write, sync and name of the journal, in one order."""
    async with stage(tmp_path, sinks=()) as staged:  # a sink syncs the same directory, past SQLite
        by_library, by_calls = await staged.by_both()
    home = by_calls.directories[ROOT]["gateway"]
    told, seen = spoken(by_library, ROOT), spoken(by_calls, home)
    assert len(told) > 1500
    assert told == seen


TRACE = r"""
10 openat(AT_FDCWD, "{kept}", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 3
10 pwrite64(3, "\x61\x62", 2, 0) = 2
10 pwrite64(3, "\x63\x64", 2, 2 <unfinished ...>
11 write(1, "{mark}", 20) = 20
12 fdatasync(3 <unfinished ...>
10 <... pwrite64 resumed>) = 2
12 <... fdatasync resumed>) = 0
10 openat(AT_FDCWD, "{root}", O_RDONLY|O_CLOEXEC) = 4
10 fsync(4) = 0
10 close(4) = 0
10 rename("{kept}", "{other}") = 0
10 sendto(9, "{request}", 60, 0, NULL, 0) = 60
10 unlink("{other}") = 0
"""


def hexadecimal(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def read(directory: Path, lines: Sequence[str]) -> Recorder:
    recorder = Recorder.over("test", directory, "", directory)
    Reader(recorder, directory).read(lines)
    return recorder


def test_a_trace_is_read_with_what_overlaps_in_it(tmp_path: Path) -> None:
    texts = {
        "root": str(tmp_path),
        "kept": str(tmp_path / "kept"),
        "other": str(tmp_path / "elsewhere" / ".." / "other"),
        "mark": 'MARK {"kind": "said"}\n',
        "request": "POST /appointments HTTP/1.1\r\nIdempotency-Key: abc\r\n\r\n",
    }
    trace = TRACE
    for name, text in texts.items():
        trace = trace.replace(f"{{{name}}}", hexadecimal(text))
    recording = read(tmp_path, trace.strip().splitlines()).recording
    node = 1
    syncs = [operation for operation in recording.operations if isinstance(operation, Sync)]
    assert [operation for operation in recording.operations if not isinstance(operation, Sync)] == [
        Enter(((ROOT, "kept", node),)),
        Write(node, 0, b"ab"),
        Write(node, 2, b"cd"),
        Mark("said", {}),
        Enter(((ROOT, "kept", None), (ROOT, "other", node))),
        Mark("sent", {"key": "abc"}),
        Enter(((ROOT, "other", None),)),
    ]
    assert [sync.node for sync in syncs] == [node, ROOT]
    assert recording.finished[1] < syncs[0].began < recording.finished[2] < syncs[1].began  # the second was under way


@pytest.mark.parametrize(
    "line",
    [
        r'10 write(3, "\x61\x62", 2) = 1',
        r"10 writev(3, [{iov_base=1}], 1) = 2",
        r"10 dup(3) = 5",
        r'10 link("{kept}", "{other}") = 0',
        r"10 fallocate(3, 0, 0, 4096) = 0",
        r"10 clone3({flags=CLONE_VM|CLONE_VFORK}, 88) = 12",
        r'10 rename("{kept}", "\x2f\x78") = 0',
        r'10 openat(AT_FDCWD, "{other}", O_RDONLY) = 6',
    ],
)
def test_a_trace_that_is_not_understood_is_refused(tmp_path: Path, line: str) -> None:
    opening = r'10 openat(AT_FDCWD, "{kept}", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 3'
    lines = [
        each.replace("{kept}", hexadecimal(str(tmp_path / "kept"))).replace("{other}", hexadecimal(str(tmp_path / "o")))
        for each in (opening, line)
    ]
    with pytest.raises(TraceError):
        read(tmp_path, lines)
