"""Many trials of one adapter, one after the other in one process, and what the process grew by.

Growth is measured from the end of the first fifth, when every path has been taken: what the collector counts, and the
resident set. A leak of one small object for each trial shows in both.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutated.cases import Case
from tests.mutated.trial import Ended, complaints, plan, staged

GROWTH_KIB: Final = 8 * 1024
GROWTH_OBJECTS: Final = 2_000
"""Over all trials after the first fifth. One object kept for each of 10,000 would be 8,000."""


@dataclass(frozen=True)
class Campaign:
    """What came of it. `kinds` counts trials by what was changed, `ends` and `codes` how their attempts ended,
    `findings` what the looks found; `wrong` are seeds and complaints; `meant` counts replies whose changed meaning was
    seen by the adapter."""

    name: str
    peer: str
    trials: int
    seconds: float
    kinds: Mapping[str, int]
    ends: Mapping[str, int]
    codes: Mapping[str, int]
    findings: Mapping[str, int]
    meant: int
    resent: int
    wrong: tuple[tuple[int, str], ...]
    objects: int
    kib: int

    @property
    def good(self) -> bool:
        grown = self.kib > GROWTH_KIB or self.objects > GROWTH_OBJECTS
        return not self.wrong and not self.resent and not grown


async def campaign(case: Case, trials: int, seed: int = 1) -> Campaign:
    """Raises nothing for what an adapter does; whatever is wrong is told in the result."""
    kinds, ends, codes, findings = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    wrong: list[tuple[int, str]] = []
    resent = meant = objects = kib = 0
    began = time.monotonic()
    async with staged(case) as stage:
        for number in range(trials):
            if number == trials // 5:
                objects, kib = _held()
            chosen = plan(case, stage.recording, seed + number)
            ended = await stage.tried(chosen)
            wrong += [(seed + number, told) for told in complaints(case, chosen, ended)]
            resent += ended.mutations > 1
            meant += any(place == chosen.meant for _, place in ended.served)
            kinds[chosen.kind] += 1
            ends[_end(ended)] += 1
            codes[_code(ended)] += 1
            if ended.look is not None:
                findings[ended.look.finding] += 1
        after = _held()
        if (left := len(asyncio.all_tasks()) - 1) > 0:
            wrong.append((seed, f"{left} tasks are left over"))
    return Campaign(
        name=case.name,
        peer=stage.recording.peer,
        trials=trials,
        seconds=round(time.monotonic() - began, 1),
        kinds=dict(kinds),
        ends=dict(ends),
        codes=dict(codes),
        findings=dict(findings),
        meant=meant,
        resent=resent,
        wrong=tuple(wrong),
        objects=after[0] - objects,
        kib=after[1] - kib,
    )


def _end(ended: Ended) -> str:
    return "BLOCKED" if ended.result is None else ended.result.effect


def _code(ended: Ended) -> str:
    return str(ended.ready) if ended.result is None else ended.result.code


def _held() -> tuple[int, int]:
    """Objects that the collector tracks, and the resident set in KiB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return len(gc.get_objects()), pages * resource.getpagesize() // 1024
