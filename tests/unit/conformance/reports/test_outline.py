"""How a run reads: what counts as what, and what is missing."""

from __future__ import annotations

from collections.abc import Callable

from conformance.conduct import CONDUCT
from conformance.registry import REQUIREMENTS
from conformance.reports.outline import (
    AREAS,
    MISCONDUCT,
    NEEDS,
    Line,
    headline,
    lines,
    missing,
    reason,
    standing,
    tally,
)
from conformance.requirement import Need
from conformance.results import Judgement, Peer, Results


def line(results: Results, name: str) -> Line:
    return next(each for each in lines(results) if each.id == name)


def test_every_requirement_is_a_line_whether_or_not_it_was_executed(incomplete: Results) -> None:
    found = lines(incomplete)
    assert [each.id for each in found] == list(REQUIREMENTS)
    assert sum(each.counts is None for each in found) == len(REQUIREMENTS) - len(incomplete.results) > 20


def test_what_stands_in_the_slot_is_compared_with_what_is_known(conformant: Results) -> None:
    applied = next(each for each in conformant.results if each.requirement == "book.applied")
    assert standing(applied) == "1 in the slot, 1 expected"
    assert standing(applied.model_copy(update={"expected_effects": None})) == "1 in the slot"
    assert standing(applied.model_copy(update={"effects": None})) is None
    lost = applied.model_copy(update={"requirement": "lost.late.cancel", "effects": 1, "expected_effects": 0})
    assert standing(lost) == "1 in the slot, 0 if carried out"
    crashed = applied.model_copy(update={"requirement": "crash.after-send", "effects": 0})
    assert standing(crashed) == "0 in the slot, 1 if carried out"


def test_every_misconduct_has_words() -> None:
    assert {slug for slugs in CONDUCT.values() for slug in slugs} == set(MISCONDUCT)


def test_every_area_and_need_of_the_registry_has_words() -> None:
    assert {name.partition(".")[0] for name in REQUIREMENTS} == set(AREAS)
    assert set(NEEDS) == set(Need)


def test_a_twins_pass_where_the_sandbox_must_answer_counts_as_could_not_run(failing: Results) -> None:
    found = line(failing, "observe.absent")
    assert (found.result.judgement, found.counts) == (Judgement.PASSED, Judgement.COULD_NOT_RUN)
    assert reason(found, failing) == (
        "Recorded as passed, counts as could not run: this requirement needs evidence from the sandbox itself, not "
        "from a twin."
    )


def test_a_pass_without_a_receipt_of_its_fault_counts_as_could_not_run(
    conformant: Results, alter: Callable[..., Results]
) -> None:
    silent = alter(conformant, lost_late_book={"receipts": ()})
    found = line(silent, "lost.late.book")
    assert found.counts is Judgement.COULD_NOT_RUN
    assert reason(found, silent).endswith("no receipt says that every fault of it struck.")


def test_an_excuse_that_no_claim_supports_counts_as_an_error(
    conformant: Results, alter: Callable[..., Results]
) -> None:
    excused = alter(conformant, book_applied={"judgement": Judgement.NOT_APPLICABLE})
    found = line(excused, "book.applied")
    assert found.counts is Judgement.HARNESS_ERROR
    assert reason(found, excused).endswith("what is declared and what was excused disagree.")


def test_a_requirement_told_twice_counts_as_an_error_both_times(conformant: Results) -> None:
    twice = conformant.model_copy(update={"results": (*conformant.results, conformant.results[-1])})
    found = [each for each in lines(twice) if each.id == conformant.results[-1].requirement]
    assert [each.counts for each in found] == [Judgement.HARNESS_ERROR] * 2
    assert "more than once" in reason(found[0], twice)


def test_a_result_that_the_registry_does_not_know_is_told_and_counts_for_nothing(conformant: Results) -> None:
    strange = conformant.results[0].model_copy(update={"requirement": "strange.one", "judgement": Judgement.FAILED})
    with_it = conformant.model_copy(update={"results": (*conformant.results, strange)})
    assert lines(with_it)[-1].advisory
    assert missing(with_it) == ()
    assert headline(with_it).endswith("dialect standard.")


def test_an_excused_requirement_says_what_is_not_declared(conformant: Results) -> None:
    assert reason(line(conformant, "claims.no-cancel"), conformant) == "Not declared: that cancelling is unsupported."


def test_what_is_missing_is_told_for_every_kind_of_run(
    conformant: Results, failing: Results, incomplete: Results, readonly: Results
) -> None:
    assert missing(conformant) == ()
    assert "3 required checks failed." in missing(failing)
    assert "1 required check ended with an error of the suite." in missing(failing)
    assert missing(incomplete)[0] == "The run was interrupted before its end."
    assert missing(readonly)[0] == "The run was read-only; conformance needs a run against a sandbox."
    empty = conformant.model_copy(update={"results": ()})
    assert missing(empty) == (f"{len(REQUIREMENTS)} required checks did not execute.", "No check passed.")


def test_the_headline_is_derived_whatever_the_file_says(failing: Results, conformant: Results) -> None:
    assert headline(conformant).startswith("The adapter exampleehr is conformant on Example EHR sandbox")
    boast = failing.model_copy(update={"verdict": conformant.verdict})
    assert "is not conformant" in headline(boast)


def test_a_tally_counts_every_line_once(failing: Results) -> None:
    assert sum(tally(lines(failing)).values()) == len(REQUIREMENTS)
    assert any(each.result is not None and each.result.peer is Peer.TWIN for each in lines(failing))
