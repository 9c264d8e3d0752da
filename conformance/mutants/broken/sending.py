"""What is sent is not what was approved."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import httpx

from adapters.sandbox import mapping
from conformance.mutants.broken.base import BrokenSandbox, Misaddressed, Missending
from conformance.mutants.wrapper import Send
from gateway.contracts.adapter import Authorized, Descriptor, Readiness, Receipt, Request, version_digest
from gateway.contracts.connection import Connection
from gateway.contracts.proposal import Operation
from gateway.kit.reading import said

_USUAL: Final = timedelta(minutes=15)


class ForgetsKey(Missending):
    name = "forgets-key"
    flaw = "sends no idempotency key"

    async def dispatch(self, request: httpx.Request, send: Send) -> httpx.Response:
        del request.headers["Idempotency-Key"]
        return await send(request)


class ForgetsIfMatch(Missending):
    name = "forgets-if-match"
    flaw = "changes an appointment without naming its version"

    async def dispatch(self, request: httpx.Request, send: Send) -> httpx.Response:
        request.headers.pop("If-Match", None)
        return await send(request)


class SendsAgainWhenUnavailable(Missending):
    name = "sends-again-when-unavailable"
    flaw = "sends the commit again after a 503, as the vendor's client library does by default"

    async def dispatch(self, request: httpx.Request, send: Send) -> httpx.Response:
        reply = await send(request)
        return await send(request) if reply.status_code == 503 else reply


class FiresAndForgets(BrokenSandbox):
    name = "fires-and-forgets"
    flaw = "hands the commit to a task in the background, and reports success at once"

    def __init__(self) -> None:
        self._background: set[asyncio.Task[Receipt | None]] = set()

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        task = asyncio.create_task(self._later(authorized, write))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return Receipt.applied(version="1")

    async def _later(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt | None:
        try:
            return await super().commit(authorized, write)
        except httpx.TransportError:
            return None


class VersionReadAgain(BrokenSandbox):
    name = "version-read-again"
    flaw = "reads the version once more just before it writes, and names that one"

    def describe(self, connection: Connection) -> Descriptor:
        return super().describe(connection).model_copy(update={"requests_per_attempt": 7})

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        request, target = authorized.request, authorized.request.particulars.target
        if target is not None and isinstance(authorized.prepared, mapping.Appointment):
            now = said(mapping.Appointment, await write.get(f"/appointments/{authorized.prepared.id}"))
            approved = target.model_copy(update={"version": version_digest(now.version)})
            what = request.particulars.model_copy(update={"target": approved})
            authorized = replace(authorized, request=replace(request, particulars=what), prepared=now)
        return await super().commit(authorized, write)


class LocalTime(Misaddressed):
    name = "local-time"
    flaw = "sends the clock's face at the location as if it were UTC"

    def mistake(self, request: Request) -> Request:
        zone, what = ZoneInfo(request.particulars.zone), request.particulars
        times = {name: getattr(what, name).astimezone(zone).replace(tzinfo=UTC) for name in ("start", "end")}
        return replace(request, particulars=what.model_copy(update=times))


class UsualLength(Misaddressed):
    name = "usual-length"
    flaw = "books a quarter of an hour, whatever was approved"

    def mistake(self, request: Request) -> Request:
        what = request.particulars
        return replace(request, particulars=what.model_copy(update={"end": what.start + _USUAL}))


class EndIsStart(Misaddressed):
    name = "end-is-start"
    flaw = "sends the start as the end, too"

    def mistake(self, request: Request) -> Request:
        what = request.particulars
        return replace(request, particulars=what.model_copy(update={"end": what.start}))


class AnotherPatient(Misaddressed):
    name = "another-patient"
    flaw = "books for the first patient that it was ever asked about"

    def __init__(self) -> None:
        self._first: str | None = None

    def mistake(self, request: Request) -> Request:
        patient = request.particulars.patient
        self._first = self._first or request.identifiers[patient]
        return replace(request, identifiers={**request.identifiers, patient: self._first})


class MovesByBooking(BrokenSandbox):
    name = "moves-by-booking"
    flaw = "makes a new appointment for a reschedule, and leaves the old one"

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        request = authorized.request
        if request.operation is not Operation.RESCHEDULE:
            return await super().commit(authorized, write)
        content = mapping.content(mapping.booking(request))
        headers = {"Idempotency-Key": authorized.native_key()}
        reply = await write.post("/appointments", json=content, headers=headers)
        return mapping.receipt(reply, replace(request, operation=Operation.BOOK))


class MovesInTwoSteps(BrokenSandbox):
    name = "moves-in-two-steps"
    flaw = "cancels and books anew for a reschedule"

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        request = authorized.request
        if request.operation is not Operation.RESCHEDULE:
            return await super().commit(authorized, write)
        cancelled = replace(authorized, request=replace(request, operation=Operation.CANCEL))
        await super().commit(cancelled, write)
        return await super().commit(replace(authorized, request=replace(request, operation=Operation.BOOK)), write)


class CancelsTheLatest(BrokenSandbox):
    name = "cancels-the-latest"
    flaw = "cancels the appointment that it booked last, whichever was approved"

    def __init__(self) -> None:
        self._latest: dict[str, str] = {}

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        operation = authorized.request.operation
        if operation is Operation.CANCEL and isinstance(authorized.prepared, mapping.Appointment):
            authorized = replace(authorized, prepared=authorized.prepared.model_copy(update=self._latest))
        receipt = await super().commit(authorized, write)
        if operation is Operation.BOOK and receipt.identifier is not None and receipt.version is not None:
            self._latest = {"id": receipt.identifier, "version": receipt.version}
        return receipt


class CancelsByMoving(BrokenSandbox):
    name = "cancels-by-moving"
    flaw = "moves an appointment to next year instead of cancelling it"

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        request, year = authorized.request, timedelta(days=365)
        if request.operation is not Operation.CANCEL:
            return await super().commit(authorized, write)
        what = request.particulars
        later = what.model_copy(update={"start": what.start + year, "end": what.end + year})
        moved = replace(request, operation=Operation.RESCHEDULE, particulars=later)
        return await super().commit(replace(authorized, request=moved), write)


class PreparedShared(BrokenSandbox):
    name = "prepared-shared"
    flaw = "keeps what readiness learnt in the adapter, where the next attempt's readiness overwrites it"

    def __init__(self) -> None:
        self._request: Request | None = None
        self._learnt: Readiness | None = None

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        self._request, self._learnt = request, await super().readiness(request, read)
        return self._learnt

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        if self._request is None or self._learnt is None:
            return await super().commit(authorized, write)
        request = replace(self._request, key=authorized.request.key)
        return await super().commit(Authorized(request=request, prepared=self._learnt.prepared), write)
