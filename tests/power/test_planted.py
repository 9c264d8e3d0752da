"""Bugs planted on purpose: each loses what was promised in some image, or the images would be blind to it."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from tests.power.campaign import judge, sample
from tests.power.judge import Violation
from tests.power.plants import PLANTS
from tests.power.recording import Recording
from tests.power.stage import MISSING_STRACE, Stage, strace_is_there

SEED = 20261128
SUSPECTS = 60
"""Images looked at, at most, until a planted bug is seen."""

needs_strace = pytest.mark.skipif(not strace_is_there(), reason=MISSING_STRACE)


async def assert_lost(recording: Recording, promise: str, kinds: Collection[str] = ()) -> None:
    """Some image breaks a promise of this kind."""

    def found(violation: Violation) -> bool:
        return any(said.startswith(f"{promise}:") for said in violation.lost)

    tally = await judge(recording, sample(recording, SEED, SUSPECTS, kinds), SEED, until=found)
    assert any(map(found, tally.violations)), tally.violations


NAMES = ("names-undone", "name-undone")
"""The policies by which a deletion that was not synced comes back."""


async def test_delete_with_full_loses_a_commit_whose_journal_comes_back(staged: Stage) -> None:
    await assert_lost(await staged.by_library(imposed={"journal_mode": "delete"}), "appended", NAMES)


async def test_delete_with_extra_loses_nothing(staged: Stage) -> None:
    """It syncs the directory after each deletion: the images blame only what is to blame."""
    recording = await staged.by_library(imposed={"journal_mode": "delete", "synchronous": "3"})
    tally = await judge(recording, sample(recording, SEED, SUSPECTS, NAMES), SEED)
    assert tally.violations == []
    assert tally.images > SUSPECTS / 3


@pytest.mark.parametrize("plant", ["synchronous-normal", "sent-before-the-sync"])
async def test_a_planted_bug_is_seen_in_the_journals_images(staged: Stage, plant: str) -> None:
    await assert_lost(await staged.by_library([PLANTS[plant]]), "sent")


@needs_strace
@pytest.mark.parametrize(
    ("plant", "promise"),
    [
        ("synchronous-normal", "sent"),
        ("sink-not-synced", "accepted"),
        ("sink-name-not-synced", "accepted"),
        ("volume-not-synced", "audit"),
    ],
)
async def test_a_planted_bug_is_seen_in_a_whole_processs_images(staged: Stage, plant: str, promise: str) -> None:
    await assert_lost(await staged.by_calls([plant]), promise)
