"""Two durable barriers per executed attempt, shared by attempts that run at once (DESIGN "The one path")."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.gateway import Gateway

COMMITS = 100


async def syncs(site: Any, log: Path, at_once: int) -> float:
    """Syncs of the journal's files per commit, counted by strace between `open` and the last outcome.

    The practice registry makes each binding durable as well; that is its own barrier, after the outcome's.
    """
    async with Gateway.open(site.local.home) as gateway:
        tokens = []
        for _ in range(COMMITS):
            proposal = await site.rehearsal.propose(gateway, site.rehearsal.enrol())
            tokens.append(site.rehearsal.trigger(proposal, await site.rehearsal.decide(gateway, proposal)))
    under = ("strace", "-f", "-y", "-o", str(log), "-e", "trace=fsync,fdatasync,write")
    process = site.committing(*tokens, at_once=at_once, under=under)
    output, errors = process.communicate("go\n", timeout=120)
    assert output.count('"SUCCEEDED"') == COMMITS, errors
    lines = log.read_text().splitlines()
    opened = next(number for number, line in enumerate(lines) if re.search(r'write\(1<.*>, "open', line))
    last = max(number for number, line in enumerate(lines) if re.search(r'write\(1<.*>, "\{', line))
    return sum(bool(re.search(r" f(data)?sync\(\d+<.*journal\.db", line)) for line in lines[opened:last]) / COMMITS


@pytest.mark.skipif(shutil.which("strace") is None, reason="counting syncs needs strace")
async def test_a_commit_costs_two_barriers_and_fewer_when_many_run_at_once(
    site: Any, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    sequential = await syncs(site, tmp_path / "sequential", 1)
    concurrent = await syncs(site, tmp_path / "concurrent", 32)
    figure(f"syncs per commit: {sequential:.2f} one at a time, {concurrent:.2f} at 32 at once")
    assert 1.9 <= sequential <= 2.2
    assert concurrent < sequential
