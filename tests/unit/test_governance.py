"""What a signed record must hold before anything is committed, and which hosts may be reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway import config, home
from gateway.config import Configuration, PluginUse, Settings
from gateway.contracts.connection import Connection, CredentialUse, Network, Scheme, TokenEndpoint
from gateway.contracts.references import ConnectionId, PracticeId, StatementId
from gateway.contracts.words import Environment
from gateway.errors import ConfigurationError
from gateway.governance import (
    Artefact,
    Governance,
    GovernanceRecord,
    Proof,
    Review,
    ReviewKind,
    SandboxRecord,
    SealedArtefact,
    ShownConnection,
    Unblock,
    VerifiedProof,
)
from gateway.signatures import Keyring, TrustedKeys
from gateway.surfaces.keys import LocalKey
from gateway.surfaces.sign import sign

NOW = datetime(2031, 3, 3, 9, 0, tzinfo=UTC)
EARLIER = NOW - timedelta(days=30)
LATER = NOW + timedelta(days=30)
DIGEST = "0123456789abcdef" * 4
HOST = "calendar.example.org"
TYPES = (GovernanceRecord.typ, SandboxRecord.typ)


@dataclass
class Place:
    """A sealed home and the key that may sign its records."""

    configuration: Configuration
    key: LocalKey

    @property
    def connection(self) -> Connection:
        return next(iter(self.configuration.connections.values()))

    def record(self, **changes: Any) -> GovernanceRecord:
        complete: dict[str, Any] = {
            "practice": self.configuration.settings.practice,
            "issued_at": EARLIER,
            "seal": self.configuration.seal_digest,
            "environment": self.configuration.settings.environment,
            "artefacts": tuple(SealedArtefact(artefact=artefact, sha256=DIGEST) for artefact in Artefact),
            "proofs": tuple(VerifiedProof(proof=proof, sha256=DIGEST, verified_at=EARLIER) for proof in Proof),
            "reviews": tuple(
                Review(review=review, sha256=DIGEST, completed_at=EARLIER, blocking_findings=0) for review in ReviewKind
            ),
            "unblock": Unblock(decision=StatementId.random(), decided_at=EARLIER),
            "connections": tuple(ShownConnection.of(entry) for entry in self.configuration.connections.values()),
            "expires_at": LATER,
        }
        return GovernanceRecord(**(complete | changes))

    def sandbox_record(self, **changes: Any) -> SandboxRecord:
        complete: dict[str, Any] = {
            "practice": self.configuration.settings.practice,
            "issued_at": EARLIER,
            "seal": self.configuration.seal_digest,
            "hosts": (f"{HOST}:443",),
            "expires_at": LATER,
        }
        return SandboxRecord(**(complete | changes))

    def governance(self, *records: GovernanceRecord | SandboxRecord, key: LocalKey | None = None) -> Governance:
        for record in records:
            name = "governance.jws" if isinstance(record, GovernanceRecord) else "sandbox.jws"
            (self.configuration.home / name).write_text(sign(record, key or self.key) + "\n")
        return Governance.load(self.configuration, Keyring(self.configuration.keys))


def place(root: Path, environment: Environment, base_url: str = f"https://{HOST}/dav/") -> Place:
    practice, key = PracticeId.random(), LocalKey.generate("governance")
    settings = Settings(
        practice=practice,
        environment=environment,
        evidence=PluginUse(name="practice-registry"),
        resolver=PluginUse(name="practice-registry"),
        policies=home.selections(),
    )
    host = base_url.split("/")[2]
    connection = Connection(
        connection_id=ConnectionId.random(),
        practice=practice,
        adapter="caldav",
        base_url=base_url,
        hosts=(host if ":" in host else f"{host}:443",),
        network=Network.PRIVATE,
        zone="Europe/Berlin",
        credential=CredentialUse(scheme=Scheme.BASIC, name="calendar"),
    )
    trusted = TrustedKeys(keys=(key.public(TYPES, practice),))
    return Place(home.initialise(root / "home", settings, [connection], trusted), key)


@pytest.fixture
def production(tmp_path: Path) -> Place:
    return place(tmp_path, Environment.PRODUCTION)


@pytest.fixture
def sandbox(tmp_path: Path) -> Place:
    return place(tmp_path, Environment.SANDBOX)


@pytest.mark.requirement("GOV-12")
def test_a_complete_signed_record_admits_the_sealed_connections_and_their_hosts(production):
    governance = production.governance(production.record())
    assert governance.missing(NOW) == ()
    assert governance.admits_commit(production.connection, NOW)
    assert governance.admits_host(HOST, 443, NOW)
    assert governance.admits_host(HOST.upper(), 443, NOW)


@pytest.mark.requirement("GOV-12")
@pytest.mark.parametrize("environment", [Environment.STAGING, Environment.PRODUCTION])
def test_without_a_record_commits_are_off_and_everything_is_named_as_missing(tmp_path, environment):
    empty = place(tmp_path, environment)
    governance = empty.governance()
    assert not governance.admits_commit(empty.connection, NOW)
    assert not governance.admits_host(HOST, 443, NOW)
    missing = "\n".join(governance.missing(NOW))
    for word in ["governance.jws", *Artefact, *Proof, *ReviewKind, "unblock"]:
        assert word in missing


def without(name: str, part: str) -> Callable[[Place], GovernanceRecord]:
    def change(made: Place) -> GovernanceRecord:
        record = made.record()
        return record.model_copy(
            update={name: tuple(entry for entry in getattr(record, name) if part not in entry.plain().values())}
        )

    return change


def with_findings(review: ReviewKind) -> Callable[[Place], GovernanceRecord]:
    def change(made: Place) -> GovernanceRecord:
        record = made.record()
        reviews = tuple(
            entry.model_copy(update={"blocking_findings": int(entry.review is review)}) for entry in record.reviews
        )
        return record.model_copy(update={"reviews": reviews})

    return change


def shown_as(**changes: Any) -> Callable[[Place], GovernanceRecord]:
    def change(made: Place) -> GovernanceRecord:
        record = made.record()
        (shown,) = record.connections
        return record.model_copy(update={"connections": (shown.model_copy(update=changes),)})

    return change


GAPS: dict[str, Callable[[Place], GovernanceRecord]] = {
    **{f"artefact {artefact} is not": without("artefacts", artefact) for artefact in Artefact},
    **{f"proof of {proof} is not": without("proofs", proof) for proof in Proof},
    **{f"{review} review is not": without("reviews", review) for review in ReviewKind},
    **{f"{review} review has blocking": with_findings(review) for review in ReviewKind},
    "no unblock": lambda made: made.record(unblock=None),
    "unblock decision is older": lambda made: made.record(
        unblock=Unblock(decision=StatementId.random(), decided_at=EARLIER - timedelta(seconds=1))
    ),
    "another seal": lambda made: made.record(seal=DIGEST),
    "another environment": lambda made: made.record(environment=Environment.STAGING),
    "not valid yet": lambda made: made.record(issued_at=NOW + timedelta(seconds=1)),
    "expired": lambda made: made.record(expires_at=NOW),
    "does not show": lambda made: made.record(connections=()),
    "every connection's network": shown_as(network=Network.PUBLIC),
    "credential scheme": shown_as(credential=Scheme.NONE),
    "and token host": shown_as(tokens="login.example.org:443"),
}


@pytest.mark.requirement("GOV-12", "GOV-13")
@pytest.mark.parametrize("gap", GAPS)
def test_each_gap_alone_keeps_commits_off_and_is_named(production, gap):
    governance = production.governance(GAPS[gap](production))
    assert [gap in named for named in governance.missing(NOW)] == [True]
    assert not governance.admits_commit(production.connection, NOW)
    assert not governance.admits_host(HOST, 443, NOW)


@pytest.mark.requirement("GOV-12")
def test_expiry_is_judged_when_a_commit_is_asked_for_not_when_the_record_was_loaded(production):
    governance = production.governance(production.record())
    assert governance.admits_commit(production.connection, LATER - timedelta(seconds=1))
    assert not governance.admits_commit(production.connection, LATER)
    assert not governance.admits_host(HOST, 443, LATER)


@pytest.mark.requirement("GOV-12")
def test_a_change_of_the_configuration_needs_a_new_record(production):
    production.governance(production.record())
    path = production.configuration.home / "gateway.json"
    path.write_text(path.read_text().replace('"evidence_seconds": 5', '"evidence_seconds": 9'))
    home.seal(production.configuration.home)
    changed = config.load(production.configuration.home)
    governance = Governance.load(changed, Keyring(changed.keys))
    assert governance.missing(NOW) == ("the governance record covers another seal than the present one",)


@pytest.mark.requirement("GOV-12")
def test_only_the_very_connection_that_was_sealed_is_admitted(production):
    governance = production.governance(production.record())
    stranger = production.connection.model_copy(update={"connection_id": ConnectionId.random()})
    changed = production.connection.model_copy(update={"network": Network.PUBLIC})
    assert not governance.admits_commit(stranger, NOW)
    assert not governance.admits_commit(changed, NOW)


@pytest.mark.parametrize(("host", "port"), [(HOST, 80), ("example.org", 443), ("127.0.0.1", 443), ("localhost", 443)])
def test_outside_a_sandbox_only_declared_hosts_are_admitted(production, host, port):
    governance = production.governance(production.record())
    assert not governance.admits_host(host, port, NOW)


@pytest.mark.requirement("GOV-12", "GOV-13")
@pytest.mark.parametrize("environment", Environment)
def test_a_record_that_does_not_verify_stops_the_start(tmp_path, environment):
    made = place(tmp_path, environment)
    for record in (made.record(), made.sandbox_record()):
        with pytest.raises(ConfigurationError, match=r"\.jws: .*signed anew"):
            made.governance(record, key=LocalKey.generate("governance"))
        with pytest.raises(ConfigurationError, match=r"another practice|signing key's practice"):
            made.governance(record.model_copy(update={"practice": PracticeId.random()}))
        for path in made.configuration.home.glob("*.jws"):
            path.unlink()


def test_another_practices_record_is_refused_even_under_a_key_trusted_for_that_practice(production):
    other = PracticeId.random()
    trusted = TrustedKeys(keys=(production.key.public(TYPES, other),))
    record = production.record(practice=other)
    (production.configuration.home / "governance.jws").write_text(sign(record, production.key))
    with pytest.raises(ConfigurationError, match="another practice"):
        Governance.load(production.configuration, Keyring(trusted))


def test_a_key_that_may_not_sign_governance_records_cannot(tmp_path):
    made = place(tmp_path, Environment.PRODUCTION)
    trusted = made.key.public(["gateway-decision+jws"], made.configuration.settings.practice)
    (made.configuration.home / "governance.jws").write_text(sign(made.record(), made.key))
    with pytest.raises(ConfigurationError, match="may not sign"):
        Governance.load(made.configuration, Keyring(TrustedKeys(keys=(trusted,))))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a.b.c", b" " * 20_000])
def test_a_file_that_is_no_signed_statement_stops_the_start(production, content):
    (production.configuration.home / "governance.jws").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"governance\.jws.*signed anew"):
        production.governance()


def test_a_sandbox_misses_nothing_and_reaches_every_loopback_address(sandbox):
    governance = sandbox.governance()
    assert governance.missing(NOW) == ()
    for host in ("127.0.0.1", "127.8.9.10", "localhost", "::1"):
        assert governance.admits_host(host, 8080, NOW)


def test_a_sandbox_commits_over_loopback_without_any_record(tmp_path):
    local = place(tmp_path, Environment.SANDBOX, "http://127.0.0.1:5232/")
    assert local.governance().admits_commit(local.connection, NOW)


@pytest.mark.requirement("GOV-12")
@pytest.mark.parametrize(
    "host",
    [
        HOST,
        "10.0.0.1",
        "0.0.0.0",  # noqa: S104 - connecting there reaches loopback on Linux, and still is no loopback address
        "localhost.example.org",
        "127.0.0.1.example.org",
        "",
    ],
)
def test_a_sandbox_reaches_nothing_else(sandbox, host):
    governance = sandbox.governance(sandbox.record())
    assert not governance.admits_host(host, 443, NOW)
    assert not governance.admits_commit(sandbox.connection, NOW)


@pytest.mark.requirement("GOV-12")
def test_a_sandbox_also_reaches_the_hosts_that_a_signed_sandbox_record_names(sandbox):
    governance = sandbox.governance(sandbox.sandbox_record())
    assert governance.admits_host(HOST, 443, NOW)
    assert governance.admits_commit(sandbox.connection, NOW)
    assert not governance.admits_host(HOST, 80, NOW)


@pytest.mark.requirement("GOV-12")
@pytest.mark.parametrize(
    "changes",
    [
        {"seal": DIGEST},
        {"expires_at": NOW},
        {"issued_at": NOW + timedelta(seconds=1)},
        {"hosts": ("other.example:443",)},
    ],
)
def test_a_sandbox_record_that_is_stale_or_names_others_admits_nothing(sandbox, changes):
    governance = sandbox.governance(sandbox.sandbox_record(**changes))
    assert not governance.admits_host(HOST, 443, NOW)
    assert not governance.admits_commit(sandbox.connection, NOW)


@pytest.mark.requirement("GOV-12")
def test_a_sandbox_record_opens_nothing_outside_a_sandbox(production):
    governance = production.governance(production.sandbox_record())
    assert not governance.admits_host(HOST, 443, NOW)
    assert not governance.admits_commit(production.connection, NOW)


@pytest.mark.requirement("ADAPT-07")
def test_what_is_shown_of_a_connection_names_the_host_that_grants_tokens_and_no_secret(production):
    use = CredentialUse(
        scheme=Scheme.CLIENT_CREDENTIALS, name="ehr", token=TokenEndpoint(url="https://login.example.org/token")
    )
    sealed = production.connection.model_copy(update={"credential": use})
    assert ShownConnection.of(sealed).plain() == {
        "connection": sealed.connection_id,
        "network": "private",
        "credential": "client-credentials",
        "tokens": "login.example.org:443",
    }
