"""What a person or program may ask for: the race, the profile of one commit, growth.

Owns: options, the size of a run, and that everything made on the way is removed again.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import typer
from rich.console import Console

from benchmarks.contestants import CONTESTANTS
from benchmarks.figures import table
from benchmarks.page import console_table
from benchmarks.profiling import profile, tables
from benchmarks.racing import Plan, race

COUNTS: Final = {1: 60, 16: 160, 64: 256}
QUICK_COUNTS: Final = {1: 20, 16: 32, 64: 64}

app = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    only: Annotated[list[str] | None, typer.Option("--only", help="These contestants; repeat it.")] = None,
    quick: Annotated[bool, typer.Option("--quick", envvar="QUICK", help="A minute instead of six.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Measure this gateway beside a floor and its closest peers, in one run."""
    if context.invoked_subcommand is not None:
        return
    names = tuple(only or [name for name, entry in CONTESTANTS.items() if entry.installed()])
    plan = Plan(names=names, counts=QUICK_COUNTS if quick else COUNTS, rounds=2 if quick else 5)
    console = Console(stderr=True)
    with TemporaryDirectory(prefix="gateway-bench-") as directory:
        found = table(race(plan, Path(directory), console.print))
    if as_json:
        typer.echo(
            json.dumps([{"name": name, "at_once": each, **asdict(cell)} for (name, each), cell in found.items()])
        )
    else:
        Console().print(console_table(found))


@app.command("profile")
def show_profile(
    commits: Annotated[int, typer.Option("--commits", min=1)] = 300,
    top: Annotated[int, typer.Option("--top", min=1, help="Functions to show.")] = 25,
) -> None:
    """Show where the time of one commit goes, layer by layer and function by function."""
    found = profile(commits)
    console = Console()
    console.print(f"{found.commits} commits one at a time: p50 {found.p50:.2f} ms, mean {found.mean:.2f} ms")
    for table_shown in tables(found, top):
        console.print(table_shown)


def main() -> None:
    app()
