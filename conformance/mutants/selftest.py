"""The suite tried on itself: every mutant at the embedded sandbox, compared with the golden matrix.

    report = selftest(jobs=6)

Owns: how a mutant is tried, and what counts as a difference: a check that is red and not named, named and not red, or
at fault itself; a broken adapter that is called conformant, an honest one that is not; a check without any control.
Mutants run in processes of their own. The crash checks start six processes each and make up half of a run, so a
mutant is tried at them where its row names one; every mutant that is asked for by name is tried at all.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from types import MappingProxyType
from typing import Final

from conformance.engine import run
from conformance.mutants.catalogue import MUTANTS, Mutant
from conformance.mutants.matrix import Matrix, load
from conformance.registry import REQUIREMENTS
from conformance.results import Judgement, Results, Verdict
from conformance.target.file import Target
from conformance.target.safety import load as load_target
from gateway.contracts.connection import Limits
from gateway.errors import UsageError

ZONE: Final = "Europe/Berlin"
"""Not UTC, so that an adapter that mistakes one for the other is found out."""

LIMITS: Final = Limits(request_seconds=2, commit_seconds=4)
"""As short as a machine that is busy with all of them bears; a cut point waits this long."""

JOBS_PER_CORE: Final = 5
"""A run waits, deliberately, for most of its time."""

_CRASHES: Final = "crash."


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One mutant, tried. `red` and `at_fault` are requirements with the reasons that the suite gave."""

    mutant: str
    flaw: str
    expected: frozenset[str]
    red: Mapping[str, str]
    at_fault: Mapping[str, str]
    conformant: bool
    seconds: float

    @property
    def differences(self) -> tuple[str, ...]:
        """What is not as the matrix says, a sentence each; empty where all is well."""
        found = [f"{each} is red and not named: {self.red[each]}" for each in sorted(self.red.keys() - self.expected)]
        found += [f"{each} is named and not red" for each in sorted(self.expected - self.red.keys())]
        found += [f"{each} is the suite's own fault: {reason}" for each, reason in sorted(self.at_fault.items())]
        if self.conformant and self.expected:
            found.append("a broken adapter is called conformant")
        if not self.conformant and not self.expected:
            found.append("an honest adapter is not called conformant")
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of all of them. `without_control` are checks that no mutant turns red, where all were asked for."""

    tried: Sequence[Tried]
    without_control: Sequence[str] = field(default=())
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.without_control and not any(each.differences for each in self.tried)


def selftest(
    names: Sequence[str] = (), *, jobs: int | None = None, progress: Callable[[Tried], None] = lambda tried: None
) -> Report:
    """Try these mutants, or all; `progress` is told of each as it ends. Raises `UsageError` for an unknown name and
    `MatrixError` for a matrix that does not fit."""
    if unknown := sorted(set(names) - MUTANTS.keys()):
        raise UsageError(f"no such mutant: {', '.join(unknown)}; known are {', '.join(MUTANTS)}")
    began, matrix = time.monotonic(), load(MUTANTS)
    # Those that are tried at the crash checks, too, take longest: first, so that none is left alone at the end.
    wanted = sorted(names or MUTANTS, key=lambda name: not _crashes(matrix, name))
    workers = min(jobs or JOBS_PER_CORE * (os.cpu_count() or 1), len(wanted))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    tried: list[Tried] = []
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        running = [pool.submit(_try, name, _checks(matrix, name, named=bool(names))) for name in wanted]
        for ended in as_completed(running):
            tried.append(_compared(matrix, *ended.result()))
            progress(tried[-1])
    return Report(
        tried=tuple(sorted(tried, key=lambda each: each.mutant)),
        without_control=() if names else matrix.without_control,
        seconds=time.monotonic() - began,
    )


def _crashes(matrix: Matrix, name: str) -> bool:
    red = matrix.red[name]
    return not red or any(each.startswith(_CRASHES) for each in red)


def _checks(matrix: Matrix, name: str, *, named: bool) -> tuple[str, ...]:
    """The requirements to try; none stands for all."""
    if named or _crashes(matrix, name):
        return ()
    return tuple(each for each in REQUIREMENTS if not each.startswith(_CRASHES))


def _try(name: str, only: Sequence[str]) -> tuple[str, Results, float]:
    """One mutant, in a process of its own."""
    mutant, began = MUTANTS[name], time.monotonic()
    package = files("adapters.sandbox")
    with as_file(package.joinpath("conformance.toml")) as path:
        target = _target(load_target(path), mutant)
        results = asyncio.run(run(mutant.make(), "sandbox", target, directory=path.parent, only=only))
    return name, results, time.monotonic() - began


def _target(target: Target, mutant: Mutant) -> Target:
    connection = target.connection.model_copy(update={"zone": ZONE, "limits": LIMITS})
    return target.model_copy(update={"launch": mutant.launch, "connection": connection})


def _compared(matrix: Matrix, name: str, results: Results, seconds: float) -> Tried:
    def reasons(judgement: Judgement) -> Mapping[str, str]:
        ended = [each for each in results.results if each.judgement is judgement]
        return MappingProxyType({each.requirement: each.reason or "" for each in ended})

    return Tried(
        mutant=name,
        flaw=MUTANTS[name].flaw,
        expected=matrix.red[name],
        red=reasons(Judgement.FAILED),
        at_fault=reasons(Judgement.HARNESS_ERROR),
        conformant=results.verdict is Verdict.CONFORMANT,
        seconds=round(seconds, 1),
    )
