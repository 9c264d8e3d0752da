"""What raw results prove: a verdict that no run, report or editor can talk up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from conformance.registry import REQUIREMENTS
from conformance.requirement import Need, Tier
from conformance.results import (
    AdapterIdentity,
    AtMostOnce,
    AttemptRecord,
    Evidence,
    Grade,
    Judgement,
    Peer,
    Profile,
    ReceiptRecord,
    Result,
    Results,
    TargetIdentity,
    Verdict,
)
from conformance.verdict import Exit, at_most_once, derive, exit_code, only_known, stale, unmet
from gateway.contracts.adapter import Basis, Commitment, Descriptor, Exclusivity, Idempotency
from gateway.contracts.proposal import Operation
from gateway.contracts.words import Effect

AT = datetime(2031, 3, 4, 9, 0, tzinfo=UTC)
CLAIMS = Descriptor(
    adapter="any",
    operations=tuple(Operation),
    idempotency=Idempotency.UNIQUE,
    exclusivity=Exclusivity.ENFORCED,
    observation=Basis.BY_KEY,
)


STRUCK = ReceiptRecord(point="late", fired=1, forwarded=True, answered=True)
UNFIRED = ReceiptRecord(point="late", fired=0, forwarded=False, answered=False)


def entry(name: str, judgement: Judgement = Judgement.PASSED, peer: Peer = Peer.TARGET, **more: Any) -> Result:
    more.setdefault("receipts", (STRUCK,) if REQUIREMENTS[name].struck else ())
    return Result(requirement=name, judgement=judgement, peer=peer, started_at=AT, seconds=0.1, **more)


def all_is_well() -> dict[str, Result]:
    excused = {name for name, each in REQUIREMENTS.items() if each.missing(CLAIMS, credential=True)}
    return {
        name: entry(name, Judgement.NOT_APPLICABLE if name in excused else Judgement.PASSED) for name in REQUIREMENTS
    }


def of(entries: dict[str, Result], **changes: Any) -> Results:
    once = AtMostOnce(evidence=Evidence.NOT_VIOLATED, trials=1, points=(), commits=1, requests=1, effects=1)
    fields: dict[str, Any] = {
        "contract_version": 1,
        "suite": "0" * 64,
        "suite_version": "1",
        "adapter": AdapterIdentity(name="any", distribution="any", version="1", code_digest="0" * 64),
        "descriptor": CLAIMS,
        "commitment": Commitment.IMMEDIATE,
        "credential": True,
        "target": TargetIdentity(
            label="any", dialect="standard", fingerprint="0" * 64, observer=Grade.INDEPENDENT_CLIENT, launched=True
        ),
        "profile": Profile.SANDBOX,
        "exhaustive": True,
        "salt": "0" * 64,
        "parts": 1,
        "started_at": AT,
        "ended_at": AT,
        "results": tuple(entries.values()),
        "at_most_once": once,
        "verdict": Verdict.CONFORMANT,
    }
    return Results(**fields | changes)


def test_all_passed_or_excused_is_conformant() -> None:
    results = of(all_is_well())
    assert derive(results) is Verdict.CONFORMANT
    assert exit_code(results) is Exit.CONFORMANT
    assert list(unmet(results)) == []


def test_nothing_executed_is_incomplete_whatever_the_document_says() -> None:
    results = of({})
    assert derive(results) is Verdict.INCOMPLETE
    assert len(list(unmet(results))) == len(REQUIREMENTS)


@pytest.mark.requirement("CARD-07")
@pytest.mark.parametrize("name", REQUIREMENTS)
def test_each_required_check_that_did_not_execute_makes_a_run_incomplete(name: str) -> None:
    entries = all_is_well()
    del entries[name]
    assert derive(of(entries)) is Verdict.INCOMPLETE


@pytest.mark.parametrize(
    ("judgement", "verdict", "code"),
    [
        (Judgement.FAILED, Verdict.NOT_CONFORMANT, Exit.NOT_CONFORMANT),
        (Judgement.COULD_NOT_RUN, Verdict.INCOMPLETE, Exit.INCOMPLETE),
        (Judgement.HARNESS_ERROR, Verdict.INCOMPLETE, Exit.HARNESS_ERROR),
        (Judgement.NOT_APPLICABLE, Verdict.INCOMPLETE, Exit.INCOMPLETE),  # no claim excuses it
    ],
)
def test_one_check_that_did_not_pass_decides(judgement: Judgement, verdict: Verdict, code: Exit) -> None:
    results = of(all_is_well() | {"book.applied": entry("book.applied", judgement)})
    assert (derive(results), exit_code(results)) == (verdict, code)


def test_a_failure_outranks_whatever_did_not_execute() -> None:
    results = of({"book.applied": entry("book.applied", Judgement.FAILED)})
    assert derive(results) is Verdict.NOT_CONFORMANT


def test_a_check_that_claims_excuse_cannot_be_called_passed() -> None:
    results = of(all_is_well() | {"claims.no-cancel": entry("claims.no-cancel")})
    assert derive(results) is Verdict.INCOMPLETE


def test_a_twin_says_nothing_about_what_the_target_itself_must_show() -> None:
    core = next(each for each in REQUIREMENTS.values() if each.tier is Tier.CORE and not each.stands_in and each.needs)
    heavy = next(
        each for each in REQUIREMENTS.values() if each.tier is Tier.EXHAUSTIVE and Need.NO_BOOK not in each.needs
    )
    lent = {name: entry(name, peer=Peer.TWIN) for name in ("ready.forbidden", "lost.late.book", heavy.id)}
    assert (
        derive(of(all_is_well() | {name: each for name, each in lent.items() if "no-" not in name}))
        is Verdict.CONFORMANT
    )
    assert derive(of(all_is_well() | {core.id: entry(core.id, peer=Peer.TWIN)})) is Verdict.INCOMPLETE


def test_a_requirement_that_stands_twice_blames_the_suite() -> None:
    entries = all_is_well() | {"twice": entry("book.applied")}
    assert derive(of(entries)) is Verdict.INCOMPLETE


@pytest.mark.parametrize("changes", [{"interrupted": True}, {"profile": Profile.PRODUCTION_READONLY}])
def test_a_run_broken_off_or_one_that_only_reads_is_never_conformant(changes: dict[str, Any]) -> None:
    assert derive(of(all_is_well(), **changes)) is Verdict.INCOMPLETE


def test_a_violation_of_at_most_once_outranks_every_passed_check() -> None:
    once = AtMostOnce(evidence=Evidence.VIOLATED, trials=1, points=(), commits=1, requests=2, effects=1)
    assert derive(of(all_is_well(), at_most_once=once)) is Verdict.NOT_CONFORMANT


@pytest.mark.requirement("CARD-07")
@pytest.mark.parametrize("receipts", [(), (UNFIRED,), (STRUCK, UNFIRED)])
@pytest.mark.parametrize("name", [name for name, each in REQUIREMENTS.items() if each.struck])
def test_a_fault_check_without_receipts_has_not_passed(name: str, receipts: tuple[ReceiptRecord, ...]) -> None:
    assert derive(of(all_is_well() | {name: entry(name, receipts=receipts)})) is Verdict.INCOMPLETE


def attempt(sent: int) -> AttemptRecord:
    return AttemptRecord(operation=Operation.BOOK, effect=Effect.UNKNOWN, sent=sent)


def test_at_most_once_compares_commits_requests_and_effects() -> None:
    receipt = ReceiptRecord(point="late", fired=1, forwarded=True, answered=True)
    unfired = ReceiptRecord(point="refused", fired=0, forwarded=False, answered=False)
    tried = [
        entry("lost.late.book", attempts=(attempt(1),), receipts=(receipt,), effects=1, expected_effects=1),
        entry("lost.refused.book", attempts=(attempt(0),), receipts=(unfired,), effects=0, expected_effects=1),
        entry("ready.proven", attempts=(AttemptRecord(operation=Operation.BOOK),)),
    ]
    found = at_most_once(tried, observed=True)
    assert found == AtMostOnce(
        evidence=Evidence.NOT_VIOLATED, trials=2, points=("late",), commits=2, requests=1, effects=1
    )
    assert at_most_once(tried, observed=False).evidence is Evidence.UNOBSERVABLE


@pytest.mark.parametrize(("sent", "effects"), [(2, 1), (1, 2)])
def test_a_second_request_or_a_second_effect_violates_it(sent: int, effects: int) -> None:
    tried = [entry("book.applied", attempts=(attempt(sent),), effects=effects, expected_effects=1)]
    assert at_most_once(tried, observed=True).evidence is Evidence.VIOLATED


def test_two_bookings_that_the_system_lets_overlap_are_no_violation() -> None:
    tried = [entry("slots.shared", attempts=(attempt(1), attempt(1)), effects=2, expected_effects=2)]
    assert at_most_once(tried, observed=True).evidence is Evidence.NOT_VIOLATED


def test_a_known_failure_changes_no_verdict_and_is_told_apart_from_a_new_one() -> None:
    failed = all_is_well() | {"ready.slot-taken": entry("ready.slot-taken", Judgement.FAILED)}
    known = of(failed, known=("ready.slot-taken",))
    assert (derive(known), exit_code(known)) == (Verdict.NOT_CONFORMANT, Exit.NOT_CONFORMANT)
    assert only_known(known) and not only_known(of(failed))
    assert not only_known(of(failed | {"ready.proven": entry("ready.proven", Judgement.FAILED)}, known=known.known))
    assert not only_known(of({}, known=known.known))


def test_a_known_failure_that_no_longer_fails_fails_the_run() -> None:
    results = of(all_is_well(), known=("ready.slot-taken",))
    assert stale(results) == ("ready.slot-taken",)
    assert exit_code(results) is Exit.NOT_CONFORMANT and not only_known(results)


def test_a_violation_of_at_most_once_is_never_a_known_failure() -> None:
    failed = all_is_well() | {"book.applied": entry("book.applied", Judgement.FAILED)}
    assert not only_known(of(failed, known=("book.applied",)))
