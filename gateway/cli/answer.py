"""How a command ends: one page for people or one JSON document for programs, and one exit code.

Owns: the table of exit codes and the one shape of an error. With `--json` standard output holds exactly one
document: `ok`, `exit_code`, and either the command's own members or `error` (`kind`, `message`, and for input that
a contract refuses `faults`, each a `field`, a `fault` (its kind, one word) and a `message`).
Refuses: tracebacks, and values: an error names what is wrong, where, and what to do.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

import typer

from gateway.errors import (
    AuditTampered,
    ConfigurationError,
    DocumentError,
    GatewayError,
    InvalidInput,
    JournalUnavailable,
    UsageError,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from gateway.contracts.words import State

MAX_WIDTH: Final = 100


class ExitCode(IntEnum):
    """What the shell is told. Commands that only read end SUCCEEDED when they could read."""

    SUCCEEDED = 0
    USAGE = 2
    REJECTED = 3
    BLOCKED = 4
    ERROR = 5
    CANCELLED = 6
    PAUSED = 7


def code_of_state(state: State) -> ExitCode:
    """The exit code of an attempt that stands there; in flight counts as ERROR, since nobody knows yet."""
    return ExitCode[state] if state in ExitCode.__members__ else ExitCode.ERROR


def code_of_error(error: GatewayError) -> ExitCode:
    """Nothing happened: USAGE where the caller's input is at fault, BLOCKED where the set-up is."""
    if isinstance(error, UsageError):
        return ExitCode.USAGE
    if isinstance(error, ConfigurationError | DocumentError | JournalUnavailable) or hasattr(error, "code"):
        return ExitCode.BLOCKED
    return ExitCode.ERROR


@dataclass(slots=True)
class Answer:
    """What one command has to say, kept until it is complete."""

    as_json: bool
    document: dict[str, Any] = field(default_factory=dict)
    page: list[RenderableType] = field(default_factory=list)
    exit_code: IntEnum = ExitCode.SUCCEEDED

    def give(
        self,
        document: Mapping[str, Any],
        page: Sequence[RenderableType],
        exit_code: IntEnum = ExitCode.SUCCEEDED,
    ) -> None:
        """Say the same thing twice: `document` for programs, `page` for people."""
        self.document.update(document)
        self.page.extend(page)
        self.exit_code = exit_code

    def aside(self) -> Console | None:
        """Where a person can be shown something on the way: the terminal, or nothing for programs."""
        if not self.as_json:
            return console()
        return console(stderr=True) if sys.stderr.isatty() else None


@contextmanager
def answering(
    as_json: bool,
    *,
    refused: Callable[[GatewayError], IntEnum] = code_of_error,
    fault: IntEnum = ExitCode.ERROR,
) -> Iterator[Answer]:
    """Run a command's body, print its answer, and leave with its exit code.

    A program with exit codes of its own says which one an error has, and which one a bug.
    """
    answer = Answer(as_json)
    try:
        yield answer
    except GatewayError as error:
        complain(error_document(error), refused(error), as_json=as_json)
        raise typer.Exit(refused(error)) from None
    except (typer.Exit, typer.Abort, typer.TyperException):
        raise
    except Exception as error:  # noqa: BLE001 — a bug's text could hold anything; its type and place cannot
        document = {"kind": "InternalFault", "message": f"{_place(error)}: report this; nothing more is known"}
        complain(document, fault, as_json=as_json)
        raise typer.Exit(fault) from None
    if as_json:
        print_json({"ok": answer.exit_code == 0, "exit_code": int(answer.exit_code), **answer.document})
    else:
        screen = console()
        for part in answer.page:
            screen.print(part)
    raise typer.Exit(answer.exit_code)


def error_document(error: GatewayError) -> dict[str, Any]:
    """The one shape of an error."""
    document: dict[str, Any] = {"kind": type(error).__name__, "message": str(error)}
    if isinstance(error, InvalidInput):
        document["faults"] = [{"field": name, "fault": kind, "message": says} for name, kind, says in error.faults]
    if isinstance(error, AuditTampered):
        document["message"] = f"the audit does not hold: {error}"
    if (code := getattr(error, "code", None)) is not None:
        document["code"] = str(code)
    return document


def complain(error: Mapping[str, Any], exit_code: IntEnum, *, as_json: bool) -> None:
    """One document on standard output, or a few lines on standard error."""
    if as_json:
        print_json({"ok": False, "exit_code": int(exit_code), "error": dict(error)})
        return
    from rich.text import Text

    screen = console(stderr=True)
    faults = error.get("faults")
    message = error["message"].partition(": ")[0] + ":" if faults else error["message"]
    screen.print(Text.assemble(("✗ ", "bold red"), message))
    for fault in faults or ():
        screen.print(Text.assemble("    ", (fault["field"], "bold"), f": {fault['message']}"))


def print_json(document: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def console(*, stderr: bool = False) -> Console:
    """A calm page of at most 100 columns; colour only where a terminal has it."""
    from rich.console import Console

    screen = Console(stderr=stderr, highlight=False, emoji=False, soft_wrap=False)
    screen.width = min(screen.width, MAX_WIDTH) if screen.is_terminal else MAX_WIDTH
    return screen


def _place(error: Exception) -> str:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    where = f"{traceback.tb_frame.f_globals.get('__name__')}:{traceback.tb_lineno}" if traceback else "unknown place"
    return f"{type(error).__name__} in {where}"
