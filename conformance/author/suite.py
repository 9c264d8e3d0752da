"""The conformance suite inside a pytest session: one item per requirement, one run, one verdict.

Owns: the items, the run's life within the session, and the session's exit status. The verdict comes from the run's
own results, never from what pytest was told: an item that was deselected, skipped, replaced or not reached has left
no result, so the run is incomplete, and the session fails however green it looks.
Refuses: to try a requirement twice (a plugin that re-runs failures), or after a later one (a plugin that shuffles),
since the last ones judge all that went before.
Invariants: nothing is contacted before the first item runs; whatever ends the session, the run's clean-up has ended
before it. No output of adapter or system that was captured during an item is shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Generator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar

import pytest

from conformance import engine
from conformance.recorded_run import RecordedRun, stopping
from conformance.recorder import RUN_FILE, Recorder
from conformance.registry import REQUIREMENTS
from conformance.reports import outline, write_reports
from conformance.requirement import Requirement
from conformance.results import Judgement, Result, Results, Verdict
from conformance.target import safety
from conformance.target.ledger import LEDGER_FILE, Ledger
from conformance.verdict import Exit, derive, exit_code
from gateway.clock import SystemClock
from gateway.errors import GatewayError

T = TypeVar("T")

PASSING: Final = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
"""What pytest may say that the suite knows better. Interruption, internal and usage errors stand."""


class Run(Protocol):
    """What of `conformance.engine.Run` is used here."""

    async def execute(self, requirement_id: str) -> Result: ...

    def conclude(self) -> Results: ...


class NotMetError(Exception):
    """An item's end: the requirement is not proven to hold. The text is the suite's own."""


@dataclass(slots=True)
class Suite:
    """The plugin of one session. `opening` opens the run when entered, and cleans up when left."""

    opening: AbstractAsyncContextManager[Run]
    report: Path
    results: Results | None = None
    trouble: str | None = None
    _runner: asyncio.Runner | None = None
    _run: Run | None = None
    _reached: int = -1
    _session: pytest.Session | None = None

    @classmethod
    def prepare(cls, adapter: str, target: Path, report: Path) -> Self:
        """Everything that can be judged before anything is sent; raises `pytest.UsageError`."""
        try:
            prepared = RecordedRun.prepare(adapter, target)
            safety.prepare(report, resume=False)
            return cls(_opened(prepared, report), report)
        except GatewayError as error:
            raise pytest.UsageError(f"conformance: {error}") from None

    def execute(self, requirement: str) -> Result:
        """Try one requirement in the session's run, which the first one opens."""
        place = list(REQUIREMENTS).index(requirement)
        if place <= self._reached:
            raise NotMetError("not run: it was tried before, or comes too late; leave repeating and shuffling out")
        self._reached = place
        if self._runner is None:
            self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)  # leaves other plugins' loops alone
            self._run = self._await(_entered(self.opening))
        if self._run is None:
            raise NotMetError("not run: the run could not be opened")
        return self._await(self._run.execute(requirement))

    def close(self, *, interrupted: bool) -> None:
        """Clean up, and judge what was done. Without a run there is nothing to judge."""
        if self._runner is None:
            return
        try:
            if self._run is not None:
                self._await(_left(self.opening, asyncio.CancelledError() if interrupted else None))
                self.results = self._run.conclude()
                write_reports(self.results, self.report)
        finally:
            self._runner.close()
            self._runner = None

    @property
    def exit(self) -> Exit:
        """A session without results proved nothing, and one without a report cannot show it."""
        code = Exit.INCOMPLETE if self.results is None else exit_code(self.results)
        return Exit.INCOMPLETE if code is Exit.CONFORMANT and self.trouble is not None else code

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._runner is not None, "the first item opens the run"
        return self._runner.run(work)

    # pytest calls these

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Before any -k, -m or --deselect, and after the author's own tests: what those leave in a loop is over."""
        items.extend(Checks.from_parent(session, name="conformance", nodeid="conformance", suite=self).collect())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if isinstance(item, Check):
            report.sections.clear()
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        interrupted = True
        try:
            ended = yield
            interrupted = False
            return ended
        finally:
            try:
                self.close(interrupted=interrupted)
            except GatewayError as error:
                self.trouble = str(error)

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """The last moment before pytest reads its exit status; whatever else wrote to it has done so."""
        session = self._session
        if session is not None and session.exitstatus in PASSING and self.exit is not Exit.CONFORMANT:
            session.exitstatus = int(self.exit)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("conformance")
        for line in self._told():
            terminalreporter.line(line)

    def _told(self) -> Iterator[str]:
        if self.results is None:
            yield f"Incomplete: {self.trouble or 'no requirement was tried.'}"
            return
        yield outline.headline(self.results)
        if derive(self.results) is not Verdict.CONFORMANT:
            yield from outline.missing(self.results)
        yield self.trouble or f"the report is in {self.report}"


class Checks(pytest.Collector):
    """The registry, as pytest shows it."""

    def __init__(self, *, suite: Suite, **known: Any) -> None:
        super().__init__(**known)
        self._suite = suite

    def collect(self) -> Iterator[Check]:
        for requirement in REQUIREMENTS.values():
            yield Check.from_parent(self, name=requirement.id, suite=self._suite, requirement=requirement)


class Check(pytest.Item):
    """One requirement."""

    def __init__(self, *, suite: Suite, requirement: Requirement, **known: Any) -> None:
        super().__init__(**known)
        self._suite = suite
        self._requirement = requirement

    def runtest(self) -> None:
        try:
            result = self._suite.execute(self._requirement.id)
        except NotMetError:
            raise
        except Exception as error:  # noqa: BLE001 - the suite's own fault, whose text could hold anything
            told = str(error) if isinstance(error, GatewayError) else f"{type(error).__name__} in the suite: report it"
            self._suite.trouble = told
            self.session.shouldfail = "conformance: the run cannot go on"
            raise NotMetError(told) from None
        if result.judgement is Judgement.NOT_APPLICABLE:
            # pytest's word for it; the session's verdict comes from the results and never from this
            pytest.skip(result.reason or "not applicable, by the adapter's own claims")
        if result.judgement is not Judgement.PASSED:
            raise NotMetError(f"{result.judgement}: {result.reason or self._requirement.statement}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """No traceback: its frames hold the adapter's data."""
        told = str(excinfo.value) if isinstance(excinfo.value, NotMetError) else type(excinfo.value).__name__
        return f"{self._requirement.statement}\n{told}"

    def reportinfo(self) -> tuple[Path, None, str]:
        return self._suite.report, None, f"conformance {self._requirement.id}"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run whose results are kept as they come, so that the command can clean up after it, or take it up again."""

    run: engine.Run
    recorder: Recorder

    async def execute(self, requirement_id: str) -> Result:
        result = await self.run.execute(requirement_id)
        self.recorder.append(result)
        return result

    def conclude(self) -> Results:
        return self.run.conclude()


@asynccontextmanager
async def _opened(prepared: RecordedRun, report: Path) -> AsyncIterator[Run]:
    header = prepared.header(SystemClock())
    with (
        closing(Ledger.open(report / LEDGER_FILE)) as ledger,
        closing(Recorder.open(report / RUN_FILE, header)) as recorder,
    ):
        opening = engine.open_run(
            prepared.adapter,
            prepared.name,
            prepared.target,
            directory=prepared.directory,
            ledger=ledger,
            options=engine.Options(salt=header.salt),
        )
        async with opening as run:
            yield Recorded(run, recorder)


async def _entered(opening: AbstractAsyncContextManager[Run]) -> Run:
    return await opening.__aenter__()


async def _left(opening: AbstractAsyncContextManager[Run], why: asyncio.CancelledError | None) -> None:
    with stopping() as stop:
        stop.over = True  # a further Ctrl-C does not break off the clean-up
        await opening.__aexit__(None if why is None else type(why), why, None)
