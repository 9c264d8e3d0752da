"""pytest's door to the conformance suite, for an author's own test run (entry point `gateway-conformance`).

    pytest --conformance-adapter=NAME --conformance-target=FILE --conformance-report=DIR

(With `=`: a path that is a word of its own counts among those from which pytest finds its root directory.)

Owns: the three options. A run is asked for by an option, never found by collection: what is written to a vendor's
system must not depend on the directory in which somebody types `pytest`.
Invariant: without these options nothing else is imported, registered or done; the package that brings this plugin
is installed in many environments whose test runs are none of its business.
"""

from __future__ import annotations

from pathlib import Path

import pytest

OPTIONS = ("--conformance-adapter", "--conformance-target", "--conformance-report")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "conformance to the scheduling gateway")
    adapter, target, report = OPTIONS
    group.addoption(adapter, metavar="NAME", help="try this installed adapter: one more test per requirement")
    group.addoption(target, type=Path, metavar="FILE", help="the target file: which system, as whom, how much")
    group.addoption(report, type=Path, metavar="DIR", help="where the report goes; a new directory")


def pytest_configure(config: pytest.Config) -> None:
    given = [config.getoption(option) for option in OPTIONS]
    if all(value is None for value in given):
        return
    if any(value is None for value in given):
        raise pytest.UsageError(f"conformance: give all of {', '.join(OPTIONS)}, or none")
    if hasattr(config, "workerinput") or config.getoption("numprocesses", None):
        raise pytest.UsageError("conformance: the suite is one run in one process; leave out -n")
    from conformance.author.suite import Suite  # noqa: PLC0415 - a session without a target must not pay for it

    if config.pluginmanager.register(Suite.prepare(*given), "gateway-conformance-suite") is None:
        raise pytest.UsageError("conformance: the suite was asked for and blocked; leave out -p no:…")
