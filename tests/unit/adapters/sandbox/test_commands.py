"""`gateway sandbox serve`, where it cannot."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import typer

from adapters.sandbox.commands import serve
from gateway.testing.engine import Engine


def text_file(directory: Path) -> Path:
    (directory / "notes.txt").write_text("not a database, but a page of notes\n" * 100)
    return directory / "notes.txt"


@pytest.mark.parametrize("where", ["no directory", "a text file", "a directory"])
def test_a_database_that_cannot_be_opened_is_said_to_be_so(tmp_path: Path, where: str) -> None:
    places = {"no directory": tmp_path / "none" / "x.db", "a text file": text_file(tmp_path), "a directory": tmp_path}
    with pytest.raises(typer.BadParameter, match="the database file cannot be opened"):
        serve(data=places[where], port=0)


def test_what_is_no_database_is_closed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def kept(*where: object, **options: object) -> sqlite3.Connection:
        opened.append(connect(*where, **options))  # type: ignore[call-overload]  # passed on as it came
        return opened[-1]

    monkeypatch.setattr("gateway.testing.engine.sqlite3.connect", kept)
    with pytest.raises(OSError, match="cannot be opened as a database"):
        Engine.open(text_file(tmp_path))
    (connection,) = opened
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
