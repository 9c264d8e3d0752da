"""Readiness asks too little, or the wrong thing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Final

import httpx

from adapters.sandbox import mapping
from conformance.mutants.broken.base import BrokenSandbox
from conformance.mutants.wrapper import Send, tapped
from gateway.contracts.adapter import Descriptor, Proof, Readiness, Request, TargetState
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation

_PATIENCE: Final = 32


class AsksHealthOnly(BrokenSandbox):
    name = "asks-health-only"
    flaw = "asks the one address that needs no credential, and calls everything proven"

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        mapping.booking(request)
        reply = await read.get("/health")
        if reply.status_code != 200:
            return Readiness.refuted(Code.EXTERNAL_UNAVAILABLE)
        return Readiness.proven(prepared=await self._target(request, read))


class IgnoresPermissions(BrokenSandbox):
    name = "ignores-permissions"
    flaw = "does not mind that its credential may only read"

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        asked = await super().readiness(request, read)
        if asked.authorised is not Proof.REFUTED:
            return asked
        return Readiness.proven(prepared=await self._target(request, read))


class RemembersPermissions(BrokenSandbox):
    name = "remembers-permissions"
    flaw = "asks once what its credential may do, and believes it from then on"

    def __init__(self) -> None:
        self._granted: httpx.Response | None = None

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        async def once(sent: httpx.Request, send: Send) -> httpx.Response:
            if not sent.url.path.endswith("/capabilities"):
                return await send(sent)
            if self._granted is None:
                reply = await send(sent)
                self._granted = reply if reply.status_code == 200 else None
                return reply
            return self._granted

        return await super().readiness(request, tapped(read, once))


class HoldsTheSlot(BrokenSandbox):
    name = "holds-the-slot"
    flaw = "asks whether the slot is free by a GET that holds it"

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        async def hold(sent: httpx.Request, send: Send) -> httpx.Response:
            if sent.url.path.endswith("/slots"):
                sent.url = sent.url.copy_add_param("hold", mapping.booking(request).patient)
            return await send(sent)

        return await super().readiness(request, tapped(read, hold))


class SlotsNotAsked(BrokenSandbox):
    name = "slots-not-asked"
    flaw = "leaves it to the commit to find out that the slot is taken"

    async def _is_free(
        self, approved: mapping.Booking, target: mapping.Appointment | None, read: httpx.AsyncClient
    ) -> bool:
        return True


class SlotOfItself(BrokenSandbox):
    name = "slot-of-itself"
    flaw = "asks for a free slot only when it books, not when it moves"

    async def _is_free(
        self, approved: mapping.Booking, target: mapping.Appointment | None, read: httpx.AsyncClient
    ) -> bool:
        return target is not None or await super()._is_free(approved, target, read)


class UnauthorisedIsUnavailable(BrokenSandbox):
    name = "unauthorised-is-unavailable"
    flaw = "calls every failed read unavailable, a wrong credential included"

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        asked = await super().readiness(request, read)
        refuted = asked.credentials is Proof.REFUTED
        return Readiness.refuted(Code.EXTERNAL_UNAVAILABLE) if refuted else asked


class AnyPatient(BrokenSandbox):
    name = "any-patient"
    flaw = "catches a missing identifier, and answers in words of its own"

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        try:
            return await super().readiness(request, read)
        except KeyError:
            raise ValueError("cannot make a booking of this") from None


class PollsUntilReady(BrokenSandbox):
    name = "polls-until-ready"
    flaw = "asks again and again until the system answers as hoped"

    def describe(self, connection: Connection) -> Descriptor:
        return super().describe(connection).model_copy(update={"requests_per_attempt": 8})

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        for _ in range(_PATIENCE):
            reply = await read.get("/health")
            if reply.status_code == 200:
                break
        return await super().readiness(request, read)


class _OtherVersions(BrokenSandbox, ABC):
    """Finds the target ready at versions that were not approved."""

    @abstractmethod
    def ready_all_the_same(self, target: mapping.Appointment, request: Request) -> bool:
        """Whether it is content with this target."""

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        asked = await super().readiness(request, read)
        if asked.target is not TargetState.CHANGED:
            return asked
        target = await self._target(request, read)
        if target is None or not self.ready_all_the_same(target, request):
            return asked
        return replace(asked, target=TargetState.OPEN, prepared=target)


class AnyEarlierVersion(_OtherVersions):
    name = "any-earlier-version"
    flaw = "is content if an earlier version than the present one was approved"

    def ready_all_the_same(self, target: mapping.Appointment, request: Request) -> bool:
        earlier = range(1, int(target.version))
        return any(request.is_approved_version(str(number)) for number in earlier)


class AnyVersion(_OtherVersions):
    name = "any-version"
    flaw = "compares the appointment's times, and not its version"

    def ready_all_the_same(self, target: mapping.Appointment, request: Request) -> bool:
        return target.status is mapping.Status.BOOKED


class CancelledIsOpen(_OtherVersions):
    name = "cancelled-is-open"
    flaw = "does not look whether the appointment was cancelled"

    def ready_all_the_same(self, target: mapping.Appointment, request: Request) -> bool:
        return request.is_approved_version(target.version)


class MissingIsOpen(BrokenSandbox):
    name = "missing-is-open"
    flaw = "takes an appointment that is not there for one that needs no care"

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        asked = await super().readiness(request, read)
        return replace(asked, target=TargetState.OPEN) if asked.target is TargetState.ABSENT else asked


class MissingIsChanged(BrokenSandbox):
    name = "missing-is-changed"
    flaw = "says that an appointment changed where it is not there"

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        asked = await super().readiness(request, read)
        return replace(asked, target=TargetState.CHANGED) if asked.target is TargetState.ABSENT else asked


class ReadsLeniently(BrokenSandbox):
    name = "reads-leniently"
    flaw = "takes whatever is missing in a reply to a read for the usual"

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        asked = await super().readiness(request, read)
        unclear = asked.available is Proof.UNVERIFIABLE and request.operation is Operation.BOOK
        return Readiness.proven() if unclear else asked


class BusyIsReady(BrokenSandbox):
    name = "busy-is-ready"
    flaw = "takes 429 and 503 to a read for a passing trouble, and goes on"

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        asked = await super().readiness(request, read)
        passing = asked.available is Proof.REFUTED and request.operation is Operation.BOOK
        return Readiness.proven() if passing else asked


class BrokenOffIsReady(BrokenSandbox):
    name = "broken-off-is-ready"
    flaw = "goes on when the connection breaks under one of its reads"

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        async def patient(sent: httpx.Request, send: Send) -> httpx.Response:
            try:
                return await send(sent)
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                usual = {"status": "ok", "permissions": ["read", "write"], "free": True}
                return httpx.Response(200, json=usual)

        return await super().readiness(request, tapped(read, patient))
