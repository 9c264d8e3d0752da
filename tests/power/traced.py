"""The process that strace watches: it tells the story on Python's own SQLite, or makes a practice, and says its marks
on standard output."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.power import homes
from tests.power.calls import MARK
from tests.power.plants import PLANTS
from tests.power.recording import ENDED, Recorder
from tests.power.stage import HOME, heard
from tests.power.story import Story
from tests.power.vfs import recorded


def say(kind: str, **detail: Any) -> None:
    """One write, so that the trace has it whole and in its place."""
    os.write(1, MARK + json.dumps({"kind": kind, **detail}).encode() + b"\n")


def main(said: Mapping[str, Any]) -> None:
    if "make" in said:
        homes.make(Path(said["make"]), say)
        return
    rehearsal, prepared, clock = heard(said)
    with ExitStack() as broken:
        for name in said["plants"]:
            broken.enter_context(PLANTS[name]())
        if "keep" not in said:
            asyncio.run(Story(rehearsal, prepared, clock, say).tell())
            return
        home = rehearsal.local.home
        recorder = Recorder.over("apsw", home, HOME, None)
        broken.enter_context(recorded(recorder, home))

        def tell(kind: str, **detail: Any) -> None:
            if kind == ENDED:
                recorder.recording.save(Path(said["keep"]))
            say(kind, **detail)

        asyncio.run(Story(rehearsal, prepared, clock, tell).tell())


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
