"""What a look is worth: beside later ones, by other settings and other clocks, and once people have spoken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.faults import Action, Fault
from gateway.contracts.adapter import Basis, Descriptor, Observation, Query
from gateway.contracts.connection import Connection, Limits
from gateway.contracts.failures import Code
from gateway.contracts.outcome import Outcome
from gateway.contracts.proposal import Proposal
from gateway.contracts.statements import Finding
from gateway.contracts.words import Effect, ObservationFinding, Standing
from gateway.errors import Conflict, JournalUnavailable, NotFound
from gateway.gateway import Gateway

ABSENT, PRESENT = ObservationFinding.ABSENT, ObservationFinding.PRESENT
DIFFERENT, INDETERMINATE = ObservationFinding.DIFFERENT, ObservationFinding.INDETERMINATE
LATER = timedelta(hours=2)


class Oracle(SandboxAdapter):
    """Finds whatever it is told to. `details` fill the descriptor."""

    def __init__(self, finding: ObservationFinding = ABSENT, **details: Any) -> None:
        self.finding = finding
        self.as_of: Callable[[], datetime] | None = None
        self.details = details

    def describe(self, connection: Connection) -> Descriptor:
        return super().describe(connection).model_copy(update=self.details)

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        await read.get("/health")
        as_of = self.as_of and self.as_of()
        return Observation(finding=self.finding, basis=Basis.BY_KEY, version="1", as_of=as_of)


async def lost(world: Any, gateway: Gateway, oracle: Oracle) -> tuple[Proposal, Outcome]:
    """A booking whose reply was lost before it was made; time then goes on."""
    world.adopt(gateway, oracle)
    world.arm(Fault.DROP_BEFORE, Action.BOOK)
    proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
    outcome = await world.rehearsal.commit(gateway, proposal)
    assert outcome.effect is Effect.UNKNOWN
    world.clock.wall += LATER
    return proposal, outcome


async def frozen(world: Any, gateway: Gateway, proposal: Proposal) -> bool:
    """Whether nothing more was sent for the proposal, and nothing can be."""
    again = await world.rehearsal.commit(gateway, proposal)
    return again.code is Code.PROPOSAL_FROZEN and await world.sent() == 1


@pytest.mark.requirement("CARD-13")
@pytest.mark.parametrize("finding", [PRESENT, DIFFERENT])
async def test_a_later_look_that_found_it_speaks_against_an_earlier_absence(
    world: Any, finding: ObservationFinding
) -> None:
    """The relay delivered after all, and the word that it had not was signed before."""
    async with world.gateway() as gateway:
        proposal, outcome = await lost(world, gateway, oracle := Oracle())
        early = await world.rehearsal.observe(gateway, proposal, outcome)
        assert early.observation.finding is ABSENT
        oracle.finding = finding
        await world.rehearsal.observe(gateway, proposal, outcome)
        with pytest.raises(Conflict, match="a later look found it there"):
            await world.rehearsal.resolve(gateway, early, Finding.ABSENT)
        assert await frozen(world, gateway, proposal)


async def test_a_later_look_that_could_tell_nothing_leaves_an_earlier_absence_standing(world: Any) -> None:
    async with world.gateway() as gateway:
        proposal, outcome = await lost(world, gateway, oracle := Oracle())
        seen = await world.rehearsal.observe(gateway, proposal, outcome)
        oracle.finding = INDETERMINATE
        await world.rehearsal.observe(gateway, proposal, outcome)
        resolved = await world.rehearsal.resolve(gateway, seen, Finding.ABSENT)
    assert resolved.standing is Standing.NOT_MADE


@pytest.mark.requirement("CARD-13")
async def test_a_look_recorded_while_absence_is_judged_is_heard(world: Any) -> None:
    async with world.gateway() as gateway:
        proposal, outcome = await lost(world, gateway, oracle := Oracle())
        early = await world.rehearsal.observe(gateway, proposal, outcome)
        journal = gateway.ports.journal
        resolve = journal.resolve

        async def late(*words: Any, **more: Any) -> Any:
            oracle.finding = PRESENT
            await world.rehearsal.observe(gateway, proposal, outcome)
            return await resolve(*words, **more)

        journal.resolve = late  # type: ignore[method-assign]  # somebody else looks in between
        with pytest.raises(Conflict, match="looked at since"):
            await world.rehearsal.resolve(gateway, early, Finding.ABSENT)
        assert await frozen(world, gateway, proposal)


@pytest.mark.requirement("CARD-11")
async def test_a_resolution_told_again_is_answered_again_whatever_was_seen_since(world: Any) -> None:
    async with world.gateway() as gateway:
        proposal, outcome = await lost(world, gateway, oracle := Oracle())
        seen = await world.rehearsal.observe(gateway, proposal, outcome)
        surface, desk = world.local.surface("operator"), world.local.desk
        token = surface.resolve(
            desk.practice,
            outcome.attempt,
            closing_hash=outcome.closing_hash,
            finding=Finding.ABSENT,
            resolver=desk.operator,
            observation=seen.observation.observation_id,
        ).token
        first = await gateway.resolve(token)
        oracle.finding = PRESENT
        await world.rehearsal.observe(gateway, proposal, outcome)
        again = await gateway.resolve(token)
    assert (first.resolution, again.resolution) == (Finding.ABSENT, Finding.ABSENT)


def reseal(gateway: Gateway, **changes: Any) -> None:
    """The practice's one connection, as if it had been sealed otherwise since."""
    configuration = gateway.ports.configuration
    connections = {name: each.model_copy(update=changes) for name, each in configuration.connections.items()}
    gateway.ports.configuration = replace(configuration, connections=connections)
    gateway.ports.boundary._connections = connections


@pytest.mark.requirement("CARD-13")
@pytest.mark.parametrize("changes", [{"dialect": "other"}, {"settings": {"calendar": "another"}}], ids=str)
@pytest.mark.parametrize("seen", [ABSENT, PRESENT])
async def test_absence_in_another_system_than_the_one_written_to_proves_nothing(
    world: Any, changes: dict[str, Any], seen: ObservationFinding
) -> None:
    """Presence does: what has the attempt's key there, was made with it."""
    async with world.gateway() as gateway:
        proposal, outcome = await lost(world, gateway, Oracle(seen))
        reseal(gateway, **changes)
        elsewhere = await world.rehearsal.observe(gateway, proposal, outcome)
        assert elsewhere.observation.finding is (PRESENT if seen is PRESENT else INDETERMINATE)
        with pytest.raises(Conflict, match="observation"):
            await world.rehearsal.resolve(gateway, elsewhere, Finding.ABSENT)


@pytest.mark.requirement("CARD-13")
@pytest.mark.parametrize(
    "changes", [{"limits": Limits(commit_seconds=7)}, {"settings": {"relay-seconds": 9}}], ids=["limits", "a time"]
)
async def test_what_does_not_say_which_system_it_is_may_change(world: Any, changes: dict[str, Any]) -> None:
    async with world.gateway() as gateway:
        proposal, outcome = await lost(world, gateway, Oracle())
        reseal(gateway, **changes)
        seen = await world.rehearsal.observe(gateway, proposal, outcome)
    assert seen.observation.finding is ABSENT


@pytest.mark.requirement("CARD-13")
async def test_a_settling_time_that_was_shortened_since_still_holds(world: Any) -> None:
    async with world.gateway() as gateway:
        proposal, outcome = await lost(world, gateway, oracle := Oracle(settling_seconds=3 * 3600))
        oracle.details = {"settling_seconds": 0}
        world.adopt(gateway, oracle)
        early = await world.rehearsal.observe(gateway, proposal, outcome)
        world.clock.wall += LATER
        late = await world.rehearsal.observe(gateway, proposal, outcome)
    assert (early.observation.finding, late.observation.finding) == (INDETERMINATE, ABSENT)


@pytest.mark.requirement("CARD-13")
async def test_a_settling_time_that_was_lengthened_since_holds_too(world: Any) -> None:
    async with world.gateway() as gateway:
        proposal, outcome = await lost(world, gateway, oracle := Oracle())
        oracle.details = {"settling_seconds": 3 * 3600}
        world.adopt(gateway, oracle)
        early = await world.rehearsal.observe(gateway, proposal, outcome)
    assert early.observation.finding is INDETERMINATE


@pytest.mark.requirement("CARD-13")
async def test_where_nothing_can_be_observed_absence_waits_for_the_settling_time(world: Any) -> None:
    async with world.gateway() as gateway:
        proposal, outcome = await lost(world, gateway, Oracle(observation=Basis.NONE, settling_seconds=3 * 3600))
        unseen = outcome.model_copy(update={"observation": None})
        with pytest.raises(Conflict, match="too early"):
            await world.rehearsal.resolve(gateway, unseen, Finding.ABSENT)
        assert await frozen(world, gateway, proposal)
        world.clock.wall += LATER
        resolved = await world.rehearsal.resolve(gateway, unseen, Finding.ABSENT)
    assert resolved.standing is Standing.NOT_MADE


async def test_where_nothing_can_be_observed_any_more_what_was_seen_before_counts(world: Any) -> None:
    async with world.gateway() as gateway:
        proposal, outcome = await lost(world, gateway, oracle := Oracle(PRESENT))
        await world.rehearsal.observe(gateway, proposal, outcome)
        oracle.details = {"observation": Basis.NONE}
        world.adopt(gateway, oracle)
        unseen = outcome.model_copy(update={"observation": None})
        with pytest.raises(Conflict, match="a later look found it there"):
            await world.rehearsal.resolve(gateway, unseen, Finding.ABSENT)


async def test_where_another_system_cannot_be_observed_absence_is_nobodys_to_say(world: Any) -> None:
    async with world.gateway() as gateway:
        _, outcome = await lost(world, gateway, Oracle(observation=Basis.NONE))
        reseal(gateway, dialect="other")
        unseen = outcome.model_copy(update={"observation": None})
        with pytest.raises(Conflict, match="sealed for another system"):
            await world.rehearsal.resolve(gateway, unseen, Finding.ABSENT)


@pytest.mark.requirement("CARD-13")
@pytest.mark.parametrize(
    ("dated", "finding"),
    [("just settled", INDETERMINATE), ("ahead", INDETERMINATE), ("a little ahead", ABSENT), ("now", ABSENT)],
)
async def test_a_copy_dated_by_a_clock_that_is_off_proves_no_absence(
    world: Any, dated: str, finding: ObservationFinding
) -> None:
    """The copy's date is the system's word by the system's clock; ours and it may differ by the practice's skew."""
    async with world.gateway() as gateway:
        proposal, outcome = await lost(world, gateway, oracle := Oracle())
        skew = gateway.ports.skew
        subject = await gateway.attempt(outcome.attempt)
        settled = max(subject.deadline, subject.ended_by)
        dates: dict[str, Callable[[], datetime]] = {
            "just settled": lambda: settled + skew / 2,
            "ahead": lambda: world.clock.now() + 2 * skew,
            "a little ahead": lambda: world.clock.now() + skew / 2,
            "now": world.clock.now,
        }
        oracle.as_of = dates[dated]
        seen = await world.rehearsal.observe(gateway, proposal, outcome)
    assert seen.observation.finding is finding


@pytest.mark.requirement("FAIL-22")
@pytest.mark.parametrize(
    ("resolution", "seen", "contradicts"),
    [
        (Finding.ABSENT, PRESENT, True),
        (Finding.APPLIED, ABSENT, True),
        (Finding.APPLIED, PRESENT, False),
        (Finding.HANDLED_BY_HAND, PRESENT, False),
    ],
)
async def test_a_look_that_contradicts_what_a_human_found_is_a_discrepancy(
    world: Any, resolution: Finding, seen: ObservationFinding, contradicts: bool
) -> None:
    async with world.gateway() as gateway:
        proposal, outcome = await lost(world, gateway, oracle := Oracle())
        absent = await world.rehearsal.observe(gateway, proposal, outcome)
        await world.rehearsal.resolve(gateway, absent, resolution)
        oracle.finding = seen
        await world.rehearsal.observe(gateway, proposal, outcome)
        file = await gateway.proposal(proposal.proposal_id)
    assert ('"discrepancy":true' in file.records[-1].body) is contradicts


@pytest.mark.requirement("FAIL-22")
async def test_what_another_attempt_of_the_proposal_made_contradicts_nobody(world: Any) -> None:
    """Both have the same native key: what is there is the second's."""
    async with world.gateway() as gateway:
        proposal, outcome = await lost(world, gateway, oracle := Oracle())
        absent = await world.rehearsal.observe(gateway, proposal, outcome)
        await world.rehearsal.resolve(gateway, absent, Finding.ABSENT)
        world.clock.wall = timedelta(0)
        assert (await world.rehearsal.commit(gateway, proposal)).effect is Effect.APPLIED
        world.clock.wall = LATER
        oracle.finding = PRESENT
        await world.rehearsal.observe(gateway, proposal, outcome)
        file = await gateway.proposal(proposal.proposal_id)
    assert '"finding":"PRESENT"' in file.records[-1].body
    assert '"discrepancy":true' not in file.records[-1].body


@pytest.mark.requirement("IDEM-02")
async def test_the_same_look_asked_for_again_answers_what_it_looked_at(world: Any) -> None:
    async with world.gateway() as gateway:
        proposal, outcome = await lost(world, gateway, Oracle(PRESENT))
        surface, desk = world.local.surface("operator"), world.local.desk
        token = surface.observe(proposal, operator=desk.operator, attempt=outcome.attempt).token
        first, again = await gateway.observe(token), await gateway.observe(token)
    assert again == first.model_copy(update={"replayed": True})
    assert (again.attempt, again.effect, again.standing) == (outcome.attempt, Effect.UNKNOWN, Standing.UNRESOLVED)
    assert again.observation is not None and again.observation.finding is PRESENT


async def test_a_look_that_could_not_be_recorded_is_told_of_nowhere(world: Any) -> None:
    async with world.gateway() as gateway:
        proposal, outcome = await lost(world, gateway, Oracle(PRESENT))
        journal = world.watch(gateway)
        journal.record_error = JournalUnavailable()
        answered = await world.rehearsal.observe(gateway, proposal, outcome)
        assert (answered.attempt, answered.recorded, answered.code) == (None, False, Code.AUDIT_UNAVAILABLE)
        journal.record_error = None
        attempts = await journal.attempts(proposal=proposal.proposal_id)
        file = await gateway.proposal(proposal.proposal_id)
    assert [each.attempt for each in attempts] == [outcome.attempt]
    assert [record.kind for record in file.records].count("observation") == 1  # the look of the attempt itself


@pytest.mark.requirement("CARD-11")
async def test_another_practices_attempt_is_not_resolved_here(world: Any) -> None:
    """Two homes on one journal by mistake: neither frees what the other holds."""
    async with world.gateway() as gateway:
        _, outcome = await lost(world, gateway, Oracle())
        journal = gateway.ports.journal
        read = journal.attempt

        async def others(attempt: Any) -> Any:
            file = await read(attempt)
            return replace(file, header=replace(file.header, practice="prc_" + "0" * 32))

        journal.attempt = others  # type: ignore[method-assign]  # as if the other home had written it
        with pytest.raises(NotFound):
            await world.rehearsal.resolve(gateway, outcome, Finding.HANDLED_BY_HAND)
