"""Putting the program together: the gateway's own commands, and those that packages bring.

Owns: the entry-point group `gateway.commands`. An entry point's name is the command's, or `group.command` for one
inside a group; it loads a function (a command) or a typer app (a group). A command that cannot be imported, or
that takes a name already taken, is left out and named on standard error; the others still work.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, Final

import typer

from gateway.cli import archiving, auditing, connecting, diagnosis, operating, proposing, reading, registering
from gateway.cli.answer import ExitCode, complain
from gateway.cli.session import version

GROUP: Final = "gateway.commands"
SUMMARY: Final = (
    "Carry approved scheduling decisions into an external system, at most once, or say that it is not known."
)
EXIT_CODES: Final = (
    "Exit codes: 0 succeeded, 2 usage or bad input, 3 rejected, 4 blocked, 5 error or not known, 6 cancelled, 7 paused."
)
GROUPS: Final = {
    "audit": "Verify, read, export, checkpoint and archive the audit.",
    "connections": "External systems: list, add, suspend, resume.",
    "practice": "The practice's own registry: people, patients, consents, identifiers.",
    "governance": "The signed record without which nothing is committed outside the sandbox.",
    "adapters": "Adapters: list what is installed, start a new one.",
    "conformance": "Try an adapter on a vendor's sandbox, and state that it conforms.",
    "sandbox": "The embedded practice management system.",
}
PANELS: Final = {
    "Deciding and committing": ("propose", "review", "check", "commit", "resume", "stop", "withdraw"),
    "Looking, and clearing up": ("list", "show", "observe", "resolve", "recover", "audit"),
    "Setting up": (
        "init",
        "connections",
        "practice",
        "seal",
        "governance",
        "doctor",
        "adapters",
        "conformance",
        "sandbox",
    ),
}
ELSEWHERE: Final = "From other packages"
OWN: Final[dict[str, Callable[..., None]]] = {
    "propose": proposing.propose,
    "list": reading.list_,
    "show": reading.show,
    "recover": operating.recover,
    "doctor": diagnosis.doctor,
    "audit.verify": auditing.verify,
    "audit.show": auditing.show,
    "audit.export": auditing.export,
    "audit.archive": archiving.archive,
    "connections.list": connecting.list_,
    "connections.suspend": connecting.suspend,
    "connections.resume": connecting.resume,
    "adapters.list": operating.adapters,
    "practice.add-person": registering.add_person,
    "practice.add-patient": registering.add_patient,
    "practice.consent": registering.consent,
    "practice.told": registering.told,
    "practice.add-connection": registering.add_connection,
    "practice.identify": registering.identify,
}


def run() -> None:
    """Parse the command line, run one command, leave with its exit code."""
    command = typer.main.get_command(build(entry_points(group=GROUP)))
    try:
        code = command.main(prog_name="gateway", standalone_mode=False)
    except typer.Abort:
        complain({"kind": "Aborted", "message": "nothing was done"}, ExitCode.USAGE, as_json="--json" in sys.argv)
        code = ExitCode.USAGE
    except typer.TyperException as error:
        message = _without_values(error.format_message(), sys.argv[1:]) or "no command; see gateway --help"
        complain({"kind": "UsageError", "message": message}, ExitCode.USAGE, as_json="--json" in sys.argv)
        code = ExitCode.USAGE
    sys.exit(code if isinstance(code, int) else 0)


def build(found: Iterable[EntryPoint]) -> typer.Typer:
    """The program, with the commands that `found` brings."""
    app = typer.Typer(
        name="gateway",
        help=SUMMARY,
        epilog=EXIT_CODES,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
    )
    app.callback(help=SUMMARY, epilog=EXIT_CODES)(_whole)
    commands: dict[str, Any] = dict(OWN)
    for entry in sorted(found, key=lambda entry: entry.name):
        loaded = None if entry.name in commands else _loaded(entry)
        if loaded is None:
            distribution = entry.dist.name if entry.dist else "an unknown distribution"
            sys.stderr.write(
                f"gateway: command {entry.name} of {distribution} cannot be used; reinstall or remove it\n"
            )
        else:
            commands[entry.name] = loaded
    groups: dict[str, typer.Typer] = {}
    order = [name for names in PANELS.values() for name in names]
    for name in sorted(commands, key=lambda name: _rank(name, order)):
        _place(app, groups, name, commands[name])
    return app


def _whole(
    tell_version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version.")
    ] = False,
) -> None:
    """What comes before a command."""


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"gateway {version()}")
        raise typer.Exit


def _rank(name: str, order: list[str]) -> tuple[int, str]:
    top = name.partition(".")[0]
    return (order.index(top) if top in order else len(order), "" if "." in name else name)


def _place(app: typer.Typer, groups: dict[str, typer.Typer], name: str, what: Any) -> None:
    group, _, command = name.rpartition(".")
    if group and group not in groups:
        groups[group] = typer.Typer()
        _add(app, group, groups[group])
    if group:
        groups[group].command(command)(what)
    else:
        _add(app, command, what)


def _add(app: typer.Typer, name: str, what: Any) -> None:
    """A command or a group at the top, under its panel."""
    panel = next((panel for panel, names in PANELS.items() if name in names), ELSEWHERE)
    if isinstance(what, typer.Typer):
        if name in GROUPS:
            app.add_typer(what, name=name, rich_help_panel=panel, no_args_is_help=True, help=GROUPS[name])
        else:  # its own words
            app.add_typer(what, name=name, rich_help_panel=panel, no_args_is_help=True)
    else:
        app.command(name, rich_help_panel=panel)(what)


def _loaded(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except (Exception, SystemExit):  # noqa: BLE001 — importing runs a stranger's code; its text could hold anything
        return None


def _without_values(message: str, words: list[str]) -> str:
    """What the parser says, without repeating what was typed, names of commands and options aside."""
    for word in sorted(words, key=len, reverse=True):
        if not re.fullmatch(r"-{0,2}[a-z][a-z-]{0,30}", word):
            message = message.replace(word, "…")
    return message
