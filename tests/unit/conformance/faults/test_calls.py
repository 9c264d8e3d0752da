"""JSON-RPC at the proxy: reads and writes to one address, told apart by their bodies, also where a fault is inside."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conformance.faults import Fault, Point, Which
from conformance.faults.proxy import Proxy

READ = b'{"id":1,"method":"list.read","params":[]}'
WRITE = b'{"id":1,"method":"list.create","params":[]}'
BOTH = b'{"method":"list.create","method":"list.read"}'


def call_of(body: bytes, *fields: bytes, target: bytes = b"/dav/rpc") -> bytes:
    lines = [b"POST " + target + b" HTTP/1.1", b"Host: example", b"Connection: close", *fields]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


JSON = b"Content-Type: application/json"


@pytest.mark.parametrize(
    ("request_bytes", "mutating"),
    [
        (call_of(READ, JSON), False),
        (call_of(WRITE, JSON), True),
        (call_of(BOTH, JSON), True),
        (call_of(READ), True),
        (call_of(READ, JSON, b"Content-Encoding: gzip"), True),
        (call_of(READ, JSON, target=b"/dav/rpc?x"), True),
        (call_of(READ, JSON, target=b"/dav/rpc/"), True),
        (call_of(READ, JSON, target=b"/dav/find"), False),
    ],
    ids=range(8),
)
async def test_a_call_is_judged_by_its_whole_request(
    proxy: Proxy, ask: Any, request_bytes: bytes, mutating: bool
) -> None:
    await ask(proxy, request_bytes)
    assert [exchange.mutating for exchange in proxy.exchanges] == [mutating]
    assert proxy.writes == mutating


@pytest.mark.parametrize("point", [Point.MID_HEAD, Point.MID_SEND, Point.AFTER_SEND, Point.AFTER_COMMIT])
@pytest.mark.parametrize(("which", "struck", "passed"), [(Which.MUTATION, WRITE, READ), (Which.READ, READ, WRITE)])
async def test_a_fault_strikes_the_kind_of_call_that_it_is_meant_for(
    proxy: Proxy, system: Any, ask: Any, point: Point, which: Which, struck: bytes, passed: bytes
) -> None:
    receipt = proxy.arm(Fault(point, which))
    assert (await ask(proxy, call_of(passed, JSON))).received
    assert receipt.fired == 0
    assert (await ask(proxy, call_of(struck, JSON))).nothing
    assert (receipt.fired, receipt.exchange) == (1, 2)
    assert len(system.requests) == (2 if point is Point.AFTER_COMMIT else 1)


async def test_a_call_that_never_comes_whole_is_not_struck(
    proxy: Proxy, system: Any, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conformance.faults.interruption._LOOKS", 3)
    receipt = proxy.arm(Fault(Point.MID_HEAD))
    caller = await call(proxy)
    request = call_of(WRITE, JSON)
    caller.say(request[:-1])
    for _ in range(200):
        if proxy.latest:
            break
        await asyncio.sleep(0.01)
    caller.say(request[-1:])
    assert (await caller.rest()).received
    assert (receipt.fired, len(system.requests)) == (0, 1)


async def test_what_a_peeked_call_leaves_in_the_kernel_is_still_passed_on(proxy: Proxy, system: Any, ask: Any) -> None:
    proxy.arm(Fault(Point.MID_SEND, Which.READ))
    await ask(proxy, call_of(WRITE, JSON))
    assert system.requests[0].endswith(WRITE)
