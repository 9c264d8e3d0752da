"""`gateway conformance selftest`: the suite, tried on adapters that are known to be broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from conformance.cli.ending import Ending, answering
from gateway.cli.options import Json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from conformance.mutants.selftest import Report, Tried


def selftest(
    mutants: Annotated[
        list[str] | None, typer.Argument(metavar="[MUTANT]...", help="Only these.", show_default="all")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, max=64, help="Processes at a time.", show_default="5 a core")
    ] = None,
    as_json: Json = False,
) -> None:
    """Try every mutant: it must turn red exactly what the golden matrix names, and honest adapters nothing. 0 or 1."""
    with answering(as_json) as answer:
        from conformance.mutants.selftest import selftest as tested

        screen = answer.aside()
        report = tested(mutants or (), jobs=jobs, progress=lambda tried: _tell(tried, screen))
        document = {
            "seconds": round(report.seconds, 1),
            "without_control": list(report.without_control),
            "mutants": [
                {"mutant": each.mutant, "red": sorted(each.red), "differences": list(each.differences)}
                for each in report.tried
            ],
        }
        answer.give(document, _page(report), Ending.DONE if report.passed else Ending.DOES_NOT_HOLD)


def _tell(tried: Tried, screen: Console | None) -> None:
    if screen is not None:
        mark = "✗" if tried.differences else "✓"
        screen.print(f"{mark} {tried.mutant}: {tried.flaw} ({len(tried.red)} red, {tried.seconds} s)", markup=False)


def _page(report: Report) -> list[RenderableType]:
    from gateway.cli.page import marked
    from gateway.cli.wording import Tone

    different = [each for each in report.tried if each.differences]
    lines = [marked(Tone.BAD, f"{each.mutant}: {said}") for each in different for said in each.differences]
    lines += [marked(Tone.BAD, f"{each}: no mutant turns it red") for each in report.without_control]
    tone, count = (Tone.GOOD if report.passed else Tone.BAD), len(report.tried)
    told = f"{count - len(different)} of {count} mutants as the matrix says, in {report.seconds:.0f} s"
    return [*lines, marked(tone, told)]
