"""A round: the suite on all of our own adapters whose peers can be started from Python packages alone, and its table.

    python -m conformance.rounds [NAME …] [--reports DIR] [--patience N] [--write] [--json]
    python -m conformance.rounds keep DIR/results.json RUN

NAME is a package under `adapters/`. A run is a target file `conformance.toml` or `conformance-WORD.toml` of it, and is
called by the package, with `-WORD`. Target files of other names need more than Python packages: their runs are made by
hand, and kept by the second form. On a busy machine, `--patience 4` allows requests four times as long. `--write` keeps
the records (`conformance.documents.verdicts`) of which pages are made. Ends with 0 if every run is conformant, with 1
if one is not, and with 2 if the round was refused.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Final

from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from conformance.documents.verdicts import ADAPTERS, ROOT, Record, keep, summarised
from conformance.reports import read
from conformance.results import RESULTS_FILE, Judgement, Verdict
from conformance.verdict import exit_code
from gateway.contracts.base import Slug
from gateway.errors import UsageError

RUN_SECONDS: Final = 3600
"""After so long, a run is stopped: the longest takes some minutes, and four times that on a busy machine."""
STOPPING_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Run:
    """One adapter at one target: `record` is None where the suite left no results that can be believed."""

    name: str
    seconds: float
    record: Record | None

    @property
    def conformant(self) -> bool:
        return self.record is not None and self.record.verdict is Verdict.CONFORMANT


def planned(names: Sequence[str]) -> Iterator[tuple[str, str, Path]]:
    """Name, package and target file of each run; of all packages, if none is named. Raises `UsageError` for names that
    no package has."""
    packages = sorted(path.parent.name for path in ADAPTERS.glob("*/plugin.py"))
    wanted = {name.replace("-", "_"): name for name in names}
    if unknown := [name for package, name in wanted.items() if package not in packages]:
        raise UsageError(f"no package under adapters/ is called {', '.join(unknown)}; there are {', '.join(packages)}")
    for package in packages:
        if names and package not in wanted:
            continue
        for target in sorted((ADAPTERS / package).glob("conformance*.toml")):
            word = target.stem.removeprefix("conformance")
            yield package.replace("_", "-") + word, package, target


def patient(target: Path, times: int, directory: Path) -> Path:
    """The target file with `times` its limits; it launches its peer, so that nothing in it is relative to its place."""
    if times == 1:
        return target
    directory.mkdir(parents=True)
    told = re.sub(
        r"\b(request_seconds|commit_seconds) = (\d+(?:\.\d+)?)",
        lambda found: f"{found[1]} = {Decimal(found[2]) * times}",
        target.read_text(encoding="utf-8"),
    )
    copy = directory / target.name
    copy.write_text(told, encoding="utf-8")
    return copy


def run(name: str, package: str, target: Path, report: Path) -> Run:
    """One run, in a process of its own, as an author makes it. Results count where the process ended as they say; it
    began with no `report` or an empty one, so that they are its own."""
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "conformance", "run", _offered(package)]
    began = time.monotonic()
    with subprocess.Popen(  # noqa: S603 - this interpreter, our own arguments
        [*command, "--target", str(target), "--report", str(report)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        said = _said(process)
    seconds = time.monotonic() - began
    path = report / RESULTS_FILE
    results = read(path.read_bytes()) if path.is_file() else None
    if results is None or process.returncode != exit_code(results):
        sys.stderr.write(f"{name} ended with {process.returncode}\n{said}")
        return Run(name, seconds, None)
    return Run(name, seconds, summarised(results))


def _said(process: subprocess.Popen[str]) -> str:
    """What a run printed. One that takes too long is stopped as by Ctrl-C, which ends its peer, too."""
    try:
        return process.communicate(timeout=RUN_SECONDS)[0]
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=STOPPING_SECONDS)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return f"killed: it neither ended within {RUN_SECONDS} s nor stopped within {STOPPING_SECONDS} s\n"


def _must_be_new(report: Path) -> None:
    """Before anything begins: what lies in a report directory would be taken for this round's."""
    if report.exists() and (not report.is_dir() or any(report.iterdir())):
        raise UsageError(f"{report} is there already, and not empty; name another directory in --reports")


def _offered(package: str) -> str:
    """The name under which the package offers its adapter."""
    (name,) = import_module(f"adapters.{package}.plugin").gateway_adapters()
    return str(name)


def show(runs: Sequence[Run]) -> None:
    """The table of a round."""
    table = Table(title="conformance")
    heads = (
        "run",
        "peer",
        "verdict",
        "passed",
        "failed",
        "n/a",
        "could not run",
        "lost: sent at most",
        "looks",
        "seconds",
    )
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number > 2 else "left")
    for each in runs:
        if each.record is None:
            table.add_row(each.name, "", "no results", *[""] * 6, f"{each.seconds:.0f}")
            continue
        record = each.record
        counts = (record.judged.get(judgement, 0) for judgement in list(Judgement)[:4])
        looks = [cut.finding for cut in record.cuts if cut.finding is not None]
        unsure = sum(finding.value == "INDETERMINATE" for finding in looks)
        cells = (*counts, max((cut.sent for cut in record.cuts), default=0), f"{len(looks)}, {unsure} unsure")
        table.add_row(
            each.name, record.peer, record.verdict.value, *(str(cell) for cell in cells), f"{each.seconds:.0f}"
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m conformance.rounds", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="packages under adapters/; all, if none is named. Or: keep DIR/results.json RUN, for a run made by hand",
    )
    parser.add_argument("--reports", type=Path, help="where each run leaves its report, in a new directory of its name")
    parser.add_argument("--patience", type=int, default=1, help="multiplies the limits of every target file")
    parser.add_argument("--write", action="store_true", help="keep the records, of which the documentation is made")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    try:
        if given.names[:1] == ["keep"]:
            sys.stdout.write(f"{_kept_by_hand(given.names[1:]).relative_to(ROOT)}\n")
            return 0
        done = _round(given.names, given.reports or Path(mkdtemp(prefix="conformance-")), given.patience)
    except UsageError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2
    for each in done:
        if given.write and each.record is not None:
            keep(each.record, each.name)
    if given.json:
        spelled = [
            {"run": each.name, "seconds": each.seconds, "record": each.record and each.record.plain()} for each in done
        ]
        sys.stdout.write(json.dumps(spelled, indent=1) + "\n")
    else:
        show(done)
    return 0 if all(each.conformant for each in done) else 1


def _kept_by_hand(given: Sequence[str]) -> Path:
    """Keep the record of a run that was made by hand: its results, and the name of the run."""
    if len(given) != 2:
        raise UsageError("keep takes two arguments: DIR/results.json RUN")
    try:
        results = read(Path(given[0]).read_bytes())
        name = TypeAdapter(Slug).validate_python(given[1])
    except OSError as error:
        raise UsageError(f"{given[0]}: {os.strerror(error.errno or 0)}; name the results of a run") from error
    except ValidationError:
        raise UsageError(f"RUN is a name of small letters, digits and hyphens, not {given[1]!r}") from None
    return keep(summarised(results), name)


def _round(names: Sequence[str], reports: Path, patience: int) -> list[Run]:
    """All runs, one after the other. Raises `UsageError` before the first one begins."""
    if patience < 1:
        raise UsageError("--patience is a factor: 1 or more")
    runs = list(planned(names))
    for name, _, _ in runs:
        _must_be_new(reports / name)
    reports.mkdir(parents=True, exist_ok=True)
    done = []
    for name, package, target in runs:
        with TemporaryDirectory(prefix="target-") as place:
            told = patient(target, patience, Path(place) / name)
            done.append(run(name, package, told, reports / name))
    return done


if __name__ == "__main__":
    sys.exit(main())
