"""Identifiers that the practice knows only as business identifiers: `Patient?identifier=system|value`.

Owns: the search that turns such a reference into one with an id, in the read phase that needs it. Nothing is kept.
Refuses: whatever is not exactly one. Nobody by that identifier, or nobody any more, is `IdentifierMissingError`;
several are `IdentifierAmbiguousError`. A resource that does not carry the identifier itself is no answer, and
`Refusal`. No other property of a patient is ever compared, and nothing is created.

The setting `look-up` names the types of resources that may be searched for, `Patient` or `Patient Practitioner`. The
search is a POST, so that the identifier stands in no address that a server or a proxy on the way may log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httpx

from adapters.fhir.resources import ACCEPT, UNESCAPED, Element, Resource, found
from gateway.contracts.adapter import IdentifierAmbiguousError, IdentifierMissingError, Identifiers, Request
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Role

LOOK_UP: Final = "look-up"
TYPES: Final = frozenset({"Patient", "Practitioner", "PractitionerRole", "Device", "Location", "HealthcareService"})

_ACTING: Final[Mapping[Role, frozenset[str]]] = MappingProxyType(
    {Role.PRACTITIONER: frozenset({"Practitioner", "PractitionerRole"}), Role.DEVICE: frozenset({"Device"})}
)
_SEARCH: Final = re.compile(r"[A-Z][A-Za-z]*\?")
_TOKEN: Final = re.compile(rf"([A-Za-z]+)\?identifier=({UNESCAPED}{{1,200}}\|{UNESCAPED}{{1,200}})")
_MOST: Final = "50"


class Named(Element):
    system: str | None = None
    value: str | None = None
    use: str | None = None


class Linked(Element):
    type: str


class Known(Resource):
    """Anybody or anything with identifiers. `active` and `status` are what its type has of them."""

    resource_type: str
    active: bool = True
    status: str = "active"
    identifier: tuple[Named, ...] = ()
    link: tuple[Linked, ...] = ()

    def carries(self, token: str, *, current: bool = False) -> bool:
        named = [each for each in self.identifier if f"{each.system}|{each.value}" == token]
        return any(each.use != "old" for each in named) if current else bool(named)

    @property
    def in_use(self) -> bool:
        return self.active and self.status == "active" and all(each.type != "replaced-by" for each in self.link)


class Search(NamedTuple):
    kind: str
    token: str


def looked_up(connection: Connection) -> tuple[str, ...]:
    """The types that this connection looks up. Raises ValueError for a setting that names others."""
    types = tuple(sorted(set(str(connection.settings.get(LOOK_UP, "")).split())))
    if not TYPES.issuperset(types):
        raise ValueError(f"the setting {LOOK_UP} names types among {', '.join(sorted(TYPES))}")
    return types


def searches(connection: Connection) -> tuple[str, ...]:
    """The paths of these searches, which have no effect (search.html)."""
    base = urlsplit(connection.base_url).path.rstrip("/")
    return tuple(f"{base}/{kind}/_search" for kind in looked_up(connection))


async def literal(request: Request, read: httpx.AsyncClient) -> Request:
    """The request with every identifier an id or a literal reference; the very same where none is a search.

    Raises `IdentifierMissingError`, `IdentifierAmbiguousError`, and `Refusal` for a reply that answers nothing.
    """
    asked = _asked(request)
    if not asked:
        return request
    known: dict[Search, str] = {}
    for kind in sorted({each.kind for each in asked.values()}):
        wanted = sorted({each for each in asked.values() if each.kind == kind})
        form = {"identifier": ",".join(each.token for each in wanted), "_count": _MOST}
        reply = await read.post(f"{kind}/_search", data=form, headers=ACCEPT)
        people = [each.content for each in found(Known, reply)]
        if any(one.resource_type != kind or not any(one.carries(each.token) for each in wanted) for one in people):
            raise Refusal(Code.REPLY_UNRECOGNISED)
        known |= {each: f"{kind}/{_the_one(each, people).id}" for each in wanted}
    found_names = {reference: known[search] for reference, search in asked.items()}
    return replace(request, identifiers=Identifiers({**request.identifiers, **found_names}))


def _the_one(search: Search, people: list[Known]) -> Known:
    matches = [one for one in people if one.carries(search.token)]
    if len(matches) > 1:
        raise IdentifierAmbiguousError
    if not matches or not matches[0].in_use or not matches[0].carries(search.token, current=True):
        raise IdentifierMissingError
    return matches[0]


def _asked(request: Request) -> dict[str, Search]:
    """What is to be searched for, by reference. Raises `IdentifierMissingError` for a search that is malformed, of a
    type that cannot stand in this place, or of one that the connection does not look up: the practice must mend it.
    """
    what, types = request.particulars, looked_up(request.connection)
    places: dict[str, frozenset[str]] = {
        what.patient: frozenset({"Patient"}),
        what.location: frozenset({"Location"}),
        what.service: frozenset({"HealthcareService"}),
        **{each.participant: _ACTING[each.role] for each in what.participants},
    }
    asked: dict[str, Search] = {}
    for reference, admitted in places.items():
        named = request.identifiers.get(reference, "")
        if not _SEARCH.match(named):
            continue
        token = _TOKEN.fullmatch(named)
        if token is None or token[1] not in admitted or token[1] not in types:
            raise IdentifierMissingError
        asked[reference] = Search(token[1], token[2])
    return asked
