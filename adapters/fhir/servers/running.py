"""Starting a FHIR server, filling it, and ending it (`PremisesFactory`): `hapi`.

Owns: processes, ports and tokens. A server keeps everything in memory, or in a directory that goes with the run.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import httpx

from adapters.fhir.servers.observer import observer
from gateway.testing.premises import Premises

BUILT: Final = Path(__file__).resolve().parents[3] / "build" / "fhir-servers"
"""Where `make fhir-servers` puts what it built."""

FIRST: Final = datetime(2031, 5, 5, 8, 0, tzinfo=UTC)
SLOTS: Final = 400
LENGTH: Final = timedelta(minutes=30)
PATIENTS: Final = ("patient-1", "patient-2", "patient-3", "patient-4")
_START_SECONDS: Final = 600.0  # a JVM needs half a minute of a processor; a busy machine gives it slowly


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How to start one server. `arguments` and `environment` say where its port, its directory and its tokens go."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    path: str


HAPI: Final = Program(
    name="HAPI FHIR JPA",
    arguments=(
        *("java", "-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
        *("-cp", f"{BUILT}/hapi/classes:{BUILT}/hapi/lib/*", "peer.HapiServer", "{port}"),
    ),
    environment={"WRITERS": "{vendor} {observer}", "READER": "{limited}"},
    path="/fhir/",
)


@asynccontextmanager
async def hapi() -> AsyncIterator[Premises]:
    """HAPI FHIR's JPA server on H2. `vendor` may do everything; the observer has a token of its own.

    It also knows a token that may only read, and refuses it 403 at the commit. But nothing that can be read tells such
    a token from the other, so a connection must declare its right, and the premises offer no `limited`.
    """
    if not (BUILT / "hapi" / "classes").is_dir():
        raise RuntimeError("HAPI FHIR was not built: make fhir-servers")
    async with _serving(HAPI) as premises:
        yield premises


@asynccontextmanager
async def _serving(program: Program) -> AsyncIterator[Premises]:
    given = {name: secrets.token_urlsafe(16) for name in ("vendor", "limited", "observer")}
    with _process(program, given) as (process, base_url):
        headers = {"Authorization": f"Bearer {given['observer']}", "Accept": "application/fhir+json"}
        async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=120, trust_env=False) as client:
            software = await _software(process, client)
            await _fill(client)
        yield Premises(
            base_url=base_url,
            label=f"{program.name} {software}",
            observer=observer(base_url, given),
            secrets=MappingProxyType({"vendor": given["vendor"]}),
        )


@contextmanager
def _process(program: Program, tokens: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with tempfile.TemporaryDirectory(prefix="fhir-server-") as directory, (Path(directory) / "log").open("wb") as log:
        port = _free_port()
        known = {**tokens, "port": str(port), "directory": directory}
        process = subprocess.Popen(  # noqa: S603 - our own arguments
            [each.format_map(known) for each in program.arguments],
            env={**os.environ, **{name: value.format_map(known) for name, value in program.environment.items()}},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield process, f"http://127.0.0.1:{port}{program.path}"
        finally:
            process.terminate()
            process.wait(timeout=20)


async def _software(process: subprocess.Popen[bytes], client: httpx.AsyncClient) -> str:
    """The version that the server states, as soon as it answers."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            reply = await client.get("metadata")
            if reply.status_code == 200:
                return str(reply.json()["software"]["version"])
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the FHIR server did not start; is it built, by make fhir-servers?")
        await asyncio.sleep(0.2)


async def _fill(client: httpx.AsyncClient) -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
            for each in _contents()
        ],
    }
    address = str(client.base_url).rstrip("/")
    reply = await client.post(address, json=bundle, headers={"Content-Type": "application/fhir+json"})
    if reply.status_code != 200:
        raise RuntimeError(f"the FHIR server answered {reply.status_code} to what was to stand in it")


def _contents() -> Iterator[dict[str, Any]]:
    for name in PATIENTS:
        numbered = {"system": "urn:oid:2.16.840.1.113883.19.5", "value": f"mrn-{name}"}
        yield {"resourceType": "Patient", "id": name, "active": True, "identifier": [numbered]}
    yield {"resourceType": "Practitioner", "id": "practitioner-1", "active": True}
    yield {"resourceType": "Location", "id": "location-1", "status": "active"}
    yield {"resourceType": "HealthcareService", "id": "service-1", "active": True}
    actor = [{"reference": "Practitioner/practitioner-1"}]
    yield {"resourceType": "Schedule", "id": "schedule-1", "active": True, "actor": actor}
    for number in range(SLOTS):
        start = FIRST + number * LENGTH
        yield {
            "resourceType": "Slot",
            "id": f"slot-{number}",
            "schedule": {"reference": "Schedule/schedule-1"},
            "status": "free",
            "start": f"{start:%Y-%m-%dT%H:%M:%SZ}",
            "end": f"{start + LENGTH:%Y-%m-%dT%H:%M:%SZ}",
        }


def _free_port() -> int:
    # not every server can take port 0 and tell what it got
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
