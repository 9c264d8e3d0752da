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
    reader_token_file: Annotated[
        Path | None,
        typer.Option("--reader-token-file", help="A second token, which may only read.", show_default="none"),
    ] = None,
    control: Annotated[bool, typer.Option("--control", help="Open the test-only routes under /_control.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Serve the sandbox on 127.0.0.1. Prints one line of JSON, with the URL, once it answers; Ctrl-C stops it."""
    from adapters.sandbox.server import serve as run

    token, reader = _token("--token-file", token_file), _token("--reader-token-file", reader_token_file)
    if reader is not None and token in (None, reader):
        raise typer.BadParameter("--reader-token-file: needs a --token-file, with another token")
    try:
        run(data, credentials=token, port=port, observer=reader, control=control)
    except OSError:
        raise typer.BadParameter("the port is taken, or the database file cannot be opened") from None


def _token(option: str, file: Path | None) -> str | None:
    try:
        return file.read_text(encoding="utf-8").strip() if file else None
    except (OSError, UnicodeDecodeError):
        raise typer.BadParameter(f"{option}: cannot be read") from None
