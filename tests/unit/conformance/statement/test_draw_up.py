"""What a run must be before anything is stated of it, and what the statement then says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import rfc8785

from conformance.registry import REQUIREMENTS
from conformance.reports.document import spell
from conformance.results import (
    Evidence,
    Grade,
    Judgement,
    MutantScore,
    Peer,
    Profile,
    Residue,
    Results,
    TargetIdentity,
    Verdict,
)
from conformance.statement import StatementError, draw_up, suite_digest
from gateway.attestation import ConformanceStatement
from gateway.conformity import code_digest
from gateway.errors import InvalidInput, MalformedInput
from gateway.signatures import MAX_TOKEN_BYTES

ENDED = datetime(2031, 3, 4, 9, 0, tzinfo=UTC)
NOW = ENDED + timedelta(hours=2)
FIRST = next(name for name, each in REQUIREMENTS.items() if not each.needs)


def drawn(stated: Any, results: Results, **given: Any) -> ConformanceStatement:
    full: dict[str, Any] = {"installed": stated.code, "now": NOW} | given
    return draw_up(spell(results), **full)


def with_result(results: Results, requirement: str, **changes: Any) -> Results:
    """The same run with one result replaced; the verdict stays as it was written."""
    entries = tuple(
        entry.model_copy(update=changes) if entry.requirement == requirement else entry for entry in results.results
    )
    return results.model_copy(update={"results": entries})


def test_the_statement_is_in_the_shape_that_in_toto_documents(stated):
    document = json.loads(stated.statement.canonical())
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert document["subject"] == [{"name": "sandbox", "digest": {"sha256": stated.code.digest}}]
    predicate = document["predicate"]
    assert predicate["result"] == "PASSED"
    assert predicate["failedTests"] == predicate["warnedTests"] == []
    assert {each["name"]: each["digest"]["sha256"] for each in predicate["configuration"]} == {
        "conformance": suite_digest(),
        "results.json": hashlib.sha256(stated.raw).hexdigest(),
        "target": "ab" * 32,
    }
    assert rfc8785.dumps(document) == stated.statement.canonical()


def test_every_requirement_is_in_exactly_one_list(stated):
    predicate, facts = stated.statement.predicate, stated.statement.facts
    listed = [*predicate.passedTests, *predicate.warnedTests, *facts.not_applicable]
    assert sorted(listed) == sorted(REQUIREMENTS)
    assert facts.not_applicable and facts.could_not_run == ()
    assert set(facts.on_twin) <= set(predicate.passedTests)


def test_it_says_what_was_tried_how_it_was_watched_and_what_it_does_not_prove(stated):
    results = stated.again(
        target=TargetIdentity(
            label="spring", dialect="spring", fingerprint="12" * 32, observer=Grade.SECOND_CREDENTIAL, launched=False,
            twin="a twin",
        ),
        mutation=(
            MutantScore(mutant="null", caught=True, by=(FIRST,), peer=Peer.TWIN),
            MutantScore(mutant="forgetful", caught=False, peer=Peer.TWIN),
        ),
        residue=(
            Residue(peer=Peer.TARGET, created=5, removed=3, remaining=2),
            Residue(peer=Peer.TWIN, created=9, removed=8, remaining=1),
        ),
        parts=3,
    )  # fmt: skip
    facts = drawn(stated, results).facts
    assert (facts.target.label, facts.target.observer, facts.target.twin) == ("spring", "second-credential", "a twin")
    assert (facts.dialect, facts.target.fingerprint) == ("spring", "12" * 32)
    assert (facts.target.remaining, facts.parts) == (3, 3)
    assert facts.mutation is not None and (facts.mutation.tried, facts.mutation.caught) == (2, 1)
    assert facts.capabilities == results.descriptor
    assert (facts.at_most_once.evidence, facts.at_most_once.commits) == ("not-violated", results.at_most_once.commits)
    assert facts.attempts == sum(len(entry.attempts) for entry in results.results)
    assert (facts.contract_version, facts.salt) == (1, results.salt)
    assert "does not prove that the target behaved" in facts.proves


def test_it_holds_from_now_until_its_days_after_the_run_and_signing_later_gains_nothing(stated):
    early = drawn(stated, stated.results, valid_days=10)
    late = drawn(stated, stated.results, valid_days=10, now=ENDED + timedelta(days=9))
    assert early.facts.issued_at == NOW
    assert early.facts.expires_at == late.facts.expires_at == ENDED + timedelta(days=10)


def test_a_token_of_the_whole_registry_stays_far_below_the_limit(stated):
    assert len(stated.token()) < MAX_TOKEN_BYTES * 3 // 4


UNFIT: Mapping[str, tuple[Callable[[Results], Results], str]] = {
    "a failed check": (
        lambda run: with_result(run, FIRST, judgement=Judgement.FAILED),
        f"the run is not-conformant: {FIRST}",
    ),
    "a check that could not run": (
        lambda run: with_result(run, FIRST, judgement=Judgement.COULD_NOT_RUN),
        f"the run is incomplete: {FIRST}",
    ),
    "a harness error": (
        lambda run: with_result(run, FIRST, judgement=Judgement.HARNESS_ERROR),
        f"the run is incomplete: {FIRST}",
    ),
    "an excuse that no claim supports": (
        lambda run: with_result(run, FIRST, judgement=Judgement.NOT_APPLICABLE),
        f"the run is incomplete: {FIRST}",
    ),
    "a check left out": (
        lambda run: run.model_copy(update={"results": tuple(e for e in run.results if e.requirement != FIRST)}),
        f"the run is incomplete: {FIRST}",
    ),
    "a check twice": (
        lambda run: run.model_copy(
            update={"results": (*run.results, *(e for e in run.results if e.requirement == FIRST))}
        ),
        f"the run is incomplete: {FIRST}",
    ),
    "no check at all": (lambda run: run.model_copy(update={"results": ()}), "does not follow from its results"),
    "a check that this suite does not have": (
        lambda run: run.model_copy(
            update={"results": (*run.results, run.results[0].model_copy(update={"requirement": "book.nicely"}))}
        ),
        "requirements that this suite does not have",
    ),
    "an interrupted run": (lambda run: run.model_copy(update={"interrupted": True}), "the run is incomplete"),
    "a read-only run": (
        lambda run: run.model_copy(update={"profile": Profile.PRODUCTION_READONLY}),
        "profile production-readonly writes nothing",
    ),
    "another verdict on paper": (
        lambda run: run.model_copy(update={"verdict": Verdict.INCOMPLETE}),
        "says incomplete, but its results yield conformant",
    ),
    "another contract version": (lambda run: run.model_copy(update={"contract_version": 2}), "contract version 2"),
    "another suite": (lambda run: run.model_copy(update={"suite": "0" * 64}), "the suite is not the one"),
    "other code": (
        lambda run: run.model_copy(update={"adapter": run.adapter.model_copy(update={"code_digest": "0" * 64})}),
        "other code is installed than was tried",
    ),
    "another adapter": (
        lambda run: run.model_copy(update={"adapter": run.adapter.model_copy(update={"name": "other"})}),
        "of adapter other, not sandbox",
    ),
    "evidence of at most once that nothing supports": (
        lambda run: run.model_copy(
            update={"at_most_once": run.at_most_once.model_copy(update={"commits": 900, "requests": 900})}
        ),
        "does not follow from its results",
    ),
    "an effect more than asked for": (
        lambda run: _doubled(run, effects=2),
        "at most once was violated",
    ),
}


def _doubled(run: Results, **changes: Any) -> Results:
    """An appointment twice, and a file that says that all was well."""
    entry = next(entry for entry in run.results if entry.attempts)
    return with_result(run, entry.requirement, **changes)


@pytest.mark.parametrize(("change", "reason"), UNFIT.values(), ids=UNFIT.keys())
def test_nothing_is_stated_of_a_run_that_is_not_conformant_whole_and_of_this_code(stated, change, reason):
    with pytest.raises(StatementError, match=reason):
        drawn(stated, change(stated.results))


def test_two_requests_in_one_attempt_are_a_violation_whatever_the_file_says(stated):
    entry = next(entry for entry in stated.results.results if entry.attempts)
    twice = tuple(attempt.model_copy(update={"sent": 2}) for attempt in entry.attempts)
    with pytest.raises(StatementError, match="at most once was violated"):
        drawn(stated, with_result(stated.results, entry.requirement, attempts=twice))


def test_a_run_without_anybody_counting_effects_may_say_unobservable_and_no_more(stated):
    blind = tuple(
        entry.model_copy(update={"effects": None, "expected_effects": None}) for entry in stated.results.results
    )
    with pytest.raises(StatementError, match="does not follow from its results"):
        drawn(stated, stated.results.model_copy(update={"results": blind}))
    honest = stated.again(
        results=blind,
        at_most_once=stated.results.at_most_once.model_copy(update={"evidence": Evidence.UNOBSERVABLE, "effects": 0}),
    )
    assert drawn(stated, honest).facts.at_most_once.evidence == "unobservable"


@pytest.mark.parametrize("days", [0, -1, 401])
def test_a_statement_holds_for_a_bounded_time(stated, days):
    with pytest.raises(StatementError, match="from 1 to 400"):
        drawn(stated, stated.results, valid_days=days)


def test_an_old_run_is_not_stated_anew(stated):
    with pytest.raises(StatementError, match="10 days ago or earlier"):
        drawn(stated, stated.results, valid_days=10, now=ENDED + timedelta(days=10))


def test_a_run_that_ends_in_the_future_is_not_stated(stated):
    with pytest.raises(StatementError, match="ends in the future"):
        drawn(stated, stated.results, now=ENDED - timedelta(seconds=1))


def test_code_that_changed_since_the_run_is_refused(stated):
    with pytest.raises(StatementError, match="other code is installed than was tried"):
        drawn(stated, stated.results, installed=replace(stated.code, digest="1" * 64))


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", MalformedInput),
        (b"{}", InvalidInput),
        (b'{"format":1,"format":1}', MalformedInput),
        (b"\xff", MalformedInput),
    ],
)
def test_what_is_no_results_file_is_refused(stated, raw, error):
    with pytest.raises(error):
        draw_up(raw, stated.code, now=NOW)


def test_the_suite_is_identified_by_its_whole_package():
    assert suite_digest() == code_digest("conformance.statement")
