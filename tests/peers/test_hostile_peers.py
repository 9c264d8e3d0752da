"""Peers that misbehave on the mutating request: at most one is sent, and what is said of it is true (issue's "hostile
peers"). Each behaviour meets every kind of write, cold and warm, and a few over TLS, all at once on one loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import chain

import pytest

from gateway.boundary import CommitResult
from gateway.contracts.failures import Code
from gateway.contracts.words import Effect
from tests.peers.authority import Authority
from tests.peers.behaviours import BEHAVIOURS, Behaviour, Stage
from tests.peers.cells import ALL, cells, complaints, tried
from tests.peers.page import PAGE, renewed
from tests.peers.peer import Peer, reply


@pytest.fixture(autouse=True)
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness trusts what the system trusts; here, the peers' own authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.chain))


@pytest.mark.requirement("CARD-02", "FAIL-18", "FAIL-20")
@pytest.mark.parametrize("behaviour", [pytest.param(each, id=each.says) for each in BEHAVIOURS])
async def test_a_peer_that(behaviour: Behaviour, authority: Authority) -> None:
    async with Peer().listening() as elsewhere:
        turn = asyncio.Lock()
        found = await asyncio.gather(*(tried(cell, elsewhere, authority.server, turn) for cell in cells(behaviour)))
        assert list(chain.from_iterable(found)) == []
        assert elsewhere.connections == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_there_are_cells_enough(figure: Callable[[str], None]) -> None:
    counted = Counter("tls" if cell.tls else "plain" for cell in ALL)
    figure(f"{len(BEHAVIOURS)} behaviours, {len(ALL)} cells: {counted['plain']} plain, {counted['tls']} over TLS")
    assert len({behaviour.says for behaviour in BEHAVIOURS}) == len(BEHAVIOURS) >= 15
    assert len(set(map(str, cells(BEHAVIOURS[0])))) * len(BEHAVIOURS) == len(ALL) >= 300


def test_the_page_tells_what_these_tests_hold() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == renewed(page), "run `python -m tests.peers.page`"


async def sent(peer: Peer, *requests: bytes) -> None:
    """What a client that knows no restraint puts on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", peer.port)
    with suppress(OSError):
        for request in requests:
            writer.write(request)
            await writer.drain()
        writer.write_eof()
        await reader.read()
    writer.close()


HONEST = CommitResult(effect=Effect.APPLIED, code=Code.COMMITTED, mutating_requests=1)
WRITE = b"PUT /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"


@pytest.mark.parametrize("connections", [((WRITE, WRITE),), ((WRITE,), (WRITE,))], ids=["one", "two"])
async def test_the_peer_would_count_a_request_that_is_sent_again(connections: tuple[tuple[bytes, ...], ...]) -> None:
    async with Peer().listening() as peer:
        for requests in connections:
            await sent(peer, *requests)
        await peer.settled()
    assert peer.mutations == 2
    found = list(
        complaints(ALL[0], peer, CommitResult(effect=Effect.APPLIED, code=Code.COMMITTED, mutating_requests=2))
    )
    assert "2 mutating requests" in found


async def test_the_peer_counts_a_connection_that_it_does_not_read() -> None:
    behaviour = next(each for each in BEHAVIOURS if each.stage is Stage.ACCEPT)
    async with Peer().listening() as peer:
        peer.accept = behaviour.act
        for _ in range(2):
            await sent(peer, WRITE)
        await peer.settled()
    assert (peer.mutations, peer.unread) == (1, 1)
    assert "2 mutating requests" in list(complaints(ALL[0], peer, HONEST))


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"effect": Effect.NOT_SENT, "code": Code.EXTERNAL_UNAVAILABLE}, "NOT_SENT, and the peer saw it"),
        ({"effect": Effect.UNKNOWN}, "UNKNOWN COMMITTED, not APPLIED COMMITTED"),
        ({"effect": Effect.UNKNOWN}, "UNKNOWN with COMMITTED is no row of the taxonomy"),
        ({"mutating_requests": 0}, "the peer saw 1 mutating requests, the boundary counted 0"),
    ],
)
async def test_a_false_answer_would_be_noticed(said: dict[str, object], complaint: str) -> None:
    async with Peer().listening() as peer:
        await sent(peer, WRITE)
        await peer.settled()
    assert list(complaints(ALL[0], peer, HONEST)) == []
    assert complaint in list(complaints(ALL[0], peer, replace(HONEST, **said)))


async def test_a_write_on_a_used_connection_would_be_noticed() -> None:
    async with Peer(system=lambda call: reply()).listening() as peer:
        await sent(peer, b"GET / HTTP/1.1\r\n\r\n", WRITE)
        await peer.settled()
    assert list(complaints(ALL[0], peer, HONEST)) == [
        "the mutating request went over a connection that had carried another"
    ]
