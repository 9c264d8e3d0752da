"""The score of an author's own adapter, mutated."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.server import SandboxServer
from conformance.mutants import answers, claims, conduct, keys, looks
from conformance.mutants.catalogue import WRAPPERS
from conformance.mutants.score import chosen, mutate, place
from conformance.mutants.wrapper import Wrapper
from conformance.results import MutantScore, Peer
from conformance.target.file import Target
from gateway.contracts.adapter import Basis, Descriptor, Observation, Query
from gateway.contracts.connection import Connection
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from gateway.testing import make_connection

LAUNCH = "adapters.sandbox.testing:premises"


class BooksOnly(SandboxAdapter):
    """Claims little, and keeps to it, so that few checks apply."""

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        return Observation(finding=ObservationFinding.INDETERMINATE, basis=Basis.NONE)

    def describe(self, connection: Connection) -> Descriptor:
        claimed = {"operations": (Operation.BOOK,), "observation": Basis.NONE}
        return super().describe(connection).model_copy(update=claimed)


class Harmless(Wrapper):
    name = "harmless"
    flaw = "none that any check could see"


def a_target(**changes: Any) -> Target:
    document: dict[str, Any] = {
        "sandbox": True,
        "label": "a sandbox",
        "writes": 400,
        "launch": LAUNCH,
        "connection": {
            "credential": {"scheme": "bearer", "name": "vendor"},
            "limits": {"request_seconds": 1, "commit_seconds": 2},
        },
        "pool": {
            "subjects": ("patient-1", "patient-2"),
            "practitioner": "practitioner-1",
            "location": "location-1",
            "service": "service-1",
            "first": "2031-05-05T08:00:00Z",
            "slots": 100,
        },
    }
    return Target.parse(json.dumps(document | changes))


CLAIMS = BooksOnly().describe(make_connection("http://127.0.0.1:1/", adapter="sandbox"))
RUNNING = {"launch": None, "observer": "adapters.sandbox.testing:observer"} | {
    "connection": {"base_url": "http://127.0.0.1:1/"}
}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    """A sandbox that runs already, so that the core tier alone is tried at it; and what a target says of it."""
    secret = tmp_path / "vendor"
    secret.write_text("a-token")
    secret.chmod(0o600)
    async with SandboxServer.start(tmp_path / "sandbox.db", credentials="a-token", control=True) as server:
        credential = {"scheme": "bearer", "name": "vendor"}
        limits = {"request_seconds": 1, "commit_seconds": 2}
        connection = {"base_url": f"{server.url}/", "credential": credential, "limits": limits}
        yield RUNNING | {"connection": connection, "secrets": {"vendor": {"file": "vendor"}}, "mutants": True}


async def test_a_mutant_is_caught_by_the_first_check_that_it_turns_red_and_a_harmless_one_is_not(
    tmp_path: Path, running: dict[str, Any]
) -> None:
    told: list[MutantScore] = []
    wrappers = (Harmless, claims.Unsteady, answers.SilenceRefused, answers.VersionLost, claims.ObservationClaimed)
    scores = await mutate(
        BooksOnly(), "sandbox", a_target(**running), directory=tmp_path, wrappers=wrappers, progress=told.append
    )
    assert told == list(scores)
    assert scores == (
        MutantScore(mutant="harmless", caught=False, by=(), peer=Peer.TARGET),
        MutantScore(mutant="unsteady", caught=True, by=("claims.steady",), peer=Peer.TARGET),
        MutantScore(mutant="silence-refused", caught=True, by=("lost.after-send.book",), peer=Peer.TARGET),
        MutantScore(mutant="observation-claimed", caught=True, by=("observe.book",), peer=Peer.TARGET),
    )


def test_a_wrapper_that_is_no_flaw_for_the_claims_is_left_out() -> None:
    left_out = set(WRAPPERS) - set(chosen(WRAPPERS, a_target(), CLAIMS))
    assert {answers.VersionLost, looks.AlwaysPresent, claims.CancelHidden, claims.ExclusivityClaimed} <= left_out
    assert {keys.KeyDropped, conduct.Retries, conduct.LeaksIntoLog}.isdisjoint(left_out)


def test_a_real_system_bears_no_mutant_that_could_double_book_unless_it_says_so() -> None:
    borne = chosen(WRAPPERS, a_target(**RUNNING), CLAIMS)
    assert borne and not any(each.double_books for each in borne)
    assert conduct.LeaksIntoLog in borne and conduct.CommitsTwice not in borne
    for consent in ({"mutants": True}, {"twin": LAUNCH}):
        assert conduct.CommitsTwice in chosen(WRAPPERS, a_target(**RUNNING | consent), CLAIMS)


def test_mutants_run_on_the_twin_of_a_real_system_and_on_what_is_launched_for_the_run() -> None:
    launched, running, twin = a_target(), a_target(**RUNNING), a_target(**RUNNING, twin=LAUNCH)
    assert place(launched) == (launched, Peer.TARGET)
    assert place(running) == (running, Peer.TARGET)
    beside, peer = place(twin)
    assert (beside.launch, beside.twin, peer) == (LAUNCH, None, Peer.TWIN)
