"""The exchange of a failure, as people may see it: its structure, never its values.

Owns: what of a request and a reply may be shown. A word is shown only where a narrow grammar or a closed list admits
it; everything else becomes ‹…›, or its kind and length. Whatever is left and contains a secret is withheld whole.
Refuses nothing: what cannot be read is told as a number of bytes.
Sources: RFC 5545 (property and component names), RFC 8259, XML 1.0, HL7 v2.5.1 (segments, tables 0008, 0278, 0357).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final
from xml.parsers import expat

from conformance.faults import Exchange
from conformance.results import ExchangeRecord

HIDDEN: Final = "‹…›"
MAX_BODY_CHARACTERS: Final = 4000
MAX_TARGET_CHARACTERS: Final = 500
_MAX_HEADERS: Final = 64
_MAX_ITEMS: Final = 50
_MAX_DEPTH: Final = 16

_METHODS: Final = (
    *("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND", "PROPPATCH", "REPORT", "SEARCH"),
    *("MKCOL", "MKCALENDAR", "MOVE", "COPY", "LOCK", "UNLOCK", "ACL"),
)
_WORD: Final = re.compile(r"[a-z_-]{1,24}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z_-]{0,39}")
_METHOD_LIST: Final = re.compile(rf"(?:{'|'.join(_METHODS)})(?:, *(?:{'|'.join(_METHODS)}))*")
_HEADER_VALUES: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "content-type": re.compile(
            r"(?:application|text|multipart)/[a-z.+-]{1,40}(?:; ?charset=\"?utf-8\"?)?", re.IGNORECASE
        ),
        "content-length": re.compile(r"[0-9]{1,10}"),
        "transfer-encoding": re.compile(r"chunked", re.IGNORECASE),
        "connection": re.compile(r"close|keep-alive", re.IGNORECASE),
        "retry-after": re.compile(r"[0-9]{1,5}"),
        "allow": _METHOD_LIST,
        "depth": re.compile(r"0|1|infinity", re.IGNORECASE),
        "if-none-match": re.compile(r"\*"),
    }
)
_CALENDAR_NAMES: Final = re.compile(
    r"BEGIN|END|VERSION|PRODID|CALSCALE|METHOD|UID|DTSTAMP|DTSTART|DTEND|DURATION|SUMMARY|DESCRIPTION|LOCATION|STATUS"
    r"|ORGANIZER|ATTENDEE|SEQUENCE|CREATED|LAST-MODIFIED|TRANSP|CATEGORIES|CLASS|COMMENT|CONTACT|PRIORITY|RESOURCES"
    r"|URL|GEO|ATTACH|RRULE|RDATE|EXDATE|RECURRENCE-ID|RELATED-TO|REQUEST-STATUS|ACTION|TRIGGER|REPEAT|FREEBUSY"
    r"|TZID|TZNAME|TZOFFSETFROM|TZOFFSETTO|TZURL|COMPLETED|DUE|PERCENT-COMPLETE"
)
_CALENDAR_LINE: Final = re.compile(r"([A-Za-z-]{1,40})(?:;[^:]*)?:(.*)", re.DOTALL)
_CALENDAR_VALUES: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "STATUS": re.compile(r"TENTATIVE|CONFIRMED|CANCELLED|NEEDS-ACTION|COMPLETED|IN-PROCESS|DRAFT|FINAL"),
        "METHOD": re.compile(r"PUBLISH|REQUEST|REPLY|ADD|CANCEL|REFRESH|COUNTER|DECLINECOUNTER"),
        "VERSION": re.compile(r"[12]\.0"),
        "BEGIN": re.compile(r"VCALENDAR|VEVENT|VTODO|VJOURNAL|VFREEBUSY|VTIMEZONE|VALARM|STANDARD|DAYLIGHT"),
        "END": re.compile(r"VCALENDAR|VEVENT|VTODO|VJOURNAL|VFREEBUSY|VTIMEZONE|VALARM|STANDARD|DAYLIGHT"),
    }
)
_FOLD: Final = re.compile(r"\r?\n[ \t]")
_MESSAGE_TARGET: Final = re.compile(r"/(?:SRM|SQM|NMQ)/[A-Z][0-9]{2}")
_SEGMENT_NAMES: Final = re.compile(
    r"MSH|MSA|ERR|QAK|QRD|QRF|ARQ|APR|SCH|TQ1|NTE|PID|PV1|RGS|AIS|AIG|AIP|AIL|NCK|DSC|SFT"
)
_SEGMENT_VALUES: Final[Mapping[tuple[str, int], re.Pattern[str]]] = MappingProxyType(
    {
        ("MSH", 9): re.compile(r"[A-Z]{3}(?:\^[A-Z][0-9]{2}(?:\^[A-Z]{3}_[A-Z][0-9]{2})?)?"),
        ("MSH", 12): re.compile(r"2\.[0-9](?:\.[0-9])?"),
        ("MSH", 15): re.compile(r"AL|NE|ER|SU"),
        ("MSH", 16): re.compile(r"AL|NE|ER|SU"),
        ("MSA", 1): re.compile(r"[AC][AER]"),
        ("QAK", 2): re.compile(r"OK|NF|AE|AR"),
    }
)
_SEGMENT_CODES: Final[Mapping[tuple[str, int], re.Pattern[str]]] = MappingProxyType(
    {
        ("ERR", 3): re.compile(r"[0-9]{1,3}"),
        ("SCH", 25): re.compile(r"Booked|Pending|Cancelled|Waitlist|Overbook|Blocked|Deleted|Noshow"),
    }
)
"""Fields whose first component is shown."""


class _Members(list[tuple[str, object]]):
    """A JSON object's members in order, duplicates kept."""


def masked(exchange: Exchange, started: float, secrets: Sequence[str] = ()) -> ExchangeRecord:
    """The record of one exchange; its instants become seconds since `started` (monotonic)."""
    forbidden = tuple(secret.casefold() for secret in secrets if secret)

    def safe(text: str) -> str:
        found = text.casefold()
        return HIDDEN if any(secret in found for secret in forbidden) else text

    def offset(instant: float | None) -> float | None:
        return None if instant is None else round(instant - started, 6)

    return ExchangeRecord(
        number=exchange.number,
        method=exchange.method if exchange.method in _METHODS else "OTHER",
        target=safe(masked_target(exchange.target)),
        mutating=exchange.mutating,
        request_headers=tuple(safe(line) for line in _headers(exchange.request_headers)),
        request_body=safe(masked_body(exchange.request_body)),
        status=exchange.status,
        reply_headers=tuple(safe(line) for line in _headers(exchange.reply_headers)),
        reply_body=safe(masked_body(exchange.reply_body)),
        delivered_bytes=exchange.delivered,
        arrived=round(exchange.arrived - started, 6),
        forwarded=offset(exchange.forwarded),
        answered=offset(exchange.answered),
        ended=offset(exchange.ended),
        point=exchange.point,
    )


def masked_target(target: str) -> str:
    """Path and query with only short, plain, lower-case words left; at most 500 characters. An HL7 message's name."""
    if _MESSAGE_TARGET.fullmatch(target):
        return target
    path, question, query = target.partition("?")
    shown = "/".join(_admitted(_WORD, segment) for segment in path.split("/"))
    if question:
        shown += "?" + "&".join(_parameter(pair) for pair in query.split("&"))
    return _bounded(shown, MAX_TARGET_CHARACTERS)


def masked_body(body: bytes) -> str:
    """JSON, XML, iCalendar or HL7 v2 as its structure; anything else as its length. At most 4000 characters."""
    if not body:
        return ""
    unreadable = f"‹binary {len(body)} bytes›"
    try:
        text = body.decode()
        return _bounded(_reader(text)(text) or unreadable, MAX_BODY_CHARACTERS)
    except (ValueError, RecursionError, expat.ExpatError):
        return unreadable


def _reader(text: str) -> Callable[[str], str]:
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith("<"):
        return _xml
    if start.startswith("MSH|"):
        return _segments
    return _calendar if start[:15].upper() == "BEGIN:VCALENDAR" else _json


def _bounded(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _admitted(grammar: re.Pattern[str], word: str) -> str:
    return word if not word or grammar.fullmatch(word) else HIDDEN


def _parameter(pair: str) -> str:
    name, equals, value = pair.partition("=")
    return _admitted(_NAME, name) + equals + _admitted(_WORD, value)


def _headers(headers: Sequence[tuple[str, str]]) -> Iterator[str]:
    for name, value in headers[:_MAX_HEADERS]:
        grammar = _HEADER_VALUES.get(name.lower())
        shown = value if grammar is not None and grammar.fullmatch(value) else HIDDEN
        yield f"{_admitted(_NAME, name)}: {shown}"
    if len(headers) > _MAX_HEADERS:
        yield f"… {len(headers) - _MAX_HEADERS} more"


def _json(text: str) -> str:
    return _value(json.loads(text, object_pairs_hook=_Members, parse_int=float, parse_constant=float), 0)


def _value(value: object, depth: int) -> str:
    if isinstance(value, str):
        return f"‹text {len(value)}›"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if not isinstance(value, list):
        return "‹number›"
    is_object = isinstance(value, _Members)
    if depth == _MAX_DEPTH and value:
        return HIDDEN
    if is_object:
        parts = [
            f'"{_admitted(_NAME, name) or HIDDEN}": {_value(item, depth + 1)}' for name, item in value[:_MAX_ITEMS]
        ]
    else:
        parts = [_value(item, depth + 1) for item in value[:_MAX_ITEMS]]
    if len(value) > _MAX_ITEMS:
        parts.append(f"… {len(value) - _MAX_ITEMS} more")
    return ("{%s}" if is_object else "[%s]") % ", ".join(parts)


def _segments(text: str) -> str:
    """A line for each segment, with the lengths of what its fields hold."""
    lines = text.split("\r", _MAX_ITEMS)
    return "\n".join(map(_segment, filter(None, lines[:_MAX_ITEMS]))) + ("\n…" if len(lines) > _MAX_ITEMS else "")


def _segment(line: str) -> str:
    name, *fields = line.split("|", _MAX_HEADERS)
    first = 2 if name == "MSH" else 1  # MSH counts its separator
    return "|".join(
        [_admitted(_SEGMENT_NAMES, name), *(_field(name, number, value) for number, value in enumerate(fields, first))]
    )


def _field(name: str, number: int, value: str) -> str:
    grammar = _SEGMENT_VALUES.get((name, number))
    if not value or (grammar is not None and grammar.fullmatch(value)):
        return value
    code, caret, rest = value.partition("^")
    admits = _SEGMENT_CODES.get((name, number))
    if admits is not None and admits.fullmatch(code):
        return code + caret + (f"‹text {len(rest)}›" if rest else "")
    return f"‹text {len(value)}›"


def _xml(text: str) -> str:
    """Element names without prefix, and the length of what text they hold; attributes and comments are left out."""
    shown: list[str] = []
    texts: list[int] = [0]

    def flush() -> None:
        if texts[-1]:
            shown.append(f"‹text {texts[-1]}›")
            texts[-1] = 0

    def begin(name: str, _attributes: object) -> None:
        flush()
        texts.append(0)
        shown.append(f"<{_local(name)}>")

    def end(name: str) -> None:
        flush()
        texts.pop()
        shown.append(f"</{_local(name)}>")

    def hold(content: str) -> None:
        texts[-1] += len(content.strip())

    def refuse(*_declaration: object) -> None:
        raise ValueError("entities are not expanded")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.CharacterDataHandler = hold
    parser.EntityDeclHandler = refuse
    parser.Parse(text.lstrip("\ufeff \t\r\n"), True)
    return "".join(shown)


def _local(name: str) -> str:
    return _admitted(_NAME, name.rpartition(":")[2]) or HIDDEN


def _calendar(text: str) -> str:
    return "\n".join(_property(line) for line in _FOLD.sub("", text.strip("\ufeff \t\r\n")).splitlines() if line)


def _property(line: str) -> str:
    found = _CALENDAR_LINE.fullmatch(line)
    if found is None:
        return HIDDEN
    name, value = found[1].upper(), found[2]
    if not _CALENDAR_NAMES.fullmatch(name):  # a line that lost its fold begins with words of somebody's text
        return f"{HIDDEN}:‹text {len(value)}›"
    grammar = _CALENDAR_VALUES.get(name)
    return f"{name}:{value}" if grammar is not None and grammar.fullmatch(value) else f"{name}:‹text {len(value)}›"
