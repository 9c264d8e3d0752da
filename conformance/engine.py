"""The engine: takes the registry's requirements one by one, and says of each how it ended.

    results = await run(adapter, "name", target, directory=Path("."))

Owns: collection. What runs, on which peer and in which order is decided here and nowhere else; an adapter's author
gives an adapter, a target and an observer, and can neither remove nor replace a check. Every end of a check is one
of five judgements; a check that raises anything unexpected blames the suite (harness-error), never the adapter.
Invariant: whatever ends a run, what it created is cleaned up before `open_run` lets go.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, Protocol

from conformance.attempt import CouldNotRunError
from conformance.checks import CHECKS
from conformance.conduct import CONDUCT, overheard
from conformance.conduct import judge as judge_conduct
from conformance.overhearing import Overhearing, as_host
from conformance.redaction import masked
from conformance.registry import REQUIREMENTS
from conformance.requirement import CONTRACT_VERSION, Requirement, Tier
from conformance.results import (
    MAX_EXCHANGES,
    AdapterIdentity,
    Difference,
    Judgement,
    MutantScore,
    Peer,
    Profile,
    ReceiptRecord,
    Result,
    Results,
    TargetIdentity,
    Verdict,
)
from conformance.statement import suite_digest
from conformance.target import safety, system
from conformance.target.file import Target
from conformance.target.ledger import Ledger
from conformance.target.stage import BlindObserverError, NoObserverError, NoSlotError, Stage, open_stage
from conformance.trial import CheckFailed, Trial
from conformance.verdict import at_most_once, derive
from conformance.weighing import weighed
from gateway import conformity
from gateway.clock import Clock, SystemClock
from gateway.contracts.adapter import Adapter
from gateway.contracts.canonical import digest
from gateway.contracts.connection import Scheme
from gateway.testing import Premises

CHECK_SECONDS: Final = 300.0
GROUNDLESS: Final = "the adapter declares no booking, so there is nothing to make this change to"
SALT_DOMAIN: Final = "conformance-salt/v1"
TARGET_DOMAIN: Final = "conformance-target/v1"


class Watcher(Protocol):
    """Who is told how a run goes on (`conformance.reports.console`)."""

    def begin(self, total: int) -> None: ...

    def started(self, requirement: Requirement) -> None: ...

    def ended(self, result: Result) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run deviates from the whole. `faults` off shows that the fault checks rest on receipts; `salt` and
    `earlier` continue a run that was broken off."""

    profile: Profile = Profile.SANDBOX
    faults: bool = True
    salt: str | None = None
    earlier: Sequence[Result] = ()
    parts: int = 1


@dataclass(slots=True, kw_only=True)
class Run:
    """One run, open. `execute` the requirements, those of conduct last; `conclude` once `open_run` has let go."""

    identity: AdapterIdentity
    target: Target
    options: Options
    main: Stage
    twin: Stage | None
    salt: str
    overhearing: Overhearing
    clock: Clock
    started_at: datetime
    results: dict[str, Result] = field(default_factory=dict)
    calibration: list[Difference] = field(default_factory=list)
    mutation: tuple[MutantScore, ...] = ()
    interrupted: bool = False

    @property
    def exhaustive(self) -> bool:
        """Whether the target itself bears every check."""
        return self.target.launch is not None or self.target.exhaustive

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """In the order in which they run; for a practice's own system only what it may bear."""
        production = self.options.profile is Profile.PRODUCTION_READONLY
        return tuple(each for each in REQUIREMENTS.values() if each.suits_production or not production)

    async def execute(self, requirement_id: str) -> Result:
        """Try one requirement and keep its result; raises nothing but cancellation."""
        requirement = REQUIREMENTS[requirement_id]
        stage, obstacle = self._place(requirement)
        missing = requirement.missing(self.main.descriptor, credential=self._credential)
        if missing:
            result = self._settled(requirement, stage, Judgement.NOT_APPLICABLE, f"not declared: {', '.join(missing)}")
        elif requirement_id in CONDUCT:
            result = self._settled(requirement, stage, *judge_conduct(requirement_id, self.results.values()))
        elif requirement.is_groundless(self.main.descriptor):
            result = self._settled(requirement, stage, Judgement.COULD_NOT_RUN, GROUNDLESS)
        elif obstacle is not None:
            result = self._settled(requirement, stage, Judgement.COULD_NOT_RUN, obstacle)
        else:
            result = await self._try(requirement, stage)
            await self._calibrate(requirement, stage, result)
        self.results[requirement_id] = result
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # an observer kept the cancellation to itself
            raise asyncio.CancelledError
        return result

    def conclude(self) -> Results:
        """The document of the run. Its verdict is derived from the rest of it."""
        results = Results(
            contract_version=CONTRACT_VERSION,
            suite=suite_digest(),
            suite_version=version("scheduling-gateway"),
            adapter=self.identity,
            descriptor=self.main.descriptor,
            commitment=self.main.descriptor.commitment,
            credential=self._credential,
            target=self._target(),
            profile=self.options.profile,
            exhaustive=self.exhaustive,
            salt=digest(SALT_DOMAIN, self.salt.encode()),
            parts=self.options.parts,
            started_at=self.started_at,
            ended_at=self.clock.now(),
            results=tuple(self.results.values()),
            at_most_once=at_most_once(self.results.values(), observed=self.main.observer is not None),
            residue=tuple(stage.residue for stage in (self.main, self.twin) if stage is not None),
            mutation=self.mutation,
            calibration=tuple(self.calibration),
            known=tuple(self.target.known),
            interrupted=self.interrupted,
            verdict=Verdict.INCOMPLETE,
        )
        return results.model_copy(update={"verdict": derive(results)})

    @property
    def _credential(self) -> bool:
        return self.target.connection.credential.scheme is not Scheme.NONE

    def _target(self) -> TargetIdentity:
        return TargetIdentity(
            label=self.main.label,
            dialect=self.target.connection.dialect,
            fingerprint=fingerprint(self.target),
            observer=self.target.grade,
            launched=self.target.launch is not None,
            twin=None if self.twin is None else self.twin.label,
        )

    def _place(self, requirement: Requirement) -> tuple[Stage, str | None]:
        """Where a requirement is tried, and what stands in the way."""
        lacks = requirement.stands_in and self.main.limited is None
        heavy = requirement.tier is Tier.EXHAUSTIVE and not self.exhaustive
        if (lacks or heavy) and self.twin is not None:
            return self.twin, None
        if heavy:
            return self.main, "needs a twin (target file: twin), or a target that bears it (exhaustive = true)"
        return self.main, None

    async def _calibrate(self, requirement: Requirement, stage: Stage, result: Result) -> None:
        """The same check on the twin; a difference says how far the twin can be believed."""
        if self.twin is None or stage is self.twin:
            return
        again = await self._try(requirement, self.twin)
        if again.judgement is not result.judgement:
            difference = Difference(
                requirement=requirement.id, target=result.judgement, twin=again.judgement, detail=again.reason
            )
            self.calibration.append(difference)

    async def _try(self, requirement: Requirement, stage: Stage) -> Result:
        started, at, before = time.monotonic(), self.clock.now(), stage.proxy.latest
        self.overhearing.forget()
        trial = Trial(stage=stage, requirement=requirement)
        with self.overhearing.listen():  # check by check: whoever runs the suite may swap standard streams in between
            word = await self._judged(trial)
        exchanges = stage.proxy.since(before)
        misconduct = tuple(sorted(set(overheard(trial, self.overhearing, exchanges))))
        deaf = self.overhearing.deaf
        judgement, reason = await weighed(trial, word, exchanges, misconduct, before=before, deaf=deaf)
        return Result(
            requirement=requirement.id,
            judgement=judgement,
            peer=stage.peer,
            reason=reason,
            attempts=(*trial.records, *(attempt.record() for attempt in trial.attempts)),
            receipts=tuple(
                ReceiptRecord(
                    point=receipt.fault.point,
                    fired=receipt.fired,
                    forwarded=receipt.forwarded,
                    answered=receipt.answered,
                    exchange=receipt.exchange,
                    facts=tuple(receipt.facts),
                )
                for receipt in trial.receipts
            ),
            exchanges=tuple(masked(exchange, started, stage.confidential) for exchange in exchanges[-MAX_EXCHANGES:])
            if judgement is Judgement.FAILED
            else (),
            injected=trial.injected,
            effects=trial.effects,
            expected_effects=trial.expected_effects,
            overlap=trial.overlap,
            misconduct=misconduct,
            started_at=at,
            seconds=round(time.monotonic() - started, 3),
        )

    async def _judged(self, trial: Trial) -> tuple[Judgement, str | None]:
        """One check, contained: its ends are the five judgements."""
        try:
            async with asyncio.timeout(CHECK_SECONDS), trial:
                await CHECKS[trial.requirement.id](trial)
        except CheckFailed as failure:
            return Judgement.FAILED, str(failure)
        except CouldNotRunError as obstacle:
            return Judgement.COULD_NOT_RUN, str(obstacle)
        except NoSlotError:
            return Judgement.COULD_NOT_RUN, "contention: every slot of the pool is taken by somebody else"
        except NoObserverError:
            return Judgement.COULD_NOT_RUN, "awaits a person's count: the target names no observer"
        except BlindObserverError as blind:
            return Judgement.COULD_NOT_RUN, f"the observer could not look: it raised {blind}"
        except TimeoutError:
            return Judgement.COULD_NOT_RUN, f"did not end within {CHECK_SECONDS:.0f} seconds"
        except Exception as error:  # noqa: BLE001 - the suite's own fault; its text could hold data
            return Judgement.HARNESS_ERROR, f"the suite raised {type(error).__name__}"
        return Judgement.PASSED, None

    def _settled(self, requirement: Requirement, stage: Stage, judgement: Judgement, reason: str | None) -> Result:
        return Result(
            requirement=requirement.id,
            judgement=judgement,
            peer=stage.peer,
            reason=reason,
            started_at=self.clock.now(),
            seconds=0.0,
        )


@asynccontextmanager
async def open_run(
    adapter: Adapter,
    name: str,
    target: Target,
    *,
    directory: Path,
    ledger: Ledger | None = None,
    options: Options | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Run]:
    """Start what the target launches, look at what is there, and hand out a run; clean up at the end, whatever ends
    it. `directory` is the target file's. Raises `TargetError`, and `ConfigurationError` for code without a file."""
    options, clock, ledger = options or Options(), clock or SystemClock(), ledger or Ledger.open(None)
    safety.admit(target, profile=options.profile)
    code = conformity.identify(adapter, name)
    salt, overhearing = options.salt or secrets.token_hex(32), Overhearing()
    canary = f"canary-{digest(SALT_DOMAIN, f'canary|{salt}'.encode())[:24]}"
    async with AsyncExitStack() as stack:
        stack.enter_context(as_host())

        async def staged(peer: Peer, premises: Premises, trust: ssl.SSLContext | None) -> Stage:
            system.must_be_apart(premises, adapter)
            return await stack.enter_async_context(
                open_stage(
                    peer,
                    name,
                    adapter,
                    target=target,
                    premises=premises,
                    trust=trust,
                    ledger=ledger,
                    faults=options.faults,
                    reads_only=options.profile is Profile.PRODUCTION_READONLY,
                    canary=canary,
                )
            )

        premises = await system.named(stack, target, directory)
        main = await staged(Peer.TARGET, premises, premises.trust or system.trust(target, directory))
        twin = None
        if target.twin is not None and options.profile is Profile.SANDBOX:
            beside = await system.launched(stack, target.twin)
            twin = await staged(Peer.TWIN, beside, beside.trust)
        run = Run(
            identity=AdapterIdentity(
                name=code.name, distribution=code.distribution, version=code.version, code_digest=code.digest
            ),
            target=target,
            options=options,
            main=main,
            twin=twin,
            salt=salt,
            overhearing=overhearing,
            clock=clock,
            started_at=clock.now(),
            results={entry.requirement: entry for entry in options.earlier},
        )
        try:
            yield run
        except BaseException:
            run.interrupted = True
            raise


async def run(
    adapter: Adapter,
    name: str,
    target: Target,
    *,
    directory: Path,
    ledger: Ledger | None = None,
    options: Options | None = None,
    only: Iterable[str] = (),
    watcher: Watcher | None = None,
) -> Results:
    """All requirements, or `only` some (which leaves the run incomplete), in order."""
    chosen = frozenset(only)
    async with open_run(adapter, name, target, directory=directory, ledger=ledger, options=options) as opened:
        wanted = [each for each in opened.requirements if not chosen or each.id in chosen]
        if watcher is not None:
            watcher.begin(len(wanted))
        for requirement in wanted:
            if watcher is not None:
                watcher.started(requirement)
            result = await opened.execute(requirement.id)
            if watcher is not None:
                watcher.ended(result)
    return opened.conclude()


def fingerprint(target: Target) -> str:
    """The digest of address, dialect and settings: which system a run is about, without naming it."""
    told = target.connection
    content = "|".join((told.base_url or target.launch or "", told.canonical().decode()))
    return digest(TARGET_DOMAIN, content.encode())
