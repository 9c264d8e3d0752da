"""Each point: what the client sees, what the system got, and what the receipt says."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from conformance.faults import Fault, Point, Which
from conformance.faults.proxy import Proxy

CANARY = b"CANARY-5f1c"
REPLY = b'HTTP/1.1 201 Created\r\nETag: "v1"\r\nContent-Length: 12\r\n\r\n{"id": "a1"}'
HEAD = REPLY[:-12]
BODILESS = b'HTTP/1.1 201 Created\r\nETag: "v1"\r\nContent-Length: 0\r\n\r\n'


def test_each_point_is_struck_by_a_test_of_this_file() -> None:
    text = Path(__file__).read_text()
    assert [point for point in Point if f"Point.{point.name}" not in text] == []


async def test_refused_is_proven_before_the_receipt_says_so_and_ends_on_the_same_port(
    proxy: Proxy, system: Any, call: Any, ask: Any, put: bytes
) -> None:
    url = proxy.url
    receipt = proxy.arm(Fault(Point.REFUSED))
    assert (receipt.fired, receipt.forwarded) == (1, False)
    assert receipt.facts == ["a connection of the proxy's own was refused"]
    with pytest.raises(ConnectionRefusedError):
        await call(proxy)
    proxy.disarm()
    assert proxy.url == url
    assert (await ask(proxy, put)).received == REPLY
    assert len(system.requests) == 1


async def test_before_send_resets_what_is_accepted_and_reads_nothing(
    proxy: Proxy, system: Any, ask: Any, put: bytes
) -> None:
    receipt = proxy.arm(Fault(Point.BEFORE_SEND))
    with suppress(ConnectionError):  # a client may learn of it while it connects, or when it reads
        assert (await ask(proxy, put)).nothing
    assert (receipt.fired, receipt.exchange, receipt.forwarded) == (1, None, False)
    assert receipt.facts == ["reset when accepted: what would have been asked is not known"]
    assert (proxy.latest, system.connections) == (0, 0)


@pytest.mark.parametrize(
    ("point", "fact"),
    [
        (Point.MID_HEAD, "4 bytes of the request's head were read"),
        (Point.MID_SEND, "the request's head and 5 bytes of its body were read"),
        (Point.AFTER_SEND, None),
    ],
)
async def test_a_request_cut_on_its_way_does_not_reach_the_system(
    point: Point, fact: str | None, proxy: Proxy, system: Any, ask: Any, put: bytes
) -> None:
    receipt = proxy.arm(Fault(point))
    assert (await ask(proxy, put)).nothing
    assert (receipt.fired, receipt.exchange, receipt.forwarded, receipt.answered) == (1, 1, False, False)
    assert receipt.facts == ([fact] if fact else [])
    (exchange,) = proxy.exchanges
    assert (exchange.method, exchange.mutating, exchange.point, exchange.forwarded) == ("PUT", True, point, None)
    assert (system.connections, proxy.writes) == (0, 0)


async def test_mid_send_of_a_request_without_body_stops_at_the_heads_last_byte(
    proxy: Proxy, system: Any, call: Any, delete: bytes
) -> None:
    receipt = proxy.arm(Fault(Point.MID_SEND))
    caller = await call(proxy)
    caller.say(delete[:-1])  # the proxy does not wait for more than it says it read
    assert (await caller.rest()).nothing
    assert receipt.facts == ["all but the last byte of the request's head was read; it has no body"]
    assert (receipt.fired, system.connections) == (1, 0)


async def test_mid_send_strikes_after_half_of_a_body_that_never_ends(
    proxy: Proxy, system: Any, call: Any, put: bytes
) -> None:
    receipt = proxy.arm(Fault(Point.MID_SEND))
    caller = await call(proxy)
    caller.say(put[:-5])
    assert (await caller.rest()).nothing
    assert (receipt.fired, system.connections) == (1, 0)


async def test_mid_send_of_a_chunked_body_strikes_at_its_first_byte(proxy: Proxy, system: Any, ask: Any) -> None:
    receipt = proxy.arm(Fault(Point.MID_SEND))
    request = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    assert (await ask(proxy, request)).nothing
    assert receipt.facts == ["the request's head and 1 bytes of its body were read"]
    assert system.connections == 0


@pytest.mark.parametrize(
    ("point", "status"),
    [
        (Point.ERROR_BEFORE, b"503"),
        (Point.UNAVAILABLE, b"503"),
        (Point.THROTTLED, b"429"),
        (Point.INVALID, b"422"),
        (Point.MISSING, b"404"),
    ],
)
async def test_an_injected_answer_comes_without_the_system(
    point: Point, status: bytes, proxy: Proxy, system: Any, ask: Any, put: bytes
) -> None:
    receipt = proxy.arm(Fault(point))
    seen = await ask(proxy, put)
    assert seen.received.startswith(b"HTTP/1.1 " + status) and not seen.reset
    assert CANARY in seen.received
    assert (b"\r\nRetry-After: 1\r\n" in seen.received) is (point is Point.THROTTLED)
    assert (receipt.fired, receipt.forwarded, receipt.answered) == (1, False, False)
    assert (system.connections, proxy.exchanges[0].status) == (0, None)


@pytest.mark.parametrize(
    ("point", "reply", "received"),
    [
        (Point.AFTER_COMMIT, REPLY, b""),
        (Point.MID_REPLY_HEAD, REPLY, HEAD[: len(HEAD) // 2]),
        (Point.MID_REPLY, REPLY, REPLY[:-6]),
        (Point.MID_REPLY, BODILESS, BODILESS[:-2]),
    ],
)
async def test_a_reply_is_cut_after_the_system_gave_it_whole(
    point: Point, reply: bytes, received: bytes, proxy: Proxy, system: Any, ask: Any, put: bytes
) -> None:
    system.reply = reply
    receipt = proxy.arm(Fault(point))
    seen = await ask(proxy, put)
    assert (seen.received, seen.reset) == (received, True)
    assert (receipt.fired, receipt.exchange, receipt.forwarded, receipt.answered) == (1, 1, True, True)
    assert receipt.facts[0] == "the system answered 201"
    assert (len(system.requests), proxy.writes) == (1, 1)
    exchange = proxy.exchanges[0]
    assert (exchange.status, exchange.delivered, exchange.point) == (201, len(received), point)


async def test_late_holds_the_reply_until_the_client_is_gone(proxy: Proxy, system: Any, call: Any, put: bytes) -> None:
    receipt = proxy.arm(Fault(Point.LATE))
    caller = await call(proxy)
    caller.say(put)
    while not receipt.fired:
        await asyncio.sleep(0)
    caller.hang_up()
    assert await proxy.settle()
    assert receipt.facts == ["the system answered 201", "the client hung up before the reply"]
    assert (receipt.answered, proxy.exchanges[0].delivered, len(system.requests)) == (True, 0, 1)


async def test_late_passes_the_reply_on_when_disarmed(proxy: Proxy, call: Any, put: bytes) -> None:
    receipt = proxy.arm(Fault(Point.LATE))
    caller = await call(proxy)
    caller.say(put)
    while not receipt.fired:
        await asyncio.sleep(0)
    proxy.disarm()
    assert (await caller.rest()).received == REPLY
    assert receipt.facts == ["the system answered 201", "the reply was passed on late"]


async def test_error_after_replaces_the_systems_own_success(proxy: Proxy, system: Any, ask: Any, put: bytes) -> None:
    receipt = proxy.arm(Fault(Point.ERROR_AFTER))
    seen = await ask(proxy, put)
    assert seen.received.startswith(b"HTTP/1.1 503 ") and b"a1" not in seen.received
    assert (receipt.answered, proxy.exchanges[0].status, len(system.requests)) == (True, 201, 1)


async def test_garbage_is_no_http(proxy: Proxy, system: Any, ask: Any, put: bytes) -> None:
    receipt = proxy.arm(Fault(Point.GARBAGE))
    seen = await ask(proxy, put)
    assert b"HTTP" not in seen.received and CANARY in seen.received
    assert (receipt.fired, receipt.answered, len(system.requests)) == (1, True, 1)


async def test_garbage_body_keeps_status_headers_and_length(proxy: Proxy, ask: Any, put: bytes) -> None:
    receipt = proxy.arm(Fault(Point.GARBAGE_BODY))
    seen = await ask(proxy, put)
    head, _, body = seen.received.partition(b"\r\n\r\n")
    assert head + b"\r\n\r\n" == HEAD
    assert len(body) == 12 and body.startswith(b"\xff\x00")
    assert receipt.fired == 1


async def test_garbage_body_of_a_chunked_reply_is_framed_by_its_length(
    proxy: Proxy, system: Any, ask: Any, put: bytes
) -> None:
    system.reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"
    proxy.arm(Fault(Point.GARBAGE_BODY))
    seen = await ask(proxy, put)
    assert seen.received == b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 4\r\n\r\n\xff\x00<{"


async def test_garbage_body_where_there_was_none_is_added_and_the_validators_stay(
    proxy: Proxy, system: Any, ask: Any, put: bytes
) -> None:
    system.reply = BODILESS
    receipt = proxy.arm(Fault(Point.GARBAGE_BODY))
    seen = await ask(proxy, put)
    assert b'ETag: "v1"\r\nContent-Length: 64\r\n\r\n\xff\x00' in seen.received
    assert receipt.facts == ["the system answered 201", "the reply had no body; 64 bytes of noise were added"]


async def test_garbage_body_leaves_a_204_as_it_is_and_says_so(proxy: Proxy, system: Any, ask: Any, put: bytes) -> None:
    system.reply = b'HTTP/1.1 204 No Content\r\nETag: "v2"\r\n\r\n'
    receipt = proxy.arm(Fault(Point.GARBAGE_BODY))
    assert (await ask(proxy, put)).received == system.reply
    assert receipt.facts == ["the system answered 204", "the reply could have no body; it was passed on as it came"]


async def test_oversized_goes_on_until_its_bound(proxy: Proxy, system: Any, call: Any, put: bytes) -> None:
    receipt = proxy.arm(Fault(Point.OVERSIZED))
    caller = await call(proxy)
    caller.say(put)
    size, start = 0, await caller.some(200)
    while size < 2_000_000:
        size += len(await caller.some(100_000))
    caller.hang_up()
    assert await proxy.settle()
    assert start.startswith(b"HTTP/1.1 200 OK\r\n") and CANARY in start
    assert (receipt.fired, receipt.answered, len(system.requests)) == (1, True, 1)
    assert proxy.exchanges[0].delivered < 64 * 1024 * 1024


async def test_a_duplicate_reply_comes_twice(proxy: Proxy, system: Any, ask: Any, put: bytes) -> None:
    receipt = proxy.arm(Fault(Point.DUPLICATE))
    seen = await ask(proxy, put)
    assert (seen.received, seen.reset) == (REPLY * 2, False)
    assert (receipt.fired, len(system.requests)) == (1, 1)


async def test_a_redelivered_request_reaches_the_system_twice_on_fresh_connections(
    proxy: Proxy, system: Any, ask: Any, put: bytes
) -> None:
    receipt = proxy.arm(Fault(Point.REDELIVERED))
    seen = await ask(proxy, put)
    assert seen.received == REPLY
    assert system.requests[0] == system.requests[1]
    assert (len(system.requests), system.connections, proxy.writes, proxy.latest) == (2, 2, 2, 1)
    assert receipt.facts == ["the system answered 201", "the second time it answered 201"]


@pytest.mark.parametrize(("point", "start"), [(Point.SLOW, b"HTTP/1.1 200"), (Point.ENDLESS_HEAD, b"HTTP/1.1 200")])
async def test_an_endless_answer_lasts_until_the_client_hangs_up(
    point: Point, start: bytes, proxy: Proxy, system: Any, call: Any, get: bytes
) -> None:
    receipt = proxy.arm(Fault(point, Which.READ))
    caller = await call(proxy)
    caller.say(get)
    received = await caller.some(100)
    caller.hang_up()
    assert await proxy.settle()
    assert received.startswith(start)
    assert (b"\r\n\r\n" in received) is (point is Point.SLOW)
    assert (receipt.fired, receipt.forwarded, system.connections) == (1, False, 0)


async def test_disarming_ends_a_slow_reply(proxy: Proxy, call: Any, get: bytes) -> None:
    proxy.arm(Fault(Point.SLOW, Which.READ))
    caller = await call(proxy)
    caller.say(get)
    await caller.some(90)
    proxy.disarm()
    assert (await caller.rest()).reset
