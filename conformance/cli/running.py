"""`gateway conformance run|clean`: try an adapter on a target, and finish the clean-up of a run that was killed."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from conformance.cli.ending import Ending, answering
from gateway.cli.options import Json
from gateway.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from conformance.results import MutantScore, Residue
    from conformance.target.plan import Plan

TargetFile = Annotated[Path, typer.Option("--target", metavar="FILE", help="Which system, as whom, how much (TOML).")]


class Profile(StrEnum):
    """`conformance.results.Profile`, spelled here so that `--help` needs no model."""

    SANDBOX = "sandbox"
    PRODUCTION_READONLY = "production-readonly"


NOTHING_TRIED: Final = "nothing was started or sent"


def run(
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="An installed adapter, or package.module:Class.")],
    target: TargetFile,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="DIR", help="A new directory, for the report and the run's ledger."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only tell what it would cost; ends with 2.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the unfinished run in the report directory.")
    ] = False,
    mutate: Annotated[
        bool, typer.Option("--mutate", help="Also break the adapter in many ways, and see whether it is noticed.")
    ] = False,
    profile: Annotated[Profile, typer.Option("--profile", help="The second one never writes.")] = Profile.SANDBOX,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="ID", help="One requirement; repeatable. Leaves the run incomplete."),
    ] = None,
    without_faults: Annotated[
        bool, typer.Option("--without-faults", help="No fault strikes: shows that its checks then cannot pass.")
    ] = False,
    accept_known: Annotated[
        bool, typer.Option("--accept-known", help="0 as well where only the target file's known failures fail.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Try an adapter on a real system and say whether it conforms: 0 yes, 1 no, 2 incomplete, 3 the suite failed.

    Ctrl-C stops, cleans up and leaves a report; --resume continues. What was not tried never counts as passed.
    """
    with answering(as_json) as answer:
        import asyncio

        from conformance.recorded_run import RecordedRun
        from conformance.reports import console as terminal
        from conformance.results import Profile as Known
        from conformance.target import safety
        from conformance.verdict import Exit, exit_code, only_known, stale
        from gateway.cli.answer import console

        def planned(expected: Plan) -> None:  # also where the target file then turns out not to admit it
            for part in _planned(expected) if plan and not as_json else ():
                console().print(part)

        if not plan:
            safety.prepare(_given(report), resume=resume)
        prepared = RecordedRun.prepare(
            adapter,
            target,
            profile=Known(profile.value),
            only=only or (),
            faults=not without_faults,
            mutate=mutate,
            planned=planned,
        )
        if plan:  # a run of no checks proves nothing, so that no pipeline takes it for one
            told = f"{NOTHING_TRIED}; leave out --plan to run"
            answer.give({"plan": dict(prepared.plan.document())}, [told], Ending.REFUSED)
            return
        screen = answer.aside()
        with terminal.Silent() if as_json else terminal.Console() as watcher:
            performing = prepared.perform(
                _given(report), watcher, resume=resume, scored=lambda score: _tell(score, screen)
            )
            results = asyncio.run(performing)
            watcher.concluded(results)
        page = [f"report: {_given(report) / 'report.html'}"]
        page += [
            f"known failure that no longer fails: {name}; take it out of the target file" for name in stale(results)
        ]
        if only_known(results):
            page.append("nothing failed but what the target file lists as known")
        accepted = accept_known and only_known(results)
        answer.give(results.plain(), page, Exit.CONFORMANT if accepted else exit_code(results))


def clean(
    target: TargetFile,
    report: Annotated[Path, typer.Option("--report", metavar="DIR", help="The report directory of the run.")],
    as_json: Json = False,
) -> None:
    """Remove what a killed run left, by its ledger: what it created and nothing else. 0: nothing remains."""
    with answering(as_json) as answer:
        import asyncio

        from conformance.recorded_run import clean_up
        from gateway.cli.page import marked
        from gateway.cli.wording import Tone

        residue = asyncio.run(clean_up(target, report))
        ended = Ending.DONE if residue.verified and not residue.remaining else Ending.REFUSED
        tone = Tone.GOOD if ended is Ending.DONE else Tone.CARE
        answer.give({"residue": residue.plain()}, [marked(tone, _left(residue))], ended)


def _tell(score: MutantScore, screen: Console | None) -> None:
    if screen is not None:
        caught = f"noticed by {', '.join(score.by)}" if score.caught else "not noticed"
        screen.print(f"mutant {score.mutant}: {caught}", markup=False)


def _given(report: Path | None) -> Path:
    if report is None:
        raise UsageError("--report: name a new directory for the report")
    return report


def _planned(plan: Plan) -> list[RenderableType]:
    """The plan as a table, and what no table shows."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("system", "checks", "reads", "writes", "slots", "looks", "settling", "minutes"):
        table.add_column(name, justify="left" if name == "system" else "right")
    for share in plan.peers:
        figures = (len(share.checks), share.reads, share.writes, share.slots, share.looks)
        told = [str(figure) for figure in figures]
        waits = share.requests_per_minute or share.settling_seconds
        minutes = f"{share.minutes:.1f}" if waits else "as it answers"
        table.add_row(share.peer.value, *told, f"{share.settling_seconds} s", minutes)
    notes = [f"{len(plan.excused)} checks do not apply, by the adapter's claims"] if plan.excused else []
    if plan.unable:
        notes.append(f"{len(plan.unable)} checks have no system that can bear them: the run will be incomplete")
    return [table, *notes]


def _left(residue: Residue) -> str:
    if not residue.verified and not residue.remaining:
        return "the system could not be looked at; by the run's ledger nothing of it remains there"
    if not residue.verified:
        return f"the system could not be looked at; up to {residue.remaining} appointments may remain"
    told = f"{residue.removed} of {residue.created} appointments removed"
    kept = f"; the system keeps {residue.kept} of them as cancelled" if residue.kept else ""
    where = ", ".join(f"{slot:%Y-%m-%d %H:%M} UTC" for slot in residue.where[:10])
    return f"{told}{kept}" + (f"; {residue.remaining} remain, at {where}" if residue.remaining else "")
