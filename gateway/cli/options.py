"""The options that many commands share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.errors import UsageError

HOME: Final = Path("gateway")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Home = Annotated[
    Path, typer.Option("--home", envvar="GATEWAY_HOME", help="The gateway's sealed home.", show_default="./gateway")
]
Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys", envvar="GATEWAY_KEYS", help="Directory of signing keys.", show_default="keys, beside the home"
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; you have seen what you sign.")]


def exactly_one(**choices: bool) -> str:
    """The name of the one option that was given; raises `UsageError` for none or several."""
    given = [name for name, chosen in choices.items() if chosen]
    if len(given) != 1:
        raise UsageError(f"give exactly one of {', '.join('--' + name.replace('_', '-') for name in choices)}")
    return given[0]
