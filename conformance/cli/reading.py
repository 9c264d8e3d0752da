"""`gateway conformance requirements|compare`: the registry, and what differs between two runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conformance.cli.ending import Ending, answering
from gateway.cli.options import Json
from gateway.errors import UsageError

if TYPE_CHECKING:
    from conformance.results import Results


def requirements(as_json: Json = False) -> None:
    """List every requirement: id, level, tier, and what it costs."""
    with answering(as_json) as answer:
        from conformance.registry import REQUIREMENTS
        from conformance.requirement import CONTRACT_VERSION
        from gateway.cli.page import listing

        found = REQUIREMENTS.values()
        document = {
            "contract_version": CONTRACT_VERSION,
            "requirements": [
                {
                    "id": each.id,
                    "statement": each.statement,
                    "level": each.level.value,
                    "needs": [need.value for need in each.needs],
                    "tier": each.tier.value,
                    "writes": each.writes,
                    "at_most_once": each.at_most_once,
                    "rows": list(each.rows),
                    "advisory": each.advisory,
                }
                for each in found
            ],
        }
        rows = [(each.id, each.level.value, each.tier.value, each.statement) for each in found]
        answer.give(document, [listing(("requirement", "level", "tier", "statement"), rows, "none")])


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A results.json.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    as_json: Json = False,
) -> None:
    """Show which requirements ended otherwise in B than in A. 0: none; 1: some."""
    with answering(as_json) as answer:
        from conformance.comparison import compare as compared
        from conformance.verdict import derive
        from gateway.cli.page import listing

        before, after = _results(first, "A"), _results(second, "B")
        differences = compared(before, after)
        verdicts = [derive(before).value, derive(after).value]
        document = {
            "verdicts": verdicts,
            "about": [each.plain() for each in differences.about],
            "judgements": [each.plain() for each in differences.judgements],
        }
        lines = [
            f"verdict: {verdicts[0]} → {verdicts[1]}",
            *(f"{each.what}: {_short(each.before)} → {_short(each.after)}" for each in differences.about),
        ]
        rows = [
            (each.requirement, each.before or "not run", each.after or "not run") for each in differences.judgements
        ]
        table = listing(("requirement", "A", "B"), rows, "every requirement ended alike")
        same = not differences.judgements and verdicts[0] == verdicts[1]
        answer.give(document, [*lines, table], Ending.DONE if same else Ending.DOES_NOT_HOLD)


def _short(text: str) -> str:
    """Digests are compared by programs; people need to see that they differ."""
    return f"{text[:16]}…" if len(text) == 64 else text


def _results(path: Path, shown: str) -> Results:
    from conformance.reports import read

    return read(raw_results(path, shown))


def raw_results(path: Path, shown: str) -> bytes:
    """The exact bytes of a results.json; raises `UsageError`."""
    from conformance.reports.document import MAX_RESULTS_BYTES
    from gateway import documents

    content = documents.read(path, shown, MAX_RESULTS_BYTES)
    if content is None:
        raise UsageError(f"{shown}: there is no such file")
    return content
