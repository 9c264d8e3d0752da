"""`gateway audit archive`: move the events of old, finished attempts out of the journal, into volumes.

Run by an operator, beside running gateways if need be; nothing archives by itself. `--plan` says what would be moved
and moves nothing. `--compact` gives the freed space back and wants the gateways stopped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.answer import Answer, answering
from gateway.cli.auditing import ARCHIVE, Checkpoints, checkpoint_files, read_checkpoint
from gateway.cli.options import HOME, Home, Json
from gateway.cli.session import with_gateway
from gateway.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gateway.audit.checkpoint import SealedCheckpoint
    from gateway.audit.retention import Retention, Tally
    from gateway.gateway import Gateway


def archive(
    before: Annotated[str, typer.Option("--before", help="A day or instant (UTC): attempts that ended earlier.")],
    to: Annotated[
        Path | None, typer.Option("--to", help="Directory of volumes.", show_default="archive, beside the home")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say how much that is, and move nothing.")] = False,
    compact: Annotated[bool, typer.Option("--compact", help="Then shrink the journal's file; stop gateways first.")] = (
        False
    ),
    checkpoints: Checkpoints = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Move events of finished attempts into volumes, as far as the latest checkpoint vouches for them.

    Keys, outcomes and everything signed stay in the journal for ever: nothing can be done twice afterwards. May be
    interrupted at any instant and run again.
    """
    with answering(as_json) as answer:
        if plan and compact:
            raise UsageError("--compact: with --plan nothing is moved, so there is nothing to give back")
        earlier_than = _instant(before)
        directory = to or home.absolute().parent / ARCHIVE

        async def work(gateway: Gateway) -> Tally:
            run = _retention(gateway, earlier_than, checkpoints or home.absolute().parent / "checkpoints")
            tally = await _follow(answer, run.plan() if plan else run.run(directory))
            if compact:
                await gateway.ports.journal.compact()
            return tally

        _report(answer, with_gateway(home, work), planned=plan, compacted=compact, directory=directory)


def _instant(text: str) -> datetime:
    for spelling in ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"):
        with suppress(ValueError):
            return datetime.strptime(text, spelling).replace(tzinfo=UTC)
    raise UsageError("--before: a day as 2026-01-31, or an instant as 2026-01-31T09:00:00Z")


def _retention(gateway: Gateway, before: datetime, checkpoints: Path) -> Retention:
    from gateway.audit.retention import Retention

    run = Retention(journal=gateway.ports.journal, vouching=_latest(gateway, checkpoints), before=before)
    run.check(gateway.ports.clock.now())
    return run


def _latest(gateway: Gateway, directory: Path) -> SealedCheckpoint:
    """The newest kept checkpoint: each lists everything, so the others add nothing."""
    from gateway.audit import checkpoint

    kept = checkpoint_files(directory)
    if not kept:
        raise ConfigurationError("there is no checkpoint to vouch for anything; run gateway audit checkpoint")
    return checkpoint.read(read_checkpoint(kept[-1]), gateway.ports.keyring)


async def _follow(answer: Answer, tallies: AsyncIterator[Tally]) -> Tally:
    """Go through with it, saying on a terminal how far it is."""
    from gateway.audit.retention import Tally

    screen, tally = answer.aside(), Tally()
    status: Any = screen.status("reading …") if screen is not None and screen.is_terminal else None
    shown: AbstractContextManager[Any] = status or nullcontext()
    with shown:
        async for tally in tallies:
            if status is not None:
                status.update(f"{tally.attempts} attempts, {_size(tally.event_bytes)}, {tally.volumes} volumes")
    return tally


def _report(answer: Answer, tally: Tally, *, planned: bool, compacted: bool, directory: Path) -> None:
    from gateway.cli.page import facts_table, marked
    from gateway.cli.timeline import Fact
    from gateway.cli.wording import Tone

    facts = [
        Fact("attempts", str(tally.attempts)),
        Fact("events", f"{tally.events}, {_size(tally.event_bytes)}"),
        Fact("volumes", f"{tally.volumes}, in {directory}"),
    ]
    if tally.uncovered:
        stays = f"{tally.uncovered} more are old enough, but not as they are now in the latest checkpoint"
        facts.append(Fact("left", stays, Tone.CARE))
    if tally.oversized:
        stays = f"{tally.oversized} more have too many events, or too long ones, for a volume; they stay in the journal"
        facts.append(Fact("left", stays, Tone.CARE))
    said = "nothing to archive"
    if tally.attempts:
        said = "would be archived; nothing was moved" if planned else "archived; keep a copy of the volumes elsewhere"
    page: list[RenderableType] = [marked(Tone.GOOD, said), facts_table(facts)]
    if compacted:
        page.append(marked(Tone.GOOD, "the journal's file was compacted"))
    document = {
        "planned": planned,
        "attempts": tally.attempts,
        "events": tally.events,
        "event_bytes": tally.event_bytes,
        "volumes": tally.volumes,
        "uncovered": tally.uncovered,
        "oversized": tally.oversized,
        "directory": str(directory),
        "compacted": compacted,
    }
    answer.give(document, page)


def _size(count: int) -> str:
    size, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.1f} {unit}" if unit != "bytes" else f"{count} bytes"
