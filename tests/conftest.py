"""Shared by every test: hypothesis without its clock, so that a busy machine fails nothing; and statements of
conformance, really signed, for homes outside environment `sandbox`."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from conformance.results import Results
    from gateway.conformity import AdapterCode
    from gateway.contracts.adapter import Adapter
    from gateway.contracts.connection import Connection
    from gateway.surfaces.local import LocalPractice
    from gateway.testing.postgres import PostgresServer
    from gateway.testing.postgres_wire import PostgresWire

settings.register_profile("gateway", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gateway")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background; processes that tests interrupt inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _conformant(code: AdapterCode, claims: Any, dialect: str, ended_at: datetime, **changes: Any) -> Results:
    from conformance.registry import REQUIREMENTS
    from conformance.results import (
        AdapterIdentity,
        AttemptRecord,
        Grade,
        Judgement,
        Peer,
        Profile,
        ReceiptRecord,
        Result,
        Results,
        TargetIdentity,
        Verdict,
    )
    from conformance.statement import suite_digest
    from conformance.verdict import at_most_once, derive
    from gateway.contracts.proposal import Operation
    from gateway.contracts.words import Effect

    began = ended_at - timedelta(minutes=5)
    booked = AttemptRecord(operation=Operation.BOOK, ready=True, effect=Effect.APPLIED, sent=1)
    struck = ReceiptRecord(point="late", fired=1, forwarded=True, answered=True)
    entries = tuple(
        Result(
            requirement=each.id,
            judgement=Judgement.NOT_APPLICABLE if each.missing(claims, credential=True) else Judgement.PASSED,
            peer=Peer.TWIN if each.admits_twin else Peer.TARGET,
            attempts=(booked,) if each.id.startswith("book") else (),
            effects=1 if each.id.startswith("book") else None,
            expected_effects=1 if each.id.startswith("book") else None,
            receipts=(struck,) if each.struck else (),
            started_at=began,
            seconds=0.5,
        )
        for each in REQUIREMENTS.values()
    )
    whole: dict[str, Any] = {
        "contract_version": 1,
        "suite": suite_digest(),
        "suite_version": "0.1.0",
        "adapter": AdapterIdentity(
            name=code.name, distribution=code.distribution, version=code.version, code_digest=code.digest
        ),
        "descriptor": claims,
        "commitment": claims.commitment,
        "credential": True,
        "target": TargetIdentity(
            label="a sandbox", dialect=dialect, fingerprint="ab" * 32, observer=Grade.INDEPENDENT_CLIENT, launched=True
        ),
        "profile": Profile.SANDBOX,
        "exhaustive": True,
        "salt": "cd" * 32,
        "parts": 1,
        "started_at": began,
        "ended_at": ended_at,
        "results": entries,
    } | changes
    whole.setdefault("at_most_once", at_most_once(whole["results"], observed=True))
    results = Results(**whole, verdict=Verdict.CONFORMANT)
    return results.model_copy(update={"verdict": derive(results)})


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Tell a figure that the test found: printed when the whole run ends, whichever process found it."""
    return lambda told: request.node.user_properties.append(("figure", told))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ended = (report for how in ("passed", "failed") for report in terminalreporter.getreports(how))
    told = [(report.nodeid, value) for report in ended for name, value in report.user_properties if name == "figure"]
    if told:
        terminalreporter.section("figures")
    for test, value in sorted(told):
        terminalreporter.write_line(f"{test.split('::')[0]}: {value}")


@pytest.fixture
def conformant() -> Callable[..., Results]:
    """Results of a run in which all went well: (code, claims, dialect, ended_at, **members to replace); the verdict
    and, unless given, the at-most-once evidence are derived."""
    return _conformant


@pytest.fixture
def state_conformance() -> Callable[..., Path]:
    """Draw up, sign and install a statement for a connection of a local practice; answers its file."""

    def state(
        local: LocalPractice, adapter: Adapter, connection: Connection, ended_at: datetime | None = None, days: int = 90
    ) -> Path:
        from conformance.reports.document import spell
        from conformance.statement import draw_up
        from gateway import config, conformity
        from gateway.signatures import Keyring
        from gateway.surfaces.keys import LocalKey
        from gateway.surfaces.local import CONFORMANCE
        from gateway.surfaces.sign import sign

        now = local.clock.now()
        code = conformity.identify(adapter, connection.adapter)
        claims = adapter.describe(connection)
        raw = spell(_conformant(code, claims, connection.dialect, ended_at or now - timedelta(hours=1)))
        token = sign(draw_up(raw, code, now=now, valid_days=days), LocalKey.load(local.keys / f"{CONFORMANCE}.json"))
        configuration = config.load(local.home)
        return conformity.install(configuration, Keyring(configuration.keys), token)

    return state


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server for all tests of a process; it takes about a second to make. `GATEWAY_POSTGRES=16` is the
    older one that the tests bring along."""
    from gateway.testing.postgres import launched

    with launched(int(os.environ.get("GATEWAY_POSTGRES", "18"))) as server:
        yield server


@pytest.fixture
async def postgres_wire(postgres: PostgresServer) -> AsyncIterator[PostgresWire]:
    """A wire to that server which the test can cut."""
    from gateway.testing.postgres_wire import PostgresWire

    async with PostgresWire.to(postgres.port) as wire:
        yield wire


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """The URL of an empty schema of this test's own."""
    schema = f"s{uuid.uuid4().hex}"
    postgres.psql(f"CREATE SCHEMA {schema}")
    return postgres.url(options=f"-csearch_path={schema}")
