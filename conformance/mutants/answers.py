"""Wrappers that misread or misreport what became of the one mutating request."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import httpx

from conformance.mutants.wrapper import Wrapper
from gateway.contracts.adapter import Authorized, Claim, Descriptor, Receipt
from gateway.contracts.failures import Code
from gateway.contracts.proposal import Operation


class RefusalSwallowed(Wrapper):
    name = "refusal-swallowed"
    flaw = "reports a refusal as success"

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        receipt = await self._adapter.commit(authorized, write)
        return Receipt.applied(version="1") if receipt.claim is Claim.REFUSED else receipt


class SilenceRefused(Wrapper):
    name = "silence-refused"
    flaw = "takes a reply that never came for a refusal"

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        try:
            return await self._adapter.commit(authorized, write)
        except httpx.TransportError:
            return Receipt.refused(Code.EXTERNAL_UNAVAILABLE)


class UnknownRefused(Wrapper):
    name = "unknown-refused"
    flaw = "reports every reply that it does not understand as a refusal"

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        receipt = await self._adapter.commit(authorized, write)
        return Receipt.refused(Code.EXTERNAL_INVALID) if receipt.claim is Claim.UNKNOWN else receipt


class AnythingApplied(Wrapper):
    name = "anything-applied"
    flaw = "takes any reply, and none, for success"

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        with contextlib.suppress(Exception):
            receipt = await self._adapter.commit(authorized, write)
            return Receipt.applied(identifier=receipt.identifier, version=receipt.version)
        return Receipt.applied()


class CodesCollapsed(Wrapper):
    name = "codes-collapsed"
    flaw = "reports every refusal with one code"

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        receipt = await self._adapter.commit(authorized, write)
        return Receipt.refused(Code.EXTERNAL_INVALID) if receipt.claim is Claim.REFUSED else receipt


class RefusalUnclear(Wrapper):
    name = "refusal-unclear"
    flaw = "reports every refusal as unknown"

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        receipt = await self._adapter.commit(authorized, write)
        return Receipt.unknown() if receipt.claim is Claim.REFUSED else receipt


class SuccessUnclear(Wrapper):
    name = "success-unclear"
    flaw = "reports every success as unknown"

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        receipt = await self._adapter.commit(authorized, write)
        return Receipt.unknown() if receipt.claim is Claim.APPLIED else receipt


class VersionLost(Wrapper):
    name = "version-lost"
    flaw = "brings no version home from a success"

    @classmethod
    def applies(cls, claims: Descriptor) -> bool:
        return any(operation is not Operation.BOOK for operation in claims.operations)

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        return replace(await self._adapter.commit(authorized, write), version=None)


class VersionMadeUp(Wrapper):
    name = "version-made-up"
    flaw = "brings a version home that is not the system's"

    @classmethod
    def applies(cls, claims: Descriptor) -> bool:
        return any(operation is not Operation.BOOK for operation in claims.operations)

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        receipt = await self._adapter.commit(authorized, write)
        return receipt if receipt.version is None else replace(receipt, version=f"W/{receipt.version}")
