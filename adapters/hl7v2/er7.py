"""HL7 v2 messages in their delimited form (ER7), as far as scheduling needs it.

Owns: delimiters, escapes, character sets and time stamps, written in one way and read in the ways of real partners.
Refuses, as `MalformedMessageError`: what could be read in two ways (mixed segment ends, delimiters that are not five
different signs, a second MSH, control characters, an unknown character set) and more segments than anybody sends.
Source: HL7 v2.5.1 chapter 2 (§2.5 to §2.7, §2.15.9, §2.A.21, §2.A.22).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from gateway.kit.wall_time import AmbiguousWallTimeError, to_instant, to_wall

MAX_SEGMENTS: Final = 2000
CHARSETS: Final[Mapping[str, str]] = MappingProxyType(
    {"ASCII": "ascii", "8859/1": "iso-8859-1", "UNICODE UTF-8": "utf-8"}
)
"""MSH-18 (table 0211) and Python's name for it."""

_NAME: Final = re.compile(r"[A-Z][A-Z0-9]{2}")
_SIGN: Final = re.compile(r"[!-/:-@\[-`{-~]")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f]")
_STAMP: Final = re.compile(r"(\d{12})(\d{2})?(?:\.0{1,4})?([+-]\d{4})?", re.ASCII)
_WRITTEN: Final = str.maketrans({"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"})


class MalformedMessageError(Exception):
    """Not a message that can be read in one way only."""


def escaped(text: str) -> str:
    """Text between delimiters; raises ValueError where it holds control characters, which no field carries."""
    if _CONTROL.search(text):
        raise ValueError("a value holds a control character")
    return text.translate(_WRITTEN)


def composed(text: str) -> str:
    """Text that has its delimiters already; raises ValueError where it would end its field or its segment."""
    if _CONTROL.search(text) or "|" in text:
        raise ValueError("a value ends its field")
    return text


def segment(name: str, fields: Mapping[int, str]) -> str:
    """One segment; the fields are escaped already."""
    return "|".join([name, *(fields.get(number, "") for number in range(1, max(fields) + 1))])


def message(segments: Iterable[str], charset: str) -> bytes:
    """Raises ValueError for characters that the set does not have."""
    return "".join(f"{each}\r" for each in segments).encode(CHARSETS[charset])


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a received message; `fields[n]` is field n, still escaped."""

    fields: tuple[str, ...] = field(repr=False)
    signs: str = field(repr=False)  # field, component, repetition, escape, subcomponent

    @property
    def name(self) -> str:
        return self.fields[0]

    def text(self, number: int, component: int = 1, subcomponent: int = 1) -> str:
        """One value of the field's first repetition, unescaped; empty where it is not there."""
        return next(self.texts(number, component, subcomponent), "")

    def texts(self, number: int, component: int = 1, subcomponent: int = 1) -> Iterator[str]:
        """The same of every repetition."""
        whole = self.fields[number] if number < len(self.fields) else ""
        for repetition in whole.split(self.signs[2]):
            parts = _part(repetition, self.signs[1], component)
            yield self._plain(_part(parts, self.signs[4], subcomponent))

    def _plain(self, text: str) -> str:
        """Without the escapes of delimiters; any other stays as it is, and compares equal to nothing."""
        sign = re.escape(self.signs[3])
        meant = dict(zip("FSRET", self.signs, strict=True))
        return re.sub(f"{sign}([FSTRE]){sign}", lambda found: meant[found[1]], text)


@dataclass(frozen=True, slots=True)
class Message:
    """A received message; the first segment is MSH."""

    segments: tuple[Segment, ...] = field(repr=False)

    def all(self, *names: str) -> Iterator[Segment]:
        return (each for each in self.segments if each.name in names)

    def one(self, name: str) -> Segment:
        """The only segment of that name; raises `MalformedMessageError`."""
        found = list(self.all(name))
        if len(found) != 1:
            raise MalformedMessageError(f"not one {name}")
        return found[0]


def parse(content: bytes, charset: str) -> Message:
    """`charset` counts where MSH-18 names none. Raises `MalformedMessageError`."""
    lines = _lines(content)
    signs = lines[0][3:8].decode("latin-1")
    if lines[0][:3] != b"MSH" or len(set(signs)) != 5 or not all(map(_SIGN.fullmatch, signs)):
        raise MalformedMessageError("no MSH with five delimiters")
    header = lines[0].decode("latin-1").split(signs[0])
    stated = header[17].split(signs[2])[0] if len(header) > 17 else ""
    try:
        texts = [line.decode(CHARSETS[stated or charset]) for line in lines]
    except (KeyError, UnicodeDecodeError):
        raise MalformedMessageError("not in the character set that it names") from None
    return Message(tuple(_segment(text, signs, first=number == 0) for number, text in enumerate(texts)))


def _lines(content: bytes) -> list[bytes]:
    """Segments end with CR; whole messages with CR LF or LF alone are met, and mean one thing only."""
    end = b"\r\n" if b"\r\n" in content else b"\n" if b"\n" in content else b"\r"
    lines = content.removesuffix(end).split(end)
    if len(lines) > MAX_SEGMENTS:
        raise MalformedMessageError("too many segments")
    return lines


def _segment(text: str, signs: str, *, first: bool) -> Segment:
    name, *fields = text.split(signs[0])
    if not _NAME.fullmatch(name) or (name == "MSH") is not first or _CONTROL.search(text):
        raise MalformedMessageError("no segment")
    return Segment((name, *([signs[0]] if first else []), *fields), signs)


def _part(text: str, sign: str, number: int) -> str:
    parts = text.split(sign, number)
    return parts[number - 1] if len(parts) >= number else ""


def stamp(instant: datetime, zone: str, *, offset: bool) -> str:
    """A time stamp to the second; raises ValueError where wall time would mean two instants."""
    if offset:
        return f"{instant.astimezone(ZoneInfo(zone)):%Y%m%d%H%M%S%z}"
    return f"{to_wall(instant, zone):%Y%m%d%H%M%S}"


def instant(text: str, zone: str) -> datetime:
    """The instant of a time stamp, wall time at `zone` where it states no offset; raises `MalformedMessageError`."""
    found = _STAMP.fullmatch(text)
    if found is None:
        raise MalformedMessageError("no time stamp to the minute")
    minutes, seconds, offset = found[1], found[2] or "00", found[3]
    if not "1900" < minutes[:4] < "2900":
        raise MalformedMessageError("a time stamp that no appointment has")
    try:
        if offset:
            return datetime.strptime(minutes + seconds + offset, "%Y%m%d%H%M%S%z").astimezone(UTC)
        return to_instant(datetime.strptime(minutes + seconds, "%Y%m%d%H%M%S"), zone)  # noqa: DTZ007 - wall time
    except AmbiguousWallTimeError:
        raise MalformedMessageError("a time stamp that means two instants, or none") from None
    except (ValueError, OverflowError):
        raise MalformedMessageError("no time stamp") from None
