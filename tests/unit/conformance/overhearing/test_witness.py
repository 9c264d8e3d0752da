"""What an adapter tried, noted whole where a body tells a read from a write, and without running its code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx

from conformance.faults.messages import Reads
from conformance.witness import Witness
from gateway.contracts.adapter import Readiness
from gateway.contracts.calls import SafeCalls
from gateway.testing import make_request

READS = Reads(calls=SafeCalls(address="/rpc/", methods=("list.read",)))


class Guest:
    """Calls that read and write, and one whose body is made while it is sent."""

    made = 0

    async def readiness(self, request: Any, read: httpx.AsyncClient) -> Readiness:
        await read.post("rpc/", json={"method": "list.read"})
        await read.post("rpc/?x", json={"method": "list.read"})
        await read.post("rpc/", json={"method": "list.create"})
        await read.post("rpc/", content=self._made(), headers={"Content-Type": "application/json"})
        await read.get("list")
        return Readiness.proven()

    async def _made(self) -> AsyncIterator[bytes]:
        self.made += 1
        yield b'{"method":"list.read"}'


async def test_what_was_tried_is_judged_by_the_whole_request_and_a_body_still_to_be_made_counts_as_a_write() -> None:
    guest: Any = Guest()
    witness = Witness(guest)
    answers = httpx.MockTransport(lambda request: httpx.Response(200))
    async with httpx.AsyncClient(base_url="http://127.0.0.1:1/", transport=answers) as client:
        await witness.readiness(make_request("http://127.0.0.1:1/"), client)
    (call,) = witness.calls
    assert [READS.mutates(*request) for request in call.tried] == [False, True, True, True, False]
    assert guest.made == 1
