"""The reads that dialects share: what the server can do, an Appointment by key or id, schedules and slots.

Owns: which requests these are. Refuses, as `Refusal`, replies that do not answer what was asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

import httpx

from adapters.fhir import availability, mapping, replies, smart
from adapters.fhir.capability import CapabilityStatement, Needs, proofs
from adapters.fhir.resources import ACCEPT, ID, Appointment, Held, Schedule, Slot, found, instant, read
from gateway.contracts.adapter import Proof, Readiness, Request, TargetState
from gateway.contracts.connection import Connection, Scheme
from gateway.contracts.failures import Code, Refusal
from gateway.kit.reading import said

_MOST: Final = "200"
"""Of matches on a page; a search that has more is refused, not paged."""

_YEAR: Final = timedelta(days=366)
LONGEST: Final = timedelta(days=1)
"""Of an appointment that began earlier and may still last (there is no search by its end)."""


async def capability(request: Request, needs: Needs, client: httpx.AsyncClient) -> tuple[Proof, Proof]:
    """(available, authorised), by the server's own statement and, of SMART Backend Services, by its configuration and
    the scopes of the token."""
    available, authorised = proofs(
        said(CapabilityStatement, await client.get("metadata", headers=ACCEPT)), needs, request
    )
    credential = request.connection.credential
    if credential.scheme is not Scheme.PRIVATE_KEY_JWT or credential.token is None:
        return available, authorised
    configuration = said(smart.Configuration, await client.get(smart.ADDRESS, headers={"Accept": "application/json"}))
    if configuration.token_endpoint != credential.token.url:
        available = Proof.UNVERIFIABLE
    granted = smart.granted(credential.token.scope, needs.writes)
    return available, granted if authorised is Proof.UNVERIFIABLE or granted is Proof.REFUTED else authorised


def settling(connection: Connection) -> int:
    """Setting `settling-seconds`: how long the server's search lags behind its writes."""
    seconds = connection.settings.get("settling-seconds", 0)
    return seconds if isinstance(seconds, int) else 0


def settled(word: str | None, connection: Connection) -> str | None:
    """The word of `replies.SETTLED` that searches led to. Where they lag, they prove what they show, our key, and
    nothing else; then raises `Refusal`."""
    if word != replies.KEY and settling(connection):
        raise Refusal(Code.REPLY_UNRECOGNISED)
    return word


def year_around(request: Request) -> list[str]:
    """A search's bounds, a year to either side: an appointment may have been moved since."""
    return [f"ge{instant(request.particulars.start - _YEAR)}", f"lt{instant(request.particulars.end + _YEAR)}"]


def created(location: str | None) -> str:
    """The id in `[base]/Appointment/[id]/_history/[vid]` (http.html#create), under whatever name the server knows its
    base: what is read by that id must hold our key. Raises `Refusal`."""
    *_, kind, identifier = ["", "", *(location or "").partition("/_history/")[0].split("/")]
    if kind != "Appointment":
        raise Refusal(Code.REPLY_UNRECOGNISED)
    return identifier


def readiness(capable: tuple[Proof, Proof], target: TargetState, prepared: object = None) -> Readiness:
    """Credentials are proven by then: a read that needs them was answered."""
    available, authorised = capable
    return Readiness(
        available=available, credentials=Proof.PROVEN, authorised=authorised, target=target, prepared=prepared
    )


async def by_id(identifier: str, client: httpx.AsyncClient) -> Held[Appointment] | None:
    """None where there is none; raises `Gone` where it was deleted, `Refusal` where another one is shown."""
    if not ID.fullmatch(identifier):
        raise Refusal(Code.REPLY_UNRECOGNISED)
    name = f"Appointment/{identifier}"
    return read(Appointment, name, await client.get(name, headers=ACCEPT))


async def by_key(
    key: str, client: httpx.AsyncClient, also: Mapping[str, str | list[str]] = MappingProxyType({})
) -> Held[Appointment] | None:
    """The one Appointment under a native key; raises `Refusal` where there are several. `also` are further parameters
    that a server wants."""
    asked = {"identifier": f"{mapping.KEY_SYSTEM}|{key}", "_count": "2", **also}
    matches = found(Appointment, await client.get("Appointment", params=asked, headers=ACCEPT))
    if len(matches) > 1 or any(not mapping.has_key(each.content, key) for each in matches):
        raise Refusal(Code.REPLY_UNRECOGNISED)
    return matches[0] if matches else None


async def schedules(request: Request, client: httpx.AsyncClient) -> tuple[Schedule, ...]:
    asked = {"actor": ",".join(mapping.scheduled(request)), "_count": _MOST}
    return tuple(each.content for each in found(Schedule, await client.get("Schedule", params=asked, headers=ACCEPT)))


async def slots_within(
    request: Request, in_schedules: Iterable[Schedule], client: httpx.AsyncClient
) -> tuple[Held[Slot], ...]:
    """All slots of these schedules that begin within the approved time."""
    particulars = request.particulars
    asked = {
        "schedule": ",".join(f"Schedule/{each.id}" for each in in_schedules),
        "start": [f"ge{instant(particulars.start)}", f"lt{instant(particulars.end)}"],
        "_count": _MOST,
    }
    return found(Slot, await client.get("Slot", params=asked, headers=ACCEPT))


async def slots_named(names: Iterable[str], client: httpx.AsyncClient) -> tuple[Held[Slot], ...]:
    """These slots, by reference; those that are no longer there are left out."""
    wanted = set(names)
    ids = sorted(name.removeprefix("Slot/") for name in wanted)
    if not all(ID.fullmatch(each) for each in ids):  # of another server, or no reference
        raise Refusal(Code.REPLY_UNRECOGNISED)
    asked = {"_id": ",".join(ids), "_count": _MOST}
    matches = found(Slot, await client.get("Slot", params=asked, headers=ACCEPT))
    if any(each.reference not in wanted for each in matches):
        raise Refusal(Code.REPLY_UNRECOGNISED)
    return matches


async def is_free(request: Request, besides: str | None, client: httpx.AsyncClient) -> bool:
    """Whether no appointment of those who are scheduled takes up the approved time, where there are no slots to ask."""
    particulars = request.particulars
    asked = {
        "actor": ",".join(mapping.scheduled(request)),
        "date": [f"ge{instant(particulars.start - LONGEST)}", f"lt{instant(particulars.end)}"],
        "_count": _MOST,
    }
    matches = found(Appointment, await client.get("Appointment", params=asked, headers=ACCEPT))
    return not any(availability.is_busy(each.content, request, besides=besides) for each in matches)
