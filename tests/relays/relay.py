"""A relay: it takes a write at once and passes it on a while later, as interface engines and some vendors' APIs do.

Owns: the stand-in, before an embedded sandbox, and the adapter that declares it for what it is. Reads pass straight
through. A write is checked for its credential, answered 200 with a receipt of the relay's own, and delivered after
`DELIVERY_SECONDS`; what the system behind then says, nobody hears.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Final

import httpx

from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.server import SandboxServer
from gateway.contracts.adapter import Authorized, Commitment, Descriptor, Receipt
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Refusal
from gateway.kit.reading import Said, said
from gateway.testing import Premises, wire
from gateway.testing.engine import Engine
from gateway.testing.twin import EngineObserver

DELIVERY_SECONDS: Final = 0.4
RELAY_SECONDS: Final = 1
"""What the adapter declares: the longest that the relay may take, and more than it does."""


class Relay:
    """`taken` counts the writes that it took; `holds` keeps it from delivering any."""

    def __init__(self, behind: str, *, full: str, limited: str) -> None:
        self.taken = 0
        self.holds = False
        self._behind = behind
        self._tokens = {f"Bearer {full}": True, f"Bearer {limited}": False}
        self._deliveries: set[asyncio.Task[None]] = set()

    async def answer(self, request: wire.Request) -> wire.Reply:
        if request.method == "GET":
            reply = await self._forward(request)
            kept = tuple((name, reply.headers[name]) for name in ("content-type", "etag") if name in reply.headers)
            return wire.Reply(status=reply.status_code, headers=kept, body=reply.content)
        may_write = self._tokens.get(request.headers.get("authorization", ""))
        if not may_write:
            problem = "unauthorised" if may_write is None else "forbidden"
            return self._says(401 if may_write is None else 403, {"type": f"urn:sandbox-problem:{problem}"})
        self.taken += 1
        if not self.holds:
            task = asyncio.create_task(self._deliver(request))
            self._deliveries.add(task)
            task.add_done_callback(self._deliveries.discard)
        return self._says(200, {"accepted": request.headers["idempotency-key"]})

    async def close(self) -> None:
        """What was taken is delivered before the system behind goes."""
        await asyncio.gather(*self._deliveries)

    async def _deliver(self, request: wire.Request) -> None:
        await asyncio.sleep(DELIVERY_SECONDS)
        await self._forward(request)

    async def _forward(self, request: wire.Request) -> httpx.Response:
        headers = {name: value for name, value in request.headers.items() if name not in ("host", "connection")}
        async with httpx.AsyncClient(base_url=self._behind, trust_env=False) as client:
            query = [(name, value) for name, values in request.query.items() for value in values]
            return await client.request(
                request.method, request.path, params=query, headers=headers, content=request.body
            )

    @staticmethod
    def _says(status: int, content: dict[str, str]) -> wire.Reply:
        body = json.dumps(content).encode()
        return wire.Reply(status=status, headers=(("content-type", "application/json"),), body=body)


@asynccontextmanager
async def relayed(directory: Path) -> AsyncIterator[tuple[Relay, Premises]]:
    """A relay with a sandbox of its own behind it."""
    given = {"vendor": secrets.token_urlsafe(16), "limited": secrets.token_urlsafe(16)}
    database = directory / "behind.db"
    async with SandboxServer.start(database, credentials=given["vendor"], observer=given["limited"]) as server:
        relay = Relay(server.url, full=given["vendor"], limited=given["limited"])
        with Engine.open(database) as observed:
            async with wire.listen(relay.answer) as url:
                yield (
                    relay,
                    Premises(
                        base_url=f"{url}/",
                        label="a relay before the embedded sandbox",
                        observer=EngineObserver(observed),
                        secrets=MappingProxyType(given),
                    ),
                )
                await relay.close()


@asynccontextmanager
async def premises() -> AsyncIterator[Premises]:
    """For a target file."""
    with TemporaryDirectory(prefix="relay-") as directory:
        async with relayed(Path(directory)) as (_, started):
            yield started


class Accepted(Said):
    """The relay's receipt: it names the key that it took."""

    accepted: str


class RelayedAdapter(SandboxAdapter):
    """The sandbox's requests through the relay. A receipt is an acceptance; a look finds out the rest."""

    def describe(self, connection: Connection) -> Descriptor:
        relayed = {"commitment": Commitment.RELAYED, "relay_seconds": RELAY_SECONDS}
        return super().describe(connection).model_copy(update=relayed)

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        heard: list[httpx.Response] = []

        async def hear(reply: httpx.Response) -> None:
            heard.append(reply)

        write.event_hooks = {"request": [], "response": [hear]}
        receipt = await super().commit(authorized, write)
        try:
            taken = said(Accepted, heard[-1])
        except Refusal:
            return receipt  # a relay that refuses speaks as the sandbox does
        return Receipt.applied() if taken.accepted == authorized.native_key() else Receipt.unknown()
