"""The page of one attempt, line by line."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from gateway.cli.page import attempt_page
from gateway.cli.timeline import WORDS, Phase, conclusion, timeline
from gateway.cli.wording import Tone
from gateway.contracts.failures import Code
from gateway.contracts.signals import Signal
from gateway.contracts.words import Effect, End, GateName, State
from gateway.journal import AttemptFile


def page_text(file: AttemptFile, width: int = 100) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, highlight=False)
    for part in attempt_page(file):
        console.print(part)
    return stream.getvalue()


def test_the_two_barriers_stand_around_the_commit_and_name_their_keepers(booked: AttemptFile) -> None:
    lines = timeline(booked)
    barriers = [number for number, line in enumerate(lines) if line.barrier]
    assert len(barriers) == 2
    first, second = (lines[number] for number in barriers)
    assert "barrier 1" in first.text and first.text.endswith("kept by journal, file")
    assert "barrier 2" in second.text and second.text.endswith("kept by file, journal")
    between = lines[barriers[0] + 1 : barriers[1]]
    assert all(line.phase is Phase.COMMIT for line in between)
    assert any("1 mutating request of 3 sent" in line.text for line in between)
    assert all("request" not in line.text for line in lines[: barriers[0]] if line.phase is not Phase.INTENT)


def test_every_state_that_was_passed_is_on_the_page_in_order(booked: AttemptFile) -> None:
    passed = [link.event.to_state for link in booked.links if link.event.signal is Signal.STATE_TRANSITION_RECORDED]
    assert [line.state for line in timeline(booked) if line.state] == passed


def test_phases_follow_one_another_and_never_return(booked: AttemptFile) -> None:
    told = [line.phase for line in timeline(booked)]
    assert list(dict.fromkeys(told)) == list(Phase)
    assert sorted(told, key=list(Phase).index) == told


def test_a_failed_gate_says_its_code_and_what_that_means(tale: Any) -> None:
    file = tale.gated(GateName.CONSENT, Code.CONSENT_ABSENT).kept("journal").ended(End.BLOCKED, Code.CONSENT_ABSENT)
    lines = [line for line in timeline(file.file()) if line.text.startswith("gate ")]
    assert len(lines) == 7
    (failed,) = [line for line in lines if line.tone is Tone.BAD]
    assert failed.text == "gate consent, CONSENT_ABSENT: the patient's consent is not in force"


def test_an_attempt_without_intent_has_no_barrier(tale: Any) -> None:
    tale.gated(GateName.CONSENT, Code.CONSENT_ABSENT).kept("journal").ended(End.BLOCKED, Code.CONSENT_ABSENT)
    lines = timeline(tale.file())
    assert not any(line.barrier for line in lines)
    assert any(line.text == "recorded, kept by journal" for line in lines)


def test_a_sink_that_refused_is_named_as_such(tale: Any) -> None:
    tale.gated().ruled().intended().kept("journal").note(Signal.AUDIT_FAILED, sink="file", code=Code.AUDIT_UNAVAILABLE)
    tale.ended(End.NOT_DISPATCHED, Code.AUDIT_UNAVAILABLE)
    (barrier,) = [line for line in timeline(tale.file()) if line.barrier]
    assert barrier.tone is Tone.BAD
    assert barrier.text.endswith("kept by journal, REFUSED by file")


def test_an_intent_whose_process_died_still_shows_its_first_barrier(tale: Any) -> None:
    file = tale.gated().ruled().intended().file()
    (barrier,) = [line for line in timeline(file) if line.barrier]
    assert barrier.text.endswith("kept by journal")
    facts = {fact.label: fact.text for fact in conclusion(file)}
    assert facts["standing"].startswith("In flight") and facts["hold"] == "held while in flight"


@pytest.mark.parametrize(
    ("end", "effect", "code", "hold"),
    [
        (End.UNKNOWN, Effect.UNKNOWN, Code.CONNECTION_LOST, "kept"),
        (End.REFUSED, Effect.REFUSED, Code.SLOT_TAKEN, "released"),
        (End.APPLIED, Effect.APPLIED, Code.COMMITTED, "for ever"),
    ],
)
def test_the_hold_is_told_as_the_table_of_ends_has_it(
    tale: Any, end: End, effect: Effect, code: Code, hold: str
) -> None:
    tale.gated().ruled().intended().kept("journal").effected(effect, code).kept("journal").ended(end, code)
    facts = {fact.label: fact.text for fact in conclusion(tale.file())}
    assert facts["hold"].startswith(hold)


def test_every_signal_has_words_of_its_own(tell: Callable[[], Any]) -> None:
    structural = {Signal.STATE_TRANSITION_RECORDED, Signal.AUDIT_ACCEPTED, Signal.AUDIT_FAILED}
    assert set(WORDS) == set(Signal) - structural
    for signal in WORDS:  # and the words can do without any detail
        tale = tell()
        tale.note(signal)
        assert timeline(tale.file())


def test_a_resumed_attempt_goes_back_to_its_gates(tale: Any) -> None:
    tale.gated().note(Signal.DECISION_REQUIRED_EMITTED).kept("journal").to(State.PAUSED)
    tale.note(Signal.DECISION_ANSWERED).to(State.GATED)
    phases = [line.phase for line in timeline(tale.file())]
    assert phases[-1] is Phase.GATES and Phase.OUTCOME in phases


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_page_stays_within_its_width_and_says_everything(booked: AttemptFile, width: int) -> None:
    text = page_text(booked, width)
    assert max(map(len, text.splitlines())) <= width
    assert "Confirmed" in text and "gate external-readiness" in text and "policy standard/1" in text


def test_marks_say_without_colour_what_colour_says(booked: AttemptFile) -> None:
    assert page_text(booked).count("✓") >= len(GateName)
