"""One image on a real disk again, and what the real recovery makes of it.

Owns: for each image, opening (`SqliteJournal.open` on Python's own SQLite), `recovery.recover`, the integrity check,
and every promise; then, for each state that recovery reaches, the audit with all checkpoints held and a second
attempt with every trigger whose request was sent. What follows from a journal's content alone is judged once for
that content and those promises. Every so often the whole gateway is opened on the whole home instead.
Refuses to let an image pass that cannot be opened, unless nothing had been promised.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from gateway import recovery
from gateway.audit import FileSink, verify_file
from gateway.audit.acknowledgement import Sinks
from gateway.audit.volumes import file_digest, volumes_at
from gateway.clock import SystemClock
from gateway.contracts.statements import Purpose
from gateway.errors import ConfigurationError
from gateway.gateway import Gateway
from gateway.journal._sqlite import SqliteJournal
from gateway.journal._sqlite_archive import open_archive
from gateway.orchestrator import Orchestrator
from gateway.ports import Ports
from tests.power.images import Image, Plan
from tests.power.promises import Found, Promises, broken, unbound, unkept
from tests.power.recording import Recording, write_image
from tests.power.stage import HOME
from tests.power.story import ARCHIVE

WHOLE_EVERY: Final = 100
"""Of so many images, one is opened once more, by the whole gateway on the whole home."""
_PROBES: Final = frozenset({"probe", "budgets"})
"""Tables that nobody relies on, and whose rows need no barrier."""


Volumes = tuple[tuple[Path, str], ...]


class Still(SystemClock):
    """A clock that stands: recovery writes the same bytes at every run."""

    def __init__(self) -> None:
        self.instant = datetime.now(UTC) + timedelta(hours=1)

    def now(self) -> datetime:
        return self.instant


@dataclass(frozen=True, slots=True)
class Violation:
    """`plan` and the recording's seed make the image again."""

    plan: Plan
    lost: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What was judged. `seen` are the digests of the images, each of which counts once."""

    seen: set[bytes] = field(default_factory=set)
    refused: int = 0
    audits: int = 0
    whole: int = 0
    replays: int = 0
    policies: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)

    @property
    def images(self) -> int:
        return len(self.seen)

    def add(self, other: Tally) -> None:
        self.seen |= other.seen
        for name in ("refused", "audits", "whole", "replays"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.policies += other.policies
        self.violations += other.violations


@dataclass(slots=True)
class Judge:
    """Judges the images of one recording, in order of prefix. `template` is a gateway on the practice as it was
    when the recording began: all of its ports but journal and sinks serve for every image."""

    recording: Recording
    work: Path
    template: Gateway
    clock: Still
    tally: Tally = field(default_factory=Tally)
    _found: dict[int, Found] = field(default_factory=dict)
    _asked: set[tuple[int, str, int]] = field(default_factory=set)

    @classmethod
    @asynccontextmanager
    async def open(cls, recording: Recording, work: Path) -> AsyncIterator[Judge]:
        """A judge with a directory for its own use, on a disk that is quick, if there is one."""
        clock = Still()
        write_image(work / "template", recording.practice)
        async with Gateway.open(work / "template" / HOME, clock=clock) as template:
            yield cls(recording, work, template, clock)

    async def judge(self, plan: Plan, image: Image, promises: Promises) -> Violation | None:
        """Adds to the tally; the violation is in it, too."""
        root = self.work / str(plan)
        (root / HOME).mkdir(parents=True)
        write_image(root / self.recording.place, image)
        try:
            lost = [*await self._lost(root, promises), *self._beside(root, promises)]
            if not lost and self.tally.images % WHOLE_EVERY == 0:
                lost = await self._reopened(root, promises)
        finally:
            shutil.rmtree(root)
        self.tally.policies[plan.kind] += 1
        if not lost:
            return None
        violation = Violation(plan, tuple(lost))
        self.tally.violations.append(violation)
        return violation

    async def _lost(self, root: Path, promises: Promises) -> list[str]:
        home = root / HOME
        configuration = self.template.ports.configuration
        path = home / configuration.settings.journal
        try:
            journal = SqliteJournal.open(path, key=configuration.sibling_key)
        except ConfigurationError as error:
            self.tally.refused += 1
            return [f"refused: {error}"] if promises.count else []
        try:
            ports = self._ports(home, journal)
            await recovery.recover(ports)
            held = _held(path)
            if held.damage:
                return [f"damaged: {said}" for said in held.damage]
            if held.state not in self._found:
                self._found[held.state] = await Found.read(journal, held.suspended)
            found = self._found[held.state]
            volumes = self._volumes(root, found)
            lost = list(broken(promises, found))
            content = hash((held.state, tuple(digest for _, digest in volumes or ())))
            return lost + await self._once(path, ports, content, promises, volumes)
        finally:
            await journal.aclose()

    async def _once(
        self, path: Path, ports: Ports, state: int, promises: Promises, volumes: Volumes | None
    ) -> list[str]:
        """What follows from this content and these promises alone."""
        lost: list[str] = []
        if self._is_new(state, "audit", len(promises.checkpoints)):
            self.tally.audits += 1
            files = None if volumes is None else [file for file, _ in volumes]
            report = verify_file(path, promises.checkpoints, ports.keyring, files)
            lost += [f"audit: {flaw.code} at {flaw.where}" for flaw in report.flaws]
        if self._is_new(state, "replay", len(promises.due)):
            orchestrator = Orchestrator(ports)
            for each in promises.due:
                outcome = await orchestrator.submit(each.token, Purpose.COMMIT)
                lost += _second(outcome.replayed, outcome.attempt, each.proposal)
                self.tally.replays += 1
        return lost

    def _volumes(self, root: Path, found: Found) -> Volumes | None:
        """The files of the archive, with their digests, that the journal knows of; of a move that was cut short there
        may be one more. None where the recording is of the journal alone."""
        if self.recording.place == HOME:
            return None
        recorded = {digest for _, digest in found.volumes}
        files = volumes_at([root / ARCHIVE]) if (root / ARCHIVE).is_dir() else []
        return tuple((file, digest) for file in files if (digest := file_digest(file)) in recorded)

    def _is_new(self, state: int, question: str, promised: int) -> bool:
        asked = (state, question, promised)
        known = asked in self._asked
        self._asked.add(asked)
        return not known

    async def _reopened(self, root: Path, promises: Promises) -> list[str]:
        """The same by the public face alone, on the whole home."""
        self.tally.whole += 1
        write_image(root, {path: data for path, data in self.recording.practice.items() if not (root / path).exists()})
        lost, path = [], root / HOME / self.template.ports.configuration.settings.journal
        async with Gateway.open(root / HOME, clock=self.clock) as gateway:
            lost += list(broken(promises, await Found.read(gateway.ports.journal, _held(path).suspended)))
            for each in promises.due:
                outcome = await gateway.commit(each.token)
                lost += _second(outcome.replayed, outcome.attempt, each.proposal)
        return lost

    def _ports(self, home: Path, journal: SqliteJournal) -> Ports:
        ports = self.template.ports
        sinks: Sinks = replace(ports.sinks, sinks={name: FileSink(home / SINK) for name in ports.sinks.sinks})
        gatekeeper = replace(ports.gatekeeper, journal=journal, sinks=sinks)
        return replace(ports, journal=journal, sinks=sinks, gatekeeper=gatekeeper)

    def _beside(self, root: Path, promises: Promises) -> Iterator[str]:
        """What lies in other files than the journal; a recording of the journal alone says nothing of them."""
        if self.recording.place != HOME:
            yield from unkept(promises, root / HOME / SINK)
            yield from unbound(promises, root / "practice" / "bindings")


SINK: Final = "audit.jsonl"


def _second(replayed: bool, attempt: Any, proposal: str) -> list[str]:
    return [] if replayed and attempt is not None else [f"replayed: a second attempt at {proposal} is no replay"]


@dataclass(frozen=True, slots=True)
class Held:
    """Everything that anybody relies on in a journal, as one number, and what the database finds wrong with itself."""

    state: int
    suspended: frozenset[str]
    damage: tuple[str, ...]


def _held(path: Path) -> Held:
    with open_archive(path) as archive:
        damage = tuple(archive.damage())
        connection = archive._connection
        connection.row_factory = None
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        rows = {name: tuple(connection.execute(f"SELECT * FROM {name}")) for name in tables if name not in _PROBES}
    return Held(hash(tuple(sorted(rows.items()))), frozenset(name for (name,) in rows["suspensions"]), damage)
