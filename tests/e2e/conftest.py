"""The real program, started as a process of its own, against a sandbox that is a third process."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.cli import main
from gateway.contracts.connection import Connection
from gateway.contracts.references import (
    ConnectionId,
    LocationId,
    ParticipantId,
    PatientId,
    PersonId,
    ServiceId,
)
from gateway.surfaces.local import LocalPractice

PROGRAM = str(Path(sys.executable).with_name("gateway"))
TOKEN = "sandbox-token"
ZONE = "Europe/Berlin"
FIRST = datetime(2031, 3, 3, 9, 0, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)


@dataclass(frozen=True)
class Ended:
    """One finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Its one document; anything else on standard output fails here."""
        document: dict[str, Any] = json.loads(self.out)
        return document


@dataclass
class Sandbox:
    """The embedded practice management system, asked what really reached it."""

    url: str

    def journal(self) -> dict[str, Any]:
        document: dict[str, Any] = httpx.get(f"{self.url}/_control/journal", trust_env=False).json()
        return document

    def sent(self) -> int:
        return len(self.journal()["requests"])

    def arm(self, **switch: Any) -> None:
        httpx.post(f"{self.url}/_control/faults", json=switch, trust_env=False).raise_for_status()


@dataclass
class Practice:
    """One practice's people at their terminals."""

    root: Path
    sandbox: Sandbox
    connection: str = ""
    patient: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    participant: str = field(default_factory=ParticipantId.random)
    location: str = field(default_factory=LocationId.random)
    service: str = field(default_factory=ServiceId.random)
    initiator: str = field(default_factory=PersonId.random)
    slots: int = 0
    here: bool = False

    @property
    def home(self) -> Path:
        return self.root / "gateway"

    def run(self, *words: str, given: str = "") -> Ended:
        """The program with these words, nothing of ours in its environment; `here` saves starting an interpreter."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        environment = {**plain, "GATEWAY_HOME": str(self.home), "COLUMNS": "100", **self.environment}
        if self.here:
            return run_here(list(words), environment, given)
        done = subprocess.run(
            [PROGRAM, *words],
            cwd=self.root.parent,
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return Ended(done.returncode, done.stdout, done.stderr)

    def ask(self, *words: str, code: int = 0, given: str = "") -> dict[str, Any]:
        """The same, as JSON, expecting this exit code; standard error stays empty."""
        ended = self.run(*words, "--json", given=given)
        assert (ended.code, ended.err) == (code, ""), (ended.out, ended.err)
        document = ended.json
        assert (document["exit_code"], document["ok"]) == (code, code == 0)
        return document

    def set_up(self, *options: str, **connection: Any) -> Practice:
        """Everything that a practice does before its first proposal, at the command line."""
        self.ask("init", str(self.root), *options)
        self.secret(TOKEN)
        self.connection = self.connect(**connection)
        for reference in (self.participant, self.location, self.service):
            self.ask("practice", "identify", self.connection, reference, f"vendor-{reference[-6:]}")
        self.patient = self.ask("practice", "add-patient")["patient"]
        self.ask("practice", "consent", self.patient, "--given")
        self.ask("practice", "identify", self.connection, self.patient, f"vendor-{self.patient[-6:]}")
        return self

    def set_up_at_once(self, **options: Any) -> Practice:
        """The same without the command line, for tests of what comes after; `connection` goes into its entry."""
        details = options.pop("connection", {})
        local = LocalPractice.create(self.root, **options)
        self.secret(TOKEN)
        described = {
            "practice": local.desk.practice,
            "connection_id": ConnectionId.random(),
            **self.described(**details),
        }
        connection = Connection.parse(json.dumps(described))
        local.connect(connection)
        patient = PatientId.random()
        local.registry.enrol_patient(patient)
        local.registry.set_consent(patient, in_force=True)
        known = (ParticipantId(self.participant), LocationId(self.location), ServiceId(self.service), patient)
        for reference in known:
            local.registry.map_identifier(connection.connection_id, reference, f"vendor-{reference[-6:]}")
        self.connection, self.patient, self.here = connection.connection_id, patient, True
        return self

    def described(self, **details: Any) -> dict[str, Any]:
        """What an engineer writes down to connect the sandbox."""
        return {
            "adapter": "sandbox",
            "base_url": self.sandbox.url,
            "hosts": [self.sandbox.url.removeprefix("http://")],
            "zone": ZONE,
            "credential": {"scheme": "bearer", "name": "sandbox"},
            "limits": {"request_seconds": 3, "commit_seconds": 4},
            **details,
        }

    def connect(self, **details: Any) -> str:
        answer = self.ask("connections", "add", "-", given=json.dumps(self.described(**details)))
        name: str = answer["connection"]["connection_id"]
        return name

    def secret(self, token: str) -> None:
        path = self.root / "secrets" / "sandbox"
        path.write_text(token)
        path.chmod(0o600)

    def request(self, operation: str = "book", target: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
        """What the staff write down for the next free half hour."""
        self.slots += 1
        start = FIRST + self.slots * HALF_HOUR
        particulars = {
            "patient": self.patient,
            "participants": [{"role": "practitioner", "participant": self.participant}],
            "location": self.location,
            "service": self.service,
            "start": f"{start:%Y-%m-%dT%H:%M:%SZ}",
            "end": f"{start + HALF_HOUR:%Y-%m-%dT%H:%M:%SZ}",
            "zone": ZONE,
        }
        if target is not None:
            particulars["target"] = target
        expires = datetime.now(UTC) + timedelta(days=1)
        return {
            "operation": operation,
            "connection": self.connection,
            "initiator": self.initiator,
            "particulars": particulars,
            "expires_at": f"{expires:%Y-%m-%dT%H:%M:%SZ}",
            **changes,
        }

    def propose(self, operation: str = "book", target: dict[str, str] | None = None, **changes: Any) -> str:
        written = json.dumps(self.request(operation, target, **changes))
        name: str = self.ask("propose", "-", "--told", given=written)["proposal"]["proposal_id"]
        return name

    def approved(self, operation: str = "book", target: dict[str, str] | None = None) -> str:
        proposal = self.propose(operation, target)
        self.ask("review", proposal, "--approve", "--yes")
        return proposal


def run_here(words: list[str], environment: dict[str, str], given: str) -> Ended:
    """The very program, in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    before = (dict(os.environ), sys.argv, sys.stdin)
    try:
        os.environ.clear()
        os.environ.update(environment)
        sys.argv, sys.stdin = ["gateway", *words], io.TextIOWrapper(io.BytesIO(given.encode()))
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        os.environ.clear()
        os.environ.update(before[0])
        sys.argv, sys.stdin = before[1:]
    return Ended(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    directory = tmp_path_factory.mktemp("sandbox")
    (directory / "token").write_text(TOKEN)
    words = ["--data", str(directory / "sandbox.db"), "--port", "0", "--token-file", str(directory / "token")]
    with subprocess.Popen([PROGRAM, "sandbox", "serve", "--control", *words], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield Sandbox(json.loads(server.stdout.readline())["url"])
        finally:
            server.terminate()


@pytest.fixture
def empty(tmp_path: Path, sandbox: Sandbox) -> Practice:
    """A practice that has nothing yet."""
    return Practice(tmp_path / "practice", sandbox)


@pytest.fixture
def practice(empty: Practice) -> Practice:
    """A practice set up for its first proposal."""
    return empty.set_up_at_once()
