"""A disk that fails, or is full, at one system call of a commit: bounded answers, no second request, clean recovery.

`GATEWAY_FAULT_CALLS` sets at which calls strace injects an error (`make faults` takes all of `EVERY_CALL`), and
`GATEWAY_FAULT_ERRORS` which. Two commits are asked for; the error strikes the first. The oracle is the sandbox's count.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config import PluginUse
from gateway.gateway import Gateway
from gateway.surfaces.local import FILE_SINK
from tests.processes.test_crash import approved, assert_intact, check

EVERY_CALL = "fsync,fdatasync,pwrite64,write,ftruncate,openat"
CALLS = os.environ.get("GATEWAY_FAULT_CALLS", "fdatasync").replace("all", EVERY_CALL).split(",")
ERRORS = os.environ.get("GATEWAY_FAULT_ERRORS", "EIO").split(",")
SINKS: tuple[PluginUse, ...] = (FILE_SINK,)
REFUSED_TO_OPEN = ("gateway.errors.ConfigurationError", "gateway.errors.JournalUnavailable")
BEYOND_DISPATCH = "OUTCOME_UNRECORDED"


def instants(log: Path, home: Path) -> Iterator[tuple[str, int]]:
    """Each call on a file of the home while the first commit ran, numbered as strace counts: in its own thread."""
    before: dict[tuple[str, str], int] = defaultdict(int)
    opened = False
    for line in log.read_text().splitlines():
        found = re.match(r"(\d+) +(\w+)\((.*)", line)
        if found is None:
            continue
        thread, call, rest = found.groups()
        before[thread, call] += str(home) in rest  # strace is told to look at these files alone
        if opened and call == "write" and rest.startswith("1<") and '"{' in rest:
            return
        if opened and call in CALLS and str(home) in rest:
            yield call, before[thread, call]
        opened = opened or (call == "write" and '"open' in rest)


def said(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


async def two(site: Any, gateway: Gateway, proposals: list[Any]) -> list[str]:
    pairs = [await approved(site, gateway) for _ in range(2)]
    proposals += [proposal for proposal, _ in pairs]
    return [trigger for _, trigger in pairs]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed; `make faults` needs it")
@pytest.mark.requirement("CARD-04")
async def test_an_error_at_any_durable_call_is_answered_and_recovered_from(
    make_site: Any, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    site = make_site(sinks=SINKS)
    home, log, proposals = site.local.home, tmp_path / "calls", []
    ends: Counter[str] = Counter()
    struck = 0
    async with Gateway.open(home) as gateway:
        under = ("strace", "-f", "-y", "-s", "256", "-o", str(log), "-e", f"trace={EVERY_CALL}")
        process = site.committing(*await two(site, gateway, proposals), at_once=1, under=under)
        output, errors = process.communicate("go\n", timeout=60)
        assert [answer["state"] for answer in said(output)] == ["SUCCEEDED"] * 2, errors
        files = set(re.findall(rf"{re.escape(str(home))}[^>\"]*", log.read_text()))
        for call, number in sorted(set(instants(log, home))):
            for error in ERRORS:
                inject = f"inject={call}:error={error}:when={number}"
                under = ("strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
                under += tuple(word for path in sorted(files) for word in ("-P", path))
                process = site.committing(*await two(site, gateway, proposals), at_once=1, under=under)
                output, errors = process.communicate("go\n", timeout=60)
                answers = said(output)
                if not answers:  # threads were scheduled otherwise, and the error struck the opening
                    assert any(bounded in errors for bounded in REFUSED_TO_OPEN), (call, number, error, errors)
                    ends[f"{call} {error}: not opened"] += 1
                    continue
                assert len(answers) == 2 and process.returncode == 0, (call, number, error, errors)
                first, second = answers
                struck += first["state"] != "SUCCEEDED"
                if first["code"] == BEYOND_DISPATCH:  # from then on the process dispatches nothing
                    assert (second["state"], second.get("effect")) == ("BLOCKED", None), second
                ends[f"{call} {error}: {first['state']} {first['code']}, then {second['state']}"] += 1
        await check(site, gateway, proposals)
    for end, times in sorted(ends.items()):
        figure(f"{times} {end}")
    assert struck > 0
    assert_intact(site)
