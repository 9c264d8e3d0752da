"""Which exchange a fault strikes, what a receipt claims, and what may be written at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from conformance.faults import Fault, Point, Which
from conformance.faults.proxy import Proxy

REPLY = b'HTTP/1.1 201 Created\r\nETag: "v1"\r\nContent-Length: 12\r\n\r\n{"id": "a1"}'
POINTS = [point for point in Point if point not in {Point.REFUSED, Point.BEFORE_SEND}]


async def until(reached: Callable[[], object]) -> None:
    while not reached():
        await asyncio.sleep(0)


@pytest.mark.parametrize("point", POINTS)
async def test_an_exchange_of_the_other_kind_passes_untouched(
    point: Point, proxy: Proxy, ask: Any, get: bytes, put: bytes
) -> None:
    receipt = proxy.arm(Fault(point))
    assert (await ask(proxy, get)).received == REPLY
    assert (await ask(proxy, b"POST /dav/find?a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).received == REPLY
    assert (receipt.fired, receipt.exchange) == (0, None)
    receipt = proxy.arm(Fault(point, Which.READ))
    assert (await ask(proxy, put)).received == REPLY
    assert (receipt.fired, proxy.writes) == (0, 1)


@pytest.mark.parametrize("point", list(Point))
async def test_with_faults_off_nothing_is_struck(point: Point, system: Any, ask: Any, put: bytes) -> None:
    async with Proxy.open(system.url, faults=False) as proxy:
        receipt = proxy.arm(Fault(point, once=False))
        assert (await ask(proxy, put)).received == REPLY
        assert (receipt.fired, receipt.exchange) == (0, None)
        assert receipt.facts == ["the proxy's faults are switched off"]


@pytest.mark.parametrize("point", [Point.BEFORE_SEND, Point.MID_HEAD, Point.MID_SEND, Point.ERROR_BEFORE])
async def test_once_strikes_once_and_otherwise_until_disarmed(point: Point, proxy: Proxy, ask: Any, put: bytes) -> None:
    async def struck() -> bool:
        try:
            return bool((await ask(proxy, put)).received != REPLY)
        except ConnectionError:
            return True

    once = proxy.arm(Fault(point))
    assert [await struck(), await struck()] == [True, False]
    every = proxy.arm(Fault(point, once=False))
    assert [await struck(), await struck()] == [True, True]
    proxy.disarm()
    assert await struck() is False
    assert (once.fired, every.fired) == (1, 2)


async def test_a_head_is_judged_by_its_method_and_a_declared_post_by_its_path(
    proxy: Proxy, system: Any, call: Any
) -> None:
    receipt = proxy.arm(Fault(Point.MID_HEAD, Which.READ))
    caller = await call(proxy)
    caller.say(b"POST /dav/find?q HT")
    assert (await caller.rest()).nothing
    assert receipt.facts == ["17 bytes of the request's head were read"]
    (exchange,) = proxy.exchanges
    assert (exchange.method, exchange.target, exchange.mutating) == ("POST", "/dav/find?q", False)


async def test_a_kept_connection_is_struck_inside_its_next_request(proxy: Proxy, call: Any, get: bytes) -> None:
    caller = await call(proxy)
    caller.say(get.replace(b"Connection: close\r\n", b""))
    assert await caller.some(len(REPLY)) == REPLY
    receipt = proxy.arm(Fault(Point.MID_SEND, Which.READ))  # while the proxy already waits for that request
    caller.say(get[:-1])
    assert (await caller.rest()).nothing
    assert receipt.fired == 1


async def test_a_strike_is_called_at_the_point_and_the_exchange_goes_on(
    proxy: Proxy, system: Any, ask: Any, put: bytes
) -> None:
    for point in POINTS:
        seen: list[int] = []
        sent, given = len(system.requests), proxy.latest
        receipt = proxy.arm(Fault(point), lambda seen=seen, sent=sent: bool(seen.append(len(system.requests) - sent)))
        assert (await ask(proxy, put)).received == REPLY, point
        before = point in POINTS[:4] or point in {Point.UNAVAILABLE, Point.THROTTLED, Point.INVALID}
        before = before or point in {Point.MISSING, Point.SLOW, Point.ENDLESS_HEAD}
        assert seen == [0 if before else 1], point
        assert (receipt.fired, receipt.exchange, receipt.forwarded, receipt.answered) == (1, given + 1, True, True)


async def test_a_strike_before_a_byte_was_read(proxy: Proxy, ask: Any, put: bytes) -> None:
    struck: list[int] = []
    receipt = proxy.arm(Fault(Point.BEFORE_SEND), lambda: bool(struck.append(proxy.latest)))
    assert (await ask(proxy, put)).received == REPLY
    assert (struck, receipt.fired) == ([0], 1)


@pytest.mark.parametrize("point", [Point.MID_HEAD, Point.MID_SEND, Point.AFTER_SEND])
async def test_a_strike_may_lose_the_request_all_the_same(
    point: Point, proxy: Proxy, system: Any, ask: Any, put: bytes
) -> None:
    receipt = proxy.arm(Fault(point), lambda: True)
    assert (await ask(proxy, put)).nothing
    assert (receipt.fired, receipt.forwarded, system.connections) == (1, False, 0)


async def test_no_strike_can_be_called_where_nothing_arrives(proxy: Proxy) -> None:
    with pytest.raises(ValueError, match="no connection is accepted"):
        proxy.arm(Fault(Point.REFUSED), lambda: False)


@pytest.mark.parametrize("point", [Point.AFTER_SEND, Point.AFTER_COMMIT])
async def test_an_exchange_whose_client_is_killed_runs_to_its_end_at_the_system(
    point: Point, proxy: Proxy, system: Any, call: Any, put: bytes
) -> None:
    caller = await call(proxy)
    receipt = proxy.arm(Fault(point), lambda: bool(caller.hang_up()))
    caller.say(put)
    await until(lambda: receipt.fired)
    assert await proxy.settle()
    assert (len(system.requests), proxy.exchanges[0].status, receipt.answered) == (1, 201, True)


async def test_an_error_in_a_strike_is_raised_when_the_proxy_closes(system: Any, ask: Any, put: bytes) -> None:
    def fail() -> bool:
        raise LookupError("in the strike")

    async def run() -> None:
        async with Proxy.open(system.url) as proxy:
            proxy.arm(Fault(Point.AFTER_COMMIT), fail)
            assert (await ask(proxy, put)).nothing

    with pytest.raises(LookupError, match="in the strike"):
        await run()


async def test_settling_sees_a_request_that_the_kernel_still_holds(
    proxy: Proxy, system: Any, call: Any, put: bytes
) -> None:
    caller = await call(proxy)
    caller.writer.get_extra_info("socket")._sock.send(put)  # sent, and the loop has not turned since
    assert await proxy.settle()
    assert (len(system.requests), proxy.exchanges[0].status) == (1, 201)
    caller.hang_up()


async def test_settling_is_bounded_and_says_what_it_found(proxy: Proxy, system: Any, call: Any, put: bytes) -> None:
    system.gate.clear()
    caller = await call(proxy)
    caller.say(put)
    await until(lambda: system.requests)
    assert await proxy.settle(0.05) is False
    system.gate.set()
    assert await proxy.settle() is True
    caller.hang_up()


async def test_mutations_beyond_the_budget_are_not_forwarded(system: Any, ask: Any, put: bytes, get: bytes) -> None:
    async with Proxy.open(system.url, writes=1) as proxy:
        assert (await ask(proxy, put)).received == REPLY
        assert (await ask(proxy, put)).nothing
        assert (await ask(proxy, get)).received == REPLY
        assert (proxy.writes, [exchange.number for exchange in proxy.refused]) == (1, [2])
    assert len(system.requests) == 2


async def test_a_redelivery_beyond_the_budget_is_not_forwarded_either(system: Any, ask: Any, put: bytes) -> None:
    async with Proxy.open(system.url, writes=1) as proxy:
        proxy.arm(Fault(Point.REDELIVERED))
        assert (await ask(proxy, put)).nothing
        assert (proxy.writes, len(proxy.refused), len(system.requests)) == (1, 1, 1)


async def test_a_read_only_proxy_forwards_no_mutation(system: Any, ask: Any, put: bytes, get: bytes) -> None:
    async with Proxy.open(system.url, read_only=True) as proxy:
        assert (await ask(proxy, put)).nothing
        assert (await ask(proxy, get)).received == REPLY
        assert (proxy.writes, len(proxy.refused)) == (0, 1)
    assert [request[:3] for request in system.requests] == [b"GET"]


async def test_overlapping_requests_are_all_at_the_system_before_any_reply(
    proxy: Proxy, system: Any, ask: Any, put: bytes, get: bytes
) -> None:
    overlap = proxy.overlap(3, 5)
    first = [asyncio.create_task(ask(proxy, put)) for _ in range(2)]
    await until(lambda: overlap.reached == 2)
    assert (await ask(proxy, get)).received == REPLY  # a read is not held
    assert len(system.requests) == 1
    assert [seen.received for seen in await asyncio.gather(ask(proxy, put), *first)] == [REPLY] * 3
    held = [exchange for exchange in proxy.exchanges if exchange.mutating]
    assert max(exchange.forwarded for exchange in held) < min(exchange.answered for exchange in held)
    assert (await ask(proxy, put)).received == REPLY
    assert overlap.reached == 3


async def test_an_overlap_that_is_not_reached_ends_in_time(proxy: Proxy, ask: Any, put: bytes) -> None:
    overlap = proxy.overlap(2, 0.05)
    assert (await ask(proxy, put)).received == REPLY
    assert overlap.reached == 1


async def test_a_new_overlap_releases_the_one_before(proxy: Proxy, ask: Any, put: bytes) -> None:
    overlap = proxy.overlap(2, 60)
    asked = asyncio.create_task(ask(proxy, put))
    await until(lambda: overlap.reached)
    proxy.overlap(2, 0.05)
    assert (await asked).received == REPLY


async def test_exchanges_are_numbered_in_order_of_arrival(proxy: Proxy, ask: Any, put: bytes, get: bytes) -> None:
    await ask(proxy, get)
    latest = proxy.latest
    await ask(proxy, put)
    assert latest == 1
    (exchange,) = proxy.since(latest)
    assert (exchange.number, exchange.method, exchange.target) == (2, "PUT", "/dav/a1?x=%20y")
    assert ("hOst", "example") in exchange.request_headers and exchange.request_body == b"0123456789"
    assert ("ETag", '"v1"') in exchange.reply_headers and exchange.reply_body == b'{"id": "a1"}'
    assert exchange.arrived <= exchange.forwarded <= exchange.answered <= exchange.ended
    assert "a1" not in repr(exchange) and "example" not in repr(exchange)


async def test_connections_stay_open_while_new_ones_are_refused(proxy: Proxy, call: Any, get: bytes) -> None:
    caller = await call(proxy)
    keeping = get.replace(b"Connection: close\r\n", b"")
    caller.say(keeping)
    await caller.some(len(REPLY))
    proxy.arm(Fault(Point.REFUSED, once=False))
    caller.say(keeping)
    assert await caller.some(len(REPLY)) == REPLY
    with pytest.raises(ConnectionRefusedError):
        await call(proxy)
    proxy.disarm()  # the port is taken again while a connection on it is open
    (await call(proxy)).hang_up()
    caller.hang_up()
