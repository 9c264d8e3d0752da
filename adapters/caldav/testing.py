"""A real Radicale on loopback, as its own process, for tests, the demo and conformance runs; and an observer.

Radicale is licensed under the GPL: it is started, never imported. Each server has a temporary
directory, fresh passwords, one calendar, an owner who may write and a reader who may not.
The observer works on any CalDAV server and shares no code with the adapter: its own client, its own query,
and the icalendar library's components where the adapter splits lines.
"""

from __future__ import annotations

import secrets
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self
from xml.etree import ElementTree

import httpx
import icalendar

from gateway.testing.premises import Premises, Seen

_CONFIGURATION: Final = """\
[server]
hosts = 127.0.0.1:{port}
{tls}
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
    """`with RadicaleServer() as server:` serves one empty calendar at `server.collection_url`, over TLS where a PEM
    file of `certificate` and key is given.

    Raises `RuntimeError` where the process ends, or does not answer, within `start_seconds`.
    """

    def __init__(self, *, start_seconds: float = 20.0, certificate: Path | None = None) -> None:
        self.user, self.password = "owner", secrets.token_urlsafe(16)
        self.reader, self.reader_password = "reader", secrets.token_urlsafe(16)
        self.version = version("radicale")
        self.url = ""
        self._start_seconds, self._certificate = start_seconds, certificate
        self._process: subprocess.Popen[bytes] | None = None
        self._home: tempfile.TemporaryDirectory[str] | None = None

    @property
    def collection_url(self) -> str:
        return f"{self.url}/owner/appointments/"

    @property
    def host(self) -> str:
        """`name:port`, as a connection declares it."""
        return self.url.partition("://")[2]

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
        self.url = f"{'http' if self._certificate is None else 'https'}://127.0.0.1:{port}"
        self._path.chmod(0o700)
        users = f"{self.user}:{self.password}\n{self.reader}:{self.reader_password}\n"
        configuration = _CONFIGURATION.format(port=port, home=self._path, tls=self._tls())
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

    def _tls(self) -> str:
        return (
            ""
            if self._certificate is None
            else f"ssl = True\ncertificate = {self._certificate}\nkey = {self._certificate}"
        )

    def _client(self) -> httpx.Client:
        """The server's own certificate is all that it is trusted by: it was started here."""
        verify = True if self._certificate is None else ssl.create_default_context(cafile=str(self._certificate))
        return httpx.Client(auth=(self.user, self.password), trust_env=False, verify=verify)

    def make_calendar(self, url: str) -> None:
        """One more empty calendar, anywhere under `<url>/owner/`."""
        with self._client() as client:
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
        with self._client() as client:
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


@asynccontextmanager
async def radicale() -> AsyncIterator[Premises]:
    """A Radicale with one empty calendar; `vendor` is its owner, `limited` its reader, as whom the observer looks."""
    with RadicaleServer() as server:
        owner, reader = f"{server.user}:{server.password}", f"{server.reader}:{server.reader_password}"
        yield Premises(
            base_url=server.collection_url,
            label=f"Radicale {server.version}",
            observer=observer(server.collection_url, {"vendor": owner, "observer": reader}),
            secrets=MappingProxyType({"vendor": owner, "limited": reader}),
        )


def observer(base_url: str, secrets: Mapping[str, str], *, trust: ssl.SSLContext | None = None) -> CalendarObserver:
    """The observer of the collection at `base_url`. It looks with the secret `observer`, else with `vendor`, and
    removes with `vendor`; both are `user:password`. `trust` replaces the system's authorities."""
    return CalendarObserver(base_url, secrets.get("observer", secrets["vendor"]), secrets["vendor"], trust)


_DAV: Final = "{DAV:}"
_CALENDAR_DATA: Final = "{urn:ietf:params:xml:ns:caldav}calendar-data"
_EVENTS_BETWEEN: Final = """\
<?xml version="1.0" encoding="utf-8"?>
<c:calendar-query xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav">
  <d:prop><c:calendar-data/></d:prop>
  <c:filter><c:comp-filter name="VCALENDAR"><c:comp-filter name="VEVENT">
    <c:time-range start="{start:%Y%m%dT%H%M%SZ}" end="{end:%Y%m%dT%H%M%SZ}"/>
  </c:comp-filter></c:comp-filter></c:filter>
</c:calendar-query>
"""


@dataclass(frozen=True, slots=True)
class CalendarObserver:
    """Looks into one calendar collection, and deletes from it (`Observer`). `keys` of an event are its UID, which
    is where CalDAV itself keeps one apart from another, and the key of its latest write."""

    base_url: str
    looking: str = field(repr=False)
    removing: str = field(repr=False)
    trust: ssl.SSLContext | None = None

    async def appointments(self, start: datetime, end: datetime) -> Sequence[Seen]:
        """Raises `RuntimeError` for any reply but a multistatus, ValueError for an event without plain instants."""
        query = _EVENTS_BETWEEN.format(start=start.astimezone(UTC), end=end.astimezone(UTC))
        headers = {"Content-Type": "application/xml", "Depth": "1"}
        async with self._client(self.looking) as client:
            reply = await client.request("REPORT", "", content=query.encode(), headers=headers)
        if reply.status_code != 207:
            raise RuntimeError(f"the calendar answered {reply.status_code} to the observer")
        found: list[Seen] = []
        multistatus = ElementTree.fromstring(reply.content)  # noqa: S314 - the author's own test server
        for response in multistatus.iter(f"{_DAV}response"):
            name = response.findtext(f"{_DAV}href", "").rpartition("/")[2]
            for data in response.iter(_CALENDAR_DATA):
                found.extend(_seen(name, data.text or ""))
        return [each for each in found if each.start < end and each.end > start]

    async def remove(self, identifier: str) -> bool:
        async with self._client(self.removing) as client:
            reply = await client.delete(identifier)
        return reply.status_code in (200, 204, 404, 410)

    def _client(self, secret: str) -> httpx.AsyncClient:
        user, _, password = secret.partition(":")
        return httpx.AsyncClient(
            base_url=self.base_url, auth=(user, password), trust_env=False, verify=self.trust or True
        )


def _seen(name: str, text: str) -> list[Seen]:
    """Every event of one calendar object. Raises ValueError for one that has no place on the clock: a guess at a
    floating time, a whole day or a recurrence could be the very mistake that the adapter made."""
    found: list[Seen] = []
    for event in icalendar.Calendar.from_ical(text.encode()).walk("VEVENT"):
        assert isinstance(event, icalendar.Event)
        if "RRULE" in event or "RDATE" in event:
            raise ValueError("an event among the run's slots recurs")
        keys = dict.fromkeys(str(event[each]) for each in ("UID", "X-GATEWAY-KEY") if each in event)
        found.append(
            Seen(
                identifier=name,
                start=_instant(event.start),
                end=_instant(event.end),
                cancelled=event.get("STATUS") == "CANCELLED",
                keys=tuple(keys),
            )
        )
    return found


def _instant(value: date) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("an event among the run's slots has a floating time or lasts whole days")
    return value.astimezone(UTC)
