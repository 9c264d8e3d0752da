"""The cleaner takes away what the run created, and nothing else, whatever happens in between."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest

from conformance.results import Peer
from conformance.target import ledger as ledgers
from conformance.target.file import TargetError
from conformance.target.ledger import Cleaner, Ledger


async def test_what_the_run_created_goes_last_first_and_the_rest_stays(calendar, cleaner, intend, at):
    calendar.put("strangers", at(1))
    await cleaner.begin()
    intend(1, 2, 3)
    for number in (1, 2, 3):
        calendar.put(f"ours-{number}", at(number))
    residue = await cleaner.clean()
    assert calendar.removed == ["ours-3", "ours-2", "ours-1"]
    assert set(calendar.stands) == {"strangers"}
    assert (residue.created, residue.removed, residue.remaining, residue.where) == (3, 3, 0, ())
    assert residue.verified and residue.peer is Peer.TARGET and residue.kept == 0


@pytest.mark.parametrize("subject", ["somebody-else", "patient-1", None])
async def test_what_was_there_before_is_never_touched(calendar, cleaner, intend, at, subject):
    calendar.put("before", at(1), subject)
    await cleaner.begin()
    intend(1)
    residue = await cleaner.clean()
    assert set(calendar.stands) == {"before"} and residue.created == 0


async def test_a_stranger_who_came_during_the_run_is_never_touched(calendar, cleaner, intend, at):
    await cleaner.begin()
    intend(1)
    calendar.put("same slot", at(1), "somebody-else")
    calendar.put("other slot", at(2), "somebody-else")
    calendar.put("other slot, unnamed", at(3), None)
    residue = await cleaner.clean()
    assert calendar.removed == [] and residue.remaining == 0


async def test_where_the_system_shows_neither_patient_nor_key_nothing_is_removed_and_all_is_reported(
    calendar, cleaner, intend, at
):
    await cleaner.begin()
    intend(1)
    calendar.put("whose", at(1), subject=None)
    residue = await cleaner.clean()
    assert (residue.removed, residue.remaining, calendar.removed) == (0, 1, [])


async def test_where_the_run_is_alone_with_the_system_the_slot_decides(calendar, ledger, pool, intend, at):
    cleaner = Cleaner(calendar, ledger, pool, Peer.TARGET, alone=True)
    await cleaner.begin()
    intend(1)
    calendar.put("ours", at(1), subject=None)
    assert (await cleaner.clean()).removed == 1


async def test_where_the_system_shows_keys_only_one_that_a_request_carried_is_the_runs(
    calendar, cleaner, ledger, intend, at
):
    key = "0123456789abcdef0123"
    await cleaner.begin()
    intend(1)
    ledger.note_sent(Peer.TARGET, b"/events/" + key.encode() + b".ics", b"")
    calendar.put("ours", at(1), subject=None, keys=(key.upper(),))
    calendar.put("theirs", at(1), subject=None, keys=("fedcba9876543210fedc",))
    residue = await cleaner.clean()
    assert (calendar.removed, residue.remaining) == (["ours"], 0)


@pytest.mark.parametrize("hours", [-14, -1, 0.25, 1, 14])
async def test_a_subject_of_the_pool_at_another_time_is_reported_and_left(calendar, cleaner, intend, at, hours):
    await cleaner.begin()
    intend(1)
    astray = at(1) + timedelta(hours=hours)
    calendar.put("astray", astray, "patient-2")
    residue = await cleaner.clean()
    assert calendar.removed == []
    assert (residue.created, residue.remaining, residue.where) == (1, 1, (astray,))


async def test_what_cannot_be_removed_is_residue_by_its_slot_and_the_others_still_go(
    calendar, cleaner, intend, at, ledger
):
    await cleaner.begin()
    intend(1, 2, 3)
    for number in (1, 2, 3):
        calendar.put(f"ours-{number}", at(number))
    calendar.stuck = {"ours-2"}
    residue = await cleaner.clean()
    assert (residue.created, residue.removed, residue.remaining, residue.where) == (3, 2, 1, (at(2),))
    assert [intent.slot for intent in ledger.outstanding(Peer.TARGET)] == [at(2)]
    calendar.stuck = set()
    residue = await cleaner.clean()
    assert (residue.created, residue.removed, residue.remaining) == (3, 3, 0) and not calendar.stands


async def test_a_removal_that_lies_is_not_believed(calendar, cleaner, intend, at, monkeypatch):
    await cleaner.begin()
    intend(1)
    calendar.put("ours", at(1))

    async def lie(identifier: str) -> bool:
        return True

    monkeypatch.setattr(calendar, "remove", lie)
    assert (await cleaner.clean()).remaining == 1


async def test_where_removal_is_cancellation_the_records_that_are_kept_are_counted(calendar, cleaner, intend, at):
    calendar.keeps_cancelled = True
    await cleaner.begin()
    intend(1, 2)
    calendar.put("ours", at(1))
    calendar.put("cancelled by the run", at(2), cancelled=True)
    residue = await cleaner.clean()
    assert (residue.created, residue.removed, residue.remaining, residue.kept) == (2, 2, 0, 2)


async def test_a_slot_that_was_cleared_is_somebody_elses_again(calendar, cleaner, intend, at):
    await cleaner.begin()
    intend(1)
    calendar.put("ours", at(1))
    await cleaner.clean()
    calendar.put("a stranger", at(1), None)
    residue = await cleaner.clean()
    assert set(calendar.stands) == {"a stranger"} and residue.remaining == 0


async def test_a_system_that_cannot_be_looked_at_leaves_the_ledgers_upper_bound(calendar, cleaner, intend, at):
    await cleaner.begin()
    intend(1, 2)
    calendar.put("ours", at(1))
    calendar.deaf = True
    residue = await cleaner.clean()
    assert not residue.verified
    assert (residue.created, residue.removed, residue.remaining, residue.where) == (2, 0, 2, (at(1), at(2)))


async def test_a_run_that_cannot_look_does_not_begin(calendar, cleaner, ledger):
    calendar.deaf = True
    with pytest.raises(TargetError, match="raised RuntimeError at its first look"):
        await cleaner.begin()
    assert not ledger.looked(Peer.TARGET)


async def test_without_a_look_before_nothing_is_removed(calendar, cleaner, intend, at):
    intend(1)
    calendar.put("whose?", at(1))
    residue = await cleaner.clean()
    assert set(calendar.stands) == {"whose?"}
    assert not residue.verified and residue.remaining == 1


async def test_cleaning_ends_in_time_though_the_system_hangs(calendar, ledger, pool, intend, at):
    cleaner = Cleaner(calendar, ledger, pool, Peer.TARGET, seconds=0.1)
    await cleaner.begin()
    intend(1)
    calendar.put("ours", at(1))
    calendar.hang = asyncio.Event()
    residue = await cleaner.clean()
    assert not residue.verified and residue.remaining == 1


async def test_one_removal_that_hangs_does_not_keep_the_others(calendar, cleaner, intend, at, monkeypatch):
    monkeypatch.setattr(ledgers, "REMOVAL_SECONDS", 0.05)
    await cleaner.begin()
    intend(1, 2)
    calendar.put("ours", at(1))
    calendar.put("hangs", at(2))
    calendar.hang = asyncio.Event()
    task = asyncio.create_task(cleaner.clean())
    await calendar.removing.wait()
    await asyncio.sleep(0.08)
    calendar.hang.set()
    assert (await task).where == (at(2),)


async def test_a_cancelled_run_cleans_to_the_end_and_is_cancelled_then(calendar, cleaner, intend, at):
    await cleaner.begin()
    intend(1, 2)
    calendar.put("ours-1", at(1))
    calendar.put("ours-2", at(2))
    calendar.hang = asyncio.Event()
    task = asyncio.create_task(cleaner.clean())
    await calendar.removing.wait()
    for _ in range(3):  # somebody presses Ctrl-C again and again
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    calendar.hang.set()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled() and not calendar.stands
    assert cleaner.residue is not None and cleaner.residue.removed == 2


async def test_a_killed_run_is_cleaned_up_from_its_ledger_alone(calendar, pool, tmp_path, at):
    path = tmp_path / "ledger.jsonl"
    calendar.put("before", at(1))
    killed = Ledger.open(path)
    await Cleaner(calendar, killed, pool, Peer.TARGET).begin()
    for number in (1, 2, 3):
        killed.intend("book.applied", Peer.TARGET, at(number))
    calendar.put("ours-2", at(2))  # 3 was intended and never sent
    killed.close()
    residue = await Cleaner(calendar, Ledger.open(path), pool, Peer.TARGET).clean()
    assert set(calendar.stands) == {"before"}
    assert (residue.created, residue.removed, residue.remaining) == (1, 1, 0)


async def test_a_resumed_run_takes_strangers_for_strangers_and_its_own_for_its_own(calendar, pool, tmp_path, at):
    path = tmp_path / "ledger.jsonl"
    first = Ledger.open(path)
    await Cleaner(calendar, first, pool, Peer.TARGET).begin()
    first.intend("book.applied", Peer.TARGET, at(1))
    calendar.put("left behind", at(1))
    first.close()
    calendar.put("came since", at(2), None)
    again = Ledger.open(path)
    cleaner = Cleaner(calendar, again, pool, Peer.TARGET)
    await cleaner.begin()
    assert set(calendar.stands) == {"came since"}
    again.intend("book.applied", Peer.TARGET, at(2))
    assert (await cleaner.clean()).removed == 1
    assert set(calendar.stands) == {"came since"}


async def test_a_look_covers_the_whole_pool(calendar, cleaner, intend, at, pool):
    await cleaner.begin()
    intend(pool.slots - 1)
    calendar.put("ours", at(pool.slots - 1))
    assert (await cleaner.clean()).removed == 1


async def test_nothing_is_new_before_the_first_look(calendar, cleaner, at):
    calendar.put("whose?", at(1))
    (seen,) = calendar.stands.values()
    assert not cleaner.is_new(seen)


async def test_what_an_earlier_part_could_not_remove_does_not_become_a_strangers(calendar, pool, ledger, intend, at):
    earlier = Cleaner(calendar, ledger, pool, Peer.TARGET)
    await earlier.begin()
    intend(1)
    calendar.put("stuck", at(1))
    calendar.stuck = {"stuck"}
    await earlier.clean()
    later = Cleaner(calendar, ledger, pool, Peer.TARGET)
    await later.begin()
    assert (await later.clean()).where == (at(1),)
    calendar.stuck = set()
    assert (await later.clean()).remaining == 0 and not calendar.stands
