"""`gateway sandbox serve`: run the embedded practice management system on loopback until it is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    data: Annotated[Path, typer.Option("--data", help="Its database file; made if missing.")] = Path("sandbox.db"),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 picks a free one.")] = 8090,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="Ask for the bearer token in this file.", show_default="none")
    ] = None,
    control: Annotated[bool, typer.Option("--control", help="Open the test-only routes under /_control.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Serve the sandbox on 127.0.0.1. Prints one line of JSON, with the URL, once it answers; Ctrl-C stops it."""
    from adapters.sandbox.server import serve as run

    try:
        token = token_file.read_text(encoding="utf-8").strip() if token_file else None
    except (OSError, UnicodeDecodeError):
        raise typer.BadParameter("--token-file: cannot be read") from None
    try:
        run(data, credentials=token, port=port, control=control)
    except OSError:
        raise typer.BadParameter("the port is taken, or the database file cannot be opened") from None
