"""What a person or program may ask for: the race, the profile of one commit, growth.

Owns: options, the size of a run, and that everything made on the way is removed again.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from benchmarks import machine, page, syncs
from benchmarks.contestants import CONTESTANTS
from benchmarks.figures import table
from benchmarks.growth import Size, grow
from benchmarks.profiling import profile
from benchmarks.racing import Plan, race
from benchmarks.report import Report
from benchmarks.site import site

COUNTS: Final = {1: 40, 16: 96, 64: 192}
QUICK_COUNTS: Final = {1: 10, 16: 16, 64: 64}

app = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    only: Annotated[list[str] | None, typer.Option("--only", help="These contestants; repeat it.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A minute instead of six; no syncs are counted.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Put the figures into docs/benchmarks.md.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Measure this gateway beside a floor and its closest peers, in one run."""
    if context.invoked_subcommand is not None:
        return
    names = tuple(only or [name for name, entry in CONTESTANTS.items() if entry.installed()])
    report = _measure(names, QUICK_COUNTS if quick else COUNTS, rounds=1 if quick else 4, syncs_too=not quick)
    if write:
        page.replace("race", page.markdown(report))
    if as_json:
        typer.echo(json.dumps(report.plain()))
        return
    for shown in page.tables(report):
        Console().print(shown)


def _measure(names: Sequence[str], counts: Mapping[int, int], *, rounds: int, syncs_too: bool) -> Report:
    console = Console(stderr=True)
    with site(names) as ground:
        found = race(Plan(names=tuple(names), counts=counts, rounds=rounds), ground, console.print)
        facts = machine.facts(ground.directory, ground.server.version() if ground.server else None)
    counted: Mapping[tuple[str, int], syncs.Syncs] = {}
    if syncs_too and syncs.available():
        console.print("counting syncs")
        with site(names) as ground:
            counted = syncs.count(names, ground)
    return Report(machine=facts, figures=table(found), syncs=counted, rounds=rounds, counts=counts)


@app.command("profile")
def show_profile(
    commits: Annotated[int, typer.Option("--commits", min=1)] = 300,
    top: Annotated[int, typer.Option("--top", min=1, help="Functions to show.")] = 25,
    write: Annotated[bool, typer.Option("--write", help="Put the layers into docs/benchmarks.md.")] = False,
) -> None:
    """Show where the time of one commit goes, layer by layer and function by function."""
    with site() as ground:
        found = profile(commits, ground)
    if write:
        page.replace("profile", page.profile_markdown(found))
    for shown in page.profile_tables(found, top):
        Console().print(shown)


@app.command("growth")
def show_growth(
    attempts: Annotated[int, typer.Option("--attempts", min=1000, help="In the large journal.")] = 5_000_000,
    small: Annotated[int, typer.Option("--small", min=100, help="In the small one.")] = 10_000,
    directory: Annotated[
        Path | None, typer.Option("--directory", help="Where there is room: six gigabytes for a million attempts.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Put the figures into docs/benchmarks.md.")] = False,
) -> None:
    """Show what a commit costs in a large journal, beside a small one. Removes what it made."""
    console = Console(stderr=True)
    with site(within=directory) as ground:
        found = asyncio.run(grow(Size(attempts=attempts, small=small), ground, console.print))
    if write:
        page.replace("growth", page.growth_markdown(found))
    Console().print(page.growth_table(found))


def main() -> None:
    """Run a command. SIGTERM ends it as an interrupt does: with everything that it started and made."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    app()
