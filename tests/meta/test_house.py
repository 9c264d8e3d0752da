"""The house itself: sizes, names, documentation and what must never be written into a file."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from conformance.catalogue import IN_SCOPE, explained, rows
from conformance.catalogue.breaks import recorded
from gateway import hookspecs

Sources = tuple[Any, ...]  # of conftest's Source
MAX_LINES = 450
VAGUE = {"utils", "util", "helpers", "helper", "manager", "managers", "misc", "common", "tools"}


def test_no_module_outgrows_one_noun(sources: Sources) -> None:
    sizes = {source.path: source.text.count("\n") for source in sources}
    assert {path: lines for path, lines in sizes.items() if lines >= MAX_LINES} == {}


def test_no_module_has_a_name_that_says_nothing(sources: Sources) -> None:
    for source in sources:
        assert not VAGUE & set(source.module.replace("_", ".").split(".")), source.path


def test_every_module_says_what_it_owns(sources: Sources) -> None:
    silent = [source.path for source in sources if source.text.strip() and not ast.get_docstring(source.tree)]
    assert silent == []


def test_every_public_name_that_a_module_exports_is_there(sources: Sources) -> None:
    for source in sources:
        if source.module.endswith("__main__"):
            continue
        module = importlib.import_module(source.module)
        for name in getattr(module, "__all__", ()):
            assert hasattr(module, name), f"{source.module}.{name}"


def test_no_module_starts_anything_when_imported(sources: Sources) -> None:
    started = re.compile(r"^(?:asyncio\.run|threading\.Thread|subprocess\.|socket\.|print)\b", re.MULTILINE)
    assert [source.path for source in sources if started.search(source.text)] == []


def hooks() -> dict[str, object]:
    return {name: value for name, value in vars(hookspecs).items() if name.startswith("gateway_")}


@pytest.mark.parametrize("name", sorted(hooks()))
def test_every_hook_says_when_it_is_called_and_how_often(name: str) -> None:
    documentation = getattr(hooks()[name], "__doc__", None) or ""
    assert "Called once, when the gateway opens" in documentation


@pytest.mark.parametrize("protocol", ["ReferenceResolver", "CredentialSource", "AuditSink"])
def test_every_plugin_protocol_says_what_raising_means(protocol: str) -> None:
    described = getattr(hookspecs, protocol)
    written = [described.__doc__] + [value.__doc__ for value in vars(described).values() if callable(value)]
    assert re.search(r"[Rr]aising", " ".join(text for text in written if text))


def test_relative_links_in_the_documentation_lead_somewhere(shipped: tuple[Path, ...]) -> None:
    link = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
    broken = []
    for page in (path for path in shipped if path.suffix == ".md"):
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in link.findall(text):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            place = (page.parent / path) if path else page
            if not place.exists() or (anchor and place.suffix == ".md" and anchor not in anchors(place)):
                broken.append(f"{page.name}: {target}")
    assert broken == []


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_no_file_holds_a_path_of_one_machine_or_the_address_of_a_registry(shipped: tuple[Path, ...]) -> None:
    # put together here, so that this file is none of those that it looks for
    machine = r"(?<![\w.])/(?:work|farm|root|Users|home/\w+)" + "/"
    registry = "|".join(
        ("index" + "-url", "find" + r"-links\s*[=:/]", r"pypi\.org" + "/simple", "files" + r"\.pythonhosted")
    )
    banned = re.compile(f"{machine}|{registry}")
    found = []
    for path in shipped:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.name}: {match.group()}" for match in banned.finditer(text)]
    assert found == []


def test_no_module_is_unfinished_and_no_test_is_skipped_whatever_the_machine(root: Path, sources: Sources) -> None:
    unfinished = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b|raise NotImplemented" + "Error")
    assert [source.path for source in sources if unfinished.search(source.text)] == []
    marked = re.compile(r"pytest\.mark\.(?:skip\b|x" + "fail)|pytest\\.x" + r"fail\(")
    assert [
        path.name for path in (root / "tests").rglob("*.py") if marked.search(path.read_text(encoding="utf-8"))
    ] == []


def test_the_catalogue_is_the_whole_catalogue() -> None:
    catalogue = rows()
    assert len(catalogue) == len({row.id for row in catalogue}) == 293
    assert {"orchestrator", "gates", "approvals", "policy", "ledger", "audit", "triggers", "adapters"} == IN_SCOPE


def test_explanations_are_of_rows_in_scope_and_say_something() -> None:
    scope = {row.id for row in rows() if row.in_scope}
    for row, reason in explained().items():
        assert row in scope
        assert len(reason) > 20


def test_every_recorded_break_is_of_known_rows_and_changes_one_place(root: Path) -> None:
    known = {row.id for row in rows()}
    for entry in recorded():
        assert set(entry.requirements) <= known
        assert entry.old != entry.new
        assert (root / entry.file).read_text(encoding="utf-8").count(entry.old) == 1, (entry.file, entry.old)
        assert entry.tests
        assert [test for test in entry.tests if not _stands(root, test)] == []


def _stands(root: Path, test: str) -> bool:
    """Whether such a test's function is in the file that it names."""
    path, *_, name = test.partition("[")[0].split("::")
    file = root / path
    source = file.read_text(encoding="utf-8") if file.is_file() else ""
    return re.search(rf"^ *(async )?def {name}\(", source, re.MULTILINE) is not None


def test_this_python_is_one_that_the_project_supports() -> None:
    assert sys.version_info >= (3, 11)
