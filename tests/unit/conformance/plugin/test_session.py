"""A session passes only where every requirement was tried once, in order, and the run's own results say so."""

from __future__ import annotations

import logging
import signal
import sys
import textwrap
from typing import Any

import pytest

from conformance.registry import REQUIREMENTS
from conformance.results import Judgement
from gateway.errors import UsageError

pytest_plugins = ("pytester",)
REQUIRED = list(REQUIREMENTS)


# -- what a whole run is like ------------------------------------------------------------------------------


def test_a_conformant_run_passes_and_says_where_its_report_is(session: Any) -> None:
    code, shown = session.pytest()
    assert code == 0
    assert session.run.executed == REQUIRED
    assert "is conformant on acme sandbox" in shown
    assert "the report is in report" in shown
    assert {"results.json", "junit.xml", "report.html"} <= {path.name for path in session.report.iterdir()}


def test_the_authors_own_tests_run_first_and_count(session: Any) -> None:
    session.pytester.makepyfile("async def test_mine(): assert False")
    code, shown = session.pytest("-v")
    assert code == 1
    assert "is conformant" in shown
    assert shown.index("test_mine") < shown.index(f"conformance::{REQUIRED[0]}")


@pytest.mark.parametrize(
    ("judgement", "expected", "verdict"),
    [
        (Judgement.FAILED, 1, "is not conformant"),
        (Judgement.COULD_NOT_RUN, 2, "Incomplete"),
        (Judgement.HARNESS_ERROR, 3, "Incomplete"),
        (Judgement.NOT_APPLICABLE, 2, "Incomplete"),
    ],
)
def test_what_did_not_pass_is_an_item_that_fails_and_the_suites_exit_code(
    judgement: Judgement, expected: int, verdict: str, session: Any
) -> None:
    session.run.script = {"book.applied": judgement}
    code, shown = session.pytest()
    assert code == expected
    assert verdict in shown
    if judgement is not Judgement.NOT_APPLICABLE:  # one that no claim supports is skipped, and not believed
        assert f"{judgement}: because it is {judgement}" in shown
        assert "1 failed" in shown


# -- less than a whole run ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("-k", "book"),
        ("-k", "not lost"),
        ("--deselect", "conformance::book.applied"),
        ("-m", "slow"),
        ("--collect-only",),
        ("--collect-only", "-q"),
        ("-k", "nothing-is-called-so"),
    ],
)
def test_a_session_that_leaves_something_out_is_incomplete_though_all_of_it_passes(
    words: tuple[str, ...], session: Any
) -> None:
    code, shown = session.pytest(*words, "-W", "ignore")
    assert code == 2
    assert "Incomplete" in shown
    assert " failed" not in shown
    assert len(session.run.executed) < len(REQUIRED)


@pytest.mark.parametrize("words", [("-x",), ("--maxfail=1",)])
def test_a_session_that_stops_early_is_not_judged_by_what_it_reached(words: tuple[str, ...], session: Any) -> None:
    session.run.script = {REQUIRED[3]: Judgement.COULD_NOT_RUN}
    code, shown = session.pytest(*words)
    assert code == 2
    assert session.run.executed == REQUIRED[:4]
    assert session.run.cleaned == 1
    assert "Incomplete" in shown


def test_a_session_without_any_item_is_incomplete_and_contacts_nothing(session: Any) -> None:
    session.pytester.makeconftest("def pytest_collection_modifyitems(items): items.clear()")
    code, shown = session.pytest()
    assert code == 2
    assert session.run.opened == 0
    assert "no requirement was tried" in shown
    assert not session.report.exists()


TAMPERING = {
    "skip in setup": """
        def pytest_runtest_setup(item):
            if item.name == "book.applied":
                pytest.skip("not mine")
        """,
    "skip mark": """
        def pytest_collection_modifyitems(items):
            for each in items:
                each.add_marker(getattr(pytest.mark, "skip"))
        """,
    "own protocol": """
        def pytest_runtest_protocol(item):
            return item.name == "book.applied" or None
        """,
    "replaced item": """
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_call(item):
            if item.name == "book.applied":
                item.runtest = lambda: None
            return (yield)
        """,
    "removed items": """
        def pytest_collection_modifyitems(items):
            items[:] = [each for each in items if "book" not in each.name]
        """,
    "edited reports": """
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item):
            report = yield
            report.outcome = "passed"
            return report
        """,
    "edited status": """
        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_sessionfinish(session):
            ended = yield
            session.exitstatus = 0
            return ended
        """,
}


@pytest.mark.parametrize("conftest", TAMPERING.values(), ids=TAMPERING)
def test_an_authors_hooks_cannot_make_a_session_pass(conftest: str, session: Any) -> None:
    session.pytester.makeconftest("import pytest\n" + textwrap.dedent(conftest))
    session.run.script = {"refused.credentials": Judgement.FAILED}
    code, shown = session.pytest()
    assert code != 0
    assert "is conformant" not in shown


def test_a_requirement_that_fails_is_not_tried_again_until_it_passes(session: Any) -> None:
    session.pytester.makeconftest(
        "from _pytest.runner import runtestprotocol\n"
        "def pytest_runtest_protocol(item, nextitem):\n"
        "    runtestprotocol(item, nextitem=nextitem, log=False)\n"
        "    for report in runtestprotocol(item, nextitem=nextitem, log=False):\n"
        "        item.ihook.pytest_runtest_logreport(report=report)\n"
        "    return True\n"
    )
    code, shown = session.pytest("-x")
    assert code != 0
    assert session.run.executed == REQUIRED[:1]
    assert "tried before" in shown


def test_what_judges_the_whole_run_cannot_be_taken_first(session: Any) -> None:
    session.pytester.makeconftest("def pytest_collection_modifyitems(items): items.reverse()")
    code, shown = session.pytest()
    assert code == 2
    assert session.run.executed == REQUIRED[-1:]
    assert "comes too late" in shown


# -- what goes wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [UsageError("writes is too small"), KeyError("secret-value")])
def test_a_run_that_cannot_be_opened_is_tried_once_and_incomplete(refusal: Exception, session: Any) -> None:
    session.run.refusal = refusal
    code, shown = session.pytest()
    assert code == 2
    assert "1 failed" in shown
    assert "writes is too small" in shown or "KeyError in the suite" in shown
    assert "secret-value" not in shown


def test_a_report_that_cannot_be_written_leaves_nothing_conformant(session: Any) -> None:
    session.report.write_text("in the way", encoding="utf-8")
    code, shown = session.pytest()
    assert code == 2
    assert session.run.executed == REQUIRED
    assert "report" in shown.split("is conformant")[1]


def test_an_interruption_cleans_up_and_is_recorded(session: Any) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    session.run.doing = {REQUIRED[5]: interrupt}
    session.run.cleaning = lambda: signal.raise_signal(signal.SIGINT)  # an impatient author
    code, shown = session.pytest()
    assert code == 2
    assert (session.run.cleaned, session.run.interrupted) == (1, True)
    assert "The run was interrupted" in shown


def test_what_is_printed_or_logged_during_an_item_is_shown_to_nobody(session: Any) -> None:
    def speak() -> None:
        print("canary")
        sys.stderr.write("canary")
        logging.getLogger("acme").warning("canary")

    session.run.script = {REQUIRED[7]: Judgement.FAILED}
    session.run.doing = {REQUIRED[2]: speak, REQUIRED[7]: speak}
    code, shown = session.pytest("-rA")
    assert code == 1
    assert "canary" not in shown
