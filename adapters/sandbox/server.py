"""The sandbox's HTTP API over the engine, and how to run it.

    GET  /health                      no token needed
    GET  /capabilities                what this token may do
    GET  /slots?participant=…&start=…&end=…[&excluding=<id>]     whether all participants are free
    POST /appointments                Idempotency-Key                → 201, or 200 when replayed
    PUT  /appointments/{id}           Idempotency-Key, If-Match      reschedule
    POST /appointments/{id}/cancel    Idempotency-Key, If-Match
    GET  /appointments/{id}
    GET  /appointments?key=…          by the key of any of its writes

Owns: routes, bearer tokens, and where a fault strikes. Refusals are RFC 9457 problems (`answers.py`).
Invariant: a mutating request is tallied before anything else is done about it.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from adapters.sandbox.answers import appointment_body, appointment_document, problem
from adapters.sandbox.control import PREFIX, Control
from adapters.sandbox.faults import Action, Fault, Switch, Switchboard, distort
from gateway.contracts.base import Instant, Model, Slug
from gateway.errors import UsageError
from gateway.testing.engine import Booking, Engine, RejectedError, Written
from gateway.testing.twin import document
from gateway.testing.wire import Delivery, Reply, Request, listen

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_KEY = re.compile(r"[!-~]{1,255}")
_ROUTES: tuple[tuple[str, re.Pattern[str], Action], ...] = (
    ("GET", re.compile(r"/health"), Action.HEALTH),
    ("GET", re.compile(r"/capabilities"), Action.CAPABILITIES),
    ("GET", re.compile(r"/slots"), Action.SLOTS),
    ("GET", re.compile(r"/appointments"), Action.FIND),
    ("POST", re.compile(r"/appointments"), Action.BOOK),
    ("GET", re.compile(r"/appointments/([^/]+)"), Action.READ),
    ("PUT", re.compile(r"/appointments/([^/]+)"), Action.RESCHEDULE),
    ("POST", re.compile(r"/appointments/([^/]+)/cancel"), Action.CANCEL),
)

_CHALLENGE = ("www-authenticate", "Bearer")
_INSTEAD: Mapping[Fault, Reply] = {
    Fault.DROP_BEFORE: Reply(status=500, delivery=Delivery.DROPPED),
    Fault.REDIRECT: Reply(status=307, headers=(("location", "/elsewhere"),)),
    Fault.UNAUTHORISED: problem("unauthorised", _CHALLENGE),
    Fault.FORBIDDEN: problem("forbidden"),
    Fault.THROTTLED: problem("throttled", ("retry-after", "30")),
}
"""Faults that answer instead of the sandbox: nothing is processed."""

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Participants = Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=8)]


class BookingBody(Model):
    """What a booking or reschedule sends."""

    patient: Identifier
    participants: Participants
    location: Identifier
    service: Identifier
    reason: Slug | None = None
    start: Instant
    end: Instant

    def booking(self) -> Booking:
        return Booking(
            patient=self.patient,
            participants=self.participants,
            location=self.location,
            service=self.service,
            reason=self.reason,
            start=self.start,
            end=self.end,
        )


class CancellationBody(Model):
    reason: Slug | None = None


class SlotQuery(Model):
    participants: Participants
    start: Instant
    end: Instant
    excluding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Who may do what. `full` None: no token is asked for. `observer` may only read."""

    full: str | None
    observer: str | None

    def permissions(self, request: Request) -> tuple[str, ...]:
        """What this request's bearer may do; nothing, where the token is unknown."""
        sent = request.headers.get("authorization", "")
        if self.full is None or _same(sent, self.full):
            return ("read", "write")
        if self.observer is not None and _same(sent, self.observer):
            return ("read",)
        return ()


def _same(sent: str, token: str) -> bool:
    return hmac.compare_digest(sent.encode(), f"Bearer {token}".encode())


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Requests in, replies out; `control` is None where the test-only routes are off."""

    engine: Engine
    faults: Switchboard
    tokens: Tokens
    control: Control | None

    async def answer(self, request: Request) -> Reply:
        if self.control is not None and request.path.startswith(PREFIX):
            return self.control.answer(request)
        key = request.headers.get("idempotency-key")
        if request.method not in _SAFE_METHODS:
            self.engine.tally(request.method, request.path, key)
        route = _route(request)
        if route is None:
            return problem("not-found")
        action, identifier = route
        switch = self.faults.take(action, key)
        if switch is None:
            return self._perform(action, identifier, request)
        return await self._disturbed(switch, identifier, request)

    async def _disturbed(self, switch: Switch, identifier: str, request: Request) -> Reply:
        """Perform under one fault: before the effect, in its place, or upon its reply."""
        if switch.fault is Fault.ERROR_BEFORE:
            return problem("unavailable", status=switch.status)
        if switch.fault in _INSTEAD:
            return _INSTEAD[switch.fault]
        if switch.fault is Fault.DELAY_BEFORE:
            await asyncio.sleep(switch.milliseconds / 1000)
        reply = self._perform(switch.action, identifier, request)
        if switch.fault is Fault.DELAY_AFTER:
            await asyncio.sleep(switch.milliseconds / 1000)
        if switch.fault is Fault.ERROR_AFTER:
            return problem("unavailable", status=switch.status)
        return distort(switch.fault, reply)

    def _perform(self, action: Action, identifier: str, request: Request) -> Reply:
        try:
            return self._denied(action, request) or self._granted(action, identifier, request)
        except RejectedError as error:
            return problem(error.rejection.value)
        except (UsageError, ValueError):
            return problem("invalid")

    def _denied(self, action: Action, request: Request) -> Reply | None:
        permissions = self.tokens.permissions(request)
        if not permissions and action is not Action.HEALTH:
            return problem("unauthorised", _CHALLENGE)
        if request.method not in _SAFE_METHODS and "write" not in permissions:
            return problem("forbidden")
        return None

    def _granted(self, action: Action, identifier: str, request: Request) -> Reply:
        match action:
            case Action.HEALTH:
                return document(200, {"status": "ok"})
            case Action.CAPABILITIES:
                return document(200, {"permissions": self.tokens.permissions(request)})
            case Action.SLOTS:
                return self._slots(request)
            case Action.READ:
                return self._read(identifier)
            case Action.FIND:
                return self._find(request)
        return self._write(action, identifier, request)

    def _slots(self, request: Request) -> Reply:
        query = SlotQuery.model_validate_json(
            json.dumps(
                {
                    "participants": request.query.get("participant", []),
                    "start": _only(request, "start"),
                    "end": _only(request, "end"),
                    "excluding": _only(request, "excluding", ""),
                }
            )
        )
        return document(200, {"free": self.engine.is_free(query.participants, query.start, query.end, query.excluding)})

    def _read(self, identifier: str) -> Reply:
        appointment = self.engine.appointment(identifier)
        return problem("not-found") if appointment is None else appointment_document(200, appointment)

    def _find(self, request: Request) -> Reply:
        found = self.engine.find(_only(request, "key"))
        return document(200, {"items": [] if found is None else [appointment_body(found)]})

    def _write(self, action: Action, identifier: str, request: Request) -> Reply:
        key = request.headers.get("idempotency-key", "")
        if _KEY.fullmatch(key) is None:
            return problem("invalid")
        if action is Action.BOOK:
            return _written(self.engine.book(key, BookingBody.parse(request.body).booking()), status=201)
        version = request.headers.get("if-match")
        if version is None:
            return problem("precondition-required")
        version = version.strip('"')
        if action is Action.RESCHEDULE:
            booking = BookingBody.parse(request.body).booking()
            return _written(self.engine.reschedule(key, identifier, version, booking))
        reason = CancellationBody.parse(request.body).reason
        return _written(self.engine.cancel(key, identifier, version, reason))


def _route(request: Request) -> tuple[Action, str] | None:
    for method, pattern, action in _ROUTES:
        if method == request.method and (found := pattern.fullmatch(request.path)):
            return action, found.group(1) if found.groups() else ""
    return None


def _written(written: Written, status: int = 200) -> Reply:
    if written.replayed:
        return appointment_document(200, written.appointment, ("idempotent-replay", "true"))
    return appointment_document(status, written.appointment)


def _only(request: Request, name: str, default: str | None = None) -> str:
    values = request.query.get(name, [] if default is None else [default])
    if len(values) != 1:
        raise ValueError("state each parameter once")
    return values[0]


@dataclass(frozen=True, slots=True)
class SandboxServer:
    """A running sandbox. `faults` is the switchboard that /_control/faults arms."""

    url: str
    faults: Switchboard

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        database: Path,
        *,
        credentials: str | None,
        port: int = 0,
        observer: str | None = None,
        control: bool = False,
    ) -> AsyncIterator[SandboxServer]:
        """Serve `database` on 127.0.0.1 while the context is open.

        `credentials` is the bearer token (None: none is asked for), `observer` a second one that may only
        read; `control` opens the test-only routes under /_control. Port 0 picks a free one.
        """
        with closing(Engine.open(database)) as engine:
            faults = Switchboard()
            tokens = Tokens(full=credentials, observer=observer)
            sandbox = Sandbox(engine, faults, tokens, Control(engine, faults) if control else None)
            async with listen(sandbox.answer, port) as url:
                yield cls(url, faults)


def serve(
    database: Path,
    *,
    credentials: str | None,
    port: int = 0,
    observer: str | None = None,
    control: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT; prints one line of JSON, with the URL, once it answers."""

    async def run() -> None:
        stopped = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stopped.set)
        running = SandboxServer.start(database, credentials=credentials, port=port, observer=observer, control=control)
        async with running as server:
            print(json.dumps({"url": server.url}), flush=True)  # noqa: T201 — the command's own output
            await stopped.wait()

    asyncio.run(run())
