"""Power loss: what was promised is in a sample of all images.

`make powerloss` judges every image. Here `GATEWAY_IMAGES` of each recording are, chosen by a seed that is printed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.power.campaign import interrupted, judge, sample
from tests.power.homes import record_making
from tests.power.judge import Tally
from tests.power.recording import Mark, Recording
from tests.power.stage import MISSING_STRACE, Stage, strace_is_there

IMAGES = int(os.environ.get("GATEWAY_IMAGES", "400"))
SEED = 20261128
AFTER_RECOVERY = 60

needs_strace = pytest.mark.skipif(not strace_is_there(), reason=MISSING_STRACE)


async def assert_survived(recording: Recording, directory: Path, figure: Callable[[str], None]) -> Tally:
    tally = await judge(recording, sample(recording, SEED, IMAGES), SEED)
    figure(f"{recording.label}: {tally.images} images, {len(tally.violations)} violations")
    if tally.violations:
        kept = directory / f"{recording.label}.recording"
        recording.save(kept)
        print(f"again: python -m tests.power --recording {kept} --seed {SEED} --image {tally.violations[0].plan}")
    assert tally.violations == []
    return tally


@pytest.mark.requirement("GATE-29", "CARD-04")
async def test_every_image_of_the_journal_keeps_what_was_promised(
    staged: Stage, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    recording = await staged.by_library()
    sent = staged.requests()
    tally = await assert_survived(recording, tmp_path, figure)
    assert staged.requests() == sent
    assert tally.images > IMAGES * 0.9
    assert tally.replays > 0
    assert tally.whole > 0


@needs_strace
@pytest.mark.requirement("GATE-29", "CARD-04")
async def test_every_image_of_a_whole_process_keeps_what_was_promised(
    staged: Stage, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    recording = await staged.by_calls()
    sent = staged.requests()
    tally = await assert_survived(recording, tmp_path, figure)
    assert staged.requests() == sent
    assert tally.images > IMAGES * 0.9


async def test_a_recovery_that_loses_its_power_is_recovered_from(staged: Stage, tmp_path: Path) -> None:
    recording = await staged.by_library()
    sent = staged.requests()
    (plan,) = interrupted(recording, 1)
    again = await staged.by_recovery(recording, plan, SEED)
    answered = [mark.detail for mark in again.operations if isinstance(mark, Mark) and mark.kind == "answered"]
    assert (answered[-1]["outcome"]["effect"], answered[-1]["outcome"]["code"]) == ("UNKNOWN", "OWNER_DIED")
    tally = await judge(again, sample(again, SEED, AFTER_RECOVERY), SEED)
    assert tally.violations == []
    assert staged.requests() == sent


@needs_strace
async def test_a_home_in_the_making_is_there_whole_or_not_at_all(tmp_path: Path, figure: Callable[[str], None]) -> None:
    tally = await assert_survived(await record_making(tmp_path), tmp_path, figure)
    assert tally.images > 100
