"""Mutated replies, many of them: what each adapter made of them.

    python -m tests.mutated [NAME …] [--trials 10000] [--seed 1] [--json]
    python -m tests.mutated record NAME …

Prints a table: how the attempts ended, requests sent twice, complaints with the seeds that show them again, and what
the process grew by. Ends with 1 where anything is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import sys

from rich.console import Console
from rich.table import Table

from tests.mutated.campaign import GROWTH_KIB, Campaign, campaign
from tests.mutated.cases import CASES
from tests.mutated.recording import recorded, write


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutated", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="adapters; all of them, if none is named")
    parser.add_argument("--trials", type=int, default=10_000, help="for each adapter")
    parser.add_argument("--seed", type=int, default=1, help="of the first trial; the next ones count on")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    if given.names[:1] == ["record"]:
        for name in given.names[1:]:
            print(write(asyncio.run(recorded(name))).name)
        return 0
    known = {case.name: case for case in CASES}
    if unknown := sorted(set(given.names) - known.keys()):
        parser.error(f"no case is called {', '.join(unknown)}; there are {', '.join(known)}")
    done = [asyncio.run(campaign(known[name], given.trials, given.seed)) for name in given.names or known]
    if given.json:
        print(json.dumps([dataclasses.asdict(each) for each in done], indent=1))
    else:
        show(done)
    return 0 if all(each.good for each in done) else 1


def show(done: list[Campaign]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 160)
    table = Table(title="mutated replies")
    heads = (
        "adapter",
        "trials",
        "blocked",
        "not sent",
        "refused",
        "applied",
        "unknown",
        "sent twice",
        "wrong",
        "objects",
    )
    for number, head in enumerate((*heads, f"KiB (< {GROWTH_KIB})", "seconds")):
        table.add_column(head, justify="right" if number else "left")
    for each in done:
        ends = (each.ends.get(name, 0) for name in ("BLOCKED", "NOT_SENT", "REFUSED", "APPLIED", "UNKNOWN"))
        last = (each.resent, len(each.wrong), each.objects, each.kib, f"{each.seconds:.0f}")
        table.add_row(each.name, *(f"{count:,}" for count in (each.trials, *ends)), *(str(count) for count in last))
    console.print(table)
    for each in done:
        for seed, complaint in each.wrong[:20]:
            console.print(f"{each.name} --seed {seed} --trials 1: {complaint}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
