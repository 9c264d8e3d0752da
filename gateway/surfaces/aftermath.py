"""The commands for what ended unknown: look at the external system, and say what a human found.

Owns: `gateway observe` (read-only looks, one after the other, paced) and `gateway resolve` (a signed statement, the
first of which wins). Neither corrects anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.answer import ExitCode, answering, code_of_state
from gateway.cli.options import HOME, Home, Json, Keys, Yes, exactly_one
from gateway.cli.session import reference, with_gateway
from gateway.errors import UsageError
from gateway.surfaces.commands import AttemptArgument, _answer, _subject, agree

if TYPE_CHECKING:
    from gateway.contracts.outcome import Outcome
    from gateway.contracts.references import AttemptId
    from gateway.gateway import Gateway


def observe(
    attempt: Annotated[str | None, typer.Argument(metavar="[ATTEMPT]", help="An att_… reference.")] = None,
    unresolved: Annotated[bool, typer.Option("--unresolved", help="All whose outcome is not known.")] = False,
    every_seconds: Annotated[
        float, typer.Option("--every-seconds", min=0, max=600, help="Pause between two looks.")
    ] = 1.0,
    home: Home = HOME,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Look, read-only, at what became of a commit. Exit 0 when every look was made, whatever it saw."""
    with answering(as_json) as answer:
        from gateway.cli.page import outcome_page
        from gateway.cli.wording import outcome_document
        from gateway.contracts.references import AttemptId
        from gateway.surfaces.local import OPERATOR
        from gateway.surfaces.seat import Seat

        if (attempt is None) is not unresolved:
            raise UsageError("give an ATTEMPT, or --unresolved")
        named = reference(AttemptId, attempt, "ATTEMPT") if attempt is not None else None
        seat = Seat.find(keys, home)
        surface = seat.surface(OPERATOR)

        async def work(gateway: Gateway) -> list[tuple[AttemptId, Outcome]]:
            subjects = [named] if named is not None else await _unresolved(gateway)
            seen = []
            with _progress(subjects, answer.as_json) as paced:
                for number, subject in enumerate(paced):
                    if number:
                        await asyncio.sleep(every_seconds)
                    _, proposal = await _subject(gateway, subject)
                    trigger = surface.observe(proposal, operator=seat.desk.operator, attempt=subject)
                    seen.append((subject, await gateway.observe(trigger.token)))
            return seen

        looks = with_gateway(home, work)
        # A look that was not admitted answers its own outcome, under its own attempt.
        refused = [outcome for subject, outcome in looks if outcome.attempt != subject]
        answer.give(
            {"observed": [{"attempt": subject, "outcome": outcome_document(outcome)} for subject, outcome in looks]},
            [part for _, outcome in looks for part in outcome_page(outcome)] or ["nothing is unresolved"],
            code_of_state(refused[0].state) if refused else ExitCode.SUCCEEDED,
        )


def resolve(
    attempt: AttemptArgument,
    applied: Annotated[bool, typer.Option("--applied", help="The external system holds it.")] = False,
    absent: Annotated[bool, typer.Option("--absent", help="It does not, and will not.")] = False,
    handled_by_hand: Annotated[bool, typer.Option("--handled-by-hand", help="People saw to it otherwise.")] = False,
    observation: Annotated[
        str | None, typer.Option("--observation", help="An obs_… reference.", show_default="the latest")
    ] = None,
    yes: Yes = False,
    home: Home = HOME,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """State, as the operator, what became of an attempt that ended unknown. The first statement wins, for ever."""
    with answering(as_json) as answer:
        from gateway.contracts.references import AttemptId, ObservationId
        from gateway.contracts.statements import Finding
        from gateway.surfaces.local import OPERATOR
        from gateway.surfaces.seat import Seat

        chosen = exactly_one(applied=applied, absent=absent, handled_by_hand=handled_by_hand)
        finding = Finding(chosen.upper())
        named = reference(AttemptId, attempt, "ATTEMPT")
        relied = reference(ObservationId, observation, "--observation") if observation else None
        seat = Seat.find(keys, home)
        surface = seat.surface(OPERATOR)

        async def work(gateway: Gateway) -> Outcome:
            outcome = (await gateway.attempt(named)).outcome
            if outcome is None or outcome.closing_hash is None:
                raise UsageError("ATTEMPT: has not ended; see gateway show")
            latest = outcome.observation.observation_id if outcome.observation else None
            agree(answer, f"Sign: {named} is {finding}? This cannot be taken back.", yes)
            signed = surface.resolve(
                seat.desk.practice,
                named,
                closing_hash=outcome.closing_hash,
                finding=finding,
                resolver=seat.desk.operator,
                observation=relied or latest,
            )
            return await gateway.resolve(signed.token)

        _answer(answer, with_gateway(home, work), ExitCode.SUCCEEDED)


async def _unresolved(gateway: Gateway) -> list[AttemptId]:
    from gateway.contracts.words import Unfinished

    files = await gateway.ports.journal.attempts(standing=Unfinished.UNRESOLVED, limit=10_000)
    return [file.attempt for file in files]


@contextmanager
def _progress(subjects: list[AttemptId], as_json: bool) -> Iterator[Iterable[AttemptId]]:
    """The subjects, with a bar for people where there are several."""
    from rich.progress import Progress

    from gateway.cli.answer import console

    with Progress(console=console(stderr=True), transient=True, disable=as_json or len(subjects) < 2) as progress:
        yield progress.track(subjects, description="looking")
