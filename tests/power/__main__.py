"""`make powerloss`: record what a gateway does to its disk, make every image that a power loss could leave, judge each.

    python -m tests.power [--layer apsw] [--images 500] [--seed 7] [--json]
    python -m tests.power --recording build/powerloss/apsw.recording --image 812:random-2 --seed 7

Owns: the processors among which images are shared, the table, and the recordings kept in `build/powerloss` so that
an image that was not survived can be made again by its prefix, policy and seed.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tests.power.campaign import interrupted, judge, judge_share, sample
from tests.power.homes import LABEL as HOME
from tests.power.homes import record_making
from tests.power.images import Plan
from tests.power.judge import Tally
from tests.power.recording import Mark, Recording
from tests.power.stage import APSW, MISSING_STRACE, STRACE, stage, strace_is_there

LAYERS: Final = (APSW, STRACE, HOME)
RECOVERIES: Final = 5
KEPT: Final = Path("build/powerloss")


@dataclass(frozen=True, slots=True)
class Asked:
    """`images` None asks for all."""

    seed: int
    images: int | None
    workers: int


@dataclass(frozen=True, slots=True)
class Layer:
    """One recording, judged. `extra` are requests that reached the system while its images were."""

    recording: Recording
    plans: int
    tally: Tally
    extra: int

    @property
    def operations(self) -> int:
        return sum(not isinstance(each, Mark) for each in self.recording.operations)

    def plain(self) -> dict[str, Any]:
        tally = self.tally
        found = [{"image": str(each.plan), "lost": list(each.lost)} for each in tally.violations]
        return {
            "layer": self.recording.label,
            "operations": self.operations,
            "survivals": self.plans,
            "images": tally.images,
            "policies": dict(sorted(tally.policies.items())),
            "refused": tally.refused,
            "audits": tally.audits,
            "replays": tally.replays,
            "whole": tally.whole,
            "requests": self.extra,
            "violations": found,
        }


async def run(layer: str, asked: Asked) -> list[Layer]:
    """Record and judge; the journal's own recording is followed by those of recoveries from some of its images."""
    with tempfile.TemporaryDirectory(prefix="power-") as directory:
        if layer == HOME:
            return [await _judged(await record_making(Path(directory)), asked)]
        async with stage(Path(directory)) as staged:
            recordings = [await (staged.by_calls() if layer == STRACE else staged.by_library())]
            for plan in interrupted(recordings[0], RECOVERIES) if layer == APSW else ():
                recordings.append(await staged.by_recovery(recordings[0], plan, asked.seed))
            judged = []
            for recording in recordings:
                before = staged.requests()
                judged.append(replace(await _judged(recording, asked), extra=staged.requests() - before))
            return judged


async def _judged(recording: Recording, asked: Asked) -> Layer:
    """Shared out by prefix; the system to which the practice is connected goes on running in this process."""
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"{recording.label}.recording"
    recording.save(path)
    chosen, workers = sample(recording, asked.seed, asked.images), asked.workers
    tally = Tally()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        shares = [
            chosen[len(chosen) * part // workers : len(chosen) * (part + 1) // workers] for part in range(workers)
        ]
        loop = asyncio.get_running_loop()
        for one in await asyncio.gather(
            *(loop.run_in_executor(pool, judge_share, path, share, asked.seed) for share in shares)
        ):
            tally.add(one)
    return Layer(recording, len(chosen), tally, 0)


def table(layers: Sequence[Layer]) -> Table:
    shown = Table("recording", "operations", "images", "refused", "audits", "second attempts", "whole", "violations")
    for layer in layers:
        tally = layer.tally
        counts = (layer.operations, tally.images, tally.refused, tally.audits, tally.replays, tally.whole)
        shown.add_row(layer.recording.label, *map(str, counts), str(len(tally.violations)))
    return shown


def report(layers: Sequence[Layer], seed: int, *, as_json: bool) -> int:
    images = sum(layer.tally.images for layer in layers)
    lost = [(layer, each) for layer in layers for each in layer.tally.violations]
    extra = sum(layer.extra for layer in layers)
    held = images > 0 and not lost and not extra
    console = Console(soft_wrap=True)
    if as_json:
        listed = [layer.plain() for layer in layers]
        console.print_json(data={"ok": held, "seed": seed, "images": images, "layers": listed})
        return 0 if held else 1
    console.print(table(layers))
    for layer, each in lost:
        again = f"--recording {KEPT}/{layer.recording.label}.recording --image {each.plan} --seed {seed}"
        console.print(f"{again}\n    " + "\n    ".join(each.lost), markup=False, highlight=False)
    console.print(f"{images} distinct images, {len(lost)} violations, {extra} requests sent again")
    return 0 if held else 1


def again(path: Path, image: str, seed: int) -> int:
    """One image once more; what it lost."""
    prefix, _, policy = image.partition(":")
    tally = asyncio.run(judge(Recording.load(path), [Plan(int(prefix), policy)], seed))
    if not tally.images:
        raise SystemExit(f"{image}: the recording has no such image")
    for violation in tally.violations:
        print("\n".join(violation.lost))
    return 1 if tally.violations else 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.power", description=__doc__)
    parser.add_argument("--layer", choices=LAYERS, action="append", help="only this one (default: all three)")
    parser.add_argument("--images", type=int, help="only so many survivals of each, chosen by the seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processors to use")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--recording", type=Path, help="with --image: a recording kept by an earlier run")
    parser.add_argument("--image", help="PREFIX:POLICY, as printed; judge this one again")
    chosen = parser.parse_args(arguments)
    if chosen.image:
        return again(chosen.recording, chosen.image, chosen.seed)
    layers = list(chosen.layer or LAYERS)
    if not strace_is_there():
        if chosen.layer and set(chosen.layer) != {APSW}:
            parser.error(MISSING_STRACE)
        print(MISSING_STRACE, file=sys.stderr)
        layers = [layer for layer in layers if layer == APSW]
    asked = Asked(chosen.seed, chosen.images, chosen.workers)
    judged = [one for layer in layers for one in asyncio.run(run(layer, asked))]
    return report(judged, chosen.seed, as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
