"""What is said about a proposal: chained once, in order, readable in one look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.contracts.adapter import Basis
from gateway.contracts.chain import GENESIS, Record, RecordKind
from gateway.contracts.outcome import ObservationRecord
from gateway.contracts.references import ConnectionId, DecisionId, ObservationId, StatementId
from gateway.contracts.statements import Finding
from gateway.contracts.words import End, ObservationFinding
from gateway.errors import Conflict, InvariantViolation, NotFound
from gateway.journal import Journal


async def test_records_chain_and_read_back_in_order(journal: Journal, tell: Any) -> None:
    case = await tell.case().recorded(journal)
    await case.say(journal, RecordKind.DECISION)
    await case.recorded(journal, revision=2)
    await case.say(journal, RecordKind.WITHDRAWAL)
    file = await journal.proposal(case.practice, case.proposal_id)
    assert file is not None
    assert file.proposal == case.proposal(2)
    assert (file.stopped, file.withdrawn, file.held_by, file.hold_effect) == (False, True, None, None)
    assert file.revisions == (case.proposal(1).proposal_digest, case.proposal(2).proposal_digest)
    previous = GENESIS
    for number, record in enumerate(file.records, start=1):
        assert record == Record.after(previous, number, record.kind, record.reference, record.body)
        previous = record.hash
    assert await journal.proposals() == [file]
    assert await journal.proposal(case.practice, type(case.proposal_id).random()) is None


async def test_the_same_statement_again_is_the_same_record_and_another_under_its_name_a_conflict(
    journal: Journal, tell: Any
) -> None:
    case = await tell.case().recorded(journal)
    reference = DecisionId.random()
    names = (case.practice, case.proposal_id, RecordKind.DECISION, reference)
    first = await journal.record(*names, "signed")
    await case.say(journal, RecordKind.STOP)
    assert await journal.record(*names, "signed") == first
    assert await journal.record(*names, "signed", expected_head=GENESIS) == first
    with pytest.raises(Conflict):
        await journal.record(*names, "signed otherwise")
    other = await tell.case().recorded(journal)
    with pytest.raises(Conflict):
        await journal.record(case.practice, other.proposal_id, RecordKind.DECISION, reference, "signed")


async def test_a_revision_is_recorded_once_and_never_behind_a_later_one(journal: Journal, tell: Any) -> None:
    case = await tell.case().recorded(journal)
    await case.recorded(journal)
    await case.recorded(journal, revision=3)
    with pytest.raises(Conflict):
        await case.recorded(journal, revision=2)
    other = case.proposal(3).model_copy(update={"commitment": tell.sha("other particulars")})
    with pytest.raises(Conflict, match="number it anew"):
        await journal.record(
            case.practice, case.proposal_id, RecordKind.PROPOSAL, other.proposal_digest, other.canonical().decode()
        )
    body = tell.case().proposal().canonical().decode()
    with pytest.raises(Conflict):
        await journal.record(case.practice, case.proposal_id, RecordKind.PROPOSAL, "other", body)
    file = await journal.proposal(case.practice, case.proposal_id)
    assert file is not None
    assert [record.seq for record in file.records] == [1, 2]


async def test_nothing_is_said_about_an_unknown_proposal_or_behind_anothers_back(journal: Journal, tell: Any) -> None:
    case = tell.case()
    with pytest.raises(NotFound):
        await case.say(journal, RecordKind.STOP)
    await case.recorded(journal)
    names = (case.practice, case.proposal_id, RecordKind.DECISION)
    with pytest.raises(Conflict):
        await journal.record(*names, DecisionId.random(), "signed", expected_head=GENESIS)
    file = await journal.proposal(case.practice, case.proposal_id)
    assert file is not None
    head = file.records[-1].hash
    racing = [journal.record(*names, DecisionId.random(), "signed", expected_head=head) for _ in range(2)]
    answers = await asyncio.gather(*racing, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Record, Conflict]


async def test_only_the_first_resolution_of_an_unknown_counts(journal: Journal, tell: Any) -> None:
    case = await tell.case().recorded(journal)
    attempt, _ = await tell.run(journal, case, End.UNKNOWN)
    first = await journal.resolve(attempt, "stm_one", "signed", Finding.APPLIED)
    assert await journal.resolve(attempt, "stm_one", "signed", Finding.APPLIED) == first
    for reference, body in (("stm_two", "signed"), ("stm_one", "signed otherwise")):
        with pytest.raises(Conflict):
            await journal.resolve(attempt, reference, body, Finding.ABSENT)
    file = await journal.attempt(attempt)
    assert file is not None
    assert file.resolution is Finding.APPLIED


@pytest.mark.requirement("CARD-13")
async def test_a_resolution_judged_by_fewer_looks_than_there_are_is_refused(journal: Journal, tell: Any) -> None:
    case = await tell.case().recorded(journal)
    attempt, _ = await tell.run(journal, case, End.UNKNOWN)
    other, _ = await tell.run(journal, await tell.case().recorded(journal), End.UNKNOWN)
    look = (case.practice, case.proposal_id, RecordKind.OBSERVATION)
    for number in range(2):
        await journal.record(*look, ObservationId.random(), f"look {number}", attempt=attempt)
        for looks in (number, number + 2):
            with pytest.raises(Conflict, match="looked at since"):
                await journal.resolve(attempt, "stm_one", "signed", Finding.ABSENT, looks=looks)
    first = await journal.resolve(attempt, "stm_one", "signed", Finding.ABSENT, looks=2)
    await journal.record(*look, ObservationId.random(), "look 3", attempt=attempt)
    assert await journal.resolve(attempt, "stm_one", "signed", Finding.ABSENT, looks=2) == first
    await journal.resolve(other, "stm_two", "signed", Finding.ABSENT, looks=0)


@pytest.mark.parametrize("end", [End.APPLIED, End.REFUSED, End.NOT_SENT, None])
async def test_what_is_known_or_in_flight_is_not_resolved(journal: Journal, tell: Any, end: End | None) -> None:
    case = await tell.case().recorded(journal)
    entry = tell.intended(case.header(), case=case)
    await journal.append(entry)
    if end is not None:
        await journal.append(tell.ended(entry, end))
    with pytest.raises(Conflict):
        await journal.resolve(entry.attempt.identity.attempt, "stm_one", "signed", Finding.ABSENT)


async def test_an_unaudited_success_may_be_resolved_and_stays_held_whatever_is_said(
    journal: Journal, tell: Any
) -> None:
    case = await tell.case().recorded(journal)
    attempt, _ = await tell.run(journal, case, End.APPLIED_UNAUDITED)
    await journal.resolve(attempt, "stm_one", "signed", Finding.ABSENT)
    file = await journal.proposal(case.practice, case.proposal_id)
    assert file is not None
    assert file.held_by == attempt


@pytest.mark.requirement("FAIL-22")
async def test_the_latest_look_is_part_of_the_outcome_and_of_the_chain(journal: Journal, tell: Any) -> None:
    case = await tell.case().recorded(journal)
    attempt, outcome = await tell.run(journal, case, End.UNKNOWN)
    for number, finding in enumerate((ObservationFinding.INDETERMINATE, ObservationFinding.PRESENT)):
        seen = ObservationRecord(
            observation_id=ObservationId.random(),
            attempt=attempt,
            closing_hash=outcome.closing_hash,
            finding=finding,
            basis=Basis.BY_KEY,
            at=tell.now + timedelta(minutes=number),
        )
        names = (case.practice, case.proposal_id, RecordKind.OBSERVATION, seen.observation_id)
        await journal.record(*names, seen.canonical().decode(), attempt=attempt)
        file = await journal.attempt(attempt)
        assert file is not None
        assert file.outcome is not None
        assert file.outcome.observation == seen.observed
    other = await tell.case().recorded(journal)
    with pytest.raises(NotFound):
        await journal.record(
            other.practice, other.proposal_id, RecordKind.OBSERVATION, ObservationId.random(), "{}", attempt=attempt
        )
    with pytest.raises(InvariantViolation):
        await journal.record(*names[:3], StatementId.random(), "{}")


@pytest.mark.requirement("CARD-14")
class TestBudget:
    LIMIT = 10

    @pytest.fixture
    def minute(self, place: Any) -> Callable[..., None]:
        """Make the minute in which a connection's requests are counted another, by so many."""

        def shift(connection: ConnectionId, minutes: int) -> None:
            change = "UPDATE budgets SET minute = minute + CAST(:minutes AS INTEGER) WHERE connection = :connection"
            place.tamper(change, connection=connection, minutes=str(minutes))

        return shift

    async def test_it_is_one_for_all_processes(self, open_journal: Any, minute: Any) -> None:
        one, two, connection = await open_journal(), await open_journal(), ConnectionId.random()
        now = datetime.now(UTC)
        assert await one.reserve(connection, 6, self.LIMIT, now) is None
        minute(connection, 1)  # no turn of the minute falls between these calls
        not_before = await two.reserve(connection, 5, self.LIMIT, now)
        assert now < not_before <= now + timedelta(minutes=2)
        assert await two.reserve(connection, 4, self.LIMIT, now) is None
        assert await two.reserve(ConnectionId.random(), self.LIMIT, self.LIMIT, now) is None
        minute(connection, -2)
        assert await one.reserve(connection, self.LIMIT, self.LIMIT, now) is None
        await one.aclose()
        await two.aclose()

    async def test_two_clocks_share_it(self, open_journal: Any) -> None:
        """Whichever of two gateways is ahead by some minutes, neither finds a minute unused that the other uses."""
        one, two, connection = await open_journal(), await open_journal(), ConnectionId.random()
        now = datetime.now(UTC)
        granted = 0
        for _ in range(5 * self.LIMIT):
            for journal, clock in ((one, now), (two, now - timedelta(minutes=3))):
                granted += await journal.reserve(connection, 1, self.LIMIT, clock) is None
        assert self.LIMIT <= granted <= 2 * self.LIMIT  # a minute may turn meanwhile
        await one.aclose()
        await two.aclose()

    @pytest.mark.parametrize(("ahead", "counts"), [(1, True), (5, True), (7, False), (1440, False)])
    async def test_a_minute_ahead_counts_while_it_is_near(
        self, journal: Any, minute: Any, ahead: int, counts: bool
    ) -> None:
        """A clock that once ran ahead by a day blocks nobody."""
        connection, now = ConnectionId.random(), datetime.now(UTC)
        assert await journal.reserve(connection, self.LIMIT, self.LIMIT, now) is None
        minute(connection, ahead)
        not_before = await journal.reserve(connection, 1, self.LIMIT, now)
        assert (not_before is not None) is counts
        assert not_before is None or now < not_before <= now + timedelta(minutes=ahead + 1)


async def test_a_connection_stays_suspended_until_it_is_resumed(open_journal: Any) -> None:
    first, connection = await open_journal(), ConnectionId.random()
    await first.suspend(connection, True)
    await first.suspend(connection, True)
    await first.aclose()
    second = await open_journal()
    assert await second.suspended(connection)
    await second.suspend(connection, False)
    assert not await second.suspended(connection)
    await second.aclose()
