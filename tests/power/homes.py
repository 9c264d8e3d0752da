"""The making of a practice, recorded and judged by itself: its home is there whole, or not at all.

Owns: the recording of `LocalPractice.create` from an empty directory, and what each image of it must be: a home that
loads, with its key for the journal's life, its keys and its registry, once the making has been said to be done; before
that, no home, or one that loads.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway import config
from gateway.errors import ConfigurationError, DocumentError
from gateway.surfaces.local import MAY_SIGN, LocalPractice
from tests.power.images import Image, Plan
from tests.power.judge import Tally, Violation
from tests.power.promises import Promises
from tests.power.recording import Recording, write_image
from tests.power.stage import traced

LABEL: Final = "home"


async def record_making(directory: Path) -> Recording:
    """Under strace, everything that making a practice does to its files."""
    root = directory / "made"
    root.mkdir()
    return await traced(LABEL, root, {"make": str(root / "practice")})


@dataclass(slots=True)
class HomeJudge:
    """Judges images of a practice in the making; shaped like `Judge`."""

    work: Path
    tally: Tally = field(default_factory=Tally)

    @classmethod
    @asynccontextmanager
    async def open(cls, _: Recording, work: Path) -> AsyncIterator[HomeJudge]:
        yield cls(work)

    async def judge(self, plan: Plan, image: Image, promises: Promises) -> Violation | None:
        root = self.work / str(plan)
        root.mkdir()
        write_image(root, image)
        try:
            lost = _lost(root / "practice", promises.made)
        finally:
            shutil.rmtree(root)
        self.tally.policies[plan.kind] += 1
        self.tally.refused += not promises.made and lost == []
        if not lost:
            return None
        violation = Violation(plan, tuple(lost))
        self.tally.violations.append(violation)
        return violation


def _lost(root: Path, made: str | None) -> list[str]:
    home = root / "gateway"
    if made is None and not home.exists():
        return []
    try:
        configuration = config.load(home)
        if made is None:
            return []
        local = LocalPractice.open(root)
        local.registry.people()
        for name in MAY_SIGN:
            local.surface(name)
    except (ConfigurationError, DocumentError) as error:
        return [f"made: {error}"]
    return [] if configuration.seal_digest == made else ["made: it is another home"]


def make(root: Path, say: Any) -> None:
    """What the recording is of."""
    local = LocalPractice.create(root)
    say("made", seal=config.load(local.home).seal_digest)
    say("ended")
