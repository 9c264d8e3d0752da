"""The whole story of a practice, told at the command line, and every way in which a command can end."""

from __future__ import annotations

from typing import Any


def target(answer: dict[str, Any]) -> dict[str, str]:
    outcome = answer["outcome"]
    return {"appointment": outcome["external_reference"], "version": outcome["version"]}


def test_a_practice_books_reschedules_and_cancels_and_the_audit_holds(practice: Any) -> None:
    before = practice.sandbox.sent()
    booking = practice.propose()
    practice.ask("review", booking, "--approve", "--yes")
    booked = practice.ask("commit", booking)
    assert (booked["outcome"]["state"], booked["outcome"]["standing"]) == ("SUCCEEDED", "CONFIRMED")

    again = practice.ask("commit", booking)
    assert again["outcome"] == booked["outcome"] | {"replayed": True}
    assert practice.sandbox.sent() == before + 1

    moved = practice.ask("commit", practice.approved("reschedule", target(booked)))
    cancelled = practice.ask("commit", practice.approved("cancel", target(moved)), code=4)
    assert cancelled["outcome"]["code"] == "TARGET_CHANGED"  # it is shown at another hour than it is
    practice.slots -= 2
    cancelled = practice.ask("commit", practice.approved("cancel", target(moved)))
    assert cancelled["outcome"]["standing"] == "CONFIRMED"
    assert practice.sandbox.sent() == before + 3

    assert [entry["state"] for entry in practice.ask("list")["attempts"]].count("SUCCEEDED") == 3
    assert practice.ask("list", "--unresolved")["attempts"] == []
    stands = [entry["stands"] for entry in practice.ask("list", "--proposals")["proposals"]]
    assert sorted(stands) == ["approved", "carried out", "carried out", "carried out"]
    practice.ask("audit", "checkpoint")
    verified = practice.ask("audit", "verify")
    assert verified["intact"] and verified["covered"] == 8
    assert practice.ask("doctor")["fit"]
