"""An observer of a FHIR R4 server, by plain searches (`Observer`). It shares no code with the adapter.

Owns: the search by date, its pages, and the broom, which deletes an Appointment and frees the slots that it held.
Refuses, as `RuntimeError`: any reply but the one it asked for. A page that is missing would be a booking not counted.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from gateway.testing.premises import Seen

_LONGEST: Final = timedelta(hours=12)
"""Of an appointment that began before the span and touches it: a server searches by the start alone."""


def observer(base_url: str, secrets: Mapping[str, str], *, trust: ssl.SSLContext | None = None) -> FhirObserver:
    """The observer of the server at `base_url`, with the bearer token `observer`, else `vendor`."""
    return FhirObserver(base_url, secrets.get("observer", secrets.get("vendor", "")), trust)


@dataclass(frozen=True, slots=True)
class FhirObserver:
    """`keys` of an appointment are the values of all its identifiers, `subject` is the id of its Patient."""

    base_url: str
    token: str = field(repr=False)
    trust: ssl.SSLContext | None = None

    async def appointments(self, start: datetime, end: datetime) -> Sequence[Seen]:
        """Raises `RuntimeError` for a reply that is no search set, ValueError for an appointment without times."""
        span = [f"ge{_instant(start - _LONGEST)}", f"lt{_instant(end)}"]
        found: list[Seen] = []
        async with self._client() as client:
            page = await client.get("Appointment", params={"date": span, "_count": "50"})
            while True:
                bundle = _document(page, "Bundle")
                found.extend(_seen(each) for each in _resources(bundle))
                following = next((each["url"] for each in bundle.get("link", ()) if each["relation"] == "next"), None)
                if following is None:
                    break
                if httpx.URL(following).netloc != client.base_url.netloc:
                    raise RuntimeError("the next page lies on another host")
                page = await client.get(following)
        return [each for each in found if each.start < end and each.end > start]

    async def remove(self, identifier: str) -> bool:
        """Delete the Appointment; a slot that only it held is free again."""
        async with self._client() as client:
            stored = await client.get(f"Appointment/{identifier}")
            if stored.status_code in (404, 410):
                return True
            named = [each["reference"] for each in _document(stored, "Appointment").get("slot", ())]
            if (await client.delete(f"Appointment/{identifier}")).status_code not in (200, 204):
                return False
            for reference in named:
                slot = _document(await client.get(reference), "Slot")
                content = {**slot, "status": "free"}
                headers = {"Content-Type": "application/fhir+json"}
                if (await client.put(reference, json=content, headers=headers)).status_code != 200:
                    return False
        return True

    def _client(self) -> httpx.AsyncClient:
        headers = {"Accept": "application/fhir+json", "Cache-Control": "no-cache"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return httpx.AsyncClient(
            base_url=self.base_url, headers=headers, timeout=30, trust_env=False, verify=self.trust or True
        )


def _document(reply: httpx.Response, kind: str) -> dict[str, Any]:
    document: dict[str, Any] = reply.json() if reply.status_code == 200 else {}
    if document.get("resourceType") != kind:
        raise RuntimeError(f"the server answered {reply.status_code} to the observer, and no {kind}")
    return document


def _resources(bundle: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for entry in bundle.get("entry", ()):
        if entry["resource"]["resourceType"] == "Appointment":
            yield entry["resource"]


def _seen(resource: Mapping[str, Any]) -> Seen:
    if "start" not in resource or "end" not in resource:
        raise ValueError("an appointment among the run's slots has no times")
    actors = [each.get("actor", {}).get("reference", "") for each in resource.get("participant", ())]
    patients = [each.rpartition("/")[2] for each in actors if "Patient/" in each]
    return Seen(
        identifier=resource["id"],
        start=datetime.fromisoformat(resource["start"]),
        end=datetime.fromisoformat(resource["end"]),
        cancelled=resource["status"] in ("cancelled", "entered-in-error", "noshow"),
        keys=tuple(each["value"] for each in resource.get("identifier", ()) if "value" in each),
        subject=patients[0] if len(patients) == 1 else None,
    )


def _instant(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
