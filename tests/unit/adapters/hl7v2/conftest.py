"""A partner that says what a test tells it to, and a filler application on python-hl7."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest

from adapters.hl7v2.adapter import Hl7v2Adapter
from adapters.hl7v2.testing import AGREED, ZONE, plain
from gateway.contracts.adapter import Authorized, Observation, Query, Readiness, Receipt, Request, version_digest
from gateway.contracts.proposal import Operation, Target
from gateway.contracts.references import AppointmentId
from gateway.testing import START, Premises, make_connection, make_request

TARGET = AppointmentId.random()
STATED = "20310303100000"  # START in Berlin
END = "20310303103000"
Asking = Callable[..., Any]
KEY = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
WHOLE = ("AIS|1||service-1", "AIP|1||practitioner-1", "AIL|1||location-1")
BLIND = {"query": None, "filler-id-changes": None}


@dataclass
class Partner:
    """Answers each message with what `says` makes of its header fields, by message type."""

    says: dict[str, Callable[[list[str]], str | bytes]] = field(default_factory=dict)
    heard: list[tuple[str, bytes]] = field(default_factory=list)

    def answer(self, request: httpx.Request) -> httpx.Response:
        content = request.read()
        self.heard.append((request.url.path, content))
        header = content.partition(b"\r")[0].decode("utf-8").split("|")
        said = self.says[request.url.path](header)
        return httpx.Response(200, content=said if isinstance(said, bytes) else said.encode())

    @property
    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url="mllp://127.0.0.1:1/", transport=httpx.MockTransport(self.answer))

    def segments(self, index: int = -1) -> dict[str, list[str]]:
        """The message's segments by name, split at `|`."""
        lines = self.heard[index][1].decode("utf-8").removesuffix("\r").split("\r")
        return {line[:3]: line.split("|") for line in lines}

    # What an adapter is asked, with this partner at the other end.

    async def ready(self, request: Request) -> Readiness:
        return await Hl7v2Adapter().readiness(request, self.client)

    async def commit(self, request: Request, prepared: Any = None) -> Receipt:
        return await Hl7v2Adapter().commit(Authorized(request=request, prepared=prepared), self.client)

    async def look(self, request: Request) -> Observation:
        return await Hl7v2Adapter().observe(Query(request=request), self.client)


def reply(header: list[str], kind: str, said: str, *segments: str) -> str:
    lines = [f"MSH|^~\\&|FILLER|||PLACER|20310303||{kind}|R1|T|2.5.1", f"MSA|{said}|{header[9]}", *segments]
    return "".join(f"{line}\r" for line in lines)


def sch(placer: str, status: str = "Booked", **details: str) -> str:
    """An SCH and its patient; details are filler, group, times (SCH-11), length (SCH-9) and whose it is (PID)."""
    fields = [""] * 25
    fields[0], fields[1], fields[3] = f"{placer}^X", details.get("filler", "F1.1^F"), details.get("group", "")
    fields[10], fields[24] = details.get("times", f"^^^{STATED}^{END}"), status
    fields[8] = details.get("length", "")
    whose = details.get("whose", "PID|1||patient-1")
    return "SCH|" + "|".join(fields) + (f"\r{whose}" if whose else "")


def key_of(request: Any) -> str:
    """The appointment's placer id."""
    spell = request.native_key if request.operation is Operation.BOOK else request.target_key
    return str(spell(KEY, 20))


def answering(says: Any, *segments: str, said: str = "AA", kind: str = "SQR^S25", status: str = "NF") -> Any:
    return lambda header: says(header, kind, said, f"QAK|{header[9]}|{status}", *segments)


async def booked_version(partner: Any, asking: Asking, says: Any, shows: Any, **details: str) -> tuple[str, str]:
    """What the filler shows for the appointment under TARGET's key, and the version that it has."""
    request = asking(Operation.CANCEL)
    shown = shows(key_of(request), **details)
    partner.says["/SQM/S25"] = answering(says, shown, status="OK")
    return shown, (await partner.look(request)).version


@pytest.fixture
def partner() -> Partner:
    return Partner()


@pytest.fixture
def asking() -> Callable[..., Request]:
    """A request on a connection with all that the test filler agrees to, and what a test adds or takes away."""

    def made(operation: Operation = Operation.BOOK, version: str = "v", **details: Any) -> Request:
        settings: Mapping[str, Any] = details.pop("settings", {})
        agreed = {name: value for name, value in {**AGREED, **settings}.items() if value is not None}
        connection = make_connection("mllp://127.0.0.1:1/", settings=agreed, zone=details.pop("zone", ZONE))
        target = None
        if operation is not Operation.BOOK:
            target = Target(appointment=TARGET, version=version_digest(version))
        start = details.pop("start", START + timedelta(0))
        return make_request(connection, operation, start=start, target=target, **details)

    return made


@pytest.fixture
async def filler() -> AsyncIterator[Premises]:
    async with plain() as premises:
        yield premises


@pytest.fixture
def says() -> Callable[..., str]:
    return reply


@pytest.fixture
def shows() -> Callable[..., str]:
    return sch
