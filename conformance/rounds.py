"""A round: the suite on all of our own adapters whose peers can be started from Python packages alone, and its table.

    python -m conformance.rounds [NAME …] [--reports DIR] [--patience N] [--write] [--json]
    python -m conformance.rounds keep DIR/results.json NAME

A run is a target file `conformance.toml` or `conformance-WORD.toml` of a package under `adapters/`; it is called by the
package, with `-WORD`. Target files of other names need more than Python packages: their runs are made by hand, and kept
by the second form. On a busy machine, `--patience 4` allows requests four times as long. `--write` keeps the records
(`conformance.documents.verdicts`) of which pages are made. Ends with 1 unless every run is conformant.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from rich.console import Console
from rich.table import Table

from conformance.documents.verdicts import ADAPTERS, ROOT, Record, keep, summarised
from conformance.reports import read
from conformance.results import RESULTS_FILE, Judgement, Verdict


@dataclass(frozen=True, slots=True)
class Run:
    """One adapter at one target: `record` is None where the suite left no results."""

    name: str
    seconds: float
    record: Record | None

    @property
    def conformant(self) -> bool:
        return self.record is not None and self.record.verdict is Verdict.CONFORMANT


def planned(packages: Sequence[str]) -> Iterator[tuple[str, str, Path]]:
    """Name, adapter and target file of each run; of all packages, if none is named."""
    for directory in sorted(path.parent for path in ADAPTERS.glob("*/plugin.py")):
        if packages and directory.name not in packages:
            continue
        for target in sorted(directory.glob("conformance*.toml")):
            word = target.stem.removeprefix("conformance")
            yield directory.name.replace("_", "-") + word, directory.name, target


def patient(target: Path, times: int, directory: Path) -> Path:
    """The target file with `times` its limits; it launches its peer, so that nothing in it is relative to its place."""
    if times == 1:
        return target
    directory.mkdir(parents=True)
    told = re.sub(
        r"\b(request_seconds|commit_seconds) = (\d+)",
        lambda found: f"{found[1]} = {int(found[2]) * times}",
        target.read_text(encoding="utf-8"),
    )
    copy = directory / target.name
    copy.write_text(told, encoding="utf-8")
    return copy


def run(name: str, adapter: str, target: Path, report: Path) -> Run:
    """One run, in a process of its own, as an author makes it."""
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "conformance", "run", _offered(adapter)]
    began = time.monotonic()
    done = subprocess.run(  # noqa: S603 - this interpreter, our own arguments
        [*command, "--target", str(target), "--report", str(report)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    if not (report / RESULTS_FILE).is_file():
        sys.stderr.write(done.stdout + done.stderr)
        return Run(name, seconds, None)
    return Run(name, seconds, summarised(read((report / RESULTS_FILE).read_bytes())))


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
    parser.add_argument("names", nargs="*", metavar="NAME", help="packages under adapters/; all, if none is named")
    parser.add_argument("--reports", type=Path, help="where each run leaves its report, in a directory of its name")
    parser.add_argument("--patience", type=int, default=1, help="multiplies the limits of every target file")
    parser.add_argument("--write", action="store_true", help="keep the records, of which the documentation is made")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    if given.names[:1] == ["keep"]:
        results, name = given.names[1:]
        sys.stdout.write(f"{keep(summarised(read(Path(results).read_bytes())), name).relative_to(ROOT)}\n")
        return 0
    reports: Path = given.reports or Path(mkdtemp(prefix="conformance-"))
    reports.mkdir(parents=True, exist_ok=True)
    done = []
    for name, adapter, target in planned(given.names):
        with TemporaryDirectory(prefix="target-") as place:
            told = patient(target, given.patience, Path(place) / name)
            done.append(run(name, adapter, told, reports / name))
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
    return 0 if done and all(each.conformant for each in done) else 1


if __name__ == "__main__":
    sys.exit(main())
