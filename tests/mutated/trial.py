"""One trial: one attempt of an adapter through the real boundary, at a peer of which one reply, or every one, is not
what it was. What may be said of it is checked against what the peer saw and sent.

Owns: the peer that answers from a recording, the choice of what is changed (by a seed), and the complaints.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random

from gateway.boundary import CommitResult, Look
from gateway.contracts.adapter import Request
from gateway.contracts.failures import FAILURES, Code
from gateway.contracts.proposal import Proposal
from gateway.contracts.words import Effect, End, ObservationFinding
from gateway.kit.replies import ANY, Table
from gateway.testing import AdapterHarness
from tests.mutated.cases import Case
from tests.mutated.mutations import meant, mutated
from tests.mutated.recording import METHODS, Phase, Recording, Said, Step, adapter, approved, read
from tests.peers.peer import Call, Peer

MEANING = "meaning"
NOTHING = Said(404, (("content-type", "text/plain"),), b"nothing here")


@dataclass(frozen=True)
class Plan:
    """What one seed changes: `changed` maps recorded replies, by their place in the step, to what is said instead."""

    seed: int
    step: Step
    kind: str
    changed: Mapping[int, Said]
    meant: int | None = None
    """The place of the reply that now says something else than what was approved."""


@dataclass
class Ended:
    """What was said, and what the peer saw. `served` are the recorded replies that it gave, by phase and place;
    `improvised` are phases in which something was asked that never was; `statuses` are those with which it answered
    mutating requests."""

    ready: Code | None = None
    result: CommitResult | None = None
    look: Look | None = None
    mutations: int = 0
    served: set[tuple[Phase, int]] = field(default_factory=set)
    improvised: set[Phase] = field(default_factory=set)
    statuses: list[int] = field(default_factory=list)


@cache
def tables(name: str) -> dict[str, Table]:
    """Of an adapter that shows them."""
    return dict(getattr(importlib.import_module(f"adapters.{name}.replies"), "TABLES", {}))


@cache
def refusals(case: Case) -> tuple[Said, ...]:
    """A reply for every row of the adapter's tables."""
    rows = {key for table in tables(case.name).values() for key in table}
    spell = case.refusal
    return (
        ()
        if spell is None
        else tuple(spell(status, "" if word is ANY else word) for status, word in sorted(rows, key=str))
    )


def plan(case: Case, recording: Recording, seed: int) -> Plan:
    """What this seed does: most often it changes one reply of one phase; sometimes what a reply means, or all of a
    phase; sometimes a reply is another one altogether."""
    random = Random(f"{case.name} {seed}")
    step = random.choice(recording.steps)
    chance = random.random()
    if chance < 0.15 and (found := _meaning_changed(random, case, seed, step)):
        return found
    phase = random.choice((Phase.READINESS, Phase.COMMIT, Phase.COMMIT, Phase.OBSERVE))
    places = [place for place, each in enumerate(step.exchanges) if each.phase is phase]
    if not places:
        return Plan(seed, step, "nothing", {})
    if chance < 0.2:
        return Plan(seed, step, "all", {each: mutated(random, step.exchanges[each].said)[1] for each in places})
    place = random.choice(places)
    if chance < 0.35:
        base = random.choice(refusals(case) or (NOTHING,))
        base = base if random.random() < 0.7 else random.choice(step.exchanges).said
        return Plan(seed, step, "another", {place: base if random.random() < 0.3 else mutated(random, base)[1]})
    kind, changed = mutated(random, step.exchanges[place].said)
    return Plan(seed, step, kind, {place: changed})


def _meaning_changed(random: Random, case: Case, seed: int, step: Step) -> Plan | None:
    """Another meaning in a reply to the commit or to a look; half the time the write names no version, so that an
    adapter that reads back must do so."""
    said = {place: each.said for place, each in enumerate(step.exchanges) if each.phase is not Phase.READINESS}
    others = {place: meant(random, each, case.meaning) for place, each in said.items()}
    places = [place for place, other in others.items() if other is not None]
    if not places:
        return None
    place = random.choice(places)
    silent = random.random() < 0.5
    changed = {
        each: _without_version(said[each]) for each in said if silent and step.exchanges[each].phase is Phase.COMMIT
    }
    told = others[place]
    assert told is not None
    return Plan(seed, step, MEANING, {**changed, place: told}, place)


def _without_version(said: Said) -> Said:
    return replace(said, headers=tuple(each for each in said.headers if each[0].lower() != "etag"))


class Stage:
    """The peer of one adapter's trials. It listens once, for all of them."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.recording = read(case.name)
        self.adapter = adapter(case.name)
        self.peer = Peer(
            on=dict.fromkeys(METHODS, self._answer),
            safe_posts=case.safe_posts,
            safe_calls=case.safe_calls,
            mllp=self.recording.scheme == "mllp",
        )
        self._asked: dict[int, tuple[Request, Proposal]] = {}
        self._plan = Plan(0, self.recording.steps[0], "nothing", {})
        self._phase = Phase.READINESS
        self._ended = Ended()
        self._given: Counter[tuple[Phase, str, str]] = Counter()

    async def tried(self, plan: Plan) -> Ended:
        """Readiness; a commit, if it is proven; a look, whatever became of that."""
        self._plan, self._ended = plan, (ended := Ended())
        self._given.clear()
        self.peer.calls.clear()
        number = self.recording.steps.index(plan.step)
        if number not in self._asked:
            self._asked[number] = approved(self.recording, plan.step, f"127.0.0.1:{self.peer.port}")
        request, proposal = self._asked[number]
        async with AdapterHarness(self.adapter, request, secret=self.case.secret, proposal=proposal) as harness:
            self._phase = Phase.READINESS
            ended.ready = await harness.readiness()
            if ended.ready is None:
                self._phase = Phase.COMMIT
                ended.result = await harness.commit()
            self._phase = Phase.OBSERVE
            ended.look = await harness.observe()
        await self.peer.settled()
        ended.mutations = self.peer.mutations
        return ended

    async def _answer(self, call: Call) -> None:
        place = self._place(call)
        said = NOTHING
        if place is None:
            self._ended.improvised.add(self._phase)
        else:
            self._ended.served.add((self._phase, place))
            said = self._plan.changed.get(place, self._plan.step.exchanges[place].said)
        if call in self.peer.mutating:
            self._ended.statuses.append(200 if self.peer.mllp else said.status)
        await call.answer(said.answering(call))
        if said.closes:
            call.close()

    def _place(self, call: Call) -> int | None:
        """The recorded reply for this request: the next of its phase, else the last of it, else another phase's."""
        asked = (call.method, call.target)
        exchanges = self._plan.step.exchanges
        same = [place for place, each in enumerate(exchanges) if (each.method, each.target) == asked]
        here = [place for place in same if exchanges[place].phase is self._phase]
        given = self._given[self._phase, *asked]
        self._given[self._phase, *asked] += 1
        if here:
            return here[min(given, len(here) - 1)]
        return same[-1] if same else None


@asynccontextmanager
async def staged(case: Case) -> AsyncIterator[Stage]:
    stage = Stage(case)
    async with stage.peer.listening():
        yield stage


def complaints(case: Case, plan: Plan, ended: Ended) -> Iterator[str]:
    """Everything that must hold, whatever the reply was."""
    result, look = ended.result, ended.look
    if ended.ready is not None and End.BLOCKED not in FAILURES[ended.ready].ends:
        yield f"readiness ended {ended.ready}, which blocks nothing"
    if ended.mutations > (0 if result is None else 1):
        yield f"{ended.mutations} mutating requests"
    if look is None or look.finding not in ObservationFinding:
        yield "a look without a finding"
    if result is not None:
        yield from _of_the_commit(case, plan, ended, result)
    if ended.ready is Code.ADAPTER_FAULT or (result is not None and result.code is Code.ADAPTER_FAULT):
        yield "the adapter broke at what a peer said"
    if look is not None and look.finding is ObservationFinding.PRESENT and _told(plan, ended, Phase.OBSERVE):
        yield "PRESENT, though something else is there"
    if look is not None and look.finding is ObservationFinding.ABSENT and not _changed(plan, ended, Phase.OBSERVE):
        yield "ABSENT, though the peer showed it"


def _of_the_commit(case: Case, plan: Plan, ended: Ended, result: CommitResult) -> Iterator[str]:
    if End[result.effect.name] not in FAILURES[result.code].ends:
        yield f"{result.effect} with {result.code} is no row of the taxonomy"
    if ended.mutations > result.mutating_requests:
        yield f"the peer saw {ended.mutations} mutating requests, the boundary counted {result.mutating_requests}"
    if result.effect is Effect.NOT_SENT and ended.mutations:
        yield "NOT_SENT, and the peer saw it"
    statuses = [status for status in ended.statuses if 200 <= status < 300]
    if result.effect is Effect.APPLIED and not (ended.mutations == 1 and statuses):
        yield f"APPLIED on {ended.statuses}"
    if result.effect is Effect.REFUSED and not all(_can_refuse(case, status) for status in ended.statuses):
        yield f"REFUSED on {ended.statuses}"
    if result.effect is Effect.REFUSED and not _changed(plan, ended, Phase.COMMIT):
        yield "REFUSED, though the peer said that it was done"
    if result.effect is Effect.APPLIED and _told(plan, ended, Phase.COMMIT):
        yield "APPLIED, though the reply says something else than what was approved"


def _can_refuse(case: Case, status: int) -> bool:
    return (case.within and 200 <= status < 300) or (400 <= status < 500 and status != 408)


def _changed(plan: Plan, ended: Ended, phase: Phase) -> bool:
    """Whether anything that was said in this phase is not as it was recorded, or was never recorded."""
    return phase in ended.improvised or any((phase, place) in ended.served for place in plan.changed)


def _told(plan: Plan, ended: Ended, phase: Phase) -> bool:
    return plan.meant is not None and (phase, plan.meant) in ended.served
