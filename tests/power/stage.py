"""Where a story is told: a practice on disk, the embedded sandbox, and a recorder below.

Owns: both ways to record. `by_library` tells the story in this process, its journal on apsw and a VFS that records.
`by_calls` tells it in a process of its own, on Python's SQLite, under strace. The sandbox's own count of requests
is in `requests`, for whoever wants to know later that there were no more.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from adapters.sandbox.control import Control
from adapters.sandbox.faults import Switchboard
from adapters.sandbox.server import Sandbox, Tokens
from conformance.rehearsal import Rehearsal
from gateway.config import PluginUse
from gateway.contracts.connection import Connection, CredentialUse, Limits, Scheme
from gateway.contracts.proposal import Proposal
from gateway.contracts.references import ConnectionId, LocationId, ParticipantId, PracticeId, ServiceId
from gateway.gateway import Gateway
from gateway.surfaces.local import FILE_SINK, LocalPractice
from gateway.testing.engine import Engine
from gateway.testing.wire import Reply, Request, listen
from tests.power.calls import CALLS, COMMAND, Reader
from tests.power.images import Plan, build
from tests.power.recording import ENDED, Mark, Recorder, Recording, write_image
from tests.power.story import Ahead, Marker, Story, prepare
from tests.power.vfs import NOTHING, recorded

APSW: Final = "apsw"
STRACE: Final = "strace"
RECOVERY: Final = "recovery"
HOME: Final = "gateway"
TOKEN: Final = "sandbox-token"
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CONTROL: Final = "/_control/"
MISSING_STRACE: Final = "strace is not installed: only SQLite's own calls, on apsw, can be recorded"

Planted = Callable[[], AbstractContextManager[object]]


def nobody(kind: str, **_: object) -> None:
    """A marker to whom nothing matters."""


@dataclass(slots=True)
class Stage:
    """One practice in `root`, connected to a sandbox that runs in this loop."""

    root: Path
    rehearsal: Rehearsal
    clock: Ahead
    engine: Engine
    told: Marker

    def requests(self) -> int:
        """Mutating requests that the system has received, by its own count."""
        return len(self.engine.requests())

    async def by_library(self, planted: Sequence[Planted] = (), imposed: Mapping[str, str] = NOTHING) -> Recording:
        """Record what SQLite does to the journal's files; apsw brings its own SQLite."""
        prepared = await prepare(self.rehearsal)
        home = self.rehearsal.local.home
        recorder = Recorder.over(APSW, self.root, HOME, None)
        self.told = recorder.mark
        with recorded(recorder, home, imposed), ExitStack() as broken:
            for plant in planted:
                broken.enter_context(plant())
            await Story(self.rehearsal, prepared, self.clock, recorder.mark).tell()
        self.told = nobody
        return cut(recorder.recording)

    async def by_calls(self, plants: Sequence[str] = ()) -> Recording:
        """Record what a whole gateway process does to every file of the practice."""
        prepared = await prepare(self.rehearsal)
        return await traced(STRACE, self.root, _spoken(self.rehearsal, prepared, plants))

    async def by_recovery(self, before: Recording, plan: Plan, seed: int) -> Recording:
        """Record what a gateway does that opens on one image of an earlier recording; all earlier promises hold on."""
        ((_, image),) = build(before, [plan], seed)
        root = self.root.with_name(f"{RECOVERY}-{plan.prefix}")
        write_image(root, before.practice)
        write_image(root / before.place, image)
        home = root / HOME
        recorder = Recorder.over(root.name, root, HOME, home)
        recorder.recording.practice = before.practice
        for earlier in before.operations[: plan.prefix]:
            if isinstance(earlier, Mark):
                recorder.mark(earlier.kind, **earlier.detail)
        with recorded(recorder, home):
            async with Gateway.open(home, clock=self.clock) as gateway:
                for outcome in gateway.recovered:
                    recorder.mark("answered", outcome=outcome.plain())
                recorder.mark(ENDED)
        return cut(recorder.recording)

    async def by_both(self) -> tuple[Recording, Recording]:
        """One process, its journal on apsw, recorded by the library and by its calls at once."""
        prepared, kept = await prepare(self.rehearsal), self.root.with_suffix(".recording")
        spoken = _spoken(self.rehearsal, prepared, ()) | {"keep": str(kept)}
        by_calls = await traced(STRACE, self.root, spoken)
        return Recording.load(kept), by_calls


async def traced(label: str, root: Path, spoken: Mapping[str, object]) -> Recording:
    """Record, by its system calls, what `tests.power.traced` does below `root` when it is told this."""
    recorder = Recorder.over(label, root, "", root)
    log, asked = root.with_suffix(".calls"), root.with_suffix(".json")
    asked.write_text(json.dumps(spoken), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "-o", log, "-e", f"trace={CALLS}", sys.executable, "-m", "tests.power.traced", asked,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    _, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(errors.decode()[-4000:])
    with log.open(encoding="ascii", errors="strict") as lines:
        Reader(recorder, root).read(lines)
    log.unlink()
    return cut(recorder.recording)


@asynccontextmanager
async def stage(directory: Path, sinks: Sequence[PluginUse] = (FILE_SINK,)) -> AsyncIterator[Stage]:
    """Make a practice and its sandbox in `directory`; the sandbox runs while the context is open."""
    made: list[Stage] = []
    with closing(Engine.open(directory / "sandbox.db")) as engine:
        faults = Switchboard()
        sandbox = Sandbox(engine, faults, Tokens(full=TOKEN, observer=None), Control(engine, faults))

        async def answer(request: Request) -> Reply:
            if made and request.method not in READING and not request.path.startswith(CONTROL):
                made[0].told("sent", key=request.headers.get("idempotency-key", ""))
            return await sandbox.answer(request)

        async with listen(answer) as url:
            clock = Ahead()
            practice = PracticeId.random()
            connection = Connection(
                connection_id=ConnectionId.random(),
                practice=practice,
                adapter="sandbox",
                base_url=url,
                hosts=(url.removeprefix("http://"),),
                zone="Europe/Berlin",
                credential=CredentialUse(scheme=Scheme.BEARER, name="sandbox"),
                limits=Limits(request_seconds=10, commit_seconds=20, requests_per_minute=6000),
            )
            root = directory / "root"
            local = LocalPractice.create(root, [connection], practice=practice, sinks=sinks, clock=clock)
            local.keep_secret("sandbox", TOKEN)
            made.append(Stage(root, Rehearsal.prepare(local, connection), clock, engine, nobody))
            yield made[0]


def strace_is_there() -> bool:
    return shutil.which("strace") is not None


def cut(recording: Recording) -> Recording:
    """Without what came after the end of the story."""
    ends = [index for index, each in enumerate(recording.operations) if isinstance(each, Mark) and each.kind == ENDED]
    if len(ends) != 1:
        raise RuntimeError("the story was not told to its end")
    del recording.operations[ends[0] + 1 :]
    return recording


def _spoken(rehearsal: Rehearsal, prepared: Sequence[Proposal], plants: Sequence[str]) -> dict[str, object]:
    """What the traced process needs to know of the stage."""
    return {
        "root": str(rehearsal.local.root),
        "connection": rehearsal.connection.plain(),
        "places": [rehearsal.participant, rehearsal.location, rehearsal.service],
        "slots_taken": rehearsal.slots_taken,
        "prepared": [proposal.canonical().decode() for proposal in prepared],
        "plants": list(plants),
    }


def heard(said: Mapping[str, Any]) -> tuple[Rehearsal, list[Proposal], Ahead]:
    """The same, in the traced process."""
    clock = Ahead()
    local = LocalPractice.open(Path(said["root"]), clock)
    participant, location, service = said["places"]
    rehearsal = Rehearsal(
        local,
        Connection.model_validate_json(json.dumps(said["connection"])),
        ParticipantId(participant),
        LocationId(location),
        ServiceId(service),
        said["slots_taken"],
    )
    return rehearsal, [Proposal.parse(text) for text in said["prepared"]], clock
