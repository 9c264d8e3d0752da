"""`gateway adapters new`: the command itself (entry point `adapters.new` of group `gateway.commands`).

Owns: its options, and what the author is told to do next.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.answer import answering
from gateway.cli.options import Json


def new(
    name: Annotated[str, typer.Argument(help="The external system's name: lower-case words joined by - or _.")],
    directory: Annotated[Path, typer.Option("--directory", help="Where the new directory NAME is made.")] = Path(),
    as_json: Json = False,
) -> None:
    """Write a new adapter's package: typed, tested, and blocking everything until you fill it in."""
    with answering(as_json) as answer:
        from rich.text import Text  # noqa: PLC0415 - heavy; `gateway --help` must not wait for it

        from conformance.author import scaffold  # noqa: PLC0415 - the same
        from gateway.cli.page import listing, marked  # noqa: PLC0415 - the same
        from gateway.cli.wording import Tone  # noqa: PLC0415 - the same

        written = scaffold.write(name, directory)
        steps = (
            (f"cd {name}", ""),
            (Text("python -m pip install -e '.[test]'"), "where the gateway is; `gateway adapters list` shows it"),
            ("python -m pytest", "passes, and proves little yet"),
            ("docs/adapters/writing.md", "what to fill in, and the way to a signed statement"),
        )
        page = (marked(Tone.GOOD, f"wrote {len(written)} files"), listing(("next", ""), steps, ""))
        answer.give({"adapter": name, "files": list(written)}, page)
