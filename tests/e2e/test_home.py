"""The practice's home at the command line: its seal, its connections, its registry, and what the doctor says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.contracts.references import ConnectionId, ServiceId

NONE = {"scheme": "none"}


def test_an_altered_home_is_refused_until_somebody_seals_the_change(practice: Any) -> None:
    path = practice.home / "connections" / f"{practice.connection}.json"
    path.write_text(path.read_text().replace('"request_seconds": 3', '"request_seconds": 2'))
    assert path.name in practice.ask("list", code=4)["error"]["message"]
    ill = [each for each in practice.ask("doctor", code=4)["findings"] if each["health"] == "ill"]
    assert "was altered" in ill[0]["found"] and ill[0]["do"]
    assert practice.ask("connections", "add", "-", code=4, given="{}")["error"]["kind"] == "ConfigurationError"
    assert "--yes" in practice.ask("seal", code=2)["error"]["message"]
    practice.ask("seal", "--yes")
    assert practice.ask("doctor")["fit"]


def test_the_doctor_says_what_is_wrong_and_what_to_do(practice: Any) -> None:
    (practice.root / "keys" / "operator.json").chmod(0o644)
    practice.ask("connections", "suspend", practice.connection)
    findings = {(each["subject"], each["health"]): each for each in practice.ask("doctor", code=4)["findings"]}
    assert "operator" in findings["keys", "ill"]["found"] and "600" in findings["keys", "ill"]["do"]
    assert "connections resume" in findings["connection", "note"]["do"]
    assert all(each["do"] for each in findings.values() if each["health"] != "well")
    assert findings["secret", "well"]
    assert "600" in practice.ask("commit", practice.propose(), code=4)["error"]["message"]


@pytest.mark.parametrize("amiss", ["missing", "open", "of no shape"])
def test_without_a_usable_secret_the_doctor_calls_nothing_fit(practice: Any, amiss: str) -> None:
    path = practice.root / "secrets" / "sandbox"
    if amiss == "missing":
        path.unlink()
    elif amiss == "open":
        path.chmod(0o644)
    else:
        path.write_text("two words")
    answer = practice.ask("doctor", code=4)
    (ill,) = (each for each in answer["findings"] if each["health"] == "ill")
    assert ill["subject"] == "secret" and practice.connection in ill["found"] and "scheme bearer" in ill["found"]
    assert f"it is a token; in {path}, mode 600" in ill["do"]
    assert "two words" not in json.dumps(answer)


def test_a_sandbox_reaches_other_hosts_by_a_signed_record_only(practice: Any) -> None:
    elsewhere = {"base_url": "https://pms.test/", "hosts": ["pms.test:443"], "zone": "Europe/Berlin"}
    given = json.dumps({"adapter": "sandbox", **elsewhere})
    refused = practice.ask("connections", "add", "-", code=2, given=given)
    assert "--yes" in refused["error"]["message"]
    assert len(practice.ask("connections", "list")["connections"]) == 1
    answer = practice.ask("connections", "add", "-", "--yes", given=given)
    assert answer["sandbox_hosts"] == ["pms.test:443"]
    assert all(each["admitted"] for each in practice.ask("connections", "list")["connections"])
    (practice.home / "sandbox.jws").unlink()
    admitted = {each["base_url"]: each["admitted"] for each in practice.ask("connections", "list")["connections"]}
    assert admitted == {"https://pms.test/": False, practice.sandbox.url: True}
    assert not practice.ask("doctor", code=4)["fit"]
    practice.ask("seal")
    assert practice.ask("doctor")["fit"]


def test_a_connection_of_an_adapter_that_is_not_installed_is_not_sealed(practice: Any) -> None:
    given = json.dumps(practice.described(adapter="smith"))
    message = practice.ask("connections", "add", "-", code=2, given=given)["error"]["message"]
    assert message.startswith("adapter: none of that name is installed") and "sandbox" in message
    assert "smith" not in message
    assert len(practice.ask("connections", "list")["connections"]) == 1


def test_whoever_adds_a_connection_is_told_which_secret_it_wants(practice: Any) -> None:
    given = practice.described(credential={"scheme": "basic", "name": "calendar"})
    told = practice.ask("connections", "add", "-", given=json.dumps(given))["secret"]
    assert told == f"user:password; in {practice.root / 'secrets' / 'calendar'}, mode 600"
    assert "secret" not in practice.ask("connections", "add", "-", given=json.dumps(given | {"credential": NONE}))


def test_the_first_appointments_gaps_are_told_with_the_command_that_fills_them(practice: Any) -> None:
    stranger, service = ConnectionId.random(), ServiceId.random()
    asked = practice.ask("practice", "identify", stranger, service, "30", code=2)["error"]["message"]
    assert "none sealed under that reference" in asked

    practice.service = service
    proposal = practice.propose()
    refused = practice.ask("review", proposal, "--approve", "--yes", code=4)["error"]
    assert refused["code"] == "PARTICULARS_MISSING"
    command = f"gateway practice identify {practice.connection} {service} IDENTIFIER"
    assert refused["message"].endswith(command) and refused["message"].count("identify") == 1
    practice.ask(*command.replace("IDENTIFIER", "30").split()[1:])
    practice.ask("review", proposal, "--approve", "--yes")

    practice.patient = practice.ask("practice", "add-patient")["patient"]
    refused = practice.ask("propose", "-", code=2, given=json.dumps(practice.request()))["error"]
    assert refused["message"].endswith(f"gateway practice consent {practice.patient} --given")


def test_what_is_installed_is_listed(practice: Any) -> None:
    assert "sandbox" in {entry["adapter"] for entry in practice.ask("adapters", "list")["adapters"]}
