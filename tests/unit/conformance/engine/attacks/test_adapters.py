"""Adapters that are up to no good, and what the suite must not let them get away with."""

from __future__ import annotations

import io
import json
import logging
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from adapters.sandbox import mapping
from adapters.sandbox.adapter import SandboxAdapter
from adapters.sandbox.testing import ControlObserver
from conformance.engine import open_run
from conformance.results import Judgement, Results, Verdict
from conformance.target.file import TargetError
from gateway.contracts.adapter import (
    Authorized,
    Basis,
    Descriptor,
    Exclusivity,
    Idempotency,
    Observation,
    Query,
    Readiness,
    Receipt,
    Request,
    TargetState,
)
from gateway.contracts.connection import Connection
from gateway.contracts.proposal import Operation
from gateway.contracts.words import ObservationFinding
from gateway.testing import Premises
from gateway.testing.engine import Booking, Engine

PATIENT = "patient-1"
"""Of the pool: a test patient, whose identifier must show up nowhere."""


def judged(results: Results, requirement: str) -> Judgement:
    return next(entry.judgement for entry in results.results if entry.requirement == requirement)


def place(connection: Connection) -> tuple[str, int]:
    host, _, port = connection.hosts[0].rpartition(":")
    return host, int(port)


# What is claimed


class CancelsOnly:
    """Declares what nobody can try, knocks, and never does anything."""

    def describe(self, connection: Connection) -> Descriptor:
        return Descriptor(
            adapter="sandbox",
            operations=(Operation.CANCEL,),
            idempotency=Idempotency.NONE,
            exclusivity=Exclusivity.NONE,
            observation=Basis.BY_KEY,
        )

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        await read.get("/health")
        return Readiness.proven(TargetState.ABSENT)

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        return Receipt.unknown()

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        return Observation(finding=ObservationFinding.INDETERMINATE, basis=Basis.BY_KEY)


async def test_an_adapter_that_claims_only_what_cannot_be_tried_is_never_conformant(site: Any) -> None:
    results = await site.run(adapter=CancelsOnly())

    assert results.verdict is Verdict.INCOMPLETE
    assert judged(results, "cancel.applied") is Judgement.COULD_NOT_RUN
    assert judged(results, "reschedule.applied") is Judgement.NOT_APPLICABLE


# What is opened


class DialsWhileDescribing(SandboxAdapter):
    def describe(self, connection: Connection) -> Descriptor:
        socket.create_connection(place(connection)).close()
        return super().describe(connection)


class DialsWhileItsBodyIsRead(SandboxAdapter):
    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        request = authorized.request

        async def body() -> AsyncIterator[bytes]:
            socket.create_connection(place(request.connection)).close()
            yield json.dumps(mapping.content(mapping.booking(request))).encode()

        headers = {"Idempotency-Key": authorized.native_key(), "Content-Type": "application/json"}
        return mapping.receipt(await write.post("/appointments", content=body(), headers=headers), request)


class SendsDatagrams(SandboxAdapter):
    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        with socket.socket(type=socket.SOCK_DGRAM) as own:
            own.sendto(b"a copy for me", ("127.0.0.1", 9))
        return await super().readiness(request, read)


@pytest.mark.requirement("ADAPT-06")
@pytest.mark.parametrize("adapter", [DialsWhileDescribing(), DialsWhileItsBodyIsRead(), SendsDatagrams()])
async def test_a_connection_of_its_own_is_noticed_by_whatever_way_it_is_made(site: Any, adapter: Any) -> None:
    results = await site.run("book.applied", "conduct.one-door", adapter=adapter)

    assert judged(results, "book.applied") is Judgement.PASSED
    assert judged(results, "conduct.one-door") is Judgement.FAILED


# What is said


class Talks(SandboxAdapter):
    """Says something of a patient in every look."""

    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        self.say()
        return await super().observe(query, read)

    def say(self) -> None: ...


class LogsPastTheRoot(Talks):
    def say(self) -> None:
        logger = logging.getLogger("a.vendors.own.kit")
        logger.propagate = False
        logger.handlers = [logging.StreamHandler(io.StringIO())]
        logger.warning("for %s", PATIENT)


class LogsAtLength(Talks):
    def say(self) -> None:
        logging.getLogger("a.vendors.kit").warning("%s %s", "x" * 20_000, PATIENT)


class LogsOften(Talks):
    def say(self) -> None:
        for _ in range(12_000):
            logging.getLogger("a.vendors.kit").warning("")
        logging.getLogger("a.vendors.kit").warning(PATIENT)


class PrintsPastTheSwap(Talks):
    def say(self) -> None:
        assert sys.__stderr__ is not None
        sys.__stderr__.write(f"for {PATIENT}\n")


class RaisesInAGroup(Talks):
    def say(self) -> None:
        raise ExceptionGroup("several", [ValueError("no"), ExceptionGroup("more", [httpx.ReadError(f"for {PATIENT}")])])


@pytest.mark.requirement("ADAPT-02")
@pytest.mark.parametrize(
    "adapter", [LogsPastTheRoot(), LogsAtLength(), LogsOften(), PrintsPastTheSwap(), RaisesInAGroup()]
)
async def test_a_patient_named_by_whatever_way_is_a_leak(site: Any, adapter: Any) -> None:
    results = await site.run("observe.absent", "conduct.confidential", adapter=adapter)

    assert judged(results, "conduct.confidential") is Judgement.FAILED
    assert PATIENT not in results.model_dump_json()


class NeverStopsTalking(Talks):
    def say(self) -> None:
        for _ in range(20):
            logging.getLogger("a.vendors.kit").warning("x" * 1_000_000)


async def test_an_adapter_that_says_more_than_can_be_heard_passes_nothing(site: Any) -> None:
    results = await site.run("observe.absent", adapter=NeverStopsTalking())
    assert judged(results, "observe.absent") is Judgement.COULD_NOT_RUN


class UnshownError(Exception):
    def __str__(self) -> str:
        raise RuntimeError(PATIENT)


class RaisesWhatCannotBeShown(Talks):
    def say(self) -> None:
        raise UnshownError


async def test_an_exception_that_raises_when_it_is_shown_fails_the_check_and_not_the_run(site: Any) -> None:
    results = await site.run("observe.absent", adapter=RaisesWhatCannotBeShown())

    assert judged(results, "observe.absent") is Judgement.FAILED
    assert PATIENT not in results.model_dump_json()


# What is sent


class AsksALot(SandboxAdapter):
    """Makes as many requests as an adapter may, and claims to have made everything."""

    def describe(self, connection: Connection) -> Descriptor:
        return super().describe(connection).model_copy(update={"requests_per_attempt": 64})

    async def readiness(self, request: Request, read: httpx.AsyncClient) -> Readiness:
        for _ in range(55):
            await read.get("/health")
        return await super().readiness(request, read)

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        await super().commit(authorized, write)
        return Receipt.applied(identifier="1", version="1")


async def test_a_failure_of_very_many_exchanges_shows_the_last_of_them(site: Any) -> None:
    results = await site.run("race.one-slot", adapter=AsksALot())

    (entry,) = results.results
    assert entry.judgement is Judgement.FAILED
    assert len(entry.exchanges) == 200 < entry.exchanges[-1].number


class SeesWhatIsNotThere(SandboxAdapter):
    async def observe(self, query: Query, read: httpx.AsyncClient) -> Observation:
        return replace(await super().observe(query, read), finding=ObservationFinding.PRESENT)


async def test_a_budget_that_is_used_up_hides_no_failure_that_needed_none_of_it(site: Any) -> None:
    target = site.target(writes=1)
    async with open_run(SeesWhatIsNotThere(), "sandbox", target, directory=site.directory) as run:
        assert (await run.execute("book.applied")).judgement is Judgement.PASSED
        assert (await run.execute("ready.slot-taken")).judgement is Judgement.COULD_NOT_RUN
        assert (await run.execute("observe.absent")).judgement is Judgement.FAILED
    assert run.conclude().verdict is Verdict.NOT_CONFORMANT


class SendsByTheBackDoor(SandboxAdapter):
    """Books once more over a connection of its own."""

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        receipt = await super().commit(authorized, write)
        async with httpx.AsyncClient(base_url=authorized.request.connection.base_url, trust_env=False) as own:
            with suppress(httpx.TransportError):
                await own.post("/appointments", json=mapping.content(mapping.booking(authorized.request)))
        return receipt


async def test_a_second_request_is_not_forgotten_with_the_check_that_could_not_run(site: Any) -> None:
    results = await site.run("book.applied", target=site.target(writes=1), adapter=SendsByTheBackDoor())

    assert results.verdict is Verdict.NOT_CONFORMANT
    assert judged(results, "book.applied") is Judgement.FAILED, "a check that could not run is tried again"


class BooksTheSequelToo(SandboxAdapter):
    """As a vendor's one request could: the system makes a second appointment, where nobody looks for it."""

    def __init__(self, database: Any) -> None:
        self._database = database

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        told, later = mapping.content(mapping.booking(authorized.request)), timedelta(hours=22, minutes=10)
        particulars = authorized.request.particulars
        booking = Booking(
            patient=told["patient"],
            participants=tuple(told["participants"]),
            location=told["location"],
            service=told["service"],
            reason=None,
            start=particulars.start + later,
            end=particulars.end + later,
        )
        with Engine.open(self._database) as engine:
            engine.book(None, booking)
        return await super().commit(authorized, write)


async def test_an_appointment_that_nobody_approved_keeps_a_booking_from_passing(site: Any) -> None:
    results = await site.run("book.applied", adapter=BooksTheSequelToo(site.database))

    assert judged(results, "book.applied") is Judgement.COULD_NOT_RUN, "a stranger could have made it"
    assert results.residue[0].remaining == 1


async def test_where_nobody_else_could_have_made_it_the_booking_fails(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def launched() -> AsyncIterator[Premises]:
        url = f"{site.url}/"
        yield Premises(base_url=url, label="ours", observer=ControlObserver(url), secrets=site.secrets)

    monkeypatch.setattr("adapters.sandbox.testing.premises", launched)
    connection = site.target().connection.model_copy(update={"base_url": None})
    changes = {"launch": "adapters.sandbox.testing:premises", "connection": connection, "secrets": {}}
    target = site.target().model_copy(update=changes)
    results = await site.run("book.applied", adapter=BooksTheSequelToo(site.database), target=target)

    assert judged(results, "book.applied") is Judgement.FAILED


# What is raised by the author's own


class Leaves(SandboxAdapter):
    def describe(self, connection: Connection) -> Descriptor:
        raise SystemExit(0)


def telling(base_url: str, secrets: Mapping[str, str]) -> Any:
    raise RuntimeError(f"with {dict(secrets)}")


def leaving(base_url: str, secrets: Mapping[str, str]) -> Any:
    raise SystemExit(0)


async def test_an_adapter_that_leaves_the_process_is_refused(site: Any) -> None:
    with pytest.raises(TargetError, match="does not describe itself"):
        await site.run("ready.proven", adapter=Leaves())


@pytest.mark.parametrize("factory", [telling, leaving])
async def test_an_observer_that_cannot_be_made_tells_no_secret(
    site: Any, monkeypatch: pytest.MonkeyPatch, factory: Any
) -> None:
    monkeypatch.setattr("adapters.sandbox.testing.observer", factory)
    with pytest.raises(TargetError, match=r"raised (RuntimeError|SystemExit) when it was called") as refusal:
        await site.run("ready.proven")
    assert refusal.value.__cause__ is None and refusal.value.__suppress_context__


async def test_authorities_that_are_not_there_are_refused_by_the_field(site: Any) -> None:
    connection = site.target().connection.model_copy(update={"trust": "nowhere.pem"})
    target = site.target().model_copy(update={"connection": connection})
    with pytest.raises(TargetError, match=r"connection\.trust"):
        await site.run("ready.proven", target=target)
