"""What an attempt keeps used or free: its key, its triggers, its hold and its siblings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.audit import FlawCode
from gateway.audit._attempts import check_attempt
from gateway.audit._records import Said
from gateway.audit.report import Findings
from gateway.contracts.failures import Code
from gateway.contracts.references import TriggerId
from gateway.contracts.signals import Signal
from gateway.contracts.statements import Finding
from gateway.contracts.words import End
from gateway.journal._sqlite_archive import open_archive
from tests.unit.audit.held import checked, flaws, on, refitted, replace_said, row


@pytest.mark.requirement("IDEM-04")
def test_an_attempt_key_is_kept_exactly_where_the_approval_is_spent(held: Any, said: Said) -> None:
    """And is the one of its proposal and approval: a freed or altered key would let a spent approval dispatch again."""
    for stored in held.found:
        kept = stored.columns["attempt_key"] is not None
        for other in (None, "0" * 64) if kept else ("0" * 64,):
            assert checked(row(stored, attempt_key=other), said) == [
                (FlawCode.RESERVATION_DIFFERS, f"attempt {stored.attempt}")
            ]


async def test_an_approval_that_was_left_usable_after_the_intent_keeps_no_key(world: Any) -> None:
    journal = world.open()
    await world.attempt(journal, await world.propose(journal), End.NOT_DISPATCHED, Code.AUDIT_UNAVAILABLE)
    await journal.aclose()
    with open_archive(world.path) as archive:
        assert flaws(archive, world) == []
        *_, stored = archive.attempts()
    assert (stored.columns["deadline"] is None, stored.columns["attempt_key"]) == (False, None)


@pytest.mark.requirement("IDEM-01")
@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("change", ["freed", "renamed", "another's"])
def test_an_attempt_keeps_the_trigger_that_it_used_up(held: Any, said: Said, change: str, archived: bool) -> None:
    """Without a checkpoint, too, since a freed trigger would be carried out again."""
    stored = held.ended(End.APPLIED)
    if archived:
        stored = replace(row(stored, volume=1), events=())
    [(own, text)] = stored.triggers
    used = {"freed": (), "renamed": ((TriggerId.random(), text),), "another's": ((own, text), ("trg", text))}[change]
    found = checked(replace(stored, triggers=used), said)
    # How many answers there were to its pauses, only its events tell.
    unseen = change == "another's" and archived
    assert found == ([] if unseen else [(FlawCode.RESERVATION_DIFFERS, f"attempt {stored.attempt}")])


def test_each_answer_to_a_pause_has_used_up_a_trigger(held: Any, said: Said) -> None:
    stored = held.ended(End.BLOCKED)
    answered = refitted(stored, on(Signal.APPROVAL_BOUND, signal=Signal.DECISION_ANSWERED))
    missing = (FlawCode.RESERVATION_DIFFERS, f"attempt {stored.attempt}")
    assert missing in checked(answered, said)
    answer = (TriggerId.random(), "0" * 64)
    assert missing not in checked(replace(answered, triggers=(*stored.triggers, answer)), said)


def test_a_trigger_that_collided_is_anothers(held: Any, said: Said) -> None:
    """Its id is in the events of two attempts; the one that used it up keeps it."""
    stored = row(held.ended(End.BLOCKED), code="IDEMPOTENCY_COLLISION")
    flaw = (FlawCode.RESERVATION_DIFFERS, f"attempt {stored.attempt}")
    assert flaw in checked(stored, said)
    assert flaw not in checked(replace(stored, triggers=()), said)


def test_a_reservation_too_many_or_too_few_is_found(held: Any, told: Any) -> None:
    hold, sibling = held.holding[0], held.reserving[0]
    assert flaws(replace(held, holding=held.holding[1:]), told) == [(FlawCode.RESERVATION_DIFFERS, f"hold {hold[2]}")]
    refused = held.ended(End.REFUSED)
    extra = (str(refused.columns["practice"]), str(refused.columns["proposal"]), refused.attempt)
    assert flaws(replace(held, holding=(*held.holding, extra)), told) == [
        (FlawCode.RESERVATION_DIFFERS, f"hold {refused.attempt}")
    ]
    assert flaws(replace(held, reserving=held.reserving[1:]), told) == [
        (FlawCode.RESERVATION_DIFFERS, f"siblings {sibling[1]}")
    ]
    assert flaws(replace(held, reserving=(*held.reserving, ("0" * 64, refused.attempt))), told) == [
        (FlawCode.RESERVATION_DIFFERS, f"siblings {refused.attempt}")
    ]


def test_what_is_held_follows_from_what_is_known(held: Any) -> None:
    holding = {attempt for _, _, attempt in held.holding}
    reserving = {attempt for _, attempt in held.reserving}
    unknown, in_flight = held.ended(End.UNKNOWN).attempt, held.ended(None).attempt
    assert holding == {held.ended(End.APPLIED).attempt, unknown, held.resolved.attempt, in_flight}
    assert reserving == {unknown, in_flight}


def test_only_an_unknown_effect_is_freed_by_its_resolution(held: Any, said: Said) -> None:
    found = said.resolutions[held.resolved.attempt].model_copy(update={"finding": Finding.ABSENT})
    for stored, free in ((held.ended(End.APPLIED), False), (held.ended(End.UNKNOWN), True)):
        reserved = check_attempt(stored, replace_said(said, {stored.attempt: found}), Findings())
        assert (reserved.hold is None) is free


def test_an_attempt_without_siblings_reserves_none(held: Any, said: Said) -> None:
    assert check_attempt(row(held.ended(None), siblings=None), said, Findings()).siblings == frozenset()
