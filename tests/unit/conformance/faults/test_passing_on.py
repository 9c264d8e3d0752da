"""What the proxy does not break, it passes on as it came; what the system does not say, it does not invent."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from conformance.faults import OBSTACLES, Fault, Point
from conformance.faults.messages import Reads
from conformance.faults.proxy import Proxy

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def authority(system: Any) -> bytes:
    return system.url.split("/")[2].encode()


async def test_the_host_is_the_systems_and_nothing_else_changes(
    proxy: Proxy, system: Any, ask: Any, put: bytes
) -> None:
    await ask(proxy, put)
    head = b"PUT /dav/a1?x=%20y HTTP/1.1\r\nHost: " + authority(system)
    assert system.requests == [head + b"\r\nX-Own: a  b\r\nContent-Length: 10\r\nConnection: close\r\n\r\n0123456789"]


async def test_the_url_ends_as_the_systems_does(system: Any) -> None:
    for ending in ("/dav/", "/dav", "/", ""):
        base = system.url.removesuffix("/dav/")
        async with Proxy.open(base + ending) as proxy:
            assert proxy.url.startswith("http://127.0.0.1:") and proxy.url.split(":")[2].lstrip("0123456789") == ending


@pytest.mark.parametrize("url", ["ftp://a/", "http://", "http://u:p@a/", "http://a/?q", "http://a/#f"])
async def test_an_upstream_that_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="upstream"):
        async with Proxy.open(url):
            pytest.fail("opened")


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nTrailer: t\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\neTaG: 1\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
        b"HTTP/1.1 599 \r\nContent-Length: 0\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_a_reply_is_passed_on_byte_for_byte(
    reply: bytes, proxy: Proxy, system: Any, ask: Any, get: bytes
) -> None:
    system.reply = reply
    seen = await ask(proxy, get)
    assert (seen.received, seen.reset) == (reply, False)
    exchange = proxy.exchanges[0]
    assert (exchange.status, exchange.delivered) == (int(reply.split()[1]), len(reply))


async def test_interim_replies_are_left_out(proxy: Proxy, system: Any, ask: Any, get: bytes) -> None:
    system.reply = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK
    assert (await ask(proxy, get)).received == OK


async def test_a_reply_to_head_has_no_body(proxy: Proxy, system: Any, ask: Any, get: bytes) -> None:
    system.reply = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
    assert (await ask(proxy, get.replace(b"GET", b"HEAD"))).received == system.reply


async def test_a_reply_that_ends_with_its_connection_does_so_at_the_client_too(
    proxy: Proxy, system: Any, call: Any, get: bytes
) -> None:
    system.reply, system.hangs_up = b"HTTP/1.1 200 OK\r\n\r\nto the end", True
    caller = await call(proxy)
    caller.say(get.replace(b"Connection: close\r\n", b""))
    seen = await caller.rest()
    assert (seen.received, seen.reset, proxy.exchanges[0].reply_body) == (system.reply, False, b"to the end")


async def test_a_chunked_request_is_passed_on_as_it_came(proxy: Proxy, system: Any, ask: Any) -> None:
    head = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    await ask(proxy, head + b"3\r\nabc\r\n0\r\n\r\n")
    assert system.requests[0].endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert proxy.exchanges[0].request_body == b"abc"


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(
    proxy: Proxy, system: Any, call: Any, put: bytes
) -> None:
    caller = await call(proxy)
    head, body = put[:-10].replace(b"X-Own: a  b", b"Expect: 100-continue"), put[-10:]
    caller.say(head)
    assert b" 100 " in await caller.reader.readuntil(b"\r\n\r\n")
    caller.say(body)
    await caller.rest()
    assert b"xpect" not in system.requests[0] and system.requests[0].endswith(body)


async def test_reads_share_a_connection_and_each_mutation_has_its_own(
    proxy: Proxy, system: Any, call: Any, get: bytes, put: bytes
) -> None:
    system.reply = OK
    caller = await call(proxy)
    for request in (get, get, put, get):
        caller.say(request.replace(b"Connection: close\r\n", b"").replace(b"\r\nConnection: close", b""))
        assert await caller.some(len(OK)) == OK
    caller.hang_up()
    assert system.taken_by == [1, 1, 2, 1]


async def test_a_read_after_the_system_closed_its_end_uses_a_new_connection(
    proxy: Proxy, system: Any, call: Any, get: bytes
) -> None:
    system.reply, system.hangs_up = OK, True
    caller = await call(proxy)
    for _ in range(2):
        caller.say(get.replace(b"Connection: close\r\n", b""))
        assert await caller.some(len(OK)) == OK
        await asyncio.gather(*system.tasks)
        await asyncio.sleep(0.05)
    caller.hang_up()
    assert (len(system.requests), system.connections) == (2, 2)


async def test_requests_sent_ahead_are_answered_in_order(proxy: Proxy, system: Any, call: Any, get: bytes) -> None:
    system.reply = OK
    caller = await call(proxy)
    caller.say(get.replace(b"Connection: close\r\n", b"") + get.replace(b"a1", b"a2"))
    assert (await caller.rest()).received == OK * 2
    assert [exchange.target for exchange in proxy.exchanges] == ["/dav/a1", "/dav/a2"]


async def test_a_system_that_is_not_there_ends_in_a_reset_and_a_note(ask: Any, put: bytes) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        async with Proxy.open(f"http://127.0.0.1:{free.getsockname()[1]}/") as proxy:
            assert (await ask(proxy, put)).nothing
            (exchange,) = proxy.exchanges
            assert (exchange.note, exchange.forwarded, proxy.writes) == ("the system could not be reached", None, 0)


@pytest.mark.parametrize(
    ("reply", "went_away"),
    [(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", True), (b"no http\r\n\r\n", False), (b"", True)],
)
async def test_what_breaks_off_upstream_breaks_off_at_the_client_and_no_fault_fires(
    reply: bytes, went_away: bool, proxy: Proxy, system: Any, ask: Any, put: bytes
) -> None:
    system.reply, system.hangs_up = reply, True
    receipt = proxy.arm(Fault(Point.AFTER_COMMIT))
    seen = await ask(proxy, put)
    assert (seen.received, seen.reset) == (reply, True)
    assert (receipt.fired, proxy.exchanges[0].answered, len(system.requests)) == (0, None, 1)
    assert proxy.exchanges[0].note and (proxy.exchanges[0].note in OBSTACLES) is went_away


async def test_a_reply_over_its_bound_is_cut(proxy: Proxy, system: Any, ask: Any, get: bytes) -> None:
    system.reply = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 9_000_000
    seen = await ask(proxy, get)
    assert seen.reset and len(seen.received) < 9_000_000
    assert proxy.exchanges[0].status is None


async def test_large_bodies_pass_whole_and_are_kept_in_part(proxy: Proxy, system: Any, ask: Any) -> None:
    body = b"x" * 4_000_000
    system.reply = b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n" + body
    head = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\nConnection: close\r\n\r\n"
    seen = await ask(proxy, head + body)
    assert seen.received == system.reply
    assert system.requests[0].endswith(body) and len(system.requests[0]) > 4_000_000
    assert len(proxy.exchanges[0].request_body) == len(proxy.exchanges[0].reply_body) == 256 * 1024


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 9_000_000,
        b"\x16\x03\x01 nonsense\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
    ],
)
async def test_what_cannot_be_passed_on_whole_is_cut_and_not_forwarded(
    request_: bytes, proxy: Proxy, system: Any, ask: Any
) -> None:
    seen = await ask(proxy, request_)
    assert seen.nothing
    assert system.connections == 0


async def test_nothing_is_left_when_the_proxy_closes(system: Any, call: Any, get: bytes) -> None:
    system.gate.clear()
    before = asyncio.all_tasks()
    async with Proxy.open(system.url) as proxy:
        idle, waiting = await call(proxy), await call(proxy)
        waiting.say(get)
        while not system.requests:
            await asyncio.sleep(0)
    assert (await idle.rest()).nothing and (await waiting.rest()).nothing
    assert asyncio.all_tasks() - before <= set(system.tasks)
    assert proxy.exchanges[0].ended is not None
    with pytest.raises(ConnectionRefusedError):
        await call(proxy)


@pytest.mark.parametrize(
    ("method", "target", "mutating"),
    [
        ("GET", "/", False),
        ("REPORT", "/", False),
        ("SEARCH", "/", False),
        ("PUT", "/", True),
        ("TRACE", "/", True),
        ("get", "/", True),
        ("POST", "/find", False),
        ("POST", "/find/x?y", False),
        ("POST", "/finder", True),
        ("POST", "/find/../x", True),
        ("POST", "/find/%2e%2e/x", True),
        ("POST", "/x", True),
        ("PUT", "/find", True),
    ],
)
def test_what_may_have_an_effect_is_judged_by_method_and_declared_path(
    method: str, target: str, mutating: bool
) -> None:
    assert Reads(posts=("/find",)).mutates(method, target, (), b"") is mutating
