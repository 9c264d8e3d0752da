"""Every command on a practice whose journal is on PostgreSQL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest


@pytest.fixture
def keeping(empty: Any, postgres_url: str) -> Any:
    """A practice whose journal is there."""
    return empty.set_up_at_once(journal=postgres_url)


def test_a_practice_commits_looks_resolves_and_verifies(keeping: Any, postgres_url: str, tmp_path: Path) -> None:
    booked = keeping.ask("commit", keeping.approved())
    assert booked["outcome"]["standing"] == "CONFIRMED"
    keeping.sandbox.arm(fault="drop-after", action="book")
    proposal = keeping.approved()
    lost = keeping.ask("commit", proposal, code=5)
    assert lost["outcome"]["effect"] == "UNKNOWN"
    assert [entry["attempt"] for entry in keeping.ask("list", "--unresolved")["attempts"]] == [
        lost["outcome"]["attempt"]
    ]
    keeping.ask("observe", lost["outcome"]["attempt"])
    keeping.ask("resolve", lost["outcome"]["attempt"], "--applied", "--yes")
    assert keeping.ask("list", "--unresolved")["attempts"] == []
    assert len(keeping.ask("list", "--proposals")["proposals"]) == 2
    assert keeping.ask("recover")["recovered"] == []
    assert keeping.ask("audit", "show", booked["outcome"]["attempt"])["events"]
    assert keeping.ask("audit", "export", "--to", str(tmp_path / "audit.jsonl"))["lines"] > 20
    keeping.ask("audit", "checkpoint")
    held = keeping.ask("audit", "verify")
    assert held["intact"] and held["checkpoints"] == 1
    (tmp_path / "keys.json").write_bytes((keeping.home / "keys.json").read_bytes())
    keeping.environment["GATEWAY_HOME"] = "/nowhere"
    words = ("--journal", postgres_url, "--public-keys", str(tmp_path / "keys.json"))
    verified = keeping.ask("audit", "verify", *words, "--checkpoints", str(keeping.root / "checkpoints"))
    assert verified["intact"] and verified["covered"] == held["covered"]


def test_a_role_that_only_reads_shows_and_exports(
    keeping: Any, postgres: Any, postgres_url: str, tmp_path: Path
) -> None:
    """As on a standby: nothing is decided by it."""
    booked = keeping.ask("commit", keeping.approved())["outcome"]["attempt"]
    schema = postgres_url.rpartition("%3D")[2]
    reader = f"e{schema}"
    postgres.psql(f"CREATE ROLE {reader} LOGIN; ALTER ROLE {reader} SET default_transaction_read_only = on")
    postgres.psql(f"GRANT USAGE ON SCHEMA {schema} TO {reader}")
    postgres.psql(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {reader}")
    journal = ("--journal", postgres_url.replace("gateway@", f"{reader}@"))
    assert keeping.ask("audit", "show", booked, *journal)["events"]
    assert keeping.ask("audit", "export", "--to", str(tmp_path / "audit.jsonl"), *journal)["lines"] > 20


@pytest.mark.requirement("DEP-03")
def test_the_doctor_refuses_a_server_that_loses_what_it_acknowledged(keeping: Any, postgres: Any) -> None:
    fit = keeping.ask("doctor")
    assert fit["fit"]
    findings = {(each["subject"], each["health"]): each for each in fit["findings"]}
    assert "synchronous_commit read back" in findings["journal", "well"]["found"]
    assert "only copy" in findings["journal", "note"]["found"]
    assert "synchronous_standby_names" in findings["journal", "note"]["do"]
    proposal = keeping.approved()
    for name in ("fsync", "full_page_writes"):
        with postgres.setting(name, "off"):
            unfit = keeping.ask("doctor", code=4)
            assert f"{name} is off" in json.dumps(unfit["findings"])
            assert f"{name} is off" in keeping.ask("commit", proposal, code=4)["error"]["message"]
    assert keeping.ask("commit", proposal)["outcome"]["standing"] == "CONFIRMED"


def test_an_edited_row_fails_verification_and_gets_no_checkpoint(keeping: Any, postgres_url: str) -> None:
    keeping.ask("commit", keeping.approved())
    keeping.ask("audit", "checkpoint")
    with psycopg.connect(postgres_url) as forger:
        forger.execute("ALTER TABLE events DISABLE TRIGGER events_are_written_once")
        forger.execute("UPDATE events SET body = replace(body, 'identity', 'Identity') WHERE body LIKE '%identity%'")
        forger.execute("ALTER TABLE events ENABLE TRIGGER events_are_written_once")
    verified = keeping.ask("audit", "verify", code=5)
    assert not verified["intact"] and verified["flaws"]
    assert keeping.ask("audit", "checkpoint", code=5)["error"]["kind"] == "AuditTampered"


def test_no_password_comes_into_a_home(empty: Any, keeping: Any) -> None:
    secret = "postgresql://gateway:hunter2@db.example/practice"
    answer = empty.ask("init", str(empty.root.with_name("other")), "--journal", secret, code=2)
    assert "PGPASSFILE" in answer["error"]["message"]
    assert not empty.root.with_name("other").exists()
    settings = keeping.home / "gateway.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"journal": secret}))
    for words in (("seal", "--yes"), ("doctor",), ("audit", "verify"), ("audit", "verify", "--journal", secret)):
        ended = keeping.run(*words, "--json")
        assert ended.code != 0
        assert "hunter2" not in ended.out + ended.err
    assert "PGPASSFILE" in keeping.run("seal", "--yes").err
