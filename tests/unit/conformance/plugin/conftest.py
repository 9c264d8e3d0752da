"""pytest sessions with the door open: over a scripted run in this process, or over the real suite in another."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.sandbox.adapter import SandboxAdapter
from conformance.author.suite import Suite
from conformance.registry import REQUIREMENTS
from conformance.reports import read
from conformance.requirement import CONTRACT_VERSION
from conformance.results import (
    AdapterIdentity,
    AtMostOnce,
    Evidence,
    Grade,
    Judgement,
    Peer,
    Profile,
    ReceiptRecord,
    Result,
    Results,
    TargetIdentity,
    Verdict,
)
from gateway.contracts.adapter import Commitment
from gateway.contracts.canonical import digest
from gateway.testing import make_connection

ANY = digest("testing/v1", b"")
NOW = datetime(2031, 3, 3, tzinfo=UTC)
CLAIMS = SandboxAdapter().describe(make_connection("http://127.0.0.1:9/"))
INI = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"


@dataclass
class ScriptedRun:
    """A run of an adapter that passes everything, unless `script` says otherwise; `doing` happens at a requirement."""

    script: Mapping[str, Judgement] = field(default_factory=dict)
    doing: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    cleaning: Callable[[], object] = lambda: None
    refusal: Exception | None = None
    executed: list[str] = field(default_factory=list)
    opened: int = 0
    cleaned: int = 0
    interrupted: bool = False

    @asynccontextmanager
    async def opening(self) -> AsyncIterator[ScriptedRun]:
        if self.refusal is not None:
            raise self.refusal
        self.opened += 1
        try:
            yield self
        except asyncio.CancelledError:
            self.interrupted = True
            raise
        finally:
            self.cleaning()
            await asyncio.sleep(0.05)  # cleaning up needs a loop that runs
            self.cleaned += 1

    async def execute(self, requirement_id: str) -> Result:
        self.executed.append(requirement_id)
        if requirement_id in self.doing:
            self.doing[requirement_id]()
        return self.result(requirement_id)

    def result(self, requirement_id: str) -> Result:
        excused = REQUIREMENTS[requirement_id].missing(CLAIMS, credential=True)
        usual = Judgement.NOT_APPLICABLE if excused else Judgement.PASSED
        judgement = self.script.get(requirement_id, usual)
        reason = None if judgement is Judgement.PASSED else f"because it is {judgement}"
        struck = ReceiptRecord(point="late", fired=1, forwarded=True, answered=True)
        receipts = (struck,) if REQUIREMENTS[requirement_id].struck else ()
        known = {"peer": Peer.TARGET, "reason": reason, "started_at": NOW, "seconds": 0.0, "receipts": receipts}
        return Result(requirement=requirement_id, judgement=judgement, **known)

    def conclude(self) -> Results:
        assert self.cleaned == self.opened == 1
        return Results(
            contract_version=CONTRACT_VERSION,
            suite=ANY,
            suite_version="1",
            adapter=AdapterIdentity(name="acme", distribution="acme-adapter", version="1", code_digest=ANY),
            descriptor=CLAIMS,
            commitment=Commitment.IMMEDIATE,
            credential=True,
            target=TargetIdentity(
                label="acme sandbox", dialect="standard", fingerprint=ANY, observer=Grade.ATTESTED, launched=True
            ),
            profile=Profile.SANDBOX,
            exhaustive=True,
            salt=ANY,
            parts=1,
            started_at=NOW,
            ended_at=NOW,
            results=tuple(self.result(each) for each in self.executed),
            at_most_once=AtMostOnce(
                evidence=Evidence.NOT_VIOLATED, trials=1, points=(), commits=1, requests=1, effects=1
            ),
            interrupted=self.interrupted,
            verdict=Verdict.INCOMPLETE,
        )


@dataclass
class Session:
    """An author's directory, and a pytest session in it, over a scripted run."""

    pytester: pytest.Pytester
    run: ScriptedRun = field(default_factory=ScriptedRun)

    @property
    def report(self) -> Path:
        return self.pytester.path / "report"

    def pytest(self, *words: str) -> tuple[int, str]:
        """The exit status, and what was shown."""
        suite = Suite(self.run.opening(), Path("report"))
        ended = self.pytester.runpytest_inprocess(
            "-p", "no:cacheprovider", *words, plugins=[suite], no_reraise_ctrlc=True
        )
        return int(ended.ret), ended.stdout.str() + ended.stderr.str()


@pytest.fixture
def session(pytester: pytest.Pytester) -> Session:
    pytester.makefile(".ini", pytest=INI)
    return Session(pytester)


@dataclass(frozen=True)
class Author:
    """An author's directory with a target file for the embedded sandbox, and real pytest sessions in it."""

    path: Path

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]

    def door(self, adapter: str = "sandbox", target: str = "conformance.toml", report: str = "report") -> list[str]:
        return self.command(
            "--conformance-adapter", adapter, "--conformance-target", target, "--conformance-report", report
        )

    def pytest(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.door(), *words], cwd=self.path, capture_output=True, text=True, check=False, env=dict(os.environ)
        )

    def results(self) -> Results:
        return read((self.path / "report" / "results.json").read_bytes())


@pytest.fixture
def author(tmp_path: Path) -> Author:
    (tmp_path / "pytest.ini").write_text(INI, encoding="utf-8")
    sandbox = Path(sys.modules[SandboxAdapter.__module__].__file__ or "").with_name("conformance.toml")
    (tmp_path / "conformance.toml").write_bytes(sandbox.read_bytes())
    return Author(tmp_path)
