"""Fillers that misbehave on the mutating message: at most one is sent, and what is said of it is true."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import chain

import pytest

from tests.peers.authority import Authority
from tests.peers.behaviours import Behaviour
from tests.peers.frames import ALL, BEHAVIOURS, cells, tried


@pytest.fixture(autouse=True)
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness trusts what the system trusts; here, the peers' own authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.chain))


@pytest.mark.requirement("CARD-02", "FAIL-18", "FAIL-20")
@pytest.mark.parametrize("behaviour", [pytest.param(each, id=each.says) for each in BEHAVIOURS])
async def test_a_filler_that(behaviour: Behaviour, authority: Authority) -> None:
    turn = asyncio.Lock()
    found = await asyncio.gather(*(tried(cell, authority.server, turn) for cell in cells(behaviour)))
    assert list(chain.from_iterable(found)) == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_there_are_cells_enough(figure: Callable[[str], None]) -> None:
    counted = Counter("tls" if cell.tls else "plain" for cell in ALL)
    figure(f"{len(BEHAVIOURS)} behaviours, {len(ALL)} cells: {counted['plain']} plain, {counted['tls']} over TLS")
    assert len({behaviour.says for behaviour in BEHAVIOURS}) == len(BEHAVIOURS) >= 40
    assert len(ALL) == 7 * len(BEHAVIOURS)
