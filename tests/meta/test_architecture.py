"""The house's static rules: who may import what, and what no code of the gateway may contain."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

Sources = tuple[Any, ...]  # of conftest's Source

# The modules that orchestrate: they hold references, digests and codes, and reach the world through others.
ORCHESTRATION = (
    "gateway/contracts",
    "gateway/gates",
    "gateway/policy/evaluation.py",
    "gateway/lifecycle.py",
    "gateway/authorization.py",
    "gateway/attempt.py",
    "gateway/ending.py",
    "gateway/execution.py",
    "gateway/orchestrator.py",
    "gateway/observation.py",
    "gateway/recovery.py",
)
# Threads and queues: the SQLite writer's one thread, which concurrent appends share, one that waits for it at the end,
# and one for each look-up of a name, which nobody can break off. They start no work of their own.
MAY_USE_THREADS = ("gateway/journal/_sqlite_writer.py", "gateway/journal/_sqlite.py", "gateway/boundary/addresses.py")
ENGINES = {
    "airflow", "apscheduler", "arq", "celery", "croniter", "dagster", "dbos", "dramatiq", "huey", "kombu", "luigi",
    "multiprocessing", "pika", "prefect", "restate", "rq", "sched", "schedule", "temporalio", "zeep",
}  # fmt: skip
RETRY_LIBRARIES = {
    "aiohttp-retry", "backoff", "httpx-retries", "hyx", "opnieuw", "pyfailsafe", "requests", "retry", "retry2",
    "retrying", "riprova", "stamina", "tenacity", "urllib3",
}  # fmt: skip
VENDORS = """
    acuity allscripts apple athenahealth calendly cerner cliniko dentrix doctolib drchrono eclinicalworks elation epic
    fastmail google greenway icloud jane kareo medplum meditech microsoft modmed nexhealth nextcloud nextech nextgen
    opendental outlook phreesia practicefusion radicale redox salesforce simplepractice tebra veradigm zocdoc
    camunda temporal zapier n8n airflow aws azure gcp
"""


@pytest.mark.requirement("AUTH-07", "ADAPT-08", "ARCH-05", "FLOW-02")
def test_the_import_rules_hold(root: Path) -> None:
    linter = "from importlinter.cli import lint_imports_command as lint; lint()"
    done = subprocess.run(
        [sys.executable, "-c", linter, "--no-logo", "--no-cache"], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.requirement("ADAPT-08")
def test_vendors_and_engines_are_named_under_adapters_only(sources: Sources) -> None:
    word = re.compile(rf"\b({'|'.join(VENDORS.split())})\b", re.IGNORECASE)
    named = [(source.path, found.group()) for source in sources for found in word.finditer(source.text)]
    assert [place for place in named if place[0].startswith("gateway/")] == []


@pytest.mark.requirement("ARCH-01", "ARCH-02", "ARCH-04", "ADAPT-06")
def test_no_worker_queue_timer_or_workflow_engine_is_imported(sources: Sources) -> None:
    for source in sources:
        if source.within("gateway", "adapters"):
            tops = {name.partition(".")[0] for name in source.imports}
            assert not tops & ENGINES, source.path
            if not source.within(*MAY_USE_THREADS):
                assert not tops & {"threading", "queue", "concurrent"}, source.path


@pytest.mark.requirement("ARCH-02")
def test_nothing_in_the_gateway_sleeps_but_the_injected_clock(sources: Sources) -> None:
    # a command that a person started may pace itself in the foreground; tests wait for a database server to start;
    # whoever writes the practice's registry waits, blocking and not for long, for others to have written
    may_sleep = ("gateway/clock.py", "gateway/cli", "gateway/surfaces", "gateway/testing/postgres.py")
    may_sleep += ("gateway/practice/registry.py",)
    for source in sources:
        if source.within("gateway") and not source.within(*may_sleep):
            assert not source.imports & {"asyncio.sleep", "time.sleep", "anyio.sleep"}, source.path
            asleep = [
                node
                for node in ast.walk(source.tree)
                if isinstance(node, ast.Attribute)
                and node.attr in ("sleep", "call_later", "call_at")
                and isinstance(node.value, ast.Name)
                and node.value.id in ("asyncio", "time", "anyio", "loop")
            ]
            assert not asleep, source.path


@pytest.mark.requirement("ARCH-03", "AUTH-11")
def test_nothing_that_runs_inside_an_attempt_can_start_another(sources: Sources) -> None:
    inside = (
        "gateway/contracts",
        "gateway/gates",
        "gateway/policy",
        "gateway/journal",
        "gateway/audit",
        "gateway/boundary",
    )
    inside += ("gateway/lifecycle.py", "gateway/ending.py", "gateway/practice", "adapters")
    for source in sources:
        if source.within(*inside):
            assert not source.imports & {"gateway.orchestrator", "gateway.gateway", "gateway.recovery"}, source.path


@pytest.mark.requirement("ARCH-05", "MUT-08")
def test_orchestration_stores_nothing_by_itself(sources: Sources) -> None:
    stores = {"sqlite3", "shelve", "dbm", "pickle", "tempfile", "shutil", "aiofiles", "psycopg"}
    writes = {"open", "write_text", "write_bytes", "mkdir", "unlink", "rename"}
    for source in sources:
        if source.within(*ORCHESTRATION):
            assert not {name.partition(".")[0] for name in source.imports} & stores, source.path
            assert not source.names & writes, source.path


@pytest.mark.requirement("ADAPT-07")
def test_orchestration_neither_names_nor_reaches_a_credential(sources: Sources) -> None:
    for source in sources:
        if source.within(*ORCHESTRATION) and not source.within("gateway/contracts"):
            assert not source.names & {"secret", "password", "token_endpoint", "CredentialSource", "credential"}, (
                source.path
            )
            assert "gateway.boundary.credentials" not in source.imports, source.path


@pytest.mark.requirement("CACHE-01", "ABORT-05")
def test_nothing_governed_is_cached(sources: Sources) -> None:
    for source in sources:
        if source.within("gateway"):
            cached = {name for name in source.names if re.search(r"lru_cache|^cache$|memoi[sz]e|ttl_?cache", name)}
            assert not cached, source.path
            assert not {name.partition(".")[0] for name in source.imports} & {"cachetools", "diskcache", "hishel"}


@pytest.mark.requirement("FAIL-20", "NORETRY-05")
def test_no_code_has_a_word_for_sending_again(sources: Sources) -> None:
    again = re.compile(r"retr(y|ies|ied|ying)|backoff|resend|redeliver_|attempts_left|max_attempts", re.IGNORECASE)
    for source in sources:
        if source.within("gateway", "adapters"):
            found = {name for name in source.names if again.search(name)} - {"retries", "retry_after"}
            assert not found, (source.path, found)


@pytest.mark.requirement("FAIL-20")
def test_no_transport_is_told_to_retry_to_multiplex_or_to_follow_redirects(sources: Sources) -> None:
    forbidden: dict[str, Any] = {"retries": 0, "http2": False, "follow_redirects": False, "trust_env": False}
    for source in sources:
        if source.within("gateway", "adapters"):
            for node in ast.walk(source.tree):
                if isinstance(node, ast.keyword) and node.arg in forbidden:
                    assert isinstance(node.value, ast.Constant), (source.path, node.arg)
                    assert node.value.value == forbidden[node.arg], (source.path, node.arg)


@pytest.mark.requirement("FAIL-25")
def test_no_code_has_a_word_for_undoing_a_commit(sources: Sources) -> None:
    undo = re.compile(r"undo|compensat|revert|roll_?back", re.IGNORECASE)
    for source in sources:
        if source.within("gateway", "adapters") and not source.within("gateway/journal", "adapters/sandbox"):
            assert not {name for name in source.names if undo.search(name)}, source.path


def project(root: Path) -> dict[str, Any]:
    document: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return document


def closure(requirements: list[str]) -> set[str]:
    """The distributions that these requirements bring with them, as installed here."""
    found: set[str] = set()
    todo = [Requirement(text) for text in requirements]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        todo += [Requirement(text) for text in metadata.requires(name) or ()]
    return found


@pytest.mark.requirement("FAIL-20", "ARCH-01", "ARCH-02", "ARCH-04")
def test_what_the_gateway_depends_on_holds_no_retry_library_and_no_engine(root: Path) -> None:
    depended = closure(project(root)["dependencies"])
    assert {"httpx", "h11", "pydantic", "pluggy", "cedarpy", "joserfc"} <= depended
    assert not depended & (RETRY_LIBRARIES | ENGINES)


def locked(root: Path, name: str) -> dict[str, int]:
    """Distribution to number of hashes, for each entry of a lock."""
    text = (root / "requirements" / name).read_text(encoding="utf-8")
    entries = re.findall(
        r"^([a-z0-9-]+)==\S+(?: ;[^\\]*)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n?)+)", text, re.MULTILINE
    )
    assert len(entries) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)), "an entry without a version or hash"
    return {entry: hashes.count("sha256:") for entry, hashes in entries}


@pytest.mark.requirement("FAIL-20")
def test_the_locks_pin_every_dependency_by_hash_and_hold_no_retry_library(root: Path) -> None:
    # Radicale, a process of its own in demo and tests, brings an HTTP client; nothing else may
    with_radicale = closure(["radicale"])
    for name in ("dev.txt", "demo.txt", "mutation.txt"):
        entries = locked(root, name)
        assert all(entries.values())
        assert not (set(entries) - with_radicale) & (RETRY_LIBRARIES | ENGINES)
        assert closure(project(root)["dependencies"]) <= set(entries)


def test_every_third_party_import_is_a_declared_dependency(root: Path, sources: Sources) -> None:
    declared = {canonicalize_name(Requirement(text).name) for text in project(root)["dependencies"]}
    extras = project(root)["optional-dependencies"]
    developing = {canonicalize_name(Requirement(text).name) for extra in extras.values() for text in extra}
    owners = metadata.packages_distributions()
    brought = {extra: {canonicalize_name(Requirement(text).name) for text in texts} for extra, texts in extras.items()}
    homes = {"gateway/journal": brought["postgres"]} | {f"adapters/{extra}": names for extra, names in brought.items()}
    for source in sources:
        admitted = declared | developing if source.within("conformance") else declared
        for home, names in homes.items():
            admitted = admitted | names if source.within(home) else admitted
        for top in {name.partition(".")[0] for name in source.imports}:
            if top in sys.stdlib_module_names or top in ("gateway", "adapters", "conformance", "benchmarks"):
                continue
            # pydantic's own core is part of its public extension interface
            names = {canonicalize_name(owner) for owner in owners.get(top.replace("pydantic_core", "pydantic"), ())}
            assert names & admitted, f"{source.path} imports {top}, which pyproject.toml does not declare"
