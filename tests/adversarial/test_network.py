"""Names that lead elsewhere, and requests within requests."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import httpx
import pytest

from adapters.sandbox.adapter import SandboxAdapter
from gateway.boundary.addresses import AddressForbiddenError, reachable, resolve
from gateway.contracts.adapter import Readiness, Request
from gateway.contracts.connection import Network
from gateway.contracts.failures import Code
from gateway.contracts.words import State

SMUGGLED = b"POST /appointments HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize(
    "text",
    [
        "::7f00:1",  # IPv4-compatible loopback (RFC 4291 §2.5.5.1)
        "fec0::1",  # site-local (RFC 3879)
        "64:ff9b:1::7f00:1",  # local-use NAT64 (RFC 8215)
        "4000::1",  # unassigned
        "240.0.0.1",
        "::ffff:169.254.169.254",
        "2002:a9fe:a9fe::1",
        "64:ff9b::a9fe:a9fe",
    ],
)
@pytest.mark.parametrize("network", list(Network))
def test_an_address_that_no_public_system_has_is_not_reachable(text: str, network: Network) -> None:
    assert not reachable(ip_address(text), network)


async def test_localhost_that_leads_out_of_the_machine_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def lying(*given: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", lying)
    with pytest.raises(AddressForbiddenError):
        await resolve("localhost", 443, Network.PUBLIC, lambda host, port: True)


@pytest.mark.requirement("CARD-03")
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_read_carries_no_request_of_its_own_inside(world: Any, method: str) -> None:
    """A server that takes a GET to have no body would read the body as the next request."""

    class Smuggler(SandboxAdapter):
        async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
            await read.request(method, "/health", content=SMUGGLED)
            return Readiness.proven()

    async with world.gateway() as gateway:
        world.adopt(gateway, Smuggler())
        proposal = await world.rehearsal.propose(gateway, world.rehearsal.enrol())
        outcome = await world.rehearsal.commit(gateway, proposal)
    assert (outcome.state, outcome.code) == (State.BLOCKED, Code.ADAPTER_FAULT)
    assert await world.sent() == 0
