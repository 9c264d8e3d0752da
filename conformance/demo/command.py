"""`gateway demo`: the command itself (entry point `demo` of group `gateway.commands`).

Owns: its options, its exit code, and that nothing is left running, however it ends.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.answer import answering
from gateway.cli.options import Json


def demo(
    directory: Annotated[
        Path | None, typer.Option("--dir", help="A new or empty directory; kept.", show_default="a fresh temporary one")
    ] = None,
    as_json: Json = False,
) -> None:
    """Book, reschedule and cancel on a real calendar server, then try everything that must not work."""
    with answering(as_json) as answer:
        from conformance.demo.page import Page  # noqa: PLC0415 - heavy; `gateway --help` must not wait for it
        from conformance.demo.performance import Performance  # noqa: PLC0415 - the same

        performance = Performance.prepare(directory, Page(answer.aside()))
        code = performance.run()
        answer.give(performance.document(), (), code)
