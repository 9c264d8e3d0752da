"""Targets, observers and systems that are not what they say."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.sandbox import mapping
from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.testing import ControlObserver
from conformance.results import Judgement
from conformance.target import system
from conformance.target.file import TargetError
from gateway.contracts.adapter import Authorized, Receipt
from gateway.testing import Premises, Seen
from gateway.testing.engine import Booking, Engine

APART = "class Watches:\n    pass\n"
BESIDE = "class Adapter:\n    pass\n\n\nclass Watches:\n    pass\n"
IMPORTING = "from a_vendor.adapter import Adapter\n\n\nclass Watches:\n    pass\n"
IMPORTING_THE_MODULE = "from a_vendor import adapter\n\n\nclass Watches:\n    pass\n"
INHERITING = "from a_vendor.adapter import Watches as Theirs\n\n\nclass Watches(Theirs):\n    pass\n"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An adapter and an observer from a package of this content."""

    def make(name: str, adapter: str, watching: str) -> tuple[Any, Any]:
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "adapter.py").write_text(adapter)
        (package / "watching.py").write_text(watching.replace("a_vendor", name))
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        return importlib.import_module(f"{name}.adapter"), importlib.import_module(f"{name}.watching")

    return make


def premises(observer: Any) -> Premises:
    return Premises(base_url="http://127.0.0.1:1/", label="any", observer=observer)


@pytest.mark.requirement("CARD-07")
@pytest.mark.parametrize(
    ("name", "watching"),
    [("importing", IMPORTING), ("importing_the_module", IMPORTING_THE_MODULE), ("inheriting", INHERITING)],
)
def test_an_observer_that_imports_the_adapter_is_refused(made: Any, name: str, watching: str) -> None:
    adapter, observing = made(name, BESIDE, watching)
    with pytest.raises(TargetError, match=rf"{name}\.(watching|adapter) holds or imports the adapter"):
        system.must_be_apart(premises(observing.Watches()), adapter.Adapter())


def test_an_observer_beside_the_adapter_in_one_module_is_refused(made: Any) -> None:
    adapter, observing = made("beside", BESIDE, APART)
    with pytest.raises(TargetError, match=r"beside\.adapter holds or imports the adapter"):
        system.must_be_apart(premises(adapter.Watches()), adapter.Adapter())
    system.must_be_apart(premises(observing.Watches()), adapter.Adapter())


class Both(ControlObserver, SandboxAdapter):
    """Looks as the adapter does."""

    async def appointments(self, start: datetime, end: datetime) -> Sequence[Seen]:
        return ()


async def test_an_adapter_that_observes_itself_is_refused_before_anything_is_sent(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.sandbox.testing.observer", lambda base_url, secrets: Both(base_url))
    with pytest.raises(TargetError, match="holds or imports the adapter"):
        await site.run("book.applied")
    assert site.received() == 0


class OvertakenByAStranger(SandboxAdapter):
    """Somebody books the slot by hand, just before the commit."""

    def __init__(self, database: Path, patient: str) -> None:
        self._database, self._patient = database, patient

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        told, particulars = mapping.content(mapping.booking(authorized.request)), authorized.request.particulars
        booking = Booking(
            patient=self._patient,
            participants=tuple(told["participants"]),
            location=told["location"],
            service=told["service"],
            reason=None,
            start=particulars.start,
            end=particulars.end,
        )
        with Engine.open(self._database) as engine:
            engine.book(None, booking)
        return await super().commit(authorized, write)


async def test_a_slot_that_a_stranger_takes_in_the_middle_is_contention_and_stays_the_strangers(site: Any) -> None:
    results = await site.run("book.applied", adapter=OvertakenByAStranger(site.database, "a-stranger"))

    (entry,) = results.results
    assert entry.judgement is Judgement.COULD_NOT_RUN
    assert entry.reason is not None and "contention" in entry.reason
    assert site.standing() == 1 and results.residue[0].removed == 0


async def test_a_slot_taken_by_the_pools_own_patients_blames_the_adapter(site: Any) -> None:
    results = await site.run("book.applied", adapter=OvertakenByAStranger(site.database, "patient-1"))
    assert results.results[0].judgement is Judgement.FAILED


class BooksForAStranger(SandboxAdapter):
    """Tells the system another patient than was approved, and nobody that it did."""

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        content = {**mapping.content(mapping.booking(authorized.request)), "patient": "a-stranger"}
        headers = {"Idempotency-Key": authorized.native_key()}
        reply = await write.post("/appointments", json=content, headers=headers)
        return Receipt.applied(identifier=reply.json()["id"], version="1")


async def test_a_booking_for_somebody_else_is_no_contention(site: Any) -> None:
    results = await site.run("book.applied", adapter=BooksForAStranger())
    assert results.results[0].judgement is Judgement.FAILED


class Leaves(ControlObserver):
    """Ends the process, as a library made for the command line may, once a check has begun."""

    async def appointments(self, start: datetime, end: datetime) -> Sequence[Seen]:
        if start != datetime.fromisoformat("2031-05-04T08:00:00Z"):
            raise SystemExit(0)
        return ()


async def test_an_observer_that_leaves_the_process_is_an_obstacle(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.sandbox.testing.observer", lambda base_url, secrets: Leaves(base_url))
    results = await site.run("ready.proven")
    assert results.results[0].judgement is Judgement.COULD_NOT_RUN
