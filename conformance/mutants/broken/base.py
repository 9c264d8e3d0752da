"""The honest adapter, opened where a bug can be put in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import ClassVar

import httpx

from adapters.sandbox.adapter import SandboxAdapter
from conformance.mutants.wrapper import Send, tapped
from gateway.contracts.adapter import Authorized, Observation, Query, Readiness, Receipt, Request


class BrokenSandbox(SandboxAdapter):
    """`name` stands in the matrix, `flaw` says what the bug is."""

    name: ClassVar[str]
    flaw: ClassVar[str]


class Misaddressed(BrokenSandbox, ABC):
    """Carries out something else than was approved, and does so consistently: only an observer can tell."""

    @abstractmethod
    def mistake(self, request: Request) -> Request:
        """What is carried out instead."""

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        return await super().readiness(self.mistake(request), read)

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        return await super().commit(replace(authorized, request=self.mistake(authorized.request)), write)

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        return await super().observe(replace(query, request=self.mistake(query.request)), read)


class Missending(BrokenSandbox, ABC):
    """Sends the commit otherwise than it should."""

    @abstractmethod
    async def dispatch(self, request: httpx.Request, send: Send) -> httpx.Response:
        """The exchange as it is carried out instead."""

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        return await super().commit(authorized, tapped(write, self.dispatch))


class Misreading(BrokenSandbox, ABC):
    """Understands the commit's reply otherwise than it should."""

    @abstractmethod
    def meaning(self, reply: httpx.Response, honest: Receipt) -> Receipt:
        """What the adapter makes of the reply; `honest` is what it means."""

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        replies: list[httpx.Response] = []

        async def keep(request: httpx.Request, send: Send) -> httpx.Response:
            replies.append(await send(request))
            return replies[-1]

        honest = await super().commit(authorized, tapped(write, keep))
        return self.meaning(replies[-1], honest)
