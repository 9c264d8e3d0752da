"""The program is put together from packages, and starts without loading the gateway."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer

from gateway.cli.app import _without_values, build


def names(*found: EntryPoint) -> dict[str, set[str]]:
    """Commands by group; those at the top under the empty name."""
    top = typer.main.get_command(build(found))
    commands = top.commands  # type: ignore[attr-defined]  # a group, by construction
    groups = {name: set(each.commands) for name, each in commands.items() if hasattr(each, "commands")}
    return {"": set(commands), **groups}


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group="gateway.commands")


def test_a_package_brings_a_command_and_one_inside_a_group() -> None:
    there = names(entry("wave", "math:floor"), entry("audit.wave", "math:floor"), entry("fleet.wave", "math:floor"))
    assert "wave" in there[""]
    assert {"verify", "wave"} <= there["audit"]
    assert there["fleet"] == {"wave"}


def test_a_command_that_cannot_be_imported_is_named_and_the_others_work(capsys: pytest.CaptureFixture[str]) -> None:
    there = names(entry("broken", "no.such.module:app"), entry("wave", "math:floor"))
    assert "broken" not in there[""] and {"wave", "show"} <= there[""]
    assert "command broken of an unknown distribution" in capsys.readouterr().err


def test_no_package_takes_over_a_command_of_the_gateways_own(capsys: pytest.CaptureFixture[str]) -> None:
    names(entry("show", "math:floor"))
    assert "command show" in capsys.readouterr().err


def test_without_the_surfaces_nothing_can_be_signed_or_started() -> None:
    bare = names()
    assert not {"review", "commit", "resume", "check", "observe", "stop", "withdraw", "resolve"} & bare[""]


def test_help_loads_neither_the_gateway_nor_its_models() -> None:
    """The measure of a quick start that does not depend on the machine."""
    heavy = ("pydantic", "cedarpy", "httpx", "joserfc", "sqlite3", "gateway.gateway")
    script = (
        "import sys\n"
        "from gateway.cli import main\n"
        "sys.argv = ['gateway', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"sys.stderr.write(' '.join(name for name in {heavy!r} if name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "Deciding and committing" in done.stdout


def test_the_version_is_told() -> None:
    program = Path(sys.executable).with_name("gateway")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"gateway {metadata.version('scheduling-gateway')}\n"


def test_what_was_typed_is_not_repeated() -> None:
    message = "Got unexpected extra argument (born 1970-01-01)"
    assert _without_values(message, ["show", "born 1970-01-01"]) == "Got unexpected extra argument (…)"
