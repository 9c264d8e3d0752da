"""The signed governance record, from a draft with blanks to commits that are let out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway import config
from gateway.cli.app import GROUP, build
from gateway.cli.diagnosis import Health, examine
from gateway.contracts.connection import Connection, CredentialUse, Scheme
from gateway.contracts.references import ConnectionId, PracticeId, StatementId
from gateway.contracts.words import Environment
from gateway.governance import Governance
from gateway.signatures import Keyring
from gateway.surfaces import upkeep
from gateway.surfaces.keys import LocalKey
from gateway.surfaces.local import LocalPractice
from gateway.surfaces.seat import Seat

BEFORE, LATER = "2026-01-01T09:00:00Z", "2099-01-01T09:00:00Z"


@dataclass(frozen=True)
class Place:
    """A practice in production, and its program."""

    local: LocalPractice
    directory: Path

    def ask(self, *words: object, code: int = 0) -> dict[str, Any]:
        program = build(entry_points(group=GROUP))
        given = ["governance", *map(str, words), "--home", str(self.local.home), "--json"]
        done = CliRunner().invoke(program, given)
        assert done.exit_code == code, done.output
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def draft(self, **changes: Any) -> Path:
        """A draft whose blanks are filled in as they should be, but for `changes`."""
        path = self.directory / "draft.json"
        path.unlink(missing_ok=True)
        self.ask("draft", "--out", path)
        plain = json.loads(path.read_text())
        for each in (*plain["artefacts"], *plain["proofs"], *plain["reviews"]):
            filled = {"sha256": "ab" * 32, "verified_at": BEFORE, "completed_at": BEFORE, "blocking_findings": 0}
            each |= {name: filled[name] for name, value in each.items() if value == ""}
        plain |= {"unblock": {"decision": StatementId.random(), "decided_at": BEFORE}, "expires_at": LATER, **changes}
        path.write_text(json.dumps(plain))
        return path

    def missing(self) -> tuple[str, ...]:
        sealed = config.load(self.local.home)
        return Governance.load(sealed, Keyring(sealed.keys)).missing(datetime.now(UTC))


@pytest.fixture
def make(tmp_path: Path) -> Callable[[Environment], Place]:
    def make(environment: Environment) -> Place:
        practice = PracticeId.random()
        connection = Connection(
            connection_id=ConnectionId.random(),
            practice=practice,
            adapter="caldav",
            base_url="https://calendar.example.org/dav/",
            hosts=("calendar.example.org:443",),
            zone="Europe/Berlin",
            credential=CredentialUse(scheme=Scheme.BASIC, name="calendar"),
        )
        root = tmp_path / "practice"
        return Place(LocalPractice.create(root, [connection], practice=practice, environment=environment), tmp_path)

    return make


@pytest.fixture
def place(make: Callable[[Environment], Place]) -> Place:
    return make(Environment.PRODUCTION)


def test_a_draft_that_people_filled_in_is_signed_and_lets_commits_out(place: Place) -> None:
    assert place.missing()
    signed = place.ask("sign", place.draft(), "--yes")
    assert place.missing() == ()
    assert signed["record"]["seal"] == config.load(place.local.home).seal_digest
    assert signed["signed_by"] == LocalKey.load(place.local.keys / "governance.json").kid


def test_a_draft_says_nothing_that_people_decide(place: Place) -> None:
    path = place.directory / "draft.json"
    place.ask("draft", "--out", path)
    refused = place.ask("sign", path, "--yes", code=2)["error"]["message"]
    blanks = (
        "artefacts.F-02: fill in sha256",
        "separation-of-authority: fill in sha256, verified_at",
        "expires_at: fill it in",
    )
    assert all(blank in refused for blank in blanks)
    assert not (place.local.home / "governance.jws").exists()


def test_an_entry_at_fault_is_named_by_its_title(place: Place) -> None:
    path = place.draft()
    plain = json.loads(path.read_text())
    plain["artefacts"][1]["sha256"], plain["reviews"][0]["review"] = "ab", "Given Family"
    path.write_text(json.dumps(plain))
    faults = place.ask("sign", path, "--yes", code=2)["error"]["faults"]
    told = {each["field"]: each["message"] for each in faults}
    assert told == {
        "artefacts.F-03.sha256": "must be 64 lower-case hexadecimal digits (SHA-256)",
        "reviews.0.review": "must be 'security', 'compliance' or 'operational'",
    }


def test_a_draft_replaces_no_file(place: Place) -> None:
    path = place.draft()
    assert "name a new one" in place.ask("draft", "--out", path, code=2)["error"]["message"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seal": "ab" * 32}, "covers another seal"),
        ({"proofs": []}, "the proof of audit-non-omittability is not in the record"),
        ({"connections": []}, "does not show every connection's"),
        ({"expires_at": BEFORE}, "has expired"),
        ({"practice": PracticeId.random()}, "not this home's"),
    ],
    ids=["seal", "proofs", "connections", "expiry", "practice"],
)
def test_a_record_that_would_leave_commits_off_is_not_signed(place: Place, changes: dict[str, Any], told: str) -> None:
    assert told in place.ask("sign", place.draft(**changes), "--yes", code=2)["error"]["message"]
    assert not (place.local.home / "governance.jws").exists()


def test_a_key_that_the_practice_does_not_trust_signs_nothing(place: Place) -> None:
    (place.local.keys / "governance.json").unlink()
    LocalKey.generate("governance").save(place.local.keys / "governance.json")
    assert place.ask("sign", place.draft(), "--yes", code=2)["error"]["kind"] == "SignatureRefused"
    assert not (place.local.home / "governance.jws").exists()


def test_a_signature_is_asked_for(place: Place) -> None:
    assert "--yes" in place.ask("sign", place.draft(), code=2)["error"]["message"]
    assert not (place.local.home / "governance.jws").exists()


def test_a_sandbox_needs_no_record(make: Callable[[Environment], Place]) -> None:
    sandbox = make(Environment.SANDBOX)
    assert (
        "needs no governance record"
        in (sandbox.ask("draft", "--out", sandbox.directory / "draft.json", code=4)["error"]["message"])
    )


@pytest.mark.parametrize(("days", "told"), [(90, []), (20, ["gateway seal signs a new one"])])
async def test_the_doctor_says_in_time_that_a_sandbox_record_ends(
    make: Callable[[Environment], Place], monkeypatch: pytest.MonkeyPatch, days: int, told: list[str]
) -> None:
    local = make(Environment.SANDBOX).local
    monkeypatch.setattr(upkeep, "SANDBOX_RECORD_HOLDS", timedelta(days=days))
    assert upkeep._sign_sandbox(Seat.find(local.keys, local.home), config.load(local.home))
    found = [each for each in await examine(local.home, local.keys) if each.subject == "governance"]
    assert [each.do for each in found if each.health is Health.NOTE] == told
