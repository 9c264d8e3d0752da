"""What of a journal is damaged or gone, checkpoints aside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.audit import FlawCode
from gateway.contracts.chain import RecordKind
from gateway.contracts.words import End
from tests.unit.audit.held import flaws, row


def test_damage_is_told_once_whatever_it_is(held: Any, told: Any) -> None:
    assert flaws(replace(held, broken=("a page", "an index")), told) == [(FlawCode.UNREADABLE, "journal")]


def test_rows_that_are_gone_leave_a_gap_in_their_numbers(held: Any, told: Any) -> None:
    paused = held.ended(End.PAUSED)
    found = flaws(replace(held, found=tuple(one for one in held.found if one is not paused)), told)
    assert found == [(FlawCode.POSITION_GAP, "attempt")]
    first = held.ended(End.APPLIED)
    assert flaws(held.changed(first, row(first, position=None)), told) == [(FlawCode.POSITION_GAP, "attempt")]
    stop = next(record for record in held.told if record.kind == RecordKind.WITHDRAWAL)
    assert flaws(held.said(stop), told) == [(FlawCode.POSITION_GAP, "record")]


def test_a_resolution_or_an_observation_of_an_attempt_that_is_gone_is_found(held: Any, told: Any) -> None:
    gone = held.resolved
    found = flaws(replace(held, found=tuple(one for one in held.found if one is not gone)), told)
    assert (FlawCode.RECORD_INVALID, f"attempt {gone.attempt}") in found
