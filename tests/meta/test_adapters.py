"""What every adapter under `adapters/` owes the house; a failing test tells what is wanted."""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conformance.documents import systems, verdicts
from gateway.contracts.adapter import Claim
from gateway.contracts.failures import FAILURES
from gateway.contracts.words import End
from gateway.kit.replies import Row, judge
from tests.mutated.cases import CASES

ADAPTERS = systems.packages()
RECORDINGS = Path(__file__).parents[1] / "mutated" / "recordings"
MAX_CODE_LINES = 400
"""Of the modules that a commit runs, without imports, blank lines, comments and docstrings."""
LARGER = {
    "caldav": 560,  # reads WebDAV's XML, and changes a calendar object without losing a line of it
    "fhir": 1310,  # three dialects of some 300 lines each, over what they share, and the search for a patient
    "hl7v2": 600,  # spells and reads its messages itself (ADR 0024)
}

each_adapter = pytest.mark.parametrize("name", ADAPTERS)


@each_adapter
def test_mutated_replies_are_tried_on_it(name: str) -> None:
    assert name in {case.name for case in CASES}, f"add a case for {name} to tests/mutated/cases.py"
    recording = RECORDINGS / f"{name}.json"
    assert recording.is_file(), f"record its peer: python -m tests.mutated record {name}"


def test_no_case_and_no_recording_is_left_over() -> None:
    assert {case.name for case in CASES} == {path.stem for path in RECORDINGS.glob("*.json")} == set(ADAPTERS)


# -- tables of replies -------------------------------------------------------------------------------------


def rows(name: str) -> list[tuple[str, int | str, str, Row]]:
    told = f"adapters/{name}/replies.py shows no TABLES (title → gateway.kit.replies.Table)"
    assert hasattr(importlib.import_module(f"adapters.{name}.replies"), "TABLES"), told
    return [(title, *key, row) for title, table in systems.tables(name).items() for key, row in table.items()]


@pytest.mark.requirement("ADAPT-03", "FAIL-17", "FAIL-18")
@each_adapter
def test_every_row_of_its_tables_is_sound(name: str) -> None:
    found = rows(name)
    assert found
    for title, status, word, row in found:
        place = f"{name}, {title}, {status} {word}"
        assert isinstance(row, Row), place
        assert row.source.strip(), f"{place}: no source"
        receipt = row.receipt
        assert End[receipt.claim.name] in FAILURES[receipt.code].ends, f"{place}: {receipt.claim} with {receipt.code}"
        effect, code = systems.outcome(status, row)
        assert (effect, code) == (receipt.claim.name, receipt.code), (
            f"{place}: the boundary makes {effect} {code} of it"
        )
        if receipt.claim is Claim.REFUSED and isinstance(status, int):
            can = 200 <= status < 300 or (400 <= status < 500 and status != 408)
            assert can, f"{place}: no refusal is believed there"
        if receipt.claim is not Claim.APPLIED:
            assert (receipt.identifier, receipt.version) == (None, None), place
        assert judge(systems.tables(name)[title], status, word) == receipt


# -- what is kept of runs ----------------------------------------------------------------------------------


@each_adapter
def test_a_person_wrote_of_it_and_its_runs_are_kept(name: str) -> None:
    assert systems.systems()[name].runs, f"add [{name}] to docs/adapters/systems.toml"
    for run in systems.systems()[name].runs:
        kept = verdicts.VERDICTS / f"{run}.json"
        assert kept.is_file(), f"run `make conformance ADAPTERS={name} WRITE=1`, or keep a run made by hand as {run}"


def test_what_a_person_wrote_and_what_is_kept_is_of_adapters_that_are_here() -> None:
    assert set(systems.systems()) == set(ADAPTERS)
    assert set(verdicts.kept()) == {run for each in systems.systems().values() for run in each.runs}


@pytest.mark.parametrize("name", sorted(verdicts.kept()))
def test_a_kept_run_is_one_of_the_code_that_is_here(name: str) -> None:
    record = verdicts.kept()[name]
    why = verdicts.stale(record)
    assert why is None, f"{why}: run `make conformance ADAPTERS={record.adapter} WRITE=1`, then `make docs`"
    assert max((cut.sent for cut in record.cuts), default=0) <= 1


def test_a_record_of_other_code_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "made"
    package.mkdir()
    (package / "plugin.py").write_text("from adapters.made import adapter\n")
    (package / "adapter.py").write_text("X = 1\n")
    (package / "testing.py").write_text("X = 1\n")
    kit = tmp_path / "kit"
    kit.mkdir()
    (kit / "replies.py").write_text("Y = 1\n")
    monkeypatch.setattr(verdicts, "ADAPTERS", tmp_path)
    monkeypatch.setattr(verdicts, "KIT", kit)
    before = verdicts.code("made")
    (package / "adapter.py").write_text('"""Told."""\nX = 1  # otherwise\n')
    (package / "testing.py").write_text("X = 2\n")
    assert verdicts.code("made") == before
    (package / "adapter.py").write_text("X = 2\n")
    assert verdicts.code("made") != before
    before = verdicts.code("made")
    (kit / "replies.py").write_text("Y = 2\n")
    assert verdicts.code("made") != before
    record = next(iter(verdicts.kept().values()))
    assert verdicts.stale(record.model_copy(update={"adapter": "made"})) == (
        "the adapter's code, or gateway.kit, is another one now"
    )
    assert verdicts.stale(record.model_copy(update={"contract_version": 0})) == "contract version 0, not 1"


SOURCE = """
def f(x: int = -1, *, y=None) -> str:
    'Told.'
    return f"{x!r:>{y}} {None}" 'ä'
class C: pass
"""


def test_the_digest_of_code_is_the_same_in_every_version_of_python() -> None:
    told = verdicts._spelled(ast.parse(SOURCE))
    assert hashlib.sha256(told.encode()).hexdigest()[:16] == "d85e10dc3b3fc379", told


# -- size, libraries, registration -------------------------------------------------------------------------


def code_lines(path: Path) -> int:
    """Lines that hold code: no imports, blank lines, comments or docstrings."""
    text = path.read_text(encoding="utf-8")
    told: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        text_alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if text_alone or isinstance(node, ast.Import | ast.ImportFrom):
            told |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), start=1)
    return sum(
        number not in told and bool(line.strip()) and not line.lstrip().startswith("#") for number, line in lines
    )


@each_adapter
def test_it_is_small(name: str) -> None:
    sizes = {path.name: code_lines(path) for path in verdicts.reached(verdicts.package(name))}
    assert sum(sizes.values()) <= LARGER.get(name, MAX_CODE_LINES), sizes


def project(root: Path) -> dict[str, Any]:
    document: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return document


@each_adapter
def test_it_is_registered_under_its_own_name(name: str, root: Path) -> None:
    entries = project(root)["entry-points"]["gateway"]
    offered = importlib.import_module(f"adapters.{name}.plugin").gateway_adapters()
    assert entries.get(name.replace("_", "-"), entries.get(name)) == f"adapters.{name}.plugin"
    assert len(offered) == 1


@each_adapter
def test_what_it_imports_is_a_dependency_or_in_its_extra(name: str, root: Path) -> None:
    extras = project(root)["optional-dependencies"]
    own = extras.get(name, extras.get(name.replace("_", "-"), []))
    declared = {canonicalize_name(Requirement(text).name) for text in (*project(root)["dependencies"], *own)}
    owners = packages_distributions()
    for path in verdicts.reached(verdicts.package(name)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for top in {each.partition(".")[0] for each in named} - {"gateway", "adapters"} - sys.stdlib_module_names:
                owned = {canonicalize_name(owner) for owner in owners.get(top, ())}
                assert owned & declared, f"{path.name} imports {top}: put it into the extra [{name}]"


IMPORTED = """
import json, sys
import adapters.{name}.plugin
print(json.dumps(sorted(sys.modules)))
"""


def test_importing_one_adapter_imports_no_other_and_none_of_its_libraries(root: Path) -> None:
    started = {
        name: subprocess.Popen(
            [sys.executable, "-c", IMPORTED.format(name=name)], cwd=root, stdout=subprocess.PIPE, text=True
        )
        for name in ADAPTERS
    }
    loaded = {name: set(json.loads(process.communicate()[0])) for name, process in started.items()}
    extras = project(root)["optional-dependencies"]
    owners = packages_distributions()
    for name, modules in loaded.items():
        others = {f"adapters.{other}" for other in ADAPTERS if other != name}
        assert not modules & others, name
        foreign = {
            canonicalize_name(Requirement(text).name)
            for other in ADAPTERS
            if other != name
            for text in extras.get(other, extras.get(other.replace("_", "-"), []))
        }
        own = {canonicalize_name(Requirement(text).name) for text in extras.get(name, [])}
        tops = {module.partition(".")[0] for module in modules}
        found = {canonicalize_name(owner) for top in tops for owner in owners.get(top, ())}
        assert not found & (foreign - own), f"importing {name} imports {found & (foreign - own)}"
