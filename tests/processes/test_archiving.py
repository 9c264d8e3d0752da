"""Archiving killed in the middle: events are in the journal or in a recorded volume, never in neither (I11).

`GATEWAY_CRASH_CALLS` sets which system calls strace kills at, as in `test_crash`; `make crash` takes all.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway import config
from gateway.audit import Report, checkpoint, verify_file
from gateway.audit.retention import Retention
from gateway.audit.volumes import file_digest, volumes_at
from gateway.gateway import Gateway
from gateway.journal._sqlite import SqliteJournal
from gateway.journal._sqlite_archive import open_archive
from gateway.signatures import Keyring
from gateway.surfaces.local import CHECKPOINT
from gateway.surfaces.sign import sign

ATTEMPTS = 3
EVERY_CALL = "fsync,fdatasync,rename,pwrite64,write,openat,ftruncate,flock,close"
CALLS = os.environ.get("GATEWAY_CRASH_CALLS", "rename,fdatasync").replace("all", EVERY_CALL).split(",")

ARCHIVE = """
import asyncio, sys
from datetime import datetime
from pathlib import Path
from gateway import config
from gateway.audit import checkpoint
from gateway.audit.retention import Retention
from gateway.journal._sqlite import SqliteJournal
from gateway.signatures import Keyring

async def main():
    root, home, before = Path(sys.argv[1]), Path(sys.argv[2]), datetime.fromisoformat(sys.argv[3])
    sealed = config.load(home)
    vouching = checkpoint.read((root / "kept").read_text(), Keyring(sealed.keys))
    journal = SqliteJournal.open(root / "journal.db", key=sealed.sibling_key)
    print("open", flush=True)
    run = Retention(journal=journal, vouching=vouching, before=before, size=2)
    async for tally in run.run(root / "archive"):
        pass
    print("done", tally.attempts, flush=True)
    await journal.aclose()

asyncio.run(main())
"""


@dataclass(frozen=True)
class Store:
    """A journal of three finished attempts with a checkpoint over it, copied afresh for each instant."""

    template: Path
    home: Path
    keyring: Keyring
    before: datetime

    def copy(self, root: Path) -> Path:
        root.mkdir()
        for name in ("journal.db", "kept"):
            shutil.copy(self.template / name, root / name)
        return root

    def archiving(self, root: Path, *under: str) -> subprocess.CompletedProcess[str]:
        words = [str(root), str(self.home), self.before.isoformat()]
        return subprocess.run(
            [*under, sys.executable, "-c", ARCHIVE, *words], check=False, capture_output=True, text=True, timeout=60
        )

    async def again(self, root: Path) -> int:
        """The next run, after a crash; how many attempts it moved."""
        journal = SqliteJournal.open(root / "journal.db", key=config.load(self.home).sibling_key)
        vouching = checkpoint.read((root / "kept").read_text(), self.keyring)
        run = Retention(journal=journal, vouching=vouching, before=self.before, size=2)
        try:
            return [tally async for tally in run.run(root / "archive")][-1].attempts
        finally:
            await journal.aclose()

    def verify(self, root: Path, *, recorded_only: bool) -> Report:
        """Of a run that died, a volume may be there of which the journal was not told yet."""
        files = volumes_at([root / "archive"]) if (root / "archive").is_dir() else []
        if recorded_only:
            with open_archive(root / "journal.db") as archive:
                recorded = {volume.digest for volume in archive.volumes()}
            files = [file for file in files if file_digest(file) in recorded]
        return verify_file(root / "journal.db", [(root / "kept").read_text()], self.keyring, files)


@pytest.fixture
async def store(site: Any, tmp_path: Path) -> Store:
    template = tmp_path / "template"
    template.mkdir()
    async with Gateway.open(site.local.home) as gateway:
        for _ in range(ATTEMPTS):
            await site.rehearsal.commit(gateway, await site.rehearsal.propose(gateway, site.rehearsal.enrol()))
        with gateway.ports.journal.archive() as archive:
            statement, heads = checkpoint.draw(archive, site.local.desk.practice, datetime.now(UTC))
        kept = checkpoint.write(sign(statement, site.local.surface(CHECKPOINT).key), heads)
    (template / "kept").write_text(kept)
    shutil.copy(site.local.home / "journal.db", template / "journal.db")
    before = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    return Store(template, site.local.home, Keyring(config.load(site.local.home).keys), before)


def instants(log: Path) -> list[tuple[str, int]]:
    """Each call after `open` was said, with its number in its thread, as strace counts them."""
    seen: dict[tuple[str, str], int] = defaultdict(int)
    found: set[tuple[str, int]] = set()
    opened = False
    for line in log.read_text().splitlines():
        call = re.match(r"(\d+) +(\w+)\((.*)", line)
        if call is None:
            continue
        thread, name, rest = call.groups()
        seen[thread, name] += 1
        if opened:
            found.add((name, seen[thread, name]))
        opened = opened or (name == "write" and re.match(r'1<[^>]*>, "open', rest) is not None)
    assert opened
    return sorted(found)


def assert_durable_before_deletion(log: Path) -> None:
    """kill -9 cannot show a missing sync; the order of the calls can. Of each volume: its bytes, its name, its
    directory, and only then the journal's commit."""
    kinds = {
        r"fsync\(\d+<.*/archive/\..*\.new>": "bytes",
        r"rename\(.*/archive/\..*\.new\", ": "name",
        r"fsync\(\d+<.*/archive>\)": "directory",
        r"f(data)?sync\(\d+<.*journal\.db": "journal",
    }
    order = [kind for line in log.read_text().splitlines() for seen, kind in kinds.items() if re.search(seen, line)]
    first = order.index("bytes")
    assert order[first : first + 4] == ["bytes", "name", "directory", "journal"]
    assert [kind for kind in order if kind != "journal"] == ["bytes", "name", "directory"] * 2
    second = order.index("bytes", first + 1)
    assert order[second : second + 4] == ["bytes", "name", "directory", "journal"]


def chosen(found: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """All instants at the calls asked for; on every run of the tests, a few of the most frequent will do."""
    wanted = [each for each in found if each[0] in CALLS]
    if "GATEWAY_CRASH_CALLS" in os.environ:
        return wanted
    renames = [each for each in wanted if each[0] == "rename"]
    return [*renames, *[each for each in wanted if each not in renames][::3]]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed; `make crash` needs it")
@pytest.mark.requirement("AUDIT-29", "IDEM-04")
async def test_killed_at_every_durable_call_nothing_is_lost_and_the_next_run_finishes(
    store: Store, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    whole = store.copy(tmp_path / "whole")
    log = tmp_path / "calls"
    traced = store.archiving(whole, "strace", "-f", "-y", "-o", str(log), "-e", f"trace={EVERY_CALL}")
    assert f"done {ATTEMPTS}" in traced.stdout, traced.stderr
    assert_durable_before_deletion(log)
    events = store.verify(whole, recorded_only=False).events
    halfway: set[int] = set()
    killed = 0
    for call, number in chosen(instants(log)):
        root = store.copy(tmp_path / f"{call}-{number}")
        kill = ("strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e")
        ended = store.archiving(root, *kill, f"inject={call}:signal=SIGKILL:when={number}")
        killed += "done" not in ended.stdout
        report = store.verify(root, recorded_only=True)
        assert (report.flaws, report.attempts, report.events) == ((), ATTEMPTS, events), (call, number)
        halfway.add(report.archived)
        assert await store.again(root) == ATTEMPTS - report.archived
        finished = store.verify(root, recorded_only=False)
        assert (finished.flaws, finished.archived, finished.events) == ((), ATTEMPTS, events), (call, number)
        shutil.rmtree(root)
    figure(f"{killed} killed; archived when killed: {sorted(halfway)}")
    assert killed > 0
    assert {0, 2} <= halfway  # before anything moved, and between the two volumes
