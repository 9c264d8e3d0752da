"""One contestant in its own process: lines of JSON in, lines of JSON out.

Owns: what is measured in that process: the seconds of each booking, the wall's seconds of all, and the processor's
seconds of this process with all its threads. Two files' syncs mark begin and end for whoever counts system calls.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.contestants import CONTESTANTS, Contestant, Premises

BEGIN_MARK = "measured-begin"
END_MARK = "measured-end"


async def serve(name: str, premises: Premises) -> None:
    """Prepare and run as told until the input ends."""
    async with CONTESTANTS[name].open(premises) as contestant:
        _say({"ready": name})
        while line := await asyncio.to_thread(sys.stdin.readline):
            told = json.loads(line)
            if "prepare" in told:
                await contestant.prepare(told["prepare"])
                _say({"prepared": told["prepare"]})
            else:
                _say(await _measured(contestant, told["run"], premises.directory))


async def _measured(contestant: Contestant, concurrency: int, directory: Path) -> dict[str, Any]:
    _mark(directory / BEGIN_MARK)
    cpu, wall = time.process_time(), time.perf_counter()
    taken = await contestant.run(concurrency)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    _mark(directory / END_MARK)
    return {"taken": taken, "wall": wall, "cpu": cpu}


def _mark(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.fsync(descriptor)
    os.close(descriptor)


def _say(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def main() -> None:
    name, directory, sandbox, database = sys.argv[1:5]
    premises = Premises(directory=Path(directory), sandbox=sandbox, database=database or None)
    with suppress(KeyboardInterrupt):  # the person who stopped the run stopped its driver too
        asyncio.run(serve(name, premises))


if __name__ == "__main__":
    main()
