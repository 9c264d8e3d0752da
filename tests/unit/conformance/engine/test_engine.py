"""The engine: what runs, where, and what each obstacle makes of a check."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.testing import ControlObserver, premises
from conformance.checks import CHECKS
from conformance.conduct import CONDUCT
from conformance.engine import Options, open_run
from conformance.faults import Exchange, Fault, Point, Which
from conformance.faults.proxy import Proxy
from conformance.registry import REQUIREMENTS
from conformance.results import Evidence, Judgement, Peer, Profile, Results, Verdict
from conformance.target.file import TargetError
from conformance.verdict import Exit, derive, exit_code
from gateway.contracts.adapter import Descriptor
from gateway.contracts.connection import Connection
from gateway.testing import Seen

Judged = Callable[[Results], dict[str, str]]


def test_every_requirement_has_exactly_one_check() -> None:
    assert set(CHECKS) | set(CONDUCT) == set(REQUIREMENTS)
    assert not set(CHECKS) & set(CONDUCT)


@pytest.mark.requirement("CARD-07")
async def test_the_sandbox_is_conformant_at_the_cost_that_the_registry_says_and_left_as_it_was(site: Any) -> None:
    async with open_run(SandboxAdapter(), "sandbox", site.target(), directory=site.directory) as run:
        for requirement in run.requirements:
            before = run.main.proxy.writes
            result = await run.execute(requirement.id)
            assert result.judgement in (Judgement.PASSED, Judgement.NOT_APPLICABLE), (requirement.id, result.reason)
            assert run.main.proxy.writes - before <= requirement.writes, requirement.id
    results = run.conclude()

    assert results.verdict is derive(results) is Verdict.CONFORMANT
    assert exit_code(results) is Exit.CONFORMANT
    assert {entry.requirement for entry in results.results} == set(REQUIREMENTS)
    assert results.at_most_once.evidence is Evidence.NOT_VIOLATED
    assert results.at_most_once.requests <= results.at_most_once.commits
    assert site.standing() == 0 and results.residue[0].remaining == 0
    assert results.residue[0].writes == site.received()


@pytest.mark.requirement("CARD-07")
async def test_a_fault_without_a_receipt_is_no_verdict(site: Any, judged: Judged) -> None:
    struck = [name for name in REQUIREMENTS if name.startswith(("lost.", "hostile.", "crash."))]
    assert len(struck) == 54
    results = await site.run(*struck, options=Options(faults=False))

    assert judged(results) == dict.fromkeys(struck, Judgement.COULD_NOT_RUN)
    assert results.verdict is Verdict.INCOMPLETE


@pytest.mark.requirement("CARD-07")
@pytest.mark.parametrize("only", [(), ("ready.proven",)])
async def test_a_run_of_some_checks_or_none_is_incomplete(site: Any, only: tuple[str, ...]) -> None:
    async with open_run(SandboxAdapter(), "sandbox", site.target(), directory=site.directory) as run:
        for name in only:
            assert (await run.execute(name)).judgement is Judgement.PASSED
    results = run.conclude()
    assert results.verdict is Verdict.INCOMPLETE
    assert exit_code(results) is Exit.INCOMPLETE


async def test_conduct_without_any_attempt_proves_nothing(site: Any, judged: Judged) -> None:
    results = await site.run("conduct.one-mutation")
    assert judged(results) == {"conduct.one-mutation": "could-not-run"}


class Blind(ControlObserver):
    """An observer whose own client fails."""

    async def appointments(self, start: datetime, end: datetime) -> Sequence[Seen]:
        if start != datetime.fromisoformat("2031-05-04T08:00:00Z"):
            raise RuntimeError("a secret: full-token-of-the-test")
        return ()


def blind(base_url: str, secrets: Mapping[str, str]) -> Blind:
    return Blind(base_url)


async def test_an_observer_that_cannot_look_is_an_obstacle_and_repeats_nothing(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.sandbox.testing.observer", blind)
    results = await site.run("ready.proven", "book.applied")

    assert {entry.judgement for entry in results.results} == {Judgement.COULD_NOT_RUN}
    assert exit_code(results) is Exit.INCOMPLETE
    assert "token" not in results.model_dump_json()


class Deaf(ControlObserver):
    """An observer that is cancelled while it looks, and looks on."""

    async def appointments(self, start: datetime, end: datetime) -> Sequence[Seen]:
        task = asyncio.current_task()
        assert task is not None
        try:
            task.cancel()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return await super().appointments(start, end)
        raise AssertionError("a task that is cancelled is told so")


async def test_an_observer_that_swallows_a_cancellation_does_not_make_the_run_go_on(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_run(SandboxAdapter(), "sandbox", site.target(), directory=site.directory) as run:
        monkeypatch.setattr(ControlObserver, "appointments", Deaf.appointments)
        with pytest.raises(asyncio.CancelledError):
            await run.execute("book.applied")
        monkeypatch.undo()


class Crowded(ControlObserver):
    """An observer that finds strangers in every slot."""

    async def appointments(self, start: datetime, end: datetime) -> Sequence[Seen]:
        return [Seen(identifier="a-stranger", start=start, end=start + timedelta(minutes=30))]


def crowded(base_url: str, secrets: Mapping[str, str]) -> Crowded:
    return Crowded(base_url)


async def test_a_check_that_breaks_blames_the_suite_and_never_the_adapter(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(trial: Any) -> None:
        raise LookupError("full-token-of-the-test")

    monkeypatch.setattr("conformance.engine.CHECKS", {"ready.proven": broken})
    results = await site.run("ready.proven")

    assert {entry.judgement for entry in results.results} == {Judgement.HARNESS_ERROR}
    assert exit_code(results) is Exit.HARNESS_ERROR
    assert "token" not in results.model_dump_json()


async def test_a_pool_taken_by_strangers_is_contention(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.sandbox.testing.observer", crowded)
    results = await site.run("book.applied")

    (entry,) = results.results
    assert entry.judgement is Judgement.COULD_NOT_RUN
    assert entry.reason is not None and "contention" in entry.reason
    assert site.received() == 0


async def test_without_an_observer_a_count_of_effects_awaits_a_person(site: Any, judged: Judged) -> None:
    results = await site.run("ready.proven", "book.applied", observer=None, grade="attested")

    assert judged(results) == {"ready.proven": "passed", "book.applied": "could-not-run"}
    assert results.at_most_once.evidence is Evidence.UNOBSERVABLE


async def test_what_the_target_cannot_bear_runs_on_the_twin_and_says_so(site: Any) -> None:
    results = await site.run(
        "lost.late.book",
        "ready.forbidden",
        "book.applied",
        limited=False,
        exhaustive=False,
        twin="adapters.sandbox.testing:premises",
    )

    peers = {entry.requirement: (entry.judgement, entry.peer) for entry in results.results}
    assert peers == {
        "lost.late.book": (Judgement.PASSED, Peer.TWIN),
        "ready.forbidden": (Judgement.PASSED, Peer.TWIN),
        "book.applied": (Judgement.PASSED, Peer.TARGET),
    }
    assert results.calibration == () and results.target.twin is not None
    assert site.received() == 1


async def test_without_a_twin_it_could_not_run(site: Any, judged: Judged) -> None:
    results = await site.run("lost.late.book", "ready.forbidden", limited=False, exhaustive=False)

    assert judged(results) == {"lost.late.book": "could-not-run", "ready.forbidden": "could-not-run"}
    assert site.received() == 0


@asynccontextmanager
async def _kinder_twin() -> Any:
    async with premises() as made:
        yield type(made)(**{**_fields(made), "settings": {"kind": True}})


def _fields(made: Any) -> dict[str, Any]:
    return {name: getattr(made, name) for name in ("base_url", "label", "observer", "secrets", "settings")}


class Twofaced(SandboxAdapter):
    """Works on the target, not on the twin: what calibration is for."""

    async def readiness(self, request: Any, read: Any) -> Any:
        ready = await super().readiness(request, read)
        return ready if "kind" not in request.settings else type(ready).proven()  # asks, and believes nothing


async def test_a_twin_that_differs_is_reported(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.sandbox.testing.premises", _kinder_twin)
    results = await site.run(
        "ready.slot-taken", adapter=Twofaced(), exhaustive=False, twin="adapters.sandbox.testing:premises"
    )

    (difference,) = results.calibration
    assert (difference.target, difference.twin) == (Judgement.PASSED, Judgement.FAILED)
    assert results.results[0].judgement is Judgement.PASSED


async def test_a_read_only_run_sends_no_write_and_is_never_conformant(site: Any, judged: Judged) -> None:
    results = await site.run(options=Options(profile=Profile.PRODUCTION_READONLY), sandbox=False, writes=0)

    assert site.received() == 0
    assert results.verdict is Verdict.INCOMPLETE
    found = judged(results)
    assert found["ready.proven"] == found["observe.absent"] == "passed"
    assert "book.applied" not in found
    assert "ready.credentials-rejected" not in found  # three of these lock an account out


async def test_a_write_budget_that_is_used_up_stops_the_writes(site: Any, judged: Judged) -> None:
    results = await site.run("book.applied", "reschedule.applied", "cancel.applied", writes=2)

    assert site.received() == 2
    assert judged(results) == {
        "book.applied": "passed",
        "reschedule.applied": "could-not-run",
        "cancel.applied": "could-not-run",
    }
    assert {entry.reason for entry in results.results[1:]} == {"the write budget is used up"}


@pytest.mark.parametrize("point", [Point.REFUSED, Point.AFTER_SEND])
async def test_a_system_that_goes_away_after_a_write_is_an_obstacle(site: Any, judged: Judged, point: Point) -> None:
    """Whether it takes no more connections, or takes them and closes them without a word."""

    def goes_away(_: Exchange) -> None:
        front.arm(Fault(point, Which.READ, once=False))

    async with Proxy.open(f"{site.url}/", before=goes_away) as front:
        connection = site.target().connection.model_copy(update={"base_url": front.url})
        results = await site.run("ready.slot-taken", target=site.target().model_copy(update={"connection": connection}))

    assert judged(results) == {"ready.slot-taken": "could-not-run"}
    assert results.verdict is Verdict.INCOMPLETE


@pytest.mark.parametrize("after", range(5))
async def test_a_run_that_is_interrupted_cleans_up(site: Any, after: int) -> None:
    seen = asyncio.Event()

    class Slow(SandboxAdapter):
        commits = 0

        async def commit(self, authorized: Any, write: Any) -> Any:
            receipt = await super().commit(authorized, write)
            Slow.commits += 1
            if Slow.commits > after * 7:
                seen.set()
                await asyncio.sleep(10)
            return receipt

    task = asyncio.create_task(site.run(adapter=Slow()))
    await seen.wait()
    assert site.received() > after * 6  # some commits are answered by the proxy itself
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert site.standing() == 0


async def test_an_adapter_that_does_not_describe_itself_is_refused(site: Any) -> None:
    class Mute(SandboxAdapter):
        def describe(self, connection: Connection) -> Descriptor:
            raise ValueError("patient-1")

    with pytest.raises(TargetError, match="does not describe itself"):
        await site.run(adapter=Mute())


async def test_a_run_that_continues_keeps_what_was_found(site: Any, judged: Judged) -> None:
    first = await site.run("ready.proven")
    both = await site.run("book.applied", options=Options(earlier=first.results, parts=2))

    assert judged(both) == {"ready.proven": "passed", "book.applied": "passed"}
    assert both.parts == 2
