"""What every wrapper is: an adapter around an adapter. By itself it changes nothing, which is the first control.

Owns: how a wrapper passes calls on, and how it comes between the adapter and the client that the boundary gave.
Refuses nothing. A wrapper never goes around the boundary, except for the one whose flaw is just that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar

import httpx

from gateway.contracts.adapter import Adapter, Authorized, Descriptor, Observation, Query, Readiness, Receipt, Request
from gateway.contracts.connection import Connection

Send = Callable[[httpx.Request], Awaitable[httpx.Response]]
Conduct = Callable[[httpx.Request, Send], Awaitable[httpx.Response]]
"""What becomes of one request of the adapter's; `Send` lets it (or another) out through the given client."""


class Wrapper:
    """Passes everything on. Subclasses have one flaw each.

    `name` is stable and stands in the matrix; `flaw` says what is wrong. `double_books`: it could make a second
    appointment, or move or cancel a wrong one, so it runs on a twin unless the target allows mutants.
    """

    name: ClassVar[str] = "no-op"
    flaw: ClassVar[str] = "none: a control that must stay green"
    double_books: ClassVar[bool] = False

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter

    @classmethod
    def applies(cls, claims: Descriptor) -> bool:
        """Whether the flaw is one at all for an adapter with these claims."""
        return True

    def describe(self, connection: Connection) -> Descriptor:
        return self._adapter.describe(connection)

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        return await self._adapter.readiness(request, read)

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        return await self._adapter.commit(authorized, write)

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        return await self._adapter.observe(query, read)


class _Tap(httpx.AsyncBaseTransport):
    def __init__(self, client: httpx.AsyncClient, conduct: Conduct) -> None:
        self._client = client
        self._conduct = conduct

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        reply = await self._conduct(request, self._client.send)
        return httpx.Response(
            reply.status_code, headers=reply.headers, content=reply.content, extensions=reply.extensions
        )


def tapped(client: httpx.AsyncClient, conduct: Conduct) -> httpx.AsyncClient:
    """A client for the adapter, each of whose requests goes through `conduct` to the given client."""
    return httpx.AsyncClient(
        base_url=client.base_url, transport=_Tap(client, conduct), trust_env=False, follow_redirects=False
    )
