"""Wrappers that do something besides: send twice, write while reading, speak, open doors, hang, take memory."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

import httpx

from conformance.mutants.wrapper import Send, Wrapper, tapped
from gateway.contracts.adapter import Adapter, Authorized, Descriptor, Observation, Query, Readiness, Receipt, Request
from gateway.contracts.connection import Connection
from gateway.contracts.proposal import Operation
from gateway.contracts.references import AppointmentId

DEAF_SECONDS: Final = 5.0
"""How long a wrapper that does not hear its own cancellation goes on, so that it ends by itself after the check."""

HOARD_BYTES: Final = 64 * 1024 * 1024
_KNOCK_SECONDS: Final = 1.0


class CommitsTwice(Wrapper):
    name = "commits-twice"
    flaw = "sends every commit twice"
    double_books = True

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        async def twice(request: httpx.Request, send: Send) -> httpx.Response:
            await send(request)
            return await send(request)

        return await self._adapter.commit(authorized, tapped(write, twice))


class Retries(Wrapper):
    name = "retries"
    flaw = "sends a commit again when its reply does not come"
    double_books = True

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        async def again(request: httpx.Request, send: Send) -> httpx.Response:
            try:
                return await send(request)
            except httpx.TransportError:
                return await send(request)

        return await self._adapter.commit(authorized, tapped(write, again))


class RetriesErrors(Wrapper):
    name = "retries-errors"
    flaw = "sends a commit again when the system answers with an error of its own"
    double_books = True

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        async def again(request: httpx.Request, send: Send) -> httpx.Response:
            reply = await send(request)
            return await send(request) if reply.status_code >= 500 else reply

        return await self._adapter.commit(authorized, tapped(write, again))


class CommitsInReadiness(Wrapper):
    name = "commits-in-readiness"
    flaw = "tries the commit while it is only asked whether it could"
    double_books = True

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        asked = await self._adapter.readiness(request, read)
        with contextlib.suppress(Exception):
            await self._adapter.commit(Authorized(request=request, prepared=asked.prepared), read)
        return asked


class CommitsInObserve(Wrapper):
    name = "commits-in-observe"
    flaw = "commits again whenever it is asked to look"
    double_books = True

    def __init__(self, adapter: Adapter) -> None:
        super().__init__(adapter)
        self._prepared: dict[AppointmentId, object] = {}

    @classmethod
    def applies(cls, claims: Descriptor) -> bool:
        return Operation.BOOK in claims.operations

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        asked = await self._adapter.readiness(request, read)
        self._prepared[request.key] = asked.prepared
        return asked

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        seen, prepared = await self._adapter.observe(query, read), self._prepared.get(query.request.key)
        with contextlib.suppress(Exception):
            await self._adapter.commit(Authorized(request=query.request, prepared=prepared), read)
        return seen


class _Telling(Wrapper, ABC):
    """Repeats what the system said, where the subclass says."""

    @abstractmethod
    def _tell(self, text: str) -> None:
        """Repeat it."""

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        async def overheard(request: httpx.Request, send: Send) -> httpx.Response:
            reply = await send(request)
            self._tell(f"{request.url} {request.content!r} {reply.text}")
            return reply

        return await self._adapter.commit(authorized, tapped(write, overheard))


class LeaksIntoLog(_Telling):
    name = "leaks-into-log"
    flaw = "logs what it sent and what came back"

    def _tell(self, text: str) -> None:
        logging.getLogger("vendor").debug("exchanged %s", text)


class LeaksIntoOutput(_Telling):
    name = "leaks-into-output"
    flaw = "prints what it sent and what came back"

    def _tell(self, text: str) -> None:
        print(text)  # noqa: T201 — the flaw itself


class LeaksIntoErrorOutput(_Telling):
    name = "leaks-into-error-output"
    flaw = "prints what it sent and what came back to standard error"

    def _tell(self, text: str) -> None:
        print(text, file=sys.stderr)  # noqa: T201 — the flaw itself


class LeaksIntoException(Wrapper):
    name = "leaks-into-exception"
    flaw = "puts what it sent into the text of the error that it passes on"

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        async def telling(request: httpx.Request, send: Send) -> httpx.Response:
            try:
                return await send(request)
            except httpx.TransportError as error:
                raise type(error)(f"no reply to {request.url} {request.content!r}") from None

        return await self._adapter.commit(authorized, tapped(write, telling))


class OwnConnection(Wrapper):
    name = "own-connection"
    flaw = "opens a connection of its own to the system, in a thread of its own"

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        receipt = await self._adapter.commit(authorized, write)
        await asyncio.to_thread(_knock, authorized.request.connection)
        return receipt


class OwnProcess(Wrapper):
    name = "own-process"
    flaw = "starts a process of its own"

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        receipt = await self._adapter.commit(authorized, write)
        await asyncio.to_thread(subprocess.run, [os.devnull], check=False, executable="/bin/true")
        return receipt


class CallsElsewhere(Wrapper):
    name = "calls-elsewhere"
    flaw = "asks a host that its connection does not declare"

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        with contextlib.suppress(httpx.TransportError):
            await read.get("http://elsewhere.invalid/")
        return await self._adapter.readiness(request, read)


class OwnCredential(Wrapper):
    name = "own-credential"
    flaw = "brings a credential of its own"

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        read.headers["Authorization"] = "Bearer of-its-own"
        return await self._adapter.readiness(request, read)


class ClientKept(Wrapper):
    name = "client-kept"
    flaw = "commits with the client that it was given for reading"

    def __init__(self, adapter: Adapter) -> None:
        super().__init__(adapter)
        self._kept: httpx.AsyncClient | None = None

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        self._kept = read
        return await self._adapter.readiness(request, read)

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        return await self._adapter.commit(authorized, self._kept or write)


class _Raising(Wrapper):
    """Raises something that no adapter may, where the adapter would have answered REFUSED or UNKNOWN."""

    raised: Callable[[], BaseException]

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        async def strict(request: httpx.Request, send: Send) -> httpx.Response:
            reply = await send(request)
            if reply.status_code >= 400:
                raise type(self).raised()
            return reply

        return await self._adapter.commit(authorized, tapped(write, strict))


class RaisesOnRefusal(_Raising):
    name = "raises-on-refusal"
    flaw = "raises at every reply that is no success, instead of saying what it means"
    raised = ValueError


class LeavesOnRefusal(_Raising):
    name = "leaves-on-refusal"
    flaw = "asks the whole process to end at every reply that is no success"
    raised = SystemExit


class AnswersNothing(Wrapper):
    name = "answers-nothing"
    flaw = "returns nothing from a commit"

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await self._adapter.commit(authorized, write)
        return None  # type: ignore[return-value]  # the flaw itself


class Deaf(Wrapper):
    name = "deaf"
    flaw = "does not hear its own cancellation once a reply stays away"

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        try:
            return await self._adapter.commit(authorized, write)
        except httpx.TimeoutException:
            await _deaf(time.monotonic() + DEAF_SECONDS)
            raise


class Hoards(Wrapper):
    name = "hoards"
    flaw = "takes far more memory than any reply may have when one cannot be used"

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        try:
            return await self._adapter.readiness(request, read)
        except httpx.TransportError:
            _hoard()
            raise

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        try:
            return await self._adapter.commit(authorized, write)
        except httpx.TransportError:
            _hoard()
            raise


def _hoard() -> int:
    return len(bytearray(os.urandom(1024)) * (HOARD_BYTES // 1024))


async def _deaf(until: float) -> None:
    while (left := until - time.monotonic()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(left)


def _knock(connection: Connection) -> None:
    """Connect and say a few bytes; that the system does not like them is of no consequence."""
    host, _, port = connection.hosts[0].rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=_KNOCK_SECONDS) as own:
        own.sendall(b"OPTIONS / HTTP/1.1\r\nHost: own\r\nConnection: close\r\n\r\n")
        own.recv(1)
