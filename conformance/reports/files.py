"""The report directory: which files a run leaves there, and that each is whole or not there at all.

Refuses, as `ReportError`: a directory that cannot be written. The results come first, so that a fault in the making
of a page costs no evidence.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from conformance.reports.document import spell
from conformance.reports.junit import junit
from conformance.reports.page import page
from conformance.results import RESULTS_FILE, Results
from gateway.errors import UsageError

JUNIT_FILE = "junit.xml"
PAGE_FILE = "report.html"


class ReportError(UsageError):
    """The reports cannot be written; names the directory or file and what the system said."""


def write_reports(results: Results, directory: Path) -> None:
    """Write `results.json`, `junit.xml` and `report.html`; makes the directory, replaces earlier files."""
    _attempted(directory, lambda: directory.mkdir(parents=True, exist_ok=True))
    for name, make in ((RESULTS_FILE, spell), (JUNIT_FILE, junit), (PAGE_FILE, page)):
        _replace(directory / name, make(results))


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        _attempted(path, lambda: partial.write_bytes(content))
        _attempted(path, lambda: partial.replace(path))
    finally:
        _attempted(path, lambda: partial.unlink(missing_ok=True))


def _attempted(path: Path, action: Callable[[], object]) -> None:
    try:
        action()
    except OSError as error:
        raise ReportError(f"{path}: {os.strerror(error.errno or 0)}; name another report directory") from error
