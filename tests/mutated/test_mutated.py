"""Mutated replies, some of them (`make mutated` does 10,000 for each adapter): whatever a peer says, what is said of it
is bounded, nothing is sent twice, and no other meaning passes for what was approved. And that these trials can fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import httpx
import pytest

from gateway.boundary import CommitResult, Look
from gateway.contracts.adapter import Authorized, Basis, Observation, Receipt, Request
from gateway.contracts.failures import Code
from gateway.contracts.words import Effect, ObservationFinding
from tests.mutated import mutations
from tests.mutated.campaign import campaign
from tests.mutated.cases import CASES, Case
from tests.mutated.recording import Phase, Said, read
from tests.mutated.trial import MEANING, Ended, Plan, complaints, plan, refusals, staged, tables

TRIALS = 300 // len(CASES)

each_case = pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])


@pytest.mark.requirement("ADAPT-03", "FAIL-18", "FAIL-20")
@each_case
async def test_whatever_a_peer_says_what_is_said_of_it_is_bounded(case: Case) -> None:
    done = await campaign(case, TRIALS, seed=1)
    assert done.wrong == ()
    assert done.resent == 0
    assert done.meant > 0, "no trial changed a meaning that the adapter saw: mend the case's patterns"
    assert {"BLOCKED", "APPLIED", "UNKNOWN"} <= done.ends.keys()


@each_case
async def test_a_recording_unchanged_is_carried_through(case: Case) -> None:
    told = f"the adapter asks for something else than was recorded: run `python -m tests.mutated record {case.name}`"
    async with staged(case) as stage:
        for step in stage.recording.steps:
            ended = await stage.tried(Plan(0, step, "nothing", {}))
            assert ended.ready is None, told
            assert ended.result is not None and ended.look is not None
            assert ended.result.effect is Effect.APPLIED, told
            assert ended.look.finding is step.found, told


@each_case
async def test_each_reply_of_the_adapters_tables_can_be_spelled(case: Case) -> None:
    rows = {key for table in tables(case.name).values() for key in table}
    assert case.refusal is None or len(refusals(case)) == len(rows)


# -- the trials can fail -----------------------------------------------------------------------------------


class Wrapped:
    """An adapter that behaves, but for what a class of this one does otherwise."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class TakesAllForSuccess(Wrapped):
    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await self._real.commit(authorized, write)
        return Receipt.applied()


class TakesAllForRefusal(Wrapped):
    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await self._real.commit(authorized, write)
        return Receipt.refused(Code.SLOT_TAKEN)


class SeesNothing(Wrapped):
    async def observe(self, request: Request, read: httpx.AsyncClient) -> Observation:
        await self._real.observe(request, read)
        return Observation(finding=ObservationFinding.ABSENT, basis=Basis.BY_KEY)


class Breaks(Wrapped):
    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        receipt: Receipt = await self._real.commit(authorized, write)
        return {Code.COMMITTED: receipt}[receipt.code]


@pytest.mark.parametrize(
    ("broken", "noticed"),
    [
        (TakesAllForSuccess, "APPLIED, though the reply says something else than what was approved"),
        (TakesAllForRefusal, "REFUSED on [201]"),
        (TakesAllForRefusal, "REFUSED, though the peer said that it was done"),
        (SeesNothing, "ABSENT, though the peer showed it"),
        (Breaks, "the adapter broke at what a peer said"),
    ],
)
async def test_a_broken_adapter_is_noticed(broken: type[Wrapped], noticed: str) -> None:
    case = next(case for case in CASES if case.name == "sandbox")
    async with staged(case) as stage:
        stage.adapter = broken(stage.adapter)
        told: set[str] = set()
        for seed in range(60):
            chosen = plan(case, stage.recording, seed)
            told |= set(complaints(case, chosen, await stage.tried(chosen)))
    assert noticed in told


def judged(**said: Any) -> Iterator[str]:
    """Complaints about what was said of a booking that the peer saw once and answered with success."""
    result = CommitResult(effect=Effect.APPLIED, code=Code.COMMITTED, mutating_requests=1)
    look = Look(finding=ObservationFinding.PRESENT, basis=Basis.BY_KEY)
    ended = Ended(result=result, look=look, mutations=1, statuses=[201], served={(Phase.COMMIT, 1), (Phase.OBSERVE, 2)})
    step: Any = None
    return complaints(CASES[1], Plan(1, step, MEANING, {}, said.pop("meant", None)), replace(ended, **said))


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"mutations": 2}, "2 mutating requests"),
        ({"result": None, "ready": Code.READINESS_UNVERIFIABLE}, "1 mutating requests"),
        ({"ready": Code.COMMITTED}, "readiness ended COMMITTED, which blocks nothing"),
        ({"statuses": [503]}, "APPLIED on [503]"),
        ({"meant": 1}, "APPLIED, though the reply says something else than what was approved"),
        ({"meant": 2}, "PRESENT, though something else is there"),
        ({"look": None}, "a look without a finding"),
        (
            {"result": CommitResult(effect=Effect.NOT_SENT, code=Code.EXTERNAL_UNAVAILABLE, mutating_requests=1)},
            "NOT_SENT, and the peer saw it",
        ),
        (
            {
                "result": CommitResult(effect=Effect.REFUSED, code=Code.SLOT_TAKEN, mutating_requests=1),
                "statuses": [500],
            },
            "REFUSED on [500]",
        ),
        (
            {"result": CommitResult(effect=Effect.UNKNOWN, code=Code.COMMITTED, mutating_requests=1)},
            "UNKNOWN with COMMITTED is no row of the taxonomy",
        ),
        (
            {"result": CommitResult(effect=Effect.APPLIED, code=Code.COMMITTED)},
            "the peer saw 1 mutating requests, the boundary counted 0",
        ),
    ],
)
def test_a_false_answer_would_be_noticed(said: dict[str, Any], complaint: str) -> None:
    assert list(judged()) == []
    assert complaint in list(judged(**said))


# -- the mutations -----------------------------------------------------------------------------------------

JSON = Said(200, (("etag", '"1"'),), b'{"a": {"b": [1, "two"]}, "c": null}')
HL7 = Said(200, (), b"MSH|^~\\&|A|B|C|D|20310303||SRR^S01|1|T|2.5.1\rMSA|AA|1\rSCH|1^A|2^B\r")
XML = Said(207, (), b'<?xml version="1.0"?>\n<a xmlns="DAV:"><b>text</b></a>\r\n\r\n')


@pytest.mark.parametrize("kind", sorted(mutations.KINDS))
@pytest.mark.parametrize("said", [JSON, XML, HL7, Said(204, (), b"")], ids=["json", "xml", "hl7", "empty"])
def test_a_mutation_is_repeatable_and_changes_something(kind: str, said: Said) -> None:
    if kind not in mutations.kinds(said):
        return
    first, second = (
        [change(Random(seed), said) for change in mutations.KINDS[kind] for seed in range(100)] for _ in range(2)
    )
    assert first == second
    assert sum(each != said for each in first) > len(first) // 3


def test_a_reply_is_never_left_as_it_was() -> None:
    assert all(mutations.mutated(Random(seed), XML)[1] != XML for seed in range(500))


def test_a_plan_is_repeatable() -> None:
    first, second = ([plan(CASES[0], read(CASES[0].name), seed) for seed in range(50)] for _ in range(2))
    assert first == second
