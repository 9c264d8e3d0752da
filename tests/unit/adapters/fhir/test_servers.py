"""Servers started for a run, and the observer that counts beside the adapter: on stand-ins, without Java."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from adapters.fhir.adapter import FhirAdapter
from adapters.fhir.servers import running
from adapters.fhir.servers.observer import FhirObserver, observer
from gateway.contracts.connection import CredentialUse, Scheme
from gateway.contracts.failures import Code
from gateway.contracts.words import Effect, ObservationFinding
from gateway.testing import VENDOR, AdapterHarness, make_connection, make_request

BASE = "http://127.0.0.1:9/fhir/"
START = datetime(2031, 5, 5, 8, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)

SERVER = """
import http.server, json, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, {"software": {"version": "1.2"}})

    def do_POST(self):
        assert self.headers["Authorization"] == "Bearer " + os.environ["SECOND"].split()[1]
        bundle = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open(sys.argv[2], "w") as kept:
            json.dump(bundle, kept)
        self.answer(int(sys.argv[3]), {})

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def program(*arguments: str) -> running.Program:
    return running.Program(
        name="stand-in",
        arguments=(sys.executable, *arguments),
        environment={"SECOND": "{vendor} {observer}"},
        path="/fhir/",
    )


def stand_in(directory: Path, status: int) -> running.Program:
    """A server that answers `status` to what is to stand in it, and keeps that in the file `kept`."""
    script = directory / "server.py"
    script.write_text(SERVER, encoding="utf-8")
    return program(str(script), "{port}", str(directory / "kept"), str(status))


def appointment(name: str, start: datetime = START, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Appointment",
        "id": name,
        "status": "booked",
        "start": start.isoformat(),
        "end": (start + HALF_HOUR).isoformat(),
        "identifier": [{"system": "urn:a", "value": f"key-{name}"}, {"system": "urn:b"}],
        "participant": [{"actor": {"reference": "Practitioner/1"}}, {"actor": {"reference": f"{BASE}Patient/9"}}],
        "slot": [{"reference": "Slot/1"}],
        **more,
    }


def page(*resources: dict[str, Any], following: str | None = None) -> httpx.Response:
    links = [] if following is None else [{"relation": "next", "url": following}]
    entries = [{"resource": each} for each in resources]
    return httpx.Response(200, json={"resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries})


@pytest.fixture
def server() -> Iterator[respx.Router]:
    with respx.mock(base_url=BASE, assert_all_called=True) as mocked:
        yield mocked


async def test_a_server_is_started_filled_once_and_ended(tmp_path: Path) -> None:
    async with running._serving(stand_in(tmp_path, 200)) as premises:
        assert premises.label == "stand-in 1.2"
        assert premises.base_url.startswith("http://127.0.0.1:") and premises.base_url.endswith("/fhir/")
        assert premises.secrets.keys() == {"vendor"}
        kept = (tmp_path / "kept").read_text(encoding="utf-8")
        assert kept.count('"Slot"') == running.SLOTS and kept.count('"Patient"') == len(running.PATIENTS)
        assert '"type": "transaction"' in kept or '"type":"transaction"' in kept
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient() as client:
            await client.get(f"{premises.base_url}metadata")


async def test_a_server_that_cannot_be_filled_is_none(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="422"):
        async with running._serving(stand_in(tmp_path, 422)):
            pass


async def test_a_server_that_ends_is_none() -> None:
    with pytest.raises(RuntimeError, match="make fhir-servers"):
        async with running._serving(program("-c", "")):
            pass


async def test_a_server_that_was_not_built_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "BUILT", tmp_path)
    with pytest.raises(RuntimeError, match="make fhir-servers"):
        async with running.hapi():
            pass


def test_the_target_file_speaks_of_what_stands_in_the_server() -> None:
    path = Path(running.__file__).parents[1] / "hapi.toml"
    target = tomllib.loads(path.read_text(encoding="utf-8"))
    pool, contents = target["pool"], list(running._contents())
    names = {f"{each['resourceType']}/{each['id']}" for each in contents}
    known = [f"Patient/{each}" for each in pool["subjects"]]
    known += [f"Practitioner/{pool['practitioner']}", f"Location/{pool['location']}"]
    assert names.issuperset([*known, f"HealthcareService/{pool['service']}"])
    slots = [each for each in contents if each["resourceType"] == "Slot"]
    assert (pool["slots"], pool["first"]) == (len(slots), datetime.fromisoformat(slots[0]["start"]))
    assert [each["end"] for each in slots[:-1]] == [each["start"] for each in slots[1:]]


async def test_the_observer_counts_every_page_and_only_what_touches_the_span(server: respx.Router) -> None:
    before, after = appointment("a", START - HALF_HOUR), appointment("d", START + HALF_HOUR)
    first = server.get("Appointment", headers={"Authorization": "Bearer second"})
    first.side_effect = [page(before, appointment("b"), following=f"{BASE}page?2")]
    server.get("page").mock(page(appointment("c", status="cancelled", participant=[]), after))
    seen = await observer(BASE, {"vendor": "first", "observer": "second"}).appointments(START, START + HALF_HOUR)
    assert [(each.identifier, each.cancelled, each.keys, each.subject) for each in seen] == [
        ("b", False, ("key-b",), "9"),
        ("c", True, ("key-c",), None),
    ]
    assert (seen[0].start, seen[0].end) == (START, START + HALF_HOUR)
    asked = first.calls[0].request.url.params.get_list("date")
    assert asked == ["ge2031-05-04T20:00:00Z", "lt2031-05-05T08:30:00Z"]


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(500),
        httpx.Response(200, json={"resourceType": "OperationOutcome"}),
        page(following="http://127.0.0.1:8/fhir/page"),
    ],
    ids=["an error", "no bundle", "a page elsewhere"],
)
async def test_the_observer_rather_fails_than_counts_too_few(server: respx.Router, reply: httpx.Response) -> None:
    server.get("Appointment").mock(reply)
    with pytest.raises(RuntimeError):
        await FhirObserver(BASE, "token").appointments(START, START + HALF_HOUR)


async def test_an_appointment_without_times_is_not_passed_over(server: respx.Router) -> None:
    timeless = {name: value for name, value in appointment("a").items() if name != "end"}
    server.get("Appointment").mock(page(timeless))
    with pytest.raises(ValueError, match="times"):
        await FhirObserver(BASE, "token").appointments(START, START + HALF_HOUR)


async def test_what_is_removed_leaves_its_slot_free(server: respx.Router) -> None:
    server.get("Appointment/a").mock(httpx.Response(200, json=appointment("a")))
    server.delete("Appointment/a").mock(httpx.Response(200))
    server.get("Slot/1").mock(httpx.Response(200, json={"resourceType": "Slot", "id": "1", "status": "busy"}))
    written = server.put("Slot/1", json={"resourceType": "Slot", "id": "1", "status": "free"})
    written.mock(httpx.Response(200))
    assert await FhirObserver(BASE, "token").remove("a")


async def test_what_is_gone_is_removed_and_what_stays_is_not(server: respx.Router) -> None:
    server.get("Appointment/gone").mock(httpx.Response(410))
    assert await FhirObserver(BASE, "token").remove("gone")
    server.get("Appointment/a").mock(httpx.Response(200, json=appointment("a")))
    server.delete("Appointment/a").mock(httpx.Response(409))
    assert not await FhirObserver(BASE, "token").remove("a")


@pytest.mark.skipif(not os.environ.get("GATEWAY_FHIR_SERVERS"), reason="needs make fhir-servers, and half a minute")
async def test_hapi_books_for_the_one_patient_with_an_identifier() -> None:
    async with running.hapi() as premises:
        assert premises.label.startswith("HAPI FHIR JPA 8") and premises.observer is not None
        connection = make_connection(
            premises.base_url,
            adapter="fhir",
            dialect="transaction",
            settings={"access-declared": True, "look-up": "Patient"},
            credential=CredentialUse(scheme=Scheme.BEARER, name="vendor"),
        )
        number = "Patient?identifier=urn:oid:2.16.840.1.113883.19.5|mrn-patient-{}"
        for patient, code in (("2", None), ("9", Code.PARTICULARS_MISSING)):
            request = make_request(connection, start=START, vendor={**VENDOR, "patient": number.format(patient)})
            async with AdapterHarness(FhirAdapter(), request, secret=premises.secrets["vendor"]) as booking:
                assert await booking.readiness() is code
                if code is None:
                    assert (await booking.commit()).effect is Effect.APPLIED
                    assert (await booking.observe()).finding is ObservationFinding.PRESENT
        (seen,) = await premises.observer.appointments(START, START + HALF_HOUR)
        assert seen.subject == "patient-2"
