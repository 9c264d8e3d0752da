"""The suite tried on itself: what is compared, and what counts as a difference."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from conformance.mutants import selftest as module
from conformance.mutants.catalogue import MUTANTS
from conformance.mutants.matrix import Matrix, load
from conformance.mutants.selftest import Report, Tried, selftest
from gateway.errors import UsageError

QUICK = "booking-hidden"  # almost nothing applies to an adapter that does not book


def tried(**changes: Any) -> Tried:
    as_known: dict[str, Any] = {
        "mutant": "retries",
        "flaw": "",
        "expected": frozenset({"race.one-key"}),
        "red": {"race.one-key": "a reason"},
        "at_fault": {},
        "conformant": False,
        "seconds": 1.0,
    }
    return Tried(**as_known | changes)


def test_a_mutant_that_turns_red_what_it_is_known_to_is_no_difference() -> None:
    assert tried().differences == ()
    assert tried(expected=frozenset(), red={}, conformant=True).differences == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"red": {}}, "race.one-key is named and not red"),
        ({"expected": frozenset({"race.one-slot"}), "red": {"race.one-slot": "", "book.applied": "why"}}, "why"),
        ({"at_fault": {"race.one-key": "KeyError"}}, "race.one-key is the suite's own fault: KeyError"),
        ({"conformant": True}, "a broken adapter is called conformant"),
        ({"expected": frozenset(), "red": {}}, "an honest adapter is not called conformant"),
    ],
)
def test_each_kind_of_difference_is_named(changes: dict[str, Any], said: str) -> None:
    different = tried(**changes)
    assert any(said in each for each in different.differences)
    assert not Report(tried=(different,), seconds=1.0).passed


def test_a_check_without_a_control_fails_the_whole() -> None:
    assert Report(tried=(tried(),), seconds=1.0).passed
    assert not Report(tried=(tried(),), without_control=("race.one-key",), seconds=1.0).passed


def test_an_unknown_name_is_refused_before_anything_is_started() -> None:
    with pytest.raises(UsageError, match="no such mutant: stranger"):
        selftest(("stranger", QUICK))


def test_a_mutant_is_tried_in_a_process_of_its_own_and_compared_with_its_row() -> None:
    told: list[Tried] = []
    report = selftest((QUICK,), jobs=1, progress=told.append)
    assert report.passed and report.without_control == ()
    assert [each.mutant for each in told] == [QUICK] == [each.mutant for each in report.tried]
    assert set(told[0].red) == load(MUTANTS).red[QUICK] == {"claims.no-book"}


def test_a_matrix_that_expects_something_else_makes_it_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    golden = load(MUTANTS)
    wrong = Matrix(MappingProxyType({**golden.red, QUICK: frozenset({"claims.steady"})}), golden.unguarded)
    monkeypatch.setattr(module, "load", lambda mutants: wrong)
    report = selftest((QUICK,), jobs=1)
    assert not report.passed
    assert [each.split(" is ")[0] for each in report.tried[0].differences] == ["claims.no-book", "claims.steady"]


def test_the_crash_checks_are_left_to_those_whose_row_names_one_unless_a_mutant_is_asked_for() -> None:
    golden = load(MUTANTS)
    assert module._checks(golden, "always-absent", named=False) == ()
    assert module._checks(golden, "no-op", named=False) == ()
    assert module._checks(golden, "leaks-into-log", named=True) == ()
    spared = module._checks(golden, "leaks-into-log", named=False)
    assert "lost.late.book" in spared and not any(each.startswith("crash.") for each in spared)
