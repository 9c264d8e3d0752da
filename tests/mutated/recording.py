"""Valid replies, recorded once from the peer that an adapter's target file launches, and kept beside the tests.

    python -m tests.mutated record caldav       # writes recordings/caldav.json again

Owns: a chain of booking, reschedule and cancellation, the same for every adapter and every time, so that keys, times
and identifiers in the replies are those that a later trial asks for; and what was answered, in order, by phase.
Refuses: to record a chain of which a step did not go as approved.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final, Self, cast

import httpx

from conformance.target import safety
from conformance.target.system import launched
from gateway.contracts import references
from gateway.contracts.adapter import Adapter, Identifiers, Request, native_key, version_digest
from gateway.contracts.connection import MLLP, Connection, CredentialUse, Scheme
from gateway.contracts.proposal import Operation, Participant, Particulars, Proposal, Role, Target
from gateway.contracts.words import Effect, ObservationFinding
from gateway.testing import AdapterHarness, make_connection, make_proposal, make_request
from tests.peers.peer import Call, Peer, framed

HERE: Final = Path(__file__).parent / "recordings"
ADAPTERS: Final = Path(__file__).resolve().parents[2] / "adapters"
AUTHORITY: Final = b"authority.invalid:1"
"""What stands for `host:port` of the peer, wherever a reply names it."""
CONTROL: Final = b"@control-id@"
"""What stands for the control id (MSH-10) of an HL7 message that a reply answers: a query has a fresh one each time."""
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "PROPFIND", "REPORT", "OPTIONS", "SEARCH")
FRAMING: Final = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive", "date", "server"})


class Phase(StrEnum):
    READINESS = "readiness"
    COMMIT = "commit"
    OBSERVE = "observe"


@dataclass(frozen=True)
class Said:
    """One reply. `frames` are lines that state its length instead of the true one; `closes`: and then the end."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    frames: tuple[str, ...] | None = None
    closes: bool = False

    def spelled(self, authority: bytes) -> bytes:
        """As bytes on the wire of a peer at this `host:port`."""
        body = self.body.replace(AUTHORITY, authority)
        frames = self.frames if self.frames is not None else (f"Content-Length: {len(body)}",)
        lines = [f"HTTP/1.1 {self.status} X", *(f"{name}: {value}" for name, value in self.headers), *frames, "", ""]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape").replace(AUTHORITY, authority) + body

    def answering(self, call: Call) -> bytes:
        """As bytes on the wire of the peer that got this call: HTTP, or a frame, which has no status and no headers."""
        if call.peer.mllp:
            return framed(self.body.replace(CONTROL, control_id(call.body)))
        return self.spelled(f"127.0.0.1:{call.peer.port}".encode())


def control_id(message: bytes) -> bytes:
    return message.split(b"|", 10)[9]


@dataclass(frozen=True)
class Exchange:
    """What was asked, and what was answered."""

    phase: Phase
    method: str
    target: str
    said: Said


@dataclass(frozen=True)
class Step:
    """One operation, carried out. `booked` is the vendor's identifier and version of the appointment before it,
    `found` what the adapter's look made of it."""

    operation: Operation
    booked: tuple[str | None, str] | None
    exchanges: tuple[Exchange, ...] = ()
    found: ObservationFinding = ObservationFinding.PRESENT


@dataclass(frozen=True)
class Recording:
    """Of one adapter. `connection` holds what the target file and the peer say besides the address, `vendor` the
    identifiers, shaped like `gateway.testing.VENDOR`."""

    name: str
    peer: str
    scheme: str
    path: str
    connection: Mapping[str, Any]
    vendor: Mapping[str, str]
    start: datetime
    steps: tuple[Step, ...]


def adapter(name: str) -> Adapter:
    plugin = importlib.import_module(f"adapters.{name}.plugin")
    (found,) = plugin.gateway_adapters().values()
    return cast(Adapter, found)


def _named(kind: type[references.Reference], name: str) -> Any:
    return kind.hashed(b"mutated", name.encode())


def _connection(recording: Recording, authority: str) -> Connection:
    return make_connection(
        f"{recording.scheme}://{authority}{recording.path}",
        connection_id=_named(references.ConnectionId, "connection"),
        practice=_named(references.PracticeId, "practice"),
        **recording.connection,
    )


def approved(recording: Recording, step: Step, authority: str) -> tuple[Request, Proposal]:
    """The request and the proposal of one step: the same in every run, whatever the address."""
    connection = _connection(recording, authority)
    booking = _request(recording, connection, Operation.BOOK, None)
    proposal = _proposal(booking)
    if step.booked is None:
        return booking, proposal
    identifier, version = step.booked
    key = native_key(connection.practice, proposal.proposal_digest, Operation.BOOK)
    target = Target(appointment=key, version=version_digest(version))
    request = _request(recording, connection, step.operation, target)
    bound = {} if identifier is None else {str(key): identifier}
    request = replace(request, identifiers=Identifiers({**request.identifiers, **bound}))
    return request, _proposal(request)


def _request(recording: Recording, connection: Connection, operation: Operation, target: Target | None) -> Request:
    moved = {Operation.RESCHEDULE} & {operation, *(step.operation for step in recording.steps)}
    start = recording.start + (timedelta(hours=2) if moved and target is not None else timedelta())
    particulars = Particulars(
        patient=_named(references.PatientId, "patient"),
        participants=(
            Participant(role=Role.PRACTITIONER, participant=_named(references.ParticipantId, "practitioner")),
        ),
        location=_named(references.LocationId, "location"),
        service=_named(references.ServiceId, "service"),
        start=start,
        end=start + timedelta(minutes=30),
        zone=connection.zone,
        target=target,
    )
    places = (particulars.patient, particulars.participants[0].participant, particulars.location, particulars.service)
    known = dict(zip(("patient", "practitioner", "location", "service"), places, strict=True))
    identifiers = Identifiers({known[name]: identifier for name, identifier in recording.vendor.items()})
    made = make_request(connection, operation, target=target)
    return replace(made, particulars=particulars, identifiers=identifiers)


def _proposal(request: Request) -> Proposal:
    fixed = {
        "proposal_id": _named(references.ProposalId, request.operation),
        "initiator": _named(references.PersonId, "initiator"),
    }
    return make_proposal(request).model_copy(update=fixed)


# -- recording ---------------------------------------------------------------------------------------------


async def recorded(name: str) -> Recording:
    """Launch the peer of `adapters/NAME/conformance.toml` and carry the chain through, listening in between."""
    target = safety.load(ADAPTERS / name / "conformance.toml")
    assert target.launch is not None, "only a peer that can be launched here is recorded"
    async with AsyncExitStack() as stack:
        premises = await launched(stack, target.launch)
        connection = target.connection
        use, token = connection.credential, connection.credential.token
        if token is not None:  # asked for directly: what is recorded begins with a token in hand
            use = use.model_copy(update={"token": token.model_copy(update={"url": premises.token_url or token.url})})
        base = httpx.URL(premises.base_url)
        recording = Recording(
            name=name,
            peer=premises.label,
            scheme="mllp" if base.scheme in MLLP else "http",
            path=base.path,
            connection={
                "dialect": connection.dialect,
                "zone": connection.zone,
                "credential": use,
                "settings": {**connection.settings, **premises.settings},
            },
            vendor={
                "patient": target.pool.subjects[0],
                "practitioner": target.pool.practitioner,
                "location": target.pool.location,
                "service": target.pool.service,
            },
            start=target.pool.first,
            steps=(),
        )
        secret = premises.secrets.get(use.name or "", "")
        async with Listening(base, recording.scheme == "mllp") as between:
            under_test, booked = adapter(name), None
            for operation in under_test.describe(_connection(recording, between.authority)).operations:
                step, between.exchanges = Step(operation, booked), []
                request, proposal = approved(recording, step, between.authority)
                harness = AdapterHarness(under_test, request, secret=secret, proposal=proposal)
                async with harness:
                    between.phase = Phase.READINESS
                    assert (code := await harness.readiness()) is None, f"{name} {operation}: {code}"
                    between.phase = Phase.COMMIT
                    result = await harness.commit()
                    assert result.effect is Effect.APPLIED, f"{name} {operation}: {result.code}"
                    between.phase = Phase.OBSERVE
                    finding = (await harness.observe()).finding
                    assert finding in (ObservationFinding.PRESENT, ObservationFinding.INDETERMINATE), finding
                binding = harness.binding
                assert binding is not None
                if binding.version is not None:
                    booked = (binding.identifier, binding.version)
                step = replace(step, exchanges=tuple(between.exchanges), found=finding)
                recording = replace(recording, steps=(*recording.steps, step))
                if booked is None:
                    break  # without a version that came home nothing can be approved to change
    if token is None:
        return recording
    attached = CredentialUse(scheme=Scheme.BEARER, name=use.name)
    return replace(recording, connection={**recording.connection, "credential": attached})


class Listening:
    """Between adapter and peer: passes everything on, and notes it."""

    def __init__(self, base: httpx.URL, mllp: bool) -> None:
        self.phase = Phase.READINESS
        self.exchanges: list[Exchange] = []
        self._origin = f"{base.scheme}://{base.netloc.decode()}"
        self._netloc = base.netloc
        self._peer = Peer(on=dict.fromkeys(METHODS, self._pass_on_message if mllp else self._pass_on), mllp=mllp)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._peer.listening())
        self._client = await self._stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self._peer.port}"

    async def _pass_on_message(self, call: Call) -> None:
        """A plain frame there, and a plain frame back."""
        host, _, port = self._netloc.decode().partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(framed(call.body))
        body = (await reader.readuntil(b"\x1c\r"))[1:-2]
        writer.close()
        if self.phase is not Phase.COMMIT:
            body = body.replace(control_id(call.body), CONTROL)
        said = Said(200, (), body)
        self.exchanges.append(Exchange(self.phase, call.method, call.target, said))
        await call.answer(said.answering(call))

    async def _pass_on(self, call: Call) -> None:
        ours = self.authority.encode()
        kept = {name: value for name, value in call.headers.items() if name not in ("host", "connection")}
        body = call.body.replace(ours, self._netloc)
        if body != call.body:
            kept["content-length"] = str(len(body))
        answer = await self._client.request(call.method, self._origin + call.target, headers=kept, content=body)
        headers = tuple(
            (name, value.replace(self._netloc.decode(), AUTHORITY.decode()))
            for name, value in answer.headers.items()
            if name not in FRAMING and name != "set-cookie"
        )
        said = Said(answer.status_code, headers, answer.content.replace(self._netloc, AUTHORITY))
        self.exchanges.append(Exchange(self.phase, call.method, call.target, said))
        await call.answer(said.spelled(ours))


# -- on disk -----------------------------------------------------------------------------------------------


def write(recording: Recording) -> Path:
    content = {
        "name": recording.name,
        "peer": recording.peer,
        **({} if recording.scheme == "http" else {"scheme": recording.scheme}),
        "path": recording.path,
        "connection": {
            **recording.connection,
            "credential": recording.connection["credential"].model_dump(mode="json", exclude_none=True),
        },
        "vendor": dict(recording.vendor),
        "start": recording.start.isoformat(),
        "steps": [
            {
                "operation": step.operation.value,
                "booked": step.booked,
                "found": step.found.value,
                "exchanges": [_spelled(each) for each in step.exchanges],
            }
            for step in recording.steps
        ],
    }
    path = HERE / f"{recording.name}.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")
    return path


def _spelled(exchange: Exchange) -> dict[str, Any]:
    said = exchange.said
    try:
        body = {"text": said.body.decode()}
    except UnicodeDecodeError:
        body = {"base64": b64encode(said.body).decode()}
    asked = {"phase": exchange.phase.value, "method": exchange.method, "target": exchange.target}
    return {**asked, "status": said.status, "headers": said.headers, **body}


@cache
def read(name: str) -> Recording:
    content = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    return Recording(
        name=content["name"],
        peer=content["peer"],
        scheme=content.get("scheme", "http"),
        path=content["path"],
        connection={
            **content["connection"],
            "credential": CredentialUse.model_validate_json(json.dumps(content["connection"]["credential"])),
        },
        vendor=content["vendor"],
        start=datetime.fromisoformat(content["start"]),
        steps=tuple(
            Step(
                Operation(step["operation"]),
                None if step["booked"] is None else (step["booked"][0], step["booked"][1]),
                tuple(_exchange(each) for each in step["exchanges"]),
                ObservationFinding(step["found"]),
            )
            for step in content["steps"]
        ),
    )


def _exchange(content: Mapping[str, Any]) -> Exchange:
    body = content["text"].encode() if "text" in content else b64decode(content["base64"])
    headers = tuple((name, value) for name, value in content["headers"])
    return Exchange(
        Phase(content["phase"]), content["method"], content["target"], Said(content["status"], headers, body)
    )
