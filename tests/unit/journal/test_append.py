"""The contract of `append`, on every database: who is admitted, who is told what, what is held after."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.contracts.adapter import Basis
from gateway.contracts.chain import Link, RecordKind
from gateway.contracts.outcome import ObservationRecord
from gateway.contracts.references import ObservationId, TriggerId
from gateway.contracts.statements import Finding
from gateway.contracts.words import Actor, Effect, End, Hold, Next, ObservationFinding, State, Unfinished
from gateway.errors import InvariantViolation, JournalUnavailable
from gateway.journal import Admission, Appended, Journal


async def attempt_again(journal: Journal, tell: Any, case: Any) -> Admission:
    """Another trigger and another approval for the same proposal."""
    other = replace(case, approval=type(case.approval).random(), siblings=())
    answer: Appended = await journal.append(tell.intended(other.header(), case=other))
    return answer.admission


@pytest.mark.requirement("IDEM-02")
async def test_a_trigger_used_again_with_the_same_bytes_finds_its_attempt(journal: Journal, tell: Any) -> None:
    case = await tell.case().recorded(journal)
    header = case.header()
    attempt, outcome = await tell.run(journal, case, End.APPLIED, header)
    assert await journal.append(tell.intended(header, case=case)) == Appended(Admission.KEY_TAKEN, attempt)
    assert await journal.trigger(header.trigger) == (header.trigger_digest, attempt)
    file = await journal.attempt(attempt)
    assert file is not None
    assert file.outcome == outcome
    assert len(await journal.attempts()) == 1


@pytest.mark.requirement("IDEM-03")
async def test_a_trigger_used_for_something_else_is_a_collision(journal: Journal, tell: Any) -> None:
    case = await tell.case().recorded(journal)
    trigger = TriggerId.random()
    await tell.run(journal, case, End.REFUSED, case.header(trigger, "one text"))
    answer = await journal.append(tell.intended(case.header(trigger, "another text"), case=case))
    assert answer.admission is Admission.KEY_COLLISION


async def test_a_trigger_without_a_digest_reserves_nothing(journal: Journal, tell: Any) -> None:
    header = replace(tell.case().header(), trigger_digest=None)
    first = tell.concluded(tell.gated(header), header, End.BLOCKED)
    assert (await journal.append(first)).admission is Admission.ADMITTED
    second = tell.concluded(tell.gated(header), header, End.BLOCKED)
    assert (await journal.append(second)).admission is Admission.ADMITTED
    assert await journal.trigger(header.trigger) is None


@pytest.mark.requirement("IDEM-01", "IDEM-04")
@pytest.mark.parametrize(
    ("end", "again"),
    [
        (End.APPLIED, Admission.EXECUTED),
        (End.APPLIED_UNAUDITED, Admission.EXECUTED),
        (End.UNKNOWN, Admission.FROZEN),
        (End.NOT_SENT, Admission.ADMITTED),
        (End.REFUSED, Admission.ADMITTED),
        (End.NOT_DISPATCHED, Admission.ADMITTED),
        (End.STOPPED, Admission.ADMITTED),
    ],
)
async def test_what_an_end_leaves_held(journal: Journal, tell: Any, end: End, again: Admission) -> None:
    case = await replace(tell.case(), siblings=(tell.sha("slot"),)).recorded(journal)
    attempt, outcome = await tell.run(journal, case, end)
    # The same approval: spent once the commit was called, usable where it never was.
    same = await journal.append(tell.intended(case.header(), case=replace(case, siblings=())))
    usable = end in (End.NOT_DISPATCHED, End.STOPPED)
    assert same.admission is (Admission.ADMITTED if usable else Admission.KEY_TAKEN)
    if not usable:
        assert (
            same.holder
            == attempt
            == await journal.intent(
                tell.sha(f"{case.header().proposal_digest}{case.approval}{case.header().operation}")
            )
        )
        assert await attempt_again(journal, tell, case) is again
    sibling = await replace(tell.case(), siblings=case.siblings).recorded(journal)
    related = (await journal.append(tell.intended(sibling.header(), case=sibling))).admission
    assert related is (Admission.RELATED if end is End.UNKNOWN else Admission.ADMITTED)
    assert outcome.effect is not None


@pytest.mark.requirement("CARD-05")
@pytest.mark.parametrize(
    ("finding", "again", "step"),
    [
        (Finding.ABSENT, Admission.ADMITTED, (Next.NEW_APPROVAL, Actor.REVIEWER)),
        (Finding.APPLIED, Admission.EXECUTED, (Next.NONE, Actor.NOBODY)),
        (Finding.HANDLED_BY_HAND, Admission.EXECUTED, (Next.NONE, Actor.NOBODY)),
    ],
)
async def test_an_unknown_stays_frozen_until_a_human_resolves_it(
    journal: Journal, tell: Any, finding: Finding, again: Admission, step: tuple[Next, Actor]
) -> None:
    case = await replace(tell.case(), siblings=(tell.sha("slot"),)).recorded(journal)
    attempt, _ = await tell.run(journal, case, End.UNKNOWN)
    assert await attempt_again(journal, tell, case) is Admission.FROZEN
    assert [file.attempt for file in await journal.attempts(standing=Unfinished.UNRESOLVED)] == [attempt]
    await journal.resolve(attempt, "stm_one", "signed", finding)
    assert await journal.attempts(standing=Unfinished.UNRESOLVED) == []
    file = await journal.attempt(attempt)
    assert file is not None
    assert file.outcome is not None
    assert (file.resolution, file.outcome.resolution) == (finding, finding)
    assert (file.outcome.next, file.outcome.actor) == step
    sibling = await replace(tell.case(), siblings=case.siblings).recorded(journal)
    assert (await journal.append(tell.intended(sibling.header(), case=sibling))).admission is Admission.ADMITTED
    assert (await journal.append(tell.intended(case.header(), case=case))).admission is Admission.KEY_TAKEN
    proposal = await journal.proposal(case.practice, case.proposal_id)
    assert proposal is not None
    assert proposal.executed is (again is Admission.EXECUTED)
    assert proposal.held_by == (attempt if proposal.executed else None)
    assert await attempt_again(journal, tell, case) is again


@pytest.mark.requirement("CARD-10")
async def test_a_sibling_waits_while_the_first_is_in_flight(journal: Journal, tell: Any) -> None:
    slot = journal.sibling_digest("slot", "10:00")
    first = await replace(tell.case(), siblings=(slot,)).recorded(journal)
    second = await replace(tell.case(), siblings=(tell.sha("other"), slot)).recorded(journal)
    entry = tell.intended(first.header(), case=first)
    assert (await journal.append(entry)).admission is Admission.ADMITTED
    related = await journal.append(tell.intended(second.header(), case=second))
    assert related == Appended(Admission.RELATED, entry.attempt.identity.attempt)
    await journal.append(tell.ended(entry, End.APPLIED))
    assert (await journal.append(tell.intended(second.header(), case=second))).admission is Admission.ADMITTED


async def test_a_latched_stop_refuses_the_intent_and_is_lifted_from_a_new_revision_only(
    journal: Journal, tell: Any
) -> None:
    case = await tell.case().recorded(journal)
    await case.say(journal, RecordKind.STOP)
    assert await journal.stopped(case.practice, case.proposal_id)
    assert (await journal.append(tell.intended(case.header(), case=case))).admission is Admission.STOPPED
    await case.recorded(journal, revision=2)
    assert not await journal.stopped(case.practice, case.proposal_id)
    assert await journal.stopped(case.practice, case.proposal_id, case.proposal().proposal_digest)
    assert (await journal.append(tell.intended(case.header(), case=case))).admission is Admission.STOPPED
    revised = replace(case.header(), proposal_digest=case.proposal(revision=2).proposal_digest)
    assert (await journal.append(tell.intended(revised, case=case))).admission is Admission.ADMITTED


async def test_an_intent_judged_before_the_latest_statement_is_not_admitted(journal: Journal, tell: Any) -> None:
    case = await tell.case().recorded(journal)
    judged = (await journal.proposal(case.practice, case.proposal_id)).standing
    await case.say(journal, RecordKind.WITHDRAWAL)
    entry = tell.intended(case.header(), case=case)
    assert entry.intent is not None
    stale = replace(entry, intent=replace(entry.intent, judged=judged))
    assert (await journal.append(stale)).admission is Admission.MOVED
    now = (await journal.proposal(case.practice, case.proposal_id)).standing
    fresh = replace(entry, intent=replace(entry.intent, judged=now))
    assert (await journal.append(fresh)).admission is Admission.ADMITTED


async def test_a_look_in_between_moves_no_intent(journal: Journal, tell: Any) -> None:
    case = await tell.case().recorded(journal)
    attempt, outcome = await tell.run(journal, case, End.REFUSED)
    judged = (await journal.proposal(case.practice, case.proposal_id)).standing
    seen = ObservationRecord(
        observation_id=ObservationId.random(),
        attempt=attempt,
        closing_hash=outcome.closing_hash,
        finding=ObservationFinding.ABSENT,
        basis=Basis.BY_KEY,
        at=tell.now,
    )
    names = (case.practice, case.proposal_id, RecordKind.OBSERVATION, seen.observation_id)
    await journal.record(*names, seen.canonical().decode(), attempt=attempt)
    assert (await journal.proposal(case.practice, case.proposal_id)).standing == judged
    again = replace(case, approval=type(case.approval).random())
    entry = tell.intended(again.header(), case=again)
    assert (await journal.append(replace(entry, intent=replace(entry.intent, judged=judged)))).admission == "admitted"


async def test_an_intent_judged_on_what_nobody_recorded_is_not_admitted(journal: Journal, tell: Any) -> None:
    case = tell.case()
    entry = tell.intended(case.header(), case=case)
    entry = replace(entry, intent=replace(entry.intent, judged=tell.sha("something")))
    assert (await journal.append(entry)).admission is Admission.MOVED


async def test_an_attempt_in_flight_is_the_same_attempt_when_it_is_read_again(journal: Journal, tell: Any) -> None:
    case = await tell.case().recorded(journal)
    entry = tell.intended(case.header(), case=case)
    await journal.append(entry)
    file = await journal.attempt(entry.attempt.identity.attempt)
    assert file.resumable() == entry.attempt.flushed()
    later = tell.now + timedelta(seconds=3)
    await journal.append(tell.ended(entry, End.APPLIED, at=later))
    file = await journal.attempt(entry.attempt.identity.attempt)
    first, last = file.links[0], file.links[-1]
    assert replace(file, links=(first, first, last)).ended_by == later > first.event.at


async def test_a_header_is_read_back_with_the_digest_of_a_trigger_that_is_the_attempts_own(
    journal: Journal, tell: Any
) -> None:
    case = await tell.case().recorded(journal)
    owner = case.header()
    entry = tell.intended(owner, case=case)
    await journal.append(entry)
    found = {entry.attempt.identity.attempt: owner}
    for header in (replace(owner, trigger_digest=None), replace(owner, trigger=None, trigger_digest=None)):
        denied = tell.concluded(tell.gated(header), header, End.BLOCKED)
        await journal.append(denied)
        found[denied.attempt.identity.attempt] = header
    assert {file.attempt: file.header for file in await journal.attempts()} == found


async def test_lists_are_of_the_latest_hundred_unless_more_is_asked_for(journal: Journal, tell: Any) -> None:
    cases = [await tell.case().recorded(journal) for _ in range(101)]
    for case in cases:
        await tell.run(journal, case, End.REFUSED)
    proposals, attempts = await journal.proposals(), await journal.attempts()
    assert [file.proposal.proposal_id for file in proposals] == [case.proposal_id for case in cases[:0:-1]]
    assert [file.header.proposal for file in attempts] == [case.proposal_id for case in cases[:0:-1]]
    assert len(await journal.proposals(101)) == len(await journal.attempts(limit=101)) == 101
    (one,) = await journal.attempts(proposal=cases[0].proposal_id)
    assert one.header.proposal == cases[0].proposal_id
    assert await journal.attempts(standing=Unfinished.UNRESOLVED) == []


async def test_what_is_not_over_is_found_behind_whatever_came_after(journal: Journal, tell: Any) -> None:
    flying = []
    for _ in range(2):
        case = await tell.case().recorded(journal)
        await journal.append(entry := tell.intended(case.header(), case=case))
        flying.append(entry.attempt.identity.attempt)
        await tell.run(journal, await tell.case().recorded(journal), End.UNKNOWN)
        await tell.run(journal, await tell.case().recorded(journal), End.BLOCKED)
    found = await journal.attempts(standing=Unfinished.IN_FLIGHT)
    assert [file.attempt for file in found] == flying[::-1]
    assert [file.attempt for file in await journal.attempts(standing=Unfinished.IN_FLIGHT, limit=1)] == flying[1:]
    one = await journal.attempts(proposal=found[0].header.proposal, standing=Unfinished.IN_FLIGHT)
    assert [file.attempt for file in one] == flying[1:]


@pytest.mark.requirement("STATE-28")
async def test_all_that_wait_for_an_answer_are_told_and_nothing_else(journal: Journal, tell: Any) -> None:
    case = await tell.case().recorded(journal)
    elsewhere = await replace(tell.case(), proposal_id=case.proposal_id).recorded(journal)  # another practice's
    other = await replace(tell.case(), practice=case.practice).recorded(journal)
    pauses = []
    for each in (case, elsewhere, other, *[case] * 100):
        pause = tell.concluded(tell.gated(header := each.header()), header, End.PAUSED)
        await journal.append(pause)
        pauses.append(pause.attempt.identity.attempt)
    await tell.run(journal, case, End.REFUSED)
    found = await journal.paused(case.practice, case.proposal_id)
    assert [file.attempt for file in found] == [pauses[0], *pauses[3:]]
    assert {file.state for file in found} == {State.PAUSED}
    assert [file.attempt for file in await journal.paused(elsewhere.practice, case.proposal_id)] == [pauses[1]]


async def test_only_the_first_of_two_closing_appends_counts(journal: Journal, tell: Any) -> None:
    case = await tell.case().recorded(journal)
    entry = tell.intended(case.header(), case=case)
    await journal.append(entry)
    closing, recovery = tell.ended(entry, End.APPLIED), tell.ended(entry, End.UNKNOWN)
    answers = await asyncio.gather(journal.append(closing), journal.append(recovery))
    assert [answer.admission for answer in answers] == [Admission.ADMITTED, Admission.LOST]
    file = await journal.attempt(entry.attempt.identity.attempt)
    assert file is not None
    assert file.outcome is not None
    assert file.outcome.effect is Effect.APPLIED
    assert file.outcome.closing_hash == file.links[-1].hash == closing.attempt.head


async def test_a_paused_attempt_is_continued_by_one_resume(journal: Journal, tell: Any) -> None:
    case = await tell.case().recorded(journal)
    header = case.header()
    pause = tell.concluded(tell.gated(header), header, End.PAUSED)
    await journal.append(pause)
    paused = await journal.attempt(pause.attempt.identity.attempt)
    assert paused is not None
    assert paused.outcome is not None
    assert paused.state is State.PAUSED
    assert paused.outcome == pause.outcome
    resume = (TriggerId.random(), tell.sha("resume"))
    resumed = pause.attempt.flushed().to(State.GATED, tell.now)
    entry = replace(tell.intended(header, attempt=resumed, case=case), resume=resume)
    assert (await journal.append(entry)).admission is Admission.ADMITTED
    running = await journal.attempt(pause.attempt.identity.attempt)
    assert running is not None
    assert (running.outcome, running.state) == (None, State.AUDITING)
    assert (await journal.append(entry)) == Appended(Admission.KEY_TAKEN, pause.attempt.identity.attempt)
    rival = replace(entry, resume=(TriggerId.random(), tell.sha("rival")))
    assert (await journal.append(rival)).admission is Admission.LOST
    assert (await journal.append(tell.ended(entry, End.APPLIED))).admission is Admission.ADMITTED
    file = await journal.attempt(pause.attempt.identity.attempt)
    assert file is not None
    assert [link.event.seq for link in file.links] == list(range(1, len(file.links) + 1))
    assert all(link == Link.after(link.previous, link.event) for link in file.links)


@pytest.mark.requirement("IDEM-01")
@pytest.mark.parametrize("same_trigger", [True, False])
@pytest.mark.parametrize("same_approval", [True, False])
@pytest.mark.parametrize("same_proposal", [True, False])
@pytest.mark.parametrize("same_sibling", [True, False])
async def test_of_two_racing_intents_exactly_one_is_admitted_where_anything_is_shared(
    open_journal: Any, tell: Any, same_trigger: bool, same_approval: bool, same_proposal: bool, same_sibling: bool
) -> None:
    one, two = await open_journal(), await open_journal()  # two owners, as two processes would be
    first = await replace(tell.case(), siblings=(tell.sha("slot"),)).recorded(one)
    second = first if same_proposal else await tell.case().recorded(one)
    second = replace(second, siblings=first.siblings if same_sibling else (tell.sha("elsewhere"),))
    if not same_approval:
        second = replace(second, approval=type(second.approval).random())
    header = first.header()
    other = second.header(header.trigger if same_trigger else None)
    answers = await asyncio.gather(
        one.append(tell.intended(header, case=first)), two.append(tell.intended(other, case=second))
    )
    admitted = [answer for answer in answers if answer.admission is Admission.ADMITTED]
    assert len(admitted) == (1 if same_trigger or same_proposal or same_sibling else 2)
    assert len(await one.attempts()) == len(admitted)
    await one.aclose()
    await two.aclose()


def incoherent(entry: Any) -> dict[str, Any]:
    return {
        "no event": replace(entry, attempt=replace(entry.attempt, pending=())),
        "a gap": replace(entry, attempt=replace(entry.attempt, pending=entry.attempt.pending[1:])),
        "an intent unsaid": replace(entry, intent=None),
        "no proposal": replace(entry, header=replace(entry.header, proposal=None)),
        "a head of its own": replace(entry, attempt=replace(entry.attempt, head="f" * 64)),
    }


@pytest.mark.parametrize("fault", ["no event", "a gap", "an intent unsaid", "no proposal", "a head of its own"])
async def test_an_incoherent_intent_is_an_invariant_violation(journal: Journal, tell: Any, fault: str) -> None:
    case = await tell.case().recorded(journal)
    with pytest.raises(InvariantViolation):
        await journal.append(incoherent(tell.intended(case.header(), case=case))[fault])
    assert await journal.attempts() == []


@pytest.mark.requirement("CARD-05")
async def test_a_hold_is_never_released_over_an_unknown_effect(journal: Journal, tell: Any) -> None:
    case = await tell.case().recorded(journal)
    entry = tell.intended(case.header(), case=case)
    await journal.append(entry)
    for end in (End.UNKNOWN, End.APPLIED):
        with pytest.raises(InvariantViolation):
            await journal.append(replace(tell.ended(entry, end), hold=Hold.RELEASED))
    assert await attempt_again(journal, tell, case) is Admission.FROZEN


async def test_an_outcome_that_its_last_event_does_not_carry_is_refused(journal: Journal, tell: Any) -> None:
    case = await tell.case().recorded(journal)
    entry = tell.intended(case.header(), case=case)
    await journal.append(entry)
    closing = tell.ended(entry, End.UNKNOWN)
    for change in ({"notice_outstanding": True}, {"state": State.BLOCKED}, {"attempt": None}):
        with pytest.raises(InvariantViolation):
            await journal.append(replace(closing, outcome=closing.outcome.model_copy(update=change)))
    assert (await journal.append(closing)).admission is Admission.ADMITTED


async def test_the_last_look_is_given_to_the_owner_of_an_attempt_in_flight_alone(open_journal: Any, tell: Any) -> None:
    mine, theirs = await open_journal(), await open_journal()
    case = await tell.case().recorded(mine)
    look = (case.practice, case.proposal_id, case.proposal().proposal_digest)
    entry = tell.intended(case.header(), case=case)
    attempt = entry.attempt.identity.attempt
    with pytest.raises(JournalUnavailable):
        await mine.stopped(*look, dispatching=attempt)  # nothing is recorded yet
    await mine.append(entry)
    assert not await mine.stopped(*look, dispatching=attempt)
    with pytest.raises(JournalUnavailable):
        await theirs.stopped(*look, dispatching=attempt)
    await case.say(theirs, RecordKind.STOP)
    assert await mine.stopped(*look, dispatching=attempt)
    await theirs.append(tell.ended(entry, End.UNKNOWN))  # as a recovery would
    with pytest.raises(JournalUnavailable):
        await mine.stopped(*look, dispatching=attempt)
    await mine.aclose()
    await theirs.aclose()
