"""What the database refuses by itself, and what a reader makes of rows that nobody's journal wrote."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.contracts.statements import Finding
from gateway.contracts.words import End
from gateway.errors import AuditTampered
from gateway.journal import StoredVolume

FORGERIES = {
    "a second hold on the proposal": "INSERT INTO holds SELECT practice, proposal, :free FROM holds "
    "WHERE attempt = :attempt",
    "a second attempt under one key": "UPDATE attempts SET attempt_key = (SELECT attempt_key FROM attempts "
    "WHERE attempt = :attempt) WHERE attempt = :other",
    "a second use of a trigger": "INSERT INTO triggers SELECT trigger_id, digest, :other FROM triggers LIMIT 1",
    "a second reservation of a sibling": "INSERT INTO siblings SELECT sibling, :other FROM siblings",
    "a second event of one number": "INSERT INTO events SELECT * FROM events LIMIT 1",
    "a second record of one number": "INSERT INTO records SELECT 9, practice, proposal, seq, kind, reference, body, "
    "hash, attempt, finding FROM records LIMIT 1",
    "a second resolution": "INSERT INTO records SELECT 9, practice, proposal, seq + 1, kind, 'x', body, hash, "
    "attempt, finding FROM records WHERE kind = 'resolution'",
    "a release while unknown": "DELETE FROM holds",
    "siblings freed while unknown": "DELETE FROM siblings",
    "a hold moved": "UPDATE holds SET attempt = :other",
    "an event rewritten": "UPDATE events SET body = '{}'",
    "an event deleted": "DELETE FROM events",
    "a record rewritten": "UPDATE records SET body = '{}'",
    "a record deleted": "DELETE FROM records",
    "a trigger freed": "DELETE FROM triggers",
    "an end rewritten": "UPDATE attempts SET effect = 'NOT_SENT' WHERE attempt = :attempt",
    "an attempt renamed": "UPDATE attempts SET proposal = 'x' WHERE attempt = :other",
    "an attempt deleted": "DELETE FROM attempts",
    "an end without an outcome": "UPDATE attempts SET state = 'BLOCKED' WHERE attempt = :other",
    "a state beyond the twelve": "UPDATE attempts SET state = 'DONE' WHERE attempt = :other",
    "an archived event rewritten": "UPDATE events SET body = '{}' WHERE attempt = :free",
    "an archived attempt's end rewritten": "UPDATE attempts SET effect = 'NOT_SENT', volume = volume "
    "WHERE attempt = :archived",
    "an archived attempt's outcome rewritten": "UPDATE attempts SET outcome = '{}' WHERE attempt = :archived",
    "an archived attempt's key freed": "UPDATE attempts SET attempt_key = NULL WHERE attempt = :archived",
    "an archived attempt's hold freed": "DELETE FROM holds WHERE attempt = :archived",
    "an archived attempt's trigger freed": "DELETE FROM triggers WHERE attempt = :archived",
    "an archived attempt deleted": "DELETE FROM attempts WHERE attempt = :archived",
    "an archived attempt moved to another volume": "UPDATE attempts SET volume = 2 WHERE attempt = :archived",
    "an archived attempt brought back": "UPDATE attempts SET volume = NULL WHERE attempt = :archived",
    "an unknown attempt archived": "UPDATE attempts SET volume = 2 WHERE attempt = :attempt",
    "an attempt in flight archived": "UPDATE attempts SET volume = 2 WHERE attempt = :other",
    "an attempt archived in an earlier volume": "UPDATE attempts SET volume = 1 WHERE attempt = :free",
    "an attempt archived in no volume": "UPDATE attempts SET volume = 3 WHERE attempt = :free",
    "a finished attempt's events deleted": "DELETE FROM events WHERE attempt = :free",
    "a volume out of order": "INSERT INTO volumes VALUES (4, 'x', 'x', 1)",
    "a volume of nothing": "INSERT INTO volumes VALUES (3, 'x', 'x', 0)",
    "a volume twice": "INSERT INTO volumes SELECT 3, digest, ended_before, attempts FROM volumes LIMIT 1",
    "a volume rewritten": "UPDATE volumes SET digest = 'x'",
    "a volume forgotten": "DELETE FROM volumes WHERE number = 2",
    "an event of nothing": "INSERT INTO events VALUES ('att_x', 1, '{}', '')",
}


async def told(place: Any, tell: Any) -> dict[str, str]:
    """A journal with something of everything in it, and the names that the forgeries use."""
    journal = await place.open()
    case = await replace(tell.case(), siblings=("s",)).recorded(journal)
    attempt, _ = await tell.run(journal, case, End.UNKNOWN)
    resolved = await tell.case().recorded(journal)
    done, _ = await tell.run(journal, resolved, End.UNKNOWN)
    await journal.resolve(done, "stm_one", "signed", Finding.ABSENT)
    other = tell.case()
    entry = tell.intended(other.header(), case=other)
    await journal.append(entry)
    archived, _ = await tell.run(journal, await tell.case().recorded(journal), End.APPLIED)
    for number in (1, 2):  # a second volume, so that there is one to be put in
        found = [each async for each in journal.archivable(tell.now + timedelta(days=1))]
        [leaving] = [each for each in found if each.attempt == archived]
        await journal.archive_events(StoredVolume(number, f"{number}", "2031-01-01T00:00:00+00:00", 1), [leaving])
        if number == 1:
            archived, _ = await tell.run(journal, await tell.case().recorded(journal), End.APPLIED)
    await journal.aclose()
    return {"attempt": attempt, "other": entry.attempt.identity.attempt, "free": done, "archived": archived}


@pytest.mark.requirement("CARD-05", "CARD-10", "IDEM-05")
@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_the_schema_itself_refuses(place: Any, tell: Any, forgery: str) -> None:
    names = await told(place, tell)
    with pytest.raises(tell.refused):
        place.tamper(FORGERIES[forgery], **names)


@pytest.mark.requirement("CARD-05", "CARD-10", "IDEM-05")
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_the_schema_on_postgresql_refuses_the_same(place: Any, tell: Any) -> None:
    """On one journal, one after the other: what is refused changes nothing."""
    names = await told(place, tell)
    refused = []
    for forgery, statement in FORGERIES.items():
        try:
            place.tamper(statement, **names)
        except tell.refused:
            refused.append(forgery)
    assert refused == list(FORGERIES)


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
@pytest.mark.parametrize("column", ["head", "outcome"])
async def test_a_row_overwritten_with_bytes_that_are_no_text_is_no_fault_of_the_disk(
    place: Any, tell: Any, column: str
) -> None:
    journal = await place.open()
    attempt, _ = await tell.run(journal, await tell.case().recorded(journal), End.APPLIED)
    for rule in ("attempts_end_once", "attempts_keep_their_header"):
        place.tamper(f"DROP TRIGGER {rule}")
    place.tamper(f"UPDATE attempts SET {column} = CAST(x'4a616e65ff' AS TEXT)")
    with pytest.raises(AuditTampered) as caught:
        await journal.attempt(attempt)
    assert "Jane" not in repr(caught.value)
    await journal.aclose()


async def test_a_row_overwritten_with_anything_is_reported_without_its_content(place: Any, tell: Any) -> None:
    journal = await place.open()
    case = await tell.case().recorded(journal)
    attempt, _ = await tell.run(journal, case, End.APPLIED)
    on_table = "" if place.is_file else " ON events"
    place.tamper(
        f"DROP TRIGGER events_are_written_once{on_table}", "UPDATE events SET body = 'Jane Canary' WHERE seq = 1"
    )
    with pytest.raises(AuditTampered) as caught:
        await journal.attempt(attempt)
    assert "Canary" not in repr(caught.value)
    assert caught.value.__cause__ is None
    await journal.aclose()
