"""Wrappers that spoil the native key or the approved version on their way to the adapter."""

from __future__ import annotations

from dataclasses import fields, replace

import httpx

from conformance.mutants.wrapper import Wrapper
from gateway.contracts.adapter import (
    Adapter,
    Authorized,
    Basis,
    Descriptor,
    Idempotency,
    Observation,
    Query,
    Readiness,
    Receipt,
    Request,
)
from gateway.contracts.proposal import Operation
from gateway.contracts.references import AppointmentId


class KeyDropped(Wrapper):
    name = "key-dropped"
    flaw = "commits under a key that nobody knows, and looks under the real one"
    double_books = True

    @classmethod
    def applies(cls, claims: Descriptor) -> bool:
        return claims.idempotency is not Idempotency.NONE

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        return await self._adapter.commit(_rekeyed(authorized, AppointmentId.random()), write)


class KeyMadeNew(Wrapper):
    name = "key-made-new"
    flaw = "makes a key of its own for each commit, and remembers it for the look"
    double_books = True

    def __init__(self, adapter: Adapter) -> None:
        super().__init__(adapter)
        self._made: dict[AppointmentId, AppointmentId] = {}

    @classmethod
    def applies(cls, claims: Descriptor) -> bool:
        return claims.idempotency is not Idempotency.NONE

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        made = self._made[authorized.request.key] = AppointmentId.random()
        return await self._adapter.commit(_rekeyed(authorized, made), write)

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        made = self._made.get(query.request.key, query.request.key)
        return await self._adapter.observe(replace(query, request=replace(query.request, key=made)), read)


class KeyShared(Wrapper):
    name = "key-shared"
    flaw = "commits and looks under one key for every action"
    double_books = True

    def __init__(self, adapter: Adapter) -> None:
        super().__init__(adapter)
        self._key = AppointmentId.random()

    @classmethod
    def applies(cls, claims: Descriptor) -> bool:
        return claims.idempotency is not Idempotency.NONE

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        return await self._adapter.commit(_rekeyed(authorized, self._key), write)

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        return await self._adapter.observe(replace(query, request=replace(query.request, key=self._key)), read)


class LookedUpElsewhere(Wrapper):
    name = "looked-up-elsewhere"
    flaw = "looks under another key than it committed with"

    @classmethod
    def applies(cls, claims: Descriptor) -> bool:
        return claims.observation is Basis.BY_KEY

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        request = replace(query.request, key=AppointmentId.random())
        return await self._adapter.observe(replace(query, request=request), read)


class VersionIgnored(Wrapper):
    name = "version-ignored"
    flaw = "takes any present version of the target for the approved one"
    double_books = True

    @classmethod
    def applies(cls, claims: Descriptor) -> bool:
        return _changes(claims)

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        return await self._adapter.readiness(_any_version(request), read)

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        return await self._adapter.commit(replace(authorized, request=_any_version(authorized.request)), write)


class VersionDenied(Wrapper):
    name = "version-denied"
    flaw = "takes the approved version of the target for another one"

    @classmethod
    def applies(cls, claims: Descriptor) -> bool:
        return _changes(claims)

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        return await self._adapter.readiness(_no_version(request), read)


class _AnyVersion(Request):
    def is_approved_version(self, version: str) -> bool:
        return True


class _NoVersion(Request):
    def is_approved_version(self, version: str) -> bool:
        return False


def _changes(claims: Descriptor) -> bool:
    return any(operation is not Operation.BOOK for operation in claims.operations)


def _any_version(request: Request) -> Request:
    return _AnyVersion(**{each.name: getattr(request, each.name) for each in fields(request)})


def _no_version(request: Request) -> Request:
    return _NoVersion(**{each.name: getattr(request, each.name) for each in fields(request)})


def _rekeyed(authorized: Authorized, key: AppointmentId) -> Authorized:
    return replace(authorized, request=replace(authorized.request, key=key))
