"""JUnit as a continuous integration system reads it: nothing that did not pass looks green."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from conformance.registry import REQUIREMENTS
from conformance.reports.junit import junit
from conformance.results import Judgement, Results, Verdict


def parsed(results: Results) -> ET.Element:
    return ET.fromstring(junit(results))  # noqa: S314 - our own


def case(root: ET.Element, name: str) -> ET.Element:
    (found,) = [each for each in root.iter("testcase") if each.get("name") == name]
    return found


@pytest.mark.parametrize("run", ["conformant", "failing", "incomplete", "readonly"])
def test_the_case_verdict_fails_unless_the_run_is_conformant(run: str, request: pytest.FixtureRequest) -> None:
    results: Results = request.getfixturevalue(run)
    failure = case(parsed(results), "verdict").find("failure")
    assert (failure is None) is (run == "conformant")
    if failure is not None:
        assert failure.get("type") == results.verdict.value
        assert failure.text


def test_a_run_of_nothing_but_skips_is_red(conformant: Results) -> None:
    none_ran = conformant.model_copy(
        update={
            "results": tuple(
                each.model_copy(update={"judgement": Judgement.COULD_NOT_RUN})
                if each.judgement is Judgement.PASSED
                else each
                for each in conformant.results
            ),
            "verdict": Verdict.CONFORMANT,  # as an edited file would say
        }
    )
    root = parsed(none_ran)
    assert (root.get("failures"), root.get("skipped")) == ("1", str(len(conformant.results)))


@pytest.mark.parametrize("run", ["conformant", "failing", "incomplete", "readonly"])
def test_every_requirement_is_one_case_and_the_counts_are_right(run: str, request: pytest.FixtureRequest) -> None:
    root = parsed(request.getfixturevalue(run))
    assert [each.get("name") for each in root.iter("testcase")].count("verdict") == 1
    assert {each.get("name") for each in root.iter("testcase")} == {*REQUIREMENTS, "verdict"}
    for holder in (root, *root.iter("testsuite")):
        assert int(holder.get("tests", "")) == len(list(holder.iter("testcase")))
        for name, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(holder.get(name, "")) == len(list(holder.iter(kind))), (holder.get("name"), kind)


def test_each_judgement_has_its_own_shape(failing: Results, incomplete: Results) -> None:
    root = parsed(failing)
    failed = case(root, "lost.after-commit.book").find("failure")
    assert failed is not None
    assert failed.get("message", "").startswith("failed [sandbox]: Expected one mutating request and one effect")
    assert "2 in the slot, 1 if carried out" in (failed.text or "")
    assert "fault after-commit: fired 1, reached the system, answered" in (failed.text or "")
    error = case(root, "ready.hanging").find("error")
    assert error is not None
    assert error.get("type") == "harness-error"
    skipped = case(root, "lost.late.cancel").find("skipped")
    assert skipped is not None
    assert skipped.get("message", "").startswith("could not run [twin]: The fault left no receipt")
    assert list(case(root, "book.applied")) == []
    undone = case(parsed(incomplete), "hostile.slow-reply").find("skipped")
    assert undone is not None
    assert undone.get("message") == "did not execute: The run did not reach it."


def test_signs_that_xml_refuses_do_not_break_the_document(conformant: Results, alter: Callable[..., Results]) -> None:
    noisy = alter(conformant, book_applied={"judgement": Judgement.FAILED, "reason": 'a\x00b\x1b[31m <&" \u202e'})
    failure = case(parsed(noisy), "book.applied").find("failure")
    assert failure is not None
    assert 'A\ufffdb\ufffd[31m <&" \ufffd' in failure.get("message", "")
