"""Results and statements that say more than was tried."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox.adapter import SandboxAdapter
from conformance.reports.document import read, spell
from conformance.results import Results
from conformance.statement import draw_up
from gateway import config
from gateway.conformity import admit, identify
from gateway.contracts.adapter import Descriptor
from gateway.contracts.connection import Connection, CredentialUse, Scheme
from gateway.contracts.references import ConnectionId, PracticeId
from gateway.contracts.words import Environment
from gateway.errors import ConfigurationError, InvalidInput, MalformedInput, UsageError
from gateway.signatures import Keyring
from gateway.surfaces.local import LocalPractice

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def results(conformant: Callable[..., Results]) -> Results:
    connection = Connection(
        connection_id=ConnectionId.random(),
        practice=PracticeId.random(),
        adapter="sandbox",
        base_url="https://ehr.example.org/",
        hosts=("ehr.example.org:443",),
        zone="UTC",
    )
    adapter = SandboxAdapter()
    code = identify(adapter, "sandbox")
    return conformant(code, adapter.describe(connection), "standard", NOW - timedelta(hours=1))


@pytest.mark.requirement("CARD-07")
@pytest.mark.parametrize(
    ("base_url", "scheme", "refused"),
    [
        ("https://ehr.example.org/", Scheme.BEARER, True),
        ("https://ehr.example.org/", Scheme.CLIENT_CERTIFICATE, True),
        ("mllps://ehr.example.org:443", Scheme.CLIENT_CERTIFICATE, False),  # TLS alone judges it, and the boundary
    ],
)
def test_what_was_tried_without_a_credential_admits_no_connection_whose_adapter_hears_of_one(
    tmp_path: Path, conformant: Callable[..., Results], base_url: str, scheme: Scheme, refused: bool
) -> None:
    practice = PracticeId.random()
    connection = Connection(
        connection_id=ConnectionId.random(),
        practice=practice,
        adapter="sandbox",
        base_url=base_url,
        hosts=("ehr.example.org:443",),
        zone="UTC",
        credential=CredentialUse(scheme=scheme, name="vendor"),
    )
    local = LocalPractice.create(
        tmp_path / "practice", [connection], practice=practice, environment=Environment.PRODUCTION
    )
    adapter, now = SandboxAdapter(), local.clock.now()
    code = identify(adapter, "sandbox")

    def state(credential: bool) -> None:
        from conformance.registry import REQUIREMENTS
        from conformance.results import Judgement
        from gateway import conformity
        from gateway.surfaces.keys import LocalKey
        from gateway.surfaces.local import CONFORMANCE
        from gateway.surfaces.sign import sign

        made = conformant(code, adapter.describe(connection), connection.dialect, now - timedelta(hours=1))
        claims = made.descriptor
        entries = tuple(
            entry.model_copy(update={"judgement": Judgement.NOT_APPLICABLE, "receipts": ()})
            if REQUIREMENTS[entry.requirement].missing(claims, credential=credential)
            else entry
            for entry in made.results
        )
        raw = spell(made.model_copy(update={"credential": credential, "results": entries}))
        token = sign(draw_up(raw, code, now=now), LocalKey.load(local.keys / f"{CONFORMANCE}.json"))
        configuration = config.load(local.home)
        conformity.install(configuration, Keyring(configuration.keys), token)

    def admitted() -> Any:
        configuration = config.load(local.home)

        def claims(reference: ConnectionId) -> Descriptor:
            return adapter.describe(configuration.connections[reference])

        return admit(configuration, Keyring(configuration.keys), {"sandbox": adapter}, claims, now)

    state(credential=False)
    if refused:
        with pytest.raises(ConfigurationError, match="tried without a credential"):
            admitted()
        state(credential=True)
    assert admitted().admits(connection.connection_id, now)


def test_a_statement_of_one_adapter_is_not_of_its_neighbour_in_the_same_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "two_adapters"
    package.mkdir()
    (package / "__init__.py").write_text("class Tried:\n    pass\n\n\nclass Shipped:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("two_adapters")

    assert identify(module.Tried(), "vendor").digest == identify(module.Tried(), "vendor").digest
    assert identify(module.Tried(), "vendor").digest != identify(module.Shipped(), "vendor").digest


SPOILS: dict[str, Callable[[bytes], bytes]] = {
    "a member twice": lambda raw: raw.replace(b'"exhaustive": true', b'"exhaustive": false,\n  "exhaustive": true', 1),
    "not a number": lambda raw: raw.replace(b'"seconds": 0.5', b'"seconds": NaN', 1),
    "without end": lambda raw: raw.replace(b'"seconds": 0.5', b'"seconds": 1e999', 1),
    "less than nothing": lambda raw: raw.replace(b'"sent": 1', b'"sent": -1', 1),
    "fewer effects than none": lambda raw: raw.replace(b'"effects": 1', b'"effects": -1', 1),
    "no sitting": lambda raw: raw.replace(b'"parts": 1', b'"parts": 0', 1),
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS.keys())
def test_results_that_no_run_can_have_made_are_not_read(results: Results, spoil: Callable[[bytes], bytes]) -> None:
    raw = spell(results)
    assert read(raw) == results
    spoilt = spoil(raw)
    assert spoilt != raw
    with pytest.raises((InvalidInput, MalformedInput)):
        read(spoilt)


@pytest.mark.parametrize("slug", ["leak", "second-mutation", "own-connection", "write-in-read", "out-of-contract"])
def test_misconduct_that_the_conduct_checks_do_not_speak_of_is_not_stated(results: Results, slug: str) -> None:
    entries = tuple(
        entry.model_copy(update={"misconduct": (slug,)}) if entry.requirement == "book.applied" else entry
        for entry in results.results
    )
    edited = results.model_copy(update={"results": entries})
    with pytest.raises(UsageError, match="conduct"):
        draw_up(spell(edited), identify(SandboxAdapter(), "sandbox"), now=NOW)
