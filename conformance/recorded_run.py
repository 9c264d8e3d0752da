"""One run in a report directory: planned, admitted, written down as it goes on, reported, and cleaned up after.

Owns: the order in which that happens. The report directory is looked at first, then target file and adapter, then
the plan; only then is anything started. Refuses, as `TargetError`: whatever `conformance.target.safety` refuses, and an
adapter or requirement that is not there.
Invariants: SIGINT and SIGTERM end the check that is under way, clean up, and leave a report that says interrupted;
further signals cannot break the clean-up off. Every result is durable before the next check begins.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, cast

from conformance.conduct import CONDUCT
from conformance.engine import Options, Run, Watcher, fingerprint, open_run
from conformance.recorder import RUN_FILE, Header, Recorder
from conformance.registry import REQUIREMENTS
from conformance.reports import write_reports
from conformance.results import MutantScore, Peer, Profile, Residue, Results
from conformance.statement import suite_digest
from conformance.target import safety
from conformance.target.file import Target, TargetConnection, TargetError
from conformance.target.ledger import LEDGER_FILE, Cleaner, Ledger
from conformance.target.plan import Plan, plan
from conformance.target.stage import LIMITED, claims
from gateway.clock import Clock, SystemClock
from gateway.conformity import identify
from gateway.contracts.adapter import Adapter
from gateway.contracts.connection import Scheme
from gateway.plugins import discover
from gateway.testing import Observer

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
UNNAMED: Final = "under-test"

FILE_DOMAIN: Final = "conformance-target-file/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """Ready to be performed; nothing has been sent or started. `only` empty: all requirements."""

    adapter: Adapter = field(repr=False)
    name: str
    target: Target
    directory: Path
    plan: Plan
    profile: Profile = Profile.SANDBOX
    only: frozenset[str] = frozenset()
    faults: bool = True
    mutate: bool = False

    @classmethod
    def prepare(
        cls,
        adapter: str,
        target_file: Path,
        *,
        profile: Profile = Profile.SANDBOX,
        only: Collection[str] = (),
        faults: bool = True,
        mutate: bool = False,
        planned: Callable[[Plan], None] = lambda plan: None,
    ) -> Self:
        """Read, plan and admit; `planned` is told the plan before it is admitted or refused. `adapter` is an
        installed one's name, or `package.module:Class`. `mutate` adds the mutation score: some thirty runs more, which
        only a system made for it should bear."""
        if any(each not in REQUIREMENTS for each in only):
            raise TargetError("--only: no such requirement; `gateway conformance requirements` lists them")
        target = safety.load(target_file)
        if mutate and target.launch is None and target.twin is None and not target.mutants:
            raise TargetError("--mutate needs a system that bears it: launch one, name a twin, or say mutants = true")
        told = target.connection
        found, name = find_adapter(adapter, told)
        expected = plan(
            [requirement for requirement in REQUIREMENTS.values() if not only or requirement.id in only],
            claims(found, name, told),
            target,
            credential=told.credential.scheme is not Scheme.NONE,
            limited=target.launch is not None or LIMITED in target.secrets,
            profile=profile,
        )
        planned(expected)
        share = expected.share(Peer.TARGET)
        needed = (share.writes, share.slots_at_once) if share else (0, 0)
        safety.admit(target, profile=profile, writes=needed[0], slots=needed[1])
        return cls(
            adapter=found,
            name=name,
            target=target,
            directory=target_file.parent,
            plan=expected,
            profile=profile,
            only=frozenset(only),
            faults=faults,
            mutate=mutate,
        )

    async def perform(
        self,
        report: Path,
        watcher: Watcher,
        *,
        resume: bool = False,
        scored: Callable[[MutantScore], None] = lambda score: None,
        clock: Clock | None = None,
    ) -> Results:
        """Carry it out, and write the reports. `safety.prepare` has admitted the directory `report`; `scored` is
        told of each mutant."""
        clock = clock or SystemClock()
        with (
            closing(Ledger.open(report / LEDGER_FILE)) as ledger,
            closing(Recorder.open(report / RUN_FILE, self.header(clock), resume=resume, now=clock.now())) as recorder,
        ):
            opened = await self._carried_out(ledger, recorder, watcher, clock)
            if self.mutate and not opened.interrupted:
                await self._mutated(opened, ledger, scored)
        results = opened.conclude().model_copy(update={"started_at": recorder.header.started_at})
        write_reports(results, report)
        return results

    async def _carried_out(self, ledger: Ledger, recorder: Recorder, watcher: Watcher, clock: Clock) -> Run:
        options = Options(
            profile=self.profile,
            faults=self.faults,
            salt=recorder.header.salt,
            earlier=[result for result in recorder.load() if result.requirement not in CONDUCT],
            parts=recorder.parts,
        )
        opened: Run | None = None
        with stopping() as stop:
            try:
                async with open_run(
                    self.adapter,
                    self.name,
                    self.target,
                    directory=self.directory,
                    ledger=ledger,
                    options=options,
                    clock=clock,
                ) as opened:
                    await self._executed(opened, recorder, watcher)
                    stop.over = True
            except asyncio.CancelledError:
                if not stop.asked:
                    raise
        if opened is None:
            raise TargetError("stopped before the first check; nothing was tried")
        return opened

    async def _executed(self, opened: Run, recorder: Recorder, watcher: Watcher) -> None:
        wanted = [each for each in opened.requirements if not self.only or each.id in self.only]
        wanted = [each for each in wanted if each.id not in opened.results]
        watcher.begin(len(wanted))
        for requirement in wanted:
            watcher.started(requirement)
            result = await opened.execute(requirement.id)
            recorder.append(result)
            watcher.ended(result)

    async def _mutated(self, opened: Run, ledger: Ledger, scored: Callable[[MutantScore], None]) -> None:
        """Score mutants of the adapter. The ledger is the target's: what a twin or a launched system holds, ends
        with it."""
        from conformance.mutants.score import mutate  # noqa: PLC0415 - all the mutants, for those who ask for them

        itself = self.target.launch is None and self.target.twin is None
        with stopping() as stop:
            try:
                opened.mutation = await mutate(
                    self.adapter,
                    self.name,
                    self.target,
                    directory=self.directory,
                    ledger=ledger if itself else None,
                    progress=scored,
                )
            except asyncio.CancelledError:
                if not stop.asked:
                    raise
                opened.interrupted = True

    def header(self, clock: Clock) -> Header:
        """What the run's journal begins with."""
        return Header(
            adapter=identify(self.adapter, self.name).digest,
            suite=suite_digest(),
            target=fingerprint(self.target),
            file=self.target.digest(FILE_DOMAIN),
            profile=self.profile,
            salt=secrets.token_hex(32),
            started_at=clock.now(),
        )


async def clean_up(target_file: Path, report: Path) -> Residue:
    """Finish from its ledger what a killed run could not: remove what it created. A launched system is gone with
    its run, and has nothing to clean."""
    target = safety.load(target_file)
    if not (report / LEDGER_FILE).is_file():
        raise TargetError(f"the report directory has no {LEDGER_FILE}; name that of the run")
    if target.launch is not None or target.observer is None:
        raise TargetError("a system that was launched for its run ended with it; there is nothing to clean up")
    safety.admit(target, profile=Profile.SANDBOX)
    begun = Recorder.about(report / RUN_FILE)
    if begun is None or begun.target != fingerprint(target):
        raise TargetError("the run in the report directory was of another target; name its target file")
    assert target.connection.base_url is not None, "the target's own contract"
    given = safety.secrets(target, target_file.parent)
    observer = cast(Observer, safety.load_object(target.observer)(target.connection.base_url, given))
    with closing(Ledger.open(report / LEDGER_FILE)) as ledger:
        return await Cleaner(observer, ledger, target.pool, Peer.TARGET).clean()


def find_adapter(adapter: str, told: TargetConnection) -> tuple[Adapter, str]:
    """The adapter of that name, or made by `package.module:Class`, which is called as it calls itself."""
    if ":" in adapter:
        made = cast(Adapter, _made(adapter))
        return made, claims(made, UNNAMED, told).adapter
    found = discover().adapters().get(adapter)
    if found is None:
        raise TargetError("no adapter of that name is installed; `gateway adapters list` shows which are")
    return found, adapter


def _made(spec: str) -> object:
    factory = safety.load_object(spec)
    try:
        return factory()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code, whose text could hold anything
        raise TargetError(f"{spec} raised {type(error).__name__} when it was called without arguments") from None


@dataclass(slots=True)
class Stop:
    """`asked`: a signal has come. `over`: there is nothing left to stop."""

    asked: bool = False
    over: bool = False


@contextmanager
def stopping() -> Iterator[Stop]:
    """The first SIGINT or SIGTERM cancels the present task; later ones change nothing."""
    stop, loop, task = Stop(), asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "inside a coroutine there is a task"

    def ask() -> None:
        if not stop.asked and not stop.over:
            stop.asked = True
            task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, ask)
    try:
        yield stop
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
