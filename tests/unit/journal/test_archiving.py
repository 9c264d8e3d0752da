"""What leaves the journal and what never does: the contract for archiving, for both databases."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from gateway.contracts.references import TriggerId
from gateway.contracts.statements import Finding
from gateway.contracts.words import Effect, End, State, Unfinished
from gateway.errors import Conflict, InvariantViolation
from gateway.journal import Admission, Journal, StoredAttempt, StoredVolume


async def archivable(journal: Journal, tell: Any, before: datetime | None = None) -> list[StoredAttempt]:
    return [each async for each in journal.archivable(before or tell.now + timedelta(seconds=1))]


def volume(number: int, attempts: int) -> StoredVolume:
    return StoredVolume(number, f"{number:064x}", "2030-02-01T00:00:00+00:00", attempts)


async def move(journal: Journal, found: list[StoredAttempt], number: int = 1) -> None:
    await journal.archive_events(volume(number, len(found)), found)


async def test_finished_attempts_may_leave_and_open_ones_may_not(journal: Journal, tell: Any) -> None:
    done = [End.APPLIED, End.APPLIED_UNAUDITED, End.NOT_SENT, End.REFUSED, End.NOT_DISPATCHED, End.STOPPED]
    finished = [(await tell.run(journal, await tell.case().recorded(journal), end))[0] for end in done]
    for end in (End.BLOCKED, End.POLICY_DENIED, End.PAUSED):
        entry = tell.concluded(tell.gated(tell.case().header()), tell.case().header(), end)
        await journal.append(entry)
        if end is not End.PAUSED:
            finished.append(entry.attempt.identity.attempt)
    case = await tell.case().recorded(journal)
    await journal.append(tell.intended(case.header(), case=case))
    unknown, _ = await tell.run(journal, await tell.case().recorded(journal), End.UNKNOWN)
    resolved, _ = await tell.run(journal, await tell.case().recorded(journal), End.UNKNOWN)
    await journal.resolve(resolved, "stm_one", "signed", Finding.HANDLED_BY_HAND)
    found = await archivable(journal, tell)
    assert [each.attempt for each in found] == [*finished, resolved]
    assert unknown not in {each.attempt for each in found}
    for each in found:
        file = await journal.attempt(each.attempt)  # type: ignore[arg-type]  # a stored row names attempts as text
        assert file is not None
        assert [event.hash for event in each.events] == [link.hash for link in file.links]
        assert [event.body.encode() for event in each.events] == [link.body for link in file.links]
        assert each.end == (len(file.links), file.links[-1].hash)


async def test_age_is_the_last_events_and_counted_in_whole_seconds(journal: Journal, tell: Any) -> None:
    ended = [tell.now + timedelta(seconds=seconds) for seconds in (0, 59.999999, 60, 61.5)]
    for at in ended:
        case = await tell.case().recorded(journal)
        first = tell.intended(case.header(), case=case)
        await journal.append(first)
        await journal.append(tell.ended(first, End.APPLIED, at=at))
    counts = [len(await archivable(journal, tell, tell.now + timedelta(seconds=s))) for s in (0, 1, 60, 61, 62)]
    assert counts == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("at_once", [1, 2, 5, 1000])
async def test_attempts_are_handed_out_once_oldest_first_while_others_leave(
    journal: Journal, tell: Any, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(sys.modules[type(journal).__module__], "ATTEMPTS_AT_ONCE", at_once)
    made = [(await tell.run(journal, await tell.case().recorded(journal), End.REFUSED))[0] for _ in range(5)]
    left, number = [], 0
    async for each in journal.archivable(tell.now + timedelta(seconds=1)):
        left.append(each.attempt)
        if each.attempt in made[1:3]:
            number += 1
            await move(journal, [each], number)
    assert left == made
    assert [each.attempt for each in await archivable(journal, tell)] == [made[0], made[3], made[4]]


@pytest.mark.requirement("IDEM-01", "IDEM-02", "IDEM-03", "CARD-05")
async def test_an_archived_attempts_keys_stay_used_and_its_outcome_is_answered(journal: Journal, tell: Any) -> None:
    case = await replace(tell.case(), siblings=("slot",)).recorded(journal)
    header = case.header()
    attempt, _ = await tell.run(journal, case, End.APPLIED, header)
    before = await journal.attempt(attempt)
    await move(journal, await archivable(journal, tell))
    after = await journal.attempt(attempt)
    assert before is not None and after is not None
    assert after == replace(before, links=(), volume=1, ended_before=after.ended_before)
    assert (after.outcome, after.state) == (before.outcome, State.SUCCEEDED)
    assert before.ended_by == tell.now
    assert f"{after.ended_by:%Y-%m-%d}" == "2030-02-01"
    assert await journal.trigger(header.trigger) == (header.trigger_digest, attempt)
    again = tell.fresh(header)
    for text, admission in ((None, Admission.KEY_TAKEN), ("x", Admission.KEY_COLLISION)):
        used = header if text is None else replace(header, trigger_digest=tell.sha(text))
        answer = await journal.append(tell.concluded(again.to(State.VALIDATING, tell.now), used, End.BLOCKED))
        assert (answer.admission, answer.holder) == (admission, attempt)
    same_key = tell.intended(case.header(), case=case)
    answer = await journal.append(same_key)
    assert (answer.admission, answer.holder) == (Admission.KEY_TAKEN, attempt)
    other_approval = tell.intended(case.header(TriggerId.random()), case=case, key=tell.sha("another approval"))
    answer = await journal.append(other_approval)
    assert (answer.admission, answer.holder) == (Admission.EXECUTED, attempt)
    file = await journal.proposal(case.practice, case.proposal_id)
    assert file is not None
    assert (file.held_by, file.executed, len(file.records)) == (attempt, True, 1)


@pytest.mark.requirement("CARD-10")
async def test_a_sibling_of_an_unresolved_attempt_is_refused_whatever_was_archived(journal: Journal, tell: Any) -> None:
    done = await replace(tell.case(), siblings=("slot",)).recorded(journal)
    await tell.run(journal, done, End.REFUSED)
    unknown = await replace(tell.case(), siblings=("slot",)).recorded(journal)
    await tell.run(journal, unknown, End.UNKNOWN)
    await move(journal, await archivable(journal, tell))
    assert await journal.related(["slot"])
    sibling = await replace(tell.case(), siblings=("slot",)).recorded(journal)
    assert (await journal.append(tell.intended(sibling.header(), case=sibling))).admission is Admission.RELATED


async def test_an_attempt_that_is_archived_does_not_go_on(journal: Journal, tell: Any) -> None:
    case = await tell.case().recorded(journal)
    first = tell.intended(case.header(), case=case)
    await journal.append(first)
    last = tell.ended(first, End.APPLIED)
    await journal.append(last)
    await move(journal, await archivable(journal, tell))
    assert (await journal.append(tell.ended(first, End.REFUSED))).admission is Admission.LOST
    keyless = replace(first, header=replace(first.header, trigger_digest=None))
    assert (await journal.append(keyless)).admission is Admission.LOST


async def test_an_unsent_effect_resolved_and_archived_frees_its_proposal_as_before(journal: Journal, tell: Any) -> None:
    case = await tell.case().recorded(journal)
    attempt, _ = await tell.run(journal, case, End.UNKNOWN)
    await journal.resolve(attempt, "stm_one", "signed", Finding.ABSENT)
    await move(journal, await archivable(journal, tell))
    again = tell.intended(case.header(), case=case, key=tell.sha("a new approval"))
    assert (await journal.append(again)).admission is Admission.ADMITTED
    file = await journal.attempt(attempt)
    assert file is not None and file.outcome is not None
    assert (file.outcome.effect, file.outcome.resolution) == (Effect.UNKNOWN, Finding.ABSENT)


@pytest.mark.parametrize("wrong", ["number", "count", "head", "seq", "events", "twice", "again"])
async def test_a_move_that_is_not_as_told_moves_nothing(journal: Journal, tell: Any, wrong: str) -> None:
    for _ in range(3):
        await tell.run(journal, await tell.case().recorded(journal), End.APPLIED)
    first, *found = await archivable(journal, tell)
    await move(journal, [first])
    right = [*found]
    number, count = 2, len(found)
    match wrong:
        case "number":
            number = 3
        case "count":
            count += 1
        case "head" | "seq":
            columns = dict(found[1].columns) | {wrong: "0" * 64 if wrong == "head" else 99}
            found[1] = replace(found[1], columns=columns)
        case "events":
            found[1] = replace(found[1], events=found[1].events[:-1])
        case "twice":
            found[1] = found[0]
        case "again":
            found[1] = first
    with pytest.raises(Conflict):
        await journal.archive_events(volume(number, count), found)
    assert await archivable(journal, tell) == right
    with journal.archive() as archive:
        assert [each.number for each in archive.volumes()] == [1]
    await move(journal, right, 2)
    assert await archivable(journal, tell) == []


@pytest.mark.parametrize("end", [End.UNKNOWN, End.PAUSED, None])
async def test_what_is_open_cannot_be_moved_even_if_somebody_says_so(
    journal: Journal, tell: Any, end: End | None
) -> None:
    case = await tell.case().recorded(journal)
    if end is End.PAUSED:
        await journal.append(tell.concluded(tell.gated(case.header()), case.header(), end))
    else:
        first = tell.intended(case.header(), case=case)
        await journal.append(first)
        if end is not None:
            await journal.append(tell.ended(first, end))
    with journal.archive() as archive:
        found = list(archive.attempts())
    with pytest.raises(InvariantViolation):
        await move(journal, found)
    with journal.archive() as archive:
        assert list(archive.attempts()) == found
        assert list(archive.volumes()) == []


async def test_everything_is_seen_in_a_look(journal: Journal, tell: Any) -> None:
    attempt, _ = await tell.run(journal, await tell.case().recorded(journal), End.APPLIED)
    with journal.archive() as archive:
        [before] = archive.attempts()
        assert (archive.attempt(attempt), archive.attempt("att_x"), list(archive.volumes())) == (before, None, [])
    await move(journal, await archivable(journal, tell))
    with journal.archive() as archive:
        after = archive.attempt(attempt)
        assert after is not None
        assert (after.volume, after.events, after.end, after.triggers) == (1, (), before.end, before.triggers)
        assert list(archive.volumes()) == [volume(1, 1)]


async def test_lists_and_orphans_cope_with_archived_attempts(journal: Journal, tell: Any) -> None:
    case = await tell.case().recorded(journal)
    attempt, _ = await tell.run(journal, case, End.APPLIED)
    await move(journal, await archivable(journal, tell))
    for files in (await journal.attempts(), await journal.attempts(proposal=case.proposal_id)):
        assert [(file.attempt, file.volume, file.links) for file in files] == [(attempt, 1, ())]
    assert await journal.orphans() == []
    assert await journal.attempts(standing=Unfinished.UNRESOLVED) == []


async def test_compacting_changes_nothing_that_can_be_read(journal: Journal, tell: Any) -> None:
    for _ in range(3):
        await tell.run(journal, await tell.case().recorded(journal), End.APPLIED)
    await move(journal, (await archivable(journal, tell))[:2])
    with journal.archive() as archive:
        before = (list(archive.attempts()), list(archive.records()), list(archive.holds()), list(archive.volumes()))
    await journal.compact()
    with journal.archive() as archive:
        after = (list(archive.attempts()), list(archive.records()), list(archive.holds()), list(archive.volumes()))
        assert archive.damage() == []
    assert after == before
    await tell.run(journal, await tell.case().recorded(journal), End.APPLIED)
