"""Wrappers that say something else about readiness than the adapter found."""

from __future__ import annotations

from dataclasses import replace

import httpx

from conformance.mutants.wrapper import Wrapper
from gateway.contracts.adapter import Adapter, Proof, Readiness, Request, TargetState
from gateway.contracts.proposal import Operation


class NeverReady(Wrapper):
    name = "never-ready"
    flaw = "asks, and calls every answer unverifiable"

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        await self._adapter.readiness(request, read)
        unknown = Proof.UNVERIFIABLE
        return Readiness(available=unknown, credentials=unknown, authorised=unknown, target=TargetState.UNVERIFIABLE)


class AlwaysReady(Wrapper):
    name = "always-ready"
    flaw = "asks, and calls every answer ready"
    double_books = True

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        asked = await self._adapter.readiness(request, read)
        return Readiness.proven(prepared=asked.prepared)


class ReadyUnanswered(Wrapper):
    name = "ready-unanswered"
    flaw = "calls itself ready when readiness could not be asked for at all"
    double_books = True

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        try:
            return await self._adapter.readiness(request, read)
        except httpx.TransportError:
            return Readiness.proven()


class ReadinessRemembered(Wrapper):
    name = "readiness-remembered"
    flaw = "knocks at the system, and answers what an earlier readiness for the like operation proved"
    double_books = True

    def __init__(self, adapter: Adapter) -> None:
        super().__init__(adapter)
        self._proven: dict[Operation, Readiness] = {}

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        if (remembered := self._proven.get(request.operation)) is not None:
            await read.get("")
            return remembered
        asked = await self._adapter.readiness(request, read)
        proofs = (asked.available, asked.credentials, asked.authorised)
        if all(proof is Proof.PROVEN for proof in proofs) and asked.target is TargetState.OPEN:
            self._proven[request.operation] = asked
        return asked


class SlotIgnored(Wrapper):
    name = "slot-ignored"
    flaw = "does not mind that the slot is taken"
    double_books = True

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        asked = await self._adapter.readiness(request, read)
        return replace(asked, target=TargetState.OPEN) if asked.target is TargetState.TAKEN else asked


class CredentialsAssumed(Wrapper):
    name = "credentials-assumed"
    flaw = "says that credentials and rights hold, whatever the system said about them"

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        asked = await self._adapter.readiness(request, read)
        if Proof.REFUTED not in (asked.credentials, asked.authorised):
            return asked
        return replace(asked, credentials=Proof.PROVEN, authorised=Proof.PROVEN, target=TargetState.OPEN)


class ReadinessCollapsed(Wrapper):
    name = "readiness-collapsed"
    flaw = "says that the system is unavailable, whatever the reason why it is not ready"

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        asked = await self._adapter.readiness(request, read)
        proofs = (asked.available, asked.credentials, asked.authorised)
        if all(proof is Proof.PROVEN for proof in proofs) and asked.target is TargetState.OPEN:
            return asked
        unknown = Proof.UNVERIFIABLE
        return Readiness(
            available=Proof.REFUTED, credentials=unknown, authorised=unknown, target=TargetState.UNVERIFIABLE
        )
