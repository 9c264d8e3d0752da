"""What a report may say."""

from __future__ import annotations

from gateway.audit.report import place
from gateway.contracts.references import PersonId, StatementId


def test_places_repeat_references_and_nothing_else() -> None:
    reference = StatementId.random()
    assert place("record", reference, 3) == f"record {reference} 3"
    assert place("record", "Jane Canary", None, PersonId.random()[:-1]) == "record ? ? ?"
    assert place("journal") == "journal"
