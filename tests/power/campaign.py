"""Judging a recording's images, all of them or some.

Owns: which images are judged, and against which promises: an image that comes again after more was promised is
judged again, and counted once.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.power.homes import LABEL, HomeJudge
from tests.power.images import Plan, build, digest, plans
from tests.power.judge import Judge, Tally, Violation
from tests.power.promises import Promises
from tests.power.recording import Mark, Recording

SHOWN_EVERY: Final = 1000
MEMORY: Final = Path("/dev/shm")  # noqa: S108 — a disk without a disk, where there is one


@contextmanager
def quick_directory() -> Iterator[Path]:
    """A directory that is gone afterwards, in memory where the machine offers that: judging an image syncs files."""
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="power-", dir=place) as directory:
        yield Path(directory)


def sample(recording: Recording, seed: int, count: int | None, kinds: Collection[str] = ()) -> list[Plan]:
    """All plans of a recording, or of some policies, or so many of them as the seed chooses."""
    every = [plan for plan in plans(recording, seed) if not kinds or plan.kind in kinds]
    if count is None or count >= len(every):
        return every
    return sorted(random.Random(seed).sample(every, count))


def interrupted(recording: Recording, count: int) -> list[Plan]:
    """So many images in which a request has just been sent and its outcome is not known, spread over the recording."""
    marks = enumerate(recording.operations, start=1)
    sent = [prefix for prefix, mark in marks if isinstance(mark, Mark) and mark.kind == "sent"]
    return [Plan(sent[number * len(sent) // count], "all") for number in range(count)]


async def judge(
    recording: Recording,
    chosen: Sequence[Plan],
    seed: int,
    *,
    until: Callable[[Violation], bool] = lambda _: False,
    told: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """Judge the images of these plans, in order of prefix, until a violation is one that was looked for."""
    promises, position = Promises(), 0
    judged: dict[bytes, int] = {}
    with quick_directory() as work:
        opened = HomeJudge.open(recording, work) if recording.label == LABEL else Judge.open(recording, work)
        async with opened as judging:
            for plan, image in build(recording, chosen, seed):
                for operation in recording.operations[position : plan.prefix]:
                    if isinstance(operation, Mark):
                        promises.add(operation)
                position = plan.prefix
                name = digest(image)
                if judged.get(name) == promises.count:
                    continue
                judged[name] = promises.count
                judging.tally.seen.add(name)
                violation = await judging.judge(plan, image, promises)
                told(judging.tally)
                if violation is not None and until(violation):
                    break
    return judging.tally


def judge_share(path: Path, chosen: Sequence[Plan], seed: int) -> Tally:
    """Some images of a kept recording, in a process of its own, which says on standard error how far it is."""
    recording = Recording.load(path)

    def told(tally: Tally) -> None:
        if tally.images % SHOWN_EVERY == 0:
            print(f"{recording.label}: {tally.images} images, {len(tally.violations)} violations", file=sys.stderr)

    return asyncio.run(judge(recording, chosen, seed, told=told))
