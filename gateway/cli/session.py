"""What commands open: a home, a gateway on it, and references that people typed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gateway.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from gateway.contracts.references import Reference
    from gateway.gateway import Gateway

Result = TypeVar("Result")
Kind = TypeVar("Kind", bound="Reference")


def with_gateway(home: Path, work: Callable[[Gateway], Awaitable[Result]]) -> Result:
    """Open the gateway at `home`, do `work`, close it. Raises what `Gateway.open` raises."""
    from gateway.gateway import Gateway

    async def run() -> Result:
        async with Gateway.open(existing(home)) as gateway:
            return await work(gateway)

    return asyncio.run(run())


def version() -> str:
    """Of the installed gateway."""
    from importlib import metadata

    return metadata.version("scheduling-gateway")


def existing(home: Path) -> Path:
    """The home, if there is one; raises `ConfigurationError` saying how to name or make it."""
    if not (home / "gateway.json").is_file():
        raise ConfigurationError(
            f"no gateway's home at {home}: name one with --home or GATEWAY_HOME, or make one with `gateway init DIR`"
        )
    return home


def reference(kind: type[Kind], text: str, argument: str) -> Kind:
    """The reference that was typed; raises `UsageError` naming the argument, never repeating it."""
    try:
        return kind(text)
    except ValueError as error:
        raise UsageError(f"{argument}: {error}") from None


def read_file(path: Path) -> bytes:
    """A document's bytes; `-` is standard input. Raises `UsageError`."""
    import sys

    from gateway.contracts.canonical import MAX_DOCUMENT_BYTES

    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(MAX_DOCUMENT_BYTES + 1)
        with path.open("rb") as file:
            return file.read(MAX_DOCUMENT_BYTES + 1)
    except OSError:
        raise UsageError("FILE: cannot be read; check that it exists and is yours") from None
