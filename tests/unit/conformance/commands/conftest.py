"""The commands, called as a shell calls them, and a sandbox that runs outside of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from gateway.cli.app import GROUP, build

PROGRAM = (sys.executable, "-c", "from gateway.cli import main; main()")
TARGET = """\
sandbox = true
label = "sandbox beside the test"
writes = 400
exhaustive = true
observer = "adapters.sandbox.testing:observer"

[connection]
base_url = "{url}"
credential = {{ scheme = "bearer", name = "vendor" }}
limits = {{ request_seconds = 1, commit_seconds = 1 }}

[secrets]
vendor = {{ file = "token" }}

[pool]
subjects = ["patient-1", "patient-2"]
practitioner = "practitioner-1"
location = "location-1"
service = "service-1"
first = 2031-05-05T08:00:00Z
slots = 200
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended; `document` is what `--json` printed."""

    exit_code: int
    out: str
    err: str

    @property
    def document(self) -> Mapping[str, Any]:
        document: Mapping[str, Any] = json.loads(self.out)
        return document

    @property
    def message(self) -> str:
        message: str = self.document["error"]["message"]
        return message


Conformance = Callable[..., Ended]


@pytest.fixture
def conformance() -> Conformance:
    """Runs `gateway conformance ARGUMENTS` in this process."""

    def conformance(*arguments: object) -> Ended:
        program = build(entry_points(group=GROUP))
        done = CliRunner().invoke(program, ["conformance", *map(str, arguments)])
        return Ended(done.exit_code, done.stdout, done.stderr)

    return conformance


@dataclass(frozen=True, slots=True)
class Outside:
    """A sandbox and the target file that names it."""

    url: str
    target: Path
    server: subprocess.Popen[str]

    def stop(self) -> None:
        self.server.send_signal(signal.SIGINT)
        self.server.wait(timeout=10)

    def appointments(self) -> list[Mapping[str, Any]]:
        """What stands there, by the sandbox's own journal."""
        found: list[Mapping[str, Any]] = httpx.get(f"{self.url}/_control/journal").json()["appointments"]
        return found

    def writes(self) -> int:
        arrived: list[object] = httpx.get(f"{self.url}/_control/journal").json()["requests"]
        return len(arrived)


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    token = tmp_path / "token"
    token.write_text("canary-token")
    token.chmod(0o600)
    command = (*PROGRAM, "sandbox", "serve", "--port", "0", "--control", "--token-file", str(token))
    server = subprocess.Popen((*command, "--data", str(tmp_path / "sandbox.db")), stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        url = json.loads(server.stdout.readline())["url"].rstrip("/")
        target = tmp_path / "conformance.toml"
        target.write_text(TARGET.format(url=f"{url}/"))
        yield Outside(url, target, server)
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=10)
        server.stdout.close()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command and gives it to the test; whatever still runs at the end is ended."""
    running: list[subprocess.Popen[str]] = []

    def started(*arguments: object) -> subprocess.Popen[str]:
        command = (*PROGRAM, "conformance", *map(str, arguments))
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield started
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Waits for something to happen outside; fails after 20 seconds."""

    def until(happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not happened():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.02)

    return until


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A socket that would accept: nobody may knock."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server
        try:
            knocked, _ = server.accept()
        except BlockingIOError:
            return
        knocked.close()
        pytest.fail("somebody knocked")


@pytest.fixture(autouse=True)
def _no_list_of_this_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATEWAY_CONFORMANCE_DENY", raising=False)
    monkeypatch.setenv("GATEWAY_HOME", os.devnull)
