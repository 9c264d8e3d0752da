"""The fault proxy between frames: what it passes on, what it strikes, and what its receipts say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from conformance.faults import Fault, Point, Which
from conformance.faults.messages import Reads
from conformance.faults.proxy import Proxy

CANARY = "CANARY-5f1c"
QUERY = b"MSH|^~\\&|A|B|C|D|20310303||SQM^S25^SQM_S25|q1|T|2.5.1\rQRD|x\rARQ|y\r"
WRITE = b"MSH|^~\\&|A|B|C|D|20310303||SRM^S01^SRM_S01|w1|T|2.5.1\rARQ|x\rPID|y\r"
BOTH = WRITE.replace(b"|T|2.5.1", b"|T|2.5.1|||AL|AL")
REPLY = b"MSH|^~\\&|C|D|A|B|20310303||SRR^S01|r1|T|2.5.1\rMSA|AA|w1\rSCH|1\r"
ACCEPTED = REPLY.replace(b"AA", b"CA")


def framed(content: bytes) -> bytes:
    return b"\x0b" + content + b"\x1c\r"


class System:
    """A receiver that keeps what it got, and answers each message with `said`."""

    def __init__(self) -> None:
        self.said = framed(REPLY)
        self.got: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.got.append(await reader.readuntil(b"\x1c\r"))
                writer.write(self.said)
                await writer.drain()
        writer.close()


@pytest.fixture
def system() -> System:
    return System()


@pytest.fixture
async def proxy(system: System) -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(system.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Proxy.open(f"mllp://127.0.0.1:{port}/", reads=Reads(posts=("/SQM/S25",)), canary=CANARY) as opened:
        yield opened
    server.close()
    await asyncio.sleep(0)


async def asked(proxy: Proxy, message: bytes, seconds: float = 5.0) -> bytes:
    """Everything that comes back until the end of a frame, of the connection, or of the time."""
    address = urlsplit(proxy.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    received = b""
    try:
        writer.write(framed(message))
        async with asyncio.timeout(seconds):
            while not received.endswith(b"\x1c\r") and (chunk := await reader.read(65536)):
                received += chunk
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)
    return received


async def test_a_message_and_its_reply_are_passed_on_as_they_came(proxy: Proxy, system: System) -> None:
    assert proxy.url.startswith("mllp://127.0.0.1:")
    assert await asked(proxy, WRITE) == framed(REPLY)
    assert await asked(proxy, QUERY) == framed(REPLY)
    assert system.got == [framed(WRITE), framed(QUERY)]
    assert [(each.method, each.target, each.mutating, each.status) for each in proxy.exchanges] == [
        ("POST", "/SRM/S01", True, 200),
        ("POST", "/SQM/S25", False, 200),
    ]
    assert (proxy.exchanges[0].request_body, proxy.exchanges[0].reply_body) == (WRITE, REPLY)
    assert proxy.writes == 1


async def test_an_acceptance_belongs_to_the_reply_that_follows(proxy: Proxy, system: System) -> None:
    system.said = framed(ACCEPTED) + framed(REPLY)
    assert await asked(proxy, BOTH) == framed(ACCEPTED) + framed(REPLY)
    assert proxy.exchanges[0].reply_body == REPLY
    system.said = framed(ACCEPTED)
    assert await asked(proxy, WRITE) == framed(ACCEPTED)  # asked for by nobody: it is the reply


FORWARDED = {
    Point.AFTER_COMMIT: b"",
    Point.ERROR_AFTER: b"MSA|AR|w1\rERR|||207",
    Point.MID_REPLY: framed(REPLY)[:50],
    Point.DUPLICATE: framed(REPLY) * 2,
}
WITHHELD = {
    Point.AFTER_SEND: b"",
    Point.ERROR_BEFORE: b"MSA|AR|w1\rERR|||207",
    Point.UNAVAILABLE: b"MSA|AR|w1\rERR|||207",
    Point.THROTTLED: b"MSA|AR|w1\rERR|||206",
    Point.INVALID: b"MSA|AE|w1\rERR|||103",
    Point.MISSING: b"MSA|AA|w1\r",
    Point.MID_HEAD: b"",
    Point.MID_SEND: b"",
}


@pytest.mark.parametrize("point", [*FORWARDED, *WITHHELD])
async def test_a_point_strikes_once_and_its_receipt_says_how_far_it_came(
    proxy: Proxy, system: System, point: Point
) -> None:
    receipt = proxy.arm(Fault(point))
    assert await asked(proxy, QUERY) == framed(REPLY)  # meant for mutating messages
    assert not receipt.fired
    received = await asked(proxy, WRITE)
    await proxy.settle()
    expected = {**FORWARDED, **WITHHELD}[point]
    assert expected in received
    assert bool(expected) is bool(received)
    assert (receipt.fired, receipt.forwarded) == (1, point in FORWARDED)
    assert system.got[1:] == ([framed(WRITE)] if point in FORWARDED else [])
    assert await asked(proxy, WRITE) == framed(REPLY)


@pytest.mark.parametrize("point", [Point.MID_REPLY_HEAD, Point.MID_REPLY])
async def test_a_reply_is_cut_inside_its_head_or_behind_it(proxy: Proxy, point: Point) -> None:
    proxy.arm(Fault(point))
    received = await asked(proxy, WRITE)
    assert framed(REPLY).startswith(received)
    assert (b"\r" in received) is (point is Point.MID_REPLY)
    assert 0 < len(received) < len(framed(REPLY))


async def test_noise_keeps_the_frame_and_garbage_does_not(proxy: Proxy) -> None:
    proxy.arm(Fault(Point.GARBAGE_BODY))
    noise = await asked(proxy, WRITE)
    assert noise.startswith(b"\x0b")
    assert len(noise) == len(framed(REPLY))
    assert b"MSH" not in noise
    proxy.arm(Fault(Point.GARBAGE))
    assert not (await asked(proxy, WRITE, 0.3)).startswith(b"\x0b")


@pytest.mark.parametrize("point", [Point.OVERSIZED, Point.SLOW, Point.ENDLESS_HEAD])
async def test_a_frame_without_an_end_goes_on_until_the_client_leaves(proxy: Proxy, point: Point) -> None:
    receipt = proxy.arm(Fault(point, Which.READ))
    received = await asked(proxy, QUERY, 0.3)
    assert received.startswith(b"\x0bMSH|")
    assert b"\x1c" not in received
    assert (b"\r" in received) is (point is Point.OVERSIZED)
    assert await proxy.settle()
    assert receipt.fired == 1


async def test_a_message_that_is_delivered_twice_is_counted_twice(proxy: Proxy, system: System) -> None:
    proxy.arm(Fault(Point.REDELIVERED))
    assert await asked(proxy, WRITE) == framed(REPLY)
    assert (system.got, proxy.writes) == ([framed(WRITE)] * 2, 2)


@pytest.mark.parametrize("content", [b"GET / HTTP/1.1\r\n\r\n\x1c\r", b"MSH|^~\\&|A\r", b"", QUERY[:30]])
async def test_what_is_no_message_is_not_passed_on(proxy: Proxy, system: System, content: bytes) -> None:
    assert await asked(proxy, content, 0.5) == b""
    assert system.got == []


async def test_what_a_system_breaks_off_is_passed_on_as_far_as_it_came(proxy: Proxy, system: System) -> None:
    address = urlsplit(proxy.url)

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\x1c\r")
        writer.write(framed(REPLY)[:20])
        writer.close()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    async with Proxy.open(f"mllp://127.0.0.1:{server.sockets[0].getsockname()[1]}/") as other:
        assert await asked(other, WRITE) == framed(REPLY)[:20]
        await other.settle()
        assert (other.exchanges[0].status, other.exchanges[0].mutating) == (None, True)
    server.close()
    assert address.scheme == "mllp"
