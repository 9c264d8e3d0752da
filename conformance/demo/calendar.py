"""What the calendar server holds, read by plain HTTP requests of the demo's own.

Owns: a client that shares nothing with the gateway or its adapter: the server's own port, its own credentials.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import httpx
import icalendar

_LIST: Final = b'<propfind xmlns="DAV:"><prop><getetag/></prop></propfind>'


class CalendarUnreadableError(Exception):
    """The server's answer is none that tells what it holds."""


@dataclass(frozen=True, slots=True)
class Held:
    """One event on the server. `text` is the whole object as stored."""

    name: str
    uid: str
    status: str
    start: datetime
    end: datetime
    text: str = field(repr=False)

    def __str__(self) -> str:
        return f"STATUS:{self.status} {self.start:%Y-%m-%d %H:%M}–{self.end:%H:%M} UTC"

    def plain(self) -> dict[str, Any]:
        """Its members as JSON; instants are UTC."""
        return {
            "name": self.name,
            "uid": self.uid,
            "status": self.status,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Calendar:
    """One calendar collection, as its owner reads it."""

    url: str
    user: str
    password: str = field(repr=False)

    def holds(self) -> tuple[Held, ...]:
        """Every event, by start. Raises `CalendarUnreadableError` or `httpx.HTTPError`."""
        with httpx.Client(auth=(self.user, self.password), trust_env=False) as client:
            listing = client.request("PROPFIND", self.url, content=_LIST, headers={"Depth": "1"})
            if listing.status_code != 207:
                raise CalendarUnreadableError(f"the server answered {listing.status_code} to PROPFIND")
            root = ET.fromstring(listing.content)  # noqa: S314 - our own server on loopback
            paths = [element.text or "" for element in root.iterfind("{DAV:}response/{DAV:}href")]
            collection = urlsplit(self.url).path
            texts = {
                PurePosixPath(path).name: client.get(httpx.URL(self.url).join(path)).raise_for_status().text
                for path in paths
                if path.rstrip("/") != collection.rstrip("/")
            }
        return tuple(sorted((_event(name, text) for name, text in texts.items()), key=lambda held: held.start))


def save(events: tuple[Held, ...], directory: Path) -> None:
    """Keep what was read, for whoever looks later."""
    directory.mkdir(mode=0o700)
    for held in events:
        (directory / held.name).write_text(held.text, encoding="utf-8", newline="")


def _event(name: str, text: str) -> Held:
    try:
        (event,) = icalendar.Calendar.from_ical(text).walk("VEVENT")
        start, end = event.decoded("DTSTART").astimezone(UTC), event.decoded("DTEND").astimezone(UTC)
        return Held(name, str(event["UID"]), str(event["STATUS"]), start, end, text)
    except (ValueError, KeyError, AttributeError):
        raise CalendarUnreadableError("a stored object is not one event with UID, STATUS and times") from None
