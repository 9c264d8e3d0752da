"""Several processes on one journal: what they share, and who is known to be dead."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import pytest

from gateway.contracts.words import End
from gateway.journal import Admission


@pytest.mark.requirement("IDEM-01", "IDEM-04")
async def test_two_processes_racing_for_the_same_proposals_share_them_without_overlap(place: Any, tell: Any) -> None:
    journal = await place.open()
    cases = [tell.case() for _ in range(40)]
    named = json.dumps([[case.practice, case.proposal_id] for case in cases])
    body = f"""
        cases = [stories.Case(practice=p, proposal_id=q, approval=stories.DecisionId.random()) for p, q in {named}]
        entries = [stories.intended(case.header(), case=case) for case in cases]
        say(ready=True)
        sys.stdin.readline()
        answers = await asyncio.gather(*(journal.append(entry) for entry in entries))
        say(admitted=[answer.admission == "admitted" for answer in answers])
        await journal.aclose()
    """.replace("\n        ", "\n")
    with place.child(body) as one, place.child(body) as two:
        for process in (one, two):
            tell.heard(process)
        for process in (one, two):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        first, second = (tell.heard(process)["admitted"] for process in (one, two))
    assert all(mine is not theirs for mine, theirs in zip(first, second, strict=True))
    assert len(await journal.attempts()) == 40
    await journal.aclose()


async def test_what_was_acknowledged_survives_kill_and_its_owner_is_known_dead(place: Any, tell: Any) -> None:
    journal = await place.open()
    body = """
case = stories.Case()
entry = stories.intended(case.header(), case=case)
await journal.append(entry)
done = stories.Case()
await stories.run(journal, done, End.UNKNOWN)
say(attempt=entry.attempt.identity.attempt, owner=journal.owner)
sys.stdin.readline()
"""
    with place.child(body) as process:
        said = tell.heard(process)
        assert await journal.orphans() == []  # it lives
        process.send_signal(signal.SIGKILL)
        process.wait()
        while not (orphans := await journal.orphans()) and not place.is_file:
            await asyncio.sleep(0.01)  # a server takes a moment to see that its client is gone
        (orphan,) = orphans
    assert (orphan.attempt, orphan.owner, orphan.outcome) == (said["attempt"], said["owner"], None)
    if place.is_file:
        lock = place.home / "journal.db.owners" / f"{said['owner']}.lock"
        assert lock.exists()  # still referred to
        lock.unlink()
    else:
        place.tamper("DELETE FROM owners WHERE owner = :owner", owner=said["owner"])
    assert [file.attempt for file in await journal.orphans()] == [said["attempt"]]  # a lost name hides no orphan
    await journal.aclose()


async def test_two_journals_in_one_process_are_two_owners_and_what_is_over_is_forgotten(place: Any, tell: Any) -> None:
    one, two = await place.open(), await place.open()
    case = tell.case()
    entry = tell.intended(case.header(), case=case)
    await one.append(entry)
    assert await one.orphans() == await two.orphans() == []
    await one.aclose()
    while not (orphans := await two.orphans()) and not place.is_file:
        await asyncio.sleep(0.01)
    assert [file.attempt for file in orphans] == [entry.attempt.identity.attempt]
    assert place.owners() == {one.owner, two.owner}
    assert (await two.append(tell.ended(entry, End.UNKNOWN))).admission is Admission.ADMITTED
    assert await two.orphans() == []
    assert place.owners() == {two.owner}
    await two.aclose()
    assert place.owners() == set()
