"""A real Radicale on loopback, as its own process, for tests and the demo.

Radicale is licensed under the GPL: it is started, never imported. Each server has a temporary
directory, fresh passwords, one calendar, an owner who may write and a reader who may not.
"""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

_CONFIGURATION: Final = """\
[server]
hosts = 127.0.0.1:{port}
[auth]
type = htpasswd
htpasswd_filename = {home}/users
htpasswd_encryption = plain
delay = 0
[rights]
type = from_file
file = {home}/rights
[storage]
filesystem_folder = {home}/collections
"""
_RIGHTS: Final = """\
[owner]
user: owner
collection: owner(/.*)?
permissions: RrWw
[reader]
user: reader
collection: owner(/.*)?
permissions: Rr
"""


class RadicaleServer:
    """`with RadicaleServer() as server:` serves one empty calendar at `server.collection_url`.

    Raises `RuntimeError` where the process ends, or does not answer, within `start_seconds`.
    """

    def __init__(self, *, start_seconds: float = 20.0) -> None:
        self.user, self.password = "owner", secrets.token_urlsafe(16)
        self.reader, self.reader_password = "reader", secrets.token_urlsafe(16)
        self.version = version("radicale")
        self.url = ""
        self._start_seconds = start_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._home: tempfile.TemporaryDirectory[str] | None = None

    @property
    def collection_url(self) -> str:
        return f"{self.url}/owner/appointments/"

    @property
    def host(self) -> str:
        """`name:port`, as a connection declares it."""
        return self.url.removeprefix("http://")

    @property
    def stored_events(self) -> tuple[bytes, ...]:
        """The calendar objects on the server's disk, for an observer that does not ask the server."""
        found = sorted(self._path.glob("collections/**/*.ics"))
        return tuple(path.read_bytes() for path in found if ".Radicale.cache" not in path.parts)

    @property
    def _path(self) -> Path:
        if self._home is None:
            raise RuntimeError("the server is not running")
        return Path(self._home.name)

    def __enter__(self) -> Self:
        self._home = tempfile.TemporaryDirectory(prefix="radicale-")
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._path.chmod(0o700)
        users = f"{self.user}:{self.password}\n{self.reader}:{self.reader_password}\n"
        configuration = _CONFIGURATION.format(port=port, home=self._path)
        for name, text in (("users", users), ("rights", _RIGHTS), ("config", configuration)):
            (self._path / name).write_text(text)
        with (self._path / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our own arguments
                [sys.executable, "-m", "radicale", "--config", str(self._path / "config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._await_answer(self._process)
            self.make_calendar(self.collection_url)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._home is not None:
            self._home.cleanup()
            self._home = None

    def make_calendar(self, url: str) -> None:
        """One more empty calendar, anywhere under `<url>/owner/`."""
        with httpx.Client(auth=(self.user, self.password), trust_env=False) as client:
            reply = client.request("MKCALENDAR", url)
        if reply.status_code != 201:
            raise RuntimeError(f"Radicale answered {reply.status_code} to MKCALENDAR")

    def stop(self) -> None:
        """End the process; what it stored stays until the context ends."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)
            self._process = None

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._start_seconds
        with httpx.Client(trust_env=False) as client:
            while True:
                try:
                    client.get(f"{self.url}/.web/")
                    break
                except httpx.ConnectError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError("Radicale did not start; is the package installed?") from None
                    time.sleep(0.05)


def _free_port() -> int:
    # Radicale refuses port 0, so a free one is taken from the system and let go at once
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
