"""Mutation testing keeps to the code: what it must mutate, and reasons for survivors that name code which exists."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from mutation.report import PAGE, kept, page, tried
from mutation.survivors import Justification, justifications
from mutation.units import ROOT, units


def functions(module: str) -> dict[str, set[str]]:
    """The lines of each function and method of a module, without their indentation."""
    text = (ROOT / module).read_text(encoding="utf-8")
    lines, found = text.splitlines(), dict[str, set[str]]()
    for holder in (tree := ast.parse(text)).body:
        for node in ast.walk(holder) if isinstance(holder, ast.ClassDef) else [holder]:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{holder.name}.{node.name}" if isinstance(holder, ast.ClassDef) else node.name
                found[name] = {line.strip() for line in lines[node.lineno - 1 : node.end_lineno]}
    assert tree.body
    return found


def test_every_module_is_tried_by_one_unit_and_has_functions_to_mutate() -> None:
    tried = Counter(module for unit in units() for module in unit.modules)
    assert {module: times for module, times in tried.items() if times > 1 or not functions(module)} == {}
    assert all(unit.modules for unit in units())


def test_every_unit_names_tests_that_exist() -> None:
    for unit in units():
        for test in (*unit.tests, *unit.wider):
            if not test.startswith("-k"):
                assert (ROOT / test.removeprefix("--deselect=").partition("::")[0]).exists(), (unit.name, test)


def test_every_justification_names_lines_that_exist_and_says_why() -> None:
    known = justifications(ROOT)
    tried = {module for unit in units() for module in unit.modules}
    lines = {module: functions(module) for module in {entry.module for entry in known}}
    for entry in known:
        where = (entry.module, entry.function)
        assert entry.module in tried, where
        assert entry.changes and entry.because.endswith("."), where
        for change in entry.changes:
            removed = {line[2:] for line in change.splitlines() if line.startswith("- ")}
            assert removed <= lines[entry.module].get(entry.function, set()), (where, change)
    changes = Counter((entry.module, entry.function, change) for entry in known for change in entry.changes)
    assert [change for change, times in changes.items() if times > 1] == []


@pytest.mark.parametrize("missing", ["because", "changes", "reason"])
def test_a_justification_that_lacks_a_member_is_none(tmp_path: Path, missing: str) -> None:
    entry = {"module": "a.py", "function": "f", "changes": ["- x"], "reason": "equivalent", "because": "Why."}
    place = tmp_path / "gateway" / "survivors.toml"
    place.parent.mkdir()
    place.write_text("[[survivor]]\n" + "".join(f"{name} = {value!r}\n" for name, value in entry.items()))
    assert justifications(tmp_path) == [
        Justification(module="gateway/a.py", function="f", changes=("- x",), reason="equivalent", because="Why.")
    ]
    place.write_text(
        "[[survivor]]\n" + "".join(f"{name} = {value!r}\n" for name, value in entry.items() if name != missing)
    )
    with pytest.raises(KeyError):
        justifications(tmp_path)


def test_the_page_is_made_of_what_is_kept_and_says_what_has_changed_since() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(*kept(), tried()), "run `make docs`"


def test_figures_of_other_code_are_told_apart() -> None:
    of_today = next(each for each in kept()[1] if each.is_of_today)
    other = replace(of_today, code="0" * 64)
    told = page("3", [other], [other.module, "gateway/never.py"])
    assert f"Changed since they were tried:\n\n- `{other.module}`\n" in told
    assert "Never tried to the end:\n\n- `gateway/never.py`\n" in told
    assert "Changed since" not in page("3", [of_today], [of_today.module])
