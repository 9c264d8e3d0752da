"""The little WebDAV that calendar access needs: three request bodies and the reading of their replies.

Owns: XML in both directions (RFC 4918, 3744, 4791, 5397). Refuses: any document with a document type
declaration (no entity, no external reference, no expansion), and any multistatus that does not say
plainly what it holds. What is refused raises `UnreadableReplyError`, which repeats nothing of the reply.

The standard library's parser is used: entities, its only danger, need a `<!DOCTYPE`, and text that
contains one is refused before it is parsed. Size is bounded by the connection's `reply_bytes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from xml.etree import ElementTree as Xml

_DAV: Final = "{DAV:}"
_CAL: Final = "{urn:ietf:params:xml:ns:caldav}"
_NAMESPACES: Final = 'xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"'
_XML: Final = '<?xml version="1.0" encoding="utf-8"?>'
_MAX_ELEMENTS: Final = 20_000

PROBE: Final = (
    f"{_XML}<propfind {_NAMESPACES}><prop><resourcetype/><current-user-principal/>"
    "<current-user-privilege-set/><C:supported-calendar-component-set/></prop></propfind>"
).encode()


class UnreadableReplyError(Exception):
    """A reply that does not say what was asked. Carries nothing of the reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What a collection says of itself. `authenticated` and `privileges` are None where not offered."""

    holds_events: bool
    authenticated: bool | None
    privileges: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Hit:
    """One resource that a query found. `data` is None where the server would not show it."""

    name: str = field(repr=False)
    etag: str | None = field(repr=False)
    data: str | None = field(repr=False)


def _query(data: str, condition: str) -> bytes:
    return (
        f"{_XML}<C:calendar-query {_NAMESPACES}><prop><getetag/>{data}</prop><C:filter>"
        f'<C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">{condition}</C:comp-filter></C:comp-filter>'
        "</C:filter></C:calendar-query>"
    ).encode()


def busy_query(start: datetime, end: datetime) -> bytes:
    """Every event that touches [start, end), recurrences expanded by the server (RFC 4791 §9.9).

    Asks for three properties only (§9.6): other people's appointments are none of the gateway's business.
    """
    shown = "".join(f'<C:prop name="{name}"/>' for name in ("UID", "STATUS", "TRANSP"))
    data = (
        f'<C:calendar-data><C:comp name="VCALENDAR"><C:comp name="VEVENT">{shown}</C:comp></C:comp></C:calendar-data>'
    )
    return _query(data, f'<C:time-range start="{start:%Y%m%dT%H%M%SZ}" end="{end:%Y%m%dT%H%M%SZ}"/>')


def uid_query(uid: str) -> bytes:
    """Events whose UID contains `uid` (hexadecimal digits only, so nothing needs escaping)."""
    condition = f'<C:prop-filter name="UID"><C:text-match collation="i;octet">{uid}</C:text-match></C:prop-filter>'
    return _query("<C:calendar-data/>", condition)


def _parse(content: bytes) -> Xml.Element:
    try:
        text = content.decode("utf-8")
        if "<!DOCTYPE" in text:
            raise UnreadableReplyError("XML with a document type declaration")
        root = Xml.fromstring(text)  # noqa: S314 - without a DOCTYPE there are no entities to expand
    except (UnicodeDecodeError, ValueError, Xml.ParseError):
        raise UnreadableReplyError("not well-formed UTF-8 XML") from None
    if sum(1 for _ in root.iter()) > _MAX_ELEMENTS:
        raise UnreadableReplyError("XML beyond bounds")
    return root


def _responses(content: bytes) -> Iterator[tuple[str, dict[str, Xml.Element]]]:
    """(href, properties found) of each response; a response that is an error in itself is refused.

    That covers a missing resource inside a 207 and a truncated result (507, RFC 4791 §7.8).
    """
    root = _parse(content)
    if root.tag != f"{_DAV}multistatus":
        raise UnreadableReplyError("not a multistatus")
    for response in root.findall(f"{_DAV}response"):
        if response.find(f"{_DAV}status") is not None:
            raise UnreadableReplyError("a response without properties")
        found: dict[str, Xml.Element] = {}
        for propstat in response.findall(f"{_DAV}propstat"):
            if propstat.findtext(f"{_DAV}status", "").split(" ")[1:2] == ["200"]:
                found |= {child.tag: child for child in propstat.iterfind(f"{_DAV}prop/*")}
        yield response.findtext(f"{_DAV}href", ""), found


def read_collection(content: bytes) -> Collection:
    """The one collection of a Depth 0 PROPFIND."""
    responses = list(_responses(content))
    if len(responses) != 1:
        raise UnreadableReplyError("not exactly one response")
    properties = responses[0][1]
    kind = properties.get(f"{_DAV}resourcetype")
    components = properties.get(f"{_CAL}supported-calendar-component-set")
    principal = properties.get(f"{_DAV}current-user-principal")
    privileges = properties.get(f"{_DAV}current-user-privilege-set")
    # RFC 4791 §5.2.3: a calendar that does not say which components it takes takes all
    events = components is None or any(c.get("name") == "VEVENT" for c in components.iterfind(f"{_CAL}comp"))
    return Collection(
        holds_events=kind is not None and kind.find(f"{_CAL}calendar") is not None and events,
        authenticated=None if principal is None else principal.find(f"{_DAV}href") is not None,
        privileges=None
        if privileges is None
        else frozenset(child.tag.removeprefix(_DAV) for child in privileges.iterfind(f"{_DAV}privilege/*")),
    )


def read_hits(content: bytes) -> tuple[Hit, ...]:
    """The resources that a calendar-query found."""
    hits = []
    for href, properties in _responses(content):
        etag, data = properties.get(f"{_DAV}getetag"), properties.get(f"{_CAL}calendar-data")
        hits.append(
            Hit(href.rpartition("/")[2], None if etag is None else etag.text, None if data is None else data.text)
        )
    return tuple(hits)


def read_conditions(content: bytes) -> frozenset[str]:
    """Names of the preconditions in a DAV:error body (RFC 4918 §16); none where there is no such body."""
    try:
        root = _parse(content)
    except UnreadableReplyError:
        return frozenset()  # a refusal need not carry a body, and its status is judged all the same
    return frozenset(child.tag.rpartition("}")[2] for child in root) if root.tag == f"{_DAV}error" else frozenset()
