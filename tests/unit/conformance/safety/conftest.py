"""A target file that admits a run, and a socket that counts who knocks."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

GOOD = """\
sandbox = true
label = "a vendor's sandbox"
writes = 60
observer = "somewhere:observer"

[connection]
base_url = "{base_url}"

[pool]
subjects = ["canary-subject-1", "canary-subject-2"]
practitioner = "practitioner-1"
location = "location-1"
service = "service-1"
first = 2031-05-05T10:00:00+02:00
slots = 60
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the good file with replacements (old, new), and gives its path."""

    def write(*replacements: tuple[str, str], base_url: str = "http://127.0.0.1:9/", more: str = "") -> Path:
        text = GOOD.format(base_url=base_url) + more
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "conformance.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A socket that would accept: `accepted` proves that nobody came."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server
