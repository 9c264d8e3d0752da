"""pytest plugin: which tests carry which requirement ids, and how each of them ended.

`@pytest.mark.requirement("STATE-03", …)` says that breaking those rows makes the test fail. An unknown
id, or a marker without ids, ends the run before any test. `--requirements-record FILE` writes one JSON
document: for each test its node id, requirement ids, outcome, and the exception's name if it failed.
The run is refused where the `gateway` that would be imported is not the one beside the tests.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

import gateway
from conformance.catalogue import rows

ASSERTION = "AssertionError"


@dataclass(slots=True)
class Ended:
    """How one test ended. `exception` is `AssertionError` for every failed expectation."""

    node: str
    requirements: list[str]
    outcome: str = "passed"
    exception: str | None = None


class Recorder:
    """Follows the tests of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tests: dict[str, Ended] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        ended = self.tests.setdefault(item.nodeid, Ended(item.nodeid, requirement_ids(item)))
        if report.failed:
            ended.outcome = "failed" if report.when == "call" else "error"
            ended.exception = _name(call.excinfo.value) if call.excinfo else None
        elif report.skipped and ended.outcome == "passed":
            ended.outcome = "skipped"
        return report

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        document = {"exit": int(exitstatus), "tests": [asdict(ended) for ended in self.tests.values()]}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(document, indent=1), encoding="utf-8")


def requirement_ids(item: pytest.Item) -> list[str]:
    return [str(row) for marker in item.iter_markers("requirement") for row in marker.args]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--requirements-record", type=Path, metavar="FILE", help="write which tests hold which rows")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requirement(*ids): rows of the catalogue that this test would miss if broken")
    imported = Path(gateway.__file__).resolve()
    beside = config.rootpath.resolve() / "gateway"
    if beside.is_dir() and beside not in imported.parents:
        raise pytest.UsageError(f"these tests would import another tree's gateway than {beside}; set PYTHONPATH")
    if path := config.getoption("--requirements-record"):
        config.pluginmanager.register(Recorder(path.resolve()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    known = {row.id for row in rows()}
    for item in items:
        for marker in item.iter_markers("requirement"):
            unknown = [row for row in marker.args if row not in known]
            if unknown or not marker.args:
                raise pytest.UsageError(f"{item.nodeid}: no row {unknown or '(none given)'} in the catalogue")


def _name(error: BaseException) -> str:
    """The exception's name; every kind of failed expectation, alone or grouped, is an AssertionError."""
    if isinstance(error, BaseExceptionGroup):
        names = {_name(inner) for inner in error.exceptions}
        return names.pop() if len(names) == 1 else "+".join(sorted(names))
    return ASSERTION if isinstance(error, (AssertionError, pytest.fail.Exception)) else type(error).__name__
